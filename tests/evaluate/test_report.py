"""What the evaluation report shows where, and that it is safe to open."""

import base64
import html
import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from spotter.config import FamiliarityConfig
from spotter.decide.costs import make_costs
from spotter.errors import DatasetUnwritable
from spotter.evaluate.held_out import evaluate_held_out, judge_decisions
from spotter.evaluate.report import write_report
from spotter.evaluate.shifts import GRID
from spotter.utils.stats import wilson_interval
from tests.helpers.evaluation_report import CALLED, HOSTILE, PICTURES, color_of, make_report, make_stress, make_trained
from tests.helpers.markup import Page


def color_at(picture: dict[str, str | None]) -> tuple[int, ...]:
    content = base64.b64decode(str(picture["src"]).removeprefix("data:image/jpeg;base64,"))
    with Image.open(io.BytesIO(content)) as opened:
        return opened.convert("RGB").getpixel((10, 10))


def test_each_cell_leads_to_its_own_pictures(tmp_path: Path) -> None:
    page = make_report(tmp_path)
    wrong = {"cell-1-2": [0, 3], "cell-2-3": [7]}
    right = {f"cell-{n + 1}-{n + 1}": [i for i in range(PICTURES) if i % 3 == n and i not in CALLED] for n in range(3)}
    links = {str(link["href"]) for link in page.all("a")}
    for cell, members in (wrong | right).items():
        assert f"#{cell}" in links
        shown = page.pictures[cell]
        assert sorted(int(str(picture["alt"]).split()[1]) for picture in shown) == members
        for picture in shown:
            index = int(str(picture["alt"]).split()[1])
            assert color_at(picture) == pytest.approx(color_of(index), abs=6)
    assert not {name for name in page.pictures if name.startswith("cell-")} - set(wrong | right)
    assert "called R2-D2 & friends', 90.0 % sure" in page.texts["cell-1-2"]
    assert "is grizzly, loss 3.00" in page.texts["cell-1-2"]
    assert "the owner's own" in page.texts["cell-2-3"]


