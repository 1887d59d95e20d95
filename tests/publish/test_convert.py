"""Real fastai exports, with weights that learnt nothing: whether both sides answer alike does not depend on them."""

import contextlib
import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import onnxruntime
import pandas
import pytest
import torch
from fastai.data.block import CategoryBlock, DataBlock, MultiCategoryBlock, RegressionBlock
from fastai.data.transforms import Normalize, RandomSplitter, get_image_files, parent_label
from fastai.learner import Learner
from fastai.losses import BCEWithLogitsLossFlat
from fastai.tabular.data import TabularDataLoaders
from fastai.tabular.learner import tabular_learner
from fastai.vision.augment import CropPad, RandomResizedCrop, Resize, aug_transforms
from fastai.vision.core import PILImageBW
from fastai.vision.data import ImageBlock, imagenet_stats
from fastai.vision.learner import vision_learner
from fasttransform import Transform
from PIL import Image
from torchvision.models import resnet18, squeezenet1_1

from spotter.bundle.format import SERVING_FILES
from spotter.cli import main
from spotter.config import ConvertConfig
from spotter.errors import (
    BrokenExport,
    RecipeError,
    SpotterError,
    TemporaryUnwritable,
    TooFewPictures,
    UnsuitableExport,
)
from spotter.images import load_picture, to_square
from spotter.inference.predictor import Predictor
from spotter.publish import convert
from spotter.publish.convert import Export, answer_all, export_network, read_pictures, recipe_of, write_files
from spotter.publish.convert_worker import Facts, define, export, open_export
from spotter.publish.convert_worker import main as worker_main
from spotter.publish.parity import parity_pictures
from spotter.train.export import predict_with_pickle
from tests.conftest import mount
from tests.helpers.drawing import write_folder

SIDE = 64
NORMAL = Normalize.from_stats(*imagenet_stats, cuda=False)
FILES = {"export.pkl", *SERVING_FILES, "metrics.json", "README.md", "confusion.png", "top_losses.png"}
FILES |= {"manifest.jsonl", "ATTRIBUTION.csv"}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("known") / "shapes", count=8)


def learner(
    pictures: Path, items=None, batch=NORMAL, arch=squeezenet1_1, target=CategoryBlock, get_y=parent_label, **how
) -> Learner:
    block = DataBlock(
        (how.pop("image", ImageBlock), target),
        get_items=get_image_files,
        get_y=get_y,
        splitter=RandomSplitter(seed=1),
        item_tfms=items or Resize(SIDE),
        batch_tfms=batch,
    )
    dls = block.dataloaders(pictures, bs=4, num_workers=0)
    return vision_learner(dls, arch, pretrained=False, **how)


def write(learn: Learner, path: Path, pickler: ModuleType | None = None) -> Path:
    learn.export(path.absolute(), **({"pickle_module": pickler} if pickler else {}))
    return path


