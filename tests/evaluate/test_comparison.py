"""What a new revision's card says of the one before: pictures, settings, and errors on the same pictures."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

import train
from spotter.cli import main
from spotter.config import TrainConfig
from spotter.data.dataset import Dataset, Record
from spotter.data.edit_log import Edit, EditLog
from spotter.data.manifest import read_manifest
from spotter.data.training_run import BEFORE, Run, find_before, read_run, write_run
from spotter.evaluate.comparison import Errors, SourceChange, compare_runs
from spotter.feedback.store import FeedbackFolder
from spotter.inference.prediction import Prediction
from spotter.recipe import make_recipe
from tests.conftest import Published
from tests.helpers import tiny
from tests.helpers.drawing import KINDS, draw

LABELS = ("disc", "cross")
# Brightness, contrast, colourfulness, sharpness, side.
LOOK = (0.5, 0.2, 0.2, 0.2, 512)


def make_run(folder: Path, given: dict[str, str], called: dict[str, str | None], **more: object) -> Run:
    probabilities = [
        [np.nan] * 2 if called[key] is None else [float(called[key] == label) for label in LABELS] for key in given
    ]
    count = len(given)
    run = Run(
        folder=folder, recipe=make_recipe(dict.fromkeys(LABELS, "x"), "shapes"), config=TrainConfig(), command="train",
        store=str(folder), revision="r", threshold=0.5, features="f", width=4, keys=tuple(given),
        given=tuple(given.values()), probabilities=np.array(probabilities, dtype=np.float32).reshape(count, 2),
        familiarity=np.full(count, 0.7, dtype=np.float32), folds=np.zeros(count, dtype=np.int64), contents="c" * 40,
    )  # fmt: skip
    return replace(run, **more)


def dataset_of(given: dict[str, str], sources: dict[str, str], dropped: tuple[str, ...] = ()) -> Dataset:
    def record(key: str, label: str) -> Record:
        return Record(label, sources.get(key, "openverse"), key, "q", 0, "kept", file=f"{key}.jpg", sha256=key)

    gone = tuple(replace(record(key, "disc"), decision="dropped") for key in dropped)
    return Dataset(Path("x"), LABELS, tuple(record(*pair) for pair in given.items()), gone)


def test_errors_are_compared_on_the_same_pictures_by_the_labels_of_now(tmp_path: Path) -> None:
    was = {"a": "disc", "b": "disc", "c": "cross", "d": "cross", "e": "disc", "gone": "disc", "lost": "disc"}
    before = make_run(tmp_path, was, {**was, "a": "cross", "b": "cross", "c": "cross", "d": "cross", "e": None})
    now_given = {"a": "disc", "b": "disc", "c": "disc", "d": "cross", "e": "disc", "new": "cross", "other": "cross"}
    now = make_run(tmp_path, now_given, {**now_given, "d": "disc", "new": "disc"}, config=TrainConfig(fine_tune=2))
    stats = np.array([LOOK] * 7)
    stats[1, 0], stats[3, 4] = 0.1, 128
    dataset = dataset_of(now_given, {"new": "feedback", "other": "feedback"}, ("gone",))
    found = compare_runs(before, now, dataset, stats)
    assert found.sources == (
        SourceChange("", 0, 1, 0),
        SourceChange("feedback", 2, 0, 0),
        SourceChange("openverse", 0, 1, 1),
    )
    assert found.settings == (("fine_tune", "0", "2"),)
    # a and b were called cross; c was right then, and is wrong by its label of now; d was right.
    assert found.errors == Errors("", 4, 3, 1)
    assert (found.mended, found.broken, found.new) == (3, 1, (1, 2))
    assert found.chance == pytest.approx(binomtest(1, 4).pvalue)
    assert {part.name: (part.pictures, part.before, part.after) for part in found.slices} == {
        "disc": (3, 3, 0),
        "cross": (1, 0, 1),
        "from openverse": (4, 3, 1),
        "dark": (1, 1, 0),
        "small": (1, 0, 1),
    }
    assert found.sentence() == (
        "since cccccccccccc: 2 added, 2 removed, 1 relabelled, 1 setting changed; of the same 4 pictures 3 were wrong "
        "before and 1 now (3 mended, 1 broken, which may be chance)"
    )


def test_nothing_in_common_is_told(tmp_path: Path) -> None:
    before, given = make_run(tmp_path, {"a": "disc"}, {"a": "disc"}), {"b": "disc"}
    found = compare_runs(before, make_run(tmp_path, given, given), dataset_of(given, {}), np.array([LOOK]))
    assert found.errors is None
    assert found.sentence().endswith("no picture of a class that both know was judged both times")


def test_a_class_that_got_another_name_was_not_answered_wrong_before(tmp_path: Path) -> None:
    was = {"a": "disc", "b": "disc", "c": "cross", "d": "cross"}
    before = make_run(tmp_path, was, {**was, "d": "disc"})
    renamed = make_recipe(dict.fromkeys(("ring", "cross"), "x"), "shapes")
    now_given = {**was, "a": "ring", "b": "ring"}
    right = np.eye(2, dtype=np.float32)[[0, 0, 1, 1]]
    now = make_run(tmp_path, now_given, dict.fromkeys(now_given), recipe=renamed, probabilities=right)
    dataset = replace(dataset_of(now_given, {}), labels=renamed.labels)
    found = compare_runs(before, now, dataset, np.array([LOOK] * 4))
    assert found.errors == Errors("", 2, 1, 0)
    assert {part.name for part in found.slices} == {"cross", "from openverse"}
    assert "2 relabelled, 1 setting changed; of the same 2 pictures 1 were wrong before and 0 now" in found.sentence()
    # Nor is one that was wrong by its old name.
    all_new = make_recipe(dict.fromkeys(("ring", "plus"), "x"), "shapes")
    now_given = {"a": "ring", "b": "ring", "c": "plus", "d": "plus"}
    now = make_run(tmp_path, now_given, dict.fromkeys(now_given), recipe=all_new, probabilities=right)
    assert compare_runs(before, now, dataset_of(now_given, {}), np.array([LOOK] * 4)).errors is None


def test_the_run_before_is_the_last_that_was_another(tmp_path: Path) -> None:
    first = make_run(tmp_path, {"a": "disc"}, {"a": "disc"}, contents="1" * 40)
    second = make_run(tmp_path, {"a": "disc", "b": "cross"}, {"a": "disc", "b": "disc"}, contents="2" * 40)
    assert find_before(first) is None
    write_run(first)
    assert find_before(first) is None
    write_run(first)
    assert not (tmp_path / BEFORE).exists()

    def contents_before(run: Run) -> str:
        found = find_before(run)
        assert found
        return found.contents

    assert contents_before(second) == "1" * 40
    for _ in range(2):
        write_run(second)
        # The same again compares with the same, so that its card says the same.
        assert contents_before(second) == "1" * 40
    assert contents_before(replace(second, config=TrainConfig(seed=7))) == "2" * 40
    assert contents_before(first) == "2" * 40


@pytest.fixture
def where(trained: Published, tmp_path: Path) -> list[str]:
    """The words for the fixture's set, copied, with feedback of two visitors."""
    data = shutil.copytree(trained.data, tmp_path / "data")
    entries = FeedbackFolder(tmp_path / "feedback")
    prediction = Prediction("disc", {"disc": 0.8, "cross": 0.1, "stripes": 0.1}, 0.8, familiar=True, threshold=0.6)
    for number in (901, 902):
        entries.add(draw("cross", number), prediction, "cross", trained.revision)
    words = [word for kind in KINDS for word in ("--class", kind)]
    return [
        *words,
        *tiny.OPTIONS,
        "--search",
        f"folder:{trained.pictures}",
        "--data",
        str(data),
        "--feedback",
        str(entries.folder),
    ]


