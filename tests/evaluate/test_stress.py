"""The stress test counts what it should, on held-out pictures alone, and says what to do about it."""

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spotter.config import FamiliarityConfig, StressConfig, TrainConfig
from spotter.data.dataset import Dataset, Record
from spotter.evaluate.metrics import Familiarity
from spotter.evaluate.ood import (
    choose_familiarity,
    choose_threshold,
    choose_threshold_without,
    make_reference,
    score_known,
    score_pictures,
)
from spotter.evaluate.shifts import GRID, SHIFTS
from spotter.evaluate.sources import leave_sources_out
from spotter.evaluate.stress import judge_stress, make_row, plan_stress
from spotter.evaluate.stress_rows import StressRow, StressTest, interval_of
from spotter.train.features import embed
from spotter.train.head import Head, choose_head, fit_parts
from spotter.train.trained import Trained
from spotter.train.views import FAMILIES, Views
from spotter.utils.stats import wilson_interval
from tests.helpers.learnt import make_trained_of

LABELS = ("a", "b", "c")
COUNT, WIDTH = 90, 40


def make_set(folder: Path, backends: tuple[str, ...] = ("folder",), sites: int = 0) -> tuple[Dataset, np.ndarray]:
    def record(number: int) -> Record:
        page = f"https://site{number // 3 % sites}.example/{number}" if sites else None
        backend = backends[number // 3 % len(backends)]
        plain = Record(LABELS[number % 3], backend, str(number), "a", number, "kept", file=f"{number}.jpg")
        return replace(plain, group=number, page_url=page, sha256=f"{number * 7919 % 9973:04}")

    return Dataset(folder, LABELS, tuple(map(record, range(COUNT))), ()), np.arange(COUNT) // 3 % 5


def dim(features: np.ndarray, by: float = 0.6) -> np.ndarray:
    """What a shift does to features: less of what there was, and something of its own."""
    moved = (1 - by) * features
    moved[:, -1] += 8 * by
    return moved.astype(np.float32)


def learn(dataset: Dataset, folds: np.ndarray, shifts: bool = True, by: float = 0.5) -> Trained:
    rng = np.random.default_rng(2)
    targets, count = dataset.targets, len(dataset.records)
    features = (np.eye(3, WIDTH)[targets] * 9 + rng.normal(size=(count, WIDTH)) + 2).astype(np.float32)
    names = np.array([list(FAMILIES)[row % len(FAMILIES)] for row in range(count)])
    shifted = Views(dim(features, by), np.arange(count), names) if shifts else None
    fit = choose_head(features, targets, folds, TrainConfig(), None, shifted)
    return make_trained_of(
        features,
        np.ones(count, dtype=bool),
        fit.probabilities,
        fit.head,
        shifted=shifted,
        shifted_probabilities=fit.shifted if shifts else None,
        views=shifted,
    )


def shifted_features(trained: Trained, plan: list[tuple[int, int]]) -> Views:
    rows = np.array([row for row, _ in plan])
    return Views(dim(trained.features[rows]), rows, np.array(["/".join(map(str, GRID[number])) for _, number in plan]))


def test_a_plan_asks_each_shift_of_as_many_judged_pictures_of_each_class(tmp_path: Path) -> None:
    dataset, _ = make_set(tmp_path)
    judged = np.arange(COUNT) < 60
    plan = plan_stress(dataset, judged, StressConfig(pictures=12))
    assert len(plan) == len(set(plan)) == 12 * len(GRID)
    assert all(judged[row] for row, _ in plan)
    asked = rows_of(plan)
    for rows in asked.values():
        assert np.bincount(dataset.targets[rows]).tolist() == [4, 4, 4]
    # In so small a set, the shifts of a family are tried on the same pictures, at both strengths, and other families on
    # others.
    by_family = {(SHIFTS[name].family or name): rows for (name, _), rows in asked.items()}
    assert all(rows == by_family[SHIFTS[name].family or name] for (name, _), rows in asked.items())
    assert len(set(map(tuple, by_family.values()))) == len(FAMILIES) + sum(not each.family for each in SHIFTS.values())
    # In larger ones, each shift on others.
    few = rows_of(plan_stress(dataset, judged, StressConfig(pictures=6)))
    assert all(few[name, 1] == few[name, 2] for name in SHIFTS)
    assert len(set(map(tuple, few.values()))) == len(SHIFTS)
    small = plan_stress(dataset, np.arange(COUNT) < 9, StressConfig(pictures=12))
    assert len(small) == 8 * len(GRID)
    assert len(plan_stress(dataset, judged, StressConfig(pictures=30))) == 20 * len(GRID)


def test_a_plan_goes_by_the_pictures_alone(tmp_path: Path) -> None:
    dataset, _ = make_set(tmp_path)
    judged, config = np.ones(COUNT, dtype=bool), StressConfig(pictures=12)
    plan = plan_stress(dataset, judged, config)
    files = {(dataset.records[row].sha256, number) for row, number in plan}
    turned = replace(dataset, records=dataset.records[::-1])
    assert {(turned.records[row].sha256, number) for row, number in plan_stress(turned, judged, config)} == files
    # Three more pictures of 90: in each row they take the places of three at most, and mostly of none.
    new = tuple(replace(record, sha256=f"new {record.label}") for record in dataset.records[:3])
    more = replace(dataset, records=(*new, *dataset.records))
    again = plan_stress(more, np.ones(COUNT + 3, dtype=bool), config)
    changed = files - {(more.records[row].sha256, number) for row, number in again}
    assert len(changed) == sum(row < 3 for row, _ in again) < len(GRID)


def rows_of(plan: list[tuple[int, int]]) -> dict[tuple[str, int], list[int]]:
    return {of: [row for row, number in plan if GRID[number] == of] for of in GRID}


def test_it_counts_what_was_said_of_held_out_pictures(tmp_path: Path) -> None:
    dataset, folds = make_set(tmp_path)
    trained = learn(dataset, folds)
    known = choose_familiarity(trained, dataset.targets, folds, FamiliarityConfig())
    plan = plan_stress(dataset, trained.judged, StressConfig(pictures=30))
    found = judge_stress(trained, dataset, folds, known, shifted_features(trained, plan), plan)
    assert [(row.name, row.strength) for row in found.rows] == list(GRID)
    assert all(row.pictures == 30 and row.blank == 0 for row in found.rows)
    wrong = trained.probabilities.argmax(axis=1) != dataset.targets
    familiar = score_known(trained, folds, known, FamiliarityConfig()) >= known.threshold
    assert replace(found.clean, sets=None) == make_row("clean", 0, trained.probabilities, familiar, dataset.targets)
    assert (found.clean.wrong, found.clean.answered) == (wrong.sum(), familiar.sum())
    # Each shift that is like something learnt from is judged without that as well, on the same pictures.
    assert all((row.unseen is not None) == bool(SHIFTS[row.name].family) for row in found.rows)
    told = [(row, row.unseen) for row in found.rows if row.unseen]
    assert all(unseen.pictures == row.pictures for row, unseen in told)
    # What it is compared with is what was said with such views, on the same pictures.
    assert all(
        (unseen.seen_right_answered, unseen.seen_wrong_answered) == (row.right_answered, row.wrong_answered)
        for row, unseen in told
    )
    right, wrong = (
        np.mean([getattr(row, name) / row.pictures for row, _ in told]) for name in ("right_answered", "wrong_answered")
    )
    assert (
        f"in 22 of 28 rows and by one look too: {100 * right:.0f} % and {100 * wrong:.1f} %)" in found.unseen_sentence()
    )


def test_who_judges_a_shift_never_seen_has_seen_no_judged_picture_nor_its_twin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, _ = make_set(tmp_path)
    # Each picture has a near duplicate, in the same fold.
    twins = (replace(record, group=number // 6 * 3 + number % 3) for number, record in enumerate(plain.records))
    dataset = replace(plain, records=tuple(twins))
    groups = dataset.groups
    folds = groups % 5
    trained = learn(dataset, folds)
    assert trained.shifted is not None
    known, config = replace(Familiarity(0, 0, 3), with_views=True), FamiliarityConfig()
    learnt: list[tuple[np.ndarray, Views]] = []
    compared: list[tuple[Trained, np.ndarray]] = []

    def learn_and_tell(features: np.ndarray, targets: np.ndarray, parts: Any, *others: Any) -> list[Head]:
        learnt.extend(parts)
        return fit_parts(features, targets, parts, *others)

    def compare_and_tell(rest: Trained, features: np.ndarray, *others: Any) -> np.ndarray:
        compared.append((rest, features))
        return score_pictures(rest, features, *others)

    monkeypatch.setattr("spotter.evaluate.stress.fit_parts", learn_and_tell)
    monkeypatch.setattr("spotter.evaluate.stress.score_pictures", compare_and_tell)
    plan = plan_stress(dataset, trained.judged, StressConfig(pictures=12))
    found = judge_stress(trained, dataset, folds, known, shifted_features(trained, plan), plan)
    asked = rows_of(plan)
    # The first comparison is that of the published model.
    for family, (rows, views), (rest, features) in zip(FAMILIES, learnt, compared[1:], strict=True):
        names = [(name, strength) for name, strength in GRID if SHIFTS[name].family == family]
        judged = np.isin(groups, groups[np.concatenate([asked[of] for of in names])])
        assert 12 < judged.sum() <= 24
        assert not (rows & judged).any()
        assert rows.sum() == COUNT - judged.sum()
        assert family in trained.shifted.names
        assert family not in views.names
        assert len(features) == sum(found.rows[GRID.index(of)].pictures for of in names)
        # Which picture or view each of the reference is; its numbers are rounded.
        reference = make_reference(rest, folds, known, config)[0]
        shown = np.concatenate([trained.embeddings, embed(trained.shifted.features)])
        kept = np.concatenate([~judged, ~judged & (trained.shifted.names != family)])
        assert sorted((reference @ shown.T).argmax(axis=1)) == np.flatnonzero(kept).tolist()


@pytest.mark.parametrize("in_one_fold", [False, True])
def test_no_figure_where_a_class_would_be_left_without_pictures_of_two_folds(tmp_path: Path, in_one_fold: bool) -> None:
    dataset, folds = make_set(tmp_path)
    # All of one class, or all but those of one fold, are near duplicates: without one of them there is none.
    alike = dataset.targets == 0
    if in_one_fold:
        alike &= folds != 3
    records = (replace(record, group=0 if alike[row] else record.group) for row, record in enumerate(dataset.records))
    dataset, trained = replace(dataset, records=tuple(records)), learn(dataset, folds)
    known = choose_familiarity(trained, dataset.targets, folds, FamiliarityConfig())
    plan = plan_stress(dataset, trained.judged, StressConfig(pictures=12))
    found = judge_stress(trained, dataset, folds, known, shifted_features(trained, plan), plan)
    assert all(row.pictures == 12 and row.unseen is None for row in found.rows)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("count", [9, 12, 18, 21, 24, 48])
def test_no_figure_where_more_than_a_third_would_be_left_out(tmp_path: Path, count: int) -> None:
    whole, folds = make_set(tmp_path)
    dataset, folds = replace(whole, records=whole.records[:count]), folds[:count]
    trained, config = learn(dataset, folds), StressConfig()
    known = choose_familiarity(trained, dataset.targets, folds, FamiliarityConfig())
    plan = plan_stress(dataset, trained.judged, config)
    found = judge_stress(trained, dataset, folds, known, shifted_features(trained, plan), plan)
    assert all(row.pictures >= config.least for row in found.rows)
    told = {name for name, shift in SHIFTS.items() if shift.family} if count >= 3 * config.least else set()
    assert {row.name for row in found.rows if row.unseen} == told
    assert bool(found.unseen_sentence()) == bool(told)


def test_one_picture_of_each_shift_is_to_be_looked_at(tmp_path: Path) -> None:
    dataset, folds = make_set(tmp_path)
    trained = learn(dataset, folds)
    known = choose_familiarity(trained, dataset.targets, folds, FamiliarityConfig())
    plan = plan_stress(dataset, trained.judged, StressConfig(pictures=12))
    shifted = shifted_features(trained, plan)
    # Under fog, one picture looks like those of another class, if the fog is strong; under noise, some like nothing.
    fog, jpeg = GRID.index(("fog", 2)), GRID.index(("jpeg", 1))
    row = next(row for row, number in plan if number == fog)
    for view, (of, number) in enumerate(plan):
        if (of, number) == (row, fog):
            other = int(np.flatnonzero(dataset.targets == (dataset.targets[row] + 1) % 3)[0])
            shifted.features[view] = trained.features[other]
        if number == jpeg and of > row:
            shifted.features[view] = -1
    found = {
        (each.name, each.strength): each for each in judge_stress(trained, dataset, folds, known, shifted, plan).rows
    }
    files = [(found[name, 1].example, found[name, 2].example) for name in SHIFTS]
    assert all(first and second and first.file == second.file for first, second in files)
    # Not one picture for all of them.
    assert len({first.file for first, _ in files if first}) > 3
    strong = found["fog", 2].example
    assert strong is not None
    assert strong.file == f"{row}.jpg"
    assert (strong.label, strong.familiar) == (LABELS[dataset.targets[row]], True)
    assert strong.called == LABELS[(dataset.targets[row] + 1) % 3]
    assert strong.probability > 0.5
    noisy = found["jpeg", 1].example
    assert noisy is not None
    assert not noisy.familiar


def test_what_could_not_be_made_is_counted(tmp_path: Path) -> None:
    dataset, folds = make_set(tmp_path)
    trained = learn(dataset, folds)
    known = choose_familiarity(trained, dataset.targets, folds, FamiliarityConfig())
    plan = plan_stress(dataset, trained.judged, StressConfig(pictures=10))
    some = [pair for pair in plan if pair[1] != 3][:-2]
    found = judge_stress(trained, dataset, folds, known, shifted_features(trained, some), plan)
    assert (found.rows[3].pictures, found.rows[3].blank) == (0, 10)
    assert sum(row.blank for row in found.rows) == 12
    assert len(found.judged) == len(GRID) - 1
    assert 0 <= found.right_answered <= 1
    # Nothing at all: pictures of one colour each.
    nothing = judge_stress(trained, dataset, folds, known, shifted_features(trained, plan).keep(folds < 0), plan)
    assert (nothing.clean, nothing.judged, nothing.unseen_sentence()) == (found.clean, (), "")
    assert all(row.blank == 10 for row in nothing.rows)
    assert StressTest(found.clean).sentence() == "under shifts, nothing was left to judge"
    assert StressTest(found.clean).advice() == ""


def test_a_row_is_counted_as_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]])
    row = make_row("grey", 1, probabilities, np.array([True, True, True, False]), np.array([0, 1, 1, 0]))
    assert (row.pictures, row.wrong, row.answered, row.wrong_answered, row.right_answered) == (4, 2, 3, 1, 2)
    assert row.share(row.right_answered) == 0.5
    assert interval_of(row, 2) == wilson_interval(2, 4)
    told = json.loads(json.dumps(StressTest(row, (replace(row, pictures=0),)).as_json()))
    counts = {"wrong": 2, "answered": 3, "right_answered": 2, "wrong_answered": 1}
    assert told["clean"]["intervals"] == {name: list(wilson_interval(count, 4)) for name, count in counts.items()}
    assert told["rows"][0]["intervals"] == {}
    assert {each.name for each in fields(StressRow)} | {"intervals"} == set(told["rows"][0])
    empty = make_row("grey", 1, probabilities[:0], np.zeros(0, dtype=bool), np.zeros(0, dtype=int))
    assert np.isnan(empty.share(0))


