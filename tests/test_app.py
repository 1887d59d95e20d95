"""The app as a command over a real published model, met through real clients."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from gradio_client import Client, handle_file

from tests.conftest import ROOT, Published
from tests.drawing import draw, encode


def start(*arguments: object, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "app.py", *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | environment
    )


def address_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    line = process.stdout.readline().strip()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", line), (line, process.stderr and process.stderr.read())
    return line


def stop(process: subprocess.Popen[str]) -> int:
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=15)
    return process.returncode


@pytest.fixture(scope="module")
def address(published: Published) -> Iterator[str]:
    process = start("--model", published.store, "--port", 0)
    yield address_of(process)
    assert stop(process) == 0


def post(url: str, body: bytes) -> dict:
    with urllib.request.urlopen(urllib.request.Request(url, data=body, method="POST")) as answer:
        return json.load(answer)


def test_health_names_the_revision(address: str, published: Published) -> None:
    with urllib.request.urlopen(f"{address}/healthz") as answer:
        assert json.load(answer) == {"status": "ok", "revision": published.revision}


def test_predict_through_the_gradio_client(address: str, published: Published) -> None:
    client = Client(address, verbose=False)
    answer = client.predict(handle_file(str(published.folder / "example-2.jpg")), api_name="/predict")
    assert answer["label"] == "cross"
    assert {row["label"] for row in answer["confidences"]} == {"disc", "cross", "stripes"}
    assert sum(row["confidence"] for row in answer["confidences"]) == pytest.approx(1, abs=1e-4)


def test_a_stranger_is_not_sure_and_keeps_its_probabilities(address: str, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger.png"
    stranger.write_bytes(encode(draw("disc", 1).convert("1").resize((900, 60)), "PNG"))
    answer = Client(address, verbose=False).predict(handle_file(str(stranger)), api_name="/predict")
    assert answer["label"] == "not sure"
    assert {row["label"] for row in answer["confidences"]} == {"disc", "cross", "stripes"}
    full = post(f"{address}/api/classify", stranger.read_bytes())
    assert full["familiar"] is False
    assert full["familiarity"] < full["threshold"]


def test_classify_says_everything_by_both_ways(address: str, published: Published) -> None:
    path = published.folder / "example-1.jpg"
    plain = post(f"{address}/api/classify", path.read_bytes())
    through = Client(address, verbose=False).predict(handle_file(str(path)), api_name="/classify")
    for answer in (plain, through):
        assert set(answer) == {
            "label", "probabilities", "familiar", "familiarity", "threshold", "revision", "timings_ms",
        }  # fmt: skip
        assert answer["label"] == "disc"
        assert answer["revision"] == published.revision
    assert plain["probabilities"] == pytest.approx(through["probabilities"])


def test_what_is_no_picture_is_a_4xx(address: str) -> None:
    for body in (b"", b"<html>hello</html>", encode(draw("disc", 1))[:500]):
        with pytest.raises(urllib.error.HTTPError) as caught:
            post(f"{address}/api/classify", body)
        assert 400 <= caught.value.code < 500
        assert set(json.load(caught.value)) == {"error"}


def fails(*arguments: object) -> str:
    process = start(*arguments)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert output == ""
    assert len(errors.splitlines()) == 1, errors
    return errors


def test_what_cannot_be_served_is_one_sentence_and_exit_1(published: Published, tmp_path: Path) -> None:
    assert "no store" in fails("--model", tmp_path / "none")
    assert "no revision" in fails("--model", published.store, "--revision", "abcdef0")
    assert "Cannot listen" in fails("--model", published.store, "--host", "192.0.2.1")
    broken = Path(shutil.copytree(published.store, tmp_path / "broken"))
    onnx = broken / "revisions" / published.revision / "model.onnx"
    onnx.write_bytes(onnx.read_bytes()[:-1000])
    assert "model.onnx is damaged" in fails("--model", broken)


def test_no_model_is_wrong_usage() -> None:
    process = start(MODEL_STORE="")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "--model" in errors


def test_on_a_space_the_environment_says_what_to_serve(published: Published) -> None:
    process = start(
        "--port", 0, "--host", "127.0.0.1", MODEL_STORE=str(published.store), MODEL_REVISION=published.revision
    )
    try:
        with urllib.request.urlopen(f"{address_of(process)}/healthz") as answer:
            assert json.load(answer)["revision"] == published.revision
    finally:
        stop(process)


def test_the_pickle_is_never_opened(published: Published, tmp_path: Path) -> None:
    store = Path(shutil.copytree(published.store, tmp_path / "store"))
    canary = tmp_path / "canary"
    pickle = f"cos\nsystem\n(S'touch {canary}'\ntR.".encode()
    (store / "revisions" / published.revision / "export.pkl").write_bytes(pickle)
    process = start("--model", store, "--port", 0)
    try:
        post(f"{address_of(process)}/api/classify", encode(draw("disc", 3)))
    finally:
        stop(process)
    time.sleep(0.2)
    assert not canary.exists()
