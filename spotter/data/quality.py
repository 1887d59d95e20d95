"""Image quality checks: blank, blurred, drawn, pages of text, or far from their class.

A flag is a question to a person. Nothing is deleted here.
"""

import functools
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from PIL import Image
from scipy import ndimage

from spotter.data.cache import FOLDER, PART, measure_once
from spotter.data.dataset import Dataset
from spotter.data.image_stats import measure_images
from spotter.image_stats import ImageStats, measure_image
from spotter.image_strips import describe_strips, has_strip
from spotter.images import load_picture

# In the order in which flags are given.
QUALITY_FLAGS: dict[str, str] = {
    "blank": "almost one colour",
    "dark": "almost black all over",
    "light": "almost white all over",
    "blurry": "no sharp edge anywhere",
    "odd-aspect-ratio": "much longer than it is wide, or the other way round",
    "tiny": "very few pixels",
    "drawing": "hardly any soft shades, as photos have: maybe a drawing, a chart or a sign",
    "text": "looks like a page of text, a comic or a web page",
    "screenshot": "flat areas with long straight edges, like a screen",
    "far-from-class": "unlike the other pictures of its class",
}

# Classes of ImageNet, in the order of its published list: web site, comic book, crossword puzzle, book jacket, menu.
IMAGENET_PAGES = (916, 917, 918, 921, 922)

MEASURED_SIDE = 256
# To be raised when pictures are measured in another way: what was measured before is then not read.
MEASURE = 4
# A line is straight from this many pixels on, of `MEASURED_SIDE`.
STRAIGHT = 20
# Mean brightness (0..1) below which a picture counts as dark, and the channel difference below which it is grey; of a
# picture scaled to so many pixels.
DARK, GREY, TONE_SIDE = 0.2, 20, 64
# What red, green and blue count, in grey, and squared in how bright a pixel looks (as CleanVision has it). In float32:
# half of the time, and no flag depends on the last digits.
_GREY = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_BRIGHT = np.array([0.241, 0.691, 0.068], dtype=np.float32)
# Fewer pixels than this across show no shades, edges or lines.
_MEASURABLE = 8


@dataclass(frozen=True)
class QualityConfig:
    """From where on a picture is flagged. Shares are of the pixels of a picture scaled to `MEASURED_SIDE`.

    Brightness is 0..1; `dark` bounds its 99th and `light` its 5th percentile; `odd_aspect_ratio` is the shorter side
    over the longer: all three are those of CleanVision. `blurry` bounds the Laplacian's 99th percentile (grey levels).
    `far_spreads` is how many robust standard deviations below its class's median a picture may lie; each is compared
    with at most `far_compared` others.
    """

    one_colour: float = 0.98
    dark: float = 0.32
    light: float = 0.95
    blurry: float = 16.0
    odd_aspect_ratio: float = 0.35
    tiny_side: int = 100
    drawn_soft: float = 0.16
    drawn_sharp_steps: float = 0.25
    drawn_lone_steps: float = 0.4
    few_colours: float = 0.75
    text_sharp: float = 0.15
    text_lone_steps: float = 0.1
    page_probability: float = 0.1
    screen_flat: float = 0.5
    screen_straight: float = 0.5
    far_neighbours: int = 20
    far_spreads: float = 3.25
    far_min_pictures: int = 10
    far_min_spread: float = 0.01
    far_compared: int = 4000


@dataclass(frozen=True)
class Measured:
    """What the pixels of a picture tell: its flags, whether it is dark, whether it is black and white, whether it has a
    strip of text along an edge, and its statistics."""

    flags: list[str]
    is_dark: bool
    is_grey: bool
    has_strip: bool
    looks: ImageStats


def measure_picture(picture: Image.Image, config: QualityConfig | None = None) -> Measured:
    """Measure an RGB picture."""
    small = picture.copy()
    small.thumbnail((MEASURED_SIDE, MEASURED_SIDE), Image.Resampling.BOX)
    pixels = np.asarray(small)
    flags = _flags_of_pixels(picture.size, pixels, config or QualityConfig())
    return Measured(sorted(flags), *_tones(small), has_strip(pixels), measure_image(picture))


