"""Other timm architectures, their weights fetched by the real client from a stand-in for the Hub on loopback."""

import hashlib
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import timm
from safetensors.torch import save

import train
from spotter import Predictor
from spotter.bundle.format import INT8_ONNX
from spotter.bundle.reading import read_bundle
from spotter.stores import FolderStore
from tests.conftest import Revision
from tests.helpers.drawing import KINDS
from tests.helpers.hub import point_client

pytestmark = pytest.mark.slow

CLASSES = [word for kind in KINDS for word in ("--class", kind)]


class Hub(BaseHTTPRequestHandler):
    """Serves `model.safetensors` (random weights) of any timm model that timm says is on the Hub."""

    weights: dict[str, bytes]

    def do_HEAD(self) -> None:
        self._answer(send=False)

    def do_GET(self) -> None:
        self._answer(send=True)

    def _answer(self, send: bool) -> None:
        match = re.fullmatch(r"/(timm/[\w.-]+)/resolve/main/model\.safetensors", self.path)
        content = self.weights.get(match[1]) if match else None
        self.send_response(200 if content else 404)
        if content is None:
            self.send_header("X-Error-Code", "EntryNotFound")
        self.send_header("X-Repo-Commit", "a" * 40)
        self.send_header("ETag", f'"{hashlib.sha1(content or b"", usedforsecurity=False).hexdigest()}"')
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        if send and content:
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    Hub.weights = {}
    for arch in ("resnet10t", "test_vit"):
        model = timm.create_model(arch, pretrained=False)
        state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
        Hub.weights[timm.get_pretrained_cfg(arch).hf_hub_id] = save(state)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    point_client(monkeypatch, f"http://127.0.0.1:{server.server_port}", tmp_path / "hub")
    yield
    server.shutdown()


@pytest.mark.parametrize(("arch", "size"), [("resnet10t", 64), ("test_vit", 160)])
def test_weights_are_fetched_and_the_model_published(
    arch: str, size: int, hub: None, prebuilt: Revision, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*CLASSES, "--search", f"folder:{prebuilt.pictures}", "--arch", arch, "--size", str(size)]
    words += ["--to", str(tmp_path / "store"), "--data", str(tmp_path / "data"), "--int8", "--no-shifts"]
    assert train.main(words) == 0
    said = capsys.readouterr().out
    predictor = Predictor.load(tmp_path / "store")
    folder = FolderStore(tmp_path / "store").pull()[0]
    figures = read_bundle(folder).card.int8
    is_kept = figures is not None
    assert (folder / INT8_ONNX).exists() == is_kept
    assert (INT8_ONNX in (folder / "README.md").read_text()) == is_kept
    assert ("  no int8 variant, because " in said) != is_kept
    if figures:
        assert f"{figures.points_lost:.2f} points lost" in said
        assert Predictor.load(tmp_path / "store", int8=True).labels == ("disc", "cross", "stripes")
    assert predictor.card.arch == arch
    assert predictor.predict(prebuilt.folder / "example-1.jpg").probabilities.keys() == {"disc", "cross", "stripes"}
