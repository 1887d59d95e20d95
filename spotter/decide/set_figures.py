"""How often sets of labels hold the truth, and how large they are, on pictures that the classifier did not see."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spotter.decide.label_sets import LabelSets, explain_few, make_sets
from spotter.utils.stats import wilson_interval
from spotter.utils.text import percent

# Of a normal distribution, for 95 %.
REACH = 1.959964


@dataclass(frozen=True)
class SetCounts:
    """Of `pictures`, the sets of `covered` hold the truth: the share `coverage`, with its Wilson 95 % interval. A set
    has `size` labels on average, with the 95 % interval of a mean. `unsure` of them are empty or hold every label."""

    pictures: int
    covered: int
    coverage: float
    interval: tuple[float, float]
    size: float
    size_interval: tuple[float, float]
    unsure: int


@dataclass(frozen=True)
class SetFigures:
    """What sets of labels are worth: `counts` of all judged pictures, and `classes` of those of each label. The sets of
    the pictures of a fold are by thresholds that the other folds chose. `remark` says where there were too few."""

    wanted: float
    by_class: bool
    counts: SetCounts
    classes: tuple[tuple[str, SetCounts | None], ...]
    remark: str

    def sentence(self) -> str:
        """What they are worth, in words."""
        counts = self.counts
        low, high = counts.interval
        return (
            f"sets of labels hold the truth for {percent(counts.coverage)} of {counts.pictures} held-out pictures "
            f"(95 % interval {100 * low:.1f} to {100 * high:.1f} %; wanted: {percent(self.wanted)}), with "
            f"{counts.size:.2f} labels on average; {percent(counts.unsure / counts.pictures)} are empty or hold every "
            "label"
        )


def count_sets(inside: np.ndarray, targets: np.ndarray) -> SetCounts | None:
    """Count what is in sets; None of no pictures.

    Args:
        inside: bool (n, labels). targets: int64 (n,).
    """
    if not len(targets):
        return None
    total, sizes = len(targets), inside.sum(axis=1)
    covered, size = int(inside[np.arange(total), targets].sum()), float(sizes.mean())
    reach = REACH * float(sizes.std()) / total**0.5
    return SetCounts(
        pictures=total,
        covered=covered,
        coverage=covered / total,
        interval=wilson_interval(covered, total),
        size=size,
        size_interval=(size - reach, size + reach),
        unsure=int(((sizes == 0) | (sizes == inside.shape[1])).sum()),
    )


def sets_by_fold(
    probabilities: np.ndarray, targets: np.ndarray, folds: np.ndarray, coverage: float
) -> dict[int, LabelSets]:
    """For each fold the sets that the pictures of the others chose; {} where there are too few.

    Args:
        probabilities: (n, labels). targets, folds: int64 (n,).
    """
    found = {}
    for fold in np.unique(folds).tolist():
        others = folds != fold
        made = make_sets(probabilities[others], targets[others], coverage)
        if made is None:
            return {}
        found[fold] = made
    return found


def choose_by_fold(
    sets: dict[int, LabelSets], probabilities: np.ndarray, familiar: np.ndarray, folds: np.ndarray
) -> np.ndarray:
    """The sets of pictures by those of their folds: bool (n, labels)."""
    inside = np.zeros(probabilities.shape, dtype=bool)
    for fold, made in sets.items():
        mine = folds == fold
        inside[mine] = made.choose(probabilities[mine], familiar[mine])
    return inside


def judge_sets(
    labels: Sequence[str],
    probabilities: np.ndarray,
    familiar: np.ndarray,
    targets: np.ndarray,
    folds: np.ndarray,
    coverage: float,
) -> SetFigures | None:
    """Judge sets of labels on pictures that the classifier did not see; None where there are too few to make them.

    Args:
        probabilities: (n, labels). familiar: bool (n,). targets, folds: int64 (n,).
    """
    sets = sets_by_fold(probabilities, targets, folds, coverage)
    if not sets:
        return None
    inside = choose_by_fold(sets, probabilities, familiar, folds)
    counts = count_sets(inside, targets)
    if counts is None:
        return None
    mine = [targets == label for label in range(len(labels))]
    return SetFigures(
        wanted=coverage,
        by_class=all(made.by_class for made in sets.values()),
        counts=counts,
        classes=tuple((label, count_sets(inside[own], targets[own])) for label, own in zip(labels, mine, strict=True)),
        remark=explain_few(labels, targets, coverage),
    )
