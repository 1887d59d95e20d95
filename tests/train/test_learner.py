import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spotter.config import TrainConfig
from spotter.data.dataset import Dataset
from spotter.data.splits import deal_folds
from spotter.errors import TooFewPictures, TrainingFailed
from spotter.images import load_picture, to_square
from spotter.inference.predictor import Predictor
from spotter.train.backbone import compute_features, load_backbone, run_body
from spotter.train.export import export_pickle
from spotter.train.features import Backbone
from spotter.train.head import class_weights, fit_head, is_uneven
from spotter.train.learner import (
    build_learner,
    find_learning_rate,
    labelled_view,
    make_learner,
    passing_over,
    show_batch,
    train_whole,
    tune,
)
from spotter.train.trained import train_head
from tests.conftest import Published, Revision
from tests.helpers import tiny

OUTSIDER = """
import gc, sys
gc.disable()  # fastai is imported in three fifths of the time
from fastai.vision.all import load_learner
learn = load_learner(sys.argv[1])
label, index, probabilities = learn.predict(sys.argv[2])
assert not any(name.partition(".")[0] == "spotter" for name in sys.modules)
print(label, *learn.dls.vocab, *[f"{p:.6f}" for p in probabilities.tolist()])
learn.dls.test_dl([sys.argv[2]])
"""


@pytest.mark.slow
def test_the_pickle_is_an_ordinary_fastai_learner(prebuilt: Revision, tmp_path: Path) -> None:
    picture = prebuilt.folder / "example-2.jpg"
    command = [sys.executable, "-W", "ignore", "-c", OUTSIDER, str(prebuilt.folder / "export.pkl"), str(picture)]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    label, *rest = finished.stdout.split()[-7:]
    prediction = Predictor.load(prebuilt.store).predict(picture)
    assert label == prediction.label == "cross"
    assert rest[:3] == ["disc", "cross", "stripes"]
    assert [float(value) for value in rest[3:]] == pytest.approx(list(prediction.probabilities.values()), abs=1e-3)


def test_features_are_cached(published: Published) -> None:
    caches = sorted(path.name for path in published.data.rglob("features/*.safetensors"))
    assert all(name.startswith("tf_efficientnet_lite0-224-crop-") for name in caches)
    # The features, how far the subjects spread, cropped views, because the set is small, shifted ones to learn from,
    # and those of the stress test; and for both kinds of shifted views, the second looks at them.
    looks = [name for name in caches if name.endswith("-looks.safetensors")]
    assert (len(caches), len(looks)) == (7, 2)
    assert "learning from mirrored and cropped views too" in published.output


