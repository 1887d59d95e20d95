"""The report over an answer log: what it says, that it is safe to open, and that it can be read."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spotter.cli import main
from spotter.cli.report import measure_training
from spotter.config import LogConfig
from spotter.errors import BrokenModel, LogUnreadable, RevisionMissing
from spotter.image_stats import measure_image
from spotter.images import load_picture
from spotter.inference.predictor import Predictor
from spotter.monitor.baseline import read_published
from spotter.monitor.log import AnswerLog
from spotter.monitor.projection import Projection
from spotter.monitor.report import advise, gather, render
from tests.conftest import ROOT, Published, Revision
from tests.helpers.answers import joined, make_answers, reviewed
from tests.helpers.markup import Page
from tests.helpers.monitor_report import HOSTILE, log_of, make_report, two_months
from tests.helpers.webhook import listening


def test_the_sentence_at_the_top_says_what_to_do(tmp_path: Path) -> None:
    dark = advise(gather(log_of(tmp_path / "dark", two_months(reviews=False))))
    assert dark.startswith("Pictures became darker: ")
    assert dark.endswith("if it stays like this, collect such pictures and train again.")
    both = advise(gather(log_of(tmp_path / "both", two_months())))
    assert both.startswith("Wrong answers ")
    assert re.search(r"spotter rollback if it began with this revision \(\d more alerts?\)\.$", both)
    few = advise(gather(log_of(tmp_path / "few", make_answers(30))))
    assert few == "There are 30 answers so far, too few to notice a change: that begins at 200."
    unknown = advise(gather(log_of(tmp_path / "unknown", make_answers(700))))
    assert unknown.startswith("No alert in the last 14 days, but nobody reviewed the latest answers")
    fine = advise(gather(log_of(tmp_path / "fine", reviewed(make_answers(700), np.arange(700) % 50 == 0))))
    assert re.search(r"and \d of 16\d reviewed answers were wrong \(95 % .*\): nothing to do\.$", fine)
    hardly = replace(make_answers(700), right=np.full(700, "black"), label=np.full(700, "black"))
    hardly = replace(hardly, review=np.where(np.arange(700) > 680, np.arange(700), 0))
    assert re.search(r"but only 0 of 1\d reviewed answers", advise(gather(log_of(tmp_path / "hardly", hardly))))


def test_a_kind_of_picture_that_is_always_hard_is_told(tmp_path: Path) -> None:
    small = np.arange(900) % 6 == 0
    answers = replace(make_answers(900), side=np.where(small, 64, 512))
    said = advise(gather(log_of(tmp_path, reviewed(answers, small & (np.arange(900) % 12 == 0)))))
    assert re.search(r"but of “small” 1[34] of 2\d were wrong", said)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_report(tmp_path_factory.mktemp("log"))


def test_it_is_one_file_that_runs_and_fetches_nothing(page: str) -> None:
    parsed = Page(page)
    assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in parsed.tags}
    assert all(not name.startswith("on") for _, attributes in parsed.tags for name in attributes)
    assert all(str(link["href"]).startswith("#") for link in parsed.all("a"))
    assert "url(" not in page
    assert HOSTILE in parsed.text
    assert "49" not in re.findall(r"script>(\d+)", parsed.text)
    assert len(page) < 300_000
    assert len(parsed.all("h1")) == 1


def test_everything_is_in_it(page: str) -> None:
    text = " ".join(Page(page).text.split())
    assert "1400 answers from 14 Nov 2023" in text
    assert "became darker" in text
    assert "168 answers in the last 7 days, 168 in the 7 before" in text
    rows = ["answered grizzly", "not sure", "familiarity", "sureness", "brightness", "contrast", "colour", "sharpness"]
    assert [words for words in rows if words not in text] == []
    assert "told apart by a classifier" in text
    assert re.search(r"brightness 0\.\d\d.*?changed", text)
    assert "There is no comparison with training" in text
    assert re.search(r"\d+ of 1\d\d reviewed answers of this period were wrong", text)
    assert re.search(r"dark ?\d.*?worse", text)
    assert "from page" in text
    charts = [attributes["aria-label"] for attributes in Page(page).all("svg") if "aria-label" in attributes]
    assert len(charts) == 1 + 1 + 1 + 3 + 6
    assert any(str(words).startswith("Brightness: 0.4") for words in charts)


def test_a_short_log_and_one_without_anything_can_be_shown(tmp_path: Path) -> None:
    assert "1 answer from" in render(log_of(tmp_path / "one", make_answers(1)))
    strange = replace(
        make_answers(300, familiar=False, brightness=0.5, contrast=0.0), projection=np.empty((300, 0), dtype=np.float32)
    )
    assert "it is not known how often the model is wrong" in " ".join(
        render(log_of(tmp_path / "strange", strange)).split()
    )
    with pytest.raises(LogUnreadable, match="has no answers yet"):
        render(log_of(tmp_path / "none", make_answers(0)))
    with pytest.raises(LogUnreadable, match="There is no answer log"):
        render(tmp_path / "nowhere")


def test_a_clock_that_was_set_back_does_not_matter(tmp_path: Path) -> None:
    answers = make_answers(600)
    answers = replace(answers, at=np.where(answers.number > 500, answers.at - 10**7, answers.at))
    assert "600 answers from" in render(log_of(tmp_path, answers))


def test_an_alert_of_a_clock_that_ran_ahead_does_not_stay_new(tmp_path: Path) -> None:
    answers, place = make_answers(800), np.arange(800)
    answers = replace(
        answers,
        brightness=np.where((place >= 200) & (place < 300), 0.05, answers.brightness),
        at=np.where(place < 50, answers.at + 10**8, answers.at),
    )
    findings = gather(log_of(tmp_path, answers))
    assert {change.what for change in findings.changes} >= {"brightness"}
    assert findings.news == []


def test_it_is_compared_with_training(trained: Published, tmp_path: Path) -> None:
    predictor = Predictor.load(trained.store)
    paths = sorted(trained.pictures.glob("*/*"))
    with AnswerLog(tmp_path, trained.revision, predictor.reference, LogConfig(batch_s=0.02)) as log:
        for path in paths:
            picture = load_picture(path)
            log.record(predictor.predict(picture), picture, "page")
    findings = gather(tmp_path, str(trained.store), read=measure_training)
    training = findings.training
    assert training
    metrics = json.loads((trained.folder / "metrics.json").read_text())
    assert training.published.pictures == metrics["pictures"]
    assert training.published.wrong.count == metrics["wrong"]
    assert training.published.refused == round(metrics["pictures"] * (1 - metrics["familiarity"]["accepted"]))
    assert training.published.called.keys() == {"disc", "cross", "stripes"}
    columns = np.array(metrics["confusion"]).sum(axis=0)
    assert [training.published.called[label].total for label in predictor.labels] == columns.tolist()
    # The pictures are those learnt from, so they look the same, and nothing tells them apart.
    looks = {row.what: row for row in findings.rows}
    assert looks["brightness"].training
    assert looks["brightness"].training.value == pytest.approx(looks["brightness"].now.value, abs=0.02)
    assert training.figures["brightness"].mean() == pytest.approx(
        np.mean([measure_image(load_picture(path)).brightness for path in paths]), abs=0.02
    )
    assert findings.from_training
    assert findings.from_training.area < 0.6
    text = " ".join(render(tmp_path, str(trained.store)).split())
    assert "There is no comparison with training" not in text


def test_training_is_known_as_far_as_it_is_there(trained: Published, tmp_path: Path) -> None:
    store = Path(shutil.copytree(trained.store, tmp_path / "store"))
    (store / "pictures").unlink()
    known = read_published(str(store))
    training = measure_training(str(store), known)
    assert training.figures == {}
    reference = Predictor.load(store).reference
    assert np.array_equal(training.places, Projection.fit(reference, 16)(reference).astype(np.float32))
    with pytest.raises(RevisionMissing):
        read_published(str(store), "abcdef0")
    (store / "revisions" / trained.revision / "metrics.json").write_text('{"pictures": "many"}')
    with pytest.raises(BrokenModel, match="has no figures that can be read"):
        read_published(str(store))


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "spotter", "report", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": "."}, capture_output=True, text=True)


@pytest.mark.slow
def test_the_command_writes_it_and_says_what_to_do(tmp_path: Path, prebuilt: Revision) -> None:
    log_of(tmp_path, two_months())
    with listening() as webhook:
        done = run(tmp_path, "--webhook", webhook.url, "--model", prebuilt.store)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1].startswith("Wrong answers ")
        assert "the revision r1 is not in" in done.stdout
        assert re.search(r"  (\d) alerts sent", done.stdout)
        assert len(webhook.got) >= 2
        assert {each["what"] for each in webhook.got} >= {"brightness", "errors"}
    assert "became darker" in (tmp_path / "monitor.html").read_text()


def test_failures_are_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path / "none")]) == 1
    assert "There is no answer log" in capsys.readouterr().err
    log_of(tmp_path, make_answers(20))
    assert main(["report", str(tmp_path), "--webhook", "file:///etc/passwd"]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
    (tmp_path / "file").write_text("")
    assert main(["report", str(tmp_path), "--to", str(tmp_path / "file" / "report.html")]) == 1
    assert "The report cannot be written" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["report", str(tmp_path), "--days", "0"])


def test_past_alerts_are_folded_under_the_open_ones(tmp_path: Path) -> None:
    changed = two_months()
    page = render(log_of(tmp_path / "changed", changed))
    opened, folded = page.split('<section id="periods"')[0].split('<h2 id="title-alerts">')[1], "past-alerts"
    assert 'class="alerts"' in opened
    assert f'<details class="{folded}">' not in opened
    # A month later nothing is open any more; what was is told, and not as what to do now.
    later = joined(changed, make_answers(900, seed=5))
    page = render(log_of(tmp_path / "later", later))
    section = page.split('<section id="periods"')[0].split('<h2 id="title-alerts">')[1]
    before, inside = section.split(f'<details class="{folded}">')
    assert "None now." in before
    assert 'class="alerts' not in before
    assert re.search(r"<summary>\d+ past alerts?, older than 14 days</summary>", inside)
    assert "brightness" in inside or "darker" in inside
    assert "What to do" not in section
