"""What the training pictures of a revision look like, where they are at hand, for comparison with what came since."""

from collections.abc import Sequence
from dataclasses import astuple, fields, replace
from pathlib import Path

import numpy as np

from spotter.cache import FOLDER, measure_once
from spotter.config import HUB
from spotter.dataset import read_manifest
from spotter.drift import Published
from spotter.errors import NoTrainingRun
from spotter.images import load_picture
from spotter.monitor import Look, measure_look
from spotter.periods import Training
from spotter.published import read_training
from spotter.run import find_pictures, read_run

# To be raised when looks are measured in another way: what was measured before is then not read.
MEASURE = 1


def measure_training(store: str, published: Published) -> Training:
    """Read what a revision says of its training, and measure its pictures where they are at hand.

    Raises:
        As `read_published`.
    """
    training = read_training(store, published)
    return training if store.startswith(HUB) else replace(training, figures=_figures(Path(store), published.revision))


def measure_looks(folder: Path, keys: Sequence[str], paths: Sequence[Path]) -> np.ndarray:
    """Float (n, 5): the `Look` of each picture of the set in `folder`, measured once. `keys` are their SHA-256.

    Raises:
        DatasetUnwritable: what was measured cannot be kept.
    """
    place = folder / FOLDER / f"looks-{MEASURE}.json"
    found = measure_once(place, keys, lambda index: astuple(measure_look(load_picture(paths[index]))))
    return np.array(found, dtype=float).reshape(len(keys), len(fields(Look)))


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
    looks = measure_looks(run.folder, keys, [run.folder / str(files[key]) for key in keys])
    is_judged = ~np.isnan(run.familiarity)
    figures = {"familiarity": run.familiarity[is_judged], "probability": run.probabilities[is_judged].max(axis=1)}
    if keys:
        figures |= {each.name: looks[:, column] for column, each in enumerate(fields(Look)) if each.name != "side"}
    return figures
