"""Downloads of pictures with retries, bounded in bytes and time, and only from the public internet."""

import itertools
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Generic, TypeVar, overload

import httpcore2
import httpx2

from spotter.collect.robots import MAX_BYTES, RobotsCache, Rules, forbids, parse_rules
from spotter.collect.safe_network import (
    POLL_S,
    PORTS,
    AddressGuard,
    AddressPolicy,
    Clock,
    PinnedBackend,
    RefusedError,
    Resolver,
    is_public_address,
    parse_address,
    system_resolver,
    usual_authorities,
    wait_for,
)
from spotter.config import DownloadConfig
from spotter.utils.http import BackOff, retry_after

Key = TypeVar("Key")
Result = TypeVar("Result")

REDIRECTS = {301, 302, 303, 307, 308}
BACKOFF_S = 0.5

# Errors that a later attempt may not have, besides every http-5xx; see `is_transient`.
TRANSIENT = frozenset({"timeout", "connect", "dns", "broken", "http-429", "robots-unavailable"})
# The owner does not want the picture used, so no smaller copy may stand in for it.
OPT_OUTS = frozenset({"robots", "opt-out"})


@dataclass(frozen=True)
class DownloadOutcome(Generic[Key]):
    """The result for one address: `content`, or `error`, a short countable word."""

    key: Key
    url: str
    content: bytes | None = None
    final_url: str | None = None
    error: str | None = None


@overload
def download_all(
    urls: Iterable[tuple[Key, str]],
    config: DownloadConfig,
    *,
    then: None = None,
    resolver: Resolver | None = None,
    address_policy: AddressPolicy | None = None,
    ssl_context: ssl.SSLContext | None = None,
) -> Generator[DownloadOutcome[Key], None, None]: ...


@overload
def download_all(
    urls: Iterable[tuple[Key, str]],
    config: DownloadConfig,
    *,
    then: Callable[[DownloadOutcome[Key]], Result],
    resolver: Resolver | None = None,
    address_policy: AddressPolicy | None = None,
    ssl_context: ssl.SSLContext | None = None,
) -> Generator[Result, None, None]: ...


def download_all(
    urls: Iterable[tuple[Key, str]],
    config: DownloadConfig,
    *,
    then: Callable[[DownloadOutcome[Key]], Result] | None = None,
    resolver: Resolver | None = None,
    address_policy: AddressPolicy | None = None,
    ssl_context: ssl.SSLContext | None = None,
) -> Generator[DownloadOutcome[Key] | Result, None, None]:
    """Download every address with a bounded number of threads, and yield outcomes as they come.

    `urls` is read only as far as there are free threads, so one may stop early; close the iterator then. Closing
    takes up to half a second, and as long as a call of `then` under way; after it no thread downloads any more.

    The robots.txt of each host and the X-Robots-Tag of each answer are obeyed, for the agent whose name stands
    before the slash in `config.user_agent`. A robots.txt is fetched once and has `config.deadline_s` for itself.
    Its Crawl-delay is not obeyed: `config.per_host` requests at a time is all a host gets.

    A failed download is a value with `error` set to: scheme, bad-url, credentials, dns, private-address, connect,
    tls, timeout, broken, redirects, downgrade, http-<status>, encoding, too-large, empty, robots, robots-unavailable
    or opt-out.

    Args:
        urls: pairs of anything that tells the picture apart for the caller, and its address.
        config: limits.
        then: is called with each outcome in the thread that downloaded it, and gives what is yielded in its place;
            what it raises ends the iteration.
        resolver: looks up the addresses of a host and port; the system's resolver when None.
        address_policy: whether an IP address may be connected to; `is_public_address` when None.
        ssl_context: the authorities to trust; the usual ones when None.
    """
    stop = threading.Event()
    workers = ThreadPoolExecutor(config.workers, thread_name_prefix="download")
    lookups = ThreadPoolExecutor(config.workers, thread_name_prefix="lookup")
    downloader = _Downloader(
        config,
        AddressGuard(resolver or system_resolver, address_policy or is_public_address, lookups),
        ssl_context or usual_authorities(),
        stop,
    )

    def work(key: Key, url: str) -> DownloadOutcome[Key] | Result:
        outcome = downloader.download(key, url)
        return outcome if then is None or stop.is_set() else then(outcome)

    waiting = iter(urls)
    running = 0
    # Not `concurrent.futures.wait`: a Ctrl-C in it may give back a lock that a download has just taken.
    done: SimpleQueue[Future[DownloadOutcome[Key] | Result]] = SimpleQueue()
    try:
        while True:
            for key, url in itertools.islice(waiting, config.workers - running):
                workers.submit(work, key, url).add_done_callback(done.put)
                running += 1
            if not running:
                return
            future = done.get()
            running -= 1
            yield future.result()
    finally:
        stop.set()
        # A look-up cannot be interrupted, so only the downloads are waited for.
        lookups.shutdown(wait=False, cancel_futures=True)
        workers.shutdown(cancel_futures=True)


