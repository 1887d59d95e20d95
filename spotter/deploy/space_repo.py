"""A Space on the Hugging Face Hub: its files, variables, hardware and what it is doing."""

import contextlib
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationCopy,
    CommitOperationDelete,
    SpaceHardware,
    SpaceRuntime,
    get_token,
)
from huggingface_hub.hf_api import SpaceInfo

from spotter.errors import (
    AccessRefused,
    LostRace,
    PaymentRequired,
    RevisionMissing,
    SpaceFailed,
    SpotterError,
    StoreUnwritable,
)
from spotter.stores.hub_client import SILENCE_S, HubClient
from spotter.web.site import SITE_JSON, UNLISTED, read_site

HARDWARE = tuple(item.value for item in SpaceHardware)
CPU, ZERO_GPU = SpaceHardware.CPU_BASIC.value, SpaceHardware.ZERO_A10G.value
POLL_S = 5.0
GRADIO, STATIC = "gradio", "static"
# A Space whose head has these files is one that we deployed, of this kind.
MARKS = {GRADIO: {"spotter/inference/predictor.py"}, STATIC: {SITE_JSON, "spotter.js"}}
# The files of ours in an app; those of a site are in its own list.
APP_FILE = re.compile(r"spotter/.*|app(_zero)?\.py|requirements\.txt")
_FAILED = {"BUILD_ERROR", "RUNTIME_ERROR", "CONFIG_ERROR", "NO_APP_FILE", "DELETING"}
_ASLEEP = {"PAUSED", "STOPPED", "SLEEPING"}


@dataclass(frozen=True)
class SpaceState:
    """What there was before: the commit, its files, the variables that we set; which kind of ours it was, GRADIO or
    STATIC ("": it held nothing), and which files of it are ours."""

    commit: str
    files: frozenset[str]
    variables: Mapping[str, str]
    kind: str
    ours: frozenset[str]


