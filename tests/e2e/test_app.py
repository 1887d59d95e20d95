"""The app as a command over a real published model, met through real clients."""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from gradio_client import Client, handle_file
from markupsafe import escape

import app
from spotter.serve.startup import LATER, public_sentence, pull_model
from spotter.stores.hub import HubStore
from tests.conftest import ROOT, Revision
from tests.helpers.drawing import draw, encode
from tests.helpers.hub import LOST, OWNER, WRITER, Answer, Hub, Request, point_client
from tests.helpers.ports import free_port
from tests.helpers.processes import address_of, start, stop


@pytest.fixture(scope="module")
def uploads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that is not there yet."""
    return tmp_path_factory.mktemp("uploads") / "a" / "b"


@pytest.fixture(scope="module")
def address(prebuilt: Revision, uploads: Path) -> Iterator[str]:
    process = start("--model", prebuilt.store, "--port", 0, GRADIO_TEMP_DIR=str(uploads))
    yield address_of(process)
    assert stop(process) == 0
    assert list(uploads.glob("spotter-app-*")) == []


def post(url: str, body: bytes) -> dict:
    with urllib.request.urlopen(urllib.request.Request(url, data=body, method="POST")) as answer:
        return json.load(answer)


def test_health_names_the_revision(address: str, prebuilt: Revision) -> None:
    with urllib.request.urlopen(f"{address}/healthz") as answer:
        assert json.load(answer) == {"status": "ok", "revision": prebuilt.revision}


def test_no_answer_says_where_the_model_is(address: str, prebuilt: Revision) -> None:
    told = ""
    for path in ("/", "/config", "/gradio_api/info", "/api", "/openapi.json", "/healthz", "/readyz"):
        with urllib.request.urlopen(address + path) as answer:
            told += answer.read().decode()
    assert "/example/0.jpg" in told
    assert str(prebuilt.store) not in told
    assert str(ROOT) not in told
    # Not even where the copies of the examples are.
    assert "example-1.jpg" not in told
    with urllib.request.urlopen(f"{address}/example/0.jpg") as answer:
        assert answer.headers["content-type"] == "image/jpeg"


def test_predict_through_the_gradio_client(address: str, prebuilt: Revision) -> None:
    client = Client(address, verbose=False)
    answer = client.predict(handle_file(str(prebuilt.folder / "example-2.jpg")), api_name="/predict")
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


def test_classify_says_everything_by_both_ways(address: str, prebuilt: Revision) -> None:
    path = prebuilt.folder / "example-1.jpg"
    plain = post(f"{address}/api/classify", path.read_bytes())
    through = Client(address, verbose=False).predict(handle_file(str(path)), api_name="/classify")
    for answer in (plain, through):
        assert set(answer) == {
            "label", "closest", "probabilities", "familiarity", "familiar", "threshold", "revision", "timings_ms",
        }  # fmt: skip
        assert answer["label"] == "disc"
        assert answer["revision"] == prebuilt.revision
    assert plain["probabilities"] == pytest.approx(through["probabilities"])


def test_what_is_no_picture_is_a_4xx(address: str) -> None:
    for body in (b"", b"<html>hello</html>", encode(draw("disc", 1))[:500]):
        with pytest.raises(urllib.error.HTTPError) as caught:
            post(f"{address}/api/classify", body)
        assert 400 <= caught.value.code < 500
        assert set(json.load(caught.value)) == {"error"}


def fails(*arguments: object) -> str:
    process = start(*arguments)
    output, errors = process.communicate(timeout=600)
    assert process.returncode == 1
    assert output == ""
    assert len(errors.splitlines()) == 1, errors
    return errors


def test_the_folder_for_uploads_need_not_exist_yet(address: str, uploads: Path) -> None:
    assert address
    assert any(path.is_dir() for path in uploads.glob("spotter-app-*"))


def test_what_cannot_be_served_is_one_sentence_and_exit_1(
    prebuilt: Revision, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "Cannot listen" in fails("--model", prebuilt.store, "--host", "192.0.2.1")
    for words, sentence in (
        (["--model", "s3://bucket/bears"], "cannot be opened"),
        (["--model", str(prebuilt.store), "--int8"], "no int8 network"),
        (["--model", "models/typo"], "There is no store at 'models/typo'"),
        (["--model", str(prebuilt.store), "--revision", "abcdef0"], "has no revision 'abcdef0'"),
    ):
        assert app.main(words) == 1
        output, errors = capsys.readouterr()
        assert output == ""
        assert sentence in errors
        assert len(errors.splitlines()) == 1, errors


def test_a_broken_model_is_told_without_paths_or_secrets(
    prebuilt: Revision, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", WRITER)
    changes = {
        "model.onnx": lambda path: path.write_bytes(path.read_bytes()[:-100]),
        "model.json": lambda path: path.write_text("{"),
        "reference.safetensors": Path.unlink,
    }
    for name, change in changes.items():
        broken = Path(shutil.copytree(prebuilt.store, tmp_path / name))
        change(broken / "revisions" / prebuilt.revision / name)
        asked = argparse.Namespace(model=str(broken), revision=None, int8=False, program="app.py")
        pulled = pull_model(asked)
        assert pulled.why
        public = public_sentence(str(pulled.why), type(pulled.why))
        assert name in public or "changed after it was published" in public
        assert str(tmp_path) not in public
        assert WRITER not in public + str(pulled.why)


AGAIN = "import sys, app; from spotter.serve import startup; startup.RETRY_S = 0.5; sys.exit(app.main())"


def test_a_model_that_is_not_there_is_told_by_the_page_of_a_space_and_tried_again(
    prebuilt: Revision, tmp_path: Path
) -> None:
    store, port = tmp_path / "later", free_port()
    command = [sys.executable, "-c", AGAIN, "--model", str(store), "--port", str(port), "--host", "127.0.0.1"]
    with subprocess.Popen(
        command, cwd=ROOT, env=os.environ | {"SPACE_ID": "owner/bears"}, stdout=-1, stderr=-1, text=True
    ) as process:
        try:
            url = address_of(process)
            for path in ("/healthz", "/readyz"):
                with pytest.raises(urllib.error.HTTPError) as caught:
                    urllib.request.urlopen(url + path)
                told = json.load(caught.value)
                assert (caught.value.code, told["status"]) == (503, "fail")
            public = told["problem"]
            assert public.startswith("There is no such model in its store; this is tried again every minute.")
            assert str(tmp_path) not in public
            with pytest.raises(urllib.error.HTTPError) as caught:
                post(f"{url}/api/classify", encode(draw("disc", 1)))
            assert (caught.value.code, json.load(caught.value)) == (503, {"error": public})
            with urllib.request.urlopen(f"{url}/config") as answer:
                page = answer.read().decode()
            assert escape(public) in page
            assert str(ROOT) not in page
            assert process.stderr
            assert f"There is no store at {str(store)!r}" in process.stderr.readline()
            # All of it at once.
            shutil.copytree(prebuilt.store, tmp_path / "now").rename(store)
            assert wait_for_status(port, 200) == {"status": "ok", "revision": prebuilt.revision}
        finally:
            assert stop(process) == 0


def test_a_store_that_cannot_be_reached_is_told_and_read_later(
    hub: Hub, prebuilt: Revision, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    revision = HubStore(f"{OWNER}/shapes", endpoint=hub.url, cache=tmp_path / "cache").push(prebuilt.folder)
    point_client(monkeypatch, hub.url, tmp_path / "cold")
    asked = argparse.Namespace(model=f"hf://{OWNER}/shapes", revision=None, int8=False, program="app.py")
    hub.fault = lambda request, usual: LOST
    why = pull_model(asked).why
    assert public_sentence(str(why), type(why)).startswith("The store of the model cannot be reached")
    # The app tries again what is one of these, as above.
    assert isinstance(why, LATER)
    hub.fault = None
    predictor = pull_model(asked).predictor
    assert predictor
    assert predictor.revision == revision


def wait_for_status(port: int, status: int) -> dict:
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz") as answer:
                found, told = answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            found, told = error.code, json.load(error)
        except OSError:
            found, told = 0, {}
        if found == status and told["status"] != "starting":
            return told
        time.sleep(0.1)
    raise AssertionError(f"no answer with status {status}")


def test_a_store_that_is_slow_keeps_nobody_from_learning_that_the_app_lives(
    hub: Hub, prebuilt: Revision, tmp_path: Path
) -> None:
    port, let_go = free_port(), threading.Event()
    HubStore(f"{OWNER}/shapes", endpoint=hub.url, cache=tmp_path / "cache").push(prebuilt.folder)

    def slow(request: Request, usual: Callable[[Request], Answer]) -> Answer:
        let_go.wait(600)
        return usual(request)

    hub.fault = slow
    settings = {"HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path)}
    # Longer than it is slow, on a busy machine too.
    settings |= {"HF_HUB_ETAG_TIMEOUT": "600", "HF_HUB_DOWNLOAD_TIMEOUT": "600"}
    process = start("--model", f"hf://{OWNER}/shapes", "--port", port, **settings)
    try:
        assert wait_for_alive(port) == {"status": "starting", "revision": None}
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz")
        assert (caught.value.code, caught.value.headers["Retry-After"]) == (503, "2")
        with ThreadPoolExecutor() as pool:
            early = pool.submit(post, f"http://127.0.0.1:{port}/api/classify", encode(draw("disc", 3)))
            let_go.set()
            assert early.result()["closest"] == "disc"
    finally:
        let_go.set()
        assert stop(process) == 0


def wait_for_alive(port: int) -> dict:
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz") as answer:
                return json.load(answer)
        except urllib.error.URLError:
            time.sleep(0.05)


def test_an_app_that_is_stopped_while_it_starts_ends_as_any_other(prebuilt: Revision) -> None:
    port = free_port()
    process = start("--model", prebuilt.store, "--port", port)
    # Its page is still to come.
    wait_for_alive(port)
    process.send_signal(signal.SIGTERM)
    rest, errors = process.communicate(timeout=600)
    assert (process.returncode, rest) == (0, "")
    assert "Traceback" not in errors


def test_without_a_page_there_is_no_gradio(prebuilt: Revision, tmp_path: Path) -> None:
    command = [sys.executable, "-X", "importtime", "app.py", "--model", str(prebuilt.store), "--port", "0", "--no-page"]
    with (tmp_path / "imports.txt").open("w") as imports:
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=imports, text=True)
        try:
            address = address_of(process)
            assert post(f"{address}/api/classify", encode(draw("cross", 3)))["label"] == "cross"
            with pytest.raises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(address)
            assert "has no page" in json.load(caught.value)["error"]
            assert wait_for_status(int(address.rpartition(":")[2]), 200)["revision"] == prebuilt.revision
        finally:
            assert stop(process) == 0
    loaded = {line.rpartition("|")[2].strip() for line in (tmp_path / "imports.txt").read_text().splitlines()}
    assert "onnxruntime" in loaded
    assert not {"gradio", "fastapi", "pandas", "huggingface_hub"} & loaded


def test_feedback_needs_the_page(prebuilt: Revision, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        app.main(["--model", str(prebuilt.store), "--no-page", "--feedback", "folder"])
    assert ended.value.code == 2
    assert "leave out --no-page" in capsys.readouterr().err


def test_no_model_is_wrong_usage(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("MODEL_STORE", raising=False)
    with pytest.raises(SystemExit) as ended:
        app.main([])
    assert ended.value.code == 2
    assert "--model" in capsys.readouterr().err


def test_on_a_space_the_environment_says_what_to_serve(prebuilt: Revision) -> None:
    settings = {"MODEL_STORE": str(prebuilt.store), "MODEL_REVISION": prebuilt.revision}
    process = start("--port", 0, "--host", "127.0.0.1", "--no-page", **settings)
    try:
        with urllib.request.urlopen(f"{address_of(process)}/healthz") as answer:
            assert json.load(answer)["revision"] == prebuilt.revision
    finally:
        stop(process)


def test_the_pickle_is_never_opened(prebuilt: Revision, tmp_path: Path) -> None:
    store = Path(shutil.copytree(prebuilt.store, tmp_path / "store"))
    canary = tmp_path / "canary"
    pickle = f"cos\nsystem\n(S'touch {canary}'\ntR.".encode()
    (store / "revisions" / prebuilt.revision / "export.pkl").write_bytes(pickle)
    process = start("--model", store, "--port", 0, "--no-page")
    try:
        post(f"{address_of(process)}/api/classify", encode(draw("disc", 3)))
    finally:
        stop(process)
    time.sleep(0.2)
    assert not canary.exists()
