"""Reading fields of other people's JSON, where anything may be missing, null or of another type."""

import re
from collections.abc import Iterable
from typing import Any

from spotter.utils.licenses import UNKNOWN_LICENSE

MAX_LISTED = 20

_CC = {"by", "by-sa", "by-nd", "by-nc", "by-nc-sa", "by-nc-nd"}


def text(value: Any) -> str | None:
    """A non-empty string, or None. Halves of characters, which JSON can hold but no file, become "?"."""
    return value.encode(errors="replace").decode().strip() or None if isinstance(value, str) else None


def link(value: Any) -> str | None:
    """An http(s) address, or None. Addresses that begin with // get https."""
    address = text(value)
    if address and address.startswith("//"):
        address = f"https:{address}"
    return address if address and re.match(r"https?://", address, re.IGNORECASE) else None


def number(value: Any) -> int | None:
    """A positive whole number (also written as text), or None."""
    try:
        whole = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return whole if whole > 0 and not isinstance(value, bool) else None


def items(value: Any) -> list[dict[str, Any]]:
    """The JSON objects in a list; [] when it is no list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def table(value: Any) -> dict[str, Any]:
    """A JSON object; {} when it is none."""
    return value if isinstance(value, dict) else {}


def same_name(first: str, second: str) -> bool:
    """Whether two labels are the same but for case and the characters " ", "-", "_"."""

    def key(name: str) -> str:
        return "".join(character for character in name.casefold() if character not in " -_")

    return key(first) == key(second)


def listing(names: Iterable[str]) -> str:
    """Names for a message, sorted; no more than 20 of them, for there may be thousands."""
    known = sorted(set(names))
    shown = ", ".join(map(repr, known[:MAX_LISTED])) or "none at all"
    return f"{shown} and {len(known) - MAX_LISTED} more" if len(known) > MAX_LISTED else shown


def creative_commons(code: Any, version: Any = None) -> str:
    """The SPDX id of a Creative Commons code such as "by-sa", "CC BY-SA 4.0", "cc0", "pdm"; else "unknown".

    CC0 and the public domain mark have one version; a licence without a version is "unknown": its terms differ.
    """
    words = (text(code) or "").lower().replace("_", "-")
    found = re.fullmatch(r"[0-9]\.[0-9]", text(version) or "") or re.search(r"[0-9]\.[0-9]", words)
    number_ = found[0] if found else None
    words = re.sub(r"[\s-]*[0-9]\.[0-9].*", "", words, flags=re.DOTALL).strip()
    if words in {"cc0", "cc-zero", "cc0-1", "zero"}:
        return "CC0-1.0"
    if words in {"pdm", "mark", "pd"}:
        return "PDM-1.0"
    kind = re.sub(r"^cc[ -]", "", words).replace(" ", "-")
    return f"CC-{kind.upper()}-{number_}" if kind in _CC and number_ else UNKNOWN_LICENSE


def credit(title: str | None, creator: str | None, license_id: str) -> str | None:
    """The sentence that a Creative Commons licence asks to show; None for an unknown licence."""
    if license_id == UNKNOWN_LICENSE:
        return None
    kind, _, version = license_id.rpartition("-")
    work = f'"{title}"' if title else "This picture"
    verb = "licensed under" if kind.startswith("CC-") else "marked with"
    name = "Public Domain Mark" if kind == "PDM" else kind.replace("CC-", "CC ", 1)
    return f"{work}{f' by {creator}' if creator else ''} is {verb} {name} {version}."
