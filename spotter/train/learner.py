"""fastai: a Learner from a fitted head, optional fine-tuning, and the exports."""

import copy
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fastai.callback.fp16 import to_fp16  # noqa: F401  (gives Learner its to_fp16 and to_fp32)
from fastai.callback.progress import ProgressCallback  # noqa: F401  (gives Learner its bar, and no_bar)
from fastai.callback.schedule import fine_tune, lr_find  # noqa: F401  (give Learner its fine_tune and lr_find)
from fastai.data.block import CategoryBlock, DataBlock
from fastai.data.core import DataLoaders, TfmdDL
from fastai.data.transforms import IndexSplitter, Normalize, parent_label
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat
from fastai.metrics import error_rate
from fastai.torch_core import set_seed
from fastai.vision.augment import PadMode, RandomResizedCrop, Resize, aug_transforms
from fastai.vision.data import ImageBlock
from fastai.vision.learner import vision_learner
from fasttransform import Pipeline
from matplotlib import pyplot
from matplotlib.figure import Figure
from torch import nn

from spotter.config import TrainConfig
from spotter.data.dataset import Dataset
from spotter.errors import BadPicture, TrainingFailed
from spotter.images import load_picture, own_reason
from spotter.names import folder_name
from spotter.train.backbone import run_body
from spotter.train.body import load_modules, load_modules_to_tune, rebuild
from spotter.train.distributed import how_many, share, together
from spotter.train.features import Backbone
from spotter.train.head import Head, class_weights, fit_head, negative_log_likelihood
from spotter.train.trained import GIVEN_SPLIT, Trained, describe_tries, train_head
from spotter.utils.files import temporary_folder
from spotter.utils.text import plural

# Half of fastai's own: a step takes about a second on two cores, and the curve is as clear.
RATE_STEPS = 50
NONE_LEFT = "None of the stored pictures can be read any more; start again, and leave them alone."

_log = logging.getLogger(__name__)


def make_learner(trained: Trained, dataset: Dataset, folds: np.ndarray, config: TrainConfig) -> Learner:
    """The fastai Learner of a trained model, with its head in the last layer."""
    if trained.learner:
        return trained.learner
    held_out = folds == 0 if trained.judged.all() else trained.judged
    with labelled_view(dataset) as view:
        # fastai reads one picture to see what there is; the others do not matter any more.
        held_out = held_out | ~readable(dataset, ~held_out, enough=1)
        learn = build_learner(dataset, view, held_out, trained.backbone, config)
    put_head(learn, trained.head)
    return learn


