"""The app's start, memory, idle work and answers a second, beside those of another checkout of Spotter.

Both sides run in turn, with the same model; ratios are what to compare.
"""

import os
import secrets
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import numpy as np
from bench_serving import CLIENT, Caller, in_rounds, memory_mb
from PIL import Image

# A visitor's program that is ready before the app is, so that its own imports are not counted.
FIRST_PREDICT = """
import sys, time
from gradio_client import Client, handle_file
print("READY", flush=True)
url = sys.stdin.readline().strip()
Client(url, verbose=False, analytics_enabled=False).predict(handle_file(sys.argv[1]), api_name="/predict")
print("RESULT", time.perf_counter(), flush=True)
"""
PATIENCE_S, LOOK_S = 90, 0.01
CALM_S, IDLE_S = 3, 10
BUSY_LOAD = 2.5
BUSY = " (busy: the times are worth little)"


@dataclass(frozen=True)
class Side:
    """A checkout of Spotter, the model it serves, and where Python keeps what it has compiled."""

    folder: Path
    store: Path
    cache: Path

    def command(self, port: int, *more: object) -> list[str]:
        own = self.folder / ".venv/bin/python"
        python = own if own.exists() else sys.executable
        return [*map(str, (python, "app.py", "--model", self.store, "--port", port, *more))]


@contextmanager
def started(side: Side, *more: object) -> Iterator[tuple[subprocess.Popen, str, float]]:
    """Start an app; gives its process, what its address will be, and when it was started."""
    port = free_port()
    environment = os.environ | {"PYTHONPATH": str(side.folder), "PYTHONPYCACHEPREFIX": str(side.cache)}
    # As where it is installed: compiled once.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    begun = time.perf_counter()
    process = subprocess.Popen(
        side.command(port, *more),
        cwd=side.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )
    try:
        yield process, f"http://127.0.0.1:{port}", begun
    finally:
        process.terminate()
        process.wait()


def wait_for_address(process: subprocess.Popen) -> None:
    """Wait until an app prints its address: it has all, and is asked by whoever reads that."""
    if process.stdout is None or not process.stdout.readline():
        sys.exit("bench: an app printed no address")


def first_by_api(side: Side, picture: Path, *more: object) -> tuple[float, float]:
    """Seconds from process start to the first answer of `POST /api/classify`, and the memory then, in MB."""
    content = picture.read_bytes()
    with started(side, *more) as (process, url, begun), httpx.Client(timeout=PATIENCE_S) as client:
        _first(lambda: client.post(f"{url}/api/classify", content=content))
        return time.perf_counter() - begun, memory_mb(process.pid)


def first_by_gradio(side: Side, picture: Path) -> tuple[float, float]:
    """Seconds from process start to the first answer of `/predict` to a Gradio client, and the memory then, in MB."""
    command = [sys.executable, "-c", FIRST_PREDICT, str(picture)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as visitor:
        visitor.stdout.readline()
        with started(side) as (process, url, begun):
            wait_for_address(process)
            visitor.stdin.write(f"{url}\n")
            visitor.stdin.flush()
            told = visitor.stdout.readline().split()
            if not told:
                sys.exit(f"bench: {side.folder} gave no answer to a Gradio client")
            # The clock is the system's, the same in both processes.
            return float(told[1]) - begun, memory_mb(process.pid)


def _first(ask: Callable[[], httpx.Response]) -> None:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        try:
            if ask().status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(LOOK_S)
    sys.exit("bench: an app gave no answer")


def idle_share(side: Side) -> float:
    """The share of a core that an app takes that nobody has opened, in per cent."""
    with started(side) as (process, _, _):
        wait_for_address(process)
        time.sleep(CALM_S)
        before = _busy_s(process.pid)
        time.sleep(IDLE_S)
        return 100 * (_busy_s(process.pid) - before) / IDLE_S


def _busy_s(pid: int) -> float:
    spans = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, spans)) / os.sysconf("SC_CLK_TCK")


