"""What is kept whenever a run is cut short, what is never fetched twice, and what is never kept."""

import functools
import hashlib
import json
import math
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from spotter.collect.collector import collect, read_more
from spotter.collect.download import download_all
from spotter.collect.ingest import INCOMING, JOURNAL, map_ahead
from spotter.collect.takedown import Takedown
from spotter.config import CollectConfig, DownloadConfig
from spotter.data.dataset import Dataset
from spotter.data.manifest import lock_set, read_manifest
from spotter.errors import DatasetUnwritable, RecipeError
from spotter.images import load_picture
from spotter.recipe import make_recipe
from spotter.search.base import ImageHit
from spotter.search.folder import Folder
from spotter.search.manifest import Manifest
from spotter.search.urls import Urls
from tests.conftest import ROOT
from tests.helpers.drawing import draw, encode, write_folder
from tests.helpers.loopback import JsonServer
from tests.helpers.patience import wait_until
from tests.helpers.stand import Stand

RECIPE = make_recipe({"disc": "a disc", "cross": "a cross"}, name="two", per_class=1000)
DOWNLOADS = DownloadConfig(retries=0, deadline_s=900)
fetch_loopback = functools.partial(download_all, address_policy=lambda address: True)

# The same as `gather` below, in a process that can be killed. It would import all tests' helpers with this file.
GATHER = """
import functools, sys
from pathlib import Path
from spotter.collect.collector import collect
from spotter.collect.download import download_all
from spotter.config import DownloadConfig
from spotter.recipe import make_recipe
from spotter.search.urls import Urls
from spotter.utils.console import run_command
def gather():
    recipe = make_recipe({"disc": "a disc", "cross": "a cross"}, name="two", per_class=1000)
    addresses, folder = map(Path, sys.argv[1:])
    downloads = DownloadConfig(retries=0, deadline_s=900)
    fetch = functools.partial(download_all, address_policy=lambda address: True)
    return collect(recipe, [Urls(str(addresses))], folder, downloads=downloads, fetch=fetch)
"""
CHILD = GATHER + "gather()"


class Gate:
    """Lets so many pictures leave the server, so that nobody has all of them before a test has its turn."""

    def __init__(self) -> None:
        self.left, self._changed = math.inf, threading.Condition()

    def open_for(self, count: float) -> None:
        with self._changed:
            self.left = count
            self._changed.notify_all()

    def pass_one(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self.left > 0, 240)
            self.left -= 1


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def server(gate: Gate) -> Iterator[JsonServer]:
    def answer(path: str, query: dict) -> tuple[int, dict[str, str], bytes]:
        if path == "/robots.txt":
            return 404, {}, b""
        gate.pass_one()
        time.sleep(0.02)
        kind, name = path.strip("/").split("/")
        number = int(name.split(".")[0])
        if number % 10 == 9:
            return 404, {}, b""
        if number % 10 == 8:
            return 200, {}, b"<html>Buy a subscription</html>"
        return 200, {"Content-Type": "image/jpeg"}, encode(draw(kind, number))

    with JsonServer(answer) as running:
        yield running


def write_list(path: Path, server: JsonServer, count: int = 40) -> Path:
    rows = [f"{kind} {server.url}/{kind}/{number}.jpg" for kind in ("disc", "cross") for number in range(count)]
    path.write_text("\n".join(rows))
    return path


def gather(addresses: Path, folder: Path, takedown: Takedown | None = None) -> Dataset:
    return collect(RECIPE, [Urls(str(addresses))], folder, downloads=DOWNLOADS, takedown=takedown, fetch=fetch_loopback)


def pictures_asked_for(server: JsonServer) -> list[str]:
    return [request.path for request in server.requests if request.path != "/robots.txt"]


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def start(addresses: Path, folder: Path) -> subprocess.Popen:
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([sys.executable, "-c", CHILD, addresses, folder], cwd=ROOT, **quiet)


def wait_for_journal(path: Path, lines: int) -> None:
    wait_until(lambda: path.exists() and path.read_bytes().count(b"\n") >= lines)


