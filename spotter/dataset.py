"""The picture set: collecting into it, its manifest, groups of duplicates, and the grouped split."""

import hashlib
import itertools
import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from threading import get_ident
from typing import Any

import numpy as np
from PIL import Image
from scipy.fft import dctn
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import StratifiedGroupKFold
from tqdm import tqdm

from spotter.config import ClassSpec, DownloadConfig, PictureConfig, Recipe, TrainConfig
from spotter.download import download_all
from spotter.errors import BadPicture, DatasetUnwritable, TooFewPictures
from spotter.images import encode_jpeg, fit_within, load_picture
from spotter.search.base import ImageHit, SearchBackend

MANIFEST = "manifest.jsonl"
NEAR_BITS = 8
IN_TWO_CLASSES = "in-two-classes"


@dataclass(frozen=True)
class Record:
    """One line of the manifest: where a picture came from and what was decided about it.

    `file` is relative to the set's folder and None unless `decision` is "kept"; `sha256` is of the stored file,
    `original_sha256` of the bytes as they came; `phash` is 16 hex digits; `group` joins near duplicates.
    """

    label: str
    backend: str
    backend_id: str
    query: str
    rank: int
    decision: str
    reason: str | None = None
    file: str | None = None
    sha256: str | None = None
    original_sha256: str | None = None
    phash: str | None = None
    group: int | None = None
    width: int | None = None
    height: int | None = None
    image_url: str | None = None
    page_url: str | None = None
    title: str | None = None
    license_id: str = "unknown"

    @property
    def kept(self) -> bool:
        return self.decision == "kept"


@dataclass(frozen=True)
class Dataset:
    """The kept pictures under `folder`, in the order of their paths, and the records of the others."""

    folder: Path
    labels: tuple[str, ...]
    records: tuple[Record, ...]
    dropped: tuple[Record, ...]

    @property
    def paths(self) -> list[Path]:
        return [self.folder / str(record.file) for record in self.records]

    @property
    def targets(self) -> np.ndarray:
        """int64 array of shape (n,): the index of each picture's label in `labels`."""
        return np.array([self.labels.index(record.label) for record in self.records], dtype=np.int64)

    @property
    def groups(self) -> np.ndarray:
        """int64 array of shape (n,): pictures with the same number are near duplicates."""
        return np.array([record.group for record in self.records], dtype=np.int64)

    def summary(self) -> str:
        """Say in one line how many pictures of each class were kept, and what was dropped and why."""
        kept = Counter(record.label for record in self.records)
        text = f"kept {len(self.records)}: " + ", ".join(f"{kept[label]} {label}" for label in self.labels)
        reasons = Counter(str(record.reason) for record in self.dropped)
        if reasons:
            text += f"; dropped {len(self.dropped)}: " + ", ".join(f"{n} {why}" for why, n in reasons.most_common())
        return text

    def complaints(self, most: int = 10) -> list[str]:
        """Name the first `most` dropped pictures with their reasons, a line each."""
        lines = [f"dropped {record.backend_id}: {record.reason}" for record in self.dropped[:most]]
        rest = len(self.dropped) - most
        return [*lines, f"... and {rest} more: see {MANIFEST}"] if rest > 0 else lines


def collect(
    recipe: Recipe,
    source: SearchBackend,
    folder: Path,
    pictures: PictureConfig | None = None,
    downloads: DownloadConfig | None = None,
    min_per_class: int = TrainConfig.min_per_class,
) -> Dataset:
    """Fill `folder` with the recipe's pictures from `source`; what an earlier run stored is used again.

    Pictures are stored upright, RGB, without metadata, at most `stored_side` pixels long, as
    `<label>/<hash>.jpg`; `manifest.jsonl` has one line for each hit, kept or not.

    Raises:
        SourceUnavailable, FolderMissing: from the source.
        TooFewPictures: a class has fewer than `min_per_class` usable pictures.
        DatasetUnwritable: `folder` cannot be written.
    """
    known = read_manifest(folder)
    store = _PictureStore(folder, known, pictures or PictureConfig(), downloads or DownloadConfig())
    records: list[Record] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for spec in recipe.classes:
            records += _collect_class(spec, recipe.per_class, source, store)
            # After each class, so that a run that is cut short starts again from what it has.
            done = {record.label for record in records}
            _write_manifest(folder, records + [record for record in known if record.label not in done])
        records = group_duplicates(records)
        _write_manifest(folder, records)
        _remove_orphans(folder, records)
    except OSError as error:
        reason = error.strerror or error
        raise DatasetUnwritable(f"The pictures cannot be stored in {str(folder)!r}: {reason}.") from error
    dataset = _as_dataset(folder, recipe.labels, records)
    _require_pictures(dataset, min_per_class)
    return dataset


