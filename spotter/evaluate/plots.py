"""Plots of a revision: confusion matrix and top losses."""

import functools
import io
import textwrap
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import font_manager
from matplotlib.figure import Figure
from PIL import Image

from spotter.data.dataset import Dataset
from spotter.evaluate.metrics import Evaluation
from spotter.images import fit_within, load_stored
from spotter.utils.licenses import may_be_shown

# With more labels than this, the confusion matrix is drawn small, and its empty cells stay empty.
MANY_LABELS = 30
# Longer labels take several lines, and so does the title of a top loss: more would run into the next one, or leave no
# room for the matrix.
LINE, TITLE_LINE = 20, 34
# Inches of a letter as the confusion matrix writes it, and what stands around the matrix beside the labels.
LETTER, AROUND = 0.085, 1.0
# Of the top losses; more fit into no palette.
COLORS = 256
# The font that comes with matplotlib.
OWN_FONT = "DejaVu Sans"
# These have a shape for every letter: a box.
BOXES = ("lastresort", "last resort", "blank", "notdef", "unifont")


@dataclass(frozen=True)
class Lettering:
    """How labels are written in plots: `shown` by label, and the `families` of fonts that have the letters, () where
    matplotlib's own is enough. `numbered` are the labels for which no font has them, by the number that is shown."""

    shown: dict[str, str]
    families: tuple[str, ...] = ()
    numbered: dict[int, str] = field(default_factory=dict)

    @property
    def style(self) -> dict[str, Any]:
        """What matplotlib's texts take."""
        return {"fontfamily": [OWN_FONT, *self.families]} if self.families else {}


@functools.lru_cache
def choose_lettering(labels: tuple[str, ...], fonts: tuple[Path, ...] | None = None) -> Lettering:
    """Find fonts for labels whose letters matplotlib's own font does not have; a label that has none is a number, as it
    would be a row of boxes.

    Args:
        fonts: files to look in; None: those of this system.
    """
    own = _letters(font_manager.findfont(OWN_FONT))
    lacking = {label: needed for label in labels if (needed := _drawn(label) - own)}
    families: dict[str, frozenset[int]] = {}

    def waiting() -> list[frozenset[int]]:
        return [needed for needed in lacking.values() if not any(needed <= there for there in families.values())]

    for file in (_system_fonts() if fonts is None else fonts) if lacking else ():
        if any(needed <= _letters(str(file)) for needed in waiting()):
            font_manager.fontManager.addfont(str(file))
            name = font_manager.get_font(str(file)).family_name
            # Another file of the same name may be the one that is taken.
            families[name] = _letters(font_manager.findfont(name))
    numbered = {number: label for number, label in enumerate(labels, 1) if lacking.get(label) in waiting()}
    shown = {label: label for label in labels} | {label: f"class {number}" for number, label in numbered.items()}
    return Lettering(shown, tuple(families), numbered)


def _drawn(label: str) -> frozenset[int]:
    """The letters of a label that a font needs a shape for."""
    return frozenset(ord(letter) for letter in label if unicodedata.category(letter) not in {"Cf", "Zs"})


@functools.lru_cache(maxsize=2000)
def _letters(file: str) -> frozenset[int]:
    """What a font can draw; nothing where it cannot be read."""
    try:
        font = font_manager.get_font(file)
        return frozenset(font.get_charmap()) if font.scalable else frozenset()
    except (OSError, RuntimeError, ValueError):
        return frozenset()


def _system_fonts() -> Iterable[Path]:
    """The font files of this system, plain ones without serifs first."""
    files = [Path(file) for file in font_manager.findSystemFonts()]
    names = {file: file.stem.lower() for file in files if not any(word in file.stem.lower() for word in BOXES)}
    return sorted(names, key=lambda file: ("sans" not in names[file], "regular" not in names[file], str(file)))


def draw_plots(evaluation: Evaluation, dataset: Dataset, folder: Path) -> dict[int, str]:
    """Draw `confusion.png` and `top_losses.png` into `folder`; return the labels for which numbers stand in them."""
    lettering = choose_lettering(tuple(figures.label for figures in evaluation.classes))
    plot_confusion(evaluation, folder / "confusion.png", lettering)
    plot_top_losses(evaluation, dataset, folder / "top_losses.png", lettering)
    return lettering.numbered


