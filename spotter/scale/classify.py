"""Batch classification of a list of pictures, in parts: the same here and in the processes of a cluster."""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, TypeVar

from spotter.collect.download import DownloadOutcome, download_all
from spotter.config import HUB, DownloadConfig, ScaleConfig
from spotter.errors import BadPicture
from spotter.inference.predictor import Predictor
from spotter.scale.answers import AnswerFile, Row
from spotter.scale.listing import Entry, Listing, Part
from spotter.utils.text import writable

Key = TypeVar("Key")


class Fetch(Protocol):
    """`download_all`, or the same with other rules for addresses."""

    def __call__(self, urls: Iterable[tuple[Key, str]], config: DownloadConfig) -> Iterator[DownloadOutcome[Key]]: ...


@dataclass(frozen=True)
class Model:
    """Where the model is; `contents` is what its files must hash to, so that every process answers by the same one."""

    store: str
    revision: str | None = None
    contents: str | None = None
    int8: bool = False

    def load(self, cores: int | None) -> Predictor:
        """Load it, to run on so many cores (None: all).

        Raises:
            As `Predictor.load`.
        """
        return Predictor.load(self.store, self.revision, self.int8, self.contents, cores)

    def pinned(self) -> tuple[Predictor, "Model"]:
        """Load it here, and the model as other processes have to name it: the same files, wherever they run.

        Raises:
            As `Predictor.load`.
        """
        predictor = self.load(cores=1)
        store = self.store if self.store.startswith(HUB) else str(Path(self.store).absolute())
        return predictor, replace(self, store=store, revision=predictor.revision, contents=predictor.contents)


@dataclass(frozen=True)
class Done:
    """A part that is done: how many pictures, how many without an answer by reason, and the seconds it took."""

    number: int
    pictures: int
    errors: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True)
class ClassifyJob:
    """What every process needs to know to do a part."""

    model: Model
    answers: AnswerFile
    config: ScaleConfig = field(default_factory=ScaleConfig)
    downloads: DownloadConfig = field(default_factory=DownloadConfig)
    fetch: Fetch = download_all


class Worker:
    """Does parts of a job, with one predictor on `cores` of the processor."""

    def __init__(self, job: ClassifyJob, cores: int | None = None) -> None:
        self.job = job
        self.predictor = job.model.load(cores)

    def do(self, part: Part) -> Done:
        """Classify the pictures of a part and write their answers down; nothing where that is done already.

        Raises:
            AnswersUnwritable: the answers cannot be written.
            ListUnreadable: the list has become unreadable.
        """
        started = time.perf_counter()
        if not self.job.answers.part(part.number).exists():
            rows = classify(part.entries(), self.predictor, self.job)
            self.job.answers.write_part(part.number, rows)
        pictures, errors = self.job.answers.count(part.number)
        return Done(part.number, pictures, errors, time.perf_counter() - started)


# Does all lanes of parts of a job, in any order, and yields what is done as it is done.
Run = Callable[[ClassifyJob, list[tuple[Part, ...]]], Iterator[Done]]


def run_here(job: ClassifyJob, lanes: list[tuple[Part, ...]]) -> Iterator[Done]:
    """Do the parts one after the other, on all cores of this machine."""
    worker = Worker(job)
    for parts in lanes:
        for part in parts:
            yield worker.do(part)


def classify_all(
    job: ClassifyJob, listing: Listing, run: Run = run_here, told: Callable[[Done], None] = lambda done: None
) -> Counter[str]:
    """Classify all pictures of a list into one file; parts that an earlier run did are not done again.

    Returns:
        How many have no answer, by reason.

    Raises:
        AnswersUnwritable: the answers cannot be written, or are there already. As `Predictor.load`.
    """
    answers = job.answers
    answers.begin(listing.digest)
    errors: Counter[str] = Counter()
    todo = []
    for parts in listing.lanes():
        left = []
        for part in parts:
            if answers.part(part.number).exists():
                errors.update(answers.count(part.number)[1])
                told(Done(part.number, part.count))
            else:
                left.append(part)
        if left:
            todo.append(tuple(left))
    if todo:
        for done in run(job, todo):
            errors.update(done.errors)
            told(done)
    answers.finish((part.first, part.number) for part in listing.parts)
    return errors


def classify(entries: Iterable[Entry], predictor: Predictor, job: ClassifyJob) -> list[Row]:
    """Classify pictures; one that cannot be read, downloaded or decoded is a row with a reason."""
    rows: list[Row] = []
    asked: deque[Entry] = deque()

    def contents() -> Iterator[bytes]:
        for entry, content in read(entries, job):
            if isinstance(content, bytes):
                asked.append(entry)
                yield content
            else:
                rows.append(Row(entry.id, writable(entry.name), error=content.error))

    for answer in predictor.predict_each(contents()):
        entry = asked.popleft()
        if isinstance(answer, BadPicture):
            rows.append(Row(entry.id, writable(entry.name), error=answer.reason))
        else:
            rows.append(Row(entry.id, writable(entry.name), answer))
    return sorted(rows, key=lambda row: row.id)


@dataclass(frozen=True)
class Unread:
    """Why there is nothing to decode, a short countable word."""

    error: str


def read(entries: Iterable[Entry], job: ClassifyJob) -> Iterator[tuple[Entry, bytes | Unread]]:
    """The bytes of pictures: as they are, from files, and by guarded downloads, which arrive in any order."""
    remote: list[tuple[Entry, str]] = []
    for entry in entries:
        if entry.source is None:
            yield entry, Unread("unreadable")
        elif isinstance(entry.source, str):
            remote.append((entry, entry.source))
        elif isinstance(entry.source, Path):
            yield entry, _read_file(entry.source, job.config)
        else:
            # A column of a table may hold anything.
            yield entry, entry.source if isinstance(entry.source, bytes) else Unread("not-a-picture")
    for outcome in job.fetch(remote, job.downloads) if remote else ():
        content = outcome.content
        yield outcome.key, content if content is not None else Unread(str(outcome.error))


def _read_file(path: Path, config: ScaleConfig) -> bytes | Unread:
    try:
        with path.open("rb") as file:
            content = file.read(config.max_bytes + 1)
    except FileNotFoundError:
        return Unread("missing")
    except (OSError, ValueError):
        return Unread("unreadable")
    return content if len(content) <= config.max_bytes else Unread("too-large")
