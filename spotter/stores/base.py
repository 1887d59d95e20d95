"""What every store offers, and how a set of files is named by its contents."""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from spotter.bundle.format import MODEL_JSON
from spotter.bundle.reading import is_plain, parse_json

# So many letters of a revision are enough to name it.
SHORTEST = 7


@dataclass(frozen=True)
class Event:
    """One thing that happened to a store's `main`.

    `revision` is what to pull; `contents` is the name of its files, the same in every store; `version` counts the
    events, "v1" on ("": the store gave none); `action` is "push", "rollback" or, by other means, "edit"; `at` is an
    ISO time in UTC.
    """

    revision: str
    action: str
    at: str
    version: str = ""
    contents: str = ""


class Store(Protocol):
    """Where revisions are published to and pulled from. Every method raises subclasses of `SpotterError` alone."""

    @property
    def address(self) -> str:
        """What `open_store` opens again."""

    def check(self) -> None:
        """Find out, as far as that is possible without publishing, whether `push` would be refused."""

    def push(self, folder: Path) -> str:
        """Publish the files in `folder`, all or nothing; return the revision. The same files again change nothing."""

    def pull(self, revision: str | None = None, more: Collection[str] = ()) -> tuple[Path, str]:
        """Return a folder with the files that serving needs, and those of `more` that the revision has; and the
        revision's full name.

        `revision` is a name that `push` returned, a version, the name of the contents, or the first 7 or more digits
        of a name; None is what `main` names.
        """

    def head(self) -> str | None:
        """The revision that `main` names, or None."""

    def history(self) -> list[Event]:
        """What happened to `main`, oldest first."""

    def rollback(self, revision: str | None = None) -> str:
        """Take `main` back to the files of `revision` (None: of the one before, as `find_earlier`); return the revision
        that it names then."""


def find_earlier(events: Iterable[Event]) -> Event | None:
    """What stood in `main` before what stands there now; None when nothing of ours did.

    Whatever was taken back is passed over, so that of two rollbacks in a row the second goes further back, and never to
    what the first one left.
    """
    standing: list[Event] = []
    for event in events:
        places = [place for place, each in enumerate(standing) if event.contents and each.contents == event.contents]
        if event.action == "rollback" and places:
            del standing[places[-1] + 1 :]
        elif not standing or standing[-1].contents != event.contents:
            standing.append(event)
    # Edits by other means have no contents that could be published again.
    return next((event for event in reversed(standing[:-1]) if event.contents), None)


def meant_by(wanted: str, names: Iterable[str]) -> list[str]:
    """Which revisions somebody means: the one of this name, or those whose names begin so, by enough letters."""
    return [name for name in names if name == wanted or (len(wanted) >= SHORTEST and name.startswith(wanted))]


def content_name(folder: Path) -> str:
    """Name a set of files by their names and contents: 40 hex digits."""
    return _name({file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()})


def promised_hashes(model_json: bytes) -> dict[str, str] | None:
    """File -> SHA-256 of every file of a revision, by its `model.json`; None when that is not one of Spotter's."""
    try:
        hashes = parse_json(model_json)["sha256"]
    except (ValueError, KeyError, TypeError):
        return None
    if not isinstance(hashes, dict) or not all(isinstance(digest, str) for digest in hashes.values()):
        return None
    if not all(map(is_plain, hashes)):
        return None
    return {**hashes, MODEL_JSON: hashlib.sha256(model_json).hexdigest()}


def promised_name(model_json: bytes) -> str | None:
    """The `content_name` of a revision with this `model.json`, without its other files; None as `promised_hashes`."""
    hashes = promised_hashes(model_json)
    return _name(hashes) if hashes else None


def _name(hashes: Mapping[str, str]) -> str:
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(hashes.items()))
    return hashlib.sha256(lines.encode()).hexdigest()[:40]
