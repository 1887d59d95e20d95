"""Classification metrics on held-out pictures: error with interval, precision, recall, confusion, top losses."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from spotter.bundle.second_look import SecondLook
from spotter.config import TrainConfig
from spotter.decide.cost_figures import CostFigures
from spotter.decide.set_figures import SetFigures
from spotter.evaluate.calibration import Calibration, calibrate, unscale
from spotter.evaluate.learning_curve import LearningCurve
from spotter.evaluate.sources import SourceErrors
from spotter.evaluate.stress_rows import StressTest
from spotter.utils.stats import wilson_interval
from spotter.utils.text import plural


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
    """The threshold, and the share of held-out pictures (`accepted`, in [0, 1]) at or above it.

    `certainty` says how much the classifier's doubts count (see `spotter.inference.familiarity`). `with_views`: the
    reference holds shifted views of the pictures too.
    """

    threshold: float
    accepted: float
    neighbours: int
    certainty: float = 0.0
    with_views: bool = False


@dataclass(frozen=True)
class SecondLookFigures:
    """What the second look was chosen by: of so many held-out pictures and shifted views that were not familiar
    (`unsure`), it answers `answered`, and `wrong` of these wrongly; of so many `strangers`, it lets in `let_in` more
    than the first look. The strangers are held-out pictures, and a model that lacks their class.
    """

    second_look: SecondLook
    unsure: int
    answered: int
    wrong: int
    strangers: int
    let_in: int

    def sentence(self) -> str:
        """It in words."""
        return (
            f"of {plural(self.unsure, 'held-out picture')} and shifted views that were not sure, it answers "
            f"{self.answered}, {self.wrong} of them wrong; of {plural(self.strangers, 'stranger')}, {self.let_in} more"
        )


@dataclass(frozen=True)
class Evaluation:
    """Figures over pictures that the judged classifier did not see.

    `error` is wrong / pictures, `error_interval` its Wilson 95 % interval; `confusion[i][j]` counts pictures of
    class i that were called class j. `calibration` is of the probabilities after temperature scaling, `uncalibrated` of
    those before; each fold is scaled by a temperature that the other folds chose, `temperature` is what all chose.
    `learning` is None where there is no learning curve, `stress` where there was no stress test, `sources` where
    nobody knows (`sources_unknown` says why), `costs` where nobody said what mistakes cost, `sets` where too few
    pictures were held out, `second_look` where there is none. `strips` warns where one class alone has strips of text.
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
    temperature: float
    calibration: Calibration
    uncalibrated: Calibration
    learning: LearningCurve | None
    stress: StressTest | None = None
    sources: SourceErrors | None = None
    costs: CostFigures | None = None
    sets: SetFigures | None = None
    second_look: SecondLookFigures | None = None
    sources_unknown: str = ""
    strips: str = ""

    def as_json(self) -> dict[str, Any]:
        """The contents of `metrics.json`."""
        return asdict(self) | {"stress": self.stress.as_json() if self.stress else None}

    def sentence(self) -> str:
        """The error in words, with its interval."""
        low, high = self.error_interval
        return (
            f"{self.wrong} of {self.pictures} wrong: error {self.error:.1%} "
            f"(95 % interval {low:.1%} to {high:.1%}; {self.how})"
        )

    def elsewhere(self) -> str:
        """The error on pictures of sources that training never saw, in words, or why nobody knows it."""
        if self.sources:
            return self.sources.sentence()
        return f"nobody knows the error on pictures from elsewhere: {self.sources_unknown or 'it was not measured'}"

    def advice(self) -> str:
        """What more pictures would bring, and of which class they are needed most; "" where that was not measured."""
        if self.learning is None:
            return ""
        outlook, classes = self.learning.outlook, sorted(self.classes, key=lambda figures: figures.pictures)
        is_uneven = classes[-1].pictures > TrainConfig.uneven * classes[0].pictures
        if not (outlook.is_worth_it and is_uneven):
            return outlook.sentence
        return f"{outlook.sentence} Of {classes[0].label} there are fewest, so begin with those."

    def brief(self) -> str:
        """The error in words for a visitor of the page."""
        low, high = self.error_interval
        return f"Wrong on {self.error:.1%} of pictures it did not see (95 % interval {low:.1%} to {high:.1%})"


def evaluate(
    probabilities: np.ndarray,
    targets: np.ndarray,
    labels: Sequence[str],
    files: Sequence[str],
    known: Familiarity,
    how: str,
    temperature: float = 1.0,
    judged_temperatures: np.ndarray | None = None,
    learning: LearningCurve | None = None,
) -> Evaluation:
    """Judge probabilities, shape (n, classes), of pictures that the classifier did not see.

    Args:
        targets: int64 (n,), indexes into `labels`. files: n names, for the top losses.
        known: the familiarity threshold and its acceptance. how: says in words what "did not see" means.
        temperature: what the published logits are divided by.
        judged_temperatures: what those of each of these pictures were, (n,); None: the same.
    """
    predicted = probabilities.argmax(axis=1)
    confusion = np.zeros((len(labels), len(labels)), dtype=int)
    np.add.at(confusion, (targets, predicted), 1)
    wrong, total = int((predicted != targets).sum()), len(targets)
    losses = -np.log(np.clip(probabilities[np.arange(total), targets], 1e-12, 1))
    worst = np.argsort(-losses, kind="stable")[:9]
    calibration = calibrate(probabilities, targets)
    divisors = temperature if judged_temperatures is None else judged_temperatures[:, None]
    return Evaluation(
        how=how,
        pictures=total,
        wrong=wrong,
        error=wrong / total,
        error_interval=wilson_interval(wrong, total),
        negative_log_likelihood=calibration.negative_log_likelihood,
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
        temperature=temperature,
        calibration=calibration,
        uncalibrated=calibrate(unscale(probabilities, divisors), targets),
        learning=learning,
    )


def _class_figures(label: str, index: int, confusion: np.ndarray) -> ClassFigures:
    right, given, called = confusion[index, index], confusion[index].sum(), confusion[:, index].sum()
    return ClassFigures(
        label,
        int(given),
        float(right / called) if called else None,
        float(right / given) if given else None,
    )
