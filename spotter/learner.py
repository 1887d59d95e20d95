"""fastai: a Learner from a fitted head, optional fine-tuning, and the exports."""

import copy
import pickle
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from fastai.callback.progress import ProgressCallback  # noqa: F401  (gives Learner its bar, and no_bar)
from fastai.callback.schedule import fine_tune  # noqa: F401  (gives Learner its fine_tune)
from fastai.data.block import CategoryBlock, DataBlock
from fastai.data.transforms import IndexSplitter, Normalize, parent_label
from fastai.learner import Learner, load_learner
from fastai.metrics import error_rate
from fastai.torch_core import set_seed
from fastai.vision.augment import Resize, aug_transforms
from fastai.vision.core import PILImage
from fastai.vision.data import ImageBlock
from fastai.vision.learner import vision_learner
from PIL import Image
from torch import nn

from spotter.backbone import Backbone, FeatureNetwork, embed, export_network, run_body
from spotter.config import TrainConfig
from spotter.dataset import Dataset
from spotter.errors import TrainingFailed
from spotter.head import Head, fit_head, negative_log_likelihood

PROBABILITIES, EMBEDDING, ACTIVATION = "probabilities", "embedding", "activation"


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


def train_head(
    dataset: Dataset, folds: np.ndarray, backbone: Backbone, features: np.ndarray, config: TrainConfig
) -> Trained:
    """Learn a linear head on the frozen body's features of all pictures; judge it by cross-validation.

    Raises:
        TrainingFailed: the features or the loss are not numbers.
    """
    everything = np.ones(len(folds), dtype=bool)
    with labelled_view(dataset) as view:
        learn = build_learner(dataset, view, folds == 0, backbone, config)
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
    head, _ = fit_head(features[~held_out], dataset.targets[~held_out], folds[~held_out], config)
    with labelled_view(dataset) as view:
        learn = build_learner(dataset, view, held_out, backbone, config)
        put_head(learn, head)
        set_seed(config.seed)
        learn.fine_tune(config.fine_tune)
    if not np.isfinite(float(learn.recorder.losses[-1])):
        raise TrainingFailed("The loss became NaN while fine-tuning; try fewer --fine-tune epochs.")
    tuned_features = run_body(replace(backbone, body=learn.model[0]), dataset.paths)
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


@contextmanager
def labelled_view(dataset: Dataset) -> Iterator[Path]:
    """A folder for fastai, which takes labels from the names of folders: edits move no files.

    It holds a link to each picture, `<label>/<name>`, and is gone afterwards.
    """
    with TemporaryDirectory(prefix="spotter-view-") as folder:
        for record, path in zip(dataset.records, dataset.paths, strict=True):
            link = Path(folder) / record.label / path.name
            link.parent.mkdir(exist_ok=True)
            link.symlink_to(path.absolute())
        yield Path(folder)


def build_learner(
    dataset: Dataset, view: Path, held_out: np.ndarray, backbone: Backbone, config: TrainConfig
) -> Learner:
    """Make the fastai `Learner`: pretrained frozen body, and a pooled linear head that is not trained yet.

    Args:
        dataset: the pictures. held_out: bool array of shape (n,): the validation pictures.
        view: a folder from `labelled_view`, which has to stay for as long as the Learner reads pictures.
    """
    # The loaders keep random states, which would make every export another one.
    set_seed(config.seed)
    files = [view / record.label / path.name for record, path in zip(dataset.records, dataset.paths, strict=True)]
    block = DataBlock(
        blocks=(ImageBlock, CategoryBlock(vocab=list(dataset.labels), sort=False)),
        get_items=lambda _: files,
        get_y=parent_label,
        splitter=IndexSplitter(np.flatnonzero(held_out).tolist()),
        item_tfms=Resize(config.size),
        batch_tfms=aug_transforms(),
    )
    # No worker processes: the pictures are small, and a pool would outlive an interrupted run.
    dls = block.dataloaders(view, bs=config.batch_size, num_workers=0)
    head = nn.Sequential(copy.deepcopy(backbone.pool), nn.Flatten(), nn.Linear(backbone.width, len(dataset.labels)))
    learn = vision_learner(dls, backbone.arch, pretrained=False, custom_head=head, metrics=error_rate)
    learn.model[0].load_state_dict(backbone.body.state_dict())
    learn.dls.add_tfms([Normalize.from_stats(backbone.mean, backbone.std)], "after_batch")
    learn.freeze()
    # The exported pickle is read on other machines: no path of this one may be in it.
    learn.path = learn.dls.path = Path()
    return learn


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


class _ServingNetwork(nn.Module):
    def __init__(self, learn: Learner, size: int) -> None:
        super().__init__()
        normalize = next(step for step in learn.dls.valid.after_batch.fs if isinstance(step, Normalize))
        head = learn.model[1]
        self.features = FeatureNetwork(learn.model[0], head[:-1], normalize.mean.cpu(), normalize.std.cpu(), size)
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


def _tried(head: Head) -> str:
    losses = ", ".join(f"{loss:.4f} (C={strength:g})" for strength, loss in sorted(head.losses.items()))
    return f"loss of linear heads on held-out folds: {losses}; C={head.strength:g} is taken"
