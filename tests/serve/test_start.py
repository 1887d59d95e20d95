"""An app that starts: what it answers before it has a model, and before its page is there."""

import asyncio
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest
from gradio.component_meta import ComponentMeta, create_or_modify_pyi
from gradio.queueing import Queue
from starlette.types import Receive, Scope, Send

import app as program
from spotter.config import ServeConfig
from spotter.serve.app import add_page
from spotter.serve.front import NO_PAGE, Front
from spotter.serve.page.quiet_queue import rest_while_empty
from spotter.serve.server import Running, running
from spotter.serve.service import ModelInfo, Service
from tests.conftest import Revision
from tests.helpers.patience import wait_until
from tests.helpers.pictures import BLUE, LABELS, encode, plain, predict_by_color, serving
from tests.helpers.ports import free_port

PICTURE = encode(plain(BLUE))
INFO = ModelInfo("Which bear?", LABELS, "r-1", threshold=0.5)
STARTING = "The app is starting; try again in a moment."
PROTECTED = ("/staff", "/staff/", "/staff/report", "/staff/review", "/staff/none")
CLOSED_PATHS = (
    *PROTECTED,
    "/metrics",
    "/docs",
    "/redoc",
    "/gradio_api/proxy=http://127.0.0.1/",
    "/gradio_api/file=http://127.0.0.1/",
    "/gradio_api/file=/etc/hostname",
    "/monitoring",
    "/login",
    "/staff/../metrics",
    "/api/../staff",
)
IMPATIENT = ServeConfig(start_s=0.05)


@contextmanager
def starting(config: ServeConfig | None = None) -> Iterator[tuple[Front, str]]:
    # Nobody is sent away before a busy machine has made a page.
    front = Front(config or ServeConfig(start_s=600))
    with serving(front) as url:
        yield front, url


def service(front: Front) -> Service:
    return Service(predict_by_color, INFO, front.metrics)


@contextmanager
def asking(front: Front, *asks: Callable[[], httpx.Response]) -> Iterator[list[Future[httpx.Response]]]:
    """Ask all at once, and go on once they are with the app and wait."""
    with ThreadPoolExecutor(len(asks)) as pool:
        futures = [pool.submit(ask) for ask in asks]
        wait_until(lambda: front.traffic.answers.total == len(asks))
        yield futures


def test_before_there_is_a_model_it_is_alive_and_not_ready() -> None:
    with starting() as (_, url):
        alive, ready = httpx.get(f"{url}/healthz"), httpx.get(f"{url}/readyz")
        assert (alive.status_code, alive.json()) == (200, {"status": "starting", "revision": None})
        assert (ready.status_code, ready.json()) == (503, {"status": "starting", "problem": STARTING})
        assert ready.headers["retry-after"] == "2"


def test_what_comes_before_the_model_waits_for_it() -> None:
    with starting() as (front, url):
        post = lambda: httpx.post(f"{url}/api/classify", content=PICTURE)  # noqa: E731
        with asking(front, post, lambda: httpx.get(f"{url}/api"), lambda: httpx.get(url)) as asked:
            front.answer(service(front))
            assert asked[0].result().json()["label"] == "black"
            assert "curl" in asked[1].result().text
            assert not asked[2].done()
            add_page(front, asked_service := service(front))
            assert asked_service.info.title in asked[2].result().text


def test_before_its_page_is_there_it_answers_and_is_not_ready() -> None:
    with starting() as (front, url):
        front.answer(service(front), password="honey & Bärlauch")  # noqa: S106
        assert httpx.get(f"{url}/healthz").json() == {"status": "ok", "revision": "r-1"}
        assert httpx.get(f"{url}/readyz").json() == {"status": "starting", "problem": STARTING}
        assert httpx.post(f"{url}/api/classify", content=PICTURE).json()["label"] == "black"
        assert httpx.get(f"{url}/staff/").status_code == 401
        assert httpx.get(f"{url}/example/0.jpg").status_code == 404
        with asking(front, lambda: httpx.get(f"{url}/config"), lambda: httpx.get(f"{url}/openapi.json")) as asked:
            add_page(front, service(front))
            assert asked[0].result().json()["components"]
            assert "/api/classify" in asked[1].result().json()["paths"]
        assert httpx.get(f"{url}/readyz").json() == {"status": "ok", "revision": "r-1"}


def test_who_waits_too_long_is_told_when_to_come_back() -> None:
    with starting(IMPATIENT) as (front, url):
        for path in ("/", "/config", "/gradio_api/info", "/api", "/openapi.json", "/staff", "/none"):
            answer = httpx.get(url + path)
            assert (answer.status_code, answer.json(), answer.headers["retry-after"]) == (503, {"error": STARTING}, "2")
        assert httpx.post(f"{url}/api/classify", content=PICTURE).status_code == 503
        front.answer(service(front))
        assert httpx.get(f"{url}/api").status_code == 200
        assert httpx.get(url).json() == {"error": STARTING}


