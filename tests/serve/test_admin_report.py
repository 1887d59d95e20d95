"""The report as a page of the running app, for staff alone."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest

from spotter.config import ServeConfig
from spotter.monitor.log import AnswerLog, add_answers
from spotter.monitor.report import advise, gather
from spotter.serve.app import create_app
from spotter.serve.service import AppOptions, ModelInfo
from spotter.serve.staff.report import CHILD, FRESH_S, LONGEST_S, ReportPage
from tests.conftest import ROOT, Revision
from tests.helpers.answers import make_answers, reviewed
from tests.helpers.bare import bare_environment
from tests.helpers.patience import wait_until
from tests.helpers.pictures import LABELS, encode, plain, predict_by_color, serving

PASSWORD = "correct horse"  # noqa: S105
STAFF = ("", PASSWORD)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


CLOCK = Clock()


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AnswerLog]:
    folder = tmp_path_factory.mktemp("log")
    add_answers(folder, reviewed(make_answers(700), (make_answers(700).number % 50) == 0))
    with AnswerLog(folder, "r1") as opened:
        yield opened


@pytest.fixture(scope="module")
def url(log: AnswerLog) -> Iterator[str]:
    options = AppOptions(log=log, report=ReportPage(log.folder, "models/none", CLOCK))
    info = ModelInfo("Which bear is this?", LABELS, "r1", options=options)
    with serving(create_app(predict_by_color, info, ServeConfig(), password=PASSWORD)) as address:
        yield address


def test_staff_see_what_the_command_writes(url: str, log: AnswerLog) -> None:
    assert httpx.get(f"{url}/staff/report").status_code == 401
    response = httpx.get(f"{url}/staff/report", auth=STAFF, timeout=LONGEST_S)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/html")
    assert response.headers["cache-control"] == "no-store"
    said = advise(gather(log.folder))
    assert said.split(",")[0] in response.text.replace("\u00a0", " ")
    assert "There is no comparison with training" in response.text


def test_pictures_are_answered_while_it_is_made_and_it_is_made_once(log: AnswerLog, tmp_path: Path) -> None:
    # It waits for what the store says of its past.
    (tmp_path / "store").mkdir()
    past = tmp_path / "store" / "history.jsonl"
    os.mkfifo(past)
    options = AppOptions(log=log, report=ReportPage(log.folder, str(past.parent)))
    info = ModelInfo("Which bear is this?", LABELS, "r1", options=options)
    app = create_app(predict_by_color, info, ServeConfig(), password=PASSWORD)
    opened: list[int] = []

    def is_read() -> bool:
        with contextlib.suppress(OSError):
            opened.append(os.open(past, os.O_WRONLY | os.O_NONBLOCK))
        return bool(opened)

    with serving(app) as url, ThreadPoolExecutor(3) as pool:
        reports = [pool.submit(httpx.get, f"{url}/staff/report", auth=STAFF, timeout=LONGEST_S) for _ in range(3)]
        wait_until(is_read)
        answer = httpx.post(f"{url}/api/classify", content=encode(plain()))
        assert answer.json()["label"] == "grizzly"
        assert not any(report.done() for report in reports)
        past.unlink()
        os.close(opened[0])
        assert {report.result().status_code for report in reports} == {200}
        assert len({report.result().text for report in reports}) == 1


def test_an_old_page_is_made_again(url: str, log: AnswerLog) -> None:
    def answers_told() -> str:
        return httpx.get(f"{url}/staff/report", auth=STAFF, timeout=LONGEST_S).text

    CLOCK.now += 2 * FRESH_S
    before = answers_told()
    more = make_answers(5)
    add_answers(log.folder, replace(more, id=np.char.mod("more %d", more.number), at=more.at + 10**8))
    assert answers_told() == before
    CLOCK.now += FRESH_S
    assert answers_told() != before


def test_a_log_without_answers_is_one_sentence(tmp_path: Path) -> None:
    options = AppOptions(report=ReportPage(tmp_path / "none", "models/none"))
    info = ModelInfo("Which bear is this?", LABELS, "r1", options=options)
    with serving(create_app(predict_by_color, info, ServeConfig(), password=PASSWORD)) as url:
        response = httpx.get(f"{url}/staff/report", auth=STAFF, timeout=LONGEST_S)
        assert response.status_code == 503
        assert response.text.startswith("There is no answer log in ")


def test_without_a_log_it_is_told_how_to_have_one() -> None:
    info = ModelInfo("Which bear is this?", LABELS, "r1")
    with serving(create_app(predict_by_color, info, ServeConfig(), password=PASSWORD)) as url:
        response = httpx.get(f"{url}/staff/report", auth=STAFF)
        assert (response.status_code, response.text.split(":")[1]) == (404, " start the app with --log FOLDER.")


@pytest.mark.slow
def test_a_space_has_all_that_it_takes(bare_python: Path, prebuilt: Revision, tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-I", "spotter/deploy/serving_files.py", ".", tmp_path / "space"], cwd=ROOT, check=True
    )
    add_answers(tmp_path / "log", replace(make_answers(300), revision=np.full(300, prebuilt.revision)))
    environment = bare_environment(tmp_path, PYTHONPATH=str(tmp_path / "space"))
    words = ["-P", "-c", CHILD, tmp_path / "log", prebuilt.store]
    done = subprocess.run([bare_python, *words], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Only spotter report compares what the training pictures look like" in done.stdout
    assert "<h2" in done.stdout


@pytest.mark.slow
def test_the_app_loads_nothing_of_it_at_its_start() -> None:
    modules = {"spotter.monitor.report", "spotter.monitor.compare", "spotter.utils.charts"}
    code = f"import sys, app; print({modules} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
