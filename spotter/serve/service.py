"""The service: one picture in, an answer out, a few at a time; the page, its endpoints and the HTTP API share it."""

import asyncio
import contextlib
import math
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from PIL import Image
from starlette.concurrency import run_in_threadpool

from spotter.errors import BadPicture, QueueUnwritable
from spotter.feedback.store import Removal
from spotter.images import PictureSource, count_pixels, load_picture, own_reason
from spotter.inference.prediction import Prediction
from spotter.inference.predictor import Neighbour
from spotter.monitor.log import AnswerLog
from spotter.names import NOT_SURE
from spotter.rollout.challenger import SecondOpinion
from spotter.rollout.fairness import FairShares
from spotter.rollout.review_queue import WaitingFolder
from spotter.rollout.stages import FULL, GRADUAL, SHADOW, Rollout
from spotter.rollout.watcher import Watcher
from spotter.serve.about import About
from spotter.serve.api.prometheus import Metrics
from spotter.serve.staff.report import ReportPage
from spotter.utils.memory import give_back_free_blocks


@dataclass(frozen=True)
class AppOptions:
    """What an app does besides answering, as its operator asked for it. None: it does not."""

    # Draws where in the picture the evidence for the answer lies.
    explain: Callable[[Image.Image], Image.Image] | None = None
    # The training pictures that are nearest to a picture, at most so many.
    nearest: Callable[[Image.Image, int], list[Neighbour]] | None = None
    # Keeps feedback: a picture, the answer, what the visitor said of it (None: none of the labels) and, as `logged`,
    # the answer's id in the log. Gives the id of the entry.
    keep: Callable[..., str] | None = None
    # The data set on the Hub that feedback goes to; "": it stays in a folder.
    feedback_dataset: str = ""
    # Removes an entry of feedback by its id; what became of it.
    forget: Callable[[str], Removal] | None = None
    # The answer log, for drift tests.
    log: AnswerLog | None = None
    # Shows staff what the log says.
    report: ReportPage | None = None
    # Asks another revision too and logs both answers.
    challenger: SecondOpinion | None = None
    # The staged rollout: who is answered at once.
    rollout: Rollout | None = None
    # The review queue: answers that a person checks first.
    waiting: WaitingFolder | None = None
    # Looks for drift alerts, and takes the rollout back.
    watcher: Watcher | None = None

    @property
    def problem(self) -> str:
        """What does not work besides answering, "" when all does."""
        parts = [each.problem for each in (self.log, self.challenger, self.rollout, self.watcher) if each]
        return " ".join(filter(None, parts))


Predict = Callable[[Image.Image], Prediction]

# How an answer is used that goes out at once; None: there is no rollout.
AT_ONCE_STAGES = (None, GRADUAL, FULL)
# While one picture is in the network, others are decoded: 75 photos a second instead of 64 on two cores.
AT_ONCE = 3
# Decoded, a picture of this size takes 40 MB, and up to five times that with transparency.
LARGE_PIXELS = 13_000_000
# Pictures whose visitors may still say something of the answer.
REMEMBERED = 10_000
# Seconds between two times that the memory of pictures is given back: it takes milliseconds.
REST_S = 10


@dataclass(frozen=True)
class ModelInfo:
    """What the page says about the model. `examples` are (path of a picture, its label); `summary` is plain words."""

    title: str
    labels: tuple[str, ...]
    revision: str | None = None
    threshold: float = 0.0
    examples: tuple[tuple[str, str], ...] = ()
    summary: str = ""
    options: AppOptions = field(default_factory=AppOptions)
    about: About | None = None
    # The names of what answers say beyond those of every model.
    advice: tuple[str, ...] = ()
    # Gives an answer with a prior; None: the model is too old for that.
    reweigh: Callable[[Prediction, Mapping[str, float]], Prediction] | None = None


@dataclass(frozen=True)
class Answer:
    """`id` is the answer's name in the answer log, "" where it is not logged; `stage` is how it is used: a stage of the
    rollout, None where there is none. `picture` is there where it may have to wait for a person.
    """

    prediction: Prediction
    timings_ms: dict[str, float]
    id: str = ""
    stage: str | None = None
    picture: Image.Image | None = field(default=None, repr=False, compare=False)

    @property
    def may_go_out(self) -> bool:
        """Whether whoever asked may be told."""
        return self.stage in AT_ONCE_STAGES


