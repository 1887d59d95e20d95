"""The API in Node: the same answers, of pixels always, and of encoded pictures with a decoder."""

import base64
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spotter.images import load_picture, to_square
from spotter.inference.predictor import Predictor
from tests.conftest import Revision
from tests.helpers.browser import QUICK
from tests.helpers.drawing import draw, encode, turned
from tests.helpers.site import TRAVEL, change_site, packed, serving_site

RUN = """
import { readFileSync } from "node:fs";
const { code, folder, questions, decodes } = JSON.parse(readFileSync(0));
const { load } = await import(code);
const decodeOwn = async bytes => ({ data: new Uint8Array(bytes.length + 1200).slice(0, 1200), width: 20, height: 20 });
const answers = [];
let model;
answers.push(await told(async () => (model = await load(folder, decodes ? { decode: decodeOwn } : {})).card));
for (const [method, ...parameters] of questions) {
    answers.push(await told(() => model[method](...parameters.map(unpack))));
}
console.log(JSON.stringify(answers));
model?.close();
"""


def ask(code: Path, folder: str, *questions: list[Any], decodes: bool = False) -> list[Any]:
    """What the API answers in a process of its own, which ends by itself."""
    if not shutil.which("node"):
        pytest.skip("node is not on this machine")
    told = {
        "code": code.as_uri(),
        "folder": folder,
        "questions": [[packed(each) for each in question] for question in questions],
        "decodes": decodes,
    }
    script = code.with_name("ask.mjs")
    script.write_text(TRAVEL + RUN)
    done = subprocess.run(
        # With its thorough compiler, it takes four times as long.
        ["node", QUICK, str(script)],
        input=json.dumps(told),
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert (done.returncode, done.stderr[-500:]) == (0, "")
    return json.loads(done.stdout)


def test_answers_are_those_of_python(small_site: Path, predictor: Predictor) -> None:
    pictures = [draw(kind, 70, (150, 110)) for kind in ("disc", "cross", "stripes")]
    pixels = [np.asarray(picture) for picture in pictures]
    questions: list[list[Any]] = [["classify", each] for each in pixels]
    questions += [["explain", pixels[0]], ["nearest", pixels[0], 2]]
    with serving_site(small_site) as server:
        for folder in (small_site.as_uri(), small_site.as_uri() + "/", server.url()):
            card, *answers, evidence, nearest = ask(small_site / "spotter.js", folder, *questions)
            assert card["value"]["labels"] == list(predictor.labels)
            for picture, answer in zip(pictures, answers, strict=True):
                wanted = predictor.predict(picture).record()
                assert list(answer["value"]) == list(wanted)
                assert answer["value"]["probabilities"] == pytest.approx(wanted["probabilities"], abs=1e-5)
                assert answer["value"]["familiarity"] == pytest.approx(wanted["familiarity"], abs=1e-5)
                assert answer["value"]["label"] == wanted["label"]
            assert evidence["value"]["label"] == answers[0]["value"]["closest"]
            found = predictor.nearest(pictures[0], 1)[0]
            assert found.thumbnail
            assert base64.b64decode(nearest["value"][0]["thumbnail"]["jpeg"]["bytes"]) == found.thumbnail.jpeg


def test_without_a_decoder_it_says_what_to_do(small_site: Path) -> None:
    content = encode(draw("disc", 2))
    _, answer, other = ask(small_site / "spotter.js", small_site.as_uri(), ["classify", content], ["classify", b"x"])
    name, reason, message, _ = answer["error"]
    assert (name, reason) == ("BadPicture", "failed")
    assert "sharp" in message
    # What is no picture is refused before anything is decoded.
    assert other["error"][:2] == ["BadPicture", "not-a-picture"]


def test_with_a_decoder_of_ones_own(small_site: Path, predictor: Predictor) -> None:
    content = encode(draw("disc", 2))
    _, answer = ask(small_site / "spotter.js", small_site.as_uri(), ["classify", content], decodes=True)
    black = predictor.predict(load_picture(encode(draw("disc", 2).resize((20, 20)).point(lambda _: 0), "PNG")))
    assert answer["value"]["probabilities"] == pytest.approx(black.probabilities, abs=1e-5)


def test_with_sharp(small_site: Path, predictor: Predictor, node_folder: Path, tmp_path: Path) -> None:
    site = Path(shutil.copytree(small_site, tmp_path / "site"))
    (tmp_path / "node_modules").symlink_to(node_folder / "node_modules")
    contents = [turned(draw("cross", 8), 6), encode(draw("disc", 3), "PNG"), encode(draw("disc", 4), "WEBP")]
    contents += [encode(draw("stripes", 5).convert("L"), "PNG"), encode(draw("cross", 6).convert("P"), "GIF")]
    contents += [encode(draw("disc", 7).convert("CMYK")), encode(draw("disc", 7).convert("L"))]
    _, *answers, bitmap = ask(
        site / "spotter.js",
        site.as_uri(),
        *[[method, each] for each in contents for method in ("classify", "square")],
        ["classify", encode(draw("disc", 3), "BMP")],
    )
    card = predictor.card
    for content, answer, square in zip(contents, answers[::2], answers[1::2], strict=True):
        assert "error" not in answer, answer
        wanted = predictor.predict(content).probabilities
        assert answer["value"]["probabilities"] == pytest.approx(wanted, abs=5e-3)
        seen = np.frombuffer(base64.b64decode(square["value"]["bytes"]), np.uint8)
        plain = to_square(load_picture(content), card.size, card.resize).ravel()
        assert np.abs(seen.astype(int) - plain).max() <= 2
    assert bitmap["error"][:2] == ["BadPicture", "failed"]


def test_a_changed_model_is_refused(small_site: Path, prebuilt: Revision, tmp_path: Path) -> None:
    site = change_site(small_site, tmp_path / "site", {"reference.safetensors": b"nonsense"})
    (answer,) = ask(site / "spotter.js", site.as_uri())
    assert answer["error"][0] == "BrokenModel"
    (answer,) = ask(site / "spotter.js", (tmp_path / "nowhere").as_uri())
    assert answer["error"][0] == "BrokenModel"
