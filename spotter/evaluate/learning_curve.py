"""The learning curve: how the error falls with more pictures, and what more would bring."""

from dataclasses import dataclass

import numpy as np

from spotter.config import TrainConfig
from spotter.train.head import fit_parts
from spotter.utils.stats import wilson_interval
from spotter.utils.text import percent

SHARES = (0.2, 0.4, 0.6, 0.8, 1.0)
MORE_PER_CLASS = 50
# Fewer wrong answers than this have no trend.
FEWEST_WRONG = 3
# A fall of the error by less than this part of it is not worth the pictures.
HARDLY = 0.1


@dataclass(frozen=True)
class LearningPoint:
    """The error of heads that learnt from `share` of the other folds, `learnt_from` pictures on average.

    `wrong` is the mean over the repeats, of `pictures` judged; `error_interval` is the Wilson 95 % interval. Repeats
    judge the same pictures again, so they do not narrow it.
    """

    share: float
    learnt_from: float
    pictures: int
    wrong: float
    error: float
    error_interval: tuple[float, float]


@dataclass(frozen=True)
class Outlook:
    """The error as floor + scale * (pictures learnt from) ** -power, and what follows from it, in words.

    `now` and `then` are that curve's errors, in [0, 1], today and with `MORE_PER_CLASS` more pictures a class;
    `fall_interval` holds 90 % of the falls between them that resampled pictures give. All are None when nothing can
    be said.
    """

    sentence: str
    floor: float | None = None
    scale: float | None = None
    power: float | None = None
    now: float | None = None
    then: float | None = None
    fall_interval: tuple[float, float] | None = None

    @property
    def is_worth_it(self) -> bool:
        """Whether more pictures are expected to help."""
        return self.now is not None and self.then is not None and self.then <= (1 - HARDLY) * self.now


@dataclass(frozen=True)
class LearningCurve:
    """How the error falls with the pictures learnt from, each point over so many `repeats`."""

    points: tuple[LearningPoint, ...]
    repeats: int
    outlook: Outlook


def learning_curve(
    features: np.ndarray,
    targets: np.ndarray,
    folds: np.ndarray,
    config: TrainConfig,
    groups: np.ndarray | None = None,
    balanced: bool = False,
) -> LearningCurve:
    """Measure the held-out error of linear heads that learn from only a share of the other folds.

    The shares are of each class, of whole groups of near duplicates, and each holds the smaller ones. The strength of
    the heads is `config.strengths[0]` throughout; with less to learn from, another might be a little better.

    Args:
        features: float32 (n, features). targets, folds: int64 (n,). groups: int64 (n,), None when all are different.
        balanced: each class has the same weight.
    """
    groups = np.arange(len(targets)) if groups is None else groups
    # The cost grows with the square of the pictures: large sets need no repeats, and a part of their folds is plenty.
    repeats = 3 if len(targets) <= 1000 else 1
    judging = np.unique(folds)[: None if len(targets) <= 2000 else 1]
    judged = np.isin(folds, judging)
    mistakes = np.zeros((len(SHARES), len(targets)))
    sizes = np.zeros(len(SHARES))
    asked: list[tuple[int, int, np.ndarray]] = []
    parts = []
    for repeat, fold in np.ndindex(repeats, len(judging)):
        rng = np.random.default_rng((config.seed, repeat, fold))
        shares = _nested_shares(np.flatnonzero(folds != judging[fold]), targets, groups, rng)
        # All of them are the same ones in each repeat.
        for row, chosen in enumerate(shares if repeat == 0 else shares[:-1]):
            times = repeats if row == len(SHARES) - 1 else 1
            asked.append((row, times, folds == judging[fold]))
            parts.append((np.isin(np.arange(len(targets)), chosen), None))
            sizes[row] += times * len(chosen) / (repeats * len(judging))
    heads = fit_parts(features, targets, parts, config.strengths[0], balanced)
    for (row, times, out), head in zip(asked, heads, strict=True):
        predicted = head.probabilities(features[out]).argmax(axis=1)
        mistakes[row, out] += times * (predicted != targets[out]) / repeats
    mistakes = mistakes[:, judged]
    total = mistakes.shape[1]
    points = tuple(
        LearningPoint(share, size, total, wrong, wrong / total, wilson_interval(wrong, total))
        for share, size, wrong in zip(
            SHARES, sizes.round(1).tolist(), mistakes.sum(axis=1).round(4).tolist(), strict=True
        )
    )
    return LearningCurve(points, repeats, foresee(sizes, mistakes, len(np.unique(targets)), config.seed))


