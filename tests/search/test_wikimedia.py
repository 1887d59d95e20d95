"""Wikimedia Commons: real sockets against a stand-in on 127.0.0.1, and its recorded answers."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from spotter.errors import SourceThrottled, SourceUnavailable
from spotter.search.base import ImageHit
from spotter.search.wikimedia import Wikimedia
from tests.conftest import SHARED
from tests.helpers.loopback import Answer, JsonServer

RECORDED = SHARED / "fixtures"
UPLOADS = "https://upload.wikimedia.org"
CC0 = "https://creativecommons.org/publicdomain/zero/1.0/deed.en"
PDM = "https://creativecommons.org/publicdomain/mark/1.0/"


def answer(content: object, status: int = 200, **headers: str) -> Answer:
    return status, {"Content-Type": "application/json", **headers}, json.dumps(content).encode()


def picture(place: int, told: dict[str, object] | None = None, **more: object) -> dict[str, object]:
    """A page; `told` are values of its extmetadata, `more` are fields of its imageinfo."""
    info = {
        "url": f"{UPLOADS}/{place}.jpg",
        "descriptionurl": f"https://commons.wikimedia.org/wiki/File:Bear_{place}.jpg",
        "thumburl": f"{UPLOADS}/thumb/{place}.jpg",
        "mime": "image/jpeg",
        "extmetadata": {key: {"value": value, "source": "commons-desc-page"} for key, value in (told or {}).items()},
        **more,
    }
    return {"pageid": place, "ns": 6, "title": f"File:Bear {place}.jpg", "index": place, "imageinfo": [info]}


def found(*pages: object) -> Answer:
    return answer({"batchcomplete": True, "query": {"pages": list(pages)}})


def service(total: int) -> Callable[[str, dict[str, str]], Answer]:
    """Answers like the real one: 50 pages in the order of their numbers, `continue` as long as there are more."""

    def handler(path: str, query: dict[str, str]) -> Answer:
        start = int(query.get("gsroffset", 0))
        end = min(start + int(query["gsrlimit"]), total)
        # Page numbers fall as places rise, so that only `index` tells the order.
        pages = [{**picture(place + 1), "pageid": 10_000 - place} for place in range(start, end)]
        more = {"continue": {"gsroffset": end, "continue": "gsroffset||"}} if end < total else {}
        return answer({"batchcomplete": True, **more, **({"query": {"pages": pages[::-1]}} if pages else {})})

    return handler


def search(server: JsonServer, limit: int = 100, waits: list[float] | None = None) -> Iterator[ImageHit]:
    source = Wikimedia(
        base_url=f"{server.url}/w/api.php", per_minute=60_000, sleep=([] if waits is None else waits).append
    )
    return source.search("brown bear", limit)


def ask(server: JsonServer, limit: int = 100, waits: list[float] | None = None) -> list[ImageHit]:
    return list(search(server, limit, waits))


def only(*pages: object) -> list[ImageHit]:
    with JsonServer(lambda path, query: found(*pages)) as server:
        return ask(server)


def recorded(number: int) -> bytes:
    path: Path = RECORDED / f"wikimedia-{number}.json"
    if not path.is_file():
        pytest.skip("the recorded answers of Wikimedia Commons (../shared/fixtures) are not on this machine")
    return path.read_bytes()


def test_goes_on_until_the_limit_in_the_order_of_the_search() -> None:
    with JsonServer(service(1000)) as server:
        hits = ask(server, 120)
    assert [hit.title for hit in hits] == [f"Bear {place + 1}" for place in range(120)]
    assert [hit.rank for hit in hits] == list(range(120))
    assert [request.query.get("gsroffset") for request in server.requests] == [None, "50", "100"]
    assert server.requests[1].query["continue"] == "gsroffset||"
    first = server.requests[0]
    assert first.path == "/w/api.php"
    asked = {"gsrsearch": "brown bear filetype:bitmap", "gsrnamespace": "6", "gsrlimit": "50", "generator": "search"}
    assert first.query.items() >= {**asked, "formatversion": "2", "maxlag": "5", "iiurlwidth": "1280"}.items()
    assert "https://" in first.headers["user-agent"]


@pytest.mark.parametrize(("total", "requests"), [(0, 1), (49, 1), (50, 1), (51, 2)])
def test_ends_with_the_results(total: int, requests: int) -> None:
    with JsonServer(service(total)) as server:
        assert len(ask(server, 5000)) == total
    assert len(server.requests) == requests


def test_asks_nothing_for_a_limit_of_zero() -> None:
    with JsonServer(service(10)) as server:
        assert ask(server, 0) == []
    assert not server.requests


def test_sends_the_whole_continue_object_back_and_takes_late_pictures() -> None:
    def handler(path: str, query: dict[str, str]) -> Answer:
        if "iistart" not in query:
            bare = {key: value for key, value in picture(2).items() if key != "imageinfo"}
            more = {"iistart": "20240101|x", "continue": "||imageinfo", "gsroffset": 0}
            return answer({"continue": more, "query": {"pages": [picture(1), bare]}})
        return found(picture(1), picture(2))

    with JsonServer(handler) as server:
        hits = ask(server)
    assert [hit.backend_id for hit in hits] == ["1", "2"]
    assert server.requests[1].query.items() >= {"iistart": "20240101|x", "continue": "||imageinfo"}.items()


def test_a_continue_that_leads_nowhere_ends() -> None:
    looped = {"continue": {"gsroffset": 50, "continue": "-||"}, "query": {"pages": [picture(1)]}}
    with JsonServer(lambda path, query: answer(looped)) as server:
        assert len(ask(server)) == 1
    assert len(server.requests) == 2


def test_fills_in_every_field() -> None:
    told: dict[str, object] = {
        "Artist": '<a href="//commons.wikimedia.org/wiki/User:Ann" title="User:Ann">Ann &amp;\n Bob</a>',
        "LicenseShortName": "CC BY-SA 4.0",
        "License": "cc-by-sa-4.0",
        "LicenseUrl": "https://creativecommons.org/licenses/by-sa/4.0",
    }
    sizes = {"width": 6000, "height": 4000, "thumbwidth": 1280, "thumbheight": 853}
    assert only(picture(7, told, **sizes)) == [
        ImageHit(
            backend="wikimedia",
            backend_id="7",
            query="brown bear",
            rank=0,
            image_url=f"{UPLOADS}/thumb/7.jpg",
            thumb_url=f"{UPLOADS}/thumb/7.jpg",
            page_url="https://commons.wikimedia.org/wiki/File:Bear_7.jpg",
            title="Bear 7",
            width=1280,
            height=853,
            mime="image/jpeg",
            creator="Ann & Bob",
            creator_url="https://commons.wikimedia.org/wiki/User:Ann",
            license_id="CC-BY-SA-4.0",
            license_url="https://creativecommons.org/licenses/by-sa/4.0",
            attribution='"Bear 7" by Ann & Bob is licensed under CC BY-SA 4.0.',
        )
    ]


@pytest.mark.parametrize(
    ("info", "scaled"),
    [
        ({"width": 1281, "height": 10}, True),
        ({"width": 10, "height": 1281}, True),
        ({"width": 1280, "height": 1280}, False),
        ({"width": 5000, "height": 5000, "thumburl": None}, False),
        ({}, False),
        ({"width": "wide", "height": None}, False),
    ],
)
def test_takes_the_scaled_picture_of_a_large_one(info: dict[str, object], scaled: bool) -> None:
    (hit,) = only(picture(1, **info))
    assert hit.image_url == f"{UPLOADS}/{'thumb/' if scaled else ''}1.jpg"


@pytest.mark.parametrize("mime", ["image/tiff", "image/svg+xml", "image/vnd.djvu", "application/pdf", "video/webm"])
def test_skips_what_is_no_bitmap_of_the_web(mime: str) -> None:
    hits = only(picture(1, mime=mime), picture(2, mime="image/png"))
    assert [(hit.backend_id, hit.rank, hit.mime) for hit in hits] == [("2", 0, "image/png")]


@pytest.mark.parametrize(
    ("name", "code", "url", "restrictions", "license_id"),
    [
        ("CC BY-SA 3.0 de", "cc-by-sa-3.0-de", None, "", "CC-BY-SA-3.0-DE"),
        ("CC BY-SA 3.0", "cc-by-sa-3.0", "https://creativecommons.org/licenses/by-sa/3.0/at/", "", "CC-BY-SA-3.0-AT"),
        ("CC BY-SA 3.0", "cc-by-sa-3.0", "https://creativecommons.org/licenses/by-sa/3.0/deed.en", "", "CC-BY-SA-3.0"),
        ("CC BY-SA 3.0 es", "cc-by-sa-3.0-es", None, "", "unknown"),
        ("CC0", "cc0", CC0, "trademarked", "unknown"),
        ("CC0", "cc0", CC0, "personality", "unknown"),
        ("CC BY-SA 4.0", None, None, "personality", "CC-BY-SA-4.0"),
        (None, "cc-by-2.0", None, None, "CC-BY-2.0"),
        ("CC BY-SA 4.0,3.0,2.5,2.0,1.0", "cc-by-sa-4.0,3.0,2.5,2.0,1.0", None, "", "CC-BY-SA-4.0"),
        ("CC0", "cc0", CC0, "", "CC0-1.0"),
        ("Public domain", "pd", CC0, "", "CC0-1.0"),
        ("Public domain", "pd", PDM, "", "PDM-1.0"),
        ("Public domain", "pd", None, "", "unknown"),
        ("Public domain", "pd", None, "trademarked", "unknown"),
        ("Public domain", "pd", PDM, "trademarked|insignia", "unknown"),
        ("Public domain", "pd", "https://creativecommons.org.evil.example/publicdomain/zero/1.0/", "", "unknown"),
        ("Public domain", "pd", "https://evil.example/?creativecommons.org/publicdomain/zero/1.0/", "", "unknown"),
        ("GFDL", "gfdl", "http://www.gnu.org/copyleft/fdl.html", "", "unknown"),
        ("CC BY-SA", "cc-by-sa", None, "", "unknown"),
        ("CC SA 1.0", "cc-sa-1.0", None, "", "unknown"),
        ("CC-PD-Mark", "cc-pd-mark", None, "", "unknown"),
        ("mark", "pdm", None, "", "unknown"),
        ("Fair use", None, None, "", "unknown"),
        ("", "", "", "", "unknown"),
        (4, ["cc0"], {}, None, "unknown"),
    ],
)
def test_maps_licences(name: object, code: object, url: object, restrictions: object, license_id: str) -> None:
    told = {"LicenseShortName": name, "License": code, "LicenseUrl": url, "Restrictions": restrictions}
    (hit,) = only(picture(1, told))
    assert hit.license_id == license_id
    assert (hit.attribution is None) == (license_id == "unknown")


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ('Photo: <a href="//example.org">Ann</a> &amp; Bob', "Photo: Ann & Bob"),
        ("", '"Bear 1" by Zoe is licensed under CC BY-SA 3.0 DE.'),
        (None, '"Bear 1" by Zoe is licensed under CC BY-SA 3.0 DE.'),
    ],
)
def test_an_attribution_of_the_authors_own_is_used(asked: object, told: str) -> None:
    (hit,) = only(picture(1, {"Artist": "Zoe", "LicenseShortName": "CC BY-SA 3.0 de", "Attribution": asked}))
    assert hit.attribution == told


@pytest.mark.parametrize(
    ("artist", "creator", "creator_url"),
    [
        ("Ann", "Ann", None),
        (
            "<bdi><a href='https://en.wikipedia.org/wiki/en:Ann'>Ann</a>\n</bdi>",
            "Ann",
            "https://en.wikipedia.org/wiki/en:Ann",
        ),
        ('Unknown author<span style="display: none;">Unknown author</span>', "Unknown author", None),
        ("<p>Ann</p><p>Bob<br>Cid</p>", "Ann Bob Cid", None),
        (
            '<a href="https://a.example/?b=1&amp;c=2">A</a> <a href="https://b.example">B</a>',
            "A B",
            "https://a.example/?b=1&c=2",
        ),
        ('<a href="javascript:alert(1)">A</a>', "A", None),
        ('<a href="/w/index.php?title=User:A">A</a>', "A", None),
        ("A &lt;b&gt; C", "A <b> C", None),
        ("<" * 200_000, "<" * 5000, None),
        ("<span>  </span>", None, None),
        (None, None, None),
        ({"a": 1}, None, None),
    ],
)
def test_reads_the_artist(artist: object, creator: str | None, creator_url: str | None) -> None:
    (hit,) = only(picture(1, {"Artist": artist}))
    assert (hit.creator, hit.creator_url) == (creator, creator_url)


def test_survives_missing_null_and_wrong_fields() -> None:
    keys = ("descriptionurl", "thumburl", "width", "height", "thumbwidth", "extmetadata")
    odd: tuple[object, ...] = (None, 5, -1.5, True, [], {}, "", " ")
    for value in odd:
        page = {
            **picture(1, mime="image/gif", **dict.fromkeys(keys, value)),
            "pageid": None,
            "title": value,
            "index": value,
        }
        (hit,) = only(page)
        assert hit.backend_id == f"{UPLOADS}/1.jpg"
        assert (hit.title, hit.creator, hit.page_url, hit.license_id) == (None, None, None, "unknown")
    unusable = [
        {**picture(1), "imageinfo": info} for info in (None, [], [None], "text", {}, [{}], [{"url": "ftp://a"}])
    ]
    hits = only("text", None, {}, *unusable, picture(2))
    assert [(hit.backend_id, hit.rank) for hit in hits] == [("2", 0)]
    for pages in (None, "text", 5):
        with JsonServer(lambda path, query, pages=pages: answer({"query": {"pages": pages}})) as server:
            assert ask(server) == []


@pytest.mark.parametrize("code", ["maxlag", "ratelimited"])
def test_says_when_the_service_is_busy(code: str) -> None:
    reply = answer({"error": {"code": code, "info": "Waiting for a host: 7 seconds lagged"}}, **{"Retry-After": "5"})
    with JsonServer(lambda path, query: reply) as server, pytest.raises(SourceThrottled, match=code):
        ask(server)


@pytest.mark.parametrize(
    ("error", "message"),
    [({"code": "badvalue", "info": "no"}, "badvalue"), ({}, "no code"), ("text", "no code"), (None, "no code")],
)
def test_says_when_the_service_tells_an_error(error: object, message: str) -> None:
    with (
        JsonServer(lambda path, query: answer({"error": error})) as server,
        pytest.raises(SourceUnavailable, match=message) as caught,
    ):
        ask(server)
    assert not isinstance(caught.value, SourceThrottled)


def test_obeys_retry_after() -> None:
    answers = iter([answer({}, 429, **{"Retry-After": "1"}), answer({}, 502), found(picture(1))])
    waits: list[float] = []
    with JsonServer(lambda path, query: next(answers)) as server:
        assert len(ask(server, waits=waits)) == 1
    assert [wait for wait in waits if wait >= 0.5] == [1.0, 2.0]


@pytest.mark.parametrize("status", [429, 403])
def test_says_when_it_is_refused(status: int) -> None:
    with (
        JsonServer(lambda path, query: answer({}, status, **{"Retry-After": "0"})) as server,
        pytest.raises(SourceThrottled, match=f"Wikimedia Commons refuses.*{status}"),
    ):
        ask(server)
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (answer({}, 404), "HTTP 404"),
        (answer({}, 500), "HTTP 500"),
        ((200, {}, b"<!doctype html><title>MediaWiki API help</title>"), "does not answer with JSON"),
        ((200, {}, b'{"query": {"pages": [{"pageid": 1'), "does not answer with JSON"),
        (answer([]), "unknown format"),
        (answer({}), "unknown format"),
    ],
)
def test_says_when_the_answer_is_nonsense(reply: Answer, message: str) -> None:
    with JsonServer(lambda path, query: reply) as server, pytest.raises(SourceUnavailable, match=message):
        ask(server)


def test_the_first_pictures_come_before_a_later_answer_fails() -> None:
    def handler(path: str, query: dict[str, str]) -> Answer:
        return answer({"error": {"code": "maxlag"}}) if "gsroffset" in query else service(1000)(path, query)

    hits: list[ImageHit] = []
    with JsonServer(handler) as server, pytest.raises(SourceThrottled, match="maxlag"):
        hits.extend(search(server))
    assert [hit.rank for hit in hits] == list(range(50))


def test_reads_a_recorded_answer_of_the_older_form() -> None:
    first = json.loads(recorded(1))
    with JsonServer(lambda path, query: answer(first if "continue" not in query else {"batchcomplete": ""})) as server:
        hits = ask(server)
    assert server.requests[1].query["gucontinue"] == first["continue"]["gucontinue"]
    assert len(hits) == len(first["query"]["pages"])
    by_id = {hit.backend_id: hit for hit in hits}
    assert by_id["18263872"].license_id == "unknown"
    assert by_id["18263872"].creator == "The original uploader was Elvezio at Italian Wikipedia."
    ported = by_id["44672185"]
    assert (ported.license_id, ported.creator) == ("CC-BY-SA-3.0-DE", "Eckhard Henkel")
    assert ported.license_url == "https://creativecommons.org/licenses/by-sa/3.0/de/deed.en"
    assert by_id["44672190"].attribution == (
        '"Niedercunnersdorf Mühlgrabenweg 5 (1)" by Pascal Seibt is licensed under CC BY-SA 4.0.'
    )


def test_reads_a_recorded_picture_without_a_licence_address() -> None:
    page = {"pageid": 81754323, "title": "File:Lone tree.jpg", "imageinfo": [json.loads(recorded(4))]}
    (hit,) = only(page)
    assert (hit.license_id, hit.license_url, hit.creator) == ("CC-BY-SA-4.0", None, "PtrQs")
    assert hit.creator_url == "https://commons.wikimedia.org/wiki/User:PtrQs"
    assert hit.image_url is not None
    assert "/300px-" in hit.image_url


def test_reads_a_recorded_search() -> None:
    body = recorded(5)
    with JsonServer(lambda path, query: (200, {}, body)) as server:
        (hit,) = ask(server)
    assert (hit.backend_id, hit.rank, hit.mime, hit.license_id) == ("65845360", 0, "image/jpeg", "unknown")
    assert hit.title is not None
    assert hit.title.endswith("LCCN2013651628")
    assert hit.image_url is not None
    assert "960px-" in hit.image_url
    assert hit.creator == "Civil War Glass Negatives"
