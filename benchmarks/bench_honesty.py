"""How honest a model is: calibration, strangers, and whether swapped labels are found, against the tutorial's model."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from spotter.collect.collector import collect
from spotter.collect.picture_set import picture_folder
from spotter.config import FamiliarityConfig, TrainConfig
from spotter.data.dataset import Dataset
from spotter.data.duplicates import confirm_duplicates
from spotter.data.splits import assign_folds
from spotter.evaluate.calibration import calibrate
from spotter.evaluate.held_out import evaluate_held_out
from spotter.evaluate.ood import judge_strangers
from spotter.recipe import read_recipe
from spotter.search import get_backends
from spotter.train.backbone import compute_features, folder_features, load_backbone
from spotter.train.features import Backbone, embed
from spotter.train.head import fit_head
from spotter.train.trained import Trained, train_head

SWAPPED = 20


@dataclass(frozen=True)
class Own:
    """The model of the run that has just ended, made again from its cached features."""

    dataset: Dataset
    folds: np.ndarray
    backbone: Backbone
    trained: Trained

    @property
    def wrong(self) -> dict[str, bool]:
        """Which pictures, by name, the heads that had not seen them got wrong."""
        wrong = self.trained.probabilities.argmax(axis=1) != self.dataset.targets
        return {path.name: bool(is_wrong) for path, is_wrong in zip(self.dataset.paths, wrong, strict=True)}


@dataclass(frozen=True)
class Tutorial:
    """What the tutorial's models said of held-out pictures (n, classes) with targets (n,), and their sureness (n,) of
    strangers."""

    probabilities: np.ndarray
    targets: np.ndarray
    strangers: np.ndarray


def train_again(source: str, data: Path) -> Own:
    """Repeat the run of train.py over the bears' recipe that left its pictures in `data`."""
    recipe, config = read_recipe(Path("recipes/bears.toml")), TrainConfig()
    dataset = collect(recipe, get_backends(source), picture_folder(data, recipe, source))
    backbone = load_backbone(config)
    features = compute_features(backbone, dataset)
    dataset, _ = confirm_duplicates(dataset, embed(features))
    folds = assign_folds(dataset, config.folds, config.seed)
    return Own(dataset, folds, backbone, train_head(dataset, folds, backbone, features, config))


def compare_honesty(own: Own, tutorial: Tutorial, unfamiliar: Path | None) -> list[str]:
    """The rows of the table. Calibration of both is on pictures that they had not seen."""
    config = FamiliarityConfig()
    evaluation = evaluate_held_out(own.trained, own.dataset, own.folds, config)
    theirs = calibrate(tutorial.probabilities, tutorial.targets)
    ours = evaluation.calibration
    rows = [
        f"| Expected calibration error, {len(tutorial.targets)} and {evaluation.pictures} held-out pictures "
        f"| {theirs.expected_calibration_error:.1%} | {ours.expected_calibration_error:.1%} | |"
    ]
    if unfamiliar:
        (_, features), trained = folder_features(unfamiliar, own.backbone), own.trained
        strangers = judge_strangers(evaluation.familiarity, trained, trained.head, own.folds, features, config)
        sure = tutorial.probabilities.max(axis=1)
        known = np.repeat([1, 0], [len(sure), len(tutorial.strangers)])
        auroc = roc_auc_score(known, np.concatenate([sure, tutorial.strangers]))
        rows += [
            f"| Strangers told from known pictures (AUROC; the tutorial's by its largest probability) "
            f"| {auroc:.3f} | {strangers.auroc:.3f} | |",
            f"| Strangers refused, known pictures accepted | never says so | {strangers.refused} of "
            f"{strangers.pictures}, {strangers.accepted_known:.1%} | |",
        ]
    for first in (25, 40):
        found = [count_found(own, first, seed) for seed in range(5)]
        rows.append(
            f"| Of {SWAPPED} labels swapped at random, among the first {first} suspects (five draws) "
            f"| no list | {', '.join(map(str, found))} | |"
        )
    return rows


def count_found(own: Own, first: int, seed: int) -> int:
    """Swap labels, learn again, rank by the probability of the given label: how many lie among the first so many."""
    rng = np.random.default_rng(seed)
    targets = own.dataset.targets.copy()
    swapped = rng.choice(len(targets), SWAPPED, replace=False)
    targets[swapped] = (targets[swapped] + rng.integers(1, len(own.dataset.labels), SWAPPED)) % len(own.dataset.labels)
    _, probabilities = fit_head(own.trained.features, targets, own.folds, TrainConfig())
    suspects = np.argsort(probabilities[np.arange(len(targets)), targets], kind="stable")[:first]
    return len(set(suspects.tolist()) & set(swapped.tolist()))
