"""Plots of a revision: confusion matrix and top losses."""

import io
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from spotter.data.dataset import Dataset
from spotter.evaluate.metrics import Evaluation
from spotter.images import fit_within, load_stored
from spotter.utils.licenses import may_be_shown

# With more labels than this, the confusion matrix is drawn small, and its empty cells stay empty.
MANY_LABELS = 30
# Of the top losses; more fit into no palette.
COLORS = 256


def plot_confusion(evaluation: Evaluation, path: Path) -> None:
    """Draw the confusion matrix as a PNG."""
    labels = [figures.label for figures in evaluation.classes]
    counts = np.array(evaluation.confusion)
    many = len(labels) > MANY_LABELS
    side = max(4.5, (0.2 if many else 0.55) * len(labels) + 2.5)
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
    axes.set_xticks(range(len(labels)), labels, rotation=90 if many else 45 if len(labels) > 4 else 0)
    axes.set_yticks(range(len(labels)), labels)
    if many:
        axes.tick_params(labelsize=7)
    axes.set_xlabel("Predicted")
    axes.set_ylabel("Actual")
    axes.set_title(f"{evaluation.wrong} of {evaluation.pictures} wrong", loc="left")
    _save(figure, path)


def plot_top_losses(evaluation: Evaluation, dataset: Dataset, path: Path) -> None:
    """Draw the pictures with the highest losses as a PNG, titled prediction / actual / loss / probability.

    The PNG is published, so a picture whose licence does not allow that is a grey tile that says so.
    """
    shown = {str(record.file): may_be_shown(record.backend, record.license_id) for record in dataset.records}
    figure = Figure(figsize=(9, 9.6), layout="constrained")
    figure.suptitle("Prediction / actual / loss / probability")
    grid = figure.subplots(3, 3).ravel()
    for axes in grid:
        axes.axis("off")
    for axes, top in zip(grid, evaluation.top_losses, strict=False):
        if shown[top.file]:
            axes.imshow(np.asarray(fit_within(load_stored(dataset.folder / top.file), 320)))
        else:
            axes.imshow(np.full((240, 320, 3), 225, dtype=np.uint8))
            axes.text(160, 120, "not shown:\nno licence to publish it", ha="center", va="center", fontsize=9)
        right = top.prediction == top.actual
        axes.set_title(
            f"{top.prediction} / {top.actual} / {top.loss:.2f} / {top.probability:.2f}",
            fontsize=9,
            color="black" if right else "firebrick",
        )
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=90, metadata={"Software": None})
    # Photos as PNG are five times as large with all their colours.
    Image.open(drawn, formats=["PNG"]).convert("RGB").quantize(COLORS).save(path, "PNG", optimize=True)


def _save(figure: Figure, path: Path) -> None:
    # Without the version stamp, the same figure gives the same bytes.
    figure.savefig(path, dpi=110, metadata={"Software": None})
