"""HTTP: Retry-After, a back-off where the service names no time, and posts to a webhook."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from spotter.errors import WebhookFailed

# What a webhook may take.
TIMEOUT_S = 10.0


def retry_after(value: str | None) -> float | None:
    """Read a Retry-After header.

    Returns:
        The seconds that it asks for, at least 0 and perhaps infinite; None where there is no header, or where it is
        neither a number nor a date.
    """
    told = (value or "").strip()
    # Not str.isdecimal() and the like: they take digits of other scripts, some of which are no numbers.
    if re.fullmatch(r"[0-9]+", told):
        return float(told)
    try:
        moment = parsedate_to_datetime(told)
    except (ValueError, OverflowError):
        return None
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


@dataclass(frozen=True)
class BackOff:
    """How often to ask a service, and how long to wait in between.

    Args:
        pauses_s: the seconds before each further attempt, so there is one attempt more than pauses.
        longest_s: the longest pause, whatever the service asks for.
        may_shorten: wait only as long as the service asks for even where that is shorter than our own pause.
    """

    pauses_s: Sequence[float]
    longest_s: float = math.inf
    may_shorten: bool = False

    @property
    def attempts(self) -> int:
        """How often to ask at most."""
        return len(self.pauses_s) + 1

    def pause(self, attempt: int, asked: float | None = None) -> float | None:
        """The seconds to wait after a failed attempt; None after the last one.

        Args:
            attempt: counted from 0.
            asked: what `retry_after` read.
        """
        if attempt >= len(self.pauses_s):
            return None
        pause = self.pauses_s[attempt]
        if asked is not None:
            pause = asked if self.may_shorten else max(asked, pause)
        return min(pause, self.longest_s)


# Where nobody ever answered, there is mostly no internet, and waiting longer does not bring it.
FIRST_CONTACT = BackOff((0.5,))


@dataclass(frozen=True)
class Refusal:
    """Why a webhook did not take something. `asked_s` are the seconds that it asks to wait, None if it says nothing;
    `is_final` says that trying again will not help."""

    reason: str
    asked_s: float | None = None
    is_final: bool = False


def check_webhook(url: str) -> None:
    """Raises:
    WebhookFailed: it is no address that a webhook can have.
    """
    try:
        parts = urlsplit(url)
        is_fine = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_fine = False
    if not is_fine:
        raise WebhookFailed("The webhook must be an address that begins with http:// or https://.")


class Webhook:
    """Posts JSON to an address; to be closed after use.

    Raises:
        WebhookFailed: it is no address that a webhook can have.
    """

    def __init__(self, url: str) -> None:
        check_webhook(url)
        # Here: an app that only looks for alerts starts sooner without it.
        import httpx2

        self._url, self._client, self._failure = url, httpx2.Client(timeout=TIMEOUT_S), httpx2.HTTPError

    @property
    def host(self) -> str:
        """Its host; the rest of the address may hold a secret."""
        return str(urlsplit(self._url).hostname)

    def post(self, content: dict[str, Any], key: str = "") -> Refusal | None:
        """Post once; None when it was taken.

        Args:
            key: the same for what is the same, so that the receiver can tell what came twice (`Idempotency-Key`).
        """
        try:
            answer = self._client.post(self._url, json=content, headers={"Idempotency-Key": key} if key else None)
        except self._failure as error:
            return Refusal(type(error).__name__)
        if answer.is_success:
            return None
        reason = f"HTTP {answer.status_code}"
        if answer.status_code != 429 and answer.status_code < 500:
            return Refusal(reason, is_final=True)
        return Refusal(reason, retry_after(answer.headers.get("Retry-After")))

    def close(self) -> None:
        """Close the connection."""
        self._client.close()