@pytest.fixture(scope="module")
def plain(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(learner(pictures), tmp_path_factory.mktemp("plain") / "export.pkl")


LINEAR = {"concat_pool": False, "lin_ftrs": [], "first_bn": False}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "size", "resize", "outputs", "stats", "inside"),
    [
        ({"items": Resize((SIDE, SIDE), "pad", pad_mode="zeros"), "batch": [*aug_transforms(), NORMAL]},
          SIDE, "pad", 2, imagenet_stats, ""),
        ({"items": RandomResizedCrop(SIDE, min_scale=0.5), "arch": resnet18},
          80, "squish", 2, imagenet_stats, "cut to its middle, 64 x 64 pixels"),
        ({"items": RandomResizedCrop(SIDE, val_xtra=0.4), **LINEAR},
          96, "squish", 2, imagenet_stats, "cut to its middle, 64 x 64 pixels"),
        ({"items": Resize(150), "batch": [*aug_transforms(size=SIDE, min_scale=0.75), NORMAL]},
          150, "crop", 2, imagenet_stats, "scaled to 64 x 64 pixels"),
        ({"arch": "tf_efficientnet_lite0", "batch": Normalize.from_stats([0.1, 0.2, 0.3], [0.5, 0.6, 0.7], cuda=False),
          **LINEAR}, SIDE, "crop", 3, ([0.1, 0.2, 0.3], [0.5, 0.6, 0.7]), ""),
        ({"arch": "vit_tiny_patch16_224", "items": Resize(224, "squish"), "batch": None},
          224, "squish", 2, ([0] * 3, [1] * 3), ""),
    ],
    ids=["pad", "random-crop", "random-crop-linear", "presized", "timm-linear", "vit"],
)  # fmt: skip
def test_the_network_answers_like_the_export(
    how: dict, size: int, resize: str, outputs: int, stats: tuple, inside: str, pictures: Path, tmp_path: Path
) -> None:
    path = write(learner(pictures, **how), tmp_path / "export.pkl")
    facts = export(open_export(path), tmp_path / "model.onnx")
    assert (facts.labels, facts.size, facts.resize) == (("cross", "disc", "stripes"), size, resize)
    assert (facts.mean, facts.std, facts.inside) == (*map(tuple, stats), inside)
    arch = how.get("arch", squeezenet1_1)
    assert facts.arch == (arch if isinstance(arch, str) else arch.__name__)
    decoded = [load_picture(content) for content in parity_pictures(sorted(pictures.glob("*/*")), 12)]
    expected = predict_with_pickle(path, decoded)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    squares = np.stack([to_square(picture, size, resize) for picture in decoded])
    probabilities, embeddings, *activation = session.run(None, {"pixels": squares})
    assert expected.std(axis=0).max() > 1e-3
    assert probabilities == pytest.approx(expected, abs=1e-4)
    assert np.linalg.norm(embeddings, axis=1) == pytest.approx(1, abs=1e-4)
    assert 2 + len(activation) == outputs


def made_elsewhere(export: Path, target: Path, old: bytes, new: bytes) -> Path:
    """The same export as another system or Python would have written it."""
    with zipfile.ZipFile(export) as given, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as written:
        for entry in given.infolist():
            content = given.read(entry)
            if entry.filename.endswith("data.pkl"):
                assert old in content
                content = content.replace(old, new)
            written.writestr(entry, content)
    return target


@pytest.mark.parametrize(
    "named",
    [
        "pathlib\nWindowsPath", "pathlib\nPureWindowsPath", "pathlib._local\nWindowsPath", "pathlib._local\nPosixPath",
        "pathlib._local\nPurePosixPath", "pathlib._types\nSomePath",
    ],
)  # fmt: skip
def test_an_export_of_another_system_or_python_is_opened(named: str, plain: Path, tmp_path: Path) -> None:
    path = made_elsewhere(plain, tmp_path / "e.pkl", b"cpathlib\nPosixPath\n", f"c{named}\n".encode())
    (tmp_path / "out").mkdir()
    assert worker_main(["export", str(path), str(tmp_path / "out")]) == 0
    assert export(open_export(plain), tmp_path / "plain.onnx").labels == ("cross", "disc", "stripes")
    network = (tmp_path / "out" / "network.onnx").read_bytes()
    assert network == (tmp_path / "plain.onnx").read_bytes()
    pictures = [Image.effect_noise((80, 90), 60 + n).convert("RGB") for n in range(3)]
    answers = predict_with_pickle(tmp_path / "out" / "portable.pkl", pictures)
    assert answers == pytest.approx(predict_with_pickle(plain, pictures), abs=1e-6)


def test_an_export_of_this_system_is_published_as_it_is(plain: Path, tmp_path: Path) -> None:
    assert worker_main(["export", str(plain), str(tmp_path)]) == 0
    assert not (tmp_path / "portable.pkl").exists()


def flag(*arguments: str | Path) -> list[str]:
    return [str(argument) for argument in arguments]


def is_round(path: Path) -> bool:
    return path.parent.name == "True"


@contextlib.contextmanager
def in_main(**names: object) -> Iterator[None]:
    """Let pickles find names as if they were of the script that is run."""
    main = vars(sys.modules["__main__"])
    main.update(names)
    try:
        yield
    finally:
        for name in names:
            main.pop(name, None)


