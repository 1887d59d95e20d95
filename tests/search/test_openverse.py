"""Openverse: real sockets against a stand-in on 127.0.0.1, and its recorded answers."""

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from spotter.errors import SourceThrottled, SourceUnavailable
from spotter.search.base import ImageHit
from spotter.search.openverse import Openverse
from tests.conftest import SHARED
from tests.helpers.loopback import Answer, JsonServer

RECORDED = SHARED / "fixtures"
TOKEN = "abc-123-def"  # noqa: S105


def answer(content: object, status: int = 200, **headers: str) -> Answer:
    return status, {"Content-Type": "application/json", **headers}, json.dumps(content).encode()


def result(place: int, **more: object) -> dict[str, object]:
    return {
        "id": f"id-{place}",
        "url": f"https://pictures.example/{place}.jpg",
        "title": f"Bear {place}",
        "license": "by",
        "license_version": "2.0",
        **more,
    }


def listing(*results: object, page_count: object = 1) -> Answer:
    return answer({"result_count": 9, "page_count": page_count, "page_size": 20, "page": 1, "results": list(results)})


def service(total: int, page_count: int | None = None) -> Callable[[str, dict[str, str]], Answer]:
    """Answers like the real one: it refuses anonymous requests for more than 20 pictures, or behind the 240th."""

    def handler(path: str, query: dict[str, str]) -> Answer:
        page, size = int(query["page"]), int(query["page_size"])
        if path != "/v1/images/" or size > 20 or page * size > 240:
            return answer({"detail": "Not allowed."}, 401)
        places = range((page - 1) * size, min(page * size, total))
        pages = -(-min(total, 240) // size) if page_count is None else page_count
        return listing(*map(result, places), page_count=pages)

    return handler


def search(server: JsonServer, limit: int = 100, waits: list[float] | None = None) -> Iterator[ImageHit]:
    source = Openverse(
        base_url=f"{server.url}/v1/images/", per_minute=60_000, sleep=([] if waits is None else waits).append
    )
    return source.search("brown bear", limit)


def ask(server: JsonServer, limit: int = 100, waits: list[float] | None = None) -> list[ImageHit]:
    return list(search(server, limit, waits))


def only(*results: object) -> list[ImageHit]:
    with JsonServer(lambda path, query: listing(*results)) as server:
        return ask(server)


def recorded(number: int) -> bytes:
    path: Path = RECORDED / f"openverse-{number}.json"
    if not path.is_file():
        pytest.skip("the recorded answers of Openverse (../shared/fixtures) are not on this machine")
    return path.read_bytes()


@pytest.fixture(autouse=True)
def no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENVERSE_TOKEN", raising=False)


def test_goes_on_over_pages_until_the_limit() -> None:
    with JsonServer(service(1000)) as server:
        hits = ask(server, 45)
    assert [hit.backend_id for hit in hits] == [f"id-{place}" for place in range(45)]
    assert [hit.rank for hit in hits] == list(range(45))
    assert [request.query["page"] for request in server.requests] == ["1", "2", "3"]
    first = server.requests[0]
    assert first.query == {"q": "brown bear", "page": "1", "page_size": "20", "mature": "false"}
    assert "Spotter" in first.headers["user-agent"]
    assert "authorization" not in first.headers


@pytest.mark.parametrize(
    ("total", "page_count", "requests"),
    [(30, None, 2), (40, None, 2), (0, None, 1), (30, 250, 3), (1000, 500, 12)],
    ids=["half a page", "whole pages", "none", "an empty page", "as deep as allowed"],
)
def test_ends_with_the_results(total: int, page_count: int | None, requests: int) -> None:
    with JsonServer(service(total, page_count)) as server:
        hits = ask(server, 5000)
    assert len(hits) == min(total, 240)
    assert len(server.requests) == requests


def test_asks_nothing_for_a_limit_of_zero() -> None:
    with JsonServer(service(10)) as server:
        assert ask(server, 0) == []
    assert not server.requests


def test_the_same_picture_counts_once_and_a_page_without_pages_ends() -> None:
    with JsonServer(lambda path, query: listing(result(1), result(1), page_count=None)) as server:
        hits = ask(server)
    assert [hit.rank for hit in hits] == [0]
    assert len(server.requests) == 12


def test_reads_the_newer_fields() -> None:
    newer = result(
        1,
        thumbnail="https://api.openverse.org/v1/images/id-1/thumb/",
        foreign_landing_url="https://museum.example/1",
        creator="Ann",
        creator_url="https://museum.example/ann",
        license_url="https://creativecommons.org/licenses/by/2.0/",
        attribution='"Bear 1" by Ann is licensed under CC BY 2.0. To view a copy of this license, visit ...',
        filetype="png",
        filesize=None,
        width=800,
        height=600,
        mature=False,
        indexed_on="2022-12-11T05:54:37Z",
        unstable__sensitivity=[],
    )
    assert only(newer) == [
        ImageHit(
            backend="openverse",
            backend_id="id-1",
            query="brown bear",
            rank=0,
            image_url="https://pictures.example/1.jpg",
            thumb_url="https://api.openverse.org/v1/images/id-1/thumb/",
            page_url="https://museum.example/1",
            title="Bear 1",
            width=800,
            height=600,
            mime="image/png",
            creator="Ann",
            creator_url="https://museum.example/ann",
            license_id="CC-BY-2.0",
            license_url="https://creativecommons.org/licenses/by/2.0/",
            attribution='"Bear 1" by Ann is licensed under CC BY 2.0. To view a copy of this license, visit ...',
        )
    ]


@pytest.mark.parametrize(
    ("code", "version", "license_id", "attribution"),
    [
        ("by", "2.0", "CC-BY-2.0", '"Bear 1" by Ann is licensed under CC BY 2.0.'),
        ("by-nc-nd", "4.0", "CC-BY-NC-ND-4.0", '"Bear 1" by Ann is licensed under CC BY-NC-ND 4.0.'),
        ("cc0", "1.0", "CC0-1.0", '"Bear 1" by Ann is marked with CC0 1.0.'),
        ("pdm", "1.0", "PDM-1.0", '"Bear 1" by Ann is marked with Public Domain Mark 1.0.'),
        ("by", None, "unknown", None),
        ("by", "2.0\nCC0", "unknown", None),
        ("sampling+", "1.0", "unknown", None),
        ("nc-sampling+", "1.0", "unknown", None),
        ("all-rights-reserved", "4.0", "unknown", None),
        (None, None, "unknown", None),
        (7, 2.0, "unknown", None),
        (["by"], {"2": 0}, "unknown", None),
    ],
)
def test_maps_licences(code: object, version: object, license_id: str, attribution: str | None) -> None:
    (hit,) = only(result(1, license=code, license_version=version, creator="Ann"))
    assert (hit.license_id, hit.attribution) == (license_id, attribution)


def test_survives_missing_null_and_wrong_fields() -> None:
    keys = ("id", "title", "thumbnail", "foreign_landing_url", "creator", "creator_url", "license_url", "attribution")
    keys += ("filetype", "width", "height", "license", "license_version")
    odd: tuple[object, ...] = (None, 5, -1.5, True, [], {}, "", " ")
    for value in odd:
        (hit,) = only({"url": "https://pictures.example/1.jpg", **dict.fromkeys(keys, value)})
        assert hit.backend_id == "https://pictures.example/1.jpg"
        assert (hit.title, hit.creator, hit.page_url, hit.mime, hit.license_id) == (None, None, None, None, "unknown")
    (hit,) = only({"url": "https://pictures.example/1.jpg"})
    assert (hit.width, hit.height, hit.attribution) == (None, None, None)


def test_skips_results_without_a_web_address() -> None:
    unusable = [{**result(1), "url": url} for url in (None, "", 3, "file:///etc/passwd", "data:image/png;base64,AA")]
    hits = only("text", None, [], {}, *unusable, result(2))
    assert [(hit.backend_id, hit.rank) for hit in hits] == [("id-2", 0)]


def test_obeys_retry_after() -> None:
    answers = iter([answer({"detail": "throttled"}, 429, **{"Retry-After": "1"}), answer({}, 503), listing(result(1))])
    waits: list[float] = []
    with JsonServer(lambda path, query: next(answers)) as server:
        assert len(ask(server, waits=waits)) == 1
    assert [wait for wait in waits if wait >= 0.5] == [1.0, 2.0]


@pytest.mark.parametrize("status", [429, 403])
def test_says_when_it_is_refused(status: int) -> None:
    with (
        JsonServer(lambda path, query: answer({"detail": "no"}, status, **{"Retry-After": "0"})) as server,
        pytest.raises(SourceThrottled, match=f"Openverse refuses.*{status}"),
    ):
        ask(server)
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (answer({"detail": "page_size"}, 401), "refuses the key"),
        (answer({}, 404), "HTTP 404"),
        (answer({}, 500), "HTTP 500"),
        ((200, {}, b"<!doctype html><title>Just a moment</title>"), "does not answer with JSON"),
        ((200, {}, b'{"results": [{"id": "a'), "does not answer with JSON"),
        ((200, {}, b"\xff\xfe"), "does not answer with JSON"),
        ((200, {"Content-Encoding": "gzip"}, b"no gzip"), "cannot be reached"),
        (answer([1, 2]), "unknown format"),
        (answer({}), "unknown format"),
        (answer({"results": None, "page_count": 3}), "unknown format"),
        (answer({"results": {"1": {}}}), "unknown format"),
    ],
)
def test_says_when_the_answer_is_nonsense(reply: Answer, message: str) -> None:
    with JsonServer(lambda path, query: reply) as server, pytest.raises(SourceUnavailable, match=message):
        ask(server)


