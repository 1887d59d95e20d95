"""One answer, and the record of it that the page, programs, tables and files all give."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from math import nan
from typing import Any

import numpy as np

from spotter.names import NOT_SURE

# The field with a number for each class.
SHARES = "probabilities"


@dataclass(frozen=True)
class AnswerRecord:
    """What is told of an answer. A field that is added here is in every JSON, table and file.

    `label` is the answer: a class, or "not sure" when the picture is not familiar. `closest` is the most probable
    class, always. `probabilities` maps every class to [0, 1] and sums to 1. `familiarity` in [0, 1] is the mean cosine
    to the nearest training pictures; `familiar` is `familiarity >= threshold`.
    """

    label: str
    closest: str
    probabilities: dict[str, float]
    familiarity: float
    familiar: bool
    threshold: float


@dataclass(frozen=True, kw_only=True)
class Advice:
    """What is told besides, by models that can. A field that is added here is in every JSON, table and file.

    `decision` is what costs least on average: to say one of the labels, or "ask", a person; `expected_cost` is what
    that costs. Both are there where somebody said what mistakes cost. `set` are the labels that hold the truth for a
    share of pictures that the model promises (see `spotter.decide.label_sets`), the most probable first; all labels
    where the picture is not familiar. `prior` has the shares in which labels come, where such were used, and
    `unweighted` the probabilities without them; `probabilities` and `closest` are then with them. `looked_at` is the
    part of the picture that the answer is about, where a second look gave it (see `spotter.bundle.second_look`): left,
    top, right and bottom as shares of the width and height of the upright picture; None where the first look did.
    """

    decision: str | None = None
    expected_cost: float | None = None
    set: list[str] | None = None
    prior: dict[str, float] | None = None
    unweighted: dict[str, float] | None = None
    looked_at: list[float] | None = None


@dataclass(frozen=True)
class Prediction(Advice, AnswerRecord):
    """The answer for one picture.

    `label` is the answer: a class, or "not sure" when the picture is not familiar. `closest` is the most probable
    class, always. `probabilities` maps every class to [0, 1] and sums to 1. `familiarity` in [0, 1] is the mean cosine
    to the nearest training pictures; `familiar` is `familiarity >= threshold`. `embedding`, float32 (d,) of length 1,
    comes with `Predictor.predict` alone: those of many pictures would fill the memory. The rest is `Advice`, None where
    the model gives none.
    """

    label: str = field(init=False)
    embedding: np.ndarray | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", self.closest if self.familiar else NOT_SURE)

    def answer(self) -> dict[str, Any]:
        """The fields of `AnswerRecord`, ready for JSON."""
        return {column.name: getattr(self, column.name) for column in fields(AnswerRecord)}

    def record(self) -> dict[str, Any]:
        """The same, and the fields of `Advice` that are not None."""
        advice = {column.name: getattr(self, column.name) for column in fields(Advice)}
        return self.answer() | {name: value for name, value in advice.items() if value is not None}


def table_columns(labels: Sequence[str], advice: Sequence[str] = (), beside: Sequence[str] = ()) -> list[str]:
    """The columns of an answer in a table of flat cells: the fields of `AnswerRecord`, one for each class, and the
    fields of `Advice` that the model gives.

    Args:
        beside: the other columns of the table, whose names no class has.
    """
    classes = class_columns(labels, beside)
    names = (classes if column.name == SHARES else [column.name] for column in fields(AnswerRecord))
    return [*(name for some in names for name in some), *advice]


def class_columns(labels: Sequence[str], beside: Sequence[str] = ()) -> list[str]:
    """The columns of the classes in `table_columns`: their labels, with " (class)" where another column has the
    name."""
    taken = {*(column.name for kind in (AnswerRecord, Advice) for column in fields(kind)), *beside}
    names = []
    for label in labels:
        name = label
        while name in taken or (name != label and name in labels):
            name += " (class)"
        names.append(name)
    return names


def table_cells(answer: Prediction | None, labels: Sequence[str], advice: Sequence[str] = ()) -> list[Any]:
    """The cells of `table_columns`; None for each where there is no answer."""
    if answer is None:
        return [None] * len(table_columns(labels, advice))
    shares = [answer.probabilities[label] for label in labels]
    cells = ((getattr(answer, column.name),) if column.name != SHARES else shares for column in fields(AnswerRecord))
    return [*(cell for some in cells for cell in some), *(flat_cell(getattr(answer, name)) for name in advice)]


def flat_cell(value: Any) -> Any:
    """A cell of what may be a list of labels or numbers ("|" between them, which no label holds) or an object (as
    JSON)."""
    if isinstance(value, list):
        return "|".join(map(str, value))
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value


def read_record(facts: Any, class_key: str) -> dict[str, Any]:
    """What a file says of an answer, in the fields of now.

    Older files have the most probable class under `class_key`, no `closest`, and no `threshold` (here NaN).

    Raises:
        KeyError, TypeError: it is nothing of the kind.
    """
    if not isinstance(facts, dict):
        raise TypeError("This is no JSON object.")
    if SHARES in facts:
        shares = facts[SHARES]
        if not isinstance(shares, dict) or not all(isinstance(share, float | int) for share in shares.values()):
            raise TypeError("These are no probabilities.")
        if facts.get("closest", facts.get(class_key)) not in shares:
            raise KeyError("The most probable class has no probability.")
    if "closest" in facts:
        return facts
    rest = {name: value for name, value in facts.items() if name != class_key}
    closest = facts[class_key]
    return rest | {"closest": closest, "label": closest if facts["familiar"] else NOT_SURE, "threshold": nan}
