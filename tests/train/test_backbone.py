"""The packaged backbone is stored as ONNX when it is first used, and what is read again is what was stored."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from spotter.config import TrainConfig
from spotter.data.dataset import Dataset, Record
from spotter.train.backbone import load_backbone, run_body
from spotter.train.export import export_pickle
from spotter.train.features import Backbone, BodyRunner
from spotter.train.learner import build_learner, labelled_view
from tests.conftest import ROOT
from tests.helpers.blas import blas_threads
from tests.helpers.drawing import draw

WITHOUT_TORCH = """
import sys
from spotter.config import TrainConfig
from spotter.train.backbone import load_backbone
from spotter.train.trained import train_head
load_backbone(TrainConfig())
print(sorted({"torch", "fastai", "timm"} & set(sys.modules)))
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def pair(place: Path) -> tuple[Backbone, Backbone]:
    """A backbone as it was built, and as it was stored."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(place))
        return load_backbone(TrainConfig()), load_backbone(TrainConfig())


def stored_file(place: Path) -> Path:
    (file,) = (place / "spotter" / "backbones").iterdir()
    return file


def test_what_is_stored_is_what_was_built(pair: tuple[Backbone, Backbone], tmp_path: Path) -> None:
    built, stored = pair
    assert built.modules is not None
    assert stored.modules is None
    for name in ("arch", "size", "resize", "width", "mean", "std", "fingerprint"):
        assert getattr(built, name) == getattr(stored, name)
    assert built.body.onnx == stored.body.onnx
    for mine, theirs in ((built.imagenet, stored.imagenet), (built.body.classifier, stored.body.classifier)):
        assert mine is not None
        assert theirs is not None
        assert all(np.array_equal(one, other) for one, other in zip(mine, theirs, strict=True))
        # The last bit of a product depends on the order in memory.
        assert [one.strides for one in mine] == [other.strides for other in theirs]
    draw("disc", 1).save(tmp_path / "a.png")
    first, second = (run_body(backbone, [tmp_path / "a.png"]) for backbone in pair)
    assert np.array_equal(first, second)


def test_tables_of_each_picture_are_multiplied_on_one_thread(pair: tuple[Backbone, Backbone], tmp_path: Path) -> None:
    draw("disc", 1).save(tmp_path / "a.png")
    seen: list[set[int]] = []
    with threadpool_limits(2, "blas"):
        BodyRunner(pair[1].body, look=lambda path, picture: seen.append(blas_threads())).run([tmp_path / "a.png"])
        assert (seen, blas_threads()) == ([{1}], {2})


def test_the_export_does_not_depend_on_it(pair: tuple[Backbone, Backbone], tmp_path: Path) -> None:
    records = []
    for number, label in enumerate(("disc", "cross", "disc", "cross")):
        draw(label, number).save(tmp_path / f"{number}.jpg")
        records.append(Record(label, "folder", str(number), "a", number, "kept", file=f"{number}.jpg"))
    dataset, config = Dataset(tmp_path, ("disc", "cross"), tuple(records), ()), TrainConfig()
    exports = []
    for name, backbone in zip(("built", "stored"), pair, strict=True):
        with labelled_view(dataset) as view:
            learn = build_learner(dataset, view, np.array([False, False, True, True]), backbone, config)
        for weights in learn.model[1][-1].parameters():
            weights.data.zero_()
        (tmp_path / name).mkdir()
        export_pickle(learn, tmp_path / name / "export.pkl")
        exports.append((tmp_path / name / "export.pkl").read_bytes())
    assert exports[0] == exports[1]


@pytest.mark.slow
def test_a_stored_one_is_used_without_torch(pair: tuple[Backbone, Backbone], place: Path) -> None:
    environment = {"XDG_CACHE_HOME": str(place), "PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    finished = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH], env=environment, capture_output=True, text=True, check=True
    )
    assert finished.stdout.strip() == "[]"


@pytest.mark.parametrize("damage", ["cut", "changed", "empty"])
def test_a_damaged_one_is_built_again(
    pair: tuple[Backbone, Backbone], place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    content = stored_file(place).read_bytes()
    other = tmp_path / "spotter" / "backbones" / stored_file(place).name
    other.parent.mkdir(parents=True)
    changed = content[:-5] + bytes([content[-5] ^ 1]) + content[-4:]
    other.write_bytes({"cut": content[:100_000], "changed": changed, "empty": b""}[damage])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert load_backbone(TrainConfig()).body.onnx == pair[0].body.onnx
    assert other.read_bytes() == content


def test_a_place_that_cannot_be_written_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert load_backbone(TrainConfig()).width == 1280