def test_says_when_there_is_no_service() -> None:
    with JsonServer(service(1)) as server:
        pass
    with pytest.raises(SourceUnavailable, match="cannot be reached"):
        ask(server)


def test_the_first_pictures_come_before_a_later_page_fails() -> None:
    def handler(path: str, query: dict[str, str]) -> Answer:
        return service(1000)(path, query) if query["page"] == "1" else answer({}, 429)

    hits: list[ImageHit] = []
    with JsonServer(handler) as server, pytest.raises(SourceThrottled):
        hits.extend(search(server))
    assert [hit.rank for hit in hits] == list(range(20))


def test_sends_the_token_and_never_shows_it(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("OPENVERSE_TOKEN", f"{TOKEN}\n")
    with (
        JsonServer(lambda path, query: answer({"detail": "expired"}, 401)) as server,
        caplog.at_level(logging.DEBUG),
        pytest.raises(SourceUnavailable) as caught,
    ):
        ask(server)
    assert server.requests[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert TOKEN not in f"{caught.value!r} {caplog.text} {server.requests[0].query}"


@pytest.mark.parametrize("token", [f"{TOKEN}\r\nX-Other: 1", f"{TOKEN} é"])
def test_refuses_an_impossible_token(monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    monkeypatch.setenv("OPENVERSE_TOKEN", token)
    with pytest.raises(SourceUnavailable, match="OPENVERSE_TOKEN") as caught:
        Openverse()
    assert TOKEN not in str(caught.value)


def test_reads_a_recorded_answer() -> None:
    body = recorded(1)
    with JsonServer(lambda path, query: (200, {}, body)) as server:
        hits = ask(server, 20)
    assert len(hits) == 20
    assert hits[0] == ImageHit(
        backend="openverse",
        backend_id="da5cb478-c093-4d62-b721-cda18797e3fb",
        query="brown bear",
        rank=0,
        image_url="https://live.staticflickr.com/2129/2385230430_a699b25f12_b.jpg",
        thumb_url="http://localhost:49153/v1/images/da5cb478-c093-4d62-b721-cda18797e3fb/thumb/",
        page_url="https://www.flickr.com/photos/8488209@N07/2385230430",
        title="bird",
        creator="Chester Zoo",
        creator_url="https://www.flickr.com/photos/8488209@N07",
        license_id="CC-BY-ND-2.0",
        license_url="https://creativecommons.org/licenses/by-nd/2.0/",
        attribution='"bird" by Chester Zoo is licensed under CC BY-ND 2.0.',
    )
    expected = {"CC-BY-2.0", "CC-BY-SA-2.0", "CC-BY-ND-2.0", "CC-BY-NC-SA-2.0", "CC-BY-NC-ND-2.0", "CC0-1.0"}
    assert {hit.license_id for hit in hits} == expected
    assert all(hit.attribution and hit.creator and hit.page_url for hit in hits)


def test_reads_the_recorded_empty_answer() -> None:
    body = recorded(5)
    with JsonServer(lambda path, query: (200, {}, body)) as server:
        assert ask(server) == []


def test_reads_the_recorded_refusal() -> None:
    body = recorded(7)
    with JsonServer(lambda path, query: (429, {}, body)) as server, pytest.raises(SourceThrottled, match="429"):
        ask(server)
