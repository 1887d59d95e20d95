"""What one or two addresses can take, and what is left to a third: connections, answers, bodies, streams."""

import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import httpx
import pytest
import uvicorn

from spotter.config import ServeConfig
from spotter.serve.app import create_app
from spotter.serve.limits import Pool
from spotter.serve.server import SPARE_CONNECTIONS, Connection
from spotter.serve.service import ModelInfo
from tests.conftest import ROOT
from tests.helpers.patience import at_some_pace, wait_until
from tests.helpers.pictures import LABELS, encode, plain, predict_by_color, serving

FIRST, SECOND, THIRD = "127.0.0.2", "127.0.0.3", "127.0.0.1"
MOST = 24
CONFIG = ServeConfig(max_connections=MOST, max_queue=4, max_streams=10, max_held_bytes=2_000_000)
PICTURE = encode(plain())


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(create_app(predict_by_color, ModelInfo("Bears?", LABELS), CONFIG)) as address:
        yield address


class Crowd:
    """Connections from one address that send something and read nothing; what is closed is opened again."""

    def __init__(self, url: str, address: str, said: bytes) -> None:
        host, port = url.removeprefix("http://").split(":")
        self._to, self._from, self._said = (host, int(port)), address, said
        self._open: list[socket.socket] = []

    def push(self, count: int) -> None:
        alive = []
        for one in self._open:
            with suppress(OSError):
                one.setblocking(False)
                try:
                    if one.recv(1, socket.MSG_PEEK):
                        alive.append(one)
                        continue
                except BlockingIOError:
                    alive.append(one)
                    continue
            one.close()
        self._open = alive
        while len(self._open) < count:
            one = socket.socket()
            # Little is kept for it here, so that an answer soon waits in the app.
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            one.bind((self._from, 0))
            one.settimeout(240)
            one.connect(self._to)
            # The app may read no more of it.
            one.settimeout(5)
            with suppress(OSError):
                one.sendall(self._said)
            self._open.append(one)

    def close(self) -> None:
        for one in self._open:
            one.close()


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: app\r\n\r\n".encode()


def unfinished(path: str, kind: str = "image/jpeg") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: app\r\nContent-Type: {kind}\r\nContent-Length: 14000000\r\n\r\n"
    return head.encode() + b"\xff\xd8 and no more"


HELD = {
    "idle": b"",
    "half a head": b"GET / HTTP/1.1\r\nHost: a",
    "heartbeats": get("/gradio_api/heartbeat/x"),
    "answers of the queue": get("/gradio_api/queue/data?session_hash=x"),
    "progress of uploads": get("/gradio_api/upload_progress?upload_id=x"),
    "changes of files": get("/gradio_api/dev/reload"),
    "answers nobody reads": get("/config") * 40,
    "a page nobody reads": get("/") * 40,
    "a picture that never ends": unfinished("/api/classify"),
    "a batch that never ends": unfinished("/api/classify/batch", "application/json"),
    "an upload that never ends": unfinished("/gradio_api/upload", "multipart/form-data; boundary=x"),
    "a question that never ends": unfinished("/gradio_api/queue/join", "application/json"),
    "pictures whose answers nobody reads": (
        b"POST /api/classify HTTP/1.1\r\nHost: app\r\nContent-Length: %d\r\n\r\n%s" % (len(PICTURE), PICTURE)
    )
    * 200,
}


@pytest.mark.parametrize("what", HELD)
def test_two_addresses_leave_room_for_a_third(url: str, what: str) -> None:
    crowds = [Crowd(url, address, HELD[what]) for address in (FIRST, SECOND)]
    try:
        for _ in range(2):
            for crowd in crowds:
                crowd.push(MOST)
            assert served(url, THIRD) == [200, 200, 200, 200]
    finally:
        for crowd in crowds:
            crowd.close()


def served(url: str, address: str) -> list[int]:
    """What a client gets that opens the page, keeps it open, asks, and looks whether the app works."""
    with httpx.Client(transport=httpx.HTTPTransport(local_address=address), base_url=url) as client:
        codes = [client.get("/").status_code]
        with client.stream("GET", "/gradio_api/heartbeat/third") as page:
            codes.append(page.status_code)
            codes.append(client.post("/api/classify", content=PICTURE).status_code)
            codes.append(client.get("/healthz").status_code)
    return codes


def test_when_many_addresses_take_all_health_is_still_told(url: str) -> None:
    with ExitStack() as stack:
        for number in range(1, MOST + 10):
            crowd = Crowd(url, f"127.0.2.{number}", b"")
            stack.callback(crowd.close)
            crowd.push(1)
        with httpx.Client(base_url=url) as client:
            assert client.get("/healthz").status_code == 200
            busy = client.post("/api/classify", content=PICTURE)
            assert (busy.status_code, busy.headers["retry-after"]) == (503, "2")
            assert busy.json() == {"error": "Too many connections at once; try again in a moment."}
            assert client.get("/readyz").status_code == 200
    wait_until(lambda: served(url, THIRD) == [200, 200, 200, 200])


def test_a_connection_too_many_is_told_so(url: str) -> None:
    crowd = Crowd(url, FIRST, b"")
    try:
        crowd.push(MOST + SPARE_CONNECTIONS)
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=120, source_address=(FIRST, 0)) as one:
            assert one.recv(100).startswith(b"HTTP/1.1 503 ")
    finally:
        crowd.close()


def test_an_answer_that_nobody_reads_ends(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setattr(Connection, "patience_s", 0.1)
    host, port = url.removeprefix("http://").split(":")
    with httpx.Client(base_url=url) as client:
        whole = 400 * len(client.get("/config").content)

    def check(pace: float) -> None:
        with socket.socket() as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            one.settimeout(240)
            one.connect((host, int(port)))
            one.sendall(get("/config") * 400)
            time.sleep(pace)
            told = 0
            with suppress(ConnectionResetError):
                while part := one.recv(100_000):
                    told += len(part)
        assert told < whole

    at_some_pace(check)


def test_a_pool_is_shared_however_many_ask() -> None:
    for most in range(1, 60):
        for clients in range(1, 8):
            pool, names = Pool(most), [str(number) for number in range(clients)]
            for name in names:
                while pool.has_room(name):
                    pool.take(name)
            assert pool.of("0") <= max(1, most / 2)
            assert pool.total <= most
            # Of a pool of some size, two leave a place for a third.
            assert clients > 2 or most < 4 or pool.has_room("newcomer")
            # Whoever is refused today is not for what has been given back.
            for name in names:
                pool.give_back(name, pool.of(name))
            assert pool.total == 0
            assert pool.has_room("0")


def test_bytes_are_shared_alike() -> None:
    pool = Pool(100)
    assert pool.has_room("a", 50)
    assert not pool.has_room("a", 51)
    pool.take("a", 50)
    assert not pool.has_room("a", 1)
    assert pool.has_room("b", 25)
    assert not pool.has_room("b", 26)


def test_uvicorn_is_the_one_that_the_connection_was_written_for() -> None:
    # It uses what is not documented: read spotter/serve/server.py again, and uvicorn's changes, before this is raised.
    assert uvicorn.__version__ == "0.54.0"
    pinned = re.findall(r"^uvicorn==(\S+)$", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert pinned == [uvicorn.__version__]
    with serving(create_app(predict_by_color, ModelInfo("Bears?", LABELS), CONFIG)) as url:
        assert httpx.get(f"{url}/healthz").status_code == 200
