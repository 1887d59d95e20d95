"""A second opinion is recorded with the answer, never waited for, and compared in pairs."""

import json
import threading
import urllib.request
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.stats import binom

from spotter.inference.prediction import Prediction
from spotter.monitor.compare import duels
from spotter.monitor.log import AnswerLog, add_answers, read_answers
from spotter.monitor.report import fill_in, gather
from spotter.rollout.challenger import MOST_PIXELS, SecondOpinion
from tests.conftest import Revision
from tests.helpers.answers import count_answers, make_answers, reviewed
from tests.helpers.patience import wait_until
from tests.helpers.pictures import BLUE, RED, plain, predict_by_color
from tests.helpers.processes import address_of, start, stop
from tests.helpers.rolling import PASSWORD, QUICK


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its thread has a low priority: on a busy machine it may have no turn for seconds."""
    for name in ("IDLE_WITHIN_S", "PATIENCE_S"):
        monkeypatch.setattr(f"spotter.rollout.challenger.{name}", 240)


def other(picture: Image.Image) -> Prediction:
    """Says teddy to everything."""
    return Prediction("teddy", {"grizzly": 0.1, "black": 0.1, "teddy": 0.8}, 0.9, familiar=True, threshold=0.5)


def test_what_it_says_is_logged_with_the_answer(tmp_path: Path) -> None:
    with AnswerLog(tmp_path, "r1", config=QUICK) as log, SecondOpinion(other, "r2", log) as second:
        ids = [
            second.record(predict_by_color(plain(color)), plain(color), "api", stage="full") for color in (RED, BLUE)
        ]
    answers = read_answers(tmp_path)
    assert answers.id.tolist() == ids
    assert answers.label.tolist() == ["grizzly", "black"]
    assert answers.challenger.tolist() == ["r2", "r2"]
    assert answers.challenger_label.tolist() == ["teddy", "teddy"]
    assert answers.challenger_probability.tolist() == [0.8, 0.8]
    assert answers.stage.tolist() == ["full", "full"]


def test_nobody_waits_for_it_and_what_is_too_much_is_logged_without(tmp_path: Path) -> None:
    go = threading.Event()

    def slow(picture: Image.Image) -> Prediction:
        assert go.wait(240)
        return other(picture)

    large = plain(RED, (5000, MOST_PIXELS // 5000))
    with AnswerLog(tmp_path, "r1", config=QUICK) as log:
        with SecondOpinion(slow, "r2", log) as second:
            # One that is larger than all that may wait is taken when nothing else waits.
            first, direct = (second.record(predict_by_color(plain(RED)), large, "api") for _ in range(2))
            go.set()
        late = second.record(predict_by_color(plain(RED)), plain(RED), "api")
    answers = read_answers(tmp_path)
    said = dict(zip(answers.id.tolist(), answers.challenger_label.tolist(), strict=True))
    assert said == {first: "teddy", direct: "", late: ""}


def test_it_works_only_while_no_visitor_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spotter.rollout.challenger.IDLE_WITHIN_S", 0.05)
    asked: list[int] = []

    def count(picture: Image.Image) -> Prediction:
        asked.append(1)
        return other(picture)

    with AnswerLog(tmp_path, "r1", config=QUICK) as log, SecondOpinion(count, "r2", log) as second:
        second.idle.clear()
        second.record(predict_by_color(plain(RED)), plain(RED), "api")
        wait_until(lambda: count_answers(tmp_path) == 1)
        assert asked == []
        second.idle.set()
        second.record(predict_by_color(plain(RED)), plain(RED), "api")
    assert asked == [1]
    assert read_answers(tmp_path).challenger.tolist() == ["", "r2"]


def test_a_challenger_that_fails_costs_no_answer(tmp_path: Path) -> None:
    def broken(picture: Image.Image) -> Prediction:
        raise RuntimeError("the network broke")

    with AnswerLog(tmp_path, "r1", config=QUICK) as log, SecondOpinion(broken, "r2", log) as second:
        for _ in range(2):
            second.record(predict_by_color(plain(RED)), plain(RED), "api")
    assert read_answers(tmp_path).challenger.tolist() == ["", ""]
    assert second.problem == "The challenger does not answer: the network broke."


def test_room_comes_back_and_so_does_a_challenger_that_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spotter.rollout.challenger.MOST_PIXELS", 10)
    troubles = [RuntimeError("for a moment")]

    def shaky(picture: Image.Image) -> Prediction:
        if troubles:
            raise troubles.pop()
        return other(picture)

    with AnswerLog(tmp_path, "r1", config=QUICK) as log, SecondOpinion(shaky, "r2", log) as second:
        for count in (1, 2, 3):
            # Each is larger than all that may wait, and nothing else waits.
            second.record(predict_by_color(plain(RED)), plain(RED), "api")
            wait_until(lambda count=count: count_answers(tmp_path) == count)
            wait_until(lambda: not second._pixels)
        assert second.problem == ""
    assert read_answers(tmp_path).challenger.tolist() == ["", "r2", "r2"]


def test_at_the_end_it_is_asked_for_so_long_and_no_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spotter.rollout.challenger.PATIENCE_S", 0.2)
    begun, go = threading.Event(), threading.Event()

    def slow(picture: Image.Image) -> Prediction:
        begun.set()
        assert go.wait(240)
        return other(picture)

    with AnswerLog(tmp_path, "r1", config=QUICK) as log:
        second = SecondOpinion(slow, "r2", log)
        ids = [second.record(predict_by_color(plain(RED)), plain(RED), "api") for _ in range(3)]
        assert begun.wait(240)
        # It is given up while it thinks about the first.
        second.__exit__(None, None, None)
        go.set()
        second._thread.join()
    answers = read_answers(tmp_path)
    assert answers.id.tolist() == ids
    assert answers.challenger.tolist() == ["r2", "", ""]


def test_right_and_wrong_are_compared_in_pairs(tmp_path: Path) -> None:
    answers = reviewed(make_answers(100), np.arange(100) < 12)
    challenger = np.where(np.arange(100) < 10, answers.right, np.where(np.arange(100) >= 98, "teddy-", answers.label))
    answers = replace(
        answers, challenger=np.full(100, "r2"), challenger_label=challenger, challenger_probability=np.full(100, 0.9)
    )
    # Not reviewed: it counts for agreement alone.
    answers = replace(answers, review=np.where(np.arange(100) == 50, 0, answers.review))
    (duel,) = duels(answers)
    assert (duel.revision, duel.challenger) == ("r1", "r2")
    assert (duel.agreed.count, duel.agreed.total) == (88, 100)
    assert (duel.right.count, duel.right.total) == (87, 99)  # type: ignore[union-attr]
    assert duel.challenger_right.count == 95  # type: ignore[union-attr]
    assert (duel.only, duel.challenger_only) == (2, 10)
    assert duel.chance == pytest.approx(2 * binom.cdf(2, 12, 0.5))
    assert duels(make_answers(10)) == []
    alone = replace(make_answers(10), challenger=np.full(10, "r2"), challenger_label=np.full(10, "black"))
    assert (duels(alone)[0].right, duels(alone)[0].chance) == (None, 1.0)
    add_answers(tmp_path, answers)
    page = fill_in(gather(tmp_path))
    assert "Challengers" in page
    assert "2, the challenger 10" in page
    assert "p = 0.039" in page
    assert "Challengers" not in fill_in(replace(gather(tmp_path), duels=()))


@pytest.mark.slow
def test_two_revisions_in_a_running_app(prebuilt: Revision, tmp_path: Path) -> None:
    picture = (prebuilt.folder / "example-1.jpg").read_bytes()
    process = start(
        "--model", prebuilt.store, "--log", tmp_path, "--challenger", prebuilt.revision, "--port", 0,
        STAFF_PASSWORD=PASSWORD,
    )  # fmt: skip
    try:
        url = address_of(process)
        request = urllib.request.Request(f"{url}/api/classify", data=picture, method="POST")
        with urllib.request.urlopen(request) as answer:
            told = json.load(answer)
        assert set(told) >= {"label", "revision"}
        assert "challenger" not in json.dumps(told)
        wait_until(lambda: count_answers(tmp_path) == 1)
    finally:
        assert stop(process) == 0
    answers = read_answers(tmp_path)
    assert answers.challenger.tolist() == [prebuilt.revision]
    assert answers.challenger_label.tolist() == answers.label.tolist()
    assert answers.challenger_probability == pytest.approx(answers.probability, abs=1e-6)


@pytest.mark.slow
def test_a_challenger_that_is_not_there_stops_nothing(prebuilt: Revision, tmp_path: Path) -> None:
    process = start("--model", prebuilt.store, "--log", tmp_path, "--challenger", "abcdef0", "--port", 0)
    try:
        address_of(process)
    finally:
        process.terminate()
        _, errors = process.communicate(timeout=600)
    assert "no challenger: " in errors
