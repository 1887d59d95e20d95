"""What leaves the teaching page: a finished site, which answers as the teacher did, and a lesson."""

import hashlib
import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from spotter.bundle.format import ONNX
from spotter.bundle.reading import read_bundle
from spotter.bundle.thumbnails import decode_thumbnails
from spotter.images import load_picture
from spotter.inference.predictor import Predictor
from spotter.web.packing import unpack
from tests.conftest import Revision
from tests.helpers.drawing import KINDS, draw
from tests.helpers.exported import export_again
from tests.helpers.site import SitePage, change_site, serving_site
from tests.helpers.teaching import TeacherPage, kept_picture

TITLE = "Discs & <others>"
FOUND = {"source": "openverse", "id": "1", "query": "disc", "rank": 0, "at": "2026-01-01T00:00:00Z"}
# The first picture is of unknown licence, the second one open; the others are the owner's own.
MARK = """found => travel.told(() => {
    lesson.pictures[0].origin = found;
    lesson.pictures[1].origin = { ...found, id: "2", license_id: "CC-BY-4.0", creator: "A. Painter" };
})"""
ANSWERS = """() => travel.told(async () => {
    const answers = [];
    for (const { blob } of lesson.pictures) answers.push(await teacher.classify(blob));
    return answers;
})"""


@pytest.fixture(scope="module")
def pictures() -> list[bytes]:
    return [kept_picture(draw(kind, seed)) for kind in KINDS[:2] for seed in range(12)]


@dataclass(frozen=True)
class Taught:
    """What a teacher answers to the pictures, and the two zips that leave it."""

    answers: list[dict[str, Any]]
    site: bytes
    lesson: bytes


@pytest.fixture(scope="module")
def taught(
    page: Page,
    small_site: Path,
    prebuilt: Revision,
    pictures: list[bytes],
    tmp_path_factory: pytest.TempPathFactory,
) -> Taught:
    # The network that is kept for tests was exported some time ago.
    network = export_again((prebuilt.folder / ONNX).read_bytes())
    today = change_site(small_site, tmp_path_factory.mktemp("today") / "site", {ONNX: network})
    with serving_site(today) as server:
        teacher = TeacherPage(page, server)
        teacher.measure({kind: pictures[12 * number :][:12] for number, kind in enumerate(KINDS[:2])})
        teacher.ask(MARK, FOUND)
        teacher.learn()
        site = "options => travel.told(() => teacher.siteZip(lesson, options))"
        lesson = "options => travel.told(() => teacher.lessonZip(lesson, options))"
        return Taught(
            list(teacher.ask(ANSWERS)),
            teacher.ask(site, {"title": TITLE, "showOwn": True}),
            teacher.ask(lesson, {"title": TITLE, "name": "discs"}),
        )


@pytest.fixture(scope="module")
def site(taught: Taught, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("taught")
    zipfile.ZipFile(io.BytesIO(taught.site)).extractall(folder)
    return folder


def test_the_site_answers_as_the_teacher_did(page: Page, site: Path, pictures: list[bytes], taught: Taught) -> None:
    (site / "blank.html").write_text("<!doctype html><title>A page</title>")
    with serving_site(site) as server:
        api = SitePage(page, server.url("spotter.js")).open(server.url("blank.html"))
        card = api.load()
        assert (card["title"], card["labels"]) == (TITLE, list(KINDS[:2]))
        assert api.ask("selfTest")["agrees"]
        for picture, wanted in zip(pictures, taught.answers, strict=True):
            answer = api.ask("classify", picture)
            assert answer["label"] == wanted["label"]
            assert answer["probabilities"] == pytest.approx(wanted["probabilities"], abs=1e-5)
            assert answer["familiarity"] == pytest.approx(wanted["familiarity"], abs=1e-5)
        assert api.ask("explain", pictures[0])["evidence"]


def test_python_reads_its_model_and_answers_the_same(
    site: Path, pictures: list[bytes], taught: Taught, tmp_path: Path
) -> None:
    for path in (site / "model").iterdir():
        content = path.read_bytes()
        packed = path.suffix == ".gz"
        (tmp_path / path.name.removesuffix(".gz")).write_bytes(
            unpack(content, {"by_place": True}) if packed else content
        )
    predictor = Predictor(read_bundle(tmp_path))
    for picture, wanted in zip(pictures, taught.answers, strict=True):
        answer = predictor.predict(load_picture(picture)).record()
        assert answer["label"] == wanted["label"]
        assert answer["probabilities"] == pytest.approx(wanted["probabilities"], abs=1e-4)


def test_what_may_not_be_shown_stays_out(site: Path, pictures: list[bytes]) -> None:
    thumbnails = decode_thumbnails((site / "model" / "thumbnails.safetensors").read_bytes())
    assert len(thumbnails) == len(pictures) - 1
    assert [each.license_id for each in thumbnails.values() if each.creator] == ["CC-BY-4.0"]
    unknown = hashlib.sha256(pictures[0]).hexdigest()
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in site.rglob("*") if path.is_file()]
    assert unknown not in hashes


def test_its_pages_are_about_what_was_taught(site: Path) -> None:
    page = (site / "index.html").read_text()
    assert "<title>Discs &#38; &#60;others&#62;</title>" in page
    told = json.loads((site / "languages" / "de.json").read_text())
    assert "von 24 Bildern" in told["error"]
    assert "disc" in told["about_html"]
    assert json.loads((site / "site.json").read_text())["title"] == TITLE
    assert "A. Painter" in (site / "model" / "README.md").read_text()


def test_the_lesson_holds_the_pictures_and_what_was_learnt(taught: Taught, pictures: list[bytes]) -> None:
    with zipfile.ZipFile(io.BytesIO(taught.lesson)) as file:
        names = {hashlib.sha256(picture).hexdigest(): picture for picture in pictures}
        assert set(file.namelist()) == {"spotter-lesson.json", *(f"pictures/{name}.jpg" for name in names)}
        for name, picture in names.items():
            assert file.read(f"pictures/{name}.jpg") == picture
        told = json.loads(file.read("spotter-lesson.json"))
    assert (told["format"], told["labels"], told["name"]) == (1, list(KINDS[:2]), "discs")
    taught = told["taught"]
    for field in ("fold", "held_out", "plain", "answers"):
        assert taught[field].keys() == names.keys()
    assert all(sum(each) == pytest.approx(1, abs=1e-4) for each in taught["answers"].values())
