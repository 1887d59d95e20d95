"""Costs: read, refused in a sentence, and the cheapest action against tables worked out by hand and by brute force."""

from dataclasses import asdict
from fractions import Fraction

import numpy as np
import pytest

from spotter.decide.cost_figures import judge_costs
from spotter.decide.costs import CostTable, make_costs, read_cost_options
from spotter.errors import BadCosts

LABELS = ("grizzly", "black", "teddy")
BEARS = ("grizzly as teddy=50", "black as teddy=50", "ask=2")


def table(*options: str, labels: tuple[str, ...] = LABELS) -> CostTable:
    made = make_costs(read_cost_options(options), labels)
    assert made is not None
    return made


def test_rows_are_what_is_true_and_columns_what_is_done() -> None:
    made = table("grizzly as teddy=50", "teddy as grizzly=3", "other=2", "ask=7")
    assert made.actions == (*LABELS, "ask")
    # True:            grizzly, black, teddy, ask
    assert made.values == (
        (0.0, 2.0, 50.0, 7.0),
        (2.0, 0.0, 2.0, 7.0),
        (3.0, 2.0, 0.0, 7.0),
    )
    assert made.price("grizzly", "teddy") == 50
    assert made.price("teddy", "grizzly") == 3
    assert made.price("none of these", "ask") is None


def test_the_cheapest_is_the_one_worked_out_by_hand() -> None:
    made = table(*BEARS)
    probabilities = np.array(
        [
            # Say grizzly 0.07, black 0.98, teddy 49, ask 2.
            [0.93, 0.02, 0.05],
            # Grizzly 0.95, black 0.95; teddy 0.1 * 50 = 5: not the most probable one.
            [0.05, 0.05, 0.90],
            # Teddy 0.01 * 50 = 0.5.
            [0.01, 0.00, 0.99],
            # Not familiar.
            [1.00, 0.00, 0.00],
        ]
    )
    done, expected = made.decide(probabilities, np.array([True, True, True, False]))
    assert [made.actions[each] for each in done] == ["grizzly", "grizzly", "teddy", "ask"]
    assert expected.tolist() == pytest.approx([0.07, 0.95, 0.5, 2.0])
    # With asking at 0.2, a doubt is asked about; were the table transposed, the second would be a teddy.
    done, expected = table(*BEARS[:2], "ask=0.2").decide(probabilities, np.ones(4, dtype=bool))
    assert [made.actions[each] for each in done] == ["grizzly", "ask", "ask", "grizzly"]
    assert expected.tolist() == pytest.approx([0.07, 0.2, 0.2, 0.0])


@pytest.mark.parametrize("cases", [40, pytest.param(2000, marks=pytest.mark.slow)])
def test_any_table_agrees_with_trying_every_action_in_exact_numbers(cases: int) -> None:
    luck = np.random.default_rng(7)
    for _ in range(cases):
        count = int(luck.integers(2, 6))
        labels = tuple(f"l{number}" for number in range(count))
        values = luck.integers(0, 60, (count, count))
        ask = int(luck.integers(0, 20))
        pairs = [(row, column) for row in range(count) for column in range(count) if row != column]
        made = table(
            *(f"l{row} as l{column}={values[row, column]}" for row, column in pairs), f"ask={ask}", labels=labels
        )
        parts = luck.integers(0, 64, (8, count)) + np.eye(8, count, dtype=int)
        # Of halves, quarters ..., so that both sides are exact.
        parts[:, 0] += 1024 - parts.sum(axis=1)
        done, expected = made.decide(parts / 1024, np.ones(8, dtype=bool))
        for row, action, cost in zip(parts.tolist(), done.tolist(), expected.tolist(), strict=True):
            tried = [
                sum(Fraction(row[truth], 1024) * int(values[truth, said]) for truth in range(count) if truth != said)
                for said in range(count)
            ]
            tried.append(Fraction(ask))
            assert cost == float(min(tried))
            assert action == tried.index(min(tried))


