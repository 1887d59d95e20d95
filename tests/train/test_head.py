import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from spotter.config import TrainConfig
from spotter.errors import TrainingFailed
from spotter.train.head import (
    FEW,
    choose_head,
    class_weights,
    fit_head,
    fit_linear,
    fit_parts,
    judge_features,
    negative_log_likelihood,
    share_cores,
    softmax,
)
from spotter.train.views import Views
from tests.conftest import ROOT
from tests.helpers.blas import blas_threads


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


def test_other_features_are_judged_by_heads_that_never_saw_the_fold() -> None:
    features, targets, folds = blobs(3)
    head, held_out = fit_head(features, targets, folds, TrainConfig())
    same = judge_features(features, views_of(features), targets, folds, head)
    assert same == pytest.approx(held_out, abs=0.03)
    noisy = features + np.random.default_rng(2).normal(size=features.shape).astype(np.float32) * 9
    worse = judge_features(features, views_of(noisy), targets, folds, head)
    assert negative_log_likelihood(worse, targets) > negative_log_likelihood(same, targets)


@pytest.mark.parametrize("classes", [2, 3])
def test_a_large_set_is_learnt_alike_and_its_folds_are_honest(classes: int) -> None:
    features, targets, folds = blobs(classes, per_class=2100 // classes)
    one, held_out = fit_head(features, targets, folds, TrainConfig())
    all_, others = fit_head(features, targets, folds, TrainConfig(many=len(targets)))
    assert set(one.losses) == set(all_.losses)
    assert held_out.sum(axis=1) == pytest.approx(np.ones(len(targets)))
    assert np.abs(one.probabilities(features) - all_.probabilities(features)).mean() < 0.02
    assert np.abs(held_out - others).mean() < 0.01
    # What a fold is called does not depend on its own labels.
    wrong = np.where(folds == 3, (targets + 1) % classes, targets)
    _, misled = fit_head(features, wrong, folds, TrainConfig(strengths=(one.strength,)))
    assert (misled[folds == 3].argmax(axis=1) == targets[folds == 3]).mean() > 0.8


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("width", [20, 300])
def test_the_head_is_scikit_learns_with_more_pictures_than_features_or_less(classes: int, width: int) -> None:
    rng = np.random.default_rng(5)
    targets = np.repeat(np.arange(classes), 40)
    features = (rng.normal(size=(len(targets), width)) * 3 + 7 + targets[:, None] * 0.5).astype(np.float32)
    heads = fit_linear(features, targets, [1.0, 0.01])
    assert [head.strength for head in heads] == [0.01, 1.0]
    for head in heads:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=head.strength, max_iter=2000, tol=1e-8))
        expected = model.fit(features, targets).predict_proba(features)
        assert head.probabilities(features) == pytest.approx(expected, abs=2e-3)


def test_a_fit_leaves_what_it_learns_from_as_it_is() -> None:
    features, targets, folds = blobs(3)
    views, before = views_of(features), features.copy()
    fit_linear(features, targets, [0.1])
    fit_head(features, targets, folds, TrainConfig(), views)
    np.testing.assert_array_equal(features, before)
    np.testing.assert_array_equal(views.features, before)


@pytest.mark.parametrize("with_views", [False, True])
def test_a_large_fit_takes_twice_the_room_of_what_it_learns_from(with_views: bool) -> None:
    # More pictures than features: a copy that is standardised, and the same along other axes.
    rng = np.random.default_rng(0)
    features, targets = rng.normal(size=(4000, 256)).astype(np.float32), np.arange(4000) % 3
    rows, views = np.ones(len(targets), dtype=bool), views_of(features) if with_views else None
    table = features.nbytes * (2 if with_views else 1)
    fit_parts(features[:100], targets[:100], [(rows[:100], None)], 0.01)  # what is imported counts for nothing
    tracemalloc.start()
    fit_parts(features, targets, [(rows, views)], 0.01)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 2 * table <= peak < 2.6 * table


def test_labels_without_meaning_cannot_be_learnt() -> None:
    features, targets, folds = blobs(2)
    shuffled = np.random.default_rng(1).permutation(targets)
    _, held_out = fit_head(features, shuffled, folds, TrainConfig())
    assert 0.3 < (held_out.argmax(axis=1) == shuffled).mean() < 0.7
    assert negative_log_likelihood(held_out, shuffled) < 0.8


