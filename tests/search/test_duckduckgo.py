"""DuckDuckGo: real sockets against a stand-in on 127.0.0.1, reached as an HTTP proxy that ends TLS itself."""

import contextlib
import json
import logging
import random
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import trustme

from spotter.errors import SourceThrottled, SourceUnavailable
from spotter.search.base import ImageHit
from spotter.search.duckduckgo import DuckDuckGo
from spotter.search.region import read_region
from tests.conftest import SHARED
from tests.helpers.ports import deaf_port

RECORDED = SHARED / "fixtures"
VQD_PAGE = '<html><script>vqd="4-1234567890";</script></html>'

Answer = tuple[int, str]
PageMaker = Callable[[str, int], Answer]


class StandIn(socketserver.ThreadingTCPServer):
    """An HTTP proxy that answers for duckduckgo.com. `page(query, start)` and `home(query)` may be replaced."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, tls: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.tls = tls
        self.connect_status = 200
        self.asked: list[tuple[str, int]] = []
        self.regions: list[str] = []
        self.home: Callable[[str], Answer] = lambda query: (200, VQD_PAGE)
        self.page: PageMaker = pages_of(250)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients hang up in these tests; that is no error."""

    def answer(self, target: str) -> Answer:
        parts = urlsplit(target)
        words = parse_qs(parts.query)
        query = words.get("q", [""])[0]
        if parts.path != "/i.js":
            return self.home(query)
        start = int(words.get("s", ["0"])[0])
        self.asked.append((query, start))
        self.regions += words["l"]
        return self.page(query, start)


class _Connection(socketserver.StreamRequestHandler):
    server: StandIn

    def handle(self) -> None:
        self._read_head(self.rfile)
        self.wfile.write(b"HTTP/1.1 %d Whatever\r\n\r\n" % self.server.connect_status)
        if self.server.connect_status != 200:
            return
        with self.server.tls.wrap_socket(self.connection, server_side=True) as stream, stream.makefile("rb") as lines:
            while request_line := self._read_head(lines):
                status, text = self.server.answer(request_line.split()[1].decode())
                body = text.encode()
                head = f"HTTP/1.1 {status} Whatever\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\n\r\n"
                stream.sendall(head.encode() + body)

    def _read_head(self, lines: object) -> bytes:
        first = line = lines.readline()
        while line not in (b"\r\n", b""):
            line = lines.readline()
        return first


def entry(number: int, **changes: object) -> dict[str, object]:
    fields = {
        "image": f"https://pictures.test/{number}.jpg",
        "thumbnail": f"https://thumbs.test/{number}",
        "url": f"https://pages.test/{number}",
        "title": f"Picture {number}",
        "width": 640,
        "height": 480,
        "source": "Bing",
    }
    return fields | changes


def as_json(entries: list[dict[str, object]]) -> Answer:
    return 200, json.dumps({"results": entries})


def pages_of(total: int) -> PageMaker:
    return lambda query, start: as_json([entry(n) for n in range(start, min(start + 100, total))])


def only_control(query: str, start: int) -> Answer:
    return as_json([entry(1)] if query == "cat" else [])


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def service(authority: trustme.CA) -> Iterator[StandIn]:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("duckduckgo.com").configure_cert(tls)
    with StandIn(tls) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def source(service: StandIn, authority: trustme.CA, tmp_path: Path) -> DuckDuckGo:
    pem = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(pem)
    return DuckDuckGo(proxy=service.address, verify=str(pem), pause_s=0.01, timeout_s=240)


@pytest.fixture
def impatient(source: DuckDuckGo, service: StandIn, tmp_path: Path) -> DuckDuckGo:
    return DuckDuckGo(proxy=service.address, verify=str(tmp_path / "ca.pem"), pause_s=0.01, timeout_s=1.0)


def search(source: DuckDuckGo, query: str = "grizzly bear", limit: int = 300) -> list[ImageHit]:
    return list(source.search(query, limit))


