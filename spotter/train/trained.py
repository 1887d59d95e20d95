"""A trained model, and training by a linear head on frozen features. Needs no torch."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from spotter.config import TrainConfig
from spotter.data.dataset import Dataset
from spotter.train.backbone import compute_views
from spotter.train.features import Backbone
from spotter.train.head import Head, Judged, choose_head, is_uneven
from spotter.train.views import Views, join_views, plan_views

GIVEN_SPLIT = "the pictures that were kept for validation"


@dataclass(frozen=True)
class Trained(Judged):
    """A trained model, what was judged of it, and what publishing it needs.

    The `features` are of its `backbone`, and `head` is its last layer. The logits of the judged pictures are divided by
    `judged_temperatures` (judged.sum(),), or where that is None, by that of the head. `tried` says what was compared,
    and with which result; `fine_tune_epochs` is 0 when fine-tuning was not better. `views` are all that the head learnt
    from beside the pictures. `learner` is the fastai Learner of a network that was fine-tuned; of others,
    `spotter.train.learner.make_learner` makes one when it is published.
    """

    backbone: Backbone
    head: Head
    how: str
    fine_tune_epochs: int = 0
    tried: tuple[str, ...] = ()
    judged_temperatures: np.ndarray | None = None
    views: Views | None = None
    learner: Any = None

    def bare(self) -> "Trained":
        """What makes its fastai Learner, and nothing that is large."""
        body = replace(self.backbone.body, onnx=b"", classifier=None)
        return replace(
            self,
            features=self.features[:0],
            probabilities=self.probabilities[:0],
            shifted=None,
            shifted_probabilities=None,
            views=None,
            backbone=replace(self.backbone, body=body, imagenet=None, seen={}, places={}),
        )


def train_head(
    dataset: Dataset, folds: np.ndarray, backbone: Backbone, features: np.ndarray, config: TrainConfig
) -> Trained:
    """Learn a linear head on the frozen body's features of all pictures; judge it by cross-validation.

    If the author of the set keeps pictures for judging, learn from the others, and judge it on these.

    Raises:
        TrainingFailed: the features or the loss are not numbers.
    """
    cropped, shifted = _compute_views(dataset, backbone, config)
    head, judged = learn_head(dataset, folds, features, config, cropped, shifted)
    is_given = bool(dataset.held_out.any())
    how = GIVEN_SPLIT if is_given else f"{folds.max() + 1}-fold cross-validation, near duplicates kept together"
    temperatures = None if is_given else np.array([head.of_folds[fold].temperature for fold in folds.tolist()])
    return Trained(
        judged.features,
        judged.judged,
        judged.learnt_from,
        judged.probabilities,
        judged.shifted,
        judged.shifted_probabilities,
        backbone,
        head,
        how,
        tried=describe_tries(head, dataset, config),
        judged_temperatures=temperatures,
        views=_learnt_views(head, cropped, shifted),
    )


def learn_head(
    dataset: Dataset,
    folds: np.ndarray,
    features: np.ndarray,
    config: TrainConfig,
    cropped: Views | None,
    shifted: Views | None,
) -> tuple[Head, Judged]:
    """As `train_head`, from features and views that are there; the cleaning page learns in the same way.

    Raises:
        TrainingFailed: the features or the loss are not numbers.
    """
    held_out = dataset.held_out
    if not held_out.any():
        everything = np.ones(len(folds), dtype=bool)
        fit = choose_head(features, dataset.targets, folds, config, cropped, shifted)
        said = fit.shifted if shifted else None
        return fit.head, Judged(features, everything, everything, fit.probabilities, shifted, said)
    parts = [views.keep(~held_out) if views else None for views in (cropped, shifted)]
    head = choose_head(features[~held_out], dataset.targets[~held_out], folds[~held_out], config, *parts).head
    said = head.probabilities(shifted.features) if shifted else None
    return head, Judged(features, held_out, ~held_out, head.probabilities(features[held_out]), shifted, said)


def _compute_views(dataset: Dataset, backbone: Backbone, config: TrainConfig) -> tuple[Views | None, Views | None]:
    """Cropped and shifted views of a set; None where there are none to be made."""
    cropped, shifted = (
        compute_views(backbone, dataset, kind, plan) if plan else None for kind, plan in plan_views(dataset, config)
    )
    return cropped, shifted


def _learnt_views(head: Head, cropped: Views | None, shifted: Views | None) -> Views | None:
    """What of the views a head from `choose_head` has learnt from."""
    mine = cropped if head.view_losses and head.view_losses[1] < head.view_losses[0] else None
    return join_views(mine, shifted) if shifted and head.spectrum and head.spectrum.is_kept else mine


def describe_tries(head: Head, dataset: Dataset, config: TrainConfig) -> tuple[str, ...]:
    names = {pair: f"C={pair[0]:g}{', balanced' if pair[1] else ''}" for pair in head.losses}
    losses = ", ".join(f"{loss:.4f} ({names[pair]})" for pair, loss in sorted(head.losses.items()))
    taken = f"{names[head.strength, head.balanced]} is taken, the strongest regularisation of those as good as the best"
    where = "held-out folds" if len(dataset.targets) <= config.many else "one held-out fold"
    said = []
    if is_uneven(dataset.targets, config):
        counts = np.bincount(dataset.targets)
        few, many = dataset.labels[counts.argmin()], dataset.labels[counts.argmax()]
        said.append(f"the classes are uneven, {counts.min()} {few} and {counts.max()} {many}: each counts the same")
        said.append(f"loss of linear heads on {where}, the mean of the classes: {losses}; {taken}")
    else:
        said.append(f"loss of linear heads on {where}: {losses}; {taken}")
    if head.view_losses:
        without, with_views = head.view_losses
        kept = "" if with_views < without else ", which is not kept"
        said.append(f"learning from mirrored and cropped views too: {with_views:.4f} instead of {without:.4f}{kept}")
    if head.spectrum:
        (without, with_views), (wrong_without, wrong) = head.spectrum.losses, head.spectrum.wrong
        said.append(
            f"learning from shifted views too: loss on held-out pictures and shifted views {with_views:.4f} instead of "
            f"{without:.4f}, {wrong} of {len(dataset.targets)} pictures wrong instead of {wrong_without}"
            + ("" if head.spectrum.is_kept else ", which is not kept")
        )
    return tuple(said)