def read_manifest(folder: Path) -> list[Record]:
    """Read `manifest.jsonl` of a set; an absent file is an empty set."""
    path = folder / MANIFEST
    if not path.exists():
        return []
    with path.open(encoding="utf-8") as lines:
        return [Record(**json.loads(line)) for line in lines]


def group_duplicates(records: Sequence[Record]) -> list[Record]:
    """Number groups of near duplicates, and drop exact copies (in two classes: all of them).

    Near means at most `NEAR_BITS` different bits of the 64-bit perceptual hash, mirrored or not.
    """
    labels_of: dict[str, set[str]] = {}
    for record in records:
        if record.original_sha256:
            labels_of.setdefault(record.original_sha256, set()).add(record.label)
    seen: set[str] = set()
    checked: list[Record] = []
    for record in records:
        digest = record.original_sha256
        if record.kept and digest and len(labels_of[digest]) > 1:
            record = replace(record, decision="dropped", reason=IN_TWO_CLASSES)
        elif record.kept and digest in seen:
            record = replace(record, decision="dropped", reason="copy")
        elif record.kept and digest:
            seen.add(digest)
        checked.append(record)
    kept = sorted((record for record in checked if record.kept), key=lambda record: str(record.file))
    groups = _near_groups([int(str(record.phash), 16) for record in kept])
    grouped = [replace(record, group=group) for record, group in zip(kept, groups, strict=True)]
    return grouped + [replace(record, group=None, file=None) for record in checked if not record.kept]


def assign_folds(dataset: Dataset, folds: int, seed: int) -> np.ndarray:
    """Deal the pictures into folds, classes in equal shares, near duplicates always together.

    Returns:
        int64 array of shape (n,) with values in 0..k-1, where k is `folds` or fewer when a class has too few groups.

    Raises:
        TooFewPictures: a class has so few different pictures that none could be held out.
    """
    targets, groups = dataset.targets, dataset.groups
    smallest = min(len(np.unique(groups[targets == index])) for index in range(len(dataset.labels)))
    if smallest < 2:
        raise TooFewPictures("A class holds copies of a single picture; it needs different ones to learn from.")
    splitter = StratifiedGroupKFold(n_splits=min(folds, smallest), shuffle=True, random_state=seed)
    assigned = np.zeros(len(targets), dtype=np.int64)
    for fold, (_, held_out) in enumerate(splitter.split(targets, targets, groups)):
        assigned[held_out] = fold
    return assigned


def _collect_class(spec: ClassSpec, per_class: int, source: SearchBackend, store: "_PictureStore") -> list[Record]:
    wanted = per_class if source.searches else sys.maxsize
    earlier = store.earlier(spec, source.name) if source.searches else []
    records = [record for record in earlier if record.kept]
    if len(records) >= wanted:
        return earlier
    seen = {record.backend_id for record in records}
    # Some hits fail, so a search is asked for more than is wanted.
    found = source.search(spec.query, 3 * wanted) if source.searches else source.search(spec.label, wanted)
    kept = len(records)
    total = wanted if source.searches else None
    with tqdm(desc=f"  {spec.label:12}", unit=" pictures", total=total, initial=kept) as bar:
        for record in store.ingest((hit for hit in found if hit.backend_id not in seen), spec.label):
            records.append(record)
            kept += record.kept
            bar.update(record.kept)
            bar.set_postfix(dropped=len(records) - kept, refresh=False)
            if kept >= wanted:
                break
    return records


