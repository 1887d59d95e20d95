import numpy as np
from PIL import Image

from spotter.inference.explain import COLOUR, draw_evidence


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
