"""Views of pictures that a head learns from too: mirrored and cropped ones, and shifted ones as cameras may give them.

The shifted views are data augmentation for the pictures that will come: at night, far away, out of focus, half hidden,
turned, in bad light. They are of other kinds and strengths than the shifts that the stress test judges by (see
`spotter.evaluate.shifts`), so that the test asks what the model makes of a change that it has not seen.
"""

import io
import itertools
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from spotter.config import TrainConfig
from spotter.data.cache import FeatureCache
from spotter.data.dataset import Dataset

# What makes a view of a picture: the picture, how it becomes the square that the network sees, and its SHA-256.
Square = Callable[[Image.Image], np.ndarray]
Change = Callable[[Image.Image, np.random.Generator], Image.Image]


@dataclass(frozen=True)
class Views:
    """Features of views, float32 (m, width); `of`, int64 (m,): which row of the set each is a view of; `names` (m,):
    what each shows. `seen` (m,), where that was wanted: what the network saw, None of a view that was read from the
    cache."""

    features: np.ndarray
    of: np.ndarray
    names: np.ndarray
    seen: "Sequence[Seen | None]" = ()

    def keep(self, rows: np.ndarray) -> "Views":
        """The views of some rows of the set, bool (n,), numbered as in a set of these alone."""
        kept = rows[self.of]
        return Views(self.features[kept], (np.cumsum(rows) - 1)[self.of[kept]], self.names[kept])

    def without(self, name: str) -> "Views":
        """All but those that show this."""
        kept = self.names != name
        return Views(self.features[kept], self.of[kept], self.names[kept])


@dataclass(frozen=True)
class Seen:
    """A view as a network saw it: `pixels`, uint8 (size, size, 3), and what each place of it added to each class of a
    head, `activation`, float32 (classes, rows, columns)."""

    pixels: np.ndarray
    activation: np.ndarray


@dataclass(frozen=True)
class ViewKind:
    """A kind of views. `name` is that of its cache, to be changed when a view is made in another way.

    `make` gives the view of a number as a square, uint8 (size, size, 3), or None when nothing is left to be seen;
    `shows` says what that number of a picture shows. Those `of_square` are made of the picture's square alone.
    """

    name: str
    make: Callable[[Image.Image, Square, int, str], np.ndarray | None]
    shows: Callable[[int, str], str]
    of_square: bool = False

    def cache(self, plain: FeatureCache) -> FeatureCache:
        """Where the features of the views are kept, beside those of the pictures themselves."""
        return FeatureCache(plain.folder, f"{plain.name}-{self.name}", plain.width)


def join_views(first: Views | None, second: Views) -> Views:
    """Both kinds of views."""
    if first is None:
        return second
    return Views(
        np.concatenate([first.features, second.features]),
        np.concatenate([first.of, second.of]),
        np.concatenate([first.names, second.names]),
    )


def plan_cropped(dataset: Dataset, config: TrainConfig) -> list[tuple[int, int]]:
    """Which mirrored and cropped views to make: (row of the set, number of the view)."""
    if len(dataset.records) > config.few:
        return []
    return [(row, number) for row in range(len(dataset.records)) for number in range(len(_CROPS))]


def plan_shifted(dataset: Dataset, config: TrainConfig) -> list[tuple[int, int]]:
    """Which shifted views to make: (row of the set, number of the view).

    Of too many, first one of each picture, and of each class the same number. It goes by the pictures' hashes, so that
    a few more pictures change few views.
    """
    rank: dict[str, int] = {}
    slots = []
    for row in sorted(range(len(dataset.records)), key=lambda row: str(dataset.records[row].sha256)):
        label = dataset.records[row].label
        rank[label] = rank.get(label, -1) + 1
        slots += [(number, rank[label], row) for number in range(config.shifts)]
    return sorted((row, number) for number, _, row in sorted(slots)[: config.most_shifted])


