"""`export.pkl`, written and opened again by processes of their own while the model is judged here."""

from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spotter.config import TrainConfig
from spotter.data.dataset import Dataset
from spotter.publish.parity import parity_pictures
from spotter.train.processes import in_background, run_apart
from spotter.train.trained import Trained


@dataclass(frozen=True)
class Export:
    """An `export.pkl` on its way: whether it is `written`, the encoded `pictures` that the gate asks about, and what
    a process that did not make it `answers` to these, float32 (n, classes), by fastai's `load_learner`."""

    written: Future[None]
    pictures: Future[list[bytes]]
    answers: Future[np.ndarray]


def start_export(trained: Trained, dataset: Dataset, folds: np.ndarray, config: TrainConfig, path: Path) -> Export:
    """Start to write a trained model to `path`, and to ask what is written there.

    A network that torch holds in this process, such as a fine-tuned one, is written before this returns.
    """
    written: Future[None]
    if trained.learner or trained.backbone.modules:
        from spotter.train.export import write_pickle

        write_pickle(trained, dataset, folds, config, path)
        written = Future()
        written.set_result(None)
    else:
        making = "spotter.train.export", "write_pickle", trained.bare(), dataset, folds, config, path
        written = in_background(run_apart, *making)
    pictures = in_background(parity_pictures, dataset.paths)

    def ask() -> np.ndarray:
        written.result()
        return run_apart("spotter.train.export", "answer_with_pickle", path, pictures.result())

    return Export(written, pictures, in_background(ask))
