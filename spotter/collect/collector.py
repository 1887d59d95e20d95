"""Filling a picture set from its sources: each class, from each source in turn, until enough pictures are kept."""

import json
import logging
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from spotter.collect.download import download_all
from spotter.collect.ingest import LICENSE, Fetch, PictureSet, make_record
from spotter.collect.takedown import Takedown
from spotter.config import CollectConfig, DownloadConfig, PictureConfig
from spotter.data.dataset import TAKEDOWN, Dataset, Record
from spotter.data.duplicates import group_duplicates
from spotter.data.manifest import note_searched
from spotter.errors import DatasetUnwritable, FolderMissing, RecipeError, SourceUnavailable, TooFewPictures
from spotter.names import clean_label, find_name
from spotter.recipe import ClassSpec, Recipe
from spotter.search import sample
from spotter.search.base import ImageHit, LabelledSource, SearchBackend, takes_words
from spotter.utils.files import write_atomically
from spotter.utils.licenses import allows
from spotter.utils.text import writable

MORE = "more.json"
Failure = SourceUnavailable | FolderMissing

log = logging.getLogger(__name__)


def collect(
    recipe: Recipe,
    sources: Sequence[SearchBackend],
    folder: Path,
    config: CollectConfig | None = None,
    pictures: PictureConfig | None = None,
    downloads: DownloadConfig | None = None,
    *,
    more: Mapping[str, Sequence[str]] | None = None,
    takedown: Takedown | None = None,
    fetch: Fetch = download_all,
) -> Dataset:
    """Fill `folder` with the recipe's pictures from `sources`; what an earlier run stored is used again.

    Pictures are stored upright, RGB, without metadata, at most `stored_side` pixels long, as
    `<label>/<hash>.jpg`; `manifest.jsonl` has one line for each hit, kept or not. A source that fails is told in the
    log and the others go on.

    Args:
        more: further queries of a class, by its label; they are remembered in the folder.
        takedown: what must not be in the set.
        fetch: `download_all`, or the same with other rules for addresses.

    Raises:
        SourceUnavailable, FolderMissing: every source failed, and left a class without enough pictures; or no source
            has one of the labels, which is found out before anything is collected.
        TooFewPictures: classes have fewer than `min_per_class` usable pictures.
        DatasetUnwritable: `folder` cannot be written, or another run is collecting into it.
    """
    config = config or CollectConfig()
    takedown = takedown or Takedown()
    _require_labels(recipe, sources)
    try:
        store = PictureSet(folder, pictures or PictureConfig(), downloads or DownloadConfig(), takedown, fetch)
        try:
            queries = _remember(folder, more or {})
            note_searched(folder, [source.name for source in sources if takes_words(source)])
            gathering = _Gathering(sources, store, config, takedown)
            records: list[Record] = []
            per_class = _number_of_class(recipe, sources)
            for spec in recipe.classes:
                records += gathering.collect_class(spec, per_class, queries.get(spec.label, []))
            records = group_duplicates(records)
            store.finish(records)
        finally:
            store.close()
    except OSError as error:
        reason = error.strerror or error
        raise DatasetUnwritable(f"The pictures cannot be stored in {str(folder)!r}: {reason}.") from error
    kept = tuple(record for record in records if record.kept)
    dropped = tuple(record for record in records if not record.kept)
    dataset = Dataset(folder, recipe.labels, kept, dropped)
    _require_pictures(dataset, config.min_per_class, gathering.failures)
    return dataset


def read_more(options: Sequence[str], recipe: Recipe) -> dict[str, list[str]]:
    """Read repeated `--more "LABEL=QUERY"` options; a bare QUERY goes to the one class that it names.

    Raises:
        RecipeError: it is not clear which class is meant.
    """
    more: dict[str, list[str]] = {}
    for option in options:
        label, is_pair, query = (part.strip() for part in option.partition("="))
        if is_pair:
            named = [spec.label for spec in recipe.classes if spec.label == clean_label(label)]
        else:
            query = label
            words = query.casefold()
            named = [s.label for s in recipe.classes if s.label.casefold() in words or s.query.casefold() in words]
        if len(named) != 1 or not query:
            raise RecipeError(
                f'--more {option!r} does not name a class; write --more "LABEL=QUERY" with one of: '
                f"{', '.join(recipe.labels)}."
            )
        more.setdefault(named[0], []).append(query)
    return more


def _number_of_class(recipe: Recipe, sources: Sequence[SearchBackend]) -> int:
    """The recipe's number, or what is enough where all are drawn. Decided here and not where they are drawn, so that a
    second run finds its classes full, and `--more` draws more."""
    searched = [source for source in sources if source.searches]
    is_drawn = bool(searched) and all(isinstance(source, sample.Sample) for source in searched)
    return min(recipe.per_class, sample.MOST) if is_drawn else recipe.per_class


def _require_labels(recipe: Recipe, sources: Sequence[SearchBackend]) -> None:
    """Raise what the first source would raise for a label that none of them has."""
    known = [source.labels() if isinstance(source, LabelledSource) else () for source in sources]
    for spec in recipe.classes:
        if known and all(labels and find_name(spec.label, labels) is None for labels in known):
            # Some have more than they list, such as a sub-folder without a picture.
            for source in sources:
                for _ in source.search(spec.label, 1):
                    break


