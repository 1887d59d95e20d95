"""The shifts that judge: squares in and out, always alike, stronger at strength 2, and unlike what is learnt from."""

import numpy as np
import pytest
from PIL import Image

from spotter.evaluate.shifts import GRID, SHIFTS, STRESS
from spotter.images import to_square
from spotter.train.views import FAMILIES, SHIFTED
from tests.helpers.drawing import draw


def square(picture: Image.Image, size: int = 128) -> np.ndarray:
    return to_square(picture, size, "crop")


def photo() -> Image.Image:
    """Smooth colours, edges and fine detail, as a photo has."""
    rng = np.random.default_rng(0)
    smooth = np.array(Image.fromarray(rng.integers(0, 255, (6, 6, 3), dtype=np.uint8)).resize((400, 300)))
    return Image.fromarray((0.7 * smooth + 0.3 * rng.integers(0, 255, smooth.shape)).astype(np.uint8))


@pytest.mark.parametrize("name", list(SHIFTS))
@pytest.mark.parametrize("size", [32, 224, 288])
def test_a_shift_gives_a_square_back_and_always_the_same(name: str, size: int) -> None:
    plain = square(photo(), size)
    for strength in (1, 2):
        shifted = SHIFTS[name].apply(plain, strength, "a")
        assert shifted.shape == plain.shape
        assert shifted.dtype == np.uint8
        assert (shifted == SHIFTS[name].apply(plain, strength, "a")).all()


# Of the others the two strengths are different things, or pixels do not tell.
@pytest.mark.parametrize("name", [name for name in SHIFTS if name not in {"drawn", "tilted", "far"}])
def test_the_second_strength_is_further_from_the_picture(name: str) -> None:
    pictures = [square(photo()), square(draw("disc", 1)), square(draw("stripes", 2))]

    def distance(strength: int) -> float:
        shifted = [(each, SHIFTS[name].apply(each, strength, str(key))) for each in pictures for key in range(4)]
        return float(np.mean([np.abs(made - each.astype(float)).mean() for each, made in shifted]))

    assert 0 < distance(1) < distance(2)


def test_no_view_that_is_learnt_from_is_one_that_judges() -> None:
    picture = photo()
    learnt = [SHIFTED.make(picture, square, number, str(key)) for number in range(len(FAMILIES)) for key in range(4)]
    for name, strength in GRID:
        shifted = SHIFTS[name].apply(square(picture), strength, "0").astype(float)
        nearest = min(np.abs(view - shifted).mean() for view in learnt)
        # Grey levels: alike they may be, the same they are not.
        assert nearest > 0.5, (name, strength)


def test_every_family_it_may_have_learnt_is_one() -> None:
    assert {shift.family for shift in SHIFTS.values()} - {""} == set(FAMILIES)


def test_where_nothing_is_left_there_is_no_view() -> None:
    # Neither noise nor text is something to see.
    plain = Image.new("RGB", (300, 200), (90, 90, 90))
    assert all(STRESS.make(plain, square, number, "a") is None for number in range(len(GRID)))
    dim = Image.fromarray((np.asarray(photo()) * 0.04).astype(np.uint8))
    gone = {GRID[number] for number in range(len(GRID)) if STRESS.make(dim, square, number, "a") is None}
    assert {("dark", 2), ("fog", 2)} <= gone
    assert not {("grey", 1), ("infrared", 1), ("infrared", 2), ("text", 2)} & gone
    assert all(STRESS.make(photo(), square, number, "a") is not None for number in range(len(GRID)))
    assert STRESS.shows(3, "a") == "/".join(map(str, GRID[3]))
