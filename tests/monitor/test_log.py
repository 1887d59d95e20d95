"""The answer log: what is in it, what it survives, and what is never in it."""

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from PIL import Image, ImageEnhance, ImageFilter

from spotter.config import LogConfig
from spotter.errors import LogUnreadable, LogUnwritable
from spotter.image_stats import measure_image
from spotter.images import load_picture
from spotter.inference.prediction import Prediction
from spotter.monitor.log import (
    FILE,
    AnswerLog,
    Answers,
    Challenger,
    add_answers,
    add_reviews,
    last_numbers,
    read_answers,
)
from spotter.monitor.projection import Projection
from tests.conftest import ROOT, Revision, mount
from tests.helpers.answers import count_answers, make_answers
from tests.helpers.drawing import draw, encode
from tests.helpers.patience import at_some_pace, wait_until
from tests.helpers.processes import address_of, start, stop

PICTURE = draw("disc", 1, (640, 480))
QUICK = LogConfig(batch_s=0.02, retry_s=0.05)


def embeddings(count: int, width: int = 40, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(count, width)) * np.linspace(3, 0.1, width)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def predicted(label: str = "disc", embedding: np.ndarray | None = None, familiarity: float = 0.9) -> Prediction:
    shares = {"disc": 0.7, "cross": 0.2, "stripes": 0.1}
    return Prediction(label, shares, familiarity, familiarity >= 0.6, 0.6, embedding)


def test_everything_that_was_told_is_in_it(tmp_path: Path) -> None:
    reference = embeddings(60)
    asked = embeddings(2, seed=1)
    with AnswerLog(tmp_path / "log", "r1", reference, QUICK) as log:
        first = log.record(predicted(embedding=asked[0]), PICTURE, "page")
        second = log.record(
            predicted("cross", asked[1], 0.3), PICTURE, "api", stage="shadow", challenger=Challenger("r2", "disc", 0.6)
        )
    answers = read_answers(tmp_path / "log")
    assert answers.id.tolist() == [first, second]
    assert len({first, second}) == 2
    assert answers.number.tolist() == [1, 2]
    assert abs(answers.at - time.time()).max() < 1800
    assert answers.revision.tolist() == ["r1", "r1"]
    assert answers.label.tolist() == ["disc", "cross"]
    assert answers.probability.tolist() == [0.7, 0.2]
    assert answers.familiarity.tolist() == [0.9, 0.3]
    assert answers.familiar.tolist() == [True, False]
    assert answers.route.tolist() == ["page", "api"]
    assert answers.stage.tolist() == ["", "shadow"]
    assert answers.challenger.tolist() == ["", "r2"]
    assert answers.challenger_label.tolist() == ["", "disc"]
    assert np.array_equal(answers.challenger_probability, [np.nan, 0.6], equal_nan=True)
    look = measure_image(PICTURE)
    assert answers.brightness.tolist() == [look.brightness] * 2
    assert answers.side.tolist() == [256, 256]
    expected = Projection.fit(reference, QUICK.dimensions)(asked)
    assert np.array_equal(answers.projection, expected.astype(np.float32))
    assert answers.right.tolist() == ["", ""]


def test_without_embeddings_and_answers_it_is_still_a_log(tmp_path: Path) -> None:
    with AnswerLog(tmp_path, "r1", config=QUICK) as log:
        log.record(predicted(), PICTURE)
    answers = read_answers(tmp_path)
    assert answers.projection.shape == (1, 0)
    with AnswerLog(tmp_path, "r1", embeddings(30), QUICK) as log:
        log.record(predicted(embedding=embeddings(1)[0]), PICTURE)
    assert np.isnan(read_answers(tmp_path).projection).all(axis=1).tolist() == [True, False]
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("DELETE FROM answers")
    empty = read_answers(tmp_path)
    assert len(empty) == len(empty.take(np.array([], dtype=int))) == 0


