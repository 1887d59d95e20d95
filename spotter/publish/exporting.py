"""`export.pkl`, written and opened again by processes of their own while the model is judged here."""

from concurrent.futures import Future, wait
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from spotter.config import TrainConfig
from spotter.data.dataset import Dataset
from spotter.publish.parity import parity_pictures
from spotter.train.processes import drop_work, in_background, run_apart
from spotter.train.trained import Trained


@dataclass(frozen=True)
class Export:
    """An `export.pkl` on its way: whether it is `written`, the encoded `pictures` that the gate asks about, and what
    a process that did not make it `answers` to these, float32 (n, classes), by fastai's `load_learner`.

    At the end of a `with` block nothing of it goes on: its folder can be removed, and the disk of that taken away.
    """

    written: Future[None]
    pictures: Future[list[bytes]]
    answers: Future[np.ndarray]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is not None:
            drop_work()
        running: list[Future[Any]] = [self.written, self.pictures, self.answers]
        wait(running)


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
