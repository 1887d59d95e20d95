"""The review queue: answers that wait for a person, with the picture, kept with the visitor's consent until then.

In the folder of an answer log, `waiting` holds a folder an answer, which is there whole or not at all, and `answered` a
small file for each outcome, without the picture. Several processes may use both.
"""

import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

from PIL import Image

from spotter.config import QueueConfig
from spotter.decide.costs import CostTable
from spotter.errors import LogUnwritable, QueueUnwritable
from spotter.images import encode_to_keep
from spotter.inference.prediction import Advice, AnswerRecord, Prediction, read_record
from spotter.monitor.log import add_reviews, remove_reviews
from spotter.names import NONE_OF_THESE
from spotter.utils.files import take_place, write_durably, write_folder
from spotter.utils.journal import read_as
from spotter.utils.locks import LOCK, remove_abandoned

WAITING, ANSWERED = "waiting", "answered"
PICTURE, FACTS = "picture.jpg", "answer.json"
# Of the sentence that a visitor agrees to; a new sentence, a new version.
CONSENT = "1"
DAY_S = 86_400
# What was not finished by then never will be.
HALF_DONE_S = 3600
_TICKET = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Waiting(Advice, AnswerRecord):
    """An answer that nobody was given yet. `answer` is its id in the answer log; `time` is ISO in UTC."""

    ticket: str
    time: str
    answer: str
    revision: str
    consent: str


@dataclass(frozen=True)
class Outcome:
    """What a person said of an answer: `said` is a class, None for none of them; `label`, `closest` and `familiar` are
    as in the answer. `cost` is what was decided by the model's own costs has cost; None where it has none, or where it
    is none of the classes.
    """

    ticket: str
    time: str
    answer: str
    revision: str
    label: str
    closest: str
    familiar: bool
    said: str | None
    cost: float | None = None

    @property
    def is_confirmed(self) -> bool:
        return self.said == self.label


_OUTCOME = [column.name for column in fields(Outcome)]


