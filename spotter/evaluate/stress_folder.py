"""The stress test of a published model, on pictures that somebody has sorted by class. It needs no torch."""

import hashlib
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path

import numpy as np
from PIL import Image

from spotter.errors import BadPicture
from spotter.evaluate.shifts import SHIFTS, STRENGTHS, is_blank
from spotter.evaluate.stress_rows import StressTest, count_row
from spotter.images import load_picture, own_reason, read_encoded, to_square
from spotter.inference.predictor import Predictor

# Nearer to a training picture than this (cosine of the embeddings) is a copy of it: a set keeps its pictures as JPEG
# of at most 1024 pixels, which moves them by up to 0.002. Two photos of a bear by one person are at 0.95.
COPY = 0.995
# Pictures that are worked on or wait, for each core.
AHEAD = 4


@dataclass(frozen=True)
class FolderTest:
    """What a model said of labelled pictures; `learnt` of them are pictures that it learnt from, and `unread` counts
    those that could not be read, by reason."""

    test: StressTest
    learnt: int = 0
    unread: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Said:
    """Of one picture, as it is and under each shift: the largest probability (NaN: nothing was left of it), whether the
    answer is right, and whether it was familiar, each (1 + shifts,)."""

    confidence: np.ndarray
    right: np.ndarray
    familiar: np.ndarray
    is_copy: bool


def judge_folder(
    predictor: Predictor,
    pictures: Sequence[tuple[str, Path]],
    shifts: Sequence[str] = tuple(SHIFTS),
    told: Callable[[], None] = lambda: None,
) -> FolderTest:
    """Judge a model on pictures as they are, and under shifts at both strengths.

    A picture that cannot be read is left out and counted. All cores work; a few bytes of each answer are kept.

    Args:
        pictures: (label, file) of each. shifts: names of `SHIFTS`. told: called after each picture.
    """
    grid = [(name, strength) for name in shifts for strength in STRENGTHS]

    def look(label: str, path: Path) -> _Said | BadPicture:
        try:
            with own_reason():
                return _look(predictor, label, read_encoded(path), grid)
        except BadPicture as error:
            return error

    unread: Counter[str] = Counter()
    said: list[_Said] = []
    rest = iter(pictures)
    with ThreadPoolExecutor(predictor.cores) as pool:
        ahead = deque(pool.submit(look, *each) for each in islice(rest, AHEAD * predictor.cores))
        while ahead:
            found = ahead.popleft().result()
            ahead.extend(pool.submit(look, *each) for each in islice(rest, 1))
            if isinstance(found, BadPicture):
                unread[found.reason] += 1
            else:
                said.append(found)
            told()
    return FolderTest(_count(said, grid), sum(each.is_copy for each in said), dict(unread.most_common()))


def _look(predictor: Predictor, label: str, content: bytes, grid: Sequence[tuple[str, int]]) -> _Said:
    card, key = predictor.card, hashlib.sha256(content).hexdigest()
    square = to_square(load_picture(content), card.size, card.resize)
    confidence = np.full(1 + len(grid), np.nan, dtype=np.float32)
    right, familiar = np.zeros(len(confidence), dtype=bool), np.zeros(len(confidence), dtype=bool)
    is_copy = False
    shifted = (SHIFTS[name].apply(square, strength, key) for name, strength in grid)
    for number, pixels in enumerate(chain([square], shifted)):
        if number and is_blank(pixels):
            continue
        answer = predictor.predict(Image.fromarray(pixels))
        confidence[number] = answer.probabilities[answer.closest]
        right[number], familiar[number] = answer.closest == label, answer.familiar
        if number == 0 and answer.embedding is not None:
            # Not "@", as in `familiarity`.
            is_copy = bool(np.einsum("d,md->m", answer.embedding, predictor.reference).max(initial=0) >= COPY)
    return _Said(confidence, right, familiar, is_copy)


def _count(said: Sequence[_Said], grid: Sequence[tuple[str, int]]) -> StressTest:
    shape = len(said), 1 + len(grid)
    confidence = np.array([each.confidence for each in said], dtype=np.float32).reshape(shape)
    right, familiar = (
        np.array([getattr(each, name) for each in said], dtype=bool).reshape(shape) for name in ("right", "familiar")
    )
    rows = []
    for number, (name, strength) in enumerate([("clean", 0), *grid]):
        left = ~np.isnan(confidence[:, number])
        row = count_row(name, strength, confidence[left, number], right[left, number], familiar[left, number])
        rows.append(replace(row, blank=int((~left).sum())))
    return StressTest(rows[0], tuple(rows[1:]))
