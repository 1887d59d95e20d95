"""A second look at a collected set, now that a backbone has seen it: near duplicates, junk flags, the report."""

from dataclasses import replace

import numpy as np

from spotter.bundle import write_attribution
from spotter.coverage import describe, write_report
from spotter.dataset import Dataset, Record, confirm_duplicates, write_manifest
from spotter.junk import find_junk
from spotter.pages import plural

REPORT = "coverage.html"


def review(
    dataset: Dataset, features: np.ndarray, imagenet_logits: np.ndarray | None, collected: Dataset | None = None
) -> tuple[Dataset, list[str]]:
    """Group near duplicates, flag what a person should look at; write the set's manifest, coverage report and
    `ATTRIBUTION.csv`.

    Nothing is dropped: a flag is a reason to look.

    Args:
        features: float32 (n, width), pooled features in the order of `dataset.records`.
        imagenet_logits: float32 (n, 1000) of the same pictures, when the backbone has that classifier.
        collected: the set without people's edits, where there are some: this is what the manifest goes on saying.

    Returns:
        The set with groups and flags, and what there is to say about it, a sentence each.

    Raises:
        DatasetUnwritable: the report cannot be written.
    """
    dataset, twins = confirm_duplicates(dataset, features / np.linalg.norm(features, axis=1, keepdims=True))
    junk = find_junk(dataset, features, imagenet_logits=imagenet_logits)
    records = tuple(
        replace(record, flags=(*record.flags, *flags)) for record, flags in zip(dataset.records, junk, strict=True)
    )
    dataset = replace(dataset, records=records)
    write_manifest(dataset.folder, _as_collected(dataset, collected) if collected else [*records, *dataset.dropped])
    write_attribution(dataset.folder, dataset)
    report = dataset.folder / REPORT
    pairs = [(pair.first, pair.second, pair.cosine) for pair in twins]
    write_report(describe(dataset, features, junk), dataset, report, pairs)
    flagged = sum(bool(record.flags) for record in records)
    alike = len(records) - len(np.unique(dataset.groups))
    sayings = [
        f"{plural(alike, 'near duplicate')}; {plural(flagged, 'picture')} to look at, "
        f"among them {plural(len(twins), 'pair')} in two classes"
    ]
    return dataset, [*sayings, f"what the pictures show and what they lack: {report}"]


def _as_collected(dataset: Dataset, collected: Dataset) -> list[Record]:
    """The records without edits, with the groups and flags that were found for the edited ones."""
    found = {record.sha256: record for record in dataset.records}
    after = int(dataset.groups.max(initial=-1)) + 1
    records = [
        replace(record, group=seen.group, flags=seen.flags)
        if (seen := found.get(record.sha256))
        else replace(record, group=after + number, flags=())
        for number, record in enumerate(collected.records)
    ]
    return [*records, *collected.dropped]