def is_transient(error: str) -> bool:
    """Tell whether a download that failed with `error` may succeed another time."""
    return error in TRANSIENT or error.startswith("http-5")


@dataclass(frozen=True)
class _Wish:
    """What is asked for: a picture, or the robots.txt that says whether it may be."""

    accept: str
    max_bytes: int
    is_picture: bool


@dataclass(frozen=True)
class _Answer:
    content: bytes = b""
    location: str | None = None


class _Downloader:
    def __init__(
        self,
        config: DownloadConfig,
        guard: AddressGuard,
        ssl_context: ssl.SSLContext,
        stop: threading.Event,
    ) -> None:
        self._config = config
        self._guard = guard
        self._ssl_context = ssl_context
        self._stop = stop
        self._back_off = BackOff([BACKOFF_S * 2**attempt for attempt in range(config.retries)])
        self._slot_freed = threading.Condition()
        self._busy: Counter[str] = Counter()
        self._robots = RobotsCache(self._fetch_rules)
        self._token = config.user_agent.partition("/")[0]
        self._picture = _Wish("image/*,*/*;q=0.5", config.max_bytes, is_picture=True)
        self._rules_file = _Wish("text/plain,*/*;q=0.5", MAX_BYTES, is_picture=False)

    def download(self, key: Key, url: str) -> DownloadOutcome[Key]:
        try:
            content, final_url = self._follow(url, self._picture)
        except RefusedError as refusal:
            return DownloadOutcome(key, url, error=refusal.reason)
        return DownloadOutcome(key, url, content, final_url)

    def _fetch_rules(self, address: str) -> Rules:
        try:
            content, _ = self._follow(address, self._rules_file)
        except RefusedError as refusal:
            if refusal.reason == "http-429" or refusal.reason.startswith("http-5"):
                return Rules(error="robots-unavailable")
            # Without rules all is allowed, and RFC 9309 counts too many redirects as none.
            has_none = refusal.reason == "redirects" or refusal.reason.startswith("http-")
            return Rules(error=None if has_none else refusal.reason)
        return parse_rules(content, self._token)

    def _check_robots(self, url: httpx2.URL, clock: Clock) -> None:
        with clock.paused():
            # The fetch ends by its own clock; this one ends the wait only when all is stopped.
            unlimited = Clock(self._config.deadline_s, self._stop)
            rules = wait_for(self._robots.get(str(url.join("/robots.txt"))), unlimited)
        if rules.error:
            raise RefusedError(rules.error)
        if not rules.allows(url.raw_path.decode("ascii"), self._token):
            raise RefusedError("robots")

    def _follow(self, address: str, wish: _Wish) -> tuple[bytes, str]:
        url = parse_address(address)
        clock = Clock(self._config.deadline_s, self._stop)
        for _ in range(self._config.max_redirects + 1):
            if wish.is_picture:
                self._check_robots(url, clock)
            answer = self._ask_with_retries(url, wish, clock)
            if answer.location is None:
                return answer.content, str(url)
            target = parse_address(answer.location, base=url)
            if url.scheme == "https" and target.scheme == "http":
                raise RefusedError("downgrade")
            url = target
        raise RefusedError("redirects")

    def _ask_with_retries(self, url: httpx2.URL, wish: _Wish, clock: Clock) -> _Answer:
        attempt = 0
        while True:
            try:
                return self._ask(url, wish, clock)
            except RefusedError as refusal:
                asked = refusal.retry_after
                pause = None if asked is None else self._back_off.pause(attempt, asked)
                if pause is None or pause >= clock.left():
                    raise
            self._stop.wait(pause)
            attempt += 1

    def _ask(self, url: httpx2.URL, wish: _Wish, clock: Clock) -> _Answer:
        host = url.raw_host.decode("ascii")
        port = url.port or PORTS[url.scheme]
        with self._host_slot(host):
            # Waiting for a busy host must not eat up the time of the first request.
            clock.start()
            backend = PinnedBackend(self._guard.addresses(host, port, clock), clock, self._config.connect_timeout_s)
            try:
                with httpcore2.ConnectionPool(ssl_context=self._ssl_context, network_backend=backend) as pool:
                    return self._read(pool, url, host, port, wish)
            except httpcore2.ConnectError as error:
                raise RefusedError("connect", retry_after=0) from error
            except httpcore2.ConnectTimeout as error:
                raise RefusedError("timeout", retry_after=0) from error
            except httpcore2.TimeoutException as error:
                raise RefusedError("timeout") from error
            except (httpcore2.NetworkError, httpcore2.ProtocolError) as error:
                raise RefusedError("broken") from error

    @contextmanager
    def _host_slot(self, host: str) -> Iterator[None]:
        with self._slot_freed:
            while self._busy[host] >= self._config.per_host:
                if self._stop.is_set():
                    raise RefusedError("timeout")
                self._slot_freed.wait(POLL_S)
            self._busy[host] += 1
        try:
            yield
        finally:
            with self._slot_freed:
                self._busy[host] -= 1
                if not self._busy[host]:
                    del self._busy[host]
                self._slot_freed.notify_all()

    def _read(self, pool: httpcore2.ConnectionPool, url: httpx2.URL, host: str, port: int, wish: _Wish) -> _Answer:
        request_url = httpcore2.URL(scheme=url.scheme, host=host, port=port, target=url.raw_path)
        headers: dict[bytes | str, bytes | str] = {
            "Host": url.netloc,
            "User-Agent": self._config.user_agent,
            "Accept": wish.accept,
            "Accept-Encoding": "identity",
        }
        with pool.stream("GET", request_url, headers=headers) as response:
            fields = {name.lower(): value.decode("utf-8", "replace") for name, value in response.headers}
            is_redirect = response.status in REDIRECTS and b"location" in fields
            # The tag of an error page is about that page.
            if wish.is_picture and (is_redirect or response.status == 200):
                self._check_tags(response)
            if is_redirect:
                return _Answer(location=fields[b"location"])
            self._check_head(response.status, fields, wish)
            return _Answer(content=self._read_body(response, wish))

    def _check_tags(self, response: httpcore2.Response) -> None:
        tags = [value.decode("utf-8", "replace") for name, value in response.headers if name.lower() == b"x-robots-tag"]
        if forbids(tags, self._token):
            raise RefusedError("opt-out")

    def _check_head(self, status: int, fields: dict[bytes, str], wish: _Wish) -> None:
        if status == 429 or status >= 500:
            raise RefusedError(f"http-{status}", retry_after=retry_after(fields.get(b"retry-after")) or 0.0)
        if status != 200:
            raise RefusedError(f"http-{status}")
        # Asked for none, and a small compressed body may hide an endless one.
        if fields.get(b"content-encoding", "identity").strip().lower() not in {"", "identity"}:
            raise RefusedError("encoding")
        length = fields.get(b"content-length", "0")
        if wish.is_picture and length.isdecimal() and int(length) > wish.max_bytes:
            raise RefusedError("too-large")

    def _read_body(self, response: httpcore2.Response, wish: _Wish) -> bytes:
        body = bytearray()
        for chunk in response.iter_stream():
            body += chunk
            if len(body) > wish.max_bytes:
                if wish.is_picture:
                    raise RefusedError("too-large")
                break
        if wish.is_picture and not body:
            raise RefusedError("empty")
        return bytes(body)
