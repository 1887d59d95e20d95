"""The questions before launch: asked one by one, kept at once, told in the card."""

import subprocess
import sys
from pathlib import Path

import pytest

from spotter.errors import DatasetUnwritable
from spotter.publish.premortem import PREMORTEM, QUESTIONS, read_answers, write_answers
from tests.conftest import ROOT


def ask(data: Path, lines: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "spotter", "premortem", "recipes/bears.toml", "--data", str(data)]
    return subprocess.run(command, cwd=ROOT, env={"PYTHONPATH": "."}, input=lines, capture_output=True, text=True)


def test_questions_are_asked_and_earlier_answers_kept(tmp_path: Path) -> None:
    first = ask(tmp_path, "Hikers rely on it.\n\nA bear comes near.\n\n\n")
    assert (first.returncode, first.stderr) == (0, "")
    assert all(question in first.stdout for question in QUESTIONS.values())
    assert "4 unanswered" in first.stdout.splitlines()[-1]
    assert read_answers(tmp_path / "bears") == {"success": "Hikers rely on it.", "worst": "A bear comes near."}
    second = ask(tmp_path, "\nCampers\n")
    assert "so far: Hikers rely on it." in second.stdout
    assert list(read_answers(tmp_path / "bears")) == ["success", "affected", "worst"]


def test_it_asks_which_pictures_will_come() -> None:
    assert "at night, in fog, far away" in QUESTIONS["pictures"]


@pytest.mark.parametrize("content", [b"", b"[]", b'{"success": 3, "x": "y", "stop": " "}', b"\xff"])
def test_what_is_no_answer_is_left_out(content: bytes, tmp_path: Path) -> None:
    (tmp_path / PREMORTEM).write_bytes(content)
    assert read_answers(tmp_path) == {}


def test_an_unwritable_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DatasetUnwritable, match="cannot be written"):
        write_answers(tmp_path / "file", {"stop": "me"})
