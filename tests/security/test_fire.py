"""The app under fire: the rows of the threat table that concern it, against a running app, by every way in.

The builders of hostile pictures are those that collecting is tested with; there, the function that decodes is looked at
alone.
"""

import base64
import functools
import io
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from gradio_client.utils import QueueError
from PIL import Image
from starlette.datastructures import Headers

from spotter.config import ServeConfig
from spotter.inference.prediction import Prediction
from spotter.inference.predictor import Predictor
from spotter.serve.app import create_app
from spotter.serve.limits import Buckets, client_name
from spotter.serve.service import AT_ONCE, ModelInfo, Predict
from spotter.serve.uploads import remove_old_files
from tests.conftest import ROOT, Published, Revision
from tests.helpers.drawing import draw, turned
from tests.helpers.hostile import MB, MODES, jpeg, memory_below, obscure, pixel_bomb, png_damaged_at, tell_tale, zipped
from tests.helpers.patience import at_some_pace, wait_until
from tests.helpers.pictures import BLUE, LABELS, encode, plain, predict_by_color, serving
from tests.helpers.ports import free_port

sys.path.insert(0, str(ROOT / "benchmarks"))
import bench_serving

INFO = ModelInfo("Which bear is this?", LABELS, "r-1", threshold=0.5)
PICTURE = encode(plain(BLUE), "JPEG")
WAYS = ("raw", "form", "data URL", "batch", "/predict", "/classify")
LEAKS = re.compile(r"Traceback|File \"|/home/|/root|/usr/|/work|site-packages|hf_[A-Za-z0-9]|Error\b.*line \d")


