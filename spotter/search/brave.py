"""Pictures from Brave's image search, with a key."""

import os
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

from spotter.errors import SourceUnavailable
from spotter.search.base import ImageHit
from spotter.search.fields import items, link, number, table, text
from spotter.search.json_client import JsonClient
from spotter.search.paging import take
from spotter.search.region import Region

KEY = "BRAVE_API_KEY"
# One request gives no more, and there is no second page.
MAX_RESULTS = 200
# What the service takes; it refuses all else.
_COUNTRY_CODES = (
    "AR AU AT BE BR CA CL DK FI FR DE GR HK IN ID IT JP KR MY MX NL NZ NO CN PL PT PH RU SA ZA ES SE CH TW TR GB US"
)
_COUNTRIES = frozenset(_COUNTRY_CODES.split())
_LANGUAGE_CODES = (
    "ar bg bn ca cs da de el en en-gb es et eu fi fr gl gu he hi hr hu is it jp kn ko lt lv ml mr ms nb nl pa pl "
    "pt-br pt-pt ro ru sk sl sr sv ta te th tr uk vi zh-hans zh-hant"
)
_SEARCHED = frozenset(_LANGUAGE_CODES.split())
_LANGUAGES = {"ja": "jp", "no": "nb", "pt": "pt-pt", "pt-BR": "pt-br", "zh": "zh-hans", "zh-TW": "zh-hant",
              "zh-HK": "zh-hant", "en-GB": "en-gb"}  # fmt: skip


class Brave:
    """Search the web by words; at most 200 pictures a search, in one request; nothing is known of their licences.

    Needs a key (https://api-dashboard.search.brave.com) in the environment variable `BRAVE_API_KEY`. How many
    requests a second and a month it allows, what they cost, and whether the results may be stored and used for
    machine learning depends on the plan (https://api-dashboard.search.brave.com/terms-of-service). Pictures for
    adults are left out. Of a region it takes the countries and languages that are listed at
    https://api-dashboard.search.brave.com/app/documentation/image-search/codes (compared in November 2026); for another
    country it searches everywhere.

    Args:
        base_url: where the service answers.
        per_minute: requests a minute.
        sleep: for tests.

    Raises:
        SourceUnavailable: there is no key, or it cannot be one.
    """

    name = "brave"
    argument = ""
    searches = True
    by_label = False
    region: Region | None = None

    def __init__(
        self,
        *,
        base_url: str = "https://api.search.brave.com/res/v1/images/search",
        per_minute: float = 60,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        key = os.environ.get(KEY, "").strip()
        if not key:
            raise SourceUnavailable(f"Brave needs a key; put it in the environment variable {KEY}.")
        # The HTTP client would show a key that it cannot send.
        if not re.fullmatch(r"[!-~]+", key):
            raise SourceUnavailable(f"{KEY} holds characters that a key cannot have; set it again.")
        self._base_url = base_url
        refusals = {
            401: f"Brave refuses the key (HTTP 401); check the environment variable {KEY}.",
            # Brave says the same about a wrong key and about a query that it does not take.
            422: f"Brave refuses the key, or a query of more than 50 words or 400 characters (HTTP 422); check {KEY}.",
        }
        self._client = JsonClient("Brave", per_minute, {"X-Subscription-Token": key}, refusals=refusals, sleep=sleep)

    def search(self, query: str, limit: int) -> Iterator[ImageHit]:
        """Yield at most `limit` pictures (and at most 200) for `query`, each address once, best first.

        Raises:
            SourceUnavailable: Brave cannot be reached, refuses the key or answers nonsense
                (SourceThrottled: it was asked too often, or the key's requests are used up).
        """
        return take(self._hits(query, min(limit, MAX_RESULTS)), limit)

    def _hits(self, query: str, count: int) -> Iterator[ImageHit | None]:
        params: dict[str, str | int] = {"q": query, "count": count, "safesearch": "strict"}
        if self.region:
            country = self.region.country.upper()
            params["country"] = country if country in _COUNTRIES else "ALL"
            languages = _LANGUAGES.get(self.region.language, self.region.language)
            languages = _LANGUAGES.get(str(self.region), languages)
            if languages in _SEARCHED:
                params["search_lang"] = languages
        results = self._client.get(self._base_url, params).get("results")
        if not isinstance(results, list):
            raise SourceUnavailable("Brave answers with JSON in an unknown format.")
        for result in items(results):
            yield _to_hit(result, query)


def _to_hit(result: dict[str, Any], query: str) -> ImageHit | None:
    picture = table(result.get("properties"))
    url = link(picture.get("url"))
    if url is None:
        return None
    return ImageHit(
        backend=Brave.name,
        backend_id=url,
        query=query,
        image_url=url,
        thumb_url=link(table(result.get("thumbnail")).get("src")),
        page_url=link(result.get("url")),
        title=text(result.get("title")),
        width=number(picture.get("width")),
        height=number(picture.get("height")),
    )
