"""What visitors sent, copied from its folder into a data set on the Hub in batches, and from there into a folder.

The folder is what counts: an entry is in it before its visitor is thanked, and stays there. The data set is asked what
it has before anything is sent, so that after any end of the app exactly what is missing goes out.
"""

import logging
import os
import threading
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from spotter.config import DATASETS, FeedbackConfig
from spotter.errors import FeedbackMissing, SpotterError, UnknownStore
from spotter.feedback.store import FeedbackFolder, Removal

if TYPE_CHECKING:
    # The Hub's client takes a while to load, and most apps keep feedback in a folder alone.
    from spotter.feedback.hub import FeedbackDataset


_log = logging.getLogger(__name__)

# Where a Space has a storage bucket mounted, if it has one.
STORAGE = Path("/data")


class Sender:
    """Sends what is in a folder to a data set, from a thread of its own. A Hub that cannot be reached is told once."""

    def __init__(
        self, entries: FeedbackFolder, dataset: "FeedbackDataset", config: FeedbackConfig | None = None
    ) -> None:
        self.problem = ""
        self._entries, self._dataset, self._config = entries, dataset, config or FeedbackConfig()
        self._closing, self._asked = threading.Event(), threading.Event()
        self._there: frozenset[str] = frozenset()
        dataset.hush()
        self._thread = threading.Thread(target=self._work, name="feedback", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Send what waits, as far as there is time for it, and stop."""
        self._closing.set()
        self._asked.set()
        self._thread.join(self._config.close_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _work(self) -> None:
        is_last = False
        while not is_last:
            is_last = self._closing.is_set()
            self._asked.clear()
            try:
                self._there = send(self._entries, self._dataset, self._config.most)
            except SpotterError as error:
                self._say(str(error))
            else:
                self._say("")
            if not is_last:
                # Whoever closes sets both; one that came between is seen at the next look.
                self._asked.wait(0 if self._closing.is_set() else self._config.batch_s)

    def remove(self, id_: str) -> Removal:
        """Delete an entry in the folder now, and in the data set as soon as that can be reached.

        Raises:
            FeedbackUnwritable: it cannot be deleted here.
        """
        is_there = id_ in self._there
        if not self._entries.delete(id_):
            if not is_there:
                return Removal.UNKNOWN
            # Sent before this folder was begun anew, as on a Space that has restarted.
            self._entries.note_deletion(id_)
        self._asked.set()
        return Removal.SOON

    def _say(self, problem: str) -> None:
        """Tell the operator once when trouble begins, and once when it is over."""
        if bool(problem) != bool(self.problem):
            stays = f"Feedback stays in {self._entries.folder} for now: {problem}"
            _log.warning("%s", stays if problem else "Feedback is sent again.")
        self.problem = problem


def send(entries: FeedbackFolder, dataset: "FeedbackDataset", most: int = FeedbackConfig.most) -> frozenset[str]:
    """Send what the data set lacks; what was deleted in one of the two is deleted in the other.

    Returns:
        The ids of the entries that are there now.

    Raises:
        As `FeedbackDataset.send`. FeedbackUnwritable: an entry cannot be deleted here.
    """
    listing = dataset.send({id_: entries.folder / id_ for id_ in entries.ids()}, entries.deleted(), most)
    for id_ in listing.deleted & entries.ids():
        entries.delete(id_)
    return frozenset(listing.files)


def receive(entries: FeedbackFolder, dataset: "FeedbackDataset") -> None:
    """Fetch what the data set has and the folder lacks, and delete what was deleted there.

    Raises:
        FeedbackMissing: there is no such data set. FeedbackUnwritable: the folder cannot be written.
        AccessRefused, StoreUnreachable (StoreBusy), CacheUnwritable: the Hub does not give it.
    """
    listing = dataset.read()
    if listing is None:
        raise FeedbackMissing(
            f"The Hub shows no data set {dataset.address}: check the name, and that your token may read it."
        )
    for id_ in sorted(listing.whole - entries.ids() - entries.deleted() - listing.deleted):
        entries.receive(id_, *dataset.fetch(id_, listing.commit))
    for id_ in listing.deleted & entries.ids():
        entries.delete(id_)


def folder_of(place: str) -> Path:
    """Where entries stand on this machine: the folder itself, or for a data set `feedback/OWNER-NAME`, which a Space
    has in its storage bucket if one is mounted."""
    if not place.startswith(DATASETS):
        return Path(place).expanduser()
    lasts = "SPACE_ID" in os.environ and os.access(STORAGE, os.W_OK)
    return (STORAGE if lasts else Path()) / "feedback" / place.removeprefix(DATASETS).replace("/", "-")


def dataset_of(place: str | None) -> str:
    """The data set of `place`, as `OWNER/NAME`; "" where that is a folder or nothing."""
    return place.removeprefix(DATASETS) if place and place.startswith(DATASETS) else ""


def fetched(place: str) -> Path:
    """The folder with the entries of `place`: itself, or filled from the data set first.

    Raises:
        UnknownStore: it is no data set's address. As `receive`.
    """
    folder = folder_of(place)
    if place.startswith(DATASETS):
        receive(FeedbackFolder(folder), open_dataset(place))
    return folder


def open_dataset(address: str) -> "FeedbackDataset":
    """Open the data set at `hf://datasets/owner/name`, which need not exist yet.

    Raises:
        UnknownStore: it is no such address.
    """
    # Here, because a folder needs none of the Hub's client and it takes a while to load.
    from spotter.feedback.hub import FeedbackDataset

    if not address.startswith(DATASETS):
        raise UnknownStore(f"{address!r} is not a data set on the Hub; write {DATASETS}owner/name.")
    return FeedbackDataset(address.removeprefix(DATASETS))
