"""The files of a revision: what was written is what is read."""

from pathlib import Path

import numpy as np
import pytest

from spotter.bundle.format import REFERENCE, THUMBNAILS
from spotter.bundle.reading import read_reference
from spotter.bundle.thumbnails import decode_thumbnails
from spotter.data.dataset import Dataset, Record
from spotter.publish.writing import write_nearest, write_reference
from tests.helpers.drawing import draw, encode


def directions(count: int, width: int) -> np.ndarray:
    rows = np.random.default_rng(5).normal(size=(count, width))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("order", ["C", "F"])
def test_embeddings_come_back_however_they_lie_in_memory(kind: type, order: str, tmp_path: Path) -> None:
    rows = directions(7, 5).astype(kind)
    write_reference(tmp_path / "reference", np.asarray(rows, order=order))
    np.testing.assert_array_equal(read_reference((tmp_path / "reference").read_bytes()), rows.astype(np.float32))


def test_a_part_of_an_array_comes_back(tmp_path: Path) -> None:
    rows = directions(9, 5).astype(np.float32)
    write_reference(tmp_path / "reference", rows[::2])
    np.testing.assert_array_equal(read_reference((tmp_path / "reference").read_bytes()), rows[::2])


def test_views_in_the_reference_get_no_thumbnails(tmp_path: Path) -> None:
    rows = directions(5, 8).astype(np.float32)
    records = []
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(encode(draw("disc", number)))
        records.append(Record("disc", "folder", str(number), "disc", number, "kept", file=f"{number}.jpg"))
    write_reference(tmp_path / REFERENCE, rows)
    dataset = Dataset(tmp_path, ("disc",), tuple(records), ())
    write_nearest(tmp_path, dataset, rows[:3], np.ones(3, dtype=bool), views=2)
    assert decode_thumbnails((tmp_path / THUMBNAILS).read_bytes()).keys() == {0, 1, 2}