class SpaceRepo(HubClient):
    """A Space.

    Args:
        repo: `owner/name`.
        endpoint: where the Hub answers (None: `HF_ENDPOINT`, or huggingface.co).
        sleep, silence_s: for tests, as in `HubClient`.

    Raises:
        UnknownStore: the Hub allows no such name.
    """

    def __init__(
        self,
        repo: str,
        *,
        endpoint: str | None = None,
        sleep: Callable[[float], None] = time.sleep,
        silence_s: float = SILENCE_S,
    ) -> None:
        super().__init__(repo, "Space", endpoint, sleep=sleep, silence_s=silence_s)

    @property
    def endpoint(self) -> str:
        """The address of its Hub."""
        return str(self._api.endpoint)

    @property
    def page(self) -> str:
        """The address of its page on the Hub."""
        return f"{self.endpoint}/spaces/{self._repo}"

    def state(self, variables: Iterable[str]) -> SpaceState | None:
        """What it holds now, and what `variables` of it are set to; None when there is no such Space.

        Raises:
            AccessRefused, StoreUnreachable (StoreBusy): the Hub does not tell.
            StoreUnwritable: it is somebody's other Space.
        """
        info = self._look()
        if info is None or info.sha is None:
            return None
        files = frozenset(file.rfilename for file in info.siblings or ())
        kind = next((kind for kind, marks in MARKS.items() if marks <= files), "")
        if not kind and files - {".gitattributes", "README.md"}:
            raise StoreUnwritable(f"{self.address} is a Space that Spotter did not deploy; choose another name.")
        ours = self._listed(info.sha) if kind == STATIC else filter(APP_FILE.fullmatch, files)
        return SpaceState(info.sha, files, self._variables(variables), kind, frozenset(ours) & files)

    def hardware(self) -> str | None:
        """What it runs on, or will."""
        runtime = self._runtime()
        return runtime.requested_hardware or runtime.hardware

    def create(self, hardware: str | None, instead: str) -> None:
        """Make an empty Space.

        Args:
            hardware: None: a static Space, which needs none. instead: in words, what to do when the Hub wants money.

        Raises:
            PaymentRequired: the Hub wants a plan or a payment method first.
            AccessRefused, StoreUnreachable, StoreUnwritable: it refuses.
        """
        try:
            self._ask(
                lambda: self._api.create_repo(
                    self._repo,
                    repo_type="space",
                    space_sdk=GRADIO if hardware else STATIC,
                    space_hardware=SpaceHardware(hardware) if hardware else None,
                ),
                writing=True,
            )
        except PaymentRequired as error:
            raise _with_choices(error, instead) from error

    def move(self, hardware: str, instead: str) -> None:
        """Ask for other hardware. Raises as `create`."""
        try:
            self._ask(lambda: self._api.request_space_hardware(self._repo, SpaceHardware(hardware)), writing=True)
        except PaymentRequired as error:
            raise _with_choices(error, instead) from error

    def set_variables(self, variables: Mapping[str, str], known: Mapping[str, str]) -> None:
        """Set `variables`, and no other of those `known` to be there. Each that differs restarts the Space."""
        for name in sorted(known.keys() - variables.keys()):
            # Gone already where the answer to the first try got lost.
            with contextlib.suppress(RevisionMissing):
                self._ask(lambda name=name: self._api.delete_space_variable(self._repo, name), writing=True)  # type: ignore[misc]
        for name, value in variables.items():
            if known.get(name) != value:
                self._ask(
                    lambda name=name, value=value: self._api.add_space_variable(self._repo, name, value),  # type: ignore[misc]
                    writing=True,
                )

    def push(self, files: Mapping[str, bytes], before: SpaceState | None, title: str) -> str:
        """Put `files` there as one commit, without older ones of ours; return the commit.

        Raises:
            LostRace: others changed it just now.
            AccessRefused, StoreUnreachable, StoreUnwritable: the Hub does not take them.
        """
        old = before.ours if before else frozenset()
        operations = [
            *(CommitOperationAdd(name, content) for name, content in sorted(files.items())),
            *(CommitOperationDelete(name) for name in sorted(old - files.keys())),
        ]
        parent = before.commit if before else None
        try:
            return self._commit(operations, title, parent)
        except LostRace:
            # Lost perhaps to ourselves: a commit whose answer did not arrive was asked for again.
            newest = self._ask(lambda: self._api.list_repo_commits(self._repo, repo_type="space"))[:2]
            if [each.title for each in newest[:1]] != [title] or newest[-1].commit_id != parent:
                raise
            return newest[0].commit_id

    def restore(self, before: SpaceState, failed: str | None, variables: Iterable[str]) -> None:
        """Put back the files and `variables` as they were, the files on top of the commit that failed, if there is one.
        Raises as `push`."""
        if failed not in {None, before.commit}:
            info = self._look()
            there = {file.rfilename for file in (info.siblings if info else None) or ()}
            kept = sorted(before.files - {".gitattributes"})
            operations = [
                *(CommitOperationCopy(name, name, src_revision=before.commit) for name in kept),
                *(CommitOperationDelete(name) for name in sorted(there - before.files)),
            ]
            self._commit(operations, f"Roll back to {before.commit}", failed)
        # Perhaps only some of them were changed.
        self.set_variables(before.variables, self._variables(variables))

    def wait(self, commit: str, patience_s: float, say: Callable[[str], None]) -> str:
        """Wait until `commit` runs; wake the Space if it sleeps. Return its address.

        Raises:
            SpaceFailed: it was not built, does not start, or takes longer than `patience_s`.
        """
        waited, stage, woken = 0.0, "", False
        while True:
            asked = time.monotonic()
            runtime = self._runtime()
            # A Hub that is slow to answer takes of the time too.
            waited += time.monotonic() - asked
            if runtime.stage != stage:
                stage = str(getattr(runtime.stage, "value", runtime.stage))
                say(f"the Space is {stage}")
            is_ours = runtime.raw.get("sha") in (None, commit)
            if stage == "RUNNING" and is_ours:
                return self._url()
            if stage in _FAILED and is_ours:
                log = f"{self.page}?logs={'container' if stage == 'RUNTIME_ERROR' else 'build'}"
                raise SpaceFailed(f"{self.address} ends in {stage}{self._reason(runtime)}; its log is at {log}.")
            if stage in _ASLEEP and not woken:
                self._ask(lambda: self._api.restart_space(self._repo), writing=True)
                woken = True
            if waited >= patience_s:
                raise SpaceFailed(
                    f"{self.address} does not run after {waited / 60:.0f} minutes ({stage}); look at {self.page}."
                )
            self._sleep(POLL_S)
            waited += POLL_S

    def _commit(self, operations: list, title: str, parent: str | None) -> str:
        return self._ask(
            lambda: self._api.create_commit(
                self._repo, operations, repo_type="space", commit_message=title, parent_commit=parent
            ),
            writing=True,
        ).oid

    def _listed(self, commit: str) -> set[str]:
        """The files of a site that is there, by its own list."""
        path = self._ask(
            lambda: self._api.hf_hub_download(
                self._repo, SITE_JSON, repo_type="space", revision=commit, cache_dir=self._cache
            )
        )
        site = read_site(Path(path).read_bytes())
        return {*site["files"], *UNLISTED} if site else set()

    def _variables(self, names: Iterable[str]) -> dict[str, str]:
        there = self._ask(lambda: self._api.get_space_variables(self._repo), writing=True)
        return {name: there[name].value for name in names if name in there}

    def _look(self) -> SpaceInfo | None:
        if not get_token():
            raise AccessRefused(
                f"To deploy to {self.address} you need a token that may write: run .venv/bin/hf auth login, or set "
                "HF_TOKEN."
            )
        try:
            return self._ask(lambda: self._api.space_info(self._repo), writing=True)
        except RevisionMissing:
            return None

    def _runtime(self) -> SpaceRuntime:
        return self._ask(lambda: self._api.get_space_runtime(self._repo), writing=True)

    def _url(self) -> str:
        info = self._look()
        if info and info.host:
            return info.host
        name = self._repo.replace("/", "-").replace("_", "-").replace(".", "-").lower()
        return f"https://{name}{'.static' if info and info.sdk == STATIC else ''}.hf.space"

    def _reason(self, runtime: SpaceRuntime) -> str:
        """What the Hub says about a failure: its message, or else the last line of the log."""
        said = str(runtime.raw.get("errorMessage") or "")
        if not said:
            is_build = runtime.stage != "RUNTIME_ERROR"
            try:
                lines = self._ask(lambda: list(self._api.fetch_space_logs(self._repo, build=is_build)), waits=())
            except SpotterError:
                # The stage alone is told then; the log is for looks.
                lines = []
            said = next((line for line in reversed(lines) if line.strip()), "")
        said = " ".join(said.split())
        return f" (it says: {said[-300:].rstrip('.')})" if said else ""


def _with_choices(error: PaymentRequired, instead: str) -> PaymentRequired:
    return PaymentRequired(f"{str(error).partition('; ')[0]}; {instead}.")
