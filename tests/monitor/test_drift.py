"""What the tests over the log notice, how soon, and how seldom they are wrong."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import kstest

from spotter.config import WatchConfig
from spotter.monitor.baseline import Published, Share, Training
from spotter.monitor.compare import (
    Difference,
    Middle,
    busier,
    compare_periods,
    judge_reviews,
    middle,
    periods,
    slices,
    tell_apart,
)
from spotter.monitor.drift import BUDGET, ODDS, Change, _rank_figures, _rank_places, _rank_shares, find_changes
from spotter.monitor.log import Answers
from tests.helpers.answers import HOUR, LABELS, START, joined, make_answers, reviewed

QUIET = 600


def some(count: int, share: float, seed: int = 9) -> np.ndarray:
    return np.random.default_rng(seed).random(count) < share


def planted(event: str, count: int = 300) -> Answers:
    """`QUIET` answers, and then `count` in which something is different."""
    after = make_answers(count, seed=1)
    mixed = some(count, 0.3)
    if event == "night":
        after = replace(after, brightness=np.where(mixed, 0.1, after.brightness))
    if event == "black and white":
        after = replace(after, colourfulness=np.zeros(count))
    if event == "flat":
        after = replace(after, contrast=np.where(mixed, 0.05, after.contrast))
    if event == "blurred":
        after = replace(after, sharpness=np.where(mixed, 0.03, after.sharpness))
    if event == "new kind":
        after = replace(after, familiar=after.familiar & ~some(count, 0.2))
    if event == "less familiar":
        after = replace(after, familiarity=np.where(mixed, 0.62, after.familiarity))
    if event == "less sure":
        after = replace(after, probability=np.where(mixed, 0.5, after.probability))
    if event == "doubled":
        after = replace(after, label=np.where(some(count, 0.5), "black", after.label))
    if event == "halved":
        after = replace(after, label=np.where((after.label == "black") & some(count, 0.8), "teddy", after.label))
    if event == "another place":
        after = replace(after, projection=after.projection + np.float32(0.8))
    if event == "wrong labels":
        named = replace(after, familiar=np.full(count, True))
        return joined(
            reviewed(make_answers(QUIET, familiar=True), some(QUIET, 0.02)), reviewed(named, some(count, 0.25))
        )
    return joined(make_answers(QUIET), after)


@pytest.mark.parametrize(
    ("event", "what", "rose"),
    [
        ("night", "brightness", False),
        ("black and white", "colourfulness", False),
        ("flat", "contrast", False),
        ("blurred", "sharpness", False),
        ("new kind", "unfamiliar", True),
        ("less familiar", "familiarity", False),
        ("less sure", "probability", False),
        ("doubled", "labels", True),
        ("halved", "labels", False),
        ("another place", "pictures", True),
        ("wrong labels", "errors", True),
    ],
)
def test_each_event_is_noticed_as_what_it_is(event: str, what: str, rose: bool) -> None:
    answers = planted(event)
    changes = find_changes(answers)
    first = changes[0]
    assert (first.what, first.rose) == (what, rose)
    assert QUIET < first.number <= QUIET + 200
    # It knows about when it began.
    assert abs(first.since_number - QUIET) < 60
    assert first.at == answers.at[answers.number == first.number][0]
    assert first.after.total == first.number - first.since_number + 1
    if what == "labels":
        assert first.label == "black"
        assert first.before
        assert abs(first.before.value - 1 / 3) < 0.1
    if what in ODDS:
        assert first.before
        assert (first.after.interval[0] > first.before.value) == rose
    elif what != "pictures":
        assert first.after.interval[0] > 0.05
    related = {"doubled": {"labels"}, "halved": {"labels"}}.get(event, {what})
    assert {change.what for change in changes} == related


def test_a_change_back_is_another_alert() -> None:
    night = replace(make_answers(400, seed=2), brightness=np.full(400, 0.1))
    found = find_changes(joined(make_answers(500), night, make_answers(300, seed=3)))
    assert [(change.what, change.rose) for change in found] == [("brightness", False), ("brightness", True)]
    assert found[1].number > 900


def test_a_longer_log_has_the_alerts_of_a_shorter_one() -> None:
    answers = joined(*(planted(event) for event in ("night", "doubled", "new kind")))
    found = find_changes(answers)
    assert len(found) > 4
    for end in (900, 1500, 2000):
        cut = find_changes(answers.take(np.arange(end)))
        assert cut == [change for change in found if change.number <= end]


def test_quiet_answers_stay_within_the_budget() -> None:
    # So small a budget that there is something to count: at most 60 are expected here, over all tests together.
    config = WatchConfig(quiet=500)
    found: list[Change] = []
    for seed in range(6):
        answers = reviewed(make_answers(5_000, seed=20 + seed), some(5_000, 0.02, seed))
        found += find_changes(answers, config=config)
    assert 5 < len(found) <= 60
    assert len({change.what for change in found}) > 3


@pytest.mark.parametrize("budget", [BUDGET])
def test_the_budget_is_spent_once(budget: dict[str, float]) -> None:
    assert sum(budget.values()) == pytest.approx(1)
    assert all(sum(stakes.values()) == pytest.approx(1) for stakes in ODDS.values())


def test_ranks_are_evenly_spread_and_independent_while_nothing_changes() -> None:
    rng = np.random.default_rng(3)
    count, luck = 8000, np.random.default_rng(4).random(8000)
    shares, edges = _rank_shares(rng.random(count) < 0.2, np.repeat([1.0, 0.0], [4, 16]), luck, 3000)
    tied = _rank_figures(rng.normal(size=count).round(1), luck, 3000)
    places = _rank_places(rng.normal(size=(count, 6)), luck, WatchConfig())[600:]
    for ranks in (shares, tied, places):
        assert kstest(ranks, "uniform").pvalue > 0.001
        assert abs(np.corrcoef(ranks[1:], ranks[:-1])[0, 1]) < 0.05
    assert ((shares < edges) == (shares < 0.5)).mean() > 0.5
    assert 0.15 < (shares < edges).mean() < 0.25


def test_ranks_are_those_counted_one_by_one() -> None:
    rng = np.random.default_rng(5)
    values, luck = rng.integers(0, 30, 1200).astype(float), rng.random(1200)
    ranks = _rank_figures(values, luck, 10_000)
    shares, _ = _rank_shares(values > 24, np.empty(0), luck, 10_000)
    for index in (0, 1, 511, 512, 700, 1199):
        for found, shown in ((ranks, values), (shares, (values > 24).astype(float))):
            above, equal = (shown[:index] > shown[index]).sum(), (shown[:index] == shown[index]).sum()
            assert found[index] == pytest.approx((above + luck[index] * (equal + 1)) / (index + 1))


def test_figures_from_training_are_there_from_the_first_picture() -> None:
    answers = replace(make_answers(150, seed=6), familiar=~some(150, 0.25))
    (change,) = find_changes(answers, [Published("r1", 376, 13, {})])
    assert change.what == "unfamiliar"
    assert change.from_training
    assert change.number < 100
    assert change.before
    assert change.before.total >= 376
    assert find_changes(answers) == []
    assert find_changes(answers, [Published("r2", 376, 13, {})]) == []


def test_revisions_are_judged_apart_and_pictures_across_them() -> None:
    first = make_answers(500, label="black")
    second = make_answers(500, seed=1, label="teddy", revision="r2")
    assert find_changes(joined(first, second)) == []
    darker = replace(second, brightness=np.full(500, 0.1))
    assert [change.revision for change in find_changes(joined(first, darker))] == [""]


def test_reviews_count_in_the_order_in_which_they_came() -> None:
    answers = make_answers(700)
    # The wrong ones were reviewed last, though they were answered first.
    wrong = np.arange(700) < 80
    late = replace(reviewed(answers, wrong), review=np.where(wrong, 701 + np.arange(700), 1 + np.arange(700)))
    changes = find_changes(late)
    assert {change.what for change in changes} == {"errors"}
    assert min(change.number for change in changes) > 700
    # It was noticed when all answers had been given.
    assert min(change.at for change in changes) > answers.at[680]
    unreviewed = replace(late, review=np.zeros(700, dtype=int))
    assert find_changes(unreviewed) == []


def test_a_name_that_is_not_said_is_no_alert() -> None:
    unfamiliar = make_answers(250, seed=1, label="black", familiar=False)
    found = {
        (change.what, change.label, change.rose) for change in find_changes(joined(make_answers(QUIET), unfamiliar))
    }
    assert ("labels", "black", False) in found
    assert ("labels", "black", True) not in found


def test_who_was_told_not_sure_was_told_nothing_wrong() -> None:
    unsure = some(QUIET, 0.3)
    answers = replace(make_answers(QUIET), familiar=~unsure)
    answers = reviewed(answers, unsure)
    assert find_changes(answers) == []
    judged = judge_reviews(answers)
    assert judged
    assert judged.wrong == Share(0, int((~unsure).sum()))
    assert {each.wrong.count for each in slices(answers) if each.wrong} == {0}


def test_errors_of_one_name_are_found_there() -> None:
    after = make_answers(300, seed=1)
    drifted = reviewed(after, (after.label == "black") & some(300, 0.5))
    answers = joined(reviewed(make_answers(QUIET), some(QUIET, 0.02)), drifted)
    first, *others = find_changes(answers)
    assert (first.what, first.label, first.rose) == ("errors", "black", True)
    assert first.number < QUIET + 100
    assert {(other.what, other.label) for other in others} == {("errors", "")}
    # As published, 40 of 100 that were called black were wrong: nothing is new.
    known = [Published("r1", 400, 10, {"black": Share(40, 100)})]
    assert not [change for change in find_changes(drifted, known) if change.label == "black"]


def test_short_strange_and_empty_logs_are_quiet() -> None:
    for count in (0, 1, 2, 199, 201, 320):
        assert find_changes(make_answers(count)) == []
    same = make_answers(
        900, familiar=True, label="black", probability=1.0, familiarity=1.0, brightness=0.5, contrast=0.0,
        colourfulness=0.0, sharpness=0.0, projection=0.0,
    )  # fmt: skip
    assert find_changes(same) == []
    assert find_changes(replace(same, projection=np.full((900, 8), np.nan, dtype=np.float32))) == []
    assert find_changes(replace(same, projection=np.empty((900, 0), dtype=np.float32))) == []


# Periods


def row(rows: list, what: str, label: str = ""):
    return next(each for each in rows if (each.what, each.label) == (what, label))


def test_periods_are_cut_from_the_newest_answer_backwards() -> None:
    answers = make_answers(24 * 10)
    now, before = periods(answers, 3)
    assert len(now) == len(before) == 72
    assert now.at[-1] == START + 240 * HOUR
    assert before.at[-1] == now.at[0] - HOUR
    assert [len(part) for part in periods(answers, 9)] == [216, 24]
    assert [len(part) for part in periods(make_answers(0), 9)] == [0, 0]


def test_what_a_clock_wrote_down_that_ran_ahead_is_of_no_period() -> None:
    answers = make_answers(24 * 10)
    answers = replace(answers, at=np.where(answers.number <= 50, answers.at + 10**8, answers.at))
    assert [part.number.min() for part in periods(answers, 3)] == [169, 97]
    # A clock that is set back by an hour loses nothing.
    answers = replace(make_answers(48), at=START + HOUR * np.where(np.arange(48) == 47, 46, np.arange(48)))
    assert len(periods(answers, 3)[0]) == 48


def test_doubled_and_halved_are_said_only_when_it_is_no_chance() -> None:
    before = make_answers(400)
    now = replace(make_answers(400, seed=1), label=np.where(some(400, 0.6), "black", before.label))
    rows = compare_periods(now, before, None)
    assert [each.label for each in rows if each.what == "labels"] == sorted(LABELS)
    doubled = row(rows, "labels", "black").since_before
    assert doubled
    assert doubled.word == "doubled"
    assert doubled.times == pytest.approx(2.2, abs=0.3)
    assert row(rows, "labels", "teddy").since_before.word == "halved"
    few = compare_periods(now.take(np.arange(12)), before.take(np.arange(12)), None)
    assert {each.since_before.word for each in few} == {""}
    same = compare_periods(make_answers(400, seed=3), before, None)
    assert {each.since_before.word for each in same} == {""}
    dark = compare_periods(replace(before, brightness=before.brightness - 0.1), before, None)
    assert [each.what for each in dark if each.since_before.word] == ["brightness"]


def test_shares_are_of_the_answers_that_named_something() -> None:
    now = make_answers(4, label=["black", "black", "teddy", "teddy"], familiar=[True, False, True, True])
    published = Published("r1", 300, 10, {"black": Share(2, 100), "grizzly": Share(1, 200)})
    training = Training(published, {"brightness": np.full(50, 0.4)})
    rows = compare_periods(now, make_answers(0), training)
    assert row(rows, "labels", "black").now == Share(1, 3)
    assert row(rows, "labels", "black").training == Share(100, 300)
    assert row(rows, "labels", "grizzly").now == Share(0, 3)
    assert row(compare_periods(make_answers(0), now, None), "labels", "black").before == Share(1, 3)
    assert row(rows, "unfamiliar").now == Share(1, 4)
    assert row(rows, "unfamiliar").training == Share(10, 300)
    assert row(rows, "brightness").training == Middle(0.4, (0.4, 0.4), 50)
    assert row(rows, "contrast").training is None
    assert {each.before for each in rows} == {each.since_before for each in rows} == {None}


def test_differences_are_corrected_for_their_number() -> None:
    before = make_answers(60, label=["black"] * 30 + ["teddy"] * 30, familiar=True)
    now = make_answers(60, seed=1, label=["black"] * 14 + ["teddy"] * 46, familiar=True)
    both = row(compare_periods(now, before, None), "labels", "black").since_before
    # Fisher's test alone says 0.0046; there are nine comparisons.
    assert both.chance > 0.02
    assert both.word == ""


def test_how_busy_it_is() -> None:
    assert busier(10, 0) is None
    assert busier(220, 100).word == "doubled"
    assert busier(100, 220).word == "halved"
    assert busier(130, 100).word == ""
    assert busier(1300, 1000).word == "changed"


def test_the_interval_of_a_median() -> None:
    rng = np.random.default_rng(0)
    inside = [each.interval[0] <= 0 <= each.interval[1] for each in (middle(rng.normal(size=60)) for _ in range(400))]
    assert 0.93 < np.mean(inside) < 0.99
    assert middle(np.array([3.0])) == Middle(3.0, (3.0, 3.0), 1)


def test_a_classifier_tells_pictures_apart_only_where_they_differ() -> None:
    rng = np.random.default_rng(1)
    one, two = rng.normal(size=(300, 8)), rng.normal(size=(400, 8))
    same = tell_apart(one, two)
    assert same
    assert 0.4 < same.area < 0.56
    assert same.chance > 0.01
    moved = tell_apart(one, two + 0.5)
    assert moved
    assert moved.area > 0.75
    assert moved.chance < 1e-6
    assert tell_apart(one[:39], two) is None
    assert tell_apart(one, two[:, :3]) is None
    two[::2] = np.nan
    assert tell_apart(one, two)


def test_reviews_tell_errors_and_what_probabilities_are_worth() -> None:
    answers = make_answers(400, probability=0.9)
    answers = replace(answers, familiar=np.full(400, True))
    true = judge_reviews(reviewed(answers, some(400, 0.1)))
    assert true
    assert true.wrong.total == 400
    assert true.chance > 0.05
    assert abs(true.gap) < 0.05
    assert [(bin_[0], bin_[1].total) for bin_ in true.bins] == [(pytest.approx(0.9), 400)]
    # 100 answers at 0.9, of which 84 are right: two standard deviations.
    two = judge_reviews(reviewed(make_answers(100, probability=0.9, familiar=True), np.arange(100) < 16))
    assert two
    assert two.chance == pytest.approx(0.0455, abs=0.001)
    boastful = judge_reviews(reviewed(answers, some(400, 0.4)))
    assert boastful
    assert boastful.gap == pytest.approx(0.3, abs=0.06)
    assert boastful.chance < 1e-6
    assert judge_reviews(answers) is None
    certain = judge_reviews(reviewed(make_answers(5, probability=1.0, familiar=True), np.zeros(5, dtype=bool)))
    assert certain
    assert (certain.gap, certain.chance) == (0, 1)
    assert judge_reviews(reviewed(make_answers(5, probability=1.0, familiar=True), np.ones(5, dtype=bool))).chance == 0


def test_slices_show_where_it_is_wrong() -> None:
    dark = some(600, 0.2)
    side = np.where(some(600, 0.1, 2), 64, 512)
    answers = make_answers(600, brightness=np.where(dark, 0.1, 0.5), side=side, familiar=True)
    judged = {each.name: each for each in slices(reviewed(answers, (dark & some(600, 0.5, 8)) | some(600, 0.02, 4)))}
    assert judged["dark"].wrong.total == dark.sum()
    assert judged["dark"].wrong.interval[0] > 0.3
    assert judged["dark"].chance < 0.001
    others = [each for name, each in judged.items() if name != "dark"]
    assert all(each.chance > 0.01 for each in others)
    assert {"small", "from api", "from page", "called black"} <= judged.keys()
    assert judged["small"].unfamiliar.total == (answers.side == 64).sum()
    assert all(each.wrong is None for each in slices(answers))
    assert Difference(0.5).word == ""
