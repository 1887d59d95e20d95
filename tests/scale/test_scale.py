"""Many pictures, here and on a Ray cluster of two processes: the same answers, whatever breaks, stops or is killed."""

import concurrent.futures
import contextlib
import csv
import functools
import io
import json
import logging
import os
import shutil
import signal
import sys
import threading
import time
import urllib.request
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError

import numpy as np
import pytest

from spotter import Predictor
from spotter.cli import main
from spotter.cli.common import with_cluster
from spotter.collect.collector import collect
from spotter.collect.download import DownloadOutcome, download_all
from spotter.config import DownloadConfig, EndpointConfig, ScaleConfig, TrainConfig
from spotter.data.cache import FeatureCache
from spotter.data.manifest import read_manifest
from spotter.errors import AnswersUnwritable, BadPicture, ClusterUnavailable, ExtraMissing, ListUnreadable
from spotter.evaluate.shifts import STRESS
from spotter.inference.prediction import table_cells
from spotter.recipe import recipe_from_options
from spotter.scale.answers import AnswerFile
from spotter.scale.classify import ClassifyJob, Done, Model, Unread, classify_all, read, run_here
from spotter.scale.listing import Entry, Part, list_pictures
from spotter.search import get_backends
from spotter.train.views import SHIFTED
from tests.conftest import Published, Revision
from tests.helpers.loopback import JsonServer
from tests.helpers.parquet import damage_group
from tests.helpers.ports import free_port

if TYPE_CHECKING:
    from spotter.scale.cluster import Cluster

CONFIG = ScaleConfig(part=4)
Cells = list[list[str]]


@pytest.fixture(scope="module")
def two() -> Iterator["Cluster"]:
    pytest.importorskip("ray", reason="Ray is not installed: pip install -r requirements-ray.txt")
    from spotter.scale.cluster import LOCAL, cluster

    with pytest.MonkeyPatch.context() as patch:
        # Its processes would be as modest as it lets them be, and get no time beside those of other tests.
        patch.setenv("RAY_worker_niceness", "0")
        with cluster(LOCAL, cores=2) as joined:
            yield joined


@pytest.fixture
def mixed(prebuilt: Revision, tmp_path: Path) -> Path:
    """A folder with seven pictures and three files that are none."""
    folder = tmp_path / "mixed"
    for number, path in enumerate(sorted(prebuilt.pictures.glob("*/*"))[::5][:7]):
        (folder / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / path.parent.name / f"{number}{path.suffix}")
    (folder / "cut.png").write_bytes(path.read_bytes()[:-500])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "words.txt").write_text("hello")
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "x.jpg").write_bytes(b"x")
    return folder


def job(prebuilt: Revision, to: Path, predictor: Predictor, **changes: Any) -> ClassifyJob:
    _, model = Model(str(prebuilt.store)).pinned()
    return replace(ClassifyJob(model, AnswerFile(to, predictor.labels, prebuilt.revision), CONFIG), **changes)


def cells(path: Path) -> Cells:
    return list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"))))[1:]


# Downloads that may go to this machine too. No function of its own: for one, each process would import this file.
nearby = functools.partial(download_all, address_policy=lambda address: True)


def test_a_folder_is_listed_in_order_with_all_that_is_in_it(mixed: Path) -> None:
    listing = list_pictures(mixed, CONFIG)
    entries = [entry for part in listing.parts for entry in part.entries()]
    assert [entry.id for entry in entries] == list(range(10))
    assert [entry.name for entry in entries] == sorted(entry.name for entry in entries)
    assert {"cut.png", "empty.jpg", "words.txt"} < {entry.name for entry in entries}
    assert [part.count for part in listing.parts] == [4, 4, 2]
    assert list_pictures(mixed, CONFIG) == listing
    (mixed / "new.png").write_bytes(b"x")
    assert list_pictures(mixed, CONFIG).digest != listing.digest


