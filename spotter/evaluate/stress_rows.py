"""What a stress test found: counts with Wilson intervals, which shift hurts most, and what to collect against it."""

import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from spotter.config import RELIABILITY_BINS, StressConfig
from spotter.decide.set_figures import SetCounts
from spotter.evaluate.shifts import SHIFTS
from spotter.utils.stats import calibration_error, wilson_interval
from spotter.utils.text import percent, plural

STRENGTH_NAMES = {0: "", 1: "moderate", 2: "strong"}
AS_THEY_ARE = "as they are"
# In pixels: of shifted pictures, which are to be looked at.
SHIFTED_SIDE = 128


@dataclass(frozen=True)
class Unseen:
    """Of `pictures` under a shift, by one look of a model that learnt from no views like it: right and answered, wrong
    and answered. `seen_right_answered` and `seen_wrong_answered` are the same of one that did, by one look too."""

    pictures: int
    right_answered: int
    wrong_answered: int
    seen_right_answered: int
    seen_wrong_answered: int


@dataclass(frozen=True)
class StressExample:
    """What was said of one picture (its `file` in the set) under a shift: `called` that, `probability` in [0, 1].

    `label` is what it is; `familiar` says whether it got an answer.
    """

    file: str
    label: str
    called: str
    probability: float
    familiar: bool


@dataclass(frozen=True)
class ShownShift:
    """A picture under a shift, to be looked at: `said` at each strength, with its name and the picture as a `data:`
    address; what it is, and where it is from, in words."""

    title: str
    label: str
    origin: str
    said: tuple[tuple[str, str, StressExample], ...]


@dataclass(frozen=True)
class StressRow:
    """What was said of `pictures` under a shift (a name of `SHIFTS`, or "clean") of a strength (0, 1 or 2).

    `wrong` are those whose most probable class is not theirs; `answered` got an answer instead of "not sure";
    `wrong_answered` are both. `calibration` is the expected calibration error. Of `blank` more, nothing was left.
    `unseen` is the same by a model that never saw such a shift; None where there is no such model. `example` is one of
    the pictures, the same at both strengths where that is possible. `sets` is what sets of labels were worth; None
    where there are none.
    """

    name: str
    strength: int
    pictures: int
    wrong: int
    answered: int
    wrong_answered: int
    calibration: float
    blank: int = 0
    unseen: Unseen | None = None
    example: StressExample | None = None
    sets: SetCounts | None = None

    @property
    def right_answered(self) -> int:
        return self.answered - self.wrong_answered

    @property
    def title(self) -> str:
        """Its name in words."""
        if self.name not in SHIFTS:
            return AS_THEY_ARE
        return f"{SHIFTS[self.name].title}, {STRENGTH_NAMES[self.strength]}"

    def share(self, count: int) -> float:
        """A count as a share of the pictures, in [0, 1]; NaN where there are none."""
        return count / self.pictures if self.pictures else float("nan")

    def intervals(self) -> dict[str, tuple[float, float]]:
        """The Wilson 95 % interval of each share, by its count; {} where there are no pictures."""
        names = ("wrong", "answered", "right_answered", "wrong_answered") if self.pictures else ()
        return {name: interval_of(self, getattr(self, name)) for name in names}

    def as_json(self) -> dict[str, Any]:
        """It as a row of `metrics.json`."""
        return asdict(self) | {"intervals": self.intervals()}

    def sentence(self) -> str:
        """What was answered, right and wrong, in words."""
        if not self.pictures:
            return "There was nothing to judge."
        right, wrong = (self._in_words(count) for count in (self.right_answered, self.wrong_answered))
        return f"Right and answered: {right}. Wrong and answered: {wrong}."

    def _in_words(self, count: int) -> str:
        low, high = (percent(end, 1, "words") for end in wilson_interval(count, self.pictures))
        share = percent(self.share(count), 1, "words")
        return f"{count} of {plural(self.pictures, 'picture')}, {share} (95 % interval {low} to {high})"