def test_it_says_which_shift_hurts_most_and_what_to_collect() -> None:
    clean = StressRow("clean", 0, 100, 2, 95, 2, 0.01)
    rows = tuple(StressRow(name, strength, 30, 1, 28, 0, 0.02) for name, strength in GRID)
    worst = replace(rows[0], name="dark", strength=2, answered=9, wrong=12, wrong_answered=3)
    test = StressTest(clean, (*rows, worst))
    assert test.advice().startswith("The hardest shift is “dark and noisy, strong”: 20 % right and answered.")
    assert "collect pictures taken at dusk and at night" in test.advice()
    assert "93 % and 2.0 %" in test.sentence()
    assert StressTest(clean, rows).advice() == "No shift costs much."
    # One wrong answer does not tell where they are most frequent, two do.
    for wrong in (1, 2):
        risky = replace(rows[3], name="fog", strength=2, wrong_answered=wrong, answered=28)
        said = StressTest(clean, (*rows, replace(worst, wrong_answered=0), risky)).advice()
        assert ("most frequent under “fog, low contrast, strong”: 2 of 30 pictures." in said) == (wrong == 2)
        assert ("most frequent" in said) == (wrong == 2)


@pytest.mark.parametrize(("pictures", "right", "shifted"), [(1, 0, 0), (2, 0, 1), (40, 0, 0), (40, 8, 0), (40, 8, 8)])
def test_where_hardly_anything_is_answered_no_shift_is_said_to_cost_much_or_little(
    pictures: int, right: int, shifted: int
) -> None:
    clean = StressRow("clean", 0, pictures, pictures - right, right, 0, 0.1)
    rows = tuple(StressRow(name, strength, pictures, 0, shifted, 0, 0.1) for name, strength in GRID)
    said = StressTest(clean, rows).advice()
    assert said.startswith(f"Even as they are, hardly any pictures are right and answered ({right} of {pictures}), so")


