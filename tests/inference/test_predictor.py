import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spotter import Predictor
from spotter.bundle.format import REFERENCE
from spotter.bundle.reading import read_bundle
from spotter.errors import BadPicture, BrokenModel, NoExplanation, RevisionMissing
from spotter.images import load_picture, to_square
from spotter.inference.familiarity import familiarity
from spotter.publish.writing import write_model_json, write_reference
from tests.conftest import ROOT, Revision
from tests.helpers.drawing import draw, encode, turned


def test_it_answers_for_paths_bytes_and_pictures(predictor: Predictor, prebuilt: Revision) -> None:
    path = sorted((prebuilt.pictures / "cross").iterdir())[0]
    answers = [predictor.predict(source) for source in (path, str(path), path.read_bytes(), Image.open(path))]
    assert all(answer == answers[0] for answer in answers)
    assert answers[0].label == "cross"
    assert answers[0].familiar
    assert 0 <= answers[0].familiarity <= 1
    assert set(answers[0].probabilities) == set(predictor.labels) == {"disc", "cross", "stripes"}
    assert sum(answers[0].probabilities.values()) == pytest.approx(1, abs=1e-5)


def test_many_are_answered_like_one_by_one(predictor: Predictor, prebuilt: Revision) -> None:
    paths = sorted(prebuilt.pictures.glob("*/*"))[::2]
    many = predictor.predict_many(paths)
    # To the last bit, though one picture alone gets all cores.
    assert many == [predictor.predict(path) for path in paths]
    assert predictor.predict_many([]) == []
    with pytest.raises(BadPicture):
        predictor.predict_many([paths[0], b"hello", *paths])


def test_many_are_read_only_a_few_ahead(predictor: Predictor) -> None:
    read, content = [], encode(draw("disc", 70))

    def sources() -> Iterator[bytes]:
        for number in range(100):
            read.append(number)
            yield b"hello" if number == 20 else content

    with pytest.raises(BadPicture):
        predictor.predict_many(sources())
    assert len(read) < 40


def test_the_evidence_of_the_places_adds_up_to_the_answer(predictor: Predictor, prebuilt: Revision) -> None:
    squares = np.stack(
        [to_square(load_picture(p), predictor.card.size) for p in sorted(prebuilt.pictures.glob("*/*"))[::6]]
    )
    probabilities, places = predictor._session.run(["probabilities", "activation"], {"pixels": squares})
    # The mean over the places and the bias, the same for every picture, are the logits.
    centred = np.log(probabilities) - np.log(probabilities).mean(axis=1, keepdims=True)
    evidence = places.mean(axis=(2, 3)) - places.mean(axis=(1, 2, 3))[:, None]
    bias = centred - evidence
    assert len(squares) > 5
    assert np.abs(bias - bias[0]).max() < 1e-3


def test_it_shows_why_at_the_pictures_own_shape(predictor: Predictor) -> None:
    wide = draw("disc", 3, (600, 300))
    why = predictor.explain(wide, "disc")
    assert why.size == wide.size
    assert predictor.explain(wide.resize((3000, 1500)), label="cross").size == (768, 384)
    assert np.abs(np.asarray(why).astype(int) - np.asarray(predictor.explain(wide, "stripes"))).max() > 20
    with pytest.raises(NoExplanation, match="There is no label 'square'; there are: disc, cross, stripes"):
        predictor.explain(wide, "square")


def test_a_picture_at_the_threshold_is_familiar(prebuilt: Revision) -> None:
    predictor, content = Predictor.load(prebuilt.store), encode(draw("disc", 70))
    score = predictor.predict(content).familiarity
    for threshold, familiar in ((score, True), (np.nextafter(np.float32(score), np.float32(1)), False)):
        predictor.card = replace(predictor.card, threshold=float(threshold))
        assert predictor.predict(content).familiar is familiar


def test_threads_may_share_it(predictor: Predictor) -> None:
    content = encode(draw("disc", 70))
    alone = predictor.predict(content)
    with ThreadPoolExecutor(8) as pool:
        assert all(answer == alone for answer in pool.map(predictor.predict, [content] * 24))


def test_orientation_makes_no_difference(predictor: Predictor) -> None:
    answers = [predictor.predict(turned(draw("cross", 71), orientation)) for orientation in range(1, 9)]
    assert all(answer == answers[0] for answer in answers)


def test_what_is_no_picture_is_refused(predictor: Predictor) -> None:
    with pytest.raises(BadPicture, match="not a picture"):
        predictor.predict(b"%PDF-1.4 hello")


