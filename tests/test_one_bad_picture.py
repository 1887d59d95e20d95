"""One picture never ends a run: whatever is wrong with it is its own reason, and the others are as they were."""

import csv
import json
import os
import pickle
import re
import shutil
import zipfile
from pathlib import Path

import httpx
import pytest

from spotter import Predictor
from spotter.config import ServeConfig
from spotter.data.cache import measure_once
from spotter.data.manifest import read_manifest
from spotter.errors import BadPicture, DatasetUnwritable
from spotter.images import FAILED, load_stored, own_reason, read_encoded
from spotter.inference.predictor import Prediction
from spotter.pipeline import read_again
from spotter.scale.answers import AnswerFile
from spotter.scale.classify import ClassifyJob, Model, classify_all
from spotter.scale.listing import list_pictures
from spotter.serve.app import create_app
from spotter.serve.batch import unpack
from spotter.serve.service import ModelInfo
from tests.conftest import Published, Revision, train_and_publish
from tests.helpers import tiny
from tests.helpers.bad_pictures import LATIN, bad_contents, spoil
from tests.helpers.drawing import KINDS
from tests.helpers.pictures import LABELS, RED, encode, plain, predict_by_color, serving


@pytest.mark.parametrize(
    "error",
    [KeyError(), OSError(5, "Input/output error"), RecursionError(), MemoryError(), AssertionError(), OverflowError()],
)
def test_whatever_is_raised_is_the_pictures_own_reason(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(BadPicture) as caught, own_reason():
        raise error
    assert caught.value.reason in {"failed", "too-large"}
    assert caught.value.__cause__ is error
    assert [record for record in caplog.records if "\n" in record.getMessage()] == []
    assert len(caplog.records) == (caught.value.reason == "failed")


def test_what_is_not_about_the_picture_passes() -> None:
    with pytest.raises(DatasetUnwritable), own_reason():
        raise DatasetUnwritable("The disk is full.")
    with pytest.raises(KeyboardInterrupt), own_reason():
        raise KeyboardInterrupt


def test_the_reason_goes_from_one_process_to_another() -> None:
    sent = pickle.loads(pickle.dumps(BadPicture("corrupt", "The picture is damaged.")))  # noqa: S301
    assert (sent.reason, str(sent)) == ("corrupt", "The picture is damaged.")


def test_a_file_that_is_larger_than_any_picture_is_not_read(tmp_path: Path) -> None:
    film = tmp_path / "film.jpg"
    with film.open("wb") as file:
        file.write(b"\xff\xd8\xff")
        file.truncate(10**12)
    with pytest.raises(BadPicture) as caught:
        read_encoded(film)
    assert caught.value.reason == "too-large"


@pytest.mark.slow
def test_bad_pictures_cost_a_training_nothing_but_themselves(
    trained: Published, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = Path(shutil.copytree(trained.pictures, tmp_path / "pictures"))
    bad = [path for seed, kind in enumerate(KINDS) for path in spoil(pictures / kind, seed)]
    good = sorted(pictures.glob("disc/0*.jpg"))[3]
    # A whole picture whose name is in another encoding is as good as any.
    good.rename(good.with_name(f"{LATIN} whole.jpg"))
    run = train_and_publish(pictures, tmp_path / "run", *tiny.OPTIONS)
    assert (run.folder / "metrics.json").read_bytes() == (trained.folder / "metrics.json").read_bytes()
    for name in ("reference.safetensors", "confusion.png", "top_losses.png"):
        assert (run.folder / name).read_bytes() == (trained.folder / name).read_bytes(), name
    dropped = [json.loads(line) for line in (run.folder / "manifest.jsonl").read_bytes().splitlines()]
    dropped = [line for line in dropped if line["decision"] == "dropped"]
    assert len(dropped) == len(bad)
    assert all(line["reason"] for line in dropped)
    assert sum("caf\\udce9" in line["backend_id"] for line in dropped) == len(KINDS)


def test_a_stored_picture_that_is_gone_is_left_out_of_the_next_training(
    trained: Published, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder,) = (path.parent for path in trained.data.rglob("manifest.jsonl"))
    copy = Path(shutil.copytree(folder, tmp_path / "set"))
    kept = [record for record in read_manifest(copy) if record.kept]
    (copy / str(kept[0].file)).unlink()
    (copy / str(kept[20].file)).write_bytes(b"damaged")
    _, dataset = read_again(copy)
    lost = {record.file for record in kept} - {record.file for record in dataset.records}
    assert lost == {kept[0].file, kept[20].file}
    assert "2 stored pictures are missing or damaged" in caplog.text


def test_a_report_shows_grey_where_a_picture_is_gone(tmp_path: Path) -> None:
    assert load_stored(tmp_path / "gone.jpg").getcolors() == [(96 * 96, (225, 225, 225))]

    def measure(index: int) -> list[int]:
        if index == 1:
            raise RuntimeError("unforeseen")
        return [index]

    keys = ["a", "b", "c"]
    assert measure_once(tmp_path / "x.json", keys, measure, [9]) == [[0], [9], [2]]
    # What could not be measured is not remembered.
    assert measure_once(tmp_path / "x.json", keys, lambda index: [7], [9]) == [[0], [7], [2]]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("kind", ["folder", "list", "parquet"])
def test_every_31st_bad_picture_costs_a_list_only_its_own_answer(
    kind: str, suffix: str, prebuilt: Revision, tmp_path: Path
) -> None:
    if "parquet" in {suffix, kind}:
        pyarrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet
    whole = sorted(prebuilt.pictures.glob("*/*"))
    bad = list(bad_contents(7))
    contents = [
        (f"{number:04} {bad[number // 31 * 5][0]}", bad[number // 31 * 5][1])
        if number % 31 == 30
        else (f"{number:04}.jpg", whole[number % len(whole)].read_bytes())
        for number in range(31 * 4)
    ]
    source = tmp_path / "pictures"
    source.mkdir()
    for name, content in contents:
        (source / name).write_bytes(content)
    if kind == "list":
        names = [os.fsencode(f"pictures/{name}") for name, _ in contents if "\n" not in name]
        names += [LATIN.encode("utf-8", "surrogateescape"), b"pictures/none.jpg", b"pictures", b"p" * 5000]
        source = tmp_path / "list.txt"
        source.write_bytes(b"\n".join(names))
    elif kind == "parquet":
        table = pyarrow.table({"bytes": [content for _, content in contents] + [None, b"x"]})
        source = tmp_path / "pictures.parquet"
        parquet.write_table(table, source)
    predictor = Predictor.load(prebuilt.store)
    to = AnswerFile(tmp_path / f"answers.{suffix}", predictor.labels, prebuilt.revision)
    _, model = Model(str(prebuilt.store)).pinned()
    errors = classify_all(ClassifyJob(model, to), list_pictures(source))
    if suffix == "csv":
        rows = list(csv.DictReader(to.path.open(encoding="utf-8", newline="")))
    else:
        rows = parquet.read_table(to.path).to_pylist()
    failed = [row for row in rows if row["error"]]
    assert len(failed) == sum(errors.values()) == len(rows) - sum(number % 31 != 30 for number in range(len(contents)))
    assert not any(row["label"] for row in failed)
    assert [row["label"] for row in rows if not row["error"]] == [
        predictor.predict(content).label for name, content in contents if re.fullmatch(r"\d+\.jpg", name)
    ]


def predict_or_fail(picture: object) -> Prediction:
    prediction = predict_by_color(picture)
    if picture.size == (13, 13):
        raise ZeroDivisionError("in a picture of 13 x 13")
    return prediction


def test_a_batch_over_http_loses_no_other_picture() -> None:
    good, strange = encode(plain(RED)), encode(plain(RED, (13, 13)))
    contents = [good, strange, *(content for _, content in bad_contents(3)), good]
    files = [("files", (f"{number}.png", content)) for number, content in enumerate(contents)]
    app = create_app(predict_or_fail, ModelInfo("Bears?", LABELS, "r-1", 0.5), ServeConfig())
    with serving(app) as url:
        results = httpx.post(f"{url}/api/classify/batch", files=files)
        alone = httpx.post(f"{url}/api/classify", content=strange)
    assert results.status_code == 200
    told = results.json()["results"]
    assert [answer.get("closest", answer.get("label")) for answer in (told[0], told[-1])] == ["grizzly"] * 2
    assert [list(answer) for answer in told[1:-1]] == [["file", "error"]] * (len(contents) - 2)
    assert (alone.status_code, alone.json()) == (500, {"error": FAILED})
    assert told[1] == {"file": "1.png", "error": FAILED}


@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_entry_of_a_zip_is_one_picture_less(packing: int, tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    good = encode(plain(RED))
    with zipfile.ZipFile(path, "w", packing) as archive:
        for number in range(5):
            archive.writestr(f"{number}.png", good + bytes(300))
        places = [entry.header_offset for entry in archive.infolist()]
    whole = path.read_bytes()
    refused = 0
    for offset in range(places[2], places[3], 3):
        # Every place of the entry: its header, its own header of LZMA or bzip2, its body.
        path.write_bytes(whole[:offset] + bytes([whole[offset] ^ 0xFF]) + whole[offset + 1 :])
        items = [plan() for plan in unpack([("x.zip", path)], ServeConfig())]
        assert [item.content for item in items if item.name != "2.png"] == [good + bytes(300)] * 4
        (third,) = (item for item in items if item.name == "2.png")
        assert third.problem or third.content == good + bytes(300)
        refused += third.problem is not None
    assert refused > 10


def test_a_file_that_vanishes_before_it_is_read_is_one_picture_less(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(encode(plain(RED)))
    paths: list[Path | None] = [tmp_path / "a.png", tmp_path / "none.png", None, tmp_path / "b.png"]
    plans = unpack([(str(path), path) for path in paths], ServeConfig())
    (tmp_path / "b.png").unlink()
    assert [bool(plan().problem) for plan in plans] == [False, True, True, True]
