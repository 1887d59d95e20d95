"""The site of a revision: which files it has, what `site.json` says of them, and where it may be written."""

import gzip
import json
import os
import shutil
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save

from spotter import __version__
from spotter.bundle.format import hash_of
from spotter.bundle.reading import read_bundle
from spotter.errors import BrokenModel, SiteNotBuilt, SiteUnwritable
from spotter.inference.predictor import Predictor
from spotter.serve.page.translations import LANGUAGES, texts
from spotter.train.thinning import STEP
from spotter.web.packing import (
    STEPS,
    describe_unpacked,
    merge_places,
    merge_steps,
    pack,
    sort_by_place,
    sort_steps,
    unpack,
)
from spotter.web.self_test import SELF_TEST, choose_picture
from spotter.web.site import built_files, check_place, model_folder, read_site, site_files, with_parity, write_site
from tests.conftest import Revision
from tests.helpers.built import BUILT
from tests.helpers.bundles import advising


@pytest.fixture(scope="module")
def files(prebuilt: Revision, predictor: Predictor) -> dict[str, bytes]:
    return site_files(prebuilt.folder, predictor, BUILT)


def test_the_model_is_there_as_it_was_published(files: dict[str, bytes], prebuilt: Revision) -> None:
    names = {name.removeprefix("model/") for name in files if name.startswith("model/")}
    plain = {"model.json", "metrics.json", "thumbnails.safetensors", "README.md"}
    plain |= {f"example-{number}.jpg" for number in (1, 2, 3)}
    assert names == {"model.onnx.gz", "reference.safetensors.gz"} | plain
    for name in plain:
        assert files[f"model/{name}"] == (prebuilt.folder / name).read_bytes()
    told = json.loads(files["site.json"])["files"]
    for name in ("model.onnx", "reference.safetensors"):
        packed = f"model/{name}.gz"
        assert unpack(files[packed], told[packed]) == (prebuilt.folder / name).read_bytes()


@pytest.mark.parametrize("length", [0, 1, 2, 3, 4, 5, 6, 7, 4001, 4002, 4003])
def test_packing_by_place_loses_nothing(length: int) -> None:
    content = np.random.default_rng(length).bytes(length)
    assert merge_places(sort_by_place(content)) == content
    packed, told = pack(content, "model.onnx")
    assert told == {"by_place": True, **describe_unpacked(gzip.decompress(packed))}
    assert unpack(packed, told) == content
    assert pack(content, "model-int8.onnx") == (gzip.compress(content, 9, mtime=0), describe_unpacked(content))


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (7, 2)], ids=str)
def test_packing_by_steps_loses_nothing(shape: tuple[int, int]) -> None:
    whole = np.random.default_rng(0).integers(-(2**15), 2**15, shape)
    content = save({"embeddings": (whole / STEPS).astype(np.float32)}, {"made": "here"})
    packed, told = pack(content, "reference.safetensors")
    assert told == {"steps": 1 / STEP, **describe_unpacked(gzip.decompress(packed))}
    assert STEPS == 1 / STEP
    assert unpack(packed, told) == content
    assert pack(content, "reference.safetensors")[0] == packed
    for damaged in (gzip.decompress(packed)[:-2], b"", b"\x00" * 8):
        with pytest.raises(ValueError, match=r"."):
            merge_steps(damaged, STEPS)


@pytest.mark.parametrize(
    "values",
    [[[0.3]], [[4.0]], [[-0.0]], [[np.nan]], [[np.inf]], [[0.5 / STEPS]], [0.5], np.empty((0, 3))],
    ids=str,
)
def test_what_is_no_matrix_of_steps_is_sorted_by_place(values: Any) -> None:
    content = save({"embeddings": np.array(values, np.float32)})
    assert sort_steps(content) is None
    packed, told = pack(content, "reference.safetensors")
    assert told["by_place"]
    assert "steps" not in told
    assert unpack(packed, told) == content


