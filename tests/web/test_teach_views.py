"""The views that the page learns from are those of training: the same pixels, of the same pictures."""

import base64
import hashlib
import itertools
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page

from spotter.config import TrainConfig
from spotter.data.dataset import Dataset, Record
from spotter.images import load_picture, to_square
from spotter.train.views import FAMILIES, SHIFTED, family_of, plan_shifted
from tests.conftest import SHARED
from tests.helpers.drawing import KINDS, draw
from tests.helpers.site import WEB

CODE = """
export { familyOf, makeShifted } from "./src/teach/shifts.ts";
export { planViews } from "./src/teach/lesson.ts";
export { MOST_SHIFTED, SHIFTS, VIEWS } from "./src/teach/types.ts";
"""
# How far apart two views are: their largest difference, and how many bytes differ.
COMPARE = """([size, family, key, squares, views]) => squares.map((square, number) => {
    const bytes = text => Uint8Array.from(atob(text), each => each.charCodeAt(0));
    const [made, wanted] = [taught.makeShifted(bytes(square), size, family, key), bytes(views[number])];
    let [most, count] = [0, 0];
    for (let at = 0; at < size * size * 3; at++) {
        // Written so that a missing byte is far off.
        const off = Math.abs(wanted[at] - made[at]);
        if (off !== 0) count++;
        if (!(off <= most)) most = off;
    }
    return [most, count];
})"""


@pytest.fixture(scope="module")
def taught(page: Page) -> Page:
    """A page of a browser with the code of views and their plan as `taught`."""
    esbuild = WEB / "node_modules" / ".bin" / "esbuild"
    if not (shutil.which("node") and esbuild.exists()):
        pytest.skip("node and the packages of web/ are not here: scripts/build_web")
    command = [str(esbuild), "--bundle", "--format=iife", "--global-name=taught", "--loader=ts"]
    code = subprocess.run(command, input=CODE, cwd=WEB, check=True, capture_output=True, text=True).stdout
    page.goto("about:blank")
    # It is a module otherwise, of which nothing is global.
    page.add_script_tag(content=f"{code}; window.taught = taught;")
    return page


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    """Some photos, where they are on this machine, and drawn pictures."""
    photos = sorted((SHARED / "data" / "bears").glob("*/*.jpg"))[::90]
    return [*(load_picture(path) for path in photos), *(draw(kind, 1) for kind in KINDS)]


@pytest.mark.parametrize("family", list(FAMILIES))
@pytest.mark.parametrize("size", [224, 95])
def test_every_pixel_of_a_view_is_that_of_python(
    taught: Page, pictures: Sequence[Image.Image], family: str, size: int
) -> None:
    for turn in range(3):
        # A key whose first view is of that kind.
        tried = (hashlib.sha256(f"{turn}/{number}".encode()).hexdigest() for number in itertools.count())
        key = next(each for each in tried if family_of(0, each) == family)
        assert taught.evaluate("key => taught.familyOf(0, key)", key) == family
        squares = [to_square(picture, size, "crop") for picture in pictures]
        views = [SHIFTED.make(Image.fromarray(square), np.asarray, 0, key) for square in squares]
        assert any((view != square).any() for view, square in zip(views, squares, strict=True))
        told = [[_in_letters(each) for each in both] for both in (squares, views)]
        found = taught.evaluate(COMPARE, [size, family, key, *told])
        # One of 255, in one of ten thousand: an exponential or a cosine may differ in its last digit.
        assert all(most <= 1 and off <= 1e-4 * 3 * size**2 for most, off in found), found


def _in_letters(pixels: np.ndarray | None) -> str:
    assert pixels is not None
    return base64.b64encode(pixels.tobytes()).decode()


def test_the_kinds_of_a_pictures_views_are_those_of_python(taught: Page) -> None:
    keys = [hashlib.sha256(bytes([number])).hexdigest() for number in range(50)]
    there = taught.evaluate("keys => keys.map(key => [0, 1, 2, 3, 4, 5, 6].map(at => taught.familyOf(at, key)))", keys)
    assert there == [[family_of(number, key) for number in range(7)] for key in keys]


def plan_there(taught: Page, dataset: Dataset, *bounds: int) -> dict[str, int]:
    """How many shifted views the page makes of each picture."""
    script = "([pictures, ...bounds]) => Array.from(taught.planViews(pictures, ...bounds).shifted)"
    told = [{"sha256": each.sha256, "added": each.label, "label": each.label} for each in dataset.records]
    # In any order.
    return dict(taught.evaluate(script, [told[::-1], *bounds]))


def plan_here(dataset: Dataset, config: TrainConfig) -> dict[str, int]:
    plan: dict[str, int] = {}
    for row, _ in plan_shifted(dataset, config):
        key = str(dataset.records[row].sha256)
        plan[key] = plan.get(key, 0) + 1
    return plan


def make_set(counts: dict[str, int]) -> Dataset:
    records = [
        Record(label, "folder", name, "", 0, "kept", file=f"{label}/{name[:32]}.jpg", sha256=name)
        for label, count in counts.items()
        for name in sorted(hashlib.sha256(f"{label}{number}".encode()).hexdigest() for number in range(count))
    ]
    return Dataset(Path(), tuple(counts), tuple(records), ())


@pytest.mark.parametrize("counts", [{"a": 30, "b": 30}, {"a": 7, "b": 190, "c": 3}, {"a": 210, "b": 190}, {"a": 1600}])
def test_a_lesson_has_the_same_views_as_in_training(taught: Page, counts: dict[str, int]) -> None:
    dataset = make_set(counts)
    assert plan_there(taught, dataset) == plan_here(dataset, TrainConfig())


@pytest.mark.parametrize("counts", [{"a": 7, "b": 600, "c": 203}, {"a": 410, "b": 390}, {"a": 11, "b": 30}])
@pytest.mark.parametrize("bounds", [(1, 400, 500), (2, 300, 300), (2, 55, 40), (3, 40, 900)])
def test_where_there_are_too_many_the_same_are_left_out(
    taught: Page, counts: dict[str, int], bounds: tuple[int, int, int]
) -> None:
    dataset = make_set(counts)
    shifts, enough, most = bounds
    config = TrainConfig(shifts=shifts, enough_shifted=enough, most_shifted=most)
    assert plan_there(taught, dataset, *bounds) == plan_here(dataset, config)


def test_features_of_views_are_kept_under_the_same_name(taught: Page) -> None:
    assert taught.evaluate("taught.VIEWS") == SHIFTED.name
