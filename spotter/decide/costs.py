"""What mistakes cost, and what is best done about a picture.

A table has a row for each thing that may be true, and a column for each thing that may be done: to say one of the
labels, in the order of the rows, or to ask a person, which is last. A right answer costs nothing. The best is what
costs least on average over the probabilities of what is true (Bayes risk: Elkan, IJCAI 2001).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spotter.errors import BadCosts, did_you_mean
from spotter.names import clean_label

ASK, OTHER, AS = "ask", "other", " as "
# Of a mistake that nobody gave a price.
ONE = 1.0
# More than this of anything is a slip of the keyboard, and products of it would lose all digits.
MOST = 1e9


@dataclass(frozen=True)
class CostTable:
    """What it costs: `values[truth][done]`, a row for each label, and in each a number for each label and one more for
    asking, which is the same in every row."""

    labels: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]

    @property
    def ask(self) -> float:
        """What asking a person costs."""
        return self.values[0][-1]

    @property
    def actions(self) -> tuple[str, ...]:
        """What can be done, in the order of the columns."""
        return (*self.labels, ASK)

    def as_array(self) -> np.ndarray:
        """Float64 (labels, labels + 1), rows what is true."""
        return np.array(self.values, dtype=np.float64)

    def decide(self, probabilities: np.ndarray, familiar: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What costs least of each of some pictures, and what that costs on average.

        Of what costs the same, the first label is taken, and asking last. A picture that is not familiar is asked
        about: its probabilities are worth nothing.

        Args:
            probabilities: (n, labels), of what is true. familiar: bool (n,).

        Returns:
            Indexes into `actions`, int64 (n,), and expected costs, float64 (n,).
        """
        expected = np.asarray(probabilities, dtype=np.float64) @ self.as_array()
        done = np.where(familiar, expected.argmin(axis=1), len(self.labels))
        # Asking costs what it costs, whatever the probabilities add up to.
        expected[:, -1] = self.ask
        return done, expected[np.arange(len(done)), done]

    def price(self, truth: str | None, done: str) -> float | None:
        """What it costs to do something about a picture of `truth`; None where one of the two is not in the table."""
        if truth not in self.labels or done not in self.actions:
            return None
        return self.values[self.labels.index(truth)][self.actions.index(done)]

    def remark(self) -> str:
        """What is odd about the table, as a sentence; "" where nothing is."""
        table = self.as_array()
        for column, action in enumerate(self.actions):
            if not table[:, column].any():
                does = "ask a person" if action == ASK else f"say {action!r}"
                return f"By these costs it is always best to {does}: it never costs anything."
        if self.ask >= table[:, :-1].max():
            return "By these costs it is never best to ask a person: no mistake costs more."
        return ""


def make_costs(given: Mapping[str, Any], labels: Sequence[str]) -> CostTable | None:
    """Make a table of what was given: "black as teddy" (it is black, and teddy is said), "ask", and "other" for every
    other mistake (1 without it), each with a number. None where nothing was given.

    Raises:
        BadCosts: something is no cost of these labels, or it is not said what asking costs.
    """
    if not given:
        return None
    if ASK in labels:
        raise BadCosts(f"With costs, no class can be called {ASK!r}: that is what is done instead of an answer.")
    costs = {clean_label(key): _read_cost(key, value) for key, value in given.items()}
    if ASK not in costs:
        raise BadCosts(
            f'The costs do not say what asking a person costs; add --cost "{ASK}=1", or {ASK} = 1 in [costs].'
        )
    table = np.full((len(labels), len(labels) + 1), costs.get(OTHER, ONE))
    np.fill_diagonal(table, 0.0)
    table[:, -1] = costs[ASK]
    for key, cost in costs.items():
        if key not in {ASK, OTHER}:
            table[_read_mistake(key, labels)] = cost
    return CostTable(tuple(labels), tuple(tuple(row) for row in table.tolist()))


def read_cost_options(options: Sequence[str]) -> dict[str, float]:
    """Read `--cost` options, each "TRUTH as SAID=NUMBER", "ask=NUMBER" or "other=NUMBER".

    Raises:
        BadCosts: one is none, or is given twice.
    """
    found: dict[str, float] = {}
    for option in options:
        # A label holds no "=".
        key, _, number = option.partition("=")
        name = clean_label(key)
        if name in found:
            raise BadCosts(f"The cost of {name!r} is given twice.")
        try:
            found[name] = float(number)
        except ValueError as error:
            raise BadCosts(
                f'--cost {option!r} is not like "black as teddy=50" (it is black, and teddy is said) or "{ASK}=1".'
            ) from error
    return found


def _read_cost(key: str, value: Any) -> float:
    # True is a number too.
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        raise BadCosts(f"The cost of {key!r} must be a number, not {value!r}.")
    if not 0 <= value <= MOST:
        raise BadCosts(f"The cost of {key!r} must be from 0 to {MOST:,.0f}, not {value:g}.")
    return float(value)


def _read_mistake(key: str, labels: Sequence[str]) -> tuple[int, int]:
    """The row and the column of a mistake. A label may hold " as " itself."""
    parts = key.split(AS)
    pairs = [(AS.join(parts[:place]), AS.join(parts[place:])) for place in range(1, len(parts))]
    known = [pair for pair in pairs if set(pair) <= set(labels)]
    if len(known) > 1:
        raise BadCosts(f"The cost of {key!r} can be read in two ways; give one of the classes another name.")
    if known and known[0][0] == known[0][1]:
        raise BadCosts(f"The cost of {key!r} cannot be set: a right answer costs nothing.")
    if known:
        return labels.index(known[0][0]), labels.index(known[0][1])
    if not pairs:
        raise BadCosts(
            f'The cost of {key!r} is of nothing: write "TRUTH as SAID", with two of the labels '
            f"({', '.join(labels)}), {ASK!r} or {OTHER!r}."
        )
    wrong = next(name for name in pairs[0] if name not in labels) if len(pairs) == 1 else key
    guess = did_you_mean(wrong, labels) or "."
    raise BadCosts(f"The cost of {key!r} names {wrong!r}, which is no label; there are: {', '.join(labels)}{guess}")
