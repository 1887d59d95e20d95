"""Drift detection: sequential tests over the answer log, all together on one budget of false alarms.

Each picture is ranked among those before it. As long as nothing changes, the ranks are independent and evenly spread,
whatever the pictures are: this is exact, needs no model of them, and holds for a short past too. A test bets against
it, on several kinds of change; what the bets win over all stretches that end now is the evidence. While nothing
changes, it is as much as there were pictures, on average, so on average it takes `quiet` pictures or more to reach
`quiet`; the tests divide that budget.

Sources: Vovk, Testing randomness online (Statistical Science 36, 2021); Shin, Ramdas, Rinaldo, E-detectors (New England
Journal of Statistics in Data Science 2, 2024), for the sum over stretches (Shiryaev-Roberts).
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from spotter.config import WatchConfig
from spotter.monitor.baseline import Published, Share
from spotter.monitor.log import Answers

# Each test's part of the budget. Shares need the most pictures to tell a change from chance: they have most of it.
BUDGET = {
    "labels": 0.4,
    "errors": 0.25,
    "unfamiliar": 0.1,
    "familiarity": 0.05,
    "pictures": 0.05,
    "probability": 0.03,
    "brightness": 0.03,
    "contrast": 0.03,
    "colourfulness": 0.03,
    "sharpness": 0.03,
}
# What is true of the pictures whatever model looks at them.
OF_PICTURES = ("brightness", "contrast", "colourfulness", "sharpness")
# By how much the odds of something may have changed, and how much of the stake goes on each.
ODDS = {
    "labels": {2.0: 0.4, 4.0: 0.2, 0.5: 0.3, 0.25: 0.1},
    "unfamiliar": {2.5: 0.3, 6.0: 0.4, 15.0: 0.3},
    "errors": {2.5: 0.2, 6.0: 0.3, 15.0: 0.3, 40.0: 0.2},
}
# A bet that so many of the pictures now lie beyond all but a share of those before: (that share, so many).
TAILS = ((0.02, 0.1), (0.02, 0.5), (0.1, 0.3), (0.1, 0.8), (0.35, 0.6))
# What counts as far out where a change is told.
FAR = 0.05
# Figures ranked at once.
TOGETHER = 512
# Pictures that a block is ranked among, at most and at least; and how far directions in which they hardly differ count.
COMPARED = 400
FEWEST_COMPARED = 200
SHRINKAGE = 0.1


@dataclass(frozen=True)
class Change:
    """An alert: what changed, when it was noticed, since about when, and by how much.

    `what` is a key of `BUDGET`, `label` the class that was said, where it is about one, `revision` "" for what is true
    of pictures whatever model looks at them. `number` and `at` are of the answer (for "errors" `number` is of the
    review) that gave it away, `since_number` and `since` of the first that seems changed. For "labels", "unfamiliar"
    and "errors", `before` and `after` are shares of answers; for the rest, `after` is the share of pictures that lie
    beyond all but `FAR` of those before, and `before` is None. `from_training`: it is compared with the published
    figures more than with earlier answers.
    """

    what: str
    label: str
    revision: str
    rose: bool
    number: int
    at: int
    since_number: int
    since: int
    before: Share | None
    after: Share
    from_training: bool = False


@dataclass(frozen=True)
class _Test:
    """`values` (n,) of the answers at `rows`, in their order, and a part of the budget. `past` came before them."""

    what: str
    label: str
    revision: str
    rows: np.ndarray
    values: np.ndarray
    budget: float
    past: np.ndarray


def find_changes(
    answers: Answers, published: Sequence[Published] = (), config: WatchConfig | None = None
) -> list[Change]:
    """Find the alerts that the answers gave, in the order in which they would have come.

    After an alert its test begins anew, so a change back is another alert. The same log gives the same alerts, and a
    log that went on gives the same ones and perhaps more.

    Args:
        published: what revisions were published with: their not-sure and wrong answers are compared with it.
    """
    config = config or WatchConfig()
    tests = _tests(answers, {each.revision: each for each in published})
    found = [_describe(answers, test, hit) for test in tests for hit in _watch(test, config)]
    return sorted(found, key=lambda change: (change.at, change.number, change.what, change.label))


def _tests(answers: Answers, published: dict[str, Published]) -> Iterator[_Test]:
    every, nothing = np.arange(len(answers)), np.empty(0)
    for what in OF_PICTURES:
        yield _Test(what, "", "", every, getattr(answers, what), BUDGET[what], nothing)
    for revision in np.unique(answers.revision).tolist():
        rows = np.flatnonzero(answers.revision == revision)
        mine, known = answers.take(rows), published.get(revision)
        labels = np.unique(mine.label).tolist()
        for label in labels:
            # As they are shown: a name that is not said is no alert.
            values = (mine.label == label) & mine.familiar
            yield _Test("labels", label, revision, rows, values, BUDGET["labels"] / len(labels), nothing)
        past = _past(Share(known.refused, known.pictures)) if known else nothing
        yield _Test("unfamiliar", "", revision, rows, ~mine.familiar, BUDGET["unfamiliar"], past)
        yield _Test("familiarity", "", revision, rows, mine.familiarity, BUDGET["familiarity"], nothing)
        yield _Test("probability", "", revision, rows, mine.probability, BUDGET["probability"], nothing)
        if mine.projection.shape[1]:
            places = ~np.isnan(mine.projection).any(axis=1)
            yield _Test("pictures", "", revision, rows[places], mine.projection[places], BUDGET["pictures"], nothing)
        # Who is told "not sure" is told nothing wrong.
        reviewed = np.flatnonzero((mine.review > 0) & mine.familiar)
        reviewed = reviewed[np.argsort(mine.review[reviewed])]
        wrong = mine.right[reviewed] != mine.label[reviewed]
        past = _past(known.wrong) if known else nothing
        yield _Test("errors", "", revision, rows[reviewed], wrong, BUDGET["errors"] / 2, past)
        for label in labels:
            # When people mean something else by one word, the errors are all there.
            called = mine.label[reviewed] == label
            past = _past(known.called[label]) if known and label in known.called else nothing
            budget = BUDGET["errors"] / 2 / len(labels)
            yield _Test("errors", label, revision, rows[reviewed[called]], wrong[called], budget, past)


def _past(share: Share) -> np.ndarray:
    return np.repeat([1.0, 0.0], [share.count, share.total - share.count])


@dataclass(frozen=True)
class _Hit:
    """Where a test noticed something (`end`), where that and its past begin, and what it was; `far` lie far out."""

    begin: int
    since: int
    end: int
    rose: bool
    far: int


def _watch(test: _Test, config: WatchConfig) -> Iterator[_Hit]:
    """What a test notices, one after the other."""
    threshold = np.log(config.quiet / test.budget)
    settle = config.settle_reviews if test.what == "errors" else config.settle
    luck = np.random.default_rng(zlib.crc32(f"{test.what} {test.label}".encode())).random(len(test.values))
    past, begin = test.past, 0
    while (first := begin + max(0, settle - len(past))) < len(test.values):
        ranks, bets, stakes = _bet(test.what, test.values[begin:], past, luck[begin:], config)
        ranks, bets = ranks[first - begin :], bets[first - begin :]
        won = np.cumsum(bets, axis=0)
        before = won - bets
        # Of each bet, what it has won over all stretches that end here.
        evidence = won + np.logaddexp.accumulate(-before, axis=0) + np.log(stakes)
        is_enough = np.logaddexp.reduce(evidence, axis=1) >= threshold
        if not is_enough.any():
            return
        end = int(is_enough.argmax())
        best = int(evidence[end].argmax())
        since = end - int(before[end::-1, best].argmin())
        rose = list(ODDS[test.what])[best] > 1 if test.what in ODDS else best < len(TAILS)
        since_then = ranks[since : end + 1]
        far = int((since_then < FAR if rose else since_then > 1 - FAR).sum())
        yield _Hit(begin, first + since, first + end, rose, far)
        begin, past = first + end + 1, test.past[:0]


def _bet(
    what: str, values: np.ndarray, past: np.ndarray, luck: np.ndarray, config: WatchConfig
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The ranks (n,) of values among those before them, the logarithms (n, bets) of what bets on them win, and the
    stakes (bets,), which sum to 1. High values have low ranks; where values are equal, `luck` decides.
    """
    if what in ODDS:
        ranks, edges = _rank_shares(values, past, luck, config.memory)
        odds = np.array(list(ODDS[what]))
        pays = 1 / (1 - edges[:, None] + odds * edges[:, None])
        wins = np.where(ranks[:, None] < edges[:, None], odds * pays, pays)
        return ranks, np.log(wins), np.array(list(ODDS[what].values()))
    if what == "pictures":
        ranks = _rank_places(values, luck, config)
        wins = _beyond(ranks)
    else:
        ranks = _rank_figures(values, luck, config.memory)
        wins = np.hstack([_beyond(ranks), _beyond(1 - ranks)])
    return ranks, np.log(wins), np.full(wins.shape[1], 1 / wins.shape[1])


