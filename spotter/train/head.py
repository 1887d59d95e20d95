"""A linear head on cached features: fitted, chosen on held-out folds, calibrated. Needs no torch."""

import functools
import itertools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from sklearn.linear_model import LogisticRegression
from threadpoolctl import ThreadpoolController
from tqdm import tqdm

from spotter.config import TrainConfig
from spotter.errors import TrainingFailed

# Of the temperature's logarithm: two of three temperatures lie between 0.82 and 1.22.
PRIOR_SPREAD = 0.2
AS_GOOD = 0.05


@dataclass(frozen=True)
class Head:
    """A linear head on pooled features: logits = features @ weight.T + bias, already divided by the temperature.

    `weight` has shape (classes, features), `bias` (classes,); `strength` is scikit-learn's `C`; a `balanced` head gave
    each class the same weight, however many pictures it has. `losses` maps each (strength, balanced) that was tried to
    its loss on held-out folds; `fold_temperatures` are those that the other folds chose for each fold; `view_losses`
    are the losses of heads that learnt without and with other views of the pictures, if that was tried.
    """

    weight: np.ndarray
    bias: np.ndarray
    strength: float
    temperature: float = 1.0
    balanced: bool = False
    losses: dict[tuple[float, bool], float] = field(default_factory=dict)
    fold_temperatures: dict[int, float] = field(default_factory=dict)
    view_losses: tuple[float, float] | None = None

    @property
    def loss(self) -> float:
        """Its loss on held-out folds."""
        return self.losses[self.strength, self.balanced]

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Class probabilities, shape (n, classes), of pooled features of shape (n, features)."""
        return softmax(features @ self.weight.T + self.bias)


def choose_head(
    features: np.ndarray, targets: np.ndarray, folds: np.ndarray, config: TrainConfig, views: Sequence[np.ndarray]
) -> tuple[Head, np.ndarray]:
    """As `fit_head`, with and without the views, if there are any; the one of less loss on held-out folds."""
    plain = fit_head(features, targets, folds, config)
    if not views:
        return plain
    viewed = fit_head(features, targets, folds, config, views)
    losses = plain[0].loss, viewed[0].loss
    head, probabilities = viewed if losses[1] < losses[0] else plain
    return replace(head, view_losses=losses), probabilities


def fit_head(
    features: np.ndarray,
    targets: np.ndarray,
    folds: np.ndarray,
    config: TrainConfig,
    views: Sequence[np.ndarray] = (),
) -> tuple[Head, np.ndarray]:
    """Fit a linear head on all pictures, its strength, class balance and temperature chosen on held-out folds.

    With more than `config.many` pictures the strength is chosen on the first fold alone; every picture is still judged
    by a head that never saw its fold.

    Args:
        features: float32 (n, features). targets: int64 (n,). folds: int64 (n,), from `assign_folds`.
        views: features of other views of the pictures, of the same shape: to learn from, never to be judged.

    Returns:
        The head, and float64 (n, classes): each picture's probabilities by a head that never saw its fold, and with a
        temperature that the other folds chose.

    Raises:
        TrainingFailed: the features are not finite numbers.
    """
    if not np.isfinite(features).all():
        raise TrainingFailed("The backbone gave features that are not numbers; try another --arch.")
    balances = (False, True) if is_uneven(targets, config) else (False,)
    weights = class_weights(targets, config)[targets]
    numbers = np.unique(folds)
    choosing = numbers if len(targets) <= config.many else numbers[:1]
    several = (features, *views)
    logits = _held_out_logits(several, targets, folds, choosing, config.strengths, balances)
    chosen_on = np.isin(folds, choosing)
    losses = {
        candidate: negative_log_likelihood(softmax(values[chosen_on]), targets[chosen_on], weights[chosen_on])
        for candidate, values in logits.items()
    }
    least = min(losses.values())
    if not np.isfinite(least):
        raise TrainingFailed("No head could be fitted: the loss is not a number.")
    # Losses so close to the least are the same for all that so few pictures can tell; the strongest regularisation of
    # these does not change when a few pictures do, and the errors before and after that can be compared.
    as_good = [candidate for candidate, loss in losses.items() if loss <= (1 + AS_GOOD) * least]
    strength, balanced = best = min(as_good, key=lambda candidate: (candidate[0], losses[candidate]))
    held_out = logits[best]
    if len(choosing) < len(numbers):
        others = _held_out_logits(several, targets, folds, numbers[1:], [strength], [balanced])[best]
        held_out = np.where(chosen_on[:, None], held_out, others)
    temperature, of_fold = _fit_temperatures(held_out, targets, folds)
    head = _fit_views(several, targets, [strength], balanced)[0]
    scaled = Head(head.weight / temperature, head.bias / temperature, strength, temperature, balanced, losses, of_fold)
    return scaled, softmax(held_out / _per_row(of_fold, folds))


def is_uneven(targets: np.ndarray, config: TrainConfig) -> bool:
    """Whether the largest class has more than `config.uneven` times the pictures of the smallest."""
    counts = np.bincount(targets)
    return bool(counts.max() > config.uneven * counts.min())


def class_weights(targets: np.ndarray, config: TrainConfig) -> np.ndarray:
    """What a picture of each class counts, shape (classes,): the same, or in uneven sets, each class as a whole."""
    counts = np.bincount(targets)
    return len(targets) / (len(counts) * counts) if is_uneven(targets, config) else np.ones(len(counts))


def judge_features(
    features: np.ndarray, judged: np.ndarray, targets: np.ndarray, folds: np.ndarray, strength: float
) -> np.ndarray:
    """Class probabilities of `judged`, other features of the same pictures, by heads that never saw their fold.

    Args:
        features, judged: float32 (n, features). targets, folds: int64 (n,). strength: of every head.

    Returns:
        float64 (n, classes), without temperature.
    """
    probabilities = np.zeros((len(targets), int(targets.max()) + 1))
    for fold in np.unique(folds):
        out = folds == fold
        probabilities[out] = fit_linear(features[~out], targets[~out], [strength])[0].probabilities(judged[out])
    return probabilities


def softmax(logits: np.ndarray) -> np.ndarray:
    """Row-wise softmax of an array of shape (n, classes)."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def negative_log_likelihood(probabilities: np.ndarray, targets: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Mean -log of the probability given to the right class; `weights` (n,) say what each picture counts."""
    losses = -np.log(np.clip(probabilities[np.arange(len(targets)), targets], 1e-12, 1))
    return float(np.average(losses, weights=weights))


