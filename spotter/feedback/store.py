"""The feedback store: what visitors say of an answer, with their consent, a picture and a few facts each."""

import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from uuid import uuid4

from PIL import Image

from spotter.errors import FeedbackUnwritable
from spotter.images import encode_to_keep
from spotter.inference.prediction import AnswerRecord, Prediction, read_record
from spotter.utils.files import write_folder
from spotter.utils.journal import read_as
from spotter.utils.locks import remove_abandoned, write_all

# Of the sentence that a visitor agrees to; a new sentence, a new version.
CONSENT = "3"
PICTURE, FACTS, DELETED = "picture.jpg", "feedback.json", "deleted.txt"
FILES = frozenset({PICTURE, FACTS})
# So that visitors cannot fill the disk.
MOST = 10_000
HALF_DONE_S = 3600
ID = re.compile(r"[0-9a-f]{32}")


class Removal(Enum):
    """What became of a wish to delete an entry."""

    GONE = "it is deleted everywhere"
    SOON = "it is deleted here, and a copy elsewhere will be"
    UNKNOWN = "there is no such entry, so nothing was deleted"


@dataclass(frozen=True)
class Feedback(AnswerRecord):
    """What a visitor said of one answer.

    `said` is the visitor's class, None for "none of these". `time` is ISO in UTC;
    `consent` the version of the sentence that was agreed to; `logged` the id of the answer in the answer log, "" where
    it was not logged.
    """

    id: str
    time: str
    revision: str | None
    said: str | None
    consent: str
    logged: str = ""

    @property
    def is_right(self) -> bool:
        return self.said == self.closest

    def sentence(self) -> str:
        """Both opinions in a sentence, for the reviewer."""
        visitor = "none of these" if self.said is None else self.said
        sure = "" if self.familiar else ", not sure"
        return f"the model said {self.closest} ({self.probabilities[self.closest]:.0%}{sure}), a visitor {visitor}"


class FeedbackFolder:
    """A folder with one folder an entry, which is there whole or not at all. Several processes may use it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(
        self,
        picture: Image.Image,
        prediction: Prediction,
        said: str | None,
        revision: str | None,
        logged: str = "",
    ) -> str:
        """Keep a decoded picture, without metadata and at most `images.KEPT_SIDE` pixels long; return the entry's id.

        Args:
            logged: the answer's id in the answer log.

        Raises:
            FeedbackUnwritable: the folder cannot be written, or holds `MOST` entries.
        """
        if self.folder.is_dir() and sum(1 for _ in os.scandir(self.folder)) > MOST:
            raise FeedbackUnwritable(f"There are {MOST} entries in {str(self.folder)!r}: review or move some first.")
        entry = Feedback(
            id=uuid4().hex,
            time=datetime.now(UTC).isoformat(timespec="seconds"),
            revision=revision,
            said=said,
            consent=CONSENT,
            logged=logged,
            **prediction.answer(),
        )
        self._put(entry.id, encode_to_keep(picture), json.dumps(asdict(entry), ensure_ascii=False, indent=1).encode())
        return entry.id

    def receive(self, id_: str, picture: bytes, facts: bytes) -> None:
        """Keep a copy of an entry from elsewhere as it is; what is here already stays.

        Raises:
            FeedbackUnwritable: the folder cannot be written.
        """
        if ID.fullmatch(id_) and not (self.folder / id_).exists():
            self._put(id_, picture, facts)

    def ids(self) -> set[str]:
        """The ids of the entries that are here."""
        names = os.listdir(self.folder) if self.folder.is_dir() else []
        return {name for name in names if ID.fullmatch(name)}

    def tidy(self) -> None:
        """Remove what a killed process left half written: nobody was told that it is kept."""
        remove_abandoned(self.folder, ".")
        for place in self.folder.glob(".*/") if self.folder.is_dir() else ():
            # Without a claim, as earlier versions left them.
            is_old = time.time() - place.stat().st_mtime > HALF_DONE_S
            if ID.fullmatch(place.name[1:]) and is_old and not place.with_name(f"{place.name}.lock").exists():
                shutil.rmtree(place, ignore_errors=True)

    def _put(self, id_: str, picture: bytes, facts: bytes) -> None:
        self.tidy()
        try:
            write_folder(self.folder / id_, {PICTURE: picture, FACTS: facts})
        except OSError as error:
            raise FeedbackUnwritable(f"A visitor's feedback could not be saved: {error.strerror}.") from error

    def read(self) -> Iterator[tuple[Feedback, Path]]:
        """The entries, oldest first, each with the path of its picture. What is no entry of ours is passed over."""
        self.tidy()
        found = []
        for place in self.folder.glob("*/") if self.folder.is_dir() else ():
            if ID.fullmatch(place.name) and (place / PICTURE).is_file():
                try:
                    found.append(read_as(Feedback, read_record(json.loads((place / FACTS).read_bytes()), "answer")))
                except (OSError, ValueError, TypeError, KeyError, RecursionError):
                    continue
        for entry in sorted(found, key=lambda entry: (entry.time, entry.id)):
            yield entry, self.folder / entry.id / PICTURE

    def delete(self, id_: str) -> bool:
        """Remove an entry for good, and remember its id, so that copies elsewhere can follow; False if it is not here.

        Raises:
            FeedbackUnwritable: it cannot be removed.
        """
        self.tidy()
        place = self.folder / id_
        if not ID.fullmatch(id_) or not place.is_dir():
            return False
        try:
            # The note first: whoever is killed in between deletes again.
            try:
                self._note_deletion(id_)
            except OSError:
                # On a full disk the picture makes room for it.
                (place / PICTURE).unlink(missing_ok=True)
                self._note_deletion(id_)
            shutil.rmtree(place)
        except OSError as error:
            raise FeedbackUnwritable(f"The entry {id_} could not be deleted: {error.strerror}.") from error
        return True

    def remove(self, id_: str) -> Removal:
        """Delete an entry as `delete` does; what to tell whoever sent it.

        Raises:
            FeedbackUnwritable: it cannot be removed.
        """
        return Removal.GONE if self.delete(id_) else Removal.UNKNOWN

    def note_deletion(self, id_: str) -> None:
        """Remember that an entry is to be deleted wherever there is a copy of it.

        Raises:
            FeedbackUnwritable: the folder cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._note_deletion(id_)
        except OSError as error:
            raise FeedbackUnwritable(f"The entry {id_} could not be deleted: {error.strerror}.") from error

    def _note_deletion(self, id_: str) -> None:
        with (self.folder / DELETED).open("ab+", buffering=0) as notes:
            notes.seek(max(0, notes.seek(0, os.SEEK_END) - 1))
            # A full disk may have taken a part of a line before.
            start = "" if notes.read(1) in {b"", b"\n"} else "\n"
            write_all(notes, f"{start}{id_}\n".encode())

    def deleted(self) -> set[str]:
        """The ids of entries that were removed."""
        path = self.folder / DELETED
        noted = path.read_text(encoding="utf-8").split() if path.is_file() else []
        return {id_ for id_ in noted if ID.fullmatch(id_)}
