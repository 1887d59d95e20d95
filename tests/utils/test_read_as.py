"""What a JSON object must be to be read, whatever somebody wrote into the file."""

import contextlib
import json
import random
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spotter.data.dataset import Record
from spotter.data.manifest import read_manifest
from spotter.errors import BrokenModel, DatasetUnwritable, LogUnreadable, RolloutDamaged
from spotter.feedback.store import FACTS, FeedbackFolder
from spotter.inference.prediction import Prediction
from spotter.monitor.log import LATEST, add_answers, read_answers
from spotter.monitor.report import render
from spotter.rollout.review_queue import WaitingFolder
from spotter.rollout.stages import STATE, Move, read_history
from spotter.stores.folder import FolderStore
from spotter.utils.journal import read_as
from tests.helpers.answers import make_answers
from tests.helpers.drawing import draw

VALUES = (None, True, False, 0, -1, 7, 1.5, "", "text", [], [1], {}, {"a": "b"}, -(10**30), 1e300)
MOVE = Move("2026-11-28T10:00:00+00:00", "started", "r", "full")
RECORD = Record("a", "folder", "1", "a", 0, "kept", file="a/1.jpg", title="A bear", flags=("dark",))


def changed(facts: dict[str, Any], luck: random.Random) -> dict[str, Any]:
    """The same object with a field of another value, one more, or one less."""
    name = luck.choice([*facts, "more"])
    if luck.random() < 0.1:
        return {key: value for key, value in facts.items() if key != name}
    return facts | {name: luck.choice(VALUES)}


def test_what_is_read_is_of_the_types_that_the_class_says() -> None:
    luck, read = random.Random(1), 0
    for _ in range(2_000):
        facts = changed(json.loads(json.dumps(asdict(luck.choice([MOVE, RECORD])))), luck)
        kind = Move if "to" in facts or "figures" in facts else Record
        try:
            found = read_as(kind, facts)
        except TypeError:
            continue
        read += 1
        for name, value in asdict(found).items():
            kept = asdict(MOVE if kind is Move else RECORD)[name]
            is_like = type(value) is type(kept) or (kept is None or value is None) or isinstance(value, list | tuple)
            assert is_like, (name, value)
    assert read > 100


@pytest.mark.parametrize("line", [7, "text", [], None, {"revision": 5}, {"revision": "r", "action": 1, "at": "x"}])
def test_a_history_with_other_things_in_it_is_one_sentence(tmp_path: Path, line: object) -> None:
    (tmp_path / "revisions").mkdir()
    (tmp_path / "history.jsonl").write_text(json.dumps(line) + "\n")
    with pytest.raises(BrokenModel, match=r"history\.jsonl"):
        FolderStore(tmp_path).history()


def test_any_line_of_any_journal_is_read_or_told_in_a_sentence(tmp_path: Path) -> None:
    luck = random.Random(2)
    (tmp_path / "revisions").mkdir()
    event = {"revision": "r" * 40, "action": "push", "at": MOVE.at}
    for _ in range(300):
        moves, events, records = (json.dumps(changed(facts, luck)) for facts in (asdict(MOVE), event, asdict(RECORD)))
        for name, text in ((STATE, moves), ("history.jsonl", events), ("manifest.jsonl", records)):
            (tmp_path / name).write_text(text + "\n")
        for read, expected in (
            (lambda: read_history(tmp_path), RolloutDamaged),
            (lambda: [f"{event.revision[:3]}{event.at:5}" for event in FolderStore(tmp_path).history()], BrokenModel),
            (lambda: [(record.title or "").split() for record in read_manifest(tmp_path)], DatasetUnwritable),
        ):
            with contextlib.suppress(expected):
                read()


def test_any_entry_that_is_kept_is_read_or_passed_over(tmp_path: Path) -> None:
    luck, picture = random.Random(3), draw("disc", 1)
    prediction = Prediction("disc", {"disc": 0.9, "cross": 0.1}, 0.8, True, 0.6)
    entries, queue = FeedbackFolder(tmp_path / "feedback"), WaitingFolder(tmp_path / "log", "r")
    id_, ticket = entries.add(picture, prediction, "cross", "r"), queue.add(picture, prediction, "a")
    for place in (entries.folder / id_ / FACTS, tmp_path / "log" / "waiting" / ticket / "answer.json"):
        facts = json.loads(place.read_text())
        for _ in range(200):
            place.write_text(json.dumps(changed(facts, luck)))
            assert all(entry.sentence() for entry, _ in entries.read())
            assert all(entry.closest in entry.probabilities for entry, _ in queue.read())


@pytest.mark.parametrize("at", [-(2**63), -1, LATEST + 1, 2**63 - 1])
def test_an_answer_of_an_impossible_time_is_left_out(tmp_path: Path, at: int) -> None:
    times = make_answers(5).at.copy()
    times[2] = at
    add_answers(tmp_path, make_answers(5, at=times))
    answers = read_answers(tmp_path)
    assert answers.number.tolist() == [1, 2, 4, 5]
    assert "5" not in answers.id.tolist()
    assert np.all(answers.at > 0)
    assert "4 answers from" in render(tmp_path)


def test_rows_that_are_no_answers_are_one_sentence(tmp_path: Path) -> None:
    import sqlite3

    add_answers(tmp_path, make_answers(3))
    with sqlite3.connect(tmp_path / "answers.sqlite") as connection:
        connection.execute("UPDATE answers SET probability = 'much' WHERE number = 2")
    connection.close()
    with pytest.raises(LogUnreadable, match="rows that are no answers"):
        read_answers(tmp_path)
