"""Training from what is bad, and on a machine that fails: one sentence and nothing published, or a good end."""

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from fastai.vision.learner import TimmBody
from huggingface_hub import constants
from safetensors.torch import save_file

import train
from spotter.config import TrainConfig
from spotter.data.dataset import Dataset
from spotter.data.manifest import read_manifest
from spotter.data.splits import assign_folds
from spotter.errors import TrainingFailed
from spotter.train.body import make_backbone
from spotter.train.learner import train_whole
from tests.conftest import ROOT, Published
from tests.helpers import tiny
from tests.helpers.drawing import KINDS, draw, encode

SMALL = (100, 100)
CLASSES = [word for kind in KINDS for word in ("--class", kind)]
TWO = ["--class", "disc", "--class", "stripes"]


def write(folder: Path, **contents: list[bytes]) -> Path:
    for kind, pictures in contents.items():
        (folder / kind).mkdir(parents=True)
        for number, content in enumerate(pictures):
            (folder / kind / f"{number:03}.jpg").write_bytes(content)
    return folder


def drawn_ones(kind: str, count: int) -> list[bytes]:
    return [encode(draw(kind, seed, SMALL), quality=92) for seed in range(count)]


def versions_of(kind: str, seed: int, count: int) -> list[bytes]:
    """One picture, encoded anew each time."""
    return [encode(draw(kind, seed, SMALL), quality=95 - 3 * number) for number in range(count)]


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    status = train.main([str(argument) for argument in arguments])
    output, errors = capsys.readouterr()
    return status, output, errors


def refusal(capsys: pytest.CaptureFixture[str], store: Path, *arguments: object) -> str:
    """The sentence with which a run ends that publishes nothing."""
    status, output, errors = run(capsys, *arguments, "--to", store)
    assert status == 1
    assert "revision" not in output
    assert "Traceback" not in errors
    assert not (store / "main").exists()
    assert not list(store.glob("revisions/*")) + list(store.glob("revisions/.*"))
    sentence = errors.splitlines()[-1]
    assert sentence.startswith("train.py: ")
    assert sentence.endswith(".")
    return sentence


def published_card(store: Path) -> dict:
    return json.loads((store / "revisions" / (store / "main").read_text().strip() / "model.json").read_text())


def test_three_pictures_beside_three_hundred_are_refused(tmp_path: Path, capsys) -> None:
    source = write(tmp_path / "p", disc=drawn_ones("disc", 3), stripes=drawn_ones("stripes", 300))
    said = refusal(capsys, tmp_path / "s", *TWO, "--search", f"folder:{source}", "--data", tmp_path / "d")
    assert "The class 'disc' has 3 usable pictures and needs at least 5." in said


def test_a_poor_class_beside_a_rich_one(tiny_network: None, tmp_path: Path, capsys) -> None:
    """Five usable pictures, of only two things, among broken ones, beside sixty."""
    broken = [drawn_ones("disc", 1)[0][:900], b"<html>gone</html>"]
    discs = broken + versions_of("disc", 1, 3) + versions_of("disc", 2, 2)
    source = write(tmp_path / "p", disc=discs, stripes=drawn_ones("stripes", 60))
    where = ["--search", f"folder:{source}", "--data", tmp_path / "d", "--to", tmp_path / "s"]
    status, output, _ = run(capsys, *TWO, *tiny.OPTIONS, *where, "--fine-tune", 1)
    assert status == 0
    assert "dropped disc/000.jpg: corrupt" in output
    assert "dropped disc/001.jpg: not-a-picture" in output
    assert "classes are uneven, 5 disc and 60 stripes: each counts the same" in output
    assert "; 2-fold cross-validation" in output
    assert "fine-tuning is left out: it needs at least 3 different pictures of each class" in output
    made = published_card(tmp_path / "s")["made"]
    assert made["fine_tune_epochs"] == 0
    assert any("uneven" in line for line in made["tried"])


