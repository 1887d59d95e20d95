"""A network of a few thousand weights that tells drawn shapes apart: for tests of all in training but the network."""

from pathlib import Path
from typing import Any

import timm
import torch
from timm.models import register_model

ARCH = "shapes_net"
SIZE = 64
# What `train.py` needs to be told to use it.
OPTIONS = ("--arch", ARCH, "--size", str(SIZE))
STORE = Path(__file__).parents[1] / "assets" / "shapes"


def build(num_classes: int = 0) -> torch.nn.Module:
    """A ResNet of timm, so that nothing of ours is in what is pickled, of few channels and with a map of 8 x 8."""
    return timm.create_model(
        "resnet14t", pretrained=False, num_classes=num_classes, channels=(4, 6, 8, 8), stem_width=8, output_stride=8
    )


def read_weights() -> dict[str, torch.Tensor]:
    """The weights in the published revision."""
    from fastai.learner import load_learner

    (pickle,) = STORE.glob("revisions/*/export.pkl")
    return load_learner(pickle).model[0].model.state_dict()


def shapes_net(pretrained: bool = False, num_classes: int = 0, **options: Any) -> torch.nn.Module:
    """As timm calls it; `options` are those that it gives to every model."""
    model = build(num_classes)
    if pretrained:
        model.load_state_dict(read_weights())
    return model


def register() -> None:
    """Let timm know `shapes_net`, in this process."""
    if not timm.is_model(ARCH):
        register_model(shapes_net)