def test_a_head_learns_from_no_view_of_a_picture_that_judges_it() -> None:
    features, targets, folds = blobs(2)
    shuffled = np.random.default_rng(1).permutation(targets)
    # Each view is its picture: who has learnt it knows the label.
    views = Views(features, np.arange(len(targets)), np.full(len(targets), "same"))
    _, held_out = fit_head(features, shuffled, folds, TrainConfig(), views)
    assert 0.3 < (held_out.argmax(axis=1) == shuffled).mean() < 0.7


def test_features_that_are_no_numbers_are_told() -> None:
    features, targets, folds = blobs(2)
    features[3, 3] = np.nan
    with pytest.raises(TrainingFailed, match="not numbers"):
        fit_head(features, targets, folds, TrainConfig())


def uneven(few: int, many: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    features, targets, folds = blobs(3, many)
    kept = np.concatenate([np.flatnonzero(targets == 0)[:few], np.flatnonzero(targets > 0)])
    return features[kept], targets[kept], folds[kept]


def test_each_class_of_an_uneven_set_counts_the_same() -> None:
    features, targets, folds = uneven(8, 80)
    head, held_out = fit_head(features, targets, folds, TrainConfig())
    plain, plain_held_out = fit_head(features, targets, folds, TrainConfig(uneven=1000))
    assert (head.balanced, plain.balanced) == (True, False)
    assert set(head.losses) == {
        (strength, balanced) for strength in TrainConfig.strengths for balanced in (False, True)
    }
    rare = targets == 0
    assert held_out[rare, 0].mean() > plain_held_out[rare, 0].mean() + 0.03
    assert class_weights(targets, TrainConfig())[targets][rare].sum() == pytest.approx(len(targets) / 3)


def test_an_even_set_is_learnt_as_if_there_were_no_balance() -> None:
    features, targets, folds = uneven(60, 80)
    head, _ = fit_head(features, targets, folds, TrainConfig())
    assert not head.balanced
    assert {balanced for _, balanced in head.losses} == {False}
    assert class_weights(targets, TrainConfig()).tolist() == [1, 1, 1]


def test_right_answers_alone_do_not_make_the_probabilities_surer() -> None:
    features, targets, folds = blobs(2, 10)
    features[np.arange(len(targets)), targets] += 60
    head, held_out = fit_head(features, targets, folds, TrainConfig())
    assert (held_out.argmax(axis=1) == targets).all()
    assert 0.6 < head.temperature <= 1


def test_many_wrong_answers_choose_the_temperature_and_no_fold_its_own() -> None:
    features, targets, folds = blobs(2, 60)
    rng = np.random.default_rng(5)
    targets = np.where(rng.random(len(targets)) < np.where(folds == 0, 0.5, 0.1), 1 - targets, targets)
    # With next to no regularisation, the head is far too sure.
    head, held_out = fit_head(features, targets, folds, TrainConfig(strengths=(3.0,)))
    assert head.temperature > 1.5
    of_fold = {fold: each.temperature for fold, each in head.of_folds.items()}
    # Half the labels of the first fold are wrong, and it alone is not told so.
    assert of_fold[0] < min(of_fold[fold] for fold in range(1, 5))
    divisors = np.array([[of_fold[fold]] for fold in folds.tolist()])
    unscaled = softmax(divisors * np.log(held_out))
    assert negative_log_likelihood(held_out, targets) < negative_log_likelihood(unscaled, targets) - 0.1


def test_softmax_of_large_logits() -> None:
    assert softmax(np.array([[1000.0, 0.0]])) == pytest.approx(np.array([[1.0, 0.0]]))


def views_of(*others: np.ndarray, name: str = "other") -> Views:
    rows = np.tile(np.arange(len(others[0])), len(others))
    return Views(np.concatenate(others), rows, np.full(len(rows), name))


def test_views_are_learnt_from_and_never_judged() -> None:
    features, targets, folds = blobs(3, per_class=6)
    rng = np.random.default_rng(5)
    # Other looks at the same pictures: the noise of each is its own, as far as crops differ.
    views = views_of(*(features + rng.normal(size=features.shape).astype(np.float32) * 2 for _ in range(3)))
    _, plain = fit_head(features, targets, folds, TrainConfig())
    _, viewed = fit_head(features, targets, folds, TrainConfig(), views)
    assert viewed.shape == plain.shape
    assert not np.allclose(plain, viewed)
    # Views that tell the truth about a fold's own pictures must not help to judge them: a leak would be perfect.
    noise = rng.normal(size=features.shape).astype(np.float32)
    telling = np.eye(3, 64, dtype=np.float32)[targets] * 100
    _, judged = fit_head(noise, targets, folds, TrainConfig(), views_of(telling))
    assert (judged.argmax(axis=1) == targets).mean() < 0.7


def shift(features: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The same pictures in another light: what tells the classes apart lies elsewhere, as for bears at night."""
    moved = np.random.default_rng(7).normal(size=features.shape).astype(np.float32)
    return moved + 6 * np.eye(features.shape[1], dtype=np.float32)[20 + targets]


def test_shifted_views_are_learnt_from_where_they_help_with_held_out_ones() -> None:
    features, targets, folds = blobs(3, per_class=20)
    shifted = views_of(shift(features, targets))
    fit = choose_head(features, targets, folds, TrainConfig(), None, shifted)
    assert fit.head.spectrum is not None
    assert fit.head.spectrum.is_kept
    assert fit.head.spectrum.losses[1] < fit.head.spectrum.losses[0]
    assert (fit.shifted.argmax(axis=1) == targets[shifted.of]).mean() > 0.9
    assert fit.probabilities.shape == (60, 3)
    new = shift(features + 0.01, targets)
    plain = choose_head(features, targets, folds, TrainConfig())
    assert plain.head.spectrum is None
    right, before = ((each.head.probabilities(new).argmax(axis=1) == targets).mean() for each in (fit, plain))
    assert right > before


def test_shifted_views_that_cost_right_answers_are_not_kept() -> None:
    features, targets, folds = blobs(3, per_class=20)
    # The views of each class look like the pictures of the next.
    misleading = views_of(np.concatenate([features[targets == (number + 1) % 3][:20] for number in range(3)]))
    order = np.argsort(targets, kind="stable")
    misleading = Views(misleading.features, order, misleading.names)
    fit = choose_head(features, targets, folds, TrainConfig(), None, misleading)
    assert fit.head.spectrum is not None
    assert not fit.head.spectrum.is_kept
    plain, held_out = fit_head(features, targets, folds, TrainConfig())
    assert np.array_equal(fit.head.weight, plain.weight)
    assert np.array_equal(fit.probabilities, held_out)


def test_heads_made_again_for_other_features_saw_neither_the_picture_nor_its_views() -> None:
    rng = np.random.default_rng(1)
    targets, folds = np.arange(60) % 3, np.arange(60) % 5
    noise = rng.normal(size=(60, 64)).astype(np.float32)
    telling = views_of(np.eye(3, 64, dtype=np.float32)[targets] * 100 + noise)
    head, _ = fit_head(noise, targets, folds, TrainConfig(), telling)
    judged = judge_features(noise, Views(noise, np.arange(60), np.full(60, "same")), targets, folds, head, telling)
    assert judged.shape == (60, 3)
    assert judged.sum(axis=1) == pytest.approx(np.ones(60))
    assert (judged.argmax(axis=1) == targets).mean() < 0.7


@pytest.mark.parametrize(("pictures", "threads"), [(FEW, {1}), (FEW + 1, {2})])
def test_small_tables_are_multiplied_on_one_thread(pictures: int, threads: set[int]) -> None:
    # What was set before is there again afterwards.
    with threadpool_limits(2, "blas"):
        share_cores(pictures)
        assert blas_threads() == threads


@pytest.mark.slow
def test_the_blas_that_fits_heads_is_known_before_heads_are() -> None:
    code = """
from threadpoolctl import threadpool_limits
from spotter.train.features import one_thread_each
with one_thread_each():
    pass
import spotter.train.head
from tests.helpers.blas import blas_threads
with threadpool_limits(2, "blas"), one_thread_each():
    print(blas_threads())
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "{1}\n"
