"""Pictures from DuckDuckGo's image search, through the package `ddgs`, which is loaded when it is asked."""

import itertools
import logging
import os
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from spotter.errors import SourceUnavailable, SourceUnconnected
from spotter.search.base import ImageHit
from spotter.search.fields import link, number, text
from spotter.search.region import Region
from spotter.utils.http import FIRST_CONTACT, BackOff

if TYPE_CHECKING:
    from spotter.search.ddgs_engine import Engine

logger = logging.getLogger(__name__)

# Something that always has pictures: when even this finds nothing, the service is refusing us.
CONTROL_QUERY = "cat"
BACK_OFF = BackOff((2.0, 5.0))
CHECK_TIMEOUT_S = 6.0

_HOME = "https://duckduckgo.com/"


class DuckDuckGo:
    """Search by words, without a key; pages of up to 100 pictures, asked for slowly. Without a region it searches from
    the United States, in English.

    Args:
        proxy: address of an HTTP or SOCKS proxy.
        verify: whether to check TLS certificates, or the path of a PEM file with the authorities to trust.
        pause_s: seconds between two pages; also the unit of the waits before a page is asked for again.
        timeout_s: seconds that one page may take.
    """

    name = "duckduckgo"
    argument = ""
    searches = True
    by_label = False
    region: Region | None = None

    def __init__(
        self,
        *,
        proxy: str | None = None,
        verify: bool | str = True,
        pause_s: float = 1.0,
        timeout_s: float = 12.0,
    ) -> None:
        self._proxy = proxy
        self._verify = verify
        self._pause_s = pause_s
        self._timeout_s = timeout_s
        self._is_reached = False

    def check(self) -> None:
        """Ask for DuckDuckGo's home page once, to learn within some seconds whether a search can work.

        Raises:
            SourceUnavailable: it cannot be reached (SourceThrottled: it answers, but refuses).
        """
        timeout_s = min(self._timeout_s, CHECK_TIMEOUT_S)
        engine = self._engine(timeout_s)
        if engine.status_of(_HOME) != 200:
            raise engine.refusal()

    def search(self, query: str, limit: int) -> Iterator[ImageHit]:
        """Yield at most `limit` pictures for `query`, each address once, best first; nothing if there are none.

        Raises:
            SourceUnavailable: it cannot be reached (SourceThrottled: it refuses).
        """
        seen: set[str] = set()
        for entries in self._pages(query) if limit > 0 else ():
            before = len(seen)
            for entry in entries:
                url = link(entry.get("image"))
                if url is None or url in seen:
                    continue
                seen.add(url)
                yield _to_hit(entry, url, query, rank=len(seen) - 1)
                if len(seen) == limit:
                    return
            if len(seen) == before:
                return

    def _pages(self, query: str) -> Iterator[list[dict[str, Any]]]:
        engine = self._engine(self._timeout_s)
        for page in itertools.count(1):
            if page > 1:
                time.sleep(self._pause_s)
            yield self._page_with_retries(engine, query, page)

    def _page_with_retries(self, engine: "Engine", query: str, page: int) -> list[dict[str, Any]]:
        attempt = 0
        while True:
            try:
                entries = self._page(engine, query, page)
                self._is_reached = True
                return entries
            except SourceUnavailable as error:
                self._is_reached |= not isinstance(error, SourceUnconnected)
                pause = (BACK_OFF if self._is_reached else FIRST_CONTACT).pause(attempt)
                if pause is None:
                    raise
                logger.info("%r, page %d: %s", query, page, error)
                time.sleep(pause * self._pause_s)
            attempt += 1

    def _page(self, engine: "Engine", query: str, page: int) -> list[dict[str, Any]]:
        entries = self._ask(engine, query, page)
        if entries:
            return entries
        # A refusal and an end of the results look the same.
        if not self._ask(engine, CONTROL_QUERY, 1):
            raise engine.refusal()
        # The first answer may have been a refusal that is over by now.
        return self._ask(engine, query, page)

    def _ask(self, engine: "Engine", query: str, page: int) -> list[dict[str, Any]]:
        return engine.ask(query, self.region.market if self.region else "us-en", page)

    def _engine(self, timeout_s: float) -> "Engine":
        # Whoever searches nothing there needs no `ddgs`.
        from spotter.search.ddgs_engine import Engine

        return Engine(self._proxy or os.environ.get("DDGS_PROXY"), self._verify, timeout_s)


def _to_hit(entry: dict[str, Any], url: str, query: str, rank: int) -> ImageHit:
    return ImageHit(
        backend=DuckDuckGo.name,
        backend_id=url,
        query=query,
        rank=rank,
        image_url=url,
        thumb_url=link(entry.get("thumbnail")),
        page_url=link(entry.get("url")),
        title=text(entry.get("title")),
        width=number(entry.get("width")),
        height=number(entry.get("height")),
    )