def test_a_list_holds_paths_and_addresses_and_a_host_has_one_lane(tmp_path: Path) -> None:
    hosts = [f"http://host{number % 5}.test/{number}.jpg" for number in range(40)]
    (tmp_path / "list.txt").write_text("\n".join(["a.jpg", "", "/b c.jpg", *hosts, "http://[broken/x"]))
    listing = list_pictures(tmp_path / "list.txt", CONFIG)
    assert (listing.pictures, sum(part.count for part in listing.parts)) == (43, 43)
    lanes: dict[str, set[int | None]] = {}
    for part in listing.parts:
        for entry in part.entries():
            lanes.setdefault(str(entry.source).split("/")[2] if part.lane is not None else "files", set()).add(
                part.lane
            )
    assert {len(found) for found in lanes.values()} == {1}
    assert lanes["files"] == {None}
    # Each host has one, so no address is among the files.
    assert all(
        "://" not in str(entry.source) for part in listing.parts if part.lane is None for entry in part.entries()
    )
    together = listing.lanes()
    assert sorted(part.number for parts in together for part in parts) == list(range(len(listing.parts)))
    assert {len({part.lane for part in parts}) for parts in together} == {1}
    first = next(iter(listing.parts[0].entries()))
    assert first == Entry(0, "a.jpg", tmp_path / "a.jpg")


