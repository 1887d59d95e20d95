"""What processes leave that are killed: a later start removes it, and nothing of those that still run."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from PIL import Image

from spotter.feedback.store import FeedbackFolder
from spotter.inference.prediction import Prediction
from spotter.serve.uploads import own_folder
from spotter.utils.files import remove_parts, temporary_folder
from spotter.utils.locks import Claim, remove_abandoned
from tests.conftest import ROOT

AT_WORK = """
import sys
from spotter.serve.uploads import own_folder
from spotter.utils.files import temporary_folder
with own_folder() as uploads, temporary_folder() as training:
    (uploads / "visitor.jpg").write_bytes(b"a face")
    (training / "weights").write_bytes(b"many")
    print("ready", flush=True)
    sys.stdin.read()
"""
# Killed with the picture on the disk, and the facts not.
SENDING = """
import os, sys
from pathlib import Path
from PIL import Image
from spotter.feedback.store import FeedbackFolder
from spotter.inference.prediction import Prediction
from spotter.utils import files
write = files.write_durably
def write_and_die(path, content):
    write(path, content)
    os.kill(os.getpid(), 9)
files.write_durably = write_and_die
prediction = Prediction("a", {"a": 1.0}, 0.9, familiar=True, threshold=0.5)
FeedbackFolder(Path(sys.argv[1])).add(Image.new("RGB", (9, 9)), prediction, "a", None)
"""
# Killed with the copy of a picture written and not yet in its place.
APPLYING = """
import os, sys
from pathlib import Path
from spotter.utils.files import write_atomically
Path.replace = lambda *_: os.kill(os.getpid(), 9)
write_atomically(Path(sys.argv[1]) / "picture.jpg", b"pixels")
"""


def run(code: str, *words: object) -> int:
    return subprocess.run([sys.executable, "-c", code, *map(str, words)], cwd=ROOT, check=False).returncode


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    return tmp_path


@pytest.mark.slow
def test_what_was_killed_goes_and_what_runs_stays(place: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "GRADIO_TEMP_DIR"}
    at_work = [
        subprocess.Popen(
            [sys.executable, "-c", AT_WORK],
            cwd=ROOT,
            env=environment | {"TMPDIR": str(place)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    try:
        for process in at_work:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
        assert len(list(place.glob("*/visitor.jpg"))) == len(list(place.glob("*/weights"))) == 2
        at_work[0].send_signal(signal.SIGKILL)
        at_work[0].wait()
        with own_folder(), temporary_folder():
            assert len(list(place.glob("*/visitor.jpg"))) == len(list(place.glob("*/weights"))) == 1
        at_work[1].communicate("")
    finally:
        for process in at_work:
            process.kill()
            process.wait()
    assert list(place.iterdir()) == []


@pytest.mark.slow
def test_half_an_entry_of_a_visitor_goes(tmp_path: Path) -> None:
    assert run(SENDING, tmp_path) == -signal.SIGKILL
    assert len(list(tmp_path.rglob("picture.jpg"))) == 1
    entries = FeedbackFolder(tmp_path)
    assert list(entries.read()) == []
    assert list(tmp_path.iterdir()) == []
    prediction = Prediction("a", {"a": 1.0}, 0.9, familiar=True, threshold=0.5)
    id_ = entries.add(Image.new("RGB", (9, 9)), prediction, "a", None)
    assert [path.name for path in tmp_path.iterdir()] == [id_]


@pytest.mark.slow
def test_half_a_picture_of_a_set_goes(tmp_path: Path) -> None:
    assert run(APPLYING, tmp_path) == -signal.SIGKILL
    (tmp_path / f".mine.jpg.{os.getpid()}.1.part").write_bytes(b"at work")
    assert len(list(tmp_path.glob(".*.part"))) == 2
    remove_parts(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f".mine.jpg.{os.getpid()}.1.part"]


def test_nothing_of_others_is_touched(tmp_path: Path) -> None:
    (tmp_path / "spotter-mine").mkdir()
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_bytes(b"1")
    # Neither what has no claim, nor what a link points at.
    (tmp_path / "spotter-link.lock").symlink_to(tmp_path / "kept" / "file")
    (tmp_path / "spotter-link").symlink_to(tmp_path / "kept")
    with Claim(tmp_path, "spotter-used"):
        (tmp_path / "spotter-used").mkdir()
        remove_abandoned(tmp_path, "spotter-")
        assert (tmp_path / "spotter-used").is_dir()
    assert (tmp_path / "kept" / "file").read_bytes() == b"1"
    assert (tmp_path / "spotter-mine").is_dir()
    (tmp_path / "spotter-used.lock").touch()
    remove_abandoned(tmp_path, "spotter-")
    assert not (tmp_path / "spotter-used").exists()
