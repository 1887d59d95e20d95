"""`manifest:FILE`: the pictures of an earlier run again, from the addresses and with the hashes that it wrote down."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spotter.errors import FolderMissing, SourceUnavailable
from spotter.names import clean_label, find_names
from spotter.search.base import ImageHit
from spotter.search.fields import link, number, text
from spotter.utils.licenses import UNKNOWN_LICENSE

logger = logging.getLogger(__name__)


class Manifest:
    """The kept pictures of a `manifest.jsonl`, found by their label; each must still have the bytes it had then.

    Pictures that had no address (from a folder, or drawn) are left out, with a warning that counts them. No limits
    and no key; where the addresses lead has rules of its own.

    Args:
        argument: the path of the file, or of the folder that holds it.

    Raises:
        FolderMissing: there is no such file, or it cannot be read.
        SourceUnavailable: it is no manifest.
    """

    name = "manifest"
    argument = "FILE"
    searches = False
    by_label = True

    def __init__(self, argument: str) -> None:
        path = Path(argument).expanduser()
        self.path = path / "manifest.jsonl" if path.is_dir() else path
        self._lines = self._read()

    def labels(self) -> tuple[str, ...]:
        """The labels of the pictures that can be had, each once, in the order of the file."""
        return tuple(dict.fromkeys(clean_label(str(line.get("label"))) for line in self._lines if _to_hit(line)))

    def search(self, query: str, limit: int) -> Iterator[ImageHit]:
        """Yield the pictures of the label `query` as hits of the sources that they came from.

        Raises:
            FolderMissing: the manifest keeps none for this label.
        """
        labels = set(find_names(query, dict.fromkeys(str(line.get("label")) for line in self._lines)))
        mine = [line for line in self._lines if str(line.get("label")) in labels]
        hits = [hit for line in mine if (hit := _to_hit(line)) is not None]
        if len(hits) < len(mine):
            logger.warning(
                "%s: %d of %d pictures have no address and are left out", query, len(mine) - len(hits), len(mine)
            )
        if not hits:
            found = (
                ", ".join(repr(label) for label in sorted({str(line.get("label")) for line in self._lines}))
                or "no class"
            )
            raise FolderMissing(f"{str(self.path)!r} has no address for the class {query!r}; it has {found}.")
        yield from hits[:limit]

    def _read(self) -> list[dict[str, Any]]:
        try:
            lines = [json.loads(line) for line in self.path.read_bytes().split(b"\n") if line]
        except OSError as error:
            raise FolderMissing(
                f"The manifest {str(self.path)!r} cannot be read: {error.strerror or error}."
            ) from error
        except ValueError as error:
            raise SourceUnavailable(f"{str(self.path)!r} is not a manifest: {error}.") from error
        if not all(isinstance(line, dict) for line in lines):
            raise SourceUnavailable(f"{str(self.path)!r} is not a manifest: each line must be a JSON object.")
        return [line for line in lines if line.get("decision") == "kept"]


def _to_hit(line: dict[str, Any]) -> ImageHit | None:
    address, digest = link(line.get("image_url")), text(line.get("original_sha256"))
    if address is None or digest is None:
        return None
    backend = text(line.get("backend"))
    return ImageHit(
        # A picture from a folder is one's own, and has no address: a line that says otherwise makes nothing one's own.
        backend=backend if backend and backend != "folder" else Manifest.name,
        backend_id=text(line.get("backend_id")) or address,
        query=text(line.get("query")) or "",
        rank=number(line.get("rank")) or 0,
        image_url=address,
        thumb_url=link(line.get("thumb_url")),
        page_url=link(line.get("page_url")),
        title=text(line.get("title")),
        mime=text(line.get("mime")),
        creator=text(line.get("creator")),
        creator_url=link(line.get("creator_url")),
        license_id=text(line.get("license_id")) or UNKNOWN_LICENSE,
        license_url=link(line.get("license_url")),
        attribution=text(line.get("attribution")),
        sha256=digest,
        fetched_at=text(line.get("fetched_at")),
    )
