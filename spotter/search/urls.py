"""`urls:FILE`: pictures whose addresses you have in a file."""

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

from spotter.errors import FolderMissing, SourceUnavailable
from spotter.names import clean_label, find_names, merge_alike
from spotter.search.base import ImageHit
from spotter.search.fields import creative_commons, credit, link, listing, reading, text
from spotter.utils.files import has_file

Row = dict[str, str]
# The columns of a CSV file that may hold the address.
_PLACES = ("url", "image_url", "file", "path")


class Urls:
    """The addresses that a text file or a CSV file lists for each label (case, " ", "-" and "_" do not matter).

    A text file has a line `label address` for each picture, the address that of a picture on the web or the path of a
    file, relative to the folder of the list; empty lines and lines that begin with # are skipped.
    A CSV file (comma-separated) has a header with `label` and `url` (or `image_url`, `file`, `path`), and may have
    `license` (such as CC-BY-SA-4.0), `creator`, `page` and `title`; without a licence it is "unknown". No limits and no
    key; whether the pictures may be used is for you to know. Both are UTF-8.

    Args:
        argument: the path of the file.

    Raises:
        FolderMissing: there is no such file, or it cannot be read.
        SourceUnavailable: the file is not UTF-8, or a line has no label or no address.
    """

    name = "urls"
    argument = "FILE"
    searches = False
    by_label = True

    def __init__(self, argument: str) -> None:
        self.path = Path(argument).expanduser()
        lines = self._read()
        header = [name.strip(' "\t\n').lower() for name in lines[0].split(",")] if lines else []
        is_table = "label" in header and any(name in header for name in _PLACES)
        if self.path.suffix.lower() == ".csv" and not is_table:
            raise self._bad(1, "a CSV file begins with the names of its columns, among them label and url")
        self._rows = list(self._table_rows(lines, header) if is_table else self._text_rows(lines))

    def labels(self) -> tuple[str, ...]:
        """The labels of the rows in the order of the file, once where they differ only in case or punctuation."""
        return tuple(merge_alike(dict.fromkeys(clean_label(row["label"]) for row in self._rows)))

    def search(self, query: str, limit: int) -> Iterator[ImageHit]:
        """Yield the pictures of the label `query`, each address once, in the order of the file.

        Raises:
            FolderMissing: the file has none for this label.
        """
        rows: dict[str, Row] = {}
        labels = set(find_names(query, dict.fromkeys(row["label"] for row in self._rows)))
        for row in self._rows:
            if row["label"] in labels:
                rows.setdefault(row["url"], row)
        if not rows:
            found = listing(row["label"] for row in self._rows)
            raise FolderMissing(f"{str(self.path)!r} has no address for the class {query!r}; it has {found}.")
        for rank, row in enumerate(list(rows.values())[:limit]):
            license_id = creative_commons(row.get("license"))
            title, creator = text(row.get("title")), text(row.get("creator"))
            yield ImageHit(
                backend=self.name,
                backend_id=row["url"],
                query=query,
                rank=rank,
                image_url=link(row["url"]),
                path=None if link(row["url"]) else self.path.parent / row["url"],
                page_url=link(row.get("page")),
                title=title,
                creator=creator,
                license_id=license_id,
                attribution=credit(title, creator, license_id),
            )

    def _read(self) -> list[str]:
        with reading(self.path):
            try:
                return list(io.StringIO(self.path.read_text(encoding="utf-8-sig")))
            except FileNotFoundError as error:
                raise FolderMissing(
                    f"There is no file {str(self.path)!r}; give one with a label and a URL on each line."
                ) from error

    def _text_rows(self, lines: list[str]) -> Iterator[Row]:
        for number, line in enumerate(lines, 1):
            if line.strip() and not line.lstrip().startswith("#"):
                label, _, url = " ".join(line.split()).rpartition(" ")
                if link(url) is None:
                    label, url = self._with_path(line.strip()) or (label, url)
                yield self._checked({"label": label, "url": url}, number)

    def _with_path(self, line: str) -> tuple[str, str] | None:
        """The label and the path, which may hold blanks, of a line that ends with the path of a file."""
        starts = [place for place, character in enumerate(line) if character.isspace()]
        found = (start for start in starts if has_file(self.path.parent / line[start + 1 :]))
        return next(((line[:start].strip(), line[start + 1 :]) for start in found), None)

    def _table_rows(self, lines: list[str], header: list[str]) -> Iterator[Row]:
        # `strict`, so that a quote that is never closed does not swallow the rest of the file.
        reader = csv.reader(lines[1:], strict=True)
        try:
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    row = {name: cell.strip() for name, cell in zip(header, cells, strict=False)}
                    yield self._checked(
                        {**row, "url": next((row[name] for name in _PLACES if row.get(name)), "")}, reader.line_num + 1
                    )
        except csv.Error as error:
            raise self._bad(reader.line_num + 1, f"this is not CSV ({error})") from error

    def _checked(self, row: Row, number: int) -> Row:
        url = link(row["url"])
        if url is None and row["url"] and has_file(self.path.parent / row["url"]):
            url = row["url"]
        elif url is None or re.search(r"\s", url):
            raise self._bad(number, "there is no http(s) address, and no such file")
        if not row.get("label"):
            raise self._bad(number, "the address has no label; write the label before it")
        return {**row, "url": url}

    def _bad(self, number: int, reason: str) -> SourceUnavailable:
        return SourceUnavailable(f"{str(self.path)!r}, line {number}: {reason}.")
