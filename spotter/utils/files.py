"""Files: atomic writes, bounded reads, and temporary folders."""

import errno
import os
import re
import secrets
import shutil
import stat
import tempfile
import tomllib
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib import resources
from pathlib import Path
from threading import get_ident
from typing import Any

from spotter.errors import TemporaryUnwritable
from spotter.names import is_system_name
from spotter.utils.locks import Claim, remove_abandoned


def import_root() -> Path:
    """The folder that holds the package: what another process needs on its path to import it."""
    return Path(str(resources.files("spotter"))).resolve().parent


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


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file. Whole numbers are of 64 bits, as TOML has them: Python's reader takes larger ones, which are no
    floats.

    Raises:
        OSError: it cannot be read. ValueError: it is no TOML in UTF-8.
    """
    text = path.read_text(encoding="utf-8-sig")
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except RecursionError as error:
        raise ValueError("It is nested too deeply") from error
    except ValueError as error:
        # Of more digits than Python reads.
        raise ValueError("A whole number in it is too large") from error
    waiting: list[Any] = [table]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict | list):
            waiting += value.values() if isinstance(value, dict) else value
        elif isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
            raise ValueError("A whole number in it is too large")
    return table


def walk_files(root: Path) -> list[Path]:
    """All files below a folder, in the order of their paths, without those that are hidden or made by a system.

    Links are followed. A file or folder that several paths lead to is there once, by the path without a link if there
    is one; so links that lead back into themselves end. A link to a folder that the root lies in is not followed.

    Raises:
        OSError: a folder cannot be read.
    """
    found: dict[str, Path] = {}
    seen: set[str] = set()
    waiting, top = deque([root]), Path(os.path.realpath(root))
    while waiting:
        below, links = [waiting.popleft()], list[Path]()
        while below:
            folder = below.pop()
            real = os.path.realpath(folder)
            if real in seen:
                continue
            seen.add(real)
            with os.scandir(folder) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    path = folder / entry.name
                    if is_system_name(entry.name):
                        continue
                    if entry.is_symlink():
                        links.append(path)
                    elif entry.is_dir():
                        below.append(path)
                    elif entry.is_file():
                        found.setdefault(os.path.join(real, entry.name), path)
        # After what lies there itself, so that no link takes its place.
        for link in links:
            if link.is_dir():
                if not top.is_relative_to(os.path.realpath(link)):
                    waiting.append(link)
            elif link.is_file():
                found.setdefault(os.path.realpath(link), link)
    return sorted(found.values())


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file in one step: readers see the whole file or none."""
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


def take_place(part: Path, place: Path) -> bool:
    """Let a whole file appear at `place` in one step, unless there is one; return whether it did. `part` goes.

    Of several who try at the same moment, one is first. Where a disk knows no hard links (exFAT, some network shares
    and buckets), the place is empty for a moment before it is whole.

    Raises:
        OSError: it cannot.
    """
    try:
        try:
            os.link(part, place)
        except FileExistsError:
            return False
        except OSError:
            return _claim_place(part, place)
        return True
    finally:
        part.unlink(missing_ok=True)


def _claim_place(part: Path, place: Path) -> bool:
    try:
        os.close(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return False
    try:
        part.replace(place)
    except OSError:
        place.unlink(missing_ok=True)
        raise
    return True


def write_folder(place: Path, files: Mapping[str, bytes]) -> None:
    """Write a folder with some files in one step, and flush it to the disk: readers see the whole folder or none.

    Until then it is `.NAME` beside its place, where whoever is killed leaves it; `remove_abandoned` removes that.
    """
    part = place.with_name(f".{place.name}")
    place.parent.mkdir(parents=True, exist_ok=True)
    with Claim(place.parent, part.name):
        try:
            part.mkdir(exist_ok=True)
            for name, content in files.items():
                write_durably(part / name, content)
            part.rename(place)
        except OSError:
            shutil.rmtree(part, ignore_errors=True)
            raise


def remove_parts(folder: Path) -> None:
    """Remove what `write_atomically` left half done in a folder, where the process that wrote it is gone."""
    for path in folder.glob(".*.part"):
        found = _PART.search(path.name)
        if found and not _is_running(int(found[1])):
            path.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        # It is somebody else's, or this system does not tell.
        return True
    return True


# Of all that this project makes in the temporary folder.
PREFIX = "spotter-"
_PART = re.compile(r"\.(\d+)\.\d+\.part$")
_REFUSED = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}
# A disk with less than this is full: a write fills it before it fails.
_FULL_BYTES = 1 << 20


@contextmanager
def claimed_folder(place: Path, prefix: str) -> Iterator[Path]:
    """Make a folder in `place` that is gone afterwards; those of killed processes with the same prefix go now.

    Raises:
        OSError: it cannot be made or removed.
    """
    remove_abandoned(place, prefix)
    folder = place / f"{prefix}{secrets.token_hex(6)}"
    with Claim(place, folder.name):
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            if folder.exists():
                shutil.rmtree(folder)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Make a folder that is gone afterwards, in the system's temporary folder (`TMPDIR`).

    Raises:
        TemporaryUnwritable: it cannot be made or removed, or its disk does not take the files in it. What goes wrong
            elsewhere while it is there is raised as it is.
    """
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(claimed_folder(Path(tempfile.gettempdir()), PREFIX))
        except OSError as error:
            raise _unwritable(error) from error
        try:
            yield folder
        except OSError as error:
            if _is_of(folder, error):
                raise _unwritable(error) from error
            raise
        finally:
            try:
                stack.close()
            except OSError as error:
                raise _unwritable(error) from error


def require_room(folder: Path, size: int = _FULL_BYTES) -> None:
    """Raise what a write would raise, for libraries that do not report a failed write.

    Args:
        size: in bytes; by default, that of a disk that is full.

    Raises:
        OSError: there is less room than that.
    """
    if shutil.disk_usage(folder).free < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def _is_of(folder: Path, error: OSError) -> bool:
    """Whether an error means that no file can be written into `folder`."""
    names = [name for name in (error.filename, error.filename2) if isinstance(name, str)]
    if names:
        return error.errno in _REFUSED and any(Path(name).is_relative_to(folder) for name in names)
    # A write into an open file names none, and torch tells no number.
    return error.errno in {errno.ENOSPC, errno.EDQUOT, None} and shutil.disk_usage(folder).free < _FULL_BYTES


def _unwritable(error: OSError) -> TemporaryUnwritable:
    return TemporaryUnwritable(
        f"The system's temporary folder cannot be written: {error.strerror or error}; free some space there, or "
        "name another folder in TMPDIR."
    )


def has_file(path: Path) -> bool:
    """Whether there is such a file. What somebody wrote and what is too long for a path, for example, names none."""
    try:
        return path.is_file()
    except OSError:
        return False
