"""Rate limits (a token bucket for each client) and backpressure (a bounded number of requests at once)."""

import ipaddress
import math
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from spotter.config import ServeConfig

BUSY = "Too many pictures at once; try again in a moment."
BUSY_S = 2
MOST_CLIENTS = 10_000


@dataclass(frozen=True)
class Refusal:
    """Why a request is not answered as asked; `retry_after_s` when trying again may help."""

    status: int
    message: str
    retry_after_s: int | None = None


class Traffic:
    """Rate limit and backpressure: a token bucket for each client, and a bounded number of seats for requests.

    One client gets half of the seats, so that nobody keeps all others out.
    `waiting` gives the clients whose pictures wait in a queue elsewhere; they count as seated. For one thread.
    """

    def __init__(self, config: ServeConfig, now: Callable[[], float] = time.monotonic) -> None:
        self.stopping = False
        self.waiting: Callable[[], list[str]] = list
        self._config = config
        self._buckets = Buckets(config.rate_per_s, config.burst, now)
        self._seats: Counter[str] = Counter()
        self._streams: Counter[str] = Counter()
        self._held: Counter[str] = Counter()

    @property
    def in_flight(self) -> int:
        return self._seats.total() + len(self.waiting())

    @property
    def is_busy(self) -> bool:
        return bool(self._streams or self.in_flight)

    def charge(self, client: str, tokens: int = 1) -> Refusal | None:
        """Count requests of a client; a refusal when it asked too often."""
        seconds = self._buckets.take(client, tokens)
        if seconds <= 0:
            return None
        return Refusal(429, "You are asking too often; wait a little.", math.ceil(seconds))

    def no_seat(self, client: str) -> Refusal | None:
        if self.stopping:
            return Refusal(503, "The app is about to stop; try again in a moment.", BUSY_S)
        most = self._config.max_queue
        own = self._seats[client] + self.waiting().count(client)
        full = self.in_flight >= most or own >= max(1, most // 2)
        return Refusal(503, BUSY, BUSY_S) if full else None

    def no_stream(self, client: str) -> Refusal | None:
        full = self._streams[client] >= self._config.max_streams
        return Refusal(429, "Too many open answers; close some first.", BUSY_S) if full else None

    def hold(self, client: str, size: int) -> Refusal | None:
        """Count bytes of a client's body that stay in memory; a refusal when there are too many of all or of it."""
        self._held[client] += size
        most = self._config.max_held_bytes
        return Refusal(503, BUSY, BUSY_S) if self._held.total() > most or self._held[client] > most // 2 else None

    def release(self, client: str, size: int) -> None:
        _take_off(self._held, client, size)

    def seat(self, client: str) -> AbstractContextManager[None]:
        return _counted(self._seats, client)

    def stream(self, client: str) -> AbstractContextManager[None]:
        return _counted(self._streams, client)


class Buckets:
    """Token buckets, the rate limiter: `burst` tokens for each client, which come back at `rate` tokens a second."""

    def __init__(self, rate: float, burst: int, now: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._now = rate, burst, now
        self._clients: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str, tokens: int = 1) -> float:
        """Take tokens and return 0, or take none and return the seconds until there are enough."""
        now = self._now()
        left, when = self._clients.get(client, (float(self._burst), now))
        left = min(self._burst, left + (now - when) * self._rate)
        # More than the bucket ever holds is let through once it is full, and paid off afterwards.
        missing = min(tokens, self._burst) - left
        self._clients[client] = (left if missing > 0 else left - tokens, now)
        self._clients.move_to_end(client)
        if len(self._clients) > MOST_CLIENTS:
            # Whoever was not seen for the longest time has a bucket that is full again, or nearly.
            self._clients.popitem(last=False)
        return missing / self._rate if missing > 0 else 0.0

    def give_back(self, client: str, tokens: int = 1) -> None:
        """Undo a `take`."""
        left, when = self._clients[client]
        self._clients[client] = (left + tokens, when)


def client_name(peer: str, headers: Mapping[str, str], behind_proxy: bool) -> str:
    """Who is asking: an IPv4 address, or the network of 64 bits that an IPv6 address belongs to.

    Behind a proxy it is the last public address in `X-Forwarded-For`: what comes before it, anybody can have written.
    """
    names = [peer]
    if behind_proxy:
        named = [_address(part) for part in headers.get("x-forwarded-for", "").split(",")]
        names = [str(address) for address in named if address and address.is_global][-1:] or names
    address = _address(names[0])
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address or peer)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text.strip().partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


@contextmanager
def _counted(counter: Counter[str], client: str) -> Iterator[None]:
    counter[client] += 1
    try:
        yield
    finally:
        _take_off(counter, client, 1)


def _take_off(counter: Counter[str], client: str, amount: int) -> None:
    counter[client] -= amount
    if counter[client] <= 0:
        del counter[client]