class Looks:
    """A stand-in for the model that keeps what it was shown; it may be held up."""

    def __init__(self) -> None:
        self.seen: list[Image.Image] = []
        self._free = threading.Event()
        self._free.set()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nothing is answered in here."""
        self._free.clear()
        try:
            yield
        finally:
            self._free.set()

    def __call__(self, picture: Image.Image) -> Prediction:
        self._free.wait()
        self.seen.append(picture)
        if picture.size == (13, 13):
            raise RuntimeError(f"{os.environ['HOME']} hf_abcdef /secret/place")
        return predict_by_color(picture)


@contextmanager
def environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    yield
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value


class Running:
    """An app that is being served, and the ways to ask it about a picture."""

    def __init__(self, url: str, model: Looks, uploads: Path) -> None:
        self.url, self.model, self.uploads = url, model, uploads
        self.client = Client(url, verbose=False, analytics_enabled=False)

    def ask(self, way: str, content: bytes, folder: Path) -> tuple[bool, str]:
        """Whether there was an answer, and its label or the sentence that says why not."""
        if way.startswith("/"):
            path = folder / "picture.jpg"
            path.write_bytes(content)
            try:
                return True, self.client.predict(handle_file(str(path)), api_name=way)["label"]
            except AppError as error:
                return False, str(error)
        response = httpx.post(**self.request(way, content))
        answer = response.json()
        if way == "batch" and response.status_code == 200:
            (answer,) = answer["results"]
        assert response.status_code < 500, response.text
        return "label" in answer, answer.get("label") or answer["error"]

    def request(self, way: str, content: bytes) -> dict[str, Any]:
        url = f"{self.url}/api/classify"
        if way == "form":
            return {"url": url, "files": {"file": ("a.jpg", content)}}
        if way == "data URL":
            return {"url": url, "json": {"image": f"data:image/jpeg;base64,{base64.b64encode(content).decode()}"}}
        if way == "batch":
            return {"url": f"{url}/batch", "files": {"files": ("a.jpg", content)}}
        return {"url": url, "content": content}


@contextmanager
def running(folder: Path, config: ServeConfig | None = None, predict: Predict | None = None) -> Iterator[Running]:
    model = Looks()
    with environment(GRADIO_TEMP_DIR=str(folder)):
        app = create_app(predict or model, INFO, config or ServeConfig())
        with serving(app) as url:
            yield Running(url, model, folder)


@contextmanager
def sending(app: Running, path: str, kind: str, length: int | None, body: bytes = b"") -> Iterator[socket.socket]:
    """A connection on which a request has begun; without a length it comes in chunks."""
    host, port = app.url.removeprefix("http://").split(":")
    how = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    with socket.create_connection((host, int(port)), timeout=120) as connection:
        connection.sendall(
            f"POST {path} HTTP/1.1\r\nHost: app\r\nContent-Type: {kind}\r\n{how}\r\n\r\n".encode() + body
        )
        yield connection


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("uploads")) as found:
        yield found


# Rows 9 to 14: pictures that are none, or too much.


def bomb_behind_a_small_picture() -> bytes:
    small, later = draw("disc", 1).resize((64, 64)), draw("cross", 1).resize((64, 64))
    buffer = io.BytesIO()
    small.save(buffer, "MPO", save_all=True, append_images=[later])
    content = bytearray(buffer.getvalue())
    second = content.index(b"\xff\xd8\xff", content.index(b"\xff\xd9"))
    frame_header = content.index(b"\xff\xc0", second)
    content[frame_header + 5 : frame_header + 9] = (40_000).to_bytes(2) * 2
    return bytes(content)


@pytest.mark.parametrize("way", WAYS)
def test_row_09_only_the_first_picture_of_an_mpo_is_looked_at(app: Running, way: str, tmp_path: Path) -> None:
    content = bomb_behind_a_small_picture()
    with memory_below(100 * MB):
        answered, _ = app.ask(way, content, tmp_path)
    assert answered
    assert app.model.seen[-1].size == (64, 64)


BAD: dict[str, Callable[[], bytes]] = {
    "row 8: PNG of 900 MP": pixel_bomb,
    "row 8: PNG of 64 MP": lambda: pixel_bomb(8000),
    **{f"row 10: {name}": functools.partial(obscure, name) for name in ("EPS", "PSD", "FITS", "WMF", "BLP", "XBM")},
    "row 10: HDF5": lambda: obscure("HDF5"),
    "row 11: page": lambda: b"<!doctype html><script>alert(1)</script>",
    "row 11: SVG": lambda: b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "row 11: zip": zipped,
    "row 13: cut": lambda: jpeg()[: len(jpeg()) // 2],
    "row 13: CRC": lambda: png_damaged_at(b"IDAT", -1),
    "row 13: empty": lambda: b"",
    "row 13: 1x1": lambda: encode(plain(size=(1, 1))),
}


@pytest.mark.parametrize("way", WAYS)
def test_rows_08_to_13_what_is_no_good_picture_is_refused_in_words(app: Running, way: str, tmp_path: Path) -> None:
    seen = len(app.model.seen)
    with memory_below(100 * MB):
        for name, make in BAD.items():
            answered, sentence = app.ask(way, make(), tmp_path)
            assert not answered, name
            assert sentence.endswith("."), (name, sentence)
            assert not LEAKS.search(sentence), sentence
    assert len(app.model.seen) == seen


@pytest.mark.parametrize("way", ["raw", "/predict"])
def test_row_14_every_mode_arrives_as_the_same_rgb(app: Running, way: str, tmp_path: Path) -> None:
    for name, (make, expected, tolerance) in MODES.items():
        assert app.ask(way, make(), tmp_path)[0], name
        shown = app.model.seen[-1]
        assert shown.mode == "RGB"
        difference = np.asarray(shown).astype(int) - np.asarray(expected().convert("RGB"))
        assert np.abs(difference).mean() < tolerance, name


@pytest.mark.parametrize("way", WAYS)
def test_row_15_pictures_arrive_upright(app: Running, way: str, tmp_path: Path) -> None:
    picture = draw("disc", 5)
    for turn in range(1, 9):
        assert app.ask(way, turned(picture, turn), tmp_path)[0]
        assert app.model.seen[-1].tobytes() == picture.tobytes()


def test_row_16_what_a_photo_tells_of_its_owner_stays_in_the_upload(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    content = tell_tale()
    with running(tmp_path / "uploads") as app:
        answers = [app.ask(way, content, tmp_path) for way in WAYS]
        assert all(answered for answered, _ in answers)
        assert all(picture.info == {} and not picture.getexif() for picture in app.model.seen)
        told = httpx.get(f"{app.url}/config").text + httpx.get(f"{app.url}/metrics").text + str(answers)
        assert b"canary" in b"".join(path.read_bytes() for path in app.uploads.rglob("*") if path.is_file())
    assert "canary" not in told + "".join(capfd.readouterr())


# Rows 17 and 18: names and headers with orders in them.

NAMES = ["../../x.jpg", "/etc/x.jpg", "C:\\x.jpg", "a\0b.jpg", "x" * 300 + ".jpg", "..", "a\x1b[31mb.jpg", "=cmd.jpg"]


@pytest.mark.parametrize("name", NAMES)
def test_row_17_the_name_of_an_upload_leads_nowhere(app: Running, name: str, tmp_path: Path) -> None:
    around = set(app.uploads.parent.iterdir())
    boundary = "xyz"
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode()
    body = head + PICTURE + f"\r\n--{boundary}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    for path in ("/gradio_api/upload", "/api/classify", "/api/classify/batch"):
        response = httpx.post(app.url + path, content=body, headers=headers)
        assert response.status_code < 500 or path == "/gradio_api/upload"
        assert "Traceback" not in response.text
        if path == "/gradio_api/upload" and response.status_code == 200:
            assert Path(response.json()[0]).resolve().is_relative_to(app.uploads.resolve())
    assert set(app.uploads.parent.iterdir()) == around
    assert not Path("/etc/x.jpg").exists()


def test_row_18_headers_and_names_cannot_write_into_answers_or_logs(
    app: Running, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    evil = "a\x1b[31m<script>alert(1)</script>"
    with httpx.Client(base_url=app.url) as client:
        told = client.post("/api/classify", content=b"x", headers={"User-Agent": evil, "X-Forwarded-For": evil}).text
        told += client.post("/api/classify", files={"file": (f"{evil}.jpg", b"x")}).text
        told += client.get(f"/api/{'%0d%0aX-Injected:1%1b[31m'}").text
        answer = client.get("/gradio_api/custom_component/%0d%0aforged%1b[31m/client/x/y")
        assert answer.status_code == 403
        assert "x-injected" not in answer.headers
    assert evil not in told
    assert "\x1b" not in told + "".join(capfd.readouterr())


@pytest.mark.parametrize("way", ["/gradio_api/call/predict", "/gradio_api/queue/join", "/gradio_api/run/predict"])
def test_what_gradio_cannot_make_sense_of_ends_in_an_error(app: Running, way: str) -> None:
    strange = [b"{", b"[" * 50_000, b"\xff", b'{"data": [1]}', b'{"data": [[[[]]]]}']
    strange += [b'{"data": ["data:image/png;base64,AAAA"]}', b'{"data": [null], "fn_index": 99, "session_hash": "s"}']
    for body in strange:
        response = httpx.post(app.url + way, content=body, headers={"Content-Type": "application/json"})
        text = response.text
        if response.status_code == 200:
            job = response.json()["event_id"]
            text = httpx.get(f"{app.url}/gradio_api/call/predict/{job}").text
            assert "event: error" in text
        assert not LEAKS.search(text), text


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("call/nothing", b'{"data": []}', 404, "no such endpoint"),
        ("run/nothing", b'{"data": []}', 404, "no such endpoint"),
        ("run/predict", b'{"secret": "x"}', 422, "not a question"),
        ("queue/join", b"{", 422, "not a question"),
    ],
)
def test_what_gradio_does_not_know_is_told_in_a_sentence(
    app: Running, path: str, body: bytes, status: int, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    url = f"{app.url}/gradio_api/{path}"
    response = httpx.post(url, content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == status
    assert words in response.json()["detail"]
    assert "secret" not in response.text
    assert "Traceback" not in "".join(capfd.readouterr())


# Row 28: too much.


POSTS = {
    "/gradio_api/upload": "multipart/form-data; boundary=x",
    "/gradio_api/queue/join": "application/json",
    "/api/classify": "application/json",
    "/api/classify/batch": "application/json",
}
FORM = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'


@pytest.mark.parametrize("path", POSTS)
def test_row_28_an_upload_above_the_limit_is_refused_before_it_is_read(app: Running, path: str) -> None:
    with sending(app, path, POSTS[path], 200_000_000) as connection:
        assert connection.recv(1000).startswith(b"HTTP/1.1 413")


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One that takes little, and keeps few answers open."""
    config = ServeConfig(max_upload_bytes=300_000, max_batch_bytes=600_000, max_streams=2, behind_proxy=True)
    with running(tmp_path_factory.mktemp("strict"), config) as found:
        yield found


