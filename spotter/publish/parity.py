"""The parity gate: nothing is published whose files do not answer like the trained model."""

import io
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from spotter.bundle.format import ParityReport
from spotter.config import ParityConfig
from spotter.errors import ParityError
from spotter.images import load_picture, load_stored


def check_parity(
    learner: Callable[[Sequence[Image.Image]], np.ndarray],
    bundle: Callable[[Sequence[Image.Image]], np.ndarray],
    pictures: Sequence[bytes],
    config: ParityConfig | None = None,
) -> ParityReport:
    """Compare the trained learner with the files to be published, on the same decoded pictures.

    Args:
        learner, bundle: functions from decoded RGB pictures to probabilities of shape (n, classes).
        pictures: encoded pictures, at least `min_pictures`.

    Raises:
        ParityError: too few pictures, or the answers are not as close as `config` asks.
    """
    config = config or ParityConfig()
    if len(pictures) < config.min_pictures:
        raise ParityError(f"The parity gate needs {config.min_pictures} pictures and was given {len(pictures)}.")
    with ThreadPoolExecutor() as pool:
        decoded = list(pool.map(load_picture, pictures))
    # In this order, as the learner may still be answering elsewhere.
    second, first = bundle(decoded), learner(decoded)
    if first.shape != second.shape:
        raise ParityError(f"The learner answers in the shape {first.shape}, the published files in {second.shape}.")
    report = compare_probabilities(first, second)
    complaint = report.complaint(config)
    if complaint:
        raise ParityError(
            f"The published files would not answer like the trained model: {complaint}; nothing was published."
        )
    return report


def compare_probabilities(first: np.ndarray, second: np.ndarray) -> ParityReport:
    """Compare two arrays of probabilities, both (n, classes)."""
    difference = np.abs(first - second)
    others = int((first.argmax(axis=1) != second.argmax(axis=1)).sum())
    return ParityReport(len(first), float(difference.max()), float(difference.mean()), others)


def parity_pictures(paths: Sequence[Path], count: int = ParityConfig.min_pictures + 8) -> list[bytes]:
    """Make `count` encoded pictures out of the files at `paths`, of varied sizes, modes, formats and orientations."""
    variants = _variants()

    def make(index: int) -> bytes:
        return variants[index % len(variants)](load_stored(paths[index * len(paths) // count]))

    with ThreadPoolExecutor() as pool:
        return list(pool.map(make, range(count)))


def _variants() -> list[Callable[[Image.Image], bytes]]:
    def resized(width: int, height: int) -> Callable[[Image.Image], bytes]:
        return lambda picture: _encode(picture.resize((width, height)), "JPEG")

    def turned(orientation: int) -> Callable[[Image.Image], bytes]:
        exif = Image.Exif()
        exif[0x0112] = orientation
        return lambda picture: _encode(picture, "JPEG", exif=exif)

    def mode(name: str, format_: str) -> Callable[[Image.Image], bytes]:
        return lambda picture: _encode(picture.convert(name), format_)

    def transparent(picture: Image.Image) -> bytes:
        layer = picture.convert("RGBA")
        layer.putalpha(Image.linear_gradient("L").resize(layer.size))
        return _encode(layer, "PNG")

    sizes = [(1600, 1200), (300, 301), (223, 500), (640, 225), (97, 61), (1000, 224)]
    modes = [("L", "PNG"), ("LA", "PNG"), ("P", "PNG"), ("P", "GIF"), ("1", "PNG"), ("CMYK", "JPEG"), ("RGB", "WEBP")]
    return (
        [lambda picture: _encode(picture, "PNG"), transparent]
        + [resized(*size) for size in sizes]
        + [turned(orientation) for orientation in range(1, 9)]
        + [mode(*pair) for pair in modes]
    )


def _encode(picture: Image.Image, format_: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    # Read again at once, so hardly worth packing; the pixels are the same.
    picture.save(buffer, format_, **({"compress_level": 1} if format_ == "PNG" else {}), **options)
    return buffer.getvalue()
