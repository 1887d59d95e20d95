"""Pictures from Wikimedia Commons, through the API of MediaWiki."""

import html
import mimetypes
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

from spotter.errors import SourceThrottled, SourceUnavailable
from spotter.search.base import ImageHit
from spotter.search.fields import creative_commons, credit, items, link, number, table, text
from spotter.search.json_client import JsonClient
from spotter.search.paging import take
from spotter.search.region import Region
from spotter.utils.licenses import UNKNOWN_LICENSE

# Originals may have 30 MB as JPEG; Commons scales them for us, but only to some widths
# (https://www.mediawiki.org/wiki/Common_thumbnail_sizes). The next smaller one is 960, less than we store.
WIDTH = 1280
MIMES = {"image/jpeg", "image/png", "image/webp", "image/gif", "image/avif"}

_ASKED: dict[str, str | int] = {
    "action": "query",
    "format": "json",
    "formatversion": 2,
    # Refuse us, rather than be slow for others, when the databases are more than 5 seconds behind.
    "maxlag": 5,
    "generator": "search",
    "gsrnamespace": 6,
    "gsrlimit": 50,
    "prop": "imageinfo",
    "iiprop": "url|size|mime|extmetadata|user",
    "iiurlwidth": WIDTH,
    "iiextmetadatafilter": "Artist|Attribution|License|LicenseShortName|LicenseUrl|Restrictions",
}
_HIDDEN = re.compile(r"<(\w+)[^<>]*display:\s*none[^<>]*>.*?</\1\s*>", re.DOTALL | re.IGNORECASE)
_BLOCK = re.compile(r"</?(?:p|div|br|li|ul|ol|td|th|tr|table|dd|dl|dt)\b[^<>]*>", re.IGNORECASE)