def test_revisions(prebuilt: Revision) -> None:
    assert Predictor.load(prebuilt.store, revision=prebuilt.revision).revision == prebuilt.revision
    assert Predictor.load(str(prebuilt.store), revision=prebuilt.revision[:8]).revision == prebuilt.revision
    with pytest.raises(RevisionMissing, match="no revision"):
        Predictor.load(prebuilt.store, revision="0" * 40)


def test_familiarity_is_the_mean_cosine_to_the_nearest() -> None:
    reference = np.eye(4, dtype=np.float32)
    picture = np.array([[0.6, 0.8, 0, 0], [-1, 0, 0, 0]], dtype=np.float32)
    assert familiarity(picture, reference, 1) == pytest.approx([0.8, 0])
    assert familiarity(picture, reference, 2) == pytest.approx([0.7, 0])
    assert familiarity(picture, reference, 9)[0] == pytest.approx(0.35)


def rewrite(folder: Path, **changes: object) -> None:
    """Change fields of model.json; as only the other files are hashed there, it stays consistent."""
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("name", ["model.onnx", "reference.safetensors", "model.json"])
@pytest.mark.parametrize("damage", ["truncated", "missing", "altered", "empty"])
def test_damaged_files_are_told(name: str, damage: str, prebuilt: Revision, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(prebuilt.folder, tmp_path / "bundle"))
    content = (folder / name).read_bytes()
    if damage == "missing":
        (folder / name).unlink()
    else:
        half = len(content) // 2
        changed = {
            "truncated": content[:half],
            "altered": content[:half] + b"\xff\xff" + content[half + 2 :],
            "empty": b"",
        }
        (folder / name).write_bytes(changed[damage])
    with pytest.raises(BrokenModel) as caught:
        Predictor(read_bundle(folder))
    assert str(tmp_path) not in str(caught.value)
    assert name in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"format": 99}, "format 99"),
        ({"labels": ["disc", "cross"]}, "does not fit its labels"),
        ({"threshold": float("nan")}, "impossible values"),
        ({"threshold": "high"}, "missing or damaged"),
        ({"labels": None}, "missing or damaged"),
        ({"sha256": {}}, "no hash"),
        ({"examples": {"disc": "../../../etc/passwd"}}, "outside the model"),
    ],
)
def test_a_model_json_that_does_not_fit_is_told(
    changes: dict, expected: str, prebuilt: Revision, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(prebuilt.folder, tmp_path / "bundle"))
    rewrite(folder, **changes)
    with pytest.raises(BrokenModel, match=expected):
        Predictor(read_bundle(folder))


@pytest.mark.slow
def test_serving_loads_neither_torch_nor_fastai(prebuilt: Revision) -> None:
    code = (
        "import sys, app; from spotter import Predictor; "
        f"Predictor.load({str(prebuilt.store)!r}).predict({str(prebuilt.folder / 'example-1.jpg')!r}); "
        "heavy = {'torch', 'fastai', 'timm', 'sklearn', 'scipy', 'matplotlib'} & set(sys.modules); "
        "sys.exit(f'loaded: {heavy}' if heavy else 0)"
    )
    finished = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr


def test_doubts_count_as_the_card_says_and_views_are_no_pictures(prebuilt: Revision, tmp_path: Path) -> None:
    picture = draw("cross", 3)
    plain = Predictor(read_bundle(prebuilt.folder))
    before = plain.predict(picture)
    folder = Path(shutil.copytree(prebuilt.folder, tmp_path / "files"))
    reference = read_bundle(folder).reference
    # A view of the picture itself is in the reference now: it is near to it, and no picture to show.
    assert before.embedding is not None
    write_reference(folder / REFERENCE, np.concatenate([reference, before.embedding[None]]))
    write_model_json(folder, replace(read_bundle(prebuilt.folder).card, certainty=0.5, views=1, neighbours=1))
    changed = Predictor(read_bundle(folder))
    after = changed.predict(picture)
    most = after.probabilities[after.closest]
    assert after.familiarity == pytest.approx(most**0.5, abs=1e-5)
    assert after.familiar == (after.familiarity >= after.threshold)
    assert after.probabilities == before.probabilities
    assert len(changed.nearest(picture, 10_000)) == len(changed.reference) == len(reference)
    assert [one.row for one in changed.nearest(picture, 3)] == [one.row for one in plain.nearest(picture, 3)]
    write_model_json(folder, replace(read_bundle(prebuilt.folder).card, views=len(reference) + 1))
    with pytest.raises(BrokenModel, match="holds no pictures, only views"):
        read_bundle(folder)
