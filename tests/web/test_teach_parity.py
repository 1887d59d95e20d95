"""Teaching in the browser learns what training in Python does: features, groups, folds, views, head and threshold."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser

from spotter.config import TrainConfig
from spotter.image_files import read_file
from spotter.images import load_picture
from spotter.inference.predictor import Predictor
from tests.conftest import Published, Revision
from tests.helpers.drawing import KINDS, draw, encode, turned
from tests.helpers.site import ToldError, make_site, serving_site
from tests.helpers.teaching import Lesson, TeacherPage, kept_picture, learn_in_python

# Of few pictures on both sides.
SHIFTS = TrainConfig.shifts


def drawn(count: int, *, copies: int = 1) -> dict[str, list[bytes]]:
    """So many different pictures of each kind, and near duplicates of some."""
    pictures = {kind: [kept_picture(draw(kind, seed)) for seed in range(count)] for kind in KINDS}
    for kind, own in pictures.items():
        own += [kept_picture(draw(kind, seed).resize((160, 124))) for seed in range(copies)]
    # One that is in the wrong class.
    pictures["disc"].append(pictures["cross"].pop())
    return pictures


@pytest.fixture(scope="module")
def teacher(browser: Browser, small_site: Path) -> Iterator[TeacherPage]:
    page = browser.new_page()
    with serving_site(small_site) as server:
        yield TeacherPage(page, server)
        page.close()


def compare(told: dict[str, Any], python: Lesson, *, wrong_within: int = 1) -> None:
    """Hold what was learnt in the browser against Python."""
    said = {each["sha256"]: each for each in told["judgements"]}
    assert said.keys() == set(python.names)
    assert [said[name]["fold"] for name in python.names] == python.folds.tolist()
    assert sorted(map(sorted, told["groups"])) == _groups(python)
    assert abs(told["wrong"] - python.wrong) <= wrong_within
    probabilities = np.array([said[name]["probabilities"] for name in python.names])
    wanted = python.fit.probabilities
    differences = np.abs(probabilities - wanted).max(axis=1)
    assert (differences < 0.02).mean() >= 0.99
    two = np.sort(wanted, axis=1)[:, -2:]
    clear = two[:, 1] - two[:, 0] >= 0.02
    assert (probabilities.argmax(axis=1) == wanted.argmax(axis=1))[clear].all()
    head = python.fit.head
    assert (told["strength"], told["balanced"]) == (head.strength, head.balanced)
    assert told["temperature"] == pytest.approx(head.temperature, rel=0.05)
    assert told["shifted"] == {
        "count": 0 if python.shifted is None else len(python.shifted.of),
        "kept": head.spectrum is not None and head.spectrum.is_kept,
    }
    known = python.familiarity
    assert told["certainty"] == known.certainty
    # Cosines alone are the same. Where the classifier's doubts count, they are as near as its probabilities.
    assert told["threshold"] == pytest.approx(known.threshold, abs=0.01 if known.certainty else 1e-4)
    assert told["accepted"] == pytest.approx(known.accepted, abs=1 / len(wanted) if known.certainty else 1e-6)


def compare_features(teacher: TeacherPage, python: Lesson) -> None:
    """Hold the features of the pictures, and those of the shifted views that Python has, against Python's."""
    features = teacher.features()
    for name, wanted in zip(python.names, python.features, strict=True):
        np.testing.assert_allclose(features[name], wanted, atol=1e-4)
    if python.shifted is None:
        return
    views = teacher.features("shifted")
    assert sum(map(len, views.values())) == python.shifted.features.size
    for row, name in enumerate(python.names):
        np.testing.assert_allclose(views[name], python.shifted.features[python.shifted.of == row].ravel(), atol=1e-4)


def _groups(python: Lesson) -> list[list[str]]:
    found: dict[int, list[str]] = {}
    for name, group in zip(python.names, python.dataset.groups.tolist(), strict=True):
        found.setdefault(group, []).append(name)
    return sorted(sorted(names) for names in found.values() if len(names) > 1)


