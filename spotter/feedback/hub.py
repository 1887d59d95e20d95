"""A data set on the Hugging Face Hub that holds what visitors sent, as a copy of the folder that it is kept in.

<id>/picture.jpg, <id>/feedback.json     an entry, as in the folder
deleted.txt                              the ids of entries that were deleted, anywhere
"""

import contextlib
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, get_token
from huggingface_hub.hf_api import DatasetInfo
from huggingface_hub.utils import disable_progress_bars

from spotter.errors import AccessRefused, LostRace, RevisionMissing, StoreUnwritable
from spotter.feedback.store import DELETED, FACTS, FILES, PICTURE
from spotter.stores.hub_client import RACES, SILENCE_S, HubClient

_ENTRY = re.compile(rf"([0-9a-f]{{32}})/({re.escape(PICTURE)}|{re.escape(FACTS)})")
_DELETION = "Delete "


@dataclass(frozen=True)
class Listing:
    """What a data set holds at a commit: the `files` of each entry, and the ids that were `deleted`."""

    commit: str
    files: Mapping[str, frozenset[str]]
    deleted: frozenset[str]

    @property
    def whole(self) -> set[str]:
        """The ids of entries that have all their files."""
        return {id_ for id_, files in self.files.items() if files == FILES}


class FeedbackDataset(HubClient):
    """A private data set with entries of visitors.

    Args:
        repo: `owner/name`.
        endpoint: where the Hub answers (None: `HF_ENDPOINT`, or huggingface.co).
        cache: the folder for what is pulled (None: the Hub client's own).
        sleep, silence_s: for tests, as in `HubClient`.

    Raises:
        UnknownStore: the Hub allows no such name.
    """

    _before = "hf://datasets/"

    def __init__(
        self,
        repo: str,
        *,
        endpoint: str | None = None,
        cache: Path | None = None,
        sleep: Callable[[float], None] = time.sleep,
        silence_s: float = SILENCE_S,
    ) -> None:
        super().__init__(repo, "data set", endpoint, cache, sleep, silence_s)
        # A killed process may have deleted entries and left them in the history.
        self._is_history_clean = False

    def hush(self) -> None:
        """Show no progress bars in this process from now on."""
        disable_progress_bars()

    def read(self) -> Listing | None:
        """What it holds; None when there is no such data set.

        Raises:
            AccessRefused, StoreUnreachable (StoreBusy): the Hub does not tell.
        """
        info = self._look()
        return self._listing(info) if info else None

    def fetch(self, id_: str, commit: str) -> tuple[bytes, bytes]:
        """The picture and the facts of an entry.

        Raises:
            RevisionMissing: it has no such entry. AccessRefused, StoreUnreachable, CacheUnwritable: it is not given.
        """
        return self._content(f"{id_}/{PICTURE}", commit), self._content(f"{id_}/{FACTS}", commit)

    def send(self, add: Mapping[str, Path], deleted: set[str], most: int) -> Listing:
        """Add entries that are not there, from their folders, at most so many in one commit, and delete those of
        `deleted` in another, for good: then the history goes too. What is there already is not sent.

        Returns:
            What it holds then.

        Raises:
            StoreUnwritable: others may read it, or it does not take the files.
            AccessRefused, PaymentRequired, StoreUnreachable (StoreBusy): the Hub does not let us, or cannot be reached.
            LostRace: others changed it at the same time, again and again.
        """
        if not get_token():
            raise AccessRefused(
                f"To send feedback to {self.address} you need a token that may write: run .venv/bin/hf auth login, or "
                "set HF_TOKEN."
            )
        races = 0
        while races < RACES:
            listing = self._listing(self._look(writing=True) or self._create())
            gone = listing.deleted | deleted
            there = sorted(listing.files.keys() & gone)
            files = _read({id_: add[id_] for id_ in sorted(add.keys() - listing.whole - gone)[:most]})
            operations: list[CommitOperationAdd | CommitOperationDelete]
            if there or gone != listing.deleted:
                names = [f"{id_}/{name}" for id_ in there for name in sorted(listing.files[id_])]
                notes = "".join(f"{id_}\n" for id_ in sorted(gone))
                operations = [*map(CommitOperationDelete, names), CommitOperationAdd(DELETED, notes.encode())]
                title = f"{_DELETION}{len(there)} entries"
                self._is_history_clean = False
            elif files:
                operations = [CommitOperationAdd(name, content) for name, content in files.items()]
                title = f"Add {len(files) // len(FILES)} entries"
            else:
                self._forget_history(listing)
                return listing
            races += not self._commit(listing, title, operations)
        raise LostRace(f"Others change {self.address} at the same time, again and again; try again later.")

    def _commit(
        self, listing: Listing, title: str, operations: list[CommitOperationAdd | CommitOperationDelete]
    ) -> bool:
        """Commit on top of what was looked at; False when that has changed. A commit whose answer got lost has changed
        it: the next look finds it there."""
        try:
            self._ask(
                lambda: self._api.create_commit(
                    self._repo,
                    operations,
                    repo_type="dataset",
                    commit_message=title,
                    parent_commit=listing.commit,
                ),
                writing=True,
            )
        except LostRace:
            return False
        return True

    def _forget_history(self, listing: Listing) -> None:
        """Let nobody find what was deleted in older commits."""
        if self._is_history_clean or not listing.deleted:
            return
        commits = self._ask(lambda: self._api.list_repo_commits(self._repo, repo_type="dataset"), writing=True)
        if any(commit.title.startswith(_DELETION) for commit in commits):
            self._ask(lambda: self._api.super_squash_history(self._repo, repo_type="dataset"), writing=True)
        self._is_history_clean = True

    def _look(self, *, writing: bool = False) -> DatasetInfo | None:
        try:
            info = self._ask(lambda: self._api.dataset_info(self._repo), writing=writing)
        except RevisionMissing:
            return None
        if writing and info.private is False:
            raise StoreUnwritable(
                f"{self.address} is public, and visitors have not agreed to be published; make it private in its "
                "settings on the Hub, or take another."
            )
        return info

    def _create(self) -> DatasetInfo:
        create = self._api.create_repo
        self._ask(lambda: create(self._repo, repo_type="dataset", private=True, exist_ok=True), writing=True)
        info = self._look(writing=True)
        if info is None:
            raise StoreUnwritable(f"The Hub has made no data set {self.address}; make it there, private.")
        return info

    def _listing(self, info: DatasetInfo) -> Listing:
        names = [file.rfilename for file in info.siblings or ()]
        files: dict[str, set[str]] = {}
        for name in names:
            if found := _ENTRY.fullmatch(name):
                files.setdefault(found[1], set()).add(found[2])
        commit = str(info.sha)
        deleted = self._content(DELETED, commit).decode().split() if DELETED in names else []
        return Listing(commit, {id_: frozenset(each) for id_, each in files.items()}, frozenset(deleted))

    def _content(self, name: str, commit: str) -> bytes:
        fetch = self._api.hf_hub_download
        path = self._ask(
            lambda: fetch(self._repo, name, repo_type="dataset", revision=commit, cache_dir=self._cache), waits=()
        )
        return Path(path).read_bytes()


def _read(folders: Mapping[str, Path]) -> dict[str, bytes]:
    """The files of entries, by their names in the data set, without entries that were deleted meanwhile."""
    found: dict[str, bytes] = {}
    for id_, folder in folders.items():
        with contextlib.suppress(FileNotFoundError):
            found |= {f"{id_}/{name}": (folder / name).read_bytes() for name in sorted(FILES)}
    return found
