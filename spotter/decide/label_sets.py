"""Sets of labels that hold the truth nearly always: split by class, from pictures that a classifier did not see.

Each label gets a least probability. A picture's set holds the labels that reach theirs. The least probability is such
that, of the pictures of that class that the classifier did not see, at least the wanted share reach it, with the
correction for a finite number of them (Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005; by
class: the Mondrian form).

What theory gives: if new pictures come from where these came from, in any order (exchangeability), the truth is in the
set of such a share of them, on average over picture sets. The scores here are out of fold, while one model of all folds
answers. For such cross-conformal sets, theory promises only twice the error (1 - 2a instead of 1 - a: Vovk 2015; Barber
et al. 2021), and only if each fold's model has its say; in practice they hold about 1 - a. It promises nothing about
other pictures, such as those of another camera, nor about any one picture.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spotter.config import TrainConfig
from spotter.errors import BadCoverage

COVERAGE = TrainConfig.coverage


@dataclass(frozen=True)
class LabelSets:
    """The least probability in [0, 1] of each label that is in a set, in the order of the labels, and the share
    `coverage` of pictures whose sets are to hold the truth. `by_class`: each label has its own, from its own pictures;
    else all have the same."""

    coverage: float
    least: tuple[float, ...]
    by_class: bool

    def choose(self, probabilities: np.ndarray, familiar: np.ndarray) -> np.ndarray:
        """Which labels are in the sets of some pictures: bool (n, labels).

        One that is not familiar may show anything: all labels are in its set.

        Args:
            probabilities: (n, labels). familiar: bool (n,).
        """
        # Both in the same precision, so that what is equal stays equal.
        inside = np.asarray(probabilities, dtype=np.float32) >= np.array(self.least, dtype=np.float32)
        return inside | ~np.asarray(familiar)[:, None]


def check_coverage(coverage: float) -> float:
    """The same share.

    Raises:
        BadCoverage: no set can be of such use.
    """
    if not 0.5 < coverage < 1:
        why = (
            "only a set of all labels never misses the truth"
            if coverage >= 1
            else "such a set would be no better than a coin"
        )
        raise BadCoverage(f"--coverage must be above 0.5 and below 1, such as {COVERAGE}, not {coverage:g}: {why}.")
    return coverage


def needed(coverage: float) -> int:
    """How many pictures a threshold needs: with fewer, every label would be in every set."""
    # The tiny number: of 0.95, 1 / (1 - 0.95) is a little more than 20.
    return math.ceil(1 / (1 - coverage) - 1e-9) - 1


def make_sets(probabilities: np.ndarray, targets: np.ndarray, coverage: float) -> LabelSets | None:
    """Choose thresholds on pictures that the classifier did not see; None where there are too few of them.

    Each class has its own, as one for all would give the classes that are hard, or have few pictures, less than the
    share wanted and others more. Where a class has too few pictures for that (see `needed`), all share one.

    Args:
        probabilities: (n, labels). targets: int64 (n,), indexes of labels.
    """
    count = probabilities.shape[1]
    given = np.asarray(probabilities, dtype=np.float32)[np.arange(len(targets)), targets]
    if len(given) < needed(coverage):
        return None
    by_class = bool(np.bincount(targets, minlength=count).min() >= needed(coverage))
    groups = [given[targets == label] for label in range(count)] if by_class else [given] * count
    return LabelSets(coverage, tuple(_least(group, coverage) for group in groups), by_class)


def _least(given: np.ndarray, coverage: float) -> float:
    """The largest probability that at least ceil((n + 1) * coverage) of n true labels reach."""
    rank = math.ceil((len(given) + 1) * coverage - 1e-9)
    return float(np.sort(given)[len(given) - rank])


def explain_few(labels: Sequence[str], targets: np.ndarray, coverage: float) -> str:
    """Why there are no sets, or none by class, as a sentence; "" where there are."""
    counts = np.bincount(targets, minlength=len(labels))
    least, fewest = needed(coverage), int(counts.argmin())
    if counts.sum() < least:
        return (
            f"There are no sets of labels: for a coverage of {coverage:g} it takes {least} held-out pictures, and "
            f"there are {counts.sum()}."
        )
    if counts[fewest] < least:
        return (
            f"The sets of labels have one threshold for all classes, so that {coverage:.3g} holds for all together "
            f"and not for each class: of {labels[fewest]} there are {counts[fewest]} held-out pictures, and it "
            f"takes {least}."
        )
    return ""