def test_the_last_review_of_an_answer_counts_and_goes_with_it(tmp_path: Path) -> None:
    with AnswerLog(tmp_path, "r1", config=QUICK) as log:
        ids = [log.record(predicted(), PICTURE) for _ in range(3)]
    add_reviews(tmp_path, {ids[2]: "cross", ids[0]: "disc"})
    add_reviews(tmp_path, {ids[2]: "stripes"})
    answers = read_answers(tmp_path)
    assert answers.right.tolist() == ["disc", "", "stripes"]
    assert answers.review.tolist() == [2, 0, 3]
    with AnswerLog(tmp_path, "r1", config=replace(QUICK, most_answers=1)) as log:
        log.record(predicted(), PICTURE)
    with sqlite3.connect(tmp_path / FILE) as connection:
        assert connection.execute("SELECT count(*) FROM reviews").fetchone() == (0,)
    (tmp_path / "file").write_text("")
    with pytest.raises(LogUnwritable, match="cannot be written"):
        add_reviews(tmp_path / "file", {ids[0]: "disc"})


def test_answers_from_elsewhere_come_with_their_reviews(tmp_path: Path) -> None:
    answers = replace(
        make_answers(30), right=np.array(["black"] * 3 + [""] * 27), review=np.array([3, 1, 2] + [0] * 27)
    )
    add_answers(tmp_path, answers)
    # The same again changes no answer.
    add_answers(tmp_path, answers.take(np.arange(3, 30)))
    found = read_answers(tmp_path)
    for name in ("id", "at", "label", "right", "review", "familiar", "brightness"):
        assert np.array_equal(getattr(found, name), getattr(answers, name)), name
    assert np.array_equal(found.projection, answers.projection.astype(np.float16).astype(np.float32))
    add_answers(tmp_path, make_answers(5, seed=1, id=[f"other{number}" for number in range(5)]), most=10)
    assert len(read_answers(tmp_path)) == 10


def test_the_projection_keeps_the_main_axes() -> None:
    reference = embeddings(300)
    projection = Projection.fit(reference, 8)
    away = reference - reference.mean(axis=0)
    exact = np.linalg.svd(away, full_matrices=False)[2][:8]
    assert np.abs((projection.axes * exact).sum(axis=1)).min() > 0.99
    assert np.array_equal(Projection.fit(reference, 8).axes, projection.axes)
    # Of the two directions of an axis always the same one.
    assert (projection.axes[np.arange(8), np.abs(projection.axes).argmax(axis=1)] > 0).all()
    assert Projection.fit(reference[:5], 8)(reference).shape[0] == 300
    assert np.abs(projection(reference).astype(float).mean(axis=0)).max() < 0.01


def test_a_look_tells_dark_grey_blurred_and_small(tmp_path: Path) -> None:
    plain = measure_image(PICTURE)
    assert measure_image(ImageEnhance.Brightness(PICTURE).enhance(0.2)).brightness < 0.3 * plain.brightness
    assert measure_image(PICTURE.convert("L").convert("RGB")).colourfulness == 0
    assert plain.colourfulness > 0.03
    assert measure_image(ImageEnhance.Contrast(PICTURE).enhance(0.3)).contrast < 0.5 * plain.contrast
    assert measure_image(PICTURE.filter(ImageFilter.GaussianBlur(8))).sharpness < 0.7 * plain.sharpness
    # A dark picture is not a blurred one.
    assert measure_image(ImageEnhance.Brightness(PICTURE).enhance(0.3)).sharpness > 0.8 * plain.sharpness
    assert [measure_image(PICTURE.resize(size)).side for size in ((64, 90), (63, 90), (1, 1), (2, 5000))] == [
        64,
        32,
        1,
        2,
    ]
    assert measure_image(Image.new("RGB", (9, 9), (255, 255, 255))).brightness == pytest.approx(1)
    larger = measure_image(PICTURE.resize((2560, 1920), Image.Resampling.BICUBIC))
    assert larger.brightness == pytest.approx(plain.brightness, abs=0.02)
    assert larger.contrast == pytest.approx(plain.contrast, abs=0.02)


