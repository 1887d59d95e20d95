"""Second looks at pictures: the features of the part where the evidence for a label lies."""

import contextlib
import functools
import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from tqdm import tqdm

from spotter.bundle.second_look import SecondLook
from spotter.data.cache import write_cached
from spotter.errors import BadPicture
from spotter.images import load_picture, own_reason
from spotter.train.backbone import feature_cache
from spotter.train.features import FEATURES, PIXELS, PLACES, Backbone, Places, activate, has_places, open_body
from spotter.train.views import Seen, ViewKind, view_key

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Look:
    """A look to be taken again, for the evidence of a label (its number): at the picture of a row, as it is (`view`
    None), or as the view of a number. `seen` is what the first look saw, where that was kept."""

    row: int
    label: int
    view: int | None = None
    seen: Seen | None = None


@dataclass(frozen=True)
class FirstLook:
    """What is known of a picture or view before it is looked at again: `size`, (width, height) in pixels, and the map
    of its places."""

    size: tuple[int, int]
    places: Places


@dataclass(frozen=True)
class LookCache:
    """First looks, and features of windows, float32 (width,), in one file, by keys that tell the picture, the view and
    the window. A damaged file counts as none, because everything in it can be computed again."""

    path: Path

    def read(self) -> tuple[dict[str, FirstLook], dict[str, np.ndarray]]:
        """What the last training kept."""
        unreadable = OSError, SafetensorError, ValueError, KeyError, TypeError
        with contextlib.suppress(*unreadable), safe_open(self.path, "numpy") as file:
            told = json.loads(file.metadata()["keys"])
            there, values, sizes, windows = (file.get_tensor(name) for name in ("there", "values", "sizes", "windows"))
            counts = np.unpackbits(there, axis=1).sum(axis=1)
            each = np.split(values, np.cumsum(counts)[:-1]) if counts.sum() == len(values) else []
            shape = tuple(told["shape"])
            looks = {
                key: FirstLook((width, height), Places(shape, bits, own))
                for key, (width, height), bits, own in zip(told["first"], sizes.tolist(), there, each, strict=True)
            }
            return looks, dict(zip(told["windows"], windows, strict=True))
        return {}, {}

    def write(self, looks: Mapping[str, FirstLook], windows: Mapping[str, np.ndarray]) -> None:
        """Keep these for the next training, instead of what was kept before, if the maps are small.

        Raises:
            DatasetUnwritable: they cannot be stored.
        """
        if not looks or not all(look.places.is_small for look in looks.values()):
            return
        maps = [look.places for look in looks.values()]
        tensors = {
            "there": np.stack([each.there for each in maps]),
            "values": np.concatenate([each.values for each in maps]),
            "sizes": np.array([look.size for look in looks.values()], dtype=np.int64),
            "windows": np.array(list(windows.values()), dtype=np.float32),
        }
        keys = {"shape": maps[0].shape, "first": list(looks), "windows": list(windows)}
        write_cached(self.path, save(tensors, {"keys": json.dumps(keys)}))


def look_again(
    backbone: Backbone,
    weight: np.ndarray,
    paths: Sequence[Path],
    keys: Sequence[str],
    looks: Sequence[Look],
    second_look: SecondLook,
    kind: ViewKind,
    cache: LookCache | None = None,
) -> np.ndarray:
    """Features of windows: float32 (len(looks), width); 0 throughout where there is no window, or no picture any more.

    Where the evidence lies is another place for each head, but after ten more pictures mostly the same one or nearly
    so: what the first look saw, and what is in the window, are read from the cache where they are the same.

    Args:
        weight: (classes, width), of the head whose evidence counts. paths, keys: of the pictures, and their SHA-256.
        kind: of the views. cache: what the last training saw, and where this one keeps it; None: it is not kept.

    Raises:
        DatasetUnwritable: the cache cannot be written.
    """
    features = np.zeros((len(looks), backbone.width), dtype=np.float32)
    session = open_body(backbone.body.onnx)
    if not has_places(session) or not looks:
        return features
    numbers: dict[int, list[int]] = {}
    for number, look in enumerate(looks):
        numbers.setdefault(look.row, []).append(number)
    known, known_windows = cache.read() if cache else ({}, {})
    firsts: dict[str, FirstLook] = {}
    windows: dict[str, np.ndarray] = {}

    def picture_of(look: Look, load: Callable[[], Image.Image]) -> Image.Image:
        if look.view is None:
            return load()
        if look.seen:
            return Image.fromarray(look.seen.pixels)
        sight = backbone.seen.get(paths[look.row])
        picture = Image.fromarray(sight.square) if sight and kind.of_square else load()
        pixels = kind.make(picture, backbone.square, look.view, keys[look.row])
        return load() if pixels is None else Image.fromarray(pixels)

    def first_look(look: Look, key: str, picture: Callable[[], Image.Image]) -> FirstLook:
        if key in known:
            return known[key]
        sight = backbone.seen.get(paths[look.row]) if look.view is None else None
        places = sight.places if sight else backbone.places.get(key)
        if places is None:
            (found,) = session.run([PLACES], {PIXELS: backbone.square(picture())[None]})
            places = Places.of(found[0])
        return FirstLook(picture().size, places)

    def look_at(row: int) -> None:
        load = functools.cache(lambda: load_picture(paths[row]))
        try:
            with own_reason():
                for number in numbers[row]:
                    look = looks[number]
                    key = keys[row] if look.view is None else f"{kind.name}-{view_key(keys[row], look.view)}"
                    picture = functools.cache(functools.partial(picture_of, look, load))
                    first = firsts[key] = first_look(look, key, picture)
                    activation = look.seen.activation if look.seen else activate(weight, first.places.unpack())
                    box = second_look.find(activation, look.label, first.size, backbone.size, backbone.resize)
                    if box is None:
                        continue
                    window = f"{key} {box}"
                    if window not in known_windows:
                        square = backbone.square(picture().crop(box))
                        features[number] = session.run([FEATURES], {PIXELS: square[None]})[0][0]
                    else:
                        features[number] = known_windows[window]
                    windows[window] = features[number]
        except BadPicture as error:
            _log.warning("%s is not looked at again: %s", paths[row], error)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(tqdm(pool.map(look_at, numbers), desc="  second looks", unit="", total=len(numbers)))
    if cache and (firsts.keys() - known.keys() or windows.keys() - known_windows.keys()):
        cache.write(firsts, windows)
    return features


def look_cache(backbone: Backbone, kind: ViewKind, folder: Path) -> LookCache:
    """Where second looks at the pictures of the set in `folder`, and at views of a kind, are kept."""
    plain = feature_cache(backbone, folder)
    return LookCache(plain.folder / f"{plain.name}-{kind.name}-looks.safetensors")
