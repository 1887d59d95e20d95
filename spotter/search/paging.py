"""From what a source finds, page after page, to the hits that it yields."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from spotter.search.base import ImageHit


def take(found: Iterable[ImageHit | None], limit: int) -> Iterator[ImageHit]:
    """Yield at most `limit` of `found`, each picture once, ranked from 0; None stands for what is no picture.

    No more is drawn from `found` than needed, so that a source asks for a page only when it is wanted. What `found`
    raises passes through, after the hits that came before.
    """
    if limit <= 0:
        return
    seen: set[str] = set()
    for hit in found:
        if hit is None or hit.backend_id in seen:
            continue
        yield replace(hit, rank=len(seen))
        seen.add(hit.backend_id)
        if len(seen) == limit:
            return
