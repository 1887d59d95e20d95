"""`hf:OWNER/DATASET`: the pictures of a data set on the Hugging Face Hub, through the API of its viewer."""

import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import quote

from spotter.errors import FolderMissing, SourceThrottled, SourceUnavailable, UnknownSource
from spotter.names import clean_label, find_names, same_name
from spotter.search.base import ImageHit
from spotter.search.fields import creative_commons, credit, items, link, listing, number, table, text
from spotter.search.json_client import JsonClient
from spotter.search.paging import take
from spotter.utils.licenses import UNKNOWN_LICENSE

logger = logging.getLogger(__name__)

PAGE_SIZE = 100
# For one label. Where rows cannot be filtered they are read in turn, and a data set may have millions.
MAX_ROWS = 10_000


@dataclass(frozen=True)
class _Split:
    """One split. `labels` are those known beforehand; `numbered` when rows have a label's place among them instead.
    `image` and `label` are the names of its columns."""

    config: str
    name: str
    image: str
    label: str
    labels: tuple[str, ...]
    numbered: bool
    license_id: str


class HuggingFace:
    """The rows of a data set, found by the label (case, " ", "-", "_" ignored).

    Taken are its one column of pictures and its one column of classes, whatever their names; of several, those named
    `image` and `label`. `OWNER/DATASET:LABEL` or `OWNER/DATASET:LABEL:IMAGE` name others. Without a column of classes,
    a column of texts is taken.

    Taken from the first configuration: its split "train", or else its first. No key; a token in the environment
    variable `HF_TOKEN` (https://huggingface.co/settings/tokens) opens private and gated data sets. The licence is the
    one that the data set's card names for the whole of it; other than Creative Commons counts as unknown. A data set
    that cannot be filtered is read row by row, the first `MAX_ROWS` only.

    Args:
        argument: the data set, as `owner/name`, and perhaps the columns of labels and pictures behind colons.
        base_url: where the viewer's API answers.
        hub_url: where the Hub answers.
        per_minute: requests a minute.
        sleep: for tests.

    Raises:
        UnknownSource: the argument cannot be the name of a data set.
        SourceUnavailable: `HF_TOKEN` cannot be a token.
    """

    name = "hf"
    argument = "OWNER/DATASET"
    searches = True
    by_label = True

    def __init__(
        self,
        argument: str,
        *,
        base_url: str = "https://datasets-server.huggingface.co",
        hub_url: str = "https://huggingface.co",
        per_minute: float = 60,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        argument, *columns = argument.split(":")
        is_name = re.fullmatch(r"[a-zA-Z0-9][\w.-]{0,95}/[\w-][\w.-]{0,95}", argument, re.ASCII)
        if not is_name or len(columns) > 2 or not all(columns):
            raise UnknownSource(
                f"{argument!r} cannot be a data set; write --search hf:OWNER/DATASET, or hf:OWNER/DATASET:LABEL:IMAGE "
                "with the names of its columns."
            )
        self._columns = (*columns, "", "")[:2]
        token = os.environ.get("HF_TOKEN", "").strip()
        # The HTTP client would show a token that it cannot send.
        if not re.fullmatch(r"[!-~]*", token):
            raise SourceUnavailable("HF_TOKEN holds characters that a token cannot have; set it again or unset it.")
        self._dataset, self._base_url, self._hub_url = argument, base_url, hub_url
        hidden = (
            f"Hugging Face shows no data set {argument!r}: check the name, or put a token that may read it into the "
            "environment variable HF_TOKEN."
        )
        unshown = f"Hugging Face cannot show the rows of {argument!r} (HTTP 501); take another data set."
        refusals = {401: hidden, 403: hidden, 404: hidden, 501: unshown}
        headers = {"Authorization": f"Bearer {token}"} if token else None
        self._client = JsonClient("Hugging Face", per_minute, headers, refusals=refusals, sleep=sleep)

    def labels(self) -> tuple[str, ...]:
        """The names of its classes, or the texts in its column of labels, as far as these are counted."""
        return tuple(dict.fromkeys(clean_label(label) for label in self._split.labels if label.strip()))

    def search(self, query: str, limit: int) -> Iterator[ImageHit]:
        """Yield at most `limit` pictures of the label `query`, in the order of the rows.

        Raises:
            FolderMissing: the data set has no such label.
            SourceUnavailable: it cannot be reached, there is no such data set, it is not clear which columns to take,
                or the answer is nonsense (SourceThrottled: it was asked too often).
        """
        return take(self._hits(query), limit)

    def _hits(self, label: str) -> Iterator[ImageHit | None]:
        split = self._split
        names = set(find_names(label, split.labels))
        alike = [place for place, name in enumerate(split.labels) if name in names]
        if split.labels and not alike:
            raise FolderMissing(f"{self._dataset!r} has no label {label!r}; it has {listing(split.labels)}.")
        looked_at, found = 0, False
        others: set[str] = set()
        for row in self._rows(split, alike):
            looked_at += 1
            name = _label(table(row.get("row")).get(split.label), split)
            if name is None:
                continue
            if name in names or (not split.labels and same_name(name, label)):
                found = True
                yield self._to_hit(row, label, split)
            else:
                others.add(name)
        if not found:
            raise FolderMissing(
                f"{self._dataset!r} shows no row with the label {label!r} ({looked_at} rows looked at); "
                f"it has {listing(split.labels or others)}."
            )

    def _rows(self, split: _Split, places: list[int]) -> Iterator[dict[str, Any]]:
        """The rows that have the labels at `places`, perhaps among others."""
        if places:
            values = [str(place) if split.numbered else _quoted(split.labels[place]) for place in places]
            column = '"' + split.label.replace('"', '""') + '"'
            try:
                yield from self._pages(split, "filter", where=" OR ".join(f"{column}={value}" for value in values))
                return
            except SourceThrottled:
                raise
            except SourceUnavailable as error:
                # Also after some pages: the rows that come again are dropped by their number.
                logger.info("%s cannot be filtered, so its rows are read in turn: %s", self._dataset, error)
        yield from self._pages(split, "rows")

    def _pages(self, split: _Split, kind: str, **more: str) -> Iterator[dict[str, Any]]:
        for offset in range(0, MAX_ROWS, PAGE_SIZE):
            answer = self._ask(kind, config=split.config, split=split.name, offset=offset, length=PAGE_SIZE, **more)
            rows, total = answer.get("rows"), number(answer.get("num_rows_total"))
            if not isinstance(rows, list):
                raise SourceUnavailable("Hugging Face answers with JSON in an unknown format.")
            yield from items(rows)
            if len(rows) < PAGE_SIZE or (total is not None and offset + PAGE_SIZE >= total):
                return

    @cached_property
    def _split(self) -> _Split:
        card = table(self._client.get(f"{self._hub_url}/api/datasets/{self._dataset}", {}).get("cardData"))
        found = [
            (text(entry.get("config")), text(entry.get("split"))) for entry in items(self._ask("splits").get("splits"))
        ]
        named = [(config, name) for config, name in found if config and name]
        if not named:
            raise SourceUnavailable(f"Hugging Face shows no rows of {self._dataset!r}; take another data set.")
        config = named[0][0]
        names = [name for other, name in named if other == config]
        name = "train" if "train" in names else names[0]
        features = items(self._ask("rows", config=config, split=name, offset=0, length=1).get("features"))
        columns = {known: table(f.get("type")) for f in features if (known := text(f.get("name")))}
        wanted_label, wanted_image = self._columns
        image = self._choose(columns, wanted_image, "image", ["Image"])
        label = self._choose(columns, wanted_label, "label", ["ClassLabel", "text"])
        kind = columns[label]
        classes = kind.get("names") if kind.get("_type") == "ClassLabel" else None
        numbered = isinstance(classes, list)
        labels = (
            [text(name) or "" for name in classes] if isinstance(classes, list) else self._texts(config, name, label)
        )
        return _Split(config, name, image, label, tuple(labels), numbered, _license(card.get("license")))

    def _choose(self, columns: dict[str, dict[str, Any]], wanted: str, usual: str, kinds: list[str]) -> str:
        """The name of the column to take: the one that is wanted, or the only one of the first kind that there is."""
        fitting = [[name for name, type_ in columns.items() if _kind(type_) == kind] for kind in kinds]
        if wanted:
            if any(wanted in names for names in fitting):
                return wanted
            raise SourceUnavailable(
                f"{self._dataset!r} has no column {wanted!r} for the {usual}; it has {listing(columns)}."
            )
        for names in fitting:
            if len(names) == 1 or usual in names:
                return usual if usual in names else names[0]
            if names:
                raise SourceUnavailable(
                    f"{self._dataset!r} has several columns that could be the {usual}: {listing(names)}; write "
                    f"--search hf:{self._dataset}:LABEL:IMAGE with the names of the two columns to take."
                )
        raise SourceUnavailable(
            f"{self._dataset!r} needs a column of pictures and one of classes or texts; it has {listing(columns)}."
        )

    def _texts(self, config: str, split: str, column: str) -> list[str]:
        """The different texts in a column; [] when they are too many, or not counted."""
        try:
            answer = self._ask("statistics", config=config, split=split)
        except SourceThrottled:
            raise
        except SourceUnavailable as error:
            logger.info("The labels of %s are not known beforehand: %s", self._dataset, error)
            return []
        columns = [entry for entry in items(answer.get("statistics")) if entry.get("column_name") == column]
        # Of a part of the rows, the texts are not all there are.
        counted = table(columns[0].get("column_statistics")) if columns and answer.get("partial") is not True else {}
        return list(table(counted.get("frequencies")))

    def _ask(self, kind: str, **params: str | int) -> dict[str, Any]:
        return self._client.get(f"{self._base_url}/{kind}", {"dataset": self._dataset, **params})

    def _to_hit(self, row: dict[str, Any], label: str, split: _Split) -> ImageHit | None:
        place, picture = row.get("row_idx"), table(table(row.get("row")).get(split.image))
        url = link(picture.get("src"))
        if url is None or type(place) is not int or place < 0:
            return None
        title = f"{self._dataset}, row {place}"
        viewer = f"{self._hub_url}/datasets/{self._dataset}/viewer"
        return ImageHit(
            backend=self.name,
            backend_id=f"{self._dataset}/{split.config}/{split.name}/{place}",
            query=label,
            image_url=url,
            page_url=f"{viewer}/{quote(split.config, safe='')}/{quote(split.name, safe='')}?row={place}",
            title=title,
            width=number(picture.get("width")),
            height=number(picture.get("height")),
            license_id=split.license_id,
            attribution=credit(title, None, split.license_id),
        )


def _kind(type_: dict[str, Any]) -> str:
    """What a column holds: "Image", "ClassLabel", "text", or another word of the viewer."""
    if type_.get("_type") == "Value" and type_.get("dtype") in ("string", "large_string"):
        return "text"
    # Classes without their names are numbers that nobody can read.
    is_nameless = type_.get("_type") == "ClassLabel" and not isinstance(type_.get("names"), list)
    return "" if is_nameless else text(type_.get("_type")) or ""


def _label(value: Any, split: _Split) -> str | None:
    if not split.numbered:
        return text(value)
    # -1 stands for no label.
    return split.labels[value] or None if type(value) is int and 0 <= value < len(split.labels) else None


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _license(codes: object) -> str:
    """The licence from a card, which may list several: then which picture has which is not known."""
    code = codes[0] if isinstance(codes, list) and len(codes) == 1 else codes
    return creative_commons(code) if isinstance(code, str) and code.lower().startswith("cc") else UNKNOWN_LICENSE