@pytest.mark.parametrize(
    "tensors",
    [{}, {"a": np.zeros((2, 2), np.float32), "b": np.zeros((2, 2), np.float32)}, {"a": np.zeros((2, 2), np.float64)}],
    ids=["none", "two", "wide"],
)
def test_other_tensors_are_no_steps(tensors: dict[str, np.ndarray]) -> None:
    assert sort_steps(save(tensors)) is None
    assert sort_steps(b"no tensors") is None


def test_examples_are_shown_in_small(files: dict[str, bytes]) -> None:
    for number in (1, 2, 3):
        small = files[f"examples/example-{number}.jpg"]
        with Image.open(BytesIO(small)) as picture:
            assert picture.size == (184, 184)
        assert len(small) < 20_000


def test_site_json_says_what_every_file_is(files: dict[str, bytes], prebuilt: Revision, predictor: Predictor) -> None:
    site = json.loads(files["site.json"])
    assert (site["format"], site["spotter"], site["network"]) == (2, __version__, "model.onnx")
    assert (site["revision"], site["contents"]) == (prebuilt.revision, predictor.contents)
    assert site["languages"] == LANGUAGES
    assert site["files"].keys() == files.keys() - {"site.json", "sw.js"}
    for name, told in site["files"].items():
        assert (told["bytes"], told["sha256"]) == (len(files[name]), hash_of(files[name])), name
        unpacked = gzip.decompress(files[name]) if name.endswith(".gz") else None
        assert told.get("unpacked") == (None if unpacked is None else len(unpacked))
        assert told.get("unpacked_sha256") == (None if unpacked is None else hash_of(unpacked))
        how = {field: told[field] for field in ("by_place", "steps") if field in told}
        # The embeddings of this revision are older than their rounding.
        numbers = ("model/model.onnx.gz", "model/reference.safetensors.gz")
        assert how == ({"by_place": True} if name in numbers else {})
    assert read_site(files["site.json"]) == site
    assert "parity" not in site
    assert json.loads(with_parity(files, {"pictures": 72})["site.json"])["parity"] == {"pictures": 72}


def test_the_picture_of_the_self_test_has_the_answer_of_python(files: dict[str, bytes], predictor: Predictor) -> None:
    told = json.loads(files["site.json"])["self_test"]
    assert told["file"] == SELF_TEST
    answer = predictor.predict(files[SELF_TEST])
    assert told["probabilities"] == [answer.probabilities[label] for label in predictor.labels]
    # One that is sure would stay sure whatever the decoder did.
    assert max(told["probabilities"]) < 0.99
    with Image.open(BytesIO(files[SELF_TEST])) as picture:
        assert (picture.format, picture.getexif()[0x0112]) == ("JPEG", 6)


def test_a_prior_of_the_model_is_none_of_the_self_test(
    files: dict[str, bytes], prebuilt: Revision, predictor: Predictor, tmp_path: Path
) -> None:
    shares = {"shares": [0.3, 0.3, 0.4], "prior": [0.9, 0.1, 0.0]}
    weighing = Predictor(read_bundle(advising(prebuilt.folder, tmp_path / "copy", **shares)), "r", "c")
    assert choose_picture(weighing) == choose_picture(predictor)


def test_every_language_has_its_texts_and_figures(files: dict[str, bytes], predictor: Predictor) -> None:
    for language, name in LANGUAGES.items():
        told = json.loads(files[f"languages/{language}.json"])
        assert told["name"] == name
        assert told["texts"] == texts(language)
        assert str(predictor.card.made["pictures"]) in told["about_html"]
        assert "%" in told["error"]
    german = json.loads(files["languages/de.json"])
    assert german["about_html"] != json.loads(files["languages/en.json"])["about_html"]


def test_the_manifest_names_the_icons_that_are_there(files: dict[str, bytes], predictor: Predictor) -> None:
    manifest = json.loads(files["manifest.webmanifest"])
    assert manifest["name"] == predictor.card.title
    assert [(icon["src"], icon["sizes"]) for icon in manifest["icons"]] == [
        ("icon-192.png", "192x192"),
        ("icon.svg", "any"),
    ]
    assert (manifest["start_url"], manifest["scope"]) == ("./", "./")


