"""A store on the Hugging Face Hub: a model repository, where a revision is a commit and versions are tags."""

import contextlib
import hashlib
import json
import logging
import re
import time
from collections.abc import Callable, Collection, Iterator
from datetime import UTC
from functools import partial
from pathlib import Path

from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationCopy,
    CommitOperationDelete,
    constants,
    get_token,
    try_to_load_from_cache,
)
from huggingface_hub.hf_api import ModelInfo

from spotter.bundle.format import INT8_ONNX, MODEL_JSON, PAGE_FILES, PICKLE, SERVING_FILES
from spotter.bundle.reading import read_model_json
from spotter.errors import (
    AccessRefused,
    BrokenModel,
    LostRace,
    ModelNotPublic,
    RevisionMissing,
    SpotterError,
    StoreBusy,
    StoreUnreachable,
    StoreUnwritable,
)
from spotter.stores.base import Event, content_name, find_earlier, promised_hashes, promised_name
from spotter.stores.hub_client import RACES, SILENCE_S, HubClient

Operation = CommitOperationAdd | CommitOperationCopy | CommitOperationDelete

log = logging.getLogger(__name__)

_TITLE = re.compile(r"(Publish|Roll back to) ([0-9a-f]{40})")


class HubStore(HubClient):
    """Published revisions in a model repository.

    A revision is a commit: all its files come with one, or none. It is tagged `v1`, `v2` and so on, and its title holds
    the name that a `FolderStore` gives the same files, so that either opens it. Files that Spotter did not publish
    are left alone. The token is the one that the Hub's own client finds (`HF_TOKEN`, or that of `hf auth login`).

    Args:
        repo: `owner/name`.
        private: whether a repository that `push` makes is private; False leaves it to the owner's settings.
        endpoint: where the Hub answers (None: `HF_ENDPOINT`, or huggingface.co).
        cache: the folder for what is pulled (None: the Hub client's own, which other programs share).
        sleep, silence_s: for tests, as in `HubClient`.

    Raises:
        UnknownStore: the Hub allows no such name.
    """

    def __init__(
        self,
        repo: str,
        *,
        private: bool = False,
        endpoint: str | None = None,
        cache: Path | None = None,
        sleep: Callable[[float], None] = time.sleep,
        silence_s: float = SILENCE_S,
    ) -> None:
        super().__init__(repo, "model", endpoint, cache, sleep, silence_s)
        self._private = private

    def check(self) -> None:
        """Find out, before hours of work, whether there is a token that may write, as far as the Hub tells, and the
        repository is not something else.

        Raises:
            AccessRefused, StoreUnreachable, StoreUnwritable: as `push`.
        """
        info = self._look()
        self._check_token()
        if info:
            self._published(info, {*SERVING_FILES, PICKLE})

    def check_public(self) -> None:
        """Find out whether anybody may read the model, without a token.

        Raises:
            ModelNotPublic: it is private or gated.
            RevisionMissing, AccessRefused, StoreUnreachable (StoreBusy): the Hub does not tell.
        """
        info = self._ask(lambda: self._api.model_info(self._repo))
        if info.private or info.gated:
            raise ModelNotPublic(
                f"{self.address} is {'private' if info.private else 'gated'}, and others may not read it without a "
                f"token; make it public in its settings on the Hub, or serve it yourself: spotter serve --model "
                f"{self.address}."
            )

    def push(self, folder: Path) -> str:
        """Publish the files in `folder` as one commit on the newest, and give it a version.

        A version that could not be set is a warning, as the files are published; the next `push` sets it.

        Returns:
            The commit: 40 hex digits. When `main` already holds these files: its own.

        Raises:
            AccessRefused, PaymentRequired: the Hub does not let us.
            StoreUnreachable (StoreBusy: asked too often): it cannot be reached or fails; nothing or all was published.
            StoreUnwritable: the repository holds something else, or does not take the files.
            LostRace: others published at the same time, again and again.
        """
        files = {file.name: file for file in sorted(folder.iterdir())}

        def operations(info: ModelInfo) -> list[Operation]:
            old = self._published(info, set(files))
            added = [CommitOperationAdd(name, str(file)) for name, file in files.items()]
            return [*added, *(CommitOperationDelete(name) for name in sorted(old - set(files)))]

        return self._commit(f"Publish {content_name(folder)}", operations, create=True)

    def pull(self, revision: str | None = None, more: Collection[str] = ()) -> tuple[Path, str]:
        """Fetch what serving needs of `revision` (a commit, a version, the name of the contents, or the first 7 or more
        digits of a name; None: the newest), and those of `more` that it has. What is in the cache is not fetched again;
        a commit or a name of contents that is there needs no network at all, and without network the last known commit
        of a version or of `main` does.

        Raises:
            RevisionMissing: no such repository or revision.
            AccessRefused, StoreUnreachable (StoreBusy): the Hub does not give it.
            CacheUnwritable: there is no room for it.
            BrokenModel: the files are not those whose name was given.
        """
        wanted = revision or constants.DEFAULT_REVISION
        if not re.fullmatch(r"[\w.-]+(/[\w.-]+)*", wanted) or ".." in wanted:
            raise RevisionMissing(f"{self.address} has no revision {wanted!r}.")
        commit = self._cached(wanted) or self._find(wanted)
        model_json = self._fetch(MODEL_JSON, commit)
        content = read_model_json(model_json.parent)
        by_commit = commit.startswith(wanted) or not _is_digits(wanted)
        if not by_commit and not (promised_name(content) or "").startswith(wanted):
            raise BrokenModel(f"{self.address} says that it has {wanted[:12]}, but gives other files.")
        for name in _serving_files(content):
            self._fetch(name, commit)
        # Without network, what an older version pulled serves without them.
        with contextlib.suppress(StoreUnreachable):
            for name in {*PAGE_FILES, *more} & (promised_hashes(content) or {}).keys():
                self._fetch(name, commit)
        return model_json.parent, commit

    def head(self) -> str | None:
        """The commit that `main` names, or None when nothing was published."""
        events = self.history()
        return events[-1].revision if events else None

    def history(self) -> list[Event]:
        """What happened to `main` since the first revision, oldest first; commits that are not ours are "edit".

        Raises:
            RevisionMissing: there is no such repository.
            AccessRefused, StoreUnreachable (StoreBusy): the Hub does not tell.
        """
        versions = {commit: name for name, commit in self._versions().items()}
        events: list[Event] = []
        for commit in reversed(self._ask(lambda: self._api.list_repo_commits(self._repo))):
            ours = _TITLE.fullmatch(commit.title)
            if ours or events:
                action = {"Publish": "push", "Roll back to": "rollback"}[ours[1]] if ours else "edit"
                at = commit.created_at.astimezone(UTC).isoformat(timespec="seconds")
                version = versions.get(commit.commit_id, "")
                events.append(Event(commit.commit_id, action, at, version, ours[2] if ours else ""))
        return events

    def rollback(self, revision: str | None = None) -> str:
        """Publish the files of `revision` again, or those of the one before (`find_earlier`).

        The Hub copies them itself. Nothing leaves the history, and pinned revisions stay.

        Returns:
            The new commit, which has a version of its own; when `main` already holds these files: its own.

        Raises:
            RevisionMissing: there is no such revision, or none before.
            As `push`.
        """
        if revision is None:
            earlier = find_earlier(self.history())
            if earlier is None:
                raise RevisionMissing(f"{self.address} has no earlier revision to go back to.")
            revision = earlier.revision
        target = self._find(revision)
        content = self._fetch(MODEL_JSON, target).read_bytes()
        files, name = set(promised_hashes(content) or ()), promised_name(content)
        if not files:
            raise RevisionMissing(f"{self.address} has no model from Spotter at {revision!r}.")

        def operations(info: ModelInfo) -> list[Operation]:
            old = self._published(info, files)
            copied = [CommitOperationCopy(name, name, src_revision=target) for name in sorted(files)]
            return [*copied, *(CommitOperationDelete(name) for name in sorted(old - files))]

        return self._commit(f"Roll back to {name}", operations)

    def _commit(self, title: str, operations: Callable[[ModelInfo], list[Operation]], *, create: bool = False) -> str:
        for _ in range(RACES):
            info = self._look(writing=True) or (self._create() if create else None)
            if info is None:
                raise RevisionMissing(f"There is no model {self.address}; spotter train --to makes one.")
            made = self._try(info, title, operations)
            if made:
                self._tag(made)
                return made
        raise LostRace(f"Others publish to {self.address} at the same time, again and again; try later.")

    def _try(self, info: ModelInfo, title: str, operations: Callable[[ModelInfo], list[Operation]]) -> str | None:
        """Commit on top of what was looked at; None when `main` has moved since. A commit whose answer got lost
        moves it too; the next look finds the files there and makes no other."""
        try:
            commit = self._ask(
                lambda: self._api.create_commit(
                    self._repo, operations(info), commit_message=title, parent_commit=info.sha
                ),
                writing=True,
            )
        except LostRace:
            return None
        return commit.oid

    def _look(self, *, writing: bool = False) -> ModelInfo | None:
        """What the repository is and holds, None when there is none yet."""
        if not get_token():
            raise AccessRefused(
                f"To publish to {self.address} you need a token that may write: run .venv/bin/hf auth login, or set "
                "HF_TOKEN."
            )
        try:
            info = self._ask(lambda: self._api.model_info(self._repo), writing=writing)
        except RevisionMissing:
            return None
        if self._private and info.private is False:
            raise StoreUnwritable(
                f"{self.address} is public, though --private was asked for; make it private in its settings on the Hub "
                "or leave out --private."
            )
        return info

    def _check_token(self) -> None:
        """Refuse a token that surely may not write; of a fine-grained one the Hub does not tell."""
        try:
            me = self._ask(self._api.whoami)
        except StoreBusy:
            # The Hub is strict with this question; that it was asked too often says nothing about publishing.
            return
        role = _told(me, "auth", "accessToken", "role")
        if role == "read":
            raise AccessRefused(
                f"Your token may only read, and to publish to {self.address} it must be able to write: make another at "
                "huggingface.co/settings/tokens, and log in with it (hf auth login) or set HF_TOKEN."
            )
        name, orgs = _told(me, "name"), _told(me, "orgs")
        if role == "write" and isinstance(orgs, list):
            owners = {str(each).casefold() for each in (name, *(_told(org, "name") for org in orgs))}
            if self._repo.partition("/")[0].casefold() not in owners:
                raise AccessRefused(
                    f"Your token is one of {name}, who may not write to {self.address}; use another token or owner."
                )

    def _create(self) -> ModelInfo | None:
        self._ask(lambda: self._api.create_repo(self._repo, private=self._private or None, exist_ok=True), writing=True)
        return self._look(writing=True)

    def _published(self, info: ModelInfo, files: set[str]) -> set[str]:
        """The files that Spotter published last."""
        there = {file.rfilename for file in info.siblings or ()}
        if ".gitignore" in there:
            raise StoreUnwritable(
                f"{self.address} has a .gitignore, which may keep files from being published; delete it there first."
            )
        if MODEL_JSON in there and info.sha:
            ours = promised_hashes(self._fetch(MODEL_JSON, info.sha).read_bytes())
            if ours:
                return set(ours) & there
        # A new repository may have a card and a licence.
        if foreign := there & (files - {"README.md"}):
            raise StoreUnwritable(
                f"{self.address} holds files that Spotter did not publish ({min(foreign)}); choose another name."
            )
        return set()

    def _tag(self, commit: str) -> None:
        """Give a version to `commit`, and to those of ours before it that have none; a failure is only told."""
        try:
            self._tag_all(commit)
        except SpotterError as error:
            why = str(error).rstrip(".")
            log.warning(
                "Published to %s as %s, but the version tag could not be set (%s); the next time it will be.",
                self.address,
                commit,
                why,
            )

    def _tag_all(self, commit: str) -> None:
        commits = self._ask(lambda: self._api.list_repo_commits(self._repo))
        ours = [each.commit_id for each in reversed(commits) if _TITLE.fullmatch(each.title)]
        for _ in range(RACES):
            versions = self._versions()
            missing = [each for each in dict.fromkeys([*ours, commit]) if each not in versions.values()]
            first = 1 + max((int(name[1:]) for name in versions), default=0)
            try:
                for number, each in enumerate(missing, first):
                    tag = partial(self._api.create_tag, self._repo, tag=f"v{number}", revision=each)
                    self._ask(tag, writing=True)
            except LostRace:
                continue
            return
        raise LostRace("Others took every version.")

    def _versions(self) -> dict[str, str]:
        tags = self._ask(lambda: self._api.list_repo_refs(self._repo)).tags
        return {tag.name: tag.target_commit for tag in tags if re.fullmatch(r"v[1-9]\d*", tag.name)}

    def _cached(self, wanted: str) -> str | None:
        """The commit in the cache that has this full name, or whose contents have it."""
        if not re.fullmatch(r"[0-9a-f]{40}", wanted):
            return None
        snapshots = self._cache / f"models--{self._repo.replace('/', '--')}" / "snapshots"
        if (snapshots / wanted / MODEL_JSON).is_file():
            return wanted
        named = (path for path in snapshots.glob(f"*/{MODEL_JSON}") if promised_name(path.read_bytes()) == wanted)
        return next((path.parent.name for path in named), None)

    def _find(self, wanted: str) -> str:
        """The commit that the Hub, or without network the cache, knows by this name."""
        try:
            return self._fetch(MODEL_JSON, wanted).parent.name
        except StoreUnreachable:
            # The client looks there itself after most failures, not after a connection that was cut.
            last_known = try_to_load_from_cache(self._repo, MODEL_JSON, self._cache, wanted)
            if not isinstance(last_known, str):
                raise
            return Path(last_known).parent.name
        except RevisionMissing:
            if not _is_digits(wanted):
                raise
            for event in self.history():
                if event.revision.startswith(wanted) or event.contents.startswith(wanted):
                    return event.revision
            raise

    def _fetch(self, name: str, revision: str) -> Path:
        # The client tries again by itself when there is nothing in the cache. It compares sizes alone, and gives what
        # once came damaged, or was damaged on the disk, again and again.
        give = partial(self._api.hf_hub_download, self._repo, name, revision=revision, cache_dir=self._cache)
        path = Path(self._ask(give, waits=()))
        if not _is_whole(path):
            log.warning("%s of %s is damaged in the cache, and fetched again.", name, self.address)
            # Without network, who reads it says that it is damaged.
            with contextlib.suppress(StoreUnreachable):
                path = Path(self._ask(partial(give, force_download=True), waits=()))
        return path


