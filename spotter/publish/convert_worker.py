"""Opens somebody's fastai export and writes it as ONNX. Run in a process of its own, see `convert.py`.

Opening a pickle runs code of whoever made it, so nothing here is to be called in a process that has more to do.
"""

import json
import pathlib
import pickle
import runpy
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from fastai.data.transforms import ToTensor
from fastai.learner import Learner, load_learner
from fastai.torch_core import TensorImage
from fastai.vision.augment import PadMode, RandomResizedCrop, Resize
from fasttransform import compose_tfms
from PIL import Image
from torch import nn

from spotter.bundle.format import MAX_SIZE
from spotter.errors import BrokenExport, SpotterError, UnsuitableExport
from spotter.train.body import FeatureNetwork
from spotter.train.export import ServingNetwork, export_serving, predict_with_pickle

FACTS, NETWORK, ANSWERS, FAILURE = "facts.json", "network.onnx", "answers.npy", "failure.txt"
# The same export, if the one that was given cannot be opened by fastai alone here.
PORTABLE = "portable.pkl"
# Of values in [0, 1]; one step of a pixel is 0.004 there.
SAME = 1e-4
PROBES = 8
_FASTAI = ("fastai", "fastcore", "fasttransform")
_VERSIONED = (*_FASTAI, "torch", "torchvision", "timm")


@dataclass(frozen=True)
class Facts:
    """What serving needs to know of an export: see `ModelSpec` and `writing.describe_preprocessing`."""

    labels: tuple[str, ...]
    arch: str
    size: int
    resize: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    inside: str


def main(arguments: list[str]) -> int:
    """Do one task: `export PICKLE FOLDER [FUNCTIONS]` or `answer PICKLE FOLDER [FUNCTIONS]`.

    `export` writes `facts.json` and `network.onnx` into FOLDER, and `portable.pkl` if the export holds paths of another
    system; `answer` writes `answers.npy`, the probabilities of the
    PNGs there in the order of their names. An expected failure is its class and sentence in `failure.txt`,
    and status 1.
    """
    task, file, place, *functions = arguments
    path, folder = Path(file), Path(place)
    try:
        for each in functions:
            define(Path(each))
        if task == "export":
            learn, is_foreign = _open(path)
            facts = export(learn, folder / NETWORK)
            if is_foreign:
                learn.path = learn.dls.path = Path()
                learn.export((folder / PORTABLE).absolute())
            (folder / FACTS).write_text(json.dumps(asdict(facts)), encoding="utf-8")
        else:
            pictures = [Image.open(picture).convert("RGB") for picture in sorted(folder.glob("*.png"))]
            np.save(folder / ANSWERS, predict_with_pickle(path, pictures), allow_pickle=False)
    except SpotterError as error:
        (folder / FAILURE).write_text(f"{type(error).__name__}: {error}", encoding="utf-8")
        return 1
    return 0


def define(file: Path) -> None:
    """Run a Python file, and let pickles find what it defines as if it were the script that made them."""
    sys.path.insert(0, str(file.parent))
    names = runpy.run_path(str(file))
    vars(sys.modules["__main__"]).update({name: value for name, value in names.items() if not name.startswith("__")})


def open_export(path: Path) -> Learner:
    """Open what `Learner.export` wrote. This runs code from the file.

    Raises:
        BrokenExport: it is no such file, is damaged, or needs what is not here.
    """
    return _open(path)[0]


