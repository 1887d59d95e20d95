"""Held-out evaluation: a trained model on pictures that it did not see, and the files that say so."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spotter.config import FamiliarityConfig, TrainConfig
from spotter.data.dataset import Dataset
from spotter.data.quality import tell_strips
from spotter.decide.cost_figures import judge_costs
from spotter.decide.costs import CostTable
from spotter.decide.label_sets import COVERAGE
from spotter.decide.set_figures import judge_sets
from spotter.evaluate.learning_curve import learning_curve
from spotter.evaluate.metrics import Evaluation, evaluate
from spotter.evaluate.ood import Strangers, choose_familiarity, score_known
from spotter.train.processes import run_in_fork

if TYPE_CHECKING:
    # For its fields alone: the cleaning page judges heads too, and has no torch.
    from spotter.train.trained import Trained


def evaluate_held_out(trained: "Trained", dataset: Dataset, folds: np.ndarray, config: FamiliarityConfig) -> Evaluation:
    """Judge a trained learner on the pictures it did not see, and choose its familiarity threshold on them too.

    There is a learning curve for heads on frozen features only: each of its points would be a fine-tuning of its own.
    """
    judged, targets = trained.judged, dataset.targets
    known = choose_familiarity(trained, targets, folds, config)
    files = [str(record.file) for record, is_judged in zip(dataset.records, judged, strict=True) if is_judged]
    learning = None
    if judged.all():
        settings = TrainConfig(strengths=(trained.head.strength,))
        learning = learning_curve(trained.features, targets, folds, settings, dataset.groups, trained.head.balanced)
    evaluation = evaluate(
        trained.probabilities,
        targets[judged],
        dataset.labels,
        files,
        known,
        trained.how,
        temperature=trained.head.temperature,
        judged_temperatures=trained.judged_temperatures,
        learning=learning,
    )
    return replace(evaluation, strips=tell_strips(dataset))


def judge_decisions(
    evaluation: Evaluation,
    trained: "Trained",
    dataset: Dataset,
    folds: np.ndarray,
    costs: CostTable | None,
    coverage: float = COVERAGE,
) -> Evaluation:
    """Add what decisions would have cost on the judged pictures, where somebody said what mistakes cost, and how often
    sets of labels hold the truth."""
    judged, known = trained.judged, evaluation.familiarity
    familiar = score_known(trained, folds, known, FamiliarityConfig()) >= known.threshold
    shares, targets = trained.probabilities, dataset.targets[judged]
    return replace(
        evaluation,
        costs=judge_costs(costs, shares, familiar, targets, dataset.groups[judged]) if costs else None,
        sets=judge_sets(dataset.labels, shares, familiar, targets, folds[judged], coverage),
    )


def held_out_probabilities(trained: "Trained", features: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Class probabilities, (k, classes), of other features (k, width) of judged pictures, by heads that never saw them.

    Args:
        folds: int64 (k,), of the pictures that the features are of.
    """
    if trained.judged.all():
        return trained.head.held_out_probabilities(features, folds)
    return trained.head.probabilities(features)


def write_evaluation(evaluation: Evaluation, strangers: Strangers | None, dataset: Dataset, folder: Path) -> None:
    """Write `metrics.json`, `confusion.png` and `top_losses.png` into `folder`."""
    told = evaluation.as_json() | ({"strangers": strangers.as_json()} if strangers else {})
    # Where matplotlib is loaded already.
    numbered = run_in_fork("spotter.evaluate.plots", "draw_plots", evaluation, dataset, folder)
    if numbered:
        told["numbered"] = {str(number): label for number, label in numbered.items()}
    text = json.dumps(told, indent=2, ensure_ascii=False)
    (folder / "metrics.json").write_text(text + "\n", encoding="utf-8")


def sentences(evaluation: Evaluation, strangers: Strangers | None) -> list[str]:
    """What there is to say about a trained model, a sentence each."""
    said = [
        evaluation.sentence(),
        f"calibration: expected error {evaluation.calibration.expected_calibration_error:.1%} of the probabilities "
        f"(before temperature scaling {evaluation.uncalibrated.expected_calibration_error:.1%}); "
        f"{evaluation.calibration.sentence()}",
    ]
    if evaluation.learning:
        said.append(evaluation.advice())
    if evaluation.stress:
        said += [f"stress test: {evaluation.stress.sentence()}", evaluation.stress.advice()]
    said.append(evaluation.elsewhere())
    if sets := evaluation.sets:
        said += [line for line in (sets.sentence(), sets.remark) if line]
    if costs := evaluation.costs:
        said += [line for line in (costs.sentence(), costs.remaining(), costs.remark) if line]
    if strangers:
        low, high = strangers.refused_interval
        said.append(
            f"strangers: {strangers.refused} of {strangers.pictures} refused (95 % interval {low:.1%} to {high:.1%}), "
            f"{strangers.accepted_known:.1%} of known pictures accepted, AUROC {strangers.auroc:.3f}"
        )
    return said
