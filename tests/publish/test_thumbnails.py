"""Thumbnails of training pictures: which, whose, and the file they are in."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spotter.bundle.format import THUMBNAILS
from spotter.bundle.reading import read_bundle
from spotter.bundle.thumbnails import Thumbnail, decode_thumbnails
from spotter.data.dataset import Record
from spotter.errors import BrokenModel
from spotter.inference.predictor import Predictor
from spotter.publish.thumbnails import MOST, SIDE, choose_thumbnails, encode_thumbnails, write_thumbnails
from tests.conftest import Revision
from tests.helpers.drawing import draw, encode

OPEN = Record("disc", "openverse", "1", "disc", 0, "kept", license_id="CC-BY-4.0", creator="Ann <b>", file="a.jpg")
CLOSED = replace(OPEN, license_id="unknown")
OWN = replace(OPEN, backend="folder", license_id="unknown", creator=None)


def directions(count: int, width: int = 8) -> np.ndarray:
    rows = np.random.default_rng(3).normal(size=(count, width))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_only_what_may_be_published_is_chosen() -> None:
    rows = directions(4)
    assert choose_thumbnails([CLOSED, OPEN, replace(OPEN, license_id="CC-BY-NC-4.0"), OWN], rows, rows) == {1: 1, 3: 3}
    assert choose_thumbnails([CLOSED], rows[:1], rows[:1]) == {}


def test_of_too_many_the_classes_get_the_same_number() -> None:
    records = [OPEN] * 90 + [replace(OPEN, label="cross")] * 10
    chosen = choose_thumbnails(records, directions(100), directions(100), most=20)
    assert [sum(records[index].label == label for index in chosen.values()) for label in ("disc", "cross")] == [10, 10]
    assert all(row == index for row, index in chosen.items())


def test_for_a_thinned_reference_a_picture_stands_for_the_row_it_is_nearest_to() -> None:
    rows = directions(30)
    records = [CLOSED if index % 3 else OPEN for index in range(30)]
    reference = rows[[4, 9, 20, 27]]
    chosen = choose_thumbnails(records, rows, reference)
    assert chosen.keys() == {0, 1, 2, 3}
    assert (chosen[1], chosen[3]) == (9, 27)
    shown = list(range(0, 30, 3))
    assert chosen[0] == shown[int((rows[shown] @ reference[0]).argmax())]


def test_a_picture_that_was_made_small_before_is_not_read_again(tmp_path: Path) -> None:
    records = [replace(OPEN, sha256="1"), replace(OPEN, sha256="2", file="b.jpg")]
    for record in records:
        (tmp_path / str(record.file)).write_bytes(encode(draw("disc", int(str(record.sha256)), (700, 300))))
    write_thumbnails(tmp_path / "first", {5: 0}, records, tmp_path)
    (tmp_path / "a.jpg").unlink()
    write_thumbnails(tmp_path / "second", {3: 1, 5: 0}, records, tmp_path)
    first, second = (decode_thumbnails((tmp_path / name).read_bytes()) for name in ("first", "second"))
    assert second.keys() == {3, 5}
    assert first[5] == second[5] != second[3]
    # What is gone, and was never made small, is not shown.
    (tmp_path / "b.jpg").unlink()
    write_thumbnails(tmp_path / "third", {3: 0}, [replace(records[1], sha256="3")], tmp_path)
    assert not (tmp_path / "third").exists()


def test_the_file_holds_what_was_chosen(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(encode(draw("disc", 1, (700, 300))))
    write_thumbnails(tmp_path / "t", {5: 0}, [OPEN], tmp_path)
    found = decode_thumbnails((tmp_path / "t").read_bytes())
    assert found.keys() == {5}
    assert replace(found[5], jpeg=b"") == Thumbnail(b"", "disc", "Ann <b>", "CC-BY-4.0")
    with Image.open(io.BytesIO(found[5].jpeg)) as picture:
        assert (picture.format, max(picture.size)) == ("JPEG", SIDE)
    write_thumbnails(tmp_path / "none", {}, [OPEN], tmp_path)
    assert not (tmp_path / "none").exists()


def test_the_file_stays_small() -> None:
    noise = Image.effect_noise((SIDE, SIDE), 60).convert("RGB")
    assert MOST * len(encode(noise, quality=72)) < 7_000_000


@pytest.mark.parametrize("broken", [b"", b"\x10" + bytes(20), encode_thumbnails({1: Thumbnail(b"x", "a")})[:-4]])
def test_a_broken_file_is_told(broken: bytes) -> None:
    with pytest.raises(BrokenModel, match=r"thumbnails\.safetensors"):
        decode_thumbnails(broken)


def test_a_published_model_knows_the_pictures_it_learnt_from(prebuilt: Revision) -> None:
    predictor = Predictor.load(prebuilt.store)
    picture = prebuilt.pictures / "cross" / "003.jpg"
    near = predictor.nearest(picture, 5)
    assert len(near) == 5
    assert near[0].cosine == pytest.approx(1, abs=0.01)
    assert [one.cosine for one in near] == sorted((one.cosine for one in near), reverse=True)
    best = near[0].thumbnail
    assert best
    assert (best.label, best.creator, best.license_id) == ("cross", "", "")
    assert len(predictor.nearest(picture, 10_000)) == len(read_bundle(prebuilt.folder).reference)


def test_a_revision_from_before_there_were_any_still_answers(prebuilt: Revision, tmp_path: Path) -> None:
    for file in prebuilt.folder.iterdir():
        if file.name not in {THUMBNAILS, "metrics.json"}:
            (tmp_path / file.name).write_bytes(file.read_bytes())
    old = Predictor(read_bundle(tmp_path))
    assert (old.thumbnails, old.metrics) == ({}, {})
    assert old.nearest(prebuilt.pictures / "disc" / "001.jpg", 1)[0].thumbnail is None


def test_an_altered_file_is_refused(prebuilt: Revision, tmp_path: Path) -> None:
    for file in prebuilt.folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    data = bytearray((tmp_path / THUMBNAILS).read_bytes())
    data[-1] ^= 1
    (tmp_path / THUMBNAILS).write_bytes(data)
    with pytest.raises(BrokenModel, match=r"thumbnails\.safetensors is damaged"):
        read_bundle(tmp_path)
