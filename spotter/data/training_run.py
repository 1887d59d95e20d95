"""A training run, kept beside its pictures for whoever cleans them: out-of-fold answers, folds, familiarity."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from spotter.config import HUB, TrainConfig
from spotter.errors import DatasetUnwritable, NoTrainingRun
from spotter.recipe import ClassSpec, Recipe
from spotter.utils.files import has_file, write_atomically

RUN = "training.safetensors"
# The last run that learnt from something else or in another way: what the newest card is compared with.
BEFORE = "before.safetensors"
# In a store's folder, beside its revisions; never inside one, so never published.
PICTURES = "pictures"
FORMAT = "1"


@dataclass(frozen=True)
class Run:
    """A training run over the set in `folder`, of n pictures.

    `keys` are their SHA-256, `given` their labels then; `probabilities` (n, classes) are by heads that did not see
    them, and NaN where none was judged; `familiarity` (n,) in [0, 1], NaN likewise; `folds` int64 (n,). `features`
    names their cache in the set's `features/`, of so many features as `width`. `store` is the folder, or the address on
    the Hub, that `revision` was published to; `contents` is the name of its files, the same in every store.
    """

    folder: Path
    recipe: Recipe
    config: TrainConfig
    command: str
    store: str
    revision: str
    threshold: float
    features: str
    width: int
    keys: tuple[str, ...]
    given: tuple[str, ...]
    probabilities: np.ndarray
    familiarity: np.ndarray
    folds: np.ndarray
    contents: str = ""

    def is_like(self, other: "Run") -> bool:
        """Whether both learnt from the same pictures, labels and settings."""
        return (
            self.recipe.labels == other.recipe.labels
            and self.config == other.config
            and dict(zip(self.keys, self.given, strict=True)) == dict(zip(other.keys, other.given, strict=True))
        )


def spread(values: np.ndarray, judged: np.ndarray) -> np.ndarray:
    """The values of judged pictures, (judged.sum(), ...), as those of all: float32 (n, ...), NaN for the others."""
    everything = np.full((len(judged), *values.shape[1:]), np.nan, dtype=np.float32)
    everything[judged] = values
    return everything


def write_run(run: Run) -> None:
    """Write the run beside its pictures, and tell its store where these are. The one that was there is kept as the one
    before, unless it is like this one.

    Raises:
        DatasetUnwritable: one of the two folders cannot be written.
    """
    names = ("command", "store", "revision", "threshold", "features", "width", "keys", "given", "contents")
    told: dict[str, Any] = {name: getattr(run, name) for name in names}
    told |= {"recipe": asdict(run.recipe), "config": asdict(run.config)}
    tensors = {name: np.ascontiguousarray(getattr(run, name)) for name in ("probabilities", "familiarity", "folds")}
    last = _read_if_there(run.folder, RUN)
    try:
        if last and not last.is_like(run):
            write_atomically(run.folder / BEFORE, (run.folder / RUN).read_bytes())
        write_atomically(run.folder / RUN, save(tensors, {"format": FORMAT, "run": json.dumps(told)}))
        if not run.store.startswith(HUB):
            write_atomically(Path(run.store) / PICTURES, os.fsencode(run.folder.absolute()) + b"\n")
    except OSError as error:
        raise DatasetUnwritable(f"The training run cannot be saved: {error.strerror}.") from error


def find_pictures(place: Path) -> Path:
    """The folder of the picture set that `place` is, or that the store at `place` was last trained on.

    Raises:
        NoTrainingRun: it is neither.
    """
    pointer = place / PICTURES
    try:
        # A folder may have any bytes in its name.
        folder = Path(os.fsdecode(pointer.read_bytes().rstrip(b"\n"))) if pointer.is_file() else place
    except OSError as error:
        raise NoTrainingRun(f"{str(pointer)!r} cannot be read: {error.strerror}.") from error
    if not has_file(folder / RUN):
        where = f"{str(place)!r}" + (f" (its pictures were in {str(folder)!r})" if folder != place else "")
        raise NoTrainingRun(
            f"There is no training run in {where}; give a store or a picture set that spotter train has trained on."
        )
    return folder


def find_newest(folder: Path) -> Run | None:
    """The last run over any of the picture sets in a folder; None: there is none that can be read."""
    files = sorted(folder.glob(f"*/{RUN}"), key=lambda file: file.stat().st_mtime, reverse=True)
    return next((run for file in files if (run := _read_if_there(file.parent, RUN))), None)


def find_before(now: Run) -> Run | None:
    """The last run over the same set that learnt from something else or in another way than `now`; None: there is none.

    Training the same twice therefore compares with the same run both times.
    """
    last = _read_if_there(now.folder, RUN)
    if last is None or not last.is_like(now):
        return last
    before = _read_if_there(now.folder, BEFORE)
    return None if before is None or before.is_like(now) else before


def read_run(folder: Path, name: str = RUN) -> Run:
    """Read what the last training run over the set in `folder` left.

    Raises:
        NoTrainingRun: there is none, or it cannot be read.
    """
    try:
        with safe_open(folder / name, "numpy") as file:
            tensors = {name: file.get_tensor(name) for name in ("probabilities", "familiarity", "folds")}
            told = json.loads(file.metadata()["run"])
        recipe = {**told.pop("recipe")}
        recipe["classes"] = tuple(ClassSpec(**spec) for spec in recipe["classes"])
        config = {**told.pop("config")}
        config["strengths"] = tuple(config["strengths"])
        told |= {name: tuple(told[name]) for name in ("keys", "given")}
        # Older runs do not say.
        told.setdefault("contents", told["revision"])
        run = Run(folder=folder, recipe=Recipe(**recipe), config=TrainConfig(**config), **told, **tensors)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise NoTrainingRun(
            f"The training run in {str(folder)!r} cannot be read ({error}); train again with spotter train."
        ) from error
    n = len(run.keys)
    if not (len(run.given) == len(run.probabilities) == len(run.familiarity) == len(run.folds) == n) or (
        run.probabilities.shape[1] != len(run.recipe.labels)
    ):
        raise NoTrainingRun(f"The training run in {str(folder)!r} is inconsistent; train again with spotter train.")
    return run


def _read_if_there(folder: Path, name: str) -> Run | None:
    try:
        return read_run(folder, name)
    except NoTrainingRun:
        return None
