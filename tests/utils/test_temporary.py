"""The temporary folder: gone afterwards, and blamed for nothing but itself."""

import contextlib
import errno
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from spotter.errors import TemporaryUnwritable
from spotter.utils.files import temporary_folder


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made."""
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


@pytest.fixture
def small_place(place: Path) -> Iterator[Path]:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m,nr_inodes=1000", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small disk cannot be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_it_is_gone_afterwards_whatever_happened(place: Path) -> None:
    with temporary_folder() as folder:
        (folder / "deep" / "er").mkdir(parents=True)
        (folder / "deep" / "er" / "file").write_bytes(b"1")
        assert folder.parent == place
    with contextlib.suppress(KeyError), temporary_folder() as folder:
        (folder / "file").write_bytes(b"1")
        raise KeyError
    assert list(place.iterdir()) == []


def test_a_place_that_is_not_there_is_told(place: Path) -> None:
    place.rmdir()
    said = "No such file or directory; free some space there, or name another"
    with pytest.raises(TemporaryUnwritable, match=said), temporary_folder():
        pass


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "No such file", "elsewhere"),
        ConnectionResetError(errno.ECONNRESET, "Connection reset"),
        OSError(errno.ENOSPC, "No space left on device", "/elsewhere/file"),
        OSError(errno.ENOSPC, "No space left on device"),
        PermissionError(errno.EACCES, "Permission denied", "/elsewhere/file"),
        OSError("torch cannot write it"),
    ],
)
def test_what_goes_wrong_elsewhere_is_not_its_fault(error: OSError, place: Path) -> None:
    with pytest.raises(type(error), match=str(error.args[-1])) as caught, temporary_folder():
        raise error
    assert caught.value is error
    assert list(place.iterdir()) == []


def test_a_file_missing_in_it_is_no_lack_of_room(place: Path) -> None:
    with pytest.raises(FileNotFoundError), temporary_folder() as folder:
        (folder / "none").read_bytes()


def fill(folder: Path) -> None:
    (folder / "file").write_bytes(b"0" * 5_000_000)


def copy(folder: Path) -> None:
    source = folder.parent.parent / "large"
    source.write_bytes(b"0" * 5_000_000)
    shutil.copyfile(source, folder / "file")


def use_all_numbers(folder: Path) -> None:
    for number in range(1_000_000):
        os.symlink(folder, folder / str(number))


def fill_by_torch(folder: Path) -> None:
    try:
        fill(folder)
    except OSError as error:
        raise OSError("torch cannot write it") from error


@pytest.mark.parametrize("write", [fill, copy, use_all_numbers, fill_by_torch])
def test_no_room_in_it_is_told(write, small_place: Path) -> None:
    said = "The system's temporary folder cannot be written"
    with pytest.raises(TemporaryUnwritable, match=said), temporary_folder() as folder:
        write(folder)
    assert list(small_place.iterdir()) == []
