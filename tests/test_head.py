import numpy as np
import pytest

from spotter.config import TrainConfig
from spotter.errors import TrainingFailed
from spotter.head import SPANNED, fit_head, negative_log_likelihood, softmax


def blobs(classes: int, per_class: int = 40, features: int = 64) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    targets = np.repeat(np.arange(classes), per_class)
    centres = rng.normal(size=(classes, features))
    points = centres[targets] + rng.normal(size=(len(targets), features)) * 2
    return points.astype(np.float32), targets, np.arange(len(targets)) % 5


@pytest.mark.parametrize("classes", [2, 3, 12])
def test_the_head_learns_and_its_folds_are_honest(classes: int) -> None:
    features, targets, folds = blobs(classes)
    head, held_out = fit_head(features, targets, folds, TrainConfig())
    assert head.weight.shape == (classes, 64)
    own = head.probabilities(features)
    assert own.sum(axis=1) == pytest.approx(np.ones(len(own)))
    assert (own.argmax(axis=1) == targets).mean() > 0.95
    assert (held_out.argmax(axis=1) == targets).mean() > 0.8
    # A head that has seen a picture is surer of it: were these equal, a fold would have leaked.
    assert negative_log_likelihood(own, targets) < negative_log_likelihood(held_out, targets)


@pytest.mark.parametrize("classes", [2, 3])
def test_a_large_set_is_learnt_alike_and_its_folds_are_honest(classes: int) -> None:
    features, targets, folds = blobs(classes, per_class=2100 // classes)
    one, held_out = fit_head(features, targets, folds, TrainConfig())
    all_, others = fit_head(features, targets, folds, TrainConfig(many=len(targets)))
    assert set(one.losses) == set(all_.losses)
    assert held_out.sum(axis=1) == pytest.approx(np.ones(len(targets)))
    assert np.abs(one.probabilities(features) - all_.probabilities(features)).max() < 0.1
    assert np.abs(held_out - others).mean() < 0.01
    # What a fold is called does not depend on its own labels.
    wrong = np.where(folds == 3, (targets + 1) % classes, targets)
    _, misled = fit_head(features, wrong, folds, TrainConfig(strengths=(one.strength,)))
    assert (misled[folds == 3].argmax(axis=1) == targets[folds == 3]).mean() > 0.8


def test_without_rotation_the_head_is_the_same() -> None:
    features, targets, folds = blobs(3, per_class=SPANNED // 3 + 1)
    turned, _ = fit_head(features[:SPANNED], targets[:SPANNED], folds[:SPANNED], TrainConfig(strengths=(0.1,)))
    plain, _ = fit_head(features, targets, folds, TrainConfig(strengths=(0.1,)))
    assert plain.probabilities(features) == pytest.approx(turned.probabilities(features), abs=0.02)


def test_labels_without_meaning_cannot_be_learnt() -> None:
    features, targets, folds = blobs(2)
    shuffled = np.random.default_rng(1).permutation(targets)
    _, held_out = fit_head(features, shuffled, folds, TrainConfig())
    assert 0.3 < (held_out.argmax(axis=1) == shuffled).mean() < 0.7
    assert negative_log_likelihood(held_out, shuffled) < 0.8


def test_features_that_are_no_numbers_are_told() -> None:
    features, targets, folds = blobs(2)
    features[3, 3] = np.nan
    with pytest.raises(TrainingFailed, match="not numbers"):
        fit_head(features, targets, folds, TrainConfig())


def test_softmax_of_large_logits() -> None:
    assert softmax(np.array([[1000.0, 0.0]])) == pytest.approx(np.array([[1.0, 0.0]]))
