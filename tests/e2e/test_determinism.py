"""The same pictures, seed and machine give the same revision, byte for byte."""

from pathlib import Path

import numpy as np
import timm
import torch
from fastai.vision.learner import TimmBody

import train
from spotter.config import TrainConfig
from spotter.data.dataset import Dataset
from spotter.data.manifest import read_manifest
from spotter.data.splits import assign_folds
from spotter.train.body import make_backbone
from spotter.train.export import export_pickle
from spotter.train.graph import attach_head
from spotter.train.learner import train_whole
from tests.conftest import Published
from tests.helpers import tiny
from tests.helpers.drawing import KINDS


def test_training_from_the_beginning_gives_the_same_revision(trained: Published, tmp_path: Path, capsys) -> None:
    classes = [word for kind in KINDS for word in ("--class", kind)]
    where = ["--search", f"folder:{trained.pictures}", "--data", str(tmp_path / "d"), "--to", str(tmp_path / "s")]
    assert train.main([*classes, *where, *tiny.OPTIONS]) == 0
    again = capsys.readouterr().out.splitlines()[-1].removeprefix("revision ")
    folder = tmp_path / "s" / "revisions" / again
    assert [path.name for path in folder.iterdir() if not is_in(path, trained.folder)] == []
    assert again == trained.revision


def is_in(path: Path, folder: Path) -> bool:
    """Whether the folder has the same file."""
    return (folder / path.name).is_file() and path.read_bytes() == (folder / path.name).read_bytes()


def test_fine_tuning_twice_gives_the_same_files(trained: Published, tmp_path: Path) -> None:
    folder = next(trained.data.rglob("manifest.jsonl")).parent
    dataset = Dataset(folder, KINDS, tuple(record for record in read_manifest(folder) if record.kept), ())
    torch.manual_seed(1)
    model = timm.create_model("test_resnet", pretrained=False, num_classes=0)
    config = TrainConfig(arch="test_resnet", size=64, fine_tune=1, strengths=(1.0,))
    pool, width = torch.nn.AdaptiveAvgPool2d(1), model.num_features
    backbone = make_backbone(config, TimmBody(model), pool, (0.5,) * 3, (0.5,) * 3)
    # Noise instead of features: whatever fine-tuning gives is better, and so it is kept.
    features = 100 * np.random.default_rng(1).normal(size=(len(dataset.records), width)).astype(np.float32)
    folds = assign_folds(dataset, 5, config.seed)
    written = []
    for name in ("first", "second"):
        learnt = train_whole(dataset, folds, backbone, features, config)
        assert learnt.fine_tune_epochs == 1
        files = tmp_path / name
        files.mkdir()
        export_pickle(learnt.learner, files / "export.pkl")
        network = attach_head(learnt.backbone.body.onnx, learnt.head.weight, learnt.head.bias)
        (files / "model.onnx").write_bytes(network)
        written.append({path.name: path.read_bytes() for path in files.iterdir()})
    assert written[0] == written[1]
