"""Small pictures of a data set for pages that can be opened offline."""

import base64
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

from PIL import Image

from spotter.images import encode_jpeg, load_stored

if TYPE_CHECKING:
    # For their fields alone: the app makes a page too, and has no set.
    from spotter.data.dataset import Dataset, Record


THUMB_SIDE = 96
LONGEST_TITLE = 120


def make_thumbnails(dataset: "Dataset") -> Callable[[str], str]:
    """A function from a file of the set to its thumbnail as a `data:` address, made once."""

    @functools.cache
    def thumbnail(file: str) -> str:
        picture = load_stored(dataset.folder / file)
        picture.thumbnail((THUMB_SIDE, THUMB_SIDE), Image.Resampling.LANCZOS)
        return "data:image/jpeg;base64," + base64.b64encode(encode_jpeg(picture, 80)).decode()

    return thumbnail


def short_title(record: "Record") -> str:
    """A picture's title in one line, cut short; "" when it has none."""
    title = " ".join((record.title or "").split())
    return title[: LONGEST_TITLE - 1] + "…" if len(title) > LONGEST_TITLE else title