@pytest.mark.parametrize("path", POSTS)
def test_row_28_a_body_of_unknown_length_is_cut_off(strict: Running, path: str) -> None:
    chunk = b"%x\r\n%s\r\n" % (100_000, b" " * 100_000)
    first = b"%x\r\n%s\r\n" % (len(FORM), FORM) if "upload" in path else b""
    with sending(strict, path, POSTS[path], None, first) as connection:
        for _ in range(14):
            connection.sendall(chunk)
        assert connection.recv(1000).startswith(b"HTTP/1.1 413")
    assert httpx.get(f"{strict.url}/readyz").status_code == 200


def test_row_28_a_question_to_gradio_is_not_a_place_for_pictures(app: Running) -> None:
    url = f"data:image/png;base64,{base64.b64encode(bytes(2 * MB)).decode()}"
    for path in ("/gradio_api/call/predict", "/gradio_api/queue/join", "/gradio_api/run/predict"):
        response = httpx.post(app.url + path, json={"data": [{"url": url}], "session_hash": "s", "fn_index": 0})
        assert response.status_code == 413
        assert "MB" in response.json()["detail"]


def drip(app: Running, path: str) -> bytes:
    """Send a byte at a time and return the head of the answer."""
    with sending(app, path, POSTS[path], 5000, FORM if "upload" in path else b"") as connection:
        connection.settimeout(0.1)
        for _ in range(2400):
            connection.sendall(b"x")
            with suppress(TimeoutError):
                return connection.recv(1000)
    return b"no answer"


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[float], Running]]:
    """Those that give a body a moment."""
    with ExitStack() as stack:

        @functools.cache
        def run(pace: float) -> Running:
            return stack.enter_context(running(tmp_path_factory.mktemp("hasty"), ServeConfig(patience_s=1.5 * pace)))

        yield run