def train_whole(
    dataset: Dataset, folds: np.ndarray, backbone: Backbone, features: np.ndarray, config: TrainConfig
) -> Trained:
    """Learn a head on all folds but the first, then fine-tune the whole network; judge it on the first fold.

    From the head on (LP-FT: Kumar et al., ICLR 2022) as the chapter does it: one frozen epoch, then `config.fine_tune`
    epochs of the whole network. Kept only if its loss on the first fold is less than the head's alone; else, and with
    fewer than three folds, the answer is that of `train_head`.

    Raises:
        TrainingFailed: the features are not numbers, the loss became NaN, or no picture can be read any more.
    """
    if folds.max() < 2:
        trained = train_head(dataset, folds, backbone, features, config)
        left_out = "fine-tuning is left out: it needs at least 3 different pictures of each class"
        return replace(trained, tried=(*trained.tried, left_out))
    held_out = folds == 0
    head, _ = fit_head(features[~held_out], dataset.targets[~held_out], folds[~held_out], config)
    rate, found = None, list[str]()
    if config.find_rate:
        rate = find_learning_rate(dataset, held_out, backbone, config)
        found.append(f"learning rate {rate:.2g} found by fastai's lr_find")
    learn = share(tune, dataset, held_out, backbone, head, config, rate)
    weights = class_weights(dataset.targets[~held_out], config)
    tuned_backbone = rebuild(backbone, learn.model[0])
    tuned_features = run_body(tuned_backbone, dataset.paths)
    there = np.asarray(tuned_features.any(axis=1))
    judged, learnt_from = held_out & there, ~held_out & there
    if not judged.any():
        raise TrainingFailed("The pictures to judge it on cannot be read any more; start again, and leave them alone.")
    if not there.all():
        gone = plural(int((~there).sum()), "stored picture")
        found.append(f"{gone} could not be read any more while fine-tuning, and nothing is said of them")
    layer = learn.model[1][-1]
    tuned = Head(layer.weight.detach().numpy(), layer.bias.detach().numpy(), head.strength, balanced=head.balanced)
    probabilities = tuned.probabilities(tuned_features[judged])
    targets = dataset.targets[judged]
    counting = weights[targets]
    before = negative_log_likelihood(head.probabilities(features[judged]), targets, counting)
    after = negative_log_likelihood(probabilities, targets, counting)
    tried = f"loss on the held-out fold: {before:.4f} by the linear head, {after:.4f} after fine-tuning"
    # Written so that NaN is not better.
    if not after < before:
        trained = train_head(dataset, folds, backbone, features, config)
        return replace(trained, tried=(*trained.tried, *found, f"{tried}, which is not kept"))
    how = GIVEN_SPLIT if dataset.held_out.any() else "held-out fifth, near duplicates kept together"
    return Trained(
        tuned_features,
        judged,
        learnt_from,
        probabilities,
        None,
        None,
        tuned_backbone,
        tuned,
        how,
        fine_tune_epochs=config.fine_tune,
        tried=(*describe_tries(head, dataset, config), *found, tried),
        learner=learn,
    )


def tune(
    dataset: Dataset, held_out: np.ndarray, backbone: Backbone, head: Head, config: TrainConfig, rate: float | None
) -> Learner:
    """Fine-tune the whole network from a fitted head on, as fastai's `fine_tune` does; in half precision on a GPU.

    Args:
        held_out: bool array of shape (n,): the pictures not to learn from.
        rate: the base learning rate; None is fastai's own default.

    Returns:
        A learner on the CPU, in full precision.

    Raises:
        TrainingFailed: the loss became NaN, or no picture can be read any more.
    """
    held_out = held_out | ~readable(dataset, ~held_out)
    with labelled_view(dataset) as view:
        learn = build_learner(dataset, view, held_out, backbone, config, load_modules_to_tune)
        put_head(learn, head)
        if head.balanced:
            weights = class_weights(dataset.targets[~held_out], config)
            learn.loss_func = CrossEntropyLossFlat(weight=torch.tensor(weights, dtype=torch.float32))
            learn.loss_func.to(learn.dls.device)
        if learn.dls.device.type == "cuda":
            learn.to_fp16()
        set_seed(config.seed)
        with passing_over(learn.dls), together(learn):
            learn.fine_tune(config.fine_tune, **({} if rate is None else {"base_lr": rate}))
    # When it began and how long each epoch took would make every export another one.
    learn.recorder.start_epoch, learn.recorder.log = 0.0, []
    if not np.isfinite(float(learn.recorder.losses[-1])):
        raise TrainingFailed("The loss became NaN while fine-tuning; try fewer --fine-tune epochs.")
    if learn.dls.device.type == "cuda":
        learn.to_fp32()
    learn.dls.cpu()
    learn.model.cpu()
    learn.loss_func.to("cpu")
    return learn


