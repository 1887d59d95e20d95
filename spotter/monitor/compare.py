"""Comparison of periods: the answers of one beside those of the one before and beside training.

These are comparisons to look at, each time at this moment. What has to be acted on is told by `drift.find_changes`,
which may be looked at as often as one likes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from spotter.image_stats import BLURRED, DARK, GREY, REAL, SMALL
from spotter.monitor.baseline import Published, Share, Training
from spotter.monitor.log import Answers
from spotter.utils.stats import above_normal, discriminate, exact_half, exact_shares, ranked_above, same_figures

DAY_S = 86_400
FIGURES = ("familiarity", "probability", "brightness", "contrast", "colourfulness", "sharpness")
# Pictures of each side that a classifier learns to tell apart, at most and at least.
MOST_COMPARED, FEWEST_COMPARED = 1000, 40
BINS = (0.0, 0.5, 0.7, 0.9, 0.97, 1.0)


@dataclass(frozen=True)
class Middle:
    """The median of `total` figures, with its 95 % interval from the order of the figures."""

    value: float
    interval: tuple[float, float]
    total: int


@dataclass(frozen=True)
class Difference:
    """How improbable it is by chance (corrected, in [0, 1]), and how many times as much it is now (None: no share)."""

    chance: float
    times: float | None = None

    @property
    def word(self) -> str:
        """What to call it; "" when it may be chance."""
        if self.chance > REAL:
            return ""
        if self.times is None or 0.5 < self.times < 2:
            return "changed"
        return "doubled" if self.times >= 2 else "halved"


@dataclass(frozen=True)
class Row:
    """One thing in this period, in the one before, and in training; None where it is not known."""

    what: str
    label: str
    now: Share | Middle | None
    before: Share | Middle | None
    training: Share | Middle | None
    since_before: Difference | None
    since_training: Difference | None


@dataclass(frozen=True)
class Apart:
    """How well a classifier tells two sets of pictures apart: 0.5 not at all, 1 always; `chance` as in `Difference`."""

    area: float
    chance: float


@dataclass(frozen=True)
class Slice:
    """Answers of one kind: how many were not sure, and of those that named something and were reviewed how many were
    wrong (None: there are none).

    `chance` is how probable it is that the error is not higher than that of the rest, corrected for the slices.
    """

    name: str
    unfamiliar: Share
    wrong: Share | None
    chance: float


@dataclass(frozen=True)
class Reviewed:
    """What the reviews say: errors, and how often answers of about one probability were right.

    `bins` are (mean probability, right ones); `chance` is how improbable the right answers are if the probabilities
    are true, and `gap` the mean probability less the share of right ones.
    """

    wrong: Share
    gap: float
    chance: float
    bins: tuple[tuple[float, Share], ...]


@dataclass(frozen=True)
class Duel:
    """The answers of a revision beside those of a challenger about the same pictures, whether sure of them or not.

    `agreed` counts all pictures; of the reviewed ones, `right` and `challenger_right` count who was right, and `only`
    and `challenger_only` the pictures where just one of the two was. `chance` is how improbable these two are if both
    err equally often: McNemar's exact test (Psychometrika 12, 1947); 1 where there are none.
    """

    revision: str
    challenger: str
    agreed: Share
    right: Share | None
    challenger_right: Share | None
    only: int
    challenger_only: int
    chance: float


def duels(answers: Answers) -> list[Duel]:
    """Compare each revision with each challenger that was asked about the same pictures."""
    pairs = np.stack([answers.revision, answers.challenger], axis=1)[answers.challenger != ""]
    found = []
    for revision, challenger in np.unique(pairs, axis=0).tolist() if len(pairs) else ():
        both = answers.take((answers.revision == revision) & (answers.challenger == challenger))
        seen = both.take(both.review > 0)
        mine, other = seen.label == seen.right, seen.challenger_label == seen.right
        only, challenger_only = int((mine & ~other).sum()), int((other & ~mine).sum())
        different = only + challenger_only
        found.append(
            Duel(
                revision,
                challenger,
                Share(int((both.label == both.challenger_label).sum()), len(both)),
                Share(int(mine.sum()), len(seen)) if len(seen) else None,
                Share(int(other.sum()), len(seen)) if len(seen) else None,
                only,
                challenger_only,
                exact_half(only, different) if different else 1.0,
            )
        )
    return found


def periods(answers: Answers, days: float) -> tuple[Answers, Answers]:
    """The answers of the last `days` before the newest answer, and those of as many days before.

    What a clock that ran ahead wrote down as much later than the newest answer belongs to neither.
    """
    last = int(answers.at[-1]) if len(answers) else 0
    age = last - answers.at
    return answers.take(np.abs(age) < days * DAY_S), answers.take((age >= days * DAY_S) & (age < 2 * days * DAY_S))


def compare_periods(now: Answers, before: Answers, training: Training | None) -> list[Row]:
    """Compare each share and figure of `now`; differences are corrected for the number of rows."""
    sides = list(_sides(now, before, training))
    since_before = _differences([(side.now, side.before) for side in sides])
    since_training = _differences([(side.now, side.training) for side in sides])
    return [
        Row(side.what, side.label, _summary(side.now), _summary(side.before), _summary(side.training), first, second)
        for side, first, second in zip(sides, since_before, since_training, strict=True)
    ]


def tell_apart(first: np.ndarray, second: np.ndarray) -> Apart | None:
    """How well a linear classifier tells pictures apart by their places (n, k) and (m, k); None when there are few."""
    sides = [places[~np.isnan(places).any(axis=1)] for places in (first, second)]
    widths = {side.shape[1] for side in sides}
    if min(len(side) for side in sides) < FEWEST_COMPARED or len(widths) > 1 or 0 in widths:
        return None
    sides = [side[np.linspace(0, len(side) - 1, min(len(side), MOST_COMPARED)).astype(int)] for side in sides]
    places, is_first = np.concatenate(sides), np.repeat([1, 0], [len(side) for side in sides])
    scores = discriminate(places, is_first)
    return Apart(*ranked_above(scores[is_first == 1], scores[is_first == 0]))


def busier(now: int, before: int) -> Difference | None:
    """How the number of answers in this period compares with that in the one before, which was as long."""
    if not before:
        return None
    return Difference(exact_half(now, now + before), now / before)


def judge_reviews(answers: Answers) -> Reviewed | None:
    """What the reviewed answers that named something say; None when there are none."""
    seen = answers.take((answers.review > 0) & answers.familiar)
    if not len(seen):
        return None
    is_right = seen.right == seen.label
    spread = float(np.sqrt((seen.probability * (1 - seen.probability)).sum()))
    gap = float((seen.probability - is_right).sum())
    chance = 2 * above_normal(abs(gap) / spread) if spread else float(gap == 0)
    edges = np.digitize(seen.probability, BINS[1:-1], right=True)
    bins = tuple(
        (float(seen.probability[edges == edge].mean()), _share(is_right[edges == edge])) for edge in np.unique(edges)
    )
    return Reviewed(_share(~is_right), gap / len(seen), chance, bins)


def slices(answers: Answers) -> list[Slice]:
    """Judge the answers by what the pictures are like, how they came, and what was said."""
    kinds = {
        "dark": answers.brightness < DARK,
        "blurred": answers.sharpness < BLURRED,
        "black and white": answers.colourfulness < GREY,
        "small": (answers.side > 0) & (answers.side < SMALL),
    }
    kinds |= {f"from {route}": answers.route == route for route in np.unique(answers.route).tolist() if route}
    kinds |= {f"called {label}": answers.label == label for label in np.unique(answers.label).tolist()}
    is_reviewed = (answers.review > 0) & answers.familiar
    is_wrong = is_reviewed & (answers.right != answers.label)
    shown = {name: inside for name, inside in kinds.items() if inside.any()}
    wrong = [_share(is_wrong[inside & is_reviewed]) for inside in shown.values()]
    rest = [_share(is_wrong[~inside & is_reviewed]) for inside in shown.values()]
    chances = _holm([_exact(a, b, is_greater=True) for a, b in zip(wrong, rest, strict=True)])
    return [
        Slice(name, _share(~answers.familiar[inside]), of if of.total else None, chance)
        for (name, inside), of, chance in zip(shown.items(), wrong, chances, strict=True)
    ]


def middle(figures: np.ndarray) -> Middle:
    """The median of figures and its interval, from their order alone."""
    ordered, total = np.sort(figures), len(figures)
    reach = 0.98 * np.sqrt(total)
    low, high = int(max(0, np.floor(total / 2 - reach))), int(min(total - 1, np.ceil(total / 2 + reach)))
    return Middle(float(np.median(ordered)), (float(ordered[low]), float(ordered[high])), total)


# Figures, yes or no for each answer, or only how many.
Seen = np.ndarray | Share


@dataclass(frozen=True)
class _Sides:
    what: str
    label: str
    now: Seen
    before: Seen
    training: Seen


def _sides(now: Answers, before: Answers, training: Training | None) -> Iterator[_Sides]:
    of = training.published if training else Published("", 0, 0, {})
    called = {label: share.total for label, share in of.called.items()}
    for label in sorted({*np.unique(now.label).tolist(), *np.unique(before.label).tolist(), *called}):
        trained = Share(called.get(label, 0), sum(called.values()))
        # Of the answers that named something.
        named, earlier = now.label[now.familiar] == label, before.label[before.familiar] == label
        yield _Sides("labels", label, named, earlier, trained)
    yield _Sides("unfamiliar", "", ~now.familiar, ~before.familiar, Share(of.refused, of.pictures))
    figures = training.figures if training else {}
    for name in FIGURES:
        yield _Sides(name, "", getattr(now, name), getattr(before, name), figures.get(name, np.empty(0)))


def _summary(seen: Seen) -> Share | Middle | None:
    share = _share(seen) if isinstance(seen, np.ndarray) and seen.dtype == bool else seen
    if isinstance(share, Share):
        return share if share.total else None
    return middle(share) if len(share) else None


def _differences(pairs: Sequence[tuple[Seen, Seen]]) -> list[Difference | None]:
    found = [_difference(*pair) for pair in pairs]
    chances = iter(_holm([each.chance for each in found if each]))
    return [each and Difference(next(chances), each.times) for each in found]


def _difference(now: Seen, other: Seen) -> Difference | None:
    first, second = _summary(now), _summary(other)
    if isinstance(first, Share) and isinstance(second, Share):
        # Of something that was never seen before, one more is not many times as much.
        return Difference(_exact(first, second), first.value * second.total / max(second.count, 1))
    if first is None or second is None or isinstance(now, Share) or isinstance(other, Share):
        return None
    return Difference(same_figures(now, other))


def _exact(first: Share, second: Share, *, is_greater: bool = False) -> float:
    return exact_shares((first.count, first.total), (second.count, second.total), is_greater=is_greater)


def _holm(chances: Sequence[float]) -> list[float]:
    """Correct probabilities for their number. Source: Holm, Scandinavian Journal of Statistics 6 (1979) 65."""
    order = np.argsort(chances)
    factors = len(chances) - np.arange(len(chances))
    corrected = np.minimum(1, np.maximum.accumulate(np.array(chances)[order] * factors)) if len(order) else order
    return np.asarray(corrected)[np.argsort(order)].tolist()


def _share(values: np.ndarray) -> Share:
    return Share(int(values.sum()), len(values))
