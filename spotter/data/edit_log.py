"""The log of what people decided about pictures: append-only, beside the pictures."""

import json
import threading
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from spotter.errors import DatasetUnwritable, EditsDamaged
from spotter.names import clean_label
from spotter.utils.journal import Journal, Writer, split_whole

EDITS = "edits.jsonl"
KEEP, RELABEL, DELETE, UNDO = "keep", "relabel", "delete", "undo"
LONGEST_NAME = 60
# The latest time that a log can hold.
LATEST = datetime.max.replace(tzinfo=UTC) - timedelta(milliseconds=1)


@dataclass(frozen=True)
class Edit:
    """One line of the log: who decided what about one picture, when and why.

    The picture is known by `sha256` of its stored file, or by `original_sha256` of the bytes as they came: on another
    machine the same original may be stored with other bytes. `origin` (in the file: `from`) and `to` are labels; `to`
    is None when it was deleted. What was decided in one go shares a `batch`; a line that takes a batch back names it
    in `undoes`. A line that `settles` ends a disagreement. `at` is an ISO time in UTC, later than those of all lines
    that its log held then.
    """

    who: str
    action: str
    sha256: str | None = None
    original_sha256: str | None = None
    origin: str | None = None
    to: str | None = None
    why: str = ""
    settles: bool = False
    undoes: str | None = None
    batch: str = ""
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    at: str = field(default_factory=lambda: _as_text(datetime.now(UTC)))

    @property
    def moment(self) -> datetime:
        return datetime.fromisoformat(self.at)

    def as_line(self) -> bytes:
        """The line of the log."""
        names = ("id", "at", "who", "action", "sha256", "original_sha256", "to", "why", "settles", "undoes", "batch")
        facts = {name: getattr(self, name) for name in names} | {"from": self.origin}
        told = {name: value for name, value in facts.items() if value not in (None, "", False)}
        # ASCII: half of a surrogate pair, as a hostile name may hold, is no text.
        return json.dumps(told).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> "Edit":
        """Read a line of the log.

        Raises:
            ValueError, TypeError: it is not one.
        """
        facts: dict[str, Any] = json.loads(line)
        if not isinstance(facts, dict) or not {"id", "at", "who", "action"} <= set(facts):
            raise ValueError("not a line of an edit log")
        facts["origin"] = facts.pop("from", None)
        edit = cls(**facts)
        texts = (edit.id, edit.at, edit.who, edit.action, edit.why, edit.batch)
        maybe = (edit.sha256, edit.original_sha256, edit.origin, edit.to, edit.undoes)
        if not all(isinstance(text, str) for text in (*texts, *(text for text in maybe if text is not None))):
            raise ValueError("a field is not text")
        if edit.action not in {KEEP, RELABEL, DELETE, UNDO}:
            raise ValueError(f"unknown action {edit.action!r}")
        if edit.moment.tzinfo is None:
            raise ValueError(f"the time {edit.at!r} is of no time zone")
        # Written by hand, perhaps: without a batch undo could not name it, and accents may be apart from their letters.
        to = edit.to if edit.to is None else clean_label(edit.to)
        return replace(edit, to=to, batch=edit.batch or edit.id)


