"""Batches: many pictures at once, files and zips in, an answer or a reason for each, and a table of them."""

import io
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from spotter.config import ServeConfig
from spotter.errors import BadPicture
from spotter.image_files import damaged
from spotter.images import own_reason
from spotter.inference.prediction import Prediction, table_cells, table_columns
from spotter.names import is_system_path, is_writing
from spotter.serve.page.translations import translate
from spotter.utils.tables import write_rows

# One entry of a zip's table of contents begins so.
_ENTRY = b"PK\x01\x02"


@dataclass(frozen=True)
class NoAnswer:
    """Why there is no answer: the key of a sentence of the page's, and the values in it."""

    key: str
    values: tuple[tuple[str, object], ...] = ()

    def tell(self, language: str = "en") -> str:
        """The sentence."""
        return translate(self.key, language, **dict(self.values))


@dataclass(frozen=True)
class Item:
    """A picture to classify, `content` its bytes, or the reason why there is none."""

    name: str
    content: bytes = b""
    problem: NoAnswer | None = None


GONE = NoAnswer("other", (("text", "The file cannot be read any more."),))
# Reads a picture when it is called, so that one at a time is in memory.
Plan = Callable[[], Item]


@dataclass(frozen=True)
class Result:
    """What a picture is, or the reason why nobody knows."""

    name: str
    prediction: Prediction | None = None
    problem: NoAnswer | None = None


def unpack(files: Iterable[tuple[str, Path | None]], config: ServeConfig) -> list[Plan]:
    """Plan to read some files, zips opened (but none within a zip): a plan for each picture or problem. Nothing is
    written, whatever names a zip holds.

    What goes beyond the limits becomes a problem: one for each file, one for all the pictures that are too many.

    Args:
        files: (name for people, path; None: there is no such file).
    """
    budget = _Budget(config)
    plans: list[Plan] = []
    for given, path in files:
        name = shown_name(given)
        try:
            if path is None:
                plans.append(lambda name=name: Item(name, problem=GONE))  # type: ignore[misc]
            elif _is_zip(_head(path)):
                plans += _plan_zip(name, path, budget)
            elif budget.take_one():
                plans.append(lambda name=name, path=path: _read_file(name, path, budget))  # type: ignore[misc]
        except OSError:
            # A file that is gone by now is one picture less, not the end of the batch.
            plans.append(lambda name=name: Item(name, problem=GONE))  # type: ignore[misc]
    if budget.left_out:
        problem = NoAnswer("left_out", (("count", budget.left_out), ("most", config.max_batch)))
        plans.append(lambda: Item("…", problem=problem))
    return plans


def shown_name(name: str) -> str:
    """A file's name for people: one line, of bounded length, without the folders above it."""
    text = "".join(character if is_writing(character) else " " for character in name.replace("\\", "/"))
    parts = [part for part in PurePosixPath(text).parts if part not in {"/", "..", "."}]
    short = "/".join(parts[-2:]) or "?"
    return short if len(short) <= 100 else f"{short[:48]}…{short[-48:]}"


def as_json(results: Sequence[Result]) -> list[dict[str, Any]]:
    """A row a picture, in the order in which they came: `file`, and the answer or `error`."""
    rows: list[dict[str, Any]] = []
    for result in results:
        answer = result.prediction
        if answer is None:
            rows.append({"file": result.name, "error": result.problem.tell() if result.problem else ""})
            continue
        rows.append({"file": result.name} | answer.record())
    return rows


def as_csv(results: Sequence[Result], labels: Sequence[str], advice: Sequence[str] = ()) -> str:
    """The same as a CSV file with a heading: a column for each class in the place of `probabilities`.

    Args:
        advice: the names of what the model advises.
    """
    file = io.StringIO(newline="")
    head = ("file", *table_columns(labels, advice, ("file", "error")), "error")
    rows = (
        [result.name, *table_cells(result.prediction, labels, advice), result.problem and result.problem.tell()]
        for result in results
    )
    write_rows(file, [head, *rows])
    return file.getvalue()


class _Budget:
    """How many pictures and bytes are still allowed."""

    def __init__(self, config: ServeConfig) -> None:
        self.config = config
        self.left_out = 0
        self._pictures = config.max_batch
        self._bytes = config.max_batch_bytes

    def take_one(self) -> bool:
        if self._pictures == 0:
            self.left_out += 1
            return False
        self._pictures -= 1
        return True

    def read(self, name: str, stream: Any) -> Item:
        limit = min(self.config.max_upload_bytes, self._bytes)
        content = stream.read(limit + 1)
        if len(content) <= limit:
            self._bytes -= len(content)
            return Item(name, content)
        if limit < self.config.max_upload_bytes:
            # Not what is left: the next one, however small, would slip through.
            self._bytes = 0
            return Item(name, problem=_too_large("all_too_large", self.config.max_batch_bytes))
        return Item(name, problem=_too_large("file_too_large", self.config.max_upload_bytes))


def _read_file(name: str, path: Path, budget: _Budget) -> Item:
    try:
        with path.open("rb") as stream:
            return budget.read(name, stream)
    except OSError:
        return Item(name, problem=GONE)


def _plan_zip(name: str, path: Path, budget: _Budget) -> Iterator[Plan]:
    if path.stat().st_size > budget.config.max_batch_bytes:
        yield lambda: Item(name, problem=_too_large("file_too_large", budget.config.max_batch_bytes))
        return
    # Python reads the whole table of contents at once, and a small zip may have one of a million lines.
    if path.read_bytes().count(_ENTRY) > 10 * budget.config.max_batch + 100:
        yield lambda: Item(name, problem=NoAnswer("zip_many"))
        return
    entries: list[zipfile.ZipInfo] | None = None
    with suppress(BadPicture), own_reason(damaged), zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    if entries is None:
        yield lambda: Item(name, problem=NoAnswer("zip_damaged"))
        return
    wanted = [entry for entry in entries if not entry.is_dir() and not is_system_path(entry.filename)]
    if not wanted:
        yield lambda: Item(name, problem=NoAnswer("zip_empty"))
    for entry in wanted:
        if budget.take_one():
            yield lambda entry=entry: _read_entry(path, entry, budget)  # type: ignore[misc]


def _read_entry(path: Path, entry: zipfile.ZipInfo, budget: _Budget) -> Item:
    name = shown_name(entry.filename)
    if entry.flag_bits & 1:
        return Item(name, problem=NoAnswer("locked"))
    item: Item | None = None
    # Each way of packing has errors of its own (zlib.error, LZMAError, struct.error ...): no list would be whole.
    with suppress(BadPicture), own_reason(damaged), zipfile.ZipFile(path) as archive, archive.open(entry) as stream:
        item = budget.read(name, stream)
    if item is None:
        return Item(name, problem=NoAnswer("packed"))
    if _is_zip(item.content):
        return Item(name, problem=NoAnswer("nested"))
    return item


def _too_large(key: str, limit: int) -> NoAnswer:
    return NoAnswer(key, (("limit", f"{limit / 1e6:g}"),))


def _head(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(4)


def _is_zip(content: bytes) -> bool:
    # Not zipfile.is_zipfile, which also takes a picture with a zip behind it for one.
    return content.startswith((b"PK\x03\x04", b"PK\x05\x06"))
