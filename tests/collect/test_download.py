"""Downloads: real sockets to servers on 127.0.0.1; only the look-up of names and the address rule are stand-ins."""

import gzip
import itertools
import socket
import ssl
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import trustme

from spotter.collect.download import OPT_OUTS, DownloadOutcome, download_all, is_transient
from spotter.collect.safe_network import is_public_address
from spotter.config import DownloadConfig
from tests.helpers.patience import at_some_pace, wait_until
from tests.helpers.picture_server import (
    USUAL_TRUST,
    Handler,
    Route,
    Server,
    body,
    in_turn,
    redirect,
    rules,
    serving,
    status,
)
from tests.helpers.ports import deaf_port

CONFIG = DownloadConfig(
    workers=8, per_host=2, max_bytes=100_000, deadline_s=240, connect_timeout_s=120, max_redirects=5, retries=1
)
PUBLIC = "93.184.216.34"


def drip(handler: Handler) -> None:
    handler.send(200, {"Content-Length": "90000"})
    while True:
        handler.wfile.write(b"x")
        time.sleep(0.05)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def secure_server(authority: trustme.CA) -> Iterator[Server]:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("pictures.test").configure_cert(tls)
    with serving(tls) as running:
        yield running


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def all_here(host: str, port: int) -> list[str]:
    return ["127.0.0.1"]


def allows_here(address: str) -> bool:
    return address == "127.0.0.1" or is_public_address(address)


def get_all(urls: Iterable[str], config: DownloadConfig = CONFIG, **changes: object) -> list[DownloadOutcome[int]]:
    options = {"resolver": all_here, "address_policy": allows_here, "ssl_context": USUAL_TRUST} | changes
    return list(download_all(enumerate(urls), config, **options))


def get(url: str, config: DownloadConfig = CONFIG, **changes: object) -> DownloadOutcome[int]:
    (outcome,) = get_all([url], config, **changes)
    return outcome


def never_asked(host: str, port: int) -> list[str]:
    raise AssertionError(f"{host} was looked up")


def test_gives_content_and_asks_modestly(server: Server) -> None:
    url = server.url("/ok")
    assert get(url) == DownloadOutcome(0, url, b"picture", url, None)
    path, headers = server.requests[0]
    assert (path, headers["Host"]) == ("/ok", f"pictures.test:{server.port}")
    assert headers["Accept-Encoding"] == "identity"
    assert headers["User-Agent"] == CONFIG.user_agent
    assert not {"Authorization", "Cookie", "Referer"} & set(headers)


def test_no_urls() -> None:
    assert get_all([]) == []


def test_spaces_and_umlauts_are_encoded(server: Server) -> None:
    server.routes["/b%C3%A4r%20%2C1.jpg?q=a%20b"] = body(b"bear")
    assert get(server.url("/bär %2C1.jpg?q=a b#top")).content == b"bear"


# Row 1: schemes.


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("file:///etc/hostname", "scheme"),
        ("ftp://pictures.test/a.jpg", "scheme"),
        ("data:image/png;base64,AAAA", "scheme"),
        ("gopher://pictures.test/", "scheme"),
        ("//pictures.test/a.jpg", "scheme"),
        ("a.jpg", "scheme"),
        ("", "scheme"),
        ("http://", "bad-url"),
        ("http:///a.jpg", "bad-url"),
        ("http://pictures.test:abc/", "bad-url"),
        ("http://pictures.test:99999/", "bad-url"),
        ("http://[::1/", "bad-url"),
        ("http://pic\r\nX: y/", "bad-url"),
        ("http://pictures.test/\x00", "bad-url"),
        ("http://１２７.0.0.1/", "bad-url"),
        ("http://0177.0.0.1/", "bad-url"),
        ("http://pictures.test/" + "x" * 70_000, "bad-url"),
        (None, "bad-url"),
        ("http://user:secret@pictures.test/", "credentials"),
    ],
)
def test_bad_addresses_are_refused_before_any_look_up(url: str, reason: str) -> None:
    assert get(url, resolver=never_asked) == DownloadOutcome(0, url, error=reason)


