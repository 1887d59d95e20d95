"""`feedback:FOLDER`: what visitors of the app sent with their consent. Nobody has reviewed it."""

from collections.abc import Iterator
from pathlib import Path

from spotter.errors import FolderMissing
from spotter.feedback.store import FeedbackFolder
from spotter.search.base import ImageHit


class VisitorFeedback:
    """Pictures by the label that their visitors gave them; what is none of the classes, by the model's own answer.

    A hit's `query` is the model's answer, so that a set can tell which pictures the model itself chose.
    """

    name = "feedback"
    argument = "FOLDER"
    searches = False
    by_label = True

    def __init__(self, argument: str) -> None:
        folder = Path(argument).expanduser()
        if not folder.is_dir():
            raise FolderMissing(
                f"There is no folder {str(folder)!r}; give the one that spotter serve --feedback saves to."
            )
        self._entries = FeedbackFolder(folder)

    def search(self, query: str, limit: int) -> Iterator[ImageHit]:
        """Yield the pictures of the label `query`, oldest first."""
        own = [pair for pair in self._entries.read() if (pair[0].said or pair[0].closest) == query]
        for rank, (entry, path) in enumerate(own[:limit]):
            yield ImageHit(
                backend=self.name,
                backend_id=entry.id,
                query=entry.closest,
                rank=rank,
                path=path,
                title=entry.sentence(),
                fetched_at=entry.time,
            )
