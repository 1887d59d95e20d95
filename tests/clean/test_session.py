"""What the cleaning page does, without the page: lists, second looks, decisions, work in the background."""

import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from fastapi import HTTPException

from spotter.clean.session import DECIDED, DISPUTES, MOST_ALONE, Choice, Decisions, Filters, Session, clean_name
from spotter.data.edit_log import Edit, EditLog
from spotter.data.manifest import read_manifest, write_manifest
from tests.helpers.cleaning import lines, make_run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("made")).folder


@pytest.fixture
def session(made: Path, tmp_path: Path) -> Session:
    return Session(Path(shutil.copytree(made, tmp_path / "set")), "anna")


def ids(session: Session, name: str, **filters: object) -> list[str]:
    return [key for group in session.queue(name, Filters(**filters)) for key in group]


def decide(session: Session, keys: Sequence[str], action: str, to: str | None = None, who: str = "anna") -> None:
    session.decide(Decisions(who=who, items=[Choice(id=key, action=action, to=to) for key in keys]))


def key_of(session: Session, backend_id: str) -> str:
    return next(str(r.sha256)[:16] for r in session.now().pictures.everything if r.backend_id == backend_id)


def wait(session: Session) -> None:
    deadline = time.monotonic() + 240
    while session.job and session.job.state == "running" and time.monotonic() < deadline:
        time.sleep(0.02)


def test_filters_work_together_and_leave_look_alikes_together(session: Session) -> None:
    named = ids(session, "losses", label="disc", fold="2", source="folder")
    assert named
    told = [session.cards("losses", [[key]])[0][0] for key in named]
    assert {(card["label"], card["fold"], card["source"]) for card in told} == {("disc", 2, "folder")}
    assert len(named) < len(ids(session, "losses", label="disc")) < len(ids(session, "losses"))
    # A picture of another class is shown with its twins of this one.
    (together,) = [group for group in session.queue("crossing", Filters(label="cross")) if len(group) > 1]
    assert {card["label"] for card in session.cards("crossing", [together])[0]} == {"disc", "cross"}


def test_it_says_with_how_many_labels_the_model_disagrees_and_when_to_stop(session: Session) -> None:
    def told() -> dict:
        return next(queue for queue in session.state()["queues"] if queue["name"] == "wrong")

    wrong = told()["disagrees"]
    matrix = session.state()["confusion"]
    assert 0 < wrong == sum(map(sum, matrix)) - sum(matrix[i][i] for i in range(3)) < told()["todo"]
    assert f"disagrees with {wrong} of these labels" in told()["note"]
    for key in ids(session, "wrong")[:wrong]:
        decide(session, [key], "keep")
    assert told()["disagrees"] == 0
    assert told()["todo"] > 0
    assert told()["note"].endswith("You can stop here.")


