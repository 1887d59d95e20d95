"""`sample`: drawn bears, so that everything can be tried without a network."""

import re
from collections.abc import Generator

from spotter.errors import SourceUnavailable
from spotter.images import encode_jpeg
from spotter.search.base import ImageHit
from spotter.search.drawn.picture import draw_picture

QUALITY = 90
# Of a class, whatever a recipe asks for: they are there to see how everything goes, and more of them would teach
# nothing about real bears.
MOST = 80

# In this order: a black teddy bear is a teddy bear.
KIND_WORDS = {
    "teddy": {"teddy", "teddies", "teddybear", "teddybears"},
    "grizzly": {"grizzly", "grizzlies"},
    "black": {"black"},
}


class Sample:
    """Drawn grizzly, black and teddy bears, found by the words in the query."""

    name = "sample"
    argument = ""
    searches = True
    by_label = False

    def search(self, query: str, limit: int) -> Generator[ImageHit, None, None]:
        """Return a generator of `limit` hits, each drawn when it is asked for.

        Raises:
            SourceUnavailable: the query names none of the kinds that can be drawn.
        """
        # Not a generator itself, so that a query in vain fails here and not at the first picture.
        return _hits(_kind_for(query), query, limit)


def _kind_for(query: str) -> str:
    words = set(re.findall(r"[a-z]+", query.casefold()))
    for kind, names in KIND_WORDS.items():
        if words & names:
            return kind
    raise SourceUnavailable(
        f"The built-in sample source can only draw grizzly, black and teddy bears, not {query!r}; "
        "for anything else use --search duckduckgo or --search folder:PATH."
    )


def _hits(kind: str, query: str, limit: int) -> Generator[ImageHit, None, None]:
    for index in range(limit):
        picture = draw_picture(kind, index)
        yield ImageHit(
            backend=Sample.name,
            backend_id=f"{kind}-{index:04d}",
            query=query,
            rank=index,
            content=encode_jpeg(picture, QUALITY),
            title=f"Drawn {kind} bear {index}",
            width=picture.width,
            height=picture.height,
            license_id="CC0-1.0",
        )