@pytest.mark.slow
def test_a_converted_export_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = write_folder(tmp_path / "known", kinds=("True", "False"), count=8)
    path, functions, store = tmp_path / "export.pkl", tmp_path / "functions.py", tmp_path / "store"
    functions.write_text('def is_round(path):\n    return path.parent.name == "True"\n')
    known = sorted(pictures.glob("*/*"))
    # What a notebook or script of somebody's does, with the plain pickle of older versions of fastai.
    is_round.__module__ = "__main__"
    with in_main(is_round=is_round):
        write(learner(pictures, get_y=is_round), path, pickle)
        expected = predict_with_pickle(path, [load_picture(each) for each in known])
    given = flag("convert", path, "--trust", "--functions", functions, "--pictures", pictures, "--to", store)
    apart = convert._run

    def run(task: str, export: Export, folder: Path, config: ConvertConfig) -> None:
        """Opened in another process, it answers in this one, which has fastai already."""
        if task == "export":
            return apart(task, export, folder, config)
        with in_main(is_round=None):
            assert worker_main([task, str(export.path), str(folder), str(export.functions)]) == 0

    monkeypatch.setattr(convert, "_run", run)
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert main(given) == 0
    revision = capsys.readouterr().out.splitlines()[-1].removeprefix("revision ")
    folder = store / "revisions" / revision
    assert {file.name for file in folder.iterdir()} >= FILES
    assert (folder / "export.pkl").read_bytes() == path.read_bytes()
    predictor = Predictor.load(store)
    assert predictor.labels == ("False", "True")
    told = predictor.card.preprocessing
    assert (told["size"], told["mean"], told["std"]) == (SIDE, *map(list, imagenet_stats))
    assert told["resize"].startswith("crop")
    assert told["input"].endswith("by channel")
    answers = predictor.predict_many(known)
    assert [list(answer.probabilities.values()) for answer in answers] == pytest.approx(expected, abs=1e-3)
    assert all(answer.familiar for answer in answers)
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["pictures"] == 16
    for text in (metrics["how"], (folder / "README.md").read_text(), predictor.card.summary):
        assert "may have learnt from" in text
        assert "did not see" not in text
    assert "**converted** from a fastai export" in (folder / "README.md").read_text()
    assert str(tmp_path) not in "".join((folder / name).read_text() for name in ("model.json", "README.md"))


