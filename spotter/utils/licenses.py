"""What a licence allows, by its SPDX id."""

import re

POLICIES = ("any", "open", "commercial")


def allows(policy: str, license_id: str) -> bool:
    """Whether pictures under `license_id` may be used under a policy.

    "any" takes everything; "commercial" takes known licences without NC (non-commercial); "open" takes those that
    also let others change and share the picture: CC0, the public domain mark, CC BY and CC BY-SA.
    """
    if policy == "any":
        return True
    if policy == "commercial":
        return re.match(r"(CC0|PDM|CC-BY)-", license_id) is not None and "-NC" not in license_id
    return is_open(license_id)


def is_open(license_id: str) -> bool:
    """Whether anyone may show, change and share a picture under this licence (naming its creator where it asks)."""
    return re.match(r"(CC0|PDM|CC-BY(-SA)?)-[0-9]", license_id) is not None


def may_be_shown(backend: str, license_id: str) -> bool:
    """Whether a picture from a source may be published: your own (from a folder), or one under an open licence."""
    return backend == "folder" or is_open(license_id)


UNKNOWN_LICENSE = "unknown"
# Who a picture from a folder is from: nobody asks its owner for a licence.
OWN = "the owner's own"


def origin_cells(source: str, license_id: str) -> tuple[str, str]:
    """A source and a licence as the two cells of a table: "openverse", "CC-BY-4.0"."""
    return (OWN, "–") if source == "folder" else (source, license_id)


def origin_words(source: str, license_id: str) -> str:
    """The same in a few words: "openverse, CC-BY-4.0"."""
    if source == "folder":
        return OWN
    return f"{source}, licence unknown" if license_id == UNKNOWN_LICENSE else f"{source}, {license_id}"