@pytest.fixture(scope="module")
def shapes(trained: Published, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    from spotter.collect.collector import collect
    from spotter.recipe import recipe_from_options
    from spotter.search import get_backends

    (folder,) = shutil.copytree(trained.data, tmp_path_factory.mktemp("shapes") / "data").glob("*/*")
    recipe = recipe_from_options(["disc", "cross", "stripes"])
    return collect(recipe, get_backends(f"folder:{trained.pictures}"), folder)


SMALL = TrainConfig(arch=tiny.ARCH, size=tiny.SIZE)


@pytest.fixture(scope="module")
def small(tiny_network: None) -> Backbone:
    return load_backbone(SMALL)


@pytest.mark.parametrize(
    "config",
    [
        SMALL,
        replace(SMALL, resize="pad"),
        replace(SMALL, min_scale=0.3),
        replace(SMALL, presize=90, min_scale=0.5),
        replace(SMALL, presize=90, mult=2),
    ],
    ids=["plain", "pad", "random-crops", "presized-crops", "presized"],
)
def test_only_training_pictures_are_augmented(config: TrainConfig, shapes: Dataset, small: Backbone) -> None:
    held_out = np.arange(len(shapes.records)) % 4 == 0
    with labelled_view(shapes) as view:
        dls = build_learner(shapes, view, held_out, small, config).dls
        pixels, _ = dls.train.one_batch()
        assert pixels.shape[1:] == (3, 64, 64)
        assert len(dls.valid_ds) == held_out.sum()
        shown, _ = dls.valid.one_batch()
        mean, spread = (np.reshape(values, (3, 1, 1)) for values in (small.mean, small.std))
        for name, seen in zip(dls.valid_ds.items, shown, strict=True):
            plain = to_square(load_picture(name), 64, config.resize).transpose(2, 0, 1) / 255
            assert seen.numpy() == pytest.approx((plain - mean) / spread, abs=2e-5)


def test_fastai_reads_labels_that_no_folder_can_have(shapes: Dataset, small: Backbone) -> None:
    renamed = {"disc": "A/B", "cross": "बिल्ली.", "stripes": "C++"}
    records = tuple(replace(record, label=renamed[record.label]) for record in shapes.records)
    dataset = replace(shapes, labels=tuple(renamed.values()), records=records)
    with labelled_view(dataset) as view:
        dls = build_learner(dataset, view, np.zeros(len(records), dtype=bool), small, TrainConfig(size=32)).dls
        read = [int(target) for _, target in dls.train_ds]
    assert read == dataset.targets.tolist()
    assert list(dls.vocab) == list(dataset.labels)
    assert dls.categorize.decode(0) == "A/B"


def test_a_split_of_the_author_is_kept(shapes: Dataset, small: Backbone) -> None:
    features = compute_features(small, shapes)
    count = len(shapes.records)
    split = [("valid" if number % 4 == 0 else None) for number in range(count)]
    records = tuple(replace(record, split=part) for record, part in zip(shapes.records, split, strict=True))
    dataset = replace(shapes, records=records)
    folds = deal_folds(dataset, dataset, SMALL)
    assert ((folds == 0) == dataset.held_out).all()
    assert dataset.held_out.sum() == -(-count // 4)
    trained = train_head(dataset, folds, small, features, SMALL)
    assert (trained.judged == dataset.held_out).all()
    assert (trained.learnt_from == ~dataset.held_out).all()
    assert trained.probabilities.shape == (dataset.held_out.sum(), 3)
    assert trained.how == "the pictures that were kept for validation"
    # Nothing of the held-out pictures reaches the head: with other ones it is the same.
    other = np.where(dataset.held_out[:, None], features[::-1], features)
    again = train_head(dataset, folds, small, other, SMALL)
    weights = [each.head.weight for each in (trained, again)]
    assert np.array_equal(*weights)
    lacking = tuple(replace(r, split=None if r.label == "disc" else r.split) for r in records)
    without = replace(shapes, records=lacking)
    with pytest.raises(TooFewPictures, match="The class 'disc' has no picture among those for validation"):
        deal_folds(without, without, SMALL)


@pytest.mark.parametrize("count", [1, 2, 5, 11])
def test_sets_smaller_than_a_batch_are_learnt_from(count: int, shapes: Dataset, small: Backbone) -> None:
    rows = np.linspace(0, len(shapes.records) - 1, count + 3).round().astype(int)
    few = replace(shapes, records=tuple(shapes.records[row] for row in rows))
    held_out = np.arange(len(rows)) >= count
    assert count < SMALL.batch_size
    with labelled_view(few) as view:
        learn = build_learner(few, view, held_out, small, SMALL)
        assert [len(learn.dls.train_ds), len(learn.dls.train)] == [count, 1]
        before = learn.model[1][-1].weight.detach().numpy().copy()
        with learn.no_bar(), learn.no_logging():
            learn.fit(1, 0.01)
    assert not np.array_equal(learn.model[1][-1].weight.detach().numpy(), before)


def damage(path: Path, way: int) -> None:
    """Make a stored picture unreadable, in one of five ways."""
    content = path.read_bytes()
    path.unlink()
    if way == 1:
        path.mkdir()
    elif way > 1:
        path.write_bytes([content[: len(content) // 2], b"", b"<html>"][way - 2])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_pictures_that_are_gone_cost_fine_tuning_nothing_but_themselves(
    seed: int, shapes: Dataset, small: Backbone, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = replace(SMALL, fine_tune=1, find_rate=seed == 0)
    dataset = replace(shapes, folder=Path(shutil.copytree(shapes.folder, tmp_path / "set")))
    features, folds = compute_features(small, dataset), deal_folds(dataset, dataset, config)
    rng = np.random.default_rng(seed)
    # The very first is what fastai looks at before all others.
    lost = np.union1d([0, len(folds) - 1], rng.choice(len(folds), 6, replace=False))
    for row in lost.tolist():
        damage(dataset.paths[row], int(rng.integers(5)))
    trained = train_whole(dataset, folds, small, features, config)
    assert {Path(str(record.args[0])) for record in caplog.records if "left out" in record.msg} >= {
        dataset.paths[row] for row in lost.tolist() if folds[row] != 0
    }
    if trained.fine_tune_epochs:
        assert np.flatnonzero(~(trained.judged | trained.learnt_from)).tolist() == lost.tolist()
        assert np.isfinite(trained.embeddings).all()
        assert trained.probabilities.shape == (trained.judged.sum(), 3)
        assert f"{len(lost)} stored pictures could not be read" in " ".join(trained.tried)
    else:
        assert trained.judged.all()
    learn = make_learner(replace(trained, learner=None), dataset, folds, config)
    export_pickle(learn, tmp_path / "export.pkl")
    show_batch(dataset, small, config)


@pytest.mark.parametrize("way", range(5))
def test_what_vanishes_in_the_middle_of_an_epoch_is_passed_over(
    way: int, shapes: Dataset, small: Backbone, tmp_path: Path
) -> None:
    dataset = replace(shapes, folder=Path(shutil.copytree(shapes.folder, tmp_path / "set")))
    held_out = np.arange(len(dataset.records)) % 4 == 0
    with labelled_view(dataset) as view:
        dls = build_learner(dataset, view, held_out, small, SMALL).dls
        with passing_over(dls):
            whole = [len(pixels) for loader in (dls.train, dls.valid) for pixels, _ in loader]
            for path in dataset.paths[5:12]:
                damage(path, way)
            assert [len(pixels) for loader in (dls.train, dls.valid) for pixels, _ in loader] == whole
            for path in set(dataset.paths) - set(dataset.paths[5:12]):
                damage(path, way)
            with pytest.raises(TrainingFailed, match="None of the stored pictures can be read any more"):
                list(dls.train)
        assert not any("do_item" in vars(loader) for loader in (dls.train, dls.valid))
    folds, features = np.arange(len(held_out)) % 3, np.ones((len(held_out), small.width), np.float32)
    for work, rest in (
        (find_learning_rate, (held_out, small, SMALL)),
        (tune, (held_out, small, None, SMALL, None)),
        (train_whole, (folds, small, features, SMALL)),
    ):
        with pytest.raises(TrainingFailed, match="None of the stored pictures can be read any more"):
            work(dataset, *rest)


def test_more_augmentation_changes_more(shapes: Dataset, small: Backbone) -> None:
    nobody = np.zeros(len(shapes.records), dtype=bool)
    with labelled_view(shapes) as view:
        for config, kinds in (
            (SMALL, {"Resize"}),
            (replace(SMALL, min_scale=0.3), {"RandomResizedCrop"}),
            (replace(SMALL, presize=90, min_scale=0.5), {"Resize", "RandomResizedCropGPU"}),
        ):
            train = build_learner(shapes, view, nobody, small, config).dls.train
            steps = {type(step).__name__: step for step in (*train.after_item.fs, *train.after_batch.fs)}
            assert {name for name in steps if "Resize" in name} == kinds
        for mult in (1, 3):
            config = replace(SMALL, mult=mult)
            steps = build_learner(shapes, view, nobody, small, config).dls.train.after_batch.fs
            (light,) = [step.max_lighting for step in steps if hasattr(step, "max_lighting")]
            assert light == pytest.approx(0.2 * mult)


@pytest.mark.slow
def test_the_learning_rate_is_looked_for(shapes: Dataset, small: Backbone) -> None:
    rate = find_learning_rate(shapes, np.arange(len(shapes.records)) % 2 == 0, small, SMALL)
    assert 1e-6 < rate < 1
    assert (shapes.folder / "lr_find.png").stat().st_size > 5000
    # It leaves nothing of its own behind.
    assert not Path("models").exists() or not list(Path("models").glob("tmp*"))


def test_fine_tuning_counts_each_class_of_an_uneven_set_the_same(shapes: Dataset, small: Backbone) -> None:
    rare, config = shapes.targets == 0, replace(SMALL, fine_tune=1, uneven=2.0)
    left = np.flatnonzero(~rare | (rare.cumsum() <= 4))
    few = replace(shapes, records=tuple(shapes.records[index] for index in left))
    assert is_uneven(few.targets, config)
    features = run_body(small, few.paths)
    folds = np.arange(len(left)) % 4
    learnt = folds > 0
    head, _ = fit_head(features, few.targets, folds, config)
    answers = {}
    for balanced in (True, False):
        learn = tune(few, ~learnt, small, replace(head, balanced=balanced), config, None)
        weights = learn.loss_func.func.weight
        assert (weights is not None) == balanced
        if balanced:
            assert weights.tolist() == pytest.approx(class_weights(few.targets[learnt], config).tolist())
            assert weights[0] > 2 * weights[1]
        dl = learn.dls.test_dl([str(path) for path in few.paths], num_workers=0)
        with learn.no_bar():
            answers[balanced] = learn.get_preds(dl=dl)[0].numpy()[:, 0].mean()
    assert answers[True] > answers[False]
