"""Collecting from several sources over real sockets: fill in turn, fall over, thumbnails, licences, restart."""

import functools
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from spotter.collect.collector import collect
from spotter.collect.download import download_all
from spotter.collect.picture_set import fill_set
from spotter.collect.takedown import Takedown
from spotter.config import CollectConfig, DownloadConfig
from spotter.data.dataset import Dataset
from spotter.data.manifest import read_manifest, read_searched
from spotter.errors import RecipeError, SourceUnavailable, TooFewPictures
from spotter.recipe import make_recipe, recipe_from_options
from spotter.search import BACKENDS, get_backends, sample
from spotter.search.folder import Folder
from spotter.search.manifest import Manifest
from tests.helpers.drawing import KINDS, draw, encode, write_folder
from tests.helpers.loopback import JsonServer
from tests.helpers.stand import Stand

RECIPE = make_recipe({"disc": "a disc", "cross": "a cross"}, name="two", per_class=8)
# Only here may a download go to this machine.
fetch_loopback = functools.partial(download_all, address_policy=lambda address: True)


@pytest.fixture
def server() -> Iterator[JsonServer]:
    def answer(path: str, query: dict) -> tuple[int, dict[str, str], bytes]:
        if path == "/robots.txt":
            return 404, {}, b""
        source, kind, name = path.strip("/").split("/")
        if source == "gone" or name == "missing.jpg":
            return 404, {}, b""
        number = int(name.split(".")[0]) + 100 * sum(map(ord, source))
        return 200, {"Content-Type": "image/jpeg"}, encode(draw(kind, number))

    with JsonServer(answer) as running:
        yield running


def gather(folder: Path, *sources: Stand, license: str = "any", min_per_class: int = 5) -> Dataset:
    config = CollectConfig(license=license, min_per_class=min_per_class)
    downloads = DownloadConfig(retries=0, deadline_s=240)
    return collect(RECIPE, sources, folder, config, downloads=downloads, fetch=fetch_loopback)


def count(dataset: Dataset) -> dict[tuple[str, str], int]:
    counts: dict[tuple[str, str], int] = {}
    for record in dataset.records:
        counts[record.label, record.backend] = counts.get((record.label, record.backend), 0) + 1
    return counts


def test_each_class_is_filled_from_the_sources_in_turn(server: JsonServer, tmp_path: Path) -> None:
    dataset = gather(tmp_path / "set", Stand("first", server.url, 3), Stand("second", server.url, 50))
    assert count(dataset) == {
        (label, name): n for label in ("disc", "cross") for name, n in (("first", 3), ("second", 5))
    }
    record = dataset.records[0]
    assert record.image_url == record.final_url
    assert record.fetched_at is not None
    # The second source is asked for no more than is missing and some to spare.
    assert len(server.requests) <= 2 * (3 + 3 * 5)


def test_a_second_run_asks_nobody(server: JsonServer, tmp_path: Path) -> None:
    first = gather(tmp_path / "set", Stand("first", server.url, 50))
    asked = len(server.requests)
    again = gather(tmp_path / "set", Stand("first", server.url, 50, breaks=0))
    assert len(server.requests) == asked
    assert again.records == first.records


def test_no_more_bears_are_drawn_than_are_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sample.MOST == 80
    monkeypatch.setattr(sample, "MOST", 6)
    drawn: list[int] = []
    draw_bear = sample.draw_picture
    monkeypatch.setattr(sample, "draw_picture", lambda kind, index: drawn.append(index) or draw_bear(kind, index))
    bears = make_recipe({"grizzly": "grizzly bear", "teddy": "teddy bear"}, name="bears", per_class=8)

    def draw_set(**more: list[str]) -> Counter[str]:
        config = CollectConfig(per_more_query=2)
        return Counter(r.label for r in collect(bears, [sample.Sample()], tmp_path / "set", config, more=more).records)

    assert draw_set() == {"grizzly": 6, "teddy": 6}
    drawn.clear()
    assert draw_set() == {"grizzly": 6, "teddy": 6}
    assert drawn == []
    # Whoever asks for more gets more.
    assert draw_set(teddy=["teddy bear at night"]) == {"grizzly": 6, "teddy": 8}


def test_a_source_that_breaks_is_told_and_the_next_goes_on(server: JsonServer, tmp_path: Path, caplog) -> None:
    dataset = gather(tmp_path / "set", Stand("first", server.url, 50, breaks=2), Stand("second", server.url, 50))
    assert count(dataset)["disc", "second"] == 6
    assert "disc: first is down." in caplog.text


def test_a_source_that_breaks_with_enough_pictures_is_no_failure(server: JsonServer, tmp_path: Path) -> None:
    dataset = gather(tmp_path / "set", Stand("first", server.url, 50, breaks=6))
    assert count(dataset) == {("disc", "first"): 6, ("cross", "first"): 6}


def test_a_source_that_breaks_below_the_minimum_is_the_failure(server: JsonServer, tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable, match="first is down"):
        gather(tmp_path / "set", Stand("first", server.url, 50, breaks=2))


