"""The site in Firefox, which is led through WebDriver BiDi: one window for all of it."""

import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from spotter.bundle.reading import read_bundle
from spotter.errors import BrowserFailed
from spotter.images import load_picture, to_square
from spotter.inference.predictor import Predictor
from spotter.web.browser import Browser
from spotter.web.gate import compare, gate_pictures, say_again
from spotter.web.tabs import Tab, opened
from tests.conftest import Revision
from tests.helpers import translucent
from tests.helpers.bundles import advising
from tests.helpers.picture_files import encode, noise
from tests.helpers.site import SitePage, TabPage, change_site, serving_site, told_by

pytestmark = pytest.mark.slow

# Of pictures that are not familiar at once, a part may be.
TWICE = {"second_look": {"window": 0.4, "margin": 0.001}, "threshold": 0.99}


@pytest.fixture(scope="module")
def twice(prebuilt: Revision, tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    """A model that looks twice."""
    return Predictor(read_bundle(advising(prebuilt.folder, tmp_path_factory.mktemp("twice") / "revision", **TWICE)))


@pytest.fixture(scope="module")
def tab(firefox: Browser) -> Iterator[Tab]:
    with opened(firefox, "about:blank") as tab:
        yield tab


@pytest.fixture(scope="module")
def api(tab: Tab, small_site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SitePage]:
    """The API with the model that looks twice."""
    site = change_site(small_site, tmp_path_factory.mktemp("twice") / "site", **TWICE)
    with serving_site(site) as server:
        page = SitePage(TabPage(tab), server.url("spotter.js")).open(server.url("blank.html"))
        page.load()
        yield page


def test_a_page_runs_code_and_tells_what_fails(tab: Tab) -> None:
    assert tab.run("1 + 1", 240) == 2
    assert tab.run("(async () => ({ a: [null, 'ä'] }))() // so", 240) == {"a": [None, "ä"]}
    assert tab.run("undefined", 240) is None
    with pytest.raises(BrowserFailed, match=r"fails in the browser \(TypeError: no\)"):
        tab.run("Promise.reject(new TypeError('no'))", 240)
    with pytest.raises(BrowserFailed, match=r"fails in the browser \(SyntaxError"):
        tab.run("one two", 240)
    with pytest.raises(BrowserFailed, match="does not answer"):
        tab.run("new Promise(() => {})", 0.3)
    # What comes too late is not taken for the answer to another question.
    with pytest.raises(BrowserFailed, match="does not answer"):
        tab.run("new Promise((done) => setTimeout(done, 400, 'late'))", 0.1)
    assert tab.run("new Promise((done) => setTimeout(done, 500, 'in time'))", 240) == "in time"
    with pytest.raises(BrowserFailed, match=r"http://127\.0\.0\.1:9/ cannot be opened in the browser"):
        tab.open("http://127.0.0.1:9/")


def seen(api: SitePage, picture: bytes, side: int) -> np.ndarray:
    return np.frombuffer(api.ask("square", picture), np.uint8).reshape(side, side, 3)


def difference(api: SitePage, content: bytes, predictor: Predictor) -> np.ndarray:
    card = predictor.card
    return seen(api, content, card.size).astype(int) - to_square(load_picture(content), card.size, card.resize)


def test_half_transparent_pictures_are_those_of_pillow(api: SitePage, predictor: Predictor) -> None:
    wrong = {name for name, content in translucent.pictures() if difference(api, content, predictor).any()}
    assert wrong == set()


def test_half_transparent_pictures_of_16_bits_are_rounded_and_not_brightened(
    api: SitePage, predictor: Predictor
) -> None:
    for name, content in translucent.deep():
        found = difference(api, content, predictor)
        assert np.abs(found).max() <= 2, name
        assert abs(found.mean()) < 0.01, name


def test_a_cut_file_is_refused_whatever_its_format(api: SitePage) -> None:
    rng = random.Random(2)
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF"):
        whole = encode(noise(rng, 200, 150), kind)
        assert told_by(lambda whole=whole: api.ask("classify", whole)) == ("", ""), kind
        for share in (0.3, 0.6, 0.9):
            cut = whole[: int(len(whole) * share)]
            assert told_by(lambda cut=cut: api.ask("classify", cut)) == ("BadPicture", "corrupt"), (kind, share)


def test_answers_to_the_pictures_of_the_gate(api: SitePage, twice: Predictor) -> None:
    pictures = gate_pictures(twice)
    assert len(pictures) == 84
    expected = [[twice.predict(picture).record()] for picture in pictures]
    answers = [[api.ask("classify", picture)] for picture in pictures]
    found = compare("Firefox", answers, expected, partial(say_again, twice))
    assert (found.same, found.complaint("model.onnx")) == (84, "")
