"""SSRF protection for addresses that nobody vouches for: only the public internet, only the address that was
checked (no DNS rebinding), and only for as long as a clock allows."""

import errno
import functools
import ipaddress
import os
import re
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

import certifi
import httpcore2
import httpx2

Value = TypeVar("Value")
Resolver = Callable[[str, int], list[str]]
AddressPolicy = Callable[[str], bool]

PORTS = {"http": 80, "https": 443}
# Seconds after which a wait looks whether it is still wanted.
POLL_S = 0.25

# Python 3.11's `is_global` calls these global (before its later patch releases, or still).
_SPECIAL = tuple(
    ipaddress.ip_network(text)
    for text in ("192.0.0.0/24", "192.88.99.0/24", "64:ff9b:1::/48", "3fff::/20", "5f00::/16", "fec0::/10")
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class RefusedError(Exception):
    """A request was refused or failed.

    Args:
        reason: a short countable word, such as "timeout".
        retry_after: the least seconds after which another try makes sense; None where none does.
    """

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after


class Clock:
    """The time left for one picture; it runs out at once when nobody wants the picture any more.

    Args:
        seconds: how long, from `start` on.
        stop: set when nobody wants it any more.
    """

    def __init__(self, seconds: float, stop: threading.Event) -> None:
        self._seconds = seconds
        self._stop = stop
        self._end: float | None = None

    def start(self) -> None:
        """Let it run, if it does not yet."""
        if self._end is None:
            self._end = time.monotonic() + self._seconds

    def left(self) -> float:
        """The seconds left; all of them before `start`, below 0 after the end."""
        return self._seconds if self._end is None else self._end - time.monotonic()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let what happens inside take no time."""
        left = self.left()
        yield
        if self._end is not None:
            self._end = time.monotonic() + left

    def check(self) -> float:
        """The seconds left.

        Raises:
            RefusedError: none are left.
        """
        left = self.left()
        if self._stop.is_set() or left <= 0:
            raise RefusedError("timeout")
        return left


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


def system_resolver(host: str, port: int) -> list[str]:
    """The addresses of a host as the system knows them."""
    return [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def usual_authorities() -> ssl.SSLContext:
    """The authorities of certifi, whatever SSL_CERT_FILE says.

    Not httpx2's own context: on macOS and Windows that checks a certificate where the socket is wrapped, but the
    handshake here comes later, bounded by the clock.
    """
    return ssl.create_default_context(cafile=certifi.where())


class AddressGuard:
    """Looks up the addresses of a host, and refuses the host if any of them is forbidden.

    Args:
        resolver: looks up the addresses of a host and port.
        policy: whether an IP address may be connected to.
        lookups: the threads that look up; a look-up cannot be interrupted, only waited for no longer.
    """

    def __init__(self, resolver: Resolver, policy: AddressPolicy, lookups: ThreadPoolExecutor) -> None:
        self._resolver = resolver
        self._policy = policy
        self._lookups = lookups

    def addresses(self, host: str, port: int, clock: Clock) -> list[str]:
        """The addresses of a host, or the one that it is.

        Raises:
            RefusedError: there is none, one of them may not be connected to, or the time is over.
        """
        addresses = [host] if _is_ip(host) else self._look_up(host, port, clock)
        if not all(self._policy(address) for address in addresses):
            raise RefusedError("private-address")
        return addresses

    def _look_up(self, host: str, port: int, clock: Clock) -> list[str]:
        # The system's resolver reads these as IPv4 addresses, in forms that hide which.
        if re.fullmatch(r"[0-9]+|0x[0-9a-f]*", host.rstrip(".").rpartition(".")[2]):
            raise RefusedError("private-address")
        clock.check()
        try:
            # A look-up cannot be interrupted, only waited for no longer.
            addresses = wait_for(self._lookups.submit(self._resolver, host, port), clock)
        except (OSError, ValueError) as error:
            raise RefusedError("dns") from error
        if not addresses:
            raise RefusedError("dns")
        return addresses


def wait_for(future: Future[Value], clock: Clock) -> Value:
    """What another thread finds out.

    Raises:
        RefusedError: the time is over before.
    """
    while not future.done():
        wait([future], timeout=min(POLL_S, clock.check()))
    return future.result()


def parse_address(address: str, base: httpx2.URL | None = None) -> httpx2.URL:
    """Read the address of a picture, from `base` on when it is not a whole one.

    Raises:
        RefusedError: it is not one of HTTP, or has no host, an impossible port, or a name and password in it.
    """
    try:
        url = base.join(address) if base else httpx2.URL(address)
    except (httpx2.InvalidURL, TypeError, ValueError) as error:
        raise RefusedError("bad-url") from error
    if url.scheme not in PORTS:
        raise RefusedError("scheme")
    if not url.raw_host or (url.port or 0) > 65535:
        raise RefusedError("bad-url")
    if url.userinfo:
        raise RefusedError("credentials")
    return url


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class PinnedBackend(httpcore2.NetworkBackend):
    """Connects to the addresses that were checked, whatever the host's name may mean by now."""

    def __init__(self, addresses: list[str], clock: Clock, connect_timeout_s: float) -> None:
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
    ) -> httpcore2.NetworkStream:
        failure: Exception = httpcore2.ConnectError("no address")
        for address in self._addresses:
            self._clock.check()
            connection = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
            with ExitStack() as undo:
                undo.callback(connection.close)
                try:
                    self._connect(connection, address, port)
                except TimeoutError as error:
                    failure = httpcore2.ConnectTimeout(str(error))
                except OSError as error:
                    failure = httpcore2.ConnectError(str(error))
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
                while not selector.select(min(POLL_S, self._clock.check(), ends - time.monotonic())):
                    if time.monotonic() >= ends:
                        raise TimeoutError(f"no connection within {self._connect_timeout_s} s")
            code = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class _TimedStream(httpcore2.NetworkStream):
    """A connection that ends by the clock: a timeout for each read alone lets a slow server go on for ever."""

    def __init__(self, connection: socket.socket, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            # recv() would shrink what it allocated, and the gaps add up: 4 kB a picture, over thousands of them.
            buffer = bytearray(max_bytes)
            size = self._patiently(lambda: self._connection.recv_into(buffer))
            return bytes(memoryview(buffer)[:size])
        except OSError as error:
            raise httpcore2.ReadError(str(error)) from error

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        try:
            while buffer:
                sent = self._patiently(functools.partial(self._connection.send, buffer))
                buffer = buffer[sent:]
        except OSError as error:
            raise httpcore2.WriteError(str(error)) from error

    def close(self) -> None:
        self._connection.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        with ExitStack() as undo:
            undo.callback(self.close)
            try:
                self._connection = secure = ssl_context.wrap_socket(
                    self._connection, server_hostname=server_hostname, do_handshake_on_connect=False
                )
                self._patiently(secure.do_handshake)
            except (ssl.SSLEOFError, ConnectionError) as error:
                raise httpcore2.ReadError(str(error)) from error
            except (OSError, ValueError) as error:
                raise RefusedError("tls") from error
            undo.pop_all()
        return self

    def _patiently(self, act: Callable[[], Value]) -> Value:
        while True:
            self._connection.settimeout(min(POLL_S, self._clock.check()))
            try:
                return act()
            except TimeoutError:
                continue
