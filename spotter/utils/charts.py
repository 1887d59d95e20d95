"""Charts in SVG: what the template `chart.html` needs to draw them, and charts over time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

# Fewer answers than this have no share or median worth a point.
FEWEST = 5
MOST_BINS = 60
# Of more, each is drawn smaller.
FEW_MARKS = 20
DAY_S = 86_400


@dataclass(frozen=True)
class Frame:
    """The viewBox of a chart and the margins around its plotting area, all in its units."""

    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int

    def across(self, share: float) -> float:
        """Where a share of the way from left to right lies."""
        return round(self.left + share * (self.width - self.left - self.right), 2)

    def upward(self, share: float) -> float:
        """Where a share of the way from the bottom to the top lies."""
        return round(self.height - self.bottom - share * (self.height - self.top - self.bottom), 2)

    def points(self, shares: Sequence[tuple[float, float]]) -> str:
        """The `points` attribute of a line or polygon through shares of the way across and upward."""
        return " ".join(f"{self.across(float(x))},{self.upward(float(y))}" for x, y in shares)


# For two axes with names, and for a chart over time.
WITH_AXES = Frame(420, 300, 54, 14, 14, 48)
OVER_TIME = Frame(420, 190, 52, 12, 10, 30)


@dataclass(frozen=True)
class Mark:
    """A point of a chart; `low` and `high` are the ends of its whisker; `words` say it."""

    x: float
    y: float
    words: str
    radius: float = 4
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Line:
    """A line of a chart: the `points` attribute of an SVG polyline, its class, and its name for the legend."""

    points: str
    style: str
    name: str = ""


@dataclass(frozen=True)
class Bar:
    """A bar from the bottom; `words` say it."""

    x: float
    y: float
    width: float
    height: float
    words: str


@dataclass(frozen=True)
class Chart:
    """A chart, in units of its frame. `says` is what it shows, in words.

    `across` and `upward` name the axes ("": they have no names), `bands` are the `points` of polygons, `ideal` is the
    height of a line to compare with (None: there is none), `flags` stand above moments in time, and `marks_name` is
    what the legend calls the marks.
    """

    frame: Frame
    says: str
    ticks_across: tuple[tuple[float, str], ...]
    ticks_upward: tuple[tuple[float, str], ...]
    title: str = ""
    across: str = ""
    upward: str = ""
    lines: tuple[Line, ...] = ()
    bands: tuple[str, ...] = ()
    bars: tuple[Bar, ...] = ()
    marks: tuple[Mark, ...] = ()
    marks_name: str = ""
    ideal: float | None = None
    flags: tuple[Mark, ...] = ()


def round_up(value: float, digits: Sequence[int] = (1, 2, 4, 6, 8)) -> float:
    """The next of some digits times a power of ten; 1 for what is not above 0.

    With the usual digits, half of it is a short number too.
    """
    if value <= 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(value))
    return next(float(digit * power) for digit in (*digits, 10) if digit * power >= value * (1 - 1e-9))


@dataclass(frozen=True)
class Bins:
    """Stretches of time of the same length: `edges` (n + 1,) in seconds since 1970, and the bin of each thing."""

    edges: np.ndarray
    of: np.ndarray

    @property
    def count(self) -> int:
        return len(self.edges) - 1

    def inside(self, number: int) -> np.ndarray:
        return self.of == number


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


def draw_bars(title: str, bins: Bins, flags: Sequence[tuple[int, str]] = ()) -> Chart:
    """Draw how many there are in each bin.

    Args:
        flags: when, in seconds since 1970, and what to say.
    """
    counts = np.bincount(bins.of, minlength=bins.count)
    top = round_up(float(counts.max()))
    left, upward = OVER_TIME.left, OVER_TIME.upward
    wide = (OVER_TIME.width - left - OVER_TIME.right) / bins.count
    bars = tuple(
        Bar(
            round(left + index * wide + 0.1 * wide, 2),
            upward(count / top),
            round(0.8 * wide, 2),
            round(upward(0) - upward(count / top), 2),
            f"{_when(bins, index)}: {count}",
        )
        for index, count in enumerate(counts.tolist())
    )
    says = f"{title}: between {counts.min()} and {counts.max()} in a stretch of time"
    return Chart(
        OVER_TIME,
        says,
        _across_ticks(bins),
        _upward_ticks(0, top, "{:.0f}"),
        title,
        bars=bars,
        flags=_flags(bins, flags),
    )


def draw_points(
    title: str,
    bins: Bins,
    points: Sequence[Point | None],
    form: str,
    flags: Sequence[tuple[int, str]] = (),
    ideal: float | None = None,
) -> Chart | None:
    """Draw a point and its interval for each bin that has one; None when there are none.

    Args:
        form: a format for the values of the axis. flags: when, in seconds since 1970, and what to say. ideal: a
            value to compare with.
    """
    runs = _runs(points)
    shown = [each for run in runs for each in run]
    if not shown:
        return None
    is_share = "%" in form
    low = 0.0 if is_share else min(point.low for _, point in shown)
    high = max([point.high for _, point in shown] + ([ideal] if ideal is not None else []))
    if is_share:
        high = min(1.0, round_up(high))
    elif ideal is not None:
        low = min(low, ideal)
    # Of figures that are all the same there is no scale.
    span = max(high - low, 0.01)

    def place(index: int, value: float) -> tuple[float, float]:
        return (index + 0.5) / bins.count, (value - low) / span

    long = [run for run in runs if len(run) > 1]
    lines = [Line(OVER_TIME.points([place(i, point.value) for i, point in run]), "curve") for run in long]
    bands = [
        OVER_TIME.points([place(i, point.low) for i, point in run] + [place(i, point.high) for i, point in run[::-1]])
        for run in long
    ]
    radius = 2.5 if len(shown) > FEW_MARKS else 4
    marks = []
    for index, point in shown:
        across, upward = place(index, point.value)
        words = f"{_when(bins, index)}: {point.words}"
        marks.append(Mark(OVER_TIME.across(across), OVER_TIME.upward(upward), words, radius))
    return Chart(
        OVER_TIME,
        f"{title}: {shown[0][1].words} at first, {shown[-1][1].words} at last",
        _across_ticks(bins),
        _upward_ticks(low, low + span, form),
        title,
        lines=tuple(lines),
        bands=tuple(bands),
        marks=tuple(marks),
        ideal=None if ideal is None else OVER_TIME.upward((ideal - low) / span),
        flags=_flags(bins, flags),
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


def _flags(bins: Bins, flags: Sequence[tuple[int, str]]) -> tuple[Mark, ...]:
    first, last = bins.edges[0], bins.edges[-1]
    return tuple(Mark(OVER_TIME.across((at - first) / (last - first)), OVER_TIME.top, words) for at, words in flags)


def _across_ticks(bins: Bins) -> tuple[tuple[float, str], ...]:
    first, last = int(bins.edges[0]), int(bins.edges[-1])
    form = "%H:%M" if last - first <= 2 * DAY_S else "%-d %b" if last - first < 300 * DAY_S else "%b %Y"
    # Not at the very ends, where a date would not fit.
    return tuple(
        (OVER_TIME.across(part), datetime.fromtimestamp(first + part * (last - first), UTC).strftime(form))
        for part in (0.1, 0.5, 0.9)
    )


def _upward_ticks(low: float, high: float, form: str) -> tuple[tuple[float, str], ...]:
    ticks = [(part, form.format(low + part * (high - low))) for part in (0.0, 0.5, 1.0)]
    return tuple((OVER_TIME.upward(part), words.replace("%", " %")) for part, words in ticks)


def _when(bins: Bins, index: int) -> str:
    form = "%-d %b %Y" if bins.edges[1] - bins.edges[0] >= DAY_S else "%-d %b %H:%M"
    return datetime.fromtimestamp(int(bins.edges[index]), UTC).strftime(form)
