"""The second look is chosen on held-out pictures, and on strangers: it may let in no more of them than was promised."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from spotter.bundle.second_look import SecondLook
from spotter.config import FamiliarityConfig, SecondLookConfig, StressConfig, TrainConfig
from spotter.data.dataset import Dataset, Record
from spotter.evaluate.metrics import Familiarity
from spotter.evaluate.ood import choose_familiarity, judge_strangers, score_known
from spotter.evaluate.second_look import answer_again, choose_second_look, is_right_enough, look_again_at_strangers
from spotter.evaluate.shifts import STRESS
from spotter.evaluate.stress import judge_stress, plan_stress
from spotter.images import load_picture
from spotter.train.backbone import compute_features, compute_views, folder_features, run_body
from spotter.train.features import Backbone, Body, embed, open_body
from spotter.train.head import choose_head
from spotter.train.trained import Trained
from spotter.train.views import CROPPED, SHIFTED, ViewKind, plan_cropped, plan_shifted
from spotter.train.windows import Look, look_again, look_cache
from tests.helpers.learnt import make_trained_of

LABELS, COLOURS, SIZE, COUNT = ("red", "green", "blue"), np.eye(3, dtype=np.uint8) * 150, 64, 66
CONFIG = SecondLookConfig(margins=(0.0, 0.005, 0.02), least=30)


def mean_colours() -> Body:
    """A network whose places are the colours of 8 x 8 parts of the square, and its features their means."""
    nodes = [
        helper.make_node("Cast", ["pixels"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["numbers"], ["channels"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["channels"], ["places"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("GlobalAveragePool", ["places"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["features"]),
    ]
    given = helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", SIZE, SIZE, 3])
    outputs = [
        helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 3]),
        helper.make_tensor_value_info("places", TensorProto.FLOAT, ["n", 3, 8, 8]),
    ]
    graph = helper.make_graph(nodes, "colours", [given], outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return Body(onnx.shape_inference.infer_shapes(model).SerializeToString(), SIZE, "crop")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Blots of three colours on grey noise, each somewhere else; in some they are small."""
    folder, rng, records = tmp_path_factory.mktemp("blots"), np.random.default_rng(4), []
    for number in range(COUNT):
        pixels = rng.integers(90, 110, (128, 160, 3), dtype=np.uint8)
        side = 20 if number % 11 == 0 else int(rng.integers(60, 110))
        top, left = (int(rng.integers(room - side)) for room in (128, 160))
        pixels[top : top + side, left : left + side] += COLOURS[number % 3]
        Image.fromarray(pixels).save(folder / f"{number}.png")
        record = Record(LABELS[number % 3], "folder", str(number), "a", number, "kept", file=f"{number}.png")
        records.append(replace(record, group=number, sha256=f"{number * 7919 % 9973:04}"))
    return Dataset(folder, LABELS, tuple(records), ())


@pytest.fixture(scope="module")
def folds() -> np.ndarray:
    return np.arange(COUNT) // 3 % 5


@pytest.fixture(scope="module")
def trained(dataset: Dataset, folds: np.ndarray) -> Trained:
    ones = (1.0,) * 3
    backbone = Backbone("colours", SIZE, "crop", 3, ones, ones, "colours", mean_colours())
    features = run_body(backbone, dataset.paths)
    shifted = compute_views(backbone, dataset, SHIFTED, plan_shifted(dataset, TrainConfig()), keep=False)
    fit = choose_head(features, dataset.targets, folds, TrainConfig(), None, shifted)
    more = {"shifted": shifted, "shifted_probabilities": fit.shifted, "views": shifted, "backbone": backbone}
    return make_trained_of(features, np.ones(COUNT, dtype=bool), fit.probabilities, fit.head, **more)


@pytest.fixture(scope="module")
def known(trained: Trained, dataset: Dataset, folds: np.ndarray) -> Familiarity:
    return choose_familiarity(trained, dataset.targets, folds, FamiliarityConfig(accept=0.85))


def test_a_window_is_seen_as_serving_sees_it(trained: Trained, dataset: Dataset) -> None:
    second = SecondLook(0.4, 0.0)
    looks = [Look(row, int(dataset.targets[row])) for row in range(6)]
    keys = [str(record.sha256) for record in dataset.records]
    found = look_again(trained.backbone, trained.head.weight, dataset.paths, keys, looks, second, SHIFTED)
    for look, features in zip(looks, found, strict=True):
        picture = load_picture(dataset.paths[look.row])
        square = trained.backbone.square(picture)
        places = square.reshape(8, 8, 8, 8, 3).mean(axis=(1, 3))
        activation = np.einsum("kc,hwc->khw", trained.head.weight, places)
        box = second.find(activation, look.label, picture.size, SIZE, "crop")
        assert box
        wanted = trained.backbone.square(picture.crop(box)).reshape(-1, 3).mean(axis=0)
        assert np.abs(features - wanted).max() < 0.01


