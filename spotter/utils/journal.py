"""An append-only file of JSON objects, one a line, that many may write and read at once; and what such an object is.

A part of a line that a crash or a full disk left is ignored by readers, and the next writer removes it.
"""

import functools
import json
import os
import types
import typing
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from spotter.utils.locks import LockedFile, write_all

T = TypeVar("T")


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


def read_as(kind: type[T], facts: object) -> T:
    """A dataclass from a JSON object that somebody may have edited.

    Raises:
        TypeError: it is no object, it has other fields, or one of them is not of the type that the class says.
    """
    if not isinstance(facts, dict):
        raise TypeError("not a JSON object")
    # mypy takes a class for something that may have no hash.
    for name, allowed in _types(kind).items():  # type: ignore[arg-type]
        value = facts.get(name)
        if name in facts and (not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed)):
            raise TypeError(f"{name} is {str(value)[:40]!r}")
    return kind(**facts)


@functools.cache
def _types(kind: Any) -> dict[str, tuple[type, ...]]:
    """For each field of a dataclass the types of the JSON values that it may have."""
    hints = typing.get_type_hints(kind)
    return {field.name: _plain_types(hints[field.name]) for field in fields(kind)}


def _plain_types(hint: Any) -> tuple[type, ...]:
    if isinstance(hint, types.UnionType):
        return tuple(kind for part in typing.get_args(hint) for kind in _plain_types(part))
    plain = typing.get_origin(hint) or hint
    # In JSON, 1.0 may be written as 1, and a tuple is a list.
    return {float: (float, int), tuple: (tuple, list)}.get(plain, (plain,))


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