def test_reads_pages_until_the_end(service: StandIn, source: DuckDuckGo) -> None:
    hits = search(source)
    assert [hit.image_url for hit in hits] == [f"https://pictures.test/{n}.jpg" for n in range(250)]
    assert [hit.rank for hit in hits] == list(range(250))
    assert [start for query, start in service.asked if query == "grizzly bear"] == [0, 100, 200, 300, 300]


@pytest.mark.parametrize(("limit", "pages"), [(0, 0), (1, 1), (100, 1), (101, 2)])
def test_asks_for_no_more_pages_than_needed(service: StandIn, source: DuckDuckGo, limit: int, pages: int) -> None:
    assert len(search(source, limit=limit)) == limit
    assert len(service.asked) == pages


def test_gives_every_field(service: StandIn, source: DuckDuckGo) -> None:
    service.page = lambda query, start: as_json([entry(7)])
    assert search(source) == [
        ImageHit(
            backend="duckduckgo",
            backend_id="https://pictures.test/7.jpg",
            query="grizzly bear",
            rank=0,
            image_url="https://pictures.test/7.jpg",
            thumb_url="https://thumbs.test/7",
            page_url="https://pages.test/7",
            title="Picture 7",
            width=640,
            height=480,
        )
    ]


def test_searches_for_the_region(service: StandIn, source: DuckDuckGo) -> None:
    search(source, limit=1)
    source.region = read_region("ja-JP")
    search(source, limit=1)
    assert service.regions == ["us-en", "jp-jp"]


def test_a_repeated_page_ends_the_search(service: StandIn, source: DuckDuckGo) -> None:
    service.page = lambda query, start: as_json([entry(n) for n in range(40)] * 2)
    assert len(search(source)) == 40
    assert len(service.asked) == 2


def test_missing_null_and_odd_fields(service: StandIn, source: DuckDuckGo) -> None:
    odd = [
        entry(1, width="800", height=None, thumbnail=None, url=None, title=""),
        {"image": "http://pictures.test/2.jpg", "title": "bare"},
        entry(3, image=None),
        entry(4, image="data:image/png;base64,AAAA"),
        entry(5, image="file:///etc/hostname"),
        entry(6, thumbnail="javascript:alert(1)", width="wide", height=-3),
    ]
    service.page = lambda query, start: as_json(odd if query != "cat" else [entry(1)])
    hits = {hit.image_url: hit for hit in search(source)}
    assert set(hits) == {f"{s}://pictures.test/{n}.jpg" for s, n in [("https", 1), ("http", 2), ("https", 6)]}
    first = hits["https://pictures.test/1.jpg"]
    assert (first.width, first.height, first.thumb_url, first.page_url, first.title) == (800, None, None, None, None)
    last = hits["https://pictures.test/6.jpg"]
    assert (last.width, last.height, last.thumb_url) == (None, None, None)


def test_a_null_title_is_a_picture_without_a_title(service: StandIn, source: DuckDuckGo) -> None:
    service.page = lambda query, start: as_json([entry(1, title=None), entry(2)])
    assert [(hit.image_url, hit.title) for hit in search(source, limit=2)] == [
        ("https://pictures.test/1.jpg", None),
        ("https://pictures.test/2.jpg", "Picture 2"),
    ]


def test_addresses_stay_as_the_service_gave_them(service: StandIn, source: DuckDuckGo) -> None:
    rng = random.Random(6)
    pieces = [
        "a",
        "%2F",
        "%23",
        "%3F",
        "%20",
        "+",
        "%2B",
        "%25",
        "%C3%A9",
        "é",
        "%26",
        "&x=1",
        "?q=%2F",
        ",",
        "%2C",
        "~",
    ]
    addresses = [f"https://pictures.test/{n}{''.join(rng.choices(pieces, k=6))}.jpg" for n in range(300)]
    service.page = lambda query, start: as_json(
        [entry(n, image=url, thumbnail=f"{url}?t", url=f"{url}?p") for n, url in enumerate(addresses) if not start]
    )
    hits = search(source)
    assert [hit.image_url for hit in hits] == addresses
    assert [hit.thumb_url for hit in hits] == [f"{url}?t" for url in addresses]
    assert [hit.page_url for hit in hits] == [f"{url}?p" for url in addresses]


