"""Where revisions are published to and pulled from."""

from pathlib import Path

from spotter.config import HUB
from spotter.errors import UnknownStore
from spotter.stores.base import Event, Store
from spotter.stores.folder import FolderStore

__all__ = ["Event", "FolderStore", "Store", "open_store"]


def open_store(address: str | Path, *, private: bool = False) -> Store:
    """Open the store at `address`: a folder, or `hf://owner/name`. Neither need exist yet.

    Args:
        private: whether the model repository that `push` may have to make on the Hub is private.

    Raises:
        UnknownStore: it is another kind of URL, or no name that the Hub allows.
    """
    text = str(address)
    if text.startswith(HUB):
        # Here, because a folder needs none of the Hub's client and it takes a while to load.
        from spotter.stores.hub import HubStore

        return HubStore(text.removeprefix(HUB), private=private)
    if "://" in text:
        raise UnknownStore(f"{text!r} cannot be opened: a store is a folder, such as models/bears, or hf://owner/name.")
    return FolderStore(Path(address).expanduser())
