"""A prior: read, refused in a sentence, and weighed as Bayes says."""

from fractions import Fraction

import numpy as np
import pytest

from spotter.decide.prior import check_prior, learnt_shares, read_prior, reweigh
from spotter.errors import BadPrior

LABELS = ("grizzly", "black", "teddy")


def test_labels_that_are_not_named_do_not_occur() -> None:
    assert read_prior("grizzly:0.8,black:0.2", LABELS) == {"grizzly": 0.8, "black": 0.2, "teddy": 0.0}
    assert read_prior("black:1", LABELS) == {"grizzly": 0.0, "black": 1.0, "teddy": 0.0}
    # As people round.
    thirds = read_prior("grizzly:0.33, black:0.33, teddy:0.33", LABELS)
    assert list(thirds.values()) == pytest.approx([1 / 3] * 3)


def test_labels_may_hold_colons_and_commas() -> None:
    labels = ("bear, black", "ratio 1:2", "c")
    assert read_prior("bear, black:0.5,ratio 1:2:0.25,c:0.25", labels) == dict(
        zip(labels, (0.5, 0.25, 0.25), strict=True)
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is not like"),
        ("grizzly", "is not like"),
        ("grizzly=1", "is not like"),
        (",", "is not like"),
        ("grizzly:x,black:1", "must be a number"),
        ("grizzly:,black:1", "must be a number"),
        ("grizly:0.5,black:0.5", "names 'grizly', which is no label; .*did you mean 'grizzly'"),
        ("grizzly:0.5,grizzly:0.5", "twice"),
        ("grizzly:-0.5,black:1.5", "must be 0 or more"),
        ("grizzly:nan,black:1", "must be 0 or more"),
        ("grizzly:inf", "must be 0 or more"),
        ("grizzly:0.5,black:0.4", r"adds up to 0\.9"),
        ("grizzly:0.9,black:0.12", r"adds up to 1\.02"),
        ("grizzly:0.98", r"adds up to 0\.98"),
    ],
)
def test_what_is_no_prior_is_told_in_a_sentence(text: str, told: str) -> None:
    with pytest.raises(BadPrior, match=told):
        read_prior(text, LABELS)


def test_one_per_cent_more_or_less_is_taken() -> None:
    for share in (0.49, 0.51):
        assert sum(check_prior({"grizzly": 0.5, "black": share}, LABELS).values()) == pytest.approx(1)


def test_what_was_learnt_is_what_the_pictures_are_or_even_where_each_class_counts_the_same() -> None:
    targets = np.array([0, 0, 0, 1, 2])
    assert learnt_shares(targets, LABELS, balanced=False) == (0.6, 0.2, 0.2)
    assert learnt_shares(targets, LABELS, balanced=True) == (1 / 3,) * 3


def test_the_shares_learnt_change_nothing() -> None:
    shares = np.random.default_rng(0).dirichlet(np.ones(3), 50)
    learnt = (0.5, 0.3, 0.2)
    assert reweigh(shares, learnt, learnt) == pytest.approx(shares)


def test_it_weighs_as_bayes_says() -> None:
    # Worked out in exact numbers: 0.6, 0.3, 0.1 learnt at 1/2, 1/4, 1/4, where they are 1/10, 9/10 and 0.
    parts = [Fraction(6, 10) * Fraction(1, 5), Fraction(3, 10) * Fraction(18, 5), Fraction(0)]
    wanted = [float(part / sum(parts)) for part in parts]
    assert reweigh(np.array([[0.6, 0.3, 0.1]]), (0.5, 0.25, 0.25), (0.1, 0.9, 0))[0].tolist() == pytest.approx(wanted)


def test_it_undoes_a_change_of_shares() -> None:
    """Pictures of two classes that lie on a line: the posterior of one mix becomes that of another."""
    places = np.linspace(-3, 3, 25)
    likely = np.stack([np.exp(-((places - 1) ** 2) / 2), np.exp(-((places + 1) ** 2) / 2)], axis=1)

    def posterior(shares: tuple[float, float]) -> np.ndarray:
        weighed = likely * np.array(shares)
        return weighed / weighed.sum(axis=1, keepdims=True)

    assert reweigh(posterior((0.7, 0.3)), (0.7, 0.3), (0.05, 0.95)) == pytest.approx(posterior((0.05, 0.95)))


def test_a_picture_of_what_does_not_occur_leaves_the_prior() -> None:
    assert reweigh(np.array([[0.0, 0.0, 1.0]]), (1 / 3,) * 3, (0.25, 0.75, 0.0)).tolist() == [[0.25, 0.75, 0.0]]
