"""The int8 network: kept only if it is worth it, served only when asked for, and close to the float one."""

import json
import re
import shutil
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

import app
from spotter import Predictor
from spotter.bundle.format import INT8_ONNX, Int8, ParityReport
from spotter.bundle.reading import read_bundle
from spotter.cli import make_parser, serve
from spotter.config import FamiliarityConfig, Int8Config, ParityConfig, TrainConfig
from spotter.data.dataset import Dataset, Record
from spotter.data.splits import assign_folds
from spotter.errors import BrokenModel, NoInt8, TemporaryUnwritable
from spotter.evaluate.metrics import Familiarity
from spotter.evaluate.ood import score_folds
from spotter.images import load_picture, to_square
from spotter.inference.cpu import has_vnni, processor_name
from spotter.inference.session import open_session
from spotter.publish import quantize
from spotter.publish.parity import compare_probabilities, parity_pictures
from spotter.publish.quantize import COPIES, _spread, add_int8, measure, quantise, refuse, speed_ratio
from spotter.publish.writing import write_model_json
from spotter.stores import FolderStore
from spotter.train.backbone import compute_features, load_backbone
from spotter.train.head import fit_head
from spotter.train.trained import Trained
from tests.conftest import Published
from tests.helpers.learnt import make_trained_of

LENIENT = Int8Config(
    pictures=8,
    runs=6,
    max_points_lost=101,
    min_speed_ratio=0,
    max_acceptance_change=1,
    parity=ParityConfig(tolerance=1.1, mean_tolerance=1.1, same_labels=0),
)
GOOD = Int8(0.33, 301, 5, 6, 0.963, 0.967, ParityReport(72, 0.2, 0.01, 1), 1.8, "Some CPU")


@pytest.fixture(scope="module")
def learnt(published: Published) -> tuple[Dataset, np.ndarray, Trained]:
    """The picture set of the published model, its folds, and what `train.py` learnt from it."""
    manifest = next(published.data.rglob("manifest.jsonl"))
    records = tuple(record for line in manifest.read_text().splitlines() if (record := Record.from_json(line)).kept)
    dataset = Dataset(manifest.parent, ("disc", "cross", "stripes"), records, ())
    features = compute_features(load_backbone(TrainConfig()), dataset)
    folds = assign_folds(dataset, 5, 42)
    head, probabilities = fit_head(features, dataset.targets, folds, TrainConfig())
    everything = np.ones(len(records), dtype=bool)
    return dataset, folds, make_trained_of(features, everything, probabilities, head)


def known_of(files: Path) -> Familiarity:
    """The threshold of a revision; the score without what it says of views, which are not in `learnt`."""
    card = read_bundle(files).card
    return Familiarity(card.threshold, 0, card.neighbours)


@pytest.fixture(scope="module")
def store(published: Published, learnt, tmp_path_factory: pytest.TempPathFactory) -> FolderStore:
    """A store with a revision that has an int8 network."""
    base = tmp_path_factory.mktemp("int8")
    files = Path(shutil.copytree(published.folder, base / "files"))
    figures, sentence = add_int8(files, *learnt, known_of(files), LENIENT)
    assert figures is not None, sentence
    write_model_json(files, replace(read_bundle(files).card, int8=figures))
    store = FolderStore(base / "store")
    store.push(files)
    return store


@pytest.fixture(scope="module")
def quick(store: FolderStore) -> Predictor:
    return Predictor.load(store.root, int8=True)


def squares_of(published: Published) -> np.ndarray:
    return np.stack([to_square(load_picture(path), 224) for path in sorted(published.pictures.glob("*/*"))[::4]])


def test_it_answers_almost_like_the_float_network(quick: Predictor, published: Published) -> None:
    exact = Predictor.load(published.store)
    paths = sorted(published.pictures.glob("*/*"))
    pairs = list(zip(quick.predict_many(paths), exact.predict_many(paths), strict=True))
    assert sum(a.label == b.label for a, b in pairs) >= 0.95 * len(pairs)
    assert np.mean([abs(a.familiarity - b.familiarity) for a, b in pairs]) < 0.04
    assert any(a.probabilities != b.probabilities for a, b in pairs)


