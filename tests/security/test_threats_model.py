"""Hostile and broken published models, rows 24 to 27 of the threat table; each file has the hash that model.json says,
unless the hash is what is tested. What a Hub in trouble does (27) is in stores/test_hub.py, for each of its answers."""

import hashlib
import json
import os
import pickle
import resource
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cloudpickle
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from safetensors.numpy import save

from spotter.bundle.onnx_check import check_network
from spotter.bundle.reading import read_bundle
from spotter.config import ServeConfig
from spotter.errors import BrokenModel
from spotter.inference import session
from spotter.inference.predictor import Predictor
from spotter.inference.session import open_session
from spotter.serve.app import create_app
from spotter.serve.service import ModelInfo
from spotter.stores import FolderStore
from spotter.stores.base import content_name
from spotter.stores.hub import HubStore
from tests.conftest import ROOT, Revision
from tests.helpers.drawing import draw, encode
from tests.helpers.hub import WRITER, Hub, point_client
from tests.helpers.pictures import predict_by_color


@pytest.fixture
def bundle(prebuilt: Revision, tmp_path: Path) -> Path:
    return Path(shutil.copytree(prebuilt.folder, tmp_path / "bundle"))


def sign(folder: Path, **changes: object) -> Path:
    """Let model.json promise what is there."""
    content = json.loads((folder / "model.json").read_text()) | changes
    content["sha256"] = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
        if path.name != "model.json"
    }
    (folder / "model.json").write_text(json.dumps(content))
    return folder


def refused(folder: Path) -> str:
    with pytest.raises(BrokenModel) as caught:
        Predictor(read_bundle(folder))
    assert str(folder.parent) not in str(caught.value)
    return str(caught.value)


class Bomb:
    """Its pickle makes a file when it is opened."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.canary),)


class FunctionBomb(Bomb):
    """As fastai writes functions: the code itself is in the pickle, by cloudpickle."""

    def __reduce__(self) -> tuple:
        canary = str(self.canary)
        return (lambda: __import__("os").mkdir(canary)), ()


KINDS = (Bomb, FunctionBomb)


LOAD = """
import shutil, sys
from pathlib import Path
sys.addaudithook(lambda event, arguments: event == "pickle.find_class" and sys.exit("a pickle was opened"))
from spotter import Predictor
picture, cache, *bombs = sys.argv[1:]
for bomb in bombs:
    for _ in range(2):
        predictor = Predictor.load(f"hf://anna/{Path(bomb).name}")
        print(predictor.predict(picture).label, predictor.revision)
        # The second time it lies in the cache already, as another program may have left it there.
        (snapshot,) = Path(cache).glob(f"models--anna--{Path(bomb).name}/snapshots/*")
        shutil.copy(bomb, snapshot / "export.pkl")