def _serving_files(model_json: bytes) -> Iterator[str]:
    """Names of the other files that serving needs; whether they are right is for the reader of the bundle."""
    yield from (name for name in SERVING_FILES if name != MODEL_JSON)
    hashes = promised_hashes(model_json) or {}
    yield from {INT8_ONNX} & hashes.keys()
    examples = json.loads(model_json).get("examples") if hashes else None
    if isinstance(examples, dict):
        yield from (name for name in examples.values() if isinstance(name, str) and name in hashes)


def _is_whole(path: Path) -> bool:
    """Whether a file in the cache has the hash after which the Hub's client named what it links to: that of git, or
    SHA-256 for large ones. Where it is called otherwise, nobody can tell."""
    told = path.resolve().name
    if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", told):
        return True
    try:
        size = path.stat().st_size
        hash_ = hashlib.sha256() if len(told) == 64 else hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hash_).hexdigest() == told
    except OSError:
        # Who reads it tells.
        return True


def _is_digits(revision: str) -> bool:
    return bool(re.fullmatch(r"[0-9a-f]{7,40}", revision))


def _told(answer: object, *path: str) -> object:
    """What a JSON object holds at a path of keys; None when it does not have it."""
    for key in path:
        answer = answer.get(key) if isinstance(answer, dict) else None
    return answer