def test_it_is_written_within_a_second_and_at_the_end(tmp_path: Path) -> None:
    with AnswerLog(tmp_path, "r1") as log:
        log.record(predicted(), PICTURE)
        wait_until(lambda: (tmp_path / FILE).exists() and count_answers(tmp_path) == 1)
        for _ in range(5):
            log.record(predicted(), PICTURE)
    assert count_answers(tmp_path) == 6
    assert LogConfig().batch_s < 1


def test_what_arrives_while_others_are_written_is_not_lost_at_the_end(tmp_path: Path) -> None:
    log = AnswerLog(tmp_path, "r1", config=QUICK)
    log.record(predicted(), PICTURE)
    wait_until(lambda: count_answers(tmp_path) == 1)
    other = sqlite3.connect(tmp_path / FILE, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    log.record(predicted(), PICTURE)
    # Time enough to be taken from the queue and to wait for the other.
    time.sleep(0.3)
    log.record(predicted(), PICTURE)
    closing = threading.Thread(target=log.close)
    closing.start()
    time.sleep(0.1)
    other.execute("COMMIT")
    closing.join()
    assert count_answers(tmp_path) == 3
    assert not log.problem


WRITER = """
import sys, time
from pathlib import Path
from PIL import Image
from spotter.config import LogConfig
from spotter.monitor.log import AnswerLog
from spotter.inference.prediction import Prediction
picture, prediction = Image.new("RGB", (64, 48)), Prediction("disc", {"disc": 1.0}, 0.9, True, 0.6)
log = AnswerLog(Path(sys.argv[1]), sys.argv[2], config=LogConfig(batch_s=0.1))
print("ready", flush=True)
for number in range(int(sys.argv[3])):
    print(time.time(), log.record(prediction, picture), flush=True)
    time.sleep(0.002)
log.close()
"""


def writer(folder: Path, revision: str, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(folder), revision, str(count)]
    return subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True
    )


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_killed_at_any_moment_at_most_the_last_second_is_missing(tmp_path: Path, seed: int) -> None:
    def check(pace: float) -> None:
        folder = tmp_path / str(pace)
        process = writer(folder, "r1", 100_000)
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        time.sleep((1.3 + random.Random(seed).random()) * pace)
        process.send_signal(signal.SIGKILL)
        killed = time.time()
        told = [line.split() for line in process.communicate()[0].splitlines()]
        due = [words[1] for words in told if len(words) == 2 and float(words[0]) < killed - pace]
        assert due
        answers = read_answers(folder)
        assert set(due) <= set(answers.id.tolist())
        with sqlite3.connect(folder / FILE) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        # And the next start goes on in the same file.
        with AnswerLog(folder, "r2", config=QUICK) as log:
            last = log.record(predicted(), PICTURE)
        assert read_answers(folder).id[-1] == last

    at_some_pace(check)


@pytest.mark.slow
def test_two_processes_write_to_one(tmp_path: Path) -> None:
    processes = [writer(tmp_path, name, 300) for name in ("one", "two")]
    told = [process.communicate(timeout=600)[0].split()[2::2] for process in processes]
    answers = read_answers(tmp_path)
    assert len(answers) == 600
    assert [answers.id[answers.revision == name].tolist() for name in ("one", "two")] == told


def test_the_oldest_answers_make_room(tmp_path: Path) -> None:
    config = replace(QUICK, most_answers=50)
    sizes = []
    with AnswerLog(tmp_path, "r1", embeddings(60), config) as log:
        for _ in range(8):
            ids = [log.record(predicted(embedding=embeddings(1)[0]), PICTURE) for _ in range(50)]
            wait_until(lambda last=ids[-1]: _ends_with(tmp_path, last))
            # Without what SQLite has yet to fold in: how much that is depends on who reads at the moment.
            sizes.append(
                sum(path.stat().st_size for path in tmp_path.iterdir() if not path.name.endswith(("-wal", "-shm")))
            )
    answers = read_answers(tmp_path)
    assert len(answers) == 50
    assert answers.id.tolist() == ids
    assert answers.number[-1] == 400
    assert sizes[-1] <= 1.5 * sizes[1]


def _ends_with(folder: Path, id_: str) -> bool:
    return count_answers(folder) > 0 and read_answers(folder).id[-1] == id_


