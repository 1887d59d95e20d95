"""Fetches pictures from addresses nobody vouches for: bounded in bytes and time, and only from the public internet."""

import email.utils
import errno
import functools
import ipaddress
import itertools
import os
import re
import selectors
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar, overload

import httpcore
import httpx

from spotter.config import DownloadConfig
from spotter.robots import MAX_BYTES, RobotsCache, Rules, forbids, parse_rules

Key = TypeVar("Key")
Result = TypeVar("Result")
Value = TypeVar("Value")
Resolver = Callable[[str, int], list[str]]
AddressPolicy = Callable[[str], bool]

PORTS = {"http": 80, "https": 443}
REDIRECTS = {301, 302, 303, 307, 308}
BACKOFF_S = 0.5

# The errors that may be gone another time, beside every http-5xx; see `is_transient`.
TRANSIENT = frozenset({"timeout", "connect", "dns", "broken", "http-429", "robots-unavailable"})
# The owner does not want the picture used, so no smaller copy may stand in for it.
OPT_OUTS = frozenset({"robots", "opt-out"})

# Python 3.11's `is_global` calls these global (before its later patch releases, or still).
_SPECIAL = tuple(
    ipaddress.ip_network(text)
    for text in ("192.0.0.0/24", "192.88.99.0/24", "64:ff9b:1::/48", "3fff::/20", "5f00::/16", "fec0::/10")
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_POLL_S = 0.25


@dataclass(frozen=True)
class DownloadOutcome(Generic[Key]):
    """What became of one address: `content`, or `error`, a short countable word."""

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
        resolver or _system_resolver,
        address_policy or is_public_address,
        ssl_context or httpx.create_ssl_context(trust_env=False),
        lookups,
        stop,
    )

    def work(key: Key, url: str) -> DownloadOutcome[Key] | Result:
        outcome = downloader.download(key, url)
        return outcome if then is None or stop.is_set() else then(outcome)

    waiting = iter(urls)
    running: set[Future[DownloadOutcome[Key] | Result]] = set()
    try:
        while True:
            for key, url in itertools.islice(waiting, config.workers - len(running)):
                running.add(workers.submit(work, key, url))
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
    finally:
        stop.set()
        # A look-up cannot be interrupted, so only the downloads are waited for.
        lookups.shutdown(wait=False, cancel_futures=True)
        workers.shutdown(cancel_futures=True)


def is_transient(error: str) -> bool:
    """Tell whether a download that failed with `error` may succeed another time."""
    return error in TRANSIENT or error.startswith("http-5")


def is_public_address(address: str) -> bool:
    """Tell whether `address` (IPv4 or IPv6) is on the public internet; an IPv4 address inside an IPv6 one decides."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        inner = _inner_ipv4(ip)
        if inner is not None:
            return is_public_address(str(inner))
    return ip.is_global and not ip.is_multicast and not any(ip in network for network in _SPECIAL)


def _inner_ipv4(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    is_compatible = int(ip) >> 32 == 0
    if is_compatible or ip in _NAT64:
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour


def _system_resolver(host: str, port: int) -> list[str]:
    return [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


class _RefusedError(Exception):
    """The picture cannot be had. `retry_after` is None, or the least seconds after which another try makes sense."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after