def test_every_link_leads_somewhere_on_the_page(tmp_path: Path) -> None:
    page = make_report(tmp_path)
    ids = [str(attributes["id"]) for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {str(link["href"]) for link in page.all("a")} <= {f"#{name}" for name in ids}


def test_the_figures_are_there(tmp_path: Path) -> None:
    page = make_report(tmp_path)
    assert "3 of 60 wrong: error 5.0%" in page.text
    assert "100.0 % 18 of 18" in page.texts["confusion"]
    assert "90.0 % 18 of 20" in page.texts["confusion"]
    assert "90.5 % 19 of 21" in page.texts["confusion"]
    assert "Wrong in each fold: 1 of 12, 1 of 12, 1 of 12, 0 of 12, 0 of 12." in page.texts["confusion"]
    assert "R2-D2 & friends' / grizzly / 3.00 / 0.90" in page.texts["losses"]
    assert len(page.pictures["losses"]) == 9
    # Every top probability is 0.9, and 57 of 60 are right; before scaling it was 0.9² / (0.9² + 2 · 0.05²).
    assert "Expected calibration error4.4 %5.0 %" in page.texts["probabilities"].replace("\n", "")
    assert "10 of 10 strangers refused" in page.texts["familiarity"]
    assert "Area under the curve 1.000" in page.texts["familiarity"]


def test_without_strangers_and_without_a_learning_curve_it_says_so(tmp_path: Path) -> None:
    assert "was not measured" in make_report(tmp_path, strangers=False).texts["familiarity"]
    trained, dataset, folds = make_trained(tmp_path)
    held_out = folds == 0
    trained = replace(trained, judged=held_out, learnt_from=~held_out, probabilities=trained.probabilities[held_out])
    evaluation = evaluate_held_out(trained, dataset, folds, FamiliarityConfig())
    write_report(evaluation, trained, dataset, folds, tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "There is no learning curve" in page.texts["learning"]
    assert "Wrong in each fold" not in page.text
    assert len({picture["alt"] for picture in page.all("img")}) == held_out.sum()


def read_section(path: Path, name: str) -> tuple[str, str]:
    """A section of a report, as HTML and as words, those of each cell apart."""
    section = path.read_text(encoding="utf-8").partition(f'id="{name}"')[2].partition("</section>")[0]
    return section, " ".join(html.unescape(re.sub("<[^>]+>", " ", section)).split())


def test_shifts_are_shown_beside_the_pictures_as_they_are(tmp_path: Path) -> None:
    page = make_report(tmp_path)
    section, text = read_section(tmp_path / "out" / "report.html", "shifts")
    # Beside the one row of the pictures as they are, two for each shift.
    assert section.count("<tr") == 1 + 1 + len(GRID)
    assert "as they are 60 91.7 % 82 to 96 0.0 % 0 to 6 91.7 % 82 to 96 5.0 % 2 to 14 5.0 % – –" in text
    assert (
        "grey moderate 30 83.3 % 66 to 93 0.0 % 0 to 11 83.3 % 66 to 93 13.3 % 5 to 30 12.5 % 40.0 % 17 to 69" in text
    )
    assert "grey, strong 0 30 blank nothing was left to see" in text
    assert "The hardest shift is “dark and noisy, strong”: 50 % right and answered." in text
    assert "By models that had learnt from no views like the shift" in text
    assert "(with such views, on the same pictures in 21 of 27 rows and by one look too: 60 % and 20.0 %)." in text
    assert "“–”: nothing like it is learnt from, or too little would be left" in text
    assert "heavy JPEG compression moderate: called" in text
    assert "strong: “not sure”, at most grizzly , 75.0 % is R2-D2 & friends'" in text
    # The picture at both strengths, but for what nothing was left of.
    shown = page.pictures["shifts"]
    assert len(shown) == len(GRID) - 1
    assert shown[0]["alt"] == "grey, moderate: grizzly"
    grey = color_at(shown[0])
    red, green, blue = color_of(0)
    assert max(grey) - min(grey) < 0.4 * (max(red, green, blue) - min(red, green, blue))


def test_strips_of_text_that_one_class_alone_has_are_told(tmp_path: Path) -> None:
    trained, dataset, folds = make_trained(tmp_path)
    for row, path in enumerate(dataset.paths):
        picture = Image.new("RGB", (256, 192), color_of(row))
        if dataset.targets[row] == 1:
            draw = ImageDraw.Draw(picture)
            draw.rectangle((0, 172, 256, 192), fill=(0, 0, 0))
            draw.text((4, 174), "CAM07 2026-06-12 23:47", fill=(255, 255, 255), font=ImageFont.load_default(14))
        picture.save(path, quality=95)
    evaluation = evaluate_held_out(trained, dataset, folds, FamiliarityConfig())
    write_report(evaluation, trained, dataset, folds, tmp_path / "report.html")
    _, text = read_section(tmp_path / "report.html", "shifts")
    assert "Strips of text along the edge: 20 of 20 R2-D2 & friends', but 0 of 20 grizzly. A model may take" in text
    (tmp_path / "plain").mkdir()
    assert "Strips of text" not in make_report(tmp_path / "plain").text


def test_what_is_known_of_other_sources_is_told(tmp_path: Path) -> None:
    make_report(tmp_path)
    _, text = read_section(tmp_path / "out" / "report.html", "elsewhere")
    assert "On pictures of sources that training never saw, 3 of 60 wrong: error 5.0 %" in text
    assert "wikimedia 0 of 20 0.0 % 0 to 16" in text


def test_without_a_stress_test_it_says_so(tmp_path: Path) -> None:
    page = make_report(tmp_path, judged=False)
    assert "from far away and so on was not measured" in page.texts["shifts"]
    assert "Nobody knows the error on pictures from elsewhere: it was not measured." in page.texts["elsewhere"]
    assert "shifts" not in page.pictures


def test_what_mistakes_cost_is_told_where_somebody_said_so(tmp_path: Path) -> None:
    assert "What its mistakes cost" not in make_report(tmp_path).text
    trained, dataset, folds = make_trained(tmp_path)
    evaluation = evaluate_held_out(trained, dataset, folds, FamiliarityConfig())
    first, second, _ = dataset.labels
    costs = make_costs({f"{first} as {second}": 30, "ask": 50}, dataset.labels)
    found = judge_decisions(evaluation, trained, dataset, folds, costs)
    path = tmp_path / "costs.html"
    write_report(found, trained, dataset, folds, path)
    _, text = read_section(path, "costs")
    # Of 60, two are the first called the second, at 30 each, and one is another mistake.
    assert f"the most probable label {61 / 60:.3g}" in text
    assert "always ask a person 50 50 to 50 60 of 60" in text
    assert "never best to ask a person" in text


def test_sets_of_labels_are_told_for_all_for_each_class_and_under_shifts(tmp_path: Path) -> None:
    trained, dataset, folds = make_trained(tmp_path)
    evaluation = evaluate_held_out(trained, dataset, folds, FamiliarityConfig())
    judged = judge_decisions(evaluation, trained, dataset, folds, None, 0.9)
    assert judged.sets is not None
    stress = make_stress(dataset)
    row = replace(stress.rows[0], sets=replace(judged.sets.counts, pictures=30, covered=21, coverage=0.7))
    path = tmp_path / "sets.html"
    shown = replace(judged, stress=replace(stress, rows=(row, *stress.rows[1:])))
    write_report(shown, trained, dataset, folds, path)
    _, text = read_section(path, "sets")
    counts = judged.sets.counts
    assert f"all held-out ones 60 {100 * counts.coverage:.1f} %" in text
    assert all(f"{label} 20" in text for label in dataset.labels)
    assert f"{row.title}, moderate 30 70.0 %" in text
    assert "theory promises only twice the error" in text
    assert judged.as_json()["sets"]["counts"]["interval"] == counts.interval
    rows = shown.as_json()["stress"]["rows"]
    assert (rows[0]["sets"]["covered"], rows[0]["intervals"]["answered"]) == (21, wilson_interval(25, 30))
    assert judged.as_json()["stress"] is None
    write_report(replace(judged, sets=None), trained, dataset, folds, path)
    assert "Sets of labels" not in path.read_text()


def test_titles_and_licences_are_only_text(tmp_path: Path) -> None:
    page = make_report(tmp_path, title=HOSTILE, license_id=HOSTILE, backend=HOSTILE, page_url="javascript:alert(1)")
    assert not page.all("script")
    assert all(not name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert '<script>alert(1)</script> "it\'s" <img src=x onerror=alert(2)> {{ 7 * 7 }} 🐻 ?' in page.text
    assert all(str(link["href"]).startswith("#") for link in page.all("a"))


def test_it_opens_without_network_and_stays_the_same(tmp_path: Path) -> None:
    page = make_report(tmp_path)
    assert page.all("img")
    assert all(str(picture["src"]).startswith("data:image/jpeg;base64,") for picture in page.all("img"))
    assert not page.all("link")
    first = (tmp_path / "out" / "report.html").read_bytes()
    assert b"url(" not in first
    make_report(tmp_path)
    assert (tmp_path / "out" / "report.html").read_bytes() == first


def test_a_full_cell_shows_the_least_sure_and_the_page_stays_light(tmp_path: Path) -> None:
    trained, dataset, folds = make_trained(tmp_path, pictures=400)
    noise = np.random.default_rng(0).integers(0, 255, (96, 96, 3), dtype=np.uint8)
    for path in dataset.paths:
        Image.fromarray(noise).save(path, quality=95)
    probabilities = trained.probabilities.copy()
    probabilities[396] = [0.5, 0.3, 0.2]
    trained = replace(trained, probabilities=probabilities)
    evaluation = evaluate_held_out(trained, dataset, folds, FamiliarityConfig())
    write_report(evaluation, trained, dataset, folds, tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert len(page.pictures["cell-1-1"]) == 60
    assert page.pictures["cell-1-1"][0]["alt"] == "picture 396"
    assert "60 of 132 shown" in page.texts["cell-1-1"]
    assert (tmp_path / "report.html").stat().st_size < 5_000_000


def test_with_many_classes_the_confusions_are_listed_most_frequent_first(tmp_path: Path) -> None:
    labels = tuple(f"breed {number}" for number in range(40))
    trained, dataset, folds = make_trained(tmp_path, pictures=80, labels=labels)
    probabilities = trained.probabilities.copy()
    # Both pictures of class 7 are called 2, as one is already.
    probabilities[47] = probabilities[7]
    evaluation = evaluate_held_out(replace(trained, probabilities=probabilities), dataset, folds, FamiliarityConfig())
    write_report(evaluation, replace(trained, probabilities=probabilities), dataset, folds, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert "The 3 kinds of wrong answers, most frequent first" in page.texts["confusion"]
    listed = [str(link["aria-label"]) for link in page.all("a") if "called" in str(link.get("aria-label", ""))]
    assert listed == ["breed 7 called breed 2: 2", "breed 0 called breed 1: 1", "breed 3 called breed 1: 1"]
    assert 'class="matrix' not in text
    assert text.count("<td") < 20 * len(labels)


def test_a_report_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    trained, dataset, folds = make_trained(tmp_path)
    (tmp_path / "file").write_text("")
    evaluation = evaluate_held_out(trained, dataset, folds, FamiliarityConfig())
    with pytest.raises(DatasetUnwritable, match="The report cannot be written"):
        write_report(evaluation, trained, dataset, folds, tmp_path / "file" / "report.html")
