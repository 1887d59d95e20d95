"""The picture sources: a literal dict from name to class."""

from spotter.errors import UnknownSource
from spotter.search.base import ImageHit, SearchBackend
from spotter.search.duckduckgo import DuckDuckGo
from spotter.search.folder import Folder
from spotter.search.sample import Sample

__all__ = ["BACKENDS", "ImageHit", "SearchBackend", "get_backend"]

BACKENDS: dict[str, type[SearchBackend]] = {
    "duckduckgo": DuckDuckGo,
    "folder": Folder,
    "sample": Sample,
}


def get_backend(address: str) -> SearchBackend:
    """Open the source named by `address`: a name, or `name:argument` as in `folder:pictures/bears`.

    Raises:
        UnknownSource: no such name, or a missing or superfluous argument; the message lists the choices.
    """
    name, _, argument = address.partition(":")
    if name not in BACKENDS:
        raise UnknownSource(f"There is no picture source {name!r}; choose one of: {', '.join(sorted(BACKENDS))}.")
    return BACKENDS[name](argument or None)
