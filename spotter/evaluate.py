"""How good a classifier is, with intervals; the familiarity threshold; and the plots."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from spotter.config import FamiliarityConfig
from spotter.dataset import Dataset
from spotter.images import fit_within, load_picture
from spotter.learner import Trained
from spotter.licenses import may_be_shown
from spotter.predictor import familiarity


@dataclass(frozen=True)
class ClassFigures:
    """Precision and recall of one class, in [0, 1]; None where no picture was predicted (or given) that label."""

    label: str
    pictures: int
    precision: float | None
    recall: float | None


@dataclass(frozen=True)
class TopLoss:
    """A picture that the classifier got most wrong: `file` is relative to the picture set."""

    file: str
    prediction: str
    actual: str
    loss: float
    probability: float


@dataclass(frozen=True)
class Familiarity:
    """The threshold, and the share of held-out pictures (`accepted`, in [0, 1]) at or above it."""

    threshold: float
    accepted: float
    neighbours: int


@dataclass(frozen=True)
class Evaluation:
    """Figures over pictures that the judged classifier did not see.

    `error` is wrong / pictures, `error_interval` its Wilson 95 % interval; `confusion[i][j]` counts pictures of
    class i that were called class j.
    """

    how: str
    pictures: int
    wrong: int
    error: float
    error_interval: tuple[float, float]
    negative_log_likelihood: float
    classes: tuple[ClassFigures, ...]
    confusion: tuple[tuple[int, ...], ...]
    top_losses: tuple[TopLoss, ...]
    familiarity: Familiarity

    def as_json(self) -> dict[str, Any]:
        """The contents of `metrics.json`."""
        return asdict(self)

    def sentence(self) -> str:
        """The error in words, with its interval."""
        low, high = self.error_interval
        return (
            f"{self.wrong} of {self.pictures} wrong: error {self.error:.1%} "
            f"(95 % interval {low:.1%} to {high:.1%}; {self.how})"
        )

    def brief(self) -> str:
        """The error in words for a visitor of the page."""
        low, high = self.error_interval
        return f"Wrong on {self.error:.1%} of pictures it did not see (95 % interval {low:.1%} to {high:.1%})"


def judge(trained: Trained, dataset: Dataset, folds: np.ndarray, config: FamiliarityConfig) -> Evaluation:
    """Judge a trained learner on the pictures it did not see, and choose its familiarity threshold on them too."""
    judged, embeddings = trained.judged, trained.embeddings
    if judged.all():
        known = familiarity_on_folds(embeddings, folds, config)
    else:
        known = familiarity_on_held_out(embeddings[judged], embeddings[trained.learnt_from], config)
    files = [str(record.file) for record, is_judged in zip(dataset.records, judged, strict=True) if is_judged]
    return evaluate(trained.probabilities, dataset.targets[judged], dataset.labels, files, known, trained.how)


def write_evaluation(evaluation: Evaluation, dataset: Dataset, folder: Path) -> None:
    """Write `metrics.json`, `confusion.png` and `top_losses.png` into `folder`."""
    text = json.dumps(evaluation.as_json(), indent=2, ensure_ascii=False)
    (folder / "metrics.json").write_text(text + "\n", encoding="utf-8")
    plot_confusion(evaluation, folder / "confusion.png")
    plot_top_losses(evaluation, dataset, folder / "top_losses.png")


def evaluate(
    probabilities: np.ndarray,
    targets: np.ndarray,
    labels: Sequence[str],
    files: Sequence[str],
    known: Familiarity,
    how: str,
) -> Evaluation:
    """Judge probabilities, shape (n, classes), of pictures that the classifier did not see.

    Args:
        targets: int64 (n,), indexes into `labels`. files: n names, for the top losses.
        known: the familiarity threshold and its acceptance. how: says in words what "did not see" means.
    """
    predicted = probabilities.argmax(axis=1)
    confusion = np.zeros((len(labels), len(labels)), dtype=int)
    np.add.at(confusion, (targets, predicted), 1)
    wrong, total = int((predicted != targets).sum()), len(targets)
    losses = -np.log(np.clip(probabilities[np.arange(total), targets], 1e-12, 1))
    worst = np.argsort(-losses, kind="stable")[:9]
    return Evaluation(
        how=how,
        pictures=total,
        wrong=wrong,
        error=wrong / total,
        error_interval=wilson_interval(wrong, total),
        negative_log_likelihood=float(losses.mean()),
        classes=tuple(_class_figures(label, index, confusion) for index, label in enumerate(labels)),
        confusion=tuple(tuple(int(count) for count in row) for row in confusion),
        top_losses=tuple(
            TopLoss(
                files[index],
                labels[predicted[index]],
                labels[targets[index]],
                round(float(losses[index]), 4),
                round(float(probabilities[index].max()), 4),
            )
            for index in worst
        ),
        familiarity=known,
    )


def wilson_interval(count: int, total: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson score interval of the share count / total (z = 1.96: 95 %).

    Source: E. B. Wilson, J. Am. Stat. Assoc. 22 (1927) 209.
    """
    share = count / total
    centre = share + z * z / (2 * total)
    reach = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    return max(0.0, (centre - reach) / scale), min(1.0, (centre + reach) / scale)


