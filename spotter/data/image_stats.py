"""Image statistics of the pictures of a data set, computed once and cached."""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, fields
from pathlib import Path
from types import MappingProxyType

import numpy as np
from PIL import Image

from spotter.data.cache import FOLDER, measure_once
from spotter.image_stats import ImageStats, measure_image
from spotter.images import GREY, load_picture

# To be raised when they are measured in another way: what was measured before is then not read.
MEASURE = 1


def measure_images(
    folder: Path,
    keys: Sequence[str | None],
    paths: Sequence[Path],
    measured: Mapping[int, ImageStats] = MappingProxyType({}),
) -> np.ndarray:
    """Float (n, 5): the `ImageStats` of each picture of the set in `folder`, measured once. `keys` are their SHA-256.

    Args:
        measured: those of some pictures, by their place in `paths`, where they are known already.

    Raises:
        DatasetUnwritable: what was measured cannot be kept.
    """
    place = folder / FOLDER / f"looks-{MEASURE}.json"
    grey = astuple(measure_image(Image.new("RGB", (96, 96), GREY)))

    def measure(index: int) -> tuple[float, ...]:
        return astuple(measured[index] if index in measured else measure_image(load_picture(paths[index])))

    found = measure_once(place, keys, measure, grey)
    return np.array(found, dtype=float).reshape(len(keys), len(fields(ImageStats)))
