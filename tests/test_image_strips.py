"""Strips of text along an edge: which pictures have one, and when a set is warned about."""

import random

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from spotter.image_strips import describe_strips, has_strip

Color = tuple[int, int, int]
BLACK, WHITE = (0, 0, 0), (255, 255, 255)


def photo(seed: int) -> Image.Image:
    """Light, shade and texture."""
    rng = random.Random(seed)
    picture = Image.new("RGB", (256, 192), (128, 128, 128))
    for cells, weight in ((3, 0.6), (12, 0.5), (48, 0.3)):
        layer = Image.frombytes("RGB", (cells, cells), rng.randbytes(3 * cells * cells))
        picture = Image.blend(picture, layer.resize(picture.size, Image.Resampling.BICUBIC), weight)
    return picture


def with_strip(picture: Image.Image, ground: Color, ink: Color, height: int, top: bool, text: str) -> np.ndarray:
    draw = ImageDraw.Draw(picture)
    first = 0 if top else picture.height - height
    draw.rectangle((0, first, picture.width, first + height - 1), fill=ground)
    draw.text((6, first), text, fill=ink, font=ImageFont.load_default(height * 0.7))
    return np.asarray(picture)


@pytest.mark.parametrize("top", [False, True])
@pytest.mark.parametrize(("ground", "ink"), [(BLACK, WHITE), (WHITE, BLACK), ((20, 30, 90), (250, 220, 60))])
@pytest.mark.parametrize("height", [13, 24])
def test_a_strip_of_date_and_time_is_found_at_either_edge(top: bool, ground: Color, ink: Color, height: int) -> None:
    for seed in range(5):
        assert has_strip(with_strip(photo(seed), ground, ink, height, top, "CAM07 2026-06-12 23:47"))


@pytest.mark.parametrize("height", [3, 13, 24, 80])
def test_an_edge_without_writing_or_a_large_one_is_none(height: int) -> None:
    for seed in range(5):
        assert not has_strip(with_strip(photo(seed), BLACK, WHITE, height, False, ""))
    assert not has_strip(with_strip(photo(1), BLACK, WHITE, 80, False, "CAM07"))


def test_pictures_without_a_strip_have_none() -> None:
    assert not any(has_strip(np.asarray(photo(seed))) for seed in range(40))
    # Something in front of plain paper, a bright sky, one colour, and hardly any pixels.
    paper = Image.new("RGB", (200, 200), WHITE)
    ImageDraw.Draw(paper).ellipse((20, 8, 180, 192), fill=(90, 60, 30))
    assert not has_strip(np.asarray(paper))
    sky = np.repeat(np.linspace(250, 60, 200).astype(np.uint8)[:, None, None], 200, axis=1).repeat(3, axis=2)
    assert not has_strip(sky)
    assert not has_strip(np.zeros((50, 50, 3), dtype=np.uint8))
    assert not any(has_strip(np.zeros((rows, 9, 3), dtype=np.uint8)) for rows in range(1, 12))


def warn(**counts: tuple[int, int]) -> str:
    """What is said of classes with so many strips of so many pictures."""
    targets = np.repeat(np.arange(len(counts)), [pictures for _, pictures in counts.values()])
    strips = np.concatenate([np.arange(pictures) < strips for strips, pictures in counts.values()])
    return describe_strips(tuple(counts), targets, strips)


def test_one_class_that_has_strips_far_more_often_than_another_is_told() -> None:
    told = warn(black=(1, 60), grizzly=(40, 50), teddy=(3, 60))
    assert told.startswith("strips of text along the edge: 40 of 50 grizzly, but 1 of 60 black. ")
    assert warn(black=(0, 10), grizzly=(10, 10))


@pytest.mark.parametrize(
    "counts",
    [
        {"black": (0, 60), "grizzly": (0, 60)},
        {"black": (40, 50), "grizzly": (45, 50)},
        {"black": (0, 60), "grizzly": (4, 60)},
        # So few say nothing, nor does a class that has no pictures.
        {"black": (0, 3), "grizzly": (3, 3)},
        {"black": (0, 0), "grizzly": (30, 30)},
        {"grizzly": (30, 30)},
    ],
)
def test_strips_in_all_classes_in_few_pictures_or_in_one_class_alone_are_not(
    counts: dict[str, tuple[int, int]],
) -> None:
    assert warn(**counts) == ""