@pytest.mark.parametrize("path", POSTS)
def test_row_28_a_slow_upload_ends_by_the_clock_and_holds_up_nobody(
    hasty: Callable[[float], Running], tmp_path: Path, path: str
) -> None:
    def check(pace: float) -> None:
        app = hasty(pace)
        with ThreadPoolExecutor(4) as pool:
            slow = [pool.submit(drip, app, path) for _ in range(4)]
            assert app.ask("raw", PICTURE, tmp_path) == (True, "black")
            assert not any(answer.done() for answer in slow)
            for answer in slow:
                assert answer.result().startswith(b"HTTP/1.1 408")

    at_some_pace(check)


def test_row_28_a_slow_client_gets_more_time_for_what_it_sent(tmp_path: Path) -> None:
    def check(pace: float) -> None:
        def slowly() -> Iterator[bytes]:
            for start in range(0, len(PICTURE), 100):
                yield PICTURE[start : start + 100]
                time.sleep(0.25 * pace)

        config = ServeConfig(patience_s=pace, slowest_bytes_per_s=int(200 / pace))
        with running(tmp_path / f"uploads{pace}", config) as app:
            begun = time.perf_counter()
            assert httpx.post(f"{app.url}/api/classify", content=slowly()).status_code == 200
            assert time.perf_counter() - begun > 1.2 * pace

    at_some_pace(check)


@pytest.mark.parametrize("way", ["raw", "form", "/predict"])
def test_row_28_a_hundred_at_once_are_answered_or_told_to_come_back(app: Running, way: str) -> None:
    with ThreadPoolExecutor(100) as pool:
        path = upload(app, PICTURE)

        def post() -> int:
            response = join(app, path) if way == "/predict" else httpx.post(**app.request(way, PICTURE))
            if response.status_code == 503:
                assert int(response.headers["retry-after"]) >= 1
                assert "try again" in response.text
            return response.status_code

        with app.model.held():
            codes = [pool.submit(post) for _ in range(100)]
            assert 503 in {answer.result() for answer in wait_for_refusals(codes, 1)}
            assert httpx.get(f"{app.url}/healthz").status_code == 200
        assert {answer.result() for answer in codes} == {200, 503}
        # What Gradio has taken may still be looked at.
        wait_until(lambda: httpx.post(**app.request("raw", PICTURE)).status_code == 200)


def wait_for_refusals(answers: Sequence[Future[int]], count: int) -> list[Future[int]]:
    """Wait until so many were told to come back; what is answered by then."""
    done: list[Future[int]] = []
    for answer in as_completed(answers, timeout=240):
        done.append(answer)
        if [each.result() for each in done].count(503) == count:
            break
    return done


def upload(app: Running, content: bytes) -> str:
    response = httpx.post(f"{app.url}/gradio_api/upload", files={"files": ("a.jpg", content)})
    return response.raise_for_status().json()[0]


def join(app: Running, path: str) -> httpx.Response:
    data = {"data": [{"path": path, "meta": {"_type": "gradio.FileData"}}]}
    return httpx.post(f"{app.url}/gradio_api/call/predict", json=data)


def test_row_28_a_full_queue_of_gradio_says_when_to_come_back(tmp_path: Path) -> None:
    with running(tmp_path / "uploads", ServeConfig(max_queue=4)) as app:
        path = upload(app, PICTURE)
        picture = tmp_path / "a.jpg"
        picture.write_bytes(PICTURE)
        with app.model.held():
            answers = [join(app, path) for _ in range(AT_ONCE + 5)]
            assert [answer.status_code for answer in answers][:2] == [200, 200]
            refused = answers[-1]
            assert refused.status_code == 503
            assert int(refused.headers["retry-after"]) >= 1
            assert "try again in a moment" in refused.json()["detail"]
            with pytest.raises((QueueError, httpx.HTTPStatusError)):
                app.client.predict(handle_file(str(picture)), api_name="/predict")


def test_row_28_one_client_leaves_room_for_another(tmp_path: Path) -> None:
    config = ServeConfig(max_queue=8, behind_proxy=True)
    with running(tmp_path / "uploads", config) as app, ThreadPoolExecutor(20) as pool:

        def post(client: str) -> int:
            request = app.request("raw", PICTURE)
            return httpx.post(**request, headers={"X-Forwarded-For": client}).status_code

        with app.model.held():
            greedy = [pool.submit(post, "198.41.0.4") for _ in range(16)]
            wait_for_refusals(greedy, 8)
            other = pool.submit(post, "9.9.9.9")
            # Were it refused, it would be at once.
            assert not wait([other], timeout=0.5).done
        assert other.result() == 200


