"""What changed between two training runs over a set: its pictures, settings, and errors on the same pictures."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np

from spotter.data.dataset import Dataset
from spotter.data.training_run import Run
from spotter.image_stats import BLURRED, DARK, GREY, REAL, SMALL
from spotter.utils.stats import exact_half, wilson_interval
from spotter.utils.text import plural


@dataclass(frozen=True)
class SourceChange:
    """How many pictures of a source came, went, or have another label ("": of sources that are not known any more)."""

    source: str
    added: int
    removed: int
    relabelled: int


@dataclass(frozen=True)
class Errors:
    """How many of the same `pictures` were wrong `before` and `after`."""

    name: str
    pictures: int
    before: int
    after: int

    @property
    def before_interval(self) -> tuple[float, float]:
        return wilson_interval(self.before, self.pictures)

    @property
    def after_interval(self) -> tuple[float, float]:
        return wilson_interval(self.after, self.pictures)


@dataclass(frozen=True)
class Changes:
    """What changed since the revision `since`. `settings` are (name, before, now).

    `errors` are over the pictures that both runs were judged on, by the labels of now, each by heads that had not seen
    it (None: there are none). Those whose label the run before did not know are not among them: it could not have been
    right about them, as where a class got another name. `mended` of these are right now and were wrong, `broken` the
    other way round; `chance` is how probable it is that they are so uneven if nothing changed: McNemar's exact test
    (Psychometrika 12, 1947). `new` are (wrong, judged) of the pictures that came. `slices` are parts of the pictures of
    `errors`.
    """

    since: str
    sources: tuple[SourceChange, ...]
    settings: tuple[tuple[str, str, str], ...]
    errors: Errors | None
    mended: int
    broken: int
    chance: float
    new: tuple[int, int]
    slices: tuple[Errors, ...]

    def sentence(self) -> str:
        """The result, in one sentence without a full stop."""
        pictures = [
            f"{sum(getattr(source, what) for source in self.sources)} {what}"
            for what in ("added", "removed", "relabelled")
            if any(getattr(source, what) for source in self.sources)
        ]
        settings = [plural(len(self.settings), "setting") + " changed"] if self.settings else []
        told = f"since {self.since[:12]}: {', '.join([*pictures, *settings])}"
        if self.errors is None:
            return f"{told}; no picture of a class that both know was judged both times"
        may_be = "" if self.chance <= REAL else ", which may be chance"
        return (
            f"{told}; of the same {plural(self.errors.pictures, 'picture')} {self.errors.before} were wrong before and "
            f"{self.errors.after} now ({self.mended} mended, {self.broken} broken{may_be})"
        )


def compare_runs(before: Run, now: Run, dataset: Dataset, stats: np.ndarray) -> Changes:
    """Compare a run over `dataset` with an earlier one over it.

    Args:
        stats: float (n, 5), `ImageStats` of each of the pictures of `now`.
    """
    given, was_given = (dict(zip(run.keys, run.given, strict=True)) for run in (now, before))
    called, was_called = _called(now), _called(before)
    both = [
        number
        for number, (key, label) in enumerate(zip(now.keys, now.given, strict=True))
        if key in called and key in was_called and label in before.recipe.labels
    ]
    is_wrong = np.array([called[now.keys[number]] != now.given[number] for number in both], dtype=bool)
    was_wrong = np.array([was_called[now.keys[number]] != now.given[number] for number in both], dtype=bool)
    mended, broken = int((was_wrong & ~is_wrong).sum()), int((is_wrong & ~was_wrong).sum())
    new = [called[key] != given[key] for key in called if key not in was_given]
    slices = [
        Errors(name, int(inside.sum()), int(was_wrong[inside].sum()), int(is_wrong[inside].sum()))
        for name, inside in _slices(now, dataset, stats, both)
        if inside.any()
    ]
    return Changes(
        before.contents,
        _sources(given, was_given, dataset),
        _settings(before, now),
        Errors("", len(both), int(was_wrong.sum()), int(is_wrong.sum())) if both else None,
        mended,
        broken,
        exact_half(mended, mended + broken) if mended + broken else 1.0,
        (sum(new), len(new)),
        tuple(slices),
    )


def _called(run: Run) -> dict[str, str]:
    """What each judged picture of a run was called."""
    judged = np.flatnonzero(~np.isnan(run.probabilities).any(axis=1))
    return {run.keys[row]: run.recipe.labels[int(run.probabilities[row].argmax())] for row in judged}


def _slices(now: Run, dataset: Dataset, stats: np.ndarray, rows: list[int]) -> Iterator[tuple[str, np.ndarray]]:
    labels = np.array([now.given[row] for row in rows])
    sources = np.array([dataset.records[row].backend for row in rows])
    for label in now.recipe.labels:
        yield label, labels == label
    for source in np.unique(sources).tolist() if rows else ():
        yield f"from {source}", sources == source
    brightness, _, colour, sharpness, side = stats[rows].T
    yield "dark", brightness < DARK
    yield "blurred", sharpness < BLURRED
    yield "black and white", colour < GREY
    yield "small", side < SMALL


def _sources(given: dict[str, str], was_given: dict[str, str], dataset: Dataset) -> tuple[SourceChange, ...]:
    known = {str(record.sha256): record.backend for record in (*dataset.dropped, *dataset.records)}
    added = Counter(known[key] for key in given.keys() - was_given.keys())
    removed = Counter(known.get(key, "") for key in was_given.keys() - given.keys())
    relabelled = Counter(known[key] for key, label in given.items() if was_given.get(key, label) != label)
    names = sorted({*added, *removed, *relabelled})
    return tuple(SourceChange(name, added[name], removed[name], relabelled[name]) for name in names)


def _settings(before: Run, now: Run) -> tuple[tuple[str, str, str], ...]:
    pairs = [("classes", ", ".join(before.recipe.labels), ", ".join(now.recipe.labels))]
    old, new = asdict(before.config), asdict(now.config)
    pairs += [(name, str(old[name]), str(new[name])) for name in new]
    return tuple((name, was, value) for name, was, value in pairs if was != value)
