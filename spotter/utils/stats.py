"""Statistics with numpy alone: intervals and exact tests. The app has no scipy and no scikit-learn."""

import math
from collections.abc import Callable

import numpy as np


def wilson_interval(count: float, total: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson score interval of the share count / total (z = 1.96: 95 %).

    Source: E. B. Wilson, J. Am. Stat. Assoc. 22 (1927) 209.
    """
    share = count / total
    centre = share + z * z / (2 * total)
    reach = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    return max(0.0, (centre - reach) / scale), min(1.0, (centre + reach) / scale)


def confidence_bins(confidence: np.ndarray, bins: int) -> np.ndarray:
    """Which of so many bins of equal width, each without its lower edge, a probability (n,) falls into: int64 (n,)."""
    return np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)


def calibration_error(confidence: np.ndarray, right: np.ndarray, bins: int) -> float:
    """The expected calibration error in [0, 1]: how far, on average, top probabilities are from the share right.

    Args:
        confidence: (n,), the probabilities of what was answered. right: bool (n,).
    """
    gaps = np.bincount(confidence_bins(confidence, bins), weights=right - confidence)
    return float(np.abs(gaps).sum()) / len(confidence)


FOLDS = 5
SHRINKAGE = 0.1
# Probabilities that differ by less than this factor count as equal, because of rounding.
EQUAL = 1 + 1e-7

_log_factorial: Callable[[np.ndarray], np.ndarray] = np.vectorize(lambda value: math.lgamma(value + 1), otypes=[float])


def exact_shares(first: tuple[int, int], second: tuple[int, int], *, is_greater: bool = False) -> float:
    """Fisher's exact test of two shares, each (count, total): both ways, or only whether the first is greater."""
    (count, total), (other, rest) = first, second
    drawn = count + other
    counts = np.arange(max(0, drawn - rest), min(drawn, total) + 1)
    chances = _normal_sum(_log_choose(total, counts) + _log_choose(rest, drawn - counts))
    here = chances[count - counts[0]]
    return float(min(1, chances[counts >= count if is_greater else chances <= here * EQUAL].sum()))


def exact_half(count: int, total: int) -> float:
    """The two-sided exact probability of `count` heads in `total` tosses of a fair coin."""
    chances = _normal_sum(_log_choose(total, np.arange(total + 1)))
    return float(min(1, chances[chances <= chances[count] * EQUAL].sum()))


def above_normal(value: float) -> float:
    """How probable a value above `value` is of a standard normal distribution."""
    return math.erfc(value / math.sqrt(2)) / 2


def same_figures(first: np.ndarray, second: np.ndarray) -> float:
    """Kolmogorov-Smirnov: how probable it is that figures (n,) and (m,) so different have one distribution.

    Source: Stephens, Journal of the Royal Statistical Society B 32 (1970) 115, for the correction to finite n.
    """
    everything = np.concatenate([first, second])
    shares = [np.searchsorted(np.sort(side), everything, "right") / len(side) for side in (first, second)]
    apart = float(np.abs(shares[0] - shares[1]).max())
    root = math.sqrt(len(first) * len(second) / len(everything))
    value = (root + 0.12 + 0.11 / root) * apart
    if value < 0.2:
        # The sum converges slowly there, and is 1 to nine digits.
        return 1.0
    terms = np.arange(1, 101)
    return float(np.clip(2 * ((-1.0) ** (terms - 1) * np.exp(-2 * (terms * value) ** 2)).sum(), 0, 1))


def ranked_above(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Mann-Whitney: the share of pairs in which the first figure is the larger one (half for equal ones), and how
    probable such a share or a larger one is by chance, by the normal approximation corrected for equal figures."""
    everything = np.concatenate([first, second])
    values, inverse, counts = np.unique(everything, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    n, m, total = len(first), len(second), len(everything)
    wins = float(ranks[:n].sum()) - n * (n + 1) / 2
    ties = float((counts**3.0 - counts).sum()) / (total * (total - 1))
    spread = math.sqrt(n * m / 12 * (total + 1 - ties))
    chance = above_normal((wins - n * m / 2 - 0.5) / spread) if spread and len(values) > 1 else 1.0
    return wins / (n * m), chance


def discriminate(places: np.ndarray, is_first: np.ndarray) -> np.ndarray:
    """How much each of `places` (n, k) looks like the first ones rather than the others, judged by a linear
    discriminant that has not seen it: `FOLDS` parts, dealt with a fixed seed. Returns (n,)."""
    order = np.random.default_rng(0).permutation(len(places))
    # Each side is dealt evenly.
    order = order[np.argsort(is_first[order], kind="stable")]
    fold = np.empty(len(places), dtype=int)
    fold[order] = np.arange(len(places)) % FOLDS
    scores = np.empty(len(places))
    for number in range(FOLDS):
        seen = fold != number
        sides = [places[seen & (is_first == side)].astype(float) for side in (1, 0)]
        spread = sum((len(side) * np.cov(side.T, bias=True) for side in sides), start=np.zeros(())) / seen.sum()
        spread = np.atleast_2d(spread)
        width = len(spread)
        spread = (1 - SHRINKAGE) * spread + (SHRINKAGE * np.trace(spread) / width + 1e-12) * np.eye(width)
        middles = [side.mean(axis=0) for side in sides]
        direction = np.linalg.solve(spread, middles[0] - middles[1])
        scores[~seen] = (places[~seen] - (middles[0] + middles[1]) / 2) @ direction
    return scores


def _log_choose(total: int, counts: np.ndarray) -> np.ndarray:
    return math.lgamma(total + 1) - _log_factorial(counts) - _log_factorial(total - counts)


def _normal_sum(logs: np.ndarray) -> np.ndarray:
    """The numbers with these logarithms, so that they add up to 1."""
    values = np.exp(logs - logs.max())
    return np.asarray(values / values.sum())