def plan_views(dataset: Dataset, config: TrainConfig) -> tuple[tuple[ViewKind, list[tuple[int, int]]], ...]:
    """The kinds of views that a head may learn from, cropped and shifted, each with its plan."""
    return (CROPPED, plan_cropped(dataset, config)), (SHIFTED, plan_shifted(dataset, config))


def read_views(kind: ViewKind, plain: FeatureCache, keys: Sequence[str], plan: Sequence[tuple[int, int]]) -> Views:
    """The views of a plan whose features are in the cache.

    Args:
        keys: the SHA-256 of the pictures.
    """
    return gather_views(kind, keys, plan, find_views(kind, plain, keys, plan), plain.width)


def find_views(
    kind: ViewKind, plain: FeatureCache, keys: Sequence[str], plan: Sequence[tuple[int, int]]
) -> dict[str, np.ndarray]:
    """What the cache has of a plan: `view_key` -> float32 (width,)."""
    names = [view_key(keys[row], number) for row, number in plan]
    features, there = kind.cache(plain).read(names)
    return dict(zip(itertools.compress(names, there), features[there], strict=True))


def gather_views(
    kind: ViewKind,
    keys: Sequence[str],
    plan: Sequence[tuple[int, int]],
    found: Mapping[str, np.ndarray],
    width: int,
    seen: Mapping[str, Seen] | None = None,
) -> Views:
    """The views of a plan, in its order, as far as their features were `found` under their `view_key`."""
    there = [(row, number) for row, number in plan if view_key(keys[row], number) in found]
    features = [found[view_key(keys[row], number)] for row, number in there]
    return Views(
        np.array(features, dtype=np.float32).reshape(len(there), width),
        np.array([row for row, _ in there], dtype=np.int64),
        np.array([kind.shows(number, keys[row]) for row, number in there], dtype=str),
        () if seen is None else [seen.get(view_key(keys[row], number)) for row, number in there],
    )


def view_key(key: str, number: int) -> str:
    """What the features of a view are kept under."""
    return f"{key}-{number}"


def family_of(number: int, key: str) -> str:
    """The kind of shift that a view of this number shows; those of one picture are of different kinds."""
    order = np.random.default_rng(zlib.crc32(key.encode())).permutation(len(FAMILIES))
    return list(FAMILIES)[order[number % len(FAMILIES)]]


def _cut(picture: Image.Image, x: float, y: float) -> Image.Image:
    """Three quarters of the shorter side, as a square at (x, y) of what room there is, both in [0, 1]."""
    side = max(1, round(0.75 * min(picture.size)))
    left, top = round(x * (picture.width - side)), round(y * (picture.height - side))
    return picture.crop((left, top, left + side, top + side))


_CROPS: tuple[Callable[[Image.Image], Image.Image], ...] = (
    ImageOps.mirror,
    lambda picture: _cut(picture, 0.2, 0.3),
    lambda picture: ImageOps.mirror(_cut(picture, 0.8, 0.7)),
)


def _make_cropped(picture: Image.Image, square: Square, number: int, key: str) -> np.ndarray:
    return square(_CROPS[number](picture))


def _make_shifted(picture: Image.Image, square: Square, number: int, key: str) -> np.ndarray:
    family = family_of(number, key)
    rng = np.random.default_rng(zlib.crc32(f"{family}/{key}".encode()))
    return np.asarray(FAMILIES[family](Image.fromarray(square(picture)), rng), dtype=np.uint8)


CROPPED = ViewKind("cropped", _make_cropped, lambda number, key: "cropped")
SHIFTED = ViewKind("shifted-1", _make_shifted, family_of, of_square=True)


