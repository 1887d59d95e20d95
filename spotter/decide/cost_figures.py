"""What decisions would have cost on pictures that the classifier did not see."""

from dataclasses import dataclass
from itertools import product

import numpy as np

from spotter.decide.costs import ASK, CostTable
from spotter.utils.text import plural

# Samples of a bootstrap.
SAMPLES = 2000


@dataclass(frozen=True)
class RuleCost:
    """What a rule costs a picture, with its 95 % interval, and how many pictures it asks a person about."""

    cost: float
    interval: tuple[float, float]
    asked: int


@dataclass(frozen=True)
class Mistake:
    """So many pictures of `truth` were called `done`, at `cost` in all."""

    truth: str
    done: str
    pictures: int
    cost: float


@dataclass(frozen=True)
class CostFigures:
    """Three rules on the same `pictures`: to say the most probable label, to do what costs least on average, and to ask
    always. The second asks about pictures that are not familiar, `unfamiliar` of these. `saved` is what the second
    costs less than the first, a picture, with its 95 % interval; `mistakes` are those that the second makes, the
    dearest first. `remark` says what is odd about the table, "" where nothing is.
    """

    pictures: int
    unfamiliar: int
    most_probable: RuleCost
    decision: RuleCost
    ask: RuleCost
    saved: float
    saved_interval: tuple[float, float]
    mistakes: tuple[Mistake, ...]
    remark: str

    def sentence(self) -> str:
        """The three rules in words."""
        low, high = self.decision.interval
        return (
            f"by what mistakes cost: {_number(self.decision.cost)} a picture for what costs least on average (95 % "
            f"interval {_number(low)} to {_number(high)}), which asks about {self.decision.asked} of {self.pictures} "
            f"({self.unfamiliar} unlike the training pictures); {_number(self.most_probable.cost)} for the most "
            f"probable label, and {_number(self.ask.cost)} for always asking"
        )

    def remaining(self) -> str:
        """Which mistakes remain, in words."""
        if not self.mistakes:
            return f"no mistake remains on these {plural(self.pictures, 'picture')}, which does not mean that none will"
        told = ", ".join(f"{each.pictures} {each.truth} as {each.done}" for each in self.mistakes[:6])
        return f"mistakes that remain: {told}{' …' if len(self.mistakes) > 6 else ''}"


def judge_costs(
    table: CostTable, probabilities: np.ndarray, familiar: np.ndarray, targets: np.ndarray, groups: np.ndarray
) -> CostFigures:
    """Price three rules on pictures that the classifier did not see.

    The intervals are from `SAMPLES` samples of the groups of near duplicates, as pictures of a group are right or wrong
    together (cluster bootstrap, with a fixed seed).

    Args:
        probabilities: (n, labels). familiar: bool (n,). targets: int64 (n,). groups: int64 (n,).
    """
    values, asking = table.as_array(), len(table.labels)
    done, _ = table.decide(probabilities, familiar)
    rules = (probabilities.argmax(axis=1), done, np.full(len(targets), asking))
    costs = np.stack([values[targets, rule] for rule in rules], axis=1)
    sampled = _resample(costs, groups)
    most_probable, decision, ask = (
        RuleCost(float(costs[:, number].mean()), _interval(sampled[:, number]), int((rule == asking).sum()))
        for number, rule in enumerate(rules)
    )
    return CostFigures(
        pictures=len(targets),
        unfamiliar=int((~familiar).sum()),
        most_probable=most_probable,
        decision=decision,
        ask=ask,
        saved=most_probable.cost - decision.cost,
        saved_interval=_interval(sampled[:, 0] - sampled[:, 1]),
        mistakes=_mistakes(table, done, targets),
        remark=table.remark() or _only(table, done),
    )


def _resample(costs: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Mean costs of samples: float64 (SAMPLES, rules)."""
    _, of = np.unique(groups, return_inverse=True)
    count = int(of.max()) + 1
    sums = np.stack([np.bincount(of, weights=column, minlength=count) for column in costs.T], axis=1)
    sizes = np.bincount(of, minlength=count)
    luck, means = np.random.default_rng(0), np.empty((SAMPLES, costs.shape[1]))
    for number in range(SAMPLES):
        chosen = luck.integers(count, size=count)
        means[number] = sums[chosen].sum(axis=0) / sizes[chosen].sum()
    return means


def _interval(sampled: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(sampled, (0.025, 0.975))
    return float(low), float(high)


def _mistakes(table: CostTable, done: np.ndarray, targets: np.ndarray) -> tuple[Mistake, ...]:
    count = len(table.labels)
    counts = np.zeros((count, count + 1), dtype=int)
    np.add.at(counts, (targets, done), 1)
    found = [
        Mistake(table.labels[truth], table.labels[said], int(counts[truth, said]), float(total))
        for truth, said in product(range(count), repeat=2)
        if truth != said and counts[truth, said]
        for total in [counts[truth, said] * table.values[truth][said]]
    ]
    return tuple(sorted(found, key=lambda each: (-each.cost, -each.pictures)))


def _only(table: CostTable, done: np.ndarray) -> str:
    """What is said where all pictures are treated alike."""
    if len(set(done.tolist())) > 1:
        return ""
    action = table.actions[int(done[0])]
    does = "ask a person" if action == ASK else f"say {action!r}"
    return f"By these costs it is best to {does} about each of these pictures, whatever it shows."


def _number(cost: float) -> str:
    return f"{cost:.3g}"
