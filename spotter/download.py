"""Fetches pictures from addresses nobody vouches for: bounded in bytes and time, and only from the public internet."""

import email.utils
import ipaddress
import itertools
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import httpcore
import httpx

from spotter.config import DownloadConfig

Key = TypeVar("Key")
Resolver = Callable[[str, int], list[str]]
AddressPolicy = Callable[[str], bool]

PORTS = {"http": 80, "https": 443}
REDIRECTS = {301, 302, 303, 307, 308}
BACKOFF_S = 0.5

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


def download_all(
    urls: Iterable[tuple[Key, str]],
    config: DownloadConfig,
    *,
    resolver: Resolver | None = None,
    address_policy: AddressPolicy | None = None,
    ssl_context: ssl.SSLContext | None = None,
) -> Iterator[DownloadOutcome[Key]]:
    """Download every address with a bounded number of threads, and yield outcomes as they come.

    `urls` is read only as far as there are free threads, so one may stop early; close the iterator then.
    A failed download is a value with `error` set to: scheme, bad-url, credentials, dns, private-address, connect,
    tls, timeout, broken, redirects, downgrade, http-<status>, encoding, too-large or empty.

    Args:
        urls: pairs of anything that tells the picture apart for the caller, and its address.
        config: limits.
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
    waiting = iter(urls)
    running: set[Future[DownloadOutcome[Key]]] = set()
    try:
        while True:
            for key, url in itertools.islice(waiting, config.workers - len(running)):
                running.add(workers.submit(downloader.download, key, url))
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
    finally:
        stop.set()
        workers.shutdown(wait=False, cancel_futures=True)
        lookups.shutdown(wait=False, cancel_futures=True)


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

    def check(self) -> float:
        left = self.left()
        if self._stop.is_set() or left <= 0:
            raise _RefusedError("timeout")
        return left


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
        self._lock = threading.Lock()
        self._hosts: dict[str, threading.Semaphore] = {}

    def download(self, key: Key, url: str) -> DownloadOutcome[Key]:
        try:
            content, final_url = self._follow(url)
        except _RefusedError as refusal:
            return DownloadOutcome(key, url, error=refusal.reason)
        return DownloadOutcome(key, url, content, final_url)

    def _follow(self, address: str) -> tuple[bytes, str]:
        url = _parse(address)
        clock = _Clock(self._config.deadline_s, self._stop)
        for _ in range(self._config.max_redirects + 1):
            answer = self._ask_with_retries(url, clock)
            if answer.location is None:
                return answer.content, str(url)
            target = _parse(answer.location, base=url)
            if url.scheme == "https" and target.scheme == "http":
                raise _RefusedError("downgrade")
            url = target
        raise _RefusedError("redirects")

    def _ask_with_retries(self, url: httpx.URL, clock: _Clock) -> _Answer:
        for attempt in range(self._config.retries):
            try:
                return self._ask(url, clock)
            except _RefusedError as refusal:
                if refusal.retry_after is None:
                    raise
                delay = max(refusal.retry_after, BACKOFF_S * 2**attempt)
                if delay >= clock.left():
                    raise
                self._stop.wait(delay)
        return self._ask(url, clock)

    def _ask(self, url: httpx.URL, clock: _Clock) -> _Answer:
        host = url.raw_host.decode("ascii")
        port = url.port or PORTS[url.scheme]
        with self._host_slot(host):
            # Waiting for a busy host must not eat up the time of the first request.
            clock.start()
            backend = _PinnedBackend(self._addresses(host, port, clock), clock, self._config.connect_timeout_s)
            try:
                with httpcore.ConnectionPool(ssl_context=self._ssl_context, network_backend=backend) as pool:
                    return self._read(pool, url, host, port)
            except httpcore.ConnectError as error:
                raise _RefusedError("connect", retry_after=0) from error
            except httpcore.ConnectTimeout as error:
                raise _RefusedError("timeout", retry_after=0) from error
            except httpcore.TimeoutException as error:
                raise _RefusedError("timeout") from error
            except (httpcore.NetworkError, httpcore.ProtocolError) as error:
                raise _RefusedError("broken") from error

    def _host_slot(self, host: str) -> threading.Semaphore:
        with self._lock:
            return self._hosts.setdefault(host, threading.Semaphore(self._config.per_host))

    def _addresses(self, host: str, port: int, clock: _Clock) -> list[str]:
        addresses = [host] if _is_ip(host) else self._look_up(host, port, clock)
        if not all(self._address_policy(address) for address in addresses):
            raise _RefusedError("private-address")
        return addresses

    def _look_up(self, host: str, port: int, clock: _Clock) -> list[str]:
        # The system's resolver reads these as IPv4 addresses, in forms that hide which.
        if re.fullmatch(r"[0-9]+|0x[0-9a-f]*", host.rstrip(".").rpartition(".")[2]):
            raise _RefusedError("private-address")
        left = clock.check()
        try:
            # A look-up cannot be interrupted, only waited for no longer.
            addresses = self._lookups.submit(self._resolver, host, port).result(timeout=left)
        except TimeoutError as error:
            raise _RefusedError("timeout") from error
        except (OSError, ValueError) as error:
            raise _RefusedError("dns") from error
        if not addresses:
            raise _RefusedError("dns")
        return addresses

    def _read(self, pool: httpcore.ConnectionPool, url: httpx.URL, host: str, port: int) -> _Answer:
        request_url = httpcore.URL(scheme=url.scheme, host=host, port=port, target=url.raw_path)
        headers: dict[bytes | str, bytes | str] = {
            "Host": url.netloc,
            "User-Agent": self._config.user_agent,
            "Accept": "image/*,*/*;q=0.5",
            "Accept-Encoding": "identity",
        }
        with pool.stream("GET", request_url, headers=headers) as response:
            fields = {name.lower(): value.decode("utf-8", "replace") for name, value in response.headers}
            if response.status in REDIRECTS and b"location" in fields:
                return _Answer(location=fields[b"location"])
            self._check_head(response.status, fields)
            return _Answer(content=self._read_body(response))

    def _check_head(self, status: int, fields: dict[bytes, str]) -> None:
        if status == 429 or status >= 500:
            raise _RefusedError(f"http-{status}", retry_after=_seconds(fields.get(b"retry-after", "")))
        if status != 200:
            raise _RefusedError(f"http-{status}")
        # Asked for none, and a small compressed body may hide an endless one.
        if fields.get(b"content-encoding", "identity").strip().lower() not in {"", "identity"}:
            raise _RefusedError("encoding")
        length = fields.get(b"content-length", "0")
        if length.isdecimal() and int(length) > self._config.max_bytes:
            raise _RefusedError("too-large")

    def _read_body(self, response: httpcore.Response) -> bytes:
        body = bytearray()
        for chunk in response.iter_stream():
            body += chunk
            if len(body) > self._config.max_bytes:
                raise _RefusedError("too-large")
        if not body:
            raise _RefusedError("empty")
        return bytes(body)


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
        self._inner = httpcore.SyncBackend()

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
            limit = min(self._connect_timeout_s, self._clock.check())
            try:
                return _TimedStream(self._inner.connect_tcp(address, port, timeout=limit), self._clock)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure


class _TimedStream(httpcore.NetworkStream):
    """A connection that ends by the clock: a timeout for each read alone lets a slow server go on for ever."""

    def __init__(self, inner: httpcore.NetworkStream, clock: _Clock) -> None:
        self._inner = inner
        self._clock = clock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        while True:
            try:
                return self._inner.read(max_bytes, timeout=min(_POLL_S, self._clock.check()))
            except httpcore.ReadTimeout:
                continue

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, timeout=self._clock.check())

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        try:
            inner = self._inner.start_tls(ssl_context, server_hostname, timeout=self._clock.check())
        except httpcore.ConnectError as error:
            raise _RefusedError("tls") from error
        except httpcore.ConnectTimeout as error:
            raise _RefusedError("timeout") from error
        return _TimedStream(inner, self._clock)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
