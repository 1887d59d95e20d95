"""The watcher: what it compares with, when it looks, and that it looks again where it could not go back."""

import io
import json
import time
from pathlib import Path

import pytest

from spotter.monitor.log import add_answers
from spotter.rollout.stages import PLAN, STATE, Rollout
from spotter.rollout.watcher import Watcher, main
from tests.helpers.answers import joined, make_answers
from tests.helpers.patience import wait_until


def test_what_kept_it_from_going_back_is_over_and_it_goes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("spotter.rollout.watcher.SHORTEST_S", 0.05)
    monkeypatch.setattr("spotter.rollout.watcher.PART", 100.0)
    (tmp_path / PLAN).write_text("check_s = 0")
    rollout = Rollout(tmp_path, "r1")
    rollout.start("full")
    whole = (tmp_path / STATE).read_bytes()
    (tmp_path / STATE).write_bytes(b"{}\n" + whole)
    add_answers(tmp_path, joined(make_answers(400, 1), make_answers(80, 2, brightness=0.05)))
    with Watcher(rollout, {}) as watcher:
        wait_until(lambda: "Line 1 of" in watcher.problem)
        (tmp_path / STATE).write_bytes(whole)
        # Nothing more is answered.
        wait_until(lambda: rollout.stage == "gradual")
        wait_until(lambda: not watcher.problem)
    told = capfd.readouterr().err
    assert told.count("Alerts cannot be looked for: Line 1 of") == 1
    assert told.count("The rollout went back to gradual: alert: Pictures became darker") == 1


METRICS = {
    "classes": [{"label": "grizzly"}, {"label": "black"}],
    "confusion": [[190, 5], [3, 202]],
    "pictures": 400,
    "familiarity": {"accepted": 0.965},
    "calibration": {"expected_calibration_error": 0.01},
}


@pytest.mark.parametrize(("metrics", "stage"), [(METRICS, "gradual"), ({}, "full"), ({"classes": 3}, "full")])
def test_what_was_published_is_compared_from_the_first_answer_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metrics: dict, stage: str
) -> None:
    monkeypatch.setattr("spotter.rollout.watcher.NICE", 0)
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(metrics)))
    rollout = Rollout(tmp_path, "r1")
    rollout.start("full")
    # Fewer than the log's own past needs.
    add_answers(tmp_path, make_answers(60, familiar=False))
    assert main([str(tmp_path), "r1"]) == 0
    assert rollout.stage == stage


def test_it_looks_only_where_something_was_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spotter.rollout.watcher.SHORTEST_S", 0.01)
    (tmp_path / PLAN).write_text("check_s = 0")
    looks: list[int] = []
    monkeypatch.setattr(Watcher, "_look", lambda self: str(looks.append(1) or ""))
    rollout = Rollout(tmp_path, "r1")
    rollout.start("full")
    with Watcher(rollout, {}):
        time.sleep(0.2)
        assert looks == []
        add_answers(tmp_path, make_answers(3))
        wait_until(lambda: bool(looks))
        time.sleep(0.2)
    # The reviews may have come a moment after the answers.
    assert len(looks) <= 2
