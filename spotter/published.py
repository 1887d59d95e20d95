"""What a revision was published with, for comparison with what happened since."""

import json

import numpy as np

from spotter.bundle import METRICS, read_bundle
from spotter.config import LogConfig
from spotter.drift import Published, Share
from spotter.errors import BrokenModel
from spotter.monitor import Projection
from spotter.periods import Training
from spotter.stores import open_store


def read_published(store: str, revision: str | None = None) -> Published:
    """Read the figures that a revision (None: the newest) was published with.

    Raises:
        UnknownStore, RevisionMissing, AccessRefused, StoreUnreachable, CacheUnwritable: it cannot be had.
        BrokenModel: there are no figures in it.
    """
    folder, name = open_store(store).pull(revision)
    try:
        metrics = json.loads((folder / METRICS).read_text(encoding="utf-8"))
        labels = [each["label"] for each in metrics["classes"]]
        confusion = np.array(metrics["confusion"])
        called = {
            label: Share(int(column.sum() - column[index]), int(column.sum()))
            for index, (label, column) in enumerate(zip(labels, confusion.T, strict=True))
        }
        pictures, accepted = int(metrics["pictures"]), float(metrics["familiarity"]["accepted"])
        error = float(metrics["calibration"]["expected_calibration_error"])
        return Published(name, pictures, round(pictures * (1 - accepted)), called, error)
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise BrokenModel(f"The revision {name} in {store!r} has no figures that can be read.") from error


def read_training(store: str, published: Published) -> Training:
    """Read what else a revision says of its training. `trained.measure_training` adds what the pictures themselves say.

    Raises:
        As `read_published`.
    """
    folder, _ = open_store(store).pull(published.revision)
    reference = read_bundle(folder).reference
    return Training(published, places=Projection.fit(reference, LogConfig.dimensions)(reference).astype(np.float32))
