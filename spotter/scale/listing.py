"""The list of pictures to classify: a folder, Parquet, or paths and addresses in a file; cut into parts."""

import hashlib
import logging
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from spotter.config import ScaleConfig
from spotter.errors import ListUnreadable
from spotter.search.parquet import (
    PARQUET,
    URL,
    PictureColumn,
    open_parquet,
    parquet_files,
    picture_column,
    read_group,
    read_picture,
)
from spotter.utils.files import walk_files

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """A picture of the list: its number, its name for people, and its bytes, path or address; None where the list is
    damaged."""

    id: int
    name: str
    source: bytes | Path | str | None


@dataclass(frozen=True)
class Rows:
    """Rows `start` to `stop` of a row group of a Parquet file, the first of them with the number `first`."""

    file: Path
    column: PictureColumn
    group: int
    start: int
    stop: int
    first: int


@dataclass(frozen=True)
class Part:
    """Pictures that are done together; `lane` says which parts must not run at the same time (None: all may)."""

    number: int
    work: tuple[Entry, ...] | Rows
    lane: int | None = None

    @property
    def count(self) -> int:
        return self.work.stop - self.work.start if isinstance(self.work, Rows) else len(self.work)

    @property
    def first(self) -> int:
        """The number of its first picture."""
        return self.work.first if isinstance(self.work, Rows) else self.work[0].id

    def entries(self) -> Iterator[Entry]:
        """The pictures, read from Parquet only now, where they are needed."""
        return _read_rows(self.work) if isinstance(self.work, Rows) else iter(self.work)


@dataclass(frozen=True)
class Listing:
    """All parts, how many pictures they are, and a hash that another list does not have."""

    parts: tuple[Part, ...]
    pictures: int
    digest: str

    def names(self) -> dict[int, str]:
        """The names of the pictures by their numbers, as far as they are known without reading Parquet."""
        return {entry.id: entry.name for part in self.parts if not isinstance(part.work, Rows) for entry in part.work}

    def lanes(self) -> list[tuple[Part, ...]]:
        """The parts, those that must follow one another together."""
        lanes: dict[tuple[str, int], list[Part]] = {}
        for part in self.parts:
            key = ("part", part.number) if part.lane is None else ("lane", part.lane)
            lanes.setdefault(key, []).append(part)
        return [tuple(parts) for parts in lanes.values()]


def list_pictures(source: Path, config: ScaleConfig | None = None) -> Listing:
    """List the pictures of `source`: a folder and all below it (see `walk_files`), a Parquet file or a folder of them,
    or a text file with a path or address a line. Paths are relative to the folder that the list is in.

    What is no picture, or is not there, is found out later and becomes a row with a reason. Addresses of one host are
    in one lane, so that a host meets no more requests at once, however many processes there are.

    Raises:
        ListUnreadable: there is no such file or folder, or nothing in it.
        ExtraMissing: it is Parquet, and pyarrow is not installed.
    """
    config = config or ScaleConfig()
    files = parquet_files(source) if source.is_dir() else [source] if source.suffix == PARQUET else []
    try:
        if files:
            return _list_parquet(files, config)
        if source.is_dir():
            entries = [
                Entry(number, path.relative_to(source).as_posix(), path.absolute())
                for number, path in enumerate(walk_files(source))
            ]
        else:
            lines = [line.strip() for line in _read_text(source).split("\n")]
            entries = [_entry(number, line, source) for number, line in enumerate(filter(None, lines))]
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ListUnreadable(f"The pictures in {str(source)!r} cannot be listed: {reason}.") from error
    if not entries:
        raise ListUnreadable(f"There is no picture in {str(source)!r}.")
    names = "\n".join(str(entry.source) for entry in entries)
    return Listing(_cut(entries, config), len(entries), _digest([names], config))


def _read_text(path: Path) -> str:
    # A name in another encoding is one of its lines, and leads to its file all the same.
    content = path.read_bytes()
    return content.decode("utf-8-sig", "strict" if b"\0" in content else "surrogateescape")


