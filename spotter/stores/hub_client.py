"""The client of the Hugging Face Hub: retries where they may help, and every failure as one of ours."""

import errno
import json
import math
import re
import time
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import TypeVar

import httpx2
from huggingface_hub import HfApi, constants, get_token, set_client_factory
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import hf_raise_for_status, parse_ratelimit_headers, validate_repo_id
from huggingface_hub.utils._http import default_client_factory

from spotter.errors import (
    AccessRefused,
    CacheUnwritable,
    LostRace,
    PaymentRequired,
    RevisionMissing,
    SpotterError,
    StoreBusy,
    StoreUnreachable,
    StoreUnwritable,
    UnknownStore,
)
from spotter.utils.http import BackOff, retry_after

T = TypeVar("T")

# Seconds without a byte. The client's own default for most requests is to wait for ever.
SILENCE_S = 60.0
# The longest that a Retry-After is obeyed; a longer one is told instead.
PATIENCE_S = 60
# More than thirty years is a mistake, and counts as nothing.
LONGEST_TOLD_S = 1e9
WAITS_S = (1, 3)
RACES = 4
# What the Hub says while it makes another repository of the same owner. Its client then asks again without end or rest.
_CONFLICT = "another conflicting operation is in progress"
# The last ones are what its client raises when the answer is JSON of another shape.
_FAILURES = (
    httpx2.HTTPError,
    OSError,
    ValueError,
    RuntimeError,
    EntryNotFoundError,
    KeyError,
    TypeError,
    AttributeError,
    IndexError,
)


class HubClient:
    """What talks to one repository of the Hub. The token is the one that the Hub's own client finds (`HF_TOKEN`, or
    that of `hf auth login`).

    Args:
        repo: `owner/name`.
        noun: what the repository is, in messages.
        endpoint: where the Hub answers (None: `HF_ENDPOINT`, or huggingface.co).
        cache: the folder for what is pulled (None: the Hub client's own).
        sleep: for tests.
        silence_s: how long the Hub may be silent; holds for all that this process asks the Hub from now on.

    Raises:
        UnknownStore: the Hub allows no such name.
    """

    _before = "hf://"

    def __init__(
        self,
        repo: str,
        noun: str,
        endpoint: str | None,
        cache: Path | None = None,
        sleep: Callable[[float], None] = time.sleep,
        silence_s: float = SILENCE_S,
    ) -> None:
        try:
            validate_repo_id(repo)
            owned = "/" in repo
        except HFValidationError:
            owned = False
        if not owned:
            hint = ", and --revision apart from it" if noun == "model" else ""
            raise UnknownStore(
                f"{self._before + repo!r} cannot be a {noun} on the Hub; write {self._before}owner/name{hint}."
            )
        _bound_waits(silence_s)
        self._repo, self._noun, self._sleep, self._silence_s = repo, noun, sleep, silence_s
        self._api = HfApi(endpoint=endpoint, library_name="spotter")
        self._cache = cache or Path(constants.HF_HUB_CACHE)

    @property
    def address(self) -> str:
        """What opens it again, such as `hf://owner/name`."""
        return f"{self._before}{self._repo}"

    def _ask(self, call: Callable[[], T], *, writing: bool = False, waits: tuple[float, ...] = WAITS_S) -> T:
        """Call the Hub, again after a while if that may help, and turn what is raised into our errors."""
        # The HTTP client would show a token that it cannot send.
        if not re.fullmatch(r"[!-~]*", get_token() or ""):
            raise AccessRefused(
                "The Hub token holds characters that a token cannot have; set HF_TOKEN again or unset it."
            )
        started = time.monotonic()
        back_off = BackOff(waits)
        for attempt in range(back_off.attempts):
            try:
                return call()
            except _FAILURES as error:
                cause = _cause(error)
                # Where the Hub's client asks again by itself, more of it would take half an hour.
                is_dead = (
                    isinstance(cause, httpx2.TimeoutException) and time.monotonic() - started > 2 * self._silence_s
                )
                pause = back_off.pause(attempt, _told_to_wait(cause))
                if pause is None or is_dead or not _may_pass(cause):
                    raise self._explain(cause, writing=writing) from error
                self._sleep(pause)
        raise AssertionError("the last pause is None")

    def _explain(self, error: BaseException, *, writing: bool) -> SpotterError:
        where = self.address
        page = f"{self._api.endpoint}/{where.removeprefix('hf://')}"
        if isinstance(error, GatedRepoError):
            return AccessRefused(
                f"{where} is gated: accept its terms at {page}, and log in (hf auth login) or set HF_TOKEN."
            )
        if isinstance(error, RepositoryNotFoundError):
            return RevisionMissing(
                f"The Hub shows no {self._noun} {where}: check the name, or, if it is private, log in (hf auth login) "
                "or set HF_TOKEN."
            )
        if isinstance(error, RevisionNotFoundError):
            return RevisionMissing(f"{where} has no such revision; spotter rollback {where} --list shows which it has.")
        if isinstance(error, EntryNotFoundError) and not isinstance(error, FileNotFoundError):
            return RevisionMissing(f"{where} lacks a file that Spotter publishes; it is not a Spotter model.")
        if isinstance(error, HfHubHTTPError):
            return self._explain_status(error, writing=writing)
        if isinstance(error, OfflineModeIsEnabled):
            return StoreUnreachable(
                f"{where} is not in the cache, and HF_HUB_OFFLINE forbids asking the Hub; unset it."
            )
        if isinstance(error, httpx2.TimeoutException):
            return StoreUnreachable(f"The Hub does not answer for {where}; try again later.")
        if isinstance(error, httpx2.HTTPError):
            return StoreUnreachable(f"The Hub cannot be reached for {where} ({type(error).__name__}); try again later.")
        if isinstance(error, OSError) and error.errno in _DISK:
            return CacheUnwritable(
                f"What {where} holds cannot be kept in {str(self._cache)!r} ({error.strerror}); make room there or set "
                "HF_HOME to another folder."
            )
        if str(error).startswith("Invalid metadata in README.md"):
            return StoreUnwritable(f"The Hub refuses the model card for {where}: {_first_sentence(str(error))}.")
        return StoreUnreachable(
            f"The Hub gave a broken answer for {where} ({_first_sentence(str(error))}); try again later."
        )

    def _explain_status(self, error: HfHubHTTPError, *, writing: bool) -> SpotterError:
        where, status = self.address, error.response.status_code
        said = f" (it says: {_first_sentence(error.server_message)})" if error.server_message else ""
        if status == 401 and not get_token():
            return AccessRefused(f"The Hub wants a token for {where}; log in (hf auth login) or set HF_TOKEN.")
        if status == 401:
            return AccessRefused(
                f"The Hub does not accept the token for {where}; log in again (hf auth login) or set HF_TOKEN."
            )
        if status == 402:
            return PaymentRequired(f"The Hub wants to be paid before it takes {where}{said}; look at your plan there.")
        if status == 403:
            right = "write to" if writing else "read"
            return AccessRefused(f"Your token may not {right} {where}{said}; use one that may, or another owner.")
        if status == 404:
            return RevisionMissing(
                f"The Hub shows no {self._noun} {where}, or not this revision of it; check the name."
            )
        if _is_conflict(error.response):
            return StoreBusy(
                f"The Hub is making another repository of the same owner, and cannot make {where} now; "
                "try again in a minute."
            )
        if status in (409, 412):
            return LostRace(f"Others changed {where} just now; try again.")
        if status == 429:
            told = _told_to_wait(error)
            rest = f"wait {told} seconds" if told else "wait some minutes"
            return StoreBusy(f"The Hub was asked too often and refuses to answer for {where}; {rest}.")
        if status >= 500:
            return StoreUnreachable(f"The Hub fails for {where} (HTTP {status}); try again later.")
        kind = StoreUnwritable if writing else StoreUnreachable
        return kind(f"The Hub refuses what was asked of {where} with HTTP {status}{said}.")


