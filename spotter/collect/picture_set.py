"""The picture set that a command names: its sources, its folder, and filling it."""

import hashlib
import os
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import replace
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
from spotter.names import merge_alike, slug
from spotter.recipe import Recipe, choose_recipe, make_recipe, read_title
from spotter.search import LabelledSource, SearchBackend, get_backends, read_region
from spotter.search.base import takes_words
from spotter.search.feedback import VisitorFeedback
from spotter.utils.console import say


def read_options(options: Namespace) -> tuple[Recipe, list[SearchBackend]]:
    """The recipe and the sources that the options of `add_picture_options` name. Without a recipe and classes, the
    labels of the sources are the classes.

    Raises:
        RecipeError: there is no recipe, or it does not describe a classifier.
        As `open_sources`.
    """
    is_given = options.recipe or options.classes
    recipe = choose_recipe(options.recipe, options.classes) if is_given else None
    region = options.region or (recipe.region if recipe else "")
    sources = open_sources(options.search, options.feedback, region)
    recipe = recipe or _recipe_of(sources, options.search)
    title = read_title(options.title or "", "--title")
    return replace(recipe, title=title or recipe.title, region=str(read_region(region)) if region else ""), sources


def _recipe_of(sources: Sequence[SearchBackend], search: str) -> Recipe:
    """The labels of the sources as a recipe, named like the first folder, file or data set that has some."""
    told = [label for source in sources if isinstance(source, LabelledSource) for label in source.labels()]
    labels = merge_alike(told)
    if not labels:
        raise RecipeError(
            "A classifier needs at least 2 classes to tell apart; there is none. Give a recipe, --class several times, "
            "or a source that has labels, such as --search folder:PATH with a sub-folder for each class."
        )
    place = search.partition(":")[2].partition(",")[0].partition(":")[0]
    return make_recipe(dict(zip(labels, labels, strict=True)), name=slug(Path(place).resolve().stem) or "classes")


def open_sources(search: str, feedback: str | None, region: str = "") -> list[SearchBackend]:
    """Open the sources that `search` names, separated by commas, and then that of the feedback, if there is one.

    Args:
        region: the language and country to search for, "" for that of each service.

    Raises:
        RecipeError: this is no region.
        UnknownSource, FolderMissing, FeedbackMissing: one of them is none.
        UnknownStore, AccessRefused, StoreUnreachable, CacheUnwritable: the feedback cannot be had from the Hub.
    """
    sources = get_backends(search, region)
    return [*sources, VisitorFeedback(str(fetched(feedback)))] if feedback else [*sources]


def picture_folder(data: Path, recipe: Recipe, search: str) -> Path:
    """The folder for this recipe's pictures from these sources; each folder or file on disk has one of its own."""
    names = "-".join(slug(part.partition(":")[0]) for part in search.split(","))
    place = f"-{hashlib.sha256(os.fsencode(Path(search).resolve())).hexdigest()[:8]}" if ":" in search else ""
    region = f"-{recipe.region.lower()}" if recipe.region else ""
    return data / recipe.name / f"{names[:60]}{region}{place}"


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
    if more and not any(takes_words(source) for source in sources):
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
