"""Brave: real sockets against a stand-in on 127.0.0.1. No recorded answer exists; the form is the documented one."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from spotter.errors import SourceThrottled, SourceUnavailable
from spotter.search.base import ImageHit
from spotter.search.brave import Brave
from tests.helpers.loopback import Answer, JsonServer

KEY = "BSA-s3cret"


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRAVE_API_KEY", KEY)


def result(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "type": "image_result",
        "title": f"Bear {number}",
        "url": f"https://site.example/bears/{number}",
        "source": "site.example",
        "thumbnail": {"src": f"https://imgs.search.brave.com/{number}", "width": 500, "height": 375},
        "properties": {"url": f"https://cdn.example/{number}.jpg", "width": 1600, "height": 1200},
        **changes,
    }


def answer(results: Any) -> Answer:
    content = {"type": "images", "query": {"original": "bear"}, "results": results, "extra": {}}
    return 200, {"Content-Type": "application/json"}, json.dumps(content).encode()


def search(
    handler: Callable[[str, dict[str, str]], Answer], limit: int = 50, waits: list[float] | None = None
) -> tuple[list[ImageHit], JsonServer]:
    sleep = ([] if waits is None else waits).append
    with JsonServer(handler) as server:
        source = Brave(base_url=f"{server.url}/res/v1/images/search", per_minute=6e6, sleep=sleep)
        return list(source.search("brown bear", limit)), server


def test_a_hit_tells_all_that_is_known() -> None:
    hits, server = search(lambda path, query: answer([result(7)]))
    assert hits == [
        ImageHit(
            backend="brave",
            backend_id="https://cdn.example/7.jpg",
            query="brown bear",
            rank=0,
            image_url="https://cdn.example/7.jpg",
            thumb_url="https://imgs.search.brave.com/7",
            page_url="https://site.example/bears/7",
            title="Bear 7",
            width=1600,
            height=1200,
            license_id="unknown",
        )
    ]
    (request,) = server.requests
    assert request.path == "/res/v1/images/search"
    assert request.query == {"q": "brown bear", "count": "50", "safesearch": "strict"}
    assert request.headers["x-subscription-token"] == KEY


@pytest.mark.parametrize(("limit", "given"), [(0, 0), (1, 1), (120, 120), (200, 200), (450, 200)])
def test_one_request_whatever_the_limit(limit: int, given: int) -> None:
    hits, server = search(lambda path, query: answer([result(n) for n in range(int(query["count"]))]), limit)
    assert [hit.rank for hit in hits] == list(range(given))
    assert [request.query["count"] for request in server.requests] == ([str(given)] if limit else [])


def test_more_results_than_asked_for() -> None:
    hits, _ = search(lambda path, query: answer([result(number) for number in range(9)]), limit=3)
    assert len(hits) == 3


def test_nothing_found() -> None:
    assert search(lambda path, query: answer([]))[0] == []


def test_each_address_once() -> None:
    hits, _ = search(lambda path, query: answer([result(1), result(2, properties=result(1)["properties"]), result(3)]))
    assert [(hit.title, hit.rank) for hit in hits] == [("Bear 1", 0), ("Bear 3", 1)]


@pytest.mark.parametrize("value", [None, 0, "", [], {}, [3], {"url": 5}, {"src": None}, "javascript:alert(1)"])
def test_fields_of_another_type(value: object) -> None:
    no_sizes = {"url": "https://cdn.example/1.jpg", "width": value, "height": value}
    odd = result(1, url=value, thumbnail=value, properties=no_sizes)
    hits, _ = search(lambda path, query: answer([value, result(2, properties=value), odd]))
    (hit,) = hits
    assert (hit.backend_id, hit.rank) == ("https://cdn.example/1.jpg", 0)
    assert (hit.page_url, hit.thumb_url, hit.width, hit.height) == (None, None, None, None)


def test_missing_fields() -> None:
    hits, _ = search(lambda path, query: answer([{}, {"properties": {"url": "https://cdn.example/1.jpg"}}]))
    assert [(hit.image_url, hit.title) for hit in hits] == [("https://cdn.example/1.jpg", None)]


def test_a_refusal_that_passes() -> None:
    waits: list[float] = []
    left = [(429, {"Retry-After": "3"}, b""), (502, {}, b""), answer([result(1)])]
    hits, _ = search(lambda path, query: left.pop(0), waits=waits)
    assert len(hits) == 1
    assert [seconds for seconds in waits if seconds >= 1] == [3.0, 2.0]


@pytest.mark.parametrize(
    ("status", "body", "error", "words"),
    [
        (401, b"", SourceUnavailable, "BRAVE_API_KEY"),
        (
            422,
            f'{{"error": {{"code": "SUBSCRIPTION_TOKEN_INVALID", "token": "{KEY}"}}}}'.encode(),
            None,
            "BRAVE_API_KEY",
        ),
        (403, b"", SourceThrottled, "needs a key"),
        (429, b"", SourceThrottled, "asked too often"),
        (503, b"", SourceUnavailable, "HTTP 503"),
        (302, b"", SourceUnavailable, "HTTP 302"),
        (200, b"<html></html>", SourceUnavailable, "does not answer with JSON"),
        (200, b'{"results": [{"ti', SourceUnavailable, "does not answer with JSON"),
        (200, b'{"type": "ErrorResponse"}', SourceUnavailable, "unknown format"),
        (200, b'{"results": {}}', SourceUnavailable, "unknown format"),
    ],
)
def test_a_failure_is_never_an_empty_result(
    status: int, body: bytes, error: type[Exception] | None, words: str
) -> None:
    with pytest.raises(error or SourceUnavailable, match=words) as caught:
        search(lambda path, query: (status, {}, body))
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("status", [401, 422])
def test_a_refused_key_is_not_tried_again(status: int) -> None:
    waits: list[float] = []
    with (
        JsonServer(lambda path, query: (status, {}, b"")) as server,
        pytest.raises(SourceUnavailable),
    ):
        list(Brave(base_url=server.url, per_minute=6e6, sleep=waits.append).search("bear", 5))
    assert (len(server.requests), waits) == (1, [])


@pytest.mark.parametrize("value", [None, "", "  "])
def test_without_a_key(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    if value is None:
        monkeypatch.delenv("BRAVE_API_KEY")
    else:
        monkeypatch.setenv("BRAVE_API_KEY", value)
    with pytest.raises(SourceUnavailable, match="needs a key; put it in the environment variable BRAVE_API_KEY"):
        Brave()


@pytest.mark.parametrize("value", ["s3cret\r\nX-Other: 1", "s3crét", "s3cret s3cret"])
def test_what_cannot_be_a_key_is_not_shown(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("BRAVE_API_KEY", value)
    with pytest.raises(SourceUnavailable, match="BRAVE_API_KEY holds characters") as caught:
        Brave()
    assert "s3cr" not in str(caught.value)
