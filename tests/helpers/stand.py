"""A source of pictures on a loopback server."""

from collections.abc import Iterator

from spotter.errors import SourceUnavailable
from spotter.search.base import ImageHit


class Stand:
    """A source that offers pictures of a loopback server; `breaks` makes it fail after some hits."""

    searches = True
    by_label = False

    def __init__(self, name: str, server: str, offer: int, breaks: int | None = None, **facts: object) -> None:
        self.name, self.server, self.offer, self.breaks, self.facts = name, server, offer, breaks, facts

    def search(self, query: str, limit: int) -> Iterator[ImageHit]:
        kind = query.split()[-1]
        for rank in range(min(self.offer, limit)):
            if rank == self.breaks:
                raise SourceUnavailable(f"{self.name} is down.")
            facts = {name: value(kind, rank) if callable(value) else value for name, value in self.facts.items()}
            url = f"{self.server}/{self.name}/{kind}/{rank}.jpg"
            yield ImageHit(self.name, f"{kind}{rank}", query, rank, **{"image_url": url, **facts})
