"""Tables as CSV files, which a spreadsheet shows as they are: no cell of them is ever a formula."""

import csv
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

from spotter.errors import AnswersUnwritable, ExtraMissing
from spotter.names import JOINERS, is_writing

CSV, PARQUET = ".csv", ".parquet"
# A spreadsheet runs a cell that begins with one of these, in full width too, as some input methods type them.
_RUNS = frozenset("=+-@")
# What some spreadsheets, in the language of their user, take for the end of a cell.
_ENDS_CELL = ";"
# Letters by name and blanks to the eye.
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")


class PlainCell(str):
    """Text of a cell that is safe already, as it was read from a table of ours."""

    __slots__ = ()


def plain_cell(value: str | None) -> str:
    """The same text for a cell of a CSV file, which a spreadsheet shows as it is: in one line, and never a formula."""
    text = "".join(c if is_writing(c) else " " for c in value or "")
    return _ENDS_CELL.join(f"'{part}" if _runs(part) else part for part in text.split(_ENDS_CELL))


def write_rows(file: TextIO, rows: Iterable[Iterable[object]]) -> None:
    """Write rows as CSV: text as `plain_cell` gives it, None as an empty cell, numbers with all their digits."""
    csv.writer(file).writerows([_cell(value) for value in row] for row in rows)


def read_rows(file: TextIO) -> Iterator[list[PlainCell]]:
    """The rows of a table that `write_rows` wrote."""
    for row in csv.reader(file):
        yield [PlainCell(cell) for cell in row]


def check_table(path: Path) -> None:
    """Check that a table can be written to such a file.

    Raises:
        AnswersUnwritable: it is to be neither CSV nor Parquet.
        ExtraMissing: it is to be Parquet, and pyarrow is not installed.
    """
    if path.suffix not in {CSV, PARQUET}:
        raise AnswersUnwritable(f"--to {str(path)!r} must end in {PARQUET} or {CSV}.")
    if path.suffix == PARQUET:
        import_pyarrow()


def import_pyarrow() -> Any:
    """Import pyarrow, which only tables in Parquet need.

    Raises:
        ExtraMissing: it is not installed.
    """
    try:
        import pyarrow
    except ModuleNotFoundError as error:
        raise ExtraMissing("Parquet needs pyarrow: pip install -r requirements-ray.txt; .csv needs nothing.") from error
    return pyarrow


def _cell(value: object) -> object:
    return plain_cell(value) if isinstance(value, str) and not isinstance(value, PlainCell) else value


def _runs(text: str) -> bool:
    """Whether a cell that begins so would be run, whatever a spreadsheet skips before it."""
    for character in text:
        if not _is_skipped(character):
            return unicodedata.normalize("NFKC", character) in _RUNS
    return False


def _is_skipped(character: str) -> bool:
    # Also marks without a letter to stand on, and the quotes that a CSV file itself is written with.
    is_unseen = character.isspace() or character in _BLANK or character in JOINERS
    return is_unseen or character == '"' or unicodedata.category(character) in {"Mn", "Me"}