def test_few_pictures_do_not_tell_which_shift_hurts_most() -> None:
    clean, least = StressRow("clean", 0, 7, 0, 7, 0, 0.01), StressConfig.least
    rows = tuple(StressRow(name, strength, least - 1, 0, 7, 0, 0.02) for name, strength in GRID)
    few = replace(rows[0], answered=0)
    for some in (rows, (few, *rows[1:])):
        assert StressTest(clean, some).advice() == "Fewer than 8 pictures do not tell which shift hurts most."
    # Nor does a row of few beside others: here nearly all pictures are blank.
    others = tuple(replace(row, pictures=least, answered=least) for row in rows[1:])
    assert StressTest(clean, (replace(few, pictures=1), *others)).advice() == "No shift costs much."


def test_views_and_doubts_are_used_where_they_tell_right_answers_from_others(tmp_path: Path) -> None:
    dataset, folds = make_set(tmp_path)
    config = FamiliarityConfig()
    plain = choose_familiarity(learn(dataset, folds, shifts=False), dataset.targets, folds, config)
    assert (plain.certainty, plain.with_views) == (0, False)
    # So far away that without views they look like strangers.
    trained = learn(dataset, folds, by=0.9)
    known = choose_familiarity(trained, dataset.targets, folds, config)
    assert known.with_views
    assert known.accepted >= config.accept
    assert known.certainty in config.certainties
    reference, views = make_reference(trained, folds, known, config)
    assert reference.shape == (2 * COUNT, WIDTH)
    assert views == COUNT
    without, none = make_reference(trained, folds, Familiarity(0, 0, 3), config)
    assert (without.shape, none) == ((COUNT, WIDTH), 0)
    assert (reference[:COUNT] == without).all()


