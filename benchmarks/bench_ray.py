"""The same pictures on this machine without Ray and on a local Ray cluster, in turn: how much of each core is left."""

import itertools
import os
import pickle
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from spotter.config import ScaleConfig, TrainConfig
from spotter.scale.answers import AnswerFile
from spotter.scale.classify import ClassifyJob, Model, run_here
from spotter.scale.cluster import LOCAL, cluster
from spotter.scale.listing import list_pictures
from spotter.train import features
from spotter.train.backbone import load_backbone

CONFIG = ScaleConfig(part=50)
# Not timed: in them processes start, and load their model.
WARM_UP = 4
ROUNDS = 3
WAYS = ("plain", "ray")


@dataclass(frozen=True)
class Pace:
    """Pictures a second after the warm-up, and the seconds until the first part was done."""

    rate: float
    start_s: float


def print_ray(source: Path, count: int) -> None:
    """Classify `count` pictures, those of `source` (a folder of classes) again and again, and compute their features;
    each way in turn, `ROUNDS` times; print the medians, and what a picture weighs."""
    paths = sorted(path.absolute() for path in source.glob("*/*") if path.is_file())
    if not paths:
        sys.exit(f"bench: there is no picture in the sub-folders of {str(source)!r}")
    many = list(itertools.islice(itertools.cycle(paths), count))
    classify: dict[str, list[Pace]] = {way: [] for way in WAYS}
    computed: dict[str, list[Pace]] = {way: [] for way in WAYS}
    starts, memory = [], [0.0]
    with tempfile.TemporaryDirectory(prefix="spotter-ray-") as temporary:
        work = Path(temporary)
        predictor, model = Model(str(train(source, work))).pinned()
        (work / "list.txt").write_text("\n".join(map(str, many)))
        listing = list_pictures(work / "list.txt", CONFIG)
        network = load_backbone(TrainConfig()).body
        for number, way in itertools.product(range(ROUNDS), WAYS):
            answers = AnswerFile(work / f"{way}-{number}.parquet", predictor.labels, str(predictor.revision))
            answers.begin(listing.digest)
            job = ClassifyJob(model, answers, CONFIG)
            if way == "plain":
                classify[way].append(pace(done.pictures for done in run_here(job, listing.lanes())))
                computed[way].append(pace(len(rows) for rows, _ in features.run_here(network, many, CONFIG.part)))
            else:
                started = time.perf_counter()
                with cluster(LOCAL) as joined:
                    starts.append(time.perf_counter() - started)
                    done = watched(joined.run(job, listing.lanes()), memory)
                    classify[way].append(pace(each.pictures for each in done))
                    computed[way].append(pace(len(rows) for rows, _ in joined.run_body(network, many, CONFIG.part)))
            print(f"  round {number + 1}, {way}: {classify[way][-1]}, {computed[way][-1]}", flush=True)
        answered = sum(answers.part(part.number).stat().st_size for part in listing.parts) / count
    cores = os.cpu_count() or 1
    print(f"\n| {count:,} pictures on {cores} cores | Plain | Ray | Ratio |\n|---|---|---|---|")
    for name, paces in (("Classified", classify), ("Features", computed)):
        plain, ray = (statistics.median(each.rate for each in paces[way]) / cores for way in WAYS)
        print(f"| {name}, a second and core | {plain:.1f} | {ray:.1f} | {ray / plain:.2f} |")
        plain, ray = (statistics.median(each.start_s for each in paces[way]) for way in WAYS)
        print(f"| {name}: until the first {CONFIG.part} are done (s) | {plain:.1f} | {ray:.1f} | |")
    print(f"| The cluster itself starts (s) | | {statistics.median(starts):.1f} | |")
    print(f"| Memory of a process that classifies (MB) | | {max(memory):.0f} | |")
    weights = {
        "read": sum(path.stat().st_size for path in many) / count,
        "of answers in Parquet": answered,
        "of features": 4 * predictor.reference.shape[1],
        "where the list is dealt out": len(pickle.dumps(listing)) / count,
    }
    print("\nBytes for a picture: " + ", ".join(f"{size:.0f} {what}" for what, size in weights.items()))


def pace(counts: Iterable[int]) -> Pace:
    """Time how many pictures are done, part by part."""
    started = time.perf_counter()
    moments, done = [], 0
    for count in counts:
        done += count
        moments.append((time.perf_counter() - started, done))
    (warm, before), (end, total) = moments[WARM_UP - 1], moments[-1]
    return Pace((total - before) / (end - warm), moments[0][0])


def watched(done: Iterable, memory: list[float]) -> Iterator:
    """The same, and note the most memory that one of the cluster's processes has by then, in MB."""
    for each in done:
        for path in Path("/proc").glob("[0-9]*"):
            try:
                if (path / "cmdline").read_bytes().startswith(b"ray::MapWorker"):
                    held = re.search(r"VmRSS:\s+(\d+)", (path / "status").read_text())
                    memory.append(int(held[1]) / 1024 if held else 0)
            except OSError:
                # It has ended.
                continue
        yield each


def train(source: Path, work: Path) -> Path:
    """Publish a model of the classes in `source`; return its store."""
    classes = [word for folder in sorted(source.iterdir()) if folder.is_dir() for word in ("--class", folder.name)]
    store = work / "store"
    command = [sys.executable, "train.py", *classes, "--search", f"folder:{source}", "--to", store, "--data", work]
    finished = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if finished.returncode:
        sys.exit(f"bench: train.py failed:\n{finished.stderr[-3000:]}")
    return store
