"""What every picture source gives: `ImageHit` values from `search(query, limit)`."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from spotter.search.region import Region
from spotter.utils.licenses import UNKNOWN_LICENSE


@dataclass(frozen=True)
class ImageHit:
    """One picture that a source offers.

    Exactly one of `image_url` (fetch it), `path` (read it) or `content` (encoded picture bytes, already here)
    tells where the picture is. `backend_id` names the picture within its source and never changes
    for the same picture. `label` is the class it was asked for. `license_id` is an SPDX id (CC0-1.0, CC-BY-SA-4.0,
    "PDM-1.0" for the public domain mark) or "unknown"; `attribution` is the sentence that the licence asks to show.
    `split` is "valid" where the author of the source keeps the picture for judging; it is never learnt from.
    `origin` names the folder or table where several were given: the same `backend_id` may be in each.
    A source that repeats an earlier run knows what the bytes must hash to (`sha256`) and when they were `fetched_at`.
    """

    backend: str
    backend_id: str
    query: str
    rank: int = 0
    label: str | None = None
    image_url: str | None = None
    path: Path | None = None
    content: bytes | None = None
    thumb_url: str | None = None
    page_url: str | None = None
    title: str | None = None
    width: int | None = None
    height: int | None = None
    mime: str | None = None
    creator: str | None = None
    creator_url: str | None = None
    license_id: str = UNKNOWN_LICENSE
    license_url: str | None = None
    attribution: str | None = None
    split: str | None = None
    origin: str | None = None
    sha256: str | None = None
    fetched_at: str | None = None


class SearchBackend(Protocol):
    """A source of pictures.

    `argument` names what has to follow the colon in `--search name:argument`, such as "PATH", and is then the first
    argument of the class; "" when nothing may follow. `searches` is True when the source stops at the recipe's number
    of pictures; False (a folder) when everything it holds is taken. `by_label` is True when it is asked with the label
    instead of the query. `region`, where a source has one, is the country and language to search for.
    """

    name: str
    argument: str
    searches: bool
    by_label: bool

    def __init__(self, *argument: str) -> None: ...

    def search(self, query: str, limit: int) -> Iterator[ImageHit]:
        """Yield at most `limit` hits, best first. `query` is the label for sources that have no search words.

        Raises, also after some hits:
            SourceUnavailable: the source cannot be reached or answers nonsense (SourceThrottled: asked too often).
            FolderMissing: a source that is asked by the label does not have it.
        """
        ...


def takes_words(source: SearchBackend) -> bool:
    """Whether a source can search for further words, as `--more` wants."""
    return source.searches and not source.by_label


@runtime_checkable
class RegionalSource(Protocol):
    """A source that can search for a country or language; None is the service's own."""

    region: Region | None


@runtime_checkable
class LabelledSource(Protocol):
    """A source of pictures that have labels already."""

    def labels(self) -> tuple[str, ...]:
        """The labels that it has, in its order; () when that is not known.

        Raises:
            SourceUnavailable, FolderMissing: it cannot be read.
        """
        ...