@pytest.mark.parametrize(
    ("content", "size"),
    [
        (encode(draw("disc", 1, (1600, 800)), "PNG"), (1024, 512)),
        (turned(draw("disc", 1, (400, 300)), 6), (400, 300)),
        (encode(draw("disc", 1, (400, 300)), "WEBP"), (400, 300)),
    ],
)
def test_other_pictures_are_kept_as_bare_upright_jpegs(
    teacher: TeacherPage, content: bytes, size: tuple[int, int]
) -> None:
    kept = teacher.prepare(content)
    assert read_file(kept["blob"]).data == kept["blob"]
    assert kept["sha256"] == hashlib.sha256(kept["blob"]).hexdigest()
    assert kept["original_sha256"] == hashlib.sha256(content).hexdigest()
    picture = load_picture(kept["blob"])
    assert picture.size == size == (kept["width"], kept["height"])
    wanted = load_picture(content).resize((32, 32))
    assert np.abs(np.asarray(picture.resize((32, 32)), float) - np.asarray(wanted, float)).mean() < 4


def test_what_is_no_picture_is_refused(teacher: TeacherPage) -> None:
    with pytest.raises(ToldError) as told:
        teacher.prepare(b"no picture")
    assert (told.value.name, told.value.reason) == ("BadPicture", "not-a-picture")


def test_sixty_drawn_pictures_are_learnt_as_in_python(teacher: TeacherPage, prebuilt: Revision) -> None:
    pictures = drawn(19)
    assert sum(map(len, pictures.values())) == 60
    teacher.measure(pictures)
    python = learn_in_python(prebuilt.folder, pictures)
    compare_features(teacher, python)
    hashes = dict(
        teacher.ask("() => travel.told(() => lesson.pictures.map(each => [each.sha256, each.features.phash]))")
    )
    assert hashes == {str(record.sha256): record.phash for record in python.dataset.records}
    assert _groups(python), "the set has near duplicates"
    told = teacher.learn(views=False)
    losses = python.fit.head.view_losses
    assert losses
    assert told["cropped"]["kept"] == (losses[1] < losses[0])
    compare(told, python)
    viewed = learn_in_python(prebuilt.folder, pictures, shifts=SHIFTS)
    compare_features(teacher, viewed)
    compare(teacher.learn(), viewed)


def test_an_uneven_set_is_balanced_as_in_python(teacher: TeacherPage, prebuilt: Revision) -> None:
    pictures = {"disc": drawn(16)["disc"], "cross": drawn(7)["cross"]}
    teacher.measure(pictures)
    compare(teacher.learn(views=False), learn_in_python(prebuilt.folder, pictures))
    compare(teacher.learn(), learn_in_python(prebuilt.folder, pictures, shifts=SHIFTS))


def test_what_is_said_of_the_pictures_fits_together(teacher: TeacherPage) -> None:
    pictures = drawn(12)
    teacher.measure(pictures)
    told = teacher.learn()
    cells = [name for row in told["confusion"] for cell in row for name in cell]
    assert sorted(cells) == sorted(each["sha256"] for each in told["judgements"])
    wrong = [each for each in told["judgements"] if each["label"] != each["predicted"]]
    assert told["wrong"] == len(wrong)
    assert told["interval"][0] <= told["error"] <= told["interval"][1]
    assert told["shifted"]["count"] == SHIFTS * len(cells)
    strange = hashlib.sha256(pictures["disc"][-1]).hexdigest()
    doubt = next(each for each in told["doubtful"] if each["sha256"] == strange)
    assert (doubt["label"], doubt["suggested"]) == ("disc", "cross")
    answer = teacher.ask(
        "sha256 => travel.told(() => teacher.classify(lesson.pictures.find(each => each.sha256 === sha256).blob))",
        hashlib.sha256(pictures["stripes"][0]).hexdigest(),
    )
    assert answer["closest"] == "stripes"


def test_nothing_is_computed_twice(teacher: TeacherPage) -> None:
    teacher.measure(drawn(4))
    again = """() => travel.told(async () => {
        const kept = [];
        await teacher.measure(lesson.pictures, { keep: sha256 => kept.push(sha256) });
        return kept;
    })"""
    assert teacher.ask(again) == []