def _beyond(ranks: np.ndarray) -> np.ndarray:
    """What each of the bets in `TAILS` pays at these ranks: (n, bets), 1 on average."""
    return np.stack([np.where(ranks < tail, 1 - part + part / tail, 1 - part) for tail, part in TAILS], axis=1)


def _rank_shares(values: np.ndarray, past: np.ndarray, luck: np.ndarray, memory: int) -> tuple[np.ndarray, np.ndarray]:
    """Ranks of yes (1) and no (0) among those before, and for each the edge between the two, known beforehand."""
    everything = np.concatenate([past, values]).astype(float)
    counted = np.concatenate([[0], np.cumsum(everything)])
    here = np.arange(len(past), len(everything))
    start = np.maximum(0, here - memory)
    yes, total = counted[here] - counted[start], here - start + 1.0
    ranks = np.where(values > 0, luck * (yes + 1), yes + luck * (total - yes)) / total
    return ranks, (yes + 0.5) / total


def _rank_figures(values: np.ndarray, luck: np.ndarray, memory: int) -> np.ndarray:
    """Ranks of figures among (about) the last `memory` before them."""
    ranks = np.empty(len(values))
    for start in range(0, len(values), TOGETHER):
        part = slice(start, start + TOGETHER)
        ranks[part] = _rank_among(np.sort(values[max(0, start - memory) : start]), values[part], luck[part])
    return ranks


