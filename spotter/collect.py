"""Filling a picture set from its sources: each class, from each source in turn, until enough pictures are kept."""

import hashlib
import itertools
import logging
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tqdm import tqdm

from spotter.config import ClassSpec, CollectConfig, DownloadConfig, PictureConfig, Recipe
from spotter.dataset import (
    Dataset,
    Record,
    group_duplicates,
    perceptual_hash,
    read_manifest,
    write_atomically,
    write_manifest,
)
from spotter.download import DownloadOutcome, download_all
from spotter.errors import BadPicture, DatasetUnwritable, FolderMissing, SourceUnavailable, TooFewPictures
from spotter.images import encode_jpeg, fit_within, load_picture
from spotter.licenses import allows
from spotter.search.base import ImageHit, SearchBackend

Fetch = Callable[[Iterator[tuple[int, str]], DownloadConfig], Iterator[DownloadOutcome[int]]]

# What is known of a stored picture whatever the hit that led to it.
FACTS = ("file", "sha256", "original_sha256", "phash", "width", "height", "final_url", "fetched_at")

log = logging.getLogger(__name__)


def collect(
    recipe: Recipe,
    sources: Sequence[SearchBackend],
    folder: Path,
    config: CollectConfig | None = None,
    pictures: PictureConfig | None = None,
    downloads: DownloadConfig | None = None,
    *,
    fetch: Fetch = download_all,
) -> Dataset:
    """Fill `folder` with the recipe's pictures from `sources`; what an earlier run stored is used again.

    Pictures are stored upright, RGB, without metadata, at most `stored_side` pixels long, as
    `<label>/<hash>.jpg`; `manifest.jsonl` has one line for each hit, kept or not. A source that fails is told in the
    log and the others go on.

    Raises:
        SourceUnavailable, FolderMissing: a source failed and left a class without enough pictures.
        TooFewPictures: a class has fewer than `min_per_class` usable pictures.
        DatasetUnwritable: `folder` cannot be written.
    """
    config = config or CollectConfig()
    known = read_manifest(folder)
    store = _PictureStore(folder, known, pictures or PictureConfig(), downloads or DownloadConfig(), fetch)
    records: list[Record] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for spec in recipe.classes:
            records += _collect_class(spec, recipe.per_class, sources, store, config)
            # After each class, so that a run that is cut short starts again from what it has.
            done = {record.label for record in records}
            write_manifest(folder, records + [record for record in known if record.label not in done])
        records = group_duplicates(records)
        write_manifest(folder, records)
        _remove_orphans(folder, records)
    except OSError as error:
        reason = error.strerror or error
        raise DatasetUnwritable(f"The pictures cannot be stored in {str(folder)!r}: {reason}.") from error
    kept = tuple(record for record in records if record.kept)
    dropped = tuple(record for record in records if not record.kept)
    dataset = Dataset(folder, recipe.labels, kept, dropped)
    _require_pictures(dataset, config.min_per_class)
    return dataset


def _collect_class(
    spec: ClassSpec, per_class: int, sources: Sequence[SearchBackend], store: "_PictureStore", config: CollectConfig
) -> list[Record]:
    earlier = store.earlier(spec, sources)
    searching = any(source.searches for source in sources)
    records = [record for record in earlier if record.kept]
    kept = len(records)
    if searching and kept >= per_class:
        return earlier
    failures: list[SourceUnavailable | FolderMissing] = []
    with tqdm(desc=f"  {spec.label:12}", unit=" pictures", initial=kept, total=per_class if searching else None) as bar:
        for source in sources:
            wanted = per_class - kept if source.searches else sys.maxsize
            try:
                for record in _from_source(source, spec, wanted, records, store, config):
                    records.append(record)
                    kept += record.kept
                    bar.update(record.kept)
                    bar.set_postfix(dropped=len(records) - kept, refresh=False)
            except (SourceUnavailable, FolderMissing) as error:
                failures.append(error)
    # The last failure that leaves too little is the run's own; whatever went on is told in passing.
    fatal = failures.pop() if failures and kept < config.min_per_class else None
    for failure in failures:
        log.warning("%s: %s", spec.label, failure)
    if fatal:
        raise fatal
    return records


def _from_source(
    source: SearchBackend,
    spec: ClassSpec,
    wanted: int,
    records: Sequence[Record],
    store: "_PictureStore",
    config: CollectConfig,
) -> Iterator[Record]:
    """Yield records from one source until `wanted` are kept."""
    if wanted <= 0:
        return
    seen = {(record.backend, record.backend_id) for record in records}
    # Some hits fail, so a search is asked for more than is wanted.
    found = source.search(spec.query, 3 * wanted) if source.searches else source.search(spec.label, wanted)
    fresh = (hit for hit in found if (hit.backend, hit.backend_id) not in seen)
    refused: list[ImageHit] = []
    failures: list[SourceUnavailable | FolderMissing] = []

    def allowed() -> Iterator[ImageHit]:
        try:
            for hit in fresh:
                if allows(config.license, hit.license_id):
                    yield hit
                else:
                    refused.append(hit)
        except (SourceUnavailable, FolderMissing) as error:
            # Raised again below: from here it would take the downloads under way with it.
            failures.append(error)

    for record in store.ingest(allowed(), spec.label):
        yield record
        wanted -= record.kept
        if wanted <= 0:
            break
    yield from (_record(hit, spec.label, "dropped", reason=f"license {hit.license_id}") for hit in refused)
    if failures:
        raise failures[0]