class EditLog:
    """The log of the set in `folder`. Several processes and threads may write to it at once.

    A line is on disk before `append` returns. Half a line, left by a process that was killed while it wrote, was never
    promised to anybody and is not read.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / EDITS
        self._journal = Journal(self.path, permissions=0o644)
        self._edits: list[Edit] = []
        self._lines, self._offset, self._last_line = 0, 0, b""
        self._lock = threading.Lock()

    def read(self) -> tuple[Edit, ...]:
        """All edits, oldest first; what others have written meanwhile too.

        Raises:
            EditsDamaged: a whole line is not an edit, or the file cannot be read.
        """
        with self._lock:
            try:
                with self.path.open("rb") as file:
                    file.seek(self._offset - len(self._last_line))
                    if file.read(len(self._last_line)) != self._last_line:
                        # Somebody put another log in its place.
                        self._forget()
                        file.seek(0)
                    content = file.read()
            except FileNotFoundError:
                self._forget()
                content = b""
            except OSError as error:
                raise EditsDamaged(f"The edit log {str(self.path)!r} cannot be read: {error.strerror}.") from error
            whole, last = split_whole(content)
            self._edits += parse_edits(whole, str(self.path), self._lines + 1)
            if whole:
                self._lines += whole.count(b"\n")
                self._offset += len(whole)
                self._last_line = whole[whole.rfind(b"\n", 0, -1) + 1 :]
            return (*self._edits, *parse_edits(last, str(self.path), self._lines + 1))

    def _forget(self) -> None:
        self._edits, self._lines, self._offset, self._last_line = [], 0, 0, b""

    def append(self, edits: Sequence[Edit]) -> None:
        """Add edits as one batch.

        Raises:
            DatasetUnwritable: the log cannot be written. EditsDamaged: it cannot be read.
        """
        batch = uuid.uuid4().hex
        with self._writing() as writer:
            dated = _after(self.read(), edits)
            writer.add(_as_lines(replace(edit, batch=edit.batch or batch) for edit in dated))

    def undo(self, who: str) -> tuple[Edit, ...]:
        """Take back the last batch of `who` that still stands, and return it; () when there is none.

        Raises:
            DatasetUnwritable: the log cannot be written. EditsDamaged: it cannot be read.
        """
        with self._writing() as writer:
            mine = [edit for edit in standing(self.read()) if edit.who == who]
            if not mine:
                return ()
            batch = mine[-1].batch
            writer.add(Edit(who, UNDO, undoes=batch, batch=uuid.uuid4().hex).as_line())
            return tuple(edit for edit in mine if edit.batch == batch)

    def replay(self, edits: Sequence[Edit]) -> int:
        """Add the edits of another log that are not here yet, and return how many.

        Raises:
            DatasetUnwritable: the log cannot be written. EditsDamaged: it cannot be read.
        """
        with self._writing() as writer:
            known = {edit.id for edit in self.read()}
            new = [edit for edit in edits if edit.id not in known]
            writer.add(_as_lines(new))
            return len(new)

    @contextmanager
    def _writing(self) -> Iterator[Writer]:
        try:
            with self._journal.writing() as writer:
                yield writer
        except OSError as error:
            raise DatasetUnwritable(f"The edit log {str(self.path)!r} cannot be written: {error.strerror}.") from error


def parse_edits(content: bytes, name: str, first: int = 1) -> list[Edit]:
    """Read the lines of a log, of which `first` is the number of the first one.

    Raises:
        EditsDamaged: a line is not an edit.
    """
    edits = []
    for number, line in enumerate(content.split(b"\n"), first):
        try:
            edits += [Edit.from_line(line)] if line else []
        except (ValueError, TypeError) as error:
            raise EditsDamaged(
                f"Line {number} of {name!r} is not an edit ({error}); correct it or remove it."
            ) from error
    return edits


def standing(edits: Sequence[Edit]) -> list[Edit]:
    """The decisions that were not undone, oldest first.

    They are ordered by their times and not by their places in the file, so two logs that were replayed into each other
    give the same result.
    """
    undone = {edit.undoes for edit in edits if edit.action == UNDO}
    left = [edit for edit in edits if edit.action != UNDO and edit.batch not in undone]
    return sorted(left, key=lambda edit: edit.moment)


def _after(written: Sequence[Edit], edits: Sequence[Edit]) -> list[Edit]:
    """The edits, dated later than what was written before: clocks go back, and those of two machines differ."""
    last = max((edit.moment for edit in written), default=None)
    if last is None or all(edit.moment > last for edit in edits):
        return list(edits)
    later = min(last, LATEST) + timedelta(milliseconds=1)
    return [replace(edit, at=_as_text(later)) for edit in edits]


def _as_text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")


def _as_lines(edits: Iterable[Edit]) -> bytes:
    return b"".join(edit.as_line() for edit in edits)