def test_the_body_is_int8_and_the_head_is_not(store: FolderStore) -> None:
    folder = store.pull()[0]
    assert (folder / INT8_ONNX).stat().st_size < 0.4 * (folder / "model.onnx").stat().st_size
    nodes = onnx.load(folder / INT8_ONNX).graph.node
    makers = {output: node.op_type for node in nodes for output in node.output}
    convolutions = [[makers.get(name) for name in node.input] for node in nodes if node.op_type == "Conv"]
    assert [kinds[:2] for kinds in convolutions[1:-1]] == [["DequantizeLinear"] * 2] * (len(convolutions) - 2)
    # The first convolution, the one that explains, and the head.
    weights = [node.input[1] for node in nodes if node.op_type == "Gemm"]
    assert [convolutions[0][1], convolutions[-1][1], makers.get(weights[0])] == [None] * 3


def test_its_features_are_not_shifted(store: FolderStore, published: Published, learnt) -> None:
    dataset, folds, _ = learnt
    last = folds == folds.max()
    paths = _spread([path for path, is_last in zip(dataset.paths, last, strict=True) if is_last], LENIENT.pictures)
    squares = np.stack([to_square(load_picture(path), 224) for path in paths])
    means = []
    for network in ((store.pull()[0] / INT8_ONNX).read_bytes(), read_bundle(published.folder).onnx):
        session = open_session(network, "a test")
        means.append(session.run(["embedding"], {"pixels": squares})[0].mean(axis=0))
    # Without the correction the cosine of the means is less.
    assert means[0] @ means[1] / np.prod(np.linalg.norm(means, axis=1)) > 0.998


def test_no_room_for_its_copies_is_told(published: Published, tmp_path: Path, monkeypatch) -> None:
    network = read_bundle(published.folder).onnx
    disk = tmp_path / "disk"
    disk.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(disk))
    for copies in (0.5, 1.5, COPIES - 0.1):
        size = f"size={int(copies * len(network))}"
        mount = ["mount", "-t", "tmpfs", "-o", size, "tmpfs", disk]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("a small disk cannot be mounted here")
        try:
            with pytest.raises(TemporaryUnwritable, match="No space left on device"):
                quantise(network, list(squares_of(published))[:1])
            assert list(disk.iterdir()) == []
        finally:
            subprocess.run(["umount", disk], check=True)


def test_it_can_explain_itself(quick: Predictor, published: Published) -> None:
    path = sorted((published.pictures / "disc").iterdir())[0]
    assert quick.explain(path, "disc").size == Predictor.load(published.store).explain(path, "disc").size
    squares = squares_of(published)
    exact = Predictor.load(published.store)
    maps = [each._session.run(["activation"], {"pixels": squares})[0].ravel() for each in (quick, exact)]
    assert np.corrcoef(maps)[0, 1] > 0.95


def test_its_figures_are_in_model_json_and_its_hash_too(store: FolderStore, learnt) -> None:
    folder = store.pull()[0]
    content = json.loads((folder / "model.json").read_text())
    figures = read_bundle(folder).card.int8
    assert figures is not None
    assert content["int8"]["parity"]["pictures"] == figures.parity.pictures == 72
    assert figures.points_lost == pytest.approx(100 * (figures.wrong_int8 - figures.wrong) / figures.pictures)
    assert figures.pictures == (learnt[1] != learnt[1].max()).sum()
    assert figures.processor == processor_name()
    assert INT8_ONNX in content["sha256"]


def test_the_float_side_of_the_figures_is_that_of_the_evaluation(store: FolderStore, learnt) -> None:
    dataset, folds, trained = learnt
    card = read_bundle(store.pull()[0]).card
    judged = folds != folds.max()
    wrong = (trained.probabilities.argmax(axis=1) != dataset.targets)[judged].sum()
    scores = score_folds(trained.embeddings, folds, FamiliarityConfig())[judged]
    assert card.int8 is not None
    assert card.int8.wrong == wrong
    assert card.int8.accepted == pytest.approx((scores >= card.threshold).mean())