def _rank_among(ordered: np.ndarray, values: np.ndarray, luck: np.ndarray) -> np.ndarray:
    """Ranks of values among `ordered` ones and those of their own kind before them."""
    earlier = np.tri(len(values), k=-1, dtype=bool)
    to_the_right = np.searchsorted(ordered, values, "right")
    above = len(ordered) - to_the_right + ((values > values[:, None]) & earlier).sum(axis=1)
    equal = (
        to_the_right - np.searchsorted(ordered, values, "left") + ((values == values[:, None]) & earlier).sum(axis=1)
    )
    return (above + luck * (equal + 1)) / (len(ordered) + np.arange(1, len(values) + 1))


def _rank_places(places: np.ndarray, luck: np.ndarray, config: WatchConfig) -> np.ndarray:
    """Ranks of pictures by how much they look like the latest rather than like those before: a domain classifier.

    Each block is judged by a linear discriminant of the `window` before it against every second picture of the past,
    and ranked among others of the past. It is a little less than exact, as blocks are ranked among the same ones.
    """
    ranks = luck.copy()
    width = places.shape[1]
    mean, products = np.zeros(width), np.zeros((width, width))
    counted = 0
    for start in range(config.settle, len(places), config.block):
        window = max(0, start - config.window)
        new = places[counted + counted % 2 : window : 2].astype(float)
        mean, products, counted = mean + new.sum(axis=0), products + new.T @ new, max(counted, window)
        others = places[1:window:2][-COMPARED:]
        if len(others) < FEWEST_COMPARED:
            continue
        middle = mean / ((counted + 1) // 2)
        spread = products / ((counted + 1) // 2) - np.outer(middle, middle)
        # Copies of one picture do not spread at all.
        spread += (SHRINKAGE * np.trace(spread) / width + 1e-9) * np.eye(width)
        direction = np.linalg.solve(spread, places[window:start].mean(axis=0) - middle)
        part = slice(start, start + config.block)
        ranks[part] = _rank_among(np.sort(others @ direction), places[part] @ direction, luck[part])
    return ranks


def _describe(answers: Answers, test: _Test, hit: _Hit) -> Change:
    past = test.past if hit.begin == 0 else test.past[:0]
    before, after = None, Share(hit.far, hit.end + 1 - hit.since)
    if test.what in ODDS:
        before = _count(np.concatenate([past, test.values[hit.begin : hit.since]]))
        after = _count(test.values[hit.since : hit.end + 1])
    numbers = answers.review if test.what == "errors" else answers.number
    first, last = test.rows[hit.since], test.rows[hit.end]
    return Change(
        what=test.what,
        label=test.label,
        revision=test.revision,
        rose=hit.rose,
        number=int(numbers[last]),
        # Reviews come in another order than the answers they are about.
        at=int(answers.at[test.rows[: hit.end + 1]].max()),
        since_number=int(numbers[first]),
        since=int(answers.at[first]),
        before=before,
        after=after,
        from_training=hit.since - hit.begin < len(past),
    )


def _count(values: np.ndarray) -> Share:
    return Share(int(values.sum()), len(values))