class _PictureStore:
    """Verifies pictures and stores them under content-made names."""

    def __init__(
        self, folder: Path, known: Sequence[Record], pictures: PictureConfig, downloads: DownloadConfig, fetch: Fetch
    ) -> None:
        self.folder, self.pictures, self.downloads, self.fetch = folder, pictures, downloads, fetch
        self.known = known
        self.by_content = {(record.label, record.original_sha256): record for record in known if self._there(record)}

    def earlier(self, spec: ClassSpec, sources: Sequence[SearchBackend]) -> list[Record]:
        """The records of an earlier run for the same class and query, of the sources that search."""
        names = {source.name for source in sources if source.searches}
        mine = [record for record in self.known if (record.label, record.query) == (spec.label, spec.query)]
        return [record for record in mine if record.backend in names and (not record.kept or self._there(record))]

    def ingest(self, hits: Iterator[ImageHit], label: str) -> Iterator[Record]:
        """Turn hits into records: local pictures in the order of the hits, downloads as they arrive."""
        first = next(hits, None)
        if first is None:
            return
        hits = itertools.chain([first], hits)
        yield from self._download(hits, label) if first.image_url else self._read(hits, label)

    def _read(self, hits: Iterator[ImageHit], label: str) -> Iterator[Record]:
        def read(hit: ImageHit) -> Record:
            try:
                content = hit.path.read_bytes() if hit.path else hit.content or b""
            except OSError as error:
                return _record(hit, label, "dropped", reason=f"unreadable ({error.strerror})")
            return self._store(hit, label, content)

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            # In batches: a pool would draw every hit of an endless source at once.
            while batch := list(itertools.islice(hits, 16)):
                yield from pool.map(read, batch)

    def _download(self, hits: Iterator[ImageHit], label: str) -> Iterator[Record]:
        without_picture: list[ImageHit] = []
        for hit, outcome in self._fetch(hits, lambda hit: hit.image_url):
            if outcome.content is None and hit.thumb_url:
                without_picture.append(hit)
            else:
                yield self._downloaded(hit, label, outcome)
        # Only now, and so only when the pictures themselves were not enough.
        for hit, outcome in self._fetch(iter(without_picture), lambda hit: hit.thumb_url):
            yield self._downloaded(hit, label, outcome)

    def _downloaded(self, hit: ImageHit, label: str, outcome: DownloadOutcome[int]) -> Record:
        if outcome.content is None:
            return _record(hit, label, "dropped", reason=outcome.error)
        return self._store(hit, label, outcome.content, outcome.final_url)

    def _fetch(
        self, hits: Iterator[ImageHit], address: Callable[[ImageHit], str | None]
    ) -> Iterator[tuple[ImageHit, DownloadOutcome[int]]]:
        waiting: dict[int, ImageHit] = {}

        def addresses() -> Iterator[tuple[int, str]]:
            for number, hit in enumerate(hits):
                waiting[number] = hit
                yield number, str(address(hit))

        for outcome in self.fetch(addresses(), self.downloads):
            yield waiting.pop(outcome.key), outcome

    def _store(self, hit: ImageHit, label: str, content: bytes, final_url: str | None = None) -> Record:
        original = hashlib.sha256(content).hexdigest()
        if (same := self.by_content.get((label, original))) is not None:
            return _record(hit, label, "kept", **{name: getattr(same, name) for name in FACTS})
        try:
            picture = fit_within(load_picture(content, self.pictures), self.pictures.stored_side)
        except BadPicture as error:
            return _record(hit, label, "dropped", reason=error.reason, original_sha256=original)
        encoded = encode_jpeg(picture, self.pictures.stored_quality)
        digest = hashlib.sha256(encoded).hexdigest()
        file = f"{label}/{digest[:32]}.jpg"
        write_atomically(self.folder / file, encoded)
        return _record(
            hit,
            label,
            "kept",
            file=file,
            sha256=digest,
            original_sha256=original,
            phash=f"{perceptual_hash(picture):016x}",
            width=picture.width,
            height=picture.height,
            final_url=final_url,
            fetched_at=datetime.now(UTC).isoformat(timespec="seconds") if final_url else None,
        )

    def _there(self, record: Record) -> bool:
        return record.kept and (self.folder / str(record.file)).is_file()


def _record(hit: ImageHit, label: str, decision: str, **facts: Any) -> Record:
    return Record(
        label=label,
        backend=hit.backend,
        backend_id=hit.backend_id,
        query=hit.query,
        rank=hit.rank,
        decision=decision,
        mime=hit.mime,
        image_url=hit.image_url,
        thumb_url=hit.thumb_url,
        page_url=hit.page_url,
        title=hit.title,
        creator=hit.creator,
        creator_url=hit.creator_url,
        license_id=hit.license_id,
        license_url=hit.license_url,
        attribution=hit.attribution,
        **facts,
    )


def _require_pictures(dataset: Dataset, needed: int) -> None:
    kept = Counter(record.label for record in dataset.records)
    for label in dataset.labels:
        if kept[label] < needed:
            reasons = Counter(str(record.reason) for record in dataset.dropped if record.label == label)
            why = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
            raise TooFewPictures(
                f"The class {label!r} has {kept[label]} usable pictures and needs at least {needed}"
                + (f" (dropped: {why})." if why else ".")
            )


def _remove_orphans(folder: Path, records: Sequence[Record]) -> None:
    # fastai lists the folder itself, so a picture that the manifest no longer keeps must not lie there.
    wanted = {folder / str(record.file) for record in records if record.kept}
    for path in folder.glob("*/*"):
        if path.suffix in {".jpg", ".part"} and path not in wanted:
            path.unlink()