def test_a_threshold_without_some_pictures_is_chosen_on_the_others(tmp_path: Path) -> None:
    dataset, folds = make_set(tmp_path)
    trained, config = learn(dataset, folds), FamiliarityConfig()
    known = Familiarity(0, 0.2, 3, with_views=True)
    scores = score_known(trained, folds, known, config)
    # The best of all are left out, then the worst: with either, the threshold of all would be another.
    for order in (scores, -scores):
        left_out = order > np.quantile(order, 0.7)
        expected = choose_threshold(scores[~left_out], known, config)
        found = choose_threshold_without(trained, left_out, folds, known, config)
        assert found.threshold == pytest.approx(expected.threshold, abs=1e-6)
        few = choose_threshold_without(trained, left_out, folds, known, replace(config, chosen_on=20))
        assert np.abs(scores[~left_out] - few.threshold).min() < 1e-6


def test_a_picture_is_never_compared_with_views_of_its_own_fold(tmp_path: Path) -> None:
    dataset, folds = make_set(tmp_path)
    trained = learn(dataset, folds)
    known, config = Familiarity(0, 0, 1, with_views=True), FamiliarityConfig()
    # The views are the pictures themselves: compared with its own one, each would score 1.
    same = replace(trained, shifted=Views(trained.features, np.arange(COUNT), np.full(COUNT, "night")))
    without = score_known(trained, folds, replace(known, with_views=False), config)
    assert score_known(same, folds, known, config) == pytest.approx(without, abs=1e-6)
    assert without.max() < 0.999