def test_what_was_seen_before_gives_the_same_views_and_windows(
    trained: Trained, dataset: Dataset, folds: np.ndarray, tmp_path: Path
) -> None:
    shutil.copytree(dataset.folder, tmp_path / "set")
    moved = replace(dataset, folder=tmp_path / "set")
    body = replace(trained.backbone.body, classifier=(np.eye(3, dtype=np.float32), np.zeros(3, dtype=np.float32)))
    before = replace(trained.backbone, body=body, seen={}, places={})
    nothing = replace(before, seen={}, places={})
    compute_features(before, moved)
    assert set(before.seen) == set(moved.paths)

    weight, keys = trained.head.weight, [str(record.sha256) for record in moved.records]
    stress = plan_stress(moved, trained.judged, StressConfig(pictures=2, least=2))
    plans = {SHIFTED: plan_shifted(moved, TrainConfig()), CROPPED: plan_cropped(moved, TrainConfig()), STRESS: stress}
    for kind, plan in plans.items():
        views = [compute_views(each, moved, kind, plan, False, weight).features for each in (before, nothing)]
        assert np.array_equal(*views)
        looks = [Look(row, row % 3, view) for row, number in plan for view in (None, number)]
        windows = [
            look_again(each, weight, moved.paths, keys, looks, SecondLook(0.4, 0.0), kind) for each in (before, nothing)
        ]
        assert np.array_equal(*windows)
        assert windows[0].any()
    # Of what was seen, the shifted views need no file.
    shutil.rmtree(moved.folder)
    assert len(compute_views(before, moved, SHIFTED, plans[SHIFTED], False).of) == len(plans[SHIFTED])
    assert not len(compute_views(nothing, moved, SHIFTED, plans[SHIFTED], False).of)


