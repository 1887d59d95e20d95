"""Nobody is told that Spotter runs, or where: what it is made of would."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, Revision

# Each of these imports ONNX Runtime in its own way.
WAYS = {
    "a script": "from spotter import Predictor; Predictor.load({store!r})",
    "a command": "from spotter.cli import main; main(['convert', '--help'])\nimport onnxruntime",
    "the app": "import app\nfrom spotter.inference.session import open_session",
    "a training": "import train\nfrom spotter.train.features import open_body",
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("asked", [None, "0"])
def test_onnx_runtime_tells_nothing_unless_it_is_asked_to(
    way: str, asked: str | None, prebuilt: Revision, tmp_path: Path
) -> None:
    home, temporary = tmp_path / "home", tmp_path / "temporary"
    home.mkdir()
    temporary.mkdir()
    # Where it may, it leaves these; nothing gets farther than this proxy.
    setting = {"HOME": str(home), "TMPDIR": str(temporary), "HTTPS_PROXY": "http://127.0.0.1:9"}
    # An environment of its own: in one that looks like CI (CI=true and a dozen more) it keeps quiet by itself.
    environment = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ} | setting
    code = WAYS[way].format(store=str(prebuilt.store)) + "\nimport sys; assert 'onnxruntime' in sys.modules"
    if asked is not None:
        environment["ORT_DISABLE_TELEMETRY"] = asked
    wrapped = f"try:\n    exec({code!r})\nexcept SystemExit:\n    import onnxruntime"
    subprocess.run([sys.executable, "-c", wrapped], cwd=ROOT, env=environment, check=True, capture_output=True)
    left = {path.name for folder in (home, temporary) for path in folder.rglob("*")} & {"deviceid", ".ses"}
    assert left == (set() if asked is None else {"deviceid", ".ses"})
