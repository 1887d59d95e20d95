"""The second look at a set, and the command that collects without training."""

import csv
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from spotter.collect.collector import collect
from spotter.data.audit import REPORT, review
from spotter.data.dataset import NEAR_IN_TWO_CLASSES
from spotter.data.manifest import read_manifest
from spotter.errors import DatasetUnwritable
from spotter.recipe import make_recipe
from spotter.search.folder import Folder
from tests.conftest import ROOT
from tests.helpers.drawing import draw, encode, write_folder

RECIPE = make_recipe({"disc": "disc", "cross": "cross"}, name="two")


def test_what_is_alike_or_strange_is_flagged_written_down_and_kept(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "source", count=6)
    twin = draw("disc", 2)
    (source / "cross" / "twin.jpg").write_bytes(encode(twin.resize((twin.width // 2, twin.height // 2))))
    dataset = collect(RECIPE, [Folder(str(source))], tmp_path / "set")
    positions = {record.backend_id: index for index, record in enumerate(dataset.records)}
    features = np.eye(len(dataset.records), dtype=np.float32)
    features[positions["cross/twin.jpg"]] = features[positions["disc/002.jpg"]]
    reviewed, sayings = review(dataset, features, None)
    flagged = {record.backend_id for record in reviewed.records if NEAR_IN_TWO_CLASSES in record.flags}
    assert flagged == {"cross/twin.jpg", "disc/002.jpg"}
    assert len(reviewed.records) == len(dataset.records) == 13
    to_look_at = sum(bool(record.flags) for record in reviewed.records)
    assert sayings[0] == f"1 near duplicate; {to_look_at} pictures to look at, among them 1 pair in two classes"
    kept = [record for record in read_manifest(tmp_path / "set") if record.kept]
    assert kept == list(reviewed.records)
    with (tmp_path / "set" / "ATTRIBUTION.csv").open() as rows:
        assert len(list(csv.DictReader(rows))) == 13
    assert "twin" in (tmp_path / "set" / REPORT).read_text()


@pytest.mark.parametrize("kinds", [("disc",), ("disc", "cross"), ()])
def test_strips_that_one_class_alone_has_are_told(kinds: tuple[str, ...], tmp_path: Path) -> None:
    source = write_folder(tmp_path / "source", kinds=("disc", "cross"), count=12)
    for path in (path for kind in kinds for path in (source / kind).iterdir()):
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
        draw_on = ImageDraw.Draw(picture)
        draw_on.rectangle((0, picture.height - 15, picture.width, picture.height), fill=(0, 0, 0))
        draw_on.text(
            (4, picture.height - 15), "CAM07 2026-06-12", fill=(255, 255, 255), font=ImageFont.load_default(11)
        )
        picture.save(path, quality=95)
    dataset = collect(RECIPE, [Folder(str(source))], tmp_path / "set")
    for _ in range(2):
        # The second time from what was kept.
        sayings = review(dataset, np.eye(len(dataset.records), dtype=np.float32), None)[1]
        told = [saying for saying in sayings if saying.startswith("strips of text along the edge: ")]
        assert len(told) == (kinds == ("disc",))
        assert all(" disc, but 0 of 12 cross. " in saying for saying in told)


def test_a_set_that_cannot_be_written_any_more_is_told(tmp_path: Path) -> None:
    dataset = collect(RECIPE, [Folder(str(write_folder(tmp_path / "source", count=6)))], tmp_path / "set")
    (tmp_path / "set" / "manifest.jsonl").unlink()
    (tmp_path / "set" / "manifest.jsonl").mkdir()
    with pytest.raises(DatasetUnwritable, match="list of pictures cannot be stored"):
        review(dataset, np.eye(len(dataset.records), dtype=np.float32), None)


def test_scripts_collect_ends_with_the_folder_of_the_set(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "source", count=6)
    words = ["--class", "disc", "--class", "cross", "--search", f"folder:{source}", "--data", tmp_path / "data"]
    command = ["bash", "scripts/collect", *map(str, words)]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    folder = Path(finished.stdout.splitlines()[-1])
    assert (folder / "manifest.jsonl").is_file()
    assert (folder / REPORT).is_file()
    assert "disc, folder: 6 kept" in finished.stdout
