"""Reading fields of other people's JSON, where anything may be missing, null or of another type; and files of lists."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from spotter.errors import FolderMissing, SourceUnavailable
from spotter.utils.licenses import UNKNOWN_LICENSE

MAX_LISTED = 20

_CC = {"by", "by-sa", "by-nd", "by-nc", "by-nc-sa", "by-nc-nd"}
_VERSIONS = {"1.0", "2.0", "2.5", "3.0", "4.0"}
# The licences for one country (or for the UN's organisations) that SPDX has an id for.
_PORTED = {
    "CC-BY-2.5-AU", "CC-BY-3.0-AT", "CC-BY-3.0-AU", "CC-BY-3.0-DE", "CC-BY-3.0-IGO", "CC-BY-3.0-NL", "CC-BY-3.0-US",
    "CC-BY-NC-3.0-DE", "CC-BY-NC-ND-3.0-DE", "CC-BY-NC-ND-3.0-IGO", "CC-BY-NC-SA-2.0-DE", "CC-BY-NC-SA-2.0-FR",
    "CC-BY-NC-SA-2.0-UK", "CC-BY-NC-SA-3.0-DE", "CC-BY-NC-SA-3.0-IGO", "CC-BY-ND-3.0-DE", "CC-BY-SA-2.0-UK",
    "CC-BY-SA-2.1-JP", "CC-BY-SA-3.0-AT", "CC-BY-SA-3.0-DE", "CC-BY-SA-3.0-IGO",
}  # fmt: skip
_COUNTRIES = {"germany": "de", "austria": "at", "australia": "au", "netherlands": "nl", "france": "fr", "japan": "jp"}
# Behind a version, these say that the licence is for no country.
_NO_COUNTRY = {
    "",
    "unported",
    "international",
    "intl",
    "int",
    "generic",
    "deed",
    "en",
    "legalcode",
    "license",
    "licence",
}


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


def listing(names: Iterable[str]) -> str:
    """Names for a message, sorted; no more than 20 of them, for there may be thousands."""
    known = sorted(set(names))
    shown = ", ".join(map(repr, known[:MAX_LISTED])) or "none at all"
    return f"{shown} and {len(known) - MAX_LISTED} more" if len(known) > MAX_LISTED else shown


def creative_commons(code: Any, version: Any = None, url: Any = None) -> str:
    """The SPDX id of a Creative Commons code such as "by-sa", "CC BY-SA 3.0 de", "cc0", "pdm"; else "unknown".

    A licence for one country keeps it: its terms differ. It is taken from the address `url` of the licence too. Where
    SPDX has no id for the country, the licence is "unknown", and so is one without a version. CC0 and the public domain
    mark have one version.
    """
    words = (text(code) or "").lower().replace("_", "-")
    found = re.search(r"[0-9]\.[0-9]", words)
    behind = words[found.end() :] if found else ""
    given = re.fullmatch(r"[0-9]\.[0-9]", text(version) or "") or found
    number_ = given[0] if given else None
    words = re.sub(r"[\s-]*[0-9]\.[0-9].*", "", words, flags=re.DOTALL).strip()
    if words in {"cc0", "cc-zero", "cc0-1", "zero"}:
        return "CC0-1.0"
    if words in {"pdm", "mark", "pd"}:
        return "PDM-1.0"
    kind = re.sub(r"^cc[ -]", "", words).replace(" ", "-")
    if kind not in _CC or not number_:
        return UNKNOWN_LICENSE
    plain = f"CC-{kind.upper()}-{number_}"
    in_url = re.search(rf"/licenses/{kind}/{re.escape(number_)}/(\w+)", (text(url) or "").lower())
    # Of several versions ("4.0,3.0,2.5") the first counts.
    country = _country(behind.partition(",")[0]) or _country(in_url[1] if in_url else "")
    if country:
        ported = f"{plain}-{country.upper()}"
        return ported if ported in _PORTED else UNKNOWN_LICENSE
    return plain if number_ in _VERSIONS else UNKNOWN_LICENSE


def _country(words: str) -> str:
    """The country behind the version of a licence; "" when there is none."""
    named = [word for word in re.split(r"[^a-z]+", words) if word not in _NO_COUNTRY]
    return _COUNTRIES.get(named[0], named[0]) if named else ""


def credit(title: str | None, creator: str | None, license_id: str) -> str | None:
    """The sentence that a Creative Commons licence asks to show; None for an unknown licence."""
    if license_id == UNKNOWN_LICENSE:
        return None
    found = re.fullmatch(r"CC-([A-Z-]+)-([0-9.]+)(?:-([A-Z]+))?", license_id)
    if found:
        kind, version = f"CC {found[1]}", " ".join(part for part in found.groups()[1:] if part)
    else:
        kind, _, version = license_id.rpartition("-")
    work = f'"{title}"' if title else "This picture"
    verb = "licensed under" if kind.startswith("CC ") else "marked with"
    name = "Public Domain Mark" if kind == "PDM" else kind
    return f"{work}{f' by {creator}' if creator else ''} is {verb} {name} {version}."


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Say in a sentence why a list of pictures at `path` cannot be read.

    Raises:
        FolderMissing: the file cannot be read. SourceUnavailable: it is not UTF-8.
    """
    try:
        yield
    except OSError as error:
        raise FolderMissing(f"{str(path)!r} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise SourceUnavailable(f"{str(path)!r} is not UTF-8; save it as UTF-8.") from error
