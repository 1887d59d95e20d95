"""The gate: a site answers in a real browser as the model does here, or it is not written."""

import os
import socket
import subprocess
import sys
import tempfile
from dataclasses import replace
from functools import partial
from math import nan
from pathlib import Path

import pytest

from spotter.bundle.reading import read_bundle
from spotter.cli import main
from spotter.errors import BrowserFailed, BrowserMissing, ParityError
from spotter.images import load_picture
from spotter.inference.predictor import Predictor
from spotter.web.browser import Browser, find_browser
from spotter.web.gate import TOLERANCE, check_site, compare, gate_pictures, say_again
from spotter.web.live import ask_site
from spotter.web.site import SITE_JSON, read_site, site_files
from tests.conftest import Revision
from tests.helpers.built import ALTERED, altered, site_of
from tests.helpers.hub import refusal
from tests.helpers.patience import wait_until
from tests.helpers.ports import free_port
from tests.helpers.site import broken_off


@pytest.fixture(scope="module")
def files(prebuilt: Revision, predictor: Predictor, built: dict[str, bytes]) -> dict[str, bytes]:
    return site_files(prebuilt.folder, predictor, built)


def profiles() -> set[str]:
    return {path.name for path in Path(tempfile.gettempdir()).glob("spotter-browser-*")}


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Browsers of tests that run beside these leave their profiles elsewhere."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("temporary")))


@pytest.mark.slow
def test_a_site_is_tried_on_pictures_of_all_kinds_and_written(
    prebuilt: Revision, built: dict[str, bytes], chromium: Browser, tmp_path: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("SPOTTER_BROWSER", chromium.program)
    before = profiles()
    assert main(["web", f"{prebuilt.store}@{prebuilt.revision[:9]}", "--to", str(tmp_path / "a site")]) == 0
    said = capsys.readouterr().out
    assert "72 of 72 pictures get the same answer in Chromium" in said
    assert said.splitlines()[-1] == f"python -m http.server --directory '{tmp_path / 'a site'}'"
    site = read_site((tmp_path / "a site" / SITE_JSON).read_bytes())
    assert site
    assert site["revision"] == prebuilt.revision
    assert (site["parity"]["pictures"], site["parity"]["same"]) == (72, 72)
    assert site["parity"]["largest_difference"] < TOLERANCE
    assert site["parity"]["from_pixels"] < 1e-5
    assert profiles() <= before


@pytest.mark.slow
def test_a_site_of_a_model_that_differs_in_one_thing_is_refused(
    prebuilt: Revision, predictor: Predictor, built: dict[str, bytes], chromium: Browser, tmp_path: Path
) -> None:
    other = site_of(altered(prebuilt.folder, tmp_path / "other", ALTERED["network"]), built)
    said = refusal(ParityError, lambda: check_site(other, predictor, chromium))
    assert "does not answer like the model here" in said
    assert said.endswith("nothing was written.")


@pytest.mark.parametrize("what", ALTERED)
def test_its_pictures_tell_a_model_that_differs_in_one_thing(
    what: str, prebuilt: Revision, predictor: Predictor, tmp_path: Path
) -> None:
    """What a site says is what Python says of its model, as other tests hold; so the other model answers here."""
    other = Predictor(read_bundle(altered(prebuilt.folder, tmp_path / "other", ALTERED[what])))
    pictures = [load_picture(picture) for picture in gate_pictures(predictor)]
    given, wanted = ([[model.predict(picture).record()] for picture in pictures] for model in (other, predictor))
    assert "does not answer like the model here" in compare("x", given, wanted).complaint("model.onnx")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "words"), [("model/model.onnx.gz", "BrokenModel: "), ("worker.js", r"does not work in|BrokenModel")]
)
def test_a_site_with_a_damaged_file_is_refused(
    name: str, words: str, files: dict[str, bytes], predictor: Predictor, chromium: Browser
) -> None:
    damaged = {**files, name: broken_off(files[name])}
    with pytest.raises((ParityError, BrowserFailed), match=words):
        check_site(damaged, predictor, chromium)


def test_code_that_cannot_be_read_is_told(files: dict[str, bytes], predictor: Predictor, chromium: Browser) -> None:
    said = refusal(ParityError, lambda: check_site({**files, "spotter.js": b"export {"}, predictor, chromium))
    assert "SyntaxError" in said