def foresee(sizes: np.ndarray, mistakes: np.ndarray, classes: int, seed: int = 0) -> Outlook:
    """Say what more pictures would bring, by a power law fitted to the errors at several sizes.

    Args:
        sizes: (sizes,), pictures learnt from, ascending. mistakes: (sizes, n) in [0, 1], how often a picture was
            wrong. classes: how many there are.
    """
    total, wrong = mistakes.shape[1], float(mistakes[-1].sum())
    if wrong < FEWEST_WRONG:
        return Outlook("Too few pictures are wrong to say what more of them would bring.")
    if sizes[0] == sizes[-1]:
        return Outlook("There are too few different pictures to leave some out and see what more of them would bring.")
    draws = np.random.default_rng(seed).multinomial(total, np.full(total, 1 / total), size=400)
    errors = np.concatenate([mistakes.mean(axis=1)[None], draws @ mistakes.T / total])
    floor, scale, power = _fit_power_laws(sizes, errors, total)
    now, then = (floor + scale * size**-power for size in (sizes[-1], sizes[-1] + MORE_PER_CLASS * classes))
    low, high = (float(fall) for fall in np.quantile((now - then)[1:], [0.05, 0.95]))
    if then[0] > (1 - HARDLY) * now[0]:
        sentence = (
            f"More pictures of the same kind would hardly help: the error is about {percent(now[0])}, and with "
            f"another {MORE_PER_CLASS} per class it would be about {percent(then[0])}"
        )
    else:
        sentence = (
            f"Another {MORE_PER_CLASS} pictures per class would bring the error from about {percent(now[0])} to about "
            f"{percent(then[0])}, if it goes on falling as it did"
        )
    return Outlook(
        f"{sentence} (a fall by {100 * low:.1f} to {100 * high:.1f} points would fit the measurements too).",
        floor=round(float(floor[0]), 6),
        scale=round(float(scale[0]), 6),
        power=round(float(power[0]), 6),
        now=round(float(now[0]), 6),
        then=round(float(then[0]), 6),
        fall_interval=(round(low, 6), round(high, 6)),
    )


def _nested_shares(
    candidates: np.ndarray, targets: np.ndarray, groups: np.ndarray, rng: np.random.Generator
) -> list[np.ndarray]:
    """For each of `SHARES`, the positions of that share of the candidates: of each class, and whole groups."""
    chosen: list[list[np.ndarray]] = [[] for _ in SHARES]
    for target in np.unique(targets[candidates]):
        members = candidates[targets[candidates] == target]
        _, numbers = np.unique(groups[members], return_inverse=True)
        turns = rng.permutation(numbers.max() + 1)[numbers]
        order = np.argsort(turns, kind="stable")
        ends = np.flatnonzero(np.diff(turns[order], append=-1)) + 1
        for row, share in enumerate(SHARES):
            chosen[row].append(members[order[: ends[np.argmin(abs(ends - share * len(members)))]]])
    return [np.sort(np.concatenate(parts)) for parts in chosen]


def _fit_power_laws(sizes: np.ndarray, errors: np.ndarray, total: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Least squares of floor + scale * size ** -power, none of them negative, for each row of errors (rows, sizes).

    Errors are weighted by how well so many pictures in total measure them.
    """
    smoothed = (errors[0] * total + 1) / (total + 2)
    weights = total / (smoothed * (1 - smoothed))
    weights = weights / weights.sum()
    best = np.full((len(errors), 4), np.inf)
    # Powers beyond 1 are for errors that fell down a cliff and stayed: a flatter law would promise further falls.
    for power in np.linspace(0.1, 3, 30):
        falls = (sizes / sizes[-1]) ** -power
        mean_fall, mean_error = weights @ falls, errors @ weights
        centred = weights * (falls - mean_fall)
        slope = (errors @ centred) / (centred @ falls)
        through_zero = (errors @ (weights * falls)) / (weights @ falls**2)
        # Within the bounds the loss is least at the free minimum or on a bound.
        scale = np.where(slope < 0, 0, np.where(mean_error - slope * mean_fall < 0, through_zero, slope))
        floor = np.maximum(np.where(scale > 0, mean_error - scale * mean_fall, mean_error), 0)
        floor = np.where(scale == through_zero, 0, floor)
        loss = (errors - floor[:, None] - scale[:, None] * falls) ** 2 @ weights
        better = loss < best[:, 3] - 1e-15
        best[better] = np.stack([floor, scale * sizes[-1] ** power, np.full(len(errors), power), loss], axis=1)[better]
    return best[:, 0], best[:, 1], best[:, 2]