class _Clock:
    """The time left for one picture; it runs out at once when nobody wants the picture any more."""

    def __init__(self, seconds: float, stop: threading.Event) -> None:
        self._seconds = seconds
        self._stop = stop
        self._end: float | None = None

    def start(self) -> None:
        if self._end is None:
            self._end = time.monotonic() + self._seconds

    def left(self) -> float:
        return self._seconds if self._end is None else self._end - time.monotonic()

    @contextmanager
    def paused(self) -> Iterator[None]:
        left = self.left()
        yield
        if self._end is not None:
            self._end = time.monotonic() + left

    def check(self) -> float:
        left = self.left()
        if self._stop.is_set() or left <= 0:
            raise _RefusedError("timeout")
        return left


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
        resolver: Resolver,
        address_policy: AddressPolicy,
        ssl_context: ssl.SSLContext,
        lookups: ThreadPoolExecutor,
        stop: threading.Event,
    ) -> None:
        self._config = config
        self._resolver = resolver
        self._address_policy = address_policy
        self._ssl_context = ssl_context
        self._lookups = lookups
        self._stop = stop
        self._slot_freed = threading.Condition()
        self._busy: Counter[str] = Counter()
        self._robots = RobotsCache(self._fetch_rules)
        self._token = config.user_agent.partition("/")[0]
        self._picture = _Wish("image/*,*/*;q=0.5", config.max_bytes, is_picture=True)
        self._rules_file = _Wish("text/plain,*/*;q=0.5", MAX_BYTES, is_picture=False)

    def download(self, key: Key, url: str) -> DownloadOutcome[Key]:
        try:
            content, final_url = self._follow(url, self._picture)
        except _RefusedError as refusal:
            return DownloadOutcome(key, url, error=refusal.reason)
        return DownloadOutcome(key, url, content, final_url)

    def _fetch_rules(self, address: str) -> Rules:
        try:
            content, _ = self._follow(address, self._rules_file)
        except _RefusedError as refusal:
            if refusal.reason == "http-429" or refusal.reason.startswith("http-5"):
                return Rules(error="robots-unavailable")
            # Without rules all is allowed, and RFC 9309 counts too many redirects as none.
            has_none = refusal.reason == "redirects" or refusal.reason.startswith("http-")
            return Rules(error=None if has_none else refusal.reason)
        return parse_rules(content, self._token)

    def _check_robots(self, url: httpx.URL, clock: _Clock) -> None:
        with clock.paused():
            # The fetch ends by its own clock; this one ends the wait only when all is stopped.
            unlimited = _Clock(self._config.deadline_s, self._stop)
            rules = _wait_for(self._robots.get(str(url.join("/robots.txt"))), unlimited)
        if rules.error:
            raise _RefusedError(rules.error)
        if not rules.allows(url.raw_path.decode("ascii"), self._token):
            raise _RefusedError("robots")

    def _follow(self, address: str, wish: _Wish) -> tuple[bytes, str]:
        url = _parse(address)
        clock = _Clock(self._config.deadline_s, self._stop)
        for _ in range(self._config.max_redirects + 1):
            if wish.is_picture:
                self._check_robots(url, clock)
            answer = self._ask_with_retries(url, wish, clock)
            if answer.location is None:
                return answer.content, str(url)
            target = _parse(answer.location, base=url)
            if url.scheme == "https" and target.scheme == "http":
                raise _RefusedError("downgrade")
            url = target
        raise _RefusedError("redirects")

    def _ask_with_retries(self, url: httpx.URL, wish: _Wish, clock: _Clock) -> _Answer:
        for attempt in range(self._config.retries):
            try:
                return self._ask(url, wish, clock)
            except _RefusedError as refusal:
                if refusal.retry_after is None:
                    raise
                delay = max(refusal.retry_after, BACKOFF_S * 2**attempt)
                if delay >= clock.left():
                    raise
                self._stop.wait(delay)
        return self._ask(url, wish, clock)

    def _ask(self, url: httpx.URL, wish: _Wish, clock: _Clock) -> _Answer:
        host = url.raw_host.decode("ascii")
        port = url.port or PORTS[url.scheme]
        with self._host_slot(host):
            # Waiting for a busy host must not eat up the time of the first request.
            clock.start()
            backend = _PinnedBackend(self._addresses(host, port, clock), clock, self._config.connect_timeout_s)
            try:
                with httpcore.ConnectionPool(ssl_context=self._ssl_context, network_backend=backend) as pool:
                    return self._read(pool, url, host, port, wish)
            except httpcore.ConnectError as error:
                raise _RefusedError("connect", retry_after=0) from error
            except httpcore.ConnectTimeout as error:
                raise _RefusedError("timeout", retry_after=0) from error
            except httpcore.TimeoutException as error:
                raise _RefusedError("timeout") from error
            except (httpcore.NetworkError, httpcore.ProtocolError) as error:
                raise _RefusedError("broken") from error

    @contextmanager
    def _host_slot(self, host: str) -> Iterator[None]:
        with self._slot_freed:
            while self._busy[host] >= self._config.per_host:
                if self._stop.is_set():
                    raise _RefusedError("timeout")
                self._slot_freed.wait(_POLL_S)
            self._busy[host] += 1
        try:
            yield
        finally:
            with self._slot_freed:
                self._busy[host] -= 1
                if not self._busy[host]:
                    del self._busy[host]
                self._slot_freed.notify_all()

    def _addresses(self, host: str, port: int, clock: _Clock) -> list[str]:
        addresses = [host] if _is_ip(host) else self._look_up(host, port, clock)
        if not all(self._address_policy(address) for address in addresses):
            raise _RefusedError("private-address")
        return addresses

    def _look_up(self, host: str, port: int, clock: _Clock) -> list[str]:
        # The system's resolver reads these as IPv4 addresses, in forms that hide which.
        if re.fullmatch(r"[0-9]+|0x[0-9a-f]*", host.rstrip(".").rpartition(".")[2]):
            raise _RefusedError("private-address")
        clock.check()
        try:
            # A look-up cannot be interrupted, only waited for no longer.
            addresses = _wait_for(self._lookups.submit(self._resolver, host, port), clock)
        except (OSError, ValueError) as error:
            raise _RefusedError("dns") from error
        if not addresses:
            raise _RefusedError("dns")
        return addresses

    def _read(self, pool: httpcore.ConnectionPool, url: httpx.URL, host: str, port: int, wish: _Wish) -> _Answer:
        request_url = httpcore.URL(scheme=url.scheme, host=host, port=port, target=url.raw_path)
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

    def _check_tags(self, response: httpcore.Response) -> None:
        tags = [value.decode("utf-8", "replace") for name, value in response.headers if name.lower() == b"x-robots-tag"]
        if forbids(tags, self._token):
            raise _RefusedError("opt-out")

    def _check_head(self, status: int, fields: dict[bytes, str], wish: _Wish) -> None:
        if status == 429 or status >= 500:
            raise _RefusedError(f"http-{status}", retry_after=_seconds(fields.get(b"retry-after", "")))
        if status != 200:
            raise _RefusedError(f"http-{status}")
        # Asked for none, and a small compressed body may hide an endless one.
        if fields.get(b"content-encoding", "identity").strip().lower() not in {"", "identity"}:
            raise _RefusedError("encoding")
        length = fields.get(b"content-length", "0")
        if wish.is_picture and length.isdecimal() and int(length) > wish.max_bytes:
            raise _RefusedError("too-large")

    def _read_body(self, response: httpcore.Response, wish: _Wish) -> bytes:
        body = bytearray()
        for chunk in response.iter_stream():
            body += chunk
            if len(body) > wish.max_bytes:
                if wish.is_picture:
                    raise _RefusedError("too-large")
                break
        if wish.is_picture and not body:
            raise _RefusedError("empty")
        return bytes(body)


