"""The About tab's figures, from what a revision holds."""

import html
import json
from dataclasses import replace

import numpy as np
import pytest

from spotter.bundle.reading import read_bundle
from spotter.errors import BrokenModel
from spotter.serve.about import About, ClassRow, Shifts, about_html, read_about
from spotter.serve.page.translations import LANGUAGES, translate
from spotter.utils.stats import wilson_interval
from tests.conftest import Revision


def test_the_figures_are_those_of_the_revision(prebuilt: Revision) -> None:
    bundle = read_bundle(prebuilt.folder)
    metrics = json.loads((prebuilt.folder / "metrics.json").read_text())
    about = read_about(bundle.card, bundle.metrics, prebuilt.revision)
    assert (about.error, about.pictures) == (metrics["error"], 36)
    assert about.classes[0] == ClassRow("disc", 12, metrics["confusion"][0][0])
    assert about.origins == (("folder", "unknown", 36),)
    assert about.revision == prebuilt.revision
    text = about_html(about, "en")
    low, high = wilson_interval(about.classes[0].right, 12)
    assert f"{100 * low:.1f} % – {100 * high:.1f} %" in text
    assert f"{100 * metrics['error']:.1f} %" in text
    assert prebuilt.revision in text


def test_a_revision_without_figures_has_limits_all_the_same(prebuilt: Revision) -> None:
    card = read_bundle(prebuilt.folder).card
    about = read_about(replace(card, made={"pictures": 7}), {}, None)
    assert (about.error, about.classes, about.origins) == (None, (), ())
    text = about_html(about, "en")
    assert "decide about people" in text
    assert "How good it is" not in text


@pytest.mark.parametrize("damage", [{"error": "x"}, {"error_interval": [1]}, {"confusion": []}, {"familiarity": None}])
def test_garbled_figures_are_told(prebuilt: Revision, damage: dict) -> None:
    bundle = read_bundle(prebuilt.folder)
    with pytest.raises(BrokenModel, match="figure"):
        read_about(bundle.card, {**bundle.metrics, **damage}, "r")


def test_what_comes_from_the_model_is_escaped() -> None:
    evil = "<img src=x onerror=alert(1)>"
    about = About(evil, 224, 3, evil, 0.1, (0.0, 0.2), 9, False, 0.9, (ClassRow(evil, 3, 2),), ((evil, evil, 3),))
    for language in ("en", "es", "zh"):
        assert "<img" not in about_html(about, language)


def test_a_converted_model_does_not_claim_unseen_pictures() -> None:
    text = about_html(About("net", 224, 3, error=0.1, pictures=9, seen=True), "en")
    assert "may have learnt from" in text
    assert "did not see" not in text


def row(name: str, strength: int, answered: int, wrong: int, pictures: int = 10) -> dict:
    return {"name": name, "strength": strength, "pictures": pictures, "answered": answered, "wrong_answered": wrong}


STRESS = {
    "clean": row("clean", 0, 19, 1, 20),
    # Of the last one, nothing was left.
    "rows": [
        row("far", 1, 6, 0),
        row("far", 2, 3, 1),
        row("dark", 1, 9, 1),
        row("dark", 2, 10, 0),
        row("fog", 1, 0, 0, 0),
    ],
}


def test_what_shifts_cost_is_told_with_the_worst_of_them(prebuilt: Revision) -> None:
    bundle = read_bundle(prebuilt.folder)
    about = read_about(bundle.card, {**bundle.metrics, "stress": STRESS}, "r")
    assert about.shifts
    assert (about.shifts.worst, about.shifts.clean_right, about.shifts.clean_wrong) == ("far", 0.9, 0.05)
    assert (about.shifts.right, about.shifts.wrong) == pytest.approx((0.65, 0.05))
    assert about.shifts.worst_right == pytest.approx(0.4)
    assert [row[0] for row in about.shifts.rows] == ["far", "dark"]
    assert np.array([row[1:] for row in about.shifts.rows]) == pytest.approx(np.array([[0.4, 0.05], [0.9, 0.05]]))
    text = about_html(about, "en")
    assert "the right answer for 65.0 % of them, and a wrong one for 5.0 %" in text
    assert "Hardest: small and far away. There it gave the right answer for 40.0 % only" in text
    assert "<tr><td>dark and noisy</td><td>90.0 %</td><td>5.0 %</td></tr>" in text
    for language in LANGUAGES:
        # In the sentence and in the table.
        assert about_html(about, language).count(translate("shift_far", language)) == 2
        assert translate("about_shift_wrong", language) in about_html(about, language)


def told_of(prebuilt: Revision, stress: dict, language: str = "en") -> str:
    bundle = read_bundle(prebuilt.folder)
    return about_html(read_about(bundle.card, {**bundle.metrics, "stress": stress}, "r"), language)


