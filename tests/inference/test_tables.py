"""Tables of answers: a column for each class, and none for two things."""

import csv
import io
import random
from dataclasses import fields
from pathlib import Path

import pytest

from spotter.camera.event_log import HEAD, EventLog
from spotter.camera.events import Event
from spotter.camera.frames import Frame
from spotter.inference.prediction import Advice, AnswerRecord, Prediction, class_columns
from spotter.scale.answers import AnswerFile, Row
from spotter.serve.batch import Result, as_csv

COLUMNS = [column.name for kind in (AnswerRecord, Advice) for column in fields(kind)]
NAMES = [*COLUMNS, *HEAD, "id", "file", "error", "revision", "label (class)", "set (class)", "nan", "01", "bear"]


def random_answer(rng: random.Random, count: int = 6) -> Prediction:
    labels = rng.sample(NAMES, count)
    shares = {label: (number + 1) / 21 for number, label in enumerate(labels)}
    return Prediction(closest=labels[-1], probabilities=shares, familiarity=0.75, familiar=True, threshold=0.5)


def check(text: str, answer: Prediction, beside: tuple[str, ...]) -> None:
    head = next(csv.reader(io.StringIO(text)))
    assert len(set(head)) == len(head)
    (row,) = csv.DictReader(io.StringIO(text))
    labels = list(answer.probabilities)
    assert (row["label"], row["closest"], row["familiar"]) == (answer.label, answer.closest, "True")
    for column, label in zip(class_columns(labels, beside), labels, strict=True):
        assert float(row[column]) == answer.probabilities[label]
        assert column == label or (label in {*COLUMNS, *beside} and column.startswith(f"{label} (class)"))


@pytest.mark.parametrize("seed", range(12))
def test_a_class_that_is_called_like_a_column_has_one_of_its_own(seed: int, tmp_path: Path) -> None:
    answer = random_answer(random.Random(seed))
    labels = tuple(answer.probabilities)
    check(as_csv([Result("x.png", answer)], labels).removeprefix("\ufeff"), answer, ("file", "error"))
    file = AnswerFile(tmp_path / "answers.csv", labels, "r-1")
    file.begin("d")
    file.write_part(0, [Row(0, "x.png", answer)])
    file.finish([(0, 0)])
    check(file.path.read_text(), answer, ("id", "file", "revision", "error"))
    frame = Frame("x.png", "", 0.0, answer)
    for kind in ("csv", "parquet"):
        log = EventLog(tmp_path / f"events.{kind}", labels, "r-1")
        log.add(Event((frame,), answer, 1, frame), False)
        log.add(Event((frame,), None, 0, frame), False)
        log.update_table()
        log.close()
    text = (tmp_path / "events.csv").read_text().splitlines()
    check("\n".join(text[:2]), answer, (*HEAD, "revision"))
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = parquet.read_table(tmp_path / "events.parquet").to_pylist()
    as_text = [["" if cell is None else str(cell) for cell in row.values()] for row in rows]
    assert as_text == list(csv.reader(text[1:]))
