"""Posting JSON to a webhook."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from spotter.errors import WebhookFailed
from spotter.utils.http import retry_after

if TYPE_CHECKING:
    import httpx2

TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Refusal:
    """Why a webhook did not take something. `asked_s` are the seconds that it asks to wait, None if it says nothing;
    `is_final` says that trying again will not help."""

    reason: str
    asked_s: float | None = None
    is_final: bool = False


def check_url(url: str) -> None:
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


def host_of(url: str) -> str:
    """The host of a webhook's address; the rest of it may hold a secret."""
    return str(urlsplit(url).hostname)


def open_client() -> "httpx2.Client":
    """A client for `post_once`, to be closed after use."""
    # Here: an app that only looks for alerts starts sooner without it.
    import httpx2

    return httpx2.Client(timeout=TIMEOUT_S)


def post_once(client: "httpx2.Client", url: str, content: dict[str, Any], key: str = "") -> Refusal | None:
    """Post JSON once; None when it was taken.

    Args:
        key: the same for what is the same, so that the receiver can tell what it got twice (`Idempotency-Key`).
    """
    import httpx2

    try:
        answer = client.post(url, json=content, headers={"Idempotency-Key": key} if key else None)
    except httpx2.HTTPError as error:
        return Refusal(type(error).__name__)
    if answer.is_success:
        return None
    reason = f"HTTP {answer.status_code}"
    if answer.status_code != 429 and answer.status_code < 500:
        return Refusal(reason, is_final=True)
    return Refusal(reason, retry_after(answer.headers.get("Retry-After")))