class Service:
    """Decodes and classifies `AT_ONCE` pictures at a time off the event loop, and large ones one by one, so that memory
    does not grow with load."""

    def __init__(self, predict: Predict, info: ModelInfo, metrics: Metrics | None = None) -> None:
        self.info = info
        self._predict = predict
        self._metrics = metrics or Metrics()
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._large = threading.Lock()
        self._asking, self._rests_again = 0, -math.inf
        rollout = info.options.rollout
        self._shares = FairShares(rollout.place_of if rollout else None)
        self._logged: OrderedDict[str, str] = OrderedDict()

    def stage_for(self, client: str) -> str | None:
        """How answers to a client are used now: a stage of the rollout, None where there is none."""
        rollout = self.info.options.rollout
        return rollout.treat(client) if rollout else None

    async def classify(
        self, source: PictureSource, route: str = "", stage: str | None = None, client: str = ""
    ) -> Answer:
        """Classify a picture. `route` says in a word how it was asked, for the answer log; "" keeps it out of that.

        `stage` is how the answer is used, from `stage_for`; `client` is who asks.
        """
        asked, outcome = time.perf_counter(), "failed"
        try:
            answer = await self._answer(source, asked, route, stage, client)
            outcome = "sure" if answer.prediction.familiar else "not-sure"
            return answer
        except BadPicture as error:
            outcome = error.reason
            raise
        finally:
            self._metrics.count_picture(outcome, time.perf_counter() - asked)

    async def _answer(self, source: PictureSource, asked: float, route: str, stage: str | None, client: str) -> Answer:
        async with self._counted(), self._turn:
            answer = await run_in_threadpool(self._work, source, asked, route, stage, client)
            await self._rest()
            return answer

    async def _rest(self) -> None:
        """Give back the memory that pictures took, where nobody else waits, and not again for `REST_S`."""
        now = time.monotonic()
        if self._asking == 1 and now >= self._rests_again:
            self._rests_again = now + REST_S
            await run_in_threadpool(give_back_free_blocks)

    def logged(self, source: Path) -> str:
        """The id of the latest logged answer about the picture at a path, "" when it is not known any more."""
        return self._logged.get(str(source), "")

    def _remember(self, source: PictureSource, id_: str) -> None:
        if id_ and isinstance(source, Path):
            self._logged[str(source)] = id_
            while len(self._logged) > REMEMBERED:
                self._logged.popitem(last=False)

    @contextlib.asynccontextmanager
    async def _counted(self) -> AsyncIterator[None]:
        """Keep the challenger from working while somebody waits."""
        challenger = self.info.options.challenger
        self._asking += 1
        if challenger:
            challenger.idle.clear()
        try:
            yield
        finally:
            self._asking -= 1
            if challenger and not self._asking:
                challenger.idle.set()

    def let_wait(self, answer: Answer, id_: str) -> str:
        """Let an answer that may not go out wait for a person, under its name in the answer log; return its ticket.

        Raises:
            QueueUnwritable: it cannot.
        """
        queue = self.info.options.waiting
        if queue is None or answer.picture is None:
            raise QueueUnwritable("No answers wait for a person here.")
        return queue.add(answer.picture, answer.prediction, id_)

    def _work(self, source: PictureSource, asked: float, route: str, stage: str | None, client: str) -> Answer:
        # Also what comes after the answer, such as measuring the picture for the log.
        with own_reason():
            with self._large if count_pixels(source) > LARGE_PIXELS else contextlib.nullcontext():
                begun = time.perf_counter()
                picture = load_picture(source)
                decoded = time.perf_counter()
                prediction = self._predict(picture)
                done = time.perf_counter()
            id_ = self._record(prediction, picture, route, stage, client) if route else ""
            self._remember(source, id_)
            spans = {"decode": decoded - begun, "predict": done - decoded, "total": done - asked}
            timings = {name: round(1000 * span, 2) for name, span in spans.items()}
            return Answer(prediction, timings, id_, stage, None if stage in (*AT_ONCE_STAGES, SHADOW) else picture)

    def _record(self, prediction: Prediction, picture: Image.Image, route: str, stage: str | None, client: str) -> str:
        options = self.info.options
        recorder = options.challenger or options.log
        if recorder is None:
            return ""
        return recorder.record(prediction, picture, route, stage=stage, counts=self._shares.count(client))


def withheld(answer: Answer) -> Answer:
    """The same answer where it may go out; else one that says nothing: "not sure" for `label` and `closest`, and 0 for
    every class.

    It has the keys of any other answer, for programs that know no others.
    """
    if answer.may_go_out:
        return answer
    nothing = dict.fromkeys(answer.prediction.probabilities, 0.0)
    told = Prediction(NOT_SURE, nothing, 0.0, familiar=False, threshold=answer.prediction.threshold)
    return replace(answer, prediction=told, picture=None)


def label_payload(prediction: Prediction, most: int | None = None) -> dict[str, Any]:
    ranked = sorted(prediction.probabilities.items(), key=lambda item: item[1], reverse=True)[:most]
    return {
        "label": prediction.label,
        "confidences": [{"label": label, "confidence": probability} for label, probability in ranked],
    }


def full_payload(answer: Answer, info: ModelInfo) -> dict[str, Any]:
    return answer.prediction.record() | {"revision": info.revision, "timings_ms": answer.timings_ms}
