"""Nobody takes a rollout away alone: copies count once, and one client's share is bounded."""

import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest

from spotter.config import ServeConfig
from spotter.inference.prediction import Prediction
from spotter.monitor.baseline import Published
from spotter.monitor.drift import find_changes
from spotter.monitor.log import FILE, AnswerLog, add_answers, read_answers
from spotter.rollout.fairness import FairShares, fair_answers
from spotter.rollout.gates import demote_on_alert
from spotter.rollout.stages import Rollout
from tests.helpers.answers import joined, make_answers
from tests.helpers.pictures import GREY, RED, encode, plain
from tests.helpers.rolling import logged, rolling

QUIET = {"familiar": True, "label": "grizzly"}


def begun(folder: Path) -> Rollout:
    rollout = Rollout(folder, "r1")
    rollout.start("full")
    return rollout


@pytest.mark.parametrize("copies", [20, 300])
def test_copies_of_one_picture_demote_nobody(tmp_path: Path, copies: int) -> None:
    one = make_answers(1, seed=3, familiar=False)
    begun(tmp_path)
    add_answers(tmp_path, joined(make_answers(400, **QUIET), *[one] * copies))
    assert demote_on_alert(tmp_path, "r1") is None
    assert len(fair_answers(read_answers(tmp_path))) == 401


def test_different_pictures_of_several_people_do(tmp_path: Path) -> None:
    begun(tmp_path)
    add_answers(tmp_path, joined(make_answers(400, **QUIET), make_answers(60, seed=3, familiar=False)))
    move = demote_on_alert(tmp_path, "r1")
    assert move
    assert move.to == "gradual"


def test_answers_beyond_one_clients_share_demote_nobody(tmp_path: Path) -> None:
    begun(tmp_path)
    strange = make_answers(300, seed=3, familiar=False, counts=False)
    add_answers(tmp_path, joined(make_answers(400, **QUIET), strange))
    assert demote_on_alert(tmp_path, "r1") is None
    # Whoever reads the report is told all the same.
    assert (~read_answers(tmp_path).familiar).sum() == 300


@pytest.mark.parametrize(("others", "greedy", "moves"), [(200, 1, False), (1000, 1, False), (400, 12, True)])
def test_one_client_among_many_never_demotes_and_several_do(
    tmp_path: Path, others: int, greedy: int, moves: bool
) -> None:
    rollout = begun(tmp_path)
    # Two processes with one log, as behind a proxy that takes them in turn.
    processes = [FairShares(rollout.place_of), FairShares(rollout.place_of)]
    good = [processes[number % 2].count(f"visitor {number % 40}") for number in range(others)]
    asked = [(number % 2, f"greedy {number // 2 % greedy}") for number in range(1500)]
    strange = [count for process, client in asked if (count := processes[process].count(client))]
    assert all(good)
    assert len(strange) > 60
    groups = {"counts": np.array([*good, *strange])}
    answers = joined(make_answers(others, **QUIET), make_answers(len(strange), seed=3, familiar=False))
    add_answers(tmp_path, replace(answers, **groups))
    assert bool(demote_on_alert(tmp_path, "r1")) == moves


def test_one_client_has_a_quarter_at_most() -> None:
    generator = np.random.default_rng(5)
    shares = FairShares()
    crowd = [f"visitor {number}" for number in range(40)]
    counted: Counter[str] = Counter()
    for client in generator.choice([*crowd, *["greedy"] * 100], 3000):
        if shares.count(client):
            counted[client] += 1
    assert counted["greedy"] <= counted.total() / 4 + 2
    # Nobody else loses anything.
    assert counted.total() - counted["greedy"] > 700


@pytest.mark.parametrize("clients", [1, 2, 3])
def test_few_clients_alone_never_have_enough(clients: int) -> None:
    shares = FairShares()
    counted = sum(shares.count(str(number % clients)) > 0 for number in range(5000))
    assert counted <= 6 * clients


def test_the_app_notes_what_counts(tmp_path: Path) -> None:
    config = ServeConfig(behind_proxy=True)
    with rolling(tmp_path, "full", config=config) as app, httpx.Client(base_url=app.url) as client:

        def ask(number: int, address: str) -> None:
            picture = encode(plain((*GREY[:2], 90 + number)))
            assert client.post("/api/classify", content=picture, headers={"X-Forwarded-For": address}).is_success

        for number in range(12):
            ask(number, "9.9.9.9")
        for number in range(12):
            ask(20 + number, f"9.9.8.{number}")
        counts = logged(app, 24).counts.tolist()
    assert [count > 0 for count in counts] == [True, True] + [False] * 10 + [True] * 12
    assert len(set(counts[12:])) > 2


def test_strange_pictures_of_one_client_leave_it_at_full(tmp_path: Path) -> None:
    # With these, a few strange pictures are an alert.
    published = Published("r-1", 400, 4, {})
    with rolling(tmp_path, "full") as app, httpx.Client(base_url=app.url) as client:
        for number in range(60):
            picture = encode(plain((120, 120, 120 + number % 20), (60 + number // 20, 40)))
            assert client.post("/api/classify", content=picture).is_success
        answers = logged(app, 60)
    assert (~answers.familiar).sum() == 60
    assert find_changes(answers, [published]) != []
    assert demote_on_alert(tmp_path, "r-1", [published]) is None


def test_a_log_of_the_version_before_is_read_and_goes_on(tmp_path: Path) -> None:
    with AnswerLog(tmp_path, "r1") as log:
        log.record(Prediction("a", {"a": 1.0}, 0.9, familiar=True, threshold=0.5), plain(RED))
    with closing(sqlite3.connect(tmp_path / FILE)) as old, old:
        old.execute("ALTER TABLE answers DROP COLUMN counts")
        old.execute("PRAGMA user_version = 1")
    before = read_answers(tmp_path)
    assert before.counts.tolist() == [True]
    add_answers(tmp_path, replace(make_answers(3, counts=False), number=np.arange(2, 5)))
    assert read_answers(tmp_path).counts.tolist() == [True, False, False, False]
    assert read_answers(tmp_path).id[0] == before.id[0]
