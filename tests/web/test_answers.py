"""What the API says in a browser: the same as `Predictor` in Python, in words and in numbers."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from PIL import Image
from playwright.sync_api import Page

from spotter.bundle.reading import read_bundle
from spotter.images import frame, load_picture, to_square
from spotter.inference.predictor import Predictor
from tests.conftest import Revision
from tests.helpers.bundles import advising
from tests.helpers.drawing import distant, draw, encode
from tests.helpers.site import SitePage, change_site, packed, serving_site, told_by

# Of the same pixels; and of files, which the browser decodes.
PIXELS, FILES = 1e-5, 1e-3
PRIOR = {"cross": 0.7, "disc": 0.3}


def pictures() -> Iterator[Image.Image]:
    """Some that it knows, some that lie between, and some that it never saw."""
    for number, kind in enumerate(("disc", "cross", "stripes", "disc", "cross", "stripes")):
        yield draw(kind, 900 + number, (90 + 17 * number, 200 - 13 * number))
    yield Image.blend(draw("disc", 1), draw("cross", 1), 0.5)
    rng = np.random.default_rng(6)
    yield Image.fromarray(rng.integers(0, 256, (80, 110, 3), np.uint8))
    yield Image.new("RGB", (50, 40), (90, 140, 20))


def check(answer: dict[str, Any], wanted: dict[str, Any], tolerance: float) -> None:
    assert list(answer) == list(wanted)
    for name, value in wanted.items():
        if isinstance(value, float):
            assert answer[name] == pytest.approx(value, abs=tolerance), name
        elif isinstance(value, dict):
            assert list(answer[name]) == list(value)
            assert list(answer[name].values()) == pytest.approx(list(value.values()), abs=tolerance), name
        else:
            assert answer[name] == value, name


def labels_of(revision: Revision) -> list[str]:
    return json.loads((revision.folder / "model.json").read_text())["labels"]


def variants(labels: list[str]) -> dict[str, dict[str, Any]]:
    """What a `model.json` may say besides."""
    costs = {"labels": labels, "values": [[0.0, 4.0, 1.0, 0.7], [2.0, 0.0, 9.0, 0.7], [1.0, 1.0, 0.0, 0.7]]}
    sets = {"coverage": 0.9, "least": [0.2, 0.5, 0.01], "by_class": True}
    shares = [0.5, 0.3, 0.2]
    return {
        "old": {"costs": None, "sets": None, "shares": [], "prior": [], "certainty": 0.0, "threshold": 0.8},
        "certain": {"certainty": 0.7, "neighbours": 7, "threshold": 0.6, "resize": "squish"},
        "all": {"costs": costs, "sets": sets, "shares": shares, "prior": [0.2, 0.8, 0.0], "certainty": 0.2},
        # Of pictures that are not familiar at once, a part may be.
        "twice": {"second_look": {"window": 0.4, "margin": 0.001}, "threshold": 0.99, "sets": sets},
        "strict": {"costs": costs, "sets": sets, "shares": shares, "prior": [], "threshold": 1.0, "resize": "pad"},
    }


@pytest.mark.parametrize("variant", ["old", "certain", "all", "strict", "twice"])
def test_answers_are_those_of_python(
    variant: str, prebuilt: Revision, small_site: Path, page: Page, tmp_path: Path
) -> None:
    more = variants(labels_of(prebuilt))[variant]
    predictor = Predictor(read_bundle(advising(prebuilt.folder, tmp_path / "revision", **more)))
    with serving_site(change_site(small_site, tmp_path / "site", **more)) as server:
        api = SitePage(page, server.url("spotter.js")).open(server.url("blank.html"))
        card = api.load()
        assert (card["labels"], card["threshold"]) == (list(predictor.labels), predictor.threshold)
        assert card["advice"] == list(predictor.card.advice)
        boxes = []
        for picture in [*pictures(), *(distant() if "second_look" in more else [])]:
            answer = api.ask("classify", np.asarray(picture))
            check(answer, predictor.predict(picture).record(), PIXELS)
            boxes.append(answer.get("looked_at"))
            content = encode(picture, quality=90)
            check(api.ask("classify", content), predictor.predict(content).record(), FILES)
            if more.get("shares"):
                prediction = predictor.reweigh(predictor.predict(picture), PRIOR)
                check(api.ask("classify", np.asarray(picture), {"prior": PRIOR}), prediction.record(), PIXELS)
            for familiarity in (0.1, 0.99):
                shares = np.array(list((answer.get("unweighted") or answer["probabilities"]).values()), np.float32)
                wanted = predictor.answer_from(shares, familiarity).record()
                check(api.ask("answerFrom", shares.tolist(), familiarity), wanted, PIXELS)
        assert any(boxes) == ("second_look" in more)
        if not more.get("shares", True):
            assert told_by(lambda: api.ask("classify", content, {"prior": PRIOR})) == ("BadPrior", "")


def test_a_prior_of_other_labels_is_refused(api: SitePage) -> None:
    content = encode(draw("disc", 3))
    for prior in ({"bear": 1.0}, {"disc": 0.4}, {"disc": -1.0, "cross": 2.0}):
        assert told_by(lambda prior=prior: api.ask("classify", content, {"prior": prior})) == ("BadPrior", "")


def test_where_it_looked(api: SitePage, prebuilt: Revision, predictor: Predictor) -> None:
    session = onnxruntime.InferenceSession(str(prebuilt.folder / "model.onnx"))
    for number, picture in enumerate(pictures()):
        square = to_square(load_picture(picture), 64)[None]
        probabilities, activation = session.run(["probabilities", "activation"], {"pixels": square})
        label = predictor.labels[number % 3] if number % 2 else None
        index = predictor.labels.index(label) if label else int(probabilities[0].argmax())
        wanted = activation[0, index] - activation[0].mean(axis=0)
        found = api.ask("explain", np.asarray(picture), label)
        assert found["label"] == predictor.labels[index]
        assert (found["width"], found["height"]) == picture.size
        assert tuple(found["box"]) == frame(picture.size, 64, "crop")
        assert (found["rows"], found["columns"]) == wanted.shape
        evidence = np.frombuffer(found["evidence"], np.float32).reshape(wanted.shape)
        assert np.abs(evidence - wanted).max() < 1e-4 * max(1, np.abs(wanted).max())
    assert told_by(lambda: api.ask("explain", encode(picture), "bear")) == ("NoExplanation", "")


def test_what_is_nearest(api: SitePage, predictor: Predictor) -> None:
    for picture in pictures():
        wanted = predictor.nearest(picture, 5)
        found = api.ask("nearest", np.asarray(picture), 5)
        cosines = [each.cosine for each in wanted]
        assert [each["cosine"] for each in found] == pytest.approx(cosines, abs=PIXELS)
        # Two may be as near as makes no difference.
        if np.diff(cosines).max() < -PIXELS:
            assert [each["row"] for each in found] == [each.row for each in wanted]
            for one, other in zip(found, wanted, strict=True):
                assert other.thumbnail
                assert one["thumbnail"] | {"jpeg": b""} == vars(other.thumbnail) | {"jpeg": b""}
                assert one["thumbnail"]["jpeg"] == other.thumbnail.jpeg


def test_it_tests_itself(api: SitePage) -> None:
    found = api.ask("selfTest")
    assert found["agrees"]
    assert found["largestDifference"] < FILES


def test_many_at_once_are_answered_each(api: SitePage, predictor: Predictor) -> None:
    contents = [encode(picture) for picture in pictures()]
    script = """contents => travel.told(() => Promise.all(contents.map(each => model.classify(travel.unpack(each)))))"""
    told = api.page.evaluate(script, [packed(each) for each in contents])
    for content, answer in zip(contents, told["value"], strict=True):
        check(answer, predictor.predict(content).record(), FILES)


def test_a_picture_may_come_in_any_form(api: SitePage, predictor: Predictor) -> None:
    content = encode(draw("cross", 12), "PNG")
    script = """content => travel.told(async () => {
        const bytes = travel.unpack(content);
        const file = new File([bytes], "a.txt", { type: "text/plain" });
        const bitmap = await createImageBitmap(new Blob([bytes]));
        const answers = [];
        for (const picture of [bytes, bytes.buffer, file, bitmap]) answers.push(await model.classify(picture));
        return [bitmap.width > 0, ...answers];
    })"""
    is_whole, *answers = api.page.evaluate(script, packed(content))["value"]
    # It is still the page's.
    assert is_whole
    for answer in answers:
        check(answer, predictor.predict(content).record(), PIXELS)


def test_a_closed_model_answers_no_more(page: Page, small_site: Path) -> None:
    with serving_site(small_site) as server:
        api = SitePage(page, server.url("spotter.js")).open(server.url("blank.html"))
        api.load()
        api.ask("close")
        assert told_by(lambda: api.ask("selfTest")) == ("Error", "")
