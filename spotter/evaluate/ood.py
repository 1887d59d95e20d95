"""Out-of-distribution detection: the familiarity threshold, and how many strangers it refuses (AUROC)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import auc, roc_curve

from spotter.config import FamiliarityConfig
from spotter.evaluate.metrics import Evaluation, Familiarity
from spotter.evaluate.thinning import thin
from spotter.inference.familiarity import score
from spotter.utils.stats import wilson_interval

if TYPE_CHECKING:
    # For its fields alone: the cleaning page judges heads too, and has no torch.
    from spotter.train.learner import Trained


@dataclass(frozen=True)
class Strangers:
    """Pictures of none of the classes against held-out ones of them: how well familiarity tells them apart.

    `auroc` in [0, 1] (0.5: not at all); `refused` of the `pictures` are below the threshold, with the Wilson 95 %
    interval of that share; `accepted_known` is the share of known pictures at or above it; `roc` has points
    (share of strangers accepted, share of known pictures accepted).
    """

    pictures: int
    auroc: float
    refused: int
    refused_interval: tuple[float, float]
    accepted_known: float
    roc: tuple[tuple[float, float], ...]


def judge_strangers(
    evaluation: Evaluation, trained: "Trained", folds: np.ndarray, strangers: np.ndarray, config: FamiliarityConfig
) -> Strangers:
    """Judge the published threshold on embeddings, float32 (k, d) of length 1, of pictures of none of the classes."""
    known = score_known(trained, folds, config)
    reference = make_reference(trained, folds, config)
    return evaluate_strangers(reference, known, strangers, evaluation.familiarity.threshold, config.neighbours)


def evaluate_strangers(
    reference: np.ndarray, known_scores: np.ndarray, strangers: np.ndarray, threshold: float, neighbours: int
) -> Strangers:
    """Judge how well familiarity tells pictures of none of the classes from held-out pictures of them.

    Args:
        reference: the published reference embeddings (m, d). known_scores: (n,), from `score_known`.
        strangers: embeddings (k, d) of pictures of none of the classes; all embeddings are of length 1.
    """
    scores = score(strangers, reference, neighbours)
    is_known = np.repeat([1, 0], [len(known_scores), len(scores)])
    false, true, _ = roc_curve(is_known, np.concatenate([known_scores, scores]))
    refused = int((scores < threshold).sum())
    return Strangers(
        pictures=len(scores),
        auroc=float(auc(false, true)),
        refused=refused,
        refused_interval=wilson_interval(refused, len(scores)),
        accepted_known=float((known_scores >= threshold).mean()),
        roc=tuple(zip(false.tolist(), true.tolist(), strict=True)),
    )


def make_reference(trained: "Trained", folds: np.ndarray, config: FamiliarityConfig) -> np.ndarray:
    """The published reference embeddings, float32 (m, d): of what was learnt from, or what stands for it."""
    return thin(trained.embeddings[trained.learnt_from], folds[trained.learnt_from], config)[0]


def score_known(trained: "Trained", folds: np.ndarray, config: FamiliarityConfig) -> np.ndarray:
    """Familiarity of the judged pictures, shape (judged.sum(),): each is compared with others than its own fold's."""
    if trained.judged.all():
        return score_folds(trained.embeddings, folds, config)
    return score(trained.embeddings[trained.judged], make_reference(trained, folds, config), config.neighbours)


def score_folds(embeddings: np.ndarray, folds: np.ndarray, config: FamiliarityConfig) -> np.ndarray:
    """Familiarity, shape (n,), of each picture to the reference embeddings that stand for the other folds."""
    scores = np.zeros(len(embeddings))
    reference, stands_for = thin(embeddings, folds, config)
    for fold in np.unique(folds):
        out = folds == fold
        scores[out] = score(embeddings[out], reference[stands_for != fold], config.neighbours)
    return scores


def familiarity_on_folds(embeddings: np.ndarray, folds: np.ndarray, config: FamiliarityConfig) -> Familiarity:
    """Choose the threshold on held-out folds: each picture is compared with those of the other folds only."""
    return choose_threshold(score_folds(embeddings, folds, config), config)


def choose_threshold(scores: np.ndarray, config: FamiliarityConfig) -> Familiarity:
    # A score of the data itself, not one between two: at least `accept` of the held-out pictures pass it.
    threshold = float(np.quantile(scores, 1 - config.accept, method="lower"))
    return Familiarity(threshold, float((scores >= threshold).mean()), config.neighbours)
