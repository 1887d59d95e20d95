"""The recipes in recipes/: each can be read, says whether it was tried, and finds its classes in folders."""

from pathlib import Path

import pytest

from spotter.collect.collector import collect
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
