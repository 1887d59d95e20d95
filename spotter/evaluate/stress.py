"""The stress test: what a model makes of held-out pictures under distribution shifts, row by row, with intervals."""

import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from spotter.bundle.second_look import SecondLook
from spotter.config import FamiliarityConfig, StressConfig
from spotter.data.dataset import Dataset
from spotter.decide.label_sets import COVERAGE
from spotter.decide.set_figures import choose_by_fold, count_sets, sets_by_fold
from spotter.evaluate.held_out import held_out_probabilities
from spotter.evaluate.metrics import Familiarity
from spotter.evaluate.ood import choose_threshold, score_known, score_pictures
from spotter.evaluate.second_look import answer_again
from spotter.evaluate.shifts import GRID, SHIFTS, STRESS
from spotter.evaluate.stress_rows import StressExample, StressRow, StressTest, Unseen, count_row
from spotter.inference.familiarity import weigh
from spotter.train.head import judge_features
from spotter.train.views import FAMILIES, Views
from spotter.train.windows import Look

if TYPE_CHECKING:
    # For its fields alone.
    from spotter.train.trained import Trained


def plan_stress(dataset: Dataset, judged: np.ndarray, folds: np.ndarray, config: StressConfig) -> list[tuple[int, int]]:
    """Which pictures each shift is tried on, as many as `config` says: (row of the set, number in `GRID`).

    Only judged ones, bool (n,), and of each class the same number as far as there are. It goes by the pictures' hashes,
    so that a few more pictures change few rows. First come pictures of the folds that `judge_unseen` judges.
    """
    most = min(config.pictures, max(config.least, int(config.share * judged.sum())))
    keys = [zlib.crc32(str(record.sha256).encode()) for record in dataset.records]
    plan, targets = [], dataset.targets.tolist()
    rows = sorted(np.flatnonzero(judged).tolist(), key=keys.__getitem__)
    for number, (name, _) in enumerate(GRID):
        near = np.isin(folds, _folds_of(SHIFTS[name].family, folds))
        rank: dict[tuple[int, bool], int] = {}
        order = []
        for row in rows:
            place = targets[row], bool(near[row])
            rank[place] = rank.get(place, -1) + 1
            order.append((not near[row], rank[place], keys[row], row))
        plan += [(row, number) for *_, row in sorted(order)[:most]]
    return sorted(plan)


def judge_stress(
    trained: "Trained",
    dataset: Dataset,
    folds: np.ndarray,
    known: Familiarity,
    shifted: Views,
    planned: Sequence[tuple[int, int]],
    coverage: float = COVERAGE,
    second_look: SecondLook | None = None,
) -> StressTest:
    """Judge held-out pictures as they are, and their shifted features, each by heads that did not see the picture.

    Args:
        shifted: features of the views of `STRESS`, named as in `GRID`. planned: what they were planned to be.
        coverage: of how many pictures sets of labels are to hold the truth; those of a picture's fold are used.
        second_look: that of the model; models that never saw a shift have none.
    """
    config, targets = FamiliarityConfig(), dataset.targets
    number_of = {f"{name}/{strength}": number for number, (name, strength) in enumerate(GRID)}
    plain, truth, its_folds = trained.probabilities, targets[trained.judged], folds[trained.judged]
    accepted = score_known(trained, folds, known, config) >= known.threshold
    sets = sets_by_fold(plain, truth, its_folds, coverage)
    probabilities = held_out_probabilities(trained, shifted.features, folds[shifted.of])
    cosines = score_pictures(trained, shifted.features, folds[shifted.of], folds, known, config)
    familiar = weigh(cosines, probabilities, known.certainty) >= known.threshold
    if second_look:
        rows = np.flatnonzero(trained.judged).tolist()
        first = [Look(row, label) for row, label in zip(rows, plain.argmax(axis=1).tolist(), strict=True)]
        names, seen = shifted.names.tolist(), shifted.seen or [None] * len(shifted.of)
        first += [
            Look(row, label, number_of[name], each)
            for row, label, name, each in zip(
                shifted.of.tolist(), probabilities.argmax(axis=1).tolist(), names, seen, strict=True
            )
        ]
        joined = np.concatenate([plain, probabilities]), np.concatenate([accepted, familiar])
        said, answered = answer_again(trained, dataset, folds, known, second_look, STRESS, first, *joined)
        plain, probabilities = said[: len(plain)], said[len(plain) :]
        accepted, familiar = answered[: len(plain)], answered[len(plain) :]
    clean = make_row("clean", 0, plain, accepted, truth)
    if sets:
        clean = replace(clean, sets=count_sets(choose_by_fold(sets, plain, accepted, its_folds), truth))
    unseen = _judge_unseen(trained, targets, folds, known, shifted)
    examples = _choose_examples(dataset, shifted, probabilities, familiar)
    inside = choose_by_fold(sets, probabilities, familiar, folds[shifted.of])
    asked = Counter(number for _, number in planned)
    judged = []
    for number, (name, strength) in enumerate(GRID):
        mine = shifted.names == f"{name}/{strength}"
        row = make_row(name, strength, probabilities[mine], familiar[mine], targets[shifted.of[mine]])
        key = name, strength
        if sets:
            row = replace(row, sets=count_sets(inside[mine], targets[shifted.of[mine]]))
        judged.append(
            replace(row, blank=asked[number] - row.pictures, unseen=unseen.get(key), example=examples.get(key))
        )
    return StressTest(clean, tuple(judged))