def _held_out_logits(
    views: Sequence[np.ndarray],
    targets: np.ndarray,
    folds: np.ndarray,
    judged: np.ndarray,
    strengths: Sequence[float],
    balances: Sequence[bool],
) -> dict[tuple[float, bool], np.ndarray]:
    """For each strength and balance the logits (n, classes) of the folds `judged`, by heads that did not see them.

    The heads learn from all views of a picture; the first one is judged.
    """
    classes = int(targets.max()) + 1
    logits = {pair: np.zeros((len(targets), classes)) for pair in itertools.product(strengths, balances)}
    for fold, balanced in tqdm(list(itertools.product(judged, balances)), desc="  folds", unit=""):
        out = folds == fold
        for head in _fit_views([view[~out] for view in views], targets[~out], strengths, balanced):
            logits[head.strength, balanced][out] = views[0][out] @ head.weight.T + head.bias
    return logits


def _fit_views(
    views: Sequence[np.ndarray], targets: np.ndarray, strengths: Sequence[float], balanced: bool
) -> list[Head]:
    return fit_linear(np.concatenate(views), np.tile(targets, len(views)), strengths, balanced)


def fit_linear(
    features: np.ndarray, targets: np.ndarray, strengths: Sequence[float], balanced: bool = False
) -> list[Head]:
    """Fit a linear head of each strength, from strong to weak regularisation.

    Args:
        features: float32 (n, features). targets: int64 (n,), each class at least once.
    """
    # With several threads on so small matrices, the threads mostly wait for each other: twenty times slower.
    with _blas_threads().limit(limits=1), warnings.catch_warnings():
        # A share of a small class may be one picture.
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
        return _fit_linear_alone(features, targets, strengths, balanced)


@functools.cache
def _blas_threads() -> ThreadpoolController:
    # Once: it reads the list of all libraries that are loaded.
    return ThreadpoolController()


def _fit_linear_alone(
    features: np.ndarray, targets: np.ndarray, strengths: Sequence[float], balanced: bool
) -> list[Head]:
    mean, spread = features.mean(axis=0), features.std(axis=0) + 1e-6
    points = standard = (features - mean) / spread
    factor = None
    if len(points) < points.shape[1]:
        # The best weights are a sum of the pictures' features, and only products of pictures matter to the fit. Their
        # Cholesky factor has the same ones in fewer coordinates; a trace of noise keeps it from being singular.
        products = (points @ points.T).astype(np.float64)
        products[np.diag_indices(len(points))] += 1e-5 * products.trace() / len(points) + 1e-12
        points = factor = cholesky(products, lower=True, overwrite_a=True)
    heads = []
    # Each fit starts where the one before ended.
    model = LogisticRegression(max_iter=500, warm_start=True, class_weight="balanced" if balanced else None)
    for strength in sorted(strengths):
        model.set_params(C=strength).fit(points, targets)
        weight, bias = model.coef_, model.intercept_
        if factor is not None:
            weight = solve_triangular(factor, weight.T, lower=True, trans="T").T @ standard
        if len(weight) == 1:
            # scikit-learn keeps one row for two classes; half of it each way gives the same probabilities.
            weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
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