def test_pictures_of_a_source_are_judged_by_heads_that_saw_none_of_it(tmp_path: Path) -> None:
    dataset, folds = make_set(tmp_path, ("openverse", "wikimedia"))
    trained = learn(dataset, folds)
    # In one source two classes look the other way round: only who has seen it knows.
    features, one = trained.features.copy(), np.array([record.backend == "wikimedia" for record in dataset.records])
    features[one] = features[one][:, [1, 0, *range(2, WIDTH)]]
    found = leave_sources_out(replace(trained, features=features, views=None), dataset)
    assert found is not None
    assert found.kind == "source"
    assert [name for name, _, _ in found.left_out] == ["openverse", "wikimedia"]
    assert found.pictures == COUNT
    assert found.wrong == pytest.approx(COUNT * 2 / 3, abs=4)
    assert f"{found.wrong} of {COUNT} wrong" in found.sentence()
    assert found.interval == wilson_interval(found.wrong, COUNT)


def test_near_duplicates_of_a_source_that_is_left_out_are_not_learnt_from(tmp_path: Path) -> None:
    dataset, folds = make_set(tmp_path, ("openverse", "wikimedia"))
    # Each picture of one source has a twin in the other: without the twins too, nothing is left to learn from.
    twins = (replace(record, group=number // 6 * 3 + number % 3) for number, record in enumerate(dataset.records))
    assert leave_sources_out(learn(dataset, folds), replace(dataset, records=tuple(twins))) is None


def test_web_sites_are_left_out_in_groups_and_one_source_says_nothing(tmp_path: Path) -> None:
    dataset, folds = make_set(tmp_path, ("duckduckgo",), sites=7)
    found = leave_sources_out(learn(dataset, folds), dataset)
    assert found is not None
    assert found.kind == "site"
    assert len(found.left_out) == 5
    assert found.pictures == COUNT
    alone, folds = make_set(tmp_path)
    assert leave_sources_out(learn(alone, folds), alone) is None