def measure_into(measured: dict[Path, Measured]) -> Callable[[Path, Image.Image], None]:
    """A function that measures a picture and keeps that by its file."""

    def measure(path: Path, picture: Image.Image) -> None:
        measured[path] = measure_picture(picture)

    return measure


def find_quality_flags(
    dataset: Dataset,
    features: np.ndarray,
    config: QualityConfig | None = None,
    imagenet_logits: np.ndarray | None = None,
    measured: Mapping[Path, Measured] = MappingProxyType({}),
) -> list[tuple[str, ...]]:
    """Flag the pictures of `dataset` that a person should look at; the flags are keys of `QUALITY_FLAGS`.

    Args:
        features: float32 (n, features), pooled features of `dataset.records` in their order.
        imagenet_logits: float32 (n, 1000), if the backbone still has its ImageNet classifier: it knows pages of text.
        measured: what is known of pictures already, by their file, measured with the same `config`.

    Returns:
        For each record its flags, in the order of `QUALITY_FLAGS`; an empty tuple for most.

    Raises:
        DatasetUnwritable: what was measured cannot be stored.
    """
    config = config or QualityConfig()
    flags = [set(found) for found, *_ in _measure(dataset, config, measured)]
    for index in np.flatnonzero(_far_from_class(dataset, features, config)):
        flags[index].add("far-from-class")
    if imagenet_logits is not None:
        parts = [imagenet_logits[start : start + PART] for start in range(0, len(imagenet_logits), PART)]
        pages = np.concatenate([_page_probability(part) for part in parts])
        for index in np.flatnonzero(pages >= config.page_probability):
            # What is already known to be a screen or empty needs no second name.
            if not flags[index] & {"screenshot", "blank"}:
                flags[index].add("text")
    return [tuple(flag for flag in QUALITY_FLAGS if flag in found) for found in flags]


def measure_tones(dataset: Dataset) -> np.ndarray:
    """Whether each picture is dark, and whether it is black and white: bool (n, 2).

    Raises:
        DatasetUnwritable: what was measured cannot be stored.
    """
    return np.array([tones for _, *tones, _ in _measure(dataset, QualityConfig())], dtype=bool).reshape(-1, 2)


def tell_strips(dataset: Dataset) -> str:
    """A warning where one class has strips of text along an edge far more often than another; "" where none has.

    Raises:
        DatasetUnwritable: what was measured cannot be stored.
    """
    strips = np.array([strip for *_, strip in _measure(dataset, QualityConfig())], dtype=bool)
    return describe_strips(dataset.labels, dataset.targets, strips)


def _measure(
    dataset: Dataset, config: QualityConfig, measured: Mapping[Path, Measured] = MappingProxyType({})
) -> list[tuple[list[str], bool, bool, bool]]:
    """For each picture the flags that its pixels tell, its tones, and whether it has a strip, from one decoding."""
    settings, paths = hashlib.sha256(f"{MEASURE}{config}".encode()).hexdigest()[:12], dataset.paths

    keys = [record.sha256 for record in dataset.records]
    looks: dict[int, ImageStats] = {}

    def measure(index: int) -> tuple[list[str], bool, bool, bool]:
        found = measured.get(paths[index]) or measure_picture(load_picture(paths[index]), config)
        # The next run compares them with those of that one, and would decode all of them for it.
        looks[index] = found.looks
        return found.flags, found.is_dark, found.is_grey, found.has_strip

    nothing: tuple[list[str], bool, bool, bool] = [], False, False, False
    found = measure_once(dataset.folder / FOLDER / f"quality-{settings}.json", keys, measure, nothing)
    if looks:
        measure_images(dataset.folder, keys, paths, looks)
    return found


def _tones(small: Image.Image) -> tuple[bool, bool]:
    """Whether a picture that was scaled to `MEASURED_SIDE` is dark, and whether it is black and white; it is made
    smaller still."""
    small.thumbnail((TONE_SIDE, TONE_SIDE), Image.Resampling.BOX)
    values = np.asarray(small, dtype=np.float32)
    colourful = np.percentile(values.max(axis=2) - values.min(axis=2), 98)
    # A dark picture has no colours to speak of, whatever it was taken with.
    dark = bool((values @ _GREY).mean() < 255 * DARK)
    return dark, bool(colourful <= GREY) and not dark


