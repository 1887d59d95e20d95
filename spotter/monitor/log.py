"""The answer log (prediction log): what the app answered, in coarse figures, so that drift can be noticed later.

It holds no picture, no address and no name of a file, and is off unless the operator asks for it. A request only puts
a row into a queue; a thread writes it to SQLite within a second. Where that fails, answers go on, and `problem` says
so.
"""

import logging
import os
import secrets
import shutil
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from PIL import Image

from spotter.config import LogConfig
from spotter.errors import LogUnreadable, LogUnwritable
from spotter.image_stats import measure_samples, sample_picture
from spotter.inference.prediction import Prediction
from spotter.monitor.projection import Projection
from spotter.utils.console import WHOLE
from spotter.utils.files import require_room, temporary_folder

_log = logging.getLogger(__name__)

FILE = "answers.sqlite"
# Logs of earlier versions are read, and brought to this one when something is written.
VERSION, OLDEST = 2, 1
BUSY_S = 5.0
# The last second of 2199. What a clock that is wrong wrote down as later, or as before 1970, no chart could show.
LATEST = 7_258_118_399
# How often a log is copied that changes meanwhile.
COPIES = 5
# What SQLite says where it may not write beside a log, and the files that a log is made of.
_NEEDS_TO_WRITE = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR}
_PARTS = ("", "-wal")
_COLUMNS = (
    "id, at, revision, label, probability, familiarity, familiar, route, brightness, contrast, colourfulness, "
    "sharpness, side, projection, stage, challenger, challenger_label, challenger_probability, counts"
)
_WORDS = {"id", "revision", "label", "route", "stage", "challenger", "challenger_label", "right"}
_YES_OR_NO = {"familiar"}
_WHOLE = {"number", "at", "side", "review", "counts"}
_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
  number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, at INTEGER NOT NULL, revision TEXT NOT NULL,
  label TEXT NOT NULL, probability REAL NOT NULL, familiarity REAL NOT NULL, familiar INTEGER NOT NULL,
  route TEXT NOT NULL, brightness REAL NOT NULL, contrast REAL NOT NULL, colourfulness REAL NOT NULL,
  sharpness REAL NOT NULL, side INTEGER NOT NULL, projection BLOB,
  stage TEXT, challenger TEXT, challenger_label TEXT, challenger_probability REAL, counts INTEGER NOT NULL DEFAULT 1);
