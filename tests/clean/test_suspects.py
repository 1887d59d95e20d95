"""The queues: who is doubted first, and why."""

from dataclasses import replace

import numpy as np
import pytest

from spotter.clean.suspects import (
    COPIES,
    CROSSING,
    JUNK,
    LOSSES,
    STRANGERS,
    VISITORS,
    WRONG,
    Suggestion,
    View,
    cell,
    confusion,
    confusions,
    disagrees,
    rank,
    reason,
    suggest,
)
from spotter.data.dataset import FROM_VISITORS, Record

NAMES = ("disc", "cross")


def record(number: int, label: str, group: int, flags: tuple[str, ...] = (), side: int = 100) -> Record:
    return Record(
        label,
        "folder",
        f"{number}.jpg",
        label,
        number,
        "kept",
        file=f"{label}/{number}.jpg",
        sha256=f"{number:064}",
        phash=f"{number:016x}",
        group=group,
        flags=flags,
        width=side,
        height=side,
    )


def view(labels: list[int], given: list[float], **changes: object) -> View:
    """Two classes; `given` are the probabilities of the labels, NaN where there are none."""
    probabilities = np.array([[p, 1 - p] if label != 1 else [1 - p, p] for label, p in zip(labels, given, strict=True)])
    facts: dict = {
        "names": NAMES,
        "records": tuple(record(number, NAMES[max(label, 0)], number) for number, label in enumerate(labels)),
        "claims": ((),) * len(labels),
        "labels": np.array(labels),
        "probabilities": probabilities,
        "familiarity": np.linspace(0.9, 0.5, len(labels)),
        "folds": np.arange(len(labels)) % 5,
        "threshold": 0.6,
    }
    return View(**{**facts, **changes})


def flat(groups: list[tuple[int, ...]]) -> list[int]:
    return [index for group in groups for index in group]


def test_the_least_probable_label_comes_first() -> None:
    assert flat(rank(WRONG, view([0, 1, 0, 1], [0.9, 0.02, 0.4, 0.7])))[:4] == [1, 2, 3, 0]


def test_a_long_queue_ends_where_doubt_does() -> None:
    given = [0.5] * 60 + [0.99] * 60
    seen = view([0] * 120, given)
    assert flat(rank(WRONG, seen)) == list(range(60))
    assert len(rank(WRONG, view([0] * 120, [0.99] * 120))) == 40
    assert len(rank(LOSSES, seen)) == 120


def test_pictures_that_nobody_judged_are_not_ranked_but_kept_apart() -> None:
    seen = view([0, 0, 0], [0.2, float("nan"), 0.1])
    assert flat(rank(WRONG, seen)) == [2, 0]
    assert seen.predicted.tolist() == [1, -1, 1]
    assert suggest(WRONG, seen, [1], 1) is None


def test_a_label_that_was_corrected_is_doubted_no_more() -> None:
    assert flat(rank(WRONG, view([1, 0], [0.95, 0.5]))) == [1, 0]


def test_strangers_are_those_least_like_the_others() -> None:
    seen = view([0] * 100, [0.9] * 100, threshold=0.55)
    order = flat(rank(STRANGERS, seen))
    assert order == list(range(99, 59, -1))
    assert reason(STRANGERS, seen, [99], 99) == "familiarity 0.50, below the threshold 0.55"
    assert suggest(STRANGERS, seen, [99], 99).to is None
    assert suggest(STRANGERS, seen, [60], 60) is None


def test_look_alikes_stand_together_and_the_largest_is_kept() -> None:
    records = (record(0, "disc", 0), record(1, "disc", 0, side=200), record(2, "disc", 2), record(3, "cross", 2))
    seen = view([0, 0, 0, 1], [0.9] * 4, records=records)
    assert rank(COPIES, seen) == [(0, 1)]
    assert rank(CROSSING, seen) == [(2, 3)]
    assert suggest(COPIES, seen, (0, 1), 1) is None
    assert suggest(COPIES, seen, (0, 1), 0).to is None
    assert reason(CROSSING, seen, (2, 3), 2) == (
        "near duplicate in another class: 1 of 64 bits of the perceptual hash differ"
    )


def test_a_copy_is_not_suggested_away_when_the_other_is_gone() -> None:
    records = (record(0, "disc", 0), record(1, "disc", 0, side=200))
    assert suggest(COPIES, view([0, -1], [0.9, 0.9], records=records), (0, 1), 0) is None


