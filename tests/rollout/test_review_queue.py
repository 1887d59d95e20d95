"""The queue of answers that wait for a person: whole or not at all, bounded, and without pictures once reviewed."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from spotter.config import QueueConfig
from spotter.errors import LogUnwritable, QueueUnwritable
from spotter.monitor.log import AnswerLog, add_answers, read_answers
from spotter.rollout.review_queue import DAY_S, Outcome, Waiting, WaitingFolder
from tests.conftest import ROOT
from tests.helpers.answers import make_answers
from tests.helpers.pictures import BLUE, RED, encode, plain, predict_by_color
from tests.helpers.rolling import QUICK, without_links

PREDICTION = predict_by_color(plain(RED))


def test_an_answer_waits_until_it_is_confirmed_or_corrected(tmp_path: Path) -> None:
    queue = WaitingFolder(tmp_path, "r1")
    with AnswerLog(tmp_path, "r1", config=QUICK) as log:
        ids = [log.record(PREDICTION, plain(RED), "page", stage="supervised") for _ in range(3)]
    tickets = [queue.add(plain(RED, (3000, 1500)), PREDICTION, id_) for id_ in ids]
    assert {entry.ticket for entry, _ in queue.read()} == set(tickets)
    entry, path = queue.read()[0]
    assert (entry.label, entry.revision, entry.familiar, entry.consent) == ("grizzly", "r1", True, "1")
    with Image.open(path) as kept:
        assert (kept.size, kept.format, len(kept.getexif())) == ((1024, 512), "JPEG", 0)
    for ticket, said in zip(tickets, ("grizzly", "black", None), strict=True):
        assert isinstance(queue.find(ticket), Waiting)
        assert queue.picture(ticket)
        assert queue.decide(ticket, said)
        found = queue.find(ticket)
        assert isinstance(found, Outcome)
        assert (found.said, found.is_confirmed) == (said, said == "grizzly")
        assert queue.picture(ticket) is None
    assert queue.read() == []
    assert list((tmp_path / "waiting").rglob("*")) == []
    assert read_answers(tmp_path).right.tolist() == ["grizzly", "black", "none of these"]


def test_the_oldest_comes_first(tmp_path: Path) -> None:
    queue = WaitingFolder(tmp_path, "r1")
    tickets = sorted((queue.add(plain(), PREDICTION, "a") for _ in range(3)), reverse=True)
    for number, ticket in enumerate(tickets):
        facts = tmp_path / "waiting" / ticket / "answer.json"
        facts.write_text(json.dumps(json.loads(facts.read_text()) | {"time": f"2026-11-0{number + 1}"}))
    assert [entry.ticket for entry, _ in queue.read()] == tickets


@pytest.mark.parametrize("familiar", [True, False])
def test_what_waited_before_the_class_had_a_field_of_its_own_is_read(tmp_path: Path, familiar: bool) -> None:
    add_answers(tmp_path, make_answers(1))
    queue = WaitingFolder(tmp_path, "r1")
    ticket = queue.add(plain(), PREDICTION, f"{1:016x}")
    path = tmp_path / "waiting" / ticket / "answer.json"
    facts = json.loads(path.read_text())
    del facts["closest"], facts["threshold"]
    path.write_text(json.dumps(facts | {"label": "grizzly", "familiar": familiar}))
    ((entry, _),) = queue.read()
    assert (entry.closest, entry.label) == ("grizzly", "grizzly" if familiar else "not sure")
    assert queue.decide(ticket, "grizzly")
    outcome = tmp_path / "answered" / f"{ticket}.json"
    facts = json.loads(outcome.read_text())
    del facts["closest"]
    outcome.write_text(json.dumps(facts | {"label": "grizzly"}))
    found = queue.find(ticket)
    assert isinstance(found, Outcome)
    assert (found.closest, found.said, found.is_confirmed) == ("grizzly", "grizzly", familiar)


def test_whoever_decides_first_counts(tmp_path: Path) -> None:
    add_answers(tmp_path, make_answers(1))
    queue = WaitingFolder(tmp_path, "r1")
    ticket = queue.add(plain(), PREDICTION, f"{1:016x}")
    assert queue.decide(ticket, "teddy")
    assert not queue.decide(ticket, "black")
    assert not queue.forget(ticket)
    assert queue.find(ticket).said == "teddy"  # type: ignore[union-attr]
    assert read_answers(tmp_path).right.tolist() == ["teddy"]


def _decide(task: tuple[Path, str, str]) -> bool:
    folder, ticket, said = task
    return WaitingFolder(folder, "r1").decide(ticket, said)


@pytest.mark.parametrize("has_links", [True, False])
def test_two_people_in_two_processes(has_links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not has_links:
        without_links(monkeypatch)
    add_answers(tmp_path, make_answers(1))
    queue = WaitingFolder(tmp_path, "r1")
    tickets = [queue.add(plain(), PREDICTION, f"{1:016x}") for _ in range(10)]
    tasks = [(tmp_path, ticket, said) for ticket in tickets for said in ("black", "teddy")]
    with ProcessPoolExecutor(4) as pool:
        assert sum(pool.map(_decide, tasks)) == len(tickets)
    assert queue.read() == []
    assert all(isinstance(queue.find(ticket), Outcome) for ticket in tickets)
    assert {path.stem for path in (tmp_path / "answered").iterdir()} == set(tickets)


def test_a_visitor_may_take_it_back(tmp_path: Path) -> None:
    queue = WaitingFolder(tmp_path, "r1")
    ticket = queue.add(plain(), PREDICTION, "a")
    assert queue.forget(ticket)
    assert queue.find(ticket) is None
    assert not queue.forget(ticket)
    assert not queue.decide(ticket, "black")
    assert list((tmp_path / "waiting").rglob("*")) == []


@pytest.mark.parametrize("ticket", ["", "..", "../answers.sqlite", "a" * 32, "A" * 32, "a" * 31 + "/"])
def test_what_is_no_ticket_finds_nothing(tmp_path: Path, ticket: str) -> None:
    queue = WaitingFolder(tmp_path, "r1")
    queue.add(plain(), PREDICTION, "a")
    assert queue.find(ticket) is None
    assert queue.picture(ticket) is None
    assert not queue.forget(ticket)
    assert not queue.decide(ticket, "black")
    assert len(queue.read()) == 1


def test_the_queue_is_bounded_and_old_pictures_go(tmp_path: Path) -> None:
    queue = WaitingFolder(tmp_path, "r1", QueueConfig(most=3, keep_days=7))
    tickets = [queue.add(plain(), PREDICTION, "a") for _ in range(3)]
    with pytest.raises(QueueUnwritable, match="Too many answers wait"):
        queue.add(plain(), PREDICTION, "a")
    old = time.time() - 7.01 * DAY_S
    os.utime(tmp_path / "waiting" / tickets[0], (old, old))
    new = queue.add(plain(), PREDICTION, "a")
    assert {entry.ticket for entry, _ in queue.read()} == {*tickets[1:], new}
    assert queue.find(tickets[0]) is None
    queue.decide(new, "black")
    os.utime(tmp_path / "answered" / f"{new}.json", (old, old))
    queue.tidy()
    assert queue.find(new) is None


def test_a_log_that_cannot_be_written_gets_the_review_later_and_keeps_no_picture(tmp_path: Path) -> None:
    queue = WaitingFolder(tmp_path, "r1")
    ticket = queue.add(plain(), PREDICTION, f"{1:016x}")
    (tmp_path / "answers.sqlite").mkdir()
    with pytest.raises(LogUnwritable):
        queue.decide(ticket, "teddy")
    assert list(tmp_path.rglob("*.jpg")) == []
    assert queue.read() == []
    assert isinstance(queue.find(ticket), Outcome)
    (tmp_path / "answers.sqlite").rmdir()
    add_answers(tmp_path, make_answers(1))
    queue.tidy()
    assert read_answers(tmp_path).right.tolist() == ["teddy"]
    assert list((tmp_path / "waiting").iterdir()) == []


def test_a_disk_that_takes_nothing_is_told(tmp_path: Path) -> None:
    (tmp_path / "waiting").write_text("a file")
    with pytest.raises(QueueUnwritable, match="cannot wait for a person"):
        WaitingFolder(tmp_path, "r1").add(plain(), PREDICTION, "a")


ADDS_AND_DECIDES = """
import sys
from pathlib import Path
from spotter.rollout.review_queue import WaitingFolder
from tests.helpers.pictures import BLUE, plain, predict_by_color
queue = WaitingFolder(Path(sys.argv[1]), "r1")
picture = plain(BLUE, (900, 700))
for number in range(10_000):
    ticket = queue.add(picture, predict_by_color(picture), f"{number:016x}")
    print(ticket, flush=True)
    if number % 2:
        queue.decide(ticket, "teddy")
        print("decided", ticket, flush=True)
