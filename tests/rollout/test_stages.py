"""Stages, gates and history: what is read again, what survives, and who is answered at once."""

import json
import os
import resource
import signal
import stat
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from spotter.config import RolloutConfig
from spotter.errors import RolloutDamaged, RolloutMissing
from spotter.monitor.log import FILE, add_answers
from spotter.rollout.stages import (
    DEMOTED,
    KEY,
    PLAN,
    PROMOTED,
    STATE,
    Rollout,
    as_toml,
    place_of,
    read_history,
    read_plan,
)
from tests.conftest import ROOT
from tests.helpers.answers import make_answers
from tests.helpers.rolling import without_links


def started(folder: Path, stage: str = "supervised", revision: str = "r1") -> Rollout:
    rollout = Rollout(folder, revision)
    rollout.start(stage)
    return rollout


@pytest.mark.parametrize("has_links", [True, False])
def test_a_start_writes_gates_key_and_the_first_line_once(
    has_links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_links:
        without_links(monkeypatch)
    rollout = started(tmp_path / "log")
    folder = rollout.folder
    assert rollout.stage == "supervised"
    assert read_plan(folder) == rollout.config == RolloutConfig()
    assert (folder / PLAN).read_text() == as_toml(RolloutConfig())
    assert stat.S_IMODE((folder / KEY).stat().st_mode) == 0o600
    assert sorted(path.name for path in folder.iterdir()) == sorted([KEY, PLAN, STATE])
    key = (folder / KEY).read_bytes()
    assert len(key) == 32
    assert started(folder, "full").stage == "supervised"
    assert (folder / KEY).read_bytes() == key
    (move,) = read_history(folder)
    assert (move.action, move.to, move.revision, move.number, move.review) == ("started", "supervised", "r1", 0, 0)


def test_a_move_reaches_others_who_run_already(tmp_path: Path) -> None:
    app, command = started(tmp_path), Rollout(tmp_path, "r1")
    assert app.stage == "supervised"
    assert command.move(command.last, PROMOTED, "gradual", "well done", {"reviewed": 200})
    assert app.stage == "gradual"
    assert [move.to for move in app.history()] == ["supervised", "gradual"]
    assert app.last.figures == {"reviewed": 200}


def test_of_two_who_move_at_once_one_is_told_no(tmp_path: Path) -> None:
    first, second = started(tmp_path), Rollout(tmp_path, "r1")
    seen = second.last
    assert first.move(first.last, DEMOTED, "shadow", "an alert", {})
    assert not second.move(seen, PROMOTED, "gradual", "the figures were good", {})
    assert second.stage == "shadow"


def test_the_stage_is_a_revisions_own(tmp_path: Path) -> None:
    old = started(tmp_path, "shadow", "old")
    old.move(old.last, PROMOTED, "supervised", "", {})
    new = started(tmp_path, "shadow", "new")
    assert (old.stage, new.stage) == ("supervised", "shadow")
    assert started(tmp_path, "shadow", "old").stage == "supervised"


def test_the_plan_is_read_again_and_a_broken_one_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rollout = started(tmp_path)
    (tmp_path / PLAN).write_text("share = 0.5\n[shadow]\nreviewed = 7\n")
    assert rollout.config.share == 0.5
    assert (rollout.config.shadow.reviewed, rollout.config.shadow.accuracy) == (7, 0.85)
    (tmp_path / PLAN).write_text("share = half")
    assert rollout.config.share == 0.5
    assert "cannot be read" in rollout.problem
    assert rollout.config.share == 0.5
    assert capsys.readouterr().err.count("cannot be read") == 1
    (tmp_path / PLAN).write_text("share = 0.25")
    assert (rollout.config.share, rollout.problem) == (0.25, "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[shadow]\nacuracy = 0.9", "'shadow.acuracy', which does not exist; did you mean 'accuracy'"),
        ("share = 1.5", "share must be from 0 to 1, not 1.5"),
        ("[gradual]\nreviewed = 1.5", "gradual.reviewed must be a whole number, 0 or more, not 1.5"),
        ("[full]\nreviewed = 1", "'full', which does not exist"),
        ("[gradual]\nunfamiliar = 1.5", "gradual.unfamiliar must be from 0 to 1, not 1.5"),
        ("[gradual]\nreviewed = true", "gradual.reviewed must be a whole number"),
        ("check_s = inf", "check_s must be a number, 0 or more, not inf"),
        ("[gradual]\naccuracy = nan", "gradual.accuracy must be from 0 to 1, not nan"),
        (f"check_s = 1{'0' * 400}", "A whole number in it is too large"),
        ("shadow = 1", "shadow must be a table"),
        ("share = ", "cannot be read"),
    ],
)
def test_a_plan_that_makes_no_sense_is_told_at_the_start(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / PLAN).write_text(text)
    with pytest.raises(RolloutDamaged, match=message):
        started(tmp_path)


