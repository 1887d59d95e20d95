"""The log of decisions: what survives a kill, who may write at once, what it does to a set, and on another machine."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import FrameType

import pytest

from spotter.collect.collector import collect
from spotter.config import TrainConfig
from spotter.data import edits as edits_module
from spotter.data.dataset import DISPUTED, Dataset, Record
from spotter.data.edit_log import DELETE, EDITS, KEEP, RELABEL, Edit, EditLog, parse_edits, standing
from spotter.data.edits import apply_edits, judge_edits, write_to_disk
from spotter.data.manifest import read_dataset, read_manifest
from spotter.data.splits import deal_folds
from spotter.errors import DatasetUnwritable, EditsDamaged, TooFewPictures
from spotter.recipe import make_recipe
from spotter.search.folder import Folder
from spotter.utils.locks import LockedFile
from tests.conftest import ROOT
from tests.helpers.drawing import draw, encode, write_folder

BAD = (
    b'{"id": "1", "at": "2026-01-01T10:00:00Z", "who": "3", "action": "burn"}\n',
    b'{"id": "1", "at": "2026-01-01T10:00:00Z", "who": "3", "action": "keep", "to": 4}\n',
    b'{"id": "1", "at": "2026-01-01T10:00:00", "who": "3", "action": "keep"}\n',
    b'{"id": "1", "at": "yesterday", "who": "3", "action": "keep"}\n',
)

RECIPE = make_recipe({"disc": "disc", "cross": "cross"}, name="two")

WRITER = """
import sys
from pathlib import Path
from spotter.data.edit_log import Edit, EditLog
log, name, count = EditLog(Path(sys.argv[1])), sys.argv[2], int(sys.argv[3])
for number in range(count):
    log.append([Edit(name, "keep", sha256=f"{name}{number}", to="disc", why="x" * 300)])
    print(number, flush=True)