def test_pictures_that_cannot_be_had_are_counted(server: JsonServer, tmp_path: Path) -> None:
    with pytest.raises(
        TooFewPictures, match=r"'disc' has 0 usable pictures and needs at least 5 \(dropped: 6 http-404\)"
    ):
        gather(tmp_path / "set", Stand("gone", server.url, 6))


def test_the_thumbnail_stands_in(server: JsonServer, tmp_path: Path) -> None:
    source = Stand(
        "first",
        server.url,
        8,
        image_url=lambda kind, rank: f"{server.url}/first/{kind}/{'missing' if rank == 3 else rank}.jpg",
        thumb_url=lambda kind, rank: f"{server.url}/thumbs/{kind}/{rank}.jpg",
    )
    dataset = gather(tmp_path / "set", source)
    stood_in = [record for record in dataset.records if record.final_url != record.image_url]
    assert {record.backend_id for record in stood_in} == {"disc3", "cross3"}
    assert all("/thumbs/" in str(record.final_url) for record in stood_in)
    assert sum("/thumbs/" in request.path for request in server.requests) == 2


def test_licences_are_obeyed_and_recorded(server: JsonServer, tmp_path: Path) -> None:
    licences = ["CC0-1.0", "CC-BY-4.0", "CC-BY-NC-4.0", "unknown", "CC-BY-ND-2.0", "CC-BY-SA-3.0"]
    taken = {}
    for policy, offer in (("any", 6), ("open", 12), ("commercial", 9)):
        source = Stand("first", server.url, offer, license_id=lambda kind, rank: licences[rank % 6], creator="A. Nyone")
        taken[policy] = {record.license_id for record in gather(tmp_path / policy, source, license=policy).records}
    assert taken["any"] == set(licences)
    assert taken["open"] == {"CC0-1.0", "CC-BY-4.0", "CC-BY-SA-3.0"}
    assert taken["commercial"] == {"CC0-1.0", "CC-BY-4.0", "CC-BY-SA-3.0", "CC-BY-ND-2.0"}
    dropped = {record.reason for record in read_manifest(tmp_path / "open") if not record.kept}
    assert "license unknown" in dropped
    assert {record.creator for record in read_manifest(tmp_path / "open")} == {"A. Nyone"}


def test_more_is_refused_where_nothing_can_search_for_it(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "source", count=6)
    recipe = recipe_from_options(KINDS)
    more = {"disc": ["disc at night"]}
    with pytest.raises(RecipeError, match="folder cannot search: add a source that can"):
        fill_set(recipe, [Folder(str(source))], tmp_path / "set", "any", more, Takedown())
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("name", sorted(BACKENDS))
def test_a_set_remembers_which_of_its_sources_take_words(name: str, server: JsonServer, tmp_path: Path) -> None:
    takes = {"brave", "duckduckgo", "inaturalist", "openverse", "sample", "wikimedia"}
    stand = Stand("stand", server.url, offer=10)
    # Like the source in this alone, and under its name.
    stand.searches, stand.by_label, stand.name = BACKENDS[name].searches, BACKENDS[name].by_label, name
    gather(tmp_path, stand)
    assert read_searched(tmp_path) == ([name] if name in takes else [])
    gather(tmp_path, stand, Stand("other", server.url, offer=1))
    assert read_searched(tmp_path) == ([name, "other"] if name in takes else ["other"])


def test_pictures_of_an_earlier_run_do_not_pass_for_a_search(server: JsonServer, tmp_path: Path) -> None:
    gather(tmp_path / "first", Stand("openverse", server.url, offer=10))
    again = gather(tmp_path / "again", Manifest(str(tmp_path / "first")))  # type: ignore[arg-type]
    assert {record.backend for record in again.records} == {"openverse"}
    assert (read_searched(tmp_path / "first"), read_searched(tmp_path / "again")) == (["openverse"], [])


def test_files_of_the_same_name_in_several_folders_are_all_there(tmp_path: Path) -> None:
    kinds = tuple(spec.label for spec in RECIPE.classes)
    for number, place in enumerate(("siteA", "siteB")):
        for kind in kinds:
            (tmp_path / place / kind).mkdir(parents=True)
            for seed in range(8):
                (tmp_path / place / kind / f"{seed}.jpg").write_bytes(encode(draw(kind, 100 * number + seed)))
    searched = f"folder:{tmp_path / 'siteA'},folder:{tmp_path / 'siteB'}"
    for _ in range(2):
        dataset = collect(RECIPE, get_backends(searched), tmp_path / "set")
        assert Counter(record.origin for record in dataset.records) == {"siteA": 16, "siteB": 16}
        assert not dataset.dropped
    # A set from before there was an origin is gone on with, as are its stored pictures.
    path = tmp_path / "set" / "manifest.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps({k: v for k, v in line.items() if k != "origin"}) + "\n" for line in lines))
    assert {record.origin for record in read_manifest(tmp_path / "set")} == {None}
    assert collect(RECIPE, get_backends(searched), tmp_path / "set").records == dataset.records
