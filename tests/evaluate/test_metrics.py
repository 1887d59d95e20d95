import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from time import process_time

import numpy as np
import pytest
from PIL import Image, ImageFilter
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from spotter.config import FamiliarityConfig, TrainConfig
from spotter.data.dataset import Dataset, Record
from spotter.evaluate.calibration import calibrate, unscale
from spotter.evaluate.held_out import evaluate_held_out
from spotter.evaluate.learning_curve import LearningCurve, Outlook, foresee, learning_curve
from spotter.evaluate.metrics import Familiarity, evaluate
from spotter.evaluate.ood import evaluate_strangers, familiarity_on_folds, score_known
from spotter.evaluate.plots import choose_lettering, plot_confusion, plot_top_losses
from spotter.inference.familiarity import familiarity
from spotter.train.head import fit_head, negative_log_likelihood, softmax
from spotter.train.trained import Trained
from spotter.utils.stats import wilson_interval
from tests.helpers.learnt import make_trained_of

KNOWN = Familiarity(0.5, 0.95, 5)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    # So small fits are many times slower when their threads and those of other processes wait for each other.
    with threadpool_limits(1):
        yield


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
    plot_confusion(evaluation, tmp_path / "confusion.png", choose_lettering(("a", "b")))
    assert Image.open(tmp_path / "confusion.png").width > 300


def test_a_hundred_classes_make_a_picture_that_can_be_opened(tmp_path: Path) -> None:
    targets = np.arange(1000) % 100
    probabilities = np.random.default_rng(0).dirichlet(np.ones(100), 1000)
    labels = [f"class {number}" for number in range(100)]
    evaluation = evaluate(probabilities, targets, labels, ["x"] * 1000, KNOWN, "a test")
    plot_confusion(evaluation, tmp_path / "confusion.png", choose_lettering(tuple(labels)))
    assert max(Image.open(tmp_path / "confusion.png").size) < 3000


def test_a_class_never_predicted_has_no_precision() -> None:
    evaluation = evaluate(np.array([[0.9, 0.1], [0.8, 0.2]]), np.array([0, 1]), ["a", "b"], ["1", "2"], KNOWN, "a test")
    assert evaluation.classes[1].precision is None
    assert evaluation.classes[1].recall == 0


def test_the_threshold_accepts_the_promised_share() -> None:
    rng = np.random.default_rng(5)
    points = rng.normal(size=(400, 16)) + 2
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    known = familiarity_on_folds(points, np.arange(400) % 5, FamiliarityConfig())
    assert FamiliarityConfig().accept <= known.accepted <= FamiliarityConfig().accept + 0.01
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
    evaluation = evaluate(sure, np.zeros(3, int), ["a", "b"], files, KNOWN, "a test")
    plot_top_losses(evaluation, dataset, tmp_path / "top.png", choose_lettering(("a", "b")))
    pixels = np.asarray(Image.open(tmp_path / "top.png").convert("RGB")).astype(int)
    red, green, blue = (int((pixels[..., i] - pixels.sum(axis=2) + pixels[..., i] > 150).sum()) for i in range(3))
    assert green > 1000
    assert blue > 1000
    assert red == 0


def test_the_top_losses_are_small_whatever_the_pictures_show(tmp_path: Path) -> None:
    luck, records = np.random.default_rng(0), []
    for number in range(9):
        # As rich as photos: blurred noise over a slope.
        noise = Image.fromarray(luck.integers(0, 255, (240, 320, 3), dtype=np.uint8)).filter(
            ImageFilter.GaussianBlur(1)
        )
        Image.blend(noise, Image.linear_gradient("L").resize((320, 240)).convert("RGB"), 0.7).save(
            tmp_path / f"{number}.jpg"
        )
        records.append(Record("a", "folder", str(number), "a", 0, "kept", file=f"{number}.jpg"))
    dataset = Dataset(tmp_path, ("a", "b"), tuple(records), ())
    files = [str(record.file) for record in records]
    wrong = np.tile([0.1, 0.9], (9, 1))
    evaluation = evaluate(wrong, np.zeros(9, int), ["a", "b"], files, KNOWN, "a test")
    plot_top_losses(evaluation, dataset, tmp_path / "top.png", choose_lettering(("a", "b")))
    assert (tmp_path / "top.png").stat().st_size < 500_000


