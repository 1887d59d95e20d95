"""iNaturalist: real sockets against a stand-in on 127.0.0.1."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from spotter.errors import SourceThrottled, SourceUnavailable
from spotter.search.base import ImageHit
from spotter.search.inaturalist import MAX_RECORDS, PAGE_SIZE, INaturalist
from tests.conftest import SHARED
from tests.helpers.loopback import Answer, JsonServer

Handler = Callable[[str, dict[str, str]], Answer]


def photo(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": number,
        "url": f"https://static.inaturalist.org/photos/{number}/square.jpg?1598551272",
        "license_code": "cc-by-nc",
        "attribution": f"(c) user{number}, some rights reserved (CC BY-NC)",
        "original_dimensions": {"width": 2048, "height": 1536},
        **changes,
    }


def observation(number: int, *photos: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "id": number,
        "uri": f"https://www.inaturalist.org/observations/{number}",
        "taxon": {"name": "Ursus arctos", "preferred_common_name": "Brown Bear"},
        "user": {"login": "ann b", "name": "Ann B."},
        "photos": list(photos) or [photo(number)],
        **changes,
    }


def answer(observations: Any, **changes: Any) -> Answer:
    total = len(observations) if isinstance(observations, list) else 0
    content = {"total_results": total, "page": 1, "per_page": PAGE_SIZE, "results": observations, **changes}
    return 200, {"Content-Type": "application/json"}, json.dumps(content).encode()


def library(total: int, told: int | None = None) -> Handler:
    """A service that has `total` observations of one photo each, and tells of `told`."""

    def respond(path: str, query: dict[str, str]) -> Answer:
        start = (int(query["page"]) - 1) * PAGE_SIZE
        numbers = range(start + 1, min(start + PAGE_SIZE, total) + 1)
        return answer([observation(number) for number in numbers], total_results=total if told is None else told)

    return respond


def open_source(server: JsonServer, waits: list[float] | None = None) -> INaturalist:
    sleep = ([] if waits is None else waits).append
    return INaturalist(base_url=f"{server.url}/v1/observations", per_minute=6e6, sleep=sleep)


def search(
    handler: Handler, limit: int = 1000, query: str = "Brown Bear", waits: list[float] | None = None
) -> tuple[list[ImageHit], JsonServer]:
    with JsonServer(handler) as server:
        return list(open_source(server, waits).search(query, limit)), server


def test_a_hit_tells_all_that_is_known() -> None:
    hits, server = search(lambda path, query: answer([observation(7)]))
    assert hits == [
        ImageHit(
            backend="inaturalist",
            backend_id="7",
            query="Brown Bear",
            rank=0,
            image_url="https://static.inaturalist.org/photos/7/large.jpg?1598551272",
            thumb_url="https://static.inaturalist.org/photos/7/medium.jpg?1598551272",
            page_url="https://www.inaturalist.org/observations/7",
            title="Brown Bear",
            width=2048,
            height=1536,
            creator="Ann B.",
            creator_url="https://www.inaturalist.org/people/ann%20b",
            license_id="CC-BY-NC-4.0",
            attribution="(c) user7, some rights reserved (CC BY-NC)",
        )
    ]
    (request,) = server.requests
    assert request.path == "/v1/observations"
    assert request.query == {
        "taxon_name": "Brown Bear",
        "photos": "true",
        "quality_grade": "research",
        "order_by": "votes",
        "per_page": "200",
        "page": "1",
    }


def test_pages_until_the_total() -> None:
    hits, server = search(library(450))
    assert [hit.backend_id for hit in hits] == [str(number) for number in range(1, 451)]
    assert [hit.rank for hit in hits] == list(range(450))
    assert [request.query["page"] for request in server.requests] == ["1", "2", "3"]


@pytest.mark.parametrize(("limit", "pages"), [(0, 0), (1, 1), (200, 1), (201, 2), (400, 2)])
def test_no_more_pages_than_the_limit_needs(limit: int, pages: int) -> None:
    hits, server = search(library(1000), limit)
    assert (len(hits), len(server.requests)) == (limit, pages)


def test_pages_until_an_empty_one_when_the_total_is_wrong() -> None:
    hits, server = search(library(250, told=9000))
    assert (len(hits), len(server.requests)) == (250, 3)


def test_nothing_is_asked_beyond_what_is_answered() -> None:
    repeated = answer([observation(1)], total_results=10**6)
    hits, server = search(lambda path, query: repeated)
    assert (len(hits), len(server.requests)) == (1, MAX_RECORDS // PAGE_SIZE)


def test_each_photo_once() -> None:
    results = [observation(1, photo(10), photo(11)), observation(2, photo(11), photo(12))]
    hits, _ = search(lambda path, query: answer(results))
    assert [(hit.backend_id, hit.rank) for hit in hits] == [("10", 0), ("11", 1), ("12", 2)]
    assert [hit.page_url and hit.page_url[-1] for hit in hits] == ["1", "1", "2"]


def test_nothing_found() -> None:
    hits, server = search(lambda path, query: answer([]))
    assert (hits, len(server.requests)) == ([], 1)


@pytest.mark.parametrize(
    ("code", "license_id"),
    [
        ("cc0", "CC0-1.0"),
        ("cc-by", "CC-BY-4.0"),
        ("cc-by-nc-nd", "CC-BY-NC-ND-4.0"),
        ("pd", "PDM-1.0"),
        (None, "unknown"),
        ("", "unknown"),
        ("all-rights", "unknown"),
        (4, "unknown"),
    ],
)
def test_licences(code: object, license_id: str) -> None:
    hits, _ = search(lambda path, query: answer([observation(1, photo(1, license_code=code))]))
    assert [hit.license_id for hit in hits] == [license_id]


@pytest.mark.parametrize(
    ("url", "large"),
    [
        ("https://host/photos/1/square.jpg", "https://host/photos/1/large.jpg"),
        ("https://host/photos/1/square.jpeg?15", "https://host/photos/1/large.jpeg?15"),
        ("https://host/photos/1/original.png", "https://host/photos/1/large.png"),
        ("https://host/square/1/small.jpg", "https://host/square/1/large.jpg"),
        ("//host/photos/1/thumb.jpg", "https://host/photos/1/large.jpg"),
        ("https://live.staticflickr.com/5/square_s.jpg", "https://live.staticflickr.com/5/square_s.jpg"),
        ("https://host/square.jpg/1", "https://host/square.jpg/1"),
    ],
)
def test_sizes_in_addresses(url: str, large: str) -> None:
    hits, _ = search(lambda path, query: answer([observation(1, photo(1, url=url))]))
    assert [hit.image_url for hit in hits] == [large]


@pytest.mark.parametrize(
    "changes",
    [
        {"url": None},
        {"url": 3},
        {"url": "file:///etc/hostname"},
        {"id": None},
        {"id": {}},
        {"url": "https://www.inaturalist.org/assets/copyright-infringement-square.png"},
    ],
)
def test_a_photo_without_picture_or_number_is_passed_over(changes: dict[str, Any]) -> None:
    hits, _ = search(lambda path, query: answer([observation(1, photo(1, **changes), photo(2))]))
    assert [(hit.backend_id, hit.rank) for hit in hits] == [("2", 0)]


@pytest.mark.parametrize("value", [None, 0, "", [], {}, [3], {"login": 5, "name": None}, "\ud800"])
def test_fields_of_another_type(value: object) -> None:
    fields = ("uri", "taxon", "user", "license_code")
    odd = photo(1, license_code=value, attribution=value, original_dimensions=value)
    results = [value, {**observation(1, odd), **dict.fromkeys(fields, value)}, {**observation(2), "photos": value}]
    hits, _ = search(lambda path, query: answer(results, total_results=value))
    (hit,) = hits
    assert (hit.backend_id, hit.license_id, hit.width, hit.creator, hit.title) == ("1", "unknown", None, None, None)
    assert hit.page_url is None


def test_missing_fields() -> None:
    bare = {"photos": [{"id": 5, "url": "https://host/photos/5/square.jpg"}]}
    hits, _ = search(lambda path, query: answer([{}, bare]))
    assert hits == [
        ImageHit(
            backend="inaturalist",
            backend_id="5",
            query="Brown Bear",
            rank=0,
            image_url="https://host/photos/5/large.jpg",
            thumb_url="https://host/photos/5/medium.jpg",
        )
    ]


def test_names_fall_back_to_the_login_and_the_scientific_name() -> None:
    result = observation(1, user={"login": "ann", "name": None}, taxon={"name": "Ursus arctos"})
    (hit,), _ = search(lambda path, query: answer([result]))
    assert (hit.creator, hit.title) == ("ann", "Ursus arctos")


def test_a_refusal_that_passes() -> None:
    waits: list[float] = []
    left = [(429, {"Retry-After": "5"}, b""), (503, {}, b""), answer([observation(1)])]
    hits, server = search(lambda path, query: left.pop(0), waits=waits)
    assert (len(hits), len(server.requests)) == (1, 3)
    assert [seconds for seconds in waits if seconds >= 1] == [5.0, 2.0]


@pytest.mark.parametrize(
    ("status", "body", "error", "words"),
    [
        (429, b"", SourceThrottled, "iNaturalist refuses to answer"),
        (403, b"<html>blocked</html>", SourceThrottled, "iNaturalist refuses to answer"),
        (500, b"", SourceUnavailable, "HTTP 500"),
        (422, b'{"error": "Unknown taxon_name"}', SourceUnavailable, "name of a species"),
        (200, b"<html>Be right back</html>", SourceUnavailable, "does not answer with JSON"),
        (200, b'{"total_results": 3, "resu', SourceUnavailable, "does not answer with JSON"),
        (200, b"[]", SourceUnavailable, "unknown format"),
        (200, b"{}", SourceUnavailable, "unknown format"),
        (200, b'{"results": null}', SourceUnavailable, "unknown format"),
        (200, b'{"results": {"1": {}}}', SourceUnavailable, "unknown format"),
    ],
)
def test_a_failure_is_never_an_empty_result(status: int, body: bytes, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        search(lambda path, query: (status, {}, body))


def test_the_first_photos_come_before_a_later_failure() -> None:
    first = library(1000)
    hits: list[ImageHit] = []
    with (
        JsonServer(lambda path, query: first(path, query) if query["page"] == "1" else (500, {}, b"")) as server,
        pytest.raises(SourceUnavailable, match="HTTP 500"),
    ):
        hits.extend(open_source(server).search("Brown Bear", 1000))
    assert [hit.rank for hit in hits] == list(range(PAGE_SIZE))


def recorded(name: str) -> bytes:
    path = SHARED / "fixtures" / name
    if not path.is_file():
        pytest.skip(f"the recorded answer {name} is not on this machine")
    return path.read_bytes()


def test_a_recorded_answer() -> None:
    body = recorded("inaturalist-1.json")
    (hit,), server = search(lambda path, query: (200, {}, body), query="Monarch")
    assert len(server.requests) == 1
    assert hit.image_url == "https://static.inaturalist.org/photos/92152429/large.jpg?1598551272"
    assert hit.page_url == "https://www.inaturalist.org/observations/57754375"
    assert (hit.backend_id, hit.title, hit.width, hit.height) == ("92152429", "Monarch", 1188, 1188)
    assert (hit.creator, hit.creator_url) == ("samroom", "https://www.inaturalist.org/people/samroom")
    assert (hit.license_id, hit.attribution) == ("CC-BY-NC-4.0", "(c) samroom, some rights reserved (CC BY-NC)")


def test_a_recorded_answer_of_version_2() -> None:
    body = recorded("inaturalist-4.json")
    hits, _ = search(lambda path, query: (200, {}, body), query="Common Loon")
    assert [(hit.backend_id, hit.width, hit.height) for hit in hits] == [
        ("20970868", 860, 1176),
        ("20970862", 2016, 1512),
    ]
    assert {hit.license_id for hit in hits} == {"unknown"}
    assert {hit.attribution for hit in hits} == {"(c) jmilligan, all rights reserved"}
    assert {(hit.title, hit.creator) for hit in hits} == {("Common Loon", "jmilligan")}
