import numpy as np
import pytest
from PIL import Image

from spotter.inference.explain import COLOUR, draw_evidence, draw_frame


def test_evidence_lies_over_the_centred_square_and_the_rest_is_dim() -> None:
    grey = Image.new("RGB", (160, 80), (100, 100, 100))
    evidence = np.full((4, 4), -1.0)
    evidence[1, 3] = 2.0
    drawn = np.asarray(draw_evidence(grey, evidence, (40, 0, 120, 80))).astype(int)
    assert drawn.shape == (80, 160, 3)
    # The square is 40..120; the place (1, 3) is the right end of its second row.
    assert drawn[30, 110, 0] > 150
    assert np.argmax(COLOUR) == np.argmax(drawn[30, 110])
    assert drawn[70, 50].tolist() == [100, 100, 100]
    assert (drawn[:, :40] < 100).all()
    assert (drawn[:, 120:] < 100).all()


def test_no_evidence_is_no_colour() -> None:
    picture = Image.new("RGB", (50, 50), (10, 200, 30))
    assert np.array_equal(np.asarray(draw_evidence(picture, np.zeros((7, 7)), (0, 0, 50, 50))), np.asarray(picture))


def test_evidence_about_padding_is_cut_off() -> None:
    grey = Image.new("RGB", (160, 80), (100, 100, 100))
    evidence = np.zeros((4, 4))
    evidence[0, 0] = evidence[1, 3] = 2.0
    drawn = np.asarray(draw_evidence(grey, evidence, (0, -40, 160, 120))).astype(int)
    assert drawn.shape == (80, 160, 3)
    # The upper row of the square is above the picture; the second one is its upper half.
    assert drawn[20, 140, 0] > 150
    assert drawn[75, 20].tolist() == [100, 100, 100]


@pytest.mark.parametrize("ground", [0, 90, 255])
@pytest.mark.parametrize("box", [(0, 0, 768, 400), (100, 50, 300, 250), (700, 390, 768, 400), (767, 0, 768, 400)])
def test_a_frame_shows_on_dark_and_on_bright_and_stays_inside(ground: int, box: tuple[int, int, int, int]) -> None:
    left, top, right, bottom = box
    picture = Image.new("RGB", (768, 400), (ground,) * 3)
    drawn = np.asarray(draw_frame(picture, box))
    changed = np.argwhere((drawn != ground).any(axis=2))
    assert (changed >= (top, left)).all()
    assert (changed < (bottom, right)).all()
    assert (drawn[top, left:right] == 0).all()
    # Lines are four pixels wide, and less in a narrow box; one of a single pixel has no room for both.
    line = max(1, min(4, (right - left) // 6, (bottom - top) // 6))
    if right - left > 1:
        assert (drawn[top + line, left + line : right - line] == 255).all()
        assert (drawn[top + 2 * line : bottom - 2 * line, left + 2 * line : right - 2 * line] == ground).all()