CREATE TABLE IF NOT EXISTS reviews (
  number INTEGER PRIMARY KEY AUTOINCREMENT, answer TEXT NOT NULL, label TEXT NOT NULL, at INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS reviews_by_answer ON reviews (answer);
CREATE TRIGGER IF NOT EXISTS forget AFTER DELETE ON answers
  BEGIN DELETE FROM reviews WHERE answer = old.id; END;
"""


@dataclass(frozen=True)
class Challenger:
    """What another revision said about the same picture; nobody was shown it."""

    revision: str
    label: str
    probability: float


@dataclass(frozen=True)
class Answers:
    """The answers of a log, oldest first, a row of each array for each.

    `number` counts answers and `review` reviews, in the order they were written (0: not reviewed); `at` is in seconds
    since 1970; `right` is what a reviewer said, "" where nobody did; `projection` is float32 (n, k), and NaN where
    nothing was kept of an embedding, as `challenger_probability` is where there was no challenger. `counts` is 0
    for answers beyond one client's share of them: they may not move a rollout. Otherwise it is the group of the client,
    one of a few, and 1 where it is not known.
    """

    number: np.ndarray
    id: np.ndarray
    at: np.ndarray
    revision: np.ndarray
    label: np.ndarray
    probability: np.ndarray
    familiarity: np.ndarray
    familiar: np.ndarray
    route: np.ndarray
    brightness: np.ndarray
    contrast: np.ndarray
    colourfulness: np.ndarray
    sharpness: np.ndarray
    side: np.ndarray
    projection: np.ndarray
    stage: np.ndarray
    challenger: np.ndarray
    challenger_label: np.ndarray
    challenger_probability: np.ndarray
    counts: np.ndarray
    right: np.ndarray
    review: np.ndarray

    def __len__(self) -> int:
        return len(self.number)

    def take(self, rows: np.ndarray) -> "Answers":
        """The answers at `rows`, indexes or bool (n,)."""
        return Answers(*(getattr(self, column.name)[rows] for column in fields(self)))


class AnswerLog:
    """Writes the answers of one revision to `FILE` in a folder, from a thread of its own. Several may write to one."""

    def __init__(
        self, folder: Path, revision: str, reference: np.ndarray | None = None, config: LogConfig | None = None
    ) -> None:
        """Start the writing thread; a folder that cannot be written is a `problem`, and no error.

        Args:
            reference: float32 (m, d), the embeddings of the pictures learnt from; without them, nothing is kept of
                embeddings.
        """
        self.folder = folder
        self.problem = ""
        self._revision = revision
        self._reference = reference
        self._config = config or LogConfig()
        self._rows: deque[tuple[Any, ...]] = deque()
        self._lost = 0
        self._arrived, self._closing = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name="answer log", daemon=True)
        self._thread.start()

    def record(
        self,
        prediction: Prediction,
        picture: Image.Image,
        route: str = "",
        *,
        stage: str | None = None,
        challenger: Challenger | None = None,
        id_: str = "",
        counts: int = 1,
    ) -> str:
        """Log an answer about an RGB picture and return the answer's id (a new one, unless it has one from `new_id`).

        `route` is a word for how it was asked, `stage` for how the answer was used, `counts` as in
        `Answers`.
        """
        id_ = id_ or new_id()
        if len(self._rows) >= self._config.most_waiting:
            self._lost += 1
            return id_
        best = prediction.probabilities[prediction.closest]
        told = (prediction.closest, best, prediction.familiarity, int(prediction.familiar), route)
        second = (None, None, None) if challenger is None else astuple(challenger)
        sample, last = sample_picture(picture), (*second, counts)
        self._rows.append((id_, int(time.time()), told, sample, prediction.embedding, stage, last))
        self._arrived.set()
        return id_

    def close(self) -> None:
        """Write what waits, and stop."""
        self._closing.set()
        self._arrived.set()
        self._thread.join(2 * BUSY_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _work(self) -> None:
        project = None if self._reference is None else Projection.fit(self._reference, self._config.dimensions)
        waiting: list[tuple[Any, ...]] = []
        is_last = False
        while not is_last:
            self._arrived.wait()
            self._closing.wait(self._config.retry_s if self.problem else self._config.batch_s)
            self._arrived.clear()
            # Asked before the rows are taken: what arrives while they are written has its turn.
            is_last = self._closing.is_set()
            waiting += [self._finish(self._rows.popleft(), project) for _ in range(len(self._rows))]
            self._lost += max(0, len(waiting) - self._config.most_waiting)
            waiting = waiting[-self._config.most_waiting :]
            try:
                _write(self.folder, waiting, self._config.most_answers)
            except LogUnwritable as error:
                self._say(str(error))
                self._arrived.set()
            else:
                waiting = []
                self._say("")

    def _finish(self, row: tuple[Any, ...], project: Projection | None) -> tuple[Any, ...]:
        id_, at, told, sample, embedding, stage, second = row
        stats = astuple(measure_samples(*sample))
        place = project(embedding[None]).astype("<f2").tobytes() if project and embedding is not None else None
        return (id_, at, self._revision, *told, *stats, place, stage, *second)

    def _say(self, problem: str) -> None:
        """Tell the operator once when trouble begins, and once when it is over."""
        if bool(problem) != bool(self.problem):
            news = problem or f"Answers are logged again; {self._lost} are missing."
            _log.warning("%s: %s", self.folder, news, extra=WHOLE)
            self._lost = 0
        self.problem = problem


def new_id() -> str:
    """A random name for an answer."""
    return secrets.token_hex(8)


def add_reviews(folder: Path, right: Mapping[str, str]) -> None:
    """Note what people said is right: id of an answer -> label. Of several about one answer, the last counts.

    Raises:
        LogUnwritable: the log cannot be written.
    """
    try:
        with closing(_connect(folder)) as connection, connection:
            rows = [(answer, label, int(time.time())) for answer, label in right.items()]
            connection.executemany("INSERT INTO reviews (answer, label, at) VALUES (?, ?, ?)", rows)
    except (sqlite3.Error, OSError) as error:
        raise LogUnwritable(f"The answer log cannot be written: {_reason(error, folder)}.") from error


def remove_reviews(folder: Path, answer: str) -> None:
    """Forget what people said of an answer.

    Raises:
        LogUnwritable: the log cannot be written.
    """
    try:
        with closing(_connect(folder)) as connection, connection:
            connection.execute("DELETE FROM reviews WHERE answer = ?", (answer,))
    except (sqlite3.Error, OSError) as error:
        raise LogUnwritable(f"The answer log cannot be written: {_reason(error, folder)}.") from error


def add_answers(folder: Path, answers: Answers, most: int = LogConfig.most_answers) -> None:
    """Add answers from elsewhere, with their reviews; those that are there already stay as they are.

    Raises:
        LogUnwritable: the log cannot be written.
    """
    places = [place.astype("<f2").tobytes() if len(place) else None for place in answers.projection]
    columns = [getattr(answers, name).tolist() if name != "projection" else places for name in _COLUMNS.split(", ")]
    _write(folder, zip(*columns, strict=True), most)
    seen = np.flatnonzero(answers.review)
    seen = seen[np.argsort(answers.review[seen])]
    add_reviews(folder, dict(zip(answers.id[seen].tolist(), answers.right[seen].tolist(), strict=True)))


def last_numbers(folder: Path) -> tuple[int, int]:
    """The numbers of the newest answer and the newest review; 0 where there is none yet.

    Raises:
        LogUnreadable: the log is damaged or of another version.
    """
    path = folder / FILE
    if not path.is_file():
        return 0, 0
    try:
        with _open_to_read(path) as connection:
            # The counts go on when rows are forgotten.
            counts = dict(connection.execute("SELECT name, seq FROM sqlite_sequence"))
    except (sqlite3.Error, OSError) as error:
        raise LogUnreadable(f"The answer log in {str(folder)!r} cannot be read: {error}.") from error
    return counts.get("answers", 0), counts.get("reviews", 0)


def read_answers(folder: Path) -> Answers:
    """Read a log, while others may write to it.

    Raises:
        LogUnreadable: there is none, or it is damaged or of another version.
    """
    path = folder / FILE
    if not path.is_file():
        raise LogUnreadable(f"There is no answer log in {str(folder)!r}; spotter serve --log {folder} writes one.")
    query = """
        SELECT answers.*, {missing} coalesce(reviews.label, ''), coalesce(reviews.number, 0) FROM answers
        LEFT JOIN reviews ON reviews.number = (SELECT max(number) FROM reviews WHERE answer = answers.id)
        WHERE typeof(answers.at) = 'integer' AND answers.at BETWEEN 0 AND ?
        ORDER BY answers.number
    """
    try:
        with _open_to_read(path) as connection:
            missing = "" if _check_version(connection) == VERSION else "1,"
            rows = connection.execute(query.format(missing=missing), (LATEST,)).fetchall()
        return _as_answers(rows)
    except (sqlite3.Error, OSError) as error:
        raise LogUnreadable(f"The answer log in {str(folder)!r} cannot be read: {error}.") from error
    except (ValueError, TypeError, OverflowError) as error:
        raise LogUnreadable(f"The answer log in {str(folder)!r} holds rows that are no answers: {error}.") from error


@contextmanager
def _open_to_read(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        connection = _connect_to_read(path)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in _NEEDS_TO_WRITE:
            raise
        with _copied(path) as copy, closing(_connect_to_read(copy)) as connection:
            yield connection
    else:
        with closing(connection):
            yield connection


def _connect_to_read(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_S)
    try:
        _check_version(connection)
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def _copied(path: Path) -> Iterator[Path]:
    """A copy of a log that SQLite cannot read where it is, as even a reader writes files beside it, and may not there:
    the folder is another user's, or on a disk that is read only or full.

    Raises:
        OSError: it cannot be copied. TemporaryUnwritable: there is no room for the copy.
    """
    with temporary_folder() as folder:
        copy = folder / path.name
        for _ in range(COPIES):
            before = _states(path)
            for suffix in before:
                shutil.copyfile(f"{path}{suffix}", f"{copy}{suffix}")
            if _states(path) == before:
                break
            # Somebody wrote meanwhile: what was copied may not belong together.
            for suffix in _PARTS:
                Path(f"{copy}{suffix}").unlink(missing_ok=True)
        else:
            raise sqlite3.OperationalError("it is written all the time; try again")
        yield copy


def _states(path: Path) -> dict[str, tuple[int, int]]:
    """Size and time of last change of each file of a log that is there."""
    found = {}
    for suffix in _PARTS:
        with suppress(FileNotFoundError):
            state = os.stat(f"{path}{suffix}")
            found[suffix] = (state.st_size, state.st_mtime_ns)
    return found


def _connect(folder: Path) -> sqlite3.Connection:
    folder.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(folder / FILE, timeout=BUSY_S)
    try:
        # A reader does not wait for the writer, and a killed process leaves whole answers only.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA journal_size_limit = 1000000")
        if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
            connection.executescript(f"{_SCHEMA} PRAGMA user_version = {VERSION};")
        if _check_version(connection) < VERSION:
            _bring_up_to_date(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _check_version(connection: sqlite3.Connection) -> int:
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if not OLDEST <= version <= VERSION:
        raise sqlite3.DatabaseError(f"it is of version {version} and this is {VERSION}; move it away")
    return version


def _bring_up_to_date(connection: sqlite3.Connection) -> None:
    with connection:
        # Of several who write at the same moment, one is first.
        connection.execute("BEGIN IMMEDIATE")
        if _check_version(connection) < VERSION:
            connection.execute("ALTER TABLE answers ADD COLUMN counts INTEGER NOT NULL DEFAULT 1")
            connection.execute(f"PRAGMA user_version = {VERSION}")


def _write(folder: Path, rows: Iterable[tuple[Any, ...]], most: int) -> None:
    """Add rows and forget the oldest; rows that are there already stay as they are."""
    marks = ", ".join(f"?{number}" for number in range(1, _COLUMNS.count(",") + 2))
    # "INSERT OR IGNORE" would use up a number for each row that is there already.
    insert = f"INSERT INTO answers ({_COLUMNS}) SELECT {marks} WHERE NOT EXISTS (SELECT 1 FROM answers WHERE id = ?1)"  # noqa: S608
    try:
        with closing(_connect(folder)) as connection, connection:
            connection.executemany(insert, rows)
            connection.execute("DELETE FROM answers WHERE number <= (SELECT max(number) FROM answers) - ?", (most,))
    except (sqlite3.Error, OSError) as error:
        raise LogUnwritable(f"The app answers, but cannot log the answers: {_reason(error, folder)}.") from error


def _reason(error: Exception, folder: Path) -> str:
    """Why a log cannot be written. Where SQLite finds no room for the files beside it, it says "disk I/O error"."""
    if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_IOERR:
        try:
            require_room(folder)
        except OSError as full:
            error = full
    return getattr(error, "strerror", None) or str(error)


def _as_answers(rows: list[tuple[Any, ...]]) -> Answers:
    names = [column.name for column in fields(Answers)]
    given = dict(zip(names, zip(*rows, strict=True) if rows else [()] * len(names), strict=True))
    widths = [len(place) for place in given["projection"] if place]
    width = max(set(widths), key=widths.count) if widths else 0
    unknown = np.full(width // 2, np.nan, dtype="<f2").tobytes()
    places = b"".join(place if place and len(place) == width else unknown for place in given.pop("projection"))
    projection = np.frombuffer(places, dtype="<f2").reshape(len(rows), width // 2).astype(np.float32)
    arrays = {
        name: np.array([value or "" for value in values], dtype=np.str_)
        if name in _WORDS
        else np.array(values, dtype=bool if name in _YES_OR_NO else np.int64 if name in _WHOLE else np.float64)
        for name, values in given.items()
    }
    return Answers(projection=projection, **arrays)