def _entry(number: int, line: str, listed_in: Path) -> Entry:
    if "://" in line:
        return Entry(number, line, line)
    return Entry(number, line, (listed_in.parent / line).absolute())


def _part_size(total: int, config: ScaleConfig) -> int:
    # However many pictures there are, whoever deals out the parts has a bounded number of them to think of.
    return max(config.part, -(-total // config.most_parts))


def _cut(entries: Sequence[Entry], config: ScaleConfig) -> tuple[Part, ...]:
    size = _part_size(len(entries), config)
    by_lane: dict[int | None, list[Entry]] = {}
    for entry in entries:
        lane = lane_of(entry.source, config.lanes) if isinstance(entry.source, str) else None
        by_lane.setdefault(lane, []).append(entry)
    cuts = [
        (lane, tuple(some[start : start + size]))
        for lane, some in by_lane.items()
        for start in range(0, len(some), size)
    ]
    return tuple(Part(number, some, lane) for number, (lane, some) in enumerate(cuts))


def lane_of(address: str, lanes: int) -> int:
    """Which of so many lanes an address belongs to: all of one host to the same."""
    try:
        host = urlsplit(address).hostname or ""
    except ValueError:
        host = ""
    return zlib.crc32(host.encode()) % lanes


def _digest(texts: Iterable[str], config: ScaleConfig) -> str:
    # What decides which picture is in which part.
    digest = hashlib.sha256(f"{config.part} {config.most_parts} {config.lanes}".encode())
    for text in texts:
        digest.update(text.encode(errors="surrogatepass") + b"\0")
    return digest.hexdigest()


def _list_parquet(files: Sequence[Path], config: ScaleConfig) -> Listing:
    groups: list[Rows] = []
    facts: list[str] = []
    total = 0
    for path in files:
        with open_parquet(path) as file:
            column = picture_column(file.schema_arrow, path)
            facts.append(f"{path.absolute()} {path.stat().st_size} {column.name}")
            for group in range(file.num_row_groups):
                count = file.metadata.row_group(group).num_rows
                facts.append(str(count))
                groups.append(Rows(path.absolute(), column, group, 0, count, total))
                total += count
    if not total:
        raise ListUnreadable(f"There is no picture in {str(files[0])!r}.")
    if any(rows.column.kind == URL for rows in groups):
        # Only who has read the addresses knows which of them are of one host.
        parts = _cut([entry for rows in groups for entry in _read_rows(rows)], config)
        return Listing(parts, total, _digest(facts, config))
    size = _part_size(total, config)
    cuts = [
        Rows(r.file, r.column, r.group, start, min(start + size, r.stop), r.first + start)
        for r in groups
        for start in range(0, r.stop, size)
    ]
    return Listing(tuple(Part(number, rows) for number, rows in enumerate(cuts)), total, _digest(facts, config))


def _read_rows(rows: Rows) -> Iterator[Entry]:
    with open_parquet(rows.file) as file:
        names = [name for name in ("url", "path") if name in file.schema_arrow.names]
        table = read_group(file, rows.group, [*dict.fromkeys([rows.column.name, *names])])
        if table is None:
            _log.warning("a part of %s is damaged: %d pictures from it are left out", rows.file, rows.stop - rows.start)
            for number in range(rows.first, rows.first + rows.stop - rows.start):
                yield Entry(number, f"{rows.file.name}#{number}", None)
            return
        table = table.slice(rows.start, rows.stop - rows.start)
        for offset, row in enumerate(table.to_pylist()):
            number, value = rows.first + offset, row[rows.column.name]
            inside = value.get("path") if isinstance(value, dict) else None
            known = (str(found) for found in (*(row[name] for name in names), inside) if found)
            name = next(known, f"{rows.file.name}#{number}")
            yield Entry(number, name, read_picture(value, rows.column, rows.file.parent))