def answers_a_second(sides: dict[str, Side], picture: Path, rounds: int) -> dict[str, float]:
    """What eight clients of `POST /api/classify` get from each, in turn."""
    with ExitStack() as stack:
        callers: dict[str, list[Caller]] = {}
        for name, side in sides.items():
            process, url, _ = stack.enter_context(started(side))
            wait_for_address(process)
            callers[name] = [Caller(CLIENT, "plain", url, picture) for _ in range(8)]
            for caller in callers[name]:
                stack.callback(caller.close)
        found = in_rounds(callers, 25, rounds)
    print("failed of 8 clients' calls: " + ", ".join(f"{name} {rounds.failed}" for name, rounds in found.items()))
    return {name: rounds.rate for name, rounds in found.items()}


def print_start(store: Path, baseline: Path, rounds: int = 5) -> None:
    """Measure both checkouts in turn and print the table."""
    with TemporaryDirectory(prefix="spotter-bench-") as temporary:
        work = Path(temporary)
        folders = {"baseline": baseline.resolve(), "here": Path.cwd()}
        sides = {name: Side(folder, store.resolve(), work / "compiled") for name, folder in folders.items()}
        picture = _write_photo(work / "photo.jpg")
        for side in sides.values():
            first_by_gradio(side, picture)
        load = [os.getloadavg()[0]]
        found: dict[str, list[tuple[float, ...]]] = {}
        for _ in range(rounds):
            for name, side in sides.items():
                found.setdefault(f"api {name}", []).append(first_by_api(side, picture))
                found.setdefault(f"predict {name}", []).append(first_by_gradio(side, picture))
                found.setdefault(f"idle {name}", []).append((idle_share(side),))
            found.setdefault("bare here", []).append(first_by_api(sides["here"], picture, "--no-page"))
            load.append(os.getloadavg()[0])
        rates = answers_a_second(sides, picture, 2 * rounds)
    print(f"load of the machine: {min(load):.1f} to {max(load):.1f}" + (BUSY if max(load) > BUSY_LOAD else ""))

    def row(title: str, kind: str, figure: int = 0, bare: str = "", digits: int = 2) -> str:
        columns = (f"{kind} baseline", bare or f"{kind} here")
        before, after = (statistics.median(each[figure] for each in found[column]) for column in columns)
        return f"| {title} | {before:.{digits}f} | {after:.{digits}f} | {after / before:.2f} |"

    print("\n| | Baseline | Here | Ratio |\n|---|---|---|---|")
    print(row("Process start to the first answer of `POST /api/classify` (s)", "api"))
    print(row("Process start to the first answer of `/predict` (s)", "predict"))
    print(row("Memory after it (MB)", "predict", 1, digits=0))
    print(row("`--no-page`, beside the app with a page: start to the first answer (s)", "api", bare="bare here"))
    print(row("`--no-page`: memory after it (MB)", "predict", 1, "bare here", 0))
    print(row("Nobody there: per cent of a core", "idle"))
    faster = rates["here"] / rates["baseline"]
    print(f"| 8 clients at once (answers a second) | {rates['baseline']:.1f} | {rates['here']:.1f} | {faster:.2f} |")


def free_port() -> int:
    """A port that nobody listens on, below those that systems give to whoever asks for any."""
    while True:
        port = 10_000 + secrets.randbelow(10_000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port


def _write_photo(path: Path) -> Path:
    """A JPEG of 1600 x 1200 pixels, with about as much detail as a photo."""
    coarse = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    photo = np.asarray(Image.fromarray(coarse).resize((1600, 1200), Image.Resampling.BICUBIC), dtype=np.int16)
    noise = np.random.default_rng(1).normal(0, 4, photo.shape)
    Image.fromarray((photo + noise).clip(0, 255).astype(np.uint8)).save(path, quality=85)
    return path
