"""The second look: where it looks, when it answers, and that everybody is told the same of it."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import onnx
import pytest
from gradio_client import Client, handle_file
from PIL import Image

from spotter.bundle.format import hash_of
from spotter.bundle.reading import read_bundle
from spotter.bundle.second_look import SecondLook
from spotter.camera.events import make_event
from spotter.camera.frames import Frame
from spotter.config import ServeConfig
from spotter.errors import BrokenModel
from spotter.images import fit_within
from spotter.inference.prediction import Prediction
from spotter.inference.predictor import EXPLAINED_SIDE, Predictor
from spotter.scale.answers import AnswerFile
from spotter.scale.classify import ClassifyJob, Model, classify_all
from spotter.scale.listing import list_pictures
from spotter.serve.app import create_app
from spotter.serve.page import html
from spotter.serve.page.translations import LANGUAGES, translate
from spotter.serve.service import ModelInfo
from spotter.stores import FolderStore
from tests.conftest import Revision
from tests.helpers.bundles import advising
from tests.helpers.drawing import distant, draw
from tests.helpers.pictures import encode, serving

TWICE = {"second_look": {"window": 0.4, "margin": 0.001}, "threshold": 0.99}


@pytest.fixture(scope="module")
def folder(prebuilt: Revision, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return advising(prebuilt.folder, tmp_path_factory.mktemp("twice") / "revision", **TWICE)


@pytest.fixture(scope="module")
def predictor(folder: Path) -> Predictor:
    return Predictor(read_bundle(folder), "r")


@pytest.fixture(scope="module")
def once(prebuilt: Revision, tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    """The same model without a second look."""
    folder = advising(prebuilt.folder, tmp_path_factory.mktemp("once") / "revision", threshold=0.99)
    return Predictor(read_bundle(folder), "r")


def pictures() -> Iterator[Image.Image]:
    yield from (draw(kind, 3) for kind in ("disc", "cross", "stripes"))
    yield from distant()


def pixels_of(answer: Prediction, picture: Image.Image) -> tuple[int, int, int, int]:
    assert answer.looked_at
    left, top, right, bottom = (
        round(share * side) for share, side in zip(answer.looked_at, 2 * picture.size, strict=True)
    )
    return left, top, right, bottom


def evidence(row: int, column: int) -> np.ndarray:
    """Of the first of two labels, all of it at one of 8 x 8 places."""
    activation = np.zeros((2, 8, 8), np.float32)
    activation[0, row, column] = 1
    return activation


@pytest.mark.parametrize(
    ("picture", "resize", "place", "box"),
    [
        # The middle of the place, in steps of 1/64 of what the first look saw, and a window of two fifths around it.
        ((800, 400), "crop", (3, 4), (345, 95, 505, 255)),
        ((800, 400), "crop", (0, 0), (145, 0, 305, 160)),
        # Out of what the first look saw, but never out of the picture.
        ((400, 400), "crop", (7, 7), (240, 240, 400, 400)),
        ((800, 400), "squish", (7, 0), (0, 240, 320, 400)),
        ((100, 400), "pad", (4, 4), (0, 145, 100, 305)),
        # As small as the square itself; smaller.
        ((64, 64), "crop", (4, 4), (24, 24, 49, 49)),
        ((63, 400), "crop", (4, 4), None),
    ],
)
def test_where_it_looks(
    picture: tuple[int, int], resize: str, place: tuple[int, int], box: tuple[int, int, int, int] | None
) -> None:
    assert SecondLook(0.4, 0.0).find(evidence(*place), 0, picture, 64, resize) == box


def test_nothing_that_speaks_for_the_label_is_nowhere() -> None:
    # All places say the same of both labels; or the other one is meant.
    assert SecondLook(0.4, 0.0).find(np.ones((2, 8, 8), np.float32), 0, (400, 400), 64, "crop") is None
    others = -evidence(3, 3)
    assert SecondLook(0.4, 0.0).find(others, 0, (400, 400), 64, "crop") is None


def test_a_window_is_always_inside_of_the_picture() -> None:
    rng = np.random.default_rng(3)
    for resize in ("crop", "pad", "squish"):
        for size in (1, 64, 224):
            for _ in range(60):
                width, height = (int(side) for side in rng.integers(size, 1500, 2))
                activation = rng.normal(size=(3, int(rng.integers(1, 9)), int(rng.integers(1, 9)))).astype(np.float32)
                activation[1, 0, 0] = 9
                window = float(rng.uniform(0.05, 0.95))
                box = SecondLook(window, 0.0).find(activation, 1, (width, height), size, resize)
                assert box
                assert 0 <= box[0] < box[2] <= width
                assert 0 <= box[1] < box[3] <= height


def test_it_answers_only_where_the_first_look_does_not(predictor: Predictor, once: Predictor) -> None:
    answered = unsure = 0
    for picture in pictures():
        first, said = once.predict(picture), predictor.predict(picture)
        assert said.familiar == (said.familiarity >= said.threshold)
        if said.looked_at is None:
            # To the last bit.
            assert said.record() == first.record()
            unsure += not first.familiar
            continue
        answered += 1
        assert not first.familiar
        assert said.familiar
        part = once.predict(picture.crop(pixels_of(said, picture)))
        assert said.probabilities == part.probabilities
        assert said.familiarity == part.familiarity - 0.001
        assert said.embedding is not None
        assert np.array_equal(said.embedding, part.embedding)
        # The nearest are those of the part, and the rest of the picture is dim.
        assert predictor.nearest(picture, 3) == once.nearest(picture.crop(pixels_of(said, picture)), 3)
        drawn, shown = predictor.explain(picture), fit_within(picture, EXPLAINED_SIDE)
        dim = np.asarray(drawn, float).mean(axis=2) < 0.7 * np.asarray(shown, float).mean(axis=2)
        left, top, right, bottom = pixels_of(said, shown)
        inside = np.zeros(dim.shape, bool)
        inside[top:bottom, left:right] = True
        assert dim[~inside].all()
        # Along its edge there is the frame.
        assert not dim[top + 4 : bottom - 4, left + 4 : right - 4].any()
        edge = np.asarray(drawn)[top:bottom, left:right]
        assert (edge[:2] == 0).all()
        assert (edge[2:4, 2:-2] == 255).all()
    assert answered
    assert unsure


def test_all_are_told_the_same(
    predictor: Predictor, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    paths = []
    for number, picture in enumerate(pictures()):
        paths.append(tmp_path / "pictures" / f"{number}.png")
        paths[-1].parent.mkdir(exist_ok=True)
        paths[-1].write_bytes(encode(picture, "PNG"))
    wanted = [answer.looked_at for answer in predictor.predict_many(paths)]
    assert any(wanted)
    assert None in wanted
    info = ModelInfo("Shapes", predictor.labels, "r", predictor.threshold, advice=predictor.card.advice)
    with serving(create_app(predictor.predict, info, ServeConfig())) as url:
        found = [httpx2.post(f"{url}/api/classify", content=path.read_bytes()).json() for path in paths]
        assert "looked_at" in httpx2.get(f"{url}/api").text
        client = Client(url, verbose=False, analytics_enabled=False)
        many, saved = client.predict([handle_file(str(path)) for path in paths], api_name="/classify_batch")
    for answers in (found, many["results"]):
        assert [answer.get("looked_at") for answer in answers] == wanted
        assert all(answer["familiar"] == (answer["familiarity"] >= answer["threshold"]) for answer in answers)
    assert read_boxes(Path(saved).read_bytes().decode("utf-8-sig")) == wanted

    revision = FolderStore(tmp_path / "store").push(folder)
    for name in ("answers.csv", "answers.parquet"):
        if name.endswith("parquet"):
            parquet = pytest.importorskip("pyarrow.parquet")
        answers = AnswerFile(tmp_path / name, predictor.labels, revision, predictor.card.advice)
        classify_all(ClassifyJob(Model(str(tmp_path / "store")), answers), list_pictures(tmp_path / "pictures"))
    assert read_boxes((tmp_path / "answers.csv").read_text()) == wanted
    assert [row["looked_at"] for row in parquet.read_table(tmp_path / "answers.parquet").to_pylist()] == wanted


def read_boxes(text: str) -> list[list[float] | None]:
    rows = csv.DictReader(io.StringIO(text))
    return [[float(each) for each in row["looked_at"].split("|")] if row["looked_at"] else None for row in rows]


def test_an_event_tells_it_of_its_best_picture(predictor: Predictor) -> None:
    said = next(answer for answer in predictor.predict_many(pictures()) if answer.looked_at)
    event = make_event([Frame("one.jpg", "camera", 0.0, said)], predictor)
    assert event.answer
    assert event.answer.looked_at == said.looked_at


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_says_it(language: str) -> None:
    plain = Prediction("disc", {"disc": 0.9, "cross": 0.1}, 0.9, True, 0.5)
    text = translate("looked_closer", language)
    assert text not in html.answer(plain, language)
    assert text in html.answer(replace(plain, looked_at=[0.1, 0.2, 0.5, 0.6]), language)


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ({"window": 0.0, "margin": 0.1}, "impossible"),
        ({"window": 1.0, "margin": 0.1}, "impossible"),
        ({"window": 0.4, "margin": -0.1}, "impossible"),
        ({"window": 0.4, "margin": float("nan")}, "impossible"),
        ({"window": 0.4}, "margin is missing"),
        ({"window": "0.4", "margin": 0.1}, "not a number"),
        ({"window": 0.4, "margin": 0.1, "more": 1}, "not known"),
        ([0.4, 0.1], "not a table"),
    ],
)
def test_what_is_no_second_look_is_refused(field: Any, words: str, prebuilt: Revision, tmp_path: Path) -> None:
    with pytest.raises(BrokenModel, match=words):
        read_bundle(advising(prebuilt.folder, tmp_path / "damaged", second_look=field))


def test_a_network_that_cannot_tell_where_is_refused(prebuilt: Revision, tmp_path: Path) -> None:
    folder = advising(prebuilt.folder, tmp_path / "blind", **TWICE)
    network = onnx.load(str(folder / "model.onnx"))
    outputs = [output for output in network.graph.output if output.name != "activation"]
    del network.graph.output[:]
    network.graph.output.extend(outputs)
    onnx.save(network, str(folder / "model.onnx"))
    model = json.loads((folder / "model.json").read_text())
    model["sha256"]["model.onnx"] = hash_of((folder / "model.onnx").read_bytes())
    (folder / "model.json").write_text(json.dumps(model))
    with pytest.raises(BrokenModel, match="looks twice"):
        Predictor(read_bundle(folder))
