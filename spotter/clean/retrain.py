"""Quick retraining for the cleaning page: a head on cached features, in seconds, against the last run. No torch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from spotter.config import FamiliarityConfig
from spotter.data.cache import FOLDER, FeatureCache
from spotter.data.dataset import Dataset
from spotter.data.duplicates import confirm_duplicates
from spotter.data.edit_log import Edit
from spotter.data.edits import apply_edits
from spotter.data.manifest import read_dataset, with_disputed
from spotter.data.splits import deal_folds, positions
from spotter.data.training_run import Run, spread
from spotter.errors import NoTrainingRun
from spotter.evaluate.ood import choose_familiarity, score_known
from spotter.train.trained import learn_head
from spotter.train.views import ViewKind, Views, plan_views, read_views
from spotter.utils.stats import wilson_interval


@dataclass(frozen=True)
class Figures:
    """`wrong` of `pictures` by heads that did not see them, and the Wilson 95 % interval of that share."""

    pictures: int
    wrong: int
    interval: tuple[float, float]

    @property
    def error(self) -> float:
        return self.wrong / self.pictures


@dataclass(frozen=True)
class Change:
    """A picture whose answer is right now and was not, or the other way round; the labels it has and was called."""

    key: str
    label: str
    was_label: str
    was: str
    now: str

    @property
    def is_right(self) -> bool:
        return self.now == self.label


@dataclass(frozen=True)
class Retrained:
    """A run over the cleaned set, and what it changed.

    `before` is the last run by the labels it learnt from, `relabelled` the same answers by the labels of now, over the
    pictures that are still there; `after` is the new run. `missing` pictures have no cached features yet.
    """

    run: Run
    before: Figures
    relabelled: Figures
    after: Figures
    changes: tuple[Change, ...]
    missing: int


def retrain(run: Run, edits: Sequence[Edit]) -> Retrained:
    """Fit a head on what the edits leave of the set, on folds as train.py deals them, and judge it out of fold, or on
    the pictures that the author of the set keeps for that.

    Raises:
        NoTrainingRun: the cached features are gone. TooFewPictures: the edits leave a class with too few.
        TrainingFailed: the features are not numbers.
    """
    everything = with_disputed(read_dataset(run.folder, run.recipe.labels))
    known, features = _with_features(everything, run)
    known, _ = confirm_duplicates(known, features / np.linalg.norm(features, axis=1, keepdims=True))
    dataset = apply_edits(known, edits).dataset
    features = features[positions(known, dataset)]
    folds = deal_folds(known, dataset, run.config)
    cropped, shifted = (_views(dataset, run, kind, plan) for kind, plan in plan_views(dataset, run.config))
    _, judged = learn_head(dataset, folds, features, run.config, cropped, shifted)
    config, rows = FamiliarityConfig(), judged.judged
    familiar = choose_familiarity(judged, dataset.targets, folds, config)
    new = replace(
        run,
        threshold=familiar.threshold,
        keys=tuple(str(record.sha256) for record in dataset.records),
        given=tuple(record.label for record in dataset.records),
        probabilities=spread(judged.probabilities, rows),
        familiarity=spread(score_known(judged, folds, familiar, config), rows),
        folds=folds,
    )
    given, called = _answers(run)
    now, called_now = _answers(new)
    changes = [
        Change(key, label, given[key], called[key], called_now[key])
        for key, label in now.items()
        if key in called and (called[key] == given[key]) != (called_now[key] == label)
    ]
    there = [key for key in called if key in now]
    return Retrained(
        new,
        before=_figures([called[key] == given[key] for key in called]),
        relabelled=_figures([called[key] == now[key] for key in there]),
        after=_figures([called_now[key] == label for key, label in now.items()]),
        changes=tuple(sorted(changes, key=lambda change: (change.is_right, change.key))),
        missing=len(everything.records) - len(known.records),
    )


def _with_features(dataset: Dataset, run: Run) -> tuple[Dataset, np.ndarray]:
    features, known = _cache(run).read([str(record.sha256) for record in dataset.records])
    there = tuple(record for record, is_known in zip(dataset.records, known, strict=True) if is_known)
    if not there:
        raise NoTrainingRun(
            f"There are no cached features of the pictures in {str(run.folder)!r}; run spotter train again."
        )
    return replace(dataset, records=there), features[known]


def _cache(run: Run) -> FeatureCache:
    return FeatureCache(run.folder / FOLDER, run.features, run.width)


def _views(dataset: Dataset, run: Run, kind: ViewKind, plan: list[tuple[int, int]]) -> Views | None:
    """The views of a plan whose features are cached; None if there are none."""
    views = read_views(kind, _cache(run), [str(record.sha256) for record in dataset.records], plan)
    return views if len(views.of) else None


def _answers(run: Run) -> tuple[dict[str, str], dict[str, str]]:
    """For each judged picture of a run: the label it had, and what it was called."""
    judged = ~np.isnan(run.probabilities).any(axis=1)
    names = run.recipe.labels
    called = {run.keys[i]: names[int(run.probabilities[i].argmax())] for i in np.flatnonzero(judged)}
    return {key: label for key, label in zip(run.keys, run.given, strict=True) if key in called}, called


def _figures(right: Sequence[bool]) -> Figures:
    wrong = len(right) - sum(right)
    return Figures(len(right), wrong, wilson_interval(wrong, len(right)))
