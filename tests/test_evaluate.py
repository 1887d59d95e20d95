from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.stats import binomtest

from spotter.config import FamiliarityConfig
from spotter.dataset import Dataset, Record
from spotter.evaluate import (
    Familiarity,
    evaluate,
    familiarity_on_folds,
    plot_confusion,
    plot_top_losses,
    wilson_interval,
)

KNOWN = Familiarity(0.5, 0.95, 5)


@pytest.mark.parametrize(("count", "total"), [(0, 10), (3, 317), (6, 376), (10, 10), (50, 100)])
def test_wilson_interval_is_scipys(count: int, total: int) -> None:
    expected = binomtest(count, total).proportion_ci(method="wilson")
    assert wilson_interval(count, total) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_figures_of_a_known_case(tmp_path: Path) -> None:
    probabilities = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.3, 0.7]])
    evaluation = evaluate(probabilities, np.array([0, 0, 1, 1]), ["a", "b"], ["1", "2", "3", "4"], KNOWN, "a test")
    assert (evaluation.wrong, evaluation.error) == (1, 0.25)
    assert evaluation.confusion == ((1, 1), (0, 2))
    assert (evaluation.classes[0].precision, evaluation.classes[0].recall) == (1.0, 0.5)
    assert evaluation.classes[1].precision == pytest.approx(2 / 3)
    worst = evaluation.top_losses[0]
    assert (worst.file, worst.prediction, worst.actual, worst.probability) == ("2", "b", "a", 0.6)
    assert worst.loss == pytest.approx(-np.log(0.4), abs=1e-4)
    assert evaluation.sentence().startswith("1 of 4 wrong: error 25.0% (95 % interval 4.6% to 69.9%; a test)")
    plot_confusion(evaluation, tmp_path / "confusion.png")
    assert Image.open(tmp_path / "confusion.png").width > 300


def test_a_class_never_predicted_has_no_precision() -> None:
    evaluation = evaluate(np.array([[0.9, 0.1], [0.8, 0.2]]), np.array([0, 1]), ["a", "b"], ["1", "2"], KNOWN, "a test")
    assert evaluation.classes[1].precision is None
    assert evaluation.classes[1].recall == 0


def test_the_threshold_accepts_the_promised_share() -> None:
    rng = np.random.default_rng(5)
    points = rng.normal(size=(400, 16)) + 2
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    known = familiarity_on_folds(points, np.arange(400) % 5, FamiliarityConfig())
    assert 0.95 <= known.accepted <= 0.96
    assert 0 < known.threshold < 1


def test_a_picture_without_a_licence_is_not_in_the_published_top_losses(tmp_path: Path) -> None:
    records = []
    for name, colour, source, license_id in [
        ("mine", (0, 0, 255), "folder", "unknown"),
        ("open", (0, 255, 0), "openverse", "CC-BY-4.0"),
        ("found", (255, 0, 0), "duckduckgo", "unknown"),
    ]:
        Image.new("RGB", (64, 64), colour).save(tmp_path / f"{name}.jpg")
        records.append(Record("a", source, name, "a", 0, "kept", file=f"{name}.jpg", license_id=license_id))
    dataset = Dataset(tmp_path, ("a", "b"), tuple(records), ())
    sure = np.tile([0.1, 0.9], (3, 1))
    files = [str(record.file) for record in records]
    plot_top_losses(evaluate(sure, np.zeros(3, int), ["a", "b"], files, KNOWN, "a test"), dataset, tmp_path / "top.png")
    pixels = np.asarray(Image.open(tmp_path / "top.png").convert("RGB")).astype(int)
    red, green, blue = (int((pixels[..., i] - pixels.sum(axis=2) + pixels[..., i] > 150).sum()) for i in range(3))
    assert green > 1000
    assert blue > 1000
    assert red == 0
