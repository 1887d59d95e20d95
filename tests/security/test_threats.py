"""Hostile and broken input on its way into a picture set, a row of the threat table at a time, by real sockets.

Pictures are served at an address of their own (`HERE`), the only private one that the tests' rule lets through; so
127.0.0.1 stays as forbidden as it is outside the tests.
"""

import base64
import csv
import functools
import gzip
import hashlib
import io
import itertools
import json
import logging
import mmap
import re
import select
import shutil
import socket
import socketserver
import ssl
import struct
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import trustme
from PIL import Image, ImageFile

from spotter import images
from spotter.cli import main
from spotter.collect.collector import collect
from spotter.collect.download import download_all
from spotter.collect.ingest import Fetch
from spotter.collect.safe_network import Resolver, is_public_address
from spotter.config import CollectConfig, DownloadConfig, PictureConfig
from spotter.data.coverage import measure_coverage, write_coverage
from spotter.data.dataset import IN_TWO_CLASSES, Dataset, Record, disputed_file
from spotter.data.duplicates import confirm_duplicates
from spotter.data.manifest import read_manifest
from spotter.data.splits import assign_folds
from spotter.errors import BadPicture, RecipeError, SourceThrottled, SourceUnavailable, SpotterError, TooFewPictures
from spotter.images import encode_jpeg, load_picture
from spotter.publish.writing import write_examples, write_origins
from spotter.recipe import make_recipe, read_recipe, recipe_from_options
from spotter.search.base import ImageHit, SearchBackend
from spotter.search.json_client import RETRIES, JsonClient
from spotter.search.manifest import Manifest
from spotter.search.openverse import Openverse
from spotter.search.urls import Urls
from spotter.search.wikimedia import Wikimedia
from spotter.serve import service
from spotter.utils.console import say
from tests.helpers.drawing import draw, encode, turned
from tests.helpers.hostile import (
    MB,
    MODES,
    PICTURE,
    gif,
    jpeg,
    memory_below,
    obscure,
    pixel_bomb,
    png_damaged_at,
    tell_tale,
    with_text,
    zipped,
)
from tests.helpers.loopback import Answer, JsonServer
from tests.helpers.markup import Page
from tests.helpers.patience import at_some_pace
from tests.helpers.picture_server import USUAL_TRUST, Handler, Route, Server, body, in_turn, redirect, rules, status
from tests.helpers.ports import free_port

HERE = "127.0.0.77"
RECIPE = make_recipe({"disc": "a disc", "cross": "a cross"}, name="two", per_class=1000)
DOWNLOADS = DownloadConfig(retries=0, deadline_s=240)
ENOUGH = CollectConfig(min_per_class=2)
GOOD = [f"/good/{kind}/{number}.jpg" for kind in ("disc", "cross") for number in range(3)]


class Site(Server):
    """Serves pictures at `HERE`, three good ones of each class among them."""

    def __init__(self) -> None:
        super().__init__()
        self.routes = {path: body(jpeg(path.split("/")[2], int(path[-5]))) for path in GOOD}
        self.routes["/picture.jpg"] = body(jpeg())

    def server_bind(self) -> None:
        # At 127.0.0.1 others may listen at the same port.
        self.server_address = (HERE, free_port(HERE, "127.0.0.1"))
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = HERE, self.server_address[1]

    def asked(self, path: str) -> int:
        """How often a picture was asked for."""
        return [asked for asked, _ in self.requests].count(path)


@contextmanager
def open_site(tls: ssl.SSLContext | None = None) -> Iterator[Site]:
    with Site() as site:
        if tls:
            site.socket = tls.wrap_socket(site.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=site.serve_forever, args=(0.02,), daemon=True).start()
        yield site
        site.shutdown()


@pytest.fixture
def site() -> Iterator[Site]:
    with open_site() as running:
        yield running


class Canary:
    """Listens at this machine's usual addresses, IPv4 and IPv6, and tells whether anyone connected."""

    def __init__(self) -> None:
        self.port = free_port("127.0.0.1", "::1") if socket.has_ipv6 else free_port()
        self._sockets = [socket.create_server(("127.0.0.1", self.port))]
        if socket.has_ipv6:
            self._sockets.append(socket.create_server(("::1", self.port), family=socket.AF_INET6))

    def was_reached(self) -> bool:
        return bool(select.select(self._sockets, [], [], 0)[0])

    def hang_up(self) -> int:
        """How many connected within the time of a download; they get no answer and need not wait for one."""
        visited = select.select(self._sockets, [], [], DOWNLOADS.deadline_s)[0]
        for each in visited:
            each.accept()[0].close()
        return len(visited)

    def close(self) -> None:
        for each in self._sockets:
            each.close()


@pytest.fixture
def canary() -> Iterator[Canary]:
    with closing(Canary()) as listening:
        yield listening


class Offers:
    """A source with a list of pictures for each query; facts are those of `ImageHit`."""

    name, argument, searches, by_label = "stand", "", True, False

    def __init__(self, facts: Mapping[str, Sequence[Mapping[str, object]]]) -> None:
        self.facts = facts

    def search(self, query: str, limit: int) -> Iterator[ImageHit]:
        for rank, facts in enumerate(self.facts.get(query, ())):
            yield ImageHit(
                **{"backend": self.name, "backend_id": facts["image_url"], "query": query, "rank": rank} | facts
            )


@dataclass(frozen=True)
class Gathered:
    """What became of a run: `reasons` are of what was not kept, `kept` of the rest, by the address."""

    dataset: Dataset
    reasons: dict[str, str | None]
    kept: dict[str, Record]

    def stored(self, address: str) -> bytes:
        return (self.dataset.folder / str(self.kept[address].file)).read_bytes()


def resolve(host: str, port: int) -> list[str]:
    if not host.endswith(".test"):
        raise OSError(f"{host} was looked up")
    return [HERE]


def allows_the_site(address: str) -> bool:
    return address == HERE or is_public_address(address)


def fetching(
    resolver: Resolver = resolve,
    address_policy: Callable[[str], bool] = allows_the_site,
    ssl_context: ssl.SSLContext = USUAL_TRUST,
) -> Fetch:
    return functools.partial(download_all, resolver=resolver, address_policy=address_policy, ssl_context=ssl_context)


def gather(
    site: Site,
    folder: Path,
    offers: Sequence[str | Mapping[str, object]],
    *,
    crosses: Sequence[str | Mapping[str, object]] = (),
    config: CollectConfig = ENOUGH,
    downloads: DownloadConfig = DOWNLOADS,
    fetch: Fetch | None = None,
) -> Gathered:
    """Collect `offers` as discs, before good pictures, and check what must be so whatever they are."""
    good = [site.url(path, "good.test") for path in GOOD]
    discs, others = ([{"image_url": o} if isinstance(o, str) else o for o in some] for some in (offers, crosses))
    facts = {"license_id": "CC0-1.0"}
    source = Offers(
        {
            "a disc": [*discs, *({"image_url": url, **facts} for url in good[:3])],
            "a cross": [*others, *({"image_url": url, **facts} for url in good[3:])],
        }
    )
    dataset = collect(RECIPE, [source], folder, config, downloads=downloads, fetch=fetch or fetching())
    gathered = check(dataset)
    assert set(good) <= set(gathered.kept)
    return gathered