def test_row_28_many_clients_together_are_too_many_as_well(tmp_path: Path) -> None:
    config = ServeConfig(max_queue=4, behind_proxy=True)
    with running(tmp_path / "uploads", config) as app, ThreadPoolExecutor(12) as pool:

        def post(number: int) -> int:
            request = app.request("raw", PICTURE)
            return httpx.post(**request, headers={"X-Forwarded-For": f"9.9.9.{number}"}).status_code

        with app.model.held():
            codes = [pool.submit(post, number) for number in range(12)]
            wait_for_refusals(codes, 4)
        assert {answer.result() for answer in codes} == {200, 503}


@pytest.mark.parametrize(
    ("number", "path"), [(1, "heartbeat/abc"), (2, "queue/data?session_hash=abc"), (3, "call/predict/abc")]
)
def test_row_28_open_answers_of_one_client_are_bounded(strict: Running, number: int, path: str) -> None:
    one, other = ({"X-Forwarded-For": f"9.9.{who}.{number}"} for who in (1, 2))
    with ExitStack() as stack:

        def open_page(client: dict[str, str]) -> int:
            page = httpx.stream("GET", f"{strict.url}/gradio_api/heartbeat/x", headers=client)
            return stack.enter_context(page).status_code

        assert [open_page(one) for _ in range(2)] == [200, 200]
        refused = httpx.get(f"{strict.url}/gradio_api/{path}", headers=one)
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1
        assert "close some" in refused.json()["detail"]
        assert open_page(other) == 200


def test_row_28_bodies_in_memory_are_bounded_together(tmp_path: Path) -> None:
    config = ServeConfig(max_held_bytes=1_000_000)
    with running(tmp_path / "uploads", config) as app:
        with ExitStack() as stack:
            begun = [
                stack.enter_context(sending(app, "/api/classify", "image/jpeg", 400_000, bytes(200_000)))
                for _ in range(3)
            ]
            # Half of what may be held is for one client.
            assert begun[2].recv(1000).startswith(b"HTTP/1.1 503")
        wait_until(lambda: httpx.post(**app.request("raw", PICTURE)).status_code == 200)


def test_row_28_uploads_that_break_off_and_old_ones_leave_the_disk(tmp_path: Path) -> None:
    folder = tmp_path / "uploads"
    with running(folder, ServeConfig(max_stored_bytes=100_000)) as app:
        for _ in range(5):
            with sending(app, "/gradio_api/upload", POSTS["/gradio_api/upload"], 900_000, FORM + bytes(50_000)):
                time.sleep(0.05)
        for number in range(10):
            upload(app, PICTURE + bytes(20_000) + bytes([number]))
        wait_until(lambda: 0 < stored(folder) <= 100_000)
        assert app.ask("/predict", PICTURE, tmp_path) == (True, "black")


def stored(folder: Path) -> int:
    """Bytes of the files in a folder that a running app may empty at the same time."""
    total = 0
    for place, _, names in os.walk(folder):  # os.walk passes over folders that have gone; Path.rglob raises.
        for name in names:
            with suppress(FileNotFoundError):
                total += os.stat(os.path.join(place, name)).st_size
    return total


def test_files_go_when_they_are_old_or_too_many(tmp_path: Path) -> None:
    for number in range(5):
        path = tmp_path / str(number) / "a.jpg"
        path.parent.mkdir()
        path.write_bytes(bytes(1000))
        os.utime(path, (time.time() - 100 * number,) * 2)
    gone = remove_old_files(tmp_path, most_bytes=3000, keep_s=1000)
    assert gone == {str(tmp_path / number / "a.jpg") for number in ("3", "4")}
    assert remove_old_files(tmp_path, most_bytes=3000, keep_s=150) == {str(tmp_path / "2" / "a.jpg")}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1"]


# Row 29 to 32 are in serve/test_server.py too: what Gradio would open, fetch, or let in.

CLOSED = [
    "file/etc/passwd",
    "file/http://127.0.0.1:{port}/a.png",
    "file/app.py",
    "custom_component/a/client/b/c",
    "deep_link?session_hash=s",
    "process_recording",
    "component_server",
    "component_server/",
    "vibe-edit/",
    "vibe-starter-queries/",
]