def _wait_for(future: Future[Value], clock: _Clock) -> Value:
    while not future.done():
        wait([future], timeout=min(_POLL_S, clock.check()))
    return future.result()


def _parse(address: str, base: httpx.URL | None = None) -> httpx.URL:
    try:
        url = base.join(address) if base else httpx.URL(address)
    except (httpx.InvalidURL, TypeError, ValueError) as error:
        raise _RefusedError("bad-url") from error
    if url.scheme not in PORTS:
        raise _RefusedError("scheme")
    if not url.raw_host or (url.port or 0) > 65535:
        raise _RefusedError("bad-url")
    if url.userinfo:
        raise _RefusedError("credentials")
    return url


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _seconds(retry_after: str) -> float:
    """Read a Retry-After header: seconds or a date; 0 when it is neither."""
    if re.fullmatch(r"[0-9]{1,9}", retry_after.strip()):
        return float(retry_after)
    try:
        moment = email.utils.parsedate_to_datetime(retry_after)
    except ValueError:
        return 0.0
    return (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()


class _PinnedBackend(httpcore.NetworkBackend):
    """Connects to the addresses that were checked, whatever the host's name may mean by now."""

    def __init__(self, addresses: list[str], clock: _Clock, connect_timeout_s: float) -> None:
        self._addresses = addresses
        self._clock = clock
        self._connect_timeout_s = connect_timeout_s

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        failure: Exception = httpcore.ConnectError("no address")
        for address in self._addresses:
            self._clock.check()
            connection = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
            with ExitStack() as undo:
                undo.callback(connection.close)
                try:
                    self._connect(connection, address, port)
                except TimeoutError as error:
                    failure = httpcore.ConnectTimeout(str(error))
                except OSError as error:
                    failure = httpcore.ConnectError(str(error))
                else:
                    undo.pop_all()
                    return _TimedStream(connection, self._clock)
        raise failure

    def _connect(self, connection: socket.socket, address: str, port: int) -> None:
        # Python's own connect with a timeout can neither be interrupted nor taken up again.
        connection.setblocking(False)
        code = connection.connect_ex((address, port))
        if code in {errno.EINPROGRESS, errno.EWOULDBLOCK}:
            ends = time.monotonic() + self._connect_timeout_s
            with selectors.DefaultSelector() as selector:
                selector.register(connection, selectors.EVENT_WRITE)
                while not selector.select(min(_POLL_S, self._clock.check(), ends - time.monotonic())):
                    if time.monotonic() >= ends:
                        raise TimeoutError(f"no connection within {self._connect_timeout_s} s")
            code = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class _TimedStream(httpcore.NetworkStream):
    """A connection that ends by the clock: a timeout for each read alone lets a slow server go on for ever."""

    def __init__(self, connection: socket.socket, clock: _Clock) -> None:
        self._connection = connection
        self._clock = clock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            # recv() would shrink what it allocated, and the gaps add up: 4 kB a picture, over thousands of them.
            buffer = bytearray(max_bytes)
            size = self._patiently(lambda: self._connection.recv_into(buffer))
            return bytes(memoryview(buffer)[:size])
        except OSError as error:
            raise httpcore.ReadError(str(error)) from error

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        try:
            while buffer:
                sent = self._patiently(functools.partial(self._connection.send, buffer))
                buffer = buffer[sent:]
        except OSError as error:
            raise httpcore.WriteError(str(error)) from error

    def close(self) -> None:
        self._connection.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        with ExitStack() as undo:
            undo.callback(self.close)
            try:
                self._connection = secure = ssl_context.wrap_socket(
                    self._connection, server_hostname=server_hostname, do_handshake_on_connect=False
                )
                self._patiently(secure.do_handshake)
            except (ssl.SSLEOFError, ConnectionError) as error:
                raise httpcore.ReadError(str(error)) from error
            except (OSError, ValueError) as error:
                raise _RefusedError("tls") from error
            undo.pop_all()
        return self

    def _patiently(self, act: Callable[[], Value]) -> Value:
        while True:
            self._connection.settimeout(min(_POLL_S, self._clock.check()))
            try:
                return act()
            except TimeoutError:
                continue
