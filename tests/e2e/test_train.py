"""The pipeline as a command: what it prints, publishes, refuses, and never leaves half done."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import train
from spotter import Predictor
from tests.conftest import ROOT, Published, Revision
from tests.helpers import tiny
from tests.helpers.drawing import KINDS, draw, encode, write_folder
from tests.helpers.ports import free_port

FILES = {
    "export.pkl",
    "model.onnx",
    "reference.safetensors",
    "model.json",
    "metrics.json",
    "README.md",
    "confusion.png",
    "top_losses.png",
    "manifest.jsonl",
    "ATTRIBUTION.csv",
}
CLASSES = [word for kind in KINDS for word in ("--class", kind)]


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    status = train.main([str(argument) for argument in arguments])
    output, errors = capsys.readouterr()
    return status, output, errors.splitlines()[-1] if errors else ""


def test_a_run_prints_stages_and_ends_with_the_revision(published: Published) -> None:
    lines = published.output.splitlines()
    assert re.fullmatch(r"revision [0-9a-f]{40}", lines[-1])
    assert sum(line.startswith("  done in ") for line in lines) == 10


def test_a_revision_holds_every_file(published: Published) -> None:
    found = {path.name for path in published.folder.iterdir()}
    assert found == FILES | {"example-1.jpg", "example-2.jpg", "example-3.jpg", "thumbnails.safetensors"}


def test_no_published_file_names_a_path_of_this_machine(published: Published) -> None:
    for path in published.folder.iterdir():
        content = path.read_bytes()
        for secret in (published.pictures.parent, published.data, ROOT):
            assert str(secret).encode() not in content, path.name


def test_metrics_and_manifest_agree(published: Published) -> None:
    metrics = json.loads((published.folder / "metrics.json").read_text())
    records = [json.loads(line) for line in (published.folder / "manifest.jsonl").read_text().splitlines()]
    kept = [record for record in records if record["decision"] == "kept"]
    assert metrics["pictures"] == len(kept) == 48
    assert sum(map(sum, metrics["confusion"])) == 48
    low, high = metrics["error_interval"]
    assert low <= metrics["error"] <= high
    assert metrics["error"] < 0.35
    assert metrics["familiarity"]["accepted"] >= 0.95
    with (published.folder / "ATTRIBUTION.csv").open() as file:
        assert len(list(csv.reader(file))) == 49


@pytest.fixture
def data(trained: Published, tmp_path: Path) -> Path:
    """A copy of the folder of its run."""
    return Path(shutil.copytree(trained.data, tmp_path / "data"))


def test_training_again_is_fast_and_gives_the_same_revision(
    trained: Published, data: Path, tmp_path: Path, capsys
) -> None:
    store = shutil.copytree(trained.store, tmp_path / "store")
    status, output, _ = run(
        capsys,
        *CLASSES,
        *tiny.OPTIONS,
        "--search",
        f"folder:{trained.pictures}",
        "--to",
        store,
        "--data",
        data,
    )
    assert (status, output.splitlines()[-1]) == (0, f"revision {trained.revision}")


def test_a_damaged_cache_is_computed_again(trained: Published, data: Path, tmp_path: Path, capsys) -> None:
    cache = next(data.rglob("features/*.safetensors"))
    cache.write_bytes(cache.read_bytes()[:5000])
    status, output, _ = run(
        capsys,
        *CLASSES,
        *tiny.OPTIONS,
        "--search",
        f"folder:{trained.pictures}",
        "--to",
        tmp_path / "s",
        "--data",
        data,
    )
    assert (status, output.splitlines()[-1]) == (0, f"revision {trained.revision}")


def test_fine_tuning_is_kept_only_if_it_is_better(tiny_network: None, drawn: Path, tmp_path: Path, capsys) -> None:
    status, output, _ = run(
        capsys,
        *CLASSES,
        *tiny.OPTIONS,
        "--search",
        f"folder:{drawn}",
        "--to",
        tmp_path / "s",
        "--data",
        tmp_path / "d",
        "--fine-tune",
        1,
    )
    assert status == 0
    predictor = Predictor.load(tmp_path / "s")
    metrics = json.loads((predictor_folder(tmp_path / "s") / "metrics.json").read_text())
    told = re.search(
        r"held-out fold: ([\d.]+) by the linear head, ([\d.]+) after fine-tuning(, which is not kept)?", output
    )
    assert told
    is_better = float(told[2]) < float(told[1])
    assert is_better == (told[3] is None)
    assert predictor.card.made["fine_tune_epochs"] == is_better
    assert told[0] in " ".join(predictor.card.made["tried"])
    assert ("held-out fifth" in metrics["how"]) == is_better
    assert (metrics["pictures"] < 48) == is_better
    assert f"revision {predictor.revision}" in output


def test_a_padded_model_of_another_size_is_published_and_explains(
    tiny_network: None, drawn: Path, tmp_path: Path, capsys
) -> None:
    status, _, error = run(
        capsys,
        *CLASSES,
        "--arch",
        tiny.ARCH,
        "--search",
        f"folder:{drawn}",
        "--to",
        tmp_path / "s",
        "--data",
        tmp_path / "d",
        "--resize",
        "pad",
        "--size",
        128,
        "--show-batch",
    )
    assert status == 0, error
    predictor = Predictor.load(tmp_path / "s")
    assert (predictor.card.resize, predictor.card.size) == ("pad", 128)
    assert "--resize pad" in predictor.card.made["command"]
    wide = draw("stripes", 5, (300, 100))
    assert predictor.explain(wide).size == (300, 100)
    # What a centre crop would not see counts here.
    left_red = wide.copy()
    left_red.paste((255, 0, 0), (0, 0, 90, 100))
    assert predictor.predict(wide).probabilities != predictor.predict(left_red).probabilities
    sheets = sorted(path.name for path in (tmp_path / "d").rglob("show_batch*.png"))
    assert sheets == ["show_batch.png", "show_batch_unique.png"]


TRAIN_TINY = """
import sys
from spotter.utils.imports import lasting_imports
with lasting_imports():
    import train
    from tests.helpers import tiny
