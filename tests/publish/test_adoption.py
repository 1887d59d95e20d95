"""Whether a model agrees with what a browser taught."""

import numpy as np
import pytest

from spotter.publish.adoption import CLOSE, compare_answers

SURE = np.array([[0.9, 0.1]])


def many(row: np.ndarray, count: int = 376) -> np.ndarray:
    return np.repeat(row, count, axis=0)


def test_the_same_answers_agree() -> None:
    found = compare_answers(many(SURE), many(SURE), np.zeros(376, dtype=int))
    assert (found.near, found.others, found.wrong, found.complaint(True)) == (376, 0, (0, 0), "")
    assert "376 of 376 pictures within 0.02" in found.sentence("held out")


@pytest.mark.parametrize(("moved", "is_fine"), [(3, True), (4, False)])
def test_one_in_a_hundred_may_be_further_away(moved: int, is_fine: bool) -> None:
    here = many(SURE)
    here[:moved] = [0.85, 0.15]
    found = compare_answers(many(SURE), here, np.zeros(376, dtype=int))
    assert (found.near, found.complaint(True) == "") == (376 - moved, is_fine)
    assert found.complaint(False) == ""


def test_another_label_is_refused_but_where_both_are_close() -> None:
    there, here = many(SURE), many(SURE)
    there[0], here[0] = [0.505, 0.495], [0.495, 0.505]
    assert compare_answers(there, here, np.zeros(376, dtype=int)).complaint(True) == ""
    there[0], here[0] = [0.6, 0.4], [0.4, 0.6]
    assert "get another label" in compare_answers(there, here, np.zeros(376, dtype=int)).complaint(True)


@pytest.mark.parametrize(("wrong", "is_fine"), [(1, True), (2, False)])
def test_so_many_errors_may_differ(wrong: int, is_fine: bool) -> None:
    close = np.array([[0.5 + CLOSE / 8, 0.5 - CLOSE / 8]])
    here = many(close)
    here[:wrong] = close[:, ::-1]
    complaint = compare_answers(many(close), here, np.zeros(376, dtype=int)).complaint(True)
    assert (complaint == "") is is_fine


def test_with_other_random_numbers_clear_labels_alone_must_agree() -> None:
    there, here = many(SURE, 100), many(SURE, 100)
    here[:30] = [0.7, 0.3]
    there[:10], here[:10] = [0.51, 0.49], [0.3, 0.7]
    found = compare_answers(there, here, np.zeros(100, dtype=int))
    assert (found.others, found.clear, found.complaint(False)) == (10, 0, "")
    there[:3] = [0.9, 0.1]
    found = compare_answers(there, here, np.zeros(100, dtype=int))
    assert found.complaint(False) == "3 of 100 pictures clearly get another label"


@pytest.mark.parametrize("strict", [True, False])
def test_what_is_no_number_never_agrees(strict: bool) -> None:
    here = many(SURE)
    here[3] = np.nan
    assert "no numbers" in compare_answers(many(SURE), here, np.zeros(376, dtype=int)).complaint(strict)
