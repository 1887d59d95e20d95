"""What visitors send: kept whole or not at all, deletable, and never learnt from before somebody has reviewed it."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spotter.clean.suspects import VISITORS, View, rank, reason
from spotter.cli.feedback import Noted, note_reviews
from spotter.collect.collector import collect
from spotter.config import TrainConfig
from spotter.data.dataset import SELF_SELECTED, UNREVIEWED, Dataset
from spotter.data.edit_log import Edit, EditLog
from spotter.data.edits import apply_edits
from spotter.data.splits import deal_folds
from spotter.errors import FeedbackUnwritable, FolderMissing
from spotter.feedback.store import DELETED, FACTS, PICTURE, FeedbackFolder, Removal
from spotter.inference.prediction import Prediction
from spotter.monitor.compare import judge_reviews
from spotter.monitor.log import AnswerLog, read_answers
from spotter.recipe import make_recipe
from spotter.search.feedback import VisitorFeedback
from spotter.search.folder import Folder
from tests.conftest import ROOT, Published
from tests.helpers.drawing import write_folder

RECIPE = make_recipe({"disc": "disc", "cross": "cross"}, name="shapes")


def prediction(label: str = "disc") -> Prediction:
    probabilities = {"disc": 0.1, "cross": 0.1} | {label: 0.9}
    return Prediction(label, probabilities, 0.8, familiar=True, threshold=0.6)


def drawing(number: int) -> Image.Image:
    pixels = np.random.default_rng(number).integers(0, 255, (9, 12, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((120, 90), Image.Resampling.BICUBIC)


@pytest.fixture
def entries(tmp_path: Path) -> FeedbackFolder:
    return FeedbackFolder(tmp_path / "feedback")


def collected(tmp_path: Path, entries: FeedbackFolder) -> Dataset:
    drawn = tmp_path / "drawn"
    if not drawn.exists():
        write_folder(drawn, count=8)
    return collect(RECIPE, [Folder(str(drawn)), VisitorFeedback(str(entries.folder))], tmp_path / "set")


def test_an_entry_has_its_facts_and_no_metadata(entries: FeedbackFolder) -> None:
    exif = Image.Exif()
    exif[0x010E], exif[0x8825] = "SECRET-TEXT", {1: "N"}
    picture = drawing(1)
    picture.info["exif"] = exif.tobytes()
    id_ = entries.add(picture, prediction(), "cross", "abc")
    ((entry, path),) = entries.read()
    assert (entry.id, entry.closest, entry.said, entry.revision, entry.consent) == (id_, "disc", "cross", "abc", "3")
    assert not entry.is_right
    assert entry.sentence() == "the model said disc (90%), a visitor cross"
    with Image.open(path) as kept:
        assert (kept.size, dict(kept.getexif()), kept.info.get("comment")) == ((120, 90), {}, None)
    written = b"".join(file.read_bytes() for file in entries.folder.rglob("*") if file.is_file())
    assert b"SECRET" not in written
    assert b"127.0.0.1" not in written


def test_big_pictures_shrink(entries: FeedbackFolder) -> None:
    entries.add(Image.new("RGB", (3000, 1000)), prediction(), None, None)
    ((_, path),) = entries.read()
    with Image.open(path) as kept:
        assert max(kept.size) == 1024


def test_a_copy_from_elsewhere_leaves_what_is_here(entries: FeedbackFolder) -> None:
    id_ = entries.add(drawing(1), prediction(), "disc", None)
    entries.receive(id_, b"another", b"{}")
    assert [entry.said for entry, _ in entries.read()] == ["disc"]
    entries.receive("../elsewhere", b"another", b"{}")
    assert entries.ids() == {id_}
    assert not (entries.folder.parent / "elsewhere").exists()


def test_deleting_is_for_good_and_remembered(entries: FeedbackFolder) -> None:
    first = entries.add(drawing(1), prediction(), "disc", None)
    second = entries.add(drawing(2), prediction(), "disc", None)
    assert entries.delete(first)
    assert not entries.delete(first)
    assert [entry.id for entry, _ in entries.read()] == [second]
    assert entries.deleted() == {first}
    assert not (entries.folder / first).exists()


def test_what_is_not_deleted_is_not_said_to_be(entries: FeedbackFolder) -> None:
    id_ = entries.add(drawing(1), prediction(), "disc", None)
    for nonsense in ("", "0" * 32, id_[:-1], id_.upper() + "0", f"../{id_}", f"{id_}/", "deleted.txt"):
        assert entries.remove(nonsense) is Removal.UNKNOWN
    assert entries.ids() == {id_}
    assert entries.remove(id_) is Removal.GONE
    assert entries.ids() == set()
    assert entries.remove(id_) is Removal.UNKNOWN


def test_a_visitor_can_delete_on_a_full_disk(small_disk: Path) -> None:
    entries = FeedbackFolder(small_disk / "feedback")
    id_ = entries.add(drawing(1), prediction(), "disc", None)
    with (small_disk / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while True:
            filler.write(bytes(4096))
    assert entries.delete(id_)
    assert (list(entries.read()), entries.ids(), entries.deleted()) == ([], set(), {id_})


def test_a_full_disk_that_takes_half_a_note_of_a_deletion_loses_none(small_disk: Path) -> None:
    entries = FeedbackFolder(small_disk / "feedback")
    first, second = (entries.add(drawing(number), prediction(), "disc", None) for number in (1, 2))
    # The next note crosses the end of a block, and there is no room for another one.
    earlier = [f"{number:032x}" for number in range(124)]
    (entries.folder / DELETED).write_text("".join(f"{id_}\n" for id_ in earlier))
    with (small_disk / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while True:
            filler.write(bytes(4096))
    assert entries.delete(first)
    assert entries.delete(second)
    assert entries.deleted() == {*earlier, first, second}


@pytest.mark.parametrize("name", ["", "..", "../feedback", "x" * 32, "/etc"])
def test_only_entries_can_be_deleted(name: str, entries: FeedbackFolder) -> None:
    entries.add(drawing(1), prediction(), "disc", None)
    assert not entries.delete(name)
    assert len(list(entries.read())) == 1


@pytest.mark.slow
def test_entries_are_listed_and_deleted_by_a_command(entries: FeedbackFolder) -> None:
    id_ = entries.add(drawing(1), prediction(), "disc", None)

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "spotter", "feedback", str(entries.folder), *words]
        return subprocess.run(command, cwd=ROOT, env={"PYTHONPATH": "."}, capture_output=True, text=True, check=False)

    listed = run()
    assert (listed.returncode, listed.stderr) == (0, "")
    assert f"{id_}  the model said disc (90%), a visitor disc" in listed.stdout
    assert listed.stdout.endswith("entries: 1; 1 say that the model was right\n")
    assert run("--delete", id_).stdout == "entries: 0; 0 say that the model was right\n"
    again = run("--delete", id_)
    assert (again.returncode, "There is no entry" in again.stderr) == (1, True)
    shutil.rmtree(entries.folder)
    missing = run()
    assert (missing.returncode, "There is no folder" in missing.stderr) == (1, True)


def test_visitors_cannot_fill_the_disk(entries: FeedbackFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spotter.feedback.store.MOST", 2)
    entries.folder.mkdir()
    for number in range(3):
        entries.add(drawing(number), prediction(), "disc", None)
    with pytest.raises(FeedbackUnwritable, match="review or move some first"):
        entries.add(drawing(9), prediction(), "disc", None)


def test_what_is_no_entry_is_passed_over(entries: FeedbackFolder) -> None:
    id_ = entries.add(drawing(1), prediction(), "disc", None)
    for name, facts in ((f"{1:032x}", b"{"), (f"{2:032x}", b"[]"), (f"{3:032x}", b'{"id": "x"}'), ("readme", b"{}")):
        (entries.folder / name).mkdir()
        (entries.folder / name / FACTS).write_bytes(facts)
        (entries.folder / name / PICTURE).write_bytes(b"x")
    assert [entry.id for entry, _ in entries.read()] == [id_]


def test_an_unwritable_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(FeedbackUnwritable, match="could not be saved"):
        FeedbackFolder(tmp_path / "file").add(drawing(1), prediction(), "disc", None)


@pytest.mark.slow
def test_killed_at_any_moment_entries_are_whole(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from tests.feedback.test_store import FeedbackFolder, drawing, prediction\n"
        "entries = FeedbackFolder(Path(sys.argv[1]))\n"
        "print('ready', flush=True)\n"
        "while True:\n"
        "    print(entries.add(drawing(1), prediction(), 'disc', None), flush=True)\n"
    )
    for round_ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", code, tmp_path / "f"], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout
        process.stdout.readline()
        time.sleep(0.05 + 0.04 * round_)
        os.kill(process.pid, signal.SIGKILL)
        told = [line.strip() for line in process.stdout if line.endswith("\n")]
        process.wait()
        kept = {entry.id for entry, _ in FeedbackFolder(tmp_path / "f").read()}
        assert set(told) <= kept
    for entry, path in FeedbackFolder(tmp_path / "f").read():
        with Image.open(path) as picture:
            picture.load()
        assert json.loads(path.with_name(FACTS).read_text())["id"] == entry.id


def test_nothing_is_learnt_from_before_review(tmp_path: Path, entries: FeedbackFolder) -> None:
    for number in range(4):
        entries.add(drawing(number), prediction("disc"), "cross", "r")
    dataset = collected(tmp_path, entries)
    own = [record for record in dataset.records if record.backend == "feedback"]
    assert len(own) == 4
    before = apply_edits(dataset, [])
    assert not [record for record in before.dataset.records if record.backend == "feedback"]
    assert [record.reason for record in before.dataset.dropped if record.backend == "feedback"] == [UNREVIEWED] * 4
    assert "4 from visitors wait for review" in before.sentence()
    edits = [
        Edit("anna", "keep", own[0].sha256, to="cross"),
        Edit("anna", "relabel", own[1].sha256, origin="cross", to="disc"),
        Edit("anna", "delete", own[2].sha256),
    ]
    after = apply_edits(dataset, edits)
    learnt = {record.sha256: record.label for record in after.dataset.records if record.backend == "feedback"}
    assert learnt == {own[0].sha256: "cross", own[1].sha256: "disc"}
    assert after.unreviewed == 1


def test_reviewed_pictures_move_no_other_into_another_fold(tmp_path: Path, entries: FeedbackFolder) -> None:
    plain = collect(RECIPE, [Folder(str(write_folder(tmp_path / "drawn", count=8)))], tmp_path / "plain")
    alone = dict(zip(plain.paths, deal_folds(plain, plain, TrainConfig()).tolist(), strict=True))
    for number in range(10):
        entries.add(drawing(number), prediction("disc"), "cross", "r")
    dataset = collected(tmp_path, entries)
    own = [record for record in dataset.records if record.backend == "feedback"]
    edited = apply_edits(dataset, [Edit("anna", "keep", record.sha256, to="cross") for record in own]).dataset
    folds = deal_folds(dataset, edited, TrainConfig())
    found = {path.name: fold for path, fold in zip(edited.paths, folds.tolist(), strict=True)}
    assert all(found[path.name] == fold for path, fold in alone.items())
    # They are dealt out, not all put into one fold.
    assert len({found[str(record.file).split("/")[1]] for record in own}) > 2


def test_a_visitor_cannot_take_a_picture_out_of_the_set(tmp_path: Path, entries: FeedbackFolder) -> None:
    entries.folder.mkdir()
    dataset = collected(tmp_path, entries)
    with Image.open(dataset.paths[0]) as picture:
        id_ = entries.add(picture.copy(), prediction("disc"), "cross", "r")
    # The very bytes of the stored picture, under another label.
    (entries.folder / id_ / PICTURE).write_bytes(dataset.paths[0].read_bytes())
    again = collected(tmp_path, entries)
    assert {r.sha256 for r in again.records if r.backend == "folder"} == {r.sha256 for r in dataset.records}


def test_the_share_that_the_model_chose_is_capped(tmp_path: Path, entries: FeedbackFolder) -> None:
    for number in range(12):
        entries.add(drawing(number), prediction("disc"), "disc", "r")
    dataset = collected(tmp_path, entries)
    edits = [Edit("anna", "keep", r.sha256, to=r.label) for r in dataset.records if r.backend == "feedback"]
    edited = apply_edits(dataset, edits)
    own = sum(record.is_self_selected for record in edited.dataset.records)
    assert own == 5  # of 16 others: 5 / 21 is the most below a quarter
    assert edited.self_selected == 7
    assert sum(record.reason == SELF_SELECTED for record in edited.dataset.dropped) == 7
    assert "left out" in edited.sentence()


def test_the_queue_of_visitors_begins_with_disagreement(tmp_path: Path, entries: FeedbackFolder) -> None:
    entries.add(drawing(1), prediction("disc"), "disc", "r")
    entries.add(drawing(2), prediction("disc"), "cross", "r")
    entries.add(drawing(3), prediction("cross"), None, "r")
    dataset = collected(tmp_path, entries)
    count = len(dataset.records)
    view = View(
        RECIPE.labels,
        dataset.records,
        ((),) * count,
        dataset.targets,
        np.full((count, 2), np.nan),
        np.full(count, np.nan),
        np.full(count, -1),
        0.5,
    )
    queue = rank(VISITORS, view)
    assert reason(VISITORS, view, queue[0], queue[0][0]).endswith("a visitor cross")
    assert len(queue) == 3
    assert any("none of these" in reason(VISITORS, view, members, members[0]) for members in queue)


def test_an_entry_knows_the_answer_in_the_log_and_older_ones_do_not(entries: FeedbackFolder) -> None:
    id_ = entries.add(drawing(1), prediction(), "disc", "r", logged="0123456789abcdef")
    facts = json.loads((entries.folder / id_ / FACTS).read_text())
    assert facts.pop("logged") == "0123456789abcdef"
    older = 32 * "f"
    shutil.copytree(entries.folder / id_, entries.folder / older)
    (entries.folder / older / FACTS).write_text(json.dumps(facts | {"id": older, "time": "2020"}))
    assert [(entry.id, entry.logged) for entry, _ in entries.read()] == [(older, ""), (id_, "0123456789abcdef")]


OLDER = {"time": "2025", "revision": "r", "said": "cross", "consent": "1", "logged": ""}


@pytest.mark.parametrize(("familiar", "label"), [(True, "disc"), (False, "not sure")])
def test_an_entry_from_before_the_class_had_a_field_of_its_own_is_read(
    entries: FeedbackFolder, familiar: bool, label: str
) -> None:
    id_ = entries.add(drawing(1), prediction(), "cross", "r")
    answer = {"answer": "disc", "probabilities": {"disc": 0.9, "cross": 0.1}, "familiarity": 0.5, "familiar": familiar}
    (entries.folder / id_ / FACTS).write_text(json.dumps({"id": id_} | OLDER | answer))
    ((entry, _),) = entries.read()
    assert (entry.label, entry.closest, entry.said, entry.is_right) == (label, "disc", "cross", False)
    assert entry.probabilities == {"disc": 0.9, "cross": 0.1}


def test_what_was_decided_becomes_a_review_of_the_answer(tmp_path: Path, entries: FeedbackFolder) -> None:
    log = tmp_path / "log"
    with AnswerLog(log, "r") as opened:
        logged = [opened.record(prediction("disc"), drawing(number), "page") for number in range(6)]
    for number, answer in enumerate([*logged[:5], ""]):
        entries.add(drawing(number), prediction("disc"), "cross" if number < 4 else "disc", "r", answer)
    dataset = collected(tmp_path, entries)
    by_answer = {entry.logged: entry.id for entry, _ in entries.read()}
    own = {str(r.backend_id): r for r in dataset.records if r.backend == "feedback"}
    first, second, third, fourth, _, unlogged = (own[by_answer[answer]] for answer in [*logged[:5], ""])
    edits = [
        Edit("anna", "keep", first.sha256, to="cross"),
        Edit("anna", "relabel", second.sha256, origin="cross", to="disc"),
        Edit("anna", "delete", third.sha256),
        Edit("anna", "keep", fourth.sha256, to="cross"),
        Edit("ben", "relabel", fourth.sha256, origin="cross", to="disc"),
        Edit("anna", "keep", unlogged.sha256, to="disc"),
    ]
    EditLog(dataset.folder).append(edits)
    assert note_reviews(entries, dataset.folder, log) == Noted(new=2, known=0, unlogged=1)
    answers = read_answers(log)
    right = dict(zip(answers.id.tolist(), answers.right.tolist(), strict=True))
    assert {answer: label for answer, label in right.items() if label} == {logged[0]: "cross", logged[1]: "disc"}
    # Twice is as once, and a changed mind is a new review.
    assert note_reviews(entries, dataset.folder, log) == Noted(new=0, known=2, unlogged=1)
    assert read_answers(log).review.max() == 2
    EditLog(dataset.folder).append([Edit("anna", "relabel", first.sha256, origin="cross", to="disc")])
    assert note_reviews(entries, dataset.folder, log) == Noted(new=1, known=1, unlogged=1)
    found = judge_reviews(read_answers(log))
    assert found
    assert (found.wrong.count, found.wrong.total) == (0, 2)


@pytest.mark.slow
def test_reviews_are_noted_by_a_command(tmp_path: Path, trained: Published) -> None:
    log, entries = tmp_path / "log", FeedbackFolder(tmp_path / "feedback")
    with AnswerLog(log, "r") as opened:
        answer = opened.record(prediction("disc"), drawing(1), "page")
    entries.add(drawing(1), prediction("disc"), "cross", "r", answer)
    command = [sys.executable, "-m", "spotter", "feedback", entries.folder, "--log", log, "--reviewed"]

    def run(target: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, target], cwd=ROOT, env={"PYTHONPATH": "."}, capture_output=True, text=True)

    done = run(trained.store)
    assert done.returncode == 0, done.stderr
    assert "reviews noted: 0; noted before: 0; of answers not in the log: 0" in done.stdout
    assert "There is no training run in" in run(tmp_path).stderr


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(FolderMissing, match="spotter serve --feedback"):
        VisitorFeedback(str(tmp_path / "none"))
