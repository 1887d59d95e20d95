"""The error on sources that training never saw: what counts as one, how it is named, and why nobody knows it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spotter.data.dataset import Dataset, Record
from spotter.evaluate.sources import leave_sources_out, why_unknown
from spotter.train.head import Head
from spotter.train.trained import Trained
from tests.helpers.learnt import make_trained_of

LABELS = ("a", "b", "c")
COUNT, WIDTH = 90, 40


def make_set(*sources: str, sites: int = 0) -> Dataset:
    """`sources` take turns: "folder:siteA" is a folder of several."""

    def record(number: int) -> Record:
        backend, _, origin = sources[number // 3 % len(sources)].partition(":")
        page = f"https://site{number // 3 % sites:02}.example/{number}" if sites else None
        plain = Record(LABELS[number % 3], backend, str(number), "a", number, "kept", file=f"{number}.jpg")
        return replace(plain, group=number, page_url=page, origin=origin or None)

    return Dataset(Path(), LABELS, tuple(map(record, range(COUNT))), ())


def learn(dataset: Dataset) -> Trained:
    targets = dataset.targets
    features = np.eye(3, WIDTH)[targets] * 9 + np.random.default_rng(2).normal(size=(COUNT, WIDTH)) + 2
    head = Head(np.zeros((3, WIDTH), np.float32), np.zeros(3, np.float32), 0.1)
    return make_trained_of(features.astype(np.float32), np.ones(COUNT, dtype=bool), np.eye(3)[targets], head)


def test_two_folders_are_two_sources() -> None:
    dataset = make_set("folder:siteA", "folder:b/siteB")
    trained = learn(dataset)
    # In one folder two classes look the other way round: only who has seen it knows.
    features, one = trained.features.copy(), np.array([record.origin == "siteA" for record in dataset.records])
    features[one] = features[one][:, [1, 0, *range(2, WIDTH)]]
    found = leave_sources_out(replace(trained, features=features), dataset)
    assert found is not None
    assert [name for name, _, _ in found.left_out] == ["folder:b/siteB", "folder:siteA"]
    assert found.wrong == pytest.approx(COUNT * 2 / 3, abs=4)
    assert "each of 2 sources, folder:b/siteB, folder:siteA, left out in turn)" in found.sentence()


GROUPED = "each of 5 groups of sites left out in turn)"


@pytest.mark.parametrize(
    ("sites", "names", "told"),
    [
        (2, {"site00.example", "site01.example"}, "each of 2 sites, site00.example, site01.example, left out in turn)"),
        (
            6,
            {"site00.example, site05.example", "site01.example", "site02.example", "site03.example", "site04.example"},
            GROUPED,
        ),
        (20, {f"site0{n}.example, site0{n + 5}.example and 2 more sites" for n in range(5)}, GROUPED),
    ],
)
def test_sites_are_named_and_of_large_groups_the_largest(sites: int, names: set[str], told: str) -> None:
    dataset = make_set("urls", sites=sites)
    found = leave_sources_out(learn(dataset), dataset)
    assert found is not None
    assert found.kind == "site"
    assert {name for name, _, _ in found.left_out} == names
    assert sum(pictures for _, pictures, _ in found.left_out) == COUNT
    assert told in found.sentence()


def test_files_of_a_list_are_no_site() -> None:
    dataset = make_set("urls", sites=2)
    of_files = (replace(each, page_url=None) if "site01" in str(each.page_url) else each for each in dataset.records)
    dataset = replace(dataset, records=tuple(of_files))
    found = leave_sources_out(learn(dataset), dataset)
    assert found is not None
    assert "each of 2 sites, files, site00.example, left out" in found.sentence()


def test_where_nobody_knows_the_reason_is_the_one_that_applies() -> None:
    alone, one_site, two = make_set("folder"), make_set("urls", sites=1), make_set("openverse", "wikimedia")
    trained = learn(alone)
    rare = (replace(each, backend="openverse" if row < 6 else "folder") for row, each in enumerate(alone.records))
    # Each picture of one source has a twin in the other.
    twins = (replace(each, group=row // 6 * 3 + row % 3) for row, each in enumerate(two.records))
    few = "fewer than 5 pictures of a class are left to learn from"
    for dataset, reason in (
        (alone, "all are from one source"),
        (one_site, "all are from one site, site00.example"),
        (replace(alone, records=tuple(rare)), f"without folder, {few}"),
        (replace(two, records=tuple(twins)), f"without openverse or wikimedia, {few}"),
    ):
        assert leave_sources_out(trained, dataset) is None
        assert why_unknown(trained, dataset) == reason
    part = replace(trained, judged=np.arange(COUNT) < 30)
    assert leave_sources_out(part, two) is None
    assert why_unknown(part, two) == "only a part of the pictures was judged"