def test_the_limits_hold_from_the_first_moment_on() -> None:
    config = ServeConfig(start_s=0.05, burst=4, rate_per_s=0.001, max_upload_bytes=1000)
    with starting(config) as (_, url):
        large = httpx.post(f"{url}/api/classify", content=bytes(200_000))
        assert large.status_code == 413
        closed = httpx.get(f"{url}/gradio_api/proxy=http://127.0.0.1/")
        assert (closed.status_code, closed.json()) == (403, {"detail": "This is not served from here."})
        codes = [httpx.post(f"{url}/api/classify", content=b"x").status_code for _ in range(5)]
        assert codes == [503, 503, 503, 429, 429]
        for answer in (large, closed, httpx.get(url), httpx.get(f"{url}/readyz")):
            assert answer.headers["x-content-type-options"] == "nosniff"


def test_one_client_cannot_take_all_places_to_wait() -> None:
    with starting(ServeConfig(max_connections=8, start_s=600)) as (front, url), ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(httpx.get, url) for _ in range(6)]
        wait_until(lambda: sum(each.done() for each in asked) == 3)
        assert {each.result().status_code for each in asked if each.done()} <= {429, 503}
        assert httpx.get(f"{url}/healthz").status_code == 200
        front.answer(service(front), has_page=False)


def test_a_page_of_another_site_may_not_ask_an_app_of_this_machine() -> None:
    headers = {"Origin": "https://blog.example", "Access-Control-Request-Method": "POST"}
    for host, allowed in (("127.0.0.1", None), ("0.0.0.0", "*")):
        with starting(ServeConfig(host=host, start_s=0.05)) as (_, url):
            answer = httpx.options(f"{url}/api/classify", headers=headers)
            assert answer.headers.get("access-control-allow-origin") == allowed
            refused = httpx.post(f"{url}/api/classify", content=PICTURE, headers=headers)
            assert (refused.status_code, refused.headers.get("access-control-allow-origin")) == (503, allowed)


def test_a_stop_does_not_wait_for_what_never_comes() -> None:
    with starting() as (front, url), asking(front, lambda: httpx.get(url)) as asked:
        front.traffic.stopping = True
        assert front._loop
        front._loop.call_soon_threadsafe(front.state.end_streams)
        answer = asked[0].result()
        assert (answer.status_code, answer.json()) == (503, {"error": "The app is about to stop."})


def test_a_signal_that_another_thread_gets_ends_the_app_too() -> None:
    config, begun = ServeConfig(port=0), time.monotonic()
    # The system chooses the thread; here it is not the one in which Python handles signals.
    get_signal = threading.Timer(0.3, lambda: signal.pthread_kill(threading.get_ident(), signal.SIGTERM))

    def wait_for_it(server: Running) -> None:
        get_signal.start()
        server.wait(900)

    with running(Front(config), config) as server, pytest.raises(SystemExit) as ended:
        wait_for_it(server)
    assert ended.value.code == 0
    assert time.monotonic() < begun + 600


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no SIGHUP")
def test_the_end_of_its_terminal_ends_the_app_properly() -> None:
    config, unseen = ServeConfig(port=0), list[int]()
    before = signal.signal(signal.SIGHUP, lambda number, _: unseen.append(number))
    try:
        # What its handler raises comes at once.
        with pytest.raises(SystemExit) as stopped, running(Front(config), config):
            signal.raise_signal(signal.SIGHUP)
        assert (stopped.value.code, unseen) == (0, [])
        signal.raise_signal(signal.SIGHUP)
        assert unseen == [signal.SIGHUP]
        # As nohup starts it.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with running(Front(config), config) as server:
            signal.raise_signal(signal.SIGHUP)
            assert not server.is_to_end
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_signal_that_a_library_swallows_ends_the_app_all_the_same() -> None:
    config = ServeConfig(port=0)
    with running(Front(config), config) as server:
        # As in the middle of an import: what is raised in such a place goes no further.
        with contextlib.suppress(BaseException):
            signal.raise_signal(signal.SIGTERM)
        with pytest.raises(SystemExit) as ended:
            server.wait(900)
    assert ended.value.code == 0


