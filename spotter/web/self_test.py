"""The picture by which a visitor's browser finds out whether it decodes pictures as Python does."""

import functools
import io

import numpy as np
from PIL import Image

from spotter.inference.predictor import Predictor

SELF_TEST = "self-test.jpg"
WIDTH, HEIGHT, QUALITY = 480, 360, 88
CANDIDATES = 12
# EXIF: what is stored lies on its side.
ORIENTATION, TURNED = 0x0112, 6


def choose_picture(predictor: Predictor) -> tuple[bytes, list[float]]:
    """Make the picture: the one of some made by code about which the model is least sure. Where it is sure, other
    pixels would not change its answer.

    It is a JPEG, as decoders of JPEG differ (those of PNG cannot), with colours at half the resolution, sharp edges,
    and turned by its EXIF orientation.

    Returns:
        The encoded picture, and the probabilities that the network gives it, in the order of the labels.
    """
    pictures = [_draw(seed) for seed in range(CANDIDATES)]
    # Those of the network: neither a prior of the model nor a second look is in them.
    answers = predictor.probabilities(pictures).tolist()
    chosen = min(range(CANDIDATES), key=lambda number: max(answers[number]))
    return pictures[chosen], answers[chosen]


# The same for every model.
@functools.cache
def _draw(seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    x, y = np.meshgrid(np.linspace(0, 1, WIDTH), np.linspace(0, 1, HEIGHT))
    pixels = np.empty((HEIGHT, WIDTH, 3))
    for channel in range(3):
        across, down, start = *rng.uniform(-1, 1, 2), rng.uniform(60, 190)
        pixels[:, :, channel] = start + 60 * (across * x + down * y)
    for _ in range(24):
        left, top = rng.uniform(0, 1, 2)
        size, colour = rng.uniform(0.02, 0.2), rng.uniform(0, 255, 3)
        pixels[(x - left) ** 2 + (y - top) ** 2 < size**2] = colour
    pixels += rng.normal(0, 6, (HEIGHT, WIDTH, 1))
    exif = Image.Exif()
    exif[ORIENTATION] = TURNED
    buffer = io.BytesIO()
    picture = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    picture.save(buffer, "JPEG", quality=QUALITY, subsampling=2, exif=exif)
    return buffer.getvalue()
