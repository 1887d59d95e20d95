"""Applies people's decisions to a data set each time it is read."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from spotter.config import CollectConfig
from spotter.data.dataset import (
    DELETED,
    FROM_VISITORS,
    IN_TWO_CLASSES,
    SELF_SELECTED,
    UNREVIEWED,
    Dataset,
    Record,
    disputed_file,
)
from spotter.data.edit_log import EDITS, Edit, EditLog, standing
from spotter.data.manifest import lock_set, read_manifest, with_disputed, write_manifest
from spotter.errors import DatasetUnwritable, TooFewPictures
from spotter.names import folder_name
from spotter.utils.files import remove_parts, write_atomically
from spotter.utils.text import plural

# Of the pictures of a set: more that the model itself chose are not learnt from.
MOST_SELF_SELECTED = 0.25


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
    a model that learns from its own answers becomes more and more sure of its mistakes.

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


def write_to_disk(folder: Path) -> tuple[int, int]:
    """Move relabelled pictures of a set into the folder of their class, and permanently remove deleted ones.

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
            for inside in (folder, *(each for each in folder.iterdir() if each.is_dir())):
                remove_parts(inside)
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
                        place = f"{folder_name(label)}/{source.name}"
                        moved += _copy(source, folder / place)
                        mine.add(folder / place)
                        record = replace(record, file=place) if record.kept else record
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
                f"{CollectConfig.min_per_class}; undo some edits with spotter clean, or collect more pictures."
            )


def _copy(source: Path, target: Path) -> bool:
    """Copy a file to where it is not yet, and say whether that was needed."""
    if target.exists():
        return False
    write_atomically(target, source.read_bytes())
    return True
