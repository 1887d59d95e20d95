"""Likely label errors: ranked queues over a training run of what a person should look at first, and why."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spotter.data.dataset import FROM_VISITORS, Record
from spotter.data.duplicates import FAR_BITS, near_pairs
from spotter.data.quality import QUALITY_FLAGS
from spotter.utils.text import percent

WRONG, STRANGERS, COPIES, CROSSING, JUNK, LOSSES = "wrong", "strangers", "copies", "crossing", "junk", "losses"
VISITORS = "visitors"
QUEUES = {
    WRONG: "Wrong labels",
    STRANGERS: "Strangers",
    COPIES: "Near duplicates",
    CROSSING: "In two classes",
    JUNK: "Junk",
    LOSSES: "Top losses",
    VISITORS: "From visitors",
}
# A queue offers at least so many, if the set has them: the first mistakes are seldom the only ones.
AT_LEAST = 40
DOUBTFUL = 0.9


@dataclass(frozen=True)
class View:
    """Everything the queues go by, for n pictures.

    `labels` int64 (n,): indexes into `names` as they stand now, -1 for deleted; `claims` are the labels under which a
    picture that stands in two classes was collected, () for others. `probabilities` (n, classes), NaN where unknown;
    `familiarity` (n,), NaN likewise; `folds` int64 (n,), -1 where unknown; `threshold` of familiarity.
    """

    names: tuple[str, ...]
    records: tuple[Record, ...]
    claims: tuple[tuple[str, ...], ...]
    labels: np.ndarray
    probabilities: np.ndarray
    familiarity: np.ndarray
    folds: np.ndarray
    threshold: float

    @property
    def known(self) -> np.ndarray:
        """Bool (n,): pictures that some head judged without having seen them."""
        return ~np.isnan(self.probabilities).any(axis=1)

    @property
    def predicted(self) -> np.ndarray:
        """Int64 (n,): the most probable class, -1 where unknown."""
        return np.where(self.known, np.nan_to_num(self.probabilities).argmax(axis=1), -1)

    @property
    def given_probability(self) -> np.ndarray:
        """(n,): the probability of the label as it stands now, NaN where unknown or deleted."""
        own = self.probabilities[np.arange(len(self.labels)), np.maximum(self.labels, 0)]
        return np.where(self.labels >= 0, own, np.nan)


@dataclass(frozen=True)
class Suggestion:
    """What the model would do: move a picture to the class `to`, or delete it (None)."""

    to: str | None


def rank(queue: str, view: View) -> list[tuple[int, ...]]:
    """The pictures of a queue, those most worth a look first: positions in `view`, look-alikes together.

    Pictures that were deleted stay where they were, so that a deletion can be seen and taken back.
    """
    if queue in {COPIES, CROSSING}:
        return _groups(view, crossing=queue == CROSSING)
    if queue == JUNK:
        flagged = [(i, _flags_of(record)) for i, record in enumerate(view.records) if _flags_of(record)]
        return [(i,) for i, _ in sorted(flagged, key=lambda pair: (-len(pair[1]), pair[0]))]
    if queue == VISITORS:
        # Where the visitor and the model disagree, there is most to learn.
        sent = [i for i, record in enumerate(view.records) if record.backend == FROM_VISITORS]
        return [(i,) for i in sorted(sent, key=lambda i: (view.records[i].is_self_selected, i))]
    if queue == STRANGERS:
        order = _ascending(view.familiarity)
        below = int((view.familiarity[order] < view.threshold).sum())
        return [(int(i),) for i in order[: max(below, AT_LEAST)]]
    # A deleted picture is where its label would put it.
    collected = np.array([view.names.index(record.label) for record in view.records], dtype=np.int64)
    given = view.probabilities[np.arange(len(collected)), np.where(view.labels >= 0, view.labels, collected)]
    order = _ascending(given)
    if queue == WRONG:
        doubtful = int((given[order] < DOUBTFUL).sum())
        order = order[: max(doubtful, AT_LEAST)]
        # With many classes, a label may be the most probable one and still be improbable.
        order = order[np.argsort(~disagrees(view)[order], kind="stable")]
    return [(int(i),) for i in order]


def disagrees(view: View) -> np.ndarray:
    """Bool (n,): pictures that are called something else than their label now."""
    return view.known & (view.labels >= 0) & (view.predicted != view.labels)


def cell(view: View, actual: int, predicted: int) -> list[tuple[int, ...]]:
    """The pictures of a cell of the confusion matrix, those with the least probable label first."""
    found = np.flatnonzero((view.labels == actual) & (view.predicted == predicted))
    return [(int(i),) for i in found[np.argsort(view.given_probability[found], kind="stable")]]


def confusion(view: View) -> np.ndarray:
    """Int64 (classes, classes): pictures by the label they have now (rows) and the class they were called."""
    counts = np.zeros((len(view.names), len(view.names)), dtype=np.int64)
    judged = view.known & (view.labels >= 0)
    np.add.at(counts, (view.labels[judged], view.predicted[judged]), 1)
    return counts


def confusions(view: View) -> list[tuple[int, int, int]]:
    """The labels that are called something else: (label now, what it was called, pictures), most frequent first."""
    counts = confusion(view)
    np.fill_diagonal(counts, 0)
    pairs = [(int(row), int(column), int(counts[row, column])) for row, column in zip(*np.nonzero(counts), strict=True)]
    return sorted(pairs, key=lambda pair: (-pair[2], pair[0], pair[1]))


def reason(queue: str, view: View, members: Sequence[int], index: int) -> str:
    """Why the picture at `index`, one of `members` shown together, is in a queue, in words."""
    record = view.records[index]
    if queue in {COPIES, CROSSING} and len(members) > 1:
        return _likeness(view, members, index)
    if view.claims[index]:
        return f"the same picture was collected as {' and as '.join(view.claims[index])}"
    if queue == JUNK:
        return "; ".join(f"{flag}: {QUALITY_FLAGS[flag]}" for flag in _flags_of(record))
    if queue == VISITORS:
        return str(record.title)
    if queue == STRANGERS:
        familiarity = view.familiarity[index]
        below = "below" if familiarity < view.threshold else "above"
        return f"familiarity {familiarity:.2f}, {below} the threshold {view.threshold:.2f}"
    given, predicted = view.given_probability[index], int(view.predicted[index])
    if predicted < 0:
        return "not evaluated by the last run"
    if np.isnan(given):
        return f"called {view.names[predicted]}, {percent(view.probabilities[index, predicted], 0, 'words')}"
    if queue == LOSSES:
        return f"loss {-np.log(max(float(given), 1e-12)):.2f}: {percent(given, 0, 'words')} for the label given"
    return f"{percent(given, 0, 'words')} for the label given"


def suggest(queue: str, view: View, members: Sequence[int], index: int) -> Suggestion | None:
    """What the model would do about a picture of a queue; None: nothing."""
    if queue == VISITORS:
        # The visitor's word stands until somebody says otherwise; it is nothing to accept in bulk.
        return None
    if queue in {JUNK, STRANGERS}:
        is_stranger = queue == JUNK or view.familiarity[index] < view.threshold
        return Suggestion(None) if is_stranger else None
    alive = [i for i in members if view.labels[i] >= 0]
    if queue == COPIES and len(alive) > 1:
        best = max(alive, key=lambda i: ((view.records[i].width or 0) * (view.records[i].height or 0), -i))
        # What only comes from the same page, or is alike by way of a third, is no copy of it.
        is_copy = index != best and _bits_apart(view, index, best) <= FAR_BITS
        return Suggestion(None) if is_copy else None
    predicted = int(view.predicted[index])
    if predicted < 0 or predicted == view.labels[index]:
        return None
    return Suggestion(view.names[predicted])


def _ascending(values: np.ndarray) -> np.ndarray:
    """Positions of the numbers among `values`, the smallest first."""
    numbers = np.flatnonzero(~np.isnan(values))
    return numbers[np.argsort(values[numbers], kind="stable")]


def _flags_of(record: Record) -> tuple[str, ...]:
    return tuple(flag for flag in record.flags if flag in QUALITY_FLAGS)


def _groups(view: View, crossing: bool) -> list[tuple[int, ...]]:
    """Near duplicates within a class, or those that cross classes and pictures that stand in two, largest first."""
    together: dict[int, list[int]] = {}
    for index, record in enumerate(view.records):
        if record.group is not None:
            together.setdefault(record.group, []).append(index)
    found = [tuple(members) for members in together.values() if len(members) > 1]
    in_two = [(index,) for index, claims in enumerate(view.claims) if claims] if crossing else []
    # By the labels they were collected with: what was settled a moment ago stays in its place.
    chosen = [m for m in found if (len({view.records[i].label for i in m}) > 1) == crossing]
    return in_two + sorted(chosen, key=lambda members: (-len(members), members))


def _likeness(view: View, members: Sequence[int], index: int) -> str:
    closest = min(_bits_apart(view, index, other) for other in members if other != index)
    record = view.records[index]
    pages = [view.records[i].page_url for i in members if i != index]
    if closest > FAR_BITS and record.page_url and record.page_url in pages:
        return "from the same page"
    also = " in another class" if len({view.records[i].label for i in members}) > 1 else ""
    return f"near duplicate{also}: {closest} of 64 bits of the perceptual hash differ"


def _bits_apart(view: View, one: int, other: int) -> int:
    """How many of 64 bits of their perceptual hashes differ, mirrored or not."""
    _, _, bits = next(near_pairs([view.records[one], view.records[other]], 64))
    return int(bits[0])
