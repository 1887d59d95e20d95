"""Second looks at pictures: the features of the part where the evidence for a label lies."""

import functools
import logging
import os
from collections.abc import Callable, Sequence
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
from spotter.train.views import Seen, ViewKind

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Look:
    """A look to be taken again, for the evidence of a label (its number): at the picture of a row, as it is (`view`
    None), or as the view of a number. `seen` is what the first look saw, where that was kept."""

    row: int
    label: int
    view: int | None = None
    seen: Seen | None = None


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

    def first_look(look: Look, load: Callable[[], Image.Image]) -> tuple[Image.Image, np.ndarray]:
        if look.seen:
            return Image.fromarray(look.seen.pixels), look.seen.activation
        sight = backbone.seen.get(paths[look.row])
        if sight and look.view is None:
            return load(), activate(weight, sight.places)
        picture = Image.fromarray(sight.square) if sight and kind.of_square else load()
        if look.view is not None:
            pixels = kind.make(picture, backbone.square, look.view, keys[look.row])
            picture = load() if pixels is None else Image.fromarray(pixels)
        (places,) = session.run([PLACES], {PIXELS: backbone.square(picture)[None]})
        return picture, activate(weight, places[0])

    def look_at(row: int) -> None:
        load = functools.cache(lambda: load_picture(paths[row]))
        try:
            with own_reason():
                for number in numbers[row]:
                    picture, activation = first_look(looks[number], load)
                    label = looks[number].label
                    box = second_look.find(activation, label, picture.size, backbone.size, backbone.resize)
                    if box is not None:
                        window = backbone.square(picture.crop(box))
                        features[number] = session.run([FEATURES], {PIXELS: window[None]})[0][0]
        except BadPicture as error:
            _log.warning("%s is not looked at again: %s", paths[row], error)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(tqdm(pool.map(look_at, numbers), desc="  second looks", unit="", total=len(numbers)))
    return features
