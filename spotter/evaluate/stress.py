"""The stress test: what a model makes of held-out pictures under distribution shifts, row by row, with intervals."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from spotter.bundle.second_look import SecondLook
from spotter.config import FamiliarityConfig, StressConfig
from spotter.data.dataset import Dataset
from spotter.data.splits import choose_some
from spotter.decide.label_sets import COVERAGE
from spotter.decide.set_figures import choose_by_fold, count_sets, sets_by_fold
from spotter.evaluate.held_out import held_out_probabilities
from spotter.evaluate.metrics import Familiarity
from spotter.evaluate.ood import choose_threshold_without, score_known, score_pictures
from spotter.evaluate.second_look import answer_again
from spotter.evaluate.shifts import GRID, SHIFTS, STRESS
from spotter.evaluate.stress_rows import StressExample, StressRow, StressTest, Unseen, count_row, rank_example
from spotter.inference.familiarity import weigh
from spotter.train.head import fit_parts, softmax
from spotter.train.views import FAMILIES, Views
from spotter.train.windows import Look

if TYPE_CHECKING:
    # For its fields alone.
    from spotter.train.trained import Trained


def plan_stress(dataset: Dataset, judged: np.ndarray, config: StressConfig) -> list[tuple[int, int]]:
    """Which pictures each shift is tried on, as many as `config` says: (row of the set, number in `GRID`).

    Only judged ones, bool (n,), and of each class the same number as far as there are. It goes by the pictures' hashes
    alone, so that a few more pictures change few rows. Each shift takes others, the same at both strengths. In small
    sets the shifts of a family share theirs: `_judge_unseen` learns without all of these, and the share of `config` is
    the most that it may lack; in sets so small that `least` is more, no family is judged so.
    """
    most = min(config.pictures, max(config.least, int(config.share * judged.sum())))
    rows, shifts_of = np.flatnonzero(judged), Counter(shift.family for shift in SHIFTS.values() if shift.family)
    is_small = most * max(shifts_of.values()) > config.share * len(rows)
    group = {name: (shift.family if is_small else "") or name for name, shift in SHIFTS.items()}
    chosen = {name: rows[choose_some(dataset, rows, most, name)].tolist() for name in set(group.values())}
    return sorted((row, number) for number, (name, _) in enumerate(GRID) for row in chosen[group[name]])


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
    # By one look, as here.
    unseen = _judge_unseen(trained, dataset, folds, known, shifted, probabilities, familiar)
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
    found = {}
    for name, by_row in said.items():
        ranked = [
            (*rank_example(name, str(dataset.records[row].sha256), wrong[each].tolist(), familiar[each].tolist()), row)
            for row, each in ((row, list(views.values())) for row, views in by_row.items())
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
    trained: "Trained",
    dataset: Dataset,
    folds: np.ndarray,
    known: Familiarity,
    shifted: Views,
    seen: np.ndarray,
    seen_familiar: np.ndarray,
) -> dict[tuple[str, int], Unseen]:
    """Each shift judged by a model that never saw its like: one for each family of views, made again without these
    views, without the pictures that the family's shifts are tried on, and without near duplicates of them. So are its
    reference and its threshold. {} where nothing was learnt from views; none for a family that would leave too little
    (see `_is_enough`).

    Args:
        seen, seen_familiar: what those with all views say of `shifted` by one look, (k, classes), and bool (k,).
    """
    config, targets, groups = FamiliarityConfig(), dataset.targets, dataset.groups
    found: dict[tuple[str, int], Unseen] = {}
    if trained.views is None or trained.shifted is None:
        return found
    seen_right = seen.argmax(axis=1) == targets[shifted.of]
    judged, parts = [], []
    for family in FAMILIES:
        names = [f"{name}/{strength}" for name, strength in GRID if SHIFTS[name].family == family]
        rows = np.isin(shifted.names, names)
        mine = Views(shifted.features[rows], shifted.of[rows], shifted.names[rows])
        left_out = np.isin(groups, groups[mine.of])
        learnt_from = trained.learnt_from & ~left_out
        if len(mine.of) and _is_enough(trained, dataset, folds, mine.of, left_out, StressConfig()):
            judged.append((names, mine, left_out, trained.shifted.without(family)))
            parts.append((learnt_from, trained.views.without(family)))
    heads = fit_parts(trained.features, targets, parts, trained.head.strength, trained.head.balanced)
    for (names, mine, left_out, reference), (learnt_from, views), head in zip(judged, parts, heads, strict=True):
        # One after the other: of thousands of pictures, each keeps a reference of its own.
        rest = replace(trained, learnt_from=learnt_from, views=views, shifted=reference)
        threshold = choose_threshold_without(rest, left_out, folds, known, config).threshold
        divisors = trained.head.temperatures_of(folds[mine.of])
        probabilities = softmax((mine.features @ head.weight.T + head.bias) / divisors[:, None])
        cosines = score_pictures(rest, mine.features, folds[mine.of], folds, known, config)
        familiar = weigh(cosines, probabilities, known.certainty) >= threshold
        right = probabilities.argmax(axis=1) == targets[mine.of]
        for name in names:
            here = mine.names == name
            shift, _, strength = name.partition("/")
            answered, seen_answered = familiar & here, seen_familiar & (shifted.names == name)
            found[shift, int(strength)] = Unseen(
                int(here.sum()),
                int((right & answered).sum()),
                int((~right & answered).sum()),
                int((seen_right & seen_answered).sum()),
                int((~seen_right & seen_answered).sum()),
            )
    return found


def _is_enough(
    trained: "Trained",
    dataset: Dataset,
    folds: np.ndarray,
    tried: np.ndarray,
    left_out: np.ndarray,
    config: StressConfig,
) -> bool:
    """Whether a model made without some pictures, `left_out` bool (n,), says something of its like.

    Of what was learnt from, at most `config.share` is tried, `tried` int64 (k,). Its threshold comes from
    `config.least` held-out pictures or more, each compared with those of other folds: each class has them in two.
    """
    tried_of_learnt = trained.learnt_from[np.unique(tried)].sum()
    learnt_from = trained.learnt_from & ~left_out
    return bool(
        tried_of_learnt <= int(config.share * trained.learnt_from.sum())
        and (trained.judged & ~left_out).sum() >= config.least
        and all(
            len(np.unique(folds[learnt_from & (dataset.targets == target)])) >= 2
            for target in range(len(dataset.labels))
        )
    )
