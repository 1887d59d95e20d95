"""Answers made up out of thin air: three labels, figures of a plausible spread, one answer an hour."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np

from spotter.errors import LogUnreadable
from spotter.monitor.log import Answers, read_answers

LABELS = ("grizzly", "black", "teddy")
START = 1_700_000_000
HOUR = 3600


def make_answers(count: int, seed: int = 0, **columns: object) -> Answers:
    """Independent answers; `columns` replaces some of their columns (a single value stands for all)."""
    rng = np.random.default_rng(seed)
    number = np.arange(1, count + 1)
    words = np.full(count, "", dtype="<U16")
    made: dict[str, object] = {
        "number": number,
        "id": np.array([f"{each:016x}" for each in number], dtype=np.str_),
        "at": START + HOUR * number,
        "revision": np.full(count, "r1", dtype="<U16"),
        "label": rng.choice(LABELS, count).astype("<U16"),
        "probability": rng.beta(12, 1, count),
        "familiarity": rng.normal(0.72, 0.05, count),
        "familiar": rng.random(count) > 0.03,
        "route": rng.choice(["page", "api"], count).astype("<U16"),
        # Few different values, as when pictures come again.
        "brightness": rng.normal(0.45, 0.1, count).round(2),
        "contrast": rng.normal(0.22, 0.05, count),
        "colourfulness": rng.gamma(9, 0.017, count),
        "sharpness": rng.normal(0.18, 0.05, count),
        "side": np.full(count, 512),
        "projection": rng.normal(size=(count, 8)).astype(np.float32),
        "stage": words,
        "challenger": words,
        "challenger_label": words,
        "challenger_probability": np.full(count, np.nan),
        "counts": np.ones(count, dtype=bool),
        "right": words,
        "review": np.zeros(count, dtype=int),
    }
    for name, value in columns.items():
        made[name] = np.broadcast_to(np.asarray(value), np.shape(made[name])).copy()
    return Answers(**made)


def joined(*parts: Answers) -> Answers:
    """One after the other, numbered anew."""
    columns = [
        np.concatenate([getattr(part, column.name).astype(_wide(column.name, part)) for part in parts])
        for column in fields(Answers)
    ]
    whole = Answers(*columns)
    number = np.arange(1, len(whole) + 1)
    review = np.where(whole.review > 0, np.cumsum(whole.review > 0), 0)
    return replace(whole, number=number, id=np.char.mod("%016x", number), at=START + HOUR * number, review=review)


def reviewed(answers: Answers, wrong: np.ndarray) -> Answers:
    """All of them reviewed, and said to be wrong where `wrong`."""
    right = np.where(wrong, "something else", answers.label)
    return replace(answers, right=right, review=np.arange(1, len(answers) + 1))


def _wide(name: str, answers: Answers) -> object:
    kind = getattr(answers, name).dtype
    return "<U16" if kind.kind == "U" else kind


def count_answers(folder: Path) -> int:
    try:
        return len(read_answers(folder))
    except LogUnreadable:
        # It is being made.
        return 0