def find_learning_rate(dataset: Dataset, held_out: np.ndarray, backbone: Backbone, config: TrainConfig) -> float:
    """Suggest a base learning rate, as the book does: with a new head on the frozen body, where the loss falls best.

    `lr_find.png` in the picture set's folder shows the losses it saw.

    Raises:
        TrainingFailed: the loss did not fall at any rate, or no picture can be read any more.
    """
    held_out = held_out | ~readable(dataset, ~held_out)
    with labelled_view(dataset) as view, temporary_folder() as folder:
        learn = build_learner(dataset, view, held_out, backbone, config, load_modules_to_tune)
        set_seed(config.seed)
        # It keeps the weights on disk to put them back.
        learn.model_dir = folder
        with passing_over(learn.dls):
            suggested = learn.lr_find(num_it=RATE_STEPS, show_plot=False)
    rates, losses = learn.recorder.lrs, [float(loss) for loss in learn.recorder.losses]
    if not min(losses) < losses[0]:
        raise TrainingFailed("No learning rate made the loss fall; leave --find-rate out, or look at the pictures.")
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(rates, losses)
    axes.axvline(suggested.valley, color="firebrick", linestyle=":", label=f"suggested: {suggested.valley:.2g}")
    axes.set(xscale="log", xlabel="Learning rate", ylabel="Loss")
    axes.legend()
    figure.savefig(dataset.folder / "lr_find.png", dpi=110)
    return suggested.valley


def show_batch(dataset: Dataset, backbone: Backbone, config: TrainConfig) -> Path:
    """Save two contact sheets into the picture set's folder: pictures of one batch, and one picture nine times.

    That is what the network learns from when it is fine-tuned: random crops, flips, rotations, lighting.

    Returns:
        The folder, with `show_batch.png` and `show_batch_unique.png` in it.

    Raises:
        TrainingFailed: no picture can be read any more.
    """
    gone = ~readable(dataset, np.ones(len(dataset.records), dtype=bool))
    with labelled_view(dataset) as view:
        dls = build_learner(dataset, view, gone, backbone, config).dls
        set_seed(config.seed)
        with passing_over(dls):
            for name, unique in (("show_batch.png", False), ("show_batch_unique.png", True)):
                dls.train.show_batch(max_n=9, unique=unique)
                pyplot.savefig(dataset.folder / name, dpi=110, bbox_inches="tight")
                pyplot.close()
    return dataset.folder


def readable(dataset: Dataset, wanted: np.ndarray, enough: int | None = None) -> np.ndarray:
    """Which stored pictures can still be decoded: bool (n,). The log names the others.

    Args:
        wanted: bool (n,), which to look at; the others count as readable. enough: stop after so many that are.

    Raises:
        TrainingFailed: none of them can be read.
    """
    there, found = np.ones(len(wanted), dtype=bool), 0
    for row in np.flatnonzero(wanted).tolist():
        try:
            load_picture(dataset.paths[row])
        except BadPicture as error:
            there[row] = False
            _log.warning("%s is left out: %s", dataset.paths[row], error)
            continue
        found += 1
        if found == enough:
            break
    if not found:
        raise TrainingFailed(NONE_LEFT)
    return there


@contextmanager
def passing_over(dls: DataLoaders) -> Iterator[None]:
    """Take the next picture in place of one that cannot be read any more; what that is, the log tells.

    In its place, as several processes wait for each other until each has as many batches as the others.

    Raises:
        TrainingFailed: none can be read.
    """
    loaders = [dls.train, dls.valid]

    def do_item(loader: TfmdDL, row: int) -> Any:
        for step in range(len(loader.dataset)):
            other = (row + step) % len(loader.dataset)
            try:
                with own_reason():
                    return type(loader).do_item(loader, other)
            except BadPicture as error:
                _log.warning("%s is left out: %s", loader.items[other], error)
        raise TrainingFailed(NONE_LEFT)

    for loader in loaders:
        loader.do_item = partial(do_item, loader)
    try:
        yield
    finally:
        for loader in loaders:
            del loader.do_item


@contextmanager
def labelled_view(dataset: Dataset) -> Iterator[Path]:
    """A folder for fastai, which takes labels from the names of folders: edits move no files.

    It holds a link to each picture, `<folder of the label>/<name>`, and is gone afterwards.
    """
    with temporary_folder() as folder:
        for record, path in zip(dataset.records, dataset.paths, strict=True):
            link = folder / folder_name(record.label) / path.name
            link.parent.mkdir(exist_ok=True)
            link.symlink_to(path.absolute())
        yield folder


