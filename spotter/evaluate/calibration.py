"""Calibration: whether probabilities mean what they say (expected calibration error, reliability)."""

from dataclasses import dataclass

import numpy as np

from spotter.config import RELIABILITY_BINS
from spotter.train.head import negative_log_likelihood, softmax
from spotter.utils.stats import calibration_error, confidence_bins


@dataclass(frozen=True)
class ReliabilityBin:
    """Pictures of about one top probability: their number, its mean (`confidence`), and the share that was right."""

    pictures: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """What probabilities are worth: expected calibration error in [0, 1], loss in nats, and the bins not empty.

    `by_chance` is the mean error that these probabilities would show if they were perfectly calibrated, and
    `by_chance_interval` holds 90 % of such errors: on few pictures the shares of right answers scatter, and each
    deviation counts, whichever way it goes.

    Source: Guo et al., On Calibration of Modern Neural Networks (2017), section 2; equal-width bins of the top
    probability, each without its lower edge.
    """

    expected_calibration_error: float
    negative_log_likelihood: float
    bins: tuple[ReliabilityBin, ...]
    by_chance: float
    by_chance_interval: tuple[float, float]

    def sentence(self) -> str:
        """What the error has to be compared with, in words."""
        low, high = self.by_chance_interval
        return (
            f"perfectly calibrated probabilities would show {self.by_chance:.1%} on as many pictures, by chance alone "
            f"(90 % of the time {low:.1%} to {high:.1%})"
        )


def unscale(probabilities: np.ndarray, temperature: float | np.ndarray) -> np.ndarray:
    """Undo temperature scaling, by one number or one a row (n, 1): probabilities (n, classes) as they were before."""
    # log p is the scaled logits but for a constant a row, which softmax does not see; a class with p = 0 stays there.
    return softmax(temperature * np.log(np.clip(probabilities.astype(np.float64), 1e-300, 1)))


def calibrate(probabilities: np.ndarray, targets: np.ndarray, bins: int = RELIABILITY_BINS) -> Calibration:
    """Compare the top probability with how often it was right, for probabilities (n, classes) and targets (n,)."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == targets
    of_bin = confidence_bins(confidence, bins)
    filled = tuple(
        ReliabilityBin(int(inside.sum()), float(confidence[inside].mean()), float(right[inside].mean()))
        for inside in (of_bin == number for number in np.unique(of_bin))
    )
    gap = calibration_error(confidence, right, bins)
    mean, interval = _gaps_by_chance(confidence, of_bin)
    return Calibration(gap, negative_log_likelihood(probabilities, targets), filled, mean, interval)


def _gaps_by_chance(confidence: np.ndarray, of_bin: np.ndarray) -> tuple[float, tuple[float, float]]:
    """The expected calibration error when each answer is right with the probability that it was given: its mean over
    simulated draws, and the 5 and 95 % points."""
    order = np.argsort(of_bin, kind="stable")
    chances, starts = confidence[order], np.unique(of_bin[order], return_index=True)[1]
    rng = np.random.default_rng(0)
    # The larger the set, the less draws differ.
    gaps = []
    for _ in range(int(np.clip(4_000_000 // len(chances), 100, 2000))):
        surplus = (rng.random(len(chances)) < chances) - chances
        gaps.append(float(np.abs(np.add.reduceat(surplus, starts)).sum()) / len(chances))
    low, high = np.quantile(gaps, [0.05, 0.95])
    return round(float(np.mean(gaps)), 6), (round(float(low), 6), round(float(high), 6))
