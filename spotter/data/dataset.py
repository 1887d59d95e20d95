"""A data set: its pictures, their labels, and where each came from."""

import json
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from spotter.config import NOT_A_PICTURE, PictureConfig
from spotter.names import folder_name
from spotter.utils.journal import read_as
from spotter.utils.licenses import UNKNOWN_LICENSE

MANIFEST = "manifest.jsonl"
VALID = "valid"
IN_TWO_CLASSES = "in-two-classes"
NEAR_IN_TWO_CLASSES = "near-in-two-classes"
TAKEDOWN = "takedown"
DELETED = "deleted"
UNREVIEWED = "unreviewed"
SELF_SELECTED = "self-selected"
# The source whose pictures nobody has looked at.
FROM_VISITORS = "feedback"
# Pictures that stand in two classes wait here for a decision; fastai skips folders with such a name.
DISPUTED = ".disputed"


@dataclass(frozen=True)
class Record:
    """One line of the manifest: where a picture came from and what was decided about it.

    `file` is relative to the set's folder and None unless `decision` is "kept"; `sha256` is of the stored file,
    `original_sha256` of the bytes as they came; `phash` is 16 hex digits; `group` joins near duplicates; `flags` are
    reasons to look at a kept picture; `split` is "valid" where its author keeps it for judging. `fetched_at` is an ISO
    time in UTC, for downloads. `origin` names the folder or table that it is from, where there were several.
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
    flags: tuple[str, ...] = ()
    width: int | None = None
    height: int | None = None
    mime: str | None = None
    image_url: str | None = None
    final_url: str | None = None
    fetched_at: str | None = None
    thumb_url: str | None = None
    page_url: str | None = None
    title: str | None = None
    creator: str | None = None
    creator_url: str | None = None
    license_id: str = UNKNOWN_LICENSE
    license_url: str | None = None
    attribution: str | None = None
    split: str | None = None
    origin: str | None = None

    @property
    def is_held_out(self) -> bool:
        """Whether the author of the set keeps it for judging: it is never learnt from."""
        return self.split == VALID

    @property
    def place(self) -> str:
        """Where its picture was stored, by which pictures are ordered. `spotter clean apply` may have moved it since:
        that must not change what is learnt, which depends on their order a little."""
        file = str(self.file)
        return file if file.startswith(DISPUTED) else f"{folder_name(self.label)}/{file.rpartition('/')[2]}"

    @property
    def kept(self) -> bool:
        return self.decision == "kept"

    @property
    def is_self_selected(self) -> bool:
        """Whether it is here because the model itself gave it this label, and somebody agreed."""
        return self.backend == FROM_VISITORS and self.query == self.label

    @property
    def is_of_other_format(self) -> bool:
        """Whether it is a file of its owner's that is in no format that is read."""
        return self.reason == NOT_A_PICTURE and not self.image_url

    @property
    def waits(self) -> bool:
        """Whether it is in no class before a person has decided."""
        return self.reason == IN_TWO_CLASSES or self.backend == FROM_VISITORS

    @classmethod
    def from_json(cls, line: str | bytes) -> "Record":
        """Read a line of the manifest.

        Raises:
            ValueError, TypeError: it is none.
        """
        record = read_as(cls, json.loads(line))
        return replace(record, flags=tuple(map(str, record.flags)))


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
    def held_out(self) -> np.ndarray:
        """bool array of shape (n,): the pictures that the author of the set keeps for judging; none in most sets."""
        return np.array([record.is_held_out for record in self.records], dtype=bool)

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

    def by_source(self) -> list[str]:
        """Say for each class and source how many pictures were kept, and why others were not, a line each."""
        lines = []
        everything = (*self.records, *self.dropped)
        for label, source in sorted({(r.label, r.backend) for r in everything}, key=self._order):
            mine = [record for record in everything if (record.label, record.backend) == (label, source)]
            reasons = Counter(str(record.reason) for record in mine if not record.kept)
            why = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
            kept = sum(record.kept for record in mine)
            lines.append(f"{label}, {source}: {kept} kept" + (f"; not kept: {why}" if why else ""))
        return lines

    def _order(self, pair: tuple[str, str]) -> tuple[int, str]:
        return self.labels.index(pair[0]), pair[1]

    def complaints(self, most: int = 10) -> list[str]:
        """Name the first `most` dropped pictures with their reasons, a line each, and say which formats are read where
        a file has another."""
        lines = [f"dropped {record.backend_id}: {record.reason}" for record in self.dropped[:most]]
        rest = len(self.dropped) - most
        lines += [f"... and {rest} more: see {MANIFEST}"] if rest > 0 else []
        return [*lines, PictureConfig().advice] if any(record.is_of_other_format for record in self.dropped) else lines


def disputed_file(record: Record) -> str:
    """Where a picture waits that stands in two classes, relative to the set's folder."""
    return f"{DISPUTED}/{str(record.sha256)[:32]}.jpg"
