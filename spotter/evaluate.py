"""How good a classifier is, with intervals; what its probabilities are worth; what more pictures would bring; plots."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import auc, roc_curve

from spotter.config import FamiliarityConfig, TrainConfig
from spotter.dataset import Dataset
from spotter.head import fit_linear, negative_log_likelihood, softmax
from spotter.images import fit_within, load_picture
from spotter.intervals import wilson_interval as wilson_interval
from spotter.licenses import may_be_shown
from spotter.reference import score
from spotter.thinning import thin
from spotter.utils.text import percent

if TYPE_CHECKING:
    # For its fields alone: the cleaning page judges heads too, and has no torch.
    from spotter.learner import Trained

RELIABILITY_BINS = 15
SHARES = (0.2, 0.4, 0.6, 0.8, 1.0)
MORE_PER_CLASS = 50
# With more labels than this, the confusion matrix is drawn small, and its empty cells stay empty.
MANY_LABELS = 30
# Fewer wrong answers than this have no trend.
FEWEST_WRONG = 3
# A fall of the error by less than this part of it is not worth the pictures.
HARDLY = 0.1


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
class ReliabilityBin:
    """Pictures of about one top probability: their number, its mean (`confidence`), and the share that was right."""

    pictures: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """What probabilities are worth: expected calibration error in [0, 1], loss in nats, and the bins not empty.

    Source: Guo et al., On Calibration of Modern Neural Networks (2017), section 2; equal-width bins of the top
    probability, each without its lower edge.
    """

    expected_calibration_error: float
    negative_log_likelihood: float
    bins: tuple[ReliabilityBin, ...]


@dataclass(frozen=True)
class LearningPoint:
    """The error of heads that learnt from `share` of the other folds, `learnt_from` pictures on average.

    `wrong` is the mean over the repeats, of `pictures` judged; `error_interval` is the Wilson 95 % interval. Repeats
    judge the same pictures again, so they do not narrow it.
    """

    share: float
    learnt_from: float
    pictures: int
    wrong: float
    error: float
    error_interval: tuple[float, float]


@dataclass(frozen=True)
class Outlook:
    """The error as floor + scale * (pictures learnt from) ** -power, and what follows from it, in words.

    `now` and `then` are that curve's errors, in [0, 1], today and with `MORE_PER_CLASS` more pictures a class;
    `fall_interval` holds 90 % of the falls between them that resampled pictures give. All are None when nothing can
    be said.
    """

    sentence: str
    floor: float | None = None
    scale: float | None = None
    power: float | None = None
    now: float | None = None
    then: float | None = None
    fall_interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class LearningCurve:
    """How the error falls with the pictures learnt from, each point over so many `repeats`."""

    points: tuple[LearningPoint, ...]
    repeats: int
    outlook: Outlook


@dataclass(frozen=True)
class Strangers:
    """Pictures of none of the classes against held-out ones of them: how well familiarity tells them apart.

    `auroc` in [0, 1] (0.5: not at all); `refused` of the `pictures` are below the threshold, with the Wilson 95 %
    interval of that share; `accepted_known` is the share of known pictures at or above it; `roc` has points
    (share of strangers accepted, share of known pictures accepted).
    """

    pictures: int
    auroc: float
    refused: int
    refused_interval: tuple[float, float]
    accepted_known: float
    roc: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Evaluation:
    """Figures over pictures that the judged classifier did not see.

    `error` is wrong / pictures, `error_interval` its Wilson 95 % interval; `confusion[i][j]` counts pictures of
    class i that were called class j. `calibration` is of the probabilities after temperature scaling, `uncalibrated` of
    those before; each fold is scaled by a temperature that the other folds chose, `temperature` is what all chose.
    `learning` is None where there is no learning curve.
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