"""


@pytest.mark.parametrize("kind", KINDS)
def test_row_24_a_bomb_goes_off_when_opened(kind: type[Bomb], tmp_path: Path) -> None:
    pickle.loads(cloudpickle.dumps(kind(tmp_path / "canary")))  # noqa: S301
    assert (tmp_path / "canary").exists()


@pytest.mark.slow
def test_row_24_no_pickle_is_fetched_or_opened(hub: Hub, bundle: Path, tmp_path: Path) -> None:
    canary, home, told = tmp_path / "canary", tmp_path / "home", []
    bombs = [tmp_path / kind.__name__.lower() for kind in KINDS]
    for kind, bomb in zip(KINDS, bombs, strict=True):
        bomb.write_bytes(cloudpickle.dumps(kind(canary)))
        shutil.copy(bomb, bundle / "export.pkl")
        revision = HubStore(f"anna/{bomb.name}", endpoint=hub.url, cache=tmp_path / "cache").push(sign(bundle))
        told += 2 * ["cross", revision]
    (tmp_path / "cross.png").write_bytes(encode(draw("cross", 5)))
    mine = {"HF_ENDPOINT": hub.url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0"}
    hub.forget()
    finished = subprocess.run(
        [sys.executable, "-c", LOAD, tmp_path / "cross.png", home / "hub", *bombs],
        cwd=ROOT, env=os.environ | mine, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert finished.stdout.split() == told, finished.stderr
    assert not canary.exists()
    assert hub.asked("export.pkl") == 0
    assert WRITER not in finished.stdout + finished.stderr


@pytest.mark.parametrize("name", ["model.onnx", "reference.safetensors", "model.json"])
def test_row_24_a_pickle_under_another_name_is_not_opened(name: str, bundle: Path, tmp_path: Path) -> None:
    bomb = pickle.dumps(Bomb(tmp_path / "canary"))
    (bundle / name).write_bytes(bomb)
    if name != "model.json":
        sign(bundle)
    assert name in refused(bundle)
    assert not (tmp_path / "canary").exists()


def test_row_25_other_bytes_under_the_same_name_are_refused(hub: Hub, bundle: Path, tmp_path: Path) -> None:
    store = HubStore("anna/swapped", endpoint=hub.url, cache=tmp_path / "cache")
    revision = store.push(bundle)
    for name in ("model.onnx", "reference.safetensors", "example-1.jpg"):
        commit = hub.repos["anna/swapped"].head
        good = commit.files[name]
        commit.files[name] = good[:-1] + bytes([good[-1] ^ 1])
        cold = HubStore("anna/swapped", endpoint=hub.url, cache=tmp_path / f"cold-{name}")
        assert f"{name} is damaged or was changed" in refused(cold.pull(revision)[0])
        commit.files[name] = good


def test_row_25_a_whole_other_model_under_the_same_name_is_refused(
    hub: Hub, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    revision = HubStore("anna/other", endpoint=hub.url, cache=tmp_path / "cache").push(bundle)
    contents = content_name(bundle)
    files = hub.repos["anna/other"].head.files
    point_client(monkeypatch, hub.url, tmp_path / "one")
    assert Predictor.load("hf://anna/other", revision, contents=contents).threshold > 0
    # Consistent in itself: every hash fits, but the threshold lets everything pass.
    files["model.json"] = json.dumps({**json.loads(files["model.json"]), "threshold": 0.0}).encode()
    point_client(monkeypatch, hub.url, tmp_path / "two")
    with pytest.raises(BrokenModel, match="The model in the store is not the one that was asked for"):
        Predictor.load("hf://anna/other", revision, contents=contents)


def test_row_25_a_link_out_of_the_cache_is_refused(hub: Hub, bundle: Path, tmp_path: Path) -> None:
    store = HubStore("anna/linked", endpoint=hub.url, cache=tmp_path / "cache")
    folder, _ = store.pull(store.push(bundle))
    (tmp_path / "outside").write_bytes(b"root:x:0:0")
    for name in ("model.onnx", "reference.safetensors", "example-1.jpg"):
        link = (folder / name).readlink()
        (folder / name).unlink()
        (folder / name).symlink_to(tmp_path / "outside")
        assert f"{name} is damaged or was changed" in refused(folder)
        (folder / name).unlink()
        (folder / name).symlink_to(link)
    assert Predictor(read_bundle(folder)).labels == ("disc", "cross", "stripes")


def reference(rows: int, width: int, value: float = 1.0) -> bytes:
    embeddings = np.zeros((rows, width), np.float32)
    embeddings[:, 0] = value
    return save({"embeddings": embeddings})


def tensor(kind: str, shape: list[int], size: int) -> bytes:
    """A safetensors file with embeddings of a kind that numpy may not know."""
    header = json.dumps({"embeddings": {"dtype": kind, "shape": shape, "data_offsets": [0, size]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(size)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (reference(5, 1280)[:-100], "cannot be read"),
        (struct.pack("<Q", 2**63) + b"{}", "cannot be read"),
        (b"", "cannot be read"),
        (save({"weights": np.ones((2, 2), np.float32)}), "cannot be read"),
        (save({"embeddings": np.ones(4, np.float32)}), "does not hold embeddings"),
        (save({"embeddings": np.ones((4, 1), np.int64)}), "does not hold embeddings"),
        (reference(0, 1280), "does not hold embeddings"),
        (reference(5, 1280, float("nan")), "not of length 1"),
        (reference(5, 1280, 10), "not of length 1"),
        (save({"embeddings": np.diag([1.0, 1.0, 2.0]).astype(np.float32)}), "not of length 1"),
        (reference(5, 7), "does not fit"),
        (tensor("BF16", [2, 2], 8), "cannot be read"),
        (tensor("F8_E4M3", [2, 2], 4), "cannot be read"),
        (tensor("C64", [1, 1], 8), "does not hold embeddings"),
        (tensor("F32", [2**62, 0], 0), "cannot be read"),
    ],
)
def test_row_26_reference_embeddings(content: bytes, sentence: str, bundle: Path) -> None:
    (bundle / "reference.safetensors").write_bytes(content)
    assert sentence in refused(sign(bundle))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"format": 2}, "format 2"),
        ({"format": None}, "format None"),
        ({"labels": ["disc", "cross"]}, "does not fit its labels"),
        ({"labels": ["disc", "cross", "stripes", "more"]}, "does not fit its labels"),
        ({"labels": ["disc", "disc", "stripes"]}, "impossible values"),
        ({"size": 1_000_000}, "impossible values"),
        ({"size": 1e999}, "missing or damaged"),
        ({"size": 97}, "cannot run"),
        ({"size": True}, "True is not a whole number"),
        ({"size": 224.9}, "224.9 is not a whole number"),
        ({"format": True}, "format True"),
        ({"format": ["long"] * 100_000}, "format a list"),
        ({"labels": "abc"}, "labels must be words"),
        ({"labels": {"a": 1, "b": 2, "c": 3}}, "labels must be words"),
        ({"labels": ["disc", "cross", " "]}, "labels must be words"),
        ({"title": ["x"]}, "a list is not a text"),
        ({"threshold": -5}, "impossible values"),
        ({"threshold": 1.5}, "impossible values"),
        ({"threshold": 10**400}, "missing or damaged"),
        ({"temperature": float("nan")}, "impossible values"),
        ({"temperature": 0}, "impossible values"),
        ({"neighbours": "3"}, "'3' is not a whole number"),
        ({"int8": {"a\n\x1b[31m": 1, "parity": {}}}, "missing or damaged"),
        ({"int8": "fast"}, "int8: 'fast' is not a table"),
        ({"examples": "disc"}, "examples: 'disc' is not a table"),
        ({"made": None}, "made: None is not a table"),
        ({"examples": {"disc": ".."}}, "outside the model"),
        ({"examples": {"disc": ""}}, "outside the model"),
        ({"examples": {"disc": "page.html"}}, "is not a picture"),
    ],
)
def test_row_26_model_json(changes: dict, sentence: str, bundle: Path) -> None:
    told = refused(sign(bundle, **changes))
    assert sentence in told
    assert len(told) < 200
    assert told.isprintable()


@pytest.mark.parametrize("title", ["", " ", "\n\t"])
def test_row_26_a_model_without_a_title_has_that_of_its_name(title: str, bundle: Path) -> None:
    card = read_bundle(sign(bundle, title=title)).card
    assert card.title == card.name != ""
    info = ModelInfo("", card.labels)
    assert create_app(predict_by_color, info, ServeConfig()).openapi()["info"]["title"] == "Spotter"


def test_row_26_a_model_json_that_says_something_twice(bundle: Path, prebuilt: Revision) -> None:
    text = (bundle / "model.json").read_text().rstrip()
    (bundle / "model.json").write_text(text[:-1] + ', "threshold": 0.0}')
    assert "cannot be read" in refused(bundle)


def test_row_26_a_model_json_that_lists_a_file_elsewhere(bundle: Path) -> None:
    content = json.loads((bundle / "model.json").read_text())
    content["sha256"]["../outside"] = "0" * 64
    (bundle / "model.json").write_text(json.dumps(content))
    assert "names a file outside the model" in refused(bundle)


@pytest.mark.parametrize("name", ["model.json", "model.onnx", "reference.safetensors", "example-1.jpg", "metrics.json"])
@pytest.mark.parametrize("kind", ["pipe", "device", "huge"])
def test_row_26_what_has_no_end_is_not_read(name: str, kind: str, bundle: Path) -> None:
    (bundle / name).unlink()
    if kind == "pipe":
        os.mkfifo(bundle / name)
    elif kind == "device":
        (bundle / name).symlink_to("/dev/zero")
    else:
        (bundle / name).touch()
        os.truncate(bundle / name, 100 << 30)
    assert f"{name} cannot be read ({'File too large' if kind == 'huge' else 'Not a file'})" in refused(bundle)


def test_row_26_a_store_whose_model_json_is_no_file(bundle: Path, tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    folder = store.pull(store.push(bundle))[0]
    (folder / "model.json").unlink()
    os.mkfifo(folder / "model.json")
    with pytest.raises(BrokenModel, match="Not a file"):
        store.pull()
    for name in ("main", "history.jsonl"):
        (tmp_path / "store" / name).write_bytes(b"\xff[\n")
        with pytest.raises(BrokenModel, match=f"its {name} cannot be read"):
            store.pull()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metrics.json", b"[" * 100_000),
        ("metrics.json", b"[1]"),
        ("thumbnails.safetensors", save({"credits": np.frombuffer(b"[" * 100_000, np.uint8)})),
    ],
)
def test_row_26_what_the_page_shows(name: str, content: bytes, bundle: Path) -> None:
    (bundle / name).write_bytes(content)
    assert f"{name} cannot be read" in refused(sign(bundle))


def test_row_26_a_model_json_that_nests_too_deeply(bundle: Path) -> None:
    (bundle / "model.json").write_text('{"sha256":' + "[" * 100_000)
    assert "cannot be read" in refused(bundle)


def edit(folder: Path, change: Callable[[onnx.ModelProto], object]) -> Path:
    model = onnx.load(folder / "model.onnx")
    change(model)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return sign(folder)


def weights(model: onnx.ModelProto) -> TensorProto:
    return max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))


def outside(model: onnx.ModelProto) -> None:
    tensor = weights(model)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": "../../../../etc/passwd", "offset": "0", "length": "64"}.items():
        tensor.external_data.add(key=key, value=value)


def outside_in_a_constant(model: onnx.ModelProto) -> None:
    tensor = TensorProto(name="c", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="secret.bin")
    model.graph.node.insert(0, helper.make_node("Constant", [], ["unused"], value=tensor))


def outside_without_a_name(model: onnx.ModelProto) -> None:
    weights(model).data_location = TensorProto.EXTERNAL


def hidden_in_a_list(model: onnx.ModelProto) -> None:
    graph = helper.make_graph([helper.make_node("Scan", [], [], num_scan_inputs=0)], "listed", [], [])
    model.graph.node.append(helper.make_node("If", ["x"], [], listed=[graph]))


def endless(model: onnx.ModelProto) -> None:
    body = helper.make_graph([], "body", [], [])
    model.graph.node.append(helper.make_node("Loop", ["", ""], [], body=body))


def hidden_in_a_branch(model: onnx.ModelProto) -> None:
    branch = helper.make_graph([helper.make_node("Scan", [], [], num_scan_inputs=0)], "branch", [], [])
    model.graph.node.append(helper.make_node("If", ["x"], [], then_branch=branch, else_branch=branch))


def foreign(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Shell", [], [], domain="evil.example"))


def not_a_number(model: onnx.ModelProto) -> None:
    tensor = weights(model)
    tensor.raw_data = np.full(len(tensor.raw_data) // 4, np.nan, np.float32).tobytes()


def weight(value: float) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        # Few enough to be lost in what comes after: a rectifier makes 6 of infinity, and perhaps 0 of NaN.
        tensor = next(each for each in model.graph.initializer if len(each.dims) == 4)
        numbers = np.frombuffer(tensor.raw_data, np.float32).copy()
        numbers[0] = value
        tensor.raw_data = numbers.tobytes()

    return change


def function(model: onnx.ModelProto) -> None:
    inside, opset = helper.make_node("Relu", ["x"], ["y"]), helper.make_opsetid("", 20)
    model.functions.append(helper.make_function("ai.onnx", "Conv", ["x"], ["y"], [inside], [opset]))


def sparse(model: onnx.ModelProto) -> None:
    value, place = helper.make_tensor("v", 1, [1], [1.0]), helper.make_tensor("p", 7, [1], [0])
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(value, place, [10**10]))


def node(operator: str, domain: str = "", **attributes: object) -> Callable[[onnx.ModelProto], None]:
    made = helper.make_node(operator, ["x"], ["unused"], domain=domain, **attributes)
    return lambda model: model.graph.node.append(made)


def instead(
    name: str, operator: str, kind: int = TensorProto.FLOAT, **how: object
) -> Callable[[onnx.ModelProto], None]:
    """Let an answer be what an operator makes of it."""

    def change(model: onnx.ModelProto) -> None:
        for each in model.graph.node:
            for names in (each.input, each.output):
                names[:] = ["before" if one == name else one for one in names]
        model.graph.node.append(helper.make_node(operator, ["before"] * how.pop("times", 1), [name], **how))
        answer = next(each for each in model.graph.output if each.name == name)
        answer.type.CopyFrom(helper.make_tensor_type_proto(kind, None))

    return change


def unfolds(model: onnx.ModelProto) -> None:
    """A few bytes that become 6 GB."""
    model.graph.initializer.append(helper.make_tensor("shape", TensorProto.INT64, [1], [1_500_000_000]))
    model.graph.node.append(helper.make_node("ConstantOfShape", ["shape"], ["zeros"]))
    model.graph.node.append(helper.make_node("ReduceSum", ["zeros"], ["sum"], keepdims=0))
    model.graph.output.append(helper.make_tensor_value_info("sum", TensorProto.FLOAT, []))


def other_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].name = "image"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (outside, "tries to read other files"),
        (outside_in_a_constant, "tries to read other files"),
        (outside_without_a_name, "tries to read other files"),
        (hidden_in_a_list, "the operator 'Scan'"),
        (instead("activation", "Log"), "not numbers"),
        (endless, "the operator 'Loop'"),
        (hidden_in_a_branch, "the operator 'Scan'"),
        (foreign, "the operator 'Shell'"),
        (not_a_number, "not numbers"),
        *((weight(value), "weights that are not numbers") for value in (np.nan, np.inf, -np.inf)),
        (function, "holds a function"),
        (sparse, "holds a sparse tensor"),
        (node("RandomNormalLike"), "the operator 'RandomNormalLike'"),
        (node("StringNormalizer"), "the operator 'StringNormalizer'"),
        (node("LabelEncoder", "ai.onnx.ml"), "the operator 'LabelEncoder' of 'ai.onnx.ml'"),
        (node("EPContext", "com.microsoft", ep_cache_context="../x"), "the operator 'EPContext' of 'com.microsoft'"),
        (node("\x1b[31m" + "x" * 100_000), r"the operator '\x1b[31mxxx"),
        (instead("probabilities", "Log"), "do not add up to 1"),
        (instead("probabilities", "Cast", TensorProto.STRING, to=TensorProto.STRING), "not numbers"),
        (instead("embedding", "Cast", TensorProto.INT64, to=TensorProto.INT64), "not numbers"),
        (instead("embedding", "Sum", times=3), "longer than 1"),
        (instead("activation", "Flatten"), "a map of evidence that does not fit"),
        (other_input, "cannot be opened|cannot run"),
        (lambda model: model.graph.ClearField("output"), "cannot be opened|cannot run"),
    ],
)
def test_row_26_networks(change: Callable[[onnx.ModelProto], object], sentence: str, bundle: Path) -> None:
    told = refused(edit(bundle, change))
    assert any(part in told for part in sentence.split("|")), told
    assert len(told) < 200


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux holds a process to a bound")
def test_row_26_a_network_that_unfolds_takes_no_memory(bundle: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    edit(bundle, unfolds)
    taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "cannot run" in refused(bundle)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - taken < 2 << 20
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


def test_row_26_a_network_without_end_is_stopped(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(model: onnx.ModelProto) -> None:
        model.graph.initializer.append(helper.make_tensor("side", TensorProto.INT64, [2], [500, 500]))
        model.graph.node.append(helper.make_node("ReduceSum", ["probabilities"], ["one"], keepdims=0))
        model.graph.node.append(helper.make_node("Expand", ["one", "side"], ["m0"]))
        for number in range(20_000):
            model.graph.node.append(helper.make_node("MatMul", [f"m{number}", "m0"], [f"m{number + 1}"]))
        model.graph.output.append(helper.make_tensor_value_info("m20000", TensorProto.FLOAT, None))

    monkeypatch.setattr(session, "MOST_SECONDS", 0.5)
    assert "gave no answer within 0.5 s" in refused(edit(bundle, slow))


def test_row_26_the_other_format_of_onnx_runtime_is_not_read(prebuilt: Revision, tmp_path: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.optimized_model_filepath = str(tmp_path / "model.ort")
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(prebuilt.folder / "model.onnx", options)
    other = (tmp_path / "model.ort").read_bytes()
    assert onnxruntime.InferenceSession(other)
    with pytest.raises(BrokenModel, match="cannot be opened as a network"):
        open_session(other, "model.onnx")


def test_row_26_masks_may_hold_minus_infinity(prebuilt: Revision) -> None:
    model = onnx.load(prebuilt.folder / "model.onnx")
    mask = np.triu(np.full((4, 4), -np.inf, np.float32), 1)
    model.graph.initializer.append(onnx.numpy_helper.from_array(mask, "mask"))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(np.inf, np.float32), "end"))
    check_network(model.SerializeToString())


def test_row_26_networks_of_countless_parts_are_refused_at_once() -> None:
    with pytest.raises(BrokenModel, match="not an ONNX file"):
        check_network(b"\x08\x01" * 20_000_000)


def test_row_26_networks_that_are_cut_or_noise(prebuilt: Revision) -> None:
    content = (prebuilt.folder / "model.onnx").read_bytes()
    check_network(content)
    noise = np.random.default_rng(3)
    for hostile in (b"", b"\x08\x08", content[:-1], content[:100], *(noise.bytes(2000) for _ in range(20))):
        with pytest.raises(BrokenModel, match="not an ONNX file"):
            check_network(hostile)


def inside(field: int, message: bytes) -> bytes:
    """A protobuf message as a field of another."""
    length, size = b"", len(message)
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return bytes([field << 3 | 2]) + length + bytes([size]) + message


def test_row_26_a_network_nested_without_end() -> None:
    def nested(depth: int) -> bytes:
        graph = inside(1, inside(4, b"Relu"))
        for _ in range(depth):
            graph = inside(1, inside(4, b"If") + inside(5, inside(6, graph)))
        return inside(7, graph)

    check_network(nested(3))
    with pytest.raises(BrokenModel, match="not an ONNX file"):
        check_network(nested(5000))
