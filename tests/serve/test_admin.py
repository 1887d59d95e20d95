"""The pages for staff: who gets in, who is refused for how long, and what a refusal tells."""

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

import app as program
from spotter.config import ServeConfig
from spotter.errors import PasswordWeak
from spotter.serve.app import create_app
from spotter.serve.auth import GUESSES, read_password
from spotter.serve.limits import Buckets
from spotter.serve.service import ModelInfo
from spotter.serve.staff.guard import PRIVATE, Guard
from tests.helpers.pictures import LABELS, predict_by_color, serving

PASSWORD = "honey & Bärlauch"  # noqa: S105
INFO = ModelInfo("Which bear is this?", LABELS, "r-1", threshold=0.5)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def staffed(password: str | None, clock: Clock | None = None, *, behind_proxy: bool = False) -> Iterator[str]:
    """The real app with two staff routes of the test's own; the address of the app."""
    config = ServeConfig(behind_proxy=behind_proxy)
    app = create_app(predict_by_color, INFO, config, password=password)
    guard = next(route.app for route in app.routes if isinstance(route, Mount) and isinstance(route.app, Guard))
    pages = guard._app
    assert isinstance(pages, Starlette)
    pages.router.routes += [
        Route("/hello", hello),
        Route("/decide", decide, methods=["POST"]),
        Route("/broken", broken),
    ]
    if clock:
        assert guard._check
        guard._check.guesses = Buckets(1 / 60, GUESSES, clock)
    with serving(app) as url:
        yield url


async def hello(request: Request) -> Response:
    return JSONResponse("hello")


async def decide(request: Request) -> Response:
    return JSONResponse(len(await request.body()))


async def broken(request: Request) -> Response:
    raise RuntimeError("a secret of this machine")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with staffed(PASSWORD, Clock()) as address:
        yield address


def test_the_password_opens_the_page_whatever_the_name(url: str) -> None:
    for name in ("", "anna"):
        response = httpx.get(f"{url}/staff/hello", auth=(name, PASSWORD))
        assert (response.status_code, response.json()) == (200, "hello")


def test_without_it_the_browser_is_told_to_ask(url: str) -> None:
    response = httpx.get(f"{url}/staff/hello")
    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith('Basic realm="')
    assert "hello" not in response.text


@pytest.mark.parametrize(
    "header", ["", "Basic", "Basic ###", "Basic aGVsbG8=", "Bearer aGVsbG8=", "Basic\taGVsbG8=", "basic " + "A" * 5000]
)
def test_what_is_no_password_is_no_guess(url: str, header: str) -> None:
    for _ in range(GUESSES + 2):
        assert httpx.get(f"{url}/staff/hello", headers={"Authorization": header}).status_code == 401
    assert httpx.get(f"{url}/staff/hello", auth=("", PASSWORD)).status_code == 200


