"""Views that a head learns from: always alike, of different kinds, and bounded."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spotter.config import TrainConfig
from spotter.data.cache import FeatureCache
from spotter.data.dataset import Dataset, Record
from spotter.images import to_square
from spotter.train.views import (
    CROPPED,
    FAMILIES,
    SHARES,
    SHIFTED,
    family_of,
    plan_cropped,
    plan_shifted,
    read_views,
    view_key,
)
from tests.helpers.drawing import draw


def square(picture: Image.Image) -> np.ndarray:
    return to_square(picture, 96, "crop")


def make_set(folder: Path, counts: dict[str, int]) -> Dataset:
    records = [
        Record(
            label,
            "folder",
            f"{label}{number}",
            f"{number * 7919 % 997:03}{label}",
            number,
            "kept",
            file="a.jpg",
            sha256=f"{number * 7919 % 9973:04}{label}",
        )
        for label, count in counts.items()
        for number in range(count)
    ]
    return Dataset(folder, tuple(counts), tuple(records), ())


@pytest.mark.parametrize("size", [(640, 480), (300, 900), (96, 96), (40, 30), (2, 2), (2, 500)])
@pytest.mark.parametrize("kind", [CROPPED, SHIFTED], ids=["cropped", "shifted"])
def test_every_view_is_a_square_and_always_the_same(kind, size: tuple[int, int]) -> None:
    picture = draw("disc", 3).resize(size)
    for number in range(3):
        made = [kind.make(picture, square, number, key) for key in ("a", "a", "b")]
        assert all(each.shape == (96, 96, 3) and each.dtype == np.uint8 for each in made)
        assert (made[0] == made[1]).all()


@pytest.mark.parametrize("color", [(0, 0, 0), (255, 255, 255), (200, 30, 10)])
def test_pictures_of_one_colour_have_views_too(color: tuple[int, int, int]) -> None:
    picture = Image.new("RGB", (300, 200), color)
    for number in range(len(FAMILIES)):
        assert SHIFTED.make(picture, square, number, "a").shape == (96, 96, 3)


def test_what_is_distant_is_in_front_of_one_of_the_pictures_corners() -> None:
    # Each quarter has a colour of its own.
    quarters = np.array([[(250, 0, 0), (0, 250, 0)], [(0, 0, 250), (250, 250, 0)]], dtype=np.uint8)
    picture = Image.fromarray(quarters.repeat(48, axis=0).repeat(48, axis=1))
    keys = [key for key in map(str, range(200)) if family_of(0, key) == "distant"]
    grounds = set()
    for key in keys:
        view = SHIFTED.make(picture, square, 0, key)
        colors, counts = np.unique(view.reshape(-1, 3), axis=0, return_counts=True)
        # The ground is at least half of the view, and all four colours are in front of it.
        assert counts.max() > 96 * 96 / 2
        assert {tuple(color) for color in quarters.reshape(-1, 3)} <= {tuple(color) for color in colors}
        grounds.add(tuple(colors[counts.argmax()]))
    assert grounds == {tuple(color) for color in quarters.reshape(-1, 3)}


def test_the_views_of_a_picture_are_of_different_kinds_and_all_kinds_come() -> None:
    for key in map(str, range(50)):
        assert len({family_of(number, key) for number in range(len(FAMILIES))}) == len(FAMILIES)
    first, total = [family_of(0, str(key)) for key in range(800)], sum(SHARES.values())
    assert SHARES.keys() == FAMILIES.keys()
    for family, share in SHARES.items():
        assert first.count(family) == pytest.approx(800 * share / total, abs=40)


def test_each_kind_changes_the_picture() -> None:
    picture = draw("stripes", 1)
    plain = square(picture).astype(float)
    for number in range(len(FAMILIES)):
        assert np.abs(SHIFTED.make(picture, square, number, "x") - plain).mean() > 2, family_of(number, "x")


def test_a_plan_is_bounded_even_and_stays_when_pictures_come(tmp_path: Path) -> None:
    config = TrainConfig(shifts=2, enough_shifted=90, most_shifted=90)
    few = make_set(tmp_path, {"a": 20, "b": 25})
    assert len(plan_shifted(few, config)) == 90
    many = make_set(tmp_path, {"a": 30, "b": 400})
    plan = plan_shifted(many, config)
    assert len(plan) == len(set(plan)) == 90
    first = [row for row, number in plan if number == 0]
    assert len(first) == 90
    assert sum(row < 30 for row in first) == 30
    more = make_set(tmp_path, {"a": 30, "b": 401})
    assert len(set(plan_shifted(more, config)) ^ set(plan)) <= 2
    assert plan_shifted(many, replace(config, shifts=0)) == []


def test_only_small_sets_have_cropped_views(tmp_path: Path) -> None:
    config = TrainConfig(few=10)
    assert len(plan_cropped(make_set(tmp_path, {"a": 5, "b": 5}), config)) == 30
    assert plan_cropped(make_set(tmp_path, {"a": 5, "b": 6}), config) == []


def test_views_that_are_not_cached_are_left_out_and_rows_are_renumbered(tmp_path: Path) -> None:
    plain = FeatureCache(tmp_path, "net", 4)
    plan = [(0, 0), (0, 1), (1, 0), (2, 1)]
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    SHIFTED.cache(plain).add([view_key("a", 1), view_key("b", 0), view_key("c", 1)], values)
    views = read_views(SHIFTED, plain, ["a", "b", "c"], plan)
    assert views.of.tolist() == [0, 1, 2]
    assert (views.features == values).all()
    names = [family_of(1, "a"), family_of(0, "b"), family_of(1, "c")]
    assert views.names.tolist() == names
    kept = views.keep(np.array([True, False, True]))
    assert kept.of.tolist() == [0, 1]
    assert (kept.features == values[[0, 2]]).all()
    assert views.without(names[1]).names.tolist() == [name for name in names if name != names[1]]
