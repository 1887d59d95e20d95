"""Events: frames of one camera that belong together by time and likeness, with one answer for all of them."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from spotter.camera.frames import Frame, in_order, seconds_between
from spotter.config import EventConfig
from spotter.inference.prediction import Prediction
from spotter.inference.predictor import Predictor

# A probability of 0 would speak against a class for ever.
LEAST = 1e-6


@dataclass(frozen=True)
class Event:
    """Frames that belong together, in the order of their times.

    `answer` is the answer for all of them, None where none can be read. `shown` are those that show something that the
    model knows; the others count as empty. `best` is the frame that shows it best, or the first one.
    """

    frames: tuple[Frame, ...]
    answer: Prediction | None
    shown: int
    best: Frame

    @property
    def start(self) -> float:
        return self.frames[0].at

    @property
    def end(self) -> float:
        return self.frames[-1].at

    @property
    def camera(self) -> str:
        return self.frames[0].camera

    @property
    def id(self) -> str:
        """The same for the same frames, whenever they are looked at."""
        names = "\n".join([self.camera, *(f"{frame.at:.3f} {frame.file}" for frame in self.frames)])
        return hashlib.sha256(names.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def make_event(frames: Sequence[Frame], predictor: Predictor) -> Event:
    """Make an event of frames (at least one), and pool what was said of them.

    The probabilities are those of the mean of the logarithms over the frames that show something, or where none does,
    over all: the frames of a burst are so alike that they are no independent evidence, and a product of them would be
    far too sure. The event is as familiar as its most familiar frame. `looked_at` is a part of the best frame.
    """
    frames = in_order(frames)
    answered = [(frame, frame.answer) for frame in frames if frame.answer]
    if not answered:
        return Event(tuple(frames), None, 0, frames[0])
    shown = [(frame, answer) for frame, answer in answered if answer.familiar]
    answers = [answer for _, answer in shown or answered]
    # A prior counts once, for the event.
    plain = [answer.unweighted or answer.probabilities for answer in answers]
    shares = np.array([[each[label] for label in predictor.labels] for each in plain])
    logs = np.log(np.maximum(shares, LEAST)).mean(axis=0)
    pooled = np.exp(logs - logs.max())
    said = predictor.answer_from(pooled / pooled.sum(), max(answer.familiarity for answer in answers))
    best, _ = max(shown or answered, key=lambda pair: pair[1].familiarity * pair[1].probabilities[said.closest])
    looked_at = best.answer.looked_at if best.answer else None
    return Event(tuple(frames), replace(said, looked_at=looked_at), len(shown), best)


@dataclass
class EventBuilder:
    """Puts frames of several cameras into events, as they come.

    A frame belongs to the open event of its camera when it was taken at most `gap_s` seconds after the frame before
    it, or at most `alike_gap_s` and looks like it (cosine of the embeddings at least `alike`). An event lasts
    `longest_s` seconds at most and has at most `most` frames, also where a clock stands still. A clock that jumps
    begins a new event.
    """

    predictor: Predictor
    config: EventConfig
    _open: dict[str, list[Frame]] = field(default_factory=dict)

    def add(self, frame: Frame) -> Iterator[Event]:
        """Take the next frame of its camera; give the event that ends because of it, if one does."""
        frames = self._open.setdefault(frame.camera, [])
        if frames and not self._belongs(frame, frames):
            self._open[frame.camera] = [frame]
            yield make_event(frames, self.predictor)
        else:
            if frames:
                # Large, and of no use any more: only the last one is compared.
                frames[-1] = _without_embedding(frames[-1])
            frames.append(frame)

    def close(self, camera: str | None = None) -> Iterator[Event]:
        """End the open event of a camera, or of all (None)."""
        for name in [camera] if camera is not None else list(self._open):
            if frames := self._open.pop(name, []):
                yield make_event(frames, self.predictor)

    def _belongs(self, frame: Frame, frames: Sequence[Frame]) -> bool:
        last = frames[-1]
        # Files may come in another order than they were taken.
        gap = abs(seconds_between(last, frame))
        lasts = abs(seconds_between(frames[0], frame))
        if len(frames) >= self.config.most or gap > self.config.alike_gap_s or lasts > self.config.longest_s:
            return False
        return gap <= self.config.gap_s or _likeness(frame, last) >= self.config.alike


def _without_embedding(frame: Frame) -> Frame:
    return replace(frame, answer=replace(frame.answer, embedding=None)) if frame.answer else frame


def _likeness(one: Frame, other: Frame) -> float:
    if not (one.answer and other.answer) or one.answer.embedding is None or other.answer.embedding is None:
        return 0.0
    return float(one.answer.embedding @ other.answer.embedding)
