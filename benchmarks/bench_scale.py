"""How `train.py` grows with its pictures: made sets of several sizes, and ten more pictures in a set already learnt."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

STAGES = {
    "Collect": "Collect",
    "Features": "Compute",
    "Look at it": "Look",
    "Learn": "Learn",
    "Judge": "Judge",
    "Write, gate, publish": "Write|Compare|Publish",
}


@dataclass(frozen=True)
class Run:
    """One run of `train.py`: pictures kept, seconds of each of its stages and in all, peak memory in MB."""

    pictures: int
    stages: dict[str, float]
    seconds: float
    memory: float

    def column(self) -> dict[str, str]:
        """Its column of the table."""
        own = {
            name: sum(seconds for title, seconds in self.stages.items() if re.match(starts, title))
            for name, starts in STAGES.items()
        }
        rest = self.seconds - sum(own.values())
        return {
            **{f"{name} (s)": f"{seconds:.1f}" for name, seconds in own.items()},
            "Start and imports (s)": f"{rest:.1f}",
            "Whole command (s)": f"{self.seconds:.1f}",
            "Peak memory (MB)": f"{self.memory:.0f}",
        }


def print_scale(source: Path, sizes: Sequence[int]) -> None:
    """Train on sets of so many pictures, made by augmenting those of `source` (a folder of classes), then again with
    ten more pictures in each; print time and memory by size, and what the ten cost."""
    runs, again = [], []
    with tempfile.TemporaryDirectory(prefix="spotter-scale-") as temporary:
        for size in sizes:
            work = Path(temporary) / str(size)
            make_set(source, work / "pictures", size)
            runs.append(train(work))
            make_set(source, work / "pictures", 10, seed=1)
            again.append(train(work))
            shutil.rmtree(work)
    print_table([str(run.pictures) for run in runs], runs)
    print("| Ten more pictures for | Features (s) | Ratio | Whole command (s) | Ratio |\n|---|---|---|---|---|")
    for first, second in zip(runs, again, strict=True):
        cells = [f"{first.pictures}"]
        for name in ("Features (s)", "Whole command (s)"):
            before, after = (float(run.column()[name]) for run in (first, second))
            cells += [f"{before:.1f}, then {after:.1f}", f"{after / before:.2f}"]
        print(f"| {' | '.join(cells)} |")


def make_set(source: Path, folder: Path, count: int, seed: int = 0) -> None:
    """Write `count` pictures into `folder`, made from those of `source` in turn: cropped, mirrored, recoloured."""
    paths = sorted(path for path in source.glob("*/*") if path.is_file())
    if not paths:
        sys.exit(f"bench: there is no picture in the sub-folders of {str(source)!r}")
    # In turn over all classes: the folders come one after the other.
    order = np.random.default_rng(seed).permutation(len(paths))
    for name in {path.parent.name for path in paths}:
        (folder / name).mkdir(parents=True, exist_ok=True)
    jobs = ((paths[order[n % len(paths)]], folder, seed, n) for n in range(count))
    with ProcessPoolExecutor() as pool:
        for _ in pool.map(_augment, jobs, chunksize=32):
            pass


def _augment(job: tuple[Path, Path, int, int]) -> None:
    path, folder, seed, number = job
    rng = np.random.default_rng((seed, number))
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    width, height = (round(side * rng.uniform(0.45, 0.95)) for side in picture.size)
    left, top = rng.integers(0, picture.width - width + 1), rng.integers(0, picture.height - height + 1)
    picture = picture.crop((int(left), int(top), int(left) + width, int(top) + height))
    if rng.random() < 0.5:
        picture = ImageOps.mirror(picture)
    picture = picture.rotate(rng.uniform(-12, 12), Image.Resampling.BILINEAR, fillcolor=(128, 128, 128))
    for kind in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        picture = kind(picture).enhance(rng.uniform(0.6, 1.4))
    picture.save(folder / path.parent.name / f"{seed}-{number:06}.jpg", quality=88)


def train(work: Path) -> Run:
    """Run `train.py` on `work / "pictures"`, a folder for each class."""
    classes = [word for folder in sorted((work / "pictures").iterdir()) for word in ("--class", folder.name)]
    search = ["--search", f"folder:{work / 'pictures'}"]
    command = [sys.executable, "train.py", *classes, *search, "--to", work / "store", "--data", work / "data"]
    print(f"  train.py on {work.name}", flush=True)
    output, errors = work / "output.txt", work / "errors.txt"
    started = time.perf_counter()
    with output.open("wb") as out, errors.open("wb") as err:
        process = subprocess.Popen([str(word) for word in command], stdout=out, stderr=err)
        # Unlike Popen.wait, this tells the peak memory of this one child.
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - started
    text = output.read_text()
    if process.returncode:
        sys.exit(f"bench: train.py failed:\n{errors.read_text()[-3000:]}")
    kept = re.search(r"^  kept (\d+)", text, re.MULTILINE)
    stages = re.findall(r"^(\S.*) \.\.\.\n(?:  .*\n)*?  done in ([\d.]+) s$", text, re.MULTILINE)
    return Run(
        int(kept[1]) if kept else 0,
        {title: float(spent) for title, spent in stages},
        seconds,
        usage.ru_maxrss / 1024,
    )


def print_table(titles: Sequence[str], runs: Sequence[Run]) -> None:
    """Print a table with a column for each run."""
    columns = [run.column() for run in runs]
    print(f"\n| Pictures | {' | '.join(titles)} |\n|---{'|---' * len(titles)}|")
    for name in columns[0]:
        print(f"| {name} | {' | '.join(column[name] for column in columns)} |")
    print(flush=True)
