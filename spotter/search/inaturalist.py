"""Photos of plants, animals and fungi from iNaturalist, whose community agrees on what they show."""

import re
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

from spotter.errors import SourceUnavailable
from spotter.search.base import ImageHit
from spotter.search.fields import creative_commons, items, link, number, table, text
from spotter.search.json_client import JsonClient
from spotter.search.paging import take
from spotter.search.region import Region

PAGE_SIZE = 200
# iNaturalist answers with an error to whoever asks for what comes after the first 10,000 observations.
MAX_RECORDS = 10_000


class INaturalist:
    """Search by the name of a species or group (common or scientific); each photo with its licence and creator.

    The observations are of "research grade": dated, placed, and with a name that others agree on; the most liked
    come first. One observation may give several photos of the same animal. No key. iNaturalist asks for at most
    60 requests a minute and 10,000 a day, answers with at most 10,000 observations a search, and wants no more than
    5 GB of photos fetched an hour. Each photo has its own licence, often non-commercial; "unknown" means that all
    rights are reserved (https://www.inaturalist.org/pages/api+recommended+practices).

    Args:
        base_url: where the service answers.
        per_minute: requests a minute.
        sleep: for tests.
    """

    name = "inaturalist"
    argument = ""
    searches = True
    by_label = False
    region: Region | None = None

    def __init__(
        self,
        *,
        base_url: str = "https://api.inaturalist.org/v1/observations",
        per_minute: float = 60,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._base_url = base_url
        unknown = "iNaturalist does not accept these words (HTTP 422); search for the name of a species or group."
        self._client = JsonClient("iNaturalist", per_minute, refusals={422: unknown}, sleep=sleep)

    def search(self, query: str, limit: int) -> Iterator[ImageHit]:
        """Yield at most `limit` photos of the taxon `query`, each once; nothing if there are none.

        Raises:
            SourceUnavailable: it cannot be reached or answers nonsense (SourceThrottled: it was asked too often).
        """
        return take(self._hits(query), limit)

    def _hits(self, query: str) -> Iterator[ImageHit | None]:
        for page in range(1, MAX_RECORDS // PAGE_SIZE + 1):
            observations, total = self._page(query, page)
            for observation in observations:
                for photo in items(observation.get("photos")):
                    yield _to_hit(observation, photo, query)
            if not observations or (total is not None and page * PAGE_SIZE >= total):
                return

    def _page(self, query: str, page: int) -> tuple[list[dict[str, Any]], int | None]:
        params: dict[str, str | int] = {
            "taxon_name": query,
            "photos": "true",
            "quality_grade": "research",
            "order_by": "votes",
            "per_page": PAGE_SIZE,
            "page": page,
            # The language of the names of species that it gives.
            **({"locale": str(self.region)} if self.region else {}),
        }
        answer = self._client.get(self._base_url, params)
        if not isinstance(answer.get("results"), list):
            raise SourceUnavailable("iNaturalist answers with JSON in an unknown format.")
        return items(answer["results"]), number(answer.get("total_results"))


def _to_hit(observation: dict[str, Any], photo: dict[str, Any], query: str) -> ImageHit | None:
    url, photo_id = link(photo.get("url")), number(photo.get("id"))
    # What was taken down is replaced by a drawing that says so.
    if url is None or photo_id is None or "copyright-infringement" in url:
        return None
    user, taxon, size = (
        table(observation.get("user")),
        table(observation.get("taxon")),
        photo.get("original_dimensions"),
    )
    login = text(user.get("login"))
    return ImageHit(
        backend=INaturalist.name,
        backend_id=str(photo_id),
        query=query,
        image_url=_sized(url, "large"),
        thumb_url=_sized(url, "medium"),
        page_url=link(observation.get("uri")),
        title=text(taxon.get("preferred_common_name")) or text(taxon.get("name")),
        width=number(table(size).get("width")),
        height=number(table(size).get("height")),
        creator=text(user.get("name")) or login,
        creator_url=f"https://www.inaturalist.org/people/{quote(login, safe='')}" if login else None,
        # The codes have no version; iNaturalist's licences are all 4.0.
        license_id=creative_commons(photo.get("license_code"), "4.0"),
        attribution=text(photo.get("attribution")),
    )


def _sized(url: str, size: str) -> str:
    """The address of the same photo in another size: "large" is at most 1024 pixels long, "medium" 500."""
    return re.sub(r"/(?:square|thumb|small|medium|large|original)(\.\w+(?:\?[^/]*)?)$", rf"/{size}\1", url)
