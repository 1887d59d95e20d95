"""What the commands share: the options about pictures, the printed stages, and the one place that catches errors."""

import argparse
import hashlib
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from spotter.collect import collect
from spotter.config import CollectConfig, Recipe, read_recipe, recipe_from_options, slug
from spotter.dataset import Dataset, with_disputed
from spotter.errors import SpotterError
from spotter.licenses import POLICIES
from spotter.search import BACKENDS, SearchBackend
from spotter.takedown import Takedown


def add_picture_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which pictures to collect."""
    parser.add_argument("recipe", nargs="?", type=Path, help="a TOML file with the classes, such as recipes/bears.toml")
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
        "--data", type=Path, default=Path("data"), help="the folder that keeps pictures (default: data)"
    )


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


def collect_pictures(
    options: argparse.Namespace, recipe: Recipe, sources: Sequence[SearchBackend], more: Mapping[str, Sequence[str]]
) -> Dataset:
    """Fill the set that the options name, without what its `takedown.txt` lists, and say what was kept and why not.

    What stands in two classes is among its records too, for the second look.

    Raises:
        As `collect`.
    """
    folder = picture_folder(options.data, recipe, options.search)
    takedown = Takedown(options.data / "takedown.txt")
    dataset = collect(recipe, sources, folder, CollectConfig(license=options.license), more=more, takedown=takedown)
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