"""


def write(folder: Path, name: str, count: int) -> subprocess.Popen:
    command = [sys.executable, "-c", WRITER, str(folder), name, str(count)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Dataset]:
    """A set of 7 discs and 7 crosses; one picture more was found in both classes."""
    base = tmp_path_factory.mktemp("collected")
    source = write_folder(base / "source", ("disc", "cross"), count=7)
    both = encode(draw("stripes", 1), quality=92)
    for kind in ("disc", "cross"):
        (source / kind / "both.jpg").write_bytes(both)
    return source, collect(RECIPE, [Folder(str(source))], base / "set")


@pytest.fixture
def dataset(collected: tuple[Path, Dataset], tmp_path: Path) -> Dataset:
    folder = Path(shutil.copytree(collected[1].folder, tmp_path / "set"))
    return read_dataset(folder, RECIPE.labels)


def decide(record: Record, to: str | None, who: str = "anna", why: str = "", settles: bool = False) -> Edit:
    action = DELETE if to is None else KEEP if to == record.label else RELABEL
    return Edit(who, action, record.sha256, record.original_sha256, record.label, to, why, settles)


def of(dataset: Dataset, label: str) -> list[Record]:
    return [record for record in dataset.records if record.label == label]


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.glob("*/*.jpg")}


def test_a_line_says_who_when_why_from_and_to(tmp_path: Path) -> None:
    EditLog(tmp_path).append([Edit("anna", RELABEL, "a" * 64, "b" * 64, "disc", "cross", "wrong labels")])
    line = json.loads((tmp_path / EDITS).read_text())
    assert line.pop("at").endswith("+00:00")
    assert len({line.pop("id"), line.pop("batch")}) == 2
    assert line == {
        "who": "anna",
        "action": "relabel",
        "why": "wrong labels",
        "from": "disc",
        "to": "cross",
        "sha256": "a" * 64,
        "original_sha256": "b" * 64,
    }


def test_names_with_anything_in_them_come_back_as_they_were(tmp_path: Path) -> None:
    name = 'Zoë "<b>" \n 🐻 \udc80'
    EditLog(tmp_path).append([Edit(name, DELETE, "a")])
    assert (tmp_path / EDITS).read_bytes().count(b"\n") == 1
    assert EditLog(tmp_path).read()[0].who == name


@pytest.mark.slow
def test_two_processes_at_once_lose_no_line(tmp_path: Path) -> None:
    writers = [write(tmp_path, name, 60) for name in ("anna", "ben")]
    mine = EditLog(tmp_path)
    for number in range(60):
        mine.append([Edit("carl", KEEP, f"carl{number}", to="disc")])
    assert [writer.wait(240) for writer in writers] == [0, 0]
    edits = mine.read()
    assert len(edits) == 180
    for name in ("anna", "ben", "carl"):
        assert [edit.sha256 for edit in edits if edit.who == name] == [f"{name}{number}" for number in range(60)]


def test_a_writer_waits_for_the_one_before(tmp_path: Path) -> None:
    log = EditLog(tmp_path)
    log.append([Edit("anna", KEEP, "first", to="disc")])
    before = log.path.read_bytes()
    with LockedFile(log.path, append=True) as other:
        writer = threading.Thread(target=log.append, args=([Edit("ben", KEEP, "second", to="disc")],))
        writer.start()
        # Half a line is not to be dropped while somebody is writing it.
        other.file.write(before[:20])
        writer.join(0.3)
        assert log.path.read_bytes() == before + before[:20]
        other.file.write(before[20:])
    writer.join()
    assert [edit.sha256 for edit in log.read()] == ["first", "first", "second"]


def test_a_line_is_on_the_disk_before_anybody_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = EditLog(tmp_path)
    synced: list[bytes] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(log.path.read_bytes()))
    log.append([Edit("anna", KEEP, "first", to="disc")])
    # The line, and for a new log the folder that names it.
    assert synced == [log.path.read_bytes()] * 2
    log.undo("anna")
    assert synced[2:] == [log.path.read_bytes()]


@pytest.mark.slow
def test_a_kill_loses_nothing_that_was_told(tmp_path: Path) -> None:
    writer = write(tmp_path, "anna", 100_000)
    told = 0
    started = time.monotonic()
    assert writer.stdout
    while time.monotonic() - started < 1.5 or told < 5:
        told = int(writer.stdout.readline())
    writer.send_signal(signal.SIGKILL)
    rest = writer.stdout.read().split()
    writer.wait()
    told = int(rest[-1]) if rest else told
    found = [edit.sha256 for edit in EditLog(tmp_path).read()]
    # One more may be on disk that nobody was told of yet.
    assert found[: told + 1] == [f"anna{number}" for number in range(told + 1)]
    assert len(found) <= told + 2


@pytest.mark.parametrize("kept", range(1, 40, 7))
def test_half_a_line_is_not_read_and_not_in_the_way(tmp_path: Path, kept: int) -> None:
    log = EditLog(tmp_path)
    log.append([Edit("anna", KEEP, "first", to="disc")])
    whole = (tmp_path / EDITS).read_bytes()
    with (tmp_path / EDITS).open("ab") as file:
        file.write(whole[:kept])
    assert [edit.sha256 for edit in EditLog(tmp_path).read()] == ["first"]
    log.append([Edit("anna", KEEP, "second", to="disc")])
    assert [edit.sha256 for edit in log.read()] == ["first", "second"]
    assert (tmp_path / EDITS).read_bytes().startswith(whole + b"{")


def test_a_damaged_line_is_told_with_its_number(tmp_path: Path) -> None:
    EditLog(tmp_path).append([Edit("anna", KEEP, "first", to="disc")])
    for bad in (b'{"id": 1}\n', b"[]\n", b"\xff\n", *BAD):
        content = (tmp_path / EDITS).read_bytes().splitlines(keepends=True)[0] + bad
        with pytest.raises(EditsDamaged, match="Line 2 of"):
            parse_edits(content, EDITS)


def test_undo_reaches_back_to_the_beginning_and_only_ones_own(tmp_path: Path) -> None:
    log = EditLog(tmp_path)
    log.append([Edit("anna", KEEP, "1", to="disc")])
    log.append([Edit("ben", KEEP, "2", to="disc")])
    log.append([Edit("anna", DELETE, "3"), Edit("anna", DELETE, "4")])
    assert [edit.sha256 for edit in log.undo("anna")] == ["3", "4"]
    assert [edit.sha256 for edit in EditLog(tmp_path).undo("anna")] == ["1"]
    assert log.undo("anna") == ()
    assert [edit.sha256 for edit in standing(log.read())] == ["2"]
    assert len(log.read()) == 6
    log.append([Edit("anna", KEEP, "1", to="disc")])
    assert [edit.sha256 for edit in log.undo("anna")] == ["1"]


def test_edits_are_applied_on_read_and_move_nothing(dataset: Dataset) -> None:
    before = files(dataset.folder), (dataset.folder / "manifest.jsonl").read_bytes()
    first, second, third = of(dataset, "disc")[:3]
    log = EditLog(dataset.folder)
    log.append([decide(first, "cross"), decide(second, None, why="strangers"), decide(third, "disc")])
    edited = apply_edits(dataset, log.read())
    assert (edited.relabelled, edited.deleted, edited.kept, edited.elsewhere) == (1, 1, 1, 0)
    moved = next(record for record in edited.dataset.records if record.sha256 == first.sha256)
    assert (moved.label, moved.file, moved.reason) == ("cross", first.file, "was disc")
    gone = next(record for record in edited.dataset.dropped if record.sha256 == second.sha256)
    assert (gone.decision, gone.reason) == ("dropped", "deleted: strangers")
    assert edited.dataset.summary() == "kept 13: 5 disc, 8 cross; dropped 3: 2 in-two-classes, 1 deleted: strangers"
    assert "1 relabelled, 1 deleted, 1 confirmed" in edited.sentence()
    assert before == (files(dataset.folder), (dataset.folder / "manifest.jsonl").read_bytes())
    log.undo("anna")
    assert apply_edits(dataset, log.read()).dataset == dataset


def test_the_last_word_of_a_person_counts(dataset: Dataset) -> None:
    record = of(dataset, "disc")[0]
    edits = [decide(record, "cross"), decide(record, None), decide(record, "disc")]
    assert apply_edits(dataset, edits).dataset == dataset


def test_a_picture_of_two_classes_waits_for_its_decision(dataset: Dataset) -> None:
    waiting = {path for path in files(dataset.folder) if path.startswith(DISPUTED)}
    assert len(waiting) == 1
    both = [record for record in dataset.dropped if record.reason == "in-two-classes"]
    assert {record.label for record in both} == {"disc", "cross"}
    edited = apply_edits(dataset, [decide(both[0], "cross")])
    assert edited.restored == 1
    back = next(record for record in edited.dataset.records if record.sha256 == both[0].sha256)
    assert (back.label, back.file) == ("cross", waiting.pop())
    # It is known by the hit of the class that was chosen.
    assert back.backend_id == "cross/both.jpg"
    as_disc = apply_edits(dataset, [decide(both[0], "disc")]).dataset.records
    assert "disc/both.jpg" in {record.backend_id for record in as_disc}
    assert len({record.group for record in edited.dataset.records}) == len(edited.dataset.records)
    assert [record.reason for record in edited.dataset.dropped] == ["copy"]
    gone = apply_edits(dataset, [decide(both[0], None)])
    assert {record.reason for record in gone.dataset.dropped} == {"deleted"}


def test_what_is_left_of_a_class_in_one_fold_is_dealt_anew(tmp_path: Path) -> None:
    records = tuple(
        Record(
            label, "folder", f"{n}.jpg", label, n, "kept", file=f"{label}/{n}.jpg", sha256=f"{label}{n}", group=group
        )
        for group, (label, n) in enumerate((label, n) for label in RECIPE.labels for n in range(25))
    )
    whole = Dataset(tmp_path, RECIPE.labels, records, ())
    folds = deal_folds(whole, whole, TrainConfig())
    left = tuple(r for r, fold in zip(records, folds, strict=True) if r.label == "cross" or fold == 0)
    assert sum(record.label == "disc" for record in left) == 5
    dealt = deal_folds(whole, replace(whole, records=left), TrainConfig())
    for label in RECIPE.labels:
        assert len({fold for r, fold in zip(left, dealt, strict=True) if r.label == label}) == 5


def test_a_class_that_is_nearly_deleted_is_told(dataset: Dataset) -> None:
    with pytest.raises(TooFewPictures, match="leave the class 'disc' with 4 pictures"):
        apply_edits(dataset, [decide(record, None) for record in of(dataset, "disc")[:3]])


def test_the_log_survives_collecting_more(collected: tuple[Path, Dataset], tmp_path: Path) -> None:
    source = Path(shutil.copytree(collected[0], tmp_path / "source"))
    dataset = collect(RECIPE, [Folder(str(source))], tmp_path / "set")
    record = of(dataset, "disc")[0]
    EditLog(dataset.folder).append([decide(record, "cross")])
    for applied in (False, True):
        if applied:
            write_to_disk(dataset.folder)
        (source / "disc" / f"more{applied}.jpg").write_bytes(encode(draw("disc", 100 + applied)))
        more = collect(RECIPE, [Folder(str(source))], tmp_path / "set")
        assert len(more.records) == 15 + applied
        edited = apply_edits(more, EditLog(more.folder).read()).dataset
        assert next(r for r in edited.records if r.sha256 == record.sha256).label == "cross"
        assert all(path.is_file() for path in edited.paths)


def test_the_log_can_be_replayed_where_pictures_are_stored_with_other_bytes(dataset: Dataset, tmp_path: Path) -> None:
    record, other = of(dataset, "disc")[:2]
    log = EditLog(dataset.folder)
    log.append([decide(record, "cross"), decide(other, None)])
    log.append([Edit("anna", DELETE, "not here")])
    log.append([decide(of(dataset, "cross")[0], None)])
    log.undo("anna")
    elsewhere = EditLog(tmp_path)
    there = replace(
        dataset,
        folder=tmp_path,
        records=tuple(replace(r, sha256=f"other {r.sha256}") if r is record else r for r in dataset.records),
    )
    assert elsewhere.replay(log.read()) == 5
    assert elsewhere.replay(log.read()) == 0
    edited = apply_edits(there, elsewhere.read())
    assert (edited.relabelled, edited.deleted, edited.elsewhere) == (1, 1, 1)


def test_a_class_that_the_set_does_not_have_is_left_alone(dataset: Dataset) -> None:
    edited = apply_edits(dataset, [decide(of(dataset, "disc")[0], "hexagon")])
    assert (edited.dataset, edited.elsewhere) == (dataset, 1)


def test_who_disagrees_is_heard_until_a_third_settles_it(dataset: Dataset) -> None:
    record = of(dataset, "disc")[0]
    edits = [decide(record, "cross", "anna"), decide(record, None, "ben")]

    def verdict() -> object:
        return judge_edits(edits, dataset.records)[0][str(record.sha256)]

    assert verdict().is_disputed
    assert [edit.who for edit in verdict().decisions] == ["anna", "ben"]
    edited = apply_edits(dataset, edits)
    assert (edited.dataset, edited.disputed) == (dataset, 1)
    edits.append(decide(record, "cross", "carl", settles=True))
    assert verdict().edit == edits[-1]
    assert apply_edits(dataset, edits).relabelled == 1
    edits.append(decide(record, "disc", "ben"))
    assert [edit.who for edit in verdict().decisions] == ["carl", "ben"]
    assert verdict().is_disputed


def test_keeping_and_moving_to_the_same_class_agree(dataset: Dataset) -> None:
    record = of(dataset, "disc")[0]
    kept = decide(record, "disc", "anna")
    moved = replace(decide(record, "disc", "ben"), action=RELABEL, origin="cross")
    assert not judge_edits([kept, moved], dataset.records)[0][str(record.sha256)].is_disputed


def test_apply_moves_and_removes_and_can_be_repeated(dataset: Dataset) -> None:
    folder = dataset.folder
    first, second = of(dataset, "disc")[:2]
    both = next(record for record in dataset.dropped if record.reason == "in-two-classes")
    log = EditLog(folder)
    log.append([decide(second, None)])
    log.append([decide(first, "cross"), replace(decide(both, "disc"), action=RELABEL)])
    before = apply_edits(dataset, log.read()).dataset
    (folder / "disc" / "holiday.jpg").write_bytes(b"somebody else's")
    assert write_to_disk(folder) == (2, 1)
    assert (folder / "disc" / "holiday.jpg").is_file()
    name = Path(str(first.file)).name
    assert f"cross/{name}" in files(folder)
    assert not {f"disc/{name}", str(second.file)} & files(folder)
    assert f"disc/{str(both.sha256)[:32]}.jpg" in files(folder)
    assert write_to_disk(folder) == (0, 0)
    after = apply_edits(read_dataset(folder, RECIPE.labels), log.read()).dataset
    assert {(r.sha256, r.label) for r in after.records} == {(r.sha256, r.label) for r in before.records}
    assert all(path.is_file() for path in after.paths)
    # In the same order, on which what is learnt depends a little.
    assert [r.sha256 for r in after.records] == [r.sha256 for r in before.records]
    log.undo("anna")
    write_to_disk(folder)
    assert f"disc/{name}" in files(folder)
    assert f"cross/{name}" not in files(folder)
    assert {r.file for r in read_manifest(folder) if r.kept} == {r.file for r in dataset.records} - {second.file}


def killed_while_applying(folder: Path, at: int) -> bool:
    """Apply the edits in a child process that is killed at the line number `at` that it comes to."""
    child = os.fork()
    if not child:
        lines = 0

        def trace(frame: FrameType, event: str, argument: object) -> object:
            nonlocal lines
            if frame.f_code.co_filename == edits_module.__file__ and event == "line":
                lines += 1
                if lines == at:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        sys.settrace(trace)
        write_to_disk(folder)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def test_apply_may_be_killed_at_any_moment(dataset: Dataset, tmp_path: Path) -> None:
    first, second = of(dataset, "disc")[:2]
    EditLog(dataset.folder).append([decide(first, "cross"), decide(second, None)])
    edits = EditLog(dataset.folder).read()
    wanted = {(r.sha256, r.label) for r in apply_edits(dataset, edits).dataset.records}
    killed = []
    for at in range(200, 900, 35):
        folder = Path(shutil.copytree(dataset.folder, tmp_path / f"set-{at}"))
        killed.append(killed_while_applying(folder, at))
        for finish in (False, True):
            if finish:
                write_to_disk(folder)
            left = apply_edits(read_dataset(folder, RECIPE.labels), edits).dataset
            assert {(r.sha256, r.label) for r in left.records} == wanted
            assert all(path.is_file() for path in left.paths)
        assert not (folder / str(second.file)).exists()
        assert not (folder / str(first.file)).exists()
    assert sum(killed) >= 5
    assert not killed[-1]


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / EDITS).mkdir()
    with pytest.raises(DatasetUnwritable, match="cannot be written"):
        EditLog(tmp_path).append([Edit("anna", KEEP, "a", to="disc")])


@pytest.mark.parametrize("others", [1, 2, 5])
def test_a_log_put_in_the_place_of_another_is_read_anew(tmp_path: Path, others: int) -> None:
    log, other = EditLog(tmp_path), EditLog(tmp_path / "other")
    log.append([Edit("anna", KEEP, "a", to="disc"), Edit("anna", KEEP, "b", to="disc")])
    assert len(log.read()) == 2
    (tmp_path / "other").mkdir()
    names = [f"other {number}" for number in range(others)]
    other.append([Edit("anna", KEEP, name, to="disc") for name in names])
    # As cp does: the file stays the same, what is in it does not.
    log.path.write_bytes(other.path.read_bytes())
    assert [edit.sha256 for edit in log.read()] == names
    log.append([Edit("anna", KEEP, "c", to="disc")])
    assert [edit.sha256 for edit in log.read()] == [*names, "c"]
    log.path.unlink()
    assert log.read() == ()


def test_a_log_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / EDITS).mkdir()
    with pytest.raises(EditsDamaged, match="cannot be read"):
        EditLog(tmp_path).read()


FULL = """
import resource, sys
from pathlib import Path
from spotter.data.edit_log import Edit, EditLog
from spotter.errors import DatasetUnwritable
log = EditLog(Path(sys.argv[1]))
log.append([Edit("anna", "keep", "first", to="disc")])
room = log.path.stat().st_size + 1000
resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
try:
    log.append([Edit("anna", "delete", str(number), why="x" * 100) for number in range(20)])
