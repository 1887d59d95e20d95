"""File locks: one process or thread at a time."""

import errno
import os
import shutil
import stat
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Self

from filelock import FileLock, Timeout, has_fcntl, lock_descriptor

# Seconds between two attempts to get a lock that somebody else holds.
POLL_S = 0.01
LOCK = ".lock"


class LockedFile:
    """A file that is open for reading and writing, and locked until it is closed; it is made if it is not there.

    A process that ends, however it ends, holds no lock any more. Where a file itself can be locked without keeping
    others from reading it (`flock`), it is, and nothing lies beside it. On Windows the lock is on `.NAME.lock` beside
    it. A system with neither has a file of that name for as long as the lock is held, which says who holds it; it is
    taken over when that process is gone. If a process on another machine held it, on a shared disk, you must remove the
    file yourself.

    Args:
        append: whatever is written goes to the end.
        permissions: of a file that is made, less what the umask takes away.
        wait: wait for whoever holds the lock.

    Raises:
        BlockingIOError: somebody else holds the lock, and `wait` is false. OSError: it cannot be opened or locked.
    """

    def __init__(self, path: Path, *, append: bool = False, permissions: int = 0o666, wait: bool = True) -> None:
        more = os.O_CREAT | (os.O_APPEND if append else 0)
        # Without a buffer: what a full disk did not take must not be tried again when the file is closed.
        self.file = FileIO(path, "r+", opener=lambda name, flags: os.open(name, flags | more, permissions))
        self._beside = None if has_fcntl else FileLock(path.with_name(f".{path.name}.lock"))
        try:
            if not self._lock(wait):
                raise BlockingIOError(errno.EWOULDBLOCK, os.strerror(errno.EWOULDBLOCK), str(path))
        except BaseException:
            self.file.close()
            raise

    def _lock(self, wait: bool) -> bool:
        if self._beside is None:
            return lock_descriptor(self.file.fileno(), blocking=wait, poll_interval=POLL_S)
        try:
            self._beside.acquire(timeout=-1 if wait else 0, poll_interval=POLL_S)
        except Timeout:
            return False
        return True

    def close(self) -> None:
        """Close the file and release its lock."""
        self.file.close()
        if self._beside is not None:
            self._beside.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Claim:
    """Says that a temporary thing in a folder is in use: `NAME.lock` beside it, locked for as long as this lives.

    It is there before the thing is and goes after it, so that `remove_abandoned` can tell what a killed process left.

    Raises:
        OSError: it cannot be made.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._path = folder / f"{name}{LOCK}"
        while True:
            lock = LockedFile(self._path, permissions=0o600)
            # Whoever tidies up may have removed it before it was locked.
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(lock.file.fileno()), self._path.stat()):
                    break
            lock.close()
        self._lock = lock

    def close(self) -> None:
        """Give it back; the thing is gone, or complete and under another name."""
        self._path.unlink(missing_ok=True)
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def remove_abandoned(folder: Path, prefix: str) -> None:
    """Remove the temporary folders in `folder` whose names begin with `prefix` and whose claim nobody holds any more.

    What belongs to somebody else, or cannot be removed, stays.
    """
    for path in folder.glob(f"{prefix}*{LOCK}"):
        with suppress(OSError):
            found = path.lstat()
            if not stat.S_ISREG(found.st_mode) or (hasattr(os, "getuid") and found.st_uid != os.getuid()):
                continue
            with LockedFile(path, wait=False):
                shutil.rmtree(path.with_name(path.name.removesuffix(LOCK)), ignore_errors=True)
                path.unlink(missing_ok=True)


def write_all(file: FileIO, content: bytes) -> None:
    """Write all of `content`; a full disk may take a part of it and only refuse the rest.

    Raises:
        OSError: it cannot be written; a part of it may have been.
    """
    while content:
        content = content[file.write(content) :]
