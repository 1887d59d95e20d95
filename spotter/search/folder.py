"""`folder:PATH`: your own pictures, one sub-folder per class."""

from collections.abc import Iterator
from pathlib import Path

from spotter.errors import FolderMissing
from spotter.search.base import ImageHit
from spotter.search.fields import listing, same_name


class Folder:
    """Pictures in `PATH/<label>/`, found by the label (case and the characters " ", "-", "_" do not matter)."""

    name = "folder"
    argument = "PATH"
    searches = False
    by_label = True

    def __init__(self, argument: str) -> None:
        self.root = Path(argument).expanduser()
        if not self.root.is_dir():
            raise FolderMissing(f"There is no folder {str(self.root)!r}; give one that holds a sub-folder per class.")

    def search(self, query: str, limit: int) -> Iterator[ImageHit]:
        """Yield the files under the sub-folder of the label `query`, in the order of their names."""
        folder = self._folder_of(query)
        files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
        for rank, path in enumerate(files[:limit]):
            yield ImageHit(
                backend=self.name,
                backend_id=path.relative_to(self.root).as_posix(),
                query=query,
                rank=rank,
                path=path,
                title=path.stem,
            )

    def _folder_of(self, label: str) -> Path:
        folders = sorted(path for path in self.root.iterdir() if path.is_dir())
        for folder in folders:
            if same_name(folder.name, label):
                return folder
        found = listing(folder.name for folder in folders)
        raise FolderMissing(f"{str(self.root)!r} has no sub-folder for the class {label!r}; it has {found}.")