class Wikimedia:
    """Search by words in the pictures of Wikimedia Commons; each with licence and creator as its page tells them.

    No key. One request a second at most, 50 pictures each, at most 10,000 a search. Pictures wider than `WIDTH` are
    fetched scaled; files other than JPEG, PNG, WebP, GIF and AVIF are left out. Each picture has its own licence, and
    the terms ask for a User-Agent that names the program (https://foundation.wikimedia.org/wiki/Policy:Terms_of_Use).

    Args:
        base_url: where the service answers.
        per_minute: requests a minute.
        sleep: for tests.
    """

    name = "wikimedia"
    argument = ""
    searches = True
    by_label = False
    region: Region | None = None

    def __init__(
        self,
        *,
        base_url: str = "https://commons.wikimedia.org/w/api.php",
        per_minute: float = 60,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._base_url = base_url
        self._client = JsonClient("Wikimedia Commons", per_minute, sleep=sleep)

    def search(self, query: str, limit: int) -> Iterator[ImageHit]:
        """Yield at most `limit` pictures for `query`, each once, best first; nothing if there are none.

        Raises:
            SourceUnavailable: it cannot be reached or answers nonsense
                (SourceThrottled: it was asked too often, or is too busy).
        """
        return take(self._hits(query), limit)

    def _hits(self, query: str) -> Iterator[ImageHit | None]:
        position: dict[str, str | int] = {}
        while True:
            answer = self._ask(query, position)
            for page in _pages(answer):
                yield _to_hit(page, query)
            following = {
                key: value for key, value in table(answer.get("continue")).items() if isinstance(value, str | int)
            }
            if not following or following == position:
                return
            position = following

    def _ask(self, query: str, position: dict[str, str | int]) -> dict[str, Any]:
        language = {"uselang": self.region.language} if self.region else {}
        asked = {**_ASKED, **language, "gsrsearch": f"{query} filetype:bitmap", **position}
        answer = self._client.get(self._base_url, asked)
        if "error" in answer:
            # MediaWiki tells its own errors with HTTP 200.
            code = text(table(answer["error"]).get("code")) or "no code"
            if code in {"maxlag", "ratelimited"}:
                raise SourceThrottled(
                    f"Wikimedia Commons is too busy or was asked too often ({code}); wait some minutes."
                )
            raise SourceUnavailable(f"Wikimedia Commons answers with an error ({code[:60]!r}).")
        # A search that finds nothing has no "query", but says that it is complete.
        if not answer.keys() & {"query", "continue", "batchcomplete"}:
            raise SourceUnavailable("Wikimedia Commons answers with JSON in an unknown format.")
        return answer


def _pages(answer: dict[str, Any]) -> list[dict[str, Any]]:
    pages = table(answer.get("query")).get("pages")
    # The older form of the answer has an object with the pages' numbers as keys.
    found = items(list(pages.values()) if isinstance(pages, dict) else pages)
    # The pages come in the order of their numbers; `index` is the place among the results.
    return sorted(found, key=lambda page: number(page.get("index")) or len(found) + 1_000_000)


def _to_hit(page: dict[str, Any], query: str) -> ImageHit | None:
    info = next(iter(items(page.get("imageinfo"))), {})
    url, thumb_url = link(info.get("url")), link(info.get("thumburl"))
    name = (text(page.get("title")) or "").removeprefix("File:")
    mime = text(info.get("mime")) or mimetypes.guess_type(name, strict=False)[0]
    if url is None or mime not in MIMES:
        return None
    told = table(info.get("extmetadata"))
    title = re.sub(r"\.\w{1,5}$", "", name).strip() or None
    creator, creator_url = _artist(_value(told, "Artist"))
    license_id = _license(told)
    width, height = number(info.get("width")), number(info.get("height"))
    scaled = thumb_url is not None and max(width or 0, height or 0) > WIDTH
    return ImageHit(
        backend=Wikimedia.name,
        backend_id=str(number(page.get("pageid")) or name or url),
        query=query,
        image_url=thumb_url if scaled else url,
        thumb_url=thumb_url,
        page_url=link(info.get("descriptionurl")),
        title=title,
        width=number(info.get("thumbwidth")) if scaled else width,
        height=number(info.get("thumbheight")) if scaled else height,
        mime=mime,
        creator=creator,
        creator_url=creator_url,
        license_id=license_id,
        license_url=link(_value(told, "LicenseUrl")),
        # The words that the author asks for, where there are some.
        attribution=_artist(_value(told, "Attribution"))[0] or credit(title, creator, license_id),
    )


def _value(told: dict[str, Any], key: str) -> str:
    return text(table(told.get(key)).get("value")) or ""


def _license(told: dict[str, Any]) -> str:
    """The licence, from what the page's templates tell.

    "Public domain" alone stays unknown: it stands for hundreds of templates, many of which hold in one country only,
    and `Restrictions` (trademarks, personality rights, insignia) can forbid uses that copyright does not. Only a link
    to CC0 or to the public domain mark, without restrictions, makes it one of these.
    """
    names = [_value(told, "LicenseShortName"), _value(told, "License")]
    url, is_restricted = _value(told, "LicenseUrl"), bool(_value(told, "Restrictions"))
    deed = re.match(r"https?://creativecommons\.org/publicdomain/(zero|mark)/1\.0\b", url)
    # Without this check the code "pd" would become the public domain mark.
    found = [creative_commons(name, url=url) for name in names if name.lower().startswith("cc")]
    known = [name for name in found if name != UNKNOWN_LICENSE] or ([creative_commons(deed[1])] if deed else [])
    if not known or (is_restricted and known[0] in {"CC0-1.0", "PDM-1.0"}):
        return UNKNOWN_LICENSE
    return known[0]


def _artist(markup: str) -> tuple[str | None, str | None]:
    """Name and address from the HTML of `Artist`. Commons repeats names in hidden elements, for machines."""
    markup = _HIDDEN.sub(" ", markup[:5000])
    address = re.search(r"""\bhref\s*=\s*["']([^"'<>]*)""", markup, re.IGNORECASE)
    words = re.sub(r"<[^<>]*>", "", _BLOCK.sub(" ", markup))
    return text(" ".join(html.unescape(words).split())), link(html.unescape(address[1])) if address else None
