"""Chances by numpy alone, beside those of scipy and scikit-learn."""

import numpy as np
import pytest
from scipy.stats import binomtest, fisher_exact, ks_2samp, mannwhitneyu, norm
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import cross_val_predict

from spotter.utils.stats import (
    above_normal,
    calibration_error,
    discriminate,
    exact_half,
    exact_shares,
    ranked_above,
    same_figures,
)

SHARES = [(0, 0, 0, 5), (3, 10, 9, 10), (0, 50, 7, 40), (5, 5, 0, 5), (12, 40, 12, 40), (900, 4000, 1100, 4000)]


@pytest.mark.parametrize(("count", "total", "other", "rest"), SHARES)
def test_shares_are_compared_exactly(count: int, total: int, other: int, rest: int) -> None:
    table = [[count, total - count], [other, rest - other]]
    for is_greater, side in ((False, "two-sided"), (True, "greater")):
        ours = exact_shares((count, total), (other, rest), is_greater=is_greater)
        assert ours == pytest.approx(fisher_exact(table, alternative=side).pvalue, rel=1e-6)


@pytest.mark.parametrize(("count", "total"), [(0, 1), (3, 4), (50, 100), (30, 100), (5300, 10_000), (0, 40)])
def test_a_coin_is_tossed_exactly(count: int, total: int) -> None:
    assert exact_half(count, total) == pytest.approx(binomtest(count, total, 0.5).pvalue, rel=1e-6)


def test_large_logs_are_no_problem() -> None:
    assert exact_shares((30_000, 100_000), (31_000, 100_000)) == pytest.approx(
        fisher_exact([[30_000, 70_000], [31_000, 69_000]]).pvalue, rel=1e-5
    )
    assert exact_half(100_600, 200_000) == pytest.approx(binomtest(100_600, 200_000, 0.5).pvalue, rel=1e-5)


def test_the_tail_of_the_normal_distribution() -> None:
    for value in (-3.0, 0.0, 1.0, 6.0, 20.0):
        assert above_normal(value) == pytest.approx(norm.sf(value), rel=1e-9)


@pytest.mark.parametrize(("n", "m", "shift"), [(30, 40, 0.0), (200, 300, 0.2), (1000, 80, 0.5), (500, 500, 1.0)])
def test_figures_are_compared_nearly_as_scipy_does(n: int, m: int, shift: float) -> None:
    rng = np.random.default_rng(n)
    first, second = rng.normal(size=n).round(1), (rng.normal(size=m) + shift).round(1)
    theirs = ks_2samp(first, second, method="asymp").pvalue
    assert same_figures(first, second) == pytest.approx(theirs, rel=0.25, abs=1e-12)
    assert same_figures(first, first) == 1


@pytest.mark.parametrize(("n", "m", "shift"), [(40, 60, 0.0), (300, 200, 0.3), (1000, 1000, 1.0)])
def test_ranks_are_compared_as_scipy_does(n: int, m: int, shift: float) -> None:
    rng = np.random.default_rng(n)
    first, second = (rng.normal(size=n) + shift).round(1), rng.normal(size=m).round(1)
    area, chance = ranked_above(first, second)
    theirs = mannwhitneyu(first, second, alternative="greater")
    assert area == pytest.approx(theirs.statistic / (n * m))
    assert chance == pytest.approx(theirs.pvalue, rel=1e-9)
    assert ranked_above(np.ones(5), np.ones(9)) == (0.5, 1.0)


@pytest.mark.parametrize("shift", [0.0, 0.3, 1.0])
def test_places_are_told_apart_as_well_as_by_scikit_learn(shift: float) -> None:
    rng = np.random.default_rng(7)
    places = rng.normal(size=(700, 16)) * np.arange(1, 17)
    is_first = np.repeat([1, 0], [400, 300])
    places[:400, 0] += 3 * shift
    judge = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.1)
    theirs = cross_val_predict(judge, places, is_first, cv=5, method="decision_function")
    ours = discriminate(places, is_first)
    areas = [ranked_above(scores[is_first == 1], scores[is_first == 0])[0] for scores in (ours, theirs)]
    assert areas[0] == pytest.approx(areas[1], abs=0.03)
    assert shift < 1 or areas[0] > 0.8


def test_copies_of_one_picture_are_not_told_apart() -> None:
    places = np.ones((100, 4))
    scores = discriminate(places, np.repeat([1, 0], 50))
    assert ranked_above(scores[:50], scores[50:]) == (0.5, 1.0)


def test_the_calibration_error_is_that_of_each_bin_by_its_pictures() -> None:
    # Two bins: 0.4 on average and half right; 0.9 and all right.
    confidence, right = np.array([0.3, 0.5, 0.9, 0.9]), np.array([True, False, True, True])
    assert calibration_error(confidence, right, 2) == pytest.approx((2 * 0.1 + 2 * 0.1) / 4)
    # Without its lower edge a bin holds its upper one; and 0 is in the first.
    assert calibration_error(np.array([0.5, 0.0]), np.array([True, False]), 2) == pytest.approx(0.25)