def build_learner(
    dataset: Dataset,
    view: Path,
    held_out: np.ndarray,
    backbone: Backbone,
    config: TrainConfig,
    load: Callable[[Backbone], tuple[nn.Module, nn.Module]] = load_modules,
) -> Learner:
    """Make the fastai `Learner`: pretrained frozen body, and a pooled linear head that is not trained yet.

    Args:
        dataset: the pictures. held_out: bool array of shape (n,): the validation pictures.
        view: a folder from `labelled_view`, which has to stay for as long as the Learner reads pictures.
        load: `load_modules`, or `load_modules_to_tune` where the body is to learn too.
    """
    # First, as making a network draws random numbers.
    body, pool = load(backbone)
    # The loaders keep random states, which would make every export another one.
    set_seed(config.seed)
    files = [
        view / folder_name(record.label) / path.name
        for record, path in zip(dataset.records, dataset.paths, strict=True)
    ]
    category = CategoryBlock(vocab=list(dataset.labels), sort=False)
    # What it reads are names of folders, and what it answers are labels.
    places = category.type_tfms[0].vocab.o2i
    places.update({folder_name(label): place for label, place in list(places.items())})
    block = DataBlock(
        blocks=(ImageBlock, category),
        get_items=lambda _: files,
        get_y=parent_label,
        splitter=IndexSplitter(np.flatnonzero(held_out).tolist()),
        item_tfms=Resize(config.size, method=config.resize, pad_mode=PadMode.Zeros),
        batch_tfms=_batch_transforms(config),
    )
    # fastai drops a training batch that is not full, and with it, silently, all of a small set.
    # With several processes each gets its share of the pictures, and a batch that is not full is left out.
    batch_size = min(config.batch_size, max(1, int((~held_out).sum()) // how_many()))
    # No worker processes: the pictures are small, and a pool would outlive an interrupted run.
    dls = block.dataloaders(view, bs=batch_size, num_workers=0)
    _crop_at_random(dls, config)
    head = nn.Sequential(copy.deepcopy(pool), nn.Flatten(), nn.Linear(backbone.width, len(dataset.labels)))
    # Of two equal texts the pickle writes both, of one that is interned a reference: the export would be another one.
    arch = sys.intern(backbone.arch)
    learn = vision_learner(dls, arch, pretrained=False, custom_head=head, metrics=error_rate)
    learn.model[0].load_state_dict(body.state_dict())
    learn.dls.add_tfms([Normalize.from_stats(backbone.mean, backbone.std)], "after_batch")
    learn.freeze()
    # The exported pickle is read on other machines: no path of this one may be in it.
    learn.path = learn.dls.path = Path()
    return learn


def _crop_at_random(dls: DataLoaders, config: TrainConfig) -> None:
    """Let the training pictures, and only these, be cropped at random where the config says so.

    Held-out pictures, and all that the published model will see, go on being resized in the one plain way.
    """
    if config.presize:
        crop = Resize(config.presize)
    elif config.min_scale < 1:
        crop = RandomResizedCrop(config.size, min_scale=config.min_scale)
    else:
        return
    # Not two item_tfms: of two transforms of one class, a DataBlock keeps the last.
    others = [step for step in dls.train.after_item.fs if not isinstance(step, Resize)]
    dls.train.after_item = Pipeline([crop, *others], split_idx=0)


def _batch_transforms(config: TrainConfig) -> list[Any]:
    if not config.presize:
        return aug_transforms(mult=config.mult)
    transforms = aug_transforms(mult=config.mult, size=config.size, min_scale=config.min_scale)
    for transform in transforms:
        transform.split_idx = 0
    return transforms


def put_head(learn: Learner, head: Head) -> None:
    """Write the weights of `head` into the last layer of `learn`, so that it is an ordinary trained Learner."""
    layer = learn.model[1][-1]
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(head.weight))
        layer.bias.copy_(torch.from_numpy(head.bias))
