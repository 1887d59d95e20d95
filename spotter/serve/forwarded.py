"""The address by which visitors know the app, as a proxy in front of it tells it in `X-Forwarded-...`."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

# Without a folder of dots, or an empty one: an address of another site begins with two slashes.
_FOLDER = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")
_HOST = re.compile(r"[A-Za-z0-9._-]+(:[0-9]{1,5})?|\[[0-9a-fA-F:.]+\](:[0-9]{1,5})?")


def public_address(scope: Mapping[str, Any], headers: Mapping[str, str]) -> str:
    """The address that whoever asks uses for the app, without a slash at its end; "" where nobody says.

    A proxy says it in `X-Forwarded-Host`, `X-Forwarded-Proto` and `X-Forwarded-Prefix`. It goes into nothing but the
    answer to whoever wrote these headers.
    """
    host = public_host(headers)
    proto = forwarded(headers, "proto") or str(scope.get("scheme", "http"))
    if not _HOST.fullmatch(host) or proto not in {"http", "https"}:
        return ""
    return f"{proto}://{host}{quote(str(scope.get('root_path', '')).rstrip('/'))}{path_prefix(headers)}"


def path_prefix(headers: Mapping[str, str]) -> str:
    """The folder, such as "/bears", below which whoever asks finds the app, and which a proxy takes off the path; else
    "". The proxy says it in `X-Forwarded-Prefix`.
    """
    prefix = forwarded(headers, "prefix").rstrip("/")
    return prefix if _FOLDER.fullmatch(prefix) else ""


def public_host(headers: Mapping[str, str]) -> str:
    """The name by which whoever asks knows this machine, as it was sent; "" where nobody says."""
    return forwarded(headers, "host") or headers.get("host", "")


def forwarded(headers: Mapping[str, str], what: str) -> str:
    """What the proxy next to whoever asks says in `X-Forwarded-...`; "" where none does."""
    return headers.get(f"x-forwarded-{what}", "").split(",")[0].strip()