@pytest.mark.parametrize(
    ("disc", "stripes", "expected"),
    [
        ([1] * 6, [1] * 6, "'disc' has 0 usable pictures and needs at least 5 (dropped: 5 copy, 1 in-two-classes)"),
        ([1] * 6, [2, 3, 4, 5, 6, 7], "'disc' has 1 usable pictures and needs at least 5 (dropped: 5 copy)"),
    ],
)
def test_the_same_picture_again_and_again_is_refused(
    disc: list[int], stripes: list[int], expected: str, tmp_path: Path, capsys
) -> None:
    contents = {seed: encode(draw("disc", seed, SMALL)) for seed in {*disc, *stripes}}
    source = write(tmp_path / "p", disc=[contents[n] for n in disc], stripes=[contents[n] for n in stripes])
    said = refusal(capsys, tmp_path / "s", *TWO, "--search", f"folder:{source}", "--data", tmp_path / "d")
    assert expected in said


def test_a_class_of_near_duplicates_alone_is_refused(tmp_path: Path, capsys) -> None:
    source = write(tmp_path / "p", disc=versions_of("disc", 1, 6), stripes=drawn_ones("stripes", 6))
    said = refusal(capsys, tmp_path / "s", *TWO, "--search", f"folder:{source}", "--data", tmp_path / "d")
    assert "The class 'disc' has only copies of one picture" in said


def test_one_class_is_refused(drawn: Path, tmp_path: Path, capsys) -> None:
    said = refusal(capsys, tmp_path / "s", "--class", "disc", "--search", f"folder:{drawn}", "--data", tmp_path / "d")
    assert "at least 2 classes to tell apart; there is only 'disc'" in said
    assert not (tmp_path / "d").exists()


