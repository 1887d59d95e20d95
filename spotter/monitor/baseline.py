"""The baseline: the figures a revision was published with, which its answers since are compared with."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from spotter.bundle.format import METRICS
from spotter.bundle.reading import read_bundle
from spotter.config import LogConfig
from spotter.errors import BrokenModel
from spotter.monitor.projection import Projection
from spotter.stores import open_store
from spotter.utils.stats import wilson_interval


@dataclass(frozen=True)
class Share:
    """`count` of `total`, with its Wilson 95 % interval."""

    count: int
    total: int

    @property
    def value(self) -> float:
        return self.count / self.total

    @property
    def interval(self) -> tuple[float, float]:
        return wilson_interval(self.count, self.total)


@dataclass(frozen=True)
class Published:
    """What a revision was published with: of so many held-out `pictures`, how many were `refused`, and how many of
    those that were `called` a label were wrong; the expected calibration error, in [0, 1].
    """

    revision: str
    pictures: int
    refused: int
    called: dict[str, Share]
    calibration_error: float = 0.0

    @property
    def wrong(self) -> Share:
        """How many were wrong in all."""
        return Share(sum(each.count for each in self.called.values()), self.pictures)


def published_figures(revision: str, metrics: Mapping[str, Any]) -> Published:
    """Read what a revision was published with out of its `metrics.json`.

    Raises:
        KeyError, TypeError, ValueError, IndexError: they are none.
    """
    labels = [each["label"] for each in metrics["classes"]]
    confusion = np.array(metrics["confusion"])
    called = {
        label: Share(int(column.sum() - column[index]), int(column.sum()))
        for index, (label, column) in enumerate(zip(labels, confusion.T, strict=True))
    }
    pictures, accepted = int(metrics["pictures"]), float(metrics["familiarity"]["accepted"])
    error = float(metrics["calibration"]["expected_calibration_error"])
    return Published(revision, pictures, round(pictures * (1 - accepted)), called, error)


@dataclass(frozen=True)
class Training:
    """What is known of a revision's training beside what it was `published` with.

    `figures` are those of the training pictures, by their names in `Answers`, where the pictures are at hand; `places`
    (m, k) are their embeddings, projected.
    """

    published: Published
    figures: dict[str, np.ndarray] = field(default_factory=dict)
    places: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))


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
    """Read what else a revision says of its training. `measure_training` adds what the pictures themselves say.

    Raises:
        As `read_published`.
    """
    folder, _ = open_store(store).pull(published.revision)
    reference = read_bundle(folder).pictures
    return Training(published, places=Projection.fit(reference, LogConfig.dimensions)(reference).astype(np.float32))
