"""A cleaning session: decide, undo, list, describe, retrain and publish, for every window at once."""

import atexit
import functools
import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from fastapi import HTTPException
from PIL import Image
from pydantic import BaseModel, Field

from spotter.clean.state import ID_DIGITS, CleaningSet, Now, as_json, read_cleaning_set, replay_edits
from spotter.clean.suspects import QUEUES, WRONG, cell, confusion, confusions, disagrees, rank
from spotter.config import MOST_IN_MATRIX, CleanConfig
from spotter.data.dataset import MANIFEST
from spotter.data.edit_log import DELETE, KEEP, LONGEST_NAME, RELABEL, Edit, EditLog, standing
from spotter.data.training_run import RUN, read_run
from spotter.errors import BadPicture, NoTrainingRun, SpotterError
from spotter.images import encode_jpeg, load_picture
from spotter.utils.console import WHOLE
from spotter.utils.files import import_root

_log = logging.getLogger(__name__)

DISPUTES, DECIDED, CELL = "disputes", "decided", "cell"
MOST_AT_ONCE = 2000
# Of the confusions that are listed.
MOST_CONFUSIONS = 100
# Second looks under way at once; what is forgotten is made again in an instant.
MOST_ALONE = 8


class Choice(BaseModel):
    """What a window decided about one picture. To keep it means the label `to` that the window showed, if it says."""

    id: str
    action: str
    to: str | None = None


class Decisions(BaseModel):
    """A batch of choices. `queue` is where they were made."""

    who: str = ""
    queue: str = ""
    items: Annotated[list[Choice], Field(min_length=1, max_length=MOST_AT_ONCE)]


@dataclass(frozen=True)
class Filters:
    """Which pictures of a queue to list: of a class, a fold (from 1 on), a source; "" lets all pass.

    `is_open` leaves out what is decided. With `alone`, a name, what others decided does not count.
    """

    label: str = ""
    fold: str = ""
    source: str = ""
    is_open: bool = False
    alone: str = ""


@dataclass
class Job:
    """Retraining or publishing, under way or ended. `line` is the last thing it said."""

    kind: str
    state: str = "running"
    line: str = ""
    lines: list[str] = field(default_factory=list)


