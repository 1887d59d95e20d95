"""The drawn sample pictures: what the source promises, and that colour alone does not tell its kinds apart."""

import itertools
from collections.abc import Generator

import numpy as np
import pytest

from spotter.errors import SourceUnavailable
from spotter.images import load_picture
from spotter.search import sample
from spotter.search.sample import Sample

QUERIES = {"grizzly": "grizzly bear", "black": "black bear", "teddy": "teddy bear"}
PER_KIND = 40


@pytest.fixture(scope="module")
def contents() -> dict[str, list[bytes]]:
    return {kind: [hit.content or b"" for hit in Sample().search(query, PER_KIND)] for kind, query in QUERIES.items()}


def test_each_hit_is_described_and_carries_its_picture() -> None:
    hit = next(itertools.islice(Sample().search("Grizzly bear, wild", 8), 7, None))
    assert hit.content is not None
    assert (hit.backend, hit.backend_id, hit.query, hit.rank) == ("sample", "grizzly-0007", "Grizzly bear, wild", 7)
    assert (hit.title, hit.license_id) == ("Drawn grizzly bear 7", "CC0-1.0")
    assert (hit.image_url, hit.path) == (None, None)
    assert load_picture(hit.content).size == (hit.width, hit.height)


@pytest.mark.parametrize("kind", QUERIES)
def test_the_same_index_is_the_same_picture_whatever_was_drawn_before(
    kind: str, contents: dict[str, list[bytes]]
) -> None:
    again = [hit.content for hit in Sample().search(QUERIES[kind].upper(), 3)]
    assert again == contents[kind][:3]


def test_pictures_are_drawn_only_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    draw = sample.draw_picture
    monkeypatch.setattr(sample, "draw_picture", lambda kind, index: drawn.append(index) or draw(kind, index))
    hits = Sample().search("teddy", 1000)
    assert isinstance(hits, Generator)
    assert drawn == []
    next(hits)
    assert drawn == [0]


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_the_limit_is_kept(limit: int) -> None:
    assert [hit.rank for hit in Sample().search("black bear", limit)] == list(range(limit))


def test_no_two_pictures_are_equal(contents: dict[str, list[bytes]]) -> None:
    everything = [content for kind in contents.values() for content in kind]
    assert len(set(everything)) == len(QUERIES) * PER_KIND


def test_every_picture_can_be_read_and_the_shapes_vary(contents: dict[str, list[bytes]]) -> None:
    for kind in contents.values():
        sizes = {load_picture(content).size for content in kind}
        assert all(200 <= side <= 500 for size in sizes for side in size)
        assert {np.sign(width - height) for width, height in sizes} == {-1, 0, 1}


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        ("grizzly", "grizzly"),
        ("Grizzly bear", "grizzly"),
        ("grizzlies in a river", "grizzly"),
        ("BLACK BEAR", "black"),
        ("black", "black"),
        ("black_bear", "black"),
        ("teddy bear", "teddy"),
        ("Teddy", "teddy"),
        ("black teddy bear", "teddy"),
    ],
)
def test_a_kind_is_recognised_by_its_words(query: str, kind: str) -> None:
    assert next(Sample().search(query, 1)).backend_id == f"{kind}-0000"


@pytest.mark.parametrize("query", ["poodle", "bear", "blackberry", ""])
def test_other_queries_are_refused_at_once_with_the_choices(query: str) -> None:
    with pytest.raises(SourceUnavailable, match="only draw grizzly, black and teddy bears") as caught:
        Sample().search(query, 1)
    assert repr(query) in str(caught.value)


def test_colour_alone_does_not_tell_the_kinds_apart(contents: dict[str, list[bytes]]) -> None:
    means = np.array(
        [[np.asarray(load_picture(content)).mean(axis=(0, 1)) for content in kind] for kind in contents.values()]
    )
    centroids = means.mean(axis=1)
    nearest = np.linalg.norm(means[:, :, None] - centroids, axis=-1).argmin(axis=-1)
    assert (nearest == np.arange(len(means))[:, None]).mean() < 0.75
