"""Charts over time, as what a template needs to draw them in SVG."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

WIDTH, HEIGHT = 420, 190
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 10, 30
# Fewer answers than this have no share or median worth a point.
FEWEST = 5
MOST_BINS = 60
DAY_S = 86_400


@dataclass(frozen=True)
class Bins:
    """Stretches of time of the same length: `edges` (n + 1,) in seconds since 1970, and the bin of each answer."""

    edges: np.ndarray
    of: np.ndarray

    @property
    def count(self) -> int:
        return len(self.edges) - 1

    def inside(self, number: int) -> np.ndarray:
        return self.of == number


@dataclass(frozen=True)
class Bar:
    """A bar from the bottom, in units of the chart's viewBox; `words` say it."""

    x: float
    y: float
    width: float
    height: float
    words: str


@dataclass(frozen=True)
class Dot:
    """A point; `words` say it."""

    x: float
    y: float
    words: str


@dataclass(frozen=True)
class TimeChart:
    """A chart over time, in units of its viewBox: polygons around lines, or bars. `says` is what it shows, in words.

    `ideal` is the height of a line to compare with (None: there is none), `marks` are where alerts were raised.
    """

    title: str
    says: str
    ticks_across: tuple[tuple[float, str], ...]
    ticks_upward: tuple[tuple[float, str], ...]
    lines: tuple[str, ...] = ()
    bands: tuple[str, ...] = ()
    dots: tuple[Dot, ...] = ()
    bars: tuple[Bar, ...] = ()
    ideal: float | None = None
    marks: tuple[Dot, ...] = ()


@dataclass(frozen=True)
class Point:
    """What is shown of one bin: a value and an interval around it."""

    value: float
    low: float
    high: float
    words: str


def cut(at: np.ndarray) -> Bins:
    """Cut the time of answers (at least one) into days, or into shorter or longer stretches."""
    # Not the first and last: a clock may have been set back.
    first, last = int(at.min()), int(at.max()) + 1
    lengths = (60, 600, 3600, 6 * 3600, DAY_S, 2 * DAY_S, 7 * DAY_S, 14 * DAY_S, 28 * DAY_S, 84 * DAY_S)
    length = next((each for each in lengths if (last - first) / each <= MOST_BINS), lengths[-1])
    begin = first - first % length
    edges = np.arange(begin, last + length, length)
    return Bins(edges, (at - begin) // length)


def draw_bars(title: str, bins: Bins, marks: Sequence[tuple[int, str]] = ()) -> TimeChart:
    """Draw how many answers there were in each bin."""
    counts = np.bincount(bins.of, minlength=bins.count)
    top = _round_up(float(counts.max()))
    wide = (WIDTH - LEFT - RIGHT) / bins.count
    bars = tuple(
        Bar(
            round(LEFT + index * wide + 0.1 * wide, 2),
            _upward(count / top),
            round(0.8 * wide, 2),
            round(_upward(0) - _upward(count / top), 2),
            f"{_when(bins, index)}: {count}",
        )
        for index, count in enumerate(counts.tolist())
    )
    says = f"{title}: between {counts.min()} and {counts.max()} in a stretch of time"
    return TimeChart(
        title, says, _across_ticks(bins), _upward_ticks(0, top, "{:.0f}"), bars=bars, marks=_marks(bins, marks)
    )


def draw_points(
    title: str,
    bins: Bins,
    points: Sequence[Point | None],
    form: str,
    marks: Sequence[tuple[int, str]] = (),
    ideal: float | None = None,
) -> TimeChart | None:
    """Draw a point and its interval for each bin that has one; None when there are none.

    Args:
        form: a format for the values of the axis. ideal: a value to compare with.
    """
    runs = _runs(points)
    shown = [each for run in runs for each in run]
    if not shown:
        return None
    is_share = "%" in form
    low = 0.0 if is_share else min(point.low for _, point in shown)
    high = max([point.high for _, point in shown] + ([ideal] if ideal is not None else []))
    if is_share:
        high = min(1.0, _round_up(high))
    elif ideal is not None:
        low = min(low, ideal)
    # Of figures that are all the same there is no scale.
    span = max(high - low, 0.01)

    def place(index: int, value: float) -> str:
        return f"{_across((index + 0.5) / bins.count)},{_upward((value - low) / span)}"

    lines = [" ".join(place(index, point.value) for index, point in run) for run in runs if len(run) > 1]
    bands = [
        " ".join([place(i, point.low) for i, point in run] + [place(i, point.high) for i, point in reversed(run)])
        for run in runs
        if len(run) > 1
    ]
    dots = [
        Dot(
            _across((index + 0.5) / bins.count),
            _upward((point.value - low) / span),
            f"{_when(bins, index)}: {point.words}",
        )
        for index, point in shown
    ]
    says = f"{title}: {shown[0][1].words} at first, {shown[-1][1].words} at last"
    return TimeChart(
        title,
        says,
        _across_ticks(bins),
        _upward_ticks(low, low + span, form),
        lines=tuple(lines),
        bands=tuple(bands),
        dots=tuple(dots),
        ideal=None if ideal is None else _upward((ideal - low) / span),
        marks=_marks(bins, marks),
    )


def _runs(points: Sequence[Point | None]) -> list[list[tuple[int, Point]]]:
    """Unbroken stretches of points, each with its bin."""
    runs: list[list[tuple[int, Point]]] = [[]]
    for index, point in enumerate(points):
        if point:
            runs[-1].append((index, point))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _marks(bins: Bins, marks: Sequence[tuple[int, str]]) -> tuple[Dot, ...]:
    first, last = bins.edges[0], bins.edges[-1]
    return tuple(Dot(_across((at - first) / (last - first)), TOP, words) for at, words in marks)


def _across_ticks(bins: Bins) -> tuple[tuple[float, str], ...]:
    first, last = int(bins.edges[0]), int(bins.edges[-1])
    form = "%H:%M" if last - first <= 2 * DAY_S else "%-d %b" if last - first < 300 * DAY_S else "%b %Y"
    # Not at the very ends, where a date would not fit.
    return tuple(
        (_across(part), datetime.fromtimestamp(first + part * (last - first), UTC).strftime(form))
        for part in (0.1, 0.5, 0.9)
    )


def _upward_ticks(low: float, high: float, form: str) -> tuple[tuple[float, str], ...]:
    return tuple((_upward(part), form.format(low + part * (high - low)).replace("%", " %")) for part in (0.0, 0.5, 1.0))


def _when(bins: Bins, index: int) -> str:
    form = "%-d %b %Y" if bins.edges[1] - bins.edges[0] >= DAY_S else "%-d %b %H:%M"
    return datetime.fromtimestamp(int(bins.edges[index]), UTC).strftime(form)


def _across(share: float) -> float:
    return round(LEFT + share * (WIDTH - LEFT - RIGHT), 2)


def _upward(share: float) -> float:
    return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 2)


def _round_up(value: float) -> float:
    """The next of 1, 2, 4, 6, 8 times a power of ten, so that half of it is a short number too."""
    if value <= 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(value))
    return next(float(digit * power) for digit in (1, 2, 4, 6, 8, 10) if digit * power >= value * (1 - 1e-9))
