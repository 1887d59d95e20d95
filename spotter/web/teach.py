"""The page teach/ of a site: on which networks one can build in the browser, and the page's files."""

import functools
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image

from spotter.bundle.format import ONNX
from spotter.search.drawn.picture import draw_picture
from spotter.serve.page.translations import LANGUAGES
from spotter.utils.templates import render_template

PAGE = "teach/index.html"
# Only this page may ask others: the sources of pictures and where these keep them, when somebody searches; and on a
# Space the Hub, when somebody signs in.
ARCHIVES = (
    "https://api.openverse.org",
    "https://commons.wikimedia.org",
    "https://upload.wikimedia.org",
    "https://thumb.wikimedia.org",
)
# Pictures to try it with, so many of each.
DRAWN, KINDS = 24, ("grizzly", "teddy")
DRAWN_SIDE, DRAWN_QUALITY = 256, 70
# Those that the page shows before there are others.
SHOWN = ("grizzly-05", "teddy-04", "grizzly-17")
# What the weights of the last layer are called in a network that was exported here, now and before.
HEADS = (b"head_weight", b"head.weight")


@dataclass(frozen=True)
class HubPlace:
    """A Hub that visitors of the page may sign in to, to put what they taught on a Space of their own.

    `url` is its address, `storage` where it keeps large files, as a content security policy writes them, and `card` the
    settings of such a Space.
    """

    url: str
    storage: tuple[str, ...]
    card: Mapping[str, Any]

    def told(self) -> dict[str, Any]:
        """As `site.json` says it to the page."""
        return {"url": self.url, "card": self.card}


def why_not(network: str, made: Mapping[str, Any], onnx: bytes) -> str:
    """Why nobody can teach on the network of a site, as the end of a sentence; "" when one can.

    The page takes the network as it is, but for its last layer, and `spotter adopt` repeats it with the pretrained one.

    Args:
        network: its file. made: how, as `model.json` says. onnx: the network.
    """
    if network != ONNX:
        return "its network is in int8"
    if made.get("converted"):
        return "it was made from somebody else's export"
    if made.get("fine_tune_epochs"):
        return "its network was fine-tuned for its own classes"
    return "" if any(head in onnx for head in HEADS) else "its network does not end as those that Spotter exports"


def teach_files(title: str, hub: HubPlace | None = None) -> dict[str, bytes]:
    """The files of the page that are made here, by their paths in a site; `title` is the site's."""
    hosts = (*ARCHIVES, *((hub.url, *hub.storage) if hub else ()))
    told = {"title": title, "languages": LANGUAGES, "drawn": SHOWN}
    page = render_template("web", "teach.html", **told, hosts=hosts, root="../")
    # A title may hold half of a surrogate pair, which is no text.
    files = {PAGE: page.encode("utf-8", "replace")}
    for kind in KINDS:
        for number in range(DRAWN):
            files[f"teach/drawn/{kind}-{number + 1:02}.webp"] = _draw(kind, number)
    return files


# The same on every site.
@functools.cache
def _draw(kind: str, number: int) -> bytes:
    picture = draw_picture(kind, number)
    picture.thumbnail((DRAWN_SIDE, DRAWN_SIDE), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    picture.save(file, "WEBP", quality=DRAWN_QUALITY)
    return file.getvalue()