def familiarity_on_folds(embeddings: np.ndarray, folds: np.ndarray, config: FamiliarityConfig) -> Familiarity:
    """Choose the threshold on held-out folds: each picture is compared with those of the other folds only."""
    scores = np.zeros(len(embeddings))
    for fold in np.unique(folds):
        out = folds == fold
        scores[out] = familiarity(embeddings[out], embeddings[~out], config.neighbours)
    return _threshold(scores, config)


def familiarity_on_held_out(embeddings: np.ndarray, reference: np.ndarray, config: FamiliarityConfig) -> Familiarity:
    """Choose the threshold on held-out pictures, compared with the training pictures `reference`."""
    return _threshold(familiarity(embeddings, reference, config.neighbours), config)


def plot_confusion(evaluation: Evaluation, path: Path) -> None:
    """Draw the confusion matrix as a PNG."""
    labels = [figures.label for figures in evaluation.classes]
    counts = np.array(evaluation.confusion)
    side = max(4.5, 0.55 * len(labels) + 2.5)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1), cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(counts.shape):
        dark = counts[row, column] > counts[row].sum() / 2
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", color="white" if dark else "black")
    axes.set_xticks(range(len(labels)), labels, rotation=45 if len(labels) > 4 else 0)
    axes.set_yticks(range(len(labels)), labels)
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
            axes.imshow(np.asarray(fit_within(load_picture(dataset.folder / top.file), 320)))
        else:
            axes.imshow(np.full((240, 320, 3), 225, dtype=np.uint8))
            axes.text(160, 120, "not shown:\nno licence to publish it", ha="center", va="center", fontsize=9)
        right = top.prediction == top.actual
        axes.set_title(
            f"{top.prediction} / {top.actual} / {top.loss:.2f} / {top.probability:.2f}",
            fontsize=9,
            color="black" if right else "firebrick",
        )
    _save(figure, path)


def _class_figures(label: str, index: int, confusion: np.ndarray) -> ClassFigures:
    right, given, called = confusion[index, index], confusion[index].sum(), confusion[:, index].sum()
    return ClassFigures(
        label,
        int(given),
        float(right / called) if called else None,
        float(right / given) if given else None,
    )


def _threshold(scores: np.ndarray, config: FamiliarityConfig) -> Familiarity:
    # A score of the data itself, not one between two: at least `accept` of the held-out pictures pass it.
    threshold = float(np.quantile(scores, 1 - config.accept, method="lower"))
    return Familiarity(threshold, float((scores >= threshold).mean()), config.neighbours)


def _save(figure: Figure, path: Path) -> None:
    # Without the version stamp, the same figure gives the same bytes.
    figure.savefig(path, dpi=110, metadata={"Software": None})
