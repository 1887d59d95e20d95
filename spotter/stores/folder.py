"""A store in a folder: `revisions/<REV>/` holds the files, `main` names the newest, `history.jsonl` tells the story."""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from spotter.bundle.reading import read_model_json
from spotter.errors import BrokenModel, RevisionMissing, StoreUnwritable
from spotter.stores.base import Event, content_name, find_earlier, meant_by, promised_name
from spotter.utils.files import write_durably
from spotter.utils.journal import Journal, read_as, sync_folder

STALE_SECONDS = 24 * 3600


class FolderStore:
    """Published revisions in a folder.

    A revision is named by the hash of its files, so that publishing the same files twice changes nothing. Each
    becomes visible by one rename, and `main` moves by one rename: a reader never sees half of anything.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._journal = Journal(root / "history.jsonl")

    @property
    def address(self) -> str:
        """The folder's path."""
        return str(self.root)

    def check(self) -> None:
        """Find out whether the folder can be made and written.

        Raises:
            StoreUnwritable: it cannot.
        """
        there = next(path for path in (self.root, *self.root.absolute().parents) if path.exists())
        if not there.is_dir() or not os.access(there, os.W_OK):
            raise StoreUnwritable(f"The store {str(self.root)!r} cannot be written: look at {str(there)!r}.")

    def push(self, folder: Path) -> str:
        """Publish the files in `folder` and point `main` at them.

        Returns:
            The revision: 40 hex digits.

        Raises:
            StoreUnwritable: the store's folder cannot be written.
        """
        revision = content_name(folder)
        try:
            target = self._revisions / revision
            if not target.is_dir():
                self._revisions.mkdir(parents=True, exist_ok=True)
                self._remove_stale()
                self._publish(folder, target)
            if self.head() != revision:
                self._point_main(revision, "push")
        except OSError as error:
            raise StoreUnwritable(f"The store {str(self.root)!r} cannot be written: {error.strerror}.") from error
        return revision

    def pull(self, revision: str | None = None, more: Collection[str] = ()) -> tuple[Path, str]:
        """Find the folder of `revision` (a name, its first 7 or more digits, a version; None: what `main` names). All
        its files are there.

        Raises:
            RevisionMissing: no such store or revision.
            BrokenModel: its `model.json` cannot be read, or is not the one that its name stands for.
        """
        if not self.root.is_dir():
            raise RevisionMissing(f"There is no store at {str(self.root)!r}; spotter train --to makes one.")
        versions = {event.version: event.revision for event in self.history()}
        wanted = versions.get(revision, revision) if revision else self.head()
        if wanted is None:
            raise RevisionMissing(f"The store {str(self.root)!r} is empty; publish to it with spotter train --to.")
        there = {path.name: path for path in self._all()}
        found = [there[name] for name in meant_by(wanted, there)]
        if len(found) != 1:
            known = ", ".join(name[:12] for name in there) or "none"
            raise RevisionMissing(f"The store {str(self.root)!r} has no revision {wanted!r}; it has: {known}.")
        if promised_name(read_model_json(found[0])) not in {None, found[0].name}:
            raise BrokenModel(f"The revision {found[0].name[:12]} was changed after it was published.")
        return found[0], found[0].name

    def history(self) -> list[Event]:
        """What happened to `main`, oldest first.

        Raises:
            BrokenModel: what tells it is damaged.
        """
        try:
            told = enumerate((read_as(Event, json.loads(line)) for line in self._journal.lines()), 1)
            return [replace(event, version=f"v{number}", contents=event.revision) for number, event in told]
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise self._unreadable("history.jsonl") from error

    def rollback(self, revision: str | None = None) -> str:
        """Point `main` at `revision`, or at the one before (`find_earlier`); return it.

        Raises:
            RevisionMissing: there is no such revision, or none before.
        """
        if revision is None:
            events, head = self.history(), self.head()
            # Whoever was killed between the two wrote a line about what never happened.
            while events and events[-1].revision != head:
                events.pop()
            earlier = find_earlier(events)
            if earlier is None:
                raise RevisionMissing(f"The store {str(self.root)!r} has no earlier revision to go back to.")
            revision = earlier.revision
        name = self.pull(revision)[1]
        try:
            self._point_main(name, "rollback")
        except OSError as error:
            raise StoreUnwritable(f"The store {str(self.root)!r} cannot be written: {error.strerror}.") from error
        return name

    def head(self) -> str | None:
        """The revision that `main` names, or None.

        Raises:
            BrokenModel: it cannot be read.
        """
        try:
            return (self.root / "main").read_text(encoding="ascii").strip() or None
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise self._unreadable("main") from error

    def _unreadable(self, name: str) -> BrokenModel:
        return BrokenModel(
            f"The store {str(self.root)!r} is damaged: its {name} cannot be read; publish to another store."
        )

    @property
    def _revisions(self) -> Path:
        return self.root / "revisions"

    def _all(self) -> list[Path]:
        if not self._revisions.is_dir():
            return []
        return sorted(path for path in self._revisions.iterdir() if path.is_dir() and not path.name.startswith("."))

    def _publish(self, folder: Path, target: Path) -> None:
        staging = Path(tempfile.mkdtemp(prefix=".staging-", dir=self._revisions))
        try:
            for file in sorted(folder.iterdir()):
                shutil.copyfile(file, staging / file.name)
                _sync(staging / file.name)
            sync_folder(staging)
            staging.chmod(0o755)
            staging.rename(target)
            sync_folder(self._revisions)
        except OSError:
            shutil.rmtree(staging, ignore_errors=True)
            # Somebody else published the same revision meanwhile: it holds the same files.
            if not target.is_dir():
                raise

    def _point_main(self, revision: str, action: str) -> None:
        event = {"revision": revision, "action": action, "at": datetime.now(UTC).isoformat(timespec="seconds")}
        part = self.root / f".main.{os.getpid()}.part"
        # When `main` cannot be moved, the event is taken back.
        with self._journal.writing() as history:
            try:
                write_durably(part, revision.encode() + b"\n")
                history.add(json.dumps(event).encode() + b"\n")
                part.replace(self.root / "main")
            finally:
                part.unlink(missing_ok=True)
        sync_folder(self.root)

    def _remove_stale(self) -> None:
        # Left by a publisher that was killed; a younger one may still be at work.
        for path in self._revisions.glob(".staging-*"):
            if time.time() - path.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(path, ignore_errors=True)


def _sync(file: Path) -> None:
    with file.open("r+b") as opened:
        os.fsync(opened.fileno())
