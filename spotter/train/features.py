"""A backbone as an ONNX file, and running it over pictures: on all cores here, or wherever the file is sent.

Needs neither torch nor fastai.
"""

import functools
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Self

import numpy as np
import onnxruntime
from PIL import Image
from threadpoolctl import ThreadpoolController
from tqdm import tqdm

from spotter.data.subject_size import measure_spread
from spotter.errors import BadPicture
from spotter.images import load_picture, own_reason, to_square

_log = logging.getLogger(__name__)
# Names in the file of a body: what it reads, and what it gives.
PIXELS, FEATURES, PLACES = "pixels", "features", "places"
# The one whose ImageNet weights come with a package, without a download.
PACKAGED_ARCH = "tf_efficientnet_lite0"
# Of so many pictures it is kept what the network saw, 0.2 MB each, and of so many views the map of places, 28 kB each.
MOST_SEEN, MOST_PLACES = 400, 2000
# A map of the default network takes 28 kB, with its zeros 251.
MOST_BYTES = 60_000


@dataclass(frozen=True)
class Body:
    """The network `onnx`, from pictures of `size` pixels a side, made by `resize`, to pooled features.

    With `classifier` (see `subject_size.centre_classifier`) it also gives its map of places, and spreads are measured.
    """

    onnx: bytes
    size: int
    resize: str
    classifier: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def outputs(self) -> list[str]:
        return [FEATURES, PLACES] if self.classifier else [FEATURES]


@dataclass(frozen=True)
class Places:
    """A map of places without its zeros, nine of ten numbers: `there`, the bits of what is not zero, and these numbers,
    `values`, float32. `shape` is that of the map, (width, rows, columns)."""

    shape: tuple[int, ...]
    there: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, places: np.ndarray) -> Self:
        """Pack a map, float32 (width, rows, columns)."""
        there = places != 0
        return cls(places.shape, np.packbits(there), places[there])

    @property
    def is_small(self) -> bool:
        """Whether to keep it. Maps of some other networks have few zeros, and are made again instead."""
        return self.there.nbytes + self.values.nbytes <= MOST_BYTES

    def unpack(self) -> np.ndarray:
        """The map again, the same to the last bit."""
        places = np.zeros(self.shape, dtype=np.float32)
        places[np.unpackbits(self.there, count=places.size).view(bool).reshape(self.shape)] = self.values
        return places


@dataclass(frozen=True)
class Sight:
    """What a network saw of a picture: `square`, uint8 (size, size, 3), and its map of `places`."""

    square: np.ndarray
    places: Places


@dataclass(frozen=True)
class Backbone:
    """A pretrained network up to its pooled features, of `width`.

    It reads RGB pictures of `size` pixels a side, made by `resize` (see `images.frame`) and normalised by channel with
    `mean` and `std` (of pixels in [0, 1]). `fingerprint` stands for its weights. `imagenet` are weight (1000, width)
    and bias (1000,) of its ImageNet classifier, where that is known. `modules` are the torch modules, body and pooling,
    where they are loaded. `seen` is what it saw of pictures in this process, by their file, of the first `MOST_SEEN`,
    and `places` are the maps of views, by their kind and key.
    """

    arch: str
    size: int
    resize: str
    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fingerprint: str
    body: Body
    imagenet: tuple[np.ndarray, np.ndarray] | None = None
    modules: Any = None
    seen: dict[Path, Sight] = field(default_factory=dict, repr=False, compare=False)
    places: dict[str, Places] = field(default_factory=dict, repr=False, compare=False)

    def square(self, picture: Image.Image) -> np.ndarray:
        """A picture as the network sees it: uint8 (size, size, 3)."""
        return to_square(picture, self.size, self.resize)

    def keep_places(self, key: str, places: np.ndarray) -> None:
        """Keep the map of a view, float32 (width, rows, columns), if it is small and there are not too many."""
        packed = Places.of(places)
        if packed.is_small and len(self.places) < MOST_PLACES:
            self.places[key] = packed


# What else is made of a picture while it is decoded, by its file.
Look = Callable[[Path, Image.Image], object]