class _PictureStore:
    """Verifies pictures and stores them under content-made names."""

    def __init__(
        self, folder: Path, known: Sequence[Record], pictures: PictureConfig, downloads: DownloadConfig
    ) -> None:
        self.folder, self.pictures, self.downloads = folder, pictures, downloads
        self.known = known
        self.by_content = {(record.label, record.original_sha256): record for record in known if self._there(record)}

    def earlier(self, spec: ClassSpec, backend: str) -> list[Record]:
        """The records of an earlier run for the same class, query and source."""
        key = (spec.label, spec.query, backend)
        mine = [record for record in self.known if (record.label, record.query, record.backend) == key]
        return [record for record in mine if not record.kept or self._there(record)]

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
        waiting: dict[str, ImageHit] = {}

        def addresses() -> Iterator[tuple[str, str]]:
            for hit in hits:
                waiting[hit.backend_id] = hit
                yield hit.backend_id, str(hit.image_url)

        for outcome in download_all(addresses(), self.downloads):
            hit = waiting.pop(outcome.key)
            if outcome.content is None:
                yield _record(hit, label, "dropped", reason=outcome.error)
            else:
                yield self._store(hit, label, outcome.content)

    def _store(self, hit: ImageHit, label: str, content: bytes) -> Record:
        original = hashlib.sha256(content).hexdigest()
        if (same := self.by_content.get((label, original))) is not None:
            return replace(same, backend=hit.backend, backend_id=hit.backend_id, query=hit.query, rank=hit.rank)
        try:
            picture = fit_within(load_picture(content, self.pictures), self.pictures.stored_side)
        except BadPicture as error:
            return _record(hit, label, "dropped", reason=error.reason, original_sha256=original)
        encoded = encode_jpeg(picture, self.pictures.stored_quality)
        digest = hashlib.sha256(encoded).hexdigest()
        file = f"{label}/{digest[:32]}.jpg"
        _write_atomically(self.folder / file, encoded)
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
        )

    def _there(self, record: Record) -> bool:
        return record.kept and (self.folder / str(record.file)).is_file()


def perceptual_hash(picture: Image.Image) -> int:
    """64-bit perceptual hash: the signs of the 8 x 8 lowest frequencies (DCT) of a 32 x 32 grey thumbnail.

    On photos, half the size at JPEG quality 60 changes at most 4 bits.
    """
    grey = np.asarray(picture.convert("L").resize((32, 32), Image.Resampling.BOX), dtype=np.float32)
    return int.from_bytes(np.packbits(dctn(grey)[:8, :8] > 0).tobytes())


# Mirroring a picture turns the sign of its odd horizontal frequencies round.
_MIRROR = np.uint64(int.from_bytes(np.packbits(np.tile(np.arange(8) % 2 == 1, (8, 1))).tobytes()))


def _near_groups(hashes: Sequence[int]) -> list[int]:
    own = np.array(hashes, dtype=np.uint64)
    mirrored = own ^ _MIRROR
    pairs: list[tuple[int, int]] = []
    for index in range(len(own)):
        distance = np.minimum(
            np.bitwise_count(own[index] ^ own[: index + 1]), np.bitwise_count(own[index] ^ mirrored[: index + 1])
        )
        pairs += [(index, int(other)) for other in np.flatnonzero(distance <= NEAR_BITS)]
    rows, columns = zip(*pairs, strict=True) if pairs else ((), ())
    graph = coo_array((np.ones(len(rows), dtype=bool), (rows, columns)), shape=(len(own), len(own)))
    return [int(group) for group in connected_components(graph, directed=False)[1]]


def _record(hit: ImageHit, label: str, decision: str, **facts: Any) -> Record:
    return Record(
        label=label,
        backend=hit.backend,
        backend_id=hit.backend_id,
        query=hit.query,
        rank=hit.rank,
        decision=decision,
        image_url=hit.image_url,
        page_url=hit.page_url,
        title=hit.title,
        license_id=hit.license_id,
        **facts,
    )


def _as_dataset(folder: Path, labels: tuple[str, ...], records: Sequence[Record]) -> Dataset:
    kept = tuple(record for record in records if record.kept)
    return Dataset(folder, labels, kept, tuple(record for record in records if not record.kept))


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


def _write_manifest(folder: Path, records: Iterable[Record]) -> None:
    lines = (json.dumps(asdict(record), ensure_ascii=False) + "\n" for record in records)
    _write_atomically(folder / MANIFEST, "".join(lines).encode())


def _write_atomically(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.{get_ident()}.part")
    part.write_bytes(content)
    part.replace(path)


def _remove_orphans(folder: Path, records: Sequence[Record]) -> None:
    # fastai lists the folder itself, so a picture that the manifest no longer keeps must not lie there.
    wanted = {folder / str(record.file) for record in records if record.kept}
    for path in folder.glob("*/*"):
        if path.suffix in {".jpg", ".part"} and path not in wanted:
            path.unlink()
