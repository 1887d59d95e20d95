"""`table:FILE`: your own pictures with their labels in a table: CSV with paths, or Parquet with pictures."""

import csv
import io
import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spotter.errors import FolderMissing, ListUnreadable, SourceUnavailable
from spotter.names import clean_label, find_names, merge_alike
from spotter.search.base import ImageHit
from spotter.search.fields import link, listing, reading
from spotter.search.parquet import (
    LABELS,
    PARQUET,
    class_names,
    label_column,
    open_parquet,
    parquet_files,
    picture_column,
    read_group,
    read_label,
    read_picture,
)
from spotter.utils.files import has_file

_log = logging.getLogger(__name__)

# Names of columns in lower case, those first that say most.
FILES = (
    "file", "file_name", "filename", "fname", "path", "filepath", "file_path", "image", "image_path", "img", "picture",
    "name", "url", "image_url", "image_id", "id",
)  # fmt: skip
SPLITS = ("is_valid", "split", "set", "subset")
HELD_OUT = {"valid", "val", "validation", "dev", "test", "true", "1", "1.0", "yes"}
# Tables often name pictures without one.
_SUFFIXES = ("", ".jpg", ".jpeg", ".png", ".webp")


@dataclass(frozen=True)
class _Row:
    """A row of the table: its label, and in a CSV file where the picture is."""

    label: str
    place: str = ""
    file: Path = Path()
    number: int = 0
    is_held_out: bool = False


class Table:
    """The rows of a CSV or Parquet file, found by their label.

    A CSV file (UTF-8, with commas, semicolons or tabs) has a header with a column of labels (such as `label` or
    `class`) and one of paths (such as `file`, `fname` or `path`), relative to the folder of the table, or addresses. A
    Parquet file, or a folder of them, has a column of pictures, paths or addresses, found by its type, and one of
    labels: texts, or numbers with names as the Hub writes them. A column `is_valid` or `split` says which rows are
    held out.

    Args:
        argument: the path of the file.

    Raises:
        FolderMissing: there is no such file, or it cannot be read.
        SourceUnavailable: it is no such table.
        ExtraMissing: it is Parquet, and pyarrow is not installed.
    """

    name = "table"
    argument = "FILE"
    searches = False
    by_label = True

    def __init__(self, argument: str) -> None:
        self.path = Path(argument).expanduser()
        # What tells it from others that were given with it.
        self.origin: str | None = None
        if not self.path.exists():
            raise FolderMissing(f"There is no file {str(self.path)!r}; give a table of pictures and labels.")
        try:
            with reading(self.path):
                self._rows = self._read()
        except (csv.Error, ListUnreadable) as error:
            raise SourceUnavailable(f"{str(self.path)!r} is no table of pictures and labels: {error}") from error

    def labels(self) -> tuple[str, ...]:
        """The labels of the rows in the order of the table, once where they differ only in case or punctuation."""
        return tuple(merge_alike(dict.fromkeys(row.label for row in self._rows)))

    def search(self, query: str, limit: int) -> Iterator[ImageHit]:
        """Yield the pictures of the label `query`, in the order of the rows.

        Raises:
            FolderMissing: the table has none for this label.
        """
        known = dict.fromkeys(row.label for row in self._rows)
        labels = set(find_names(query, known))
        if not labels:
            raise FolderMissing(f"{str(self.path)!r} has no row for the class {query!r}; it has {listing(known)}.")
        mine = [row for row in self._rows if row.label in labels][:limit]
        for rank, (row, picture) in enumerate(self._pictures(mine)):
            is_address = isinstance(picture, str)
            yield ImageHit(
                # What is here already is one's own, like the pictures of a folder.
                backend="urls" if is_address else "folder",
                backend_id=row.place or f"{row.file.name}#{row.number}",
                query=query,
                rank=rank,
                image_url=picture if isinstance(picture, str) else None,
                path=picture if isinstance(picture, Path) else None,
                content=picture if isinstance(picture, bytes) else None,
                title=Path(row.place).stem if row.place and not is_address else None,
                split="valid" if row.is_held_out else None,
                origin=None if is_address else self.origin,
            )

    def _read(self) -> list[_Row]:
        files = parquet_files(self.path) if self.path.is_dir() else [self.path]
        if not files:
            raise ListUnreadable("there is no Parquet file in the folder.")
        if files[0].suffix.lower() == PARQUET:
            return [row for file in files for row in _parquet_rows(file)]
        return list(_csv_rows(self.path))

    def _pictures(self, rows: Iterable[_Row]) -> Iterator[tuple[_Row, bytes | Path | str]]:
        waiting: dict[Path, list[_Row]] = {}
        for row in rows:
            if row.place:
                yield row, link(row.place) or _find(self.path.parent, row.place)
            else:
                waiting.setdefault(row.file, []).append(row)
        for file, some in waiting.items():
            yield from _read_parquet(file, some)


