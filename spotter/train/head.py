"""A linear head on cached features: fitted, chosen on held-out folds, calibrated. Needs no torch."""

import functools
import itertools
import os
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
from tqdm import tqdm

from spotter.config import TrainConfig
from spotter.errors import TrainingFailed
from spotter.train.features import blas_threads, embed, one_thread_each
from spotter.train.regression import regress
from spotter.train.views import Views, join_views
from spotter.utils.memory import LARGE_BYTES, give_back_free_blocks

# Of the temperature's logarithm: two of three temperatures lie between 0.82 and 1.22.
PRIOR_SPREAD = 0.2
AS_GOOD = 0.05
# Up to so many pictures, the threads of BLAS wait for each other longer than they compute.
FEW = 5000
# The share of held-out pictures that may lose their right answer to shifted views; two pictures may always.
MOST_COST = 0.01
Part = tuple[np.ndarray, Views | None]
Job = TypeVar("Job")
Found = TypeVar("Found")


@dataclass(frozen=True)
class Head:
    """A linear head on pooled features: logits = features @ weight.T + bias, already divided by the temperature.

    `weight` has shape (classes, features), `bias` (classes,); `strength` is scikit-learn's `C`; a `balanced` head gave
    each class the same weight, however many pictures it has. `losses` maps each (strength, balanced) that was tried to
    its loss on held-out folds; `view_losses` are the losses of heads that learnt without and with other views of the
    pictures, if that was tried, and `spectrum` says the same of shifted views. `of_folds` are the heads that never saw
    the pictures of one fold, each with a temperature that the other folds chose.
    """

    weight: np.ndarray
    bias: np.ndarray
    strength: float
    temperature: float = 1.0
    balanced: bool = False
    losses: dict[tuple[float, bool], float] = field(default_factory=dict)
    view_losses: tuple[float, float] | None = None
    spectrum: "Spectrum | None" = None
    of_folds: "dict[int, Head]" = field(default_factory=dict)

    def cooled(self, temperature: float) -> "Head":
        """The head with its logits divided by a temperature, too."""
        scaled = self.temperature * temperature
        return replace(self, weight=self.weight / temperature, bias=self.bias / temperature, temperature=scaled)

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Class probabilities, shape (n, classes), of pooled features of shape (n, features)."""
        return softmax(features @ self.weight.T + self.bias)

    def held_out_probabilities(self, features: np.ndarray, folds: np.ndarray) -> np.ndarray:
        """Class probabilities, float64 (n, classes), of features (n, width) of pictures of `folds` (n,), by the heads
        that did not see them.

        Raises:
            KeyError: none was learnt without a fold.
        """
        said = np.zeros((len(features), len(self.bias)))
        for fold in np.unique(folds).tolist():
            out = folds == fold
            said[out] = self.of_folds[fold].probabilities(features[out])
        return said

    def temperatures_of(self, folds: np.ndarray) -> np.ndarray:
        """The temperatures, float64 (n,), that the other folds chose for pictures of `folds` (n,); its own for a fold
        that it did not learn from."""
        return np.array([self.of_folds.get(fold, self).temperature for fold in folds.tolist()])


@dataclass(frozen=True)
class Judged:
    """What heads say of pictures and shifted views that they did not see.

    `features` (n, width) are of all pictures; `judged` and `learnt_from` are bool arrays of shape (n,); `probabilities`
    (judged.sum(), classes) are of the judged pictures. `shifted` are shifted views of the pictures, with
    `shifted_probabilities`, (m, classes); None where none were made.
    """

    features: np.ndarray
    judged: np.ndarray
    learnt_from: np.ndarray
    probabilities: np.ndarray
    shifted: Views | None
    shifted_probabilities: np.ndarray | None

    @functools.cached_property
    def embeddings(self) -> np.ndarray:
        """The features divided by their length: float32 (n, width)."""
        return embed(self.features)

    def said_of(self, rows: np.ndarray) -> np.ndarray:
        """The probabilities, (k, classes), of some judged pictures, by their rows, int64 (k,)."""
        return self.probabilities[np.cumsum(self.judged)[rows] - 1]

    @functools.cached_property
    def computed(self) -> dict[Hashable, Any]:
        """What was computed from it once, for `spotter.evaluate.ood`: of large sets that takes seconds each time."""
        return {}


@dataclass(frozen=True)
class Spectrum:
    """What learning from shifted views brought: without and with them, the loss on held-out pictures and shifted views
    of them (each half), and how many of the held-out pictures were wrong."""

    losses: tuple[float, float]
    wrong: tuple[int, int]
    is_kept: bool = False


@dataclass(frozen=True)
class Fit:
    """A head, and what heads say of the pictures and views of them that they did not see.

    `probabilities` float64 (n, classes), of the pictures, with a temperature that the other folds chose; `shifted`
    (m, classes), of the shifted views, likewise. `loss` is on held-out pictures, `spectrum_loss` on these and on their
    shifted views, each half (NaN without views).
    """

    head: Head
    probabilities: np.ndarray
    shifted: np.ndarray
    loss: float
    spectrum_loss: float


def choose_head(
    features: np.ndarray,
    targets: np.ndarray,
    folds: np.ndarray,
    config: TrainConfig,
    cropped: Views | None = None,
    shifted: Views | None = None,
) -> Fit:
    """As `fit_head`, with and without the views, if there are any; the best on held-out folds.

    Cropped views are learnt from if that lowers the loss on held-out pictures. Shifted ones are if that lowers the loss
    on held-out pictures and shifted views of them, and costs at most `MOST_COST` of the pictures their right answer.
    """
    best = fit(features, targets, folds, config, None, shifted)
    losses: tuple[float, float] | None = None
    if cropped:
        viewed = fit(features, targets, folds, config, cropped, shifted)
        losses = best.loss, viewed.loss
        best, cropped = (viewed, cropped) if viewed.loss < best.loss else (best, None)
    if shifted is None:
        return replace(best, head=replace(best.head, view_losses=losses))
    robust = fit(features, targets, folds, config, join_views(cropped, shifted), shifted, spectrum=True)
    plain_wrong, wrong = (int((each.probabilities.argmax(axis=1) != targets).sum()) for each in (best, robust))
    tried = Spectrum((best.spectrum_loss, robust.spectrum_loss), (plain_wrong, wrong))
    # Written so that NaN is not better.
    if robust.spectrum_loss < best.spectrum_loss and wrong <= plain_wrong + max(2, MOST_COST * len(targets)):
        best, tried = robust, replace(tried, is_kept=True)
    return replace(best, head=replace(best.head, view_losses=losses, spectrum=tried))


def fit_head(
    features: np.ndarray, targets: np.ndarray, folds: np.ndarray, config: TrainConfig, views: Views | None = None
) -> tuple[Head, np.ndarray]:
    """As `fit`: the head, and what was said of held-out pictures."""
    found = fit(features, targets, folds, config, views)
    return found.head, found.probabilities


def fit(
    features: np.ndarray,
    targets: np.ndarray,
    folds: np.ndarray,
    config: TrainConfig,
    views: Views | None = None,
    shifted: Views | None = None,
    spectrum: bool = False,
) -> Fit:
    """Fit a linear head on all pictures, its strength, class balance and temperature chosen on held-out folds.

    With more than `config.many` pictures the strength is chosen on the first fold alone; every picture is still judged
    by a head that never saw its fold.

    Args:
        features: float32 (n, features). targets: int64 (n,). folds: int64 (n,), from `assign_folds`.
        views: other views of the pictures, to learn from.
        shifted: shifted views of them, to be judged too; with `spectrum`, what is chosen is best on both.

    Raises:
        TrainingFailed: the features are not finite numbers.
    """
    if not np.isfinite(features).all():
        raise TrainingFailed("The backbone gave features that are not numbers; try another --arch.")
    balances = (False, True) if is_uneven(targets, config) else (False,)
    weights = class_weights(targets, config)[targets]
    numbers = np.unique(folds)
    choosing = numbers if len(targets) <= config.many else numbers[:1]
    judged = shifted or Views(features[:0], targets[:0], np.array([], dtype=str))
    table = _Table(features, targets, folds, views, judged)
    found = _hold_out(table, choosing, config.strengths, balances)

    def loss_of(values: np.ndarray, of: np.ndarray) -> float:
        chosen = np.isin(folds[of], choosing)
        if not chosen.any():
            return float("nan")
        rows = of[chosen]
        return negative_log_likelihood(softmax(values[chosen]), targets[rows], weights[rows])

    rows = np.arange(len(targets))
    clean = {pair: loss_of(said.pictures, rows) for pair, said in found.items()}
    both = {pair: (clean[pair] + loss_of(said.views, judged.of)) / 2 for pair, said in found.items()}
    losses = both if spectrum else clean
    least = min(losses.values())
    if not np.isfinite(least):
        raise TrainingFailed("No head could be fitted: the loss is not a number.")
    # Losses so close to the least are the same for all that so few pictures can tell; the strongest regularisation of
    # these does not change when a few pictures do, and the errors before and after that can be compared.
    as_good = [candidate for candidate, loss in losses.items() if loss <= (1 + AS_GOOD) * least]
    strength, balanced = best = min(as_good, key=lambda candidate: (candidate[0], losses[candidate]))
    held_out = found[best]
    if len(choosing) < len(numbers):
        held_out = held_out.joined(_hold_out(table, numbers[1:], [strength], [balanced])[best])
    temperature, of_fold = _fit_temperatures(held_out.pictures, targets, folds)
    (head,) = fit_linear(*table.learnt_from(np.ones(len(targets), dtype=bool)), [strength], balanced)
    heads = {fold: each.cooled(of_fold[fold]) for fold, each in held_out.heads.items()}
    per_row = _per_row(of_fold, folds)
    return Fit(
        replace(head.cooled(temperature), losses=losses, of_folds=heads),
        softmax(held_out.pictures / per_row),
        softmax(held_out.views / per_row[judged.of]),
        clean[best],
        both[best],
    )


def is_uneven(targets: np.ndarray, config: TrainConfig) -> bool:
    """Whether the largest class has more than `config.uneven` times the pictures of the smallest."""
    counts = np.bincount(targets)
    return bool(counts.max() > config.uneven * counts.min())


def class_weights(targets: np.ndarray, config: TrainConfig) -> np.ndarray:
    """What a picture of each class counts, shape (classes,): the same, or in uneven sets, each class as a whole."""
    counts = np.bincount(targets)
    return len(targets) / (len(counts) * counts) if is_uneven(targets, config) else np.ones(len(counts))


def judge_features(
    features: np.ndarray, judged: Views, targets: np.ndarray, folds: np.ndarray, head: Head, views: Views | None = None
) -> np.ndarray:
    """Class probabilities of other features of the same pictures, by heads like `head`, learnt anew without their fold.

    Args:
        features: float32 (n, width), with `views` what the heads learn from. targets, folds: int64 (n,).

    Returns:
        float64 (m, classes), for the features of `judged`.
    """
    table = _Table(features, targets, folds, views, judged)
    numbers = np.unique(folds[judged.of])
    logits = _hold_out(table, numbers, [head.strength], [head.balanced])[head.strength, head.balanced].views
    return softmax(logits / head.temperatures_of(folds[judged.of])[:, None])


def fit_parts(
    features: np.ndarray, targets: np.ndarray, parts: Sequence[Part], strength: float, balanced: bool = False
) -> list[Head]:
    """Heads of one strength, not cooled, each learnt from a part of the pictures that has all classes, bool (n,), and
    those of the views that are of it. Features (n, width), targets (n,)."""

    def fit_part(part: Part) -> Head:
        rows, views = part
        return _fit_linear_alone(*_learnt_from(features, targets, views, rows), [strength], balanced)[0]

    return list(_in_threads(fit_part, parts, features))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Row-wise softmax of an array of shape (n, classes)."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def negative_log_likelihood(probabilities: np.ndarray, targets: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Mean -log of the probability given to the right class; `weights` (n,) say what each picture counts."""
    losses = -np.log(np.clip(probabilities[np.arange(len(targets)), targets], 1e-12, 1))
    return float(np.average(losses, weights=weights))