@pytest.mark.parametrize("shifted", [0, 2])
def test_where_hardly_anything_is_right_as_it_is_that_is_told_instead_of_the_worst(
    prebuilt: Revision, shifted: int
) -> None:
    stress = {"clean": row("clean", 0, 2, 0), "rows": [row("far", 1, shifted, 0), row("dark", 1, 2, 0)]}
    for language in LANGUAGES:
        text = told_of(prebuilt, stress, language)
        assert translate("about_shifts_hardly", language) in html.unescape(text)
        assert translate("shift_far", language) not in text
    assert "about_shifts_hardly" not in text
    assert "hardly ever gave" not in told_of(prebuilt, STRESS)


def test_few_pictures_do_not_tell_which_shift_is_worst(prebuilt: Revision) -> None:
    rows = [row("far", 1, 0, 0, 7), row("far", 2, 0, 0, 7), row("dark", 1, 3, 0, 8)]
    text = told_of(prebuilt, {"clean": STRESS["clean"], "rows": rows})
    assert "Hardest: dark" in text
    few = told_of(prebuilt, {"clean": STRESS["clean"], "rows": rows[:2]})
    assert "the right answer for 0.0 % of them" in few
    assert "Hardest" not in few


def written(number: str, language: str) -> str:
    return number.replace(".", {"en": ".", "de": ",", "es": ",", "fr": ",", "zh": "."}[language])


def test_what_mistakes_cost_is_told_in_every_language(prebuilt: Revision) -> None:
    bundle = read_bundle(prebuilt.folder)
    assert read_about(bundle.card, bundle.metrics, "r").costs == ()
    costs = {"decision": {"cost": 0.123}, "most_probable": {"cost": 4.56}, "ask": {"cost": 2}}
    about = read_about(bundle.card, {**bundle.metrics, "costs": costs}, "r")
    for language in LANGUAGES:
        text = about_html(about, language)
        assert translate("about_costs", language) in text or "&#39;" in text
        assert all(written(number, language) in text for number in ("0.12", "4.6"))
    with pytest.raises(BrokenModel, match="figure"):
        read_about(bundle.card, {**bundle.metrics, "costs": {"decision": 1}}, "r")


def test_how_often_sets_hold_the_truth_is_told_in_every_language(prebuilt: Revision) -> None:
    bundle = read_bundle(prebuilt.folder)
    sets = {"wanted": 0.95, "counts": {"coverage": 0.968, "interval": [0.945, 0.982], "size": 1.053}}
    about = read_about(bundle.card, {**bundle.metrics, "sets": sets}, "r")
    for language in LANGUAGES:
        text = about_html(about, language)
        assert all(written(number, language) in text for number in ("96.8 %", "94.5 %", "98.2 %", "95.0 %", "1.05"))
    with pytest.raises(BrokenModel, match="figure"):
        read_about(bundle.card, {**bundle.metrics, "sets": {"wanted": 1}}, "r")


def test_every_shift_has_a_name_on_the_page() -> None:
    from spotter.evaluate.shifts import SHIFTS

    for name in SHIFTS:
        assert translate(f"shift_{name}", "en")


def test_without_a_stress_test_and_where_no_shift_costs_much_there_is_no_warning(prebuilt: Revision) -> None:
    bundle = read_bundle(prebuilt.folder)
    assert bundle.metrics.get("stress") is None
    heading = translate("about_shifts", "en")
    assert heading not in about_html(read_about(bundle.card, bundle.metrics, "r"), "en")
    for nothing in (None, {"clean": row("clean", 0, 0, 0, 0), "rows": []}):
        about = read_about(bundle.card, {**bundle.metrics, "stress": nothing}, "r")
        assert about.shifts is None
    text = about_html(replace(about, shifts=Shifts(0.9, 0.0, 0.95, 0.0, "far", 0.89)), "en")
    assert heading in text
    assert "Hardest" not in text


@pytest.mark.parametrize(
    "stress",
    [
        {},
        [],
        "x",
        {"clean": STRESS["clean"], "rows": [3]},
        {"clean": STRESS["clean"], "rows": [row("far", 1, 11, 0)]},
        {"clean": row("clean", 0, 3, 4), "rows": []},
        {"clean": STRESS["clean"], "rows": [{**row("far", 1, 1, 0), "pictures": 1e400}]},
    ],
)
def test_garbled_figures_of_a_stress_test_are_told(prebuilt: Revision, stress: object) -> None:
    bundle = read_bundle(prebuilt.folder)
    with pytest.raises(BrokenModel, match="figure"):
        read_about(bundle.card, {**bundle.metrics, "stress": stress}, "r")


def test_a_shift_that_this_page_does_not_know_keeps_its_name_and_is_escaped() -> None:
    about = About("net", 224, 3, shifts=Shifts(0.5, 0.1, 0.9, 0.0, "<b>snow", 0.2))
    assert "Hardest: &lt;b&gt;snow." in about_html(about, "en")