def test_a_signal_that_comes_before_the_first_answer_ends_the_app_too() -> None:
    config, unseen = ServeConfig(port=0), list[int]()
    front = Front(config)

    async def ended(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            os.kill(os.getpid(), signal.SIGTERM)
        await front(scope, receive, send)

    before = signal.signal(signal.SIGTERM, lambda number, _: unseen.append(number))
    try:
        with pytest.raises(SystemExit) as stopped, running(ended, config) as server:
            server.wait(5)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (stopped.value.code, unseen) == (0, [])


def test_without_a_page_programs_are_answered() -> None:
    with starting() as (front, url):
        front.answer(service(front), has_page=False)
        assert httpx.post(f"{url}/api/classify", content=PICTURE).json()["label"] == "black"
        assert httpx.get(f"{url}/readyz").json() == {"status": "ok", "revision": "r-1"}
        assert "/api/classify" in httpx.get(f"{url}/openapi.json").json()["paths"]
        for path in ("/", "/config", "/embed.js", "/preview.jpg", "/gradio_api/info"):
            answer = httpx.get(url + path)
            assert (answer.status_code, answer.json()) == (404, {"error": NO_PAGE})


def test_another_model_takes_the_place_of_the_first_and_its_page_too() -> None:
    with starting() as (front, url):
        problem = "The store of the model cannot be reached."
        front.answer(service(front), problem=problem)
        assert httpx.get(f"{url}/readyz").json() == {"status": "fail", "problem": problem}
        add_page(front, service(front), problem)
        assert problem in httpx.get(f"{url}/config").text
        front.answer(service(front))
        assert httpx.get(f"{url}/readyz").json()["status"] == "starting"
        add_page(front, service(front))
        assert problem not in httpx.get(f"{url}/config").text
        assert httpx.get(f"{url}/readyz").json() == {"status": "ok", "revision": "r-1"}


def test_a_page_that_cannot_be_built_ends_the_app(
    prebuilt: Revision, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*about: object) -> None:
        raise RuntimeError("no page")

    monkeypatch.setattr("spotter.serve.app.add_page", fail)
    port = free_port()
    with pytest.raises(RuntimeError, match="no page"):
        program.main(["--model", str(prebuilt.store), "--port", str(port)])
    assert capsys.readouterr().out == ""
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/healthz")


def test_a_page_that_cannot_be_imported_ends_the_app_with_a_sentence(
    prebuilt: Revision, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "spotter.serve.app")
    monkeypatch.setitem(sys.modules, "gradio", None)
    port = free_port()
    assert program.main(["--model", str(prebuilt.store), "--port", str(port)]) == 1
    told = capsys.readouterr()
    assert "The page cannot be loaded" in told.err
    assert "--no-page" in told.err
    assert "Traceback" not in told.err
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/healthz")


def test_what_is_behind_a_password_is_so_before_the_page_is_there() -> None:
    config = ServeConfig(start_s=0.05)
    with starting(config) as (front, url):
        front.answer(service(front), password="honey & Bärlauch")  # noqa: S106
        early = {path: httpx.get(url + path) for path in PROTECTED}
        assert {path: answer.status_code for path, answer in early.items()} == dict.fromkeys(PROTECTED, 401)
        assert httpx.post(f"{url}/staff/review/0", content=b"yes").status_code == 401
        add_page(front, service(front))
        late = {path: httpx.get(url + path) for path in PROTECTED}
        for path in PROTECTED:
            assert (late[path].status_code, late[path].text) == (early[path].status_code, early[path].text)


def test_nothing_is_answered_early_that_is_closed_later() -> None:
    with starting(IMPATIENT) as (front, url):
        front.answer(service(front))
        early = {path: httpx.get(url + path).status_code for path in CLOSED_PATHS}
        add_page(front, service(front))
        late = {path: httpx.get(url + path).status_code for path in CLOSED_PATHS}
    # 503: it waits for the page, which then decides.
    assert {path: code for path, code in early.items() if code not in {503, late[path]}} == {}
    assert 200 not in {*early.values(), *late.values()}


def test_a_page_whose_start_fails_is_told_to_whoever_shows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*about: object) -> None:
        raise RuntimeError("no life")

    monkeypatch.setattr("spotter.serve.app.tidying", fail)
    monkeypatch.setenv("GRADIO_TEMP_DIR", "uploads")
    with starting() as (front, _):
        front.answer(service(front))
        with pytest.raises(RuntimeError, match="no life"):
            add_page(front, service(front))


def test_gradio_is_the_one_whose_insides_are_used() -> None:
    # Read spotter/serve/startup.py and quiet_queue.py again, and Gradio's changes, before this is changed.
    assert create_or_modify_pyi.__name__ in ComponentMeta.__new__.__code__.co_names
    for name in ("start_processing", "start_progress_updates"):
        assert name in Queue.start.__code__.co_names
        assert {"sleep", "stopped", "active_jobs"} <= set(getattr(Queue, name).__code__.co_names)


def test_a_queue_that_is_empty_does_no_work() -> None:
    class Counted(Queue):
        looks = 0

        def __len__(self) -> int:
            self.looks += 1
            return super().__len__()

    async def run() -> None:
        queue = Counted(False, 2, 1, None, blocks=None)  # type: ignore[arg-type]
        rest_while_empty(queue)
        queue.start()
        await asyncio.sleep(0.2)
        # Gradio's own loop would have looked a hundred times or more.
        assert queue.looks < 10
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        # What Gradio does at the end of its loop was done.
        assert queue.stopped

    asyncio.run(run())