@dataclass(frozen=True)
class _Table:
    """What heads learn from and are judged on. `views` are learnt from with their pictures, `judged` are judged too."""

    features: np.ndarray
    targets: np.ndarray
    folds: np.ndarray
    views: Views | None
    judged: Views

    def learnt_from(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Features and targets of some pictures, bool (n,), and of their views."""
        return _learnt_from(self.features, self.targets, self.views, rows)


def _learnt_from(
    features: np.ndarray, targets: np.ndarray, views: Views | None, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    if views is None:
        return features[rows], targets[rows]
    there = rows[views.of]
    own = np.concatenate([targets[rows], targets[views.of[there]]])
    # Straight into one table: copies of both parts beside it would take as much memory again.
    count = int(np.count_nonzero(rows))
    points = np.empty((len(own), features.shape[1]), dtype=features.dtype)
    np.compress(rows, features, axis=0, out=points[:count])
    np.compress(there, views.features, axis=0, out=points[count:])
    return points, own


@dataclass(frozen=True)
class _HeldOut:
    """The logits of pictures, (n, classes), and of judged views, (m, classes), by `heads` that did not see their fold;
    0 for those of the other folds."""

    pictures: np.ndarray
    views: np.ndarray
    heads: dict[int, Head]

    def joined(self, others: "_HeldOut") -> "_HeldOut":
        """With those of other folds."""
        return _HeldOut(self.pictures + others.pictures, self.views + others.views, self.heads | others.heads)


def _hold_out(
    table: _Table, folds: np.ndarray, strengths: Sequence[float], balances: Sequence[bool]
) -> dict[tuple[float, bool], _HeldOut]:
    """Fit heads of each strength and balance without each of the folds in turn, and ask them about it."""
    classes, views = int(table.targets.max()) + 1, table.judged
    found = {
        pair: _HeldOut(np.zeros((len(table.targets), classes)), np.zeros((len(views.of), classes)), {})
        for pair in itertools.product(strengths, balances)
    }

    def fit_fold(job: tuple[int, bool]) -> None:
        fold, balanced = job
        out = table.folds == fold
        out_views = out[views.of]
        for head in _fit_linear_alone(*table.learnt_from(~out), strengths, balanced):
            said = found[head.strength, balanced]
            said.heads[fold] = head
            said.pictures[out] = table.features[out] @ head.weight.T + head.bias
            said.views[out_views] = views.features[out_views] @ head.weight.T + head.bias

    jobs = list(itertools.product(folds.tolist(), balances))
    list(tqdm(_in_threads(fit_fold, jobs, table.features), desc="  folds", unit="", total=len(jobs)))
    return found


def _in_threads(fit_one: Callable[[Job], Found], jobs: Sequence[Job], features: np.ndarray) -> Iterator[Found]:
    """Fit on all cores, a job on each, from copies of the features; in the order of the jobs."""
    with one_thread_each(), ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(fit_one, jobs)
    if features.nbytes > LARGE_BYTES:
        # The C library would keep the room of large tables, while the process that makes the export needs as much.
        give_back_free_blocks()


def fit_linear(
    features: np.ndarray, targets: np.ndarray, strengths: Sequence[float], balanced: bool = False
) -> list[Head]:
    """Fit a linear head of each strength, from strong to weak regularisation.

    Args:
        features: float32 (n, features). targets: int64 (n,), each class at least once.
    """
    with one_thread_each():
        return _fit_linear_alone(features.copy(), targets, strengths, balanced)


def share_cores(pictures: int) -> None:
    """From now on, multiply the tables of a set of so many pictures on one thread, if it is small.

    Beside other work on the same cores, as that of the export, two threads took twice the time of the processor.
    """
    if pictures <= FEW:
        blas_threads().limit(limits=1, user_api="blas")


def _fit_linear_alone(
    features: np.ndarray, targets: np.ndarray, strengths: Sequence[float], balanced: bool
) -> list[Head]:
    """As `fit_linear`; the features are overwritten, as several tables of thousands of pictures take much memory."""
    mean = features.mean(axis=0)
    features -= mean
    spread = np.sqrt(np.square(features).mean(axis=0)) + 1e-6
    features /= spread
    ascending, heads = sorted(strengths), []
    found = regress(features, targets, ascending, balanced)
    for strength, (weight, bias) in zip(ascending, found, strict=True):
        # The standardisation is folded in, so that the head works on plain features.
        weight = weight / spread
        heads.append(
            Head(weight.astype(np.float32), (bias - weight @ mean).astype(np.float32), strength, balanced=balanced)
        )
    return heads


def _fit_temperatures(logits: np.ndarray, targets: np.ndarray, folds: np.ndarray) -> tuple[float, dict[int, float]]:
    """A temperature from all pictures, and for each fold from the others; all are 1 if these do not lower the loss."""
    of_fold = {int(fold): _fit_temperature(logits[folds != fold], targets[folds != fold]) for fold in np.unique(folds)}
    scaled = softmax(logits / _per_row(of_fold, folds))
    if negative_log_likelihood(scaled, targets) < negative_log_likelihood(softmax(logits), targets):
        return _fit_temperature(logits, targets), of_fold
    return 1.0, dict.fromkeys(of_fold, 1.0)


def _fit_temperature(logits: np.ndarray, targets: np.ndarray) -> float:
    """The divisor of the logits with the least loss on held-out pictures, given that it is hardly far from 1."""
    candidates = 2 ** np.linspace(-2, 2, 81)
    # Where all pictures are right, the loss alone would ask for the smallest divisor; a prior on its logarithm knows
    # better, and does not count once there are many wrong answers.
    penalties = (np.log(candidates) / PRIOR_SPREAD) ** 2 / 2
    losses = [len(targets) * negative_log_likelihood(softmax(logits / divisor), targets) for divisor in candidates]
    return float(candidates[int(np.argmin(losses + penalties))])


def _per_row(of_fold: dict[int, float], folds: np.ndarray) -> np.ndarray:
    return np.array([[of_fold[fold]] for fold in folds.tolist()])
