"""The JSON client: real sockets on 127.0.0.1, and a clock that only moves when the client sleeps."""

import gzip
import json
import socket
import time
from collections.abc import Callable
from email.utils import formatdate

import pytest

from spotter.errors import SourceThrottled, SourceUnavailable
from spotter.search.json_client import LONGEST_WAIT_S, MAX_ANSWER_BYTES, RETRIES, JsonClient
from tests.helpers.loopback import Answer, JsonServer
from tests.helpers.ports import deaf_port

KEY = "s3cret-key"
OK: Answer = (200, {}, b'{"results": []}')


class Clock:
    """`sleep` moves the time that it tells."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def client(clock: Clock, per_minute: float = 6e6, **options: object) -> JsonClient:
    return JsonClient("Service", per_minute, sleep=clock.sleep, clock=clock, **options)


def answers(*sequence: Answer) -> Callable[[str, dict[str, str]], Answer]:
    """Each answer once, the last one for ever."""
    left = list(sequence)
    return lambda path, query: left.pop(0) if len(left) > 1 else left[0]


def waits(clock: Clock) -> list[float]:
    return [seconds for seconds in clock.slept if seconds > 0.001]


def test_a_request_tells_its_words_and_who_asks(clock: Clock) -> None:
    with JsonServer(lambda path, query: OK) as server:
        assert client(clock).get(f"{server.url}/v1", {"q": "teddy & bär", "page": 2}) == {"results": []}
    (request,) = server.requests
    assert (request.path, request.query) == ("/v1", {"q": "teddy & bär", "page": "2"})
    assert request.headers["user-agent"].startswith("Spotter/")
    assert request.headers["accept"] == "application/json"
    assert waits(clock) == []


def test_requests_are_spaced_evenly(clock: Clock) -> None:
    with JsonServer(lambda path, query: OK) as server:
        polite = client(clock, per_minute=20)
        starts = []
        for pause in (0.0, 0.0, 2.0, 10.0, 0.0):
            clock.now += pause
            polite.get(server.url, {})
            starts.append(clock.now - 1000)
    assert starts == pytest.approx([0, 3, 6, 16, 19])


def test_a_retry_waits_for_its_turn_too(clock: Clock) -> None:
    with JsonServer(answers((503, {}, b""), OK)) as server:
        client(clock, per_minute=6).get(server.url, {})
    assert clock.now - 1000 == pytest.approx(10)


@pytest.mark.parametrize("status", [202, 403, 429, 500, 502, 503])
def test_a_passing_refusal_is_tried_again(clock: Clock, status: int) -> None:
    with JsonServer(answers((status, {}, b"slow down"), OK)) as server:
        assert client(clock).get(server.url, {}) == {"results": []}
    assert waits(clock) == [1.0]


@pytest.mark.parametrize(
    ("value", "waited"),
    [("7", 7.0), ("0", 0.0), ("86400", LONGEST_WAIT_S), ("9" * 400, LONGEST_WAIT_S), ("soon", 1.0), ("-5", 1.0)],
)
def test_retry_after_in_seconds_is_obeyed_within_bounds(clock: Clock, value: str, waited: float) -> None:
    with JsonServer(answers((429, {"Retry-After": value}, b""), OK)) as server:
        client(clock).get(server.url, {})
    assert sum(waits(clock)) == pytest.approx(waited, abs=0.01)


@pytest.mark.parametrize(("ahead", "waited"), [(20, 20.0), (-3600, 0.0), (86400, LONGEST_WAIT_S)])
def test_retry_after_as_a_date_is_obeyed_within_bounds(clock: Clock, ahead: int, waited: float) -> None:
    date = formatdate(time.time() + ahead, usegmt=True)
    with JsonServer(answers((503, {"Retry-After": date}, b""), OK)) as server:
        client(clock).get(server.url, {})
    assert sum(waits(clock)) == pytest.approx(waited, abs=5)


def test_retry_after_with_a_digit_that_is_no_number(clock: Clock) -> None:
    with JsonServer(answers((429, {"Retry-After": "\xb2"}, b""), OK)) as server:
        client(clock).get(server.url, {})
    assert waits(clock) == [1.0]


@pytest.mark.parametrize("status", [202, 403, 429])
def test_a_lasting_refusal_is_throttling(clock: Clock, status: int) -> None:
    with JsonServer(lambda path, query: (status, {}, b"{}")) as server, pytest.raises(SourceThrottled) as caught:
        client(clock, headers={"X-Key": KEY}).get(server.url, {})
    assert len(server.requests) == RETRIES
    assert f"Service refuses to answer (HTTP {status})" in str(caught.value)


def test_a_lasting_failure_is_no_throttling(clock: Clock) -> None:
    with JsonServer(lambda path, query: (500, {}, b"")) as server, pytest.raises(SourceUnavailable) as caught:
        client(clock).get(server.url, {})
    assert len(server.requests) == RETRIES
    assert type(caught.value) is SourceUnavailable
    assert "HTTP 500" in str(caught.value)


@pytest.mark.parametrize("status", [204, 400, 401, 404, 410, 418])
def test_an_error_of_ours_is_not_tried_again(clock: Clock, status: int) -> None:
    with JsonServer(lambda path, query: (status, {}, b"")) as server, pytest.raises(SourceUnavailable) as caught:
        client(clock).get(server.url, {})
    assert type(caught.value) is SourceUnavailable
    assert f"HTTP {status}" in str(caught.value)
    assert len(server.requests) == 1
    assert waits(clock) == []


def test_a_service_explains_its_own_refusals(clock: Clock) -> None:
    with JsonServer(lambda path, query: (422, {}, b"")) as server:
        with pytest.raises(SourceUnavailable, match=r"^Check the key\.$"):
            client(clock, refusals={422: "Check the key."}).get(server.url, {})
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>Just a moment...</html>", b'{"results": [{"url": "htt', b"\xff\xfe\x00", b"[" * 100_000],
    ids=["nothing", "html", "half", "no text", "deep"],
)
def test_something_else_than_json(clock: Clock, body: bytes) -> None:
    with (
        JsonServer(lambda path, query: (200, {"Content-Type": "application/json"}, body)) as server,
        pytest.raises(SourceUnavailable, match="does not answer with JSON"),
    ):
        client(clock).get(server.url, {})


@pytest.mark.parametrize("content", [[], None, 3, "text"])
def test_json_that_is_no_object(clock: Clock, content: object) -> None:
    with (
        JsonServer(lambda path, query: (200, {}, json.dumps(content).encode())) as server,
        pytest.raises(SourceUnavailable, match="unknown format"),
    ):
        client(clock).get(server.url, {})


@pytest.mark.parametrize("headers", [{"Content-Encoding": "gzip"}, {"Content-Length": "100"}], ids=["gzip", "cut"])
def test_a_broken_body(clock: Clock, headers: dict[str, str]) -> None:
    # HTTP/1.0: the server hangs up after its answer, so a body can end early.
    with JsonServer(lambda path, query: (200, headers, b'{"results": []}')) as server:
        with pytest.raises(SourceUnavailable, match="cannot be reached"):
            client(clock).get(server.url, {})
        assert len(server.requests) == RETRIES


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_an_answer_that_is_too_large_is_refused(clock: Clock, encoding: str) -> None:
    body = b'{"results": "' + b"x" * MAX_ANSWER_BYTES + b'"}'
    if encoding == "gzip":
        body = gzip.compress(body, 1)
    with JsonServer(lambda path, query: (200, {"Content-Encoding": encoding}, body)) as server:
        with pytest.raises(SourceUnavailable, match=r"more than 20 MB"):
            client(clock).get(server.url, {})
        assert len(server.requests) == 1


def test_half_a_character_in_a_query_is_replaced(clock: Clock) -> None:
    with JsonServer(lambda path, query: OK) as server:
        client(clock).get(server.url, {"q": "bear \udcff"})
    assert [request.query for request in server.requests] == [{"q": "bear ?"}]


def test_no_connection(clock: Clock) -> None:
    with deaf_port() as port, pytest.raises(SourceUnavailable) as caught:
        client(clock, per_minute=20, headers={"X-Key": KEY}).get(f"http://127.0.0.1:{port}", {})
    assert str(caught.value) == (
        "Service cannot be reached (no connection); check the internet connection, or use another --search."
    )
    # Its turn would be after three seconds, but nobody was asked.
    assert waits(clock) == [0.5]


def test_a_connection_that_was_there_is_waited_for(clock: Clock) -> None:
    asking = client(clock)
    with JsonServer(lambda path, query: OK) as server:
        asking.get(server.url, {})
    with pytest.raises(SourceUnavailable, match="no connection"):
        asking.get(server.url, {})
    assert waits(clock) == [1.0, 2.0]


def test_no_answer_in_time(clock: Clock) -> None:
    # The system accepts the connections for a socket that listens; nobody answers them.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(SourceUnavailable, match="no answer in time"):
            client(clock, timeout_s=0.05).get(url, {})


def test_a_redirection_is_followed_without_a_key(clock: Clock) -> None:
    def moved(path: str, query: dict[str, str]) -> Answer:
        return OK if path == "/new" else (301, {"Location": "/new"}, b"")

    with JsonServer(moved) as server:
        assert client(clock).get(f"{server.url}/old", {}) == {"results": []}


def test_a_circle_of_redirections_ends(clock: Clock) -> None:
    with (
        JsonServer(lambda path, query: (302, {"Location": "/again"}, b"")) as server,
        pytest.raises(SourceUnavailable, match="cannot be reached"),
    ):
        client(clock).get(server.url, {})


def test_a_key_is_sent_but_not_handed_on(clock: Clock) -> None:
    with JsonServer(lambda path, query: OK) as other:
        elsewhere = other.url.replace("127.0.0.1", "localhost")
        with (
            JsonServer(lambda path, query: (302, {"Location": elsewhere}, b"")) as server,
            pytest.raises(SourceUnavailable, match="HTTP 302") as caught,
        ):
            client(clock, headers={"X-Key": KEY}).get(server.url, {})
    assert [request.headers["x-key"] for request in server.requests] == [KEY]
    assert other.requests == []
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("status", [200, 302, 401, 403, 422, 429, 500])
def test_no_message_shows_the_key(clock: Clock, status: int) -> None:
    with (
        JsonServer(lambda path, query: (status, {}, f"bad key {KEY}".encode())) as server,
        pytest.raises(SourceUnavailable) as caught,
    ):
        client(clock, headers={"X-Key": KEY}).get(server.url, {})
    error: BaseException | None = caught.value
    while error:
        assert KEY not in str(error)
        error = error.__cause__