def check(dataset: Dataset) -> Gathered:
    """The folder holds the kept pictures under names of our making, those in two classes, and nothing else."""
    folder = dataset.folder
    told = read_manifest(folder)
    assert sorted(map(str, told)) == sorted(map(str, (*dataset.records, *dataset.dropped)))
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}
    disputed = {disputed_file(record) for record in dataset.dropped if record.reason == IN_TWO_CLASSES}
    own = {"manifest.jsonl", ".lock", "searched.json"}
    assert files == {str(record.file) for record in dataset.records} | disputed | own
    for record, path in zip(dataset.records, dataset.paths, strict=True):
        assert re.fullmatch(rf"{re.escape(record.label)}/[0-9a-f]{{32}}\.jpg", str(record.file))
        assert path.resolve().is_relative_to(folder.resolve())
        with Image.open(path) as picture:
            assert (picture.format, picture.mode) == ("JPEG", "RGB")
    assert all(record.reason and record.file is None for record in dataset.dropped)
    return Gathered(
        dataset,
        {record.backend_id: record.reason for record in dataset.dropped},
        {record.backend_id: record for record in dataset.records},
    )


def in_the_app(content: bytes) -> str | None:
    """The reason for which the function that the app decodes with refuses a picture; None when it does not."""
    try:
        load_picture(content)
    except BadPicture as error:
        return error.reason
    return None


def test_memory_below_can_fail() -> None:
    # Mapped by itself: an ordinary allocation may reuse memory that the process has not given back.
    with pytest.raises(AssertionError), memory_below(20 * MB), mmap.mmap(-1, 40 * MB) as memory:
        memory.write(b"x" * (40 * MB))


# Row 1: addresses that are not http.


@pytest.mark.parametrize("kind", ["host-name", "file", "ftp", "data", "gopher"])
def test_row_01_other_schemes_are_refused_before_any_look_up(
    kind: str, site: Site, canary: Canary, tmp_path: Path
) -> None:
    (tmp_path / "own.jpg").write_bytes(jpeg())
    url = {
        "host-name": "file:///etc/hostname",
        "file": (tmp_path / "own.jpg").as_uri(),
        "ftp": f"ftp://127.0.0.1:{canary.port}/a.jpg",
        "data": f"data:image/jpeg;base64,{base64.b64encode(jpeg()).decode()}",
        "gopher": f"gopher://127.0.0.1:{canary.port}/a.jpg",
    }[kind]
    behind = {"image_url": site.url("/none.jpg"), "thumb_url": url}
    run = gather(site, tmp_path / "set", [url, behind])
    assert run.reasons == {url: "scheme", site.url("/none.jpg"): "http-404"}
    assert not canary.was_reached()
    (tmp_path / "list.txt").write_text(f"disc {url}\n")
    with pytest.raises(SourceUnavailable, match=r"line 1: there is no http\(s\) address"):
        Urls(str(tmp_path / "list.txt"))


# Row 2: addresses of this machine and its neighbours.

PRIVATE = [
    "127.0.0.1",
    "[::1]",
    "0.0.0.0",
    "10.0.0.1",
    "169.254.169.254",
    "100.64.0.1",
    "100.100.100.200",
    "192.0.0.192",
    "[::ffff:127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "2130706433",
    "0x7f.1",
]


@pytest.mark.parametrize("host", PRIVATE)
def test_row_02_private_addresses_are_refused(host: str, site: Site, canary: Canary, tmp_path: Path) -> None:
    url = f"http://{host}:{canary.port}/a.jpg"
    behind = {"image_url": site.url("/none.jpg"), "thumb_url": url}
    run = gather(site, tmp_path / "set", [url, behind])
    assert run.reasons == {url: "private-address", site.url("/none.jpg"): "http-404"}
    assert not canary.was_reached()


def test_row_02_the_rule_as_it_is_outside_the_tests(canary: Canary, tmp_path: Path) -> None:
    lines = [f"{kind} http://{host}:{canary.port}/{kind}.jpg" for kind in ("disc", "cross") for host in PRIVATE]
    (tmp_path / "list.txt").write_text("\n".join([*lines, f"disc http://localhost:{canary.port}/a.jpg"]))
    with pytest.raises(TooFewPictures, match=r"'disc' has 0 usable pictures .*14 private-address"):
        collect(RECIPE, [Urls(str(tmp_path / "list.txt"))], tmp_path / "set")
    assert not canary.was_reached()
    assert {record.reason for record in read_manifest(tmp_path / "set")} == {"private-address"}


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "0.0.0.0", "[::ffff:127.0.0.1]"])
def test_row_02_without_the_rule_the_canary_is_reached(host: str, site: Site, canary: Canary, tmp_path: Path) -> None:
    url = f"http://{host}:{canary.port}/a.jpg"
    fetch = fetching(address_policy=lambda address: True)
    with ThreadPoolExecutor() as pool:
        visitors = pool.submit(canary.hang_up)
        assert gather(site, tmp_path, [url], fetch=fetch).reasons
        assert visitors.result() == 1


# Row 3: redirections to such places.


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("http://127.0.0.1:{canary}/a.jpg", "private-address"),
        ("http://[::1]:{canary}/a.jpg", "private-address"),
        ("http://inside.test:{canary}/a.jpg", "private-address"),
        ("file:///etc/hostname", "scheme"),
        ("/hop0", "redirects"),
    ],
)
@pytest.mark.parametrize("hops", [1, 4])
def test_row_03_each_hop_is_checked(
    location: str, reason: str, hops: int, site: Site, canary: Canary, tmp_path: Path
) -> None:
    for hop in range(hops):
        site.routes[f"/hop{hop}"] = redirect(f"/hop{hop + 1}")
    site.routes[f"/hop{hops}"] = redirect(location.format(canary=canary.port))
    inside = {"inside.test": ["127.0.0.1"]}
    fetch = fetching(lambda host, port: inside.get(host) or resolve(host, port))
    run = gather(site, tmp_path, [site.url("/hop0")], fetch=fetch)
    assert run.reasons == {site.url("/hop0"): reason}
    assert not canary.was_reached()


@pytest.mark.parametrize(("hops", "reason"), [(5, None), (6, "redirects")])
def test_row_03_at_most_five_hops(hops: int, reason: str | None, site: Site, tmp_path: Path) -> None:
    for hop in range(hops):
        site.routes[f"/hop{hop}"] = redirect(f"/hop{hop + 1}")
    site.routes[f"/hop{hops}"] = body(jpeg())
    run = gather(site, tmp_path, [site.url("/hop0")])
    assert run.reasons.get(site.url("/hop0")) == reason
    assert len({path for path, _ in site.requests if path.startswith("/hop")}) == 6


