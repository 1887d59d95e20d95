"""From search hits to pictures on disk: fetched, verified, stored under content-made names, written down at once."""

import hashlib
import itertools
import json
import logging
import os
import shutil
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, TypeVar

from spotter.collect.download import OPT_OUTS, DownloadOutcome, is_transient
from spotter.collect.takedown import Takedown
from spotter.config import DownloadConfig, PictureConfig
from spotter.data.dataset import IN_TWO_CLASSES, TAKEDOWN, Record, disputed_file
from spotter.data.duplicates import perceptual_hash
from spotter.data.manifest import is_whole, lock_set, read_manifest, read_records, write_manifest
from spotter.errors import BadPicture
from spotter.images import encode_jpeg, fit_within, load_picture, own_reason, read_encoded
from spotter.names import folder_name
from spotter.search.base import ImageHit
from spotter.utils.files import write_atomically
from spotter.utils.journal import Journal

JOURNAL, INCOMING = "journal.jsonl", "incoming"
LICENSE = "license "

# What is known of a stored picture whatever the hit that led to it.
FACTS = ("reason", "file", "sha256", "original_sha256", "phash", "width", "height", "final_url", "fetched_at")

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")


class Fetch(Protocol):
    """`download_all`, or the same with other rules for addresses."""

    def __call__(
        self,
        urls: Iterable[tuple[int, str]],
        config: DownloadConfig,
        *,
        then: Callable[[DownloadOutcome[int]], Record | None],
    ) -> Iterator[Record | None]: ...


