"""The monitoring report: what the answer log says, as an offline page. No scipy, no scikit-learn: the app makes it."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from spotter.config import ReportConfig, WatchConfig
from spotter.errors import LogUnreadable, LogUnwritable, RevisionMissing
from spotter.image_stats import REAL
from spotter.monitor.alerts import URGENCY, advice, sentence
from spotter.monitor.baseline import Published, Share, Training, read_published, read_training
from spotter.monitor.compare import (
    DAY_S,
    FIGURES,
    Apart,
    Difference,
    Duel,
    Middle,
    Reviewed,
    Row,
    Slice,
    busier,
    compare_periods,
    duels,
    judge_reviews,
    periods,
    slices,
    tell_apart,
)
from spotter.monitor.drift import Change, find_changes
from spotter.monitor.log import Answers, read_answers
from spotter.utils.charts import (
    FEWEST,
    Bins,
    Chart,
    Point,
    cut,
    draw_bars,
    draw_points,
)
from spotter.utils.files import write_atomically
from spotter.utils.templates import render_template
from spotter.utils.text import plural, short_percent

DAYS = ReportConfig.days
# Alerts that came within so many answers of one another are told together.
TOGETHER = 300
SHOWN_ALERTS = 40
SHOWN_LABELS = 12
# With fewer reviews than this, an error is hardly known.
FEW_REVIEWS = 50


@dataclass(frozen=True)
class Findings:
    """All that a report tells: `now` and `before` are the answers of the last two periods of `days` days; `unknown`
    are revisions that are not in the store."""

    answers: Answers
    now: Answers
    before: Answers
    days: float
    changes: tuple[Change, ...]
    training: Training | None
    rows: tuple[Row, ...]
    volume: Difference | None
    from_before: Apart | None
    from_training: Apart | None
    reviewed: Reviewed | None
    slices: tuple[Slice, ...]
    unknown: tuple[str, ...]
    duels: tuple[Duel, ...] = ()

    @property
    def revision(self) -> str:
        """That of the newest answer."""
        return str(self.answers.revision[-1])

    @property
    def news(self) -> list[Change]:
        """The alerts of the last two periods, the most urgent first."""
        recent = [change for change in self.changes if self.is_new(change)]
        return sorted(recent, key=lambda change: (URGENCY.index(change.what), -change.at))

    def is_new(self, change: Change) -> bool:
        """Whether an alert is of the last two periods."""
        # One of a clock that ran ahead would be new for ever.
        return abs(int(self.answers.at[-1]) - change.at) <= 2 * self.days * DAY_S


def gather(
    log: Path,
    store: str | None = None,
    days: float = DAYS,
    read: Callable[[str, Published], Training] = read_training,
) -> Findings:
    """Find out what the answer log in a folder says.

    Args:
        store: where its revisions were published; None: nothing is compared with training.
        read: reads of the training of a revision in the store what can be known of it here.

    Raises:
        LogUnreadable: there is none, it is damaged, or nothing was answered yet.
        UnknownStore, AccessRefused, StoreUnreachable, BrokenModel: the store cannot be read.
    """
    answers = read_answers(log)
    if not len(answers):
        raise LogUnreadable(f"The answer log in {str(log)!r} has no answers yet.")
    revisions = np.unique(answers.revision).tolist()
    known = _published(store, revisions) if store else []
    newest = str(answers.revision[-1])
    training = next((read(str(store), each) for each in known if each.revision == newest), None)
    now, before = periods(answers, days)
    # A model is judged by its own answers; what pictures look like is judged by all.
    mine = now.take(now.revision == newest)
    same = before.take(before.revision == newest)
    return Findings(
        answers,
        now,
        before,
        days,
        tuple(find_changes(answers, known)),
        training,
        tuple(compare_periods(mine, same, training)),
        busier(len(now), len(before)) if len(answers) > len(now) else None,
        tell_apart(mine.projection, same.projection),
        tell_apart(mine.projection, training.places) if training else None,
        judge_reviews(mine),
        tuple(slices(mine)),
        tuple(sorted({*revisions} - {each.revision for each in known})) if store else (),
        tuple(duels(answers)),
    )


def render(log: Path, store: str | None = None, days: float = DAYS) -> str:
    """The report over the answer log in a folder as HTML, with everything inside.

    Raises:
        As `gather`.
    """
    return fill_in(gather(log, store, days))


def fill_in(findings: Findings) -> str:
    """The report as HTML."""
    bins, groups = cut(findings.answers.at), _groups(findings)
    opened = [group for group in groups if any(findings.is_new(change) for change in group)]
    past = [group for group in groups if group not in opened]
    functions: dict[str, Callable[..., Any]] = {
        "percent": lambda share: _tied(short_percent(share)),
        "sentence": lambda change: _tied(sentence(change)),
        "advice": advice,
        "day": _day,
        "summary": _summary,
        "name": _name,
        "share": _share,
    }
    return render_template(
        "monitor",
        "monitor.html",
        **functions,
        findings=findings,
        advice_now=_tied(advise(findings)),
        is_alarm=bool(findings.news),
        open_groups=opened,
        past_groups=past[:SHOWN_ALERTS],
        more_groups=max(0, len(past) - SHOWN_ALERTS),
        charts=_charts(findings, bins),
        quiet=WatchConfig.quiet,
        settle=WatchConfig.settle,
        real=REAL,
    )


def advise(findings: Findings) -> str:
    """What to do now, in one sentence."""
    news = findings.news
    if news:
        more = f" ({plural(len(news) - 1, 'more alert')})" if len(news) > 1 else ""
        return f"{sentence(news[0])[:-1]}: {advice(news[0])}{more}."
    if len(findings.answers) < WatchConfig.settle:
        answers = plural(len(findings.answers), "answer")
        return f"There are {answers} so far, too few to notice a change: that begins at {WatchConfig.settle}."
    seen = findings.reviewed
    quiet = f"No alert in the last {2 * findings.days:g} days"
    if seen is None:
        return f"{quiet}, but nobody reviewed the latest answers: have about fifty reviewed to know the error."
    low, high = seen.wrong.interval
    interval = f"95 % interval {short_percent(low)} to {short_percent(high)}"
    error = f"{_share(seen.wrong)} reviewed answers were wrong ({interval})"
    if seen.wrong.total < FEW_REVIEWS:
        return f"{quiet}, but only {error}: have more reviewed to know the error."
    worst = max(findings.slices, key=lambda each: each.wrong.value if each.wrong and each.chance < REAL else 0.0)
    if worst.wrong and worst.chance < REAL:
        some = f"of “{worst.name}” {_share(worst.wrong)} were wrong, more than of the rest"
        return f"{quiet}, but {some}: collect such pictures and train again."
    return f"{quiet}, and {error}: nothing to do."


def write_monitor_report(findings: Findings, path: Path) -> None:
    """Write the report as one file.

    Raises:
        LogUnwritable: it cannot be written.
    """
    try:
        write_atomically(path, fill_in(findings).encode("utf-8", "replace"))
    except OSError as error:
        raise LogUnwritable(f"The report cannot be written to {str(path)!r}: {error.strerror or error}.") from error


def _published(store: str, revisions: Sequence[str]) -> list[Published]:
    known = []
    for revision in revisions:
        with contextlib.suppress(RevisionMissing):
            known.append(read_published(store, revision))
    return known


def _groups(findings: Findings) -> list[list[Change]]:
    """Alerts that came together, the newest first, and of each group the most urgent first."""
    groups: list[list[Change]] = []
    newest = -TOGETHER
    for change in findings.changes:
        place = int(np.searchsorted(findings.answers.at, change.at))
        if groups and place - newest < TOGETHER:
            groups[-1].append(change)
        else:
            groups.append([change])
        newest = place
    return [sorted(group, key=lambda change: URGENCY.index(change.what)) for group in reversed(groups)]


def _charts(findings: Findings, bins: Bins) -> list[Chart]:
    """Volume, the share of each label and of not-sure answers, and each figure, over the whole log."""
    answers, published = findings.answers, findings.training.published if findings.training else None

    def marks(what: str, label: str = "") -> list[tuple[int, str]]:
        return [
            (each.at, sentence(each))
            for each in findings.changes
            if each.what == what and (each.label == label or what == "errors")
        ]

    labels, counts = np.unique(answers.label, return_counts=True)
    often = labels[np.argsort(-counts, kind="stable")][:SHOWN_LABELS].tolist()
    total = sum(share.total for share in published.called.values()) if published else 0
    charts: list[Chart | None] = [draw_bars("Answers", bins)]
    refused = published.refused / published.pictures if published else None
    unsure = _share_points(bins, ~answers.familiar)
    charts.append(draw_points("Not sure", bins, unsure, "{:.0%}", marks("unfamiliar"), refused))
    if (answers.review > 0).any():
        wrong = _share_points(bins, answers.right != answers.label, (answers.review > 0) & answers.familiar)
        error = published.wrong.value if published else None
        charts.append(draw_points("Wrong, of those reviewed", bins, wrong, "{:.0%}", marks("errors"), error))
    for label in often:
        ideal = published.called[label].total / total if published and label in published.called else None
        points = _share_points(bins, answers.label == label, answers.familiar)
        charts.append(draw_points(f"Answered “{label}”", bins, points, "{:.0%}", marks("labels", label), ideal))
    for what in FIGURES:
        points = _figure_points(bins, getattr(answers, what))
        trained = findings.training.figures.get(what) if findings.training else None
        ideal = None if trained is None else float(np.median(trained))
        charts.append(draw_points(_name(what).capitalize(), bins, points, "{:.2f}", marks(what), ideal))
    return [chart for chart in charts if chart]


def _share_points(bins: Bins, values: np.ndarray, among: np.ndarray | None = None) -> list[Point | None]:
    points: list[Point | None] = []
    for number in range(bins.count):
        inside = values[bins.inside(number) if among is None else bins.inside(number) & among]
        if len(inside) < FEWEST:
            points.append(None)
            continue
        share = Share(int(inside.sum()), len(inside))
        points.append(Point(share.value, *share.interval, f"{short_percent(share.value)} ({_share(share)})"))
    return points


def _figure_points(bins: Bins, values: np.ndarray) -> list[Point | None]:
    points: list[Point | None] = []
    for number in range(bins.count):
        inside = values[bins.inside(number)]
        if len(inside) < FEWEST:
            points.append(None)
            continue
        low, value, high = np.percentile(inside, [25, 50, 75]).tolist()
        points.append(Point(value, low, high, f"{value:.2f} (half of {len(inside)} between {low:.2f} and {high:.2f})"))
    return points


def _day(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%-d %b %Y, %H:%M UTC")


def _name(what: str) -> str:
    return {"probability": "sureness", "unfamiliar": "not sure", "colourfulness": "colour"}.get(what, what)


def _share(share: Share) -> str:
    return f"{share.count} of {share.total}"


def _summary(seen: Share | Middle | None) -> tuple[str, str, str]:
    """A share or a median in words, its interval, and how many are how many of."""
    if seen is None:
        return "–", "", ""
    low, high = seen.interval
    if isinstance(seen, Share):
        return short_percent(seen.value), f"{short_percent(low)} to {short_percent(high)}", _share(seen)
    return f"{seen.value:.2f}", f"{low:.2f} to {high:.2f}", ""


def _tied(text: str) -> str:
    """The same text, with no line break between a number and its per cent."""
    return text.replace(" %", "\u00a0%")
