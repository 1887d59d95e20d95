"""What a revision was published with, for comparison with what happened since."""

import json

import numpy as np

from spotter.bundle import METRICS, read_bundle
from spotter.config import LogConfig
from spotter.drift import Published, published_figures
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
        return published_figures(name, json.loads((folder / METRICS).read_text(encoding="utf-8")))
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
