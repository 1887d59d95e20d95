"""The questions before launch: asked one by one, kept at once, told in the card."""

import io
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

from spotter.cli import make_parser, train
from spotter.cli.premortem import run
from spotter.config import TrainConfig
from spotter.data.training_run import Run, write_run
from spotter.errors import BadCosts, DatasetUnwritable, NoTrainingRun
from spotter.pipeline import read_recipe
from spotter.publish.premortem import PREMORTEM, QUESTIONS, read_answers, read_costs, write_answers
from spotter.recipe import recipe_from_options
from tests.conftest import ROOT

LABELS = ("grizzly", "black", "teddy")


def ask(data: Path, lines: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "spotter", "premortem", "recipes/bears.toml", "--data", str(data)]
    return subprocess.run(command, cwd=ROOT, env={"PYTHONPATH": "."}, input=lines, capture_output=True, text=True)


@pytest.mark.slow
def test_questions_are_asked_and_earlier_answers_kept(tmp_path: Path) -> None:
    lines = [
        "Fewer bears meet hikers.",
        "",
        "",
        "grizzly as teddy=50; ask=2",
        "Hikers rely on it.",
        "A bear comes near.",
    ]
    first = ask(tmp_path, "\n".join([*lines, "", ""]))
    assert (first.returncode, first.stderr) == (0, "")
    assert all(question in first.stdout for question in QUESTIONS.values())
    assert "5 unanswered" in first.stdout.splitlines()[-1]
    assert read_answers(tmp_path / "bears") == {
        "objective": "Fewer bears meet hikers.",
        "costs": "grizzly as teddy=50; ask=2",
        "success": "Hikers rely on it.",
        "worst": "A bear comes near.",
    }
    second = ask(tmp_path, "\n\nCampers\n")
    assert "so far: Hikers rely on it." in second.stdout
    assert list(read_answers(tmp_path / "bears")) == ["objective", "affected", "costs", "success", "worst"]


def test_what_is_asked_first_is_what_it_is_for() -> None:
    assert list(QUESTIONS)[:5] == ["objective", "levers", "affected", "costs", "success"]


def test_the_costs_that_were_told_fill_the_table() -> None:
    found = read_costs({"costs": "grizzly as teddy=50; other=1;ask=2;"}, LABELS)
    assert found == {"grizzly as teddy": 50, "other": 1, "ask": 2}
    assert read_costs({}, LABELS) == {}
    for told in ("I do.", "grizly as teddy=50; ask=2", "grizzly as teddy=50"):
        with pytest.raises(BadCosts):
            read_costs({"costs": told}, LABELS)


def test_costs_that_are_none_are_told_and_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("Fewer accidents.\n\n\ngrizly as teddy=50; ask=2\nMany use it.\n"))
    run(Namespace(model=ROOT / "recipes" / "bears.toml", data=tmp_path))
    assert "not kept: The cost of 'grizly as teddy' names 'grizly'" in capsys.readouterr().out
    assert read_answers(tmp_path / "bears") == {"objective": "Fewer accidents.", "success": "Many use it."}


@pytest.mark.parametrize("place", ["store", "set"])
def test_who_trained_without_a_recipe_names_the_store_or_the_set(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, store = tmp_path / "data" / "mine" / "folder", tmp_path / "store"
    for each in (folder, store):
        each.mkdir(parents=True)
    told = {"command": "", "store": str(store), "revision": "r", "threshold": 0.5, "features": "", "width": 1}
    numbers = {"probabilities": np.ones((1, 3)), "familiarity": np.ones(1), "folds": np.zeros(1, int)}
    recipe = recipe_from_options(LABELS)
    write_run(Run(folder, recipe, TrainConfig(), keys=("k",), given=(LABELS[0],), **told, **numbers))
    monkeypatch.setattr("sys.stdin", io.StringIO("Fewer accidents.\n"))
    run(Namespace(model=store if place == "store" else folder, data=tmp_path / "elsewhere"))
    # Where the next training over the set looks for it.
    assert read_answers(folder.parent) == {"objective": "Fewer accidents."}
    with pytest.raises(NoTrainingRun, match="give a store or a picture set"):
        run(Namespace(model=tmp_path, data=tmp_path))


def test_training_prices_mistakes_as_the_premortem_was_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_answers(tmp_path / "bears", {"costs": "grizzly as teddy=50; ask=2"})
    (tmp_path / "pictures").mkdir()
    words = ["recipes/bears.toml", "--search", f"folder:{tmp_path / 'pictures'}", "--data", str(tmp_path)]
    words = [str(ROOT / words[0]), *words[1:], "--to", str(tmp_path / "store")]
    for label in LABELS:
        (tmp_path / "pictures" / label).mkdir()
    task = read_recipe(make_parser(train, "train.py").parse_args(words))
    assert task.costs is not None
    assert (task.costs.price("grizzly", "teddy"), task.costs.ask) == (50, 2)
    assert "what the premortem was told" in capsys.readouterr().out
    task = read_recipe(make_parser(train, "train.py").parse_args([*words, "--cost", "ask=3"]))
    assert task.costs is not None
    assert (task.costs.price("grizzly", "teddy"), task.costs.ask) == (1, 3)


def test_it_asks_which_pictures_will_come() -> None:
    assert "at night, in fog, far away" in QUESTIONS["pictures"]


@pytest.mark.parametrize("content", [b"", b"[]", b'{"success": 3, "x": "y", "stop": " "}', b"\xff"])
def test_what_is_no_answer_is_left_out(content: bytes, tmp_path: Path) -> None:
    (tmp_path / PREMORTEM).write_bytes(content)
    assert read_answers(tmp_path) == {}


def test_an_unwritable_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DatasetUnwritable, match="cannot be written"):
        write_answers(tmp_path / "file", {"stop": "me"})
