import contextlib
import errno
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from spotter.cli import main
from spotter.errors import BrokenModel, RevisionMissing, StoreUnwritable, UnknownStore
from spotter.stores import FolderStore, Store, open_store
from spotter.stores.base import Event, content_name, find_earlier
from spotter.stores.hub import HubStore
from tests.conftest import ROOT
from tests.helpers.bundles import make_bundle, same_files
from tests.helpers.hub import Hub


def make_files(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "model.json").write_text(text)
    (folder / "big.bin").write_bytes(os.urandom(10) + text.encode() * 1000)
    return folder


@pytest.fixture(params=["folder", "hub"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "folder":
        return open_store(tmp_path / "store")
    hub = request.getfixturevalue("hub")
    return HubStore("anna/store", endpoint=hub.url, cache=tmp_path / "cache")


class TestEveryStore:
    """What a folder and a repository on the Hub have in common, which is what the rest of Spotter knows of either."""

    def test_what_is_pushed_is_pulled(self, store: Store, tmp_path: Path) -> None:
        store.check()
        assert not (tmp_path / "store").exists()
        files = make_bundle(tmp_path / "one", "one")
        revision = store.push(files)
        assert re.fullmatch(r"[0-9a-f]{40}", revision)
        folder, name = store.pull()
        assert name == revision == store.head()
        assert same_files(folder, files)

    def test_every_name_of_a_revision_opens_it(self, store: Store, tmp_path: Path) -> None:
        bundles = [make_bundle(tmp_path / text, text) for text in ("one", "two", "three")]
        revisions = [store.push(files) for files in bundles]
        for number, (files, revision) in enumerate(zip(bundles, revisions, strict=True), 1):
            for name in (revision, revision[:9], f"v{number}", content_name(files), content_name(files)[:7]):
                folder, pulled = store.pull(name)
                assert pulled == revision
                assert same_files(folder, files)

    def test_the_same_files_are_the_same_revision(self, store: Store, tmp_path: Path) -> None:
        files = make_bundle(tmp_path / "one", "one")
        assert store.push(files) == store.push(files)
        assert [event.version for event in store.history()] == ["v1"]

    def test_history_tells_everything(self, store: Store, tmp_path: Path) -> None:
        one, two = make_bundle(tmp_path / "one", "one"), make_bundle(tmp_path / "two", "two")
        revisions = [store.push(one), store.push(two), store.push(one), store.rollback()]
        events = store.history()
        assert [event.revision for event in events] == revisions
        assert [event.action for event in events] == ["push", "push", "push", "rollback"]
        assert [event.version for event in events] == ["v1", "v2", "v3", "v4"]
        assert [event.contents for event in events] == [content_name(files) for files in (one, two, one, two)]
        assert all(datetime.fromisoformat(event.at).utcoffset() == timedelta(0) for event in events)

    def test_of_two_rollbacks_the_second_goes_further_back(self, store: Store, tmp_path: Path) -> None:
        one, two, three = (make_bundle(tmp_path / name, name) for name in ("one", "two", "three"))
        for files in (one, two, three):
            store.push(files)
        for files in (two, one):
            assert same_files(store.pull(store.rollback())[0], files)
        with pytest.raises(RevisionMissing, match="no earlier"):
            store.rollback()
        # What is published after that follows on what stands.
        store.push(two)
        assert same_files(store.pull(store.rollback())[0], one)

    def test_rollback_to_a_revision_goes_anywhere_and_forgets_nothing(self, store: Store, tmp_path: Path) -> None:
        one = make_bundle(tmp_path / "one", "one", **{"old.txt": "only here"})
        two = make_bundle(tmp_path / "two", "two", **{"new.txt": "only here"})
        first, second = store.push(one), store.push(two)
        name = store.rollback()
        assert store.head() == name == store.pull()[1]
        assert same_files(store.pull()[0], one)
        assert same_files(store.pull(store.rollback("v2"))[0], two)
        assert same_files(store.pull(store.rollback(first))[0], one)
        assert same_files(store.pull(second)[0], two)

    def test_what_is_missing_is_told(self, store: Store, tmp_path: Path) -> None:
        for act in (store.pull, store.rollback):
            with pytest.raises(RevisionMissing):
                act()
        store.push(make_bundle(tmp_path / "one", "one"))
        for name in ("abc", "0" * 40, "0" * 9, "v2", "../../one", "a b", "main/../x"):
            with pytest.raises(RevisionMissing) as caught:
                store.pull(name)
            assert str(caught.value).count(". ") == 0
            with pytest.raises(RevisionMissing):
                store.rollback(name)
        with pytest.raises(RevisionMissing, match="no earlier"):
            store.rollback()

    def test_another_file_than_the_name_stands_for_is_never_given(self, store: Store, tmp_path: Path) -> None:
        files = make_bundle(tmp_path / "one", "one")
        store.push(files)
        folder, _ = store.pull(content_name(files))
        model = folder / "model.json"
        model.write_text(model.read_text().replace('"format": 1', '"format":  1'))
        if isinstance(store, FolderStore):
            with pytest.raises(BrokenModel):
                store.pull(content_name(files))
        else:
            # Only the copy in the cache is another: it is fetched again.
            again, _ = store.pull(content_name(files))
            assert (again / "model.json").read_bytes() == (files / "model.json").read_bytes()


def test_what_stood_before_is_what_was_not_taken_back() -> None:
    generator = random.Random(7)
    for _ in range(500):
        standing: list[str] = []
        events = []
        for _ in range(generator.randrange(1, 12)):
            if len(standing) > 1 and generator.random() < 0.4:
                found = find_earlier(events)
                assert found
                assert found.contents == standing[-2]
                standing.pop()
                events.append(Event(found.revision, "rollback", "", "", found.contents))
            else:
                name = generator.choice("abcdef")
                if not standing or standing[-1] != name:
                    if name in standing:
                        continue
                    standing.append(name)
                events.append(Event(name, "push", "", "", name))
        found = find_earlier(events)
        assert (found.contents if found else None) == (standing[-2] if len(standing) > 1 else None)


def test_both_stores_give_the_same_files_the_same_name(hub: Hub, tmp_path: Path) -> None:
    files = make_bundle(tmp_path / "one", "one")
    in_folder = FolderStore(tmp_path / "store")
    on_hub = HubStore("anna/store", endpoint=hub.url, cache=tmp_path / "cache")
    revision = in_folder.push(files)
    on_hub.push(in_folder.pull(revision)[0])
    assert on_hub.history()[0].contents == revision
    assert same_files(on_hub.pull(revision)[0], files)


@pytest.mark.parametrize("address", ["s3://bucket/x", "hf://owner", "hf://a/b/c", "hf://", "hf://a/b@v1", "hf://../x"])
def test_addresses_that_cannot_be(address: str) -> None:
    with pytest.raises(UnknownStore, match="owner/name"):
        open_store(address)


def test_addresses_are_given_back(tmp_path: Path) -> None:
    for address in (str(tmp_path / "store"), "hf://owner/name"):
        assert open_store(address).address == address


def test_an_empty_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(RevisionMissing, match="no store"):
        FolderStore(tmp_path / "none").pull()
    (tmp_path / "empty").mkdir()
    with pytest.raises(RevisionMissing, match="empty"):
        FolderStore(tmp_path / "empty").pull()


def test_a_store_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    store = FolderStore(tmp_path / "file" / "store")
    for act in (store.check, lambda: store.push(make_files(tmp_path / "one", "one"))):
        with pytest.raises(StoreUnwritable, match="cannot be written"):
            act()


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


@pytest.mark.slow
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


@pytest.mark.parametrize("free", [0, 1, 2, 3])
def test_a_disk_that_fills_up_while_history_is_written_spoils_no_store(
    small_disk: Path, tmp_path: Path, free: int
) -> None:
    store = FolderStore(small_disk / "store")
    names = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.json").write_text(json.dumps({"name": name}))
        names.append(store.push(tmp_path / name))
    history = store.root / "history.jsonl"
    # The next line begins in one block of the disk and ends in another: there is room for its first 50 bytes.
    block = os.sysconf("SC_PAGESIZE")
    history.write_bytes(history.read_bytes()[:-1].ljust(block - 51) + b"\n")
    told, head = store.history(), store.head()
    target = next(name for name in names if name != head)
    with (small_disk / "filler").open("wb", buffering=0) as filler:
        with contextlib.suppress(OSError):
            while True:
                filler.write(bytes(block))
        filler.truncate(os.fstat(filler.fileno()).st_size - free * block)
    if free < 2:
        # `main` has room, or not even that; the line has not.
        with pytest.raises(StoreUnwritable, match="No space left"):
            store.rollback(target)
        assert (store.history(), store.head()) == (told, head)
        assert store.pull()[1] == head
        assert {path.name for path in store.root.iterdir()} == {"history.jsonl", "main", "revisions"}
    (small_disk / "filler").unlink()
    assert store.rollback(target) == target
    assert [event.revision for event in store.history()] == [*(event.revision for event in told), target]
    (tmp_path / "three").mkdir()
    (tmp_path / "three" / "model.json").write_text(json.dumps({"name": "three"}))
    third = store.push(tmp_path / "three")
    assert store.pull()[1] == store.history()[-1].revision == third


def test_a_rollback_that_fails_is_not_in_the_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FolderStore(tmp_path / "store")
    first, second = (store.push(make_bundle(tmp_path / name, name)) for name in ("one", "two"))
    before = store.history()
    replace = Path.replace

    def fail(self: Path, target: Path) -> Path:
        if Path(target).name == "main":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", fail)
        with pytest.raises(StoreUnwritable, match="Input/output error"):
            store.rollback()
    assert (store.history(), store.head()) == (before, second)
    assert store.rollback() == first
    assert [event.action for event in store.history()] == ["push", "push", "rollback"]


def test_the_command_says_that_nothing_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rollback", str(tmp_path / "baers")]) == 1
    assert "Nothing was published to " in capsys.readouterr().err


def test_the_list_ends_with_what_the_store_gives_whatever_its_history_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = FolderStore(tmp_path / "store")
    first, second = (store.push(make_bundle(tmp_path / name, name)) for name in ("one", "two"))
    words = ["rollback", str(store.root), "--list"]
    assert main(words) == 0
    told = capsys.readouterr().out
    assert told.splitlines()[-1] == f"revision {second}"
    assert "somebody was stopped" not in told
    # Killed after the line about the second, before `main` names it.
    (store.root / "main").write_text(f"{first}\n")
    assert main(words) == 0
    told = capsys.readouterr().out
    assert told.splitlines()[-1] == f"revision {first}"
    assert "somebody was stopped" in told
    (store.root / "main").unlink()
    assert main(words) == 1
    assert "gives none of these by default" in capsys.readouterr().err
    assert main(["rollback", str(store.root), "v1"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"revision {first}"
    # What was published is there without its history too.
    (store.root / "history.jsonl").unlink()
    assert main(words) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"revision {first}"
    assert main(words[:-1]) == 1
    assert "has no earlier revision to go back to" in capsys.readouterr().err
