"""One answer, everywhere: whoever asks about a picture, in whatever way, is told the same."""

import base64
import csv
import io
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import httpx2
import pytest
from gradio_client import Client, handle_file

from spotter.config import ServeConfig
from spotter.feedback.store import FeedbackFolder
from spotter.images import load_picture
from spotter.inference.prediction import Advice, AnswerRecord
from spotter.inference.predictor import Predictor
from spotter.rollout.review_queue import WaitingFolder
from spotter.scale.answers import AnswerFile
from spotter.scale.classify import ClassifyJob, Model, classify_all
from spotter.scale.listing import list_pictures
from spotter.serve.app import create_app
from spotter.serve.service import ModelInfo
from tests.conftest import Revision
from tests.helpers.drawing import draw
from tests.helpers.pictures import encode, serving

CONTRACT = ["label", "closest", "probabilities", "familiarity", "familiar", "threshold"]


@pytest.fixture(scope="module")
def url(predictor: Predictor) -> Iterator[str]:
    info = ModelInfo("Shapes", predictor.labels, predictor.revision, predictor.threshold)
    with serving(create_app(predictor.predict, info, ServeConfig())) as address:
        yield address


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory, prebuilt: Revision) -> list[Path]:
    """One that is like the training pictures and one that is not."""
    folder = tmp_path_factory.mktemp("two")
    (folder / "known.jpg").write_bytes((prebuilt.folder / "example-2.jpg").read_bytes())
    (folder / "stranger.png").write_bytes(encode(draw("disc", 1).convert("1").resize((900, 60)), "PNG"))
    return [folder / "known.jpg", folder / "stranger.png"]


@pytest.fixture(scope="module")
def expected(predictor: Predictor, pictures: list[Path]) -> list[dict[str, Any]]:
    records = [predictor.predict(path).record() for path in pictures]
    assert [(one["label"] == one["closest"], one["familiar"]) for one in records] == [(True, True), (False, False)]
    assert records[1]["label"] == "not sure"
    assert set(CONTRACT) == set(records[0])
    return records


def record_in(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: answer[name] for name in CONTRACT}


def test_python_and_what_is_kept(
    predictor: Predictor, pictures: list[Path], expected: list[dict[str, Any]], tmp_path: Path
) -> None:
    entries, queue = FeedbackFolder(tmp_path / "feedback"), WaitingFolder(tmp_path / "log", "r")
    for path, record in zip(pictures, expected, strict=True):
        told = predictor.predict(path)
        assert record_in(asdict(told)) == record
        id_ = entries.add(load_picture(path), told, None, "r")
        ticket = queue.add(load_picture(path), told, "a")
        (entry,) = [entry for entry, _ in entries.read() if entry.id == id_]
        assert record_in(asdict(entry)) == record_in(asdict(queue.find(ticket))) == record  # type: ignore[call-overload]


def test_http(url: str, pictures: list[Path], expected: list[dict[str, Any]]) -> None:
    contents = [path.read_bytes() for path in pictures]
    data = [f"data:image/*;base64,{base64.b64encode(content).decode()}" for content in contents]
    one_by_one = [httpx2.post(f"{url}/api/classify", content=content).json() for content in contents]
    in_json = [httpx2.post(f"{url}/api/classify", json={"image": each}).json() for each in data]
    together = httpx2.post(f"{url}/api/classify/batch", json=data).json()["results"]
    for answers in (one_by_one, in_json, together):
        assert [record_in(answer) for answer in answers] == expected
    schema = httpx2.get(f"{url}/openapi.json").json()["components"]["schemas"]["Classified"]
    advice = [column.name for column in fields(Advice)]
    assert list(schema["properties"]) == [*CONTRACT, "revision", "timings_ms", *advice]


def test_gradio(url: str, pictures: list[Path], expected: list[dict[str, Any]], predictor: Predictor) -> None:
    client = Client(url, verbose=False, analytics_enabled=False)
    files = [handle_file(str(path)) for path in pictures]
    assert [record_in(client.predict(file, api_name="/classify")) for file in files] == expected
    plain = [client.predict(file, api_name="/predict") for file in files]
    assert [answer["label"] for answer in plain] == [record["label"] for record in expected]
    assert [answer["confidences"][0]["label"] for answer in plain] == [record["closest"] for record in expected]
    answers, table = client.predict(files, api_name="/classify_batch")
    assert [record_in(answer) for answer in answers["results"]] == expected
    assert records_in_csv(Path(table).read_bytes().decode("utf-8-sig"), predictor.labels) == expected


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_files(
    kind: str, prebuilt: Revision, predictor: Predictor, pictures: list[Path], expected: list[Any], tmp_path: Path
) -> None:
    to = tmp_path / f"answers.{kind}"
    if kind == "parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
    answers = AnswerFile(to, predictor.labels, str(predictor.revision))
    classify_all(ClassifyJob(Model(str(prebuilt.store)), answers), list_pictures(pictures[0].parent))
    if kind == "csv":
        assert records_in_csv(to.read_text(), predictor.labels) == expected
    else:
        assert [record_in(row) for row in parquet.read_table(to).to_pylist()] == expected


def records_in_csv(text: str, labels: tuple[str, ...]) -> list[dict[str, Any]]:
    """The records in a table: its texts as they are, everything else as Python writes it."""
    kinds = {column.name: column.type for column in fields(AnswerRecord)}
    read = {str: str, float: float, bool: {"True": True, "False": False}.__getitem__}
    return [
        {
            name: {label: float(row[label]) for label in labels} if name == "probabilities" else read[kind](row[name])
            for name, kind in kinds.items()
        }
        for row in csv.DictReader(io.StringIO(text))
    ]