def judge(trained: "Trained", dataset: Dataset, folds: np.ndarray, config: FamiliarityConfig) -> Evaluation:
    """Judge a trained learner on the pictures it did not see, and choose its familiarity threshold on them too.

    There is a learning curve for heads on frozen features only: each of its points would be a fine-tuning of its own.
    """
    judged, targets = trained.judged, dataset.targets
    known = _threshold(score_known(trained, folds, config), config)
    files = [str(record.file) for record, is_judged in zip(dataset.records, judged, strict=True) if is_judged]
    learning = None
    if judged.all():
        settings = TrainConfig(strengths=(trained.strength,))
        learning = learning_curve(trained.features, targets, folds, settings, dataset.groups, trained.balanced)
    return evaluate(
        trained.probabilities,
        targets[judged],
        dataset.labels,
        files,
        known,
        trained.how,
        temperature=trained.temperature,
        judged_temperatures=trained.judged_temperatures,
        learning=learning,
    )


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


def unscale(probabilities: np.ndarray, temperature: float | np.ndarray) -> np.ndarray:
    """Undo temperature scaling, by one number or one a row (n, 1): probabilities (n, classes) as they were before."""
    # log p is the scaled logits but for a constant a row, which softmax does not see; a class with p = 0 stays there.
    return softmax(temperature * np.log(np.clip(probabilities.astype(np.float64), 1e-300, 1)))