@contextmanager
def open_secure_site(name: str) -> Iterator[tuple[Site, ssl.SSLContext]]:
    """A site that can prove to be `name`, and what to trust to believe it."""
    authority = trustme.CA()
    tls, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert(name).configure_cert(tls)
    authority.configure_trust(trusting)
    with open_site(tls) as secure:
        yield secure, trusting


def test_row_03_from_https_to_http_is_refused(site: Site, tmp_path: Path) -> None:
    with open_secure_site("pictures.test") as (secure, trusting):
        secure.routes["/a.jpg"] = redirect(site.url("/picture.jpg"))
        url = secure.url("/a.jpg", scheme="https")
        run = gather(site, tmp_path, [url], fetch=fetching(ssl_context=trusting))
        assert run.reasons == {url: "downgrade"}
    assert site.asked("/picture.jpg") == 0


# Row 4: names whose meaning changes.


def names(**answers: Sequence[list[str]]) -> Resolver:
    """Answers for `<name>.test` in turn, the last one for ever."""
    left = {f"{name}.test": itertools.chain(given, itertools.repeat(given[-1])) for name, given in answers.items()}
    return lambda host, port: next(left[host]) if host in left else resolve(host, port)


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        # The first look-up is for the robots.txt, the second for the picture.
        ([[HERE], ["127.0.0.1"]], "private-address"),
        ([["127.0.0.1"]], "private-address"),
        ([[HERE, "127.0.0.1"]], "private-address"),
        ([["127.0.0.1", HERE]], "private-address"),
        ([[HERE, "::1"]], "private-address"),
        ([["93.184.216.34", "10.0.0.1"]], "private-address"),
        ([[HERE], [HERE], ["127.0.0.1"]], None),
    ],
)
def test_row_04_connects_only_to_the_address_that_was_checked(
    answers: list[list[str]], reason: str | None, site: Site, canary: Canary, tmp_path: Path
) -> None:
    # The same port at both addresses, so that a second look-up would lead to the canary.
    with socket.create_server(("127.0.0.1", site.port)) as twin:
        run = gather(site, tmp_path, [site.url("/picture.jpg")], fetch=fetching(names(pictures=answers)))
        assert not select.select([twin], [], [], 0)[0]
    assert run.reasons.get(site.url("/picture.jpg")) == reason
    assert site.asked("/picture.jpg") == (reason is None)
    if reason is None:
        assert {headers["Host"] for path, headers in site.requests if path == "/picture.jpg"} == {
            f"pictures.test:{site.port}"
        }


def test_row_04_a_pinned_address_must_still_prove_the_name(site: Site, tmp_path: Path) -> None:
    with open_secure_site("pictures.test") as (secure, trusting):
        right = secure.url("/picture.jpg", scheme="https")
        wrong = secure.url("/picture.jpg", host="other.test", scheme="https")
        run = gather(site, tmp_path, [right, wrong], fetch=fetching(ssl_context=trusting))
        assert (right in run.kept, run.reasons) == (True, {wrong: "tls"})


# Row 5: bodies that are too big, or not as long as they say.


def endless(handler: Handler) -> None:
    handler.send(200, {"Transfer-Encoding": "chunked", "Content-Type": "image/jpeg"})
    while True:
        handler.wfile.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")


@pytest.mark.parametrize(
    ("route", "reason"),
    [
        (body(b"", Content_Length="2147483648"), "too-large"),
        (body(jpeg() + bytes(20 * MB), Content_Length="2000"), "corrupt"),
        (body(jpeg(), Content_Length="900000"), "broken"),
        (endless, "too-large"),
    ],
    ids=["says 2 GB", "says less", "says more", "endless"],
)
def test_row_05_huge_bodies(route: Route, reason: str, site: Site, tmp_path: Path) -> None:
    site.routes["/a.jpg"] = route
    with memory_below(100 * MB):
        run = gather(site, tmp_path, [site.url("/a.jpg")])
    assert run.reasons == {site.url("/a.jpg"): reason}
    assert DownloadConfig().max_bytes <= 15 * MB


# Row 6: a small body that unpacks to 1 GB.


@pytest.mark.parametrize("layers", [1, 2])
def test_row_06_gzip_bomb(layers: int, site: Site, tmp_path: Path) -> None:
    bomb = gzip.compress(bytes(MB)) * 1000
    bomb = gzip.compress(bomb) if layers == 2 else bomb
    assert len(bomb) < (50_000 if layers == 2 else 2 * MB)
    encodings = ", ".join(["gzip"] * layers)
    site.routes["/a.jpg"] = body(bomb, Content_Encoding=encodings, Content_Type="image/jpeg")
    # As a robots.txt it must do no harm either.
    with open_site() as other:
        other.routes["/robots.txt"] = body(bomb, Content_Encoding=encodings)
        with memory_below(100 * MB):
            run = gather(site, tmp_path, [site.url("/a.jpg"), other.url("/picture.jpg")])
        assert run.reasons == {site.url("/a.jpg"): "encoding", other.url("/picture.jpg"): "encoding"}
    assert {headers["Accept-Encoding"] for _, headers in site.requests} == {"identity"}


# Row 7: servers that take for ever.


def one_byte_a_second(handler: Handler) -> None:
    handler.send(200, {"Content-Length": "90000"})
    while True:
        handler.wfile.write(b"x")
        time.sleep(1)