@pytest.mark.parametrize("path", CLOSED)
def test_rows_29_and_30_what_gradio_would_do_for_anybody_is_closed(app: Running, path: str) -> None:
    before = sorted(app.uploads.rglob("*"))
    with socket.create_server(("127.0.0.1", 0)) as canary:
        canary.settimeout(0.2)
        address = f"{app.url}/gradio_api/{path.format(port=canary.getsockname()[1])}"
        for response in (httpx.get(address), httpx.post(address, files={"video": ("a.mp4", PICTURE)})):
            assert response.status_code in {403, 404, 405}
            assert "location" not in response.headers
            assert not LEAKS.search(response.text)
        with pytest.raises(TimeoutError):
            canary.accept()
    assert sorted(app.uploads.rglob("*")) == before


@pytest.mark.parametrize("way", WAYS)
def test_row_32_a_failure_tells_nothing_about_the_machine(app: Running, way: str, tmp_path: Path) -> None:
    fatal = encode(plain(size=(13, 13)))
    if way.startswith("/"):
        answered, text = app.ask(way, fatal, tmp_path)
        assert not answered
    else:
        response = httpx.post(**app.request(way, fatal))
        text = response.text
        # In a batch, it is the answer about that picture, and not about the others.
        assert response.status_code == (200 if way == "batch" else 500)
        told = response.json()["results"][0] if way == "batch" else response.json()
        assert told.keys() - {"file"} == {"error"}
    assert not LEAKS.search(text)
    assert "RuntimeError" not in text
    assert "secret" not in text


# Row 33: pictures of something else.


def strangers() -> dict[str, Image.Image]:
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    line_art = Image.new("RGB", (300, 200), "white")
    line_art.paste((0, 0, 0), (0, 95, 300, 105))
    return {
        "noise": Image.fromarray(noise),
        "black": Image.new("RGB", (200, 200)),
        "white": Image.new("RGB", (200, 200), "white"),
        "another object": line_art,
    }


def test_row_33_what_it_did_not_learn_is_not_sure(published: Published, tmp_path: Path) -> None:
    predictor = Predictor.load(published.store)
    with running(tmp_path / "uploads", predict=predictor.predict) as app:
        for name, picture in strangers().items():
            answer = httpx.post(f"{app.url}/api/classify", content=encode(picture)).json()
            assert answer["familiar"] is False, name
            assert app.ask("/predict", encode(picture), tmp_path) == (True, "not sure"), name
        known = (published.folder / "example-1.jpg").read_bytes()
        assert app.ask("/predict", known, tmp_path) == (True, "disc")


# The rate of a client.


def test_a_client_that_asks_too_often_is_told_when_to_come_back(tmp_path: Path) -> None:
    with running(tmp_path / "uploads", ServeConfig(rate_per_s=0.5, burst=12)) as app:
        api, gradio = f"{app.url}/api/classify", f"{app.url}/gradio_api/call/predict"

        def ask_until(code: int, ask: Callable[[], httpx.Response]) -> httpx.Response:
            # Meanwhile the right to ask grows again, so no single question is sure to be refused.
            deadline = time.monotonic() + 240
            while (response := ask()).status_code != code:
                assert time.monotonic() < deadline, response.text
                # Too often all the same, and other tests want the processor.
                time.sleep(0.02 if code == 429 else 0.2)
            return response

        assert httpx.post(api, content=PICTURE).status_code == 200
        response = ask_until(429, lambda: httpx.post(api, content=PICTURE))
        assert int(response.headers["retry-after"]) >= 1
        assert response.json()["error"].startswith("You are asking too often")
        refused = ask_until(429, lambda: httpx.post(gradio, json={"data": [None]}))
        assert list(refused.json()) == ["detail"]
        assert "retry-after" in refused.headers
        assert httpx.get(f"{app.url}/healthz").status_code == 200
        ask_until(200, lambda: httpx.post(api, content=PICTURE))
        many = {"files": [("files", ("a.jpg", PICTURE)) for _ in range(12)]}
        assert httpx.post(f"{api}/batch", **many).status_code == 429


def test_the_usual_rate_is_above_what_the_app_can_do(app: Running) -> None:
    with httpx.Client() as client:
        codes = {client.post(f"{app.url}/api/classify", content=PICTURE).status_code for _ in range(200)}
    assert codes == {200}


def test_buckets_fill_again_and_are_forgotten() -> None:
    clock = [0.0]
    buckets = Buckets(2.0, 3, lambda: clock[0])
    assert [buckets.take("a") for _ in range(4)] == [0, 0, 0, 0.5]
    assert buckets.take("b") == 0
    clock[0] = 0.5
    assert buckets.take("a") == 0
    assert buckets.take("a") == 0.5
    clock[0] = 100.0
    # A batch larger than the bucket waits for a full one, and is paid off afterwards.
    assert buckets.take("a", 5) == 0
    assert buckets.take("a") == 1.5
    for number in range(20_000):
        buckets.take(str(number))
        # Whoever goes on asking is not forgotten for being the first.
        assert buckets.take("a") > 0
    assert len(buckets._clients) <= 10_000