def calibrate(probabilities: np.ndarray, targets: np.ndarray, bins: int = RELIABILITY_BINS) -> Calibration:
    """Compare the top probability with how often it was right, for probabilities (n, classes) and targets (n,)."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == targets
    of_bin = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    filled = tuple(
        ReliabilityBin(int(inside.sum()), float(confidence[inside].mean()), float(right[inside].mean()))
        for inside in (of_bin == number for number in np.unique(of_bin))
    )
    gap = sum(each.pictures * abs(each.accuracy - each.confidence) for each in filled) / len(targets)
    return Calibration(gap, negative_log_likelihood(probabilities, targets), filled)


def learning_curve(
    features: np.ndarray,
    targets: np.ndarray,
    folds: np.ndarray,
    config: TrainConfig,
    groups: np.ndarray | None = None,
    balanced: bool = False,
) -> LearningCurve:
    """Measure the held-out error of linear heads that learn from only a share of the other folds.

    The shares are of each class, of whole groups of near duplicates, and each holds the smaller ones. The strength of
    the heads is `config.strengths[0]` throughout; with less to learn from, another might be a little better.

    Args:
        features: float32 (n, features). targets, folds: int64 (n,). groups: int64 (n,), None when all are different.
        balanced: each class has the same weight.
    """
    groups = np.arange(len(targets)) if groups is None else groups
    # The cost grows with the square of the pictures: large sets need no repeats, and a part of their folds is plenty.
    repeats = 3 if len(targets) <= 1000 else 1
    judging = np.unique(folds)[: None if len(targets) <= 2000 else 1]
    judged = np.isin(folds, judging)
    mistakes = np.zeros((len(SHARES), len(targets)))
    sizes = np.zeros(len(SHARES))
    for repeat, fold in np.ndindex(repeats, len(judging)):
        out = folds == judging[fold]
        rng = np.random.default_rng((config.seed, repeat, fold))
        for row, chosen in enumerate(_nested_shares(np.flatnonzero(~out), targets, groups, rng)):
            head = fit_linear(features[chosen], targets[chosen], config.strengths[:1], balanced)[0]
            predicted = head.probabilities(features[out]).argmax(axis=1)
            mistakes[row, out] += (predicted != targets[out]) / repeats
            sizes[row] += len(chosen) / (repeats * len(judging))
    mistakes = mistakes[:, judged]
    total = mistakes.shape[1]
    points = tuple(
        LearningPoint(share, size, total, wrong, wrong / total, wilson_interval(wrong, total))
        for share, size, wrong in zip(
            SHARES, sizes.round(1).tolist(), mistakes.sum(axis=1).round(4).tolist(), strict=True
        )
    )
    return LearningCurve(points, repeats, foresee(sizes, mistakes, len(np.unique(targets)), config.seed))


def foresee(sizes: np.ndarray, mistakes: np.ndarray, classes: int, seed: int = 0) -> Outlook:
    """Say what more pictures would bring, by a power law fitted to the errors at several sizes.

    Args:
        sizes: (sizes,), pictures learnt from, ascending. mistakes: (sizes, n) in [0, 1], how often a picture was
            wrong. classes: how many there are.
    """
    total, wrong = mistakes.shape[1], float(mistakes[-1].sum())
    if wrong < FEWEST_WRONG:
        return Outlook("Too few pictures are wrong to say what more of them would bring.")
    if sizes[0] == sizes[-1]:
        return Outlook("There are too few different pictures to leave some out and see what more of them would bring.")
    draws = np.random.default_rng(seed).multinomial(total, np.full(total, 1 / total), size=400)
    errors = np.concatenate([mistakes.mean(axis=1)[None], draws @ mistakes.T / total])
    floor, scale, power = _fit_power_laws(sizes, errors, total)
    now, then = (floor + scale * size**-power for size in (sizes[-1], sizes[-1] + MORE_PER_CLASS * classes))
    low, high = (float(fall) for fall in np.quantile((now - then)[1:], [0.05, 0.95]))
    if then[0] > (1 - HARDLY) * now[0]:
        sentence = (
            f"More pictures of the same kind would hardly help: the error is about {percent(now[0])}, and with "
            f"another {MORE_PER_CLASS} per class it would be about {percent(then[0])}"
        )
    else:
        sentence = (
            f"Another {MORE_PER_CLASS} pictures per class would bring the error from about {percent(now[0])} to about "
            f"{percent(then[0])}, if it goes on falling as it did"
        )
    return Outlook(
        f"{sentence} (a fall by {100 * low:.1f} to {100 * high:.1f} points would fit the measurements too).",
        floor=round(float(floor[0]), 6),
        scale=round(float(scale[0]), 6),
        power=round(float(power[0]), 6),
        now=round(float(now[0]), 6),
        then=round(float(then[0]), 6),
        fall_interval=(round(low, 6), round(high, 6)),
    )


def sentences(evaluation: Evaluation, strangers: Strangers | None) -> list[str]:
    """What there is to say about a trained model, a sentence each."""
    said = [
        evaluation.sentence(),
        f"calibration: expected error {evaluation.calibration.expected_calibration_error:.1%} of the probabilities "
        f"(before temperature scaling {evaluation.uncalibrated.expected_calibration_error:.1%})",
    ]
    if evaluation.learning:
        said.append(evaluation.learning.outlook.sentence)
    if strangers:
        low, high = strangers.refused_interval
        said.append(
            f"strangers: {strangers.refused} of {strangers.pictures} refused (95 % interval {low:.1%} to {high:.1%}), "
            f"{strangers.accepted_known:.1%} of known pictures accepted, AUROC {strangers.auroc:.3f}"
        )
    return said


def judge_strangers(
    evaluation: Evaluation, trained: "Trained", folds: np.ndarray, strangers: np.ndarray, config: FamiliarityConfig
) -> Strangers:
    """Judge the published threshold on embeddings, float32 (k, d) of length 1, of pictures of none of the classes."""
    known = score_known(trained, folds, config)
    reference = make_reference(trained, folds, config)
    return evaluate_strangers(reference, known, strangers, evaluation.familiarity.threshold, config.neighbours)


def evaluate_strangers(
    reference: np.ndarray, known_scores: np.ndarray, strangers: np.ndarray, threshold: float, neighbours: int
) -> Strangers:
    """Judge how well familiarity tells pictures of none of the classes from held-out pictures of them.

    Args:
        reference: the published reference embeddings (m, d). known_scores: (n,), from `score_known`.
        strangers: embeddings (k, d) of pictures of none of the classes; all embeddings are of length 1.
    """
    scores = score(strangers, reference, neighbours)
    is_known = np.repeat([1, 0], [len(known_scores), len(scores)])
    false, true, _ = roc_curve(is_known, np.concatenate([known_scores, scores]))
    refused = int((scores < threshold).sum())
    return Strangers(
        pictures=len(scores),
        auroc=float(auc(false, true)),
        refused=refused,
        refused_interval=wilson_interval(refused, len(scores)),
        accepted_known=float((known_scores >= threshold).mean()),
        roc=tuple(zip(false.tolist(), true.tolist(), strict=True)),
    )


def make_reference(trained: "Trained", folds: np.ndarray, config: FamiliarityConfig) -> np.ndarray:
    """The published reference embeddings, float32 (m, d): of what was learnt from, or what stands for it."""
    return thin(trained.embeddings[trained.learnt_from], folds[trained.learnt_from], config)[0]


def score_known(trained: "Trained", folds: np.ndarray, config: FamiliarityConfig) -> np.ndarray:
    """Familiarity of the judged pictures, shape (judged.sum(),): each is compared with others than its own fold's."""
    if trained.judged.all():
        return score_folds(trained.embeddings, folds, config)
    return score(trained.embeddings[trained.judged], make_reference(trained, folds, config), config.neighbours)