def headers_without_end(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        handler.wfile.write(b"X-More: 1\r\n")
        time.sleep(0.1)


@pytest.mark.parametrize("route", [one_byte_a_second, headers_without_end])
def test_row_07_slow_servers_end_by_the_clock_and_hold_up_nobody(route: Route, site: Site, tmp_path: Path) -> None:
    site.routes["/slow.jpg"] = route
    slow = [site.url("/slow.jpg", f"slow{number}.test") for number in range(8)]

    def check(pace: float) -> None:
        looked_up: list[float] = []

        def timed(host: str, port: int) -> list[str]:
            if host == "good.test":
                looked_up.append(time.monotonic())
            return resolve(host, port)

        downloads = replace(DOWNLOADS, deadline_s=2.5 * pace)
        started = time.monotonic()
        run = gather(site, tmp_path / str(pace), slow, downloads=downloads, fetch=fetching(timed))
        assert time.monotonic() - started < 20 * pace
        assert run.reasons == dict.fromkeys(slow, "timeout")
        # The robots.txt and the three good discs were there long before the slow ones were given up.
        assert looked_up[3] - started < 2.2 * pace

    at_some_pace(check)
    assert DownloadConfig().deadline_s <= 20


# Row 8: few bytes, many pixels.


@pytest.mark.parametrize(
    "make",
    # The second is small enough for Pillow, and too large for us.
    [pixel_bomb, lambda: pixel_bomb(8000), lambda: gif((65535, 65535), (1, 1)), lambda: gif((64, 64), (65535, 65535))],
    ids=["PNG", "PNG of 64 MP", "GIF screen", "GIF frame"],
)
def test_row_08_pixel_bombs_are_refused_from_the_header(make: Callable[[], bytes], site: Site, tmp_path: Path) -> None:
    content = make()
    assert len(content) < 130_000
    site.routes["/a.png"] = body(content)
    with memory_below(100 * MB):
        assert gather(site, tmp_path, [site.url("/a.png")]).reasons == {site.url("/a.png"): "too-large"}
        assert in_the_app(content) == "too-large"
    assert PictureConfig().max_pixels <= 50 * MB


def test_row_08_huge_later_frames_of_a_gif_are_not_looked_at(site: Site, tmp_path: Path) -> None:
    first = encode(PICTURE.convert("P"), "GIF")
    site.routes["/a.gif"] = body(first[:-1] + gif((1, 1), (65535, 65535))[19:])
    with memory_below(100 * MB):
        assert site.url("/a.gif") in gather(site, tmp_path, [site.url("/a.gif")]).kept


# Row 9: a JPEG with a bomb as its second picture.


def test_row_09_only_the_first_picture_of_an_mpo_is_looked_at(site: Site, tmp_path: Path) -> None:
    small = PICTURE.resize((64, 64))
    content = bytearray(encode(small, "MPO", save_all=True, append_images=[draw("cross", 1, (64, 64))]))
    second = content.index(b"\xff\xd8\xff", content.index(b"\xff\xd9"))
    frame_header = content.index(b"\xff\xc0", second)
    content[frame_header + 5 : frame_header + 9] = struct.pack(">HH", 40_000, 40_000)
    with Image.open(io.BytesIO(content)) as opened:
        assert (opened.format, opened.n_frames, opened.size) == ("MPO", 2, (64, 64))
    site.routes["/a.jpg"] = body(bytes(content))
    with memory_below(100 * MB):
        run = gather(site, tmp_path, [site.url("/a.jpg")])
        in_app = load_picture(bytes(content))
    assert run.stored(site.url("/a.jpg")) == encode_jpeg(load_picture(encode(small)), 95) == encode_jpeg(in_app, 95)


# Row 10: decoders that hardly anybody uses.


@pytest.mark.parametrize("format_", ["EPS", "PSD", "FITS", "WMF", "BLP", "XBM", "HDF5"])
def test_row_10_obscure_formats_are_no_pictures(format_: str, site: Site, tmp_path: Path) -> None:
    content = obscure(format_)
    with Image.open(io.BytesIO(content)) as opened:
        # Pillow would know it.
        assert opened.format == format_
    names_ = [f"/a.{format_.lower()}", "/a.jpg"]
    for name in names_:
        site.routes[name] = body(content, Content_Type="image/jpeg")
    urls = [site.url(name) for name in names_]
    assert gather(site, tmp_path, urls).reasons == dict.fromkeys(urls, "not-a-picture")
    assert in_the_app(content) == "not-a-picture"


# Row 11: pages in a picture's clothes.


def test_row_11_decoding_decides_and_reasons_are_counted(site: Site, tmp_path: Path) -> None:
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"><script>alert(1)</script></svg>'
    disguised = {
        "/page.jpg": body(b"<html><img src=a.jpg></html>", Content_Type="text/html"),
        "/picture.svg": body(svg, Content_Type="image/svg+xml"),
        "/svg.jpg": body(svg, Content_Type="image/jpeg"),
        "/lying.jpg": body(b"<!doctype html><title>404</title>", Content_Type="image/jpeg"),
        "/data.jpg": body(b'{"url": "a.jpg"}', Content_Type="image/jpeg"),
    }
    site.routes |= {**disguised, "/real.html": body(jpeg(), Content_Type="text/html")}
    run = gather(site, tmp_path, [site.url(path) for path in (*disguised, "/real.html")])
    assert run.reasons == {site.url(path): "not-a-picture" for path in disguised}
    assert site.url("/real.html") in run.kept
    assert "dropped 5: 5 not-a-picture" in run.dataset.summary()
    assert "disc, stand: 4 kept; not kept: 5 not-a-picture" in run.dataset.by_source()


# Row 12: more than a picture in the file.


def jpeg_segments(content: bytes) -> list[str]:
    """The markers of a JPEG's head, in hexadecimal; and that nothing follows its end."""
    found, position = [], 2
    while content[position + 1] != 0xDA:
        found.append(content[position + 1 : position + 2].hex())
        position += 2 + int.from_bytes(content[position + 2 : position + 4])
    assert content.index(b"\xff\xd9", position) == len(content) - 2
    return found


@pytest.mark.parametrize(
    "make",
    [lambda: jpeg() + zipped(), lambda: encode(PICTURE, "GIF") + b"*/=1;alert('canary')//", with_text],
    ids=["JPEG+ZIP", "GIF+JS", "PNG+5 MB tEXt"],
)
def test_row_12_stored_files_carry_nothing_but_the_picture(
    make: Callable[[], bytes], site: Site, tmp_path: Path
) -> None:
    content = make()
    assert b"canary" in content
    site.routes["/a"] = body(content)
    stored = gather(site, tmp_path, [site.url("/a")]).stored(site.url("/a"))
    assert b"canary" not in stored
    assert len(stored) < 200_000
    assert set(jpeg_segments(stored)) == {"e0", "db", "c0", "c4"}
    assert not zipfile.is_zipfile(io.BytesIO(stored))
    assert load_picture(content).info == {}


# Row 13: files that are cut or damaged.


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        pytest.param(lambda: jpeg()[: len(jpeg()) // 2], "corrupt", id="JPEG cut at 50 %"),
        pytest.param(lambda: png_damaged_at(b"IHDR", -1), "not-a-picture", id="CRC of the head"),
        pytest.param(lambda: png_damaged_at(b"IDAT", 5000), "corrupt", id="data"),
        pytest.param(lambda: png_damaged_at(b"IDAT", -1), "corrupt", id="CRC of the data"),
        pytest.param(lambda: b"", "empty", id="0 bytes"),
        pytest.param(lambda: encode(Image.new("RGB", (1, 1)), "PNG"), "too-small", id="1x1"),
    ],
)
def test_row_13_cut_and_damaged_files(make: Callable[[], bytes], reason: str, site: Site, tmp_path: Path) -> None:
    content = make()
    site.routes["/a"] = body(content)
    run = gather(site, tmp_path, [site.url("/a")])
    assert run.reasons == {site.url("/a"): reason}
    assert in_the_app(content) == reason
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


# Row 14: modes.


@pytest.mark.parametrize("mode", MODES)
def test_row_14_every_mode_becomes_the_same_rgb_in_training_and_app(mode: str, site: Site, tmp_path: Path) -> None:
    make, expected, tolerance = MODES[mode]
    content = make()
    site.routes["/a"] = body(content)
    stored = gather(site, tmp_path, [site.url("/a")]).stored(site.url("/a"))
    in_app = load_picture(content)
    assert in_app.mode == "RGB"
    assert stored == encode_jpeg(in_app, PictureConfig().stored_quality)
    difference = np.asarray(load_picture(stored)).astype(int) - np.asarray(expected().convert("RGB"))
    assert np.abs(difference).mean() < tolerance


def test_row_14_there_is_one_function_that_decodes() -> None:
    assert images.load_picture is images.load_picture is service.load_picture is images.load_picture


# Row 15: pictures that lie on their side.


def test_row_15_all_orientations_are_stored_with_the_same_pixels(site: Site, tmp_path: Path) -> None:
    contents = {site.url(f"/{turn}.png"): turned(PICTURE, turn) for turn in range(1, 9)}
    for turn, content in enumerate(contents.values(), 1):
        assert Image.open(io.BytesIO(content)).getexif().get(0x0112) == turn
        site.routes[f"/{turn}.png"] = body(content)
    run = gather(site, tmp_path, list(contents))
    # What is stored would be the same file eight times.
    (kept,) = set(contents) & set(run.kept)
    assert run.reasons == dict.fromkeys(set(contents) - {kept}, "copy")
    expected = encode_jpeg(PICTURE, PictureConfig().stored_quality)
    told = [record for record in read_manifest(tmp_path) if record.backend_id in contents]
    assert {record.sha256 for record in told} == {hashlib.sha256(expected).hexdigest()}
    assert run.stored(kept) == expected
    assert {load_picture(content).tobytes() for content in contents.values()} == {PICTURE.tobytes()}


# Row 16: what a photo tells of its owner.


def test_row_16_nothing_but_pixels_is_stored_or_told(
    site: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture
) -> None:
    content = tell_tale()
    with Image.open(io.BytesIO(content)) as opened:
        assert opened.getexif().get_ifd(0x8825)[2] == (52.0, 31.0, 12.0)
        assert content.count(b"canary") == 7
        assert opened.getexif().get_ifd(Image.ExifTags.IFD.IFD1)[0x0202] > 100
    site.routes["/a.jpg"] = body(content)
    # Pillow itself tells EXIF in its DEBUG log, which nothing here turns on.
    caplog.set_level(logging.INFO)
    run = gather(site, tmp_path / "set", [site.url("/a.jpg")])
    for line in (run.dataset.summary(), *run.dataset.by_source(), *run.dataset.complaints()):
        say(line)
    everything = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    printed = "".join(capsys.readouterr())
    assert b"canary" not in everything
    assert b"Exif" not in everything
    assert "canary" not in caplog.text + printed
    assert set(jpeg_segments(run.stored(site.url("/a.jpg")))) == {"e0", "db", "c0", "c4"}
    loaded = load_picture(content)
    assert (loaded.info, dict(loaded.getexif())) == ({}, {})


# Row 17: names that lead elsewhere.

NAMES = ["../../x", "/etc", "C:\\x", "a/../b", "a\0b", "x" * 300, "CON", "..", "a\nb", ".hidden"]


@pytest.mark.parametrize("label", NAMES)
def test_row_17_class_names_that_are_paths_are_refused(label: str, tmp_path: Path) -> None:
    classes = {label: "a bear", "other": "another"}
    with pytest.raises(RecipeError, match="cannot be a label"):
        make_recipe(classes, name="two")
    with pytest.raises(RecipeError, match="cannot be a label"):
        recipe_from_options([f"{label}=a bear", "other"])
    table = "\n".join(f"{json.dumps(name)} = {json.dumps(query)}" for name, query in classes.items())
    (tmp_path / "recipe.toml").write_text(f"[classes]\n{table}\n")
    with pytest.raises(RecipeError, match="cannot be a label"):
        read_recipe(tmp_path / "recipe.toml")


@pytest.mark.parametrize("name", ["../../x", "/etc", "C:\\x", "a/b", "a\0b", "CON"])
def test_row_17_names_of_recipes_become_safe(name: str) -> None:
    assert re.fullmatch(r"[\w-]+", make_recipe({"a": "a", "b": "b"}, name=name).name)
    assert make_recipe({"a": "a", "b": "b"}, name="CON").name.casefold() != "con"


@pytest.mark.parametrize("base", ["..%2f..%2fevil.jpg", "..%5cevil.jpg", "../../evil.jpg", "evil%00.jpg", "CON.jpg"])
def test_row_17_addresses_do_not_name_files(base: str, site: Site, tmp_path: Path) -> None:
    for path in (tmp_path / "evil.jpg", tmp_path / "data" / "evil.jpg"):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"mine")
    offer = {"image_url": site.url(f"/{base}"), "title": "../../evil.jpg", "backend_id": "../../evil.jpg"}
    server_sees = "/evil.jpg" if base.startswith("../") else f"/{base}"
    site.routes[server_sees] = body(jpeg(), Content_Disposition='attachment; filename="../../evil.jpg"')
    run = gather(site, tmp_path / "data" / "set", [offer])
    assert "../../evil.jpg" in run.kept
    outside = {path for path in tmp_path.rglob("*") if path.is_file() and "set" not in path.parts}
    assert {path.read_bytes() for path in outside} == {b"mine"}
    assert len(outside) == 2