def test_calibration_error_of_a_case_worked_out_by_hand() -> None:
    # Two in the bin of 0.9, half of them right: off by 0.4. One right at 0.6: off by 0.4. One right at 1: not off.
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [1.0, 0.0]])
    calibration = calibrate(probabilities, np.array([0, 1, 1, 0]))
    assert calibration.expected_calibration_error == pytest.approx((2 * 0.4 + 1 * 0.4) / 4)
    assert calibration.negative_log_likelihood == pytest.approx(-np.log([0.9, 0.1, 0.6, 1]).mean())
    assert [(each.pictures, each.accuracy) for each in calibration.bins] == [(1, 1), (2, 0.5), (1, 1)]
    assert [each.confidence for each in calibration.bins] == pytest.approx([0.6, 0.9, 1.0])


def test_a_bin_ends_with_its_upper_edge() -> None:
    together = calibrate(np.array([[0.75, 0.25], [0.7, 0.3]]), np.array([0, 0]), bins=4)
    apart = calibrate(np.array([[0.75, 0.25], [0.76, 0.24]]), np.array([0, 0]), bins=4)
    assert (len(together.bins), len(apart.bins)) == (1, 2)


@pytest.mark.parametrize("temperature", [0.25, 1.0, 4.0])
def test_figures_before_temperature_scaling_are_recovered(temperature: float) -> None:
    rng = np.random.default_rng(0)
    logits, targets = rng.normal(size=(200, 3)) * 6, rng.integers(0, 3, 200)
    scaled, plain = softmax(logits / temperature), softmax(logits)
    assert unscale(scaled, temperature) == pytest.approx(plain, abs=1e-9)
    evaluation = evaluate(scaled, targets, "abc", [""] * 200, KNOWN, "a test", temperature=temperature)
    assert evaluation.uncalibrated.negative_log_likelihood == pytest.approx(negative_log_likelihood(plain, targets))
    assert evaluation.calibration.negative_log_likelihood == pytest.approx(negative_log_likelihood(scaled, targets))
    assert evaluation.temperature == temperature


def test_a_probability_of_nothing_stays_nothing() -> None:
    assert unscale(np.array([[1.0, 0.0]]), 2.0) == pytest.approx(np.array([[1.0, 0.0]]))


SIZES = np.array([60.0, 120, 180, 240, 300])


def mistakes_at(*errors: float, pictures: int = 400) -> np.ndarray:
    return np.repeat(np.array(errors)[:, None], pictures, axis=1)


def test_a_falling_error_is_extrapolated() -> None:
    law = 0.02 + 5 * SIZES**-0.9
    outlook = foresee(SIZES, mistakes_at(*law), classes=3)
    assert outlook.now == pytest.approx(law[-1], abs=1e-4)
    assert outlook.then == pytest.approx(0.02 + 5 * 450**-0.9, abs=1e-4)
    assert (outlook.floor, outlook.power) == (pytest.approx(0.02, abs=1e-3), 0.9)
    assert outlook.sentence.startswith(
        "Another 50 pictures per class would bring the error from about 4.9 % to about 4.0 %"
    )


def test_an_error_that_would_fall_below_nothing_has_no_floor() -> None:
    outlook = foresee(SIZES, mistakes_at(0.5, 0.4, 0.3, 0.2, 0.1), classes=3)
    assert outlook.floor == 0
    assert outlook.then is not None
    assert 0 < outlook.then < outlook.now


@pytest.mark.parametrize("errors", [[0.05] * 5, [0.03, 0.04, 0.05, 0.06, 0.07], [0.2, 0.05, 0.05, 0.05, 0.05]])
def test_an_error_that_has_stopped_falling_is_told(errors: list[float]) -> None:
    outlook = foresee(SIZES, mistakes_at(*errors), classes=3)
    assert outlook.sentence.startswith("More pictures of the same kind would hardly help")
    assert outlook.then is not None
    assert outlook.then <= outlook.now


