"""A challenger (shadow deployment): what another revision says about the same pictures, recorded, shown to nobody.

It is asked after the answer, one picture at a time, with low priority, and only while nobody else waits for an answer.
Where it falls behind, answers are logged without it.
"""

import contextlib
import logging
import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any, Self

from PIL import Image

from spotter.errors import ChallengerFailed
from spotter.inference.prediction import Prediction
from spotter.monitor.log import AnswerLog, Challenger, new_id

_log = logging.getLogger(__name__)

# Of decoded pictures that wait, 3 bytes a pixel: 75 MB.
MOST_PIXELS = 25_000_000
NICE = 10
# For so long it waits until no visitor does; then this picture goes without it.
IDLE_WITHIN_S = 2.0
# For so long it goes on when told to stop.
PATIENCE_S = 2.0


class SecondOpinion:
    """Logs answers as an `AnswerLog` does, each with what the challenger says, from a thread of its own.

    Whoever answers visitors clears `idle` while somebody waits. `problem` says why the challenger does not answer.
    """

    def __init__(self, predict: Callable[[Image.Image], Prediction], revision: str, log: AnswerLog) -> None:
        self.revision = revision
        self.problem = ""
        self.idle = threading.Event()
        self.idle.set()
        self._predict, self._log = predict, log
        self._rows: deque[tuple[Image.Image, Callable[..., str], str]] = deque()
        self._pixels, self._end = 0, math.inf
        self._lock = threading.Lock()
        self._arrived, self._closing = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name="challenger", daemon=True)
        self._thread.start()

    def record(
        self,
        prediction: Prediction,
        picture: Image.Image,
        route: str = "",
        *,
        stage: str | None = None,
        counts: int = 1,
    ) -> str:
        """Log an answer about an RGB picture, with the challenger's once it has one; return the answer's id."""
        size = picture.width * picture.height
        log = partial(self._log.record, prediction, picture, route, stage=stage, counts=counts)
        with self._lock:
            if self._closing.is_set() or (self._pixels and self._pixels + size > MOST_PIXELS):
                return log()
            id_ = new_id()
            self._pixels += size
            self._rows.append((picture, log, id_))
        self._arrived.set()
        return id_

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Log what waits, what is left after `PATIENCE_S` without the challenger, and stop."""
        self._end = time.monotonic() + PATIENCE_S
        self._closing.set()
        self.idle.set()
        self._arrived.set()
        self._thread.join(2 * PATIENCE_S)

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
                    picture, *_ = self._rows.popleft()
                    self._pixels -= picture.width * picture.height
            if self._closing.is_set():
                return

    def _ask(self, picture: Image.Image, log: Callable[..., str], id_: str) -> None:
        second: dict[str, Any] = {}
        if self.idle.wait(IDLE_WITHIN_S) and time.monotonic() < self._end:
            try:
                second = {"challenger": self._said(picture)}
                self._say("")
            except ChallengerFailed as error:
                # The answer is logged all the same.
                self._say(str(error))
        log(id_=id_, **second)

    def _said(self, picture: Image.Image) -> Challenger:
        try:
            said = self._predict(picture)
        except Exception as error:
            # ONNX Runtime's own are of no kind in particular.
            raise ChallengerFailed(f"The challenger does not answer: {error}.") from error
        return Challenger(self.revision, said.closest, said.probabilities[said.closest])

    def _say(self, problem: str) -> None:
        if problem and problem != self.problem:
            _log.warning("%s", problem)
        self.problem = problem
