"""The picture sources: a literal dict from name to class."""

from pathlib import Path

from spotter.errors import UnknownSource, did_you_mean
from spotter.search.base import ImageHit, LabelledSource, RegionalSource, SearchBackend
from spotter.search.brave import Brave
from spotter.search.duckduckgo import DuckDuckGo
from spotter.search.feedback import VisitorFeedback
from spotter.search.folder import Folder
from spotter.search.huggingface import HuggingFace
from spotter.search.inaturalist import INaturalist
from spotter.search.manifest import Manifest
from spotter.search.openverse import Openverse
from spotter.search.region import Region, read_region
from spotter.search.sample import Sample
from spotter.search.table import Table
from spotter.search.urls import Urls
from spotter.search.wikimedia import Wikimedia

__all__ = [
    "BACKENDS",
    "ImageHit",
    "LabelledSource",
    "Region",
    "SearchBackend",
    "get_backend",
    "get_backends",
    "read_region",
]

BACKENDS: dict[str, type[SearchBackend]] = {
    "brave": Brave,
    "duckduckgo": DuckDuckGo,
    "feedback": VisitorFeedback,
    "folder": Folder,
    "hf": HuggingFace,
    "inaturalist": INaturalist,
    "manifest": Manifest,
    "openverse": Openverse,
    "sample": Sample,
    "table": Table,
    "urls": Urls,
    "wikimedia": Wikimedia,
}


def get_backend(address: str, region: str = "") -> SearchBackend:
    """Open the source named by `address`: a name, or `name:argument` as in `folder:pictures/bears`.

    Args:
        region: language and country of the search, such as "de-CH"; sources that cannot search for one ignore it.

    Raises:
        UnknownSource: no such name, or a missing or superfluous argument; the message lists the choices.
        RecipeError: this is no region.
    """
    name, _, argument = address.partition(":")
    if name not in BACKENDS:
        guess = did_you_mean(name, BACKENDS) or "."
        raise UnknownSource(f"There is no picture source {name!r}; choose one of: {', '.join(sorted(BACKENDS))}{guess}")
    source = BACKENDS[name]
    if argument and not source.argument:
        raise UnknownSource(f"The source {name!r} takes no argument, but got {argument!r}.")
    if source.argument and not argument:
        raise UnknownSource(f"The source {name!r} needs an argument: write --search {name}:{source.argument}.")
    opened = source(argument) if argument else source()
    if region:
        wanted = read_region(region)
        if isinstance(opened, RegionalSource):
            opened.region = wanted
    return opened


def get_backends(addresses: str, region: str = "") -> list[SearchBackend]:
    """Open the sources named by `addresses`, separated by commas, in their order; commas in paths are left alone.

    Of several folders and tables, each gets an `origin`: the end of its path, as long as it takes to tell them apart.
    Whole paths say more of a machine than a published manifest should.

    Raises:
        UnknownSource, RecipeError: as `get_backend`.
    """
    parts = addresses.split(",")
    whole = parts[:1]
    for part in parts[1:]:
        if ":" in whole[-1] and part.partition(":")[0] not in BACKENDS:
            whole[-1] += f",{part}"
        else:
            whole.append(part)
    opened = [get_backend(address, region) for address in whole]
    own = [source for source in opened if isinstance(source, Folder | Table)]
    places = [source.root.resolve() if isinstance(source, Folder) else source.path.resolve() for source in own]
    for source, place in zip(own, places, strict=True):
        source.origin = _name_apart(place, {*places} - {place})
    return opened


def _name_apart(place: Path, others: set[Path]) -> str | None:
    """The last parts of a path, as many as the others do not end with; None where there are no others."""
    ends = (place.parts[-count:] for count in range(1, len(place.parts) + 1))
    if not others:
        return None
    return next(("/".join(end) for end in ends if all(other.parts[-len(end) :] != end for other in others)), str(place))
