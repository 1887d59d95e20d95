"""Other timm architectures, their weights fetched by the real client from a stand-in for the Hub on loopback."""

import hashlib
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import timm
from huggingface_hub import constants
from safetensors.torch import save

import train
from spotter import Predictor
from tests.conftest import Revision
from tests.helpers.drawing import KINDS

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
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    # The client has read these from the environment long before, for all the other tests.
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
    Hub.weights = {}
    for arch in ("resnet10t", "test_vit"):
        model = timm.create_model(arch, pretrained=False)
        state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
        Hub.weights[timm.get_pretrained_cfg(arch).hf_hub_id] = save(state)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    )
    yield url
    server.shutdown()


@pytest.mark.parametrize(("arch", "size"), [("resnet10t", 64), ("test_vit", 160)])
def test_weights_are_fetched_and_the_model_published(
    arch: str, size: int, hub: str, prebuilt: Revision, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*CLASSES, "--search", f"folder:{prebuilt.pictures}", "--arch", arch, "--size", str(size)]
    words += ["--to", str(tmp_path / "store"), "--data", str(tmp_path / "data"), "--int8", "--no-shifts"]
    assert train.main(words) == 0
    said = capsys.readouterr().out
    assert ("no int8 variant" in said) != ("points lost" in said)
    predictor = Predictor.load(tmp_path / "store")
    assert predictor.card.arch == arch
    assert predictor.predict(prebuilt.folder / "example-1.jpg").probabilities.keys() == {"disc", "cross", "stripes"}
