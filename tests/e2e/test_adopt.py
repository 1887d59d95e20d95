"""`spotter adopt`: from a lesson to a full revision, or a reason why not."""

import contextlib
import io
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spotter import Predictor
from spotter.cli import main
from spotter.collect.lesson import read_lesson
from spotter.data.training_run import read_run
from spotter.errors import ParityError
from spotter.pipeline import publish_again
from spotter.publish.adoption import check_adoption
from spotter.publish.candidate import Candidate
from spotter.train.head import choose_head
from spotter.web.browser import Browser
from spotter.web.site import read_site
from tests.conftest import ROOT
from tests.helpers.hub import Hub, environment, point_client
from tests.helpers.lessons import digest, flat, learn_lesson, make_lesson, shapes, write_lesson

PICTURES = shapes(10)
MADE = {
    "export.pkl",
    "model.onnx",
    "reference.safetensors",
    "model.json",
    "metrics.json",
    "README.md",
    "manifest.jsonl",
}


@dataclass(frozen=True)
class Adopted:
    lesson: Path
    told: dict[str, Any]
    base: Path
    output: str

    @property
    def revision(self) -> Path:
        return self.base / "store" / "revisions" / self.output.splitlines()[-1].removeprefix("revision ")


def adopt(capsys: pytest.CaptureFixture[str], lesson: Path, base: Path) -> tuple[int, str, str]:
    status = main(["adopt", str(lesson), "--to", str(base / "store"), "--data", str(base / "data")])
    output, errors = capsys.readouterr()
    return status, output, errors.splitlines()[-1] if errors else ""


@pytest.fixture(scope="module")
def adopted(tiny_network: None, tmp_path_factory: pytest.TempPathFactory) -> Adopted:
    base = tmp_path_factory.mktemp("adopted")
    lesson = base / "shapes.spotter-lesson.zip"
    told = make_lesson(lesson, PICTURES)
    output = run_quietly(["adopt", str(lesson), "--to", str(base / "store"), "--data", str(base / "data")])
    return Adopted(lesson, told, base, output)


def run_quietly(words: list[str]) -> str:
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        status = main(words)
    assert status == 0, output.getvalue()
    return output.getvalue()


def test_a_lesson_becomes_a_full_revision(adopted: Adopted) -> None:
    found = {path.name for path in adopted.revision.iterdir()}
    assert MADE | {"example-1.jpg", "example-2.jpg", "example-3.jpg", "thumbnails.safetensors"} <= found
    predictor = Predictor.load(str(adopted.base / "store"))
    for label, mine in PICTURES.items():
        assert predictor.predict(mine[0]).closest == label


def test_it_says_how_close_both_sides_are(adopted: Adopted) -> None:
    assert "answers of the published model: 30 of 30 pictures within 0.02" in adopted.output
    assert "held out, without shifted views: 30 of 30 pictures within 0.02" in adopted.output


def test_its_card_says_how_it_was_made_and_no_path_of_this_machine(adopted: Adopted) -> None:
    card = (adopted.revision / "README.md").read_text()
    assert "python -m spotter adopt shapes.spotter-lesson.zip --to STORE" in card
    assert "what the page `teach/` of a site gave" in card
    for path in adopted.revision.iterdir():
        assert str(adopted.base).encode() not in path.read_bytes(), path.name


def test_its_pictures_can_be_cleaned_and_published_again(adopted: Adopted, tmp_path: Path) -> None:
    folder = adopted.base / "data" / "shapes" / "taught"
    assert read_run(folder).revision == adopted.revision.name
    # The set is the same, so the revision is too.
    assert publish_again(folder) == adopted.revision.name


def test_adopted_again_it_is_the_same_revision(adopted: Adopted, capsys: pytest.CaptureFixture[str]) -> None:
    status, output, _ = adopt(capsys, adopted.lesson, adopted.base)
    assert (status, output.splitlines()[-1]) == (0, f"revision {adopted.revision.name}")


