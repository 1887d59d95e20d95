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
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
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
answer = {"a": 0.7, "b": 0.2, "c": 0.1}
gr.Interface(fn=lambda img: answer, inputs=gr.Image(), outputs=gr.Label(num_top_classes=3)).launch(
    server_port=int(sys.argv[1]))
"""

TUTORIAL_MANY = """
import json, resource, sys, time, warnings
from fastai.vision.all import *
warnings.simplefilter("ignore")
learn = load_learner(sys.argv[1])
paths = sorted(get_image_files(sys.argv[2]))
learn.get_preds(dl=learn.dls.test_dl(paths[:64], num_workers=0))
started = time.perf_counter()
learn.get_preds(dl=learn.dls.test_dl(paths))
seconds = time.perf_counter() - started
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print("RESULT", json.dumps([len(paths) / seconds, memory]))
"""

SPOTTER_MANY = """
import json, resource, sys, time
from pathlib import Path
from spotter import Predictor
predictor = Predictor.load(sys.argv[1])
paths = sorted(Path(sys.argv[2]).iterdir())
predictor.predict_many(paths[:64])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
started = time.perf_counter()
answers = predictor.predict_many(paths)
seconds = time.perf_counter() - started
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print("RESULT", json.dumps([len(paths) / seconds, memory, memory - before]))
"""

# One Gradio client in a process of its own; prints how long each call took.
GRADIO_CLIENT = """
import json, sys, time
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
url, picture, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
client = Client(url, verbose=False, analytics_enabled=False)
client.predict(handle_file(picture), api_name="/predict")
print("READY", flush=True)
sys.stdin.readline()
spans, failed = [], 0
for _ in range(count):
    started = time.perf_counter()
    try:
        client.predict(handle_file(picture), api_name="/predict")
    except Exception:
        failed += 1
    spans.append(time.perf_counter() - started)
print("RESULT", json.dumps([spans, failed]))
"""


@dataclass(frozen=True)
class Calls:
    """What became of calls: how long each took in seconds, how many failed, how many a second there were."""

    spans: list[float]
    failed: int
    per_second: float

    @property
    def median_ms(self) -> float:
        return 1000 * statistics.median(self.spans)


@contextmanager
def app_running(command: Sequence[object], url: str, **environment: str) -> Iterator[subprocess.Popen]:
    """Start an app and wait until it answers."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([str(word) for word in command], env=os.environ | environment, **quiet)
    try:
        deadline = time.monotonic() + 90
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


def call_through_gradio(url: str, picture: Path, clients: int, calls: int) -> Calls:
    """Call `/predict` from so many clients at once, each so many times."""
    command = [sys.executable, "-c", GRADIO_CLIENT, url, str(picture), str(calls)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    processes = [subprocess.Popen(command, **pipes) for _ in range(clients)]
    for process in processes:
        process.stdout.readline()
    started = time.perf_counter()
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    spans, failed = [], 0
    for process in processes:
        output = process.stdout.read()
        own, lost = json.loads(output.rpartition("RESULT")[2])
        spans += own
        failed += lost
    seconds = time.perf_counter() - started
    return Calls(spans, failed, (len(spans) - failed) / seconds)


def call_plain(url: str, picture: Path, clients: int, calls: int) -> Calls:
    """Post a picture to `/api/classify` from so many threads at once."""
    content = picture.read_bytes()

    def post_all(_: int) -> tuple[list[float], int]:
        spans, failed = [], 0
        with httpx.Client(timeout=60) as client:
            client.post(f"{url}/api/classify", content=content)
            for _ in range(calls):
                started = time.perf_counter()
                failed += client.post(f"{url}/api/classify", content=content).status_code != 200
                spans.append(time.perf_counter() - started)
        return spans, failed

    with ThreadPoolExecutor(clients) as pool:
        started = time.perf_counter()
        results = list(pool.map(post_all, range(clients)))
        seconds = time.perf_counter() - started
    spans = [span for own, _ in results for span in own]
    failed = sum(lost for _, lost in results)
    return Calls(spans, failed, (len(spans) - failed) / seconds)


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
        with TemporaryDirectory(prefix="spotter-bench-") as folder, httpx.Client(timeout=60) as client:
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
    except (httpx.TransportError, ValueError, OSError) as error:
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


def print_soak(store: Path, picture_folder: Path, requests: int, port: int) -> None:
    """Put the app under long fire and print what it did."""
    pictures = [path.read_bytes() for path in sorted(picture_folder.rglob("*.jpg"))[:200]]
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "app.py", "--model", store, "--port", port]
    with (
        TemporaryDirectory(prefix="spotter-bench-") as temporary,
        app_running(command, url, TMPDIR=temporary) as process,
    ):
        started = time.perf_counter()
        found = soak(url, process.pid, Path(temporary), pictures, requests)
        seconds = time.perf_counter() - started
    print(f"\n{requests} requests in {seconds:.0f} s, {requests / seconds:.0f} a second, lost: {found.lost}")
    print("p50 {:.0f} ms, p99 {:.0f} ms, longest {:.0f} ms".format(*map(found.percentile_ms, (0.5, 0.99, 1.0))))
    print(", ".join(f"{outcome}: {count}" for outcome, count in sorted(found.outcomes.items())))
    print("\n| Requests | Memory (MB) | Uploads on disk (MB) |\n|---|---|---|")
    for number, memory, stored in found.samples:
        print(f"| {number} | {memory:.0f} | {stored:.1f} |")


def _many_pixels() -> bytes:
    buffer = io.BytesIO()
    Image.new("1", (9000, 9000)).save(buffer, "PNG")
    return buffer.getvalue()
