import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from spotter.errors import SourceUnavailable, UnknownSource
from spotter.names import same_name
from spotter.search import BACKENDS, get_backend, get_backends
from spotter.search.base import ImageHit
from spotter.search.paging import take


def test_several_are_opened_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "a,b").mkdir()
    sources = get_backends(f"openverse,folder:{tmp_path}/a,b,wikimedia")
    assert [source.name for source in sources] == ["openverse", "folder", "wikimedia"]


def test_folders_and_tables_are_told_apart_by_the_end_of_their_paths(tmp_path: Path) -> None:
    places = [tmp_path / name for name in ("one/photos", "two/photos", "other")]
    for place in places:
        (place / "bear").mkdir(parents=True)
        (place / "bear" / "1.jpg").touch()
    (tmp_path / "list.csv").write_text("file,label\nother/bear/1.jpg,bear\nhttps://a.example/2.jpg,bear\n")
    searched = ",".join(f"folder:{place}" for place in (*places, tmp_path / "two" / ".." / "other"))
    sources = get_backends(f"openverse,{searched},table:{tmp_path / 'list.csv'}")
    hits = [hit for source in sources[1:] for hit in source.search("bear", 9)]
    assert [hit.origin for hit in hits] == ["one/photos", "two/photos", "other", "other", "list.csv", None]
    # One alone needs no name, and the same one twice is one.
    for alone in (f"folder:{places[0]},openverse", f"folder:{places[0]},folder:{places[0]}/"):
        (hit, *_) = get_backends(alone)[0].search("bear", 9)
        assert hit.origin is None


@pytest.mark.parametrize("address", ["altavista", "openverse,altavista", "", "openverse,"])
def test_an_unknown_name_lists_the_choices(address: str) -> None:
    with pytest.raises(UnknownSource, match=r"choose one of: brave, duckduckgo, feedback, folder,"):
        get_backends(address)


@pytest.mark.parametrize("name", sorted(BACKENDS))
def test_each_is_named_as_it_is_asked_for(name: str) -> None:
    assert BACKENDS[name].name == name
    assert isinstance(BACKENDS[name].searches, bool)


@pytest.mark.parametrize("name", ["brave", "duckduckgo", "inaturalist", "openverse", "sample", "wikimedia"])
def test_an_argument_too_many_is_refused(name: str) -> None:
    with pytest.raises(UnknownSource, match=f"'{name}' takes no argument, but got 'something'"):
        get_backend(f"{name}:something")


@pytest.mark.parametrize(("name", "argument"), [("folder", "PATH"), ("hf", "OWNER/DATASET"), ("urls", "FILE")])
@pytest.mark.parametrize("colon", ["", ":"])
def test_an_argument_that_is_missing_is_asked_for(name: str, argument: str, colon: str) -> None:
    with pytest.raises(UnknownSource, match=f"write --search {name}:{argument}"):
        get_backend(name + colon)


def hit(backend_id: str) -> ImageHit:
    return ImageHit(backend="stub", backend_id=backend_id, query="bear")


def test_taking_drops_repeats_and_what_is_no_picture_and_ranks_the_rest() -> None:
    found = [hit("a"), None, hit("b"), hit("a"), None, hit("c")]
    assert [(hit.backend_id, hit.rank) for hit in take(found, 9)] == [("a", 0), ("b", 1), ("c", 2)]


@pytest.mark.parametrize(("limit", "drawn"), [(-1, 0), (0, 0), (1, 1), (2, 2)])
def test_taking_draws_no_more_than_needed(limit: int, drawn: int) -> None:
    numbers = itertools.count()
    found = (hit(str(number)) for number in numbers)
    assert len(list(take(found, limit))) == drawn
    assert next(numbers) == drawn


def test_a_failure_comes_after_the_hits_before_it() -> None:
    def found() -> Iterator[ImageHit]:
        yield hit("a")
        raise SourceUnavailable("Gone.")

    taken: list[ImageHit] = []
    with pytest.raises(SourceUnavailable):
        taken.extend(take(found(), 9))
    assert [hit.backend_id for hit in taken] == ["a"]


@pytest.mark.parametrize(("other", "same"), [("Grizzly-Bear", True), ("grizzlybear", True), ("grizzly bears", False)])
def test_labels_are_the_same_but_for_case_and_spaces(other: str, same: bool) -> None:
    assert same_name("grizzly_bear", other) is same
