"""The rules of sites for programs: robots.txt (RFC 9309) and the X-Robots-Tag header."""

import re
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass

from protego import Protego

# RFC 9309 asks for at least so many bytes to be read.
MAX_BYTES = 500 * 1024
MAX_ORIGINS = 1_000
# Parsed rules take 10 to 130 times their text, so this is what bounds the memory.
MAX_TEXT = 2_000_000

_REFUSALS = {"noai", "noimageai", "noindex", "noimageindex", "none"}
_WITH_VALUE = {"unavailable_after", "max-image-preview", "max-snippet", "max-video-preview"}
_AGENT_LINE = re.compile(r"\s*user(?:-|\s+)?agent(?:\s*:|\s)([^#]*)", re.IGNORECASE)


@dataclass(frozen=True)
class Rules:
    """The rules of one origin; all is allowed without `parsed`. `error` is a word when they cannot be had.

    `size` is the length of their text in characters.
    """

    error: str | None = None
    parsed: Protego | None = None
    size: int = 0

    def allows(self, target: str, token: str) -> bool:
        """Tell whether the agent called `token` may fetch `target`, a path with its query."""
        # Protego reads a path that begins with two slashes as a host.
        return self.parsed is None or self.parsed.can_fetch(f"http://host{target}", token)


def parse_rules(content: bytes, token: str) -> Rules:
    """Read a robots.txt for the agent called `token`; only the first 500 KiB count, up to the last whole line."""
    if len(content) > MAX_BYTES:
        # Half a line may forbid, or allow, far more than the whole one.
        content = b"\n".join(content[:MAX_BYTES].splitlines()[:-1])
    lines = content.decode("utf-8-sig", "replace").splitlines()
    text = "\n".join(_with_plain_agent(line, token) for line in lines)
    return Rules(parsed=Protego.parse(text), size=len(text))


def _with_plain_agent(line: str, token: str) -> str:
    # Protego keeps each rule once for each agent of its group, which thousands of agents blow up, and
    # takes the agent "spot" for ours.
    found = _AGENT_LINE.match(line)
    if found is None:
        return line
    agent = found[1].partition("/")[0].strip()
    if agent.lower() == token.lower():
        return f"User-agent: {token}"
    return "User-agent: *" if agent == "*" else "User-agent: ?"


class RobotsCache:
    """The rules of each origin, fetched once, at the first request; the least recently used are dropped.

    Args:
        fetch: gets the rules at the address of a robots.txt; a failure is a value with `error`.
    """

    def __init__(self, fetch: Callable[[str], Rules]) -> None:
        self._fetch = fetch
        self._lock = threading.Lock()
        self._pending: dict[str, Future[Rules]] = {}
        self._ready: dict[str, Future[Rules]] = {}
        self._size = 0

    def get(self, address: str) -> Future[Rules]:
        """Give the rules at `address`, fetched in this thread, or to come when another thread is fetching them."""
        with self._lock:
            known = self._ready.pop(address, None)
            if known:
                # Put in again, so that the first entry is always the longest unused.
                self._ready[address] = known
            else:
                known = self._pending.get(address)
            entry = known or self._pending.setdefault(address, Future())
        if known is None:
            entry.set_result(self._fetch(address))
            self._keep(address, entry.result())
        return entry

    def _keep(self, address: str, rules: Rules) -> None:
        with self._lock:
            self._ready[address] = self._pending.pop(address)
            self._size += rules.size
            while len(self._ready) > MAX_ORIGINS or self._size > MAX_TEXT:
                oldest = next(iter(self._ready))
                self._size -= self._ready.pop(oldest).result().size


def forbids(tags: Iterable[str], token: str) -> bool:
    """Tell whether X-Robots-Tag lines keep a picture from the agent called `token`, or from everybody."""
    return any(_forbids(tag, token.lower()) for tag in tags)


def _forbids(tag: str, token: str) -> bool:
    concerns_us = True
    for part in tag.lower().split(","):
        directive = part.strip()
        # A prefix names the agent that the rest of the line is for; dates have colons too, but after a space.
        while (prefix := re.match(r"([^\s:]+)\s*:\s*", directive)) and prefix[1] not in _WITH_VALUE:
            concerns_us = prefix[1] in {token, "*"}
            directive = directive[prefix.end() :]
        if concerns_us and directive in _REFUSALS:
            return True
    return False