def plot_confusion(evaluation: Evaluation, path: Path, lettering: Lettering) -> None:
    """Draw the confusion matrix as a PNG."""
    labels = [lettering.shown[figures.label] for figures in evaluation.classes]
    counts = np.array(evaluation.confusion)
    many = len(labels) > MANY_LABELS
    side = max(4.5, (0.2 if many else 0.55) * len(labels) + 2.5)
    rotation = 90 if many else 45 if len(labels) > 4 else 0
    if not many:
        labels = [_in_lines(label, LINE) for label in labels]
        lines = [line for label in labels for line in label.splitlines()]
        longest = LETTER * max(map(_width, lines))
        if len(lines) > len(labels) or (not rotation and longest > (side - AROUND - longest) / len(labels)):
            rotation = 90
        # There is room for ten letters anyway.
        side += max(0, longest - 10 * LETTER)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1), cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(counts.shape):
        if many and not counts[row, column]:
            continue
        dark = counts[row, column] > counts[row].sum() / 2
        color = "white" if dark else "black"
        text = axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=color)
        if many:
            # Within the axes whatever the layout, which would measure each of thousands again and again.
            text.set_in_layout(False)
            text.set_fontsize(6)
    axes.set_xticks(range(len(labels)), labels, rotation=rotation, **lettering.style)
    axes.set_yticks(range(len(labels)), labels, **lettering.style)
    if many:
        axes.tick_params(labelsize=7)
    axes.set_xlabel("Predicted")
    axes.set_ylabel("Actual")
    axes.set_title(f"{evaluation.wrong} of {evaluation.pictures} wrong", loc="left")
    _save(figure, path)


def _in_lines(text: str, most: int) -> str:
    """The text in lines of at most so many letters, of half as many where a letter is twice as wide."""
    if _width(text) <= most:
        return text
    return textwrap.fill(text, most if _width(text) == len(text) else most // 2)


def _width(text: str) -> int:
    """How many letters wide it is; Chinese ones are twice as wide as others."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def plot_top_losses(evaluation: Evaluation, dataset: Dataset, path: Path, lettering: Lettering) -> None:
    """Draw the pictures with the highest losses as a PNG, titled prediction / actual / loss / probability.

    The PNG is published, so a picture whose licence does not allow that is a grey tile that says so.
    """
    names = lettering.shown
    shown = {str(record.file): may_be_shown(record.backend, record.license_id) for record in dataset.records}
    figure = Figure(figsize=(9, 9.6), layout="constrained")
    figure.suptitle("Prediction / actual / loss / probability")
    grid = figure.subplots(3, 3).ravel()
    for axes in grid:
        axes.axis("off")
        axes.xaxis.set_visible(False)
        axes.yaxis.set_visible(False)
    for axes, top in zip(grid, evaluation.top_losses, strict=False):
        if shown[top.file]:
            axes.imshow(np.asarray(fit_within(load_stored(dataset.folder / top.file), 320)))
        else:
            axes.imshow(np.full((240, 320, 3), 225, dtype=np.uint8))
            axes.text(160, 120, "not shown:\nno licence to publish it", ha="center", va="center", fontsize=9)
        right = top.prediction == top.actual
        axes.set_title(
            _in_lines(
                f"{names[top.prediction]} / {names[top.actual]} / {top.loss:.2f} / {top.probability:.2f}", TITLE_LINE
            ),
            fontsize=9,
            color="black" if right else "firebrick",
            **lettering.style,
        )
    drawn = io.BytesIO()
    # Read again at once, so not worth packing.
    figure.savefig(drawn, dpi=90, metadata={"Software": None}, pil_kwargs={"compress_level": 0})
    # Photos as PNG are five times as large with all their colours. Chosen from one pixel in sixteen, they are nearly as
    # good, in a fifth of the time.
    picture = Image.open(drawn, formats=["PNG"]).convert("RGB")
    few = picture.resize((picture.width // 4, picture.height // 4), Image.Resampling.NEAREST).quantize(COLORS)
    picture.quantize(palette=few, dither=Image.Dither.NONE).save(path, "PNG", optimize=True)


def _save(figure: Figure, path: Path) -> None:
    # Without the version stamp, the same figure gives the same bytes.
    figure.savefig(path, dpi=110, metadata={"Software": None})
