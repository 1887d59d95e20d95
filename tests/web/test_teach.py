"""The page teach/ of a site: its files, and the networks on which there is none."""

import io
import json
import re
from pathlib import Path

import pytest
from PIL import Image

from spotter.bundle.format import INT8_ONNX, ONNX
from spotter.bundle.reading import read_bundle
from spotter.inference.predictor import Predictor
from spotter.web.site import site_files
from spotter.web.teach import DRAWN_SIDE, PAGE, why_not
from tests.conftest import Revision
from tests.helpers.built import BUILT
from tests.helpers.bundles import advising
from tests.helpers.exported import export_again


@pytest.fixture(scope="module")
def files(prebuilt: Revision) -> dict[str, bytes]:
    return site_files(prebuilt.folder, Predictor.load(prebuilt.store), BUILT)


def test_a_site_has_a_page_to_teach_on(files: dict[str, bytes]) -> None:
    site = json.loads(files["site.json"])
    assert site["teach"] is True
    assert "teach_reason" not in site
    assert PAGE in site["files"]
    assert b'href="./teach/"' in files["index.html"]


def test_only_this_page_may_ask_others(files: dict[str, bytes]) -> None:
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', files[PAGE].decode())
    assert policy
    hosts = set(re.findall(r"https://([\w.]+)", policy[1]))
    assert hosts == {"api.openverse.org", "commons.wikimedia.org", "upload.wikimedia.org", "thumb.wikimedia.org"}
    assert "connect-src 'self' https:" in policy[1]
    assert b"https:" not in files["index.html"]


def test_the_page_has_no_inline_script_or_style(files: dict[str, bytes]) -> None:
    page = files[PAGE].decode()
    assert "<style" not in page
    assert " style=" not in page
    assert all("src=" in tag for tag in page.split("<script")[1:])


def test_every_file_that_the_page_names_is_built(files: dict[str, bytes]) -> None:
    for name in re.findall(r'(?:src|href)="\.\./([\w./-]+\.(?:js|css))"', files[PAGE].decode()):
        assert name in BUILT, name


def test_there_are_drawn_bears_to_try_it_with(files: dict[str, bytes]) -> None:
    drawn = [name for name in files if name.startswith("teach/drawn/")]
    assert len(drawn) == 48
    assert {name.split("/")[-1].rpartition("-")[0] for name in drawn} == {"grizzly", "teddy"}
    for name in drawn:
        with Image.open(io.BytesIO(files[name])) as picture:
            assert (picture.format, max(picture.size)) == ("WEBP", DRAWN_SIDE)


def test_no_page_where_training_could_not_repeat_it(prebuilt: Revision, tmp_path: Path) -> None:
    made = {"pictures": 3, "command": "", "fine_tune_epochs": 3}
    folder = advising(prebuilt.folder, tmp_path / "r", made=made)
    found = site_files(folder, Predictor(read_bundle(folder), "r", "c"), BUILT)
    site = json.loads(found["site.json"])
    assert (site["teach"], site["teach_reason"]) == (False, "its network was fine-tuned for its own classes")
    assert not any(name.startswith("teach/") for name in found)
    assert b"teach/" not in found["index.html"]


def test_why_there_is_no_page() -> None:
    assert "int8" in why_not(INT8_ONNX, {}, b"head_weight")
    assert "somebody else's" in why_not(ONNX, {"converted": True}, b"head_weight")
    assert "does not end as" in why_not(ONNX, {}, b"last.weight")


def test_networks_of_today_and_of_before_can_be_taught(prebuilt: Revision) -> None:
    before = (prebuilt.folder / ONNX).read_bytes()
    assert why_not(ONNX, {}, before) == ""
    assert why_not(ONNX, {}, export_again(before)) == ""
