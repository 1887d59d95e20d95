"""The manifest of a data set: one line for each picture that was found, with what was decided about it."""

import hashlib
import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from spotter.data.dataset import IN_TWO_CLASSES, MANIFEST, Dataset, Record, disputed_file
from spotter.errors import DatasetUnwritable
from spotter.utils.files import write_atomically
from spotter.utils.locks import LockedFile
from spotter.utils.tables import write_rows

_log = logging.getLogger(__name__)
LOCK = ".lock"
SEARCHED = "searched.json"


def lock_set(folder: Path) -> LockedFile:
    """Keep other processes from filling or rearranging a set, until the file that is returned is closed.

    Raises:
        DatasetUnwritable: another process is at it.
    """
    try:
        return LockedFile(folder / LOCK, wait=False)
    except BlockingIOError as error:
        raise DatasetUnwritable(f"Another run is collecting into {str(folder)!r}; wait for its end.") from error


ATTRIBUTION_COLUMNS = (
    "file",
    "backend",
    "title",
    "creator",
    "creator_url",
    "page_url",
    "image_url",
    "license_id",
    "license_url",
    "attribution",
)


def note_searched(folder: Path, names: Sequence[str]) -> None:
    """Keep the names of the sources that a set came from and that take words to search for.

    The records do not tell: a source that repeats an earlier run gives pictures the names of the sources of that run.
    """
    write_atomically(folder / SEARCHED, json.dumps(list(names)).encode())


def read_searched(folder: Path) -> list[str]:
    """The names from `note_searched`; none where nobody noted any.

    Raises:
        DatasetUnwritable: they cannot be read.
    """
    try:
        return [str(name) for name in json.loads((folder / SEARCHED).read_text(encoding="utf-8"))]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError) as error:
        raise DatasetUnwritable(f"{str(folder / SEARCHED)!r} is damaged; remove it, and collect again.") from error


def read_manifest(folder: Path) -> list[Record]:
    """Read `manifest.jsonl` of a set; an absent file is an empty set.

    Raises:
        DatasetUnwritable: the file is damaged.
    """
    path = folder / MANIFEST
    if not path.exists():
        return []
    # Not str.splitlines: titles may hold other line separators than this.
    return read_records(path, path.read_bytes().split(b"\n"))


def read_records(path: Path, lines: Iterable[bytes]) -> list[Record]:
    """The records in the lines of the file at `path`.

    Raises:
        DatasetUnwritable: one of them is none.
    """
    try:
        return [Record.from_json(line) for line in lines if line]
    except (ValueError, TypeError, RecursionError) as error:
        raise DatasetUnwritable(f"{str(path)!r} is damaged ({error}); move it away to collect anew.") from error


def read_dataset(folder: Path, labels: Sequence[str]) -> Dataset:
    """Read a set that a second look has grouped, as it was collected.

    Raises:
        DatasetUnwritable: the manifest is damaged.
    """
    records = [record for record in read_manifest(folder) if record.label in labels]
    kept = sorted((record for record in records if record.kept), key=lambda record: record.place)
    return Dataset(folder, tuple(labels), tuple(kept), tuple(record for record in records if not record.kept))


def with_disputed(dataset: Dataset) -> Dataset:
    """The set with the pictures that stand in two classes among its records, each once; their `reason` says so."""
    known = {record.sha256 for record in dataset.records}
    waiting: dict[str, Record] = {}
    for record in dataset.dropped:
        is_waiting = record.reason == IN_TWO_CLASSES and record.sha256 not in known
        if is_waiting and (dataset.folder / disputed_file(record)).is_file():
            waiting.setdefault(str(record.sha256), record)
    # A group each; the second look finds out what else they belong to.
    after = int(dataset.groups.max(initial=-1)) + 1
    records = [
        replace(record, decision="kept", file=disputed_file(record), group=after + number)
        for number, record in enumerate(waiting.values())
    ]
    return replace(dataset, records=tuple(sorted((*dataset.records, *records), key=lambda record: record.place)))


def is_whole(folder: Path, record: Record) -> bool:
    """Whether a picture lies in the set's folder as it was stored."""
    try:
        return hashlib.sha256((folder / str(record.file)).read_bytes()).hexdigest() == record.sha256
    except OSError:
        return False


def without_damaged(dataset: Dataset) -> Dataset:
    """The set without the pictures that are gone or damaged since they were stored; a line in the log counts them."""
    whole = tuple(record for record in dataset.records if is_whole(dataset.folder, record))
    lost = len(dataset.records) - len(whole)
    if lost:
        _log.warning("%d stored pictures are missing or damaged and left out; spotter train collects them again", lost)
    return replace(dataset, records=whole)


def write_manifest(folder: Path, records: Iterable[Record]) -> None:
    """Write `manifest.jsonl` of a set in one step."""
    lines = (json.dumps(asdict(record), ensure_ascii=False) + "\n" for record in records)
    write_atomically(folder / MANIFEST, "".join(lines).encode())


def write_attribution(folder: Path, dataset: Dataset) -> None:
    """Write `ATTRIBUTION.csv`: whom to name for each kept picture."""
    with (folder / "ATTRIBUTION.csv").open("w", encoding="utf-8", newline="") as file:
        rows = ([getattr(record, name) for name in ATTRIBUTION_COLUMNS] for record in dataset.records)
        write_rows(file, [ATTRIBUTION_COLUMNS, *rows])
