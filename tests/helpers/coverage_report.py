"""A coverage report over drawn pictures."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from spotter.data.coverage import measure_coverage, write_coverage
from spotter.data.dataset import Dataset, Record
from spotter.data.manifest import note_searched
from spotter.data.quality import QUALITY_FLAGS
from spotter.images import encode_jpeg
from tests.helpers.drawing import draw

HOSTILE = '<script>alert(1)</script> "it\'s"\n<img src=x onerror=alert(2)> {{ 7 * 7 }} 🐻 \ud83d'


def make_dataset(folder: Path, classes: dict[str, int], **facts: object) -> Dataset:
    records: list[Record] = []
    for label, count in classes.items():
        (folder / label).mkdir()
        for index in range(count):
            file = f"{label}/{index:03}.jpg"
            (folder / file).write_bytes(encode_jpeg(draw("disc", index), 95))
            known = {"query": f"{label} bear", **facts}
            records.append(
                Record(label, "folder", file, rank=index, decision="kept", file=file, group=len(records), **known)
            )
    return Dataset(folder, tuple(classes), tuple(records), ())


def make_features(*sizes: int) -> np.ndarray:
    """Blobs of features, of the given sizes, well apart."""
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(size=(size, 32)) + 20 * rng.normal(size=32) for size in sizes], dtype=np.float32)


def make_report(folder: Path) -> Path:
    """A report full of what comes from strangers."""
    dataset = make_dataset(folder, {"grizzly": 60, "R2-D2 & friends'": 3, "nothing": 0})
    said = {"backend": "openverse", "title": HOSTILE, "creator": HOSTILE, "query": 'it\'s "small"'}
    records = [replace(record, **said) for record in dataset.records]
    dataset = replace(dataset, records=tuple(records))
    flags = [tuple(QUALITY_FLAGS) if index < 30 else () for index in range(len(records))]
    spreads = np.linspace(0.5, 0.8, len(records))
    note_searched(folder, ["openverse"])
    coverages = measure_coverage(dataset, make_features(30, 20, 10, 3), flags, spreads)
    write_coverage(coverages, dataset, folder / "out" / "coverage.html", [(records[0], records[-1], 0.9712)])
    return folder / "out" / "coverage.html"
