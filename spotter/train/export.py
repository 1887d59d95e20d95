"""What a trained network is exported as for fastai, `export.pkl`, and any network as ONNX for serving."""

import itertools
import pickle
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from fastai.callback.fp16 import to_fp16  # noqa: F401  (gives Learner its to_fp16 and to_fp32)
from fastai.callback.progress import ProgressCallback  # noqa: F401  (gives Learner its bar, and no_bar)
from fastai.callback.schedule import fine_tune, lr_find  # noqa: F401  (give Learner its fine_tune and lr_find)
from fastai.learner import Learner, load_learner
from fastai.vision.core import PILImage
from PIL import Image
from torch import nn

from spotter.config import TrainConfig
from spotter.data.dataset import Dataset
from spotter.images import load_picture
from spotter.train.body import FeatureNetwork, export_network
from spotter.train.graph import ACTIVATION, EMBEDDING, PROBABILITIES
from spotter.train.learner import make_learner
from spotter.train.trained import Trained

# Pictures at a time when an export is asked: more are slower on one thread, and need more memory.
BATCH = 2
# Pictures that are decoded at a time for it, several megabytes each.
PART = 6 * BATCH


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


def write_pickle(trained: Trained, dataset: Dataset, folds: np.ndarray, config: TrainConfig, path: Path) -> None:
    """Make the fastai Learner of a trained model, and write it as `export_pickle` does."""
    export_pickle(make_learner(trained, dataset, folds, config), path)


def answer_with_pickle(path: Path, pictures: Sequence[bytes]) -> np.ndarray:
    """As `predict_with_pickle`, of encoded pictures."""
    return predict_with_pickle(path, map(load_picture, pictures))


def export_serving(network: "ServingNetwork", path: Path, size: int) -> None:
    """Write a network as the ONNX file that `graph.attach_head` describes."""
    outputs = [PROBABILITIES, EMBEDDING] + ([ACTIVATION] if network.has_places else [])
    export_network(network, path, size, outputs)


def predict_with_pickle(path: Path, pictures: Iterable[Image.Image]) -> np.ndarray:
    """Open the `export.pkl` at `path` with fastai and predict decoded RGB pictures.

    Returns:
        float32 array of shape (n, classes).
    """
    with warnings.catch_warnings():
        # fastai warns that pickles are dangerous; this one was written a moment ago.
        warnings.simplefilter("ignore", UserWarning)
        learn = load_learner(path)
    # The answers are the same to six digits, and come in three quarters of the time.
    learn.model.to(memory_format=torch.channels_last)
    answers, coming = [], iter(pictures)
    with learn.no_bar():
        while part := [PILImage.create(np.asarray(picture)) for picture in itertools.islice(coming, PART)]:
            dl = learn.dls.test_dl(part, num_workers=0, bs=BATCH)
            answers.append(learn.get_preds(dl=dl)[0].numpy())
    return np.concatenate(answers)


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
