"""The About tab's figures, from what a revision holds."""

import json
from dataclasses import replace

import pytest

from spotter.bundle.reading import read_bundle
from spotter.errors import BrokenModel
from spotter.serve.about import About, ClassRow, about_html, read_about
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