@pytest.mark.slow
def test_retraining_from_reviewed_feedback_says_what_it_changed(
    trained: Published, where: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["collect", *(word for word in where if word not in tiny.OPTIONS)]) == 0
    folder = Path(capsys.readouterr().out.splitlines()[-1])
    own = {record.backend: record for record in read_manifest(folder) if record.kept}
    visitors = [record for record in read_manifest(folder) if record.backend == "feedback" and record.kept]
    assert len(visitors) == 2
    doubtful = own["folder"]
    edits = [Edit("anna", "keep", record.sha256, to="cross") for record in visitors]
    EditLog(folder).append([*edits, Edit("anna", "delete", doubtful.sha256)])

    assert train.main([*where, "--to", str(tmp_path / "store")]) == 0
    output = capsys.readouterr().out
    revision = output.splitlines()[-1].removeprefix("revision ")
    assert revision != trained.revision
    assert re.search(rf"since {trained.revision[:12]}: 2 added, 1 removed; of the same \d\d pictures ", output)
    card = (tmp_path / "store" / "revisions" / revision / "README.md").read_text()
    assert f"## What changed since {trained.revision[:12]}" in card
    assert "| feedback | 2 | 0 | 0 |" in card
    assert "| folder | 0 | 1 | 0 |" in card
    assert re.search(r"\| cross \| \d+ \| \d+ \(\d+\.\d%; \d+\.\d% to \d+\.\d%\) \| \d+ \(", card)
    assert "McNemar's exact test" in card
    assert "Of the 2 new pictures, " in card
    # The same again would compare with the same, and so give the same revision.
    last = read_run(folder)
    before = find_before(last)
    assert before
    assert (last.revision, before.revision) == (revision, trained.revision)


def test_a_first_training_has_no_such_part(trained: Published) -> None:
    assert "What changed since" not in (trained.folder / "README.md").read_text()
