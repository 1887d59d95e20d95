"""The evaluation as one page to open offline: which pictures were confused, what the probabilities are worth, plots.

It shows pictures under any licence, so it stays beside them and is never published.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from spotter.config import MOST_IN_MATRIX, TrainConfig
from spotter.data.dataset import Dataset, Record
from spotter.data.previews import embed_small, make_thumbnails, short_title
from spotter.evaluate.calibration import Calibration
from spotter.evaluate.learning_curve import LearningCurve
from spotter.evaluate.metrics import Evaluation
from spotter.evaluate.ood import Strangers
from spotter.evaluate.shifts import SHIFTS, STRENGTHS
from spotter.evaluate.stress_rows import SHIFTED_SIDE, STRENGTH_NAMES, ShownShift, StressTest
from spotter.images import load_stored, to_square
from spotter.train.trained import Trained
from spotter.train.views import Square
from spotter.utils.charts import WITH_AXES, Chart, Line, Mark, round_up
from spotter.utils.licenses import origin_words
from spotter.utils.stats import wilson_interval
from spotter.utils.templates import write_page
from spotter.utils.text import as_sentence, percent, plural

REPORT = "report.html"
SHOWN_IN_CELL = 60
# With many classes, each shows fewer of its right answers, and with many mistakes each cell fewer of these: the page
# has to stay light.
SHOWN_RIGHT = 600
SHOWN_WRONG = 2000
# An axis ends with one of these, so that a quarter of it is a short number too.
DIGITS = (1, 2, 4, 8)


@dataclass(frozen=True)
class Shown:
    """A judged picture: what it is, what it was called, how probable that was, and the loss in nats."""

    record: Record
    prediction: str
    probability: float
    loss: float

    @property
    def title(self) -> str:
        """Its title in one line, cut short; else its file."""
        return short_title(self.record) or Path(str(self.record.file)).name

    @property
    def short_file(self) -> str:
        """Enough of its path to find it."""
        path = Path(str(self.record.file))
        stem = path.stem[:10] + "…" if len(path.stem) > 12 else path.stem
        return f"{path.parent}/{stem}{path.suffix}"


@dataclass(frozen=True)
class Cell:
    """Pictures of the class `actual` that were called `predicted` (both indexes), those most to blame first."""

    actual: int
    predicted: int
    count: int
    share: float
    shown: tuple[Shown, ...]

    @property
    def right(self) -> bool:
        return self.actual == self.predicted

    @property
    def anchor(self) -> str:
        return f"cell-{self.actual + 1}-{self.predicted + 1}"


def write_report(
    evaluation: Evaluation,
    trained: Trained,
    dataset: Dataset,
    folds: np.ndarray,
    path: Path,
    strangers: Strangers | None = None,
    square: Square | None = None,
) -> None:
    """Write the evaluation report: one HTML file that holds its thumbnails and needs neither network nor scripts.

    Args:
        folds: int64 (n,), from `assign_folds`. strangers: what familiarity made of pictures of none of the classes.
        square: how a picture becomes what the network sees; None: as by default.

    Raises:
        DatasetUnwritable: `path` cannot be written.
    """
    thumbnail = make_thumbnails(dataset)
    judged = _judged_pictures(trained, dataset)
    by_file = {str(picture.record.file): picture for picture in judged}
    cells = _cells(judged, dataset.labels)
    functions: dict[str, Callable[..., Any]] = {
        "thumbnail": lambda record: thumbnail(str(record.file)),
        "share": _share,
        "percent": _percent,
        "origin": origin_words,
        "interval": wilson_interval,
        "shift_title": lambda name: SHIFTS[name].title,
        "as_sentence": as_sentence,
    }
    write_page(
        path,
        "evaluate",
        "report.html",
        **functions,
        evaluation=evaluation,
        labels=dataset.labels,
        cells=cells,
        most_in_matrix=MOST_IN_MATRIX,
        confused=sorted((cell for row in cells for cell in row if cell.count and not cell.right), key=_most_first),
        recognised=[row[index] for index, row in enumerate(cells) if row[index].count],
        losses=[by_file[top.file] for top in evaluation.top_losses],
        folds=_wrong_by_fold(trained, dataset, folds),
        strength=trained.head.strength,
        reliability=draw_reliability(evaluation.calibration, evaluation.uncalibrated),
        curve=draw_learning(evaluation.learning) if evaluation.learning else None,
        strangers=strangers,
        roc=draw_roc(strangers) if strangers else None,
        shifted=_shown_shifts(evaluation.stress, dataset, square or _default_square) if evaluation.stress else [],
        elsewhere=evaluation.elsewhere(),
    )


def draw_reliability(calibration: Calibration, before: Calibration) -> Chart:
    """Draw how often the top probability was right; dots grow with the pictures they stand for."""
    total = sum(each.pictures for each in calibration.bins)
    marks = []
    for each in calibration.bins:
        low, high = wilson_interval(each.accuracy * each.pictures, each.pictures)
        words = f"{plural(each.pictures, 'picture')} at {_percent(each.confidence)}: {_percent(each.accuracy)} right"
        x, y = WITH_AXES.across(each.confidence), WITH_AXES.upward(each.accuracy)
        radius = round(3 + 6 * float(np.sqrt(each.pictures / total)), 2)
        marks.append(Mark(x, y, words, radius, WITH_AXES.upward(low), WITH_AXES.upward(high)))
    lines = [Line(WITH_AXES.points([(0, 0), (1, 1)]), "ideal", "as sure as it should be")]
    if before != calibration:
        unscaled = WITH_AXES.points([(each.confidence, each.accuracy) for each in before.bins])
        lines.append(Line(unscaled, "before", "before temperature scaling"))
    return Chart(
        WITH_AXES,
        "Share of right answers against the probability given, by bins of the probability",
        _share_ticks(WITH_AXES.across),
        _share_ticks(WITH_AXES.upward),
        across="Probability given",
        upward="Right answers",
        lines=tuple(lines),
        marks=tuple(marks),
        marks_name="a bin, with its 95 % interval",
    )


def draw_learning(learning: LearningCurve) -> Chart:
    """Draw the error against the pictures learnt from, and the fitted curve where there is one."""
    outlook = learning.outlook
    most = learning.points[-1].learnt_from * 1.5
    top = min(1.0, round_up(max(point.error_interval[1] for point in learning.points), DIGITS))
    lines = []
    if outlook.floor is not None and outlook.scale is not None and outlook.power is not None:
        sizes = np.linspace(learning.points[0].learnt_from, most, 40)
        errors = outlook.floor + outlook.scale * sizes**-outlook.power
        shares = [(size / most, min(error / top, 1)) for size, error in zip(sizes, errors, strict=True)]
        lines.append(Line(WITH_AXES.points(shares), "before", "the fitted power law"))
    marks = tuple(
        Mark(
            WITH_AXES.across(point.learnt_from / most),
            WITH_AXES.upward(point.error / top),
            f"{point.learnt_from:.0f} pictures: error {_percent(point.error)}",
            5.0,
            WITH_AXES.upward(point.error_interval[0] / top),
            WITH_AXES.upward(point.error_interval[1] / top),
        )
        for point in learning.points
    )
    step = round_up(most / 5, DIGITS)
    ticks = [number * step for number in range(int(most / step) + 1)]
    return Chart(
        WITH_AXES,
        "Error against the number of pictures learnt from",
        tuple((WITH_AXES.across(tick / most), f"{tick:.0f}") for tick in ticks),
        tuple((WITH_AXES.upward(part / 4), f"{100 * top * part / 4:.3g} %") for part in range(5)),
        across="Pictures learnt from",
        upward="Error",
        lines=tuple(lines),
        marks=marks,
        marks_name="measured, with its 95 % interval",
    )


def draw_roc(strangers: Strangers) -> Chart:
    """Draw the share of known pictures accepted against that of strangers accepted, for every threshold."""
    accepted = 1 - strangers.refused / strangers.pictures
    words = f"threshold: {_percent(strangers.accepted_known)} of known, {_percent(accepted)} of strangers accepted"
    return Chart(
        WITH_AXES,
        "Share of known pictures accepted against the share of strangers accepted",
        _share_ticks(WITH_AXES.across),
        _share_ticks(WITH_AXES.upward),
        across="Strangers accepted",
        upward="Known pictures accepted",
        lines=(
            Line(WITH_AXES.points([(0, 0), (1, 1)]), "ideal", "guessing"),
            Line(WITH_AXES.points(strangers.roc), "curve", "familiarity, at every threshold"),
        ),
        marks=(Mark(WITH_AXES.across(accepted), WITH_AXES.upward(strangers.accepted_known), words, 6.0),),
        marks_name="the threshold chosen",
    )


def _share_ticks(place: Callable[[float], float]) -> tuple[tuple[float, str], ...]:
    return tuple((place(tick), f"{tick:.0%}") for tick in (0.0, 0.25, 0.5, 0.75, 1.0))


def _judged_pictures(trained: Trained, dataset: Dataset) -> list[Shown]:
    records = [record for record, judged in zip(dataset.records, trained.judged, strict=True) if judged]
    targets = dataset.targets[trained.judged]
    return [
        Shown(
            record,
            dataset.labels[int(row.argmax())],
            float(row.max()),
            float(-np.log(max(float(row[target]), 1e-12))),
        )
        for record, row, target in zip(records, trained.probabilities, targets, strict=True)
    ]


def _cells(judged: Sequence[Shown], labels: Sequence[str]) -> list[list[Cell]]:
    """The confusion matrix: a row for each class, a cell for each class its pictures were called."""
    found: dict[tuple[str, str], list[Shown]] = {}
    for picture in judged:
        found.setdefault((picture.record.label, picture.prediction), []).append(picture)
    given = {label: sum(picture.record.label == label for picture in judged) for label in labels}
    most_right = max(6, min(SHOWN_IN_CELL, SHOWN_RIGHT // len(labels)))
    confused = {pair: len(pictures) for pair, pictures in found.items() if pair[0] != pair[1]}
    is_much = sum(confused.values()) > SHOWN_WRONG
    most_wrong = max(1, min(SHOWN_IN_CELL, SHOWN_WRONG // len(confused))) if is_much else SHOWN_IN_CELL

    def cell(actual: int, predicted: int) -> Cell:
        pictures = sorted(found.get((labels[actual], labels[predicted]), []), key=lambda picture: -picture.loss)
        most = most_right if actual == predicted else most_wrong
        share = len(pictures) / max(1, given[labels[actual]])
        return Cell(actual, predicted, len(pictures), share, tuple(pictures[:most]))

    return [[cell(actual, predicted) for predicted in range(len(labels))] for actual in range(len(labels))]


def _shown_shifts(stress: StressTest, dataset: Dataset, square: Square) -> list[ShownShift]:
    """The example of each shift, made again of the stored picture."""
    records = {str(record.file): record for record in dataset.records}
    examples = {(row.name, row.strength): row.example for row in stress.rows if row.example}
    squares: dict[str, np.ndarray] = {}
    found = []
    for name, shift in SHIFTS.items():
        said = []
        for strength in STRENGTHS:
            example = examples.get((name, strength))
            if example is None or example.file not in records:
                continue
            if example.file not in squares:
                squares[example.file] = square(load_stored(dataset.folder / example.file))
            pixels = shift.apply(squares[example.file], strength, str(records[example.file].sha256))
            said.append((STRENGTH_NAMES[strength], embed_small(Image.fromarray(pixels), SHIFTED_SIDE), example))
        if said:
            record = records[said[0][2].file]
            origin = origin_words(record.backend, record.license_id)
            found.append(ShownShift(shift.title, record.label, origin, tuple(said)))
    return found


def _default_square(picture: Image.Image) -> np.ndarray:
    return to_square(picture, TrainConfig.size, TrainConfig.resize)


def _most_first(cell: Cell) -> tuple[int, int, int]:
    return -cell.count, cell.actual, cell.predicted


def _wrong_by_fold(trained: Trained, dataset: Dataset, folds: np.ndarray) -> list[tuple[int, int]]:
    """For each judged fold: how many were wrong, of how many."""
    wrong = trained.probabilities.argmax(axis=1) != dataset.targets[trained.judged]
    of = folds[trained.judged]
    return [(int(wrong[of == fold].sum()), int((of == fold).sum())) for fold in np.unique(of)]


def _share(count: int, total: int) -> str:
    return f"{count} of {total}"


def _percent(share: float) -> str:
    # An interval may end a rounding error from 0 or from 1.
    end = round(share)
    return percent(end if abs(share - end) <= 1e-9 else share, 1, "words")
