"""Rate limits (a token bucket for each client) and backpressure (a bounded number of requests at once)."""

import ipaddress
import math
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from starlette.datastructures import Headers

from spotter.config import ServeConfig

BUSY = "Too many pictures at once; try again in a moment."
BUSY_S = 2
MOST_CLIENTS = 10_000
TOO_MANY_OPEN = "Too many open answers; close some first."
# So many bodies may arrive for each picture that may wait. Most wait for a slow network, not for us.
BODIES = 4


@dataclass(frozen=True)
class Refusal:
    """Why a request is not answered as asked; `retry_after_s` when trying again may help."""

    status: int
    message: str
    retry_after_s: int | None = None


class Pool:
    """A bounded number of places (or bytes) that clients share, so that a few of them never keep the others out.

    What a client has is at most what is still free: one alone gets half, two together three quarters. The last place
    goes to somebody who has none. For one thread.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._taken: Counter[str] = Counter()

    @property
    def total(self) -> int:
        """How many are taken."""
        return self._taken.total()

    def of(self, client: str) -> int:
        """How many a client has."""
        return self._taken[client]

    def has_room(self, client: str, amount: int = 1, elsewhere: Sequence[str] = ()) -> bool:
        """Whether a client may take so many more; `elsewhere` are the clients of further places that are taken."""
        own, free = self._taken[client] + elsewhere.count(client), self.most - self.total - len(elsewhere) - amount
        return free >= 0 and own + amount <= max(1, free)

    def take(self, client: str, amount: int = 1) -> None:
        """Count what a client takes, whether there is room or not."""
        self._taken[client] += amount

    def give_back(self, client: str, amount: int = 1) -> None:
        """Undo a `take`."""
        self._taken[client] -= amount
        if self._taken[client] <= 0:
            del self._taken[client]

    @contextmanager
    def place(self, client: str) -> Iterator[None]:
        """Take one place for as long as a block lasts."""
        self.take(client)
        try:
            yield
        finally:
            self.give_back(client)


class Traffic:
    """Rate limit and backpressure: a token bucket for each client, and pools of what takes room.

    `seats` are for pictures that are there whole, `bodies` for requests that still arrive, `held` for the bytes of both
    that are in memory, `answers` for requests that are not answered to the end, and `streams` for those of them that
    stay open. `waiting` gives the clients whose pictures wait in a queue elsewhere; they count as seated. For one
    thread.
    """

    def __init__(self, config: ServeConfig, now: Callable[[], float] = time.monotonic) -> None:
        self.stopping = False
        self.waiting: Callable[[], list[str]] = list
        self.seats, self.bodies = Pool(config.max_queue), Pool(BODIES * config.max_queue)
        self.held, self.answers = Pool(config.max_held_bytes), Pool(config.max_connections * 3 // 4)
        self.streams, self._most_streams = Pool(config.max_connections), config.max_streams
        self._buckets = Buckets(config.rate_per_s, config.burst, now)

    @property
    def in_flight(self) -> int:
        return self.seats.total + len(self.waiting())

    @property
    def is_busy(self) -> bool:
        return bool(self.streams.total or self.in_flight or self.bodies.total)

    def charge(self, client: str, tokens: int = 1) -> Refusal | None:
        """Count requests of a client; a refusal when it asked too often."""
        seconds = self._buckets.take(client, tokens)
        if seconds <= 0:
            return None
        return Refusal(429, "You are asking too often; wait a little.", math.ceil(seconds))

    def no_seat(self, client: str) -> Refusal | None:
        """A refusal when a picture of a client cannot be looked at now."""
        return None if self.seats.has_room(client, elsewhere=self.waiting()) else Refusal(503, BUSY, BUSY_S)

    def no_entry(self, client: str) -> Refusal | None:
        """A refusal when the body of a client's request need not even arrive."""
        if self.stopping:
            return Refusal(503, "The app is about to stop; try again in a moment.", BUSY_S)
        return self.no_seat(client) if self.bodies.has_room(client) else Refusal(503, BUSY, BUSY_S)

    def no_answer(self, client: str) -> Refusal | None:
        """A refusal when a client has too many answers that it does not read."""
        return None if self.answers.has_room(client) else Refusal(429, TOO_MANY_OPEN, BUSY_S)

    def no_stream(self, client: str) -> Refusal | None:
        """A refusal when a client has too many streams."""
        return Refusal(429, TOO_MANY_OPEN, BUSY_S) if self.streams.of(client) >= self._most_streams else None

    def hold(self, client: str, size: int) -> Refusal | None:
        """Count bytes of a client's body that stay in memory; a refusal when there are too many of all or of it."""
        has_room = self.held.has_room(client, size)
        self.held.take(client, size)
        return None if has_room else Refusal(503, BUSY, BUSY_S)


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


def client_name(peer: str, headers: Headers, behind_proxy: bool) -> str:
    """Who is asking: an IPv4 address, or the network of 64 bits that an IPv6 address belongs to.

    It is the only name of a client, for rates, lock-outs and the rollout, and nobody can choose it: of what a request
    says about itself, only the last public address in `X-Forwarded-For` counts, and that only behind a proxy. What
    comes before it, anybody can have written.
    """
    names = [peer]
    if behind_proxy:
        # A proxy may add to the header, or add another one.
        named = [_address(part) for line in headers.getlist("x-forwarded-for") for part in line.split(",")]
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
