from pathlib import Path

import pytest

from spotter.errors import UnknownSource
from spotter.search import BACKENDS, get_backend, get_backends


def test_several_are_opened_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "a,b").mkdir()
    sources = get_backends(f"openverse,folder:{tmp_path}/a,b,wikimedia")
    assert [source.name for source in sources] == ["openverse", "folder", "wikimedia"]


@pytest.mark.parametrize("address", ["altavista", "openverse,altavista", "", "openverse,"])
def test_an_unknown_name_lists_the_choices(address: str) -> None:
    with pytest.raises(UnknownSource, match=r"choose one of: brave, duckduckgo, folder,"):
        get_backends(address)


@pytest.mark.parametrize("name", sorted(BACKENDS))
def test_each_is_named_as_it_is_asked_for(name: str) -> None:
    assert BACKENDS[name].name == name
    assert isinstance(BACKENDS[name].searches, bool)


@pytest.mark.parametrize("name", sorted(set(BACKENDS) - {"folder", "urls"}))
def test_an_argument_too_many_is_refused(name: str) -> None:
    with pytest.raises(UnknownSource, match="argument"):
        get_backend(f"{name}:something")