def _open(path: Path) -> tuple[Learner, bool]:
    """A Learner, and whether its pickle holds paths of another system or Python."""
    foreign: list[str] = []

    class Unpickler(_Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            # A path of Windows cannot be made here, and newer Pythons keep paths elsewhere. Nothing is read from them.
            is_path = module.partition(".")[0] == "pathlib" and name.endswith("Path")
            if is_path and (module != "pathlib" or not isinstance(Path(), getattr(pathlib, name, ()))):
                foreign.append(name)
                return pathlib.PurePath
            return super().find_class(module, name)

    # A module of our own, as load_learner hides what find_class cannot find behind an UnboundLocalError.
    finder = ModuleType("finder")
    vars(finder).update(vars(pickle), Unpickler=Unpickler, __name__="finder")
    try:
        learn = load_learner(path, pickle_module=finder)
    except (pickle.UnpicklingError, EOFError, RuntimeError, OSError, UnicodeDecodeError) as error:
        reason = str(error).partition("\n")[0].rstrip(".") or type(error).__name__
        raise BrokenExport(
            f"The export cannot be read ({reason}): it is cut short, damaged, or not what learn.export() writes."
        ) from error
    except AttributeError as error:
        raise BrokenExport(
            f"The export is not a fastai Learner, or comes from another version "
            f"({error.args[0].split(chr(10))[-1].strip()}): "
            "give what learn.export() of this version wrote."
        ) from error
    if not isinstance(learn, Learner):
        raise BrokenExport(
            f"The export holds a {type(learn).__name__} and not a fastai Learner: give what learn.export() wrote."
        )
    return learn, bool(foreign)


def export(learn: Learner, path: Path) -> Facts:
    """Write a classifier of pictures as the ONNX file that serving reads, see `train.graph.attach_head`.

    Raises:
        UnsuitableExport: it is something else, or what it does with pictures cannot be repeated.
    """
    labels = _labels(learn)
    _check_loss(learn)
    body, head = _parts(learn)
    side, resize, margin = _squares(learn)
    seen = side - 2 * margin
    mean, std, resampling = _preparation(learn, seen)
    whole = nn.Sequential(*([_Inner(margin)] if margin else []), *([resampling] if resampling else []), body)
    learn.model.eval()
    pools = _pooling(whole, head, side)
    features = FeatureNetwork(whole, head[:pools], mean, std, side)
    rest = [layer for layer in head[pools:] if not isinstance(layer, nn.Dropout)]
    # Evidence is drawn over all that is given to the network, so there must be nothing cut off inside.
    is_map = pools and isinstance(head[0], nn.AdaptiveAvgPool2d) and head[0].output_size in (1, (1, 1))
    has_places = bool(is_map and len(rest) == 1 and isinstance(rest[0], nn.Linear) and not margin)
    network = ServingNetwork(features, rest[0] if len(rest) == 1 else nn.Sequential(*rest), has_places)
    export_serving(network, path, side)
    arch = getattr(learn, "arch", type(body).__name__)
    return Facts(
        labels=labels,
        arch=arch if isinstance(arch, str) else arch.__name__,
        size=side,
        resize=resize,
        mean=_rounded(mean),
        std=_rounded(std),
        inside=", then ".join(
            ([f"cut to its middle, {seen} x {seen} pixels"] if margin else [])
            + ([f"scaled to {len(resampling.rows)} x {len(resampling.columns)} pixels"] if resampling else [])
        ),
    )


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return super().find_class(module, name)
        except (ImportError, AttributeError) as error:
            raise BrokenExport(_missing(module, name, error)) from error


def _missing(module: str, name: str, error: ImportError | AttributeError) -> str:
    package = module.partition(".")[0]
    if module.startswith(("fastcore.transform", "fastcore.dispatch")):
        return (
            f"The export was made by a fastai older than 2.8, which fastai {version('fastai')} cannot open: build "
            "the same learner with this one, load the weights that learn.save() of the old one wrote, and export again."
        )
    if package in _VERSIONED:
        older = " (fastai 1 perhaps)" if package == "fastai" else ""
        home = "fastai" if package in _FASTAI else package
        return (
            f"The export was made by another version of {home}{older}: it needs {module}.{name}, which {home} "
            f"{version(home)} does not have; build the same learner with this version, load its weights, export again."
        )
    if isinstance(error, ModuleNotFoundError):
        return (
            f"The export needs the Python module {error.name or module!r}, which is missing here: install it into "
            f".venv, or, if it is your own file, give that file with --functions FILE."
        )
    return (
        f"The export needs {name!r} of {module}, which is missing here: put its definition into a Python file, and "
        f"give that file with --functions FILE."
    )


def _labels(learn: Learner) -> tuple[str, ...]:
    lists = getattr(learn.dls.valid_ds, "tls", [])
    # A transform's name is all there is to say what kind of thing it makes.
    kinds = [type(step).__name__ for each in lists[learn.dls.n_inp :] for step in each.tfms.fs]
    if "Categorize" not in kinds or learn.dls.n_inp != 1:
        what = ", ".join(kinds) or type(learn.dls).__name__
        raise UnsuitableExport(
            f"The export is not a classifier with one label per picture (its targets are made by {what}); only "
            f"such ones "
            "can be converted."
        )
    return tuple(str(label) for label in learn.dls.vocab)


def _check_loss(learn: Learner) -> None:
    scores = torch.tensor([[2.0, -1.0, 0.5]])
    activation = getattr(learn.loss_func, "activation", None)
    if activation is None or not torch.allclose(activation(scores), torch.softmax(scores, dim=1), atol=1e-5):
        raise UnsuitableExport(
            f"The export's loss, {type(learn.loss_func).__name__}, does not make one probability for each label (as "
            "CrossEntropyLossFlat does); only such classifiers can be converted."
        )


def _parts(learn: Learner) -> tuple[nn.Module, nn.Sequential]:
    model = learn.model
    if not isinstance(model, nn.Sequential) or len(model) != 2 or not isinstance(model[1], nn.Sequential):
        raise UnsuitableExport(
            f"The export's network, {type(model).__name__}, is not a body and a head as vision_learner makes them; "
            "only such ones can be converted."
        )
    first = next((layer for layer in model[0].modules() if isinstance(layer, nn.Conv2d)), None)
    if first is None or first.in_channels != 3:
        raise UnsuitableExport("The export's network does not read colour pictures; only such ones can be converted.")
    return model[0], model[1]


def _squares(learn: Learner) -> tuple[int, str, int]:
    """How a picture becomes a square: its side, `resize` as in `images.frame`, and the margin that is then cut off."""
    steps = [
        step
        for step in learn.dls.valid.after_item.fs
        if not isinstance(step, ToTensor) and getattr(step, "split_idx", None) != 0
    ]
    names = ", ".join(type(step).__name__ for step in steps) or "nothing"
    if len(steps) != 1 or type(steps[0]) not in (Resize, RandomResizedCrop):
        raise UnsuitableExport(
            f"The export prepares each picture by {names}; only a single Resize or RandomResizedCrop can be repeated "
            "exactly."
        )
    step = steps[0]
    width, height = step.size
    if width != height:
        raise UnsuitableExport(f"The export reads pictures of {width} x {height} pixels; only squares can be served.")
    if step.mode != Image.Resampling.BILINEAR:
        raise UnsuitableExport(
            f"The export scales pictures by {Image.Resampling(step.mode).name.lower()} interpolation; only bilinear "
            "can be repeated exactly."
        )
    margin = 0
    if isinstance(step, RandomResizedCrop):
        # Held-out pictures are squished to a somewhat larger square, and its middle is taken.
        step.before_call(Image.new("RGB", (8, 8)), 1)
        side, margin = step.final_size[0], (step.final_size[0] - width) // 2
        resize = "squish"
        if side - 2 * margin != width:
            raise UnsuitableExport(f"The export cuts {width} pixels out of {side}, which has no middle.")
    else:
        side, resize = width, step.method
        if resize == "pad" and step.pad_mode != PadMode.Zeros:
            raise UnsuitableExport(
                f"The export pads pictures by {step.pad_mode!r}; only padding with zeros (black) can be repeated."
            )
    if side > MAX_SIZE:
        raise UnsuitableExport(f"The export reads pictures of {side} pixels; at most {MAX_SIZE} can be served.")
    return side, resize, margin


def _preparation(learn: Learner, side: int) -> tuple[torch.Tensor, torch.Tensor, "_Resampling | None"]:
    """What happens to held-out batches: mean and spread by channel (of pixels in [0, 1]), and a change of size if any.

    Found out by trying, so that it does not matter which transforms do it.
    """
    steps = learn.dls.valid.after_batch.fs

    def prepare(pixels: torch.Tensor) -> torch.Tensor:
        return torch.Tensor(compose_tfms(TensorImage(pixels), steps, split_idx=1))

    black = torch.zeros(1, 3, side, side, dtype=torch.uint8)
    low, high = prepare(black), prepare(black + 255)
    std = 1 / (high - low).mean(dim=(0, 2, 3))
    mean = -low.mean(dim=(0, 2, 3)) * std

    def scale(pixels: torch.Tensor) -> torch.Tensor:
        """Pixels, uint8 (n, 3, side, side), as the network sees them but for mean and spread."""
        return prepare(pixels) * std.view(3, 1, 1) + mean.view(3, 1, 1)

    noise = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 3, side, side), dtype=np.uint8))
    seen = scale(noise)
    if _same(seen, noise / 255):
        return mean, std, None
    if seen.shape[-1] == seen.shape[-2]:
        resampling = _Resampling(_profile(scale, side, seen.shape[-1], 2), _profile(scale, side, seen.shape[-1], 3))
        if _same(seen, resampling(noise / 255)):
            return mean, std, resampling
    names = ", ".join(type(step).__name__ for step in steps if getattr(step, "split_idx", None) != 0)
    raise UnsuitableExport(
        f"The export changes batches of pictures in a way that cannot be repeated exactly ({names}); only normalising "
        "and scaling to another square can."
    )


