"""`spotter watch`: a folder that a camera fills, its events in a table, alerts at a webhook."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path

import pytest

from spotter.camera.alerts import LONGEST_PAUSE_S, AlertSender, pause_after
from spotter.camera.event_log import EVENTS, EventLog
from spotter.camera.events import EventBuilder
from spotter.camera.follow import Follower
from spotter.camera.watch import Watch
from spotter.cli import main
from spotter.config import EventConfig, FollowConfig
from spotter.decide.costs import make_costs
from spotter.errors import AnswersUnwritable
from spotter.inference.predictor import Predictor
from spotter.stores import FolderStore
from spotter.utils.http import Refusal
from tests.conftest import ROOT, Revision
from tests.helpers.bundles import advising
from tests.helpers.camera import NOON, read_table, shoot
from tests.helpers.patience import at_some_pace, wait_until
from tests.helpers.webhook import listening

SOON = FollowConfig(settle_s=0.2, patience_s=1.0, list_s=0.5)


def watch(prebuilt: Revision, folder: Path, table: Path, *options: str) -> int:
    return main(["watch", str(folder), "--model", str(prebuilt.store), "--to", str(table), "--once", *options])


def shoot_some(folder: Path) -> None:
    for second in range(3):
        shoot(folder / "east" / f"{second}.jpg", "disc", 200 + second, second)
    shoot(folder / "east" / "later.jpg", "cross", 210, 7200)
    shoot(folder / "west" / "0.jpg", "empty", 0, 1)


def summary(table: Path) -> list[tuple[str, ...]]:
    return [
        (row["camera"], row["start"][11:], row["pictures"], row["shown"], row["label"]) for row in read_table(table)
    ]


FOUND = [
    ("east", "12:00:00", "3", "3", "disc"),
    ("east", "14:00:00", "1", "1", "cross"),
    ("west", "12:00:01", "1", "0", "not sure"),
]


def test_a_row_for_each_event(prebuilt: Revision, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, table = tmp_path / "in", tmp_path / "events.csv"
    shoot_some(folder)
    (folder / "east" / "notes.txt").write_text("battery low")
    (folder / "east" / "film.AVI").write_bytes(bytes(100))
    (folder / ".Trash").mkdir()
    shoot(folder / ".Trash" / "0.jpg", "disc", 1, 0)
    assert watch(prebuilt, folder, table) == 0
    out = capsys.readouterr().out
    assert sorted(summary(table)) == FOUND
    assert "2 files without a picture left out. Only JPEG, PNG, " in out
    assert out.splitlines()[-1] == str(table)
    row = read_table(table)[0]
    assert row["revision"] == prebuilt.revision
    assert row["best"].startswith("east/")
    assert sum(float(row[label]) for label in ("disc", "cross", "stripes")) == pytest.approx(1)

    # The same again: nothing is written twice; what is new is added.
    before = table.read_bytes()
    assert watch(prebuilt, folder, table) == 0
    assert "3 events in" in capsys.readouterr().out
    assert table.read_bytes() == before
    # A camera whose card was emptied uses its names again.
    shoot(folder / "east" / "0.jpg", "stripes", 220, 90_000)
    assert watch(prebuilt, folder, table) == 0
    assert [row["label"] for row in read_table(table)][3:] == ["stripes"]


@pytest.mark.parametrize("name", ["events.csv", "events.parquet"])
def test_the_table_may_lie_in_the_folder_itself(
    name: str, prebuilt: Revision, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shoot_some(tmp_path)
    for _ in range(2):
        assert watch(prebuilt, tmp_path, tmp_path / name) == 0
        assert "left out" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("zone", "change"),
    [
        ("Europe/Berlin", "2026-03-29T01:00"),
        ("Europe/Berlin", "2026-10-25T01:00"),
        ("America/New_York", "2026-11-01T06:00"),
        ("Pacific/Chatham", "2026-04-04T14:00"),
        ("Pacific/Chatham", "2026-09-26T14:00"),
    ],
)
def test_a_visit_is_as_long_as_it_was_where_the_clocks_change(
    zone: str, change: str, prebuilt: Revision, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = datetime.fromisoformat(f"{change}+00:00").timestamp()
    # By the clock on the wall, east's visits may be at the same time, and that of west an hour longer or shorter.
    for second in (-1800, -1790, 1795, 1805):
        taken = shoot(tmp_path / "in" / "east" / f"{second}.jpg", "disc", 200, 0, exif=False)
        os.utime(taken, (changed + second, changed + second))
    for second in (-20, -10, 10, 20):
        taken = shoot(tmp_path / "in" / "west" / f"{second}.jpg", "cross", 210, 0, exif=False)
        os.utime(taken, (changed + second, changed + second))
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert watch(prebuilt, tmp_path / "in", tmp_path / "events.csv") == 0
        clock = [time.strftime("%H:%M:%S", time.localtime(changed + second)) for second in (-1800, -20, 1795)]
    finally:
        monkeypatch.undo()
        time.tzset()
    assert sorted(summary(tmp_path / "events.csv")) == sorted(
        [
            ("east", clock[0], "2", "2", "disc"),
            ("east", clock[2], "2", "2", "disc"),
            ("west", clock[1], "4", "4", "cross"),
        ]
    )


def test_tables_that_were_moved_within_the_folder_are_no_pictures(prebuilt: Revision, tmp_path: Path) -> None:
    table = tmp_path / "events.csv"
    shoot(tmp_path / "0.jpg", "disc", 1, 0)
    assert watch(prebuilt, tmp_path, table) == 0
    for place in ("old", "renamed"):
        (tmp_path / place).mkdir()
        shutil.copytree(tmp_path / "events.csv.watch", tmp_path / place / "events.csv.watch")
    (tmp_path / "renamed" / "events.csv.watch").rename(tmp_path / "renamed" / "journal")
    (tmp_path / "old" / "events.csv.watch" / EVENTS).unlink()
    for lock in tmp_path.rglob("lock"):
        # Long enough ago that nobody waits for more of it.
        os.utime(lock, (0, 0))
    assert watch(prebuilt, tmp_path, table) == 0
    assert summary(table) == [("", "12:00:00", "1", "1", "disc")]


def test_a_table_that_was_moved_away_meanwhile_begins_anew_with_all(predictor: Predictor, tmp_path: Path) -> None:
    folder, table = tmp_path / "in", tmp_path / "events.csv"
    shoot(folder / "a.jpg", "disc", 240, 0)
    with running(predictor, folder, table) as found:
        wait_until(lambda: len(found.rows()) == 1)
        table.rename(tmp_path / "moved.csv")
        shoot(folder / "b.jpg", "cross", 241, 3600)
        wait_until(lambda: table.exists() and table.read_text().count("\n") > 1)
    assert [row[-1] for row in summary(table)] == ["disc", "cross"]
    assert [row[-1] for row in summary(tmp_path / "moved.csv")] == ["disc"]


def test_parquet_holds_the_same(prebuilt: Revision, tmp_path: Path) -> None:
    from pyarrow import parquet

    folder = tmp_path / "in"
    shoot_some(folder)
    whole = shoot(folder / "east" / "broken.jpg", "disc", 1, 0).read_bytes()
    (folder / "east" / "broken.jpg").write_bytes(whole[: len(whole) // 2])
    os.utime(folder / "east" / "broken.jpg", (NOON.timestamp(), NOON.timestamp()))
    for name in ("events.csv", "events.parquet"):
        assert watch(prebuilt, folder, tmp_path / name) == 0
    rows = parquet.read_table(tmp_path / "events.parquet").to_pylist()
    as_text = [{name: "" if value is None else str(value) for name, value in row.items()} for row in rows]
    assert as_text == read_table(tmp_path / "events.csv")
    (broken,) = (row for row in rows if row["unreadable"])
    assert (broken["pictures"], broken["shown"], broken["label"]) == (4, 3, "disc")


@dataclass
class Running:
    """A watch in a thread of this process."""

    watch: Watch
    log: EventLog

    def rows(self) -> list[tuple[str, ...]]:
        return summary(self.log.path)


@contextmanager
def running(
    predictor: Predictor, folder: Path, table: Path, gap_s: float = 0.5, config: FollowConfig = SOON
) -> Iterator[Running]:
    over = threading.Event()
    events = EventConfig(gap_s=gap_s, alike_gap_s=gap_s)
    with (
        closing(EventLog(table, predictor.labels, "r")) as log,
        Follower(folder, config, log.files.__contains__) as follower,
    ):
        watching = Watch(follower, predictor, EventBuilder(predictor, events), log, config)
        thread = threading.Thread(target=watching.run, args=(over.is_set,))
        thread.start()
        try:
            yield Running(watching, log)
        finally:
            over.set()
            thread.join(240)
    assert not thread.is_alive()


def test_a_file_that_is_still_being_written_waits(predictor: Predictor, tmp_path: Path) -> None:
    whole = shoot(tmp_path / "whole.jpg", "disc", 230, 0).read_bytes()

    def check(pace: float) -> None:
        folder, table = tmp_path / str(pace) / "in", tmp_path / str(pace) / "events.csv"
        folder.mkdir(parents=True)
        config = replace(SOON, settle_s=SOON.settle_s * pace, patience_s=SOON.patience_s * pace)
        with running(predictor, folder, table, config=config) as found:
            with (folder / "a.jpg").open("wb") as file:
                for start in range(0, len(whole), len(whole) // 8):
                    file.write(whole[start : start + len(whole) // 8])
                    file.flush()
                    time.sleep(0.1)
            wait_until(found.rows)
        assert summary(table) == [("", "12:00:00", "1", "1", "disc")]

    at_some_pace(check)


def test_a_card_that_is_pulled_out_and_comes_back_ends_nothing(
    predictor: Predictor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    shoot(folder / "a.jpg", "disc", 240, 0)
    with running(predictor, folder, tmp_path / "events.csv") as found:
        wait_until(lambda: len(found.rows()) == 1)
        folder.rename(tmp_path / "away")
        wait_until(lambda: found.watch.follower.is_missing)
        (tmp_path / "away").rename(folder)
        shoot(folder / "b.jpg", "cross", 241, 3600)
        wait_until(lambda: len(found.rows()) == 2)
    told = capsys.readouterr().err
    assert told.count("cannot be read") == told.count("is there again") == 1


@pytest.mark.parametrize("changed", [0, 4_000_000_000])
def test_a_damaged_picture_counts_and_is_read_again_when_it_is_whole(
    changed: int, predictor: Predictor, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    whole = shoot(folder / "a.jpg", "disc", 250, 0).read_bytes()
    (folder / "a.jpg").write_bytes(whole[: len(whole) // 2])
    # A clock that jumps: the file is from 1970, or from the future.
    os.utime(folder / "a.jpg", (changed, changed))
    with running(predictor, folder, tmp_path / "events.csv") as found:
        wait_until(found.rows)
        assert read_table(found.log.path)[0]["unreadable"] == "1"
        (folder / "a.jpg").write_bytes(whole)
        wait_until(lambda: len(found.rows()) == 2)
    assert [row["label"] for row in read_table(tmp_path / "events.csv")] == ["", "disc"]


@pytest.mark.slow
def test_killed_at_any_time_nothing_is_lost_or_written_twice(prebuilt: Revision, tmp_path: Path) -> None:
    folder, table = tmp_path / "in", tmp_path / "events.csv"
    for event in range(12):
        for second in range(2):
            shoot(folder / f"{event:02}-{second}.jpg", "disc", 300 + event, event * 1000 + second)
    command = [sys.executable, "-m", "spotter", "watch", folder, "--model", prebuilt.store, "--to", table]
    journal = tmp_path / "events.csv.watch" / EVENTS
    with listening() as webhook:
        alert = ["--alert", "disc", "--webhook", webhook.url]
        for most in (1, 5):
            process = subprocess.Popen([*map(str, command), *alert], cwd=ROOT, stdout=subprocess.DEVNULL)
            wait_until(lambda most=most: journal.exists() and journal.read_bytes().count(b"\n") > most)
            process.send_signal(signal.SIGKILL)
            process.wait()
            # As a full disk or a power failure leaves it.
            with journal.open("ab") as file:
                file.write(b'{"event": "half a li')
        assert watch(prebuilt, folder, table, *alert) == 0
    files = [name for line in journal.read_text().splitlines() for name, *_ in json.loads(line)["files"]]
    assert sorted(files) == sorted(path.name for path in folder.iterdir())
    assert [row["pictures"] for row in read_table(table)] == ["2"] * 12
    # Killed between the webhook's answer and the note of it, the same alert may come twice, never not at all.
    told = [each["event"] for each in webhook.got]
    assert set(told) == {row["event"] for row in read_table(table)}
    assert len(told) <= 12 + 2


def test_alerts_are_sent_once_each_also_after_failures(prebuilt: Revision, tmp_path: Path) -> None:
    folder, table = tmp_path / "in", tmp_path / "events.csv"
    shoot_some(folder)
    with listening((500, {}), (503, {"Retry-After": "0"})) as webhook:
        options = ["--alert", "disc", "--alert", "not sure", "--webhook", webhook.url]
        assert watch(prebuilt, folder, table, *options) == 0
        # The command ends before the pause after the first failure does; the rest is sent the next time.
        for _ in range(4):
            assert watch(prebuilt, folder, table, *options) == 0
        assert watch(prebuilt, folder, table, *options) == 0
    assert sorted(each["label"] for each in webhook.got) == ["disc", "not sure"]
    (disc,) = (each for each in webhook.got if each["label"] == "disc")
    assert disc["text"].startswith("2026-06-01T12:00:00 at east: disc, ")
    assert (disc["pictures"], disc["shown"], disc["camera"]) == (3, 3, "east")
    assert "secret-token" not in "".join(path.read_text() for path in (tmp_path / "events.csv.watch").iterdir())


@pytest.mark.parametrize("name", ["events.csv", "events.parquet"])
def test_names_that_are_no_utf_8_reach_the_table_and_the_webhook(name: str, prebuilt: Revision, tmp_path: Path) -> None:
    from pyarrow import parquet

    folder, table = tmp_path / "in", tmp_path / name
    shoot(folder / "bär" / "0.jpg", "disc", 200, 0)
    try:
        # As Windows of old wrote them.
        (folder / "bär" / "0.jpg").rename(folder / "bär" / os.fsdecode(b"w\xe4rme.jpg"))
        (folder / "bär").rename(folder / os.fsdecode(b"b\xe4r"))
    except OSError:
        pytest.skip("this disk takes no such names")
    shoot(folder / "later" / "0.jpg", "disc", 201, 7200)
    # The first time without alerts: what was written down is read again.
    assert watch(prebuilt, folder, table) == 0
    shoot(folder / os.fsdecode(b"b\xe4r") / "1.jpg", "disc", 202, 7200)
    with listening() as webhook:
        assert watch(prebuilt, folder, table, "--alert", "disc", "--webhook", webhook.url) == 0
    rows = read_table(table) if table.suffix == ".csv" else parquet.read_table(table).to_pylist()
    assert sorted((row["camera"], row["best"]) for row in rows) == [
        ("b\\udce4r", "b\\udce4r/1.jpg"),
        ("b\\udce4r", "b\\udce4r/w\\udce4rme.jpg"),
        ("later", "later/0.jpg"),
    ]
    assert [each["camera"] for each in webhook.got] == ["b\\udce4r"]


def test_a_webhook_that_fails_is_asked_again_later_and_later(predictor: Predictor, tmp_path: Path) -> None:
    pauses = [pause_after(failures, Refusal("HTTP 500")) for failures in (1, 2, 3, 20, 2000)]
    assert pauses == [1, 2, 4, LONGEST_PAUSE_S, LONGEST_PAUSE_S]
    assert pause_after(1, Refusal("HTTP 429", 30.0)) == 30
    assert pause_after(1, Refusal("HTTP 429", 1e9)) == LONGEST_PAUSE_S
    assert pause_after(1, Refusal("HTTP 404", is_final=True)) == LONGEST_PAUSE_S
    folder = tmp_path / "in"
    shoot_some(folder)
    with (
        listening((500, {})) as webhook,
        closing(EventLog(tmp_path / "events.csv", predictor.labels, "r")) as log,
        AlertSender(webhook.url, log) as sender,
        Follower(folder, SOON, log.files.__contains__) as follower,
    ):
        Watch(follower, predictor, EventBuilder(predictor, EventConfig()), log, SOON, ["disc"], sender).run(
            lambda: True
        )
        wait_until(lambda: sender.sent == 1)
    assert (webhook.asked, len(webhook.got)) == (2, 1)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--alert", "dsic", "--webhook", "http://127.0.0.1:9/"], "did you mean 'disc'?"),
        (["--alert", "disc", "--webhook", "ftp://there"], "The webhook must be an address"),
    ],
)
def test_what_can_never_alert_is_refused(
    options: list[str], sentence: str, prebuilt: Revision, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert watch(prebuilt, tmp_path, tmp_path / "events.csv", *options) == 1
    assert sentence in capsys.readouterr().err


def test_one_watch_at_a_time_writes_a_table(predictor: Predictor, tmp_path: Path) -> None:
    with (
        closing(EventLog(tmp_path / "events.csv", predictor.labels, "r")),
        pytest.raises(AnswersUnwritable, match="Another watch is writing"),
    ):
        EventLog(tmp_path / "events.csv", predictor.labels, "r")


def test_the_table_of_a_model_with_other_classes_is_left_alone(prebuilt: Revision, tmp_path: Path) -> None:
    shoot_some(tmp_path / "in")
    assert watch(prebuilt, tmp_path / "in", tmp_path / "events.csv") == 0
    before = (tmp_path / "events.csv").read_bytes()
    with pytest.raises(AnswersUnwritable, match=r"other classes \(disc, cross, stripes\)"):
        EventLog(tmp_path / "events.csv", ["bear", "deer"], "r")
    assert (tmp_path / "events.csv").read_bytes() == before


@pytest.mark.parametrize("name", ["events.txt", "no/such/folder/but/made/events.xlsx"])
def test_a_table_of_another_kind_is_refused(name: str, predictor: Predictor, tmp_path: Path) -> None:
    with pytest.raises(AnswersUnwritable, match=r"must end in \.parquet or \.csv"):
        EventLog(tmp_path / name, predictor.labels, "r")


def test_a_full_disk_ends_in_a_sentence_and_nothing_is_lost(
    prebuilt: Revision, tmp_path: Path, small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, table = tmp_path / "in", small_disk / "events.csv"
    shoot_some(folder)
    assert watch(prebuilt, folder, table) == 0
    filler = small_disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(512))
    for event in range(40):
        shoot(folder / "more" / f"{event}.jpg", "cross", event, 100_000 + 1000 * event)
    assert watch(prebuilt, folder, table) == 1
    assert "cannot be written: No space left on device." in capsys.readouterr().err
    filler.unlink()
    assert watch(prebuilt, folder, table) == 0
    assert len(read_table(table)) == len({row["event"] for row in read_table(table)}) == 43


def test_a_folder_that_is_not_there_is_told(
    prebuilt: Revision, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert watch(prebuilt, tmp_path / "none", tmp_path / "events.csv") == 1
    assert "There is no folder" in capsys.readouterr().err
    assert not (tmp_path / "events.csv").exists()


def test_a_model_that_knows_what_mistakes_cost_decides_about_events(prebuilt: Revision, tmp_path: Path) -> None:
    from pyarrow import parquet

    costs = make_costs({"ask": 0.5, "cross as disc": 40, "stripes as disc": 40}, ("disc", "cross", "stripes"))
    assert costs
    shares = {"shares": [1 / 3, 1 / 3, 1 / 3], "prior": [0.5, 0.3, 0.2]}
    sets = {"coverage": 0.95, "least": [0.001, 0.5, 0.001], "by_class": True}
    store = FolderStore(tmp_path / "store")
    store.push(advising(prebuilt.folder, tmp_path / "advising", costs=asdict(costs), sets=sets, **shares))
    shoot_some(tmp_path / "in")
    words = ["watch", str(tmp_path / "in"), "--model", str(store.root), "--once", "--to"]
    with listening() as webhook:
        alerts = ["--alert", "ask", "--webhook", webhook.url]
        assert main([*words, str(tmp_path / "events.csv"), *alerts]) == 0
    assert main([*words, str(tmp_path / "events.parquet")]) == 0
    rows = {row["event"]: row for row in read_table(tmp_path / "events.csv")}
    predictor = Predictor.load(store.root)
    for path in (tmp_path / "in").rglob("*.jpg"):
        name = path.relative_to(tmp_path / "in").as_posix()
        for row in (row for row in rows.values() if (row["best"], row["pictures"]) == (name, "1")):
            # An event of one picture is that picture: the prior counts once.
            answer = predictor.predict(path)
            assert float(row["disc"]) == pytest.approx(answer.probabilities["disc"], abs=1e-6)
            assert (row["decision"], row["set"].split("|")) == (answer.decision, answer.set)
            assert float(row["expected_cost"]) == pytest.approx(answer.expected_cost, abs=1e-5)
    asked = {event for event, row in rows.items() if row["decision"] == "ask"}
    assert asked == {each["event"] for each in webhook.got}
    assert any(row["label"] == "not sure" for row in rows.values() if row["event"] in asked)
    assert "decision: ask" in webhook.texts[0]
    same = parquet.read_table(tmp_path / "events.parquet").to_pylist()
    assert {row["event"]: (row["decision"], row["set"]) for row in same} == {
        event: (row["decision"], row["set"]) for event, row in rows.items()
    }