def _flags_of_pixels(size: tuple[int, int], pixels: np.ndarray, config: QualityConfig) -> set[str]:
    """The flags of a picture of a size that was scaled to `MEASURED_SIDE`, uint8 (h, w, 3)."""
    # One channel after the other: numpy goes through such rows several times faster.
    channels = np.ascontiguousarray(pixels.transpose(2, 0, 1))
    brightness = _brightness(channels)
    flags = {
        "tiny": min(size) < config.tiny_side,
        "odd-aspect-ratio": min(size) / max(size) < config.odd_aspect_ratio,
        "dark": _percentile_is_below(brightness, 99, config.dark),
        # The 5th percentile, seen from the other end.
        "light": _percentile_is_below(-brightness, 95, -config.light),
    }
    found = {flag for flag, raised in flags.items() if raised}
    if min(pixels.shape[:2]) < _MEASURABLE:
        return found
    return found | _flags_of_shades(channels, _twice_the_median(pixels), config)


def _flags_of_shades(channels: np.ndarray, twice_the_median: np.ndarray, config: QualityConfig) -> set[str]:
    """Tell blank, blurred, drawn, written and screen pictures by how neighbouring pixels differ.

    A photo is full of soft steps; drawings, text and screens are flat areas with sharp steps between them.
    """
    values = channels.astype(np.int16)
    # Twice the distance from the median, which may lie between two whole numbers.
    away = np.abs(2 * values - twice_the_median[:, None, None]).max(axis=0)
    if (away <= 2 * 16).mean() >= config.one_colour:
        return {"blank"}
    across = np.abs(np.diff(values, axis=2)).max(axis=0)[:-1]
    down = np.abs(np.diff(values, axis=1)).max(axis=0)[:, :-1]
    step = np.maximum(across, down)
    soft, sharp, flat = (step > 4) & (step <= 24), step > 48, step <= 2

    red, green, blue = values[:, :-1, :-1] >> 4
    colour = red << 8 | green << 4 | blue
    counts = np.bincount(colour.ravel(), minlength=4096)
    few_colours = np.partition(counts, -8)[-8:].sum() / colour.size >= config.few_colours

    steps = max(1, int(np.count_nonzero(step > 4)))
    sharp_steps = int(np.count_nonzero(sharp)) / steps
    grey = sum(weight * channel for weight, channel in zip(_GREY, values, strict=True))

    @functools.cache
    def lone() -> float:
        # Steps that no edge smoothed by scaling explains: the texture of a photo. Of most photos nobody asks.
        return int(np.count_nonzero(soft & ~ndimage.maximum_filter(sharp, 5))) / steps

    flags = {
        "blurry": _percentile_is_below(np.abs(_laplace(grey)), 99, config.blurry),
        # The two further bounds spare a photo of something small on plain paper.
        "drawing": soft.mean() < config.drawn_soft
        and sharp_steps > config.drawn_sharp_steps
        and lone() < config.drawn_lone_steps,
        "text": few_colours and sharp.mean() >= config.text_sharp and lone() < config.text_lone_steps,
        "screenshot": few_colours
        and flat.mean() >= config.screen_flat
        and _straightness(across, down) >= config.screen_straight,
    }
    found = {flag for flag, raised in flags.items() if raised}
    # A blurred photo has no steps at all, and so nothing of a drawing either.
    return {"blurry"} if "blurry" in found else found


def _brightness(channels: np.ndarray) -> np.ndarray:
    """How bright each pixel of uint8 (3, h, w) looks: float32 (h, w) in [0, 1], as CleanVision measures it."""
    squares = np.square(channels, dtype=np.float32)
    brightness: np.ndarray = np.sqrt(sum(w * each for w, each in zip(_BRIGHT, squares, strict=True))) / 255
    return brightness