class Session:
    """One served set. Everything that people decide is in its log; this holds only what can be read again."""

    def __init__(self, folder: Path, who: str, config: CleanConfig | None = None) -> None:
        self.folder, self.who, self.config = folder, who, config or CleanConfig()
        self.log = EditLog(folder)
        self.job: Job | None = None
        self.result: dict[str, Any] | None = None
        self.thumbnail = functools.lru_cache(self.config.thumbs)(self._draw)
        self._lock = threading.RLock()
        self._stamp: tuple[int, ...] = ()
        self._pictures: CleaningSet | None = None
        self._now: Now | None = None
        self._alone: dict[str, Now] = {}
        self.now()

    def now(self, alone: str = "") -> Now:
        """The set as it is this moment, whoever changed it; with a name, as that person's decisions alone leave it.

        Raises:
            NoTrainingRun, DatasetUnwritable, EditsDamaged: one of its files cannot be read.
        """
        alone = clean_name(alone)
        with self._lock:
            stamp = _stamp(self.folder)
            if self._pictures is None or stamp != self._stamp:
                self._pictures, self._stamp = read_cleaning_set(read_run(self.folder)), stamp
            edits = self.log.read()
            if self._now is None or self._now.pictures is not self._pictures or self._now.edits != edits:
                self._now, self._alone = replay_edits(self._pictures, edits), {}
            if not alone:
                return self._now
            if alone not in self._alone:
                if len(self._alone) >= MOST_ALONE:
                    self._alone.clear()
                self._alone[alone] = replay_edits(self._pictures, tuple(edit for edit in edits if edit.who == alone))
            return self._alone[alone]

    def decide(self, decisions: Decisions) -> Now:
        """Write a batch of decisions into the log.

        Raises:
            HTTPException: a choice makes no sense here. DatasetUnwritable: the log cannot be written.
        """
        now = self.now()
        who = clean_name(decisions.who) or self.who
        why = {**QUEUES, DISPUTES: "settled", CELL: "confusion matrix"}.get(decisions.queue.partition(":")[0], "")
        edits = []
        for choice in decisions.items:
            index = _find(now, choice.id)
            record, verdict = now.pictures.records[index], now.verdict(index)
            edits.append(
                Edit(
                    who,
                    choice.action,
                    record.sha256,
                    record.original_sha256,
                    now.label(index),
                    _outcome(now, index, choice),
                    why.lower(),
                    # What somebody else has settled meanwhile is disagreed with, not settled again unseen.
                    settles=decisions.queue == DISPUTES and verdict is not None and verdict.is_disputed,
                )
            )
        self.log.append(edits)
        return self.now()

    def undo(self, who: str) -> tuple[tuple[Edit, ...], list[str], Now]:
        """Take back the last batch of a person; returns it, its pictures that are here, and the set after it."""
        undone = self.log.undo(clean_name(who) or self.who)
        now = self.now()
        ids = [str(edit.sha256)[:ID_DIGITS] for edit in undone]
        return undone, [key for key in ids if key in now.pictures.position], now

    def queue(self, name: str, filters: Filters) -> list[list[str]]:
        """The pictures of a queue that pass the filters, by their ids, look-alikes together."""
        now = self.now(filters.alone)
        view, pictures = now.view, now.pictures

        def passes(index: int) -> bool:
            record = pictures.records[index]
            labels = {record.label, now.label(index), *pictures.claims[index]}
            return (
                (not filters.label or filters.label in labels)
                and (not filters.fold or str(view.folds[index] + 1) == filters.fold)
                and (not filters.source or record.backend == filters.source)
            )

        found = [group for group in self._members(now, name) if any(passes(index) for index in group)]
        if filters.is_open:
            found = [group for group in found if any(now.verdict(index) is None for index in group)]
        return [[pictures.id(index) for index in group] for group in found]

    def cards(self, name: str, groups: Sequence[Sequence[str]], alone: str = "") -> list[list[dict[str, Any]]]:
        """What is told of each picture."""
        now = self.now() if name == DISPUTES else self.now(alone)
        found = [[_find(now, key) for key in group] for group in groups]
        return [[as_json(now, name, group, index) for index in group] for group in found]

    def state(self, alone: str = "") -> dict[str, Any]:
        """What the frame of the page shows."""
        now = self.now(alone)
        pictures, view = now.pictures, now.view
        titles = {**QUEUES, DISPUTES: "Disagreements", DECIDED: "Decided"}
        counts = []
        for name, title in titles.items():
            groups = self._members(now, name)
            todo = sum(any(now.verdict(index) is None for index in group) for group in groups)
            todo = len(groups) if name == DISPUTES else todo
            counts.append({"name": name, "title": title, "total": len(groups), "todo": todo, "note": ""})
        doubted = sum(now.verdict(index) is None for index in disagrees(view).nonzero()[0].tolist())
        for each in counts:
            if each["name"] == WRONG:
                each |= {"disagrees": doubted, "note": _when_to_stop(doubted)}
        is_small = len(view.names) <= MOST_IN_MATRIX
        return {
            "title": pictures.run.recipe.title,
            "who": self.who,
            "labels": list(view.names),
            "queues": counts,
            "confusion": confusion(view).tolist() if is_small else [],
            "confusions": [] if is_small else confusions(view)[:MOST_CONFUSIONS],
            "folds": sorted({int(fold) + 1 for fold in view.folds if fold >= 0}),
            "sources": sorted({record.backend for record in pictures.records}),
            "pictures": len(pictures.records),
            "edits": len(self.now().edits),
            "decided": len(now.verdicts),
            "revision": pictures.run.revision,
            "page_size": self.config.page_size,
            "job": asdict(self.job) if self.job else None,
            "result": self.result,
        }

    def start(self, kind: str) -> None:
        """Begin to retrain or to publish; the page stays alive meanwhile.

        Raises:
            HTTPException: something is under way already.
        """
        with self._lock:
            if self.job and self.job.state == "running":
                raise HTTPException(409, "Wait for the end of what is under way.")
            self.job = Job(kind, line="Starting …")
        work = {"retrain": self._retrain, "publish": self._publish}[kind]
        threading.Thread(target=self._work, args=(work, self.job), daemon=True).start()

    def _work(self, work: Callable[[Job], None], job: Job) -> None:
        try:
            work(job)
            job.state = "done"
        except SpotterError as error:
            job.line, job.state = str(error), "failed"
        finally:
            if job.state == "running":
                job.line, job.state = "Something went wrong; the terminal shows more.", "failed"

    def _retrain(self, job: Job) -> None:
        # Here rather than at the top: the page opens without them.
        from spotter.clean.retrain import retrain

        job.line = "Learning from the cached features …"
        published, edits = read_run(self.folder), self.log.read()
        done = retrain(published, edits)
        with self._lock:
            self._pictures = read_cleaning_set(replace(done.run, revision=published.revision))
            pictures = self._pictures
            self.result = {
                "figures": [
                    {**asdict(figures), "error": figures.error, "name": name}
                    for name, figures in (
                        ("before", done.before),
                        ("relabelled", done.relabelled),
                        ("after", done.after),
                    )
                ],
                "changes": [
                    {**asdict(change), "id": change.key[:ID_DIGITS], "right": change.is_right}
                    for change in done.changes
                    if change.key[:ID_DIGITS] in pictures.position
                ],
                "missing": done.missing,
                "edits": len(edits),
                "fine_tuned": published.config.fine_tune > 0,
            }
        job.line = "Retrained."

    def _publish(self, job: Job) -> None:
        # In a process of its own: torch and fastai leave with it.
        command = [sys.executable, "-m", "spotter.pipeline", str(self.folder.absolute())]
        root = import_root()
        with subprocess.Popen(  # noqa: S603
            command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace"
        ) as process:
            atexit.register(process.terminate)
            complaints: list[str] = []
            errors: Iterable[str] = process.stderr or []
            reader = threading.Thread(target=lambda: complaints.extend(errors), daemon=True)
            reader.start()
            for line in process.stdout or []:
                job.line = line.strip()
                job.lines.append(line.rstrip("\n"))
            reader.join()
        atexit.unregister(process.terminate)
        if process.returncode:
            told = [line for line in complaints if line.startswith("publish: ")]
            if not told:
                _log.error("%s", "".join(complaints), extra=WHOLE)
            raise SpotterError(told[-1].removeprefix("publish: ").strip() if told else "Publishing failed.")
        revision = job.lines[-1].removeprefix("revision ")
        job.line = f"Published {revision[:12]}."

    def _members(self, now: Now, name: str) -> list[tuple[int, ...]]:
        if name in QUEUES:
            return rank(name, now.view)
        if name == DISPUTES:
            # Nobody disagrees with himself: these are of everybody.
            return [(index,) for index, verdict in self.now().judged() if verdict.is_disputed]
        if name == DECIDED:
            latest = {edit.sha256: number for number, edit in enumerate(standing(now.edits))}
            recent = sorted(now.judged(), key=lambda pair: -max(latest[edit.sha256] for edit in pair[1].decisions))
            return [(index,) for index, _ in recent]
        try:
            _, actual, predicted = name.split(":")
            return cell(now.view, now.view.names.index(actual), now.view.names.index(predicted))
        except ValueError as error:
            raise HTTPException(404, "There is no such queue.") from error

    def _draw(self, key: str) -> bytes:
        now = self.now()
        path = self.folder / str(now.pictures.records[_find(now, key)].file)
        # The manifest may come from elsewhere, and name anything.
        if not path.resolve().is_relative_to(self.folder.resolve()):
            raise HTTPException(404, "This picture is not in the set.")
        try:
            picture = load_picture(path)
        except (BadPicture, OSError) as error:
            raise HTTPException(404, "This picture cannot be read.") from error
        picture.thumbnail((self.config.thumb_side, self.config.thumb_side), Image.Resampling.LANCZOS)
        return encode_jpeg(picture, 82)


