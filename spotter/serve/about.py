"""What the page tells about its model: figures with intervals, sources and licences, limits, revision."""

from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import Any

from spotter.bundle.format import ModelSpec
from spotter.errors import BrokenModel
from spotter.serve.page.translations import translate, translate_html
from spotter.utils.stats import wilson_interval
from spotter.utils.templates import render_template
from spotter.utils.text import percent


@dataclass(frozen=True)
class ClassRow:
    """Of so many `pictures` of a class, `right` were recognised."""

    label: str
    pictures: int
    right: int


@dataclass(frozen=True)
class About:
    """A model's figures. `error` and its interval are shares of `pictures` judged; `accepted` is the share of them that
    was familiar; None where the revision does not say. `seen` means that it may have learnt from them. `origins` are
    (source, licence, number of pictures).
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
    return About(
        arch=about.arch,
        size=about.size,
        learnt_from=about.learnt_from,
        revision=about.revision,
        error=float(metrics["error"]),
        interval=(float(low), float(high)),
        pictures=int(metrics["pictures"]),
        seen=about.seen,
        accepted=float(metrics["familiarity"]["accepted"]),
        classes=tuple(
            ClassRow(str(row["label"]), sum(map(int, confusion[index])), int(confusion[index][index]))
            for index, row in enumerate(metrics["classes"])
        ),
        origins=about.origins,
    )


def error_sentence(about: About, language: str) -> str:
    """The error in words, with its interval; "" where the revision does not say."""
    if about.error is None:
        return ""
    return translate(
        "about_error_seen" if about.seen else "about_error",
        language,
        error=percent(about.error),
        pictures=about.pictures,
        low=percent(about.interval[0]),
        high=percent(about.interval[1]),
    )


def about_html(about: About, language: str) -> str:
    """The About tab, as HTML."""
    own = translate("own", language)
    return render_template(
        "serve",
        "about.html",
        text=partial(translate_html, language=language),
        about=about,
        sentence=error_sentence(about, language),
        accepted=percent(about.accepted) if about.accepted is not None else "",
        classes=[_class_cells(row) for row in about.classes],
        origins=[
            (own, "–", count) if source == "folder" else (source, name, count) for source, name, count in about.origins
        ],
    )


def _class_cells(row: ClassRow) -> tuple[str | int, ...]:
    if not row.pictures:
        return row.label, row.pictures, "–", "–"
    low, high = wilson_interval(row.right, row.pictures)
    return row.label, row.pictures, percent(row.right / row.pictures), f"{percent(low)} – {percent(high)}"