@pytest.mark.parametrize("path", ["/staff/", "/staff/hello", "/staff/none", "/staff/hello/", "/staff//hello"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE", "OPTIONS"])
def test_which_pages_there_are_is_told_to_nobody_else(url: str, path: str, method: str) -> None:
    assert httpx.request(method, url + path).status_code == 401


def test_no_answer_is_kept_or_framed(url: str) -> None:
    right, wrong, none, missing = (
        httpx.get(f"{url}/staff/hello", auth=("", PASSWORD)),
        httpx.get(f"{url}/staff/hello", auth=("", "wrong")),
        httpx.get(f"{url}/staff/hello"),
        httpx.get(f"{url}/staff/none", auth=("", PASSWORD)),
    )
    assert [each.status_code for each in (right, wrong, none, missing)] == [200, 401, 401, 404]
    for response in (right, wrong, none, missing):
        assert {name: response.headers[name] for name in PRIVATE} == PRIVATE


def test_a_failing_page_tells_nothing(url: str) -> None:
    response = httpx.get(f"{url}/staff/broken", auth=("", PASSWORD))
    assert response.status_code == 500
    assert "secret" not in response.text


def test_a_form_of_another_site_decides_nothing(url: str) -> None:
    def post(**headers: str) -> int:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx.post(f"{url}/staff/decide", content=b"abc", headers=sent, auth=("", PASSWORD)).status_code

    assert post() == 200
    assert post(Origin=url, Sec_Fetch_Site="same-origin") == 200
    assert post(Origin="https://evil.example") == 403
    assert post(Origin="null") == 403
    assert post(Sec_Fetch_Site="cross-site") == 403
    assert post(Sec_Fetch_Site="same-site") == 403
    # No page can set these two.
    assert post(Origin=url, Sec_Fetch_Site="cross-site") == 403
    assert post(Origin="https://evil.example", X_Forwarded_Host="bears.example") == 403
    assert post(Origin="null", X_Forwarded_Host="") == 403
    assert post(Origin="https://", Host="") == 403


def test_staff_decide_through_a_proxy_that_asks_by_a_name_of_its_own(url: str) -> None:
    def post(origin: str, **headers: str) -> int:
        sent = {name.replace("_", "-"): value for name, value in headers.items()} | {"Origin": origin}
        return httpx.post(f"{url}/staff/decide", content=b"abc", headers=sent, auth=("", PASSWORD)).status_code

    # As nginx and Apache send it on when they are told no more than where the app is.
    assert post("https://bears.example", Sec_Fetch_Site="same-origin") == 200
    assert post("http://bears.example:8080", X_Forwarded_Host="bears.example:8080") == 200
    assert post("http://bears.example", X_Forwarded_Host="bears.example, inner.example") == 200
    assert post("http://bears.example", X_Forwarded_Host="inner.example, bears.example") == 403


def test_a_body_is_not_read_before_the_password(url: str) -> None:
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=120) as connection:
        connection.sendall(b"POST /staff/decide HTTP/1.1\r\nHost: app\r\nContent-Length: 1000\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 401")


def test_too_many_wrong_guesses_shut_that_client_out_for_a_while() -> None:
    clock = Clock()
    with staffed(PASSWORD, clock, behind_proxy=True) as url:

        def ask(password: str, client: str) -> httpx.Response:
            headers = {"X-Forwarded-For": client}
            return httpx.get(f"{url}/staff/hello", auth=("", password), headers=headers)

        for number in range(GUESSES):
            assert ask(f"guess {number}", "8.8.8.8").status_code == 401
        refused = ask("one more", "8.8.8.8")
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) == 60
        # Not even the right one is told from wrong ones now, but others are let in.
        assert ask(PASSWORD, "8.8.8.8").status_code == 429
        assert ask(PASSWORD, "9.9.9.9").status_code == 200
        assert httpx.get(f"{url}/healthz", headers={"X-Forwarded-For": "8.8.8.8"}).status_code == 200
        clock.now += 61
        assert ask(PASSWORD, "8.8.8.8").status_code == 200


def test_the_right_password_costs_no_guess(url: str) -> None:
    with httpx.Client(auth=("", PASSWORD)) as client:
        assert {client.get(f"{url}/staff/hello").status_code for _ in range(5 * GUESSES)} == {200}


@pytest.mark.parametrize("path", ["/staff", "/staff/", "/staff/hello", "/staff/none"])
def test_without_a_password_there_are_no_such_pages(path: str) -> None:
    with staffed(None) as url:
        for auth in (None, ("", ""), ("", "None")):
            response = httpx.get(url + path, auth=auth, follow_redirects=True)
            assert response.status_code == 404
            assert "www-authenticate" not in response.headers


def test_they_are_in_no_description(url: str) -> None:
    assert "/staff" not in httpx.get(f"{url}/openapi.json").text


def test_a_password_comes_from_the_environment_and_has_some_strength() -> None:
    assert read_password({"STAFF_PASSWORD": PASSWORD}) == PASSWORD
    assert read_password({"STAFF_PASSWORD": ""}) is None
    assert read_password({}) is None
    for weak in ("secret7", "aaaaaaaaaaaaaaaa", "abababababab"):
        with pytest.raises(PasswordWeak, match="at least 8 characters") as caught:
            read_password({"STAFF_PASSWORD": weak})
        assert weak not in str(caught.value)


def test_a_weak_password_is_one_sentence_and_is_not_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STAFF_PASSWORD", "zx9!q")
    assert program.main(["--model", "models/none"]) == 1
    told = capsys.readouterr()
    assert told.err.startswith("app.py: The password in STAFF_PASSWORD is too easy to guess; ")
    assert told.err.count("\n") == 1
    assert "zx9!q" not in told.err + told.out


def test_the_password_is_in_no_log(url: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        httpx.get(f"{url}/staff/hello", auth=("", PASSWORD))
        httpx.get(f"{url}/staff/broken", auth=("", PASSWORD))
    assert PASSWORD not in caplog.text
