"""Where the time of a training and of a start goes: by stage, in seconds, in processor seconds and in busy cores. With
another checkout beside it: both in turn, on a fresh set, on ten more pictures, on made sets, and from nothing to
a page.
"""

import contextlib
import itertools
import os
import re
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
from bench_scale import make_set
from bench_start import BUSY, BUSY_LOAD, PATIENCE_S, Side, started, wait_for_address

# Between two looks at the processes.
LOOK_S = 0.1
TICKS = os.sysconf("SC_CLK_TCK")
MORE = 10
REST = "between them, start and end"


@dataclass(frozen=True)
class Stage:
    """What a stage took: seconds on the clock, and of the processor, in all processes together."""

    title: str
    wall: float
    cpu: float


@dataclass(frozen=True)
class Run:
    """A command: what it took, its stages, and its peak memory (MB, all processes, what they share counted once)."""

    wall: float
    cpu: float
    memory: float
    stages: tuple[Stage, ...] = ()


@dataclass
class Watch:
    """Looks at a process and all below it until it ends. `memory` is the most so far, in MB."""

    root: int
    memory: float = 0.0
    _seconds: dict[int, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _end: threading.Event = field(default_factory=threading.Event)

    def cpu(self) -> float:
        """The processor seconds of all of them so far. Of one that has ended, what was seen last."""
        with self._lock:
            for process in _below(self.root):
                with contextlib.suppress(OSError):
                    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
                    self._seconds[process] = (int(fields[11]) + int(fields[12])) / TICKS
            return sum(self._seconds.values())

    def run(self) -> None:
        while not self._end.wait(LOOK_S):
            self.cpu()
            self.memory = max(self.memory, sum(map(_memory_mb, _below(self.root))))

    def stop(self) -> None:
        self._end.set()


def _below(process: int) -> Iterator[int]:
    """A process and its children, and theirs."""
    yield process
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{process}/task"):
            for child in Path(f"/proc/{process}/task/{thread}/children").read_text().split():
                yield from _below(int(child))


def _memory_mb(process: int) -> float:
    with contextlib.suppress(OSError):
        return shared_memory_mb(process)
    return 0.0


def shared_memory_mb(process: int) -> float:
    """What a process takes, memory that it shares by its share."""
    found = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{process}/smaps_rollup").read_text(), re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0


def run_watched(command: Sequence[object], folder: Path) -> Run:
    """Run a command that prints its stages in `folder`, and measure it."""
    environment = os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONPATH": str(folder), "HF_HUB_OFFLINE": "1"}
    begun = time.perf_counter()
    with TemporaryDirectory(prefix="spotter-bench-") as temporary:
        errors = Path(temporary) / "errors.txt"
        with errors.open("wb") as told:
            process = subprocess.Popen(
                [*map(str, command)], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=told, text=True
            )
            watch = Watch(process.pid)
            looking = threading.Thread(target=watch.run)
            looking.start()
            stages = tuple(read_stages(process.stdout or (), watch))
            process.wait()
            watch.stop()
            looking.join()
        if process.returncode:
            sys.exit(f"bench: {' '.join(map(str, command))} failed:\n{errors.read_text()[-3000:]}")
    return Run(time.perf_counter() - begun, watch.cpu(), watch.memory, stages)


def read_stages(lines: Iterator[str], watch: Watch) -> Iterator[Stage]:
    """The stages that a command prints, as they end."""
    title, wall, cpu = "", 0.0, 0.0
    for line in lines:
        if line.endswith(" ...\n") and not line.startswith(" "):
            title, wall, cpu = line.removesuffix(" ...\n"), time.perf_counter(), watch.cpu()
        elif title and line.startswith("  done in "):
            yield Stage(title, time.perf_counter() - wall, watch.cpu() - cpu)
            title = ""


def print_profile(pictures: Path, baseline: Path | None, sizes: Sequence[int], rounds: int = 5) -> None:
    """Print where the time goes for the pictures of a folder of classes; beside another checkout, `rounds` times in
    turn, and for made sets of `sizes` once."""
    here, load = Path.cwd(), [os.getloadavg()[0]]
    with TemporaryDirectory(prefix="spotter-bench-") as temporary:
        work = Path(temporary)
        if baseline is None:
            fresh, more = train_twice(here, pictures, work / "set")
            print_stages("A fresh set", fresh)
            print_stages(f"{MORE} more pictures", more)
            app = Side(here, work / "set" / "store", work / "compiled")
            # The first start also compiles: three quarters of its time.
            start_watched(app)
            print_stages("Start of the app", start_watched(app))
        else:
            compare(pictures, baseline.resolve(), sizes, rounds, work)
        load.append(os.getloadavg()[0])
    print(f"load of the machine: {min(load):.1f} to {max(load):.1f}" + (BUSY if max(load) > BUSY_LOAD else ""))


def compare(pictures: Path, baseline: Path, sizes: Sequence[int], rounds: int, work: Path) -> None:
    """Measure both checkouts in turn and print the tables."""
    sides = {"baseline": baseline, "here": Path.cwd()}
    found: dict[str, dict[str, list[Run]]] = {}

    def add(title: str, side: str, run: Run) -> None:
        found.setdefault(title, {}).setdefault(side, []).append(run)
        print(f"  {side}: {title}: {run.wall:.1f} s, {run.cpu:.1f} s of the processor", flush=True)

    for _ in range(rounds):
        for side, checkout in sides.items():
            shutil.rmtree(work / "set", ignore_errors=True)
            fresh, more = train_twice(checkout, pictures, work / "set")
            add("fresh set", side, fresh)
            add(f"{MORE} more pictures", side, more)
            add("drawn bears to a served page", side, train_and_serve(checkout, work / "drawn"))
        shutil.rmtree(work / "set", ignore_errors=True)
        add("fresh set, --no-shifts here", "here", train_twice(sides["here"], pictures, work / "set", "--no-shifts")[0])
    found["fresh set, --no-shifts here"]["baseline"] = found["fresh set"]["baseline"]
    for size in sizes:
        made = work / f"made-{size}"
        make_set(pictures, made, size)
        for side, checkout in sides.items():
            shutil.rmtree(work / "set", ignore_errors=True)
            add(f"{size} made pictures", side, train_twice(checkout, made, work / "set")[0])
    print("\n| | Baseline | Here | Ratio | Memory (MB) |\n|---|---|---|---|---|")
    for title, runs in found.items():
        before, after = (statistics.median(run.wall for run in runs[side]) for side in sides)
        memory = ", ".join(f"{statistics.median(run.memory for run in runs[side]):.0f}" for side in sides)
        print(f"| {title} (s) | {before:.1f} | {after:.1f} | {after / before:.2f} | {memory} |")
    for side in sides:
        print_stages(f"A fresh set, {side}", found["fresh set"][side][-1])


def train_twice(checkout: Path, pictures: Path, work: Path, *more: str) -> tuple[Run, Run]:
    """Train on all but a few pictures of a folder of classes, and again with these."""
    paths = sorted(path for path in pictures.glob("*/*") if path.is_file())
    last = set(paths[:: max(1, len(paths) // MORE)][:MORE])
    classes = sorted({path.parent.name for path in paths})
    words = [word for label in classes for word in ("--class", label)]
    words += ["--search", f"folder:{work / 'pictures'}", "--to", str(work / "store"), "--data", str(work / "data")]
    runs = []
    for some in (set(paths) - last, last):
        for path in some:
            place = work / "pictures" / path.parent.name / path.name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
        runs.append(run_watched([_python(checkout), "train.py", *words, *more], checkout))
    return runs[0], runs[1]


def train_and_serve(checkout: Path, work: Path) -> Run:
    """What `scripts/quickstart` does without internet once all is set up, until the page is there."""
    shutil.rmtree(work, ignore_errors=True)
    store = work / "store"
    where = ["--to", store, "--data", work / "data"]
    trained = run_watched([_python(checkout), "train.py", "recipes/bears.toml", "--search", "sample", *where], checkout)
    served = start_watched(Side(checkout, store, work / "compiled"))
    return Run(
        trained.wall + served.wall,
        trained.cpu + served.cpu,
        max(trained.memory, served.memory),
        (*trained.stages, *served.stages),
    )


def start_watched(side: Side) -> Run:
    """Start an app, and measure it until its page is there."""
    with started(side) as (process, url, begun), httpx.Client(timeout=PATIENCE_S) as client:
        watch = Watch(process.pid)
        looking = threading.Thread(target=watch.run)
        looking.start()
        marks = [(begun, 0.0)]
        wait_for_address(process)
        marks.append((time.perf_counter(), watch.cpu()))
        client.get(f"{url}/").raise_for_status()
        marks.append((time.perf_counter(), watch.cpu()))
        watch.stop()
        looking.join()
    titles = ("until the address is printed", "until the page is there")
    stages = tuple(
        Stage(title, end[0] - start[0], end[1] - start[1])
        for title, (start, end) in zip(titles, itertools.pairwise(marks), strict=True)
    )
    return Run(marks[-1][0] - begun, marks[-1][1], watch.memory, stages)


def print_stages(title: str, run: Run) -> None:
    """Print a table of the stages of a run."""
    rest = Stage(
        REST, run.wall - sum(stage.wall for stage in run.stages), run.cpu - sum(stage.cpu for stage in run.stages)
    )
    print(f"\n| {title} | Seconds | Of the processor | Busy cores |\n|---|---|---|---|")
    for stage in (*run.stages, rest, Stage("all", run.wall, run.cpu)):
        print(f"| {stage.title} | {stage.wall:.2f} | {stage.cpu:.2f} | {stage.cpu / max(stage.wall, 0.01):.1f} |")
    print(f"| peak memory (MB) | {run.memory:.0f} | | |\n", flush=True)


def _python(checkout: Path) -> str:
    own = checkout / ".venv/bin/python"
    return str(own) if own.exists() else sys.executable
