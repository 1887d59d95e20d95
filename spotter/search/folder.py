"""`folder:PATH`: your own pictures, one sub-folder per class."""

import logging
import mimetypes
from collections.abc import Iterator
from functools import cache, cached_property
from pathlib import Path

from spotter.errors import FolderMissing
from spotter.names import clean_label, find_names, is_system_name, merge_alike
from spotter.search.base import ImageHit
from spotter.search.fields import listing
from spotter.utils.files import walk_files

logger = logging.getLogger(__name__)

# What fastai's users and others call the parts of a data set, in lower case.
_TRAIN, _VALID, _TEST = ("train", "training"), ("valid", "val", "validation", "dev"), ("test", "testing")
_SPLITS = {*_TRAIN, *_VALID, *_TEST}

# Endings of the formats that are read. `mimetypes` has some of them, such as .jfif, only from a file of the system,
# which small containers do not have.
_ENDINGS = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".gif", ".bmp", ".dib", ".avif"})


class Folder:
    """Pictures in `PATH/<label>/`, found by the label (case, apostrophes and the characters " ", "-", "_" do not
    matter, and "_" stands for a slash).

    Links are followed, each file once. What is hidden or made by a system (`.Trash-1000`, `@eaDir`, `__MACOSX`) is left
    out.

    If the sub-folders are `train` and `valid` (or `val`, `validation`, `test`) with a sub-folder for each class in
    them, the split is kept: the pictures of `valid` are held out, those of a `test` beside it are left out.
    """

    name = "folder"
    argument = "PATH"
    searches = False
    by_label = True

    def __init__(self, argument: str) -> None:
        self.root = Path(argument).expanduser()
        if not self.root.is_dir():
            raise FolderMissing(f"There is no folder {str(self.root)!r}; give one that holds a sub-folder per class.")
        self._parts = _parts(self.root)
        # What tells it from others that were given with it.
        self.origin: str | None = None

    def labels(self) -> tuple[str, ...]:
        """The names of the sub-folders that hold a picture, in their order, once where they differ only in case or
        punctuation."""
        return self._labels

    @cached_property
    def _labels(self) -> tuple[str, ...]:
        found = {folder.name: _has_picture(folder) for folder in _folders(self._parts[0][0])}
        without = [name for name, has_picture in found.items() if not has_picture]
        if without:
            logger.warning("%s: no picture in %s, so no class", self.root, listing(without))
        own = [name for name, has_picture in found.items() if has_picture]
        for part, _ in self._parts[1:]:
            unknown = [each.name for each in _folders(part) if not find_names(each.name, own) and _has_picture(each)]
            if unknown:
                logger.warning("%s: there is nothing to learn %s from, so no class", part, listing(unknown))
        return tuple(merge_alike(map(clean_label, own)))

    def search(self, query: str, limit: int) -> Iterator[ImageHit]:
        """Yield the files under the sub-folder of the label `query`, in the order of their names.

        Raises:
            FolderMissing: there is no such sub-folder, or it cannot be read.
        """
        found = [(path, split) for folder, split in self._folders_of(query) for path in _files(folder)]
        for rank, (path, split) in enumerate(found[:limit]):
            yield ImageHit(
                backend=self.name,
                backend_id=path.relative_to(self.root).as_posix(),
                query=query,
                rank=rank,
                path=path,
                title=path.stem,
                split=split,
                origin=self.origin,
            )

    def _folders_of(self, label: str) -> list[tuple[Path, str | None]]:
        found = []
        for part, split in self._parts:
            folders = {folder.name: folder for folder in _folders(part)}
            names = find_names(label, folders)
            found += [(folders[name], split) for name in names]
            if not names and split is None:
                # Without a picture to learn from, those to judge are of no use.
                raise FolderMissing(
                    f"{str(part)!r} has no sub-folder for the class {label!r}; it has {listing(folders)}."
                )
        return found


def _parts(root: Path) -> list[tuple[Path, str | None]]:
    """The folders that hold the folders of the classes, each with its split; the first is to learn from."""
    own = {folder.name.lower(): folder for folder in _folders(root)}
    with_classes = {name: folder for name, folder in own.items() if name in _SPLITS and _has_classes(folder)}
    train = next((with_classes[name] for name in _TRAIN if name in with_classes), None)
    others = [name for name in own if name not in _SPLITS]
    if train is None or any(_has_picture(own[name]) for name in others):
        return [(root, None)]
    held_out = [name for name in with_classes if name in _VALID] or [name for name in with_classes if name in _TEST]
    left_out = [name for name in own if name in _TEST and name not in held_out]
    if left_out:
        logger.warning("%s: the pictures in %s are left out", root, listing(left_out))
    return [(train, None), *((with_classes[name], "valid") for name in held_out[:1])]


def _has_classes(folder: Path) -> bool:
    return any(map(_has_picture, _folders(folder)))


def _has_picture(folder: Path) -> bool:
    return any(map(_is_picture, _files(folder)))


def _folders(root: Path) -> list[Path]:
    try:
        found = [path for path in root.iterdir() if path.is_dir() and not is_system_name(path.name)]
        own = root.resolve()
        # A link to the folder itself, or to one that it lies in, holds every class.
        return sorted(path for path in found if not (path.is_symlink() and own.is_relative_to(path.resolve())))
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
    suffix = path.suffix.lower()
    return suffix in _ENDINGS or _kind(suffix).startswith("image/")


@cache
def _kind(suffix: str) -> str:
    return mimetypes.guess_type(f"picture{suffix}", strict=False)[0] or ""