# Row 2: private addresses.


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "[::1]",
        "[::]",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "100.100.100.200",
        "192.0.0.192",
        "224.0.0.1",
        "255.255.255.255",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[fc00::1]",
        "[fe80::1]",
        "[64:ff9b:1::7f00:1]",
        "[fec0::1]",
        "[ff02::1]",
        "2130706433",
        "0x7f.1",
        "0x7f000001",
        "127.1",
        "127.0.0.1.",
    ],
)
def test_private_literals_are_refused(server: Server, host: str) -> None:
    outcome = get(server.url(host=host), resolver=never_asked, address_policy=None)
    assert outcome.error == "private-address"
    assert server.requests == []


@pytest.mark.parametrize("address", [PUBLIC, "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses(address: str) -> None:
    assert is_public_address(address)


def test_the_default_rules_refuse_localhost(server: Server) -> None:
    (outcome,) = download_all([(0, server.url(host="localhost"))], CONFIG)
    assert outcome.error == "private-address"
    assert server.requests == []


# Row 3: redirects.


def test_follows_redirects(server: Server) -> None:
    for code, (here, there) in zip([301, 302, 303, 307, 308], itertools.pairwise("abcdef"), strict=True):
        server.routes[f"/{here}"] = redirect(f"/{there}", code)
    server.routes["/f"] = body(b"end")
    outcome = get(server.url("/a"))
    assert (outcome.content, outcome.final_url) == (b"end", server.url("/f"))


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("/loop", "redirects"),
        ("file:///etc/hostname", "scheme"),
        ("http://user@pictures.test/", "credentials"),
        ("http://[::1", "bad-url"),
        ("http://127.0.0.2:{port}/ok", "private-address"),
        ("//169.254.169.254/latest", "private-address"),
        ("http://internal.test:{port}/ok", "private-address"),
    ],
)
def test_each_hop_is_checked(server: Server, location: str, reason: str) -> None:
    server.routes["/loop"] = redirect(location.format(port=server.port))
    resolver = {"pictures.test": ["127.0.0.1"], "internal.test": ["10.0.0.1"]}
    outcome = get(server.url("/loop"), resolver=lambda host, port: resolver[host])
    assert (outcome.error, outcome.content) == (reason, None)
    assert {path for path, _ in server.requests} == {"/loop"}
    assert len(server.requests) == (6 if reason == "redirects" else 1)


def test_a_redirect_without_target_is_a_failure(server: Server) -> None:
    server.routes["/a"] = status(302)
    assert get(server.url("/a")).error == "http-302"


def test_https_to_http_is_refused(server: Server, secure_server: Server, trusting: ssl.SSLContext) -> None:
    secure_server.routes["/a"] = redirect(server.url("/ok"))
    assert get(secure_server.url("/a", scheme="https"), ssl_context=trusting).error == "downgrade"
    assert server.requests == []


def test_http_to_https_is_followed(server: Server, secure_server: Server, trusting: ssl.SSLContext) -> None:
    server.routes["/a"] = redirect(secure_server.url("/ok", scheme="https"))
    assert get(server.url("/a"), ssl_context=trusting).content == b"picture"


# Row 4: names that change their meaning.


def test_connects_to_the_address_that_was_checked(server: Server) -> None:
    # The first look-up is for the robots.txt.
    answers = iter([["127.0.0.1"], ["127.0.0.1"], ["10.0.0.1"]])
    assert get(server.url(), resolver=lambda host, port: next(answers)).content == b"picture"
    assert list(answers) == [["10.0.0.1"]]
    answers = iter([["127.0.0.1"], ["10.0.0.1"]])
    assert get(server.url(), resolver=lambda host, port: next(answers)).error == "private-address"


def test_a_name_is_checked_anew_after_a_redirect(server: Server) -> None:
    server.routes["/a"] = redirect("/ok")
    answers = iter([["127.0.0.1"], ["127.0.0.1"], ["10.0.0.1"]])
    assert get(server.url("/a"), resolver=lambda host, port: next(answers)).error == "private-address"


