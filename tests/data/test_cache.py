"""What was computed of pictures is kept as it is computed, found again, and never trusted when damaged."""

import resource
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spotter.collect.collector import collect
from spotter.config import TrainConfig
from spotter.data.cache import MOST_SMALL_FILES, FeatureCache, measure_once
from spotter.data.dataset import Dataset
from spotter.errors import DatasetUnwritable
from spotter.recipe import make_recipe
from spotter.search.folder import Folder
from spotter.train.backbone import compute_features, load_backbone, readable
from spotter.train.features import Backbone
from tests.helpers.drawing import KINDS, draw, encode, write_folder


def keys(*numbers: int) -> list[str]:
    return [f"{number:064x}" for number in numbers]


def rows(*numbers: int, width: int = 8) -> np.ndarray:
    return np.array([np.full(width, number) for number in numbers], dtype=np.float32)


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return load_backbone(TrainConfig())


def collected(tmp_path: Path, source: Path) -> Dataset:
    recipe = make_recipe({kind: kind for kind in KINDS}, name="shapes")
    return collect(recipe, [Folder(str(source))], tmp_path / "set")


def test_features_are_found_by_the_hash_of_the_picture(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, "net", 8)
    cache.add(keys(1, 2, 3), rows(1, 2, 3))
    cache.add(keys(4), rows(4))
    features, known = cache.read(keys(4, 9, 2))
    assert known.tolist() == [True, False, True]
    assert features[known].tolist() == rows(4, 2).tolist()
    assert not FeatureCache(tmp_path, "other", 8).read(keys(1))[1].any()
    assert not FeatureCache(tmp_path, "net", 9).read(keys(1))[1].any()


def test_many_small_files_become_few_and_lose_what_is_gone(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, "net", 8)
    for number in range(MOST_SMALL_FILES):
        cache.add(keys(number), rows(number))
    now = range(5, MOST_SMALL_FILES)
    cache.tidy(keys(*now), rows(*now))
    assert len(list(tmp_path.iterdir())) == MOST_SMALL_FILES
    cache.add(keys(98, 99), rows(98, 99))
    cache.add(keys(100), rows(100))
    cache.tidy(keys(*now, 98, 99, 100), rows(*now, 98, 99, 100))
    assert len(list(tmp_path.iterdir())) == 1
    features, known = cache.read(keys(*now, 98, 99, 100, 0))
    assert known.tolist() == [True] * (len(now) + 3) + [False]
    assert features[-2].tolist() == rows(100)[0].tolist()


def test_a_full_disk_is_told_and_leaves_no_half_file(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, "net", 1280)
    cache.add(keys(1), rows(1, width=1280))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(DatasetUnwritable, match=r"cannot be saved in .*; make room and run the same command"):
            cache.add(keys(*range(2, 30)), rows(*range(2, 30), width=1280))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(list(tmp_path.iterdir())) == 1
    assert cache.read(keys(1, 2))[1].tolist() == [True, False]


def stored_features(base: Path) -> list[Path]:
    return sorted(path for path in (base / "set" / "features").iterdir() if "-spread." not in path.name)


def test_ten_more_pictures_cost_ten_pictures(tmp_path: Path, backbone: Backbone) -> None:
    source = write_folder(tmp_path / "source", count=6)
    dataset = collected(tmp_path, source)
    first = compute_features(backbone, dataset)
    for number in range(100, 110):
        (source / "disc" / f"{number}.jpg").write_bytes(encode(draw("disc", number)))
    more = collected(tmp_path, source)
    features = compute_features(backbone, more)
    old, new = stored_features(tmp_path)
    assert new.stat().st_size < old.stat().st_size
    place = {record.sha256: row for record, row in zip(more.records, features, strict=True)}
    assert all((place[record.sha256] == row).all() for record, row in zip(dataset.records, first, strict=True))
    again = tmp_path / "again"
    assert np.array_equal(compute_features(backbone, collected(again, source)), features)


def test_what_else_is_made_of_a_picture_is_made_once_while_it_is_decoded(tmp_path: Path, backbone: Backbone) -> None:
    dataset = collected(tmp_path, write_folder(tmp_path / "source", count=5))
    dataset.paths[1].write_bytes(b"cut")
    seen: list[tuple[Path, tuple[int, int]]] = []
    compute_features(backbone, dataset, look=lambda path, picture: seen.append((path, picture.size)))
    whole = [path for row, path in enumerate(dataset.paths) if row != 1]
    assert sorted(seen) == sorted((path, Image.open(path).size) for path in whole)
    compute_features(backbone, dataset, look=lambda path, picture: seen.append((path, picture.size)))
    assert len(seen) == len(whole)


def test_a_run_cut_short_goes_on_from_what_it_had_computed(tmp_path: Path, backbone: Backbone) -> None:
    dataset = collected(tmp_path, write_folder(tmp_path / "source", count=6))
    content = dataset.paths[9].read_bytes()
    dataset.paths[9].write_bytes(b"cut")
    features = compute_features(backbone, dataset, part=4)
    assert np.flatnonzero(~features.any(axis=1)).tolist() == [9]
    left, of_left = readable(dataset, features)
    assert [record for record in dataset.records if record not in left.records] == [dataset.records[9]]
    assert np.array_equal(of_left, np.delete(features, 9, axis=0))
    assert len(stored_features(tmp_path)) == 5
    # Were they computed again, the eighth would not be found.
    dataset.paths[7].unlink()
    dataset.paths[9].write_bytes(content)
    features = compute_features(backbone, dataset, part=100)
    assert len(stored_features(tmp_path)) == 6
    assert features.any(axis=1).all()


def test_what_was_measured_is_not_measured_again(tmp_path: Path) -> None:
    path, measured = tmp_path / "features" / "x.json", []

    def measure(index: int) -> list[int]:
        measured.append(index)
        return [index]

    assert measure_once(path, keys(1, 2, 3), measure, [9]) == [[0], [1], [2]]
    assert measure_once(path, keys(3, 7, 1), measure, [9]) == [[2], [1], [0]]
    assert sorted(measured) == [0, 1, 1, 2]
    # Two was gone, and is forgotten.
    assert measure_once(path, keys(2), measure, [9]) == [[0]]
    path.write_text('{"half')
    assert measure_once(path, keys(1), measure, [9]) == [[0]]
    assert measure_once(tmp_path / "y.json", [None, None], measure, [9]) == [[0], [1]]


def test_what_was_measured_before_a_failure_is_kept(tmp_path: Path) -> None:
    def measure(index: int, last: int) -> int:
        if index > last:
            raise DatasetUnwritable("The disk is full.")
        return index

    path, many = tmp_path / "x.json", keys(*range(1500))
    with pytest.raises(DatasetUnwritable):
        measure_once(path, many, lambda index: measure(index, 1200), -1)
    with pytest.raises(DatasetUnwritable):
        measure_once(path, many[:1001], lambda index: measure(index, -1), -1)
    assert measure_once(path, many[:1000], lambda index: measure(index, -1), -1) == list(range(1000))
