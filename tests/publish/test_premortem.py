"""The questions before launch: asked one by one, kept at once, told in the card."""

import io
import json
import os
import subprocess
import sys
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from spotter.cli import make_parser, train
from spotter.cli.premortem import KINDS, run
from spotter.config import TrainConfig
from spotter.data.training_run import RUN, Run, write_run
from spotter.errors import BadCosts, DatasetUnwritable, NoTrainingRun
from spotter.evaluate.shifts import GRID, SHIFTS
from spotter.evaluate.stress_rows import StressRow, StressTest
from spotter.pipeline import read_recipe
from spotter.publish.premortem import PREMORTEM, QUESTIONS, read_answers, read_costs, write_answers
from spotter.recipe import recipe_from_options
from spotter.stores import open_store
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


def note_run(folder: Path, store: Path, revision: str) -> None:
    told = {"command": "", "store": str(store), "revision": revision, "threshold": 0.5, "features": "", "width": 1}
    numbers = {"probabilities": np.ones((1, 3)), "familiarity": np.ones(1), "folds": np.zeros(1, int)}
    recipe = recipe_from_options(LABELS)
    write_run(Run(folder, recipe, TrainConfig(), keys=("k",), given=(LABELS[0],), **told, **numbers))


@pytest.mark.parametrize("by", ["recipe", "store", "set"])
def test_what_the_stress_test_found_hardest_is_told_before_it_asks_which_pictures_will_come(
    by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, store = tmp_path / "bears" / "folder", tmp_path / "store"
    for each in (folder, folder.parent / "older"):
        each.mkdir(parents=True)
        note_run(each, tmp_path / "gone", "r")
    # Of 30 pictures each: in the order of the grid, one more is right and answered than in the row before.
    rows = [StressRow(name, strength, 30, 4, 2 + place, 2, 0.1) for place, (name, strength) in enumerate(GRID)]
    blank = StressRow("grey", 1, 0, 0, 0, 0, 0.0, blank=30)
    stress = asdict(StressTest(rows[0], (*rows[::-1], blank)))
    strips = "strips of text along the edge: 40 of 50 grizzly, but 1 of 60 black"
    write_store(store, json.dumps({"stress": stress, "strips": strips}).encode())
    note_run(folder, store, "r")
    os.utime(folder.parent / "older" / RUN, (0, 0))
    model = {"recipe": ROOT / "recipes" / "bears.toml", "store": store, "set": folder}[by]
    monkeypatch.setattr("sys.stdin", io.StringIO())
    run(Namespace(model=model, data=tmp_path))
    lines = capsys.readouterr().out.removeprefix("> ").replace("> ", "\n").splitlines()
    asked = lines.index(QUESTIONS["pictures"])
    assert lines[asked + 1] == f"  such as: {', '.join(KINDS.values())}"
    assert lines[asked - 6 : asked] == [
        "What the last training found hardest:",
        "  grey, moderate: 0 of 30 right and answered, 2 wrong and answered",
        "  grey, strong: 1 of 30 right and answered, 2 wrong and answered",
        "  dark and noisy, moderate: 2 of 30 right and answered, 2 wrong and answered",
        "What it found in its pictures:",
        f"  {strips}",
    ]


def write_store(store: Path, metrics: bytes) -> None:
    (store / "revisions" / "r").mkdir(parents=True)
    (store / "revisions" / "r" / "model.json").write_text("{}")
    (store / "revisions" / "r" / "metrics.json").write_bytes(metrics)
    assert open_store(store).pull("r")


@pytest.mark.parametrize(
    "metrics", [b"", b"[]", b"{}", b'{"stress": null, "strips": 1}', b'{"stress": {"rows": [{"name": 1}]}}']
)
def test_without_figures_of_a_stress_test_it_only_asks(
    metrics: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, store = tmp_path / "set", tmp_path / "store"
    folder.mkdir()
    write_store(store, metrics)
    note_run(folder, store, "r")
    monkeypatch.setattr("sys.stdin", io.StringIO())
    run(Namespace(model=folder, data=tmp_path))
    out = capsys.readouterr().out
    assert QUESTIONS["pictures"] in out
    assert "hardest" not in out
    assert "in its pictures" not in out


def test_the_kinds_that_it_names_are_those_of_the_stress_test() -> None:
    assert list(KINDS) == list(SHIFTS)


@pytest.mark.parametrize("place", ["store", "set"])
def test_who_trained_without_a_recipe_names_the_store_or_the_set(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, store = tmp_path / "data" / "mine" / "folder", tmp_path / "store"
    for each in (folder, store):
        each.mkdir(parents=True)
    note_run(folder, store, "r")
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
