"""What a revision was published with, for comparison with what happened since."""

import json
from dataclasses import astuple, fields
from pathlib import Path

import numpy as np

from spotter.bundle import METRICS, read_bundle
from spotter.cache import FOLDER, measure_once
from spotter.config import LogConfig
from spotter.dataset import read_manifest
from spotter.drift import Published, published_figures
from spotter.errors import BrokenModel, NoTrainingRun
from spotter.images import load_picture
from spotter.monitor import Look, Projection, measure_look
from spotter.periods import Training
from spotter.run import find_pictures, read_run
from spotter.stores import HUB, open_store

# To be raised when looks are measured in another way: what was measured before is then not read.
MEASURE = 1


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
    """Read what else there is of a revision's training, and measure its pictures where they are at hand.

    Raises:
        As `read_published`.
    """
    folder, _ = open_store(store).pull(published.revision)
    reference = read_bundle(folder).reference
    places = Projection.fit(reference, LogConfig.dimensions)(reference).astype(np.float32)
    return Training(published, {} if store.startswith(HUB) else _figures(Path(store), published.revision), places)


def _figures(store: Path, revision: str) -> dict[str, np.ndarray]:
    """Out-of-fold figures and looks of the training pictures; {} where these are gone or of another run."""
    try:
        run = read_run(find_pictures(store))
    except NoTrainingRun:
        return {}
    if run.revision != revision:
        return {}
    files = {str(record.sha256): record.file for record in read_manifest(run.folder) if record.kept}
    keys = [key for key in run.keys if key in files and (run.folder / str(files[key])).is_file()]
    looks = np.array(
        measure_once(
            run.folder / FOLDER / f"looks-{MEASURE}.json",
            keys,
            lambda index: astuple(measure_look(load_picture(run.folder / str(files[keys[index]])))),
        )
    ).reshape(len(keys), -1)
    is_judged = ~np.isnan(run.familiarity)
    figures = {"familiarity": run.familiarity[is_judged], "probability": run.probabilities[is_judged].max(axis=1)}
    if keys:
        figures |= {each.name: looks[:, column] for column, each in enumerate(fields(Look)) if each.name != "side"}
    return figures