def test_views_that_come_after_the_pictures_are_those_that_come_with_them(teacher: TeacherPage) -> None:
    # So many that they need shifted views alone, for which the page still has what the network saw.
    pictures = drawn(67)
    teacher.measure(pictures)
    with_them = teacher.features("shifted")
    teacher.measure(pictures, views=False)
    assert not any(map(len, teacher.features("shifted").values()))
    after = """() => travel.told(async () => {
        const there = new Map(lesson.pictures.map(each => [each.sha256, each]));
        await teacher.measure(lesson.pictures, { keep: (sha256, features) => {
            there.get(sha256).features = features;
        } });
    })"""
    teacher.ask(after)
    found = teacher.features("shifted")
    assert found.keys() == with_them.keys()
    assert len(found) > 200
    for name, wanted in with_them.items():
        assert len(wanted)
        np.testing.assert_array_equal(found[name], wanted)


def test_an_edit_moves_no_other_picture_into_another_fold(teacher: TeacherPage) -> None:
    teacher.measure(drawn(12))
    before = {each["sha256"]: each["fold"] for each in teacher.learn(views=False)["judgements"]}
    teacher.ask("() => travel.told(() => { lesson.pictures[0].label = null; lesson.pictures[1].label = 'cross'; })")
    after = {each["sha256"]: each["fold"] for each in teacher.learn(views=False)["judgements"]}
    assert len(after) == len(before) - 1
    assert after.items() <= before.items()


PICTURES = drawn(4)


@pytest.mark.parametrize(
    ("pictures", "reason"),
    [
        ({"disc": PICTURES["disc"]}, "one-class"),
        ({"disc": PICTURES["disc"], "cross": []}, "one-class"),
        ({"disc": PICTURES["disc"], "cross": PICTURES["cross"][:1]}, "too-few"),
        ({"disc": PICTURES["disc"][:2], "cross": PICTURES["cross"][:1]}, "too-few"),
        ({"disc": PICTURES["disc"], "cross": PICTURES["cross"][:1] * 50}, "same-picture"),
        (
            {
                "disc": PICTURES["disc"],
                "cross": [kept_picture(draw("cross", 1).resize((180 - 2 * n, 140))) for n in range(5)],
            },
            "too-few-different",
        ),
    ],
)
def test_what_cannot_be_learnt_is_said(teacher: TeacherPage, pictures: dict[str, list[bytes]], reason: str) -> None:
    teacher.measure(pictures)
    with pytest.raises(ToldError) as told:
        teacher.learn()
    assert (told.value.name, told.value.reason) == ("CannotTeach", reason)


def test_learning_can_be_stopped(teacher: TeacherPage) -> None:
    teacher.measure(drawn(12))
    stop = """() => travel.told(async () => {
        const stop = new AbortController();
        await teacher.learn(lesson, { signal: stop.signal, progress: () => stop.abort() });
    })"""
    with pytest.raises(ToldError) as told:
        teacher.ask(stop)
    assert told.value.name == "AbortError"
    assert teacher.learn(views=False)["judged"] == 39


# Photos of each class: a pass through the default network takes a tenth of a second in the browser.
EACH = 12


@pytest.mark.slow
def test_real_bears_are_learnt_as_in_python(
    browser: Browser, published: Published, bear_photos: Path, tmp_path: Path
) -> None:
    pictures = {
        folder.name: [kept_picture(load_picture(path)) for path in sorted(folder.iterdir())[:EACH]]
        for folder in sorted(bear_photos.iterdir())
        if folder.is_dir()
    }
    site = make_site(published.folder, Predictor.load(published.store), tmp_path / "site")
    page = browser.new_page()
    with serving_site(site) as server:
        teacher = TeacherPage(page, server)
        teacher.measure(pictures)
        python = learn_in_python(published.folder, pictures, shifts=SHIFTS)
        compare_features(teacher, python)
        compare(teacher.learn(), python)
        page.close()
