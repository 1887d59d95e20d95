"""The country and language of a search: how people write them, and what each service is asked."""

from collections.abc import Callable
from pathlib import Path

import pytest

from spotter.errors import FolderMissing, RecipeError
from spotter.search import BACKENDS, get_backend, get_backends
from spotter.search.brave import KEY, Brave
from spotter.search.inaturalist import INaturalist
from spotter.search.openverse import Openverse
from spotter.search.region import Region, read_region
from spotter.search.wikimedia import Wikimedia
from tests.helpers.loopback import JsonServer


@pytest.mark.parametrize(
    ("text", "region", "market"),
    [
        ("de-CH", "de-CH", "ch-de"), ("ch-de", "de-CH", "ch-de"), ("de-ch", "de-CH", "ch-de"),
        ("de_DE", "de-DE", "de-de"), ("us-en", "en-US", "us-en"), ("en-GB", "en-GB", "uk-en"),
        ("uk-en", "en-GB", "uk-en"), ("ja-JP", "ja-JP", "jp-jp"), ("jp-jp", "ja-JP", "jp-jp"),
        ("zh-TW", "zh-TW", "tw-tzh"), ("hi-IN", "hi-IN", "in-hi"), ("in-hi", "hi-IN", "in-hi"),
        ("fr-CA", "fr-CA", "ca-fr"), ("pt-BR", "pt-BR", "br-pt"), (" da-dk ", "da-DK", "dk-da"),
        ("sw-KE", "sw-KE", "ke-sw"),
    ],
)  # fmt: skip
def test_a_region_is_read_as_people_write_it(text: str, region: str, market: str) -> None:
    read = read_region(text)
    assert (str(read), read.market) == (region, market)
    assert read_region(str(read)) == read_region(read.market) == read


@pytest.mark.parametrize("text", ["de", "german", "xx-yy", "de-", "-DE", "de-CH-x", "12-34", "ch_de/..", "wt-wt"])
def test_what_is_no_region_is_told(text: str) -> None:
    with pytest.raises(RecipeError, match="is no region: write a language and a country, such as de-CH"):
        get_backend("sample", text)


EMPTY = {"results": [], "query": {"pages": []}, "total_results": 0}


@pytest.mark.parametrize(
    ("source", "region", "asked"),
    [
        (Brave, "de-CH", {"country": "CH", "search_lang": "de"}),
        (Brave, "ja-JP", {"country": "JP", "search_lang": "jp"}),
        (Brave, "pt-BR", {"country": "BR", "search_lang": "pt-br"}),
        (Brave, "el-GR", {"country": "GR", "search_lang": "el"}),
        (Brave, "nb-NO", {"country": "NO", "search_lang": "nb"}),
        (Brave, "no-NO", {"country": "NO", "search_lang": "nb"}),
        (Brave, "zh-TW", {"country": "TW", "search_lang": "zh-hant"}),
        (Brave, "zh-CN", {"country": "CN", "search_lang": "zh-hans"}),
        (Brave, "id-ID", {"country": "ID", "search_lang": None}),
        (Brave, "en-IE", {"country": "ALL", "search_lang": "en"}),
        (Brave, "sw-KE", {"country": "ALL", "search_lang": None}),
        (INaturalist, "de-CH", {"locale": "de-CH"}),
        (Wikimedia, "de-CH", {"uselang": "de"}),
        (Openverse, "de-CH", {"country": None, "search_lang": None, "locale": None, "uselang": None}),
    ],
)
def test_each_service_is_asked_in_its_own_words(
    source: Callable, region: str, asked: dict[str, str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    import json

    monkeypatch.setenv(KEY, "k")
    with JsonServer(lambda path, query: (200, {}, json.dumps(EMPTY).encode())) as server:
        found = source(base_url=server.url, per_minute=6e6)
        assert list(found.search("bear", 5)) == []
        found.region = read_region(region)
        assert list(found.search("bear", 5)) == []
    before, after = [{name: request.query.get(name) for name in asked} for request in server.requests]
    assert set(before.values()) == {None}
    assert after == asked


def test_sources_without_a_region_ignore_it(tmp_path: Path) -> None:
    first, second = get_backends(f"duckduckgo,folder:{tmp_path}", "ch-de")
    assert first.region == Region("ch", "de")  # type: ignore[attr-defined]
    assert not hasattr(second, "region")
    assert {name for name, kind in BACKENDS.items() if hasattr(kind, "region")} == {
        "brave", "duckduckgo", "inaturalist", "wikimedia",
    }  # fmt: skip
    with pytest.raises(FolderMissing):
        get_backends(f"folder:{tmp_path}/none", "ch-de")