def test_with_equal_costs_the_most_probable_is_said() -> None:
    probabilities = np.random.default_rng(0).dirichlet(np.ones(3), 200)
    done, _ = table("ask=1").decide(probabilities, np.ones(200, dtype=bool))
    assert done.tolist() == probabilities.argmax(axis=1).tolist()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("grizly as teddy=5", "ask=1"), "names 'grizly', which is no label; .*did you mean 'grizzly'"),
        (("teddy=5", "ask=1"), "is of nothing"),
        (("black as black=5", "ask=1"), "a right answer costs nothing"),
        (("black as teddy=-1", "ask=1"), "must be from 0"),
        (("black as teddy=1e12", "ask=1"), "must be from 0"),
        (("black as teddy=nan", "ask=1"), "must be a number"),
        (("black as teddy=", "ask=1"), "is not like"),
        (("black as teddy", "ask=1"), "is not like"),
        (("ask=1", "ask=2"), "given twice"),
        (("black as teddy=5",), "what asking a person costs"),
    ],
)
def test_what_is_no_cost_is_told_in_a_sentence(options: tuple[str, ...], told: str) -> None:
    with pytest.raises(BadCosts, match=told):
        table(*options)


def test_what_a_recipe_may_say_wrongly_is_told_too() -> None:
    assert make_costs({}, LABELS) is None
    for value in (True, "5", [1], None):
        with pytest.raises(BadCosts, match="must be a number"):
            make_costs({"ask": 1, "black as teddy": value}, LABELS)
    with pytest.raises(BadCosts, match="no class can be called 'ask'"):
        make_costs({"ask": 1}, ("ask", "other"))
    with pytest.raises(BadCosts, match="two ways"):
        make_costs({"ask": 1, "a as b as c": 2}, ("a", "b as c", "a as b", "c"))


def test_labels_may_hold_the_word_between_them() -> None:
    made = table("dressed as bear as bear=4", "ask=1", labels=("dressed as bear", "bear"))
    assert made.price("dressed as bear", "bear") == 4


def test_a_table_whose_best_action_is_always_the_same_is_said() -> None:
    assert "always best to ask a person" in table("ask=0").remark()
    assert "always best to say 'teddy'" in table("grizzly as teddy=0", "black as teddy=0", "ask=1").remark()
    assert "never best to ask" in table("ask=1").remark()
    assert table(*BEARS).remark() == ""


def test_the_three_rules_are_priced_on_pictures_of_known_truth() -> None:
    probabilities = np.array([[0.9, 0.1, 0], [0.05, 0.05, 0.9], [0, 0.98, 0.02], [0.6, 0.4, 0], [0, 0, 1.0]])
    targets, familiar = np.array([0, 1, 1, 2, 2]), np.array([True, True, True, True, False])
    made = table(*BEARS)
    found = judge_costs(made, probabilities, familiar, targets, np.arange(5))
    # Most probable: right, black as teddy, right, teddy as grizzly, right.
    assert found.most_probable.cost == pytest.approx((50 + 1) / 5)
    # Decided: right, black as grizzly, right, teddy as grizzly, asked.
    assert found.decision.cost == pytest.approx((1 + 1 + 2) / 5)
    assert (found.ask.cost, found.ask.interval, found.ask.asked) == (2.0, (2.0, 2.0), 5)
    assert (found.most_probable.asked, found.decision.asked, found.unfamiliar) == (0, 1, 1)
    assert "which asks about 1 of 5 (1 unlike the training pictures)" in found.sentence()
    assert found.saved == pytest.approx(51 / 5 - 4 / 5)
    assert [(each.truth, each.done, each.pictures, each.cost) for each in found.mistakes] == [
        ("black", "grizzly", 1, 1.0),
        ("teddy", "grizzly", 1, 1.0),
    ]
    assert "1 black as grizzly, 1 teddy as grizzly" in found.remaining()
    assert found.remark == ""
    unsure = judge_costs(made, probabilities, np.zeros(5, dtype=bool), targets, np.arange(5))
    assert "ask a person about each of these pictures" in unsure.remark
    assert "no mistake remains" in unsure.remaining()
    assert asdict(unsure)["decision"]["asked"] == 5


def test_intervals_are_wider_where_near_duplicates_go_together() -> None:
    luck = np.random.default_rng(3)
    targets = np.repeat(luck.integers(0, 2, 60), 5)
    probabilities = np.repeat(luck.dirichlet(np.ones(2), 60), 5, axis=0)
    made, familiar = table("ask=1", labels=("a", "b")), np.ones(300, dtype=bool)
    alone = judge_costs(made, probabilities, familiar, targets, np.arange(300)).most_probable
    together = judge_costs(made, probabilities, familiar, targets, np.repeat(np.arange(60), 5)).most_probable
    assert alone.cost == together.cost
    widths = [high - low for low, high in (alone.interval, together.interval)]
    # By the square root of the five that go together.
    assert widths[1] / widths[0] == pytest.approx(5**0.5, rel=0.15)
    share = alone.cost
    assert widths[0] == pytest.approx(2 * 1.96 * (share * (1 - share) / 300) ** 0.5, rel=0.1)