tiny.register()
sys.exit(train.main())
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="torch's launcher is tried on Linux alone")
def test_two_machines_fine_tune_together(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "source", count=8)
    # `train.py`, but that it knows the small network too.
    (tmp_path / "train_tiny.py").write_text(TRAIN_TINY)
    own = ["--search", f"folder:{source}", "--to", "store", "--data", "data", *tiny.OPTIONS, "--fine-tune", "1"]
    meeting = ["--nnodes", "2", "--nproc-per-node", "1", "--master-addr", "127.0.0.1"]
    launch = [sys.executable, "-m", "torch.distributed.run", *meeting, "--master-port", str(free_port())]
    machines = [
        subprocess.Popen(
            [*launch, "--node-rank", str(rank), "train_tiny.py", *CLASSES, *own, "--no-shifts"],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        )
        for rank in range(2)
    ]
    (said, errors), (helper_said, helper_errors) = (machine.communicate(timeout=1200) for machine in machines)
    assert [machine.returncode for machine in machines] == [0, 0], (errors[-2000:], helper_errors[-2000:])
    assert said.splitlines()[-1].startswith("revision ")
    # The second one collects, judges and publishes nothing, but it does fine-tune.
    assert "Collect the pictures" not in helper_said
    assert "Epoch 1/1" in helper_said + helper_errors
    assert len(list((tmp_path / "store" / "revisions").iterdir())) == 1


