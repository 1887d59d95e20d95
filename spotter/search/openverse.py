"""Openly licensed pictures from Openverse, the search engine of the WordPress project."""

import logging
import mimetypes
import os
import re
from collections.abc import Iterator
from typing import Any

from spotter.errors import SourceUnavailable, UnknownSource
from spotter.search.base import ImageHit
from spotter.search.client import JsonClient
from spotter.search.fields import creative_commons, credit, items, link, number, text

logger = logging.getLogger(__name__)

PAGE_SIZE = 20
# Openverse refuses to show what comes after the first 240 pictures of a search, also to those who have a token.
MAX_PAGES = 12


class Openverse:
    """Search by words in the open pictures of Flickr, Wikimedia, museums and others; each with licence and creator.

    Asked without a key, Openverse allows 20 requests a minute, 200 a day, and 20 pictures a request; a search ends
    after 240 pictures. A token in the environment variable `OPENVERSE_TOKEN` raises the daily number. Openverse does
    not vouch for the licences it shows and forbids to scrape its catalogue (https://docs.openverse.org/terms_of_service.html).

    Args:
        argument: must be None; this source takes none.
        base_url: where the service answers.
        per_minute: requests a minute.

    Raises:
        UnknownSource: an argument is given.
        SourceUnavailable: `OPENVERSE_TOKEN` cannot be a token.
    """

    name = "openverse"
    searches = True
    by_label = False

    def __init__(
        self,
        argument: str | None = None,
        *,
        base_url: str = "https://api.openverse.org/v1/images/",
        per_minute: float = 20,
    ) -> None:
        if argument is not None:
            raise UnknownSource(f"The source 'openverse' takes no argument, but got {argument!r}.")
        token = os.environ.get("OPENVERSE_TOKEN", "").strip()
        # The HTTP client would show a token that it cannot send.
        if not re.fullmatch(r"[!-~]*", token):
            raise SourceUnavailable("OPENVERSE_TOKEN holds characters that no token has; set it again or unset it.")
        self._base_url = base_url
        self._client = JsonClient("Openverse", per_minute, {"Authorization": f"Bearer {token}"} if token else None)

    def search(self, query: str, limit: int) -> Iterator[ImageHit]:
        """Yield at most `limit` pictures for `query`, each once, best first; nothing if there are none.

        When Openverse fails after the first pictures, a warning is logged and the search ends early.

        Raises:
            SourceUnavailable: no picture could be had since it cannot be reached or answers nonsense
                (SourceThrottled: it was asked too often).
        """
        seen: set[str] = set()
        for page in range(1, MAX_PAGES + 1) if limit > 0 else ():
            try:
                results, pages = self._page(query, page)
            except SourceUnavailable as error:
                if not seen:
                    raise
                logger.warning("%r, page %d, after %d pictures: %s", query, page, len(seen), error)
                return
            for result in results:
                hit = _to_hit(result, query, rank=len(seen))
                if hit is None or hit.backend_id in seen:
                    continue
                seen.add(hit.backend_id)
                yield hit
                if len(seen) == limit:
                    return
            if not results or page == pages:
                return

    def _page(self, query: str, page: int) -> tuple[list[dict[str, Any]], int | None]:
        params: dict[str, str | int] = {"q": query, "page": page, "page_size": PAGE_SIZE, "mature": "false"}
        answer = self._client.get(self._base_url, params)
        results = answer.get("results")
        if not isinstance(results, list):
            raise SourceUnavailable("Openverse answers JSON of an unknown form.")
        return items(results), number(answer.get("page_count"))


def _to_hit(result: dict[str, Any], query: str, rank: int) -> ImageHit | None:
    url = link(result.get("url"))
    if url is None:
        return None
    title, creator = text(result.get("title")), text(result.get("creator"))
    license_id = creative_commons(result.get("license"), result.get("license_version"))
    # Openverse fills in `filetype`, sizes and `attribution` only for part of the pictures.
    suffix = text(result.get("filetype"))
    return ImageHit(
        backend=Openverse.name,
        backend_id=text(result.get("id")) or url,
        query=query,
        rank=rank,
        image_url=url,
        thumb_url=link(result.get("thumbnail")),
        page_url=link(result.get("foreign_landing_url")),
        title=title,
        width=number(result.get("width")),
        height=number(result.get("height")),
        mime=mimetypes.guess_type(f"picture.{suffix}", strict=False)[0] if suffix else None,
        creator=creator,
        creator_url=link(result.get("creator_url")),
        license_id=license_id,
        license_url=link(result.get("license_url")),
        attribution=text(result.get("attribution")) or credit(title, creator, license_id),
    )