def test_a_model_that_answers_otherwise_is_not_published(
    adopted: Adopted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = turned_round(adopted, "answers")
    status, _, error = adopt(capsys, write_lesson(tmp_path / "a.zip", told, flat(PICTURES)), tmp_path)
    assert status == 1
    assert "would not answer like the one that was taught in the browser" in error
    assert not (tmp_path / "store" / "main").exists()


def turned_round(adopted: Adopted, kind: str) -> dict[str, Any]:
    """The lesson, but for answers in which each class is taken for the next."""
    told = json.loads(json.dumps(adopted.told))
    told["taught"][kind] = {key: row[1:] + row[:1] for key, row in told["taught"][kind].items()}
    return told


@pytest.fixture(scope="module")
def candidate(tiny_network: None, adopted: Adopted, tmp_path_factory: pytest.TempPathFactory) -> Candidate:
    """What is compared before it is published: the same training, but that nothing is judged and written."""
    return learn_lesson(adopted.lesson, tmp_path_factory.mktemp("candidate"))


def refusal(told: dict[str, Any], adopted: Adopted, candidate: Candidate, path: Path) -> str:
    """Why a lesson that says this would not be published."""
    lesson = read_lesson(write_lesson(path, told, flat(PICTURES)))
    keys = (str(record.sha256) for record in candidate.cleaned.dataset.records)
    answers = np.array([adopted.told["taught"]["answers"][key] for key in keys])
    assert check_adoption(read_lesson(adopted.lesson).taught, candidate, answers)
    with pytest.raises(ParityError) as caught:
        check_adoption(lesson.taught, candidate, answers)
    return str(caught.value)


@pytest.mark.parametrize("kind", ["plain", "held_out", "answers"])
def test_each_kind_of_answers_is_compared(kind: str, adopted: Adopted, candidate: Candidate, tmp_path: Path) -> None:
    said = refusal(turned_round(adopted, kind), adopted, candidate, tmp_path / "a.zip")
    assert "would not answer like the one that was taught in the browser" in said


def test_what_was_learnt_before_there_were_views_is_held_to_clear_labels(
    adopted: Adopted, candidate: Candidate, tmp_path: Path
) -> None:
    cleaned = candidate.cleaned
    early = choose_head(cleaned.values, cleaned.dataset.targets, cleaned.folds, candidate.task.config)
    keys = [str(record.sha256) for record in cleaned.dataset.records]
    rows = dict(zip(keys, early.probabilities.tolist(), strict=True))
    told = json.loads(json.dumps(adopted.told))
    told["taught"] |= {"cropped": 0, "plain": rows, "held_out": rows}
    lesson = read_lesson(write_lesson(tmp_path / "early.zip", told, flat(PICTURES)))
    answers = np.array([adopted.told["taught"]["answers"][key] for key in keys])
    assert "30 pictures within 0.02" in check_adoption(lesson.taught, candidate, answers)[0]
    # It counts as learnt from all views where nothing is said of them.
    del told["taught"]["cropped"]
    assert "differ by more than 0.02" in refusal(told, adopted, candidate, tmp_path / "a.zip")
    turned = {key: row[1:] + row[:1] for key, row in rows.items()}
    told["taught"] |= {"cropped": 0, "plain": turned}
    assert "clearly get another label" in refusal(told, adopted, candidate, tmp_path / "b.zip")


def test_other_folds_and_other_pictures_are_refused(adopted: Adopted, candidate: Candidate, tmp_path: Path) -> None:
    told = json.loads(json.dumps(adopted.told))
    first = digest(PICTURES["disc"][0])
    told["taught"]["fold"][first] += 1
    moved = refusal(told, adopted, candidate, tmp_path / "a.zip")
    assert "1 of 30 pictures were held out in another fold" in moved
    del told["taught"]["fold"][first]
    fewer = refusal(told, adopted, candidate, tmp_path / "b.zip")
    assert "learnt from 29 pictures and this training from 30" in fewer


def test_what_was_deleted_is_not_learnt_from_and_what_has_no_licence_is_not_published(
    tiny_network: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone, moved = digest(PICTURES["disc"][0]), digest(PICTURES["cross"][1])
    common = {"at": "2026-11-29T02:01:00.000Z", "who": "teach page", "why": "doubtful"}
    edits = [
        {"id": "1" * 32, "batch": "1" * 32, "action": "delete", "sha256": gone, "from": "disc"} | common,
        {"id": "2" * 32, "batch": "2" * 32, "action": "relabel", "sha256": moved, "from": "cross", "to": "disc"}
        | common,
    ]
    lesson = tmp_path / "shapes.zip"
    told = make_lesson(lesson, PICTURES, edits=edits)
    assert len(told["taught"]["fold"]) == 29
    # They were found, all stripes and nothing else.
    for row in told["pictures"]:
        if row["label"] == "stripes":
            row |= {"source": "wikimedia", "page_url": f"https://example.org/{row['sha256']}"}
    write_lesson(lesson, told, flat(PICTURES))
    status, _, error = adopt(capsys, lesson, tmp_path)
    assert status == 0, error
    revision = next(tmp_path.glob("store/revisions/*"))
    rows = [json.loads(line) for line in (revision / "manifest.jsonl").open()]
    (deleted,) = (row for row in rows if row["sha256"] == gone)
    (relabelled,) = (row for row in rows if row["sha256"] == moved)
    assert (deleted["decision"], relabelled["label"]) == ("dropped", "disc")
    examples = {path.name: path.read_bytes() for path in revision.glob("example-*.jpg")}
    assert examples.keys() == {"example-1.jpg", "example-2.jpg"}
    assert not set(PICTURES["stripes"]) & set(examples.values())


def test_with_the_takedown_list_nothing_is_compared(
    adopted: Adopted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "takedown.txt").write_text(digest(PICTURES["disc"][0]))
    status, output, error = adopt(capsys, adopted.lesson, tmp_path)
    assert status == 0, error
    assert "not compared: pictures of the lesson are on the takedown list" in output


def test_a_file_that_is_no_lesson_leaves_nothing_behind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.make_archive(str(tmp_path / "a"), "zip", Path(__file__).parent)
    status, _, error = adopt(capsys, tmp_path / "a.zip", tmp_path)
    assert status == 1
    assert "no lesson: there is no spotter-lesson.json in it" in error
    assert not (tmp_path / "data").exists()


def test_private_is_for_the_hub_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["adopt", "a.zip", "--to", str(tmp_path), "--private"])
    assert "--private only works with --to hf://owner/name" in capsys.readouterr().err


@pytest.mark.slow
def test_the_two_commands_that_the_page_shows_put_it_on_a_static_space(
    adopted: Adopted, built: dict[str, bytes], chromium: Browser, hub: Hub, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    # The first in this process; all that the second one does is done by a process, as people start it.
    point_client(monkeypatch, hub.url, tmp_path / "hub")
    words = ["adopt", str(adopted.lesson), "--to", "hf://anna/shapes", "--data", str(tmp_path / "data")]
    revision = run_quietly(words).splitlines()[-1]
    command = [sys.executable, "-m", "spotter", "deploy", "hf://anna/shapes-page", "--model", "hf://anna/shapes"]
    mine = environment(hub, tmp_path, PYTHONPATH=".", SPOTTER_BROWSER=chromium.program)
    done = subprocess.run([*command, "--static"], cwd=ROOT, env=mine, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"{hub.static_url}/anna/shapes-page"
    site = read_site(hub.repos["spaces/anna/shapes-page"].head.files["site.json"])
    assert site
    assert f"revision {site['revision']}" == revision
    assert site["parity"]["pictures"] == 72
