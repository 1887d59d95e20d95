"""A second opinion: what another revision says about the same pictures, recorded beside the answer, shown to nobody.

It is asked after the answer, one picture at a time, with low priority. Where it falls behind, answers are logged
without it.
"""

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from PIL import Image

from spotter.monitor import AnswerLog, Challenger, new_id
from spotter.predictor import Prediction

# Of decoded pictures that wait, 3 bytes a pixel: 75 MB.
MOST_PIXELS = 25_000_000
NICE = 10
PATIENCE_S = 5.0


class SecondOpinion:
    """Logs answers as an `AnswerLog` does, each with what the challenger says, from a thread of its own."""

    def __init__(self, predict: Callable[[Image.Image], Prediction], revision: str, log: AnswerLog) -> None:
        self.revision = revision
        self._predict, self._log = predict, log
        self._rows: deque[tuple[Prediction, Image.Image, str, str | None, str]] = deque()
        self._pixels = 0
        self._lock = threading.Lock()
        self._arrived, self._closing = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name="challenger", daemon=True)
        self._thread.start()

    def record(self, prediction: Prediction, picture: Image.Image, route: str = "", *, stage: str | None = None) -> str:
        """Log an answer about an RGB picture, with the challenger's once it has one; return the answer's id."""
        size = picture.width * picture.height
        with self._lock:
            if self._closing.is_set() or (self._pixels and self._pixels + size > MOST_PIXELS):
                return self._log.record(prediction, picture, route, stage=stage)
            id_ = new_id()
            self._pixels += size
            self._rows.append((prediction, picture, route, stage, id_))
        self._arrived.set()
        return id_

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Log what waits, in the end without the challenger, and stop."""
        self._closing.set()
        self._arrived.set()
        self._thread.join(PATIENCE_S)

    def _work(self) -> None:
        with contextlib.suppress(OSError, AttributeError):
            # On Linux a thread has a priority of its own.
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        while True:
            self._arrived.wait()
            self._arrived.clear()
            while self._rows:
                self._ask(*self._rows[0])
                with self._lock:
                    _, picture, *_ = self._rows.popleft()
                    self._pixels -= picture.width * picture.height
            if self._closing.is_set():
                return

    def _ask(self, prediction: Prediction, picture: Image.Image, route: str, stage: str | None, id_: str) -> None:
        second: dict[str, Any] = {}
        if not self._closing.is_set():
            said = self._predict(picture)
            second = {"challenger": Challenger(self.revision, said.label, said.probabilities[said.label])}
        self._log.record(prediction, picture, route, stage=stage, id_=id_, **second)