_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EIO}


@lru_cache(maxsize=1)
def _bound_waits(silence_s: float) -> None:
    """Let the Hub's client, which all of the process shares, neither wait for ever nor sleep for hours."""
    set_client_factory(partial(_client, silence_s))


def _client(silence_s: float) -> httpx2.Client:
    client = default_client_factory()
    client.event_hooks = {
        "request": [*client.event_hooks["request"], partial(_bound_silence, silence_s)],
        "response": [_refuse_long_waits],
    }
    return client


def _bound_silence(silence_s: float, request: httpx2.Request) -> None:
    limits = request.extensions["timeout"]
    request.extensions["timeout"] = {kind: min(limit or silence_s, silence_s) for kind, limit in limits.items()}


def _refuse_long_waits(response: httpx2.Response) -> None:
    is_long = response.status_code in (429, 503) and _seconds(response) > PATIENCE_S
    if is_long or _is_conflict(response):
        hf_raise_for_status(response)


def _is_conflict(response: httpx2.Response) -> bool:
    return response.status_code == 409 and _CONFLICT in response.read().decode("utf-8", "replace")


def _seconds(response: httpx2.Response) -> int:
    limit = parse_ratelimit_headers(response.headers)
    if response.status_code == 429 and limit and limit.remaining == 0:
        return limit.reset_in_seconds
    told = retry_after(response.headers.get("Retry-After"))
    return math.ceil(told) if told is not None and told < LONGEST_TOLD_S else 0


def _told_to_wait(error: BaseException) -> int:
    return _seconds(error.response) if isinstance(error, HfHubHTTPError) else 0


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        may_pass = status in (408, 429) or status >= 500 or _is_conflict(error.response)
        return may_pass and _told_to_wait(error) <= PATIENCE_S
    return isinstance(error, httpx2.TransportError | json.JSONDecodeError)


def _cause(error: BaseException) -> BaseException:
    """What the Hub's client wrapped into "not in the cache" or "error while uploading"."""
    while isinstance(error, FileNotFoundError | RuntimeError) and error.__cause__:
        error = error.__cause__
    return error


def _first_sentence(text: str | None) -> str:
    words = " ".join((text or "").split()).partition(". ")[0][:200].rstrip(".")
    return "".join(character if character.isprintable() else "?" for character in words)
