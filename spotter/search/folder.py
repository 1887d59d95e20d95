"""`folder:PATH`: your own pictures, one sub-folder per class."""

import logging
import mimetypes
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from spotter.errors import FolderMissing
from spotter.names import clean_label, find_name, is_system_name
from spotter.search.base import ImageHit
from spotter.search.fields import listing
from spotter.utils.files import walk_files

logger = logging.getLogger(__name__)


class Folder:
    """Pictures in `PATH/<label>/`, found by the label (case, apostrophes and the characters " ", "-", "_" do not
    matter, and "_" stands for a slash).

    Links are followed, each file once. What is hidden or made by a system (`.Trash-1000`, `@eaDir`, `__MACOSX`) is left
    out.
    """

    name = "folder"
    argument = "PATH"
    searches = False
    by_label = True

    def __init__(self, argument: str) -> None:
        self.root = Path(argument).expanduser()
        if not self.root.is_dir():
            raise FolderMissing(f"There is no folder {str(self.root)!r}; give one that holds a sub-folder per class.")

    def labels(self) -> tuple[str, ...]:
        """The names of the sub-folders that hold a picture, in their order."""
        found = {folder.name: any(map(_is_picture, _files(folder))) for folder in _folders(self.root)}
        without = [name for name, has_picture in found.items() if not has_picture]
        if without:
            logger.warning("%s: no picture in %s, so no class", self.root, listing(without))
        return tuple(clean_label(name) for name, has_picture in found.items() if has_picture)

    def search(self, query: str, limit: int) -> Iterator[ImageHit]:
        """Yield the files under the sub-folder of the label `query`, in the order of their names.

        Raises:
            FolderMissing: there is no such sub-folder, or it cannot be read.
        """
        for rank, path in enumerate(_files(self._folder_of(query))[:limit]):
            yield ImageHit(
                backend=self.name,
                backend_id=path.relative_to(self.root).as_posix(),
                query=query,
                rank=rank,
                path=path,
                title=path.stem,
            )

    def _folder_of(self, label: str) -> Path:
        folders = {folder.name: folder for folder in _folders(self.root)}
        name = find_name(label, folders)
        if name is None:
            raise FolderMissing(
                f"{str(self.root)!r} has no sub-folder for the class {label!r}; it has {listing(folders)}."
            )
        return folders[name]


def _folders(root: Path) -> list[Path]:
    try:
        return sorted(path for path in root.iterdir() if path.is_dir() and not is_system_name(path.name))
    except OSError as error:
        raise _unreadable(root, error) from error


def _files(folder: Path) -> list[Path]:
    try:
        return walk_files(folder)
    except OSError as error:
        raise _unreadable(folder, error) from error


def _unreadable(folder: Path, error: OSError) -> FolderMissing:
    return FolderMissing(f"{str(error.filename or folder)!r} cannot be read: {error.strerror or error}.")


def _is_picture(path: Path) -> bool:
    return _kind(path.suffix.lower()).startswith("image/")


@cache
def _kind(suffix: str) -> str:
    return mimetypes.guess_type(f"picture{suffix}", strict=False)[0] or ""
