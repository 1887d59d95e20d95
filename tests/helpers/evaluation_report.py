"""An evaluation report over pictures of one colour each."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from spotter.config import FamiliarityConfig
from spotter.data.dataset import Dataset, Record
from spotter.evaluate.held_out import evaluate_held_out
from spotter.evaluate.ood import Strangers, evaluate_strangers, score_known
from spotter.evaluate.report import write_report
from spotter.evaluate.shifts import GRID, SHIFTS
from spotter.evaluate.sources import SourceErrors
from spotter.evaluate.stress_rows import StressExample, StressRow, StressTest, Unseen
from spotter.inference.familiarity import score
from spotter.train.head import Head
from spotter.train.trained import Trained
from tests.helpers.learnt import make_trained_of
from tests.helpers.markup import Page

HOSTILE = '<script>alert(1)</script> "it\'s"\n<img src=x onerror=alert(2)> {{ 7 * 7 }} 🐻 \ud83d'
LABELS = ("grizzly", "R2-D2 & friends'", "teddy")
PICTURES = 60
# Their targets go round; these are called something else.
CALLED = {0: 1, 3: 1, 7: 2}


def color_of(index: int) -> tuple[int, int, int]:
    return (index * 4, 255 - index * 4, 128)


def make_trained(
    folder: Path, pictures: int = PICTURES, labels: tuple[str, ...] = LABELS, **facts: str
) -> tuple[Trained, Dataset, np.ndarray]:
    """Pictures of one colour each, and a learner that is right about all but `CALLED`."""
    classes = len(labels)
    targets = np.arange(pictures) % classes
    records = []
    for index, target in enumerate(targets):
        Image.new("RGB", (40, 30), color_of(index % 60)).save(folder / f"{index:03}.jpg", quality=95)
        record = Record(labels[target], "folder", str(index), "a", index, "kept", file=f"{index:03}.jpg", group=index)
        records.append(replace(record, **{"title": f"picture {index}", **facts}))
    predicted = np.array([CALLED.get(index, int(target)) for index, target in enumerate(targets)])
    probabilities = np.full((pictures, classes), 0.1 / (classes - 1))
    probabilities[np.arange(pictures), predicted] = 0.9
    rng = np.random.default_rng(1)
    features = (np.eye(classes)[predicted].repeat(8, axis=1) * 3 + rng.normal(size=(pictures, 8 * classes))).astype(
        np.float32
    )
    everything = np.ones(pictures, dtype=bool)
    head = Head(np.zeros((classes, 8 * classes), np.float32), np.zeros(classes, np.float32), 0.1, temperature=2.0)
    trained = make_trained_of(features, everything, probabilities, head, how="5-fold cross-validation")
    return trained, Dataset(folder, labels, tuple(records), ()), np.arange(pictures) // 3 % 5


def make_stress(dataset: Dataset) -> StressTest:
    """As they are, 55 of 60 right and answered; of 30 under a shift 25 if moderate and 15 if strong, two wrong."""
    rows = []
    for number, (name, strength) in enumerate(GRID):
        record, is_wrong = dataset.records[number // 2], strength == 2
        called = LABELS[1 - LABELS.index(record.label) % 2] if is_wrong else record.label
        example = StressExample(str(record.file), record.label, called, 0.75, not is_wrong)
        row = StressRow(name, strength, 30, 4, 25 if strength == 1 else 17, 0 if strength == 1 else 2, 0.125)
        unseen = Unseen(10, 4, 1, 6, 2) if SHIFTS[name].family else None
        rows.append(replace(row, unseen=unseen, example=example))
    rows[1] = StressRow("grey", 2, 0, 0, 0, 0, 0.0, blank=30)
    return StressTest(StressRow("clean", 0, 60, 3, 55, 0, 0.05), tuple(rows))


def make_report(folder: Path, strangers: bool = True, judged: bool = True, **facts: str) -> Page:
    """`judged`: under shifts and without sources, too."""
    trained, dataset, folds = make_trained(folder, **facts)
    config = FamiliarityConfig()
    evaluation = evaluate_held_out(trained, dataset, folds, config)
    if judged:
        sources = SourceErrors("source", ((facts.get("backend", "openverse"), 40, 3), ("wikimedia", 20, 0)))
        evaluation = replace(evaluation, stress=make_stress(dataset), sources=sources)
    found: Strangers | None = None
    if strangers:
        known = score_known(trained, folds, evaluation.familiarity, config)
        others = score(-trained.embeddings[:10], trained.embeddings, 5)
        found = evaluate_strangers(known, others, evaluation.familiarity.threshold)
    write_report(evaluation, trained, dataset, folds, folder / "out" / "report.html", found)
    return Page((folder / "out" / "report.html").read_text(encoding="utf-8"))
