"""Other timm architectures, their weights fetched by the real client from a stand-in for the Hub on loopback."""

import hashlib
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import timm
from safetensors.torch import save

from spotter import Predictor
from tests.conftest import ROOT, Revision
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


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    Hub.weights = {}
    for arch in ("resnet10t", "vit_tiny_patch16_224"):
        model = timm.create_model(arch, pretrained=False)
        state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
        Hub.weights[timm.get_pretrained_cfg(arch).hf_hub_id] = save(state)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.mark.parametrize("arch", ["resnet10t", "vit_tiny_patch16_224"])
def test_weights_are_fetched_and_the_model_published(arch: str, hub: str, prebuilt: Revision, tmp_path: Path) -> None:
    environment = os.environ | {"HF_ENDPOINT": hub, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(tmp_path / "hf")}
    environment.pop("HF_HUB_OFFLINE")
    command = [sys.executable, "train.py", *CLASSES, "--search", f"folder:{prebuilt.pictures}", "--arch", arch]
    command += ["--to", str(tmp_path / "store"), "--data", str(tmp_path / "data"), "--int8"]
    finished = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert ("no int8 variant" in finished.stdout) != ("points lost" in finished.stdout)
    predictor = Predictor.load(tmp_path / "store")
    assert predictor.card.arch == arch
    assert predictor.predict(prebuilt.folder / "example-1.jpg").probabilities.keys() == {"disc", "cross", "stripes"}
