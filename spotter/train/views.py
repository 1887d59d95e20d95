"""Views of pictures that a head learns from too: mirrored and cropped ones, and shifted ones as cameras may give them.

The shifted views are data augmentation for the pictures that will come: at night, far away, out of focus, turned, in
bad light. They are of other kinds and strengths than the shifts that the stress test judges by (see
`spotter.evaluate.shifts`), so that the test asks what the model makes of a change that it has not seen.
"""

import io
import itertools
import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter, ImageOps

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

    First one of each picture, and of each class the same number. It goes by the pictures' hashes, so that a few more
    pictures change few views. `planViews` in `web/src/teach/lesson.ts` is the same.
    """
    rank: dict[str, int] = {}
    slots = []
    for row in sorted(range(len(dataset.records)), key=lambda row: str(dataset.records[row].sha256)):
        label = dataset.records[row].label
        rank[label] = rank.get(label, -1) + 1
        slots += [(number, rank[label], row) for number in range(config.shifts)]
    most = max(config.enough_shifted, min(len(dataset.records), config.most_shifted))
    return sorted((row, number) for number, _, row in sorted(slots)[:most])


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
    drawn = [name for name, share in SHARES.items() for _ in range(share)]
    order = list(dict.fromkeys(drawn[place] for place in _random(key).permutation(len(drawn))))
    return order[number % len(order)]


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
    return np.asarray(FAMILIES[family](Image.fromarray(square(picture)), _random(f"{family}/{key}")), dtype=np.uint8)


def _random(text: str) -> np.random.RandomState:
    """Random numbers of a text. Unlike those of `Generator`, numpy promises that they stay the same."""
    return np.random.RandomState(zlib.crc32(text.encode()))


CROPPED = ViewKind("cropped", _make_cropped, lambda number, key: "cropped")
SHIFTED = ViewKind("shifted-3", _make_shifted, family_of, of_square=True)


def _night(picture: Image.Image, rng: np.random.RandomState) -> Image.Image:
    """Little light and little colour, sometimes a lamp on one side, and the noise of it."""
    color, light = int(256 * rng.uniform(0, 0.7)), rng.uniform(0.15, 0.6)
    has_lamp = rng.random_sample() < 0.5
    x, y, reach = rng.uniform(0.2, 0.8), rng.uniform(0.2, 0.8), rng.uniform(0.3, 0.8)
    noise = int(2**20 * rng.uniform(0.01, 0.07) * 255 / BYTES_SPREAD)
    shine = np.full((1, 1), light)
    if has_lamp:
        places = np.arange(picture.width) / (picture.width - 1)
        down, across = (np.exp(-(((places - middle) / reach) ** 2)) for middle in (y, x))
        shine = light * (0.3 + 2.2 * (down[:, None] * across))
    lit = np.floor(2**12 * shine + 0.5).astype(np.int32)
    grey = np.asarray(picture.convert("L"), dtype=np.int32)
    # One colour after the other, and in place: of so many numbers, most of the time goes into getting memory.
    pixels = np.asarray(picture).transpose(2, 0, 1).astype(np.int32, order="C")
    values = _sums_of_bytes(rng, pixels.shape)
    values *= noise
    pixels -= grey
    pixels *= color
    pixels += grey * 256
    pixels *= lit
    values += pixels
    values += 2**19
    values >>= 20
    return Image.fromarray(np.clip(values, 0, 255, out=values).astype(np.uint8).transpose(1, 2, 0).copy())


# The sum of four bytes is nearly of a normal distribution, around 510 and with this spread.
BYTES_SPREAD = math.sqrt(4 * (256**2 - 1) / 12)


def _sums_of_bytes(rng: np.random.RandomState, shape: tuple[int, ...]) -> np.ndarray:
    """Sums of four random bytes each, less their mean, int32: noise that costs little, and no logarithms."""
    words = rng.randint(0, 2**32, shape, dtype=np.uint32)
    others = words >> 8
    for values in (words, others):
        values &= 0x00FF00FF
    words += others
    np.right_shift(words, 16, out=others)
    words &= 0xFFFF
    words += others
    sums = words.view(np.int32)
    sums -= 510
    return sums


def _soft(picture: Image.Image, rng: np.random.RandomState) -> Image.Image:
    """Without sharp edges."""
    return picture.filter(ImageFilter.GaussianBlur(rng.uniform(1, 4) * picture.width / 224))


def _distant(picture: Image.Image, rng: np.random.RandomState) -> Image.Image:
    """Small, somewhere in front of one of the picture's corners, enlarged.

    In front of a smooth ground, strangers that are far away were near to these views: what is far away is mostly
    ground (docs/decisions/0025).
    """
    side = max(8, int(picture.width * rng.uniform(0.25, 0.7) + 0.5))
    small = picture.resize((side, side), Image.Resampling.BILINEAR)
    part = max(1, picture.width // 4)
    left, top = (_up_to(rng, 1) * (picture.width - part) for _ in range(2))
    ground = picture.crop((left, top, left + part, top + part)).resize(picture.size, Image.Resampling.BILINEAR)
    ground.paste(small, (_up_to(rng, picture.width - side), _up_to(rng, picture.width - side)))
    return ground


def _turned(picture: Image.Image, rng: np.random.RandomState) -> Image.Image:
    """Turned by any angle, half of them mirrored; the corners are filled with the picture's own edge, mirrored."""
    side, edge = picture.width, picture.width // 4
    mirrored = -1 if rng.random_sample() < 0.5 else 1
    angle = math.radians(rng.uniform(-180, 180))
    # Whole steps, so that all the arithmetic of the turn is exact.
    cos, sin = (math.floor(2**16 * share + 0.5) / 2**16 for share in (math.cos(angle), math.sin(angle)))
    wide = Image.fromarray(np.pad(np.asarray(picture), ((edge, edge), (edge, edge), (0, 0)), "reflect"))
    middle = edge + side / 2
    across = (mirrored * cos, -mirrored * sin, middle - mirrored * (cos - sin) * side / 2)
    return wide.transform(
        picture.size,
        Image.Transform.AFFINE,
        (*across, sin, cos, middle - (sin + cos) * side / 2),
        Image.Resampling.BILINEAR,
    )