@pytest.mark.slow
def test_killed_at_any_moment_nothing_is_lost_or_fetched_twice(server: JsonServer, gate: Gate, tmp_path: Path) -> None:
    addresses, folder = write_list(tmp_path / "list.txt", server), tmp_path / "set"
    rng = random.Random(3)
    arrived: set[str] = set()
    lines: list[bytes] = []
    for cut in range(1, 5):
        # It goes on a little after that, and never comes to its end.
        gate.open_for(14 * cut + 10 - len(lines))
        child = start(addresses, folder)
        wait_for_journal(folder / JOURNAL, 14 * cut)
        time.sleep(rng.random() * 0.1)
        child.send_signal(signal.SIGKILL)
        child.wait()
        asked = len(server.requests)
        lines = (folder / JOURNAL).read_bytes().splitlines(keepends=True)
        arrived |= {json.loads(line)["image_url"] for line in lines if line.endswith(b"\n")}
        aside = {path.name for path in (folder / INCOMING).iterdir() if not path.name.endswith(".part")}
        arrived |= {url for url in addresses.read_text().split() if hashlib.sha256(url.encode()).hexdigest() in aside}
        for path in folder.glob("*/*.jpg"):
            load_picture(path)
    gate.open_for(math.inf)
    dataset = gather(addresses, folder)
    again = {f"{server.url}{request.path}" for request in server.requests[asked:]}
    assert len(arrived) >= 40
    assert arrived & again == set()
    assert arrived <= {record.image_url for record in (*dataset.records, *dataset.dropped)}
    reasons = Counter(record.reason for record in dataset.dropped)
    assert (len(dataset.records), reasons["http-404"], reasons["not-a-picture"]) == (64, 8, 8)
    stored = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert stored == {str(record.file) for record in dataset.records} | {"manifest.jsonl", ".lock", "searched.json"}


def test_a_second_run_fetches_nothing_and_changes_nothing(server: JsonServer, tmp_path: Path) -> None:
    addresses = write_list(tmp_path / "list.txt", server, count=12)
    gather(addresses, tmp_path / "set")
    before, asked = snapshot(tmp_path / "set"), len(server.requests)
    gather(addresses, tmp_path / "set")
    assert len(server.requests) == asked
    assert snapshot(tmp_path / "set") == before


def test_half_a_line_of_the_journal_is_no_obstacle(server: JsonServer, tmp_path: Path) -> None:
    addresses, folder = write_list(tmp_path / "list.txt", server, count=12), tmp_path / "set"
    first = gather(addresses, folder)
    manifest = (folder / "manifest.jsonl").read_bytes()
    (folder / "manifest.jsonl").unlink()
    (folder / JOURNAL).write_bytes(manifest[:-200])
    again = gather(addresses, folder)
    assert [record.file for record in again.records] == [record.file for record in first.records]


@pytest.mark.slow
def test_two_runs_at_once_do_not_share_a_set(server: JsonServer, gate: Gate, tmp_path: Path) -> None:
    addresses, folder = write_list(tmp_path / "list.txt", server), tmp_path / "set"
    gate.open_for(10)
    child = start(addresses, folder)
    wait_for_journal(folder / JOURNAL, 1)
    with pytest.raises(DatasetUnwritable, match="Another run is collecting"):
        gather(addresses, folder)
    gate.open_for(math.inf)
    assert child.wait() == 0


def test_a_manifest_gives_the_same_set_anywhere(server: JsonServer, tmp_path: Path) -> None:
    addresses = write_list(tmp_path / "list.txt", server, count=12)
    first = gather(addresses, tmp_path / "first")
    for name in ("second", "third"):
        source = Manifest(str(tmp_path / "first"))
        collect(RECIPE, [source], tmp_path / name, downloads=DOWNLOADS, fetch=fetch_loopback)
    assert snapshot(tmp_path / "second") == snapshot(tmp_path / "third")
    second = [record for record in read_manifest(tmp_path / "second") if record.kept]
    assert second == list(first.records)