def _night(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Little light and little colour, sometimes a lamp on one side, and the noise of it."""
    values = pixel_values(ImageEnhance.Color(picture).enhance(rng.uniform(0, 0.7))) * rng.uniform(0.15, 0.6)
    if rng.random() < 0.5:
        size = values.shape[0]
        rows, columns = np.ogrid[0 : 1 : size * 1j, 0 : 1 : size * 1j]
        x, y = rng.uniform(0.2, 0.8, 2)
        far = np.hypot(rows - y, columns - x)[..., None] / rng.uniform(0.3, 0.8)
        values = values * (0.3 + 2.2 * np.exp(-(far**2)))
    return as_picture(values + rng.uniform(0.01, 0.07) * rng.standard_normal(values.shape, dtype=np.float32))


def _soft(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Without sharp edges."""
    return picture.filter(ImageFilter.GaussianBlur(rng.uniform(1, 4) * picture.width / 224))


def _distant(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Small, somewhere in the picture, on colours of its own."""
    side = max(8, round(picture.width * rng.uniform(0.25, 0.7)))
    small = picture.resize((side, side), Image.Resampling.BILINEAR, reducing_gap=2.0)
    ground = picture.resize((2, 2), Image.Resampling.BOX).resize(picture.size, Image.Resampling.BILINEAR)
    ground.paste(small, tuple(rng.integers(picture.width - side + 1, size=2).tolist()))
    return ground


def _covered(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Behind one to three rectangles (random erasing: Zhong et al., AAAI 2020)."""
    covered = picture.copy()
    for _ in range(int(rng.integers(1, 4))):
        width, height = (int(picture.width * share) for share in rng.uniform(0.2, 0.6, 2))
        color = tuple(rng.integers(0, 200, 3).tolist())
        x, y = rng.integers(picture.width - width + 1), rng.integers(picture.height - height + 1)
        covered.paste(color, (int(x), int(y), int(x) + width, int(y) + height))
    return covered


def _turned(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Turned by any angle, half of them mirrored; the corners are filled with the picture's own edge, mirrored."""
    edge = picture.width // 4
    source = ImageOps.mirror(picture) if rng.random() < 0.5 else picture
    wide = Image.fromarray(np.pad(np.asarray(source), ((edge, edge), (edge, edge), (0, 0)), "reflect"))
    turned = wide.rotate(rng.uniform(-180, 180), Image.Resampling.BILINEAR)
    return turned.crop((edge, edge, edge + picture.width, edge + picture.height))


def _washed(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Little contrast, a wrong white balance, and few bits a pixel."""
    share = rng.uniform(0.2, 0.6)
    values = pixel_values(picture) * rng.uniform(0.8, 1.2, 3).astype(np.float32)
    washed = as_picture(values * share + (1 - share) * rng.uniform(0.3, 0.95))
    return recompress(washed, "WEBP", int(rng.integers(12)))


FAMILIES: dict[str, Change] = {
    "night": _night,
    "soft": _soft,
    "distant": _distant,
    "covered": _covered,
    "turned": _turned,
    "washed": _washed,
}


def pixel_values(picture: Image.Image) -> np.ndarray:
    """The pixels of an RGB or grey picture: float32 in [0, 1], (height, width, 3 or 1)."""
    values = np.asarray(picture, dtype=np.float32) / 255
    return values if values.ndim == 3 else values[..., None]


def as_picture(values: np.ndarray) -> Image.Image:
    """An RGB picture of values in [0, 1], cut off there, (height, width, 3 or 1)."""
    scaled = np.clip(values, 0, 1)
    # In place: of so many pictures, most of the time goes into getting memory.
    scaled *= 255
    scaled += 0.5
    pixels = scaled.astype(np.uint8)
    return Image.fromarray(pixels if pixels.shape[2] == 3 else np.repeat(pixels, 3, axis=2))


def recompress(picture: Image.Image, kind: str, quality: int) -> Image.Image:
    """A picture after it was saved as "JPEG" or "WEBP"."""
    file = io.BytesIO()
    picture.save(file, kind, quality=quality)
    with Image.open(file) as decoded:
        return decoded.convert("RGB")