def clean_name(text: str) -> str:
    """A person's name in one printable line, cut short."""
    words = " ".join(text.split())
    return "".join(character for character in words if character.isprintable())[:LONGEST_NAME]


def _when_to_stop(doubted: int) -> str:
    """What the list of wrong labels says about its own end."""
    if not doubted:
        return "The model disagrees with none of the labels that are undecided. You can stop here."
    these = "this label; it comes" if doubted == 1 else f"{doubted} of these labels; they come"
    return (
        f"The model disagrees with {these} first. Then look at one page more. "
        "When a whole page has no mistake, you can stop."
    )


def _find(now: Now, key: str) -> int:
    index = now.pictures.position.get(key)
    if index is None:
        raise HTTPException(404, "This picture is not in the set any more; load the page again.")
    return index


def _outcome(now: Now, index: int, choice: Choice) -> str | None:
    """The label that a choice leaves a picture with; None when it is deleted.

    Raises:
        HTTPException: it leaves it with none of those there are.
    """
    if choice.action == DELETE:
        return None
    if choice.action == RELABEL and choice.to in now.view.names:
        return choice.to
    if choice.action == KEEP and not now.pictures.claims[index] and choice.to in {None, *now.view.names}:
        return choice.to or now.label(index) or now.pictures.records[index].label
    raise HTTPException(400, "Say which class the picture belongs to.")


def _stamp(folder: Path) -> tuple[int, ...]:
    try:
        return tuple((folder / name).stat().st_mtime_ns for name in (RUN, MANIFEST))
    except OSError as error:
        raise NoTrainingRun(f"The picture set in {str(folder)!r} cannot be read: {error.strerror}.") from error
