"""Answers with a field missing, null or of another type, one field at a time: no source may stumble over it."""

import contextlib
import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from spotter.errors import FolderMissing, SourceUnavailable
from spotter.search.base import ImageHit, SearchBackend
from spotter.search.brave import Brave
from spotter.search.huggingface import HuggingFace
from spotter.search.inaturalist import INaturalist
from spotter.search.openverse import Openverse
from spotter.search.wikimedia import Wikimedia
from tests.conftest import SHARED
from tests.helpers.loopback import Answer, JsonServer

ODD = (7, -1, float("inf"), True, "", "text", "\ud800", "//[", "9" * 5000, [], {}, [None], [[]], {"a": None})
PICTURE = "https://a.example/1.jpg"

SMALL: dict[str, Any] = {
    "brave": {
        "results": [
            {
                "title": "Bear",
                "url": "https://a.example/1",
                "thumbnail": {"src": PICTURE},
                "properties": {"url": PICTURE, "width": 4, "height": 3},
            }
        ]
    },
    "hf": {
        "cardData": {"license": ["cc-by-4.0"]},
        "splits": [{"dataset": "ann/bears", "config": "default", "split": "train"}],
        "statistics": [{"column_name": "label", "column_statistics": {"frequencies": {"bear": 1}}}],
        "features": [
            {"feature_idx": 0, "name": "image", "type": {"_type": "Image"}},
            {"feature_idx": 1, "name": "label", "type": {"_type": "Value", "dtype": "string"}},
        ],
        "rows": [{"row_idx": 0, "row": {"image": {"src": PICTURE, "height": 3, "width": 4}, "label": "bear"}}],
        "num_rows_total": 1,
        "partial": False,
    },
    "inaturalist": {
        "total_results": 1,
        "results": [
            {
                "uri": "https://a.example/1",
                "taxon": {"name": "Ursus arctos", "preferred_common_name": "Brown Bear"},
                "user": {"login": "ann", "name": "Ann"},
                "photos": [
                    {
                        "id": 1,
                        "url": "https://a.example/square.jpg",
                        "license_code": "cc-by",
                        "attribution": "(c) Ann",
                        "original_dimensions": {"width": 4, "height": 3},
                    }
                ],
            }
        ],
    },
    "openverse": {
        "page_count": 1,
        "results": [
            {
                "id": "1",
                "url": PICTURE,
                "title": "Bear",
                "creator": "Ann",
                "creator_url": "https://a.example/ann",
                "license": "by",
                "license_version": "4.0",
                "license_url": "https://creativecommons.org/licenses/by/4.0/",
                "thumbnail": PICTURE,
                "foreign_landing_url": "https://a.example/1",
                "attribution": "Bear by Ann",
                "filetype": "jpg",
                "width": 4,
                "height": 3,
            }
        ],
    },
    "wikimedia": {
        "batchcomplete": True,
        "continue": {"gsroffset": 50, "continue": "gsroffset||"},
        "query": {
            "pages": [
                {
                    "pageid": 1,
                    "title": "File:Bear.jpg",
                    "index": 1,
                    "imageinfo": [
                        {
                            "url": PICTURE,
                            "thumburl": PICTURE,
                            "descriptionurl": "https://a.example/1",
                            "width": 4000,
                            "height": 3000,
                            "thumbwidth": 1280,
                            "thumbheight": 960,
                            "mime": "image/jpeg",
                            "extmetadata": {
                                "Artist": {"value": "Ann"},
                                "LicenseShortName": {"value": "CC BY 4.0"},
                                "License": {"value": "cc-by-4.0"},
                                "LicenseUrl": {"value": "https://creativecommons.org/licenses/by/4.0"},
                                "Restrictions": {"value": ""},
                            },
                        }
                    ],
                }
            ]
        },
    },
}


def open_source(name: str, url: str) -> SearchBackend:
    options: dict[str, Any] = {"base_url": url, "per_minute": 6e6, "sleep": [].append}
    if name == "hf":
        return HuggingFace("ann/bears", hub_url=url, **options)
    sources: dict[str, Callable[..., SearchBackend]] = {
        "brave": Brave,
        "inaturalist": INaturalist,
        "openverse": Openverse,
        "wikimedia": Wikimedia,
    }
    return sources[name](**options)