@pytest.mark.slow
def test_firefox_gives_the_same_answers(files: dict[str, bytes], predictor: Predictor, firefox: Browser) -> None:
    before = profiles()
    found = check_site(files, predictor, firefox)
    assert found.browser.startswith("Firefox ")
    assert (found.pictures, found.same) == (72, 72)
    assert found.complaint("model.onnx") == ""
    # As in Chromium; half transparent pictures too.
    assert found.largest_difference < TOLERANCE
    assert profiles() <= before


@pytest.mark.slow
def test_the_site_works_from_a_plain_server_of_files(
    files: dict[str, bytes], predictor: Predictor, chromium: Browser, tmp_path: Path
) -> None:
    """As `spotter web` says how to look at it: below a path too, with the types of files that such a server knows."""
    for name, content in files.items():
        path = tmp_path / "blog" / "bears" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    port = free_port()
    command = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(tmp_path), str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: answers(port))
        found = ask_site(f"http://127.0.0.1:{port}/blog/bears", predictor, chromium)
    finally:
        server.terminate()
        server.wait()
    assert (found.pictures, found.same, found.complaint("model.onnx")) == (4, 4, "")


def answers(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


# Browsers that fail


def program(folder: Path, text: str, name: str = "browser") -> Browser:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return Browser(str(path))


def test_a_browser_that_crashes_is_told_with_what_it_says(
    files: dict[str, bytes], predictor: Predictor, tmp_path: Path
) -> None:
    crashing = program(tmp_path, "echo 'no such display' >&2; exit 3")
    said = refusal(BrowserFailed, lambda: check_site(files, predictor, crashing))
    assert "ended with status 3 (it says: no such display); nothing was written" in said


def test_a_firefox_that_crashes_is_told_in_the_same_way(
    files: dict[str, bytes], predictor: Predictor, tmp_path: Path
) -> None:
    crashing = program(tmp_path, "echo 'no such display' >&2; exit 3", "firefox")
    said = refusal(BrowserFailed, lambda: check_site(files, predictor, crashing))
    assert "firefox: The browser has ended (it says: no such display); nothing was written, try again" in said


def test_a_browser_that_hangs_is_ended_with_its_children(
    files: dict[str, bytes], predictor: Predictor, tmp_path: Path
) -> None:
    before = profiles()
    hanging = program(tmp_path, f"trap '' TERM; sleep 600 & echo $! > {tmp_path}/child; wait; sleep 600")
    for silence_s in (3, 30, 300):
        said = refusal(
            BrowserFailed, lambda silence_s=silence_s: check_site(files, predictor, hanging, silence_s=silence_s)
        )
        assert "said nothing for " in said
        # On a busy machine it may have been ended before it had begun.
        if started := (tmp_path / "child").exists() and (tmp_path / "child").read_text():
            break
    child = int(started)
    wait_until(lambda: is_gone(child))
    assert profiles() <= before


def is_gone(process: int) -> bool:
    try:
        return ") Z " in Path(f"/proc/{process}/stat").read_text()
    except OSError:
        # It is gone.
        return True


def test_a_browser_that_cannot_be_started_is_told(
    files: dict[str, bytes], predictor: Predictor, tmp_path: Path
) -> None:
    (tmp_path / "browser").write_bytes(b"\x7fELF")
    (tmp_path / "browser").chmod(0o755)
    assert "cannot be started" in refusal(
        BrowserMissing, lambda: check_site(files, predictor, Browser(str(tmp_path / "browser")))
    )


def test_without_a_browser_it_is_told_what_to_install_and_nothing_is_written(
    prebuilt: Revision, built: dict[str, bytes], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.delenv("SPOTTER_BROWSER", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["web", str(prebuilt.store), "--to", str(tmp_path / "site")]) == 1
    assert "there is none here; install Chromium, Chrome or Edge" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv("SPOTTER_BROWSER", "no-such-browser")
    assert "there is no such program" in refusal(BrowserMissing, find_browser)


def test_the_browser_that_is_named_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    named = program(tmp_path, "exit 0")
    monkeypatch.setenv("SPOTTER_BROWSER", named.program)
    assert find_browser() == named
    monkeypatch.delenv("SPOTTER_BROWSER")
    os.rename(named.program, tmp_path / "google-chrome")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_browser().program == str(tmp_path / "google-chrome")


# Comparing


def answer(**more: object) -> dict[str, object]:
    shares = {"a": 0.7, "b": 0.3}
    return {"label": "a", "closest": "a", "familiar": True, "familiarity": 0.9, "probabilities": shares, **more}


@pytest.mark.parametrize(
    "given",
    [
        answer(label="not sure"),
        answer(closest="b"),
        answer(familiar=False),
        answer(decision="ask"),
        answer(looked_at=[0, 0, 0.5, 0.5]),
        answer(probabilities={"a": nan, "b": 0.3}),
        answer(probabilities={"b": 0.3, "a": 0.7}),
        answer(probabilities={"a": 0.698, "b": 0.302}),
        answer(familiarity=0.902),
        answer(set=["a", "b"]),
        answer(probabilities=None),
        {"label": "a", "closest": "a", "familiar": True},
    ],
)
def test_whatever_differs_is_a_complaint(given: dict[str, object]) -> None:
    assert compare("x", [[given, answer()]], [[answer(), answer()]]).complaint("model.onnx")
    assert compare("x", [[answer(), given]], [[answer(), answer()]]).complaint("model.onnx")


def test_labels_that_are_numbers_come_first_in_javascript_and_are_no_complaint() -> None:
    shares = {"b": 0.1, "10": 0.1, "2": 0.2, "01": 0.1, "-5": 0.1, "1e5": 0.1, "4294967295": 0.1, "0": 0.2}
    order = ["0", "2", "10", "b", "01", "-5", "1e5", "4294967295"]
    given = answer(probabilities={label: shares[label] for label in order})
    assert compare("x", [[given]], [[answer(probabilities=shares)]]).complaint("model.onnx") == ""
    given = answer(probabilities={label: shares[label] for label in reversed(order)})
    assert compare("x", [[given]], [[answer(probabilities=shares)]]).complaint("model.onnx")


def test_pixels_are_held_to_more_than_files_and_int8_to_less() -> None:
    near = answer(probabilities={"a": 0.6999, "b": 0.3001})
    assert compare("x", [[near, answer()]], [[answer(), answer()]]).complaint("model.onnx") == ""
    assert compare("x", [[answer(), near]], [[answer(), answer()]]).complaint("model.onnx")
    assert compare("x", [[answer(), near]], [[answer(), answer()]]).complaint("model-int8.onnx") == ""
    few = [[answer(label="not sure"), answer()]] * 3
    rest = [[answer(), answer()]] * 69
    whole = [[answer(), answer()]] * 72
    assert compare("x", [*few, *rest], whole).complaint("model-int8.onnx") == ""
    assert compare("x", [*few, *few, *rest[3:]], whole).complaint("model-int8.onnx")
    assert compare("x", [*few[:1], *rest, *rest[:2]], whole).complaint("model.onnx")


def test_a_picture_on_the_edge_of_a_threshold_is_no_complaint(prebuilt: Revision) -> None:
    model = Predictor.load(prebuilt.store)
    wanted = model.predict(next(iter(model.examples.values()))).record()
    # The familiarity of this picture is the threshold itself, and the browser's is a little below.
    model.card = replace(model.card, threshold=wanted["familiarity"])
    wanted |= {"threshold": wanted["familiarity"], "familiar": True}
    given = wanted | {"familiarity": wanted["familiarity"] - 1e-6}
    said = say_again(model, given)
    assert said["label"] == "not sure"
    assert said["closest"] == wanted["closest"]
    edge = wanted | said
    again = partial(say_again, model)
    assert compare("x", [[edge]], [[wanted]], again=again).complaint("model.onnx") == ""
    assert compare("x", [[edge]], [[wanted]]).complaint("model.onnx")
    # Words that these numbers do not stand for, and numbers that are further off.
    assert compare("x", [[given | {"label": "not sure"}]], [[wanted]], again=again).complaint("model.onnx")
    far = wanted | say_again(model, given | {"familiarity": wanted["familiarity"] - 2e-3})
    assert compare("x", [[far]], [[wanted]], again=again).complaint("model.onnx")


def test_a_model_without_pictures_is_tried_on_drawn_ones(prebuilt: Revision) -> None:
    bare = Predictor.load(prebuilt.store)
    bare.examples, bare.thumbnails = {}, {}
    bare.card = replace(bare.card, examples={})
    pictures = gate_pictures(bare)
    assert len(pictures) == 72
    assert len(set(pictures)) == 72