def test_no_pictures_is_empty_when_the_control_query_has_some(service: StandIn, source: DuckDuckGo) -> None:
    service.page = only_control
    assert search(source) == []
    assert service.asked == [("grizzly bear", 0), ("cat", 0), ("grizzly bear", 0)]


def always(status: int, text: str) -> PageMaker:
    return lambda query, start: (status, text)


@pytest.mark.parametrize(
    "page",
    [
        always(200, '{"results": []}'),
        always(200, "{}"),
        always(200, '{"results": null}'),
        always(200, "[1, 2]"),
        always(200, '{"results": [{"image'),
        always(200, "<html>Are you a robot?</html>"),
        always(202, ""),
        always(403, "If this error persists"),
        always(429, "Too many requests"),
        always(500, "oops"),
        always(503, "oops"),
    ],
    ids=["empty", "no-key", "null", "list", "cut-json", "html", "202", "403", "429", "500", "503"],
)
def test_a_refusal_is_never_an_empty_class(service: StandIn, source: DuckDuckGo, page: PageMaker) -> None:
    service.page = page
    with pytest.raises(SourceThrottled, match="asked too often; wait some minutes, or use another --search"):
        search(source)
    assert len(service.asked) <= 6


@pytest.mark.parametrize("status", [202, 403, 418, 429, 500])
def test_a_refusing_home_page_is_a_refusal(service: StandIn, source: DuckDuckGo, status: int) -> None:
    service.home = lambda query: (status, "<html>no</html>")
    with pytest.raises(SourceThrottled):
        search(source)


@pytest.mark.parametrize("refusals", [1, 2, 3])
def test_a_first_page_that_recovers(service: StandIn, source: DuckDuckGo, refusals: int) -> None:
    good = pages_of(30)
    service.page = lambda query, start: good(query, start) if len(service.asked) > refusals else (429, "")
    assert len(search(source)) == 30