def test_however_many_there_are_the_parts_are_bounded(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("\n".join(f"{number}.jpg" for number in range(1000)))
    assert len(list_pictures(tmp_path / "list.txt", ScaleConfig(part=1, most_parts=10)).parts) == 10


def test_what_cannot_be_listed_is_told(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "x.parquet").write_bytes(b"PAR1 is what it is not")
    for name, told in (("empty", "no picture"), ("none", "No such file"), ("x.parquet", "not a Parquet file")):
        with pytest.raises(ListUnreadable, match=told):
            list_pictures(tmp_path / name)


def test_the_answers_are_those_of_predict(
    mixed: Path, prebuilt: Revision, predictor: Predictor, tmp_path: Path
) -> None:
    to = tmp_path / "answers.csv"
    errors = classify_all(job(prebuilt, to, predictor), list_pictures(mixed, CONFIG))
    assert errors == {"empty": 1, "not-a-picture": 1, "corrupt": 1}
    rows = cells(to)
    assert [row[0] for row in rows] == [str(number) for number in range(10)]
    for _, name, *row, revision, error in rows:
        assert revision == prebuilt.revision
        (told,) = predictor.predict_each([(mixed / name).read_bytes()])
        if isinstance(told, BadPicture):
            assert (error, set(row)) == (told.reason, {""})
        else:
            assert [*row, error] == [*map(str, table_cells(told, predictor.labels)), ""]
    assert not to.with_name("answers.csv.parts").exists()
    with pytest.raises(AnswersUnwritable, match="already exists"):
        classify_all(job(prebuilt, to, predictor), list_pictures(mixed, CONFIG))


def test_a_file_larger_than_any_picture_is_left_out_and_not_cut_off(
    prebuilt: Revision, predictor: Predictor, tmp_path: Path
) -> None:
    small = replace(job(prebuilt, tmp_path / "answers.csv", predictor), config=ScaleConfig(max_bytes=10))
    entries = []
    for size in (10, 11):
        path = tmp_path / f"{size}.jpg"
        path.write_bytes(bytes(size))
        entries.append(Entry(size, path.name, path))
    assert [content for _, content in read(entries, small)] == [bytes(10), Unread("too-large")]


def test_what_was_stopped_goes_on_and_does_nothing_twice(
    mixed: Path, prebuilt: Revision, predictor: Predictor, tmp_path: Path
) -> None:
    whole, to = tmp_path / "whole.csv", tmp_path / "answers.csv"
    listing = list_pictures(mixed, CONFIG)
    classify_all(job(prebuilt, whole, predictor), listing)

    def stop(done: Done) -> None:
        if done.number == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        classify_all(job(prebuilt, to, predictor), listing, told=stop)
    asked: list[int] = []

    def run(job: ClassifyJob, lanes: list[tuple[Part, ...]]) -> Iterator[Done]:
        asked.extend(part.number for parts in lanes for part in parts)
        yield from run_here(job, lanes)

    told: list[Done] = []
    errors = classify_all(job(prebuilt, to, predictor), listing, run, told.append)
    assert asked == [2]
    assert sum(done.pictures for done in told) == 10
    assert sum(errors.values()) == 3
    assert to.read_bytes() == whole.read_bytes()


def test_parts_of_another_run_are_not_mixed_in(
    mixed: Path, prebuilt: Revision, predictor: Predictor, tmp_path: Path
) -> None:
    work = job(prebuilt, tmp_path / "answers.csv", predictor)
    work.answers.begin(list_pictures(mixed, CONFIG).digest)
    with pytest.raises(AnswersUnwritable, match="other pictures or of another model"):
        work.answers.begin(list_pictures(prebuilt.pictures, CONFIG).digest)
    with pytest.raises(AnswersUnwritable, match="must end in"):
        AnswerFile(tmp_path / "answers.json", predictor.labels, "")


def test_the_command_tells_what_it_did(
    mixed: Path, prebuilt: Revision, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to = tmp_path / "answers.csv"
    assert main(["classify", str(mixed), "--model", str(prebuilt.store), "--to", str(to)]) == 0
    told = capsys.readouterr().out
    assert told.splitlines()[-1] == str(to)
    assert "3 of 10 have no answer: " in told
    assert (
        "  Only JPEG, PNG, WEBP, GIF, BMP and AVIF are read; save other pictures, such as HEIC or TIFF, as JPEG."
        in told
    )
    written = to.read_bytes()
    assert main(["classify", str(mixed), "--model", str(prebuilt.store), "--to", str(to)]) == 0
    told = capsys.readouterr().out
    assert "has all answers of this model for these pictures; remove it to classify them again" in told
    assert told.splitlines()[-1] == str(to)
    assert to.read_bytes() == written
    (mixed / "new.jpg").write_bytes(b"x")
    others = [mixed, prebuilt.pictures / "disc"]
    for other in others:
        assert main(["classify", str(other), "--model", str(prebuilt.store), "--to", str(to)]) == 1
        assert "already exists; remove it, or name another file." in capsys.readouterr().err
    (mixed / "new.jpg").unlink()
    for damage in (
        written[:-40],
        written + b"x",
        b"",
        b"a,b\n1,2\n",
        written.replace(prebuilt.revision.encode(), b"r"),
    ):
        to.write_bytes(damage)
        assert main(["classify", str(mixed), "--model", str(prebuilt.store), "--to", str(to)]) == 1
        assert "already exists; remove it, or name another file." in capsys.readouterr().err


def test_without_ray_all_runs_here_and_the_option_says_what_to_install(
    mixed: Path, prebuilt: Revision, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    for name in ("ray", "pyarrow", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "spotter.scale.cluster", raising=False)
    words = [str(mixed), "--model", str(prebuilt.store), "--to"]
    assert main(["classify", *words, str(tmp_path / "answers.csv")]) == 0
    assert main(["classify", *words, str(tmp_path / "other.csv"), "--ray", "local"]) == 1
    assert "pip install -r requirements-ray.txt" in capsys.readouterr().err
    assert main(["classify", *words, str(tmp_path / "other.parquet")]) == 1
    assert "Parquet needs pyarrow" in capsys.readouterr().err
    (tmp_path / "list.parquet").write_bytes(b"")
    with pytest.raises(ExtraMissing):
        list_pictures(tmp_path / "list.parquet")


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_a_list_with_a_byte_order_mark_keeps_its_first_picture(ends: str, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbf" + ends.join(["a.jpg", "b.jpg", ""]).encode())
    (part,) = list_pictures(tmp_path / "list.txt").parts
    assert [(entry.name, entry.source) for entry in part.entries()] == [(n, tmp_path / n) for n in ("a.jpg", "b.jpg")]


def test_parquet_of_bytes_paths_or_addresses_gives_the_same(
    mixed: Path, prebuilt: Revision, predictor: Predictor, tmp_path: Path
) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    paths = sorted(path for path in mixed.rglob("*") if path.is_file() and ".hidden" not in path.parts)
    names = [path.relative_to(mixed).as_posix() for path in paths]
    contents = [path.read_bytes() for path in paths]
    parquet.write_table(pyarrow.table({"path": names, "bytes": contents}), tmp_path / "b.parquet", row_group_size=6)
    parquet.write_table(pyarrow.table({"path": [f"mixed/{name}" for name in names]}), tmp_path / "p.parquet")
    tables = {}
    for source in (mixed, tmp_path / "b.parquet", tmp_path / "p.parquet"):
        to = tmp_path / f"{source.stem}-answers.parquet"
        classify_all(job(prebuilt, to, predictor), list_pictures(source, CONFIG))
        tables[source.stem] = parquet.read_table(to).to_pydict()
    assert tables["b"] == tables["mixed"]
    assert tables["p"] == {**tables["mixed"], "file": [f"mixed/{name}" for name in names]}
    assert tables["b"]["id"] == list(range(10))
    assert set(tables["b"]["probabilities"][1]) == set(predictor.labels)
    # As the Hub and img2dataset write them; nothing is fetched where the bytes are there.
    inside = [{"bytes": content, "path": Path(name).name} for name, content in zip(names, contents, strict=True)]
    beside = [{"bytes": None, "path": f"mixed/{name}"} for name in names]
    links = [f"http://127.0.0.1:9/{name}" for name in names]
    types = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    for columns in (
        {"image": inside, "label": [0] * len(names)},
        {"image": pyarrow.array(beside, types)},
        {"url": links, "key": names, "jpg": contents, "status": ["success"] * len(names)},
        {"caption": names, "pixels": contents},
        {"file_name": [f"mixed/{name}" for name in names], "url": links},
    ):
        parquet.write_table(pyarrow.table(columns), tmp_path / "h.parquet", row_group_size=7)
        listed = [entry for part in list_pictures(tmp_path / "h.parquet", CONFIG).parts for entry in part.entries()]
        read_back = [e.source if isinstance(e.source, bytes) else Path(e.source).read_bytes() for e in listed]
        assert read_back == contents
    parquet.write_table(pyarrow.table({"a": contents, "b": contents}), tmp_path / "two.parquet")
    with pytest.raises(ListUnreadable, match="has several columns of pictures"):
        list_pictures(tmp_path / "two.parquet")
    parquet.write_table(pyarrow.table({"name": names}), tmp_path / "none.parquet")
    with pytest.raises(ListUnreadable, match="has no column of pictures"):
        list_pictures(tmp_path / "none.parquet")


def test_a_damaged_part_of_a_parquet_file_costs_its_own_pictures_alone(
    prebuilt: Revision, predictor: Predictor, tmp_path: Path
) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    picture = next((prebuilt.pictures / "disc").iterdir()).read_bytes()
    path = tmp_path / "b.parquet"
    parquet.write_table(pyarrow.table({"bytes": [picture] * 9}), path, row_group_size=3, use_dictionary=False)
    damage_group(path, 1)
    classify_all(job(prebuilt, tmp_path / "answers.parquet", predictor), list_pictures(path, CONFIG))
    rows = parquet.read_table(tmp_path / "answers.parquet").to_pydict()
    assert rows["error"] == [None] * 3 + ["unreadable"] * 3 + [None] * 3
    assert rows["id"] == list(range(9))


def test_two_processes_of_which_one_is_killed_give_the_same_file(
    two: "Cluster", mixed: Path, prebuilt: Revision, predictor: Predictor, tmp_path: Path
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    content = sorted((prebuilt.pictures / "cross").iterdir())[0].read_bytes()
    files = [str(path) for path in sorted(mixed.rglob("*.*")) if path.is_file() and ".hidden" not in path.parts]
    files += [str(path) for path in sorted(prebuilt.pictures.glob("*/*"))[:14]]
    caught = tmp_path / "pid"

    def answer(path: str, query: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        return (404, {}, b"") if path in {"/robots.txt", "/gone.png"} else (200, {}, content)

    def fetch(urls: Iterable[tuple[Any, str]], config: DownloadConfig) -> Iterator[DownloadOutcome[Any]]:
        """The first process that comes here says who it is, and gets no further."""
        with contextlib.suppress(FileExistsError):
            with (tmp_path / "first").open("x"):
                caught.with_suffix(".tmp").write_text(str(os.getpid()))
            caught.with_suffix(".tmp").rename(caught)
            time.sleep(600)
        asked = list(urls)
        yield from nearby([each for each in asked if "localhost" not in each[1]], config)
        # As everywhere, an address of this machine is none that pictures come from.
        yield from download_all([each for each in asked if "localhost" in each[1]], config)

    def kill() -> None:
        while not caught.exists():
            time.sleep(0.02)
        os.kill(int(caught.read_text()), signal.SIGKILL)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    here, there = tmp_path / "here.parquet", tmp_path / "there.parquet"
    with JsonServer(answer) as server:
        addresses = [f"{server.url}/{name}" for name in ("a.png", "gone.png", "b.png", "c.png", "d.png")]
        addresses.append(server.url.replace("127.0.0.1", "localhost") + "/e.png")
        (tmp_path / "list.txt").write_text("\n".join([*files, *addresses]))
        listing = list_pictures(tmp_path / "list.txt", CONFIG)
        errors = classify_all(job(prebuilt, there, predictor, fetch=fetch), listing, two.run)
        killer.join(240)
        assert not killer.is_alive()
        # The pid file is there now, so nobody waits.
        classify_all(job(prebuilt, here, predictor, fetch=fetch), listing)
    assert errors == {
        "empty": 1, "not-a-picture": 1, "corrupt": 1, "http-404": 1, "private-address": 1
    }  # fmt: skip
    assert there.read_bytes() == here.read_bytes()
    answers = parquet.read_table(there).to_pydict()
    assert len(answers["id"]) == 30
    labels = dict(zip(answers["file"], answers["label"], strict=True))
    assert [labels[address] for address in addresses] == ["cross", None, "cross", "cross", "cross", None]


def test_addresses_of_this_machine_are_refused_unless_told_otherwise(
    prebuilt: Revision, predictor: Predictor, tmp_path: Path
) -> None:
    (tmp_path / "list.txt").write_text("http://127.0.0.1:9/a.png\nhttp://localhost:9/b.png")
    errors = classify_all(job(prebuilt, tmp_path / "a.csv", predictor), list_pictures(tmp_path / "list.txt", CONFIG))
    assert errors == {"private-address": 2}


def test_what_a_process_cannot_do_is_told_in_the_same_words(
    two: "Cluster", mixed: Path, prebuilt: Revision, predictor: Predictor, tmp_path: Path
) -> None:
    work = job(prebuilt, tmp_path / "answers.csv", predictor)

    def run(job: ClassifyJob, lanes: list[tuple[Part, ...]]) -> Iterator[Done]:
        shutil.rmtree(job.answers.folder)
        yield from two.run(job, lanes)

    # One part, so one process.
    listing = list_pictures(mixed, ScaleConfig())
    with pytest.raises(AnswersUnwritable, match=r"cannot be kept in .*No such file"):
        classify_all(work, listing, run)


def test_features_are_the_same_to_the_last_bit_and_train_finds_them(
    two: "Cluster", published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (original,) = (path.parent for path in published.data.rglob("manifest.jsonl"))
    copy = shutil.copytree(original, tmp_path / "set")
    shutil.rmtree(copy / "features")
    # Every third picture: each is computed by itself, and six parts are enough for two processes.
    lines = (copy / "manifest.jsonl").read_text().splitlines(keepends=True)
    (copy / "manifest.jsonl").write_text("".join(lines[::3]))
    monkeypatch.setattr("spotter.cli.scale.features.with_cluster", lambda address: contextlib.nullcontext(two))
    assert main(["features", str(copy), "--ray", "local"]) == 0
    keys = [str(record.sha256) for record in read_manifest(copy) if record.kept]
    names = {path.name.split(".")[0] for path in (original / "features").glob("*.safetensors")}
    # Second looks are kept in a way of their own, and come with the evidence of a head.
    names = {name for name in names if not name.endswith("-looks")}
    assert len(names) == 5
    # Views are kept under the picture's key and a number; those of the stress test are train.py's alone.
    views = {"cropped": 3, SHIFTED.name: TrainConfig.shifts}
    for name in names:
        if name.endswith(STRESS.name):
            continue
        count = next((number for kind, number in views.items() if name.endswith(kind)), 0)
        asked = [f"{key}-{number}" for key in keys for number in range(count)] or keys
        caches = [
            FeatureCache(folder / "features", name, 1 if name.endswith("spread") else 1280)
            for folder in (original, copy)
        ]
        (here, all_here), (there, all_there) = (cache.read(asked) for cache in caches)
        assert all_here.all()
        assert all_there.all()
        assert np.array_equal(here, there), name
    assert main(["features", str(tmp_path)]) == 1


def test_collecting_downloads_on_the_cluster(two: "Cluster", prebuilt: Revision, tmp_path: Path) -> None:
    contents = {f"/{path.parent.name}/{path.name}": path.read_bytes() for path in prebuilt.pictures.glob("*/*")}

    def answer(path: str, query: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        return (200, {}, contents[path]) if path in contents else (404, {}, b"")

    def fetch(urls: Iterable[tuple[int, str]], config: DownloadConfig, *, then: Any) -> Iterator[Any]:
        return two.fetch(urls, config, then=then, fetch=nearby)

    with JsonServer(answer) as server:
        some = [path for path in sorted(contents) if path.startswith("/disc/0") or path.startswith("/cross/00")]
        lines = [f"{path.split('/')[1]} {server.url}{path}" for path in [*some, "/disc/gone.jpg"]]
        (tmp_path / "list.txt").write_text("\n".join(lines))
        recipe = recipe_from_options(["disc", "cross"])
        found = []
        for place, how in (("here", nearby), ("there", fetch)):
            dataset = collect(recipe, get_backends(f"urls:{tmp_path / 'list.txt'}"), tmp_path / place, fetch=how)
            found.append([replace(record, fetched_at=None) for record in (*dataset.records, *dataset.dropped)])
    assert found[0] == found[1]
    assert sum(record.kept for record in found[1]) == len(some)
    assert found[1][-1].reason == "http-404"


def test_two_replicas_answer_as_the_predictor_does(two: "Cluster", prebuilt: Revision, predictor: Predictor) -> None:
    from ray import serve
    from ray.serve._private import constants

    from spotter.scale.endpoint import NAME, endpoint

    # The setting is still called so.
    assert constants.PROXY_READY_CHECK_TIMEOUT_S == 60
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    _, model = Model(str(prebuilt.store)).pinned()
    paths = sorted(prebuilt.pictures.glob("*/*"))[::3]
    with endpoint(model, EndpointConfig(port=free_port())) as address:
        (deployment,) = serve.status().applications[NAME].deployments.values()
        assert deployment.replica_states == {"RUNNING": 2}

        def ask(content: bytes) -> dict[str, Any]:
            request = urllib.request.Request(f"{address}/api/classify", content)
            with urllib.request.urlopen(request, timeout=240) as answer:
                return json.load(answer)

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(ask, [path.read_bytes() for path in paths]))
        with pytest.raises(HTTPError) as refused:
            ask(b"hello")
        assert refused.value.code == 415
        assert "not a picture" in json.load(refused.value)["error"]
        with urllib.request.urlopen(f"{address}/healthz", timeout=240) as health:
            assert json.load(health) == {"status": "ok", "revision": prebuilt.revision}
    for path, answer in zip(paths, answers, strict=True):
        told = predictor.predict(path)
        assert set(answer.pop("timings_ms")) == {"decode", "predict", "total"}
        assert answer == told.record() | {"revision": prebuilt.revision}


def test_nothing_is_told_to_anybody(two: "Cluster") -> None:
    from ray._common.usage import usage_lib

    assert not usage_lib.usage_stats_enabled()


# Ray itself looks for the address for a minute, unless a cluster runs here already.
@pytest.mark.slow
def test_a_cluster_that_is_not_there_is_told() -> None:
    pytest.importorskip("ray")
    with pytest.raises(ClusterUnavailable, match="There is no Ray cluster at"), with_cluster("nowhere.invalid:1"):
        raise AssertionError