def _csv_rows(path: Path) -> Iterator[_Row]:
    content = path.read_text(encoding="utf-8-sig")
    if "\0" in content:
        raise ListUnreadable("it is no text; save the table as CSV.")
    lines = list(io.StringIO(content, newline=""))
    delimiter = max(",;\t", key=(lines[0] if lines else "").count)
    # What spreadsheets write, or need, to know what separates the cells.
    if told := re.match(r'"?sep=(.)"?\s*$', lines[0] if lines else "", re.IGNORECASE):
        delimiter, lines = told[1], lines[1:]
    # `strict`, so that a quote that is never closed does not swallow the rest of the file.
    reader = csv.reader(lines, strict=True, delimiter=delimiter)
    header = [name.strip().lower() for name in next(reader, [])]
    label, place = (_position(header, names, what) for names, what in ((LABELS, "labels"), (FILES, "files")))
    split = next((header.index(name) for name in SPLITS if name in header), None)
    for number, cells in enumerate(reader, 1):
        if not any(cell.strip() for cell in cells):
            continue
        padded = [cell.strip() for cell in cells] + [""] * len(header)
        if not padded[label] or not padded[place]:
            raise ListUnreadable(f"line {reader.line_num} has no label or no file.")
        is_held_out = split is not None and padded[split].lower() in HELD_OUT
        yield _Row(clean_label(padded[label]), padded[place], path, number, is_held_out)


def _position(header: list[str], names: tuple[str, ...], what: str) -> int:
    for name in names:
        if name in header:
            return header.index(name)
    raise ListUnreadable(f"it has no column of {what}, such as {names[0]!r}; it has {listing(header)}.")


def _find(folder: Path, place: str) -> Path:
    # A table made on Windows may have its slashes.
    places = dict.fromkeys((place, place.replace("\\", "/")))
    candidates = [folder / f"{each}{suffix}" for each in places for suffix in _SUFFIXES]
    return next((path for path in candidates if has_file(path)), candidates[0])


def _parquet_rows(path: Path) -> Iterator[_Row]:
    with open_parquet(path) as file:
        schema = file.schema_arrow
        label = label_column(schema, path)
        names = class_names(schema, label)
        split = next((name for name in schema.names if name.lower() in SPLITS), None)
        table = file.read(columns=[label, *([split] if split else [])]).to_pydict()
    for number, value in enumerate(table[label]):
        if read := read_label(value, names):
            is_held_out = split is not None and str(table[split][number]).lower() in HELD_OUT
            yield _Row(clean_label(read), file=path, number=number, is_held_out=is_held_out)


def _read_parquet(path: Path, rows: list[_Row]) -> Iterator[tuple[_Row, bytes | Path | str]]:
    """The pictures of some rows of a file, a row group at a time."""
    wanted = {row.number: row for row in rows}
    with open_parquet(path) as file:
        column = picture_column(file.schema_arrow, path)
        start = 0
        for group in range(file.num_row_groups):
            count = file.metadata.row_group(group).num_rows
            mine = [number for number in range(start, start + count) if number in wanted]
            if mine:
                table = read_group(file, group, [column.name])
                cells: Any = table[column.name] if table is not None else None
                if cells is None:
                    _log.warning("a part of %s is damaged: %d pictures from it are left out", path, len(mine))
                    mine = []
                for number in mine:
                    yield wanted[number], read_picture(cells[number - start].as_py(), column, path.parent)
            start += count