@pytest.mark.parametrize(
    ("peer", "forwarded", "behind_proxy", "name"),
    [
        ("9.9.9.9", "8.8.8.8", False, "9.9.9.9"),
        ("10.0.0.1", "8.8.8.8", True, "8.8.8.8"),
        # What a visitor writes stands before what the proxy saw; hops inside stand behind.
        ("10.0.0.1", "1.2.3.4, 8.8.8.8, 10.1.2.3", True, "8.8.8.8"),
        ("10.0.0.1", "evil, 10.0.0.9", True, "10.0.0.1"),
        ("10.0.0.1", "", True, "10.0.0.1"),
        ("::ffff:9.9.9.9", "", False, "9.9.9.9"),
        ("2a00:1450:4001:81b::200e", "", False, "2a00:1450:4001:81b::/64"),
        ("testclient", "", False, "testclient"),
    ],
)
def test_who_a_client_is(peer: str, forwarded: str, behind_proxy: bool, name: str) -> None:
    assert client_name(peer, Headers({"x-forwarded-for": forwarded}), behind_proxy) == name


# A process of its own: what connections, signals and the system do to it.

SERVE = """
import os, sys
from spotter.utils.imports import lasting_imports
with lasting_imports():
    from spotter.config import ServeConfig
    from spotter.serve.server import Connection
    from spotter.serve.app import create_app
    from spotter.serve.server import serve
    from spotter.serve.service import ModelInfo
    from tests.helpers.pictures import LABELS, predict_by_color
def slow(picture):
    os.write(1, b"looking\\n")  # in one piece: several threads write it at once
    os.read(0, 1)
    return predict_by_color(picture)
Connection.patience_s = float(sys.argv[2])
config = ServeConfig(port=0, stop_s=float(sys.argv[1]))
serve(create_app(slow, ModelInfo("Bears?", LABELS), config), config)
"""


# Seconds that the app would wait for what does not end.
STOP_S = 600
# So long a connection may send nothing: what asks at once does not miss it, however busy the machine is.
IDLE_S = 2


@contextmanager
def served(stop_s: float = STOP_S, idle_s: float = STOP_S) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """An app that looks at each picture until it is written a letter."""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    command = [sys.executable, "-c", SERVE, str(stop_s), str(idle_s)]
    process = subprocess.Popen(command, cwd=ROOT, text=True, **pipes)
    assert process.stdout
    try:
        yield process.stdout.readline().strip(), process
    finally:
        process.kill()
        process.wait()


def let_go(process: subprocess.Popen[str], pictures: int) -> None:
    """Let an app answer about so many pictures."""
    assert process.stdin
    process.stdin.write("." * pictures)
    process.stdin.flush()


@pytest.fixture(scope="module")
def apart() -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """One for tests after which it goes on, but for the last; at its end nothing has gone wrong in it."""
    with served(stop_s=0.5, idle_s=IDLE_S) as (url, process):
        yield url, process
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=600)
        assert process.returncode == 0
        assert "Traceback" not in errors