@pytest.mark.parametrize("wrong", [0, 2])
def test_too_few_wrong_answers_have_no_trend(wrong: int) -> None:
    mistakes = mistakes_at(0.5, 0.4, 0.3, 0.2, 0)
    mistakes[-1, :wrong] = 1
    outlook = foresee(SIZES, mistakes, classes=3)
    assert outlook.sentence == "Too few pictures are wrong to say what more of them would bring."
    assert (outlook.floor, outlook.then, outlook.fall_interval) == (None, None, None)


def test_few_wrong_answers_leave_a_wide_range() -> None:
    def spread(pictures: int) -> float:
        hard = np.random.default_rng(2).random((8, 1, pictures))
        outlooks = [foresee(SIZES, (each < 5 * SIZES[:, None] ** -0.8) * 1.0, 3) for each in hard]
        return float(np.mean([outlook.fall_interval[1] - outlook.fall_interval[0] for outlook in outlooks]))

    assert spread(300) > 2 * spread(5_000)


def blobs(pictures: int, features: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    targets = np.arange(pictures) % 3
    points = rng.normal(size=(3, features))[targets] + rng.normal(size=(pictures, features)) * 6
    return points.astype(np.float32), targets, np.arange(pictures) // 3 % 5


def test_the_learning_curve_ends_at_the_error_of_the_head_itself() -> None:
    config = TrainConfig(strengths=(0.01,))
    # With fewer pictures than features, and with more.
    for features, targets, folds in (blobs(300), blobs(300, 100)):
        curve = learning_curve(features, targets, folds, config)
        _, held_out = fit_head(features, targets, folds, config)
        assert curve.points[-1].wrong == (held_out.argmax(axis=1) != targets).sum() > 0
        assert [point.learnt_from for point in curve.points] == [48, 96, 144, 192, 240]
        assert curve.points[0].error > curve.points[2].error > curve.points[4].error
        assert all(point.error_interval[0] < point.error < point.error_interval[1] for point in curve.points)
        assert curve == learning_curve(features, targets, folds, config)


def test_near_duplicates_come_or_stay_away_together() -> None:
    features, targets, folds = blobs(150)
    # In each fold ten pictures a class, copies of one another: the other folds hold four groups of ten.
    curve = learning_curve(features, targets, folds, TrainConfig(strengths=(0.01,)), groups=targets * 5 + folds)
    assert [point.learnt_from for point in curve.points] == [30, 60, 60, 90, 120]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        whole = learning_curve(features, targets, folds, TrainConfig(strengths=(0.01,)), groups=targets)
    assert {point.learnt_from for point in whole.points} == {120}
    assert whole.outlook.sentence.startswith("There are too few different pictures")


def test_the_learning_curve_is_quick() -> None:
    # Of the processor: others may have it meanwhile.
    started = process_time()
    learning_curve(*blobs(376, 1280), TrainConfig(strengths=(0.01,)))
    learning_curve(*blobs(5000, 1280), TrainConfig(strengths=(0.01,)))
    # About 2 s on two idle cores.
    assert process_time() - started < 20


def trained_on(
    features: np.ndarray, targets: np.ndarray, folds: np.ndarray, judged: np.ndarray, folder: Path
) -> tuple[Trained, Dataset]:
    groups = (targets * 5 + folds).tolist()
    records = tuple(
        Record("abc"[target], "folder", str(index), "a", index, "kept", file=f"{index}.jpg", group=groups[index])
        for index, target in enumerate(targets)
    )
    head, held_out = fit_head(features, targets, folds, TrainConfig(strengths=(0.01,)))
    return make_trained_of(features, judged, held_out[judged], head), Dataset(folder, ("a", "b", "c"), records, ())


def test_judging_says_everything_that_metrics_json_holds(tmp_path: Path) -> None:
    features, targets, folds = blobs(150)
    trained, dataset = trained_on(features, targets, folds, np.ones(150, dtype=bool), tmp_path)
    evaluation = evaluate_held_out(trained, dataset, folds, FamiliarityConfig())
    assert evaluation.learning is not None
    assert evaluation.learning.points[-1].wrong == evaluation.wrong
    assert [point.learnt_from for point in evaluation.learning.points] == [30, 60, 60, 90, 120]
    assert evaluation.calibration.negative_log_likelihood == evaluation.negative_log_likelihood
    # The temperature is the best one for these pictures, or there is none.
    assert evaluation.calibration.negative_log_likelihood <= evaluation.uncalibrated.negative_log_likelihood
    told = json.loads(json.dumps(evaluation.as_json()))
    assert told["learning"]["outlook"]["sentence"] == evaluation.learning.outlook.sentence
    assert sum(each["pictures"] for each in told["calibration"]["bins"]) == 150


def test_a_network_trained_as_a_whole_has_no_learning_curve(tmp_path: Path) -> None:
    features, targets, folds = blobs(150)
    trained, dataset = trained_on(features, targets, folds, folds == 0, tmp_path)
    evaluation = evaluate_held_out(trained, dataset, folds, FamiliarityConfig())
    assert (evaluation.pictures, evaluation.learning) == (30, None)
    scores = score_known(trained, folds, Familiarity(0, 0, 5), FamiliarityConfig())
    # The rows of a reference are rounded.
    expected = familiarity(trained.embeddings[folds == 0], trained.embeddings[folds != 0], 5)
    assert scores == pytest.approx(expected, abs=1e-4)


def test_strangers_are_judged_as_sklearn_and_counting_pairs_do() -> None:
    rng = np.random.default_rng(4)
    reference, strangers = (rng.normal(size=(80, 8)) + shift for shift in (2, 1))
    reference, strangers = (points / np.linalg.norm(points, axis=1, keepdims=True) for points in (reference, strangers))
    scores = familiarity(strangers, reference, 5)
    # Some scores are equal.
    known = np.concatenate([scores[:10], rng.uniform(0.7, 1, 50)])
    found = evaluate_strangers(known, scores, 0.9)
    assert found.auroc == pytest.approx(roc_auc_score([1] * 60 + [0] * 80, [*known, *scores]))
    pairs = (known[:, None] > scores).mean() + (known[:, None] == scores).mean() / 2
    assert found.auroc == pytest.approx(pairs)
    assert 0.1 < found.auroc < 0.9
    assert (found.pictures, found.refused) == (80, (scores < 0.9).sum())
    assert found.refused_interval == wilson_interval(found.refused, 80)
    assert found.accepted_known == (known >= 0.9).mean()
    assert (found.roc[0], found.roc[-1]) == ((0, 0), (1, 1))
    # Who is at the threshold is familiar.
    at = evaluate_strangers(known, scores, float(scores[0]))
    assert (at.refused, at.accepted_known) == ((scores < scores[0]).sum(), (known >= scores[0]).mean())


def test_perfect_probabilities_show_an_error_by_chance_and_it_is_told_how_large() -> None:
    rng = np.random.default_rng(3)
    first = rng.beta(12, 1, 376)
    probabilities = np.stack([first, 1 - first], axis=1)
    found = []
    for _ in range(60):
        targets = (rng.random(376) >= first).astype(int)
        told = calibrate(probabilities, targets)
        found.append(told.expected_calibration_error)
    low, high = told.by_chance_interval
    assert 0 < low < told.by_chance < high < 0.1
    assert np.mean(found) == pytest.approx(told.by_chance, rel=0.15)
    assert np.mean([low <= each <= high for each in found]) > 0.75
    # On a hundred times as many pictures there is little of it left.
    many = calibrate(np.tile(probabilities, (100, 1)), np.zeros(37_600, dtype=int))
    assert many.by_chance < told.by_chance / 5
    assert f"{told.by_chance:.1%}" in told.sentence()
    assert calibrate(probabilities, targets) == told


def test_advice_about_more_pictures_does_not_contradict_itself() -> None:
    outlooks = [
        Outlook("More pictures of the same kind would hardly help.", now=0.1, then=0.095),
        Outlook("Another 50 would bring it to 5 %.", now=0.1, then=0.05),
        Outlook("Too few pictures are wrong to say what more of them would bring."),
    ]
    targets = np.repeat([0, 1], [20, 60])
    probabilities = np.where(targets[:, None] == [0, 1], 0.9, 0.1)
    names = [str(number) for number in range(80)]
    told = [
        evaluate(
            probabilities, targets, ("bee", "ant"), names, KNOWN, "", learning=LearningCurve((), 1, outlook)
        ).advice()
        for outlook in outlooks
    ]
    assert ["bee" in advice for advice in told] == [False, True, False]
    assert all(advice.startswith(outlook.sentence) for advice, outlook in zip(told, outlooks, strict=True))