def _rounded(values: torch.Tensor) -> tuple[float, ...]:
    # Found out with floats of seven digits.
    return tuple(round(value, 6) for value in values.tolist())


def _profile(scale: Callable[[torch.Tensor], torch.Tensor], side: int, new_side: int, axis: int) -> torch.Tensor:
    """What each row (axis 2) or column (axis 3) of a square adds to those of the scaled one: (new_side, side)."""
    lines = []
    for start in range(0, side, 3 * PROBES):
        # A picture is white in one line, another one in each channel.
        white = torch.arange(start, start + 3 * PROBES).view(PROBES, 3, 1, 1)
        where = torch.arange(side).view((1, 1, -1, 1) if axis == 2 else (1, 1, 1, -1))
        seen = scale((where == white).expand(-1, -1, side, side).to(torch.uint8) * 255)
        lines.append(seen.mean(dim=5 - axis).flatten(0, 1))
    return torch.cat(lines)[:side].T.contiguous()


def _same(first: torch.Tensor, second: torch.Tensor) -> bool:
    return first.shape == second.shape and bool(((first - second).abs() < SAME).all())


def _pooling(body: nn.Module, head: nn.Sequential, side: int) -> int:
    """How many of the head's layers it takes to get one row of features a picture."""
    with torch.inference_mode():
        features = body(torch.zeros(2, 3, side, side))
        for count, layer in enumerate(head):
            if features.ndim == 2:
                return count
            features = layer(features)
    raise UnsuitableExport("The export's head does not pool what its body gives to features; it cannot be converted.")


class _Inner(nn.Module):
    """The middle of a square: without `margin` pixels on each side."""

    def __init__(self, margin: int) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels[..., self.margin : -self.margin, self.margin : -self.margin]


class _Resampling(nn.Module):
    """Scale squares by two matrices, as any resampling does that treats rows and columns apart."""

    rows: torch.Tensor
    columns: torch.Tensor

    def __init__(self, rows: torch.Tensor, columns: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("rows", rows)
        self.register_buffer("columns", columns)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.rows @ pixels @ self.columns.T