def test_weights_that_are_no_numbers_are_told(drawn: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    model = timm.create_model("test_resnet", pretrained=False)
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    state[next(iter(state))].fill_(float("nan"))
    repository = tmp_path / "hub" / f"models--{timm.get_pretrained_cfg('test_resnet').hf_hub_id.replace('/', '--')}"
    snapshot = repository / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    save_file(state, snapshot / "model.safetensors")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    said = refusal(
        capsys,
        tmp_path / "s",
        *[*CLASSES, "--search", f"folder:{drawn}", "--data", tmp_path / "d", "--arch", "test_resnet"],
    )
    assert "The backbone 'test_resnet' gave features that are not numbers; try another --arch." in said
    assert not list((tmp_path / "d").rglob("*.safetensors"))


def test_a_loss_that_is_no_number_is_told(trained: Published) -> None:
    folder = next(trained.data.rglob("manifest.jsonl")).parent
    dataset = Dataset(folder, KINDS, tuple(record for record in read_manifest(folder) if record.kept), ())
    model = timm.create_model("test_resnet", pretrained=False, num_classes=0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.fill_(float("nan"))
    config = TrainConfig(arch="test_resnet", size=64, fine_tune=1)
    pool, width = torch.nn.AdaptiveAvgPool2d(1), model.num_features
    backbone = make_backbone(config, TimmBody(model), pool, (0.5,) * 3, (0.5,) * 3)
    # As if they had been computed before the weights were damaged.
    features = np.random.default_rng(1).normal(size=(len(dataset.records), width)).astype(np.float32)
    with pytest.raises(TrainingFailed, match="The loss became NaN while fine-tuning"):
        train_whole(dataset, assign_folds(dataset, 5, 42), backbone, features, config)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Makes a disk of so many kilobytes, for a test that fills it."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(kilobytes: int) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(place)]
        try:
            finished = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            pytest.skip("there is no mount command to make a small disk with")
        if finished.returncode:
            pytest.skip(f"a small disk cannot be mounted here: {finished.stderr.strip()}")
        return place

    yield mount
    if os.path.ismount(place):
        subprocess.run(["umount", str(place)], check=True)


def kilobytes_in(folder: Path) -> int:
    blocks = [-(-path.stat().st_size // 4096) for path in folder.rglob("*") if path.is_file()]
    return 4 * (sum(blocks) + 1)


def test_no_room_for_the_pictures(disk: Callable[[int], Path], drawn: Path, tmp_path: Path, capsys) -> None:
    said = refusal(capsys, tmp_path / "s", *CLASSES, "--search", f"folder:{drawn}", "--data", disk(100))
    assert "The pictures cannot be stored in" in said
    assert "No space left on device" in said


def test_no_room_for_the_features(disk: Callable[[int], Path], published: Published, tmp_path: Path, capsys) -> None:
    data = Path(
        shutil.copytree(published.data, tmp_path / "without", ignore=shutil.ignore_patterns("features", "*.html"))
    )
    # Room for a second manifest while it is written, and for the journal; the features take 240 kB.
    place = disk(kilobytes_in(data) + 150)
    shutil.copytree(data, place, dirs_exist_ok=True)
    said = refusal(capsys, tmp_path / "s", *CLASSES, "--search", f"folder:{published.pictures}", "--data", place)
    assert "The features of the pictures cannot be saved in" in said
    assert not list(place.rglob("*.part"))


@pytest.mark.parametrize("kilobytes", [60, 200, 300])
def test_no_room_in_the_temporary_folder(
    kilobytes: int, disk: Callable[[int], Path], trained: Published, tmp_path: Path, capsys, monkeypatch
) -> None:
    # The thumbnails, export.pkl and model.onnx do not fit.
    monkeypatch.setattr(tempfile, "tempdir", str(disk(kilobytes)))
    data = shutil.copytree(trained.data, tmp_path / "data")
    same = [*CLASSES, *tiny.OPTIONS, "--search", f"folder:{trained.pictures}", "--data", data]
    said = refusal(capsys, tmp_path / "s", *same)
    assert "The system's temporary folder cannot be written" in said
    assert "free some space there, or name another folder in TMPDIR" in said
    assert not list(Path(tempfile.gettempdir()).iterdir())


def test_no_room_in_the_store(disk: Callable[[int], Path], trained: Published, tmp_path: Path, capsys) -> None:
    data = shutil.copytree(trained.data, tmp_path / "data")
    same = [*CLASSES, *tiny.OPTIONS, "--search", f"folder:{trained.pictures}", "--data", data]
    said = refusal(capsys, disk(500), *same)
    assert "cannot be written: No space left on device" in said


TRAIN_TINY = """
import contextlib, io, os, signal, sys
from spotter.utils.imports import lasting_imports
with lasting_imports():
    import train
    from tests.helpers import tiny
tiny.register()
class Ending(io.StringIO):
    def write(self, text):
        if text.startswith(sys.argv[1]):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().write(text)
with contextlib.redirect_stdout(Ending()):
    sys.exit(train.main(sys.argv[2:]))
"""


def kill(arguments: list[object], stage: str) -> None:
    """Start a run that is killed as soon as it begins a stage: by itself, as nobody else may have a turn in time."""
    command = [sys.executable, "-c", TRAIN_TINY, stage, *map(str, arguments)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=900, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr


class Interrupting(io.StringIO):
    """A stdout on which somebody presses Ctrl-C as soon as a stage begins."""

    def __init__(self, stage: str) -> None:
        super().__init__()
        self.stage = stage

    def write(self, text: str) -> int:
        if text.startswith(self.stage):
            signal.raise_signal(signal.SIGINT)
        return super().write(text)


@pytest.mark.slow
def test_a_stopped_run_goes_on_from_there_and_mends_what_is_damaged(
    trained: Published, tmp_path: Path, capsys, caplog
) -> None:
    store, data = tmp_path / "s", tmp_path / "d"
    arguments = [*CLASSES, *tiny.OPTIONS, "--search", f"folder:{trained.pictures}", "--data", data, "--to", store]

    def pictures() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in data.rglob("*.jpg")}

    kill(arguments, "Compute the features")
    collected = pictures()
    assert len(collected) == 48
    with contextlib.redirect_stdout(Interrupting("Learn")):
        assert train.main([str(argument) for argument in arguments]) == 130
    errors = capsys.readouterr().err
    assert "Stopped. What arrived is kept; to go on from there: train.py --class disc" in errors.splitlines()[-1]
    assert "Traceback" not in errors
    cache = next(data.rglob("features/*.safetensors"))
    computed = cache.stat().st_mtime_ns
    assert not store.exists()
    damaged = sorted(collected)[3]
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[: len(whole) // 2])
    status, output, _ = run(capsys, *arguments)
    assert (status, output.splitlines()[-1]) == (0, f"revision {trained.revision}")
    assert damaged.read_bytes() == whole
    assert "1 stored pictures are missing or damaged; they are collected again" in caplog.text
    assert {**pictures(), damaged: 0} == {**collected, damaged: 0}
    assert cache.stat().st_mtime_ns == computed