except DatasetUnwritable as error:
    print(error)
"""


@pytest.mark.slow
def test_a_full_disk_leaves_nothing_of_a_batch(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "cannot be written: File too large" in ended.stdout
    assert [edit.sha256 for edit in EditLog(tmp_path).read()] == ["first"]


def test_what_was_decided_on_two_machines_is_the_same_on_both(dataset: Dataset, tmp_path: Path) -> None:
    record = of(dataset, "disc")[0]
    earlier = replace(decide(record, "cross"), at="2026-01-01T10:00:00.000+00:00")
    # The same moment in another place would be an hour before.
    later = replace(decide(record, None), at="2026-01-01T09:30:00.000-01:00")
    for one, other in ((earlier, later), (later, earlier)):
        folder = tmp_path / one.action
        folder.mkdir()
        log = EditLog(folder)
        log.replay([replace(one, batch="one")])
        log.replay([replace(other, batch="other")])
        edits = log.read()
        assert judge_edits(edits, dataset.records)[0][str(record.sha256)].edit.to is None
        assert [edit.action for edit in log.undo("anna")] == [DELETE]


def test_a_clock_that_goes_back_does_not_bring_old_decisions_back(dataset: Dataset) -> None:
    record = of(dataset, "disc")[0]
    log = EditLog(dataset.folder)
    for at in ("2199-01-01T00:00:00.000+00:00", "9999-12-31T23:59:59.999+00:00"):
        log.replay([replace(decide(record, None), at=at, batch=at)])
        log.append([decide(record, "cross")])
        assert judge_edits(log.read(), dataset.records)[0][str(record.sha256)].edit.to == "cross"
        assert [edit.action for edit in log.undo("anna")] == [RELABEL]


def test_a_line_that_was_written_by_hand_can_be_taken_back(tmp_path: Path) -> None:
    lines = [
        {"id": name, "at": "2026-01-01T10:00:00Z", "who": "anna", "action": "delete", "sha256": name} for name in "ab"
    ]
    (tmp_path / EDITS).write_text("".join(json.dumps(line) + "\n" for line in lines))
    log = EditLog(tmp_path)
    assert [edit.sha256 for edit in log.undo("anna")] == ["b"]
    assert [edit.sha256 for edit in log.undo("anna")] == ["a"]
    assert log.undo("anna") == ()