class WaitingFolder:
    """The queue of answers that wait for a person, in the folder of an answer log."""

    def __init__(
        self, log: Path, revision: str, config: QueueConfig | None = None, costs: CostTable | None = None
    ) -> None:
        self._costs = costs
        self._log, self._revision, self._config = log, revision, config or QueueConfig()
        self._waiting, self._answered = log / WAITING, log / ANSWERED

    @property
    def keep_days(self) -> float:
        """For how long a picture waits, at most."""
        return self._config.keep_days

    def add(self, picture: Image.Image, prediction: Prediction, answer: str) -> str:
        """Let an answer wait, with its decoded picture, without metadata and at most `images.KEPT_SIDE` pixels long.

        Returns:
            A ticket that nobody can guess.

        Raises:
            QueueUnwritable: the queue is full, or cannot be written.
        """
        self.tidy()
        if self._waiting.is_dir() and sum(1 for _ in os.scandir(self._waiting)) >= self._config.most:
            raise QueueUnwritable("Too many answers wait for a person already; try again later.")
        entry = Waiting(
            ticket=secrets.token_hex(16),
            time=datetime.now(UTC).isoformat(timespec="seconds"),
            answer=answer,
            revision=self._revision,
            consent=CONSENT,
            **prediction.record(),
        )
        try:
            write_folder(self._waiting / entry.ticket, {PICTURE: encode_to_keep(picture), FACTS: _as_json(entry)})
        except OSError as error:
            raise QueueUnwritable(f"The answer cannot wait for a person: {error.strerror}.") from error
        return entry.ticket

    def read(self) -> list[tuple[Waiting, Path]]:
        """The answers that wait, oldest first, each with the path of its picture."""
        self.tidy()
        found = [(entry, self._waiting / entry.ticket / PICTURE) for entry in self._entries()]
        return sorted(found, key=lambda pair: (pair[0].time, pair[0].ticket))

    def find(self, ticket: str) -> Waiting | Outcome | None:
        """What a ticket stands for; None where there is no such ticket, or not any more."""
        if not _TICKET.fullmatch(ticket):
            return None
        return self._outcome(ticket) or self._entry(ticket)

    def picture(self, ticket: str) -> bytes | None:
        """The picture of an answer that waits, as JPEG."""
        if not isinstance(self.find(ticket), Waiting):
            return None
        try:
            return (self._waiting / ticket / PICTURE).read_bytes()
        except OSError:
            return None

    def decide(self, ticket: str, said: str | None) -> bool:
        """Save a reviewer's answer, a label or None for none of them, and permanently remove the picture.

        Returns:
            False if it does not wait any more: of two people, the first one counts.

        Raises:
            QueueUnwritable: it cannot be noted, or the picture not be removed. LogUnwritable: the answer log cannot be
                written; the picture is gone, and the review is added later.
        """
        entry = self._entry(ticket) if _TICKET.fullmatch(ticket) else None
        if entry is None:
            return False
        now = datetime.now(UTC).isoformat(timespec="seconds")
        outcome = Outcome(
            ticket,
            now,
            entry.answer,
            entry.revision,
            entry.label,
            entry.closest,
            entry.familiar,
            said,
            self._price(entry, said),
        )
        place, part = self._answered / f"{ticket}.json", self._answered / f".{ticket}.{secrets.token_hex(4)}"
        try:
            self._answered.mkdir(exist_ok=True)
            write_durably(part, _as_json(outcome))
            if not take_place(part, place):
                return False
        except OSError as error:
            raise QueueUnwritable(f"The review of the answer cannot be saved: {error.strerror}.") from error
        self._finish(outcome)
        return True

    def priced(self) -> list[float]:
        """What the answers of this revision that were decided of late have cost, each, where the model has costs."""
        found = (self._outcome(place.stem) for place in _places(self._answered) if _TICKET.fullmatch(place.stem))
        mine = (outcome for outcome in found if outcome and outcome.revision == self._revision)
        return [outcome.cost for outcome in mine if outcome.cost is not None]

    def _price(self, entry: Waiting, said: str | None) -> float | None:
        if self._costs is None or entry.revision != self._revision or entry.decision is None:
            return None
        return self._costs.price(said, entry.decision)

    def take_back(self, entry: Waiting, picture: bytes) -> bool:
        """Let an answer wait again that was decided just now, with its picture, which is nowhere else any more.

        Returns:
            False if nothing was decided about it.

        Raises:
            QueueUnwritable: it cannot wait again; the decision stands. LogUnwritable: it waits, and the review stays in
                the answer log.
        """
        if not isinstance(self.find(entry.ticket), Outcome):
            return False
        place = self._answered / f"{entry.ticket}.json"
        aside = self._answered / f".{entry.ticket}.{secrets.token_hex(4)}"
        try:
            # The outcome first: beside a picture that waits it would be carried out again.
            place.rename(aside)
            try:
                write_folder(self._waiting / entry.ticket, {PICTURE: picture, FACTS: _as_json(entry)})
            except OSError:
                # On a full disk the decision stands: whoever waits for the answer gets it.
                aside.rename(place)
                raise
            aside.unlink(missing_ok=True)
        except OSError as error:
            raise QueueUnwritable(f"The answer cannot wait again: {error.strerror}.") from error
        remove_reviews(self._log, entry.answer)
        return True

    def forget(self, ticket: str) -> bool:
        """Remove an answer that waits, and its picture, as the visitor no longer agrees; False if it does not wait.

        Raises:
            QueueUnwritable: it cannot be removed.
        """
        if not isinstance(self.find(ticket), Waiting):
            return False
        self._remove(ticket)
        return True

    def tidy(self) -> None:
        """Finish the work of a process that was killed, and remove what was kept for too long.

        Raises:
            QueueUnwritable: something cannot be removed.
        """
        remove_abandoned(self._waiting, ".")
        oldest = time.time() - self._config.keep_days * DAY_S
        for place in _places(self._answered):
            ticket, age = place.stem, _modified(place)
            outcome = self._outcome(ticket)
            if outcome and (self._waiting / ticket).is_dir():
                try:
                    self._finish(outcome)
                except LogUnwritable:
                    # Its picture is gone, and the rest stays until the log can be written.
                    continue
            elif age < oldest or (place.name.startswith(".") and age < time.time() - HALF_DONE_S):
                place.unlink(missing_ok=True)
        for place in _places(self._waiting):
            if place.suffix == LOCK:
                continue
            is_half = place.name.startswith(".") or not (place / PICTURE).is_file()
            if _modified(place) < (time.time() - HALF_DONE_S if is_half else oldest):
                self._remove(place.name)

    def _finish(self, outcome: Outcome) -> None:
        try:
            (self._waiting / outcome.ticket / PICTURE).unlink(missing_ok=True)
        except OSError as error:
            raise QueueUnwritable(f"A picture that was reviewed cannot be removed: {error.strerror}.") from error
        # Said twice after a kill, it counts once.
        add_reviews(self._log, {outcome.answer: NONE_OF_THESE if outcome.said is None else outcome.said})
        self._remove(outcome.ticket)

    def _remove(self, name: str) -> None:
        try:
            # The picture first, whatever becomes of the rest.
            (self._waiting / name / PICTURE).unlink(missing_ok=True)
            shutil.rmtree(self._waiting / name)
        except FileNotFoundError:
            return
        except OSError as error:
            raise QueueUnwritable(f"A picture that waited cannot be removed: {error.strerror}.") from error

    def _entries(self) -> Iterator[Waiting]:
        for place in _places(self._waiting):
            if _TICKET.fullmatch(place.name) and not (self._answered / f"{place.name}.json").exists():
                entry = self._entry(place.name)
                if entry:
                    yield entry

    def _entry(self, ticket: str) -> Waiting | None:
        place = self._waiting / ticket
        try:
            facts = json.loads((place / FACTS).read_bytes())
            return read_as(Waiting, read_record(facts, "label")) if (place / PICTURE).is_file() else None
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None

    def _outcome(self, ticket: str) -> Outcome | None:
        try:
            facts = read_record(json.loads((self._answered / f"{ticket}.json").read_bytes()), "label")
            return read_as(Outcome, {name: facts[name] for name in _OUTCOME if name in facts})
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None


def _places(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _modified(place: Path) -> float:
    try:
        return place.stat().st_mtime
    except OSError:
        return time.time()


def _as_json(entry: Waiting | Outcome) -> bytes:
    return json.dumps(asdict(entry), ensure_ascii=False, indent=1).encode()