def test_what_only_comes_from_the_same_page_is_not_suggested_away() -> None:
    records = tuple(
        replace(record(number, "disc", 0, side=side), phash=phash, page_url="https://example.org/bear")
        for number, (side, phash) in enumerate([(200, "0" * 16), (100, "0" * 12 + "ffff"), (100, "00" + "ff" * 7)])
    )
    seen = view([0, 0, 0], [0.9] * 3, records=records)
    assert rank(COPIES, seen) == [(0, 1, 2)]
    assert [suggest(COPIES, seen, (0, 1, 2), index) for index in range(3)] == [None, Suggestion(None), None]
    assert reason(COPIES, seen, (0, 1, 2), 1) == "near duplicate: 16 of 64 bits of the perceptual hash differ"
    assert reason(COPIES, seen, (0, 1, 2), 2) == "from the same page"


@pytest.mark.parametrize("queue", [WRONG, LOSSES])
def test_a_deleted_picture_stays_where_it_was(queue: str) -> None:
    assert flat(rank(queue, view([0, 0, 0], [0.9, 0.2, 0.5]))) == [1, 2, 0]
    assert flat(rank(queue, view([0, 0, -1], [0.9, 0.2, 0.5]))) == [1, 2, 0]


def test_a_picture_in_two_classes_is_in_the_queue_of_its_own() -> None:
    seen = view([0, 0], [0.9, float("nan")], claims=((), ("disc", "cross")))
    assert rank(CROSSING, seen) == [(1,)]
    assert reason(CROSSING, seen, (1,), 1) == "the same picture was collected as disc and as cross"


def test_junk_says_what_was_flagged() -> None:
    records = (record(0, "disc", 0), record(1, "disc", 1, ("near-in-two-classes",)), record(2, "disc", 2, ("dark",)))
    seen = view([0, 0, 0], [0.9] * 3, records=records)
    assert rank(JUNK, seen) == [(2,)]
    assert rank(JUNK, replace(seen, records=(records[2], records[1], replace(records[0], flags=("dark", "tiny"))))) == [
        (2,),
        (0,),
    ]
    assert reason(JUNK, seen, (2,), 2) == "dark: almost black all over"


def test_of_visitors_pictures_those_come_first_that_the_model_called_otherwise() -> None:
    sent = replace(record(0, "disc", 0), backend=FROM_VISITORS, title="sent as disc, called disc")
    records = (sent, replace(sent, query="cross", title="sent as disc, called cross"), record(2, "disc", 2))
    seen = view([0, 0, 0], [0.1] * 3, records=records)
    assert rank(VISITORS, seen) == [(1,), (0,)]
    assert reason(VISITORS, seen, (1,), 1) == "sent as disc, called cross"
    assert suggest(VISITORS, seen, (1,), 1) is None
    assert suggest(WRONG, seen, (1,), 1) == Suggestion("cross")


def test_hardly_any_and_nearly_all_are_told_as_that() -> None:
    seen = view([0, 0], [0.999, 0.001])
    assert reason(WRONG, seen, (0,), 0) == "over 99 % for the label given"
    assert reason(WRONG, seen, (1,), 1) == "under 1 % for the label given"


def test_the_confusion_matrix_counts_what_its_cells_open() -> None:
    seen = view([0, 0, 1, 1, -1], [0.9, 0.2, 0.3, 0.1, 0.9])
    counts = confusion(seen)
    assert counts.tolist() == [[1, 1], [2, 0]]
    # The least probable label first.
    assert cell(seen, 1, 0) == [(3,), (2,)]
    assert suggest(WRONG, seen, (2,), 2).to == "disc"
    assert confusions(seen) == [(1, 0, 2), (0, 1, 1)]


@pytest.mark.parametrize("seed", range(5))
def test_the_labels_that_the_model_doubts_come_first_however_many_classes(seed: int) -> None:
    luck = np.random.default_rng(seed)
    classes, pictures = 130, 400
    names = tuple(f"breed {number}" for number in range(classes))
    labels = luck.integers(0, classes, pictures)
    probabilities = luck.dirichlet(np.full(classes, 0.05), pictures)
    sure = luck.random(pictures) < 0.7
    probabilities[sure] = 0.9 * np.eye(classes)[labels[sure]] + 0.1 / classes
    records = tuple(record(number, names[label], number) for number, label in enumerate(labels))
    plain = view([0] * pictures, [0.5] * pictures)
    seen = replace(plain, names=names, records=records, labels=labels, probabilities=probabilities)
    doubted = disagrees(seen)
    order = [index for (index,) in rank(WRONG, seen)]
    count = int(doubted.sum())
    assert 0 < count < pictures
    assert set(order[:count]) == set(np.flatnonzero(doubted).tolist())
    for part in (order[:count], order[count:]):
        assert (np.diff(seen.given_probability[part]) >= 0).all()
    listed = confusions(seen)
    assert sum(number for _, _, number in listed) == count
    assert [number for _, _, number in listed] == sorted((number for _, _, number in listed), reverse=True)
    assert all(confusion(seen)[actual, called] == number for actual, called, number in listed)
