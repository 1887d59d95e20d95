"""The page's endpoints and the HTTP routes, over a real server on 127.0.0.1 with a stand-in for the model."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from spotter.config import ServeConfig
from spotter.errors import PortUnavailable
from spotter.inference.prediction import Prediction
from spotter.serve.app import build_page, create_app
from spotter.serve.server import serve
from spotter.serve.service import AT_ONCE, LARGE_PIXELS, ModelInfo
from tests.helpers.patience import wait_until
from tests.helpers.pictures import BLUE, GREY, LABELS, RED, WHITE, encode, plain, predict_by_color, serving

INFO = ModelInfo("Which bear is this?", LABELS, "r-1", threshold=0.5, summary="Wrong on 2 % of unseen pictures")
CONFIG = ServeConfig(max_upload_bytes=200_000, max_queue=32)
FILE = {"_type": "gradio.FileData"}
PRIVATE = "/secret/place of hf_xyz"


class Model:
    """Answers by colour, remembers what it saw, and counts how many questions it had at once."""

    def __init__(self) -> None:
        self.seen: list[Image.Image] = []
        self.most_at_once = 0
        self.pause_s = 0.0
        self.free = threading.Event()
        self.free.set()
        self._now = 0
        self._lock = threading.Lock()

    def __call__(self, picture: Image.Image) -> Prediction:
        with self._lock:
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        self.free.wait()
        time.sleep(self.pause_s)
        self.seen.append(picture)
        with self._lock:
            self._now -= 1
        if picture.size == (13, 13):
            raise RuntimeError(f"failed in {PRIVATE}")
        return predict_by_color(picture)


@pytest.fixture(scope="module")
def model() -> Model:
    return Model()


@pytest.fixture(scope="module")
def url(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    uploads = tmp_path_factory.mktemp("uploads")
    before = os.environ.get("GRADIO_TEMP_DIR")
    os.environ["GRADIO_TEMP_DIR"] = str(uploads)
    example = tmp_path_factory.mktemp("examples") / "one.png"
    example.write_bytes(encode(plain(BLUE)))
    with serving(create_app(model, replace(INFO, examples=((str(example), "black"),)), CONFIG)) as address:
        yield address
    if before is None:
        del os.environ["GRADIO_TEMP_DIR"]
    else:
        os.environ["GRADIO_TEMP_DIR"] = before


@pytest.fixture(scope="module")
def client(url: str) -> Client:
    return Client(url, verbose=False, analytics_enabled=False)


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Any]:
    def write(content: bytes, name: str = "picture.png") -> Any:
        path = tmp_path / name
        path.write_bytes(content)
        return handle_file(str(path))

    return write


def ask(url: str, payload: Any, endpoint: str = "predict") -> str:
    """Call a Gradio endpoint with a payload that no honest client would send; the events as text."""
    event = httpx.post(f"{url}/gradio_api/call/{endpoint}", json={"data": [payload]}).json()["event_id"]
    return httpx.get(f"{url}/gradio_api/call/{endpoint}/{event}").text


@contextmanager
def canary() -> Iterator[tuple[int, list[bytes]]]:
    """A port on 127.0.0.1 that remembers every connection."""
    visits: list[bytes] = []
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(0.1)
        done = threading.Event()

        def watch() -> None:
            while not done.is_set():
                try:
                    connection, _ = listener.accept()
                except TimeoutError:
                    continue
                visits.append(b"visit")
                connection.close()

        thread = threading.Thread(target=watch)
        thread.start()
        yield listener.getsockname()[1], visits
        time.sleep(0.2)
        done.set()
        thread.join()


def test_predict_gives_a_plain_label_payload(client: Client, file: Callable[..., Any]) -> None:
    answer = client.predict(file(encode(plain(BLUE))), api_name="/predict")
    assert answer["label"] == "black"
    assert set(answer) == {"label", "confidences"}
    assert [set(row) for row in answer["confidences"]] == [{"label", "confidence"}] * 3
    assert answer["confidences"][0] == {"label": "black", "confidence": 0.97}


def test_predict_says_not_sure_and_keeps_the_probabilities(client: Client, file: Callable[..., Any]) -> None:
    answer = client.predict(file(encode(plain(GREY))), api_name="/predict")
    assert answer["label"] == "not sure"
    assert answer["confidences"][0] == {"label": "teddy", "confidence": 0.97}
    assert sum(row["confidence"] for row in answer["confidences"]) == pytest.approx(1)


def test_only_the_three_endpoints_are_public(client: Client) -> None:
    endpoints = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert set(endpoints) == {"/predict", "/classify", "/classify_batch"}
    assert [len(endpoint["parameters"]) for endpoint in endpoints.values()] == [1, 1, 1]


def test_classify_tells_everything(client: Client, file: Callable[..., Any]) -> None:
    answer = client.predict(file(encode(plain(GREY))), api_name="/classify")
    assert answer.pop("timings_ms").keys() == {"decode", "predict", "total"}
    assert answer == {
        "label": "not sure",
        "closest": "teddy",
        "probabilities": {"grizzly": 0.015, "black": 0.015, "teddy": 0.97},
        "familiar": False,
        "familiarity": 0.2,
        "threshold": 0.5,
        "revision": "r-1",
    }


def test_plain_http_gives_the_same_json(url: str, client: Client, file: Callable[..., Any]) -> None:
    picture = encode(plain(RED), "JPEG")
    response = httpx.post(f"{url}/api/classify", content=picture)
    assert response.status_code == 200
    ours, theirs = response.json(), client.predict(file(picture, "picture.jpg"), api_name="/classify")
    assert ours.pop("timings_ms").keys() == theirs.pop("timings_ms").keys()
    assert ours == theirs


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 400),
        (b"hello", 415),
        (b"<!doctype html><title>not found</title>", 415),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", 415),
        (encode(plain(size=(300, 200)), "BMP")[:5000], 400),
        (b"x" * 200_001, 413),
    ],
)
def test_plain_http_refuses_what_is_no_picture(url: str, content: bytes, status: int) -> None:
    response = httpx.post(f"{url}/api/classify", content=content, headers={"Content-Type": "image/jpeg"})
    assert response.status_code == status
    assert list(response.json()) == ["error"]
    assert "Traceback" not in response.text


def test_size_is_checked_while_a_body_of_unknown_length_arrives(url: str) -> None:
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=120) as connection:
        connection.sendall(b"POST /api/classify HTTP/1.1\r\nHost: app\r\nTransfer-Encoding: chunked\r\n\r\n")
        connection.sendall(b"30d41\r\n" + b"x" * 200_001 + b"\r\n")
        # The body has not ended, and need not for an answer.
        assert connection.recv(1000).startswith(b"HTTP/1.1 413")


def test_only_post_classifies(url: str) -> None:
    assert httpx.get(f"{url}/api/classify").status_code in {404, 405}


def test_health(url: str) -> None:
    response = httpx.get(f"{url}/healthz")
    assert (response.status_code, response.json()) == (200, {"status": "ok", "revision": "r-1"})
    assert httpx.head(f"{url}/healthz").status_code == 200


def test_help_tells_how_to_call(url: str) -> None:
    help_text = httpx.get(f"{url}/api").text
    assert f"{url}/api/classify" in help_text
    assert 'api_name="/predict"' in help_text
    # Behind a proxy, and behind one that is behind another.
    for proto in ("https", "https, http"):
        assert "https://127.0.0.1" in httpx.get(f"{url}/api", headers={"X-Forwarded-Proto": proto}).text
    # One that asks by a name of its own.
    visitor = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "bears.example"}
    for path in ("/api", "/api/predict"):
        told = httpx.get(url + path, headers=visitor).text
        assert "https://bears.example/api/classify" in told
        assert "127.0.0.1" not in told


def test_without_a_model_everything_says_why() -> None:
    problem = "The model <r-1> is broken."
    with serving(create_app(predict_by_color, ModelInfo("Bears?", ()), CONFIG, problem=problem)) as url:
        response = httpx.get(f"{url}/healthz")
        assert (response.status_code, response.json()) == (503, {"status": "fail", "problem": problem})
        response = httpx.post(f"{url}/api/classify", content=encode(plain()))
        assert (response.status_code, response.json()) == (503, {"error": problem})
        assert "&lt;r-1&gt; is broken" in httpx.get(f"{url}/config").text
        assert httpx.post(f"{url}/gradio_api/call/predict", json={"data": [None]}).is_error


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_arrive_upright(url: str, model: Model, orientation: int) -> None:
    stored = plain(RED, (64, 48))
    stored.paste(BLUE, (0, 0, 64, 24))
    httpx.post(f"{url}/api/classify", content=encode(stored, orientation=orientation))
    assert_upright(model.seen[-1], orientation)


@pytest.mark.parametrize("endpoint", ["/predict", "/classify"])
def test_pictures_arrive_upright_through_gradio(
    client: Client, model: Model, file: Callable[..., Any], endpoint: str
) -> None:
    stored = plain(RED, (64, 48))
    stored.paste(BLUE, (0, 0, 64, 24))
    client.predict(file(encode(stored, orientation=6)), api_name=endpoint)
    assert_upright(model.seen[-1], 6)


def assert_upright(picture: Image.Image, orientation: int) -> None:
    """The upper half of the stored picture is blue; EXIF says which side that half is shown on."""
    assert picture.size == ((64, 48) if orientation < 5 else (48, 64))
    top, left = (picture.width // 2, 2), (2, picture.height // 2)
    bottom, right = (picture.width // 2, picture.height - 3), (picture.width - 3, picture.height // 2)
    blue_side = {1: top, 2: top, 3: bottom, 4: bottom, 5: left, 6: right, 7: right, 8: left}[orientation]
    assert picture.getpixel(blue_side) == BLUE


def test_transparent_pictures_arrive_on_white(url: str, client: Client, model: Model, file: Callable[..., Any]) -> None:
    clear = encode(plain((0, 0, 0, 0)))
    httpx.post(f"{url}/api/classify", content=clear)
    client.predict(file(clear), api_name="/predict")
    for picture in model.seen[-2:]:
        assert picture.mode == "RGB"
        assert picture.getpixel((5, 5)) == WHITE


@pytest.mark.parametrize("name", ["notes.txt", "page.jpg", "drawing.svg"])
def test_gradio_refuses_what_is_no_picture_in_words(client: Client, file: Callable[..., Any], name: str) -> None:
    with pytest.raises(AppError, match="not a picture we can read") as caught:
        client.predict(file(b"<svg>hello</svg>", name), api_name="/predict")
    assert "/" not in str(caught.value)


def test_gradio_refuses_uploads_above_the_limit(url: str) -> None:
    response = httpx.post(f"{url}/gradio_api/upload", files={"files": ("a.png", b"x" * 300_000)})
    assert response.status_code == 413


@pytest.mark.parametrize("endpoint", ["predict", "classify"])
@pytest.mark.parametrize("meta", [{"meta": FILE}, {}], ids=["file", "no-meta"])
@pytest.mark.parametrize("place", ["path", "url"])
def test_no_file_of_the_machine_is_read(
    url: str, model: Model, tmp_path: Path, endpoint: str, meta: dict[str, Any], place: str
) -> None:
    # A picture of ours that was never uploaded: were it opened, the answer would show it.
    private = tmp_path / "private.png"
    private.write_bytes(encode(plain(RED)))
    uploads = Path(os.environ["GRADIO_TEMP_DIR"])
    seen, stored = len(model.seen), sorted(uploads.rglob("*"))
    for path in (str(private), "/etc/passwd", f"{uploads}/../../private.png", "app.py", f"file://{private}"):
        answer = ask(url, {place: path, **meta}, endpoint)
        assert answer.startswith("event: error")
        assert "grizzly" not in answer
        assert "root:" not in answer
        assert str(tmp_path) not in answer
    assert len(model.seen) == seen
    assert sorted(uploads.rglob("*")) == stored


def test_no_event_of_the_page_copies_a_file_of_the_machine(url: str, tmp_path: Path) -> None:
    private = tmp_path / "private.png"
    private.write_bytes(encode(plain(RED)))
    uploads = Path(os.environ["GRADIO_TEMP_DIR"])
    stored = sorted(uploads.rglob("*"))
    for number in [event["id"] for event in httpx.get(f"{url}/config").json()["dependencies"]]:
        for path in (str(private), "http://example.com/a.png"):
            event = {"data": [{"path": path, "meta": FILE}], "fn_index": number, "session_hash": f"s{number}"}
            assert httpx.post(f"{url}/gradio_api/queue/join", json=event).status_code == 200
            answer = httpx.get(f"{url}/gradio_api/queue/data", params={"session_hash": f"s{number}"}).text
            assert '"success":false' in answer
    assert sorted(uploads.rglob("*")) == stored


@pytest.mark.parametrize("place", ["path", "url"])
def test_no_address_is_fetched(url: str, place: str) -> None:
    with canary() as (port, visits):
        for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0", "2130706433"):
            answer = ask(url, {place: f"http://{host}:{port}/a.png", "meta": FILE})
            assert answer.startswith("event: error")
            httpx.get(f"{url}/gradio_api/file=http://{host}:{port}/a.png")
            httpx.get(f"{url}/gradio_api/proxy=http://{host}:{port}/a.png")
    assert not visits


def test_even_public_addresses_are_refused(url: str) -> None:
    assert "fetches no addresses" in ask(url, {"path": "http://example.com/a.png", "meta": FILE})


def test_data_addresses_are_refused(url: str, model: Model) -> None:
    seen = len(model.seen)
    for payload in ({"url": "data:image/png;base64,AAAA", "meta": FILE}, {"path": "", "url": "data:,", "meta": FILE}):
        assert ask(url, payload).startswith("event: error")
    assert len(model.seen) == seen


@pytest.mark.parametrize(
    "path",
    [
        "file=/etc/passwd",
        "file=app.py",
        "file=pyproject.toml",
        "file=.env",
        "file=http://evil.example/",
        "file=https://evil.example/",
        "file=%68ttp://evil.example/",
        "file=..%2f..%2f..%2fetc%2fpasswd",
        "file=../../../etc/passwd",
        "file=file:///etc/passwd",
        "proxy=http://evil.example/",
    ],
)
def test_file_routes_give_nothing(url: str, path: str) -> None:
    for method in ("GET", "HEAD"):
        response = httpx.request(method, f"{url}/gradio_api/{path}")
        assert response.status_code in {403, 404}
        assert "location" not in response.headers
        assert "root:" not in response.text


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
@pytest.mark.parametrize(
    "path",
    ["/", "/gradio_api/info", "/gradio_api/queue/join", "/api/classify", "/api/classify/batch", "/healthz", "/login"],
)
@pytest.mark.parametrize("host", [None, "[::1]", "evil.example"])
def test_other_origins_are_not_let_in(url: str, origin: str, path: str, host: str | None) -> None:
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST"} | ({"Host": host} if host else {})
    for method in ("OPTIONS", "GET", "POST"):
        assert "access-control-allow-origin" not in httpx.request(method, url + path, headers=headers).headers


def test_an_error_tells_nothing_about_the_machine(url: str, client: Client, file: Callable[..., Any]) -> None:
    fatal = encode(plain(size=(13, 13)))
    response = httpx.post(f"{url}/api/classify", content=fatal)
    assert response.status_code == 500
    assert list(response.json()) == ["error"]
    with pytest.raises(AppError) as caught:
        client.predict(file(fatal), api_name="/predict")
    for text in (response.text, str(caught.value)):
        assert PRIVATE not in text
        assert "RuntimeError" not in text
        assert "Traceback" not in text


def test_a_few_pictures_are_taken_at_once_and_health_does_not_wait(url: str, model: Model) -> None:
    model.most_at_once = 0
    model.free.clear()
    picture = encode(plain())
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(httpx.post, f"{url}/api/classify", content=picture) for _ in range(8)]
        wait_until(lambda: model.most_at_once >= AT_ONCE)
        assert httpx.get(f"{url}/healthz").status_code == 200
        model.free.set()
        assert [answer.result().status_code for answer in answers] == [200] * 8
    assert model.most_at_once == AT_ONCE


def test_large_pictures_are_taken_one_by_one(url: str, model: Model) -> None:
    model.most_at_once, model.pause_s = 0, 0.1
    picture = encode(plain(size=(LARGE_PIXELS // 3000 + 1, 3000)))
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(httpx.post, f"{url}/api/classify", content=picture) for _ in range(4)]
        assert [answer.result().status_code for answer in answers] == [200] * 4
    model.pause_s = 0.0
    assert model.most_at_once == 1


def test_too_many_at_once_are_told_to_come_back() -> None:
    slow = Model()
    slow.free.clear()
    picture = encode(plain())
    with serving(create_app(slow, INFO, ServeConfig(max_queue=2))) as url, ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(httpx.post, f"{url}/api/classify", content=picture) for _ in range(8)]
        next(as_completed(asked, timeout=240))
        slow.free.set()
        answers = [answer.result() for answer in asked]
    codes = [answer.status_code for answer in answers]
    assert set(codes) == {200, 503}
    assert all("retry-after" in answer.headers for answer in answers if answer.status_code == 503)


def test_the_settings_of_few_visitors_are_kept() -> None:
    assert create_app(predict_by_color, INFO, CONFIG).state.page.state_session_capacity <= 200


def test_the_page_needs_no_model_to_be_built() -> None:
    assert build_page(predict_by_color, INFO).title == INFO.title


def test_a_taken_port_is_one_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortUnavailable, match=f"port {port}"):
            serve(create_app(predict_by_color, INFO, CONFIG), ServeConfig(port=port))