def make_row(
    name: str, strength: int, probabilities: np.ndarray, familiar: np.ndarray, targets: np.ndarray
) -> StressRow:
    """Count what was said of some pictures.

    Args:
        probabilities: (k, classes). familiar: bool (k,). targets: int64 (k,).
    """
    return count_row(name, strength, probabilities.max(axis=1), probabilities.argmax(axis=1) == targets, familiar)


def _choose_examples(
    dataset: Dataset, shifted: Views, probabilities: np.ndarray, familiar: np.ndarray
) -> dict[tuple[str, int], StressExample]:
    """A picture to look at for each shift, the same at both strengths if it was judged at both: one that is wrong and
    answered, else one that is refused."""
    said: dict[str, dict[int, dict[int, int]]] = {}
    for view, (shown, row) in enumerate(zip(shifted.names.tolist(), shifted.of.tolist(), strict=True)):
        name, _, strength = shown.partition("/")
        said.setdefault(name, {}).setdefault(row, {})[int(strength)] = view
    wrong = probabilities.argmax(axis=1) != dataset.targets[shifted.of]
    sure_and_wrong = wrong & familiar
    found = {}
    for name, by_row in said.items():
        ranked = [
            (
                len(views),
                bool(sure_and_wrong[list(views.values())].any()),
                not familiar[list(views.values())].all(),
                # Of equal ones not always the first: the set lies class by class.
                zlib.crc32(f"{name}/{dataset.records[row].sha256}".encode()),
                row,
            )
            for row, views in by_row.items()
        ]
        row = max(ranked)[-1]
        for strength, view in by_row[row].items():
            called = int(probabilities[view].argmax())
            found[name, strength] = StressExample(
                str(dataset.records[row].file),
                dataset.records[row].label,
                dataset.labels[called],
                float(probabilities[view, called]),
                bool(familiar[view]),
            )
    return found


def _judge_unseen(
    trained: "Trained", targets: np.ndarray, folds: np.ndarray, known: Familiarity, shifted: Views
) -> dict[tuple[str, int], Unseen]:
    """Each shift judged by a model that never saw its like: the head, the reference and the threshold are made again
    without the family of views that is most like it. On the pictures of two folds, which is as much as time allows.
    {} where nothing was learnt from views."""
    config = FamiliarityConfig()
    found: dict[tuple[str, int], Unseen] = {}
    if trained.views is None or trained.shifted is None:
        return found
    for family in FAMILIES:
        names = [f"{name}/{strength}" for name, strength in GRID if SHIFTS[name].family == family]
        rows = np.isin(shifted.names, names) & np.isin(folds[shifted.of], _folds_of(family, folds))
        if not rows.any():
            continue
        mine = Views(shifted.features[rows], shifted.of[rows], shifted.names[rows])
        views = trained.views.without(family)
        probabilities = judge_features(trained.features, mine, targets, folds, trained.head, views)
        without = replace(trained, shifted=trained.shifted.without(family))
        threshold = choose_threshold(score_known(without, folds, known, config), known, config).threshold
        cosines = score_pictures(without, mine.features, folds[mine.of], folds, known, config)
        familiar = weigh(cosines, probabilities, known.certainty) >= threshold
        right = probabilities.argmax(axis=1) == targets[mine.of]
        for name in names:
            here = mine.names == name
            shift, _, strength = name.partition("/")
            found[shift, int(strength)] = Unseen(
                int(here.sum()), int((right & familiar & here).sum()), int((~right & familiar & here).sum())
            )
    return found


def _folds_of(family: str, folds: np.ndarray) -> np.ndarray:
    """The folds whose pictures judge a family that was left out: two, others for each, so that twelve fits do."""
    numbers = np.unique(folds)
    place = list(FAMILIES).index(family) if family else 0
    return numbers[[place % len(numbers), (place + 1) % len(numbers)]]
