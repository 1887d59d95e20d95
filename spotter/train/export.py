"""What a trained network is exported as: `export.pkl` for fastai, and ONNX for serving."""

import pickle
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from fastai.callback.fp16 import to_fp16  # noqa: F401  (gives Learner its to_fp16 and to_fp32)
from fastai.callback.progress import ProgressCallback  # noqa: F401  (gives Learner its bar, and no_bar)
from fastai.callback.schedule import fine_tune, lr_find  # noqa: F401  (give Learner its fine_tune and lr_find)
from fastai.data.transforms import Normalize
from fastai.learner import Learner, load_learner
from fastai.vision.core import PILImage
from PIL import Image
from torch import nn

from spotter.train.body import FeatureNetwork, export_network

PROBABILITIES, EMBEDDING, ACTIVATION = "probabilities", "embedding", "activation"


def export_pickle(learn: Learner, path: Path) -> None:
    """Write `export.pkl` for fastai's `load_learner`; nothing in it is of our own code.

    Raises:
        OSError: it cannot be written.
    """
    learn.model.eval()
    # Not fastai's default, cloudpickle: that writes bytecode of this Python, and paths of this machine.
    try:
        learn.export(path.absolute(), pickle_module=pickle)
    except RuntimeError as error:
        # What torch makes of a full disk.
        raise OSError(f"torch cannot write {path.name}") from error


def export_onnx(learn: Learner, path: Path, size: int) -> None:
    """Write the network as ONNX: uint8 `pixels` (n, size, size, 3) in, `probabilities` and `embedding` out.

    Normalisation and softmax are inside; `embedding` is the pooled features divided by their length. Where the body
    gives a map of features, `activation` (n, classes, h, w) is what each place of it adds to each class: class
    activation maps (Zhou et al., CVPR 2016), whose means over the places are the logits without their bias.
    """
    normalize = next(step for step in learn.dls.valid.after_batch.fs if isinstance(step, Normalize))
    head = learn.model[1]
    features = FeatureNetwork(learn.model[0], head[:-1], normalize.mean.cpu(), normalize.std.cpu(), size)
    export_serving(ServingNetwork(features, head[-1], isinstance(head[0], nn.AdaptiveAvgPool2d)), path, size)


def export_serving(network: "ServingNetwork", path: Path, size: int) -> None:
    """Write a network as the ONNX file that `export_onnx` describes."""
    outputs = [PROBABILITIES, EMBEDDING] + ([ACTIVATION] if network.has_places else [])
    export_network(network, path, size, outputs)


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


class ServingNetwork(nn.Module):
    """Pixels to probabilities and embedding: `head` gives the logits of the pooled features.

    With `has_places`, `head` is linear and the pooled features are means over the places of a map; then the activation
    of each place too.
    """

    def __init__(self, features: FeatureNetwork, head: nn.Module, has_places: bool) -> None:
        super().__init__()
        self.features, self.head, self.has_places = features, head, has_places
        self.eval()

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        places = self.features.places(pixels)
        pooled = self.features.pool(places)
        answers = torch.softmax(self.head(pooled), dim=1), nn.functional.normalize(pooled, dim=1)
        if not self.has_places:
            return answers
        return *answers, nn.functional.conv2d(places, self.head.get_parameter("weight")[:, :, None, None])
