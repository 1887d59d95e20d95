"""Every append-only file, cut short at any byte, written by many at once, killed, and on a full disk."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from spotter.collect.ingest import JOURNAL, PictureSet, make_record
from spotter.collect.takedown import Takedown
from spotter.config import DownloadConfig, PictureConfig
from spotter.data.edit_log import EDITS, KEEP, Edit, EditLog
from spotter.rollout.stages import GRADUAL, PROMOTED, SHADOW, STATE, Rollout
from spotter.search.base import ImageHit
from spotter.stores import FolderStore
from spotter.utils.journal import Journal, split_whole
from spotter.utils.locks import LockedFile
from tests.conftest import ROOT


def objects(journal: Journal) -> list[int]:
    return [json.loads(line)["n"] for line in journal.lines()]


def line(number: int) -> bytes:
    return json.dumps({"n": number, "text": "{é}"}, ensure_ascii=False).encode() + b"\n"


def test_a_journal_that_is_not_there_has_no_lines(tmp_path: Path) -> None:
    assert Journal(tmp_path / "none").lines() == []


@pytest.mark.parametrize("rest", [b"5", b"[]", b'"text"', b"null", b"{", b'{"n": 1', b"\xff", b"[" * 100_000])
def test_what_is_no_whole_object_is_no_line(rest: bytes) -> None:
    assert split_whole(line(1) + rest) == (line(1), b"")


def test_cut_at_any_byte_it_is_read_and_written_on(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "log.jsonl")
    whole, last = line(1) + line(2), line(3)
    for kept in range(len(last) + 1):
        journal.path.write_bytes(whole + last[:kept])
        before = [1, 2, 3] if kept >= len(last) - 1 else [1, 2]
        assert objects(journal) == before
        # Whoever reads leaves it as it is.
        assert journal.path.read_bytes() == whole + last[:kept]
        journal.append(line(4))
        assert journal.path.read_bytes() == b"".join(map(line, [*before, 4]))


def test_a_block_that_fails_adds_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "log.jsonl")
    journal.append(line(1))

    def fail() -> None:
        with journal.writing() as writer:
            writer.add(line(2) + line(3))
            assert objects(journal) == [1, 2, 3]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert journal.path.read_bytes() == line(1)


def test_what_the_disk_did_not_take_for_sure_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path / "log.jsonl")
    journal.append(line(1))

    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output"):
        journal.append(line(2))
    assert journal.path.read_bytes() == line(1)


def test_on_a_full_disk_all_lines_or_none(small_disk: Path) -> None:
    journal = Journal(small_disk / "log.jsonl")
    added: list[int] = []

    def fill() -> None:
        while True:
            # Their ends are not where a block of the disk ends.
            lines = range(len(added), len(added) + 10)
            journal.append(b"".join(map(line, lines)))
            added.extend(lines)

    with pytest.raises(OSError, match="No space left"):
        fill()
    assert added
    assert objects(journal) == added
    (small_disk / "log.jsonl").write_bytes(line(1))
    journal.append(line(2))
    assert objects(journal) == [1, 2]


# The journals of the project: a line more, and what they say.


@dataclass(frozen=True)
class Kind:
    name: str
    add: Callable[[Path, int], None]
    read: Callable[[Path], list[int]]


def _move(folder: Path, number: int) -> None:
    rollout = Rollout(folder, "r1")
    rollout.start(SHADOW)
    assert rollout.move(rollout.last, PROMOTED, GRADUAL, str(number), {})


def _moves(folder: Path) -> list[int]:
    return [int(move.why) for move in Rollout(folder, "r1").history() if move.why]


def _publish(folder: Path, number: int) -> None:
    files = folder.parent / f"{folder.name}-files-{number}"
    files.mkdir(exist_ok=True)
    (files / "model.json").write_text(json.dumps({"number": number}))
    FolderStore(folder).push(files)


def _published(folder: Path) -> list[int]:
    store = FolderStore(folder)
    return [
        json.loads((store.pull(event.revision)[0] / "model.json").read_text())["number"] for event in store.history()
    ]


def _collected(folder: Path) -> PictureSet:
    return PictureSet(folder, PictureConfig(), DownloadConfig(), Takedown(), lambda *_, **__: iter(()))


def _collect(folder: Path, number: int) -> None:
    pictures = _collected(folder)
    try:
        pictures._settle(
            make_record(ImageHit("list", str(number), "q", 0, label="disc"), "dropped", reason="copy"), b""
        )
    finally:
        pictures.close()


def _of_set(folder: Path) -> list[int]:
    pictures = _collected(folder)
    try:
        return [int(record.backend_id) for record in pictures.earlier("disc", ["q"], ["list"])]
    finally:
        pictures.close()


KINDS = [
    Kind(
        EDITS,
        lambda folder, number: EditLog(folder).append([Edit("anna", KEEP, str(number), to="disc")]),
        lambda folder: [int(str(edit.sha256)) for edit in EditLog(folder).read()],
    ),
    Kind(STATE, _move, _moves),
    Kind(JOURNAL, _collect, _of_set),
    Kind("history.jsonl", _publish, _published),
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_journal_cut_at_every_byte_is_read_and_written_on(tmp_path: Path, kind: Kind) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for number in (1, 2, 3):
        kind.add(folder, number)
    path = folder / kind.name
    content = path.read_bytes()
    start = content.rfind(b"\n", 0, -1) + 1
    for kept in range(start, len(content) + 1):
        path.write_bytes(content[:kept])
        before = [1, 2, 3] if kept >= len(content) - 1 else [1, 2]
        assert kind.read(folder) == before
        kind.add(folder, 4)
        assert kind.read(folder) == [*before, 4]
        # For a store, back to where it was: what is published already is no news.
        kind.add(folder, 3)


# Locks


def test_one_holder_at_a_time_and_no_file_is_left_beside(tmp_path: Path) -> None:
    with LockedFile(tmp_path / "file"), pytest.raises(BlockingIOError):
        LockedFile(tmp_path / "file", wait=False)
    LockedFile(tmp_path / "file", wait=False).close()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


WRITER = """
import sys
from pathlib import Path
if sys.argv[3] == "without":
    sys.modules["fcntl"] = None
