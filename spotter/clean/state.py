"""The picture set that is being cleaned: as it was collected, and as its log leaves it this moment."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spotter.clean.suspects import View, reason, suggest
from spotter.data.dataset import IN_TWO_CLASSES, Record
from spotter.data.edit_log import Edit
from spotter.data.edits import Verdict, judge_edits
from spotter.data.manifest import read_dataset, with_disputed
from spotter.data.previews import short_title
from spotter.data.training_run import Run
from spotter.utils.licenses import origin_words

ID_DIGITS = 16


@dataclass(frozen=True)
class CleaningSet:
    """The set as it was collected: every picture that can be shown, those that stand in two classes once.

    `everything` are the records of the others too. `position` finds a picture by the beginning of its SHA-256.
    """

    run: Run
    records: tuple[Record, ...]
    claims: tuple[tuple[str, ...], ...]
    everything: tuple[Record, ...]
    position: dict[str, int]

    def key(self, index: int) -> str:
        """The SHA-256 of a picture."""
        return str(self.records[index].sha256)

    def id(self, index: int) -> str:
        """What the page calls a picture."""
        return self.key(index)[:ID_DIGITS]


@dataclass(frozen=True)
class Now:
    """The pictures as edits leave it."""

    pictures: CleaningSet
    view: View
    verdicts: dict[str, Verdict]
    edits: tuple[Edit, ...]

    def verdict(self, index: int) -> Verdict | None:
        return self.verdicts.get(self.pictures.key(index))

    def label(self, index: int) -> str | None:
        """The label of a picture as it stands now; None when it was deleted."""
        label = int(self.view.labels[index])
        return self.view.names[label] if label >= 0 else None

    def judged(self) -> list[tuple[int, Verdict]]:
        """The pictures about which something was decided."""
        found = ((index, self.verdict(index)) for index in range(len(self.pictures.records)))
        return [(index, verdict) for index, verdict in found if verdict]


def read_cleaning_set(run: Run) -> CleaningSet:
    """Read the set that a run was over.

    Raises:
        DatasetUnwritable: its manifest is damaged.
    """
    dataset = with_disputed(read_dataset(run.folder, run.recipe.labels))
    records = [record for record in dataset.records if (run.folder / str(record.file)).is_file()]
    labels_of: dict[str, list[str]] = {}
    for record in dataset.dropped:
        if record.reason == IN_TWO_CLASSES:
            labels_of.setdefault(str(record.sha256), []).append(record.label)
    claims = [
        tuple(dict.fromkeys(labels_of[str(record.sha256)])) if record.reason == IN_TWO_CLASSES else ()
        for record in records
    ]
    position = {str(record.sha256)[:ID_DIGITS]: index for index, record in enumerate(records)}
    return CleaningSet(run, tuple(records), tuple(claims), (*dataset.records, *dataset.dropped), position)


def replay_edits(pictures: CleaningSet, edits: tuple[Edit, ...]) -> Now:
    """Apply edits to the pictures, and spread what the run says over it."""
    run, names = pictures.run, pictures.run.recipe.labels
    verdicts, _ = judge_edits(edits, pictures.everything)
    row = {key: number for number, key in enumerate(run.keys)}
    rows = np.array([row.get(str(record.sha256), -1) for record in pictures.records], dtype=np.int64)
    labels = np.array([_label(record, verdicts, names) for record in pictures.records], dtype=np.int64)

    def spread(values: np.ndarray, missing: float) -> np.ndarray:
        known = np.concatenate([values, np.full((1, *values.shape[1:]), missing, dtype=values.dtype)])
        return known[rows]

    view = View(
        names,
        pictures.records,
        pictures.claims,
        labels,
        spread(run.probabilities, np.nan),
        spread(run.familiarity, np.nan),
        spread(run.folds, -1),
        run.threshold,
    )
    return Now(pictures, view, verdicts, edits)


def as_json(now: Now, queue: str, group: Sequence[int], index: int) -> dict[str, Any]:
    """What is told of the picture at `index`, one of a `group` shown together, in a queue; JSON."""
    view, pictures, record, verdict = now.view, now.pictures, now.pictures.records[index], now.verdict(index)
    predicted = int(view.predicted[index])
    suggestion = suggest(queue, view, group, index)
    return {
        "id": pictures.id(index),
        "label": now.label(index),
        "collected": " and ".join(pictures.claims[index]) or record.label,
        "in_two": bool(pictures.claims[index]),
        "predicted": view.names[predicted] if predicted >= 0 else None,
        "probability": float(view.probabilities[index, predicted]) if predicted >= 0 else None,
        "familiarity": None if np.isnan(view.familiarity[index]) else float(view.familiarity[index]),
        "fold": int(view.folds[index]) + 1 or None,
        "reason": reason(queue, view, group, index),
        "title": short_title(record) or Path(record.backend_id).name[:120],
        "source": record.backend,
        "origin": origin_words(record.backend, record.license_id),
        "creator": record.creator,
        "page": record.page_url,
        "size": f"{record.width} × {record.height}",
        "suggestion": {"to": suggestion.to} if suggestion else None,
        "decisions": [
            {"who": edit.who, "action": edit.action, "to": edit.to, "at": edit.at, "why": edit.why}
            for edit in (verdict.decisions if verdict else ())
        ],
        "disputed": bool(verdict and verdict.is_disputed),
    }


def _label(record: Record, verdicts: dict[str, Verdict], names: Sequence[str]) -> int:
    verdict = verdicts.get(str(record.sha256))
    edit = verdict.edit if verdict else None
    if edit is None or edit.to not in {None, *names}:
        return names.index(record.label)
    return -1 if edit.to is None else names.index(edit.to)