"""


@pytest.mark.slow
def test_kill_9_leaves_whole_entries_and_keeps_what_was_decided(tmp_path: Path) -> None:
    waiting, decided = set(), set()
    for pause in (0.002, 0.007, 0.013, 0.021):
        process = subprocess.Popen(
            [sys.executable, "-c", ADDS_AND_DECIDES, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout
        lines = [process.stdout.readline() for _ in range(6)]
        time.sleep(pause)
        os.kill(process.pid, signal.SIGKILL)
        lines += process.stdout.readlines()
        process.wait()
        told = [line.split() for line in lines]
        waiting |= {words[0] for words in told if len(words) == 1}
        decided |= {words[1] for words in told if len(words) == 2}
    queue = WaitingFolder(tmp_path, "r1")
    queue.tidy()
    entries = {entry.ticket: path for entry, path in queue.read()}
    assert {ticket for ticket in waiting - decided if not isinstance(queue.find(ticket), Outcome)} <= set(entries)
    assert not decided & set(entries)
    for ticket in decided:
        assert queue.find(ticket).said == "teddy"  # type: ignore[union-attr]
        assert not (tmp_path / "waiting" / ticket).exists()
    for path in entries.values():
        with Image.open(path) as picture:
            picture.load()
    # What was half done is gone after an hour.
    for place in (tmp_path / "waiting").glob(".*"):
        os.utime(place, (0, 0))
    queue.tidy()
    assert not list((tmp_path / "waiting").glob(".*"))


def test_the_picture_is_what_was_sent(tmp_path: Path) -> None:
    queue = WaitingFolder(tmp_path, "r1")
    picture = Image.open(io.BytesIO(encode(plain((*BLUE, 255)))))
    ticket = queue.add(picture, replace(PREDICTION, familiar=False), "a")
    content = queue.picture(ticket)
    assert content
    with Image.open(io.BytesIO(content)) as kept:
        assert predict_by_color(kept).label == "black"
    assert queue.decide(ticket, "grizzly")
    # It was not sure of it, so nothing was confirmed.
    assert not queue.find(ticket).is_confirmed  # type: ignore[union-attr]
