"""What to expect of a camera before it is put up: false alarms and missed animals a month, with intervals.

A simulation. It draws how often the model errs from what its test could tell of that (a beta distribution, with
Jeffreys' prior), then how many pictures of a month go wrong. The intervals hold both: few test pictures make them wide.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spotter.errors import NothingToForecast, did_you_mean

DRAWS = 20_000
SEED = 20
LEVELS = (0.025, 0.975)


@dataclass(frozen=True)
class Rate:
    """Of `total` test pictures `count` went one way."""

    count: int
    total: int

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """What the true share may be: (DRAWS,) in [0, 1]."""
        return rng.beta(self.count + 0.5, self.total - self.count + 0.5, DRAWS)


@dataclass(frozen=True)
class Expected:
    """A number a month: its mean, and between which two it lies in 95 of 100 months."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Forecast:
    """What to expect under some conditions: of the pictures that show a subject, those without a right answer, and
    among these the wrong answers; and false alarms, None where nobody knows how strangers are judged."""

    conditions: str
    missed: Expected
    wrong: Expected
    false_alarms: Expected | None


def published_rate(metrics: Mapping[str, Any]) -> Rate | None:
    """How many of the strangers that a revision was judged on got an answer; None where there were none."""
    strangers = metrics.get("strangers")
    if not isinstance(strangers, dict):
        return None
    return Rate(int(strangers["pictures"]) - int(strangers["refused"]), int(strangers["pictures"]))


def forecast(
    metrics: Mapping[str, Any],
    empty: float,
    subjects: float,
    days: float,
    shifts: Sequence[str],
    strangers: Rate | None,
) -> list[Forecast]:
    """Simulate months of a camera with so many `empty` pictures and `subjects` a day.

    Args:
        metrics: `metrics.json` of a revision. shifts: names of shifts that the camera will meet; all when empty.
        strangers: of pictures that show nothing of the classes, those that got an answer all the same.

    Returns:
        One for pictures like those that were collected, and one for shifted ones.

    Raises:
        NothingToForecast: the revision has no stress test, or knows no such shift.
    """
    stress = metrics.get("stress")
    if not stress:
        raise NothingToForecast("The revision has no stress test to make a forecast of; train it again.")
    known = list(dict.fromkeys(row["name"] for row in stress["rows"]))
    for name in shifts:
        if name not in known:
            raise NothingToForecast(
                f"There is no shift {name!r}, only {', '.join(known)}{did_you_mean(name, known) or '.'}"
            )
    rows = [row for row in stress["rows"] if not shifts or row["name"] in shifts]
    conditions = [("as collected", [stress["clean"]]), (", ".join(shifts) or "all shifts of the stress test", rows)]
    found = []
    for words, some in conditions:
        total = sum(row["pictures"] for row in some)
        if not total:
            raise NothingToForecast("The stress test of the revision judged no pictures.")
        wrong = Rate(sum(row["wrong_answered"] for row in some), total)
        answered = sum(row["answered"] for row in some)
        missed = Rate(total - answered + wrong.count, total)
        found.append(
            Forecast(
                words,
                _expect(missed, subjects * days),
                _expect(wrong, subjects * days),
                _expect(strangers, empty * days) if strangers else None,
            )
        )
    return found


def _expect(rate: Rate, pictures: float) -> Expected:
    """The number of pictures that go one way, of so many a month on average."""
    rng = np.random.default_rng(SEED)
    numbers = rng.poisson(rate.draw(rng) * pictures)
    low, high = np.quantile(numbers, LEVELS)
    return Expected(float(numbers.mean()), float(low), float(high))
