"""The watcher looks again where it could not go back."""

from pathlib import Path

import pytest

from spotter.monitor import add_answers
from spotter.rollout import PLAN, STATE, Rollout
from spotter.watch import Watcher
from tests.answers import joined, make_answers
from tests.test_monitor import wait_until


def test_what_kept_it_from_going_back_is_over_and_it_goes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("spotter.watch.SHORTEST_S", 0.05)
    monkeypatch.setattr("spotter.watch.PART", 100.0)
    (tmp_path / PLAN).write_text("check_s = 0")
    rollout = Rollout(tmp_path, "r1")
    rollout.start("full")
    whole = (tmp_path / STATE).read_bytes()
    (tmp_path / STATE).write_bytes(b"{}\n" + whole)
    add_answers(tmp_path, joined(make_answers(400, 1), make_answers(80, 2, brightness=0.05)))
    with Watcher(rollout, {}) as watcher:
        wait_until(lambda: "Line 1 of" in watcher.problem, 30)
        (tmp_path / STATE).write_bytes(whole)
        # Nothing more is answered.
        wait_until(lambda: rollout.stage == "gradual", 30)
        wait_until(lambda: not watcher.problem)
    told = capfd.readouterr().err
    assert told.count("Alerts cannot be looked for: Line 1 of") == 1
    assert told.count("The rollout went back to gradual: alert: Pictures became darker") == 1
