"""Feedback in a data set on the Hub: sent in batches, once, whatever ends the app; deleted for good; fetched again."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from huggingface_hub.utils import enable_progress_bars
from PIL import Image

from spotter.cli import main, make_parser
from spotter.cli import train as train_command
from spotter.collect.picture_set import open_sources
from spotter.config import FeedbackConfig
from spotter.errors import FeedbackMissing, StoreUnreachable, StoreUnwritable, UnknownStore
from spotter.feedback.hub import FeedbackDataset
from spotter.feedback.store import DELETED, FACTS, PICTURE, FeedbackFolder, Removal
from spotter.feedback.sync import Sender, folder_of, open_dataset, receive, send
from spotter.inference.prediction import Prediction
from tests.conftest import ROOT, Revision
from tests.helpers.hub import LOST, WRITER, Answer, Hub, Repo, Request, error
from tests.helpers.patience import wait_until
from tests.helpers.ports import free_port
from tests.helpers.processes import address_of, start

NAME = "anna/words"
ADDRESS = f"hf://datasets/{NAME}"
PREDICTION = Prediction("disc", {"disc": 0.9, "cross": 0.1}, 0.8, familiar=True, threshold=0.6)


def add(entries: FeedbackFolder, count: int = 1) -> list[str]:
    noise = np.random.default_rng(len(entries.ids())).integers(0, 255, (count, 9, 12, 3), dtype=np.uint8)
    pictures = [Image.fromarray(each).resize((120, 90)) for each in noise]
    return [entries.add(picture, PREDICTION, "cross", "r") for picture in pictures]


@pytest.fixture(autouse=True)
def with_progress_bars() -> Iterator[None]:
    yield
    enable_progress_bars()


@pytest.fixture
def entries(tmp_path: Path) -> FeedbackFolder:
    return FeedbackFolder(tmp_path / "feedback")


@pytest.fixture
def open_(hub: Hub, tmp_path: Path) -> Callable[[], FeedbackDataset]:
    return lambda: FeedbackDataset(NAME, endpoint=hub.url, cache=tmp_path / "cache", sleep=lambda _: None)


def repo(hub: Hub) -> Repo:
    return hub.repos[f"datasets/{NAME}"]


def there(hub: Hub) -> set[str]:
    """The ids of entries of which the data set has anything."""
    return {path.partition("/")[0] for path in repo(hub).head.files if "/" in path}


def additions(hub: Hub) -> list[str]:
    """The files that were ever sent in commits."""
    sent = [request.body for request in hub.requests if "/commit/" in request.path]
    lines = [line for body in sent for line in body.decode().splitlines()]
    return [line.split('"path": "')[1].split('"')[0] for line in lines if '"key": "file"' in line or "lfsFile" in line]


def test_a_batch_is_one_commit_of_what_is_missing(
    hub: Hub, entries: FeedbackFolder, open_: Callable[[], FeedbackDataset]
) -> None:
    ids = add(entries, 3)
    send(entries, open_())
    assert repo(hub).private
    assert [commit.title for commit in repo(hub).commits] == ["initial commit", "Add 3 entries"]
    assert there(hub) == set(ids)
    for id_ in ids:
        for name in (PICTURE, FACTS):
            assert repo(hub).head.files[f"{id_}/{name}"] == (entries.folder / id_ / name).read_bytes()
    hub.forget()
    # Another process knows nothing of the first.
    send(entries, open_())
    assert additions(hub) == []
    more = add(entries, 1)
    send(entries, open_())
    assert sorted(additions(hub)) == sorted(f"{more[0]}/{name}" for name in (PICTURE, FACTS))
    assert len(repo(hub).commits) == 3


def test_a_large_batch_is_several_commits(
    hub: Hub, entries: FeedbackFolder, open_: Callable[[], FeedbackDataset]
) -> None:
    ids = add(entries, 7)
    send(entries, open_(), most=1)
    assert [commit.title for commit in repo(hub).commits[1:]] == ["Add 1 entries"] * 7
    assert there(hub) == set(ids)
    assert len(additions(hub)) == 14


def test_a_commit_whose_answer_is_lost_is_not_made_again(
    hub: Hub, entries: FeedbackFolder, open_: Callable[[], FeedbackDataset]
) -> None:
    ids = add(entries, 2)
    lost: list[str] = []

    def lose_first(request: Request, answer: Callable[[Request], Answer]) -> Answer:
        given = answer(request)
        if "/commit/" in request.path and not lost:
            lost.append(str(request))
            return LOST
        return given

    hub.fault = lose_first
    send(entries, open_())
    assert lost
    assert [commit.title for commit in repo(hub).commits] == ["initial commit", "Add 2 entries"]
    assert there(hub) == set(ids)


def test_what_is_deleted_is_gone_from_the_data_set_and_its_history(
    hub: Hub, entries: FeedbackFolder, open_: Callable[[], FeedbackDataset]
) -> None:
    first, second = add(entries, 2)
    send(entries, open_())
    assert entries.delete(first)
    send(entries, open_())
    assert there(hub) == {second}
    assert repo(hub).head.files[DELETED].decode().split() == [first]
    assert not [commit for commit in repo(hub).commits if any(first in path for path in commit.files)]
    # Never sent is deleted too, and never arrives.
    (third,) = add(entries)
    entries.delete(third)
    hub.forget()
    send(entries, open_())
    assert there(hub) == {second}
    assert not [path for path in additions(hub) if third in path]


def test_a_history_that_a_killed_process_left_is_cleaned(
    hub: Hub, entries: FeedbackFolder, open_: Callable[[], FeedbackDataset]
) -> None:
    (first,) = add(entries)
    send(entries, open_())
    entries.delete(first)
    hub.fault = lambda request, answer: error(503, "later") if "squash" in request.path else answer(request)
    with pytest.raises(StoreUnreachable):
        send(entries, open_())
    assert [commit for commit in repo(hub).commits if any(first in path for path in commit.files)]
    hub.fault = None
    send(entries, open_())
    assert not [commit for commit in repo(hub).commits if any(first in path for path in commit.files)]


def test_a_deletion_elsewhere_reaches_the_folder_and_is_not_undone(
    hub: Hub, entries: FeedbackFolder, open_: Callable[[], FeedbackDataset], tmp_path: Path
) -> None:
    first, second = add(entries, 2)
    send(entries, open_())
    other = FeedbackFolder(tmp_path / "other")
    receive(other, open_())
    assert other.ids() == {first, second}
    assert [entry for entry, _ in other.read()] == [entry for entry, _ in entries.read()]
    other.delete(first)
    send(other, open_())
    send(entries, open_())
    assert entries.ids() == there(hub) == {second}
    # A folder that was copied before does not bring it back.
    stale = FeedbackFolder(tmp_path / "stale")
    stale.receive(first, b"picture", b"{}")
    send(stale, open_())
    assert there(hub) == {second}
    receive(stale, open_())
    assert stale.ids() == {second}


def test_what_was_deleted_here_or_is_half_there_is_not_fetched(
    hub: Hub, entries: FeedbackFolder, open_: Callable[[], FeedbackDataset]
) -> None:
    first, second = add(entries, 2)
    send(entries, open_())
    entries.delete(first)
    repo(hub).add("by hand", repo(hub).head.files | {f"{32 * 'a'}/{PICTURE}": b"picture"})
    receive(entries, open_())
    assert entries.ids() == {second}


def test_others_who_write_at_the_same_time_lose_nothing(
    hub: Hub, entries: FeedbackFolder, open_: Callable[[], FeedbackDataset], tmp_path: Path
) -> None:
    add(entries)
    other = FeedbackFolder(tmp_path / "other")
    add(other)
    raced: list[int] = []

    def race(request: Request, answer: Callable[[Request], Answer]) -> Answer:
        if "/commit/" in request.path and not raced:
            raced.append(1)
            send(other, open_())
        return answer(request)

    hub.fault = race
    send(entries, open_())
    assert there(hub) == entries.ids() | other.ids()


def test_a_public_data_set_is_refused(hub: Hub, entries: FeedbackFolder, open_: Callable[[], FeedbackDataset]) -> None:
    hub.repos[f"datasets/{NAME}"] = Repo()
    repo(hub).add("initial commit", {})
    add(entries)
    with pytest.raises(StoreUnwritable, match="is public, and visitors have not agreed"):
        send(entries, open_())
    assert there(hub) == set()


def test_a_hub_that_is_down_is_told_once_and_nothing_is_lost(
    hub: Hub, entries: FeedbackFolder, open_: Callable[[], FeedbackDataset], capsys: pytest.CaptureFixture[str]
) -> None:
    ids = add(entries, 2)
    hub.fault = lambda request, answer: error(503, "down")
    with Sender(entries, open_(), FeedbackConfig(batch_s=0.01, close_s=240)) as sender:
        wait_until(lambda: sender.problem and hub.asked("GET") > 9)
        more = add(entries)
        hub.fault = None
        wait_until(lambda: not sender.problem)
    assert there(hub) == {*ids, *more}
    told = capsys.readouterr().err
    assert told.count("Feedback stays in ") == told.count("Feedback is sent again.") == 1
    assert WRITER not in told
    assert len(told.splitlines()) == 2


def test_what_a_visitor_deletes_goes_on_the_hub_too_also_when_the_folder_was_lost(
    hub: Hub, entries: FeedbackFolder, open_: Callable[[], FeedbackDataset], tmp_path: Path
) -> None:
    here, lost = add(entries, 2)
    send(entries, open_())
    # A Space that restarts begins with an empty folder.
    (tmp_path / "new").mkdir()
    (entries.folder / here).rename(tmp_path / "new" / here)
    begun_anew = FeedbackFolder(tmp_path / "new")
    with Sender(begun_anew, open_(), FeedbackConfig(batch_s=600, close_s=240)) as sender:
        for nonsense in ("", "0" * 32, "../x", lost[:-1]):
            assert sender.remove(nonsense) is Removal.UNKNOWN
        wait_until(lambda: sender.remove(lost) is Removal.SOON)
        assert sender.remove(here) is Removal.SOON
        # At once, not after ten minutes.
        wait_until(lambda: there(hub) == set())
    assert begun_anew.ids() == set()


def test_what_came_last_goes_out_when_the_app_stops(
    hub: Hub, entries: FeedbackFolder, open_: Callable[[], FeedbackDataset]
) -> None:
    with Sender(entries, open_(), FeedbackConfig(close_s=240)):
        wait_until(lambda: f"datasets/{NAME}" in hub.repos)
        ids = add(entries, 2)
    assert there(hub) == set(ids)


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_in_the_middle_of_a_commit_exactly_the_missing_ones_go_out(
    hub: Hub, entries: FeedbackFolder, open_: Callable[[], FeedbackDataset], tmp_path: Path, moment: str
) -> None:
    ids = add(entries, 3)
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from spotter.feedback.store import FeedbackFolder\n"
        "from spotter.feedback.sync import Sender, open_dataset\n"
        f"with Sender(FeedbackFolder(Path({str(entries.folder)!r})), open_dataset({ADDRESS!r})):\n"
        "    sys.stdin.read()\n"
    )
    environment = {
        "PATH": os.environ["PATH"],
        "HF_ENDPOINT": hub.url,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HOME": str(tmp_path / "home"),
        "HF_TOKEN": WRITER,
    }
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )
    killed: list[str] = []

    def kill(request: Request, answer: Callable[[Request], Answer]) -> Answer:
        if "/commit/" not in request.path or killed:
            return answer(request)
        killed.append(str(request))
        if moment == "after":
            answer(request)
        process.send_signal(signal.SIGKILL)
        process.wait()
        return LOST

    hub.fault = kill
    wait_until(lambda: process.poll() is not None)
    assert killed
    process.communicate()
    assert there(hub) == (set(ids) if moment == "after" else set())
    hub.forget()
    (last,) = add(entries)
    send(entries, open_())
    missing = {last} if moment == "after" else {*ids, last}
    assert sorted(additions(hub)) == sorted(f"{id_}/{name}" for id_ in missing for name in (PICTURE, FACTS))
    assert there(hub) == {*ids, last}


def test_there_is_nothing_to_fetch_from_nowhere(
    hub: Hub, entries: FeedbackFolder, open_: Callable[[], FeedbackDataset]
) -> None:
    with pytest.raises(FeedbackMissing, match=f"The Hub shows no data set {ADDRESS}"):
        receive(entries, open_())


@pytest.mark.parametrize("address", ["hf://datasets/anna", "hf://anna/words", "hf://datasets/a/b/c", "words"])
def test_what_is_no_data_set_is_told(address: str) -> None:
    with pytest.raises(UnknownStore, match="write hf://datasets/owner/name") as caught:
        open_dataset(address)
    assert address in str(caught.value)


def test_where_entries_stand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert folder_of("some/place") == Path("some/place")
    assert folder_of(ADDRESS) == Path("feedback/anna-words")
    monkeypatch.setattr("spotter.feedback.sync.STORAGE", tmp_path)
    monkeypatch.setenv("SPACE_ID", "anna/bears")
    assert folder_of(ADDRESS) == tmp_path / "feedback" / "anna-words"
    # A Space that does not pay for storage has none.
    monkeypatch.setattr("spotter.feedback.sync.STORAGE", tmp_path / "none")
    assert folder_of(ADDRESS) == Path("feedback/anna-words")


@pytest.mark.slow
def test_the_app_answers_while_the_hub_is_down(prebuilt: Revision) -> None:
    process = start(
        *("--model", prebuilt.store, "--port", 0, "--feedback", ADDRESS),
        HF_ENDPOINT=f"http://127.0.0.1:{free_port()}",
        HF_HUB_OFFLINE="0",
        HF_TOKEN=WRITER,
    )
    address = address_of(process)
    picture = next(prebuilt.pictures.glob("disc/*")).read_bytes()
    assert httpx.post(f"{address}/api/classify", content=picture).json()["label"] == "disc"
    process.send_signal(signal.SIGTERM)
    out, told = process.communicate(timeout=600)
    assert process.returncode == 0
    assert told.count("app.py: Feedback stays in feedback/anna-words for now: The Hub cannot be reached for") == 1
    assert WRITER not in out + told
    assert "Traceback" not in told


def test_training_and_the_command_fetch_them_first(
    hub: Hub,
    entries: FeedbackFolder,
    open_: Callable[[], FeedbackDataset],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    first, second = add(entries, 2)
    send(entries, open_())
    monkeypatch.setattr("spotter.feedback.sync.open_dataset", lambda address: open_())
    monkeypatch.chdir(tmp_path)
    words = ["--class", "disc", "--class", "cross", "--search", "sample", "--feedback", ADDRESS]
    options = make_parser(train_command, "train.py").parse_args(words)
    source = open_sources(options.search, options.feedback)[-1]
    assert {hit.backend_id for hit in source.search("cross", 9)} == {first, second}
    assert main(["feedback", ADDRESS, "--delete", first]) == 0
    told = capsys.readouterr().out
    assert second in told
    assert told.endswith("entries: 1; 0 say that the model was right\n")
    assert there(hub) == {second}
    assert main(["feedback", ADDRESS, "--delete", first]) == 1
