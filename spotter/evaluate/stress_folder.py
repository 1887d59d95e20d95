"""The stress test of a published model, on pictures that somebody has sorted by class. It needs no torch."""

import hashlib
import logging
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path

import numpy as np
from PIL import Image

from spotter.data.previews import embed_small
from spotter.errors import BadPicture
from spotter.evaluate.shifts import SHIFTS, STRENGTHS, is_blank
from spotter.evaluate.stress_rows import (
    AS_THEY_ARE,
    SHIFTED_SIDE,
    STRENGTH_NAMES,
    ShownShift,
    StressExample,
    StressTest,
    count_row,
    rank_example,
)
from spotter.images import load_picture, own_reason, read_encoded, to_square
from spotter.inference.predictor import Predictor
from spotter.utils.stats import wilson_interval
from spotter.utils.templates import write_page
from spotter.utils.text import as_sentence, percent

_log = logging.getLogger(__name__)
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
    """Of one picture (its `label`, `path` and `sha256`), as it is and under each shift: the largest probability (NaN:
    there was nothing to see), whether the answer is right, whether it was familiar, and the number of the label that
    was called, each (1 + shifts,)."""

    label: str
    path: Path
    sha256: str
    confidence: np.ndarray
    right: np.ndarray
    familiar: np.ndarray
    called: np.ndarray
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
                return _look(predictor, label, path, grid)
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
    return FolderTest(
        _count(said, grid, predictor.labels), sum(each.is_copy for each in said), dict(unread.most_common())
    )


def write_stress_page(
    path: Path, found: FolderTest, predictor: Predictor, folder: Path, remarks: Sequence[str]
) -> None:
    """Write the figures, and pictures to look at, as one HTML file that needs neither network nor scripts.

    Args:
        found: from `judge_folder`, of pictures in `folder`. remarks: what else there is to say about them.

    Raises:
        DatasetUnwritable: `path` cannot be written.
    """
    test = found.test
    write_page(
        path,
        "evaluate",
        "stress.html",
        stress=test,
        lead=as_sentence(test.sentence("the pictures")) if test.rows else test.clean.sentence(),
        advice=test.advice(),
        model=predictor.revision or "the model",
        folder=str(folder),
        remarks=remarks,
        shifted=_show(test, predictor),
        interval=wilson_interval,
        percent=lambda share: percent(share, 1, "words"),
        shift_title=lambda name: SHIFTS[name].title,
    )


def _show(test: StressTest, predictor: Predictor) -> list[ShownShift]:
    """The examples of a test, made again of their files."""
    by_shift: dict[str, list[tuple[int, StressExample]]] = {}
    for row in (test.clean, *test.rows):
        if row.example:
            by_shift.setdefault(row.name, []).append((row.strength, row.example))
    found = []
    for name, examples in by_shift.items():
        file, label = examples[0][1].file, examples[0][1].label
        try:
            with own_reason():
                content = read_encoded(Path(file))
                square = to_square(load_picture(content), predictor.card.size, predictor.card.resize)
        except BadPicture as error:
            _log.warning("%s cannot be shown any more: %s", file, error)
            continue
        key = hashlib.sha256(content).hexdigest()
        said = tuple(
            (
                STRENGTH_NAMES[strength],
                embed_small(
                    Image.fromarray(SHIFTS[name].apply(square, strength, key) if strength else square), SHIFTED_SIDE
                ),
                example,
            )
            for strength, example in examples
        )
        found.append(ShownShift(SHIFTS[name].title if name in SHIFTS else AS_THEY_ARE, label, Path(file).name, said))
    return found


def _look(predictor: Predictor, label: str, path: Path, grid: Sequence[tuple[str, int]]) -> _Said:
    content = read_encoded(path)
    card, key = predictor.card, hashlib.sha256(content).hexdigest()
    picture = load_picture(content)
    square = to_square(picture, card.size, card.resize)
    confidence = np.full(1 + len(grid), np.nan, dtype=np.float32)
    right, familiar = np.zeros(len(confidence), dtype=bool), np.zeros(len(confidence), dtype=bool)
    called = np.zeros(len(confidence), dtype=np.int32)
    is_copy = False
    # As it is, the picture itself is judged and not its square: a second look sees more of it there, as in the app.
    as_it_is = None if is_blank(square) else picture
    shifted = (SHIFTS[name].show(square, strength, key) for name, strength in grid)
    for number, shown in enumerate(chain([as_it_is], shifted)):
        if shown is None:
            continue
        answer = predictor.predict(shown if isinstance(shown, Image.Image) else Image.fromarray(shown))
        confidence[number] = answer.probabilities[answer.closest]
        right[number], familiar[number] = answer.closest == label, answer.familiar
        called[number] = predictor.labels.index(answer.closest)
        if number == 0 and answer.embedding is not None:
            # Not "@", as in `familiarity`.
            is_copy = bool(np.einsum("d,md->m", answer.embedding, predictor.reference).max(initial=0) >= COPY)
    return _Said(label, path, key, confidence, right, familiar, called, is_copy)


def _count(said: Sequence[_Said], grid: Sequence[tuple[str, int]], labels: Sequence[str]) -> StressTest:
    shape = len(said), 1 + len(grid)
    confidence = np.array([each.confidence for each in said], dtype=np.float32).reshape(shape)
    right, familiar = (
        np.array([getattr(each, name) for each in said], dtype=bool).reshape(shape) for name in ("right", "familiar")
    )
    rows = []
    columns = [("clean", 0), *grid]
    examples = {name: _choose_example(said, name, columns) for name in dict(columns)}
    for number, (name, strength) in enumerate(columns):
        left = ~np.isnan(confidence[:, number])
        row = count_row(name, strength, confidence[left, number], right[left, number], familiar[left, number])
        shown = examples[name]
        example = _example(shown, number, labels) if shown and not np.isnan(shown.confidence[number]) else None
        rows.append(replace(row, blank=int((~left).sum()), example=example))
    return StressTest(rows[0], tuple(rows[1:]))


def _choose_example(said: Sequence[_Said], shift: str, columns: Sequence[tuple[str, int]]) -> _Said | None:
    """The picture to look at for a shift; None where nothing was left of any."""
    mine = [number for number, (name, _) in enumerate(columns) if name == shift]

    def rank(each: _Said) -> tuple[int, bool, bool, int]:
        seen = [number for number in mine if not np.isnan(each.confidence[number])]
        return rank_example(shift, each.sha256, (~each.right[seen]).tolist(), each.familiar[seen].tolist())

    return max(said, key=rank, default=None)


def _example(said: _Said, number: int, labels: Sequence[str]) -> StressExample:
    called, probability = labels[said.called[number]], float(said.confidence[number])
    return StressExample(str(said.path), said.label, called, probability, bool(said.familiar[number]))