@dataclass(frozen=True)
class StressTest:
    """Held-out pictures as they are (`clean`), and under each shift."""

    clean: StressRow
    rows: tuple[StressRow, ...] = field(default=())

    def as_json(self) -> dict[str, Any]:
        """It as `metrics.json` has it."""
        return {"clean": self.clean.as_json(), "rows": [row.as_json() for row in self.rows]}

    @property
    def judged(self) -> tuple[StressRow, ...]:
        """The rows of shifts that left something of a picture."""
        return tuple(row for row in self.rows if row.pictures)

    @property
    def right_answered(self) -> float:
        """The share that was answered and right, the mean of the shifts."""
        return _mean([row.share(row.right_answered) for row in self.judged])

    @property
    def wrong_answered(self) -> float:
        """The share that was answered and wrong, the mean of the shifts."""
        return _mean([row.share(row.wrong_answered) for row in self.judged])

    def sentence(self, pictures: str = "held-out pictures") -> str:
        """What it says in one sentence.

        Args:
            pictures: what was judged, in words.
        """
        if not self.judged:
            return "under shifts, nothing was left to judge"
        return (
            f"under {plural(len({row.name for row in self.judged}), 'shift')}, right and answered on "
            f"{percent(self.right_answered, 0, 'words')} of {pictures} on average, wrong and answered on "
            f"{percent(self.wrong_answered, 1, 'words')} (as they are: "
            f"{percent(self.clean.share(self.clean.right_answered), 0, 'words')} and "
            f"{percent(self.clean.share(self.clean.wrong_answered), 1, 'words')})"
        )

    def unseen_sentence(self) -> str:
        """What models made of shifts that learnt from no views like them, beside those that did: of the same pictures,
        by one look. "" where there are none."""
        unseen = [row.unseen for row in self.judged if row.unseen and row.unseen.pictures]
        if not unseen:
            return ""

        def share(name: str) -> float:
            return _mean([getattr(each, name) / each.pictures for each in unseen])

        return (
            "by models that had learnt from no views like the shift they were judged by, right and answered on "
            f"{percent(share('right_answered'), 0, 'words')} of pictures on average, wrong and answered on "
            f"{percent(share('wrong_answered'), 1, 'words')} (with such views, on the same pictures in "
            f"{len(unseen)} of {plural(len(self.judged), 'row')} and by one look too: "
            f"{percent(share('seen_right_answered'), 0, 'words')} and "
            f"{percent(share('seen_wrong_answered'), 1, 'words')})"
        )

    def advice(self) -> str:
        """Which shift hurts most, and what to collect against it; "" where nothing does. Where that cannot be told, why
        not."""
        if not self.judged:
            return ""
        config, clean = StressConfig(), self.clean
        usual = clean.share(clean.right_answered)
        if usual <= config.hardly:
            return (
                "Even as they are, hardly any pictures are right and answered "
                f"({clean.right_answered} of {clean.pictures}), so this does not tell what shifts cost."
            )
        telling = [row for row in self.judged if row.pictures >= config.least]
        if not telling:
            return f"Fewer than {config.least} pictures do not tell which shift hurts most."
        worst = min(telling, key=lambda row: row.share(row.right_answered))
        # One wrong answer may be chance.
        risky = [row for row in telling if row.wrong_answered > 1]
        riskiest = max(risky, key=lambda row: row.share(row.wrong_answered), default=worst)
        least = worst.share(worst.right_answered)
        if least >= config.harmless * usual:
            return "No shift costs much."
        said = (
            f"The hardest shift is “{worst.title}”: {percent(least, 0, 'words')} right and answered. If your pictures "
            f"will be like that, collect {SHIFTS[worst.name].collect}."
        )
        if riskiest is not worst:
            said += (
                f" Wrong answers were most frequent under “{riskiest.title}”: {riskiest.wrong_answered} of "
                f"{plural(riskiest.pictures, 'picture')}."
            )
        return said


def count_row(name: str, strength: int, confidence: np.ndarray, right: np.ndarray, familiar: np.ndarray) -> StressRow:
    """Count what was said of some pictures.

    Args:
        confidence: (k,), the largest probability of each. right, familiar: bool (k,).
    """
    if not len(right):
        return StressRow(name, strength, 0, 0, 0, 0, 0.0)
    error = calibration_error(confidence, right, RELIABILITY_BINS)
    return StressRow(
        name, strength, len(right), int((~right).sum()), int(familiar.sum()), int((~right & familiar).sum()), error
    )


def rank_example(
    shift: str, sha256: str, wrong: Sequence[bool], familiar: Sequence[bool]
) -> tuple[int, bool, bool, int]:
    """The larger, the sooner a picture is shown for a shift: judged at more strengths, wrong and answered at one of
    them, refused at one of them.

    Args:
        wrong, familiar: at each strength that it was judged at.
    """
    is_harm = any(is_wrong and is_familiar for is_wrong, is_familiar in zip(wrong, familiar, strict=True))
    # Of equal ones not always the first: a set lies class by class.
    return len(wrong), is_harm, not all(familiar), zlib.crc32(f"{shift}/{sha256}".encode())


def interval_of(row: StressRow, count: int) -> tuple[float, float]:
    """The Wilson 95 % interval of a count of a row's pictures."""
    return wilson_interval(count, row.pictures)


def share_in_words(row: StressRow, count: int) -> str:
    """A count of a row's pictures as a share with its Wilson 95 % interval, for tables: "94.7 % (92.0 to 96.5)"."""
    low, high = interval_of(row, count)
    return f"{percent(row.share(count), 1, 'words')} ({100 * low:.1f} to {100 * high:.1f})"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("nan")
