import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from spotter.errors import RevisionMissing, StoreUnwritable, UnknownStore
from spotter.stores import FolderStore, open_store
from spotter.stores.folder import content_name
from tests.conftest import ROOT


def make_files(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "model.json").write_text(text)
    (folder / "big.bin").write_bytes(os.urandom(10) + text.encode() * 1000)
    return folder


def test_push_pull_history_and_rollback(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    first = store.push(make_files(tmp_path / "one", "one"))
    second = store.push(make_files(tmp_path / "two", "two"))
    assert len(first) == 40
    assert first != second
    assert store.pull()[1] == second
    folder, name = store.pull(first[:9])
    assert name == first
    assert (folder / "model.json").read_text() == "one"
    assert store.rollback() == first
    assert store.head() == first
    assert [event.action for event in store.history()] == ["push", "push", "rollback"]


def test_the_same_files_are_the_same_revision(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    files = make_files(tmp_path / "one", "one")
    assert store.push(files) == store.push(files)
    assert len(store.history()) == 1


def test_what_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(RevisionMissing, match="no store"):
        FolderStore(tmp_path / "none").pull()
    (tmp_path / "empty").mkdir()
    with pytest.raises(RevisionMissing, match="empty"):
        FolderStore(tmp_path / "empty").pull()
    store = FolderStore(tmp_path / "store")
    store.push(make_files(tmp_path / "one", "one"))
    with pytest.raises(RevisionMissing, match="no revision 'abc'"):
        store.pull("abc")
    with pytest.raises(RevisionMissing):
        store.pull("../../one")
    with pytest.raises(RevisionMissing, match="no earlier"):
        store.rollback()
    with pytest.raises(UnknownStore):
        open_store("s3://bucket/x")


def test_a_store_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreUnwritable, match="cannot be written"):
        FolderStore(tmp_path / "file" / "store").push(make_files(tmp_path / "one", "one"))


PUSHER = """
import sys
from pathlib import Path
from spotter.stores import FolderStore
store = FolderStore(Path(sys.argv[1]))
print("ready", flush=True)
while True:
    for name in ("one", "two"):
        store.push(Path(sys.argv[2]) / name)
        if name == "two":
            import shutil
            for old in (store.root / "revisions").iterdir():
                if old.name != store.head():
                    shutil.rmtree(old)
"""


def test_killed_at_any_moment_nothing_is_half_published(tmp_path: Path) -> None:
    files = {}
    for name in ("one", "two"):
        folder = make_files(tmp_path / name, name)
        (folder / "more.bin").write_bytes(os.urandom(400_000))
        files[content_name(folder)] = {path.name: path.read_bytes() for path in folder.iterdir()}
    rng = random.Random(7)
    for attempt in range(8):
        root = tmp_path / f"store-{attempt}"
        process = subprocess.Popen(
            [sys.executable, "-c", PUSHER, str(root), str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT
        )
        assert process.stdout
        process.stdout.readline()
        time.sleep(rng.random() * 0.2)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        store = FolderStore(root)
        if store.head() is not None:
            folder, name = store.pull()
            assert {path.name: path.read_bytes() for path in folder.iterdir()} == files[name]
        for event in (root / "history.jsonl").read_text().splitlines() if (root / "history.jsonl").exists() else []:
            json.loads(event)
