"""Openly licensed pictures from Openverse, the search engine of the WordPress project."""

import mimetypes
import os
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

from spotter.errors import SourceUnavailable
from spotter.search.base import ImageHit
from spotter.search.fields import creative_commons, credit, items, link, number, text
from spotter.search.json_client import JsonClient
from spotter.search.paging import take

PAGE_SIZE = 20
# Openverse refuses to show what comes after the first 240 pictures of a search, also to those who have a token.
MAX_PAGES = 12


class Openverse:
    """Search by words in the open pictures of Flickr, Wikimedia, museums and others; each with licence and creator.

    Asked without a key, Openverse allows 20 requests a minute, 200 a day, and 20 pictures a request; a search ends
    after 240 pictures. A token in the environment variable `OPENVERSE_TOKEN` is sent, but was still counted as no
    key in autumn 2026 (https://github.com/WordPress/openverse/issues/5613). Openverse does
    not vouch for the licences it shows and forbids to scrape its catalogue (https://docs.openverse.org/terms_of_service.html).

    Args:
        base_url: where the service answers.
        per_minute: requests a minute.
        sleep: for tests.

    Raises:
        SourceUnavailable: `OPENVERSE_TOKEN` cannot be a token.
    """

    name = "openverse"
    argument = ""
    searches = True
    by_label = False

    def __init__(
        self,
        *,
        base_url: str = "https://api.openverse.org/v1/images/",
        per_minute: float = 20,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        token = os.environ.get("OPENVERSE_TOKEN", "").strip()
        # The HTTP client would show a token that it cannot send.
        if not re.fullmatch(r"[!-~]*", token):
            raise SourceUnavailable(
                "OPENVERSE_TOKEN holds characters that a token cannot have; set it again or unset it."
            )
        self._base_url = base_url
        headers = {"Authorization": f"Bearer {token}"} if token else None
        self._client = JsonClient("Openverse", per_minute, headers, sleep=sleep)

    def search(self, query: str, limit: int) -> Iterator[ImageHit]:
        """Yield at most `limit` pictures for `query`, each once, best first; nothing if there are none.

        Raises:
            SourceUnavailable: it cannot be reached or answers nonsense (SourceThrottled: it was asked too often).
        """
        return take(self._hits(query), limit)

    def _hits(self, query: str) -> Iterator[ImageHit | None]:
        for page in range(1, MAX_PAGES + 1):
            results, pages = self._page(query, page)
            for result in results:
                yield _to_hit(result, query)
            if not results or page == pages:
                return

    def _page(self, query: str, page: int) -> tuple[list[dict[str, Any]], int | None]:
        params: dict[str, str | int] = {"q": query, "page": page, "page_size": PAGE_SIZE, "mature": "false"}
        answer = self._client.get(self._base_url, params)
        results = answer.get("results")
        if not isinstance(results, list):
            raise SourceUnavailable("Openverse answers with JSON in an unknown format.")
        return items(results), number(answer.get("page_count"))


def _to_hit(result: dict[str, Any], query: str) -> ImageHit | None:
    url = link(result.get("url"))
    if url is None:
        return None
    title, creator = text(result.get("title")), text(result.get("creator"))
    license_id = creative_commons(result.get("license"), result.get("license_version"), result.get("license_url"))
    # Openverse fills in `filetype`, sizes and `attribution` only for part of the pictures.
    suffix = text(result.get("filetype"))
    return ImageHit(
        backend=Openverse.name,
        backend_id=text(result.get("id")) or url,
        query=query,
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
