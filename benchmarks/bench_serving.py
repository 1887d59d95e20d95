"""Serving, measured: the app against the tutorial's app and an app that does nothing; and under long fire (`--soak`).

Clients run in processes of their own, as they do in life. Sides are measured in turn, and ratios are what to compare.
"""

import io
import json
import os
import re
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

EMPTY_APP = """
import sys
import gradio as gr
def predict(img):
    return {"a": 0.7, "b": 0.2, "c": 0.1}
gr.Interface(fn=predict, inputs=gr.Image(), outputs=gr.Label(num_top_classes=3)).launch(server_port=int(sys.argv[1]))
"""

TUTORIAL_MANY = """
import json, sys, time, warnings
from fastai.vision.all import *
warnings.simplefilter("ignore")
learn = load_learner(sys.argv[1])
paths = sorted(get_image_files(sys.argv[2]))
learn.get_preds(dl=learn.dls.test_dl(paths[:64], num_workers=0))
started = time.perf_counter()
learn.get_preds(dl=learn.dls.test_dl(paths))
print("RESULT", json.dumps([len(paths) / (time.perf_counter() - started)]))
"""

SPOTTER_MANY = """
import json, resource, sys, time
from pathlib import Path
from spotter import Predictor
predictor = Predictor.load(sys.argv[1])
paths = sorted(Path(sys.argv[2]).iterdir())
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
predictor.predict_many(paths[:100])
before, busy, started = peak(), time.process_time(), time.perf_counter()
predictor.predict_many(paths)
seconds = time.perf_counter() - started
print("RESULT", json.dumps([len(paths) / seconds, peak() - before, (time.process_time() - busy) / seconds]))
"""

SPOTTER_PREDICT = """
import json, statistics, sys, time
from spotter import Predictor
predictor = Predictor.load(sys.argv[1])
content = open(sys.argv[2], "rb").read()
predictor.predict(content)
print("READY", flush=True)
for line in sys.stdin:
    spans = []
    for _ in range(int(line)):
        started = time.perf_counter()
        predictor.predict(content)
        spans.append(time.perf_counter() - started)
    print("RESULT", json.dumps([spans, 0]), flush=True)
"""

# A client in a process of its own. Told a number, it calls so often and says how long each call took.
CLIENT = """
import json, sys, time
import httpx
from gradio_client import Client, handle_file
kind, url, picture = sys.argv[1:]
content = open(picture, "rb").read()
if kind == "gradio":
    client = Client(url, verbose=False, analytics_enabled=False)
    def call():
        return "label" in client.predict(handle_file(picture), api_name="/predict")
else:
    plain = httpx.Client(timeout=60)
    def call():
        return plain.post(f"{url}/api/classify", content=content).status_code == 200
call()
print("READY", flush=True)
for line in sys.stdin:
    spans, failed = [], 0
    for _ in range(int(line)):
        started = time.perf_counter()
        try:
            failed += not call()
        except Exception:
            failed += 1
        spans.append(time.perf_counter() - started)
    print("RESULT", json.dumps([spans, failed]), flush=True)
"""