def test_looks_of_the_last_training_give_the_same_windows(
    trained: Trained, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(dataset.folder, tmp_path / "set")
    moved = replace(dataset, folder=tmp_path / "set")
    backbone = replace(trained.backbone, seen={}, places={})
    keys, second = [str(record.sha256) for record in moved.records], SecondLook(0.4, 0.0)
    runs: list[int] = []

    def open_counted(onnx: bytes) -> object:
        session = open_body(onnx)

        class Counted:
            get_outputs = session.get_outputs

            def run(self, *arguments: object) -> object:
                runs.append(1)
                return session.run(*arguments)

        return Counted()

    monkeypatch.setattr("spotter.train.windows.open_body", open_counted)
    for kind in (SHIFTED, STRESS):
        looks = [Look(row, row % 3, view) for row in range(9) for view in (None, 0, 1)]

        def look(weight: np.ndarray, looks: list[Look], cache: bool, kind: ViewKind = kind) -> tuple[np.ndarray, int]:
            runs.clear()
            where = look_cache(backbone, kind, moved.folder) if cache else None
            return look_again(backbone, weight, moved.paths, keys, looks, second, kind, where), len(runs)

        wanted, cold = look(trained.head.weight, looks, False)
        kept, first = look(trained.head.weight, looks, True)
        again, warm = look(trained.head.weight, looks, True)
        assert wanted.any()
        assert wanted.tobytes() == kept.tobytes() == again.tobytes()
        assert (cold == first > len(looks)) & (warm == 0)
        # Another head looks elsewhere: what the first look saw is known, what is in the windows mostly not.
        turned = trained.head.weight[[1, 2, 0]]
        other, less = look(turned, looks, True)
        assert 0 < less <= len(looks)
        assert other.tobytes() == look(turned, looks, False)[0].tobytes()
    # Of what is known, no file is needed.
    (moved.folder / "0.png").unlink()
    assert look(turned, [looks[0]], True)[0].tobytes() == other[:1].tobytes()


def test_the_margin_lets_no_more_strangers_in_than_it_may(
    trained: Trained, dataset: Dataset, folds: np.ndarray, known: Familiarity
) -> None:
    for share in (0.02, 0.1, 1.0):
        config = replace(CONFIG, strangers=share, wrong=1.0)
        found, said = choose_second_look(trained, dataset, folds, known, config)
        if found is None:
            assert said.startswith("no second look: ")
            continue
        assert said == f"a second look where the first is not sure: {found.sentence()}"
        assert found.let_in <= share * found.strangers
        assert found.second_look.margin in CONFIG.margins
        assert 2 * found.wrong < found.answered <= found.unsure
    assert found
    assert found.second_look == SecondLook(CONFIG.window, 0.0)


def test_where_one_stranger_is_more_than_the_share_the_margin_is_the_largest(
    trained: Trained, dataset: Dataset, folds: np.ndarray, known: Familiarity
) -> None:
    # One of 66 is more than one in a hundred.
    found, _ = choose_second_look(trained, dataset, folds, known, replace(CONFIG, margins=(0.0, 0.002)))
    assert found
    assert (found.strangers, found.second_look.margin) == (COUNT, 0.002)
    assert found.answered > 2 * found.wrong
    # With so large a margin nothing is added, which says nothing against it in a small set, and much in a larger one.
    strict = replace(CONFIG, margins=(0.0, 0.9))
    found, said = choose_second_look(trained, dataset, folds, known, strict)
    assert found
    assert (found.answered, found.let_in, found.second_look.margin) == (0, 0, 0.9)
    assert said.endswith(f"it answers 0, 0 of them wrong; of {COUNT} strangers, 0 more")
    found, said = choose_second_look(trained, dataset, folds, known, replace(strict, margins=(0.9,), strangers=0.02))
    assert found is None
    assert said.endswith(f"it answers 0, 0 of them wrong; of {COUNT} strangers, 0 more")


def test_it_is_not_chosen_on_too_little(
    trained: Trained, dataset: Dataset, folds: np.ndarray, known: Familiarity
) -> None:
    plain = replace(trained, shifted=None, shifted_probabilities=None)
    found, said = choose_second_look(plain, dataset, folds, known, CONFIG)
    assert found is None
    # However many pictures there are: the reason is the one that applies.
    assert said == "no second look: it is chosen on shifted views of held-out pictures, and there are none"
    few = replace(CONFIG, least=COUNT + 1)
    found, said = choose_second_look(trained, dataset, folds, known, few)
    assert found is None
    assert said == f"no second look: it is chosen on {COUNT + 1} held-out pictures or more, and there are {COUNT}"


@pytest.mark.parametrize(
    ("answered", "wrong", "expected"),
    [
        (0, 0, False),
        (1, 0, True),
        (2, 1, False),
        (3, 1, True),
        (7, 1, True),
        (19, 2, False),
        (20, 2, True),
        (40, 5, False),
    ],
)
def test_one_wrong_answer_of_few_says_little(answered: int, wrong: int, expected: bool) -> None:
    assert is_right_enough(answered, wrong, 0.1) is expected


def test_only_what_was_not_sure_is_answered_anew(
    trained: Trained, dataset: Dataset, folds: np.ndarray, known: Familiarity
) -> None:
    familiar = score_known(trained, folds, known, FamiliarityConfig()) >= known.threshold
    assert not familiar.all()
    first = [Look(row, label) for row, label in enumerate(trained.probabilities.argmax(axis=1).tolist())]
    said, answered = answer_again(
        trained, dataset, folds, known, SecondLook(0.4, 0.0), STRESS, first, trained.probabilities, familiar
    )
    assert answered[familiar].all()
    assert answered.sum() > familiar.sum()
    kept = familiar | ~answered
    assert np.array_equal(said[kept], trained.probabilities[kept])
    plan = plan_stress(dataset, trained.judged, StressConfig(pictures=3, least=3))
    shifted = compute_views(trained.backbone, dataset, STRESS, plan, keep=False)
    once, twice = (
        judge_stress(trained, dataset, folds, known, shifted, plan, second_look=second)
        for second in (None, SecondLook(0.4, 0.0))
    )
    assert twice.clean.answered == answered.sum()
    more = [two.answered - one.answered for one, two in zip(once.rows, twice.rows, strict=True)]
    assert min(more) >= 0
    assert max(more) > 0
    # Models that never saw the like of a shift have no second look, and are compared with one look of those that did.
    assert any(row.unseen for row in once.rows)
    assert [row.unseen for row in twice.rows] == [row.unseen for row in once.rows]
    # What the first look saw may be kept: then no view is made again, and the network does not run on it again.
    seen = compute_views(trained.backbone, dataset, STRESS, plan, keep=False, weight=trained.head.weight)
    assert all(each is not None for each in seen.seen)
    assert judge_stress(trained, dataset, folds, known, seen, plan, second_look=SecondLook(0.4, 0.0)) == twice


def test_strangers_are_judged_with_their_second_looks(
    trained: Trained, dataset: Dataset, folds: np.ndarray, known: Familiarity, tmp_path: Path
) -> None:
    # What no class is, and a blot in the middle of it.
    ground = Image.new("RGB", (160, 128), (0, 120, 120))
    ground.save(tmp_path / "1.png")
    ground.paste((180, 100, 100), (60, 44, 100, 84))
    ground.save(tmp_path / "2.png")
    (tmp_path / "3.png").write_bytes(b"no picture")
    paths, features = folder_features(tmp_path, trained.backbone)
    assert [path.name for path in paths] == ["1.png", "2.png"]
    scores = look_again_at_strangers(trained, folds, known, SecondLook(0.2, 0.01), paths, features)
    assert scores[1] > scores[0]
    strict = replace(known, threshold=float(scores[1]))
    once, twice = (
        judge_strangers(strict, trained, trained.head, folds, features, FamiliarityConfig(), again)
        for again in (None, scores)
    )
    assert (once.refused, twice.refused) == (2, 1)


def test_a_picture_that_is_gone_is_not_looked_at_again(trained: Trained, tmp_path: Path) -> None:
    path = tmp_path / "0.png"
    path.write_bytes(b"no picture")
    found = look_again(
        trained.backbone, trained.head.weight, [path], ["0"], [Look(0, 0)], SecondLook(0.4, 0.0), SHIFTED
    )
    assert not found.any()
    # It has no embedding either, and is like nothing.
    assert not embed(found).any()
