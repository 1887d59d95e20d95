"""The recipe: the classes to tell apart, with the words that find pictures of each."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from spotter.errors import RecipeError, did_you_mean
from spotter.names import alike, clean_label, is_writing, slug, why_no_label
from spotter.utils.files import read_toml


@dataclass(frozen=True)
class ClassSpec:
    """One thing to tell apart: the label people read and the words to search with."""

    label: str
    query: str


@dataclass(frozen=True)
class Recipe:
    """What to tell apart. `per_class` is the number of pictures wanted for each class. `license` is the licence of the
    model, as the Hub names it ("apache-2.0"), or "" when its owner gives none. `region` is the language and country of
    a search ("de-CH"), or "" for that of each service. `costs` says what mistakes cost, as it was written (see
    `spotter.decide.costs`); `prior` in which shares the labels come (see `spotter.decide.prior`).
    """

    name: str
    classes: tuple[ClassSpec, ...]
    per_class: int = 150
    title: str = ""
    license: str = ""
    region: str = ""
    costs: dict[str, float] = field(default_factory=dict)
    prior: dict[str, float] = field(default_factory=dict)

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(spec.label for spec in self.classes)


MIN_CLASSES = 2
# With many classes, a title that names them all would fill the page.
MOST_IN_TITLE = 6
LONGEST_TITLE = 120
NAMES = ("name", "title", "license", "region", "per_class", "classes", "costs", "prior")


def read_recipe(path: Path) -> Recipe:
    """Read a recipe (TOML: `name`, maybe `title`, `license`, `region` and `per_class`, a table `[classes]`
    label = "query", and maybe the tables `[costs]` "truth as said" = number and
    `[prior]` label = share).

    Raises:
        RecipeError: the file is missing, is not TOML, holds anything else, or does not describe at least two classes.
    """
    try:
        table = read_toml(path)
    except FileNotFoundError as error:
        guess = did_you_mean(str(path), [str(other) for other in path.parent.glob("*.toml")]) or "."
        raise RecipeError(f"There is no recipe {str(path)!r}{guess}") from error
    except (OSError, ValueError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise RecipeError(f"The recipe {str(path)!r} cannot be read: {reason}.") from error
    for name in table:
        if name not in NAMES:
            guess = did_you_mean(name, NAMES) or f"; it may have: {', '.join(NAMES)}."
            raise RecipeError(f"The recipe {str(path)!r} has {name!r}, which means nothing{guess}")
    classes = table.get("classes", {})
    if not isinstance(classes, dict):
        raise RecipeError(f'In {str(path)!r}, [classes] must be a table of label = "query".')
    per_class = table.get("per_class", Recipe.per_class)
    # True is a whole number too.
    if type(per_class) is not int or per_class < 1:
        raise RecipeError(f"In {str(path)!r}, per_class must be a positive whole number, not {per_class!r}.")
    license_id = table.get("license", "")
    if not isinstance(license_id, str) or not re.fullmatch(r"(?:[a-z0-9][a-z0-9.-]{0,39})?", license_id):
        raise RecipeError(
            f"In {str(path)!r}, license must be a licence id of the Hub, such as 'mit', not {license_id!r}."
        )
    for name in ("name", "title", "region"):
        if not isinstance(table.get(name, ""), str):
            raise RecipeError(f"In {str(path)!r}, {name} must be a text, not {table[name]!r}.")
    costs = table.get("costs", {})
    if not isinstance(costs, dict):
        raise RecipeError(f'In {str(path)!r}, [costs] must be a table of "truth as said" = number.')
    prior = table.get("prior", {})
    if not isinstance(prior, dict) or not all(type(share) in {int, float} for share in prior.values()):
        raise RecipeError(f"In {str(path)!r}, [prior] must be a table of label = share.")
    title = read_title(table.get("title", ""), f"In {str(path)!r}, title")
    recipe = make_recipe(classes, name=table.get("name", path.stem), title=title, per_class=per_class)
    return replace(recipe, license=license_id, region=table.get("region", ""), costs=costs, prior=prior)


def read_title(title: str, named: str) -> str:
    """A title as it is kept; `named` says where it is from, as the subject of a sentence.

    Raises:
        RecipeError: it is no single line, or too long.
    """
    clean = clean_label(title)
    if len(clean) > LONGEST_TITLE or not all(map(is_writing, clean)):
        raise RecipeError(f"{named} must be one line of at most {LONGEST_TITLE} characters, not {title[:200]!r}.")
    return clean


def choose_recipe(path: Path | None, classes: Sequence[str]) -> Recipe:
    """Read the recipe at `path`; without one, make it of `classes`, each LABEL or LABEL=QUERY.

    Raises:
        RecipeError: it does not describe a classifier.
    """
    return read_recipe(path) if path else recipe_from_options(classes)


def recipe_from_options(options: Sequence[str]) -> Recipe:
    """Make a recipe from repeated `--class LABEL=QUERY` options; a LABEL without a query is used as the query too."""
    classes: dict[str, str] = {}
    for option in options:
        label, _, query = option.partition("=")
        label = clean_label(label)
        if label in classes:
            raise RecipeError(f"The class {label!r} is given twice.")
        classes[label] = query.strip() or label
    return make_recipe(classes, name="-".join(slug(label) for label in classes)[:60])


def make_recipe(classes: Mapping[str, str], name: str, title: str = "", per_class: int = Recipe.per_class) -> Recipe:
    """Check labels and queries and make a `Recipe`.

    Raises:
        RecipeError: fewer than two classes, or labels that cannot be told apart or used as folder names.
    """
    if len(classes) < MIN_CLASSES:
        have = f"only {next(iter(classes))!r}" if classes else "none"
        raise RecipeError(f"A classifier needs at least {MIN_CLASSES} classes to tell apart; there is {have}.")
    specs = []
    for written, query in classes.items():
        label = clean_label(written)
        if not isinstance(query, str) or not query.strip():
            raise RecipeError(f"The class {label!r} needs a query in words, not {query!r}.")
        if reason := why_no_label(label):
            raise RecipeError(f"{written!r} cannot be a label: {reason}.")
        specs.append(ClassSpec(label, query.strip()))
    if pair := alike(spec.label for spec in specs):
        raise RecipeError(
            f"The labels {pair[0]!r} and {pair[1]!r} differ only in case or punctuation; give one of them another name."
        )
    if not slug(name):
        raise RecipeError(f"{name!r} cannot be the name of a recipe: it needs a letter or digit.")
    return Recipe(slug(name), tuple(specs), per_class, title or _title_of([spec.label for spec in specs]))


def _title_of(classes: Collection[str]) -> str:
    return f"{' or '.join(classes)}?" if len(classes) <= MOST_IN_TITLE else f"Which of {len(classes)} is it?"