def test_half_a_line_never_happened_and_spoils_nothing(tmp_path: Path) -> None:
    rollout = started(tmp_path)
    whole = (tmp_path / STATE).read_bytes()
    (tmp_path / STATE).write_bytes(whole + whole[:40])
    assert [move.to for move in rollout.history()] == ["supervised"]
    assert rollout.move(rollout.last, PROMOTED, "gradual", "", {})
    assert [move.to for move in rollout.history()] == ["supervised", "gradual"]
    assert rollout.stage == "gradual"


def test_a_damaged_line_is_told_and_nothing_goes_out_unseen(tmp_path: Path) -> None:
    rollout = started(tmp_path, "shadow")
    (tmp_path / STATE).write_text('{"to": "everything"}\n')
    with pytest.raises(RolloutDamaged, match=r"Line 1 of .*rollout.jsonl' is not a move"):
        read_history(tmp_path)
    fresh = Rollout(tmp_path, "r1")
    assert fresh.stage == "supervised"
    assert "is not a move" in fresh.problem
    # Who knew the stage goes on with it.
    assert rollout.stage in {"shadow", "supervised"}
    line = json.dumps({"at": "", "action": "started", "revision": "r1", "to": "everything"})
    (tmp_path / STATE).write_text(f"{line}\n")
    with pytest.raises(RolloutDamaged, match="names an unknown stage"):
        read_history(tmp_path)


def test_a_way_back_that_could_not_be_read_for_a_moment_is_not_missed(tmp_path: Path) -> None:
    app, command = started(tmp_path, "full"), Rollout(tmp_path, "r1")
    assert app.stage == "full"
    assert command.move(command.last, DEMOTED, "gradual", "an alert", {})
    free = os.dup(0)
    os.close(free)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        # A file that is there and cannot be opened, as under a flood of connections.
        assert app.stage == "full"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert "Too many open files" in app.problem
    assert app.stage == "gradual"
    assert app.problem == ""


def test_a_problem_with_one_file_stays_while_the_other_is_read(tmp_path: Path) -> None:
    rollout = started(tmp_path, "shadow")
    (tmp_path / PLAN).write_text("share = half")
    assert rollout.config == RolloutConfig()
    assert rollout.move(rollout.last, PROMOTED, "supervised", "", {})
    assert rollout.stage == "supervised"
    assert "cannot be read" in rollout.problem


def test_a_log_that_was_begun_anew_is_counted_from_its_first_answer(tmp_path: Path) -> None:
    add_answers(tmp_path, make_answers(40))
    rollout = started(tmp_path, "gradual")
    assert rollout.catch_up() == rollout.last
    assert rollout.last.number == 40
    (tmp_path / FILE).rename(tmp_path / "old.sqlite")
    # Perhaps it comes back.
    assert rollout.catch_up().number == 40
    add_answers(tmp_path, make_answers(3, seed=1))
    move = rollout.catch_up()
    assert (move.to, move.number, move.review, move.why) == ("gradual", 0, 0, "the answer log was begun anew")
    assert rollout.catch_up() == move
    assert len(rollout.history()) == 2


