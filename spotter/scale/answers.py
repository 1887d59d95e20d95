"""Answers for many pictures: written in parts, each by one rename; put together in the order of the pictures."""

import heapq
import json
import os
import shutil
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path
from typing import Any

from spotter.errors import AnswersUnwritable
from spotter.inference.prediction import AnswerRecord, Prediction, table_cells, table_columns
from spotter.utils.tables import PARQUET, check_table, import_pyarrow, plain_cell, read_rows, write_rows

RUN = "run.json"
# Rows of the whole file that are in memory at once.
CHUNK = 10_000


@dataclass(frozen=True)
class Row:
    """What a picture is, or in `error` a short word for why nobody knows.

    `id` is its number in the list and `file` its name there.
    """

    id: int
    file: str
    answer: Prediction | None = None
    error: str | None = None


@dataclass(frozen=True)
class AnswerFile:
    """The file that the answers go to, `.parquet` or `.csv`, and the folder of its parts beside it. `advice` are the
    names of what the model advises.

    Raises:
        AnswersUnwritable: it is to be something else.
        ExtraMissing: it is to be Parquet, and pyarrow is not installed.
    """

    path: Path
    labels: tuple[str, ...]
    revision: str
    advice: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_table(self.path)

    @property
    def folder(self) -> Path:
        return self.path.with_name(f"{self.path.name}.parts")

    def is_finished(self, names: Mapping[int, str], count: int) -> bool:
        """Whether the whole file is there already, by this model and for these pictures.

        Args:
            names: what is known of the pictures' names, by number. count: how many pictures there are.
        """
        if not self.path.is_file():
            return False
        found = 0
        try:
            for id_, cells in self._read(self.path):
                own = names.get(id_, cells[1])
                if id_ != found or cells[1] not in {own, plain_cell(own)} or cells[-2] != self.revision:
                    return False
                found += 1
        except (ValueError, IndexError, KeyError):
            # Some other table.
            return False
        return found == count

    def begin(self, digest: str) -> None:
        """Make the folder for the parts, or go on in that of an earlier run over the same pictures.

        Raises:
            AnswersUnwritable: the file is there already, the parts are those of another run, or the disk is full.
        """
        if self.path.exists():
            raise AnswersUnwritable(f"{str(self.path)!r} already exists; remove it, or name another file.")
        told = {"pictures": digest, "revision": self.revision, "labels": list(self.labels)}
        run = self.folder / RUN
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not run.exists():
                temporary = run.with_suffix(".tmp")
                temporary.write_text(json.dumps(told), encoding="utf-8")
                os.replace(temporary, run)
            found = json.loads(run.read_bytes())
        except (OSError, ValueError) as error:
            raise self._unwritable(error) from error
        if found != told:
            raise AnswersUnwritable(
                f"{str(self.folder)!r} holds answers for other pictures or of another model; remove it, or name "
                f"another file."
            )

    def part(self, number: int) -> Path:
        """Where the answers of a part are, once it is done."""
        return self.folder / f"part-{number:08}{self.path.suffix}"

    def write_part(self, number: int, rows: Sequence[Row]) -> None:
        """Write the answers of a part, sorted by `id`; a part that is there is done.

        Raises:
            AnswersUnwritable: they cannot be written.
        """
        self._write(self.part(number), iter([[self._cells(row) for row in sorted(rows, key=lambda row: row.id)]]))

    def finish(self, parts: Iterable[tuple[int, int]]) -> None:
        """Put the parts together in the order of the pictures, and remove them. Memory does not grow with them.

        Args:
            parts: (number of its first picture, number) of each.

        Raises:
            AnswersUnwritable: there is no room for the whole.
        """
        self._write(self.path, _chunks(self._merge(sorted(parts))))
        shutil.rmtree(self.folder)

    def count(self, number: int) -> tuple[int, dict[str, int]]:
        """How many pictures are in a part that is done, and how many of them have no answer, by reason."""
        rows = [cells for _, cells in self._read(self.part(number))]
        return len(rows), dict(Counter(str(cells[-1]) for cells in rows if cells[-1]))

    def _merge(self, parts: Sequence[tuple[int, int]]) -> Iterator[list[Any]]:
        # Only those parts are open whose pictures come next: one at a time, but where addresses were dealt into lanes.
        waiting, opened = deque(parts), list[tuple[int, int, list[Any], Iterator[tuple[int, list[Any]]]]]()
        while waiting or opened:
            while waiting and (not opened or waiting[0][0] < opened[0][0]):
                _, number = waiting.popleft()
                rows = self._read(self.part(number))
                heapq.heappush(opened, (*_first(rows, number), rows))
            _, number, cells, rows = heapq.heappop(opened)
            yield cells
            for id_, following in rows:
                heapq.heappush(opened, (id_, number, following, rows))
                break

    def _cells(self, row: Row) -> list[Any]:
        if self.path.suffix == PARQUET:
            names = [*(column.name for column in fields(AnswerRecord)), *self.advice]
            told = [getattr(row.answer, name, None) for name in names]
        else:
            told = table_cells(row.answer, self.labels, self.advice)
        return [row.id, row.file, *told, self.revision, row.error]

    def _write(self, path: Path, chunks: Iterator[list[list[Any]]]) -> None:
        # Two processes may write the same part, when one was given up too early.
        temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        try:
            if self.path.suffix == PARQUET:
                self._write_parquet(temporary, chunks)
            else:
                with temporary.open("w", encoding="utf-8", newline="") as file:
                    head, ends = ("id", "file"), ("revision", "error")
                    columns = table_columns(self.labels, self.advice, (*head, *ends))
                    write_rows(file, [(*head, *columns, *ends)])
                    for rows in chunks:
                        write_rows(file, rows)
            os.replace(temporary, path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise self._unwritable(error) from error

    def _write_parquet(self, path: Path, chunks: Iterator[list[list[Any]]]) -> None:
        pyarrow = import_pyarrow()
        from pyarrow.parquet import ParquetWriter

        shares = pyarrow.struct([(label, pyarrow.float64()) for label in self.labels])
        text, number = pyarrow.string(), pyarrow.float64()
        types: dict[Any, Any] = {str: text, bool: pyarrow.bool_(), float: number, dict[str, float]: shares}
        answer = [(column.name, types[column.type]) for column in fields(AnswerRecord)]
        advice = {"decision": text, "expected_cost": number, "set": pyarrow.list_(text)}
        advice |= {"looked_at": pyarrow.list_(number)}
        answer += [(name, (advice | {"prior": shares, "unweighted": shares})[name]) for name in self.advice]
        ends = [("revision", text), ("error", text)]
        schema = pyarrow.schema([("id", pyarrow.int64()), ("file", text), *answer, *ends])
        with ParquetWriter(path, schema) as writer:
            for rows in chunks:
                columns = [
                    pyarrow.array(column, field.type)
                    for column, field in zip(zip(*rows, strict=True), schema, strict=True)
                ]
                writer.write_table(pyarrow.Table.from_arrays(columns, schema=schema))

    def _read(self, path: Path) -> Iterator[tuple[int, list[Any]]]:
        try:
            if self.path.suffix == PARQUET:
                import_pyarrow()
                from pyarrow.parquet import read_table

                for row in read_table(path).to_pylist():
                    yield row["id"], list(row.values())
            else:
                with path.open(encoding="utf-8", newline="") as file:
                    rows = read_rows(file)
                    next(rows, None)
                    for cells in rows:
                        yield int(cells[0]), list(cells)
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: Exception) -> AnswersUnwritable:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        return AnswersUnwritable(f"The answers cannot be kept in {str(self.path)!r}: {reason}.")


def _first(rows: Iterator[tuple[int, list[Any]]], number: int) -> tuple[int, int, list[Any]]:
    id_, cells = next(rows)
    return id_, number, cells


def _chunks(rows: Iterator[list[Any]]) -> Iterator[list[list[Any]]]:
    while some := list(islice(rows, CHUNK)):
        yield some
