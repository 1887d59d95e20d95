"""Second looks at pictures: the features of the part where the evidence for a label lies."""

import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from spotter.bundle.second_look import SecondLook
from spotter.errors import BadPicture
from spotter.images import load_picture, own_reason
from spotter.train.features import FEATURES, PIXELS, PLACES, Backbone, activate, has_places, open_body
from spotter.train.views import ViewKind

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Look:
    """A look to be taken again, for the evidence of a label (its number): at the picture of a row, as it is (`view`
    None), or as the view of a number. `activation`, (classes, rows, columns), is what the first look saw, where that
    was kept."""

    row: int
    label: int
    view: int | None = None
    activation: np.ndarray | None = None


def look_again(
    backbone: Backbone,
    weight: np.ndarray,
    paths: Sequence[Path],
    keys: Sequence[str],
    looks: Sequence[Look],
    second_look: SecondLook,
    kind: ViewKind,
) -> np.ndarray:
    """Features of windows: float32 (len(looks), width); 0 throughout where there is no window, or no picture any more.

    They are not kept: where the evidence lies is another place for each head.

    Args:
        weight: (classes, width), of the head whose evidence counts. paths, keys: of the pictures, and their SHA-256.
        kind: of the views.
    """
    features = np.zeros((len(looks), backbone.width), dtype=np.float32)
    session = open_body(backbone.body.onnx)
    if not has_places(session) or not looks:
        return features
    numbers: dict[int, list[int]] = {}
    for number, look in enumerate(looks):
        numbers.setdefault(look.row, []).append(number)

    def see(picture: Image.Image, look: Look) -> np.ndarray | None:
        activation = look.activation
        if activation is None:
            (places,) = session.run([PLACES], {PIXELS: backbone.square(picture)[None]})
            activation = activate(weight, places[0])
        box = second_look.find(activation, look.label, picture.size, backbone.size, backbone.resize)
        if box is None:
            return None
        found: np.ndarray = session.run([FEATURES], {PIXELS: backbone.square(picture.crop(box))[None]})[0][0]
        return found

    def look_at(row: int) -> None:
        try:
            with own_reason():
                picture = load_picture(paths[row])
                for number in numbers[row]:
                    view = looks[number].view
                    pixels = None if view is None else kind.make(picture, backbone.square, view, keys[row])
                    found = see(picture if pixels is None else Image.fromarray(pixels), looks[number])
                    if found is not None:
                        features[number] = found
        except BadPicture as error:
            _log.warning("%s is not looked at again: %s", paths[row], error)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(tqdm(pool.map(look_at, numbers), desc="  second looks", unit="", total=len(numbers)))
    return features