def test_what_changed_behind_its_address_is_not_in_the_replayed_set(server: JsonServer, tmp_path: Path) -> None:
    gather(write_list(tmp_path / "list.txt", server, count=12), tmp_path / "first")
    manifest = tmp_path / "first" / "manifest.jsonl"
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    next(line for line in lines if line["backend_id"].endswith("/disc/3.jpg"))["original_sha256"] = "0" * 64
    (tmp_path / "edited.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    source = Manifest(str(tmp_path / "edited.jsonl"))
    dataset = collect(RECIPE, [source], tmp_path / "second", downloads=DOWNLOADS, fetch=fetch_loopback)
    assert {record.backend_id: record.reason for record in dataset.dropped} == {f"{server.url}/disc/3.jpg": "changed"}


def test_what_is_taken_down_leaves_the_set_and_stays_out(server: JsonServer, tmp_path: Path) -> None:
    addresses, folder = write_list(tmp_path / "list.txt", server, count=12), tmp_path / "set"
    before = gather(addresses, folder)
    by_hash = next(record for record in before.records if record.label == "cross")
    entries = f"# asked by mail\n{server.url}/disc/2.jpg/\n{by_hash.original_sha256}\n"
    (tmp_path / "takedown.txt").write_text(entries)
    takedown = Takedown(tmp_path / "takedown.txt")
    for place in (folder, tmp_path / "new"):
        server.requests.clear()
        dataset = gather(addresses, place, takedown)
        gone = {record.backend_id for record in dataset.dropped if record.reason == "takedown"}
        assert gone == {f"{server.url}/disc/2.jpg", by_hash.backend_id}
        assert not any(path.name == Path(str(by_hash.file)).name for path in place.rglob("*"))
        assert "/disc/2.jpg" not in pictures_asked_for(server)


def test_passing_failures_are_tried_again_and_others_are_not(tmp_path: Path) -> None:
    down = True

    def answer(path: str, query: dict) -> tuple[int, dict[str, str], bytes]:
        kind, _, name = path.strip("/").partition("/")
        if not name or name == "9.jpg":
            return 404, {}, b""
        return (503, {}, b"") if down and name == "8.jpg" else (200, {}, encode(draw(kind, int(name[0]))))

    with JsonServer(answer) as server:
        addresses = write_list(tmp_path / "list.txt", server, count=10)
        assert len(gather(addresses, tmp_path / "set").records) == 16
        down = False
        server.requests.clear()
        assert len(gather(addresses, tmp_path / "set").records) == 18
        assert sorted(pictures_asked_for(server)) == ["/cross/8.jpg", "/disc/8.jpg"]


@pytest.mark.slow
def test_ctrl_c_leaves_a_set_to_go_on_from_and_says_how(server: JsonServer, gate: Gate, tmp_path: Path) -> None:
    code = GATHER + 'print(run_command("scripts/collect", gather, ["a b", "--more"]))'
    write_list(tmp_path / "list.txt", server)
    gate.open_for(20)
    child = subprocess.Popen(
        [sys.executable, "-c", code, tmp_path / "list.txt", tmp_path / "set"], cwd=ROOT, stdout=-1, stderr=-1, text=True
    )
    wait_for_journal(tmp_path / "set" / JOURNAL, 10)
    child.send_signal(signal.SIGINT)
    # It waits for no picture that is still to come.
    out, errors = child.communicate(timeout=200)
    gate.open_for(math.inf)
    assert out.strip() == "130", errors
    assert "Stopped. What arrived is kept; to go on from there: scripts/collect 'a b' --more" in errors
    assert "Traceback" not in errors
    asked = len(server.requests)
    assert len(gather(tmp_path / "list.txt", tmp_path / "set").records) == 64
    assert len(pictures_asked_for(server)) - asked < 75


def test_more_queries_are_collected_once_and_remembered(server: JsonServer, tmp_path: Path) -> None:
    recipe = make_recipe({"disc": "a disc", "cross": "a cross"}, name="two", per_class=8)

    class Numbered(Stand):
        def search(self, query: str, limit: int) -> Iterator[ImageHit]:
            shift = 100 if "night" in query else 0
            for rank in range(limit):
                url = f"{server.url}/{query.split()[1]}/{shift + rank}.jpg"
                yield ImageHit(self.name, url, query, rank, image_url=url)

    source = Numbered("stand", server.url, 50)
    config = CollectConfig(per_more_query=4)

    def run(more: dict[str, list[str]]) -> Counter:
        dataset = collect(
            recipe, [source], tmp_path / "set", config, downloads=DOWNLOADS, more=more, fetch=fetch_loopback
        )
        return Counter(record.query for record in dataset.records)

    assert run({}) == {"a disc": 8, "a cross": 8}
    expected = {"a disc": 8, "a cross": 8, "a disc at night": 4}
    assert run({"disc": ["a disc at night"]}) == expected
    asked = len(server.requests)
    assert run({}) == expected
    assert len(server.requests) == asked


def test_more_options_name_their_class() -> None:
    assert read_more(["disc=at night", "A Cross from behind"], RECIPE) == {
        "disc": ["at night"],
        "cross": ["A Cross from behind"],
    }
    for unclear in ("something else", "square=x", "disc=", "disc and cross"):
        with pytest.raises(RecipeError, match="does not name a class"):
            read_more([unclear], RECIPE)


def test_map_ahead_reads_no_further_than_it_must() -> None:
    drawn = []

    def numbers() -> Iterator[int]:
        for number in range(1000):
            drawn.append(number)
            yield number

    results = map_ahead(lambda number: number * number, numbers(), threads=2)
    assert [next(results) for _ in range(5)] == [0, 1, 4, 9, 16]
    assert len(drawn) < 15
    results.close()


def test_nobody_fills_the_set_while_what_it_does_not_keep_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures that another run had just stored would be removed with it, and its journal."""
    source = write_folder(tmp_path / "source", kinds=("disc", "cross"), count=5)
    recipe = make_recipe({"disc": "disc", "cross": "cross"}, name="shapes")
    tried = []

    def remove(folder: Path, ignore_errors: bool) -> None:
        with pytest.raises(DatasetUnwritable, match="Another run is collecting"):
            lock_set(folder.parent)
        tried.append(folder)

    with monkeypatch.context() as patch:
        patch.setattr("spotter.collect.ingest.shutil.rmtree", remove)
        collect(recipe, [Folder(str(source))], tmp_path / "set")
    assert len(tried) == 1
    # Afterwards it is free.
    lock_set(tmp_path / "set").close()
