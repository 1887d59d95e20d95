"""An audit of a collected set, once a backbone has seen it: near duplicates, quality flags, the coverage report."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from spotter.data.coverage import measure_coverage, write_coverage
from spotter.data.dataset import IN_TWO_CLASSES, Dataset
from spotter.data.duplicates import MOST_TWINS, confirm_duplicates
from spotter.data.edit_log import Edit
from spotter.data.edits import apply_edits
from spotter.data.manifest import write_attribution, write_manifest
from spotter.data.quality import Measured, find_quality_flags, tell_strips
from spotter.data.splits import positions
from spotter.errors import DatasetUnwritable
from spotter.utils.text import plural

REPORT = "coverage.html"


def review(
    dataset: Dataset,
    features: np.ndarray,
    imagenet_logits: np.ndarray | None,
    spreads: np.ndarray | None = None,
    edits: Sequence[Edit] = (),
    measured: Mapping[Path, Measured] = MappingProxyType({}),
) -> tuple[Dataset, list[str]]:
    """Group near duplicates, flag what a person should look at; write the set's manifest, coverage report and
    `ATTRIBUTION.csv`.

    Nothing is dropped: a flag is a reason to look.

    Args:
        features: float32 (n, width), pooled features in the order of `dataset.records`.
        imagenet_logits: float32 (n, 1000) of the same pictures, when the backbone has that classifier.
        spreads: float (n,), how far their subjects spread over them, when the backbone could tell.
        edits: what people decided; the reports show the set after them, the manifest how it was collected.
        measured: what is known of pictures already, by their file.

    Returns:
        The set with groups and flags but without edits, and what there is to say about it, a sentence each.

    Raises:
        DatasetUnwritable: the report, the manifest or what was computed cannot be written.
    """
    dataset, twins = confirm_duplicates(dataset, features / np.linalg.norm(features, axis=1, keepdims=True))
    flagged = find_quality_flags(dataset, features, imagenet_logits=imagenet_logits, measured=measured)
    records = tuple(
        replace(record, flags=(*record.flags, *flags)) for record, flags in zip(dataset.records, flagged, strict=True)
    )
    dataset = replace(dataset, records=records)
    collected = [record for record in records if record.reason != IN_TWO_CLASSES]
    edited = apply_edits(dataset, edits).dataset
    try:
        write_manifest(dataset.folder, [*collected, *dataset.dropped])
        write_attribution(dataset.folder, edited)
    except OSError as error:
        reason = error.strerror or error
        raise DatasetUnwritable(
            f"The list of pictures cannot be stored in {str(dataset.folder)!r}: {reason}."
        ) from error
    rows = positions(dataset, edited)
    labels = {record.sha256: record.label for record in edited.records}
    pairs = [
        (replace(pair.first, label=first), replace(pair.second, label=second), pair.cosine)
        for pair in twins
        if (first := labels.get(pair.first.sha256)) != (second := labels.get(pair.second.sha256)) and first and second
    ]
    report = dataset.folder / REPORT
    spreads = None if spreads is None else spreads[rows]
    write_coverage(
        measure_coverage(edited, features[rows], [flagged[row] for row in rows], spreads), edited, report, pairs
    )
    to_look_at = sum(bool(record.flags) for record in edited.records)
    alike = len(edited.records) - len(np.unique(edited.groups))
    sayings = [
        f"{plural(alike, 'near duplicate')}; {plural(to_look_at, 'picture')} to look at, "
        f"among them {'at least ' if len(twins) == MOST_TWINS else ''}{plural(len(pairs), 'pair')} in two classes"
    ]
    if told := tell_strips(edited):
        sayings.append(told)
    return dataset, [*sayings, f"what the pictures show and what they lack: {report}"]