@pytest.mark.parametrize("private", ["127.0.0.1", "::1", "10.0.0.1"])
def test_one_private_address_among_public_ones_is_enough(server: Server, private: str) -> None:
    outcome = get(server.url(), resolver=lambda host, port: [PUBLIC, private], address_policy=None)
    assert outcome.error == "private-address"
    assert server.requests == []


def test_tries_the_next_address(server: Server) -> None:
    allowed = {"127.0.0.9", "127.0.0.1"}
    outcome = get(
        server.url(), resolver=lambda host, port: ["127.0.0.9", "127.0.0.1"], address_policy=allowed.__contains__
    )
    assert outcome.content == b"picture"


def test_tls_is_checked_against_the_name(secure_server: Server, trusting: ssl.SSLContext) -> None:
    assert get(secure_server.url(scheme="https"), ssl_context=trusting).content == b"picture"
    assert get(secure_server.url(scheme="https", host="other.test"), ssl_context=trusting).error == "tls"
    assert get(secure_server.url(scheme="https")).error == "tls"
    assert len(secure_server.requests) == 1


def test_proxies_of_the_environment_are_not_used(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert get(server.url()).content == b"picture"


@pytest.mark.parametrize("failure", [OSError("no such host"), UnicodeError("label too long")])
def test_a_failed_look_up(failure: Exception) -> None:
    def resolver(host: str, port: int) -> list[str]:
        raise failure

    assert get("http://pictures.test/", resolver=resolver).error == "dns"
    assert get("http://pictures.test/", resolver=lambda host, port: []).error == "dns"


def test_a_look_up_that_hangs() -> None:
    outcome = get(
        "http://pictures.test/", replace(CONFIG, deadline_s=0.2), resolver=lambda host, port: time.sleep(0.6) or []
    )
    assert outcome.error == "timeout"


# Rows 5 and 6: big and compressed bodies.


def endless(handler: Handler) -> None:
    handler.send(200, {"Transfer-Encoding": "chunked"})
    while True:
        handler.wfile.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")


def unsized(handler: Handler) -> None:
    handler.send(200, {})
    while True:
        handler.wfile.write(b"x" * 4096)


@pytest.mark.parametrize(
    ("route", "reason"),
    [
        (body(b"x" * 100_001), "too-large"),
        (body(b"", Content_Length="2147483648"), "too-large"),
        (endless, "too-large"),
        (unsized, "too-large"),
        (body(b"x", Content_Length="50"), "broken"),
        (body(b"", Content_Length="many"), "broken"),
        (body(b""), "empty"),
        (body(gzip.compress(bytes(10_000_000)), Content_Encoding="gzip"), "encoding"),
        (lambda handler: None, "broken"),
        (lambda handler: handler.wfile.write(b"\x00nonsense\r\n\r\n"), "broken"),
    ],
    ids=["big", "says-2GB", "chunked", "unsized", "cut", "length-word", "empty", "gzip", "nothing", "no-http"],
)
def test_odd_bodies(server: Server, route: Route, reason: str) -> None:
    server.routes["/a"] = route
    assert get(server.url("/a")) == DownloadOutcome(0, server.url("/a"), error=reason)


def test_a_body_of_just_the_allowed_size(server: Server) -> None:
    server.routes["/a"] = body(b"x" * 100_000)
    assert get(server.url("/a")).content == b"x" * 100_000


@pytest.mark.parametrize("kind", ["text/html", "image/svg+xml", "application/octet-stream"])
def test_the_declared_type_decides_nothing(server: Server, kind: str) -> None:
    server.routes["/a.jpg"] = body(b"<html>", Content_Type=kind)
    assert get(server.url("/a.jpg")).content == b"<html>"


# Row 7: slow servers.


def slow_head(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        handler.wfile.write(b"X")
        time.sleep(0.05)


def slow_redirects(handler: Handler) -> None:
    time.sleep(0.3)
    handler.send(302, {"Location": "/a", "Content-Length": "0"})


@pytest.mark.parametrize("route", [drip, slow_head, slow_redirects, lambda handler: time.sleep(600)])
def test_the_deadline_counts_everything(server: Server, route: Route) -> None:
    server.routes["/a"] = route
    started = time.monotonic()
    assert get(server.url("/a"), replace(CONFIG, deadline_s=0.7)).error == "timeout"
    # None of them ends by itself.
    assert time.monotonic() - started > 0.6


def test_slow_servers_do_not_hold_up_others(server: Server) -> None:
    server.routes["/slow"] = drip
    urls = [server.url("/slow", f"slow{n}.test") for n in range(3)] + [server.url(host=f"h{n}.test") for n in range(30)]
    outcomes = download_all(enumerate(urls), CONFIG, resolver=all_here, address_policy=allows_here)
    fast = list(itertools.islice(outcomes, 30))
    assert {outcome.content for outcome in fast} == {b"picture"}
    outcomes.close()


def test_a_slow_answer_within_the_deadline_is_fine(server: Server) -> None:
    server.routes["/a"] = lambda handler: (time.sleep(0.8), body(b"late")(handler))
    assert get(server.url("/a")).content == b"late"


# Status codes and retries.


@pytest.mark.parametrize("code", [204, 304, 400, 401, 403, 404, 410, 451])
def test_a_final_status_is_not_retried(server: Server, code: int) -> None:
    server.routes["/a"] = lambda handler: handler.send(code, {})
    assert get(server.url("/a")).error == f"http-{code}"
    assert len(server.requests) == 1


@pytest.mark.parametrize("code", [429, 500, 503])
def test_a_passing_status_is_retried(server: Server, code: int) -> None:
    server.routes["/a"] = in_turn(status(code), body(b"second"))
    server.routes["/b"] = status(code)
    outcomes = {outcome.key: outcome for outcome in get_all([server.url("/a"), server.url("/b")])}
    assert outcomes[0].content == b"second"
    assert outcomes[1].error == f"http-{code}"
    assert Counter(path for path, _ in server.requests) == {"/a": 2, "/b": 2}


def test_retry_after_is_obeyed(server: Server) -> None:
    server.routes["/seconds"] = in_turn(status(429, Retry_After="1"), body(b"a"))
    started = time.monotonic()
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
    server.routes["/date"] = in_turn(status(503, Retry_After=date), body(b"b"))
    server.routes["/nonsense"] = in_turn(status(503, Retry_After="soon"), body(b"c"))
    waits = {}
    urls = ((path, server.url(path, f"{path[1:]}.test")) for path in server.routes if path != "/ok")
    for outcome in download_all(urls, CONFIG, resolver=all_here, address_policy=allows_here):
        assert outcome.content, outcome
        waits[outcome.key] = time.monotonic() - started
    assert waits["/seconds"] >= 1
    # To the second that it names.
    assert waits["/date"] >= 0.9


def test_a_retry_beyond_the_deadline_is_not_waited_for(server: Server) -> None:
    server.routes["/a"] = status(429, Retry_After="3600")
    started = time.monotonic()
    assert get(server.url("/a")).error == "http-429"
    assert time.monotonic() - started < 1800


def test_a_refused_connection_is_retried() -> None:
    started = time.monotonic()
    with deaf_port() as port:
        assert get(f"http://pictures.test:{port}/a").error == "connect"
    assert time.monotonic() - started > 0.4


# Bounds.


def test_one_host_is_asked_by_few_at_a_time(server: Server) -> None:
    lock = threading.Lock()
    active: Counter[str] = Counter()
    most: Counter[str] = Counter()
    together = defaultdict(lambda: threading.Barrier(CONFIG.per_host))

    def busy(handler: Handler) -> None:
        host = handler.headers["Host"]
        with lock:
            active[host] += 1
            most[host] = max(most[host], active[host])
            others = together[host]
        # As many as may be are here, and any more would come now.
        others.wait(240)
        time.sleep(0.1)
        with lock:
            active[host] -= 1
        body(b"x")(handler)

    server.routes["/a"] = busy
    outcomes = get_all([server.url("/a", host) for host in ("one.test", "two.test", "three.test") for _ in range(6)])
    assert Counter(outcome.error for outcome in outcomes) == {None: 18}
    assert sorted(outcome.key for outcome in outcomes) == list(range(18))
    assert set(most.values()) == {CONFIG.per_host}


def test_waiting_for_a_busy_host_does_not_use_up_the_deadline(server: Server) -> None:
    def check(pace: float) -> None:
        server.routes["/a"] = lambda handler: (time.sleep(0.3 * pace), body(b"x")(handler))
        outcomes = get_all([server.url("/a")] * 8, replace(CONFIG, deadline_s=0.9 * pace))
        assert Counter(outcome.error for outcome in outcomes) == {None: 8}

    at_some_pace(check)


def test_reads_addresses_only_as_needed_and_may_stop_early(server: Server) -> None:
    pulled = itertools.count()
    urls = ((n, server.url(host=f"h{n}.test")) for n in pulled)
    outcomes = download_all(urls, CONFIG, resolver=all_here, address_policy=allows_here)
    assert next(pulled) == 0
    assert len(list(itertools.islice(outcomes, 10))) == 10
    outcomes.close()
    assert next(pulled) <= 10 + 2 * CONFIG.workers
    asked = len(server.requests)
    time.sleep(0.2)
    assert len(server.requests) <= asked + CONFIG.workers


def test_an_error_of_the_caller_passes_through(server: Server) -> None:
    def urls() -> Iterator[tuple[int, str]]:
        yield 0, server.url()
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        list(download_all(urls(), CONFIG, resolver=all_here, address_policy=allows_here))


def test_many_kinds_together_are_counted(server: Server) -> None:
    server.routes["/gone"] = status(410)
    urls = [server.url(), server.url("/gone"), server.url("/none"), "file:///etc/hostname", "http://10.0.0.1/"] * 8
    counts = Counter(outcome.error for outcome in get_all(urls, replace(CONFIG, per_host=8)))
    assert counts == {None: 8, "http-410": 8, "http-404": 8, "scheme": 8, "private-address": 8}


# Row 21: owners who do not want their pictures used.


def test_robots_txt_is_asked_once_for_each_origin_and_obeyed(server: Server) -> None:
    server.routes["/robots.txt"] = rules("User-agent: *\nDisallow: /private\nAllow: /private/ok\n")
    server.routes["/private/ok"] = body(b"allowed")
    paths = ["/ok", "/private/a", "/private/ok", "/private/b"] * 4
    outcomes = get_all([server.url(path, host) for host in ("one.test", "two.test") for path in paths])
    assert Counter(outcome.error or outcome.content for outcome in outcomes) == {
        b"picture": 8,
        "robots": 16,
        b"allowed": 8,
    }
    assert {path for path, _ in server.requests} == {"/ok", "/private/ok"}
    assert sorted(headers["Host"].split(":")[0] for headers in server.rules_asked) == ["one.test", "two.test"]
    assert {headers["User-Agent"] for headers in server.rules_asked} == {CONFIG.user_agent}


def test_the_agent_is_the_one_of_the_config(server: Server) -> None:
    server.routes["/robots.txt"] = rules("User-agent: Finder\nDisallow: /\n")
    server.routes["/tagged"] = body(b"x", X_Robots_Tag="finder: noai")
    assert get(server.url()).content == b"picture"
    assert get(server.url("/tagged")).content == b"x"
    server.routes["/robots.txt"] = rules("User-agent: Finder\nDisallow: /ok\n")
    finder = replace(CONFIG, user_agent="Finder/2.0 (Spotter)")
    assert get(server.url(), finder).error == "robots"
    assert get(server.url("/tagged"), finder).error == "opt-out"


@pytest.mark.parametrize(
    ("route", "error"),
    [
        (status(400), None),
        (status(401), None),
        (status(403), None),
        (status(404), None),
        (status(410), None),
        (status(204), None),
        (body(b""), None),
        (body(b"<html>Disallow: /</html>", Content_Type="text/html"), None),
        (redirect("/robots.txt"), None),
        (status(429), "robots-unavailable"),
        (status(500), "robots-unavailable"),
        (status(503), "robots-unavailable"),
        (in_turn(status(503), status(404)), None),
        (lambda handler: None, "broken"),
        (redirect("http://10.0.0.1/robots.txt"), "private-address"),
        (redirect("file:///etc/hostname"), "scheme"),
        (redirect("/rules"), "robots"),
        (body(b"User-agent: *\nDisallow: /ok\n" + b"# filler\n" * 90_000), "robots"),
    ],
)
def test_answers_for_robots_txt(server: Server, route: Route, error: str | None) -> None:
    server.routes |= {"/robots.txt": route, "/rules": rules("User-agent: *\nDisallow: /ok")}
    assert get(server.url()).error == error
    assert [path for path, _ in server.requests if path == "/ok"] == ([] if error else ["/ok"])


def test_robots_txt_is_asked_of_each_hop(server: Server) -> None:
    with serving() as other:
        other.routes["/robots.txt"] = rules("User-agent: *\nDisallow: /ok")
        server.routes["/a"] = redirect(other.url("/ok", "other.test"))
        assert get(server.url("/a")).error == "robots"
        assert other.requests == []


def test_a_robots_txt_that_never_ends_is_a_timeout_and_holds_up_nobody_else(server: Server) -> None:
    def check(pace: float) -> None:
        with serving() as stuck:
            stuck.routes["/robots.txt"] = drip
            urls = [stuck.url(host="stuck.test")] * 4 + [server.url(host=f"h{n}.test") for n in range(20)]
            config = replace(CONFIG, deadline_s=2 * pace)
            outcomes = download_all(enumerate(urls), config, resolver=all_here, address_policy=allows_here)
            assert {outcome.content for outcome in itertools.islice(outcomes, 20)} == {b"picture"}
            assert [outcome.error for outcome in outcomes] == ["timeout"] * 4
            assert (len(stuck.rules_asked), stuck.requests) == (1, [])

    at_some_pace(check)


def test_robots_txt_takes_nothing_of_the_pictures_time(server: Server) -> None:
    def check(pace: float) -> None:
        with serving() as other:
            for each in (server, other):
                each.routes["/robots.txt"] = lambda handler: (time.sleep(0.7 * pace), rules("")(handler))
            onwards = redirect(other.url("/ok", "other.test"))
            server.routes["/a"] = lambda handler: (time.sleep(0.5 * pace), onwards(handler))
            assert get(server.url("/a"), replace(CONFIG, deadline_s=pace)).content == b"picture"

    at_some_pace(check)


def repeated_tag(*tags: str) -> Route:
    def answer(handler: Handler) -> None:
        handler.send_response(200)
        for tag in tags:
            handler.send_header("X-Robots-Tag", tag)
        handler.send_header("Content-Length", "1")
        handler.end_headers()
        handler.wfile.write(b"x")

    return answer


@pytest.mark.parametrize(
    ("route", "error"),
    [
        (repeated_tag("noai"), "opt-out"),
        (repeated_tag("otherbot: noai", "nofollow", "Spotter: noimageai"), "opt-out"),
        (repeated_tag("otherbot: nofollow, noai", "max-image-preview: none"), None),
        (status(302, Location="/ok", X_Robots_Tag="noindex"), "opt-out"),
        (status(302, Location="/ok", X_Robots_Tag="otherbot: noindex"), None),
        (status(404, X_Robots_Tag="noindex"), "http-404"),
        (body(b"x" * 100_001, X_Robots_Tag="noai"), "opt-out"),
    ],
)
def test_the_tag_is_obeyed_on_each_hop(server: Server, route: Route, error: str | None) -> None:
    server.routes["/a"] = route
    assert get(server.url("/a")).error == error
    assert [path for path, _ in server.requests if path == "/a"] == ["/a"]


def test_kinds_of_errors() -> None:
    for error in ("timeout", "connect", "dns", "broken", "http-429", "http-500", "http-503", "robots-unavailable"):
        assert is_transient(error), error
    for error in ("http-404", "http-410", "tls", "private-address", "empty", "too-large", *OPT_OUTS):
        assert not is_transient(error), error
    assert {"robots", "opt-out"} == OPT_OUTS


# What is done with each outcome, and the end.


def test_then_runs_in_the_worker_and_its_results_are_yielded(server: Server) -> None:
    def then(outcome: DownloadOutcome[int]) -> tuple[int, bytes | None, str | None, str]:
        return outcome.key, outcome.content, outcome.error, threading.current_thread().name

    results = get_all([server.url(), server.url("/none")], then=then)
    assert sorted(result[:3] for result in results) == [(0, b"picture", None), (1, None, "http-404")]
    assert all(name.startswith("download") for *_, name in results)


def test_an_error_in_then_reaches_the_consumer_and_stops_the_rest(server: Server) -> None:
    def then(outcome: DownloadOutcome[int]) -> int:
        if outcome.key == 3:
            raise LookupError("the third")
        return outcome.key

    urls = ((n, server.url(host=f"h{n}.test")) for n in itertools.count())
    results = download_all(urls, CONFIG, then=then, resolver=all_here, address_policy=allows_here)
    with pytest.raises(LookupError, match="the third"):
        list(results)
    assert working_threads() == []


def working_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("download")]


@contextmanager
def no_room() -> Iterator[int]:
    """A port that takes no more connections: its queue is full and nobody accepts."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for client in waiting:
            client.setblocking(False)
            client.connect_ex(address)
        yield address[1]
        for client in waiting:
            client.close()


SLOW: dict[str, tuple[str, Route]] = {
    "body": ("/slow", drip),
    "head": ("/slow", slow_head),
    "retry-after": ("/slow", status(429, Retry_After="600")),
    "silence": ("/slow", lambda handler: time.sleep(900)),
    "robots": ("/robots.txt", drip),
}


@pytest.mark.parametrize("kind", [*SLOW, "look-up", "connect", "tls"])
def test_closing_leaves_no_download_behind(server: Server, kind: str) -> None:
    config = replace(CONFIG, deadline_s=900, connect_timeout_s=900)
    handed: list[str] = []
    let_go = threading.Event()

    def then(outcome: DownloadOutcome[int]) -> DownloadOutcome[int]:
        handed.append(outcome.url)
        return outcome

    def resolver(host: str, port: int) -> list[str]:
        if kind == "look-up" and host.startswith("slow"):
            let_go.wait(900)
        return ["127.0.0.1"]

    with no_room() as full, socket.create_server(("127.0.0.1", 0)) as mute, serving() as slow:
        path, route = SLOW.get(kind, ("/slow", drip))
        slow.routes[path] = route
        port = {"connect": full, "tls": mute.getsockname()[1]}.get(kind, slow.port)
        scheme = "https" if kind == "tls" else "http"
        # Of one host too, so that some wait for a free place.
        urls = [f"{scheme}://slow{n // 4}.test:{port}/slow" for n in range(20)]
        outcomes = download_all(
            enumerate([server.url(), *urls]), config, then=then, resolver=resolver, address_policy=lambda address: True
        )
        assert next(outcomes).content == b"picture"
        wait_until(lambda: len(working_threads()) >= config.workers - 1)
        started = time.monotonic()
        outcomes.close()
        took = time.monotonic() - started
        let_go.set()
        assert working_threads() == []
        assert took < 600
        assert handed == [server.url()]


def test_an_error_in_the_consumer_ends_the_downloads(server: Server) -> None:
    server.routes["/slow"] = drip
    urls = [(0, server.url()), *((n, server.url("/slow", f"h{n}.test")) for n in range(1, 20))]
    outcomes = download_all(urls, CONFIG, resolver=all_here, address_policy=allows_here)

    def look_at_the_first() -> None:
        with closing(outcomes):
            assert next(outcomes).content == b"picture"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        look_at_the_first()
    assert working_threads() == []