# Row 18: titles and names with orders in them.

ANSI_AND_HTML = "Bear\r\nX-Injected: 1\x1b[31m\x1b]0;owned\x07\"'><script>alert(1)</script>\u202egpj"
HOSTILE = [ANSI_AND_HTML, "=cmd|' /C calc'!A0", "+1+cmd", "-2+3", "@SUM(1)", "\t=cmd", "\r=cmd"]


@pytest.fixture
def hostile(site: Site, tmp_path: Path) -> Gathered:
    offers = []
    for number, text in enumerate(HOSTILE):
        site.routes[f"/{number}.jpg"] = body(jpeg("stripes", number))
        offers.append({"image_url": site.url(f"/{number}.jpg"), "title": text, "creator": text, "attribution": text})
    return gather(site, tmp_path / "set", offers)


def test_row_18_tables_hold_no_orders_and_no_forged_rows(hostile: Gathered, tmp_path: Path) -> None:
    write_origins(tmp_path, hostile.dataset)
    for manifest in (tmp_path / "manifest.jsonl", hostile.dataset.folder / "manifest.jsonl"):
        lines = manifest.read_bytes().splitlines()
        assert len(lines) == len(HOSTILE) + 6
        assert {json.loads(line)["title"] for line in lines} == {*HOSTILE, None}
        assert b"\x1b" not in manifest.read_bytes()
    content = (tmp_path / "ATTRIBUTION.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(content, newline="")))
    assert len(content.splitlines()) == len(rows) + 1 == len(HOSTILE) + 7
    for cell in (cell for row in rows for cell in row.values()):
        assert cell.isprintable()
        assert not cell.startswith(("=", "+", "-", "@"))


def test_row_18_the_terminal_obeys_nobody(capsys: pytest.CaptureFixture) -> None:
    for text in HOSTILE:
        say(text)
    printed = capsys.readouterr().out
    assert len(printed.splitlines()) == len(HOSTILE)
    assert printed.replace("\n", "").isprintable()


def test_row_18_the_report_shows_titles_as_text(hostile: Gathered, tmp_path: Path) -> None:
    dataset = hostile.dataset
    features = np.random.default_rng(1).normal(size=(len(dataset.records), 16)).astype(np.float32)
    pairs = [(dataset.records[0], dataset.records[-1], 0.9)]
    write_coverage(
        measure_coverage(dataset, features, [("dark",)] * len(features)), dataset, tmp_path / "report.html", pairs
    )
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert page.all("script") == []
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert any("<script>alert(1)</script>" in str(image["alt"]) for image in page.all("img"))


def test_row_18_a_sentence_of_failure_obeys_nobody(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    facts = {"image_url": "http://127.0.0.1/a.jpg", "original_sha256": "0" * 64, "license_id": ANSI_AND_HTML}
    records = [Record(kind, "stand", kind, kind, 0, "kept", **facts) for kind in ("disc", "cross")]
    (tmp_path / "manifest.jsonl").write_text("".join(json.dumps(asdict(record)) + "\n" for record in records))
    options = ["--class", "disc", "--class", "cross", "--data", str(tmp_path / "data"), "--license", "open"]
    assert main(["collect", *options, "--search", f"manifest:{tmp_path}"]) == 1
    sentence = capsys.readouterr().err.partition("spotter collect: ")[2]
    assert "'disc' has 0 usable pictures" in sentence
    assert sentence.rstrip("\n").isprintable()


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85"])
def test_row_18_a_manifest_with_other_line_ends_in_titles_is_read_back(
    separator: str, site: Site, tmp_path: Path
) -> None:
    gather(site, tmp_path, [{"image_url": site.url("/picture.jpg"), "title": f"one{separator}two"}])
    assert len(list(Manifest(str(tmp_path)).search("disc", 99))) == 4


# Row 19: a service that refuses is not one that has nothing.


def openverse(server: JsonServer, waits: list[float] | None = None) -> Openverse:
    return Openverse(base_url=f"{server.url}/", per_minute=6e6, sleep=(waits if waits is not None else []).append)


class Impatient(Openverse):
    """Openverse, but for a client that waits a moment only."""

    def __init__(self, base_url: str) -> None:
        super().__init__(base_url=base_url, per_minute=6e6)
        self._client = JsonClient("Openverse", 6e6, timeout_s=0.1, sleep=lambda seconds: None)


def fill(folder: Path, sources: Sequence[SearchBackend]) -> Gathered:
    recipe = replace(RECIPE, per_class=3)
    return check(collect(recipe, sources, folder, ENOUGH, downloads=DOWNLOADS, fetch=fetching()))


def good_source(site: Site) -> Offers:
    urls = {kind: [{"image_url": site.url(path)} for path in GOOD if kind in path] for kind in ("disc", "cross")}
    return Offers({"a disc": urls["disc"], "a cross": urls["cross"]})


ANSWERS: dict[str, tuple[Answer, type[SpotterError], str, int]] = {
    "429": ((429, {"Retry-After": "7"}, b""), SourceThrottled, r"refuses to answer \(HTTP 429\)", RETRIES),
    "403": ((403, {}, b""), SourceThrottled, r"refuses to answer \(HTTP 403\)", RETRIES),
    "202": ((202, {}, b"{}"), SourceThrottled, r"refuses to answer \(HTTP 202\)", RETRIES),
    "500": ((500, {}, b""), SourceUnavailable, "HTTP 500", RETRIES),
    "nothing found": ((200, {}, b'{"results": []}'), TooFewPictures, "'disc' has 0 usable pictures", 2),
    "empty": ((200, {}, b""), SourceUnavailable, "does not answer with JSON", 1),
    "no JSON": ((200, {}, b"<html>busy</html>"), SourceUnavailable, "does not answer with JSON", 1),
    "half JSON": ((200, {}, b'{"results": [{"url"'), SourceUnavailable, "does not answer with JSON", 1),
    "no results": ((200, {}, b'{"detail": "?"}'), SourceUnavailable, "unknown format", 1),
    "no keys": ((200, {}, b'{"results": [{}, {"id": "1"}], "page_count": 1}'), TooFewPictures, "has 0 usable", 2),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_row_19_a_failing_service_is_told_and_the_others_go_on(
    kind: str, site: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    answer, error, sentence, requests = ANSWERS[kind]
    waits: list[float] = []
    with JsonServer(lambda path, query: answer) as server:
        with pytest.raises(error, match=sentence) as caught:
            fill(tmp_path / "alone", [openverse(server, waits)])
        assert type(caught.value) is error
        assert len(server.requests) == requests
        assert [wait for wait in waits if wait > 0.1] == {"429": [7.0, 7.0]}.get(kind, [1.0, 2.0][: requests - 1])[
            : 0 if error is TooFewPictures else None
        ]
        run = fill(tmp_path / "together", [openverse(server), good_source(site)])
        assert len(run.kept) == 6
        assert len(server.requests) <= 3 * requests
    told = [record.message for record in caplog.records if record.message.startswith(("disc: ", "cross: "))]
    assert len(told) == (0 if error is TooFewPictures else 2)


def test_row_19_a_service_that_never_answers(site: Site, tmp_path: Path) -> None:
    # The system accepts connections for a socket that listens; nobody answers them.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        source = Impatient(f"http://127.0.0.1:{silent.getsockname()[1]}/")
        with pytest.raises(SourceUnavailable, match="no answer in time"):
            fill(tmp_path / "alone", [source])
        assert len(fill(tmp_path / "together", [source, good_source(site)]).kept) == 6


def test_row_19_retry_after_of_a_picture_is_obeyed(site: Site, tmp_path: Path) -> None:
    site.routes["/a.jpg"] = in_turn(status(429, Retry_After="1"), body(jpeg()))
    site.routes["/b.jpg"] = status(429, Retry_After="3600")
    started = time.monotonic()
    run = gather(site, tmp_path, [site.url("/a.jpg"), site.url("/b.jpg")], downloads=replace(DOWNLOADS, retries=1))
    assert 1 < time.monotonic() - started < 1800
    assert (site.url("/a.jpg") in run.kept, run.reasons) == (True, {site.url("/b.jpg"): "http-429"})
    assert (site.asked("/a.jpg"), site.asked("/b.jpg")) == (2, 1)


# Row 20: some of the sources fail.


def test_row_20_one_of_three_sources_is_down(site: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = {query: facts[:1] for query, facts in good_source(site).facts.items()}
    with JsonServer(lambda path, query: (503, {}, b"")) as server:
        run = fill(tmp_path, [Offers(first), openverse(server), good_source(site)])
    assert len(run.dataset.records) == 6
    assert "disc: Openverse answers with an error (HTTP 503)." in caplog.text
    assert run.dataset.by_source() == ["disc, stand: 3 kept", "cross, stand: 3 kept"]


def test_row_20_below_the_minimum_the_failed_source_is_named(site: Site, tmp_path: Path) -> None:
    few = {"a disc": [], "a cross": good_source(site).facts["a cross"]}
    sentence = r"'disc' has 0 usable .* at least 2\. Openverse answers with an error"
    with (
        JsonServer(lambda path, query: (503, {}, b"")) as server,
        pytest.raises(TooFewPictures, match=sentence),
    ):
        fill(tmp_path, [Offers(few), openverse(server)])


@pytest.mark.parametrize("program", ["train", "collect"])
def test_row_20_below_the_minimum_the_commands_fail(
    program: str, site: Site, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "list.txt").write_text("".join(f"{path.split('/')[2]} {site.url(path, HERE)}\n" for path in GOOD))
    options = ["--class", "disc", "--class", "cross", "--data", str(tmp_path / "data")]
    assert main([program, *options, "--search", f"urls:{tmp_path / 'list.txt'}"]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert "The class 'disc' has 0 usable pictures and needs at least 5 (dropped: 3 private-address)." in last
    assert site.requests == []


# Row 21: owners who said no.


@pytest.mark.parametrize(
    ("tag", "reason"),
    [
        ("noai", "opt-out"),
        ("noimageai", "opt-out"),
        ("noindex", "opt-out"),
        ("Spotter: noai", "opt-out"),
        ("otherbot: noai", None),
    ],
)
def test_row_21_tags_are_obeyed_and_no_thumbnail_stands_in(
    tag: str, reason: str | None, site: Site, tmp_path: Path
) -> None:
    site.routes |= {"/a.jpg": body(jpeg(), X_Robots_Tag=tag), "/thumb.jpg": body(jpeg())}
    offer = {"image_url": site.url("/a.jpg"), "thumb_url": site.url("/thumb.jpg")}
    run = gather(site, tmp_path, [offer])
    assert run.reasons.get(site.url("/a.jpg")) == reason
    assert site.asked("/thumb.jpg") == 0


@pytest.mark.parametrize(("agent", "reason"), [("*", "robots"), ("Spotter", "robots"), ("otherbot", None)])
def test_row_21_robots_txt_is_obeyed_and_no_thumbnail_stands_in(
    agent: str, reason: str | None, site: Site, tmp_path: Path
) -> None:
    with open_site() as strict:
        strict.routes["/robots.txt"] = rules(f"User-agent: {agent}\nDisallow: /picture")
        strict.routes["/thumb.jpg"] = body(jpeg())
        offer = {"image_url": strict.url("/picture.jpg"), "thumb_url": strict.url("/thumb.jpg")}
        run = gather(site, tmp_path, [offer])
        assert run.reasons.get(strict.url("/picture.jpg")) == reason
        assert [path for path, _ in strict.requests] == ([] if reason else ["/picture.jpg"])


# Row 22: licences.

OPENVERSE = {
    "CC-BY-4.0": {"license": "by", "license_version": "4.0"},
    "CC0-1.0": {"license": "cc0", "license_version": "1.0"},
    "CC-BY-ND-2.0": {"license": "by-nd", "license_version": "2.0"},
    "CC-BY-NC-4.0": {"license": "by-nc", "license_version": "4.0"},
    "null": {"license": None},
    "unknown": {"license": "unknown"},
}
COMMONS = {
    "restricted": {"LicenseShortName": "Public domain", "License": "pd", "Restrictions": "personality|trademarked"},
    "marked, restricted": {
        "LicenseShortName": "Public domain",
        "License": "pd",
        "LicenseUrl": "https://creativecommons.org/publicdomain/mark/1.0/",
        "Restrictions": "insignia",
    },
}


@pytest.fixture
def catalogues(site: Site) -> Iterator[list[SearchBackend]]:
    """Openverse and Wikimedia with a picture of each licence for each class."""

    def answer(path: str, query: dict[str, str]) -> Answer:
        words = query["q"] if path == "/openverse" else query["gsrsearch"]
        kind = "disc" if "disc" in words else "cross"
        if path == "/openverse":
            results = [
                {"id": name, "url": site.url(f"/{kind}/{number}"), "title": name, **facts}
                for number, (name, facts) in enumerate(OPENVERSE.items())
            ]
            return 200, {}, json.dumps({"results": results, "page_count": 1}).encode()
        pages = [
            {
                "pageid": number,
                "title": f"File:{name}.jpg",
                "index": number,
                "imageinfo": [
                    {
                        "url": site.url(f"/{kind}/{number}"),
                        "mime": "image/jpeg",
                        "extmetadata": {key: {"value": value} for key, value in told.items()},
                    }
                ],
            }
            for number, (name, told) in enumerate(COMMONS.items(), 10)
        ]
        return 200, {}, json.dumps({"batchcomplete": True, "query": {"pages": pages}}).encode()

    for kind, number in itertools.product(("disc", "cross"), (*range(6), 10, 11)):
        site.routes[f"/{kind}/{number}"] = body(jpeg(kind, 200 + number))
    with JsonServer(answer) as server:
        quick = {"per_minute": 6e6, "sleep": lambda seconds: None}
        yield [
            Openverse(base_url=f"{server.url}/openverse", **quick),
            Wikimedia(base_url=f"{server.url}/wikimedia", **quick),
        ]


def collect_under(policy: str, sources: Sequence[SearchBackend], folder: Path) -> Gathered:
    config = CollectConfig(license=policy, min_per_class=2)
    return check(collect(RECIPE, sources, folder, config, downloads=DOWNLOADS, fetch=fetching()))


@pytest.mark.parametrize(
    ("policy", "kept"),
    [
        ("open", {"CC-BY-4.0", "CC0-1.0"}),
        ("commercial", {"CC-BY-4.0", "CC0-1.0", "CC-BY-ND-2.0"}),
        ("any", {"CC-BY-4.0", "CC0-1.0", "CC-BY-ND-2.0", "CC-BY-NC-4.0", "null", "unknown", *COMMONS}),
    ],
)
def test_row_22_the_policy_decides_before_anything_is_fetched(
    policy: str, kept: set[str], catalogues: list[SearchBackend], site: Site, tmp_path: Path
) -> None:
    dataset = collect_under(policy, catalogues, tmp_path / "set").dataset
    assert {record.title for record in dataset.records} == kept
    assert {str(record.reason).partition(" ")[0] for record in dataset.dropped} <= {"license"}
    assert len(site.requests) == 2 * len(kept)
    assert len(dataset.dropped) == 2 * (8 - len(kept))
    write_origins(tmp_path, dataset)
    with (tmp_path / "ATTRIBUTION.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["file"]: row for row in csv.DictReader(file)}
    assert set(rows) == {record.file for record in dataset.records}
    for record in dataset.records:
        row = rows[str(record.file)]
        assert (row["license_id"], row["title"], row["image_url"]) == (
            record.license_id,
            record.title,
            record.image_url,
        )
        assert bool(row["attribution"]) == (record.license_id != "unknown")
    told = {record.title: record.license_id for record in dataset.records}
    assert all(told[name] == "unknown" for name in {"null", *COMMONS} & set(told))


def test_row_22_an_example_is_never_of_a_closed_or_unknown_licence(
    catalogues: list[SearchBackend], tmp_path: Path
) -> None:
    dataset = collect_under("any", catalogues, tmp_path / "set").dataset
    open_ones = {"CC-BY-4.0", "CC0-1.0"}
    # The surest right answers are those that must not be shown.
    sureness = [0.6 if record.license_id in open_ones else 0.99 for record in dataset.records]
    probabilities = np.array(
        [
            [sure, 1 - sure] if record.label == "disc" else [1 - sure, sure]
            for sure, record in zip(sureness, dataset.records, strict=True)
        ]
    )
    trained = SimpleNamespace(judged=np.ones(len(sureness), dtype=bool), probabilities=probabilities)
    examples = write_examples(tmp_path, dataset, trained)
    licences = {
        path.read_bytes(): record.license_id for path, record in zip(dataset.paths, dataset.records, strict=True)
    }
    assert set(examples) == {"disc", "cross"}
    assert {licences[(tmp_path / file).read_bytes()] for file in examples.values()} <= open_ones


def test_row_22_without_an_open_licence_there_is_no_example(site: Site, tmp_path: Path) -> None:
    dataset = fill(tmp_path / "set", [good_source(site)]).dataset
    trained = SimpleNamespace(judged=np.ones(6, dtype=bool), probabilities=np.full((6, 2), 0.5))
    assert write_examples(tmp_path, dataset, trained) == {}
    assert list(tmp_path.glob("example*")) == []


def test_row_22_a_manifest_cannot_make_a_found_picture_your_own(site: Site, tmp_path: Path) -> None:
    lines = [
        Record(
            path.split("/")[2],
            "folder",
            path,
            "",
            0,
            "kept",
            image_url=site.url(path),
            original_sha256=hashlib.sha256(jpeg(path.split("/")[2], int(path[-5]))).hexdigest(),
        )
        for path in GOOD
    ]
    (tmp_path / "manifest.jsonl").write_text("".join(json.dumps(asdict(line)) + "\n" for line in lines))
    dataset = fill(tmp_path / "set", [Manifest(str(tmp_path))]).dataset
    trained = SimpleNamespace(judged=np.ones(6, dtype=bool), probabilities=np.full((6, 2), 0.5))
    assert write_examples(tmp_path, dataset, trained) == {}


# Row 23: the same picture again.


@dataclass(frozen=True)
class Copies:
    """A set with copies in it, the addresses of its pictures by their paths, and their features."""

    run: Gathered
    urls: dict[str, str]
    features: np.ndarray
    logits: np.ndarray | None


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Copies:
    from spotter.config import TrainConfig
    from spotter.train.backbone import compute_features, imagenet_logits, load_backbone

    original, other, shared = draw("disc", 300), draw("cross", 301), draw("disc", 302)
    pictures = {
        "/disc/original": encode(original, quality=92),
        "/disc/copy": encode(original, quality=92),
        "/disc/resized": encode(original.resize((90, 70)), quality=92),
        "/disc/re-encoded": encode(original, quality=60),
        "/disc/mirrored": encode(original.transpose(Image.Transpose.FLIP_LEFT_RIGHT), "WEBP", quality=90),
        "/disc/in-both": encode(shared),
        "/cross/in-both": encode(shared),
        "/disc/twin": encode(other, quality=92),
        "/cross/twin": encode(other.resize((150, 117)), quality=70),
    }
    for kind, number in itertools.product(("disc", "cross"), range(12)):
        pictures[f"/{kind}/{number}"] = encode(draw(kind, 400 + number), quality=92)
    with open_site() as site:
        site.routes |= {path: body(content) for path, content in pictures.items()}
        urls = {path: site.url(path) for path in pictures}
        discs, crosses = ([urls[p] for p in urls if p.startswith(f"/{kind}/")] for kind in ("disc", "cross"))
        run = gather(site, tmp_path_factory.mktemp("copies") / "set", discs, crosses=crosses)
    backbone = load_backbone(TrainConfig())
    features = compute_features(backbone, run.dataset)
    return Copies(run, urls, features, imagenet_logits(backbone, features))


def test_row_23_exact_copies_are_dropped(copies: Copies) -> None:
    exact = {copies.urls["/disc/original"], copies.urls["/disc/copy"]}
    (copy,) = exact & set(copies.run.reasons)
    both = {copies.urls["/disc/in-both"], copies.urls["/cross/in-both"]}
    assert copies.run.reasons == {copy: "copy"} | dict.fromkeys(both, "in-two-classes")


@pytest.mark.parametrize("looks", ["hashes", "features too"])
def test_row_23_near_copies_never_straddle_folds(looks: str, copies: Copies) -> None:
    from spotter.train.features import embed

    dataset = copies.run.dataset
    if looks == "features too":
        dataset, twins = confirm_duplicates(dataset, embed(copies.features))
        pairs = [{twin.first.backend_id, twin.second.backend_id} for twin in twins]
        assert pairs == [{copies.urls["/disc/twin"], copies.urls["/cross/twin"]}]
    group = {record.backend_id: record.group for record in dataset.records}
    names = ("original", "copy", "resized", "re-encoded", "mirrored")
    near = [url for name in names if (url := copies.urls[f"/disc/{name}"]) in group]
    assert (len(near), len({group[url] for url in near})) == (4, 1)
    assert group[copies.urls["/disc/twin"]] == group[copies.urls["/cross/twin"]]
    # Nothing else was thrown together.
    assert len(set(group.values())) == len(group) - 4
    for seed in range(5):
        folds = assign_folds(dataset, 5, seed)
        assert set(folds) == set(range(5))
        assert all(len(set(folds[dataset.groups == number])) == 1 for number in group.values())


def test_row_23_near_twins_in_two_classes_are_reported(copies: Copies, tmp_path: Path) -> None:
    from spotter.data.audit import review

    shutil.copytree(copies.run.dataset.folder, tmp_path / "set")
    dataset, sayings = review(replace(copies.run.dataset, folder=tmp_path / "set"), copies.features, copies.logits)
    flagged = {record.backend_id for record in read_manifest(dataset.folder) if "near-in-two-classes" in record.flags}
    assert flagged == {copies.urls["/disc/twin"], copies.urls["/cross/twin"]}
    assert "1 pair in two classes" in sayings[0]
    report = (dataset.folder / "coverage.html").read_text(encoding="utf-8")
    assert "Nearly the same picture in two classes" in report