def test_without_a_start_there_is_no_rollout(tmp_path: Path) -> None:
    with pytest.raises(RolloutMissing, match="begins one"):
        _ = Rollout(tmp_path, "r1").last


def test_clients_are_spread_evenly_stay_where_they_are_and_are_not_written(tmp_path: Path) -> None:
    rollout = started(tmp_path, "gradual")
    clients = [f"203.0.113.{number}" for number in range(250)] + [f"id {number}" for number in range(1750)]
    first = {client: rollout.treat(client) for client in clients}
    assert 0.17 < sum(how == "gradual" for how in first.values()) / len(clients) < 0.23
    again = Rollout(tmp_path, "r1")
    again.start("full")
    assert {client: again.treat(client) for client in clients} == first
    (tmp_path / PLAN).write_text("share = 0.6")
    wider = {client: rollout.treat(client) for client in clients}
    assert all(wider[client] == "gradual" for client, how in first.items() if how == "gradual")
    assert 0.56 < sum(how == "gradual" for how in wider.values()) / len(clients) < 0.64
    assert not any(b"203.0.113" in path.read_bytes() for path in tmp_path.iterdir())
    other = started(tmp_path / "elsewhere", "gradual")
    assert {client: other.treat(client) for client in clients} != first


@pytest.mark.parametrize("stage", ["shadow", "supervised", "full"])
def test_other_stages_treat_everybody_alike(tmp_path: Path, stage: str) -> None:
    rollout = started(tmp_path, stage)
    assert {rollout.treat(f"client {number}") for number in range(100)} == {stage}


def test_a_share_of_nothing_and_of_all(tmp_path: Path) -> None:
    rollout = started(tmp_path, "gradual")
    for share, expected in ((0, "supervised"), (1, "gradual")):
        (tmp_path / PLAN).write_text(f"share = {share}")
        assert {rollout.treat(f"client {number}") for number in range(100)} == {expected}
    assert 0 <= place_of("\ud800", b"key") < 1


def _begin(folder: Path) -> tuple[bytes, str]:
    rollout = started(folder)
    for _ in range(20):
        rollout.move(rollout.last, PROMOTED, "gradual", "x" * 200, {})
    return (folder / KEY).read_bytes(), rollout.stage


def test_several_processes_at_once(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4) as pool:
        found = set(pool.map(_begin, [tmp_path] * 8))
    assert len(found) == 1
    history = read_history(tmp_path)
    assert history[0].action == "started"
    assert [move.action for move in history].count("started") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [STATE, KEY, PLAN]


MOVES_FOR_EVER = """
import sys
from pathlib import Path
from spotter.rollout.stages import Rollout
rollout = Rollout(Path(sys.argv[1]), "r1")
rollout.start("shadow")
while True:
    rollout.move(rollout.last, "promoted", "supervised", "x" * 3000, {})
    print(len(rollout.history()), flush=True)
"""


@pytest.mark.slow
def test_a_killed_process_leaves_whole_moves(tmp_path: Path) -> None:
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", MOVES_FOR_EVER, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout
        for _ in range(5):
            told = int(process.stdout.readline())
        time.sleep(0.003)
        os.kill(process.pid, signal.SIGKILL)
        rest = process.stdout.read().split()
        process.wait()
        told = int(rest[-1]) if rest else told
        assert len(read_history(tmp_path)) >= told
    rollout = Rollout(tmp_path, "r1")
    assert rollout.move(rollout.last, DEMOTED, "shadow", "", {})
    assert rollout.stage == "shadow"


@pytest.mark.parametrize("key", [b"", b"x", bytes(31)])
def test_a_key_that_anybody_can_guess_is_refused(tmp_path: Path, key: bytes) -> None:
    (tmp_path / KEY).write_bytes(key)
    with pytest.raises(RolloutDamaged, match="empty or cut short"):
        Rollout(tmp_path, "r1").start("gradual")
    (tmp_path / KEY).unlink()
    Rollout(tmp_path, "r1").start("gradual")
    assert len((tmp_path / KEY).read_bytes()) == 32
