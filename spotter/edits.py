"""What people decided about pictures: an append-only log beside them, applied whenever the set is read.

The log (`edits.jsonl`) has a line for each decision. Nothing else changes on disk until `write_to_disk`.
"""

import json
import threading
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from spotter.config import CollectConfig, TrainConfig
from spotter.dataset import (
    DELETED,
    FROM_VISITORS,
    IN_TWO_CLASSES,
    SELF_SELECTED,
    UNREVIEWED,
    Dataset,
    Record,
    assign_folds,
    disputed_file,
    read_manifest,
    with_disputed,
    write_manifest,
)
from spotter.errors import DatasetUnwritable, EditsDamaged, TooFewPictures
from spotter.files import write_atomically
from spotter.ingest import lock_set
from spotter.utils.journal import Journal, Writer, split_whole
from spotter.utils.text import plural

EDITS = "edits.jsonl"
KEEP, RELABEL, DELETE, UNDO = "keep", "relabel", "delete", "undo"
# Of the pictures of a set: more that the model itself chose are not learnt from.
MOST_SELF_SELECTED = 0.25
LONGEST_NAME = 60
# The end of the calendar is as late as any log can say.
LATEST = datetime.max.replace(tzinfo=UTC) - timedelta(milliseconds=1)


@dataclass(frozen=True)
class Edit:
    """One line of the log: who decided what about one picture, when and why.

    The picture is known by `sha256` of its stored file, or by `original_sha256` of the bytes as they came: on another
    machine the same original may be stored with other bytes. `origin` (in the file: `from`) and `to` are labels; `to`
    is None when it was deleted. What was decided in one go shares a `batch`; a line that takes a batch back names it
    in `undoes`. A line that `settles` ends a disagreement. `at` is an ISO time in UTC, later than those of all lines
    that its log held then.
    """

    who: str
    action: str
    sha256: str | None = None
    original_sha256: str | None = None
    origin: str | None = None
    to: str | None = None
    why: str = ""
    settles: bool = False
    undoes: str | None = None
    batch: str = ""
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    at: str = field(default_factory=lambda: _as_text(datetime.now(UTC)))

    @property
    def moment(self) -> datetime:
        return datetime.fromisoformat(self.at)

    def as_line(self) -> bytes:
        """The line of the log."""
        names = ("id", "at", "who", "action", "sha256", "original_sha256", "to", "why", "settles", "undoes", "batch")
        facts = {name: getattr(self, name) for name in names} | {"from": self.origin}
        told = {name: value for name, value in facts.items() if value not in (None, "", False)}
        # ASCII: half of a surrogate pair, as a hostile name may hold, is no text.
        return json.dumps(told).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> "Edit":
        """Read a line of the log.

        Raises:
            ValueError, TypeError: it is not one.
        """
        facts: dict[str, Any] = json.loads(line)
        if not isinstance(facts, dict) or not {"id", "at", "who", "action"} <= set(facts):
            raise ValueError("not a line of an edit log")
        facts["origin"] = facts.pop("from", None)
        edit = cls(**facts)
        texts = (edit.id, edit.at, edit.who, edit.action, edit.why, edit.batch)
        maybe = (edit.sha256, edit.original_sha256, edit.origin, edit.to, edit.undoes)
        if not all(isinstance(text, str) for text in (*texts, *(text for text in maybe if text is not None))):
            raise ValueError("a field is not text")
        if edit.action not in {KEEP, RELABEL, DELETE, UNDO}:
            raise ValueError(f"unknown action {edit.action!r}")
        if edit.moment.tzinfo is None:
            raise ValueError(f"the time {edit.at!r} is of no time zone")
        # Written by hand, perhaps: without one, undo could not name it.
        return edit if edit.batch else replace(edit, batch=edit.id)


@dataclass(frozen=True)
class Verdict:
    """What the log says of one picture: the edit that counts (None while people disagree), and each person's last."""

    edit: Edit | None
    decisions: tuple[Edit, ...]

    @property
    def is_disputed(self) -> bool:
        return self.edit is None


