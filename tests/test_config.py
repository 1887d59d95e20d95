from pathlib import Path

import pytest

from spotter.config import DownloadConfig
from spotter.errors import RecipeError
from spotter.names import slug
from spotter.recipe import make_recipe, read_recipe, recipe_from_options
from tests.conftest import ROOT


def test_the_bear_recipe_reads() -> None:
    recipe = read_recipe(ROOT / "recipes" / "bears.toml")
    assert (recipe.name, recipe.labels) == ("bears", ("grizzly", "black", "teddy"))
    assert recipe.classes[1].query == "black bear"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "there is none"),
        ("[classes]\ncat = 'cat'", "only 'cat'"),
        ("classes = 3", "must be a table"),
        ("[classes", "cannot be read"),
        ("per_class = 0\n[classes]\na='a'\nb='b'", "per_class"),
        ("costs = 3\n[classes]\na='a'\nb='b'", r"\[costs\] must be a table"),
        ("[classes]\na = 3\nb = 'b'", "needs a query"),
        ("[classes]\n'Not Sure' = 'x'\nb = 'b'", "cannot be a label"),
        ("[classes]\n'Cat' = 'x'\n'cat' = 'b'", "differ only in case"),
        ("name = '..'\n[classes]\na='a'\nb='b'", "cannot be the name"),
    ],
)
def test_bad_recipes_are_told_in_a_sentence(text: str, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=expected):
        read_recipe(path)


def test_costs_are_kept_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text("[classes]\na='a'\nb='b'\n[costs]\nask = 2\n'a as b' = 50")
    assert read_recipe(path).costs == {"ask": 2, "a as b": 50}


def test_a_missing_recipe_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no recipe"):
        read_recipe(tmp_path / "none.toml")


@pytest.mark.parametrize(
    "label",
    ["../../x", "/etc", "C:\\x", "a/../b", "a\0b", "x" * 300, "CON", "con.jpg", "", ".", "a\nb", "<b>", ".hidden"],
)
def test_labels_that_are_paths_or_devices_are_refused(label: str) -> None:
    with pytest.raises(RecipeError):
        make_recipe({label: "x", "other": "y"}, name="r")


def test_options_make_a_recipe() -> None:
    recipe = recipe_from_options(["black bear=ursus americanus", "teddy", "Ours brun (été)"])
    assert recipe.labels == ("black bear", "teddy", "Ours brun (été)")
    assert [spec.query for spec in recipe.classes] == ["ursus americanus", "teddy", "Ours brun (été)"]
    assert recipe.name == "black-bear-teddy-ours-brun-été"
    assert recipe.title == "black bear or teddy or Ours brun (été)?"
    assert recipe_from_options([f"species {number}" for number in range(30)]).title == "Which of 30 is it?"
    with pytest.raises(RecipeError, match="twice"):
        recipe_from_options(["a=b", "a=c"])


def test_slugs_are_safe() -> None:
    assert slug("../Black  Bear!") == "black-bear"
    assert slug("///") == ""


def test_requests_say_whom_to_write_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPOTTER_CONTACT", "me@example.org\r\nX-Evil: 1")
    assert (
        DownloadConfig().user_agent == "Spotter/0.1 (collects pictures to train a classifier; me@example.org X-Evil: 1)"
    )
    monkeypatch.delenv("SPOTTER_CONTACT")
    assert DownloadConfig().user_agent.startswith("Spotter/0.1 (")