def score_folds(embeddings: np.ndarray, folds: np.ndarray, config: FamiliarityConfig) -> np.ndarray:
    """Familiarity, shape (n,), of each picture to the reference embeddings that stand for the other folds."""
    scores = np.zeros(len(embeddings))
    reference, stands_for = thin(embeddings, folds, config)
    for fold in np.unique(folds):
        out = folds == fold
        scores[out] = score(embeddings[out], reference[stands_for != fold], config.neighbours)
    return scores


def familiarity_on_folds(embeddings: np.ndarray, folds: np.ndarray, config: FamiliarityConfig) -> Familiarity:
    """Choose the threshold on held-out folds: each picture is compared with those of the other folds only."""
    return _threshold(score_folds(embeddings, folds, config), config)


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


def _nested_shares(
    candidates: np.ndarray, targets: np.ndarray, groups: np.ndarray, rng: np.random.Generator
) -> list[np.ndarray]:
    """For each of `SHARES`, the positions of that share of the candidates: of each class, and whole groups."""
    chosen: list[list[np.ndarray]] = [[] for _ in SHARES]
    for target in np.unique(targets[candidates]):
        members = candidates[targets[candidates] == target]
        _, numbers = np.unique(groups[members], return_inverse=True)
        turns = rng.permutation(numbers.max() + 1)[numbers]
        order = np.argsort(turns, kind="stable")
        ends = np.flatnonzero(np.diff(turns[order], append=-1)) + 1
        for row, share in enumerate(SHARES):
            chosen[row].append(members[order[: ends[np.argmin(abs(ends - share * len(members)))]]])
    return [np.sort(np.concatenate(parts)) for parts in chosen]


def _fit_power_laws(sizes: np.ndarray, errors: np.ndarray, total: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Least squares of floor + scale * size ** -power, none of them negative, for each row of errors (rows, sizes).

    Errors are weighted by how well so many pictures in total measure them.
    """
    smoothed = (errors[0] * total + 1) / (total + 2)
    weights = total / (smoothed * (1 - smoothed))
    weights = weights / weights.sum()
    best = np.full((len(errors), 4), np.inf)
    # Powers beyond 1 are for errors that fell down a cliff and stayed: a flatter law would promise further falls.
    for power in np.linspace(0.1, 3, 30):
        falls = (sizes / sizes[-1]) ** -power
        mean_fall, mean_error = weights @ falls, errors @ weights
        centred = weights * (falls - mean_fall)
        slope = (errors @ centred) / (centred @ falls)
        through_zero = (errors @ (weights * falls)) / (weights @ falls**2)
        # Within the bounds the loss is least at the free minimum or on a bound.
        scale = np.where(slope < 0, 0, np.where(mean_error - slope * mean_fall < 0, through_zero, slope))
        floor = np.maximum(np.where(scale > 0, mean_error - scale * mean_fall, mean_error), 0)
        floor = np.where(scale == through_zero, 0, floor)
        loss = (errors - floor[:, None] - scale[:, None] * falls) ** 2 @ weights
        better = loss < best[:, 3] - 1e-15
        best[better] = np.stack([floor, scale * sizes[-1] ** power, np.full(len(errors), power), loss], axis=1)[better]
    return best[:, 0], best[:, 1], best[:, 2]


def _threshold(scores: np.ndarray, config: FamiliarityConfig) -> Familiarity:
    # A score of the data itself, not one between two: at least `accept` of the held-out pictures pass it.
    threshold = float(np.quantile(scores, 1 - config.accept, method="lower"))
    return Familiarity(threshold, float((scores >= threshold).mean()), config.neighbours)


def _save(figure: Figure, path: Path) -> None:
    # Without the version stamp, the same figure gives the same bytes.
    figure.savefig(path, dpi=110, metadata={"Software": None})