def _washed(picture: Image.Image, rng: np.random.RandomState) -> Image.Image:
    """Little contrast, a wrong white balance, and few bits a pixel."""
    share = rng.uniform(0.2, 0.6)
    balance = [rng.uniform(0.8, 1.2) for _ in range(3)]
    haze = 255 * (1 - share) * rng.uniform(0.3, 0.95)
    levels = [min(int(level * own * share + haze + 0.5), 255) for own in balance for level in range(256)]
    return Image.fromarray(_keep_few_bits(np.asarray(picture.point(levels)), 48 + _up_to(rng, 48)))


def _up_to(rng: np.random.RandomState, most: int) -> int:
    """A whole number in 0..most."""
    return int(rng.randint(most + 1))


# How often the picture is halved, and a step that no detail reaches.
WAVELETS, EVERY_DETAIL = 4, 1 << 12


def _keep_few_bits(pixels: np.ndarray, step: int) -> np.ndarray:
    """A picture as it is after it was kept in few bits: whole steps, the finest details of so many grey levels.

    No two libraries write the same WebP, and some browsers write none. These are wavelets, in whole numbers.
    Brightness and two differences of colours go through the reversible wavelet of JPEG 2000 (Le Gall and Tabatabai,
    1988). Coarser details have finer steps, as each of them spreads over more pixels. Colours have no finest details,
    and steps twice as large.
    """
    steps = [max(1, step >> level) for level in range(WAVELETS)]
    red, green, blue = pixels.transpose(2, 0, 1).astype(np.int16)
    of_colors = [EVERY_DETAIL, *(2 * each for each in steps[1:])]
    luma = _coarsen((red + 2 * green + blue) >> 2, steps)
    first, second = _coarsen(blue - green, of_colors), _coarsen(red - green, of_colors)
    green = luma - ((first + second) >> 2)
    kept = np.empty_like(pixels)
    for channel, values in enumerate((second + green, green, first + green)):
        kept[..., channel] = np.clip(values, 0, 255)
    return kept


def _coarsen(plane: np.ndarray, steps: Sequence[int]) -> np.ndarray:
    """A plane, int16 (height, width), whose details are whole steps; the first step is that of the finest ones."""
    if not steps or min(plane.shape) < 2:
        return plane
    upper, lower = _split(plane)
    smooth, right = _split(_turn(upper))
    below, both = (_quantise(each, steps[0]) for each in _split(_turn(lower)))
    smooth = _turn(_coarsen(_turn(smooth), steps[1:]))
    return _join(_turn(_join(smooth, _quantise(right, steps[0]))), _turn(_join(below, both)))


def _quantise(details: np.ndarray, step: int) -> np.ndarray:
    """The middle of the step that a detail lies in; 0 if it is smaller than one."""
    whole = np.abs(details)
    whole //= step
    middle = whole * step
    middle[whole > 0] += step // 2
    return np.where(details < 0, -middle, middle)


def _split(plane: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Half of the rows, smoothed, and what they lack: the odd rows less the mean of their neighbours."""
    even, odd = plane[::2], plane[1::2]
    detail = odd - (_neighbours(even, 0, len(odd)) >> 1)
    return even + ((_neighbours(detail, -1, len(even)) + 2) >> 2), detail


def _join(smooth: np.ndarray, detail: np.ndarray) -> np.ndarray:
    """What was split."""
    plane = np.empty((len(smooth) + len(detail), smooth.shape[1]), dtype=smooth.dtype)
    plane[::2] = even = smooth - ((_neighbours(detail, -1, len(smooth)) + 2) >> 2)
    plane[1::2] = detail + (_neighbours(even, 0, len(detail)) >> 1)
    return plane


def _neighbours(rows: np.ndarray, first: int, count: int) -> np.ndarray:
    """The sums of the rows n + first and n + first + 1, for n < count; the rows at the edges go on."""
    before = np.clip(np.arange(first, first + count), 0, len(rows) - 1)
    after = np.clip(np.arange(first + 1, first + 1 + count), 0, len(rows) - 1)
    found: np.ndarray = rows[before] + rows[after]
    return found


def _turn(plane: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(plane.T)


# All of it is repeated in `web/src/teach/shifts.ts`, to the bit: the random numbers and their order, the filters, and
# how numbers are rounded.
FAMILIES: dict[str, Callable[[Image.Image, np.random.RandomState], Image.Image]] = {
    "night": _night,
    "soft": _soft,
    "distant": _distant,
    "turned": _turned,
    "washed": _washed,
}
# How often each kind is drawn. More of those that most of the unanswered pictures would need (docs/decisions/0025).
SHARES = {"night": 2, "soft": 2, "distant": 2, "turned": 2, "washed": 1}


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