def test_pictures_that_vanish_before_they_are_judged_cost_only_themselves(
    plain: Path, pictures: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (files := tmp_path / "files").mkdir()
    facts = export(open_export(plain), files / "model.onnx")
    dataset = read_pictures(pictures, facts, tmp_path / "set", tmp_path / "takedown.txt")
    lost = dataset.paths[1::7]
    for way, path in enumerate(lost):
        path.unlink()
        if way % 2:
            path.write_bytes(b"\xff\xd8\xff no more")
    left, judged = answer_all(files / "model.onnx", facts, dataset)
    assert set(dataset.paths) - set(left.paths) == set(lost)
    assert len(judged.embeddings) == len(judged.probabilities) == len(left.records)
    assert sum("left out" in record.message for record in caplog.records) == len(lost)
    write_files(files, facts, left, judged, "convert")
    assert json.loads((files / "metrics.json").read_text())["pictures"] == len(left.records)
    for path in left.paths:
        path.unlink()
    with pytest.raises(TooFewPictures, match="None of the pictures can be read"):
        answer_all(files / "model.onnx", facts, dataset)


def test_without_trust_nothing_is_opened(
    plain: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bomb = tmp_path / "export.pkl"
    bomb.write_bytes(pickle.dumps(Calls(os.mkdir, str(tmp_path / "canary"))))
    for path in (bomb, plain):
        with pytest.raises(SystemExit) as ended:
            main(flag("convert", path, "--pictures", pictures, "--to", tmp_path / "store"))
        assert ended.value.code == 2
        assert "runs code of the person who made it" in capsys.readouterr().err
    assert not (tmp_path / "canary").exists()
    assert not (tmp_path / "store").exists()


class Calls:
    """Its pickle calls a function when it is opened."""

    def __init__(self, function: Callable, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple:
        return self.call


# A process that opens the file without fastai, which takes three seconds to import.
PLAIN_WORKER = "import pickle, sys; pickle.load(open(sys.argv[2], 'rb'))"


@pytest.mark.parametrize(
    ("calls", "sentence"),
    [
        (Calls(os._exit, 0), "ended without an answer"),
        (Calls(signal.raise_signal, signal.SIGSEGV), "SIGSEGV"),
        (Calls(time.sleep, 600), "gave no answer within"),
    ],
    ids=["exit", "segfault", "endless"],
)
def test_a_process_that_dies_is_told(
    calls: Calls, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convert, "_WORKER", PLAIN_WORKER)
    path = tmp_path / "export.pkl"
    path.write_bytes(pickle.dumps(calls))
    patience = ConvertConfig(patience_s=1 if "within" in sentence else 120)
    with pytest.raises(BrokenExport, match=sentence):
        export_network(Export(path), tmp_path / "model.onnx", patience)


def test_an_exception_of_its_own_is_told(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "export.pkl"
    torch.save(Calls(int, "x"), path)
    with pytest.raises(ValueError, match="invalid literal"):
        worker_main(["export", str(path), str(tmp_path)])
    monkeypatch.setattr(convert, "_WORKER", PLAIN_WORKER)
    path.write_bytes(pickle.dumps(Calls(int, "x")))
    assert main(flag("convert", path, "--trust", "--pictures", pictures, "--to", tmp_path / "store")) == 1
    told = capsys.readouterr().err
    assert re.search(r"spotter convert: .*status 1: ValueError: invalid literal", told)
    assert "Traceback" not in told
    assert not list((tmp_path / "store").glob("revisions/*"))


@pytest.mark.slow
def test_no_room_for_the_network_is_told(plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if mount("-t", "tmpfs", "-o", "size=1500k", "tmpfs", disk):
        pytest.skip("a small disk cannot be mounted here")
    monkeypatch.setattr(tempfile, "tempdir", str(disk))
    try:
        (disk / "files").mkdir()
        with pytest.raises(OSError, match="No space left on device"):
            worker_main(["export", str(plain), str(disk / "files")])
        shutil.rmtree(disk / "files")
        # What it leaves behind, by a process that needs no fastai.
        fills = "import sys; open(sys.argv[3] + '/network.onnx', 'wb').write(bytes(2_000_000))"
        monkeypatch.setattr(convert, "_WORKER", fills)
        with pytest.raises(TemporaryUnwritable, match="No space left on device"):
            export_network(Export(plain), tmp_path / "model.onnx")
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", disk], check=True)


def refused(path: Path, tmp_path: Path, kind: type[SpotterError] = UnsuitableExport) -> str:
    with pytest.raises(kind) as caught:
        export(open_export(path), tmp_path / "model.onnx")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("length", [0, 100, 10_000, -1000])
def test_truncated_files(length: int, plain: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.pkl").write_bytes(plain.read_bytes()[:length])
    assert "cannot be read" in refused(tmp_path / "cut.pkl", tmp_path, BrokenExport)


def test_pickles_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "other.pkl"
    for content, word in (({"weights": torch.ones(2)}, "dict"), ([1, 2], "list"), (torch.nn.Linear(2, 2), "Linear")):
        torch.save(content, path)
        told = refused(path, tmp_path, BrokenExport)
        assert "not a fastai Learner" in told
        assert word in told
    path.write_bytes(pickle.dumps({"model": 1}))
    assert "cannot be read" in refused(path, tmp_path, BrokenExport)


class Named:
    """A pickle by name alone: of a class that exists nowhere."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name

    def dump(self, path: Path) -> Path:
        module = ModuleType(self.module)
        kind = type(self.name, (), {"__module__": self.module})
        setattr(module, self.name, kind)
        before = sys.modules.get(self.module)
        sys.modules[self.module] = module
        try:
            torch.save(kind(), path)
        finally:
            del sys.modules[self.module]
            if before:
                sys.modules[self.module] = before
        return path


@pytest.mark.parametrize(
    ("module", "name", "sentence"),
    [
        (
            "fastai.basic_train",
            "Recorder",
            "another version of fastai (fastai 1 perhaps): it needs fastai.basic_tr",
        ),
        ("fastai.layers", "FlattenedLossOld", "it needs fastai.layers.FlattenedLossOld"),
        ("fastcore.transform", "Pipeline", "older than 2.8"),
        ("fastcore.dispatch", "TypeDispatch", "older than 2.8"),
        ("torchvision.models.resnet", "OldNet", "another version of torchvision"),
        ("albumentations_of_old", "Compose", "the Python module 'albumentations_of_old', which is missing here"),
        ("__main__", "label_func", "needs 'label_func' of __main__, which is missing here: put its definition into"),
    ],
)
def test_names_that_are_not_here(module: str, name: str, sentence: str, tmp_path: Path) -> None:
    told = refused(Named(module, name).dump(tmp_path / "export.pkl"), tmp_path, BrokenExport)
    assert sentence in told


def test_a_file_of_functions_may_import_its_neighbours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "neighbour_of_functions.py").write_text("def far(path):\n    return 3\n")
    (tmp_path / "functions.py").write_text("from neighbour_of_functions import far as far_away\n")
    monkeypatch.delitem(sys.modules, "neighbour_of_functions", raising=False)
    with in_main(far_away=None):
        define(tmp_path / "functions.py")
        assert sys.modules["__main__"].far_away(None) == 3


# fastai reads what a function says it returns, and cannot make sense of list[str].
def several(path: Path) -> list:
    return [path.parent.name]


def number(path: Path) -> float:
    return float(len(path.name))


class Watermark(Transform):
    """A step on each picture that Spotter does not know."""

    order = 2

    def encodes(self, picture: Image.Image) -> Image.Image:
        return picture


class Gamma(Transform):
    """A step on each batch that is neither normalising nor scaling."""

    order = 50

    def encodes(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels**2


def refuse_learner(learn: Learner, tmp_path: Path) -> str:
    return refused(write(learn, tmp_path / "export.pkl"), tmp_path)


def test_other_kinds_of_models_are_refused(pictures: Path, tmp_path: Path) -> None:
    told = refuse_learner(learner(pictures, target=MultiCategoryBlock, get_y=several), tmp_path)
    assert "not a classifier with one label per picture" in told
    assert "MultiCategorize" in told
    told = refuse_learner(learner(pictures, target=RegressionBlock(n_out=1), get_y=number, n_out=1), tmp_path)
    assert "RegressionSetup" in told
    table = pandas.DataFrame({"a": np.arange(20.0), "b": [0, 1] * 10})
    dls = TabularDataLoaders.from_df(table, y_names="b", cont_names=["a"], bs=4)
    assert "TabularDataLoaders" in refuse_learner(tabular_learner(dls, layers=[4]), tmp_path)
    dls = learner(pictures).dls
    told = refuse_learner(Learner(dls, resnet18(num_classes=3), loss_func=torch.nn.CrossEntropyLoss()), tmp_path)
    assert "CrossEntropyLoss" in told
    assert "ResNet" in refuse_learner(Learner(dls, resnet18(num_classes=3)), tmp_path)
    assert "BCEWithLogitsLossFlat" in refuse_learner(learner(pictures, loss_func=BCEWithLogitsLossFlat()), tmp_path)
    grey = learner(pictures, image=ImageBlock(PILImageBW), batch=None, n_in=1)
    assert "colour" in refuse_learner(grey, tmp_path)


@pytest.mark.parametrize(
    ("items", "batch", "sentence"),
    [
        (Resize((64, 96)), NORMAL, "96 x 64"),
        (Resize(SIDE, "pad"), NORMAL, "by 'reflection'"),
        (Resize(SIDE, resamples=(Image.Resampling.BICUBIC, Image.Resampling.NEAREST)), NORMAL, "bicubic"),
        (CropPad(SIDE), NORMAL, "prepares each picture by CropPad"),
        ([Resize(SIDE), Watermark()], NORMAL, "prepares each picture by Resize, Watermark"),
        (Resize(SIDE), [Gamma(), NORMAL], "Gamma"),
        (Resize(SIDE), [*aug_transforms(size=(64, 32)), NORMAL], "scaling to another square"),
    ],
)
def test_what_cannot_be_repeated_is_refused(
    items: object, batch: object, sentence: str, pictures: Path, tmp_path: Path
) -> None:
    assert sentence in refuse_learner(learner(pictures, items=items, batch=batch), tmp_path)


def test_labels_must_be_labels() -> None:
    for labels in (("one", "One"), ("a\\b", "c"), ("only",), ("same", "same")):
        with pytest.raises(RecipeError):
            recipe_of(Facts(labels, "resnet18", SIDE, "crop", (0.0,) * 3, (1.0,) * 3, ""))
