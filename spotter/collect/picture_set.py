"""The picture set that a command names: its sources, its folder, and filling it."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from spotter.collect.collector import collect
from spotter.collect.download import download_all
from spotter.collect.ingest import Fetch
from spotter.collect.takedown import Takedown
from spotter.config import CollectConfig
from spotter.data.dataset import Dataset
from spotter.data.manifest import with_disputed
from spotter.errors import RecipeError
from spotter.feedback.sync import fetched
from spotter.names import slug
from spotter.recipe import Recipe
from spotter.search import SearchBackend, get_backends
from spotter.search.feedback import VisitorFeedback
from spotter.utils.console import say


def open_sources(search: str, feedback: str | None) -> list[SearchBackend]:
    """Open the sources that `search` names, separated by commas, and then that of the feedback, if there is one.

    Raises:
        UnknownSource, FolderMissing, FeedbackMissing: one of them is none.
        UnknownStore, AccessRefused, StoreUnreachable, CacheUnwritable: the feedback cannot be had from the Hub.
    """
    sources = get_backends(search)
    return [*sources, VisitorFeedback(str(fetched(feedback)))] if feedback else [*sources]


def picture_folder(data: Path, recipe: Recipe, search: str) -> Path:
    """The folder for this recipe's pictures from these sources; each folder or file on disk has one of its own."""
    names = "-".join(slug(part.partition(":")[0]) for part in search.split(","))
    place = f"-{hashlib.sha256(str(Path(search).resolve()).encode()).hexdigest()[:8]}" if ":" in search else ""
    return data / recipe.name / f"{names[:60]}{place}"


def fill_set(
    recipe: Recipe,
    sources: Sequence[SearchBackend],
    folder: Path,
    license: str,
    more: Mapping[str, Sequence[str]],
    takedown: Takedown,
    fetch: Fetch = download_all,
) -> Dataset:
    """Fill the set in `folder`, and say what was kept and why not.

    What stands in two classes is among its records too, for the second look.

    Args:
        license: which pictures to take, a key of `POLICIES`.
        more, takedown, fetch: as for `collect`.

    Raises:
        RecipeError: there is something more to search for, and no source that searches. As `collect`.
    """
    if more and not any(source.searches and not source.by_label for source in sources):
        named = " and ".join(source.name for source in sources)
        raise RecipeError(
            f"--more searches for further pictures, and {named} cannot search: add a source that can, such as "
            f"openverse, to --search, or add the pictures to what it reads."
        )
    config = CollectConfig(license=license)
    dataset = collect(recipe, sources, folder, config, more=more, takedown=takedown, fetch=fetch)
    for line in (dataset.summary(), *dataset.by_source(), *dataset.complaints()):
        say(line)
    return with_disputed(dataset)
