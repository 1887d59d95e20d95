"""The recipes in recipes/: each can be read, says whether it was tried, and finds its classes in folders."""

import re
from pathlib import Path

import pytest

from spotter.cli import main
from spotter.collect.collector import collect
from spotter.errors import RecipeError
from spotter.names import slug
from spotter.recipe import read_recipe
from spotter.search.folder import Folder
from tests.conftest import ROOT
from tests.helpers.drawing import KINDS, draw, encode

RECIPES = sorted((ROOT / "recipes").glob("*.toml"))
names = pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)


@names
def test_it_can_be_read(path: Path) -> None:
    recipe = read_recipe(path)
    assert recipe.name == slug(path.stem.replace("_", "-"))
    assert recipe.per_class == 150
    assert len({spec.query for spec in recipe.classes}) == len(recipe.classes) >= 2
    assert recipe.title.endswith("?")


@names
def test_it_says_whether_it_was_tried(path: Path) -> None:
    if path.stem != "bears":
        assert "tried on" in path.read_text().lower()


@names
def test_its_classes_are_found_in_folders(path: Path, tmp_path: Path) -> None:
    """What can be done without a network and without photos: collect drawn pictures under its labels."""
    recipe = read_recipe(path)
    for kind, label in zip(KINDS, recipe.labels, strict=False):
        folder = tmp_path / "pictures" / label
        folder.mkdir(parents=True)
        for seed in range(6):
            (folder / f"{seed}.jpg").write_bytes(encode(draw(kind, seed)))
    dataset = collect(recipe, [Folder(str(tmp_path / "pictures"))], tmp_path / "set")
    assert len(dataset.records) == 6 * len(recipe.classes)


CLASSES = '[classes]\ncat = "x"\ndog = "y"\n'


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("per_clas = 20\n" + CLASSES, "'per_clas', which means nothing; did you mean 'per_class'?"),
        (CLASSES + "[cost]\nask = 1\n", "'cost', which means nothing; did you mean 'costs'?"),
        ("zzz = 1\n" + CLASSES, "'zzz', which means nothing; it may have: name, title, "),
        ("per_class = true\n" + CLASSES, "per_class must be a positive whole number, not True"),
        (f'title = "{"n" * 121}"\n' + CLASSES, "title must be one line of at most 120 characters"),
        ('title = """two\nlines"""\n' + CLASSES, "title must be one line of at most 120 characters"),
        (f"per_class = 1{'0' * 30}\n" + CLASSES, "cannot be read: A whole number in it is too large"),
        (f"per_class = 1{'0' * 5000}\n" + CLASSES, "cannot be read: A whole number in it is too large"),
        (CLASSES + f"[prior]\ncat = 1{'0' * 400}\n", "cannot be read: A whole number in it is too large"),
        (f"x = {'[' * 5000}\n" + CLASSES, "cannot be read: It is nested too deeply"),
    ],
)
def test_what_makes_no_sense_in_a_recipe_is_told(written: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "pets.toml"
    path.write_text(written)
    with pytest.raises(RecipeError, match=re.escape(told)):
        read_recipe(path)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ('[costs]\nask = "1"\n', "The cost of 'ask' must be a number, not '1'."),
        ("[costs]\nask = 1979-05-27\n", "The cost of 'ask' must be a number, not datetime.date(1979, 5, 27)."),
        ("[costs]\nask = inf\n", "The cost of 'ask' must be from 0 to 1,000,000,000, not inf."),
        ("[costs]\nask = nan\n", "The cost of 'ask' must be a number, not nan."),
        ("[prior]\ncat = inf\n", "The prior of 'cat' must be 0 or more, not inf."),
        ("[prior]\ncat = nan\n", "The prior of 'cat' must be 0 or more, not nan."),
    ],
)
def test_costs_and_shares_that_are_none_are_told(
    more: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "pets.toml"
    path.write_text(CLASSES + more)
    assert main(["train", str(path), "--data", str(tmp_path), "--to", str(tmp_path / "m")]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == f"spotter train: {told}"


def test_a_cost_without_end_as_an_option_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--class", "cat", "--class", "dog", "--cost", "ask=inf", "--data", str(tmp_path), "--to", str(tmp_path)]
    assert main(["train", *words]) == 1
    assert "The cost of 'ask' must be from 0 to 1,000,000,000, not inf." in capsys.readouterr().err