class PictureSet:
    """The pictures in a folder, and what is known of every hit; whatever moment the process is killed at.

    A picture is stored before its line goes to the journal, and a download is set aside (`incoming/`) before it is
    decoded; so a run that was killed fetches nothing again that had arrived. One process at a time may fill a set.

    Raises:
        DatasetUnwritable: another process is filling the same folder, or it cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        pictures: PictureConfig,
        downloads: DownloadConfig,
        takedown: Takedown,
        fetch: Fetch,
    ) -> None:
        self.folder, self.pictures, self.downloads, self.takedown = folder, pictures, downloads, takedown
        self._fetch = fetch
        (folder / INCOMING).mkdir(parents=True, exist_ok=True)
        self._lock_file = lock_set(folder)
        # What a power failure takes of it is fetched again.
        self._journal = Journal(folder / JOURNAL, sync=False)
        written = read_manifest(folder) + read_records(folder / JOURNAL, self._journal.lines())
        known = [self._checked(record) for record in written if not record.kept or is_whole(folder, record)]
        if len(known) < len(written):
            log.warning(
                "%d stored pictures are missing or damaged; they are collected again", len(written) - len(known)
            )
        self._by_id = {_id(record): record for record in known}
        self._by_content = {(record.label, record.original_sha256): record for record in known if record.kept}
        self._lock = threading.Lock()
        # Decoding is for as many threads as there are cores; more would only hold more pictures in memory.
        self._decoding = threading.BoundedSemaphore(os.cpu_count() or 1)
        self._seen: set[str] = set()
        self._wanted = 0

    def earlier(self, label: str, queries: Sequence[str], sources: Sequence[str]) -> list[Record]:
        """What earlier runs decided about hits of these sources for these queries, without temporary failures."""
        return [
            record
            for record in self._by_id.values()
            if record.label == label
            and record.query in queries
            and record.backend in sources
            and not self._may_be_tried_again(record)
        ]

    def start_class(self, records: Sequence[Record]) -> None:
        """Begin a class, of which `records` are there already: their copies will be dropped."""
        self._seen = {str(record.sha256) for record in records if record.kept}

    def ingest(self, hits: Iterable[ImageHit], wanted: int) -> Iterator[Record]:
        """Turn hits into records until `wanted` are kept: local pictures in the order of the hits, downloads as they
        arrive."""
        self._wanted = wanted
        for is_remote, some in itertools.groupby(hits, key=lambda hit: hit.image_url is not None):
            for record in self._download(some) if is_remote else self._read(some):
                yield record
                # Not `_wanted`: that counts pictures that are stored and still on their way here.
                wanted -= record.kept
                if wanted <= 0:
                    return

    def finish(self, records: Sequence[Record]) -> None:
        """Make `records` the manifest of the set, and remove what they do not keep."""
        write_manifest(self.folder, records)
        (self.folder / JOURNAL).unlink(missing_ok=True)
        shutil.rmtree(self.folder / INCOMING, ignore_errors=True)
        # People list the folder itself, so a picture that the manifest does not keep must not lie there.
        wanted = {self.folder / str(record.file) for record in records if record.kept}
        wanted |= {self._wait_for_decision(record) for record in records if record.reason == IN_TWO_CLASSES}
        for path in self.folder.glob("*/*"):
            if path.suffix in {".jpg", ".part"} and path not in wanted:
                path.unlink()

    def close(self) -> None:
        """Release the set for other processes."""
        self._lock_file.close()

    def _wait_for_decision(self, record: Record) -> Path:
        """Put a picture that stands in two classes where a person can still say which is right."""
        place = self.folder / disputed_file(record)
        if self.takedown.covers(record):
            return self.folder
        lying = next(self.folder.glob(f"*/{place.name}"), None)
        if lying and lying != place and not place.exists():
            place.parent.mkdir(exist_ok=True)
            lying.rename(place)
        return place

    def _read(self, hits: Iterator[ImageHit]) -> Iterator[Record]:
        def prepare(hit: ImageHit) -> tuple[Record, bytes]:
            try:
                with own_reason():
                    content = read_encoded(hit.path or hit.content or b"", self.pictures)
            except BadPicture as error:
                cause = error.__cause__
                told = f"unreadable ({cause.strerror})" if isinstance(cause, OSError) else error.reason
                return make_record(hit, "dropped", reason=told), b""
            return self._verify(hit, content)

        for record, encoded in map_ahead(prepare, hits, os.cpu_count() or 1):
            settled = self._settle(record, encoded)
            if settled is None:
                return
            yield settled

    def _download(self, hits: Iterator[ImageHit]) -> Iterator[Record]:
        waiting: dict[int, tuple[ImageHit, str | None]] = {}
        missed: deque[tuple[ImageHit, str]] = deque()
        ready: deque[Record] = deque()
        numbers = itertools.count()

        def addresses() -> Iterator[tuple[int, str]]:
            for hit in hits:
                while missed:
                    yield thumbnail()
                done = self._without_fetching(hit)
                if done:
                    ready.append(done)
                else:
                    number = next(numbers)
                    waiting[number] = (hit, None)
                    yield number, str(hit.image_url)
            while missed:
                yield thumbnail()

        def thumbnail() -> tuple[int, str]:
            number = next(numbers)
            waiting[number] = missed.popleft()
            return number, str(waiting[number][0].thumb_url)

        def arrived(outcome: DownloadOutcome[int]) -> Record | None:
            hit, reason = waiting.pop(outcome.key)
            if outcome.content is None:
                record, encoded = make_record(hit, "dropped", reason=outcome.error), b""
            else:
                self._set_aside(outcome)
                record, encoded = self._verify(hit, outcome.content, outcome.final_url)
            if record.kept:
                settled = self._settle(record, encoded)
            elif reason is None and hit.thumb_url and record.reason not in {*OPT_OUTS, TAKEDOWN}:
                missed.append((hit, str(record.reason)))
                settled = None
            else:
                # Why the picture itself could not be had says more than why its thumbnail could not.
                settled = self._settle(replace(record, reason=reason or record.reason), b"")
            self._aside(outcome.url).unlink(missing_ok=True)
            return settled

        more = True
        while more:
            for record in self._fetch(addresses(), self.downloads, then=arrived):
                yield from _drain(ready)
                if record is not None:
                    yield record
            yield from _drain(ready)
            # The last downloads may have failed after the last address was asked for.
            more = bool(missed)

    def _without_fetching(self, hit: ImageHit) -> Record | None:
        """The record of a hit whose picture, or its failure, is here already."""
        earlier = self._by_id.get(_id(hit))
        same = self._by_content.get((str(hit.label), hit.sha256)) if hit.sha256 else earlier
        if same and same.kept:
            return self._settle(_with_facts(hit, same), b"")
        if earlier and not self._may_be_tried_again(earlier):
            return self._settle(_with_facts(hit, earlier), b"")
        for address in (hit.image_url, hit.thumb_url):
            if address and (arrived := self._take_aside(address)):
                content, final_url = arrived
                return self._settle(*self._verify(hit, content, final_url))
        return None

    def _verify(self, hit: ImageHit, content: bytes, final_url: str | None = None) -> tuple[Record, bytes]:
        original = hashlib.sha256(content).hexdigest()
        if hit.sha256 and original != hit.sha256:
            return make_record(hit, "dropped", reason="changed", original_sha256=original), b""
        if (same := self._by_content.get((str(hit.label), original))) is not None:
            return _with_facts(hit, same), b""
        try:
            with self._decoding, own_reason():
                picture = fit_within(load_picture(content, self.pictures), self.pictures.stored_side)
                encoded = encode_jpeg(picture, self.pictures.stored_quality)
                phash = f"{perceptual_hash(picture):016x}"
        except BadPicture as error:
            return make_record(hit, "dropped", reason=error.reason, original_sha256=original), b""
        digest = hashlib.sha256(encoded).hexdigest()
        now = datetime.now(UTC).isoformat(timespec="seconds")
        record = make_record(
            hit,
            "kept",
            file=f"{folder_name(str(hit.label))}/{digest[:32]}.jpg",
            sha256=digest,
            original_sha256=original,
            phash=phash,
            width=picture.width,
            height=picture.height,
            final_url=final_url,
            fetched_at=(hit.fetched_at or now) if final_url else None,
        )
        return self._checked(record), encoded

    def _settle(self, record: Record, encoded: bytes) -> Record | None:
        """Store a picture and write its record down; None when enough pictures are kept already."""
        with self._lock:
            if record.kept and record.sha256 in self._seen:
                record = replace(record, decision="dropped", reason="copy", file=None)
            if record.kept:
                if self._wanted <= 0:
                    return None
                if encoded:
                    write_atomically(self.folder / str(record.file), encoded)
                self._wanted -= 1
                self._seen.add(str(record.sha256))
            if record != self._by_id.get(_id(record)):
                self._journal.append(json.dumps(asdict(record), ensure_ascii=False).encode() + b"\n")
        return record

    def _set_aside(self, outcome: DownloadOutcome[int]) -> None:
        head = json.dumps(outcome.final_url).encode()
        write_atomically(self._aside(outcome.url), head + b"\n" + (outcome.content or b""))

    def _take_aside(self, address: str) -> tuple[bytes, str] | None:
        path = self._aside(address)
        if not path.is_file():
            return None
        head, _, content = path.read_bytes().partition(b"\n")
        return content, json.loads(head)

    def _aside(self, address: str) -> Path:
        return self.folder / INCOMING / hashlib.sha256(address.encode()).hexdigest()

    def _checked(self, record: Record) -> Record:
        """The same record, unless its picture was taken down."""
        if record.kept and self.takedown.covers(record):
            return replace(record, decision="dropped", reason=TAKEDOWN, file=None, group=None)
        return record

    def _may_be_tried_again(self, record: Record) -> bool:
        if record.kept:
            return False
        # What a rule refused may be allowed by now; nothing was fetched for it.
        refused = str(record.reason).startswith(LICENSE) or record.reason == TAKEDOWN
        return is_transient(str(record.reason)) or (refused and not self.takedown.covers(record))


def make_record(hit: ImageHit, decision: str, **facts: Any) -> Record:
    """The manifest's line for a hit."""
    return Record(
        label=str(hit.label),
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
        split=hit.split,
        origin=hit.origin,
        **facts,
    )


def map_ahead(function: Callable[[Item], Result], values: Iterable[Item], threads: int) -> Iterator[Result]:
    """Like `map`, in as many threads; `values` is read no further ahead than keeps these busy."""
    with ThreadPoolExecutor(threads) as pool:
        running: deque[Future[Result]] = deque()
        for value in values:
            running.append(pool.submit(function, value))
            if len(running) > 2 * threads:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()


def _id(hit: ImageHit | Record) -> tuple[str, str, str, str, str | None]:
    return str(hit.label), hit.backend, hit.backend_id, hit.query, hit.origin


def _with_facts(hit: ImageHit, known: Record) -> Record:
    return make_record(hit, known.decision, **{name: getattr(known, name) for name in FACTS})


def _drain(ready: deque[Record]) -> Iterator[Record]:
    while ready:
        yield ready.popleft()
