"""A linear head on cached features: fitted, chosen on held-out folds, calibrated. Needs no torch."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from spotter.config import TrainConfig
from spotter.errors import TrainingFailed

# With more pictures than this there are more of them than features, and finding their span costs more than it saves.
SPANNED = 2000


@dataclass(frozen=True)
class Head:
    """A linear head on pooled features: logits = features @ weight.T + bias, already divided by the temperature.

    `weight` has shape (classes, features), `bias` (classes,); `strength` is scikit-learn's `C`;
    `losses` maps each strength that was tried to its loss on held-out folds.
    """

    weight: np.ndarray
    bias: np.ndarray
    strength: float
    temperature: float = 1.0
    losses: dict[float, float] = field(default_factory=dict)

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Class probabilities, shape (n, classes), of pooled features of shape (n, features)."""
        return softmax(features @ self.weight.T + self.bias)


def fit_head(
    features: np.ndarray, targets: np.ndarray, folds: np.ndarray, config: TrainConfig
) -> tuple[Head, np.ndarray]:
    """Fit a linear head on all pictures, its strength and temperature chosen on held-out folds.

    With more than `config.many` pictures the strength is chosen on the first fold alone; every picture is still judged
    by a head that never saw its fold.

    Args:
        features: float32 (n, features). targets: int64 (n,). folds: int64 (n,), from `assign_folds`.

    Returns:
        The head, and float64 (n, classes): each picture's probabilities by a head that never saw its fold.

    Raises:
        TrainingFailed: the features are not finite numbers.
    """
    if not np.isfinite(features).all():
        raise TrainingFailed("The backbone gave features that are not numbers; try another --arch.")
    numbers = np.unique(folds)
    choosing = numbers if len(targets) <= config.many else numbers[:1]
    logits = _held_out_logits(features, targets, folds, choosing, config.strengths)
    chosen_on = np.isin(folds, choosing)
    losses = {
        strength: negative_log_likelihood(softmax(values[chosen_on]), targets[chosen_on])
        for strength, values in logits.items()
    }
    strength = min(losses, key=losses.__getitem__)
    if not np.isfinite(losses[strength]):
        raise TrainingFailed("No head could be fitted: the loss is not a number.")
    held_out = logits[strength]
    if len(choosing) < len(numbers):
        others = _held_out_logits(features, targets, folds, numbers[1:], [strength])[strength]
        held_out = np.where(chosen_on[:, None], held_out, others)
    temperature = _fit_temperature(held_out, targets)
    head = _fit_linear(features, targets, [strength])[0]
    scaled = Head(head.weight / temperature, head.bias / temperature, strength, temperature, losses)
    return scaled, softmax(held_out / temperature)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Row-wise softmax of an array of shape (n, classes)."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def negative_log_likelihood(probabilities: np.ndarray, targets: np.ndarray) -> float:
    """Mean -log of the probability given to the right class."""
    return float(-np.log(np.clip(probabilities[np.arange(len(targets)), targets], 1e-12, 1)).mean())


def _held_out_logits(
    features: np.ndarray, targets: np.ndarray, folds: np.ndarray, judged: np.ndarray, strengths: Sequence[float]
) -> dict[float, np.ndarray]:
    """For each strength the logits (n, classes) of the folds `judged`, each by a head that did not see it; else 0."""
    logits = {strength: np.zeros((len(targets), int(targets.max()) + 1)) for strength in strengths}
    for fold in tqdm(judged, desc="  folds", unit=""):
        out = folds == fold
        for head in _fit_linear(features[~out], targets[~out], strengths):
            logits[head.strength][out] = features[out] @ head.weight.T + head.bias
    return logits


def _fit_linear(features: np.ndarray, targets: np.ndarray, strengths: Sequence[float]) -> list[Head]:
    # For so small matrices, threads cost more than they give.
    with threadpool_limits(1):
        return _fit_linear_alone(features, targets, strengths)


def _fit_linear_alone(features: np.ndarray, targets: np.ndarray, strengths: Sequence[float]) -> list[Head]:
    mean, spread = features.mean(axis=0), features.std(axis=0) + 1e-6
    points = features - mean
    points /= spread
    axes = None
    if len(points) <= SPANNED:
        # The best weights are a sum of the pictures' features, so they lie in the span of these: with fewer pictures
        # than features the fit is the same, and several times faster, in coordinates of that span.
        rotated, scales, axes = np.linalg.svd(points, full_matrices=False)
        points = rotated * scales
    heads = []
    # From strong to weak regularisation, each fit starts where the one before ended.
    model = LogisticRegression(max_iter=500, warm_start=True)
    for strength in sorted(strengths):
        model.set_params(C=strength).fit(points, targets)
        weight, bias = model.coef_, model.intercept_
        if axes is not None:
            weight = weight @ axes
        if len(weight) == 1:
            # scikit-learn keeps one row for two classes; half of it each way gives the same probabilities.
            weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
        # The standardisation is folded in, so that the head works on plain features.
        weight = weight / spread
        heads.append(Head(weight.astype(np.float32), (bias - weight @ mean).astype(np.float32), strength))
    return heads


def _fit_temperature(logits: np.ndarray, targets: np.ndarray) -> float:
    """The divisor of the logits with the least loss on held-out pictures; 1.0 when none is better."""
    candidates = np.geomspace(0.25, 4, 81)
    losses = [negative_log_likelihood(softmax(logits / candidate), targets) for candidate in candidates]
    best = float(candidates[int(np.argmin(losses))])
    return best if min(losses) < negative_log_likelihood(softmax(logits), targets) else 1.0