def changed(content: Any, odds: int) -> Iterator[Any]:
    """Copies of `content`, in each one field missing, null or one of `odds` odd values in turn.

    Of the fields of one kind, such as the titles of all pictures, only the first is changed.
    """
    kinds: set[tuple[str, ...]] = set()
    for path in paths(content):
        # The older form of an answer has objects with numbers as keys, where the newer one has lists.
        kind = tuple("#" if str(key).isdecimal() else str(key) for key in path)
        if kind in kinds:
            continue
        kinds.add(kind)
        yield without(content, path)
        yield replaced(content, path, None)
        for step in range(odds):
            yield replaced(content, path, ODD[(len(kinds) + step) % len(ODD)])


def paths(content: Any) -> Iterator[tuple[Any, ...]]:
    children = content.items() if isinstance(content, dict) else enumerate(content)
    for key, child in children:
        yield (key,)
        if isinstance(child, dict | list):
            yield from ((key, *path) for path in paths(child))


def without(content: Any, path: tuple[Any, ...]) -> Any:
    copied, parent = copy_to(content, path)
    del parent[path[-1]]
    return copied


def replaced(content: Any, path: tuple[Any, ...], value: Any) -> Any:
    copied, parent = copy_to(content, path)
    parent[path[-1]] = value
    return copied


def copy_to(content: Any, path: tuple[Any, ...]) -> tuple[Any, Any]:
    copied = parent = copy.copy(content)
    for key in path[:-1]:
        parent[key] = copy.copy(parent[key])
        parent = parent[key]
    return copied, parent


def shortened(content: Any, length: int) -> Any:
    """`content` with the first `length` entries of each list: of the others, no field would be changed."""
    if isinstance(content, dict):
        return {key: shortened(value, length) for key, value in content.items()}
    return [shortened(value, length) for value in content[:length]] if isinstance(content, list) else content


def check(hit: ImageHit) -> None:
    for field in fields(hit):
        value = getattr(hit, field.name)
        if field.name in {"rank", "width", "height"}:
            assert value is None or (type(value) is int and value >= (field.name != "rank")), (field.name, value)
        elif value is not None:
            assert type(value) is str, (field.name, value)
            assert value.strip().encode(), (field.name, value)
            assert not field.name.endswith("_url") or value.lower().startswith(("http://", "https://")), value
    assert hit.backend_id
    assert hit.image_url


def try_out(name: str, content: Any, odds: int = 1) -> tuple[int, int]:
    """Search in every changed copy of `content`; the numbers of copies and of hits."""
    body = b""
    tried = found = 0

    def handler(path: str, query: dict[str, str]) -> Answer:
        return 200, {}, body

    with JsonServer(handler) as server:
        source = open_source(name, server.url)
        for version in changed(content, odds):
            body = json.dumps(version).encode()
            tried += 1
            if name == "hf":  # It keeps what it once learned of the data set.
                source = open_source(name, server.url)
            with contextlib.suppress(SourceUnavailable, FolderMissing):
                for hit in source.search("bear", 6):
                    check(hit)
                    found += 1
    return tried, found


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRAVE_API_KEY", "key")
    for name in ("HF_TOKEN", "OPENVERSE_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", SMALL)
def test_a_small_answer(name: str) -> None:
    # All odd values for each field; for data sets, where each takes several requests and a new client, some.
    tried, found = try_out(name, SMALL[name], odds=3 if name == "hf" else len(ODD))
    assert found > tried / 3


@pytest.mark.parametrize(
    "file",
    [
        pytest.param("inaturalist-1", marks=pytest.mark.slow), "inaturalist-4", "openverse-1", "openverse-5",
        "openverse-7", "wikimedia-1", "wikimedia-5",
    ],
)  # fmt: skip
def test_a_recorded_answer(file: str) -> None:
    path: Path = SHARED / "fixtures" / f"{file}.json"
    if not path.is_file():
        pytest.skip(f"the recorded answer {file} (../shared/fixtures) is not on this machine")
    tried, _ = try_out(file.partition("-")[0], shortened(json.loads(path.read_bytes()), 2))
    assert tried > 0


def test_a_recorded_piece_of_an_answer() -> None:
    path: Path = SHARED / "fixtures" / "wikimedia-4.json"
    if not path.is_file():
        pytest.skip("the recorded answer wikimedia-4 (../shared/fixtures) is not on this machine")
    page = {"pageid": 81754323, "title": "File:Lone tree.jpg", "imageinfo": [json.loads(path.read_bytes())]}
    tried, found = try_out("wikimedia", {"query": {"pages": [page]}})
    assert found > tried / 2