@dataclass(frozen=True)
class Edited:
    """A set with the log applied, and the numbers of pictures that this concerned."""

    dataset: Dataset
    kept: int
    relabelled: int
    deleted: int
    restored: int
    disputed: int
    elsewhere: int
    unreviewed: int
    self_selected: int

    def sentence(self) -> str:
        """What the edits did, in words; "" when there are none."""
        parts = [
            f"{count} {what}"
            for count, what in (
                (self.relabelled, "relabelled"),
                (self.deleted, "deleted"),
                (self.restored, "given their one class"),
                (self.kept, "confirmed"),
            )
            if count
        ]
        if self.disputed:
            parts.append(f"{self.disputed} left as collected because people disagree")
        if self.unreviewed:
            parts.append(f"{self.unreviewed} from visitors wait for review")
        if self.self_selected:
            parts.append(
                f"{self.self_selected} from visitors left out, as the model itself would have chosen more than "
                f"{MOST_SELF_SELECTED:.0%} of the pictures"
            )
        if self.elsewhere:
            parts.append(f"{self.elsewhere} not in this set, or of a class it does not have")
        return f"edits of {EDITS}: " + ", ".join(parts) if parts else ""


class EditLog:
    """The log of the set in `folder`. Several processes and threads may write to it at once.

    A line is on disk before `append` returns. Half a line, left by a process that was killed while it wrote, was never
    promised to anybody and is not read.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / EDITS
        self._journal = Journal(self.path, permissions=0o644)
        self._edits: list[Edit] = []
        self._lines, self._offset, self._last_line = 0, 0, b""
        self._lock = threading.Lock()

    def read(self) -> tuple[Edit, ...]:
        """All edits, oldest first; what others have written meanwhile too.

        Raises:
            EditsDamaged: a whole line is not an edit, or the file cannot be read.
        """
        with self._lock:
            try:
                with self.path.open("rb") as file:
                    file.seek(self._offset - len(self._last_line))
                    if file.read(len(self._last_line)) != self._last_line:
                        # Somebody put another log in its place.
                        self._forget()
                        file.seek(0)
                    content = file.read()
            except FileNotFoundError:
                self._forget()
                content = b""
            except OSError as error:
                raise EditsDamaged(f"The edit log {str(self.path)!r} cannot be read: {error.strerror}.") from error
            whole, last = split_whole(content)
            self._edits += parse_edits(whole, str(self.path), self._lines + 1)
            if whole:
                self._lines += whole.count(b"\n")
                self._offset += len(whole)
                self._last_line = whole[whole.rfind(b"\n", 0, -1) + 1 :]
            return (*self._edits, *parse_edits(last, str(self.path), self._lines + 1))

    def _forget(self) -> None:
        self._edits, self._lines, self._offset, self._last_line = [], 0, 0, b""

    def append(self, edits: Sequence[Edit]) -> None:
        """Add edits as one batch.

        Raises:
            DatasetUnwritable: the log cannot be written. EditsDamaged: it cannot be read.
        """
        batch = uuid.uuid4().hex
        with self._writing() as writer:
            dated = _after(self.read(), edits)
            writer.add(_as_lines(replace(edit, batch=edit.batch or batch) for edit in dated))

    def undo(self, who: str) -> tuple[Edit, ...]:
        """Take back the last batch of `who` that still stands, and return it; () when there is none.

        Raises:
            DatasetUnwritable: the log cannot be written. EditsDamaged: it cannot be read.
        """
        with self._writing() as writer:
            mine = [edit for edit in standing(self.read()) if edit.who == who]
            if not mine:
                return ()
            batch = mine[-1].batch
            writer.add(Edit(who, UNDO, undoes=batch, batch=uuid.uuid4().hex).as_line())
            return tuple(edit for edit in mine if edit.batch == batch)

    def replay(self, edits: Sequence[Edit]) -> int:
        """Add the edits of another log that are not here yet, and return how many.

        Raises:
            DatasetUnwritable: the log cannot be written. EditsDamaged: it cannot be read.
        """
        with self._writing() as writer:
            known = {edit.id for edit in self.read()}
            new = [edit for edit in edits if edit.id not in known]
            writer.add(_as_lines(new))
            return len(new)

    @contextmanager
    def _writing(self) -> Iterator[Writer]:
        try:
            with self._journal.writing() as writer:
                yield writer
        except OSError as error:
            raise DatasetUnwritable(f"The edit log {str(self.path)!r} cannot be written: {error.strerror}.") from error


def parse_edits(content: bytes, name: str, first: int = 1) -> list[Edit]:
    """Read the lines of a log, of which `first` is the number of the first one.

    Raises:
        EditsDamaged: a line is not an edit.
    """
    edits = []
    for number, line in enumerate(content.split(b"\n"), first):
        try:
            edits += [Edit.from_line(line)] if line else []
        except (ValueError, TypeError) as error:
            raise EditsDamaged(f"Line {number} of {name!r} is no edit ({error}); mend it, or take it out.") from error
    return edits


def standing(edits: Sequence[Edit]) -> list[Edit]:
    """The decisions that were not taken back, oldest first.

    By their times, not by their places: two logs that were replayed into each other say the same.
    """
    undone = {edit.undoes for edit in edits if edit.action == UNDO}
    left = [edit for edit in edits if edit.action != UNDO and edit.batch not in undone]
    return sorted(left, key=lambda edit: edit.moment)


def judge_edits(edits: Sequence[Edit], records: Sequence[Record]) -> tuple[dict[str, Verdict], int]:
    """What the log says of each picture of a set.

    The last decision of a person counts. When those of two people differ, none does, until one that `settles`.

    Returns:
        sha256 of a record -> its verdict, and the number of pictures in the log that `records` lack.
    """
    own = {str(record.sha256): str(record.sha256) for record in records if record.sha256}
    originals = {str(r.original_sha256): str(r.sha256) for r in records if r.sha256 and r.original_sha256}
    found: dict[str, list[Edit]] = {}
    elsewhere = set()
    for edit in standing(edits):
        key = own.get(str(edit.sha256)) or originals.get(str(edit.original_sha256))
        if key:
            found.setdefault(key, []).append(edit)
        else:
            elsewhere.add(edit.sha256)
    return {key: _verdict(mine) for key, mine in found.items()}, len(elsewhere)


def apply_edits(dataset: Dataset, edits: Sequence[Edit]) -> Edited:
    """The set as people decided it should be; files stay where they are.

    A deleted picture is dropped with the reason, a relabelled one has its new label and says what it was. A picture
    that stands in two classes is in the one that was chosen, and in none before; a visitor's is in none before either.
    Of those to which the model itself gave their label, the newest are left out beyond `MOST_SELF_SELECTED` of the set:
    a model that learns from its own answers grows ever surer of its mistakes.

    Raises:
        TooFewPictures: the edits leave a class with too few.
    """
    dataset = with_disputed(dataset)
    verdicts, elsewhere = judge_edits(edits, [*dataset.records, *dataset.dropped])
    counts = dict.fromkeys(("kept", "relabelled", "deleted", "restored"), 0)
    records: list[Record] = []
    dropped: list[Record] = []
    settled: dict[str, str] = {}
    came_back: list[Record] = []
    for record in dataset.records:
        edit = _counting(verdicts, record)
        is_disputed = record.reason == IN_TWO_CLASSES
        if edit is None or edit.to not in {None, *dataset.labels}:
            elsewhere += edit is not None
            if record.backend == FROM_VISITORS:
                dropped.append(replace(record, decision="dropped", reason=UNREVIEWED, file=None, group=None))
            elif not is_disputed:
                records.append(record)
        elif edit.to is None:
            counts["deleted"] += 1
            if is_disputed:
                settled[str(record.sha256)] = _reason(edit)
            else:
                dropped.append(replace(record, decision="dropped", reason=_reason(edit), file=None, group=None))
        elif is_disputed:
            counts["restored"] += 1
            settled[str(record.sha256)] = "copy"
            # It is known by the hit of its own class, if it has one there.
            hits = [hit for hit in dataset.dropped if hit.sha256 == record.sha256 and hit.reason == IN_TWO_CLASSES]
            hit = next((hit for hit in hits if hit.label == edit.to), hits[0])
            came_back.append(hit)
            facts = {name: getattr(record, name) for name in ("decision", "file", "group", "flags")}
            records.append(replace(hit, **facts, label=edit.to, reason=None))
        elif edit.to == record.label:
            counts["kept"] += 1
            records.append(record)
        else:
            counts["relabelled"] += 1
            records.append(replace(record, label=edit.to, reason=f"was {record.label}"))
    unreviewed = sum(record.reason == UNREVIEWED for record in dropped)
    surplus = _surplus(records)
    records = [record for record in records if record not in surplus]
    dropped += [replace(record, decision="dropped", reason=SELF_SELECTED, file=None, group=None) for record in surplus]
    others = [
        replace(record, reason=settled.get(str(record.sha256), record.reason))
        for record in dataset.dropped
        if record not in came_back
    ]
    edited = replace(dataset, records=tuple(records), dropped=(*others, *dropped))
    disputed = sum(verdict.is_disputed for verdict in verdicts.values())
    if edits or unreviewed:
        _require_pictures(edited)
    return Edited(
        edited, disputed=disputed, elsewhere=elsewhere, unreviewed=unreviewed, self_selected=len(surplus), **counts
    )


def _surplus(records: Sequence[Record]) -> list[Record]:
    """The newest of the pictures that the model itself chose, so many that the rest is few enough."""
    own = sorted((record for record in records if record.is_self_selected), key=lambda record: str(record.fetched_at))
    others = len(records) - len(own)
    return own[int(others * MOST_SELF_SELECTED / (1 - MOST_SELF_SELECTED)) :]


def deal_folds(dataset: Dataset, edited: Dataset, config: TrainConfig) -> np.ndarray:
    """Deal the pictures of `edited` into folds, int64 (n,), as `dataset` would be without any edits.

    So an edit moves no other picture into another fold, and errors before and after it can be compared.

    Raises:
        TooFewPictures: a class has so few different pictures that none could be held out.
    """
    is_settled = np.array([not record.waits for record in dataset.records])
    plain = replace(dataset, records=tuple(record for record in dataset.records if not record.waits))
    folds = np.zeros(len(dataset.records), dtype=np.int64)
    folds[is_settled] = dealt = assign_folds(plain, config.folds, config.seed)
    of_group = dict(zip(plain.groups.tolist(), dealt.tolist(), strict=True))
    sizes = np.bincount(dealt)
    groups = dataset.groups
    for index in np.flatnonzero(~is_settled):
        folds[index] = of_group.setdefault(int(groups[index]), int(sizes.argmin()))
        sizes[folds[index]] += 1
    own = folds[positions(dataset, edited)]
    if min(len(np.unique(own[edited.targets == target])) for target in range(len(edited.labels))) < 2:
        # What is left of a class lies in one fold, and no head could learn it there.
        return assign_folds(edited, config.folds, config.seed)
    return np.unique(own, return_inverse=True)[1]


def positions(dataset: Dataset, edited: Dataset) -> np.ndarray:
    """Where the pictures of `edited` are in `dataset`: int64 (n,)."""
    rows = {record.sha256: index for index, record in enumerate(dataset.records)}
    return np.array([rows[record.sha256] for record in edited.records], dtype=np.int64)


def write_to_disk(folder: Path) -> tuple[int, int]:
    """Move relabelled pictures of a set into the folder of their class, and remove deleted ones, for good.

    The manifest goes on saying as what a picture was collected; its `file` says where it lies now. Killed at any
    moment, the set is whole, and the same command finishes the work.

    Returns:
        How many were moved, and how many removed.

    Raises:
        DatasetUnwritable: the set cannot be written, or another process is filling it.
        EditsDamaged: the log cannot be read.
    """
    try:
        with lock_set(folder):
            before = read_manifest(folder)
            verdicts, _ = judge_edits(EditLog(folder).read(), before)
            labels = {record.label for record in before}
            after: list[Record] = []
            places: dict[str, set[Path]] = {}
            moved = 0
            for record in before:
                edit = _counting(verdicts, record)
                is_disputed = record.reason == IN_TWO_CLASSES
                source = folder / (disputed_file(record) if is_disputed else str(record.file))
                if source.is_file():
                    mine = places.setdefault(source.stem, set())
                    if edit is not None and edit.to is None:
                        record = replace(record, decision="dropped", reason=_reason(edit), file=None, flags=())
                    elif is_disputed:
                        mine.add(source)
                    if record.kept or (record.reason == IN_TWO_CLASSES and edit is not None and edit.to in labels):
                        label = str(edit.to) if edit is not None and edit.to in labels else record.label
                        moved += _copy(source, folder / label / source.name)
                        mine.add(folder / label / source.name)
                        record = replace(record, file=f"{label}/{source.name}") if record.kept else record
                elif str(record.reason).startswith(DELETED):
                    # Perhaps the last run was killed before it came to the file.
                    places.setdefault(str(record.sha256)[:32], set())
                after.append(record)
            # From here on the manifest names the new places; the old ones go last.
            write_manifest(folder, after)
            removed = 0
            for path in folder.glob("*/*.jpg"):
                if path not in places.get(path.stem, {path}):
                    path.unlink()
                    removed += not places[path.stem]
    except OSError as error:
        raise DatasetUnwritable(f"The edits cannot be applied in {str(folder)!r}: {error.strerror}.") from error
    return moved, removed


def _verdict(decisions: Sequence[Edit]) -> Verdict:
    settled = [number for number, edit in enumerate(decisions) if edit.settles]
    recent = decisions[settled[-1] :] if settled else decisions
    last_of = {edit.who: edit for edit in recent}
    latest = sorted(last_of.values(), key=recent.index)
    agreed = len({edit.to for edit in latest}) == 1
    return Verdict(latest[-1] if agreed else None, tuple(latest))


def _counting(verdicts: dict[str, Verdict], record: Record) -> Edit | None:
    verdict = verdicts.get(str(record.sha256))
    return verdict.edit if verdict else None


def _reason(edit: Edit) -> str:
    return f"{DELETED}: {edit.why}" if edit.why else DELETED


def _require_pictures(dataset: Dataset) -> None:
    for label in dataset.labels:
        left = sum(record.label == label for record in dataset.records)
        if left < CollectConfig.min_per_class:
            raise TooFewPictures(
                f"The edits leave the class {label!r} with {plural(left, 'picture')}, and it needs at least "
                f"{CollectConfig.min_per_class}; take some back with scripts/clean, or collect more."
            )


def _after(written: Sequence[Edit], edits: Sequence[Edit]) -> list[Edit]:
    """The edits, dated later than what was written before: clocks go back, and those of two machines differ."""
    last = max((edit.moment for edit in written), default=None)
    if last is None or all(edit.moment > last for edit in edits):
        return list(edits)
    later = min(last, LATEST) + timedelta(milliseconds=1)
    return [replace(edit, at=_as_text(later)) for edit in edits]


def _as_text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")


def _as_lines(edits: Iterable[Edit]) -> bytes:
    return b"".join(edit.as_line() for edit in edits)


def _copy(source: Path, target: Path) -> bool:
    """Copy a file to where it is not yet, and say whether that was needed."""
    if target.exists():
        return False
    write_atomically(target, source.read_bytes())
    return True
