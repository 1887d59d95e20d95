"""The takedown list: pictures that must not be in any picture set."""

import re
from pathlib import Path

from spotter.data.dataset import Record
from spotter.errors import DatasetUnwritable
from spotter.search.base import ImageHit

# In the folder that keeps all picture sets.
LIST = "takedown.txt"


class Takedown:
    """A text file with an entry a line: the address of a picture, page or creator, or the SHA-256 of a picture's file.

    Empty lines and what follows a # at the start of a line are skipped; an absent file takes nothing down.

    Raises:
        DatasetUnwritable: the file is there and cannot be read: nothing may be collected without it.
    """

    def __init__(self, path: Path | None = None) -> None:
        lines: list[str] = []
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines() if path and path.exists() else []
        except (OSError, UnicodeDecodeError) as error:
            raise DatasetUnwritable(f"The takedown list {str(path)!r} cannot be read; repair it first.") from error
        self._entries = {_plain(line) for line in lines if line.strip() and not line.lstrip().startswith("#")}

    def covers(self, picture: Record | ImageHit) -> bool:
        """Whether an address or a hash of a record or hit is on the list."""
        names = ("image_url", "final_url", "thumb_url", "page_url", "creator_url", "sha256", "original_sha256")
        values = (getattr(picture, name, None) for name in names)
        return any(value and _plain(value) in self._entries for value in values)


def _plain(entry: str) -> str:
    # The same page is known with and without https, "www." and a slash at its end.
    return re.sub(r"^https?://(www\.)?", "", entry.strip(), flags=re.IGNORECASE).rstrip("/")