@pytest.mark.parametrize("status", [200, 403, 429, 500])
def test_the_first_pictures_come_before_a_later_refusal(service: StandIn, source: DuckDuckGo, status: int) -> None:
    def page(query: str, start: int) -> Answer:
        return as_json([entry(n) for n in range(100)]) if (query, start) == ("grizzly bear", 0) else (status, "{}")

    service.page = page
    hits: list[ImageHit] = []
    with pytest.raises(SourceThrottled):
        hits.extend(source.search("grizzly bear", 300))
    assert [hit.rank for hit in hits] == list(range(100))
    assert len(service.asked) <= 7


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged for people to see; how much else is logged depends on who set the level last."""
    return [record.message for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_later_page_is_retried(service: StandIn, source: DuckDuckGo, caplog: pytest.LogCaptureFixture) -> None:
    good = pages_of(150)
    service.page = lambda query, start: (200, "<html>") if len(service.asked) == 2 else good(query, start)
    assert len(search(source)) == 150
    assert warnings_in(caplog) == []


def test_a_normal_end_does_not_warn(source: DuckDuckGo, caplog: pytest.LogCaptureFixture) -> None:
    search(source)
    assert warnings_in(caplog) == []


def slow_page(query: str, start: int) -> Answer:
    # The client is gone long before.
    time.sleep(600)
    return as_json([entry(1)])


def test_a_service_too_slow_is_unavailable(service: StandIn, impatient: DuckDuckGo) -> None:
    service.page = slow_page
    with pytest.raises(SourceUnavailable, match="cannot be reached \\(no answer within 1 s\\)") as caught:
        search(impatient)
    assert not isinstance(caught.value, SourceThrottled)


def test_no_connection_is_unavailable(service: StandIn, source: DuckDuckGo) -> None:
    service.connect_status = 502
    with pytest.raises(SourceUnavailable, match="cannot be reached") as caught:
        search(source)
    assert not isinstance(caught.value, SourceThrottled)
    with deaf_port() as port, pytest.raises(SourceUnavailable, match="cannot be reached \\(no connection\\)"):
        search(DuckDuckGo(proxy=f"http://127.0.0.1:{port}", pause_s=0.01, timeout_s=240))


def test_only_a_connection_that_was_there_is_waited_for(
    service: StandIn, source: DuckDuckGo, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "spotter.search.duckduckgo")
    with deaf_port() as port, pytest.raises(SourceUnavailable):
        search(DuckDuckGo(proxy=f"http://127.0.0.1:{port}", pause_s=0.01, timeout_s=240))
    assert len(caplog.records) == 1
    search(source)
    service.shutdown()
    service.server_close()
    caplog.clear()
    with pytest.raises(SourceUnavailable, match="no connection"):
        search(source)
    assert len(caplog.records) == 2


def test_a_certificate_of_a_stranger_is_refused(service: StandIn) -> None:
    source = DuckDuckGo(proxy=service.address, pause_s=0.01)
    with pytest.raises(SourceUnavailable, match="cannot be reached"):
        search(source)
    assert service.asked == []


def test_check(service: StandIn, source: DuckDuckGo, impatient: DuckDuckGo) -> None:
    source.check()
    service.home = lambda query: (403, "no")
    with pytest.raises(SourceThrottled):
        source.check()
    service.home = lambda query: slow_page(query, 0)
    with pytest.raises(SourceUnavailable, match="no answer within 1 s"):
        impatient.check()
    service.connect_status = 503
    with pytest.raises(SourceUnavailable, match="cannot be reached"):
        source.check()


ODD = (None, 7, -1, True, "", " ", "\ud800", "//[", [], {}, [None], {"a": None})


@pytest.mark.parametrize("key", ["image", "thumbnail", "url", "title", "width", "height", "source"])
def test_a_field_missing_or_odd_is_no_more_than_a_failure(service: StandIn, source: DuckDuckGo, key: str) -> None:
    odd = [{name: value for name, value in entry(1).items() if name != key}, *(entry(1, **{key: odd}) for odd in ODD)]
    found = 0
    for first in odd:
        service.page = lambda query, start, first=first: as_json([entry(2)] if query == "cat" else [first, entry(3)])
        with contextlib.suppress(SourceUnavailable):
            for hit in source.search("grizzly bear", 2):
                found += 1
                assert all(value is None or (type(value) is int and value > 0) for value in (hit.width, hit.height))
                assert hit.title is None or (type(hit.title) is str and hit.title.encode())
                assert all(
                    url is None or url.startswith("http") for url in (hit.image_url, hit.thumb_url, hit.page_url)
                )
    assert found >= len(odd) / 2


def recorded(name: str) -> str:
    if not RECORDED.is_dir():
        pytest.skip(f"the recorded answers are not here ({RECORDED.name} next to the repository)")
    return (RECORDED / name).read_text(encoding="utf-8")


def test_a_recorded_page(service: StandIn, source: DuckDuckGo) -> None:
    text = recorded("duckduckgo-1.json")
    service.page = lambda query, start: (200, text if start == 0 else '{"results": []}')
    hits = search(source, "minecraft")
    expected = {item["image"] for item in json.loads(text)["results"]}
    assert {hit.image_url for hit in hits} == expected
    assert all(hit.width and hit.height and hit.title and hit.page_url and hit.thumb_url for hit in hits)


def test_a_recorded_empty_page(service: StandIn, source: DuckDuckGo) -> None:
    text = recorded("duckduckgo-3.json")
    service.page = lambda query, start: only_control(query, start) if query == "cat" else (200, text)
    assert search(source) == []
