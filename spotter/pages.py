"""What the local reports share: one HTML file that holds its thumbnails and needs neither network nor scripts."""

import base64
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from spotter.errors import DatasetUnwritable
from spotter.files import write_atomically
from spotter.images import encode_jpeg, load_picture
from spotter.utils.text import plural

if TYPE_CHECKING:
    # For their fields alone: the app makes a page too, and has no set.
    from spotter.dataset import Dataset, Record

THUMB_SIDE = 96
LONGEST_TITLE = 120


def write_page(path: Path, template: str, functions: Mapping[str, Callable[..., Any]], **values: Any) -> None:
    """Fill in a template of `spotter/templates`, everything escaped, and write the page in one step.

    Raises:
        DatasetUnwritable: `path` cannot be written.
    """
    text = render_page(template, functions, **values)
    try:
        # A title from the web may hold half of a surrogate pair, which is no text.
        write_atomically(path, text.encode("utf-8", "replace"))
    except OSError as error:
        reason = error.strerror or error
        raise DatasetUnwritable(f"The report cannot be written to {str(path)!r}: {reason}.") from error


def render_page(template: str, functions: Mapping[str, Callable[..., Any]], **values: Any) -> str:
    """Fill in a template of `spotter/templates`, everything escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"plural": plural, **functions}
    return environment.get_template(template).render(values)


def make_thumbnails(dataset: "Dataset") -> Callable[[str], str]:
    """A function from a file of the set to its thumbnail as a `data:` address, made once."""

    @functools.cache
    def thumbnail(file: str) -> str:
        picture = load_picture(dataset.folder / file)
        picture.thumbnail((THUMB_SIDE, THUMB_SIDE), Image.Resampling.LANCZOS)
        return "data:image/jpeg;base64," + base64.b64encode(encode_jpeg(picture, 80)).decode()

    return thumbnail


def short_title(record: "Record") -> str:
    """A picture's title in one line, cut short; "" when it has none."""
    title = " ".join((record.title or "").split())
    return title[: LONGEST_TITLE - 1] + "…" if len(title) > LONGEST_TITLE else title