def test_with_many_classes_confusions_are_listed(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = session.state()["confusion"]
    monkeypatch.setattr("spotter.clean.session.MOST_IN_MATRIX", 2)
    state = session.state()
    assert state["confusion"] == []
    expected = sorted((-matrix[a][b], a, b) for a in range(3) for b in range(3) if a != b and matrix[a][b])
    assert state["confusions"] == [(a, b, -count) for count, a, b in expected]


def test_what_is_decided_leaves_the_open_lists_and_the_latest_comes_first(session: Session) -> None:
    first, second, third, *rest = ids(session, "losses", is_open=True)
    for key in (second, first, third):
        decide(session, [key], "keep")
    assert ids(session, "losses", is_open=True) == rest
    assert ids(session, DECIDED) == [third, first, second]
    session.undo("anna")
    assert ids(session, DECIDED) == [first, second]


def test_who_looks_alone_sees_what_was_collected_and_what_they_said(session: Session) -> None:
    first, second, third = ids(session, "losses")[:3]
    before = session.cards("losses", [[first], [second], [third]])
    matrix = session.state()["confusion"]
    decide(session, [first, second], "delete", who="anna")
    decide(session, [third], "delete", who="ben")
    assert session.cards("losses", [[first], [second]], alone="ben") == before[:2]
    assert session.cards("losses", [[third]], alone=" ben\n")[0][0]["label"] is None
    assert first in ids(session, "losses", is_open=True, alone="ben")
    assert first not in ids(session, "losses", is_open=True)
    assert session.state("carl")["confusion"] == matrix
    assert (session.state("ben")["decided"], session.state()["decided"]) == (1, 3)
    # Taken back, it is as if ben had not spoken.
    session.undo("ben")
    assert session.cards("losses", [[third]], alone="ben") == before[2:]
    # Disagreements are of everybody.
    decide(session, [first], "keep", who="ben")
    assert ids(session, DISPUTES, alone="ben") == [first]
    assert len(session.cards(DISPUTES, [[first]], alone="ben")[0][0]["decisions"]) == 2
    for number in range(MOST_ALONE + 1):
        assert session.state(f"visitor {number}")["decided"] == 0


def test_a_picture_in_two_classes_cannot_be_kept_but_moved(session: Session) -> None:
    both = key_of(session, "disc/both.jpg")
    with pytest.raises(HTTPException, match="Say which class"):
        decide(session, [both], "keep")
    assert lines(session.folder) == []
    decide(session, [both], "relabel", "stripes")
    assert session.cards("crossing", [[both]])[0][0]["label"] == "stripes"


def test_an_edit_into_a_class_that_the_set_does_not_have_changes_no_label(session: Session) -> None:
    key = ids(session, "losses", label="disc")[0]
    record = session.now().pictures.records[session.now().pictures.position[key]]
    EditLog(session.folder).append([Edit("ben", "relabel", record.sha256, to="hexagon")])
    assert session.cards("losses", [[key]])[0][0]["label"] == record.label


def test_a_set_that_was_collected_anew_is_read_anew(session: Session) -> None:
    count = session.state()["pictures"]
    gone = key_of(session, "disc/003.jpg")
    decide(session, [gone], "delete")
    records = read_manifest(session.folder)
    write_manifest(session.folder, [r for r in records if str(r.sha256)[:16] != gone])
    assert session.state()["pictures"] == count - 1
    # What was decided about it can be taken back still.
    undone, here, _ = session.undo("anna")
    assert ([str(edit.sha256)[:16] for edit in undone], here) == ([gone], [])


def test_one_piece_of_work_at_a_time_and_what_fails_is_told(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shut, release = tmp_path / "python", tmp_path / "release"
    shut.write_text(
        f"#!/bin/sh\necho Compare them ...\nwhile [ ! -e '{release}' ]; do sleep 0.05; done\n"
        "echo 'publish: The files answer otherwise.' >&2\nexit 1\n"
    )
    shut.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(shut))
    session.start("publish")
    with pytest.raises(HTTPException, match="Wait for the end"):
        session.start("retrain")
    release.touch()
    wait(session)
    assert session.job
    assert (session.job.state, session.job.line) == ("failed", "The files answer otherwise.")
    session.start("retrain")
    wait(session)
    assert session.job.state == "done"
    assert session.state()["result"]["edits"] == 0


def test_retraining_a_class_that_was_nearly_deleted_is_refused_in_words(session: Session) -> None:
    decide(session, ids(session, "losses", label="disc")[2:], "delete")
    session.start("retrain")
    wait(session)
    assert session.job
    assert session.job.state == "failed"
    assert "The edits leave the class 'disc' with" in session.job.line
    assert session.result is None


@pytest.mark.parametrize(
    ("given", "name"), [("  Zoë \n B\u202e. ", "Zoë B."), ("\x00\n", ""), ("x" * 99, "x" * 60), ("🐻", "🐻")]
)
def test_a_name_is_one_printable_line(given: str, name: str) -> None:
    assert clean_name(given) == name


def test_the_thumbnail_of_a_picture_that_went_away_is_told(session: Session) -> None:
    key = ids(session, "losses")[0]
    assert len(session.thumbnail(key)) < 20_000
    other = ids(session, "losses")[1]
    record = session.now().pictures.records[session.now().pictures.position[other]]
    (session.folder / str(record.file)).unlink()
    with pytest.raises(HTTPException, match="cannot be read"):
        session.thumbnail(other)
