"""What the commands share: the options about pictures, the printed stages, and the one place that catches errors."""

import argparse
import hashlib
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from spotter.collect import collect
from spotter.config import RESIZES, CollectConfig, Recipe, TrainConfig, read_recipe, recipe_from_options, slug
from spotter.dataset import Dataset, with_disputed
from spotter.download import download_all
from spotter.errors import SpotterError
from spotter.feedback_sync import fetched
from spotter.ingest import Fetch
from spotter.licenses import POLICIES
from spotter.search import BACKENDS, SearchBackend, get_backends
from spotter.search.feedback import VisitorFeedback
from spotter.takedown import Takedown


def add_picture_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which pictures to collect."""
    parser.add_argument("recipe", nargs="?", type=Path, help="a file of classes, such as recipes/bears.toml")
    parser.add_argument(
        "--class",
        dest="classes",
        action="append",
        default=[],
        metavar="LABEL=QUERY",
        help="a class, instead of a recipe; repeat it",
    )
    parser.add_argument(
        "--search",
        default="duckduckgo",
        metavar="SOURCE",
        help=f"where pictures come from, one or several with commas: {', '.join(BACKENDS)}",
    )
    parser.add_argument("--license", choices=POLICIES, default="any", help="which pictures to take (default: any)")
    parser.add_argument(
        "--more",
        action="append",
        default=[],
        metavar="LABEL=QUERY",
        help="collect more pictures of a class with other words; repeat it",
    )
    parser.add_argument(
        "--feedback",
        metavar="STORE",
        help="learn too from what visitors sent there, once it is reviewed: a folder or hf://datasets/owner/name",
    )
    parser.add_argument(
        "--data", type=Path, default=Path("data"), help="the folder that keeps pictures (default: data)"
    )


def add_learning_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how to learn."""
    default = TrainConfig()
    parser.add_argument("--arch", default=default.arch, help="a timm architecture (default: %(default)s)")
    parser.add_argument(
        "--size", type=int, default=default.size, metavar="PIXELS", help="what the network sees (default: %(default)s)"
    )
    parser.add_argument(
        "--resize", choices=RESIZES, default=default.resize, metavar="WAY", help="crop (the default), squish or pad"
    )
    parser.add_argument(
        "--fine-tune", type=int, default=0, metavar="EPOCHS", help="train the whole network too, for so many epochs"
    )
    group = parser.add_argument_group("with --fine-tune")
    group.add_argument("--find-rate", action="store_true", help="look for the learning rate first")
    group.add_argument(
        "--min-scale", type=float, default=1.0, metavar="SHARE", help="learn from random crops of this area or more"
    )
    group.add_argument(
        "--presize", type=int, default=0, metavar="PIXELS", help="scale to this first, then augment and crop in one go"
    )
    group.add_argument("--mult", type=float, default=1.0, help="rotate, warp and light so much more (default: 1)")
    group.add_argument("--show-batch", action="store_true", help="save contact sheets of what it learns from")


def learning_config(parser: argparse.ArgumentParser, options: argparse.Namespace) -> TrainConfig:
    """Read how to learn from the options; end with a usage error where they make no sense."""
    names = ("arch", "size", "resize", "fine_tune", "find_rate", "min_scale", "presize", "mult")
    config = TrainConfig(**{name: getattr(options, name) for name in names})
    if not 32 <= config.size <= 1024:
        parser.error("--size must be from 32 to 1024 pixels")
    if config.fine_tune < 0:
        parser.error("--fine-tune cannot be negative")
    if not 0 < config.min_scale <= 1:
        parser.error("--min-scale must be above 0 and at most 1")
    if config.presize and not config.size <= config.presize <= 2048:
        parser.error("--presize must be from --size to 2048 pixels")
    if not 0 <= config.mult <= 10:
        parser.error("--mult must be from 0 to 10")
    augments = replace(config, fine_tune=0, find_rate=False) != TrainConfig(config.arch, config.size, config.resize)
    if not config.fine_tune and (config.find_rate or (augments and not options.show_batch)):
        parser.error("--find-rate, --min-scale, --presize and --mult change nothing without --fine-tune EPOCHS")
    return config


def parse(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line, and refuse a recipe together with classes."""
    options = parser.parse_args(argv)
    if options.recipe and options.classes:
        parser.error("give a recipe or --class, not both")
    return options


def recipe_of(options: argparse.Namespace) -> Recipe:
    """The recipe that the options name or spell out.

    Raises:
        RecipeError: it does not describe a classifier.
    """
    return read_recipe(options.recipe) if options.recipe else recipe_from_options(options.classes)


def sources_of(options: argparse.Namespace) -> list[SearchBackend]:
    """The sources that the options name.

    Raises:
        UnknownSource, FolderMissing, FeedbackMissing: one of them is none.
        UnknownStore, AccessRefused, StoreUnreachable, CacheUnwritable: the feedback cannot be had from the Hub.
    """
    sources = get_backends(options.search)
    return [*sources, VisitorFeedback(str(fetched(options.feedback)))] if options.feedback else [*sources]


def collect_pictures(
    options: argparse.Namespace,
    recipe: Recipe,
    sources: Sequence[SearchBackend],
    more: Mapping[str, Sequence[str]],
    fetch: Fetch = download_all,
) -> Dataset:
    """Fill the set that the options name, without what its `takedown.txt` lists, and say what was kept and why not.

    What stands in two classes is among its records too, for the second look. `fetch` says where downloads run.

    Raises:
        As `collect`.
    """
    folder = picture_folder(options.data, recipe, options.search)
    takedown = Takedown(options.data / "takedown.txt")
    config = CollectConfig(license=options.license)
    dataset = collect(recipe, sources, folder, config, more=more, takedown=takedown, fetch=fetch)
    for line in (dataset.summary(), *dataset.by_source(), *dataset.complaints()):
        say(line)
    return with_disputed(dataset)


def picture_folder(data: Path, recipe: Recipe, search: str) -> Path:
    """The folder for this recipe's pictures from these sources; each folder or file on disk has one of its own."""
    names = "-".join(slug(part.partition(":")[0]) for part in search.split(","))
    place = f"-{hashlib.sha256(str(Path(search).resolve()).encode()).hexdigest()[:8]}" if ":" in search else ""
    return data / recipe.name / f"{names[:60]}{place}"


def run_command(program: str, command: Callable[[], str], argv: Sequence[str] | None) -> int:
    """Run a command and print what it returns as the last line; return the exit status.

    0 after success, 1 after an expected failure, told in one sentence, 130 when stopped by hand.
    """
    try:
        last = command()
    except SpotterError as error:
        print(f"{program}: {printable(str(error))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        words = shlex.join(sys.argv[1:] if argv is None else argv)
        print(f"\n{program}: Stopped. What arrived is kept; to go on from there: {program} {words}", file=sys.stderr)
        return 130
    print(last)
    return 0


def is_helper() -> bool:
    """Whether this is one of several processes that a launcher started, and not the first."""
    return os.environ.get("RANK", "0") != "0"


@contextmanager
def stage(title: str) -> Iterator[None]:
    """Print a stage's title, and the seconds it took once it has ended well."""
    started = time.perf_counter()
    print(f"{title} ...", flush=True)
    yield
    print(f"  done in {time.perf_counter() - started:.1f} s", flush=True)


def say(text: str) -> None:
    """Print one line about the stage."""
    print(f"  {printable(text)}", flush=True)


def printable(text: str) -> str:
    """The same text, but what came from outside cannot move the cursor or start a line."""
    return "".join(character if character.isprintable() else "?" for character in text)