@pytest.mark.slow
def test_sigterm_finishes_what_is_in_flight_and_ends_cleanly(tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(PICTURE)
    # The app ends first, also when something fails: its clients would wait for it without end.
    with ThreadPoolExecutor(4) as pool, served() as (url, process):
        assert process.stdout
        client = Client(url, verbose=False, analytics_enabled=False)
        answers = [pool.submit(httpx.post, f"{url}/api/classify", content=PICTURE) for _ in range(2)]
        through = pool.submit(client.predict, handle_file(str(picture)), api_name="/predict")
        assert [process.stdout.readline() for _ in range(AT_ONCE)] == ["looking\n"] * 3
        with httpx.stream("GET", f"{url}/gradio_api/heartbeat/abc") as open_page:
            assert open_page.status_code == 200
            asked = time.perf_counter()
            process.send_signal(signal.SIGTERM)
            assert b"ALIVE" in b"".join(open_page.iter_raw())
            # uvicorn would wait its whole grace for the open page, were the page not told.
            assert time.perf_counter() - asked < STOP_S
        wait_until(lambda: httpx.get(f"{url}/readyz").status_code == 503)
        ready = httpx.get(f"{url}/readyz")
        assert (ready.status_code, ready.json()["status"]) == (503, "stopping")
        assert httpx.get(f"{url}/healthz").status_code == 200
        late = httpx.post(f"{url}/api/classify", content=PICTURE)
        assert late.status_code == 503
        assert "about to stop" in late.json()["error"]
        assert "retry-after" in late.headers
        let_go(process, AT_ONCE)
        assert [answer.result().json()["label"] for answer in answers] == ["black", "black"]
        assert through.result()["label"] == "black"
        rest, errors = process.communicate(timeout=600)
        assert (process.returncode, rest) == (0, "")
        assert "Traceback" not in errors


@pytest.mark.slow
def test_connections_that_send_nothing_are_closed(apart: tuple[str, subprocess.Popen[str]]) -> None:
    url, _ = apart
    with ExitStack() as stack:
        host, port = url.removeprefix("http://").split(":")

        def connect(start: bytes) -> socket.socket:
            connection = stack.enter_context(socket.create_connection((host, int(port)), timeout=120))
            connection.sendall(start)
            return connection

        endless = b"GET / HTTP/1.1\r\nHost: app\r\n" + b"X-A: b\r\n"
        waiting = [connect(start) for start in (b"", b"GET /heal", endless) for _ in range(30)]
        # Answered, but the body goes on.
        talking = connect(b"POST /healthz HTTP/1.1\r\nHost: app\r\nContent-Length: 90000\r\n\r\nabc")
        assert talking.recv(1000).startswith(b"HTTP/1.1 4")
        assert httpx.get(f"{url}/healthz").status_code == 200
        for connection in (*waiting, talking):
            rest = b"x"
            while rest:
                rest = connection.recv(1000)
        too_long = connect(b"GET / HTTP/1.1\r\nHost: app\r\nX-Long: " + b"x" * 100_000)
        told = b""
        with suppress(ConnectionResetError):
            while part := too_long.recv(1000):
                told += part
        assert told.startswith(b"HTTP/1.1 400")
        assert told.endswith(b'{"error": "This is no HTTP request."}')
        assert httpx.get(f"{url}/healthz").status_code == 200


@pytest.mark.slow
def test_a_body_that_goes_wrong_after_its_answer_ends_quietly(apart: tuple[str, subprocess.Popen[str]]) -> None:
    """What the app writes is looked at when it ends."""
    host, port = apart[0].removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=120) as connection:
        connection.sendall(b"POST /nothing HTTP/1.1\r\nHost: app\r\nTransfer-Encoding: chunked\r\n\r\n")
        told = b""
        while not told.endswith(b"}"):
            told += connection.recv(1000)
        assert told.startswith(b"HTTP/1.1 404")
        connection.sendall(b"no number\r\n")
        assert connection.recv(1000) == b""


@pytest.mark.slow
def test_a_long_answer_is_not_taken_for_an_idle_connection(apart: tuple[str, subprocess.Popen[str]]) -> None:
    url, process = apart
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(httpx.post, f"{url}/api/classify", content=PICTURE)
        time.sleep(2.5 * IDLE_S)
        let_go(process, 1)
        assert answer.result().status_code == 200
    with httpx.stream("GET", f"{url}/gradio_api/heartbeat/abc") as open_page:
        time.sleep(2.5 * IDLE_S)
        assert open_page.status_code == 200
        assert httpx.get(f"{url}/healthz").status_code == 200


@pytest.mark.slow
def test_an_upload_that_never_ends_does_not_keep_it_from_stopping(apart: tuple[str, subprocess.Popen[str]]) -> None:
    """The last one that uses it."""
    url, process = apart
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=240) as connection:
        connection.sendall(b"POST /api/classify HTTP/1.1\r\nHost: app\r\nContent-Length: 9000\r\n\r\nabc")
        time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=600) == 0


@pytest.mark.slow
def test_memory_and_disk_stay_where_they_are(prebuilt: Revision, tmp_path: Path) -> None:
    port, disk = free_port(), tmp_path / "tmp"
    disk.mkdir()
    command = [sys.executable, "app.py", "--model", prebuilt.store, "--port", port]
    pictures = [path.read_bytes() for path in sorted(prebuilt.pictures.rglob("*.jpg"))]
    url = f"http://127.0.0.1:{port}"
    with bench_serving.app_running(command, url, TMPDIR=str(disk)) as process:
        # A bad one of each kind comes in every three hundred.
        first, second = (bench_serving.soak(url, process.pid, disk, pictures, count) for count in (150, 300))
        assert (first.lost, second.lost) == (0, 0), second.outcomes
        assert {outcome.split()[0] for outcome in second.outcomes} >= {"good", "cut", "page", "empty"}
        ordinary, large, unanswered = bench_serving.memory_after_large_mb(url, process.pid, pictures=AT_ONCE)
    before, after = first.samples[-1], second.samples[-1]
    assert after[1] - before[1] < 15
    assert unanswered == 0
    assert large < 1.3 * ordinary
    assert after[2] < 2
    assert len(second.spans) == 300
    # What the process kept for itself goes with it.
    assert not list(disk.rglob("spotter-app-*"))