def _twice_the_median(pixels: np.ndarray) -> np.ndarray:
    """Twice the median of each channel of uint8 (h, w, 3): int16 (3,). From histograms, much faster than by sorting."""
    counts = np.array(Image.fromarray(pixels).histogram()).reshape(3, 256).cumsum(axis=1)
    count = pixels.shape[0] * pixels.shape[1]
    middle = [sum(np.searchsorted(each, rank, "right") for rank in ((count - 1) // 2, count // 2)) for each in counts]
    return np.array(middle, dtype=np.int16)


def _percentile_is_below(values: np.ndarray, percentile: float, bound: float) -> bool:
    """Whether `np.percentile` is below the bound; mostly by counting, as sorting takes long."""
    below, rank = int(np.count_nonzero(values < bound)), int((values.size - 1) * percentile / 100)
    if below == rank + 1:
        # It lies between a value below the bound and one that is not.
        return bool(np.percentile(values, percentile) < bound)
    return below > rank


def _laplace(grey: np.ndarray) -> np.ndarray:
    """How far each pixel is from its four neighbours, the edges mirrored: `ndimage.laplace` in half of the time."""
    wide = np.pad(grey, 1, "symmetric")
    found: np.ndarray = wide[:-2, 1:-1] + wide[2:, 1:-1]
    found += wide[1:-1, :-2]
    found += wide[1:-1, 2:]
    found -= 4 * grey
    return found


def _straightness(across: np.ndarray, down: np.ndarray) -> float:
    """The share of the steps that lie in upright or level lines: frames, tables, windows."""
    upright, level = across > 8, down > 8
    lines = ndimage.binary_opening(upright, np.ones((STRAIGHT, 1))).sum()
    lines += ndimage.binary_opening(level, np.ones((1, STRAIGHT))).sum()
    return float(lines) / max(1, int(np.count_nonzero(upright | level)))


def _page_probability(logits: np.ndarray) -> np.ndarray:
    """The probability that ImageNet's classifier gives to pages: float (n,) of logits (n, 1000)."""
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return raised[:, IMAGENET_PAGES].sum(axis=1) / raised.sum(axis=1)


def _far_from_class(dataset: Dataset, features: np.ndarray, config: QualityConfig) -> np.ndarray:
    """Bool (n,): mean cosine to the nearest of the same class far below the class's median."""
    far = np.zeros(len(features), dtype=bool)
    targets, groups = dataset.targets, dataset.groups
    for target in range(len(dataset.labels)):
        members = np.flatnonzero(targets == target)
        if len(members) < config.far_min_pictures:
            continue
        # At most half of the class: strangers of one kind would otherwise vouch for one another.
        neighbours = min(config.far_neighbours, len(members) // 2)
        own = features[members]
        directions = own / np.maximum(np.linalg.norm(own, axis=1, keepdims=True), 1e-12)
        near = _nearness(directions, groups[members], neighbours, config.far_compared)
        middle = np.median(near)
        # 1.4826 makes the median deviation of a normal distribution its standard deviation.
        spread = max(1.4826 * float(np.median(np.abs(near - middle))), config.far_min_spread)
        far[members] = near < middle - config.far_spreads * spread
    return far


def _nearness(directions: np.ndarray, groups: np.ndarray, neighbours: int, most: int) -> np.ndarray:
    """Mean cosine of each row to its nearest rows of other groups, among at most `most`; 1 where there are none."""
    near = np.ones(len(directions))
    compared, compared_groups = directions, groups
    if len(directions) > most:
        # As many for each picture of a large class, whatever its size; the median moves with what is compared.
        sample = np.sort(np.random.default_rng(0).choice(len(directions), most, replace=False))
        compared, compared_groups = directions[sample], groups[sample]
    # In blocks: the whole table of 10,000 pictures would be 400 MB.
    for start in range(0, len(directions), 1024):
        rows = slice(start, start + 1024)
        cosines = directions[rows] @ compared.T
        cosines[groups[rows, None] == compared_groups[None, :]] = -np.inf
        best = np.partition(cosines, -neighbours, axis=1)[:, -neighbours:]
        known = np.isfinite(best)
        total = np.where(known, best, 0).sum(axis=1)
        near[rows] = np.where(known.any(axis=1), total / np.maximum(known.sum(axis=1), 1), 1.0)
    return near