class BodyRunner:
    """Runs a body over pictures, one picture on each of `cores` (None: all). The features do not depend on their
    number: each picture has one thread. What it saw of the first `MOST_SEEN` goes into `seen`, if it has the places;
    `look` is called with each picture, several at once."""

    def __init__(
        self,
        body: Body,
        cores: int | None = None,
        seen: dict[Path, Sight] | None = None,
        look: Look | None = None,
    ) -> None:
        self.body, self.cores, self._seen, self._look = body, cores or os.cpu_count() or 1, seen, look
        self._session = open_body(body.onnx)

    def run(
        self, paths: Sequence[Path], told: Callable[[], object] = lambda: None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Compute the pooled features, float32 (n, width), and the spreads, float32 (n, 1) or None, of some pictures.

        A picture that cannot be read has features of 0 throughout, as no other has.

        Args:
            told: is called after each picture.
        """
        pairs = []
        with one_thread_each(), ThreadPoolExecutor(self.cores) as pool:
            for pair in pool.map(self._run_one, paths):
                pairs.append(pair)
                told()
        spreads = np.array([spread for _, spread in pairs], dtype=np.float32)[:, None] if self.body.classifier else None
        return np.stack([row for row, _ in pairs]), spreads

    def _run_one(self, path: Path) -> tuple[np.ndarray, float | None]:
        try:
            with own_reason():
                picture = load_picture(path)
                if self._look:
                    self._look(path, picture)
                square = to_square(picture, self.body.size, self.body.resize)
                features, *places = self._session.run(self.body.outputs, {PIXELS: square[None]})
                if self._seen is not None and places and len(self._seen) < MOST_SEEN:
                    self._seen[path] = Sight(square, Places.of(places[0][0]))
                return features[0], measure_spread(
                    places[0][0], *self.body.classifier
                ) if self.body.classifier else None
        except BadPicture as error:
            _log.warning("%s is left out: %s", path, error)
            return np.zeros(self._session.get_outputs()[0].shape[-1], np.float32), 0.0


# Runs a body over pictures, and yields the features and spreads of so many at a time, in their order.
RunBody = Callable[[Body, Sequence[Path], int], Iterator[tuple[np.ndarray, np.ndarray | None]]]


def run_here(
    body: Body,
    paths: Sequence[Path],
    part: int,
    seen: dict[Path, Sight] | None = None,
    look: Look | None = None,
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Run a body over pictures on all cores of this machine; see `RunBody`, and for `seen` and `look` `BodyRunner`."""
    runner = BodyRunner(body, seen=seen, look=look)
    with tqdm(desc="  pictures", unit="", total=len(paths)) as bar:
        for start in range(0, len(paths), part):
            yield runner.run(paths[start : start + part], bar.update)


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Multiply tables on one thread, where several of our own threads do it at once or the tables are small.

    Threads that BLAS adds would mostly wait for each other: pictures took twice as long, small fits twenty times.
    """
    with blas_threads().limit(limits=1):
        yield


@functools.cache
def blas_threads() -> ThreadpoolController:
    """What sets the number of threads of BLAS."""
    # scipy brings a BLAS of its own, with which heads are fitted: what is loaded later would not be found.
    import_module("scipy.linalg")
    # Once: it reads the list of all libraries that are loaded.
    return ThreadpoolController()


def embed(features: np.ndarray) -> np.ndarray:
    """Divide each row of features, float32 (n, width), by its length; the 0 of a picture that is gone stay 0."""
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), np.finfo(np.float32).tiny)


def activate(weight: np.ndarray, places: np.ndarray) -> np.ndarray:
    """What each place adds to each class, float32 (classes, rows, columns).

    Args:
        weight: (classes, width), of a head. places: (width, rows, columns).
    """
    # Not "@": many pictures are looked at at once, and BLAS threads of each would stand in one another's way.
    return np.einsum("kc,chw->khw", weight, places)


@functools.lru_cache(1)
def open_body(onnx: bytes) -> onnxruntime.InferenceSession:
    """Open a body's network, on one thread; the last one stays open."""
    options = onnxruntime.SessionOptions()
    # One thread a picture and a picture a core: faster than all cores on one picture, and decoding gains too.
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])


def has_places(session: onnxruntime.InferenceSession) -> bool:
    """Whether a body also gives its map of places."""
    return PLACES in {output.name for output in session.get_outputs()}
