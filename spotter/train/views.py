"""Augmented views of a picture, for small sets: the head learns from their features too."""

from collections.abc import Callable

from PIL import Image, ImageOps

from spotter.data.cache import FeatureCache


def _cut(picture: Image.Image, x: float, y: float) -> Image.Image:
    """Three quarters of the shorter side, as a square at (x, y) of what room there is, both in [0, 1]."""
    side = max(1, round(0.75 * min(picture.size)))
    left, top = round(x * (picture.width - side)), round(y * (picture.height - side))
    return picture.crop((left, top, left + side, top + side))


VIEWS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "mirrored": ImageOps.mirror,
    "upper-left": lambda picture: _cut(picture, 0.2, 0.3),
    "lower-right-mirrored": lambda picture: ImageOps.mirror(_cut(picture, 0.8, 0.7)),
}


def view_caches(plain: FeatureCache) -> list[FeatureCache]:
    """Where the features of each of `VIEWS` are kept, beside those of the pictures themselves."""
    return [FeatureCache(plain.folder, f"{plain.name}-{name}", plain.width) for name in VIEWS]
