"""Writing files so that nobody ever reads half of one, and reading none that has no end."""

import errno
import os
import shutil
import stat
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from threading import get_ident


def package_file(package: str, name: str) -> Path:
    """The path of a file that comes with a package of Spotter, such as "static/page.css" of "serve"."""
    return Path(str(resources.files("spotter"))) / package / name


def read_bounded(path: Path, most: int) -> bytes:
    """Read a file of at most so many bytes. A link is followed; a pipe or a device, which may never end, is not read.

    Raises:
        OSError: it is not there, cannot be read, is no file or larger.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "Not a file", str(path))
    if found.st_size > most:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return path.read_bytes()


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file that is either there as a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.{get_ident()}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    except OSError:
        # On a full disk half a file would only take what room there is.
        part.unlink(missing_ok=True)
        raise


def write_durably(path: Path, content: bytes) -> None:
    """Write a file that is on the disk when this returns. It may be half there before."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def write_folder(place: Path, files: Mapping[str, bytes]) -> None:
    """Write a folder with some files that is either there as a whole or not at all, and then on the disk.

    Until then it is `.NAME` beside its place, where whoever is killed leaves it.
    """
    part = place.with_name(f".{place.name}")
    try:
        part.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            write_durably(part / name, content)
        part.rename(place)
    except OSError:
        shutil.rmtree(part, ignore_errors=True)
        raise
