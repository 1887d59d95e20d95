"""Where revisions are published to and pulled from."""

from pathlib import Path
from typing import TYPE_CHECKING

from spotter.errors import UnknownStore
from spotter.stores.base import Event, Store
from spotter.stores.folder import FolderStore

if TYPE_CHECKING:
    from spotter.stores.dataset import FeedbackDataset

__all__ = ["DATASETS", "HUB", "Event", "FolderStore", "Store", "open_dataset", "open_store"]

HUB = "hf://"
DATASETS = "hf://datasets/"


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


def open_dataset(address: str) -> "FeedbackDataset":
    """Open the data set at `hf://datasets/owner/name`, which need not exist yet.

    Raises:
        UnknownStore: it is no such address.
    """
    # Here for the same reason.
    from spotter.stores.dataset import FeedbackDataset

    if not address.startswith(DATASETS):
        raise UnknownStore(f"{address!r} is no data set on the Hub; write {DATASETS}owner/name.")
    return FeedbackDataset(address.removeprefix(DATASETS))
