"""Sets of labels: thresholds as another library has them, the share they promise, and what is too few for them."""

from fractions import Fraction

import numpy as np
import pytest

from spotter.decide.label_sets import LabelSets, check_coverage, explain_few, make_sets, needed
from spotter.decide.set_figures import choose_by_fold, count_sets, judge_sets, sets_by_fold
from spotter.errors import BadCoverage
from spotter.utils.stats import wilson_interval

LABELS = ("grizzly", "black", "teddy")


def draw(luck: np.random.Generator, pictures: int, sharp: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (n, 3) and truths, of classes that are not equally hard."""
    targets = luck.integers(0, 3, pictures)
    scores = luck.normal(size=(pictures, 3)) + sharp * np.eye(3)[targets] * np.array([0.5, 1.0, 2.0])[targets][:, None]
    shares = np.exp(scores)
    return shares / shares.sum(axis=1, keepdims=True), targets


def everywhere(pictures: int) -> np.ndarray:
    return np.ones(pictures, dtype=bool)


def test_a_threshold_is_the_one_worked_out_by_hand() -> None:
    # Nineteen of each class, whose truth has the probabilities 0.05, 0.10 ... 0.95: 19 of 20 are asked for, so all.
    given = np.arange(1, 20) / 20
    shares = np.concatenate([np.stack([given, 1 - given], axis=1), np.stack([1 - given, given], axis=1)])
    targets = np.repeat([0, 1], 19)
    made = make_sets(shares, targets, 0.95)
    assert made is not None
    assert made.by_class
    assert made.least == pytest.approx((0.05, 0.05))
    # Of 20 * 0.9 = 18, the second smallest.
    made = make_sets(shares, targets, 0.9)
    assert made is not None
    assert made.least == pytest.approx((0.1, 0.1))
    inside = made.choose(np.array([[0.95, 0.05], [0.5, 0.5], [0.1, 0.9]]), everywhere(3))
    assert inside.tolist() == [[True, False], [True, True], [True, True]]


@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95, 0.99])
@pytest.mark.parametrize("by_class", [True, False])
def test_the_sets_are_those_of_another_library(coverage: float, by_class: bool) -> None:
    crepes = pytest.importorskip("crepes")
    luck = np.random.default_rng(5)
    shares, targets = draw(luck, 450 if by_class else 60)
    if not by_class:
        # Of the last class too few for a threshold of its own.
        keep = (targets != 2) | (np.cumsum(targets == 2) <= 2)
        shares, targets = shares[keep], targets[keep]
    new, _ = draw(luck, 200)
    shares, new = shares.astype(np.float32), new.astype(np.float32)
    made = make_sets(shares, targets, coverage)
    if made is None:
        assert len(targets) < needed(coverage)
        return
    assert made.by_class is by_class
    given = 1 - shares[np.arange(len(targets)), targets].astype(float)
    classifier = crepes.ConformalClassifier()
    classifier.fit(given, bins=targets if by_class else None)
    scores, smoothing = 1 - new.astype(float), {"smoothing": False}
    if by_class:
        theirs = np.stack(
            [
                classifier.predict_set(scores, bins=np.full(len(new), label), confidence=coverage, **smoothing)[
                    :, label
                ]
                for label in range(3)
            ],
            axis=1,
        )
    else:
        theirs = classifier.predict_set(scores, confidence=coverage, **smoothing)
    assert made.choose(new, everywhere(len(new))).tolist() == theirs.astype(bool).tolist()


@pytest.mark.parametrize("rounds", [60, pytest.param(2000, marks=pytest.mark.slow)])
def test_each_class_is_covered_as_often_as_promised(rounds: int) -> None:
    luck, covered, total = np.random.default_rng(11), np.zeros(3), np.zeros(3)
    for _ in range(rounds):
        shares, targets = draw(luck, 150)
        made = make_sets(shares, targets, 0.9)
        assert made is not None
        new, truths = draw(luck, 100)
        held = made.choose(new, everywhere(100))[np.arange(100), truths]
        covered += np.bincount(truths, weights=held, minlength=3)
        total += np.bincount(truths, minlength=3)
    # Theory: from 0.9 to 0.9 + 1 / (n + 1), for about fifty of each.
    spread = 4 * (0.9 * 0.1 / total.min() + 0.9 * 0.1 / (50 * rounds)) ** 0.5
    assert (covered / total > 0.9 - spread).all()
    assert (covered / total < 0.9 + 1 / 40 + spread).all()


@pytest.mark.parametrize(("coverage", "least"), [(0.95, 19), (0.9, 9), (0.99, 99), (0.8, 4), (0.6, 2)])
def test_so_many_pictures_are_needed(coverage: float, least: int) -> None:
    assert needed(coverage) == least
    share = Fraction(str(coverage))
    # The rank that is asked for has to exist.
    assert -(-(least + 1) * share.numerator // share.denominator) <= least
    assert -(-least * share.numerator // share.denominator) > least - 1


def test_three_pictures_of_a_class_share_a_threshold_and_that_is_said() -> None:
    shares, targets = draw(np.random.default_rng(1), 100)
    keep = (targets != 1) | (np.cumsum(targets == 1) <= 3)
    shares, targets = shares[keep], targets[keep]
    made = make_sets(shares, targets, 0.95)
    assert made is not None
    assert not made.by_class
    assert len(set(made.least)) == 1
    told = explain_few(LABELS, targets, 0.95)
    assert "of black there are 3 held-out pictures, and it takes 19" in told
    assert make_sets(shares[:5], targets[:5], 0.95) is None
    assert "it takes 19 held-out pictures, and there are 5" in explain_few(LABELS, targets[:5], 0.95)
    assert judge_sets(LABELS, shares[:5], everywhere(5), targets[:5], np.arange(5) % 2, 0.95) is None
    assert explain_few(LABELS, np.arange(60) % 3, 0.95) == ""


@pytest.mark.parametrize("coverage", [1.0, 0.5, 0.0, 1.5, -1.0, float("nan")])
def test_a_coverage_that_is_of_no_use_is_refused(coverage: float) -> None:
    with pytest.raises(BadCoverage, match=r"--coverage must be above 0\.5 and below 1"):
        check_coverage(coverage)


def test_what_is_not_familiar_may_be_anything() -> None:
    made = LabelSets(0.95, (0.5, 0.5, 0.5), by_class=True)
    inside = made.choose(np.array([[0.9, 0.1, 0.0], [0.9, 0.1, 0.0], [0.4, 0.3, 0.3]]), np.array([True, False, True]))
    assert inside.tolist() == [[True, False, False], [True, True, True], [False, False, False]]
    counts = count_sets(inside, np.array([0, 2, 1]))
    assert counts is not None
    assert (counts.pictures, counts.covered, counts.unsure) == (3, 2, 2)
    assert counts.size == pytest.approx(4 / 3)
    assert counts.interval == wilson_interval(2, 3)
    assert counts.size_interval[0] < 4 / 3 < counts.size_interval[1]
    assert count_sets(inside[:0], np.zeros(0, dtype=int)) is None


def test_pictures_are_judged_by_thresholds_that_they_did_not_choose() -> None:
    shares, targets = draw(np.random.default_rng(2), 400)
    folds = np.arange(400) % 5
    sets = sets_by_fold(shares, targets, folds, 0.9)
    for fold, made in sets.items():
        assert made == make_sets(shares[folds != fold], targets[folds != fold], 0.9)
    inside = choose_by_fold(sets, shares, everywhere(400), folds)
    found = judge_sets(LABELS, shares, everywhere(400), targets, folds, 0.9)
    assert found is not None
    assert found.counts == count_sets(inside, targets)
    assert found.counts.interval[0] <= 0.9 <= found.counts.interval[1] + 0.02
    assert [counts.pictures for _, counts in found.classes if counts] == np.bincount(targets).tolist()
    assert f"of 400 held-out pictures (95 % interval {100 * found.counts.interval[0]:.1f}" in found.sentence()
