"""A linear head on cached features: fitted, chosen on held-out folds, calibrated. Needs no torch."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from spotter.config import TrainConfig
from spotter.errors import TrainingFailed

AS_GOOD = 0.05


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

    Args:
        features: float32 (n, features). targets: int64 (n,). folds: int64 (n,), from `assign_folds`.

    Returns:
        The head, and float64 (n, classes): each picture's probabilities by a head that never saw its fold.

    Raises:
        TrainingFailed: the features are not finite numbers.
    """
    if not np.isfinite(features).all():
        raise TrainingFailed("The backbone gave features that are not numbers; try another --arch.")
    classes = int(targets.max()) + 1
    logits = {strength: np.zeros((len(targets), classes)) for strength in config.strengths}
    for fold in tqdm(np.unique(folds), desc="  folds", unit=""):
        out = folds == fold
        for head in _fit_linear(features[~out], targets[~out], config.strengths):
            logits[head.strength][out] = features[out] @ head.weight.T + head.bias
    losses = {strength: negative_log_likelihood(softmax(values), targets) for strength, values in logits.items()}
    least = min(losses.values())
    # Losses so close to the least are the same for all that so few pictures can tell; the strongest regularisation of
    # these does not change when a few pictures do, and the errors before and after that can be compared.
    strength = min((each for each, loss in losses.items() if loss <= (1 + AS_GOOD) * least), default=0.0)
    if not np.isfinite(least):
        raise TrainingFailed("No head could be fitted: the loss is not a number.")
    temperature = _fit_temperature(logits[strength], targets)
    head = _fit_linear(features, targets, [strength])[0]
    scaled = Head(head.weight / temperature, head.bias / temperature, strength, temperature, losses)
    return scaled, softmax(logits[strength] / temperature)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Row-wise softmax of an array of shape (n, classes)."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def negative_log_likelihood(probabilities: np.ndarray, targets: np.ndarray) -> float:
    """Mean -log of the probability given to the right class."""
    return float(-np.log(np.clip(probabilities[np.arange(len(targets)), targets], 1e-12, 1)).mean())


def _fit_linear(features: np.ndarray, targets: np.ndarray, strengths: Sequence[float]) -> list[Head]:
    # For so small matrices, threads cost more than they give.
    with threadpool_limits(1):
        return _fit_linear_alone(features, targets, strengths)


def _fit_linear_alone(features: np.ndarray, targets: np.ndarray, strengths: Sequence[float]) -> list[Head]:
    mean, spread = features.mean(axis=0), features.std(axis=0) + 1e-6
    # The best weights are a sum of the pictures' features, so they lie in the span of these: with fewer pictures
    # than features the fit is the same, and several times faster, in coordinates of that span.
    rotated, scales, axes = np.linalg.svd((features - mean) / spread, full_matrices=False)
    coordinates = rotated * scales
    heads = []
    # From strong to weak regularisation, each fit starts where the one before ended.
    model = LogisticRegression(max_iter=500, warm_start=True)
    for strength in sorted(strengths):
        model.set_params(C=strength).fit(coordinates, targets)
        weight, bias = model.coef_ @ axes, model.intercept_
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
