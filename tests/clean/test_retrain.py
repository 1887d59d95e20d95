"""A head on cached features: what it learns from, whom it is compared with, and what it says changed."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spotter.clean.retrain import retrain
from spotter.data.cache import FOLDER, FeatureCache
from spotter.data.dataset import Record
from spotter.data.edit_log import Edit
from spotter.data.manifest import read_manifest, write_manifest
from spotter.data.training_run import Run, read_run
from spotter.errors import NoTrainingRun
from spotter.utils.stats import wilson_interval
from tests.conftest import train_and_publish
from tests.helpers import tiny
from tests.helpers.cleaning import make_run
from tests.helpers.drawing import write_folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make_run(tmp_path_factory.mktemp("retrained"))


@pytest.fixture(scope="module")
def find(run: Run) -> Callable[[str], Record]:
    records = {record.backend_id: record for record in read_manifest(run.folder)}
    return records.__getitem__


def decide(record: Record, to: str | None) -> Edit:
    action = "delete" if to is None else "relabel"
    return Edit("anna", action, record.sha256, record.original_sha256, record.label, to, batch=str(record.sha256))


def wrong_by(run: Run, labels: dict[str, str]) -> int:
    names = run.recipe.labels
    called = {key: names[int(row.argmax())] for key, row in zip(run.keys, run.probabilities, strict=True)}
    return sum(called[key] != label for key, label in labels.items())


def test_without_edits_nothing_is_gained_by_other_folds(run: Run) -> None:
    again = retrain(run, ())
    assert again.run.keys == run.keys
    assert again.run.given == run.given
    assert again.run.folds.tolist() == run.folds.tolist()
    assert again.before == again.relabelled
    assert again.missing == 0
    assert again.before.wrong == wrong_by(run, dict(zip(run.keys, run.given, strict=True))) > 0
    assert again.before.interval == wilson_interval(again.before.wrong, len(run.keys))


def test_a_split_of_the_author_is_kept_as_in_training(tiny_network: None, tmp_path: Path) -> None:
    for path in write_folder(tmp_path / "pictures" / "train", count=15).glob("*/01*.jpg"):
        kept = tmp_path / "pictures" / "valid" / path.parent.name / path.name
        kept.parent.mkdir(parents=True, exist_ok=True)
        path.rename(kept)
    published = train_and_publish(tmp_path / "pictures", tmp_path / "run", *tiny.OPTIONS)
    (manifest,) = published.data.rglob("manifest.jsonl")
    run = read_run(manifest.parent)
    judging = {str(record.sha256) for record in read_manifest(run.folder) if record.kept and record.is_held_out}
    assert len(judging) == 15
    again = retrain(run, ())
    for each in (run, again.run):
        judged = ~np.isnan(each.probabilities).any(axis=1)
        assert {key for key, is_judged in zip(each.keys, judged, strict=True) if is_judged} == judging
        assert (judged == (each.folds == 0)).all()
        assert (judged == ~np.isnan(each.familiarity)).all()
    assert again.before == again.relabelled == again.after
    assert again.before.pictures == 15
    assert again.changes == ()
    assert np.allclose(again.run.probabilities, run.probabilities, atol=0.02, equal_nan=True)
    # What is kept for judging is never learnt from, also when its label is changed.
    key = sorted(judging)[0]
    record = next(record for record in read_manifest(run.folder) if record.sha256 == key)
    other = next(label for label in run.recipe.labels if label != record.label)
    edited = retrain(run, [decide(record, other)])
    assert np.array_equal(edited.run.probabilities, again.run.probabilities, equal_nan=True)
    assert edited.after.pictures == 15


def test_edits_change_what_is_learnt_and_the_figures_say_by_which_labels(
    run: Run, find: Callable[[str], Record]
) -> None:
    moved = [find(f"cross/disc{number}.jpg") for number in (900, 901)]
    gone, settled = find("stripes/003.jpg"), find("disc/both.jpg")
    edits = [*(decide(record, "disc") for record in moved), decide(gone, None), decide(settled, "stripes")]
    done = retrain(run, edits)
    labels = dict(zip(run.keys, run.given, strict=True))
    now = labels | {str(record.sha256): "disc" for record in moved}
    del now[str(gone.sha256)]
    assert done.before.pictures == len(labels)
    assert done.before.wrong == wrong_by(run, labels)
    # The same answers by the labels of now, over those that are still there.
    assert (done.relabelled.pictures, done.relabelled.wrong) == (len(now), wrong_by(run, now))
    assert done.relabelled.wrong == done.before.wrong - len(moved)
    # The picture that stood in two classes has joined.
    now[str(settled.sha256)] = "stripes"
    assert dict(zip(done.run.keys, done.run.given, strict=True)) == now
    assert (done.after.pictures, done.after.wrong) == (len(now), wrong_by(done.run, now))
    assert done.after.error == done.after.wrong / len(now)
    # Everybody else has stayed in the same fold.
    before = dict(zip(run.keys, run.folds.tolist(), strict=True))
    assert all(before.get(key, fold) == fold for key, fold in zip(done.run.keys, done.run.folds.tolist(), strict=True))


def test_who_changed_sides_was_right_and_is_wrong_or_the_other_way_round(
    run: Run, find: Callable[[str], Record]
) -> None:
    moved = [find(f"cross/disc{number}.jpg") for number in (900, 901)]
    changes = {change.key: change for change in retrain(run, [decide(record, "disc") for record in moved]).changes}
    for record in moved:
        change = changes[str(record.sha256)]
        # It is called as before, but is right now.
        assert (change.was_label, change.was, change.label, change.now) == ("cross", "disc", "disc", "disc")
        assert change.is_right
    assert all((each.was == each.was_label) != (each.now == each.label) for each in changes.values())


def test_what_is_wrong_in_another_way_changed_no_side(run: Run, find: Callable[[str], Record]) -> None:
    names = run.recipe.labels
    disc, right = find("cross/disc900.jpg"), find("stripes/003.jpg")
    probabilities = run.probabilities.copy()
    # The disc among the crosses was called stripes then and is called disc now; the stripes were called cross.
    for record, was in ((disc, "stripes"), (right, "cross")):
        probabilities[run.keys.index(str(record.sha256))] = np.eye(len(names))[names.index(was)]
    changes = {change.key: change for change in retrain(replace(run, probabilities=probabilities), ()).changes}
    assert str(disc.sha256) not in changes
    assert (changes[str(right.sha256)].was, changes[str(right.sha256)].now) == ("cross", "stripes")


def test_a_settled_picture_is_never_judged_by_who_learnt_from_its_copy(
    run: Run, find: Callable[[str], Record], tmp_path: Path
) -> None:
    settled = find("disc/both.jpg")
    edits = [decide(settled, "stripes")]

    def fold_of(done: Run, record: Record) -> int:
        return int(done.folds[done.keys.index(str(record.sha256))])

    alone = fold_of(retrain(run, edits).run, settled)
    twin = next(
        record
        for record in read_manifest(run.folder)
        if record.kept and record.label == "stripes" and fold_of(run, record) != alone
    )
    here = replace(run, folder=Path(shutil.copytree(run.folder, tmp_path / "set")))
    records = read_manifest(here.folder)
    write_manifest(here.folder, [replace(r, phash=twin.phash) if r.sha256 == settled.sha256 else r for r in records])
    features, _ = FeatureCache(run.folder / FOLDER, run.features, run.width).read(list(run.keys))
    shutil.rmtree(here.folder / FOLDER)
    cache = FeatureCache(here.folder / FOLDER, run.features, run.width)
    cache.add([*run.keys, str(settled.sha256)], np.vstack([features, features[run.keys.index(str(twin.sha256))][None]]))
    done = retrain(here, edits).run
    assert fold_of(done, settled) == fold_of(done, twin)


def test_pictures_without_features_are_counted_and_left_for_later(run: Run, tmp_path: Path) -> None:
    here = replace(run, folder=Path(shutil.copytree(run.folder, tmp_path / "set")))
    features, known = FeatureCache(run.folder / FOLDER, run.features, run.width).read(list(run.keys))
    assert known.all()
    shutil.rmtree(here.folder / FOLDER)
    some = FeatureCache(here.folder / FOLDER, run.features, run.width)
    some.add(list(run.keys[3:]), features[3:])
    done = retrain(here, ())
    # Three of them, and the one that stands in two classes.
    assert done.missing == 4
    assert done.run.keys == run.keys[3:]
    shutil.rmtree(here.folder / FOLDER)
    with pytest.raises(NoTrainingRun, match="run spotter train again"):
        retrain(here, ())