def test_the_same_revision_gives_the_same_bytes(
    files: dict[str, bytes], prebuilt: Revision, predictor: Predictor
) -> None:
    assert site_files(prebuilt.folder, predictor, BUILT) == files


def test_a_hostile_title_stays_text(prebuilt: Revision, tmp_path: Path) -> None:
    title = '</title><script>alert("x")</script>\ud800'
    store = tmp_path / "store"
    advising(prebuilt.folder, store / "revisions" / "r", title=title)
    (store / "main").write_text("r")
    predictor = Predictor(read_bundle(store / "revisions" / "r"), "r", "c")
    files = site_files(store / "revisions" / "r", predictor, BUILT)
    assert b"<script>alert" not in files["index.html"]
    assert all(content.decode() for name, content in files.items() if name.endswith((".html", ".webmanifest")))
    assert read_site(files["site.json"])


def test_no_inline_script_or_style_and_nothing_from_elsewhere(files: dict[str, bytes]) -> None:
    page = files["index.html"].decode()
    assert "<style" not in page
    assert " style=" not in page
    assert all("src=" in tag for tag in page.split("<script")[1:])
    assert "http:" not in page
    assert "https:" not in page
    assert "Content-Security-Policy" in page


def test_a_file_that_was_changed_is_refused(prebuilt: Revision, predictor: Predictor, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(prebuilt.folder, tmp_path / "copy"))
    (folder / "README.md").write_text("other")
    with pytest.raises(BrokenModel, match=r"README\.md is damaged"):
        site_files(folder, predictor, BUILT)


def test_half_a_build_is_none(tmp_path: Path) -> None:
    for name in list(BUILT)[:2]:
        (tmp_path / name).write_bytes(BUILT[name])
    with pytest.raises(SiteNotBuilt, match=r"install Node\.js .*scripts/build_web"):
        built_files(tmp_path)


def test_files_that_an_older_version_pulled_do_without_a_card(
    prebuilt: Revision, predictor: Predictor, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(prebuilt.folder, tmp_path / "copy"))
    (folder / "README.md").unlink()
    assert "model/README.md" not in site_files(folder, predictor, BUILT)
    assert model_folder(str(prebuilt.store), predictor) == prebuilt.folder


# Writing


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_site_is_written_and_replaces_an_older_one(files: dict[str, bytes], tmp_path: Path) -> None:
    to = tmp_path / "deep" / "site"
    write_site(to, files)
    assert tree(to) == files
    (to / "stale.js").write_bytes(b"")
    write_site(to, files)
    assert tree(to) == files
    assert [path.name for path in to.parent.iterdir()] == ["site"]


def test_an_empty_folder_is_taken(files: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    write_site(tmp_path / "site", files)
    assert tree(tmp_path / "site") == files


@pytest.mark.parametrize(
    "there",
    [
        {"notes.txt": b"mine"},
        {"site.json": b"{}"},
        {"site.json": b"[" * 100_000},
        {"site.json": b'{"files": {"a": 1}, "spotter": "1"}', "index.html": b"mine"},
    ],
)
def test_what_somebody_else_wrote_is_left_alone(
    there: dict[str, bytes], files: dict[str, bytes], tmp_path: Path
) -> None:
    for name, content in there.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(SiteUnwritable, match="holds something else"):
        write_site(tmp_path, files)
    assert tree(tmp_path) == there


def test_a_file_in_its_place_is_left_alone(files: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "site").write_bytes(b"mine")
    with pytest.raises(SiteUnwritable):
        check_place(tmp_path / "site")


def test_a_full_disk_leaves_the_older_site(files: dict[str, bytes], small_disk: Path) -> None:
    to = small_disk / "site"
    few = {
        name: content
        for name, content in files.items()
        if len(content) < 4000 and not name.startswith(("model", "teach"))
    }
    few["site.json"] = json.dumps({"spotter": "1", "files": {"spotter.js": {}}}).encode()
    write_site(to, few)
    with pytest.raises(SiteUnwritable, match="cannot be written"):
        write_site(to, {**files, "large": os.urandom(300_000)})
    assert tree(to) == few
    assert [path.name for path in small_disk.iterdir()] == ["site"]
