"""The same pictures, seed and machine give the same revision, byte for byte."""

from pathlib import Path

import train
from tests.conftest import Published
from tests.drawing import KINDS, write_folder


def train_anew(capsys, source: Path, place: Path, kinds: tuple[str, ...], *more: str) -> str:
    """Collect and train from the beginning, in a folder of its own; the last line of the run."""
    classes = [word for kind in kinds for word in ("--class", kind)]
    where = ["--search", f"folder:{source}", "--data", str(place / "data"), "--to", str(place / "store")]
    assert train.main([*classes, *where, *more]) == 0
    return capsys.readouterr().out.splitlines()[-1]


def test_a_second_run_gives_the_same_revision(published: Published, tmp_path: Path, capsys) -> None:
    assert train_anew(capsys, published.pictures, tmp_path, KINDS) == f"revision {published.revision}"


def test_fine_tuning_twice_gives_the_same_files(tmp_path: Path, capsys) -> None:
    source = write_folder(tmp_path / "pictures", KINDS, count=16)
    revisions = [train_anew(capsys, source, tmp_path / name, KINDS, "--fine-tune", "1") for name in ("first", "second")]
    assert revisions[0] == revisions[1]
