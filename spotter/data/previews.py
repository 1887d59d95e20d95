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
        return embed_small(load_stored(dataset.folder / file))

    return thumbnail


def embed_small(picture: Image.Image, side: int = THUMB_SIDE) -> str:
    """A picture as a `data:` address, shrunk to at most `side` pixels."""
    small = picture.copy()
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    return "data:image/jpeg;base64," + base64.b64encode(encode_jpeg(small, 80)).decode()


def short_title(record: "Record") -> str:
    """A picture's title in one line, cut short; "" when it has none."""
    title = " ".join((record.title or "").split())
    return title[: LONGEST_TITLE - 1] + "…" if len(title) > LONGEST_TITLE else title