class Caller:
    """A process that calls when told to."""

    def __init__(self, code: str, *arguments: object) -> None:
        command = [sys.executable, "-c", code, *map(str, arguments)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._read("READY")

    def begin(self, calls: int) -> None:
        self._process.stdin.write(f"{calls}\n")
        self._process.stdin.flush()

    def finish(self) -> tuple[list[float], int]:
        """The seconds of each call, and how many failed."""
        return json.loads(self._read("RESULT"))

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()

    def _read(self, word: str) -> str:
        for line in self._process.stdout:
            if line.startswith(word):
                return line.removeprefix(word)
        sys.exit("bench: a client ended before it was done")


@dataclass
class Rounds:
    """Several rounds of calls of one kind: seconds of each call, calls a second of each round, and failures."""

    spans: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    failed: int = 0

    @property
    def median_ms(self) -> float:
        return 1000 * statistics.median(self.spans)

    @property
    def rate(self) -> float:
        return statistics.median(self.rates)


@contextmanager
def app_running(command: Sequence[object], url: str, **environment: str) -> Iterator[subprocess.Popen]:
    """Start an app and wait until it answers."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([str(word) for word in command], env=os.environ | environment, **quiet)
    try:
        deadline = time.monotonic() + 300
        while True:
            try:
                httpx.get(f"{url}/config", timeout=5)
                break
            except httpx.TransportError:
                if process.poll() is not None or time.monotonic() > deadline:
                    sys.exit(f"bench: {command[1]} does not answer at {url}")
                time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        process.wait()


def in_rounds(callers: dict[str, list[Caller]], calls: int, rounds: int) -> dict[str, Rounds]:
    """Let groups of callers call in turn, `calls` times each a round, those of a group at once."""
    found = {name: Rounds() for name in callers}
    for _ in range(rounds):
        for name, group in callers.items():
            started = time.perf_counter()
            for caller in group:
                caller.begin(calls)
            for caller in group:
                spans, failed = caller.finish()
                found[name].spans += spans
                found[name].failed += failed
            found[name].rates.append(len(group) * calls / (time.perf_counter() - started))
    return found


def compare_serving(tutorial_app: str, work: Path, picture: Path, ports: Sequence[int]) -> list[str]:
    """Measure answers through the Gradio client and over plain HTTP, from one client and from eight at once."""
    urls = dict(zip(("tutorial", "empty", "spotter"), (f"http://127.0.0.1:{port}" for port in ports), strict=True))
    commands = {
        "tutorial": [sys.executable, "-c", tutorial_app, work / "tutorial" / "export.pkl", ports[0]],
        "empty": [sys.executable, "-c", EMPTY_APP, ports[1]],
        "spotter": [sys.executable, "app.py", "--model", work / "store", "--port", ports[2]],
    }
    with ExitStack() as stack:
        for name, command in commands.items():
            stack.enter_context(app_running(command, urls[name]))

        def clients(kind: str, name: str, count: int) -> list[Caller]:
            return [caller(CLIENT, kind, urls[name], picture) for _ in range(count)]

        def caller(*arguments: object) -> Caller:
            made = Caller(*arguments)
            stack.callback(made.close)
            return made

        gradio = {name: clients("gradio", name, 8) for name in urls}
        plain = clients("plain", "spotter", 8)
        alone = {name: group[:1] for name, group in gradio.items()}
        alone |= {"plain": plain[:1], "predict": [caller(SPOTTER_PREDICT, work / "store", picture)]}
        one = in_rounds(alone, 8, 6)
        eight = in_rounds(gradio | {"plain": plain}, 6, 4)
    failed = {name: found.failed for name, found in eight.items()}
    print(f"\nfailed of 8 clients' calls: {failed}")
    print("medians (ms): " + ", ".join(f"{name} {found.median_ms:.1f}" for name, found in one.items()))
    print("8 clients (a second): " + ", ".join(f"{name} {found.rate:.1f}" for name, found in eight.items()))
    return [
        row("`/predict` through the Gradio client (ms)", one["tutorial"].median_ms, one["spotter"].median_ms),
        row("the same, of an empty Gradio app (ms)", one["empty"].median_ms, one["spotter"].median_ms),
        row("Its API, ours `POST /api/classify` (ms)", one["tutorial"].median_ms, one["plain"].median_ms),
        row("`POST /api/classify` and `Predictor.predict` (ms)", one["predict"].median_ms, one["plain"].median_ms),
        row("8 Gradio clients at once (answers a second)", eight["tutorial"].rate, eight["spotter"].rate, more=True),
        row(
            "8 clients, here by `POST /api/classify` (a second)", eight["tutorial"].rate, eight["plain"].rate, more=True
        ),
    ]


def compare_many(work: Path, pictures: Sequence[Path], count: int = 1000, rounds: int = 1) -> list[str]:
    """Classify many photos: `learn.get_preds` and `Predictor.predict_many`, in turn."""
    folder = work / "many"
    if not folder.exists():
        folder.mkdir()
        for number in range(count):
            (folder / f"{number:05}.jpg").symlink_to(pictures[number % len(pictures)])
    tutorial, spotter = [], []
    for _ in range(rounds):
        tutorial.append(_result(TUTORIAL_MANY, work / "tutorial" / "export.pkl", folder)[0])
        spotter.append(_result(SPOTTER_MANY, work / "store", folder))
    rate, growth, cores = (statistics.median(column) for column in zip(*spotter, strict=True))
    print(f"\npredict_many: {cores:.2f} cores busy, memory grew by {growth:.0f} MB between 100 and {count} photos")
    return [row(f"{count} photos (a second)", statistics.median(tutorial), rate, more=True)]


def _result(code: str, *arguments: object) -> list[float]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(finished.stdout.rpartition("RESULT")[2])


def row(title: str, tutorial: float, spotter: float, *, more: bool = False) -> str:
    """One line of the table; `more` where more is better."""
    ratio = spotter / tutorial if more else tutorial / spotter
    return f"| {title} | {tutorial:.1f} | {spotter:.1f} | {ratio:.{1 if ratio >= 10 else 2}f} x |"


@dataclass
class Soak:
    """What long fire did to an app: outcomes, seconds a request, and on the way (requests, memory, disk) in MB."""

    outcomes: Counter[str] = field(default_factory=Counter)
    spans: list[float] = field(default_factory=list)
    lost: int = 0
    samples: list[tuple[int, float, float]] = field(default_factory=list)

    def percentile_ms(self, share: float) -> float:
        return 1000 * sorted(self.spans)[min(len(self.spans) - 1, int(share * len(self.spans)))]


# What is wrong with one request of a hundred.
BAD: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda good: good[: len(good) // 2],
    "page": lambda good: b"<!doctype html>" + bytes(1000),
    "empty": lambda good: b"",
    "pixels": lambda good: _many_pixels(),
    "large": lambda good: bytes(16_000_000),
}


def soak(
    url: str, pid: int, disk: Path, pictures: Sequence[bytes], requests: int, threads: int = 4, samples: int = 20
) -> Soak:
    """Ask an app so many times, one in a hundred badly, one in twenty through Gradio; look at its memory and disk.

    A request is lost when a good picture gets no answer, or a bad one is not refused.
    """
    found, lock, numbers = Soak(), threading.Lock(), iter(range(requests))
    every = max(1, requests // samples)

    def work() -> None:
        with TemporaryDirectory(prefix="spotter-bench-") as folder, httpx.Client(timeout=300) as client:
            gradio = Client(url, verbose=False, analytics_enabled=False)
            while True:
                with lock:
                    number = next(numbers, None)
                    if number is None:
                        return
                    if number % every == 0:
                        found.samples.append((number, memory_mb(pid), disk_mb(disk)))
                kind = list(BAD)[number // 100 % len(BAD)] if number % 100 == 50 else "good"
                content = BAD.get(kind, bytes)(pictures[number % len(pictures)])
                started = time.perf_counter()
                if number % 20 == 13 or number % 300 == 150:
                    outcome = _ask_gradio(gradio, Path(folder) / f"{number}.jpg", content)
                else:
                    outcome = _ask_plain(client, url, content)
                span = time.perf_counter() - started
                with lock:
                    found.outcomes[f"{kind} {outcome}"] += 1
                    found.spans.append(span)
                    found.lost += outcome != ("answered" if kind == "good" else "refused")

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    found.samples.append((requests, memory_mb(pid), disk_mb(disk)))
    return found


def memory_after_large_mb(url: str, pid: int, pictures: int = 32, at_once: int = 8) -> tuple[float, float, int]:
    """Ask about pictures as large as an app takes, transparent ones that cost most, so many at once.

    Returns:
        The memory before and after them in MB, and how many were not answered.
    """
    buffer = io.BytesIO()
    Image.new("RGBA", (7000, 7000), (200, 60, 30, 128)).save(buffer, "PNG")
    before = memory_mb(pid)
    with ThreadPoolExecutor(at_once) as pool, httpx.Client(timeout=300) as client:
        outcomes = list(pool.map(lambda _: _ask_plain(client, url, buffer.getvalue()), range(pictures)))
    return before, memory_mb(pid), len(outcomes) - outcomes.count("answered")


def _ask_plain(client: httpx.Client, url: str, content: bytes) -> str:
    try:
        status = client.post(f"{url}/api/classify", content=content).status_code
    except httpx.TransportError as error:
        return type(error).__name__
    return {200: "answered", 400: "refused", 413: "refused", 415: "refused"}.get(status, str(status))


def _ask_gradio(client: Client, path: Path, content: bytes) -> str:
    path.write_bytes(content)
    try:
        answer = client.predict(handle_file(str(path)), api_name="/classify")
        return "answered" if "probabilities" in answer else "nonsense"
    except AppError:
        return "refused"
    except httpx.HTTPStatusError as error:
        return "refused" if error.response.status_code == 413 else str(error.response.status_code)
    except ValueError as error:
        # The client itself knows the limit of uploads.
        return "refused" if "exceeds the maximum file size" in str(error) else type(error).__name__
    except (httpx.TransportError, CancelledError, OSError) as error:
        return type(error).__name__
    finally:
        path.unlink()


def memory_mb(pid: int) -> float:
    """The resident memory of a process."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else float("nan")


def disk_mb(folder: Path) -> float:
    """What the files below a folder take."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue
    return total / 1e6


def print_soak(store: Path, paths: Sequence[Path], requests: int, port: int) -> None:
    """Put the app under long fire and print what it did."""
    pictures = [path.read_bytes() for path in paths[:200]]
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "app.py", "--model", store, "--port", port]
    with (
        TemporaryDirectory(prefix="spotter-bench-") as temporary,
        app_running(command, url, TMPDIR=temporary) as process,
    ):
        started = time.perf_counter()
        found = soak(url, process.pid, Path(temporary), pictures, requests)
        seconds = time.perf_counter() - started
        before, after, unanswered = memory_after_large_mb(url, process.pid)
    print(f"\n{requests} requests in {seconds:.0f} s, {requests / seconds:.0f} a second, lost: {found.lost}")
    print("p50 {:.0f} ms, p99 {:.0f} ms, longest {:.0f} ms".format(*map(found.percentile_ms, (0.5, 0.99, 1.0))))
    print(", ".join(f"{outcome}: {count}" for outcome, count in sorted(found.outcomes.items())))
    print("\n| Requests | Memory (MB) | Uploads on disk (MB) |\n|---|---|---|")
    for number, memory, stored in found.samples:
        print(f"| {number} | {memory:.0f} | {stored:.1f} |")
    print(
        f"\n32 transparent pictures of 7000 x 7000 pixels, eight at once: {unanswered} not answered, memory "
        f"{before:.0f} MB before, {after:.0f} MB after ({after / before:.2f} times)"
    )


def _many_pixels() -> bytes:
    buffer = io.BytesIO()
    Image.new("1", (9000, 9000)).save(buffer, "PNG")
    return buffer.getvalue()
