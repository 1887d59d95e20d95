"""DuckDuckGo's image search as the package `ddgs` asks it: the one module that needs it."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ddgs.engines.duckduckgo_images import DuckduckgoImages
from ddgs.exceptions import DDGSException, TimeoutException

from spotter.errors import SourceThrottled, SourceUnavailable, SourceUnconnected
from spotter.search.fields import items, table

_REASONS = {"DNSError": "its name cannot be looked up", "ConnectError": "no connection"}


class Engine(DuckduckgoImages):
    """The engine of `ddgs`, giving each result as the service gave it: `ddgs` would unquote its addresses (`a%2Fb.jpg`,
    `c%23d.jpg`), and they would lead elsewhere."""

    def __init__(self, proxy: str | None, verify: bool | str, timeout_s: float) -> None:
        # ddgs hands the number on to an HTTP client that takes fractions of a second too.
        super().__init__(proxy=proxy, timeout=timeout_s, verify=verify)  # type: ignore[arg-type]
        self._timeout_s = timeout_s

    def status_of(self, address: str) -> int:
        """The HTTP status of an answer.

        Raises:
            SourceUnavailable: there is none (SourceThrottled: it refuses).
        """
        with self._own_failures():
            return int(self.http_client.get(address).status_code)

    def ask(self, query: str, region: str, page: int) -> list[Any]:
        """A page of results; [] where it refuses, too.

        Raises:
            SourceUnavailable: it cannot be reached (SourceThrottled: it refuses).
        """
        with self._own_failures():
            return self.search(query, region=region, safesearch="moderate", page=page) or []

    def extract_results(self, html_text: str) -> list[Any]:
        """As the service gave them."""
        try:
            answer = json.loads(html_text)
        except (ValueError, RecursionError):
            # Such a page is how the service refuses.
            return []
        return items(table(answer).get("results"))

    @staticmethod
    def refusal() -> SourceThrottled:
        """What to raise when it answers, but refuses."""
        return SourceThrottled(
            "DuckDuckGo refuses to answer because it was asked too often; wait some minutes, or use another --search."
        )

    @contextmanager
    def _own_failures(self) -> Iterator[None]:
        try:
            yield
        except TimeoutException as error:
            raise _unreachable(f"no answer within {self._timeout_s:g} s") from error
        except DDGSException as error:
            # ddgs passes failed connections on only as text that begins with the name of its HTTP client's exception.
            kind = re.match(r"(\w+Error): ", str(error))
            if kind is None:
                raise self.refusal() from error
            reason = _REASONS.get(kind[1])
            raise _unreachable(reason or "the connection broke", is_connected=not reason) from error


def _unreachable(reason: str, is_connected: bool = True) -> SourceUnavailable:
    return (SourceUnavailable if is_connected else SourceUnconnected)(
        f"DuckDuckGo cannot be reached ({reason}); check the internet connection, or use another --search."
    )
