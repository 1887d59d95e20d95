"""Which few of many pictures are chosen goes by the pictures alone, and by what they are chosen for."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from spotter.data.dataset import Dataset, Record
from spotter.data.splits import choose_some


def make_set(first: int, last: int) -> Dataset:
    """Four of five pictures are of one class."""
    records = tuple(
        replace(Record("a" if n % 5 else "b", "folder", str(n), "", n, "kept"), sha256=f"{n:064x}")
        for n in range(first, last)
    )
    return Dataset(Path("set"), ("a", "b"), records, ())


def chosen(dataset: Dataset, most: int, name: str = "shift") -> set[str]:
    rows = np.arange(len(dataset.records))
    return {str(dataset.records[row].sha256) for row in choose_some(dataset, rows, most, name)}


def test_of_each_class_the_same_number_is_chosen_as_far_as_there_are() -> None:
    dataset = make_set(0, 100)
    for most, of_a, of_b in ((20, 10, 10), (50, 30, 20), (100, 80, 20), (1000, 80, 20)):
        places = choose_some(dataset, np.arange(100), most, "shift")
        assert np.bincount(dataset.targets[places]).tolist() == [of_a, of_b]
        assert (np.diff(places) > 0).all()
    # A row may be there twice, as two views of a picture are.
    assert choose_some(dataset, np.array([1, 1, 2, 5]), 3, "shift").tolist() in ([0, 1, 3], [0, 2, 3], [1, 2, 3])
    assert not len(choose_some(dataset, np.zeros(0, dtype=np.int64), 3, "shift"))


def test_neither_the_order_nor_a_few_more_pictures_change_much() -> None:
    dataset = make_set(0, 400)
    few = chosen(dataset, 40)
    assert chosen(replace(dataset, records=dataset.records[::-1]), 40) == few
    assert few <= chosen(dataset, 60)
    more = make_set(0, 410)
    new = {str(record.sha256) for record in more.records[400:]}
    assert len(few - chosen(more, 40)) == len(chosen(more, 40) & new) <= 4
    assert len(few & chosen(dataset, 40, "another shift")) < 20
