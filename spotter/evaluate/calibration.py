"""Calibration: whether probabilities mean what they say (expected calibration error, reliability)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spotter.train.head import negative_log_likelihood, softmax

if TYPE_CHECKING:
    # For its fields alone: the cleaning page judges heads too, and has no torch.
    pass


RELIABILITY_BINS = 15


@dataclass(frozen=True)
class ReliabilityBin:
    """Pictures of about one top probability: their number, its mean (`confidence`), and the share that was right."""

    pictures: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """What probabilities are worth: expected calibration error in [0, 1], loss in nats, and the bins not empty.

    Source: Guo et al., On Calibration of Modern Neural Networks (2017), section 2; equal-width bins of the top
    probability, each without its lower edge.
    """

    expected_calibration_error: float
    negative_log_likelihood: float
    bins: tuple[ReliabilityBin, ...]


def unscale(probabilities: np.ndarray, temperature: float | np.ndarray) -> np.ndarray:
    """Undo temperature scaling, by one number or one a row (n, 1): probabilities (n, classes) as they were before."""
    # log p is the scaled logits but for a constant a row, which softmax does not see; a class with p = 0 stays there.
    return softmax(temperature * np.log(np.clip(probabilities.astype(np.float64), 1e-300, 1)))


def calibrate(probabilities: np.ndarray, targets: np.ndarray, bins: int = RELIABILITY_BINS) -> Calibration:
    """Compare the top probability with how often it was right, for probabilities (n, classes) and targets (n,)."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == targets
    of_bin = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    filled = tuple(
        ReliabilityBin(int(inside.sum()), float(confidence[inside].mean()), float(right[inside].mean()))
        for inside in (of_bin == number for number in np.unique(of_bin))
    )
    gap = sum(each.pictures * abs(each.accuracy - each.confidence) for each in filled) / len(targets)
    return Calibration(gap, negative_log_likelihood(probabilities, targets), filled)
