"""Where revisions are published to and pulled from."""

from pathlib import Path

from spotter.errors import UnknownStore
from spotter.stores.folder import Event, FolderStore

__all__ = ["Event", "FolderStore", "open_store"]


def open_store(address: str | Path) -> FolderStore:
    """Open the store at `address`: a folder, which need not exist yet.

    Raises:
        UnknownStore: the address is a URL.
    """
    if "://" in str(address):
        raise UnknownStore(f"{str(address)!r} cannot be opened: a store is a folder, such as models/bears.")
    return FolderStore(Path(address).expanduser())
