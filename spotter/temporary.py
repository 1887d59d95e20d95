"""A folder for files on their way."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spotter.errors import TemporaryUnwritable

_REFUSED = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}
# A disk with less than this is full: a write fills it before it fails.
_FULL_BYTES = 1 << 20


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Make a folder that is gone afterwards, in the system's temporary folder (`TMPDIR`).

    Raises:
        TemporaryUnwritable: it cannot be made or removed, or its disk does not take the files in it. What goes wrong
            elsewhere while it is there is raised as it is.
    """
    try:
        temporary = tempfile.TemporaryDirectory(prefix="spotter-")
    except OSError as error:
        raise _unwritable(error) from error
    folder = Path(temporary.name)
    try:
        yield folder
    except OSError as error:
        if _is_of(folder, error):
            raise _unwritable(error) from error
        raise
    finally:
        try:
            temporary.cleanup()
        except OSError as error:
            raise _unwritable(error) from error


def require_room(folder: Path, size: int = _FULL_BYTES) -> None:
    """Fail as a write would where others do not tell that they could not write.

    Args:
        size: in bytes; by default, that of a disk that is full.

    Raises:
        OSError: there is less room than that.
    """
    if shutil.disk_usage(folder).free < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def _is_of(folder: Path, error: OSError) -> bool:
    """Whether what went wrong is that `folder` does not take a file."""
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