class _Gathering:
    """One run over the classes. `failures` holds the last failure of each class's sources."""

    def __init__(
        self, sources: Sequence[SearchBackend], store: PictureSet, config: CollectConfig, takedown: Takedown
    ) -> None:
        self.sources, self.store, self.config, self.takedown = sources, store, config, takedown
        self.failures: dict[str, Failure] = {}

    def collect_class(self, spec: ClassSpec, per_class: int, more: Sequence[str]) -> list[Record]:
        names = [source.name for source in self.sources if source.searches]
        records = self.store.earlier(spec.label, [spec.query, spec.label, *more], names)
        self.store.start_class(records)
        in_more = sum(record.kept and record.query in more for record in records)
        kept = sum(record.kept for record in records) - in_more
        searching = any(source.searches for source in self.sources)
        total = per_class + len(more) * self.config.per_more_query if searching else None
        with tqdm(desc=f"  {spec.label:12}", unit=" pictures", initial=kept + in_more, total=total) as bar:
            failed = self._fill(spec, spec.query, per_class - kept, self.sources, records, bar)
            for query in more:
                have = sum(record.kept and record.query == query for record in records)
                asked = [source for source in self.sources if source.searches and not source.by_label]
                failed += self._fill(spec, query, self.config.per_more_query - have, asked, records, bar)
        if failed and sum(record.kept for record in records) < self.config.min_per_class:
            # What leaves too little is the run's own failure; whatever went on is told in passing.
            self.failures[spec.label] = failed.pop()
            if len(failed) + 1 >= len(self.sources):
                # The other classes would fail in the same way, after as long a wait.
                raise self.failures[spec.label]
        for failure in failed:
            log.warning("%s: %s", spec.label, failure)
        return records

    def _fill(
        self,
        spec: ClassSpec,
        query: str,
        wanted: int,
        sources: Sequence[SearchBackend],
        records: list[Record],
        bar: tqdm,
    ) -> list[Failure]:
        """Add to `records` until `wanted` more are kept; return the failures of sources that failed."""
        failed: list[Failure] = []
        dropped = sum(not record.kept for record in records)
        for source in sources:
            try:
                for record in self._from_source(
                    source, spec, query, wanted if source.searches else sys.maxsize, records
                ):
                    records.append(record)
                    wanted -= record.kept
                    bar.update(record.kept)
                    dropped += not record.kept
                    bar.set_postfix(dropped=dropped, refresh=False)
            except (SourceUnavailable, FolderMissing) as error:
                failed.append(error)
        return failed

    def _from_source(
        self, source: SearchBackend, spec: ClassSpec, query: str, wanted: int, records: Sequence[Record]
    ) -> Iterator[Record]:
        """Yield records from one source until `wanted` are kept."""
        if wanted <= 0:
            return
        seen = {(record.backend, record.backend_id, record.origin) for record in records}
        # Some hits fail, so a search is asked for more than is wanted.
        limit = 3 * wanted + len(seen) if source.searches else wanted
        refused: list[Record] = []
        failures: list[Failure] = []

        def allowed() -> Iterator[ImageHit]:
            try:
                for found in source.search(spec.label if source.by_label else query, limit):
                    hit = _as_text(replace(found, label=spec.label))
                    if (hit.backend, hit.backend_id, hit.origin) in seen:
                        continue
                    if reason := self._refusal(hit):
                        refused.append(make_record(hit, "dropped", reason=reason))
                    else:
                        yield hit
            except (SourceUnavailable, FolderMissing) as error:
                # Raised again below: from here it would take the downloads under way with it.
                failures.append(error)

        yield from self.store.ingest(allowed(), wanted)
        yield from refused
        if failures:
            raise failures[0]

    def _refusal(self, hit: ImageHit) -> str | None:
        if self.takedown.covers(hit):
            return TAKEDOWN
        return None if allows(self.config.license, hit.license_id) else f"{LICENSE}{hit.license_id}"


def _as_text(hit: ImageHit) -> ImageHit:
    """The same hit, with texts that can be written down: names of files may be in any encoding."""
    texts: dict[str, Any] = {name: writable(value) for name, value in vars(hit).items() if isinstance(value, str)}
    return replace(hit, **texts)


def _remember(folder: Path, more: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Add further queries to those that the folder remembers, and return all of them."""
    path = folder / MORE
    queries: dict[str, list[str]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for label, new in more.items():
        known = queries.setdefault(label, [])
        known += [query for query in dict.fromkeys(new) if query not in known]
    if more:
        write_atomically(path, json.dumps(queries, ensure_ascii=False, indent=1).encode())
    return queries


def _require_pictures(dataset: Dataset, needed: int, failures: Mapping[str, Failure]) -> None:
    kept = Counter(record.label for record in dataset.records)
    lacking = []
    for label in dataset.labels:
        if kept[label] < needed:
            reasons = Counter(str(record.reason) for record in dataset.dropped if record.label == label)
            why = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
            lacking.append(
                f"The class {label!r} has {kept[label]} usable pictures and needs at least {needed}"
                + (f" (dropped: {why})." if why else ".")
                + (f" {failures[label]}" if label in failures else "")
            )
    if any(record.is_of_other_format and kept[record.label] < needed for record in dataset.dropped):
        lacking.append(PictureConfig().advice)
    if lacking:
        raise TooFewPictures(" ".join(lacking))