def test_strangers_of_ones_own_are_measured(trained: Published, data: Path, tmp_path: Path, capsys) -> None:
    rng = np.random.default_rng(1)
    strangers = tmp_path / "strangers"
    strangers.mkdir()
    for number in range(8):
        noise = rng.integers(0, 256, (80, 80, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((300, 300)).save(strangers / f"{number}.png")
    (strangers / "notes.txt").write_text("no picture")
    same = ["--search", f"folder:{trained.pictures}", "--data", data, "--to", tmp_path / "s"]
    status, output, _ = run(capsys, *CLASSES, *tiny.OPTIONS, *same, "--unfamiliar", strangers)
    assert status == 0
    told = re.search(r"strangers: (\d) of 8 refused .* AUROC ([\d.]+)", output)
    assert told
    assert int(told[1]) >= 7
    assert float(told[2]) > 0.95
    published = json.loads((predictor_folder(tmp_path / "s") / "metrics.json").read_text())["strangers"]
    assert (published["pictures"], published["refused"]) == (8, int(told[1]))
    report = next(data.rglob("report.html")).read_text()
    assert f"{told[1]} of 8" in report


def predictor_folder(store: Path) -> Path:
    return store / "revisions" / (store / "main").read_text().strip()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "needs at least 2 classes to tell apart; there is none"),
        (["--class", "cat"], "needs at least 2 classes to tell apart; there is only 'cat'"),
        (["none.toml"], "no recipe 'none.toml'"),
        ([*CLASSES, "--search", "folder:/nowhere"], "no folder '/nowhere'"),
        ([*CLASSES, "--search", "folder"], "needs an argument: write --search folder:PATH"),
        ([*CLASSES, "--search", "altavista"], "choose one of: brave, duckduckgo, feedback, folder, hf, inaturalist,"),
        ([*CLASSES, "--to", "s3://x/y"], "cannot be opened"),
    ],
)
def test_mistakes_are_one_sentence_and_exit_1(
    arguments: list[str], expected: str, capsys, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    status, output, error = run(capsys, *arguments)
    assert status == 1
    assert expected in error
    assert error.startswith("train.py: ")
    assert "revision" not in output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["--unfamiliar", "/nowhere"],
        ["--fine-tune", "-1"],
        ["--fine-tune", "x"],
        ["--nope"],
        ["a.toml", "--class", "b"],
        ["--size", "8"],
        ["--resize", "stretch"],
        ["--fine-tune", "1", "--min-scale", "0"],
        ["--fine-tune", "1", "--presize", "100"],
        ["--fine-tune", "1", "--mult", "-1"],
        ["--min-scale", "0.5"],
        ["--find-rate"],
    ],
)
def test_wrong_usage_exits_2(arguments: list[str], capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        train.main(arguments)
    assert caught.value.code == 2


def test_too_few_pictures_publish_nothing(tmp_path: Path, capsys) -> None:
    source = write_folder(tmp_path / "source", count=3)
    status, _, error = run(
        capsys, *CLASSES, "--search", f"folder:{source}", "--to", tmp_path / "s", "--data", tmp_path / "d"
    )
    assert status == 1
    assert "3 usable pictures and needs at least 5" in error
    assert not (tmp_path / "s").exists()


def test_a_store_that_cannot_be_written_is_told(trained: Published, data: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "s").write_text("in the way")
    same = ["--search", f"folder:{trained.pictures}", "--data", data]
    status, _, error = run(capsys, *CLASSES, *tiny.OPTIONS, *same, "--to", tmp_path / "s")
    assert status == 1
    assert "cannot be written" in error


def test_unknown_architectures_and_missing_weights_are_told(
    trained: Published, data: Path, tmp_path: Path, capsys
) -> None:
    common = [*CLASSES, "--search", f"folder:{trained.pictures}", "--to", tmp_path / "s", "--data", data]
    status, _, error = run(capsys, *common, "--arch", "resnet81")
    assert status == 1
    assert "no architecture 'resnet81'" in error
    assert "resnet" in error.split("near it are:")[1]
    status, _, error = run(capsys, *common, "--arch", "resnet18")
    assert status == 1
    assert "weights of 'resnet18' come from timm/resnet18" in error
    assert "tf_efficientnet_lite0 needs no download" in error
    assert not (tmp_path / "s").exists()


@pytest.mark.slow
def test_the_real_bears_are_learnt(real_bears: Published, bear_photos: Path, stranger_photos: Path) -> None:
    metrics = json.loads((real_bears.folder / "metrics.json").read_text())
    assert metrics["pictures"] == 376
    assert metrics["error"] < 0.03
    predictor = Predictor.load(real_bears.store)
    known = predictor.predict_many(sorted(bear_photos.glob("*/*"))[::10])
    strangers = predictor.predict_many(sorted(stranger_photos.glob("*/*")))
    assert sum(prediction.familiar for prediction in known) >= 0.9 * len(known)
    assert sum(prediction.familiar for prediction in strangers) <= 0.03 * len(strangers)


def test_a_picture_unlike_all_is_not_familiar(prebuilt: Revision) -> None:
    predictor = Predictor.load(prebuilt.store)
    assert not predictor.predict(encode(draw("disc", 1).convert("1").resize((900, 60)), "PNG")).familiar
