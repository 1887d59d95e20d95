"""What a model can do besides answering, for the page."""

from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image

from spotter.predictor import Neighbour


@dataclass(frozen=True)
class Extras:
    """`explain` draws where the evidence lies; `nearest` gives so many training pictures. None: it cannot."""

    explain: Callable[[Image.Image], Image.Image] | None = None
    nearest: Callable[[Image.Image, int], list[Neighbour]] | None = None
