"""The head's logistic regression finds scikit-learn's optimum."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from spotter.train.regression import regress


def make_points(classes: int, width: int, copies: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Points of uneven classes, which overlap."""
    rng = np.random.default_rng(7)
    targets = np.repeat(np.arange(classes), [60, 12, 30, 20][:classes])
    points = rng.normal(size=(len(targets), width)) + rng.normal(size=(classes, width))[targets] * 0.3
    return np.repeat(points.astype(np.float32), copies, axis=0), np.repeat(targets, copies)


def say(points: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    said = np.exp(points @ weight.T + bias)
    return said / said.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("width", [15, 400])
def test_it_is_scikit_learns_optimum(width: int, classes: int, balanced: bool) -> None:
    points, targets = make_points(classes, width)
    for strength, found in zip((0.003, 0.1), regress(points, targets, (0.003, 0.1), balanced), strict=True):
        weighting = "balanced" if balanced else None
        model = LogisticRegression(C=strength, max_iter=5000, tol=1e-9, class_weight=weighting)
        expected = model.fit(points.astype(np.float64), targets).predict_proba(points)
        assert np.abs(say(points, *found) - expected).max() < 2e-3
        assert np.abs(found[0].sum(axis=0)).max() < 1e-4


def test_copies_of_points_weigh_as_much_as_a_strength_that_is_so_many_times_as_large() -> None:
    points, targets = make_points(3, 400)
    ((weight, bias),) = regress(points, targets, [0.03])
    ((copied, copied_bias),) = regress(*make_points(3, 400, copies=4), [0.03 / 4])
    assert np.abs(say(points, weight, bias) - say(points, copied, copied_bias)).max() < 2e-3


@pytest.mark.parametrize("width", [3, 50])
def test_of_points_that_are_all_the_same_only_how_many_there_are_is_learnt(width: int) -> None:
    ((weight, bias),) = regress(np.zeros((10, width), dtype=np.float32), np.array([0, 1] + [2] * 8), [1.0])
    assert weight.shape == (3, width)
    assert say(np.zeros((1, width)), weight, bias)[0] == pytest.approx([0.1, 0.1, 0.8], abs=5e-3)