def test_only_who_asks_gets_it(store: FolderStore, published: Published, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(store.pull()[0], tmp_path / "files"))
    network = (folder / INT8_ONNX).read_bytes()
    (folder / INT8_ONNX).write_bytes(network[:-1] + bytes([network[-1] ^ 1]))
    assert read_bundle(folder).onnx == (published.folder / "model.onnx").read_bytes()
    with pytest.raises(BrokenModel, match=r"model-int8\.onnx is damaged or was changed"):
        read_bundle(folder, int8=True)
    (folder / INT8_ONNX).unlink()
    assert Predictor(read_bundle(folder)).labels
    with pytest.raises(BrokenModel, match=r"model-int8\.onnx is missing"):
        read_bundle(folder, int8=True)
    (folder / "model.onnx").unlink()
    (folder / INT8_ONNX).write_bytes(network)
    assert Predictor(read_bundle(folder, int8=True)).labels


@pytest.mark.parametrize("figures", [{}, {"speed_ratio": 2}, [], "fast", {"parity": None}])
def test_garbled_figures_are_told(figures: object, published: Published, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(published.folder, tmp_path / "files"))
    content = json.loads((folder / "model.json").read_text()) | {"int8": figures}
    (folder / "model.json").write_text(json.dumps(content))
    with pytest.raises(BrokenModel, match="missing or damaged"):
        read_bundle(folder)


def test_a_network_that_is_not_one_is_named(store: FolderStore) -> None:
    bundle = read_bundle(store.pull()[0], int8=True)
    with pytest.raises(BrokenModel, match=r"model-int8\.onnx cannot be opened"):
        Predictor(replace(bundle, onnx=b"nothing"))


def test_where_there_is_none_it_is_told(published: Published, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(NoInt8, match="no int8 network"):
        Predictor.load(published.store, int8=True)
    assert app.main(["--model", str(published.store), "--int8"]) == 1
    assert capsys.readouterr().err.startswith("app.py: This revision has no int8 network; ")


@pytest.mark.parametrize(("value", "expected"), [(None, False), ("", False), ("0", False), ("1", True)])
def test_a_space_asks_by_its_environment(value: str | None, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MODEL_INT8", raising=False)
    if value is not None:
        monkeypatch.setenv("MODEL_INT8", value)
    parser = make_parser(serve, "app.py")
    assert parser.parse_args(["--model", "models/bears"]).int8 is expected
    assert parser.parse_args(["--model", "models/bears", "--int8"]).int8 is True


def test_what_is_worth_it_is_kept() -> None:
    assert refuse(GOOD, Int8Config()) == ""
    assert refuse(replace(GOOD, points_lost=-1.0), Int8Config()) == ""


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"points_lost": 0.5, "wrong_int8": 7}, r"loses 0\.50 points \(7 of 301 wrong instead of 5\)"),
        ({"points_lost": float("nan")}, "loses nan points"),
        ({"speed_ratio": 1.05}, r"1\.05 times as fast on Some CPU, asked is 1\.1"),
        ({"accepted_int8": 0.9}, r"90\.0% of them familiar instead of 96\.3%"),
        ({"accepted_int8": 1.0}, r"100\.0% of them familiar"),
        ({"parity": ParityReport(72, 0.5, 0.01, 1)}, r"differ by up to 0\.5, allowed is 0\.5"),
        ({"parity": ParityReport(72, 0.2, 0.03, 1)}, r"differ by 0\.03 on average, allowed is 0\.03"),
        ({"parity": ParityReport(72, 0.2, 0.01, 4)}, "4 of 72 pictures get other labels"),
        ({"parity": ParityReport(72, float("nan"), 0.01, 0)}, "up to nan"),
    ],
)
def test_what_is_not_worth_it_is_refused_with_the_reason(change: dict, reason: str) -> None:
    assert re.search(reason, refuse(replace(GOOD, **change), Int8Config()))