def test_a_full_disk_is_told_once_and_answers_go_on(small_disk: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with AnswerLog(small_disk, "r1", embeddings(60), replace(QUICK, most_waiting=400)) as log:
        first = log.record(predicted(), PICTURE)
        wait_until(lambda: count_answers(small_disk) == 1)
        (small_disk / "filler").write_bytes(bytes(20_000))
        for _ in range(600):
            log.record(predicted(embedding=embeddings(1)[0]), PICTURE)
            time.sleep(0.001)
        wait_until(lambda: bool(log.problem))
        assert log.problem == "The app answers, but cannot log the answers: database or disk is full."
        for _ in range(600):
            log.record(predicted(), PICTURE)
        time.sleep(0.3)
        said = capfd.readouterr().err.splitlines()
        assert said == [f"{small_disk}: {log.problem}"]
        assert read_answers(small_disk).id[0] == first
        assert not mount("-o", "remount,size=4m", small_disk)
        wait_until(lambda: not log.problem)
        last = log.record(predicted(), PICTURE)
    answers = read_answers(small_disk)
    assert answers.id[-1] == last
    assert len(answers) > 400
    (again,) = capfd.readouterr().err.splitlines()
    missing = 1202 - len(answers)
    assert missing > 0
    assert again == f"{small_disk}: Answers are logged again; {missing} are missing."


@pytest.mark.parametrize("kind", ["below a file", "no database", "another version"])
def test_a_log_that_cannot_be_written_stops_nothing(
    tmp_path: Path, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "log"
    if kind == "below a file":
        folder.write_text("")
    else:
        folder.mkdir()
    if kind == "no database":
        (folder / FILE).write_bytes(b"not a database" * 1000)
    if kind == "another version":
        with sqlite3.connect(folder / FILE) as connection:
            connection.execute("PRAGMA user_version = 9")
    with AnswerLog(folder, "r1", config=QUICK) as log:
        for _ in range(20):
            assert len(log.record(predicted(), PICTURE)) == 16
            time.sleep(0.01)
        wait_until(lambda: bool(log.problem))
        assert str(tmp_path) not in log.problem
    said = capfd.readouterr().err.splitlines()
    assert len(said) == 1
    words = {"below a file": "File exists", "no database": "not a database", "another version": "move it away"}
    assert words[kind] in said[0]
    with pytest.raises(LogUnreadable, match="answer log"):
        read_answers(folder)


def test_a_log_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(LogUnreadable, match="There is no answer log"):
        read_answers(tmp_path)


@pytest.mark.parametrize("was_open", [False, True])
def test_a_log_on_a_disk_that_is_read_only_is_read(was_open: bool, tmp_path: Path, small_disk: Path) -> None:
    add_answers(tmp_path / "log", make_answers(3))
    with closing(sqlite3.connect(tmp_path / "log" / FILE)) as writer:
        writer.execute("SELECT count(*) FROM answers").fetchall()
        add_reviews(tmp_path / "log", {f"{2:016x}": "disc"})
        # While somebody has it open, what was written last is in a second file.
        copy = shutil.copytree(tmp_path / "log", tmp_path / "copy")
    left = [FILE, f"{FILE}-wal"] if was_open else [FILE]
    for name in left:
        shutil.copyfile((copy if was_open else tmp_path / "log") / name, small_disk / name)
    assert mount("-o", "remount,ro", small_disk) == 0
    answers = read_answers(small_disk)
    assert answers.right.tolist() == ["", "disc", ""]
    assert last_numbers(small_disk) == (3, 1)
    assert sorted(path.name for path in small_disk.iterdir()) == left


def test_a_log_on_a_disk_that_is_full_is_read(small_disk: Path) -> None:
    add_answers(small_disk, make_answers(3))
    with (small_disk / "filler").open("wb", buffering=0) as filler, suppress(OSError):
        while True:
            filler.write(bytes(4096))
    assert len(read_answers(small_disk)) == 3
    assert last_numbers(small_disk) == (3, 0)
    for write in (lambda: add_answers(small_disk, make_answers(4)), lambda: add_reviews(small_disk, {"1": "disc"})):
        with pytest.raises(LogUnwritable, match=r": No space left on device\.$"):
            write()


SECRETS = ("Rosa Parks", "hidden-file-name", "Nikon D90 of mine", "203.0.113.77", "sessionid=4711")


@pytest.mark.slow
def test_the_app_logs_every_answer_and_nothing_about_who_asked(prebuilt: Revision, tmp_path: Path) -> None:
    folder, picture = tmp_path / "log", draw("disc", 3, (300, 200))
    exif = Image.Exif()
    exif[0x010F], exif[0x013B] = "Nikon D90 of mine", "Rosa Parks"
    content = encode(picture, "JPEG", exif=exif, quality=90)
    headers = {"X-Forwarded-For": "203.0.113.77", "Cookie": "sessionid=4711", "User-Agent": "Rosa Parks"}
    process = start("--model", prebuilt.store, "--port", 0, "--log", folder)
    try:
        address = address_of(process)
        told = [
            httpx.post(f"{address}/api/classify", content=content, headers=headers).json(),
            httpx.post(
                f"{address}/api/classify/batch", files=[("files", ("hidden-file-name.jpg", content))], headers=headers
            ).json()["results"][0],
        ]
        (path := tmp_path / "hidden-file-name.jpg").write_bytes(content)
        Client(address, verbose=False).predict(handle_file(str(path)), api_name="/predict")
        assert httpx.post(f"{address}/api/classify", content=b"no picture").status_code == 415
        assert httpx.get(f"{address}/healthz").json() == {"status": "ok", "revision": prebuilt.revision}
    finally:
        assert stop(process) == 0
    answers = read_answers(folder)
    assert answers.route.tolist() == ["api", "api batch", "client"]
    assert answers.revision.tolist() == [prebuilt.revision] * 3
    assert answers.label.tolist() == [told[0]["closest"]] * 3
    assert answers.probability[0] == pytest.approx(told[0]["probabilities"][told[0]["closest"]])
    assert answers.familiarity.tolist() == pytest.approx([told[0]["familiarity"]] * 3)
    assert answers.familiar.tolist() == [told[0]["familiar"]] * 3
    assert answers.brightness[0] == pytest.approx(measure_image(load_picture(content)).brightness)
    assert answers.projection.shape == (3, 16)
    written = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert [secret for secret in (*SECRETS, "127.0.0.1") if secret.encode() in written] == []
    # Neither the picture itself, nor a part of it, nor a small one.
    assert not any(content[begin : begin + 32] in written for begin in range(0, len(content) - 32, 32))
    assert b"\xff\xd8\xff" not in written
    assert len(written) < 60_000


@pytest.mark.slow
def test_the_app_answers_without_its_log_and_says_so(prebuilt: Revision, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    process = start("--model", prebuilt.store, "--port", 0, ANSWER_LOG=str(tmp_path / "file"))
    try:
        address = address_of(process)
        content = encode(draw("cross", 3))
        answers = [httpx.post(f"{address}/api/classify", content=content).json() for _ in range(5)]
        assert {answer["label"] for answer in answers} == {"cross"}
        wait_until(lambda: "warning" in httpx.get(f"{address}/healthz").json())
        wait_until(lambda: httpx.get(f"{address}/readyz").status_code == 200)
        for path in ("/healthz", "/readyz"):
            health = httpx.get(address + path)
            assert health.status_code == 200
            assert health.json()["warning"] == "The app answers, but cannot log the answers: File exists."
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=600)
    said = [line for line in errors.splitlines() if "cannot log" in line]
    assert said == [f"{tmp_path / 'file'}: The app answers, but cannot log the answers: File exists."]


def test_answers_can_be_picked(tmp_path: Path) -> None:
    with AnswerLog(tmp_path, "r1", config=QUICK) as log:
        for label in ("disc", "cross", "disc"):
            log.record(predicted(label), PICTURE)
    answers: Answers = read_answers(tmp_path)
    picked = answers.take(answers.label == "disc")
    assert picked.number.tolist() == [1, 3]
    assert len(picked) == 2