from spotter.utils.journal import Journal
journal = Journal(Path(sys.argv[1]))
for number in range(30):
    journal.append(b'{"n": "%s %d", "more": "%s"}\\n' % (sys.argv[2].encode(), number, b"x" * 5000))
"""

HOLDER = """
import sys, time
from pathlib import Path
if sys.argv[2] == "without":
    sys.modules["fcntl"] = None
from spotter.utils.journal import Journal
with Journal(Path(sys.argv[1])).writing() as writer:
    writer.add(b'{"n": 1}\\n{"n"')
    print("held", flush=True)
    time.sleep(600)
"""


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "ignore", "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["with", "without"])
def test_processes_at_once_lose_no_line(tmp_path: Path, how: str) -> None:
    path = tmp_path / "log.jsonl"
    writers = [start(WRITER, path, name, how) for name in ("one", "two", "three")]
    assert [writer.wait(600) for writer in writers] == [0, 0, 0]
    found = [json.loads(line)["n"] for line in Journal(path).lines()]
    for name in ("one", "two", "three"):
        assert [each for each in found if each.startswith(name + " ")] == [f"{name} {number}" for number in range(30)]
    assert [each.name for each in tmp_path.iterdir()] == ["log.jsonl"]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["with", "without"])
def test_a_kill_frees_the_lock_with_and_without_fcntl(tmp_path: Path, how: str) -> None:
    path = tmp_path / "log.jsonl"
    holder = start(HOLDER, path, how)
    try:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        waiting = start(WRITER, path, "next", how)
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(3)
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    assert waiting.wait(600) == 0
    found = [json.loads(line)["n"] for line in Journal(path).lines()]
    assert found == [1, *(f"next {number}" for number in range(30))]


STARTS = """
import sys
sys.modules["fcntl"] = None
from pathlib import Path
import app, train
from spotter.data.edit_log import Edit, EditLog
from spotter.errors import DatasetUnwritable
from spotter.data.manifest import lock_set
log = EditLog(Path(sys.argv[1]))
log.append([Edit("anna", "keep", "first", to="disc")])
with lock_set(Path(sys.argv[1])):
    try:
        lock_set(Path(sys.argv[1]))
    except DatasetUnwritable as error:
        print(error)
lock_set(Path(sys.argv[1])).close()
print(len(log.read()))
"""


@pytest.mark.slow
def test_without_fcntl_everything_starts_and_writes(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", STARTS, str(tmp_path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.splitlines() == [
        f"Another run is collecting into {str(tmp_path)!r}; wait for its end.",
        "1",
    ]