def test_nothing_of_a_refused_one_is_in_the_files(
    published: Published, store: FolderStore, learnt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = (store.pull()[0] / INT8_ONNX).read_bytes()
    monkeypatch.setattr(quantize, "quantise", lambda *_: network)
    monkeypatch.setattr(quantize, "measure", lambda *_: GOOD)
    files = Path(shutil.copytree(published.folder, tmp_path / "files"))
    before = sorted(path.name for path in files.iterdir())
    figures, sentence = add_int8(files, *learnt, known_of(files), replace(LENIENT, min_speed_ratio=1000))
    assert figures is None
    assert sentence == "no int8 variant, because it is 1.80 times as fast on Some CPU, asked is 1000"
    assert sorted(path.name for path in files.iterdir()) == before


def test_a_bad_one_is_found_out(
    store: FolderStore, published: Published, learnt, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, folds, trained = learnt
    bundle = read_bundle(published.folder)
    model = onnx.load_from_string((store.pull()[0] / INT8_ONNX).read_bytes())
    # It sees every picture three times as bright and rich in contrast as it was learnt from.
    (scale,) = (tensor for tensor in model.graph.initializer if tensor.name == "network.scale")
    scale.CopyFrom(onnx.numpy_helper.from_array(3 * onnx.numpy_helper.to_array(scale), scale.name))
    network = model.SerializeToString()
    # So bad that twelve pictures, and those of one fold, are enough to see it.
    monkeypatch.setattr(quantize, "parity_pictures", lambda paths: parity_pictures(paths, 12))
    figures = measure(bundle, network, dataset, folds, trained, folds == 0, known_of(published.folder), LENIENT)
    assert figures.points_lost > 5
    reasons = refuse(figures, Int8Config())
    assert "points" in reasons
    assert "differ by up to" in reasons


def test_parity_is_counted() -> None:
    first = np.array([[0.6, 0.4], [0.5, 0.5]])
    second = np.array([[0.4, 0.6], [0.5, 0.5]])
    assert compare_probabilities(first, second) == ParityReport(2, pytest.approx(0.2), pytest.approx(0.1), 1)


class Clock:
    """Of a machine that is slower and slower: at the end it takes twenty times as long."""

    def __init__(self) -> None:
        self.seconds, self.runs = 0.0, 0

    def perf_counter(self) -> float:
        return self.seconds


class Session:
    def __init__(self, clock: Clock, seconds: float) -> None:
        self.clock, self.seconds = clock, seconds

    def run(self, names: list[str], feed: dict[str, np.ndarray]) -> None:
        self.clock.runs += 1
        self.clock.seconds += self.seconds * 1.13**self.clock.runs


def test_speed_is_measured_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.zeros((1, 8, 8, 3), dtype=np.uint8)
    for first, second in ((0.015, 0.005), (0.005, 0.015)):
        clock = Clock()
        monkeypatch.setattr(quantize, "time", clock)
        ratio = speed_ratio(Session(clock, first), Session(clock, second), pixels, 9)
        assert clock.runs == 24
        # One after the other, it would be off by more than a factor of two.
        assert ratio == pytest.approx(first / second, rel=0.15)


def test_the_processor_is_read(tmp_path: Path) -> None:
    facts = tmp_path / "cpuinfo"
    facts.write_text(
        "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nflags\t\t: sse avx512_vnni avx2\n\nprocessor\t: 1\n"
    )
    assert (processor_name(facts), has_vnni(facts)) == ("Some CPU @ 2 GHz", True)
    facts.write_text("model name\t: Older CPU\nflags\t\t: sse avx2 avx512_vnnix\n")
    assert (processor_name(facts), has_vnni(facts)) == ("Older CPU", False)
    assert processor_name(tmp_path / "none")
    assert not has_vnni(tmp_path / "none")


@pytest.mark.parametrize("int8", [False, True])
def test_the_constants_told_are_those_inside_the_graph(int8: bool, store: FolderStore) -> None:
    bundle = read_bundle(store.pull()[0], int8)
    told = bundle.card.preprocessing
    inside = {tensor.name: tensor for tensor in onnx.load_from_string(bundle.onnx).graph.initializer}
    scale, shift = (onnx.numpy_helper.to_array(inside[f"network.{name}"]).ravel() for name in ("scale", "shift"))
    assert len(told["mean"]) == len(told["std"]) == 3
    assert scale == pytest.approx(told["scale"] / np.array(told["std"]), rel=1e-6)
    assert shift == pytest.approx(np.array(told["mean"]) / np.array(told["std"]), rel=1e-6)


def test_the_words_told_give_the_same_pixels(published: Published) -> None:
    told = json.loads((published.folder / "model.json").read_text())["preprocessing"]
    assert told["resize"].startswith("crop, ")
    assert told["interpolation"] == "Pillow bilinear"
    picture = Image.effect_noise((400, 300), 90).convert("RGB")
    by_hand = picture.crop((50, 0, 350, 300)).resize((told["size"], told["size"]), Image.Resampling.BILINEAR)
    assert np.array_equal(np.asarray(by_hand), to_square(picture, told["size"]))
