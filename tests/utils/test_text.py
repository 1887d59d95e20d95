"""Words and numbers as people read them."""

import pytest

from spotter.utils.text import as_sentence, cost_figure, escape_markdown, percent, plural, short_percent

SHARES = (0.0, 0.004, 0.005, 0.125, 0.994, 0.995, 1.0)


@pytest.mark.parametrize(
    ("ends", "texts"),
    [
        ("rounded", ["0 %", "0 %", "0 %", "12 %", "99 %", "100 %", "100 %"]),
        ("words", ["0 %", "under 1 %", "under 1 %", "12 %", "99 %", "over 99 %", "100 %"]),
        ("open", ["< 1 %", "< 1 %", "< 1 %", "12 %", "99 %", "> 99 %", "> 99 %"]),
    ],
)
def test_a_share_near_nothing_or_all(ends: str, texts: list[str]) -> None:
    assert [percent(share, 0, ends) for share in SHARES] == texts  # type: ignore[arg-type]


def test_decimals() -> None:
    assert [percent(share) for share in (0, 0.0004, 0.1234, 1)] == ["0.0 %", "0.0 %", "12.3 %", "100.0 %"]
    assert percent(0.0004, 1, "words") == "under 0.1 %"
    assert percent(0.9996, 1, "words") == "over 99.9 %"


def test_a_short_share_hides_nothing_and_does_not_claim_all() -> None:
    shares = (-0.1, 0, 0.0009, 0.001, 0.0999, 0.1, 0.9949, 0.996, 1, 1.1)
    texts = ["0 %", "0 %", "under 0.1 %", "0.1 %", "10.0 %", "10 %", "99 %", "99 %", "100 %", "100 %"]
    assert [short_percent(share) for share in shares] == texts


def test_plurals() -> None:
    assert [plural(count, "picture") for count in (0, 1, 2)] == ["0 pictures", "1 picture", "2 pictures"]


def test_markdown_shows_words_as_they_are() -> None:
    assert escape_markdown("*two*\n [links](x)  www.bear.org") == r"\*two\* \[links\](x) www\.bear.org"


def test_a_sentence_begins_large_and_ends_with_one_full_stop() -> None:
    assert [as_sentence(text) for text in ("", "an owl.", "Owls", "élan")] == ["", "An owl.", "Owls.", "Élan."]


def test_costs_have_no_powers_of_ten() -> None:
    costs = (0, 5.1e-5, 0.0099, 0.01, 0.125, 2, 12.34, 99.5, 1234, 1e9)
    told = ["0", "< 0.01", "< 0.01", "0.01", "0.12", "2", "12", "100", "1200", "1000000000"]
    assert [cost_figure(cost) for cost in costs] == told
