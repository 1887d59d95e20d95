"""An append-only file of JSON objects, one a line, that many may write and read at once.

A part of a line that a crash or a full disk left is ignored by readers, and the next writer removes it.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spotter.utils.locks import LockedFile, write_all


class Journal:
    """The journal at `path`.

    Args:
        permissions: of a file that is made, less what the umask takes away.
        sync: what was added is on the disk when `add` returns. Without it, a power failure may take the last lines.
    """

    def __init__(self, path: Path, *, permissions: int = 0o666, sync: bool = True) -> None:
        self.path = path
        self._permissions, self._sync = permissions, sync

    def lines(self) -> list[bytes]:
        """All whole lines, oldest first, without their ends; [] when there is no file.

        Raises:
            OSError: it cannot be read.
        """
        try:
            whole, last = split_whole(self.path.read_bytes())
        except FileNotFoundError:
            return []
        lines = whole.split(b"\n")[:-1]
        return [*lines, last] if last else lines

    @contextmanager
    def writing(self) -> Iterator["Writer"]:
        """Keep other writers away. When the block fails, all that was added in it is taken back.

        Raises:
            OSError: it cannot be read or written.
        """
        is_new = not self.path.exists()
        with LockedFile(self.path, append=True, permissions=self._permissions) as locked:
            size = _end_last_line(locked)
            try:
                yield Writer(locked, self._sync)
            except BaseException:
                locked.file.truncate(size)
                raise
        if is_new and self._sync:
            sync_folder(self.path.parent)

    def append(self, lines: bytes) -> None:
        """Add lines: all of them, or none.

        Args:
            lines: JSON objects, each with a line feed after it.

        Raises:
            OSError: it cannot be read or written.
        """
        with self.writing() as writer:
            writer.add(lines)


class Writer:
    """Adds lines to a journal while other writers wait."""

    def __init__(self, locked: LockedFile, sync: bool) -> None:
        self._file, self._sync = locked.file, sync

    def add(self, lines: bytes) -> None:
        """Add lines: JSON objects, each with a line feed after it.

        Raises:
            OSError: they cannot be written.
        """
        write_all(self._file, lines)
        if self._sync:
            os.fsync(self._file.fileno())


def split_whole(content: bytes) -> tuple[bytes, bytes]:
    """What a journal holds: all lines that end with a line feed, and the line after them if it is whole, else b"".

    An object is whole when its last brace is there, so a line that an editor left without a line feed is not lost.
    """
    end = content.rfind(b"\n") + 1
    whole, rest = content[:end], content[end:]
    try:
        return whole, rest if isinstance(json.loads(rest), dict) else b""
    except (ValueError, RecursionError):
        return whole, b""


def sync_folder(folder: Path) -> None:
    """Put the names of the files in `folder` on the disk.

    Raises:
        OSError: that fails.
    """
    if os.name == "nt":
        # It opens no folder, and keeps names safe by itself.
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _end_last_line(locked: LockedFile) -> int:
    """End the last line if it is whole and remove it if not; return the size of the file then."""
    file = locked.file
    size = file.seek(0, os.SEEK_END)
    if size:
        file.seek(size - 1)
        if file.read(1) != b"\n":
            file.seek(0)
            whole, last = split_whole(file.readall())
            size = file.truncate(len(whole) + len(last))
            if last:
                write_all(file, b"\n")
                size += 1
    return size
