"""The events of a watch: a journal that a crash cannot harm, and the table that is made of it.

The journal says of each event which files it is made of. So whoever starts again knows what was read, and an event is
written once: with all that belongs to it, or not at all.
"""

import io
import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spotter.camera.events import Event
from spotter.camera.frames import FileKey, clock_words
from spotter.errors import AnswersUnwritable
from spotter.inference.prediction import SHARES, class_columns, flat_cell, table_columns
from spotter.utils.files import write_atomically
from spotter.utils.journal import Journal
from spotter.utils.locks import LockedFile
from spotter.utils.tables import PARQUET, check_table, import_pyarrow, write_rows
from spotter.utils.text import writable

HEAD = ("event", "camera", "start", "end", "pictures", "shown", "unreadable", "best")
BESIDE = ".watch"
EVENTS, SENT, LOCK = "events.jsonl", "sent.jsonl", "lock"


@dataclass(frozen=True)
class Told:
    """An event as the journal keeps it: `row` is JSON, `alert` says whether somebody has to be told."""

    row: dict[str, Any]
    alert: bool

    @property
    def id(self) -> str:
        return str(self.row["event"])


class EventLog:
    """The journal of events beside the table `path`, `.csv` or `.parquet`, which one process at a time may write.

    Args:
        labels: those of the model. advice: the names of what its answers say besides.

    Raises:
        AnswersUnwritable: the table is to be something else, somebody else writes it, it holds events of a model with
            other classes, or it cannot be written.
        ExtraMissing: it is to be Parquet, and pyarrow is not installed.
    """

    def __init__(self, path: Path, labels: Sequence[str], revision: str, advice: Sequence[str] = ()) -> None:
        check_table(path)
        self.path, self.labels, self.revision = path, tuple(labels), revision
        beside = (*HEAD, "revision")
        self.columns = [*HEAD, *table_columns(labels, advice, beside), "revision"]
        self.classes = dict(zip(class_columns(labels, beside), labels, strict=True))
        self.folder = path.with_name(f"{path.name}{BESIDE}")
        self._events, self._sent = Journal(self.folder / EVENTS), Journal(self.folder / SENT)
        self._own = path.resolve(), self.folder.resolve()
        self.files: set[FileKey] = set()
        self.waiting: list[Told] = []
        # The Parquet file was written then, and has not what was added since.
        self._table_at, self._is_behind = 0.0, False
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = LockedFile(self.folder / LOCK, wait=False)
            sent = {json.loads(line)["event"] for line in self._sent.lines()}
            events = list(self._read())
            self.count = len(events)
            self.files.update(*(files for _, files in events))
            self.waiting += [told for told, _ in events if told.alert and told.id not in sent]
            self._write_table(told for told, _ in events)
        except BlockingIOError as error:
            raise AnswersUnwritable(
                f"Another watch is writing {str(path)!r}; stop it, or name another file."
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise AnswersUnwritable(f"{str(self.folder)!r} holds something else than events; remove it.") from error
        except OSError as error:
            raise self._unwritable(error) from error

    def knows(self, folder: Path, key: FileKey) -> bool:
        """Whether a file in `folder` was read in this state, or is the table, or of its journal or another one's."""
        path = folder / key.name
        return key in self.files or path in self._own or self._own[1] in path.parents or _is_of_journal(path)

    def add(self, event: Event, alert: bool) -> Told:
        """Write an event down, and add it to the table if that is CSV.

        Raises:
            AnswersUnwritable: it cannot be written.
        """
        told, files = Told(self._row(event), alert), [frame.key for frame in event.frames if frame.key]
        line = told.row | {"alert": alert, "files": [[key.name, key.size, key.changed] for key in files]}
        try:
            self._events.append(json.dumps(line, ensure_ascii=True).encode() + b"\n")
            self.files.update(files)
            if self.path.suffix == PARQUET:
                self._is_behind = True
            elif not self.path.exists():
                # Somebody moved it away: a new one begins with its head, and holds all events, as after a new start.
                self._write_table(told for told, _ in self._read())
            else:
                with self.path.open("a", encoding="utf-8", newline="") as file:
                    write_rows(file, [self._cells(told.row)])
        except OSError as error:
            raise self._unwritable(error) from error
        return told

    def sent(self, told: Told) -> None:
        """Remember that somebody was told of an event.

        Raises:
            OSError: it cannot be written.
        """
        self._sent.append(json.dumps({"event": told.id}).encode() + b"\n")

    def update_table(self, least_s: float = 0.0) -> None:
        """Write a Parquet file anew where it has not all events, if the last time was at least so many seconds ago.

        Raises:
            AnswersUnwritable: it cannot be written.
        """
        if not self._is_behind or time.monotonic() - self._table_at < least_s:
            return
        try:
            self._write_table(told for told, _ in self._read())
        except OSError as error:
            raise self._unwritable(error) from error

    def close(self) -> None:
        """Let others write."""
        self._lock.close()

    def _write_table(self, events: Iterable[Told]) -> None:
        rows = (self._cells(told.row) for told in events)
        if self.path.suffix == PARQUET:
            self._write_parquet(list(rows))
        else:
            text = io.StringIO(newline="")
            write_rows(text, [self.columns])
            write_rows(text, rows)
            write_atomically(self.path, text.getvalue().encode())
        self._table_at, self._is_behind = time.monotonic(), False

    def _read(self) -> Iterator[tuple[Told, set[FileKey]]]:
        for line in self._events.lines():
            facts = json.loads(line)
            files = {FileKey(str(name), int(size), int(changed)) for name, size, changed in facts.pop("files")}
            alert = bool(facts.pop("alert"))
            told = Told(_as_text(facts), alert)
            answer = told.row["answer"]
            if answer and tuple(answer[SHARES]) != self.labels:
                raise AnswersUnwritable(
                    f"{str(self.path)!r} holds events of a model with other classes ({', '.join(answer[SHARES])}); "
                    "name another file."
                )
            yield told, files

    def _row(self, event: Event) -> dict[str, Any]:
        row = {
            "event": event.id,
            "camera": event.camera,
            "start": clock_words(event.start),
            "end": clock_words(event.end),
            "pictures": len(event.frames),
            "shown": event.shown,
            "unreadable": sum(frame.answer is None for frame in event.frames),
            "best": event.best.file,
            "answer": event.answer.record() if event.answer else None,
            "revision": self.revision,
        }
        return _as_text(row)

    def _cells(self, row: dict[str, Any]) -> list[Any]:
        answer = row["answer"] or {}
        shares = {name: answer[SHARES][label] for name, label in self.classes.items()} if answer else {}
        facts = row | answer | dict.fromkeys(self.classes) | shares
        return [flat_cell(facts.get(name)) for name in self.columns]

    def _write_parquet(self, rows: list[list[Any]]) -> None:
        pyarrow = import_pyarrow()
        from pyarrow import parquet

        numbers = {"familiarity", "threshold", "expected_cost", *self.classes}
        counts = {"pictures", "shown", "unreadable"}
        types = {name: pyarrow.float64() for name in numbers} | {name: pyarrow.int64() for name in counts}
        schema = pyarrow.schema(
            [
                (name, types.get(name, pyarrow.bool_() if name == "familiar" else pyarrow.string()))
                for name in self.columns
            ]
        )
        columns = zip(*rows, strict=True) if rows else ([] for _ in self.columns)
        table = pyarrow.Table.from_arrays(
            [pyarrow.array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema=schema
        )
        temporary = self.folder / "table.tmp"
        parquet.write_table(table, temporary)
        os.replace(temporary, self.path)

    def _unwritable(self, error: OSError) -> AnswersUnwritable:
        return AnswersUnwritable(f"{str(self.path)!r} cannot be written: {error.strerror or error}.")


def _is_of_journal(path: Path) -> bool:
    """Whether a file is of the journal of a table, such as one that was moved away: its lock is empty, and would be
    taken for a picture that cannot be read.
    """
    if path.name not in {EVENTS, SENT, LOCK}:
        return False
    return path.parent.suffix == BESIDE or (path.parent / EVENTS).is_file()


def _as_text(row: dict[str, Any]) -> dict[str, Any]:
    """A row that any table and any webhook takes: memory cards hold names that are no UTF-8."""
    return row | {name: writable(row[name]) for name in ("camera", "best")}
