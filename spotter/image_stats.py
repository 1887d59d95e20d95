"""Image statistics: what a picture looks like in a few figures, brightness, contrast, colour, sharpness and size."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

GRID = 40
# Sharpness compares points this far apart, as a share of the shorter side. The network can see about this much detail.
FINE = 224
_GREY = np.array([0.299, 0.587, 0.114], dtype=np.float32)


@dataclass(frozen=True)
class ImageStats:
    """What a picture looks like, roughly.

    `brightness` is the mean of the grey levels and `contrast` their standard deviation, both over 255;
    `colourfulness` that of Hasler and Süsstrunk (Measuring colourfulness in natural images, 2003), over 255;
    `sharpness` the mean difference of close points over the contrast; `side` the shorter side in pixels, rounded down
    to a power of two.
    """

    brightness: float
    contrast: float
    colourfulness: float
    sharpness: float
    side: int


def measure_image(picture: Image.Image) -> ImageStats:
    """Measure what an RGB picture looks like, from a few thousand of its pixels."""
    return measure_samples(*sample_picture(picture))


def sample_picture(picture: Image.Image) -> tuple[list[Image.Image], int]:
    """A grid of a picture's pixels, the same a little to the right and a little lower, and how large it is.

    Returns:
        Three pictures of `GRID` by `GRID`, and `ImageStats.side`. It costs the same for pictures of any size.
    """
    width, height = picture.size
    shorter = min(width, height)
    step = max(1.0, shorter / FINE)
    # Very narrow pictures have nothing to the right.
    right, down = min(step, width / 2), min(step, height / 2)
    places = ((0.0, 0.0), (right, 0.0), (0.0, down))
    boxes = [(x, y, width - right + x, height - down + y) for x, y in places]
    # Converting to arrays here would double the time.
    grids = [picture.resize((GRID, GRID), Image.Resampling.NEAREST, box) for box in boxes]
    return grids, 1 << (shorter.bit_length() - 1)


def measure_samples(grids: list[Image.Image], side: int) -> ImageStats:
    values = np.stack([np.asarray(grid, dtype=np.float32) for grid in grids])
    grey = np.einsum("nhwc,c->nhw", values, _GREY)
    spread = float(grey[0].std())
    red, green, blue = values[0, ..., 0], values[0, ..., 1], values[0, ..., 2]
    first, second = red - green, (red + green) / 2 - blue
    colours = np.hypot(first.std(), second.std()) + 0.3 * np.hypot(first.mean(), second.mean())
    # Pictures of one colour have no contrast to compare with.
    sharpness = float(np.abs(grey[1:] - grey[0]).mean()) / max(spread, 1.0)
    return ImageStats(float(grey[0].mean()) / 255, spread / 255, float(colours) / 255, sharpness, side)


# A difference counts as real if its corrected probability by chance is below this.
REAL = 0.01
DARK, BLURRED, GREY, SMALL = 0.2, 0.06, 0.02, 256
