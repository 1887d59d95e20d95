"""A cache of what was computed of pictures, by their hashes: ten more pictures cost ten pictures.

It is written down as it is computed, so that a run that was stopped goes on from there. A damaged file counts as
missing, because everything in it can be computed again.
"""

import contextlib
import json
import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from spotter.errors import BadPicture, DatasetUnwritable
from spotter.images import own_reason
from spotter.utils.files import write_atomically

_log = logging.getLogger(__name__)
FOLDER = "features"
# Pictures computed between two writes.
PART = 1000
# A run that adds a few pictures writes a small file; from so many more files than needed on, all are written anew.
MOST_SMALL_FILES = 20

Value = TypeVar("Value")


class FeatureCache:
    """Features of pictures, float32 of `width`, in files `<name>.<number>.safetensors` of `folder`.

    `name` has to say everything that the features depend on beside the picture.
    """

    def __init__(self, folder: Path, name: str, width: int) -> None:
        self.folder, self.name, self.width = folder, name, width

    def read(self, keys: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Look up pictures by their hashes.

        Returns:
            float32 (n, width), zeros where nothing is known, and bool (n,): which are known.
        """
        features = np.zeros((len(keys), self.width), dtype=np.float32)
        known = np.zeros(len(keys), dtype=bool)
        places = {key: index for index, key in enumerate(keys)}
        for path in self._files():
            stored, rows = self._read_file(path)
            here = [(places[key], row) for row, key in enumerate(stored) if key in places]
            if here:
                into, taken = np.array(here).T
                features[into], known[into] = rows[taken], True
        return features, known

    def add(self, keys: Sequence[str], features: np.ndarray) -> None:
        """Store features, float32 (n, width), of pictures with these hashes.

        Raises:
            DatasetUnwritable: they cannot be stored.
        """
        files = self._files()
        number = 1 + (int(files[-1].suffixes[-2][1:]) if files else 0)
        path = self.folder / f"{self.name}.{number:06}.safetensors"
        write_cached(path, save({"features": np.ascontiguousarray(features)}, {"keys": "\n".join(keys)}))

    def tidy(self, keys: Sequence[str], features: np.ndarray) -> None:
        """Write everything anew, once much of what is stored is small files or of pictures that are gone."""
        files = self._files()
        size = sum(path.stat().st_size for path in files)
        if len(files) <= MOST_SMALL_FILES + len(keys) / PART and size <= 2 * features.nbytes + PART * 4 * self.width:
            return
        for start in range(0, len(keys), PART):
            self.add(keys[start : start + PART], features[start : start + PART])
        for path in files:
            path.unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob(f"{self.name}.*.safetensors"))

    def _read_file(self, path: Path) -> tuple[list[str], np.ndarray]:
        with contextlib.suppress(FileNotFoundError, SafetensorError), safe_open(path, "numpy") as file:
            keys, features = file.metadata()["keys"].split("\n"), file.get_tensor("features")
            if features.shape == (len(keys), self.width):
                return keys, features
        return [], np.zeros((0, self.width), dtype=np.float32)


def measure_once(
    path: Path, keys: Sequence[str | None], measure: Callable[[int], Value], otherwise: Value
) -> list[Value]:
    """Call `measure` with the position of each key, several at once; what the JSON file `path` knows is not measured.

    `path` has to name everything that the values, which JSON must be able to hold, depend on beside the picture. What
    has no key is always measured. What cannot be measured, as its picture is gone by now, is `otherwise` for this time.

    Raises:
        DatasetUnwritable: they cannot be stored.
    """

    def measure_or_none(index: int) -> Value | None:
        try:
            with own_reason():
                return measure(index)
        except BadPicture as error:
            _log.warning("a stored picture is not measured: %s", error)
            return None

    known: dict[str | None, Value] = {}
    with contextlib.suppress(FileNotFoundError, ValueError):
        known = dict(json.loads(path.read_bytes()))
    values = {index: known[key] for index, key in enumerate(keys) if key in known}
    missing = [index for index in range(len(keys)) if index not in values]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(missing), PART):
            part = missing[start : start + PART]
            found = zip(part, pool.map(measure_or_none, part), strict=True)
            values.update((index, value) for index, value in found if value is not None)
            # What is known of pictures that are gone is left out.
            content = {keys[index]: value for index, value in values.items() if keys[index]}
            write_cached(path, json.dumps(content).encode())
    return [values.get(index, otherwise) for index in range(len(keys))]


def write_cached(path: Path, content: bytes) -> None:
    """Write a file of a cache in one step.

    Raises:
        DatasetUnwritable: there is no room for it.
    """
    try:
        write_atomically(path, content)
    except OSError as error:
        raise DatasetUnwritable(
            f"The features of the pictures cannot be saved in {str(path.parent)!r}: {error.strerror or error}; "
            f"make room and run the same command again; it continues from there."
        ) from error
