"""What the page tells about its model: figures with intervals, sources and licences, limits, revision."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from spotter.bundle.format import ModelSpec
from spotter.config import StressConfig
from spotter.errors import BrokenModel
from spotter.serve.page.translations import as_written, has_text, translate, translate_html
from spotter.utils.stats import wilson_interval
from spotter.utils.templates import render_template
from spotter.utils.text import cost_figure, percent


@dataclass(frozen=True)
class ClassRow:
    """Of so many `pictures` of a class, `right` were recognised."""

    label: str
    pictures: int
    right: int


@dataclass(frozen=True)
class Shifts:
    """What was said of pictures under distribution shifts, as shares in [0, 1].

    `right` and `wrong` were answered so, the mean of all shifts; `clean_right` and `clean_wrong` are those of the
    pictures as they are. `worst` is the name of the shift with the fewest right answers, `worst_right` their share; ""
    where too few pictures were judged to tell. `rows` are (name of a shift, right, wrong), means of its strengths.
    """

    right: float
    wrong: float
    clean_right: float
    clean_wrong: float
    worst: str
    worst_right: float
    rows: tuple[tuple[str, float, float], ...] = ()

    @property
    def is_harmless(self) -> bool:
        """Whether even the worst one costs little."""
        return self.worst_right >= StressConfig.harmless * self.clean_right

    @property
    def is_telling(self) -> bool:
        """Whether enough pictures as they are got the right answer to tell what shifts cost."""
        return self.clean_right > StressConfig.hardly


@dataclass(frozen=True)
class About:
    """A model's figures. `error` and its interval are shares of `pictures` judged; `accepted` is the share of them that
    was familiar; None where the revision does not say. `seen` means that it may have learnt from them. `origins` are
    (source, licence, number of pictures). `shifts` is None where the model was not tried under any. `costs` are what
    rules cost a picture, by their names in `metrics.json`, () where nobody said what mistakes cost.
    `sets` are the figures of sets of labels, () where there are none.
    """

    arch: str
    size: int
    learnt_from: int
    revision: str = ""
    error: float | None = None
    interval: tuple[float, float] = (0.0, 1.0)
    pictures: int = 0
    seen: bool = False
    accepted: float | None = None
    classes: tuple[ClassRow, ...] = ()
    origins: tuple[tuple[str, str, int], ...] = ()
    shifts: Shifts | None = None
    costs: tuple[tuple[str, float], ...] = ()
    sets: tuple[tuple[str, float], ...] = ()


def read_about(card: ModelSpec, metrics: dict[str, Any], revision: str | None) -> About:
    """Gather it from `model.json` and the contents of `metrics.json` ({}: an older revision).

    Raises:
        BrokenModel: they hold other things than they should.
    """
    try:
        counted: Counter[tuple[str, str]] = Counter()
        for row in card.made.get("origins", []):
            counted[str(row["source"]), str(row["license"])] += int(row["pictures"])
        known = About(
            arch=card.arch,
            size=card.size,
            learnt_from=int(card.made.get("pictures", 0)),
            revision=revision or "",
            seen=bool(card.made.get("converted", False)),
            origins=tuple((*origin, count) for origin, count in sorted(counted.items())),
        )
        return _with_figures(known, metrics) if metrics else known
    except (KeyError, TypeError, ValueError, IndexError, OverflowError, RecursionError) as error:
        raise BrokenModel("The model's metrics.json or model.json has a missing or damaged figure.") from error


def _with_figures(about: About, metrics: dict[str, Any]) -> About:
    low, high = metrics["error_interval"]
    confusion = metrics["confusion"]
    return replace(
        about,
        error=float(metrics["error"]),
        interval=(float(low), float(high)),
        pictures=int(metrics["pictures"]),
        accepted=float(metrics["familiarity"]["accepted"]),
        classes=tuple(
            ClassRow(str(row["label"]), sum(map(int, confusion[index])), int(confusion[index][index]))
            for index, row in enumerate(metrics["classes"])
        ),
        # Older revisions have no such figures.
        shifts=_read_shifts(metrics["stress"]) if metrics.get("stress") is not None else None,
        costs=_read_costs(metrics["costs"]) if metrics.get("costs") is not None else (),
        sets=_read_sets(metrics["sets"]) if metrics.get("sets") is not None else (),
    )


def _read_shifts(stress: Mapping[str, Any]) -> Shifts | None:
    """The figures of a stress test, as `metrics.json` has them; None where nothing was left to judge."""
    clean = _read_row(stress["clean"])
    rows = [(row, found) for row in stress["rows"] if (found := _read_row(row))]
    if not clean or not rows:
        return None
    right, wrong = (_mean([found[side] for _, found in rows]) for side in (0, 1))
    means: list[tuple[str, float, float]] = []
    enough = [(str(row["name"]), found) for row, found in rows if int(row["pictures"]) >= StressConfig.least]
    for name in dict.fromkeys(name for name, _ in enough):
        own = [found for other, found in enough if other == name]
        means.append((name, _mean([right for right, _ in own]), _mean([wrong for _, wrong in own])))
    worst, worst_right, _ = min(means, key=lambda row: row[1], default=("", 0.0, 0.0))
    return Shifts(right, wrong, *clean, worst, worst_right, tuple(means))


def _read_costs(costs: Mapping[str, Any]) -> tuple[tuple[str, float], ...]:
    return tuple((name, float(costs[name]["cost"])) for name in ("decision", "most_probable", "ask"))


def _read_sets(sets: Mapping[str, Any]) -> tuple[tuple[str, float], ...]:
    counts = sets["counts"]
    low, high = counts["interval"]
    found = {"coverage": counts["coverage"], "low": low, "high": high, "wanted": sets["wanted"], "size": counts["size"]}
    return tuple((name, float(value)) for name, value in found.items())


def _read_row(row: Mapping[str, Any]) -> tuple[float, float] | None:
    """The shares of right and of wrong answers; None of no pictures."""
    pictures, answered, wrong = (int(row[name]) for name in ("pictures", "answered", "wrong_answered"))
    if not 0 <= wrong <= answered <= pictures:
        raise ValueError("more answers than pictures")
    return ((answered - wrong) / pictures, wrong / pictures) if pictures else None


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def error_sentence(about: About, language: str) -> str:
    """The error in words, with its interval; "" where the revision does not say."""
    if about.error is None:
        return ""
    return translate(
        "about_error_seen" if about.seen else "about_error",
        language,
        error=_share(about.error, language),
        pictures=about.pictures,
        low=_share(about.interval[0], language),
        high=_share(about.interval[1], language),
    )


def about_html(about: About, language: str) -> str:
    """The About tab, as HTML."""
    own, share = translate("own", language), partial(_share, language=language)
    return render_template(
        "serve",
        "about.html",
        text=partial(translate_html, language=language),
        about=about,
        sentence=error_sentence(about, language),
        accepted=share(about.accepted) if about.accepted is not None else "",
        shifts=_shift_sentences(about.shifts, language) if about.shifts else (),
        shift_rows=[
            (_shift_name(name, language), share(right), share(wrong))
            for name, right, wrong in (about.shifts.rows if about.shifts and about.shifts.is_telling else ())
        ],
        costs={name: as_written(cost_figure(cost), language) for name, cost in about.costs},
        sets={
            name: as_written(f"{value:.2f}", language) if name == "size" else share(value) for name, value in about.sets
        },
        classes=[_class_cells(row, language) for row in about.classes],
        origins=[
            (own, "–", count) if source == "folder" else (source, name, count) for source, name, count in about.origins
        ],
    )


def _shift_sentences(shifts: Shifts, language: str) -> tuple[str, ...]:
    shares = {
        name: _share(getattr(shifts, name), language) for name in ("right", "wrong", "clean_right", "clean_wrong")
    }
    told = translate("about_shifts_text", language, **shares)
    if not shifts.is_telling:
        return told, translate("about_shifts_hardly", language)
    if not shifts.worst or shifts.is_harmless:
        return (told,)
    name, right = _shift_name(shifts.worst, language), _share(shifts.worst_right, language)
    return told, translate("about_shifts_worst", language, shift=name, right=right)


def _shift_name(name: str, language: str) -> str:
    # A model of a newer version may name others.
    return translate(key, language) if has_text(key := f"shift_{name}") else name


def _class_cells(row: ClassRow, language: str) -> tuple[str | int, ...]:
    if not row.pictures:
        return row.label, row.pictures, "–", "–"
    right, low, high = (
        _share(share, language) for share in (row.right / row.pictures, *wilson_interval(row.right, row.pictures))
    )
    return row.label, row.pictures, right, f"{low} – {high}"


def _share(share: float, language: str) -> str:
    return as_written(percent(share), language)
