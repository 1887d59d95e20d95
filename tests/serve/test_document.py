"""The HTML that the page begins with: what a shared link shows, the language, the stage of a trial."""

import io
import re
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path

import httpx2
import pytest
from gradio_client import Client, handle_file
from PIL import Image

from spotter.config import ServeConfig
from spotter.serve.app import create_app
from spotter.serve.forwarded import path_prefix, public_address
from spotter.serve.page.preview import draw_preview
from spotter.serve.page.translations import LANGUAGES
from spotter.serve.service import AppOptions, ModelInfo
from tests.helpers.page import make_info
from tests.helpers.pictures import BLUE, GREEN, LABELS, RED, plain, predict_by_color, serving
from tests.helpers.proxy import below

EVIL = '"><script>alert(1)</script>'
STAGES = ("shadow", "supervised", "gradual", "full")


class Trial:
    """Treats everybody as its stage says."""

    stage = "shadow"
    problem = ""

    def treat(self, client: str) -> str:
        assert client
        return self.stage

    def place_of(self, client: str) -> float:
        assert client
        return 0.5


@pytest.fixture(scope="module")
def info(tmp_path_factory: pytest.TempPathFactory) -> ModelInfo:
    return replace(make_info(tmp_path_factory.mktemp("examples")), title=f"Bears {EVIL}?")


@pytest.fixture(scope="module")
def url(info: ModelInfo) -> Iterator[str]:
    with serving(create_app(predict_by_color, info, ServeConfig())) as address:
        yield address


def tags(page: str) -> dict[str, str]:
    """What the page says about itself; each thing may be said only once."""
    found = re.findall(r'<meta\s+(?:property|name)="((?:og|twitter):[^"]*|description)"\s+content="([^"]*)"', page)
    assert len(found) == page.count('"og:') + page.count('"twitter:') + 1
    assert len(dict(found)) == len(found)
    return {name: unescape(value) for name, value in found}


def test_a_shared_link_shows_the_classifiers_own_words_and_picture(url: str, info: ModelInfo) -> None:
    page = httpx2.get(url).text
    told = tags(page)
    assert told["og:title"] == told["twitter:title"] == info.title
    assert told["og:description"] == told["twitter:description"] == told["description"]
    assert told["description"].startswith("I can tell apart grizzly, black and teddy. Wrong on 1.9 %")
    assert told["og:url"] == f"{url}/"
    assert told["og:image"] == told["twitter:image"] == f"{url}/preview.jpg?v=r-1"
    assert told["twitter:card"] == "summary_large_image"
    assert "radio" not in "".join(told.values()).lower()
    assert EVIL not in page.partition("window.gradio_config")[0]
    picture = httpx2.get(told["og:image"])
    assert picture.headers["content-type"] == "image/jpeg"
    with Image.open(io.BytesIO(picture.content)) as opened:
        size = (int(told["og:image:width"]), int(told["og:image:height"]))
        assert opened.size == size == (1200, 630)
        for number, color in enumerate((RED, BLUE, GREEN)):
            seen = opened.getpixel((235 + 365 * number, 315))
            assert all(abs(a - b) < 25 for a, b in zip(seen, color, strict=True))


@pytest.mark.parametrize(
    ("headers", "address"),
    [
        ({"host": "bears.example"}, "http://bears.example"),
        ({"host": "10.0.0.7:7860", "x-forwarded-proto": "https"}, "https://10.0.0.7:7860"),
        ({"x-forwarded-host": "owner-bears.hf.space", "x-forwarded-proto": "https"}, "https://owner-bears.hf.space"),
        ({"x-forwarded-host": "a.example, b.example", "x-forwarded-proto": "https,http"}, "https://a.example"),
        ({"host": "[::1]:7860"}, "http://[::1]:7860"),
    ],
)
def test_the_addresses_are_those_that_the_visitor_used(url: str, headers: dict, address: str) -> None:
    told = tags(httpx2.get(url, headers=headers).text)
    assert (told["og:url"], told["og:image"]) == (f"{address}/", f"{address}/preview.jpg?v=r-1")


@pytest.mark.parametrize("odd", ['x"><b>', "a/b", "a b", "", "a@b", "a:b", "ä", "x" * 3 + ":999999"])
def test_a_host_that_is_none_gives_no_address(odd: str) -> None:
    assert public_address({"scheme": "http"}, {"host": odd}) == ""
    assert public_address({"scheme": "http"}, {"host": "a", "x-forwarded-proto": "javascript"}) == ""


def test_a_folder_before_the_app_is_in_its_address() -> None:
    assert public_address({"scheme": "https", "root_path": "/bears/"}, {"host": "a"}) == "https://a/bears"


@pytest.mark.parametrize(
    ("told", "prefix"),
    [
        ("/bears", "/bears"),
        ("/bears/", "/bears"),
        ("/zoo/bears-2, /other", "/zoo/bears-2"),
        ("//evil.example", ""),
        ("/..", ""),
        ("/a//b", ""),
        ('/a"><b>', ""),
        ("/a\\b", ""),
        ("bears", ""),
        ("/", ""),
        ("", ""),
    ],
)
def test_a_folder_that_a_proxy_tells_is_in_its_address(told: str, prefix: str) -> None:
    headers = {"host": "a", "x-forwarded-prefix": told}
    assert path_prefix(headers) == prefix
    assert public_address({"scheme": "https"}, headers) == f"https://a{prefix}"


def test_below_a_folder_of_a_proxy_page_and_clients_find_everything(url: str, tmp_path: Path) -> None:
    plain(RED).save(tmp_path / "red.png")
    with below("/bears", url) as (address, outside):
        page = httpx2.get(f"{address}/").text
        assert tags(page)["og:url"] == f"{address}/"
        assert f'"root":"{address}"' in page
        client = Client(f"{address}/", verbose=False, download_files=str(tmp_path))
        assert client.predict(handle_file(str(tmp_path / "red.png")), api_name="/predict")["label"] == "grizzly"
        answers, table = client.predict([handle_file(str(tmp_path / "red.png"))], api_name="/classify_batch")
        assert answers["results"][0]["label"] == "grizzly"
        assert Path(table).read_text(encoding="utf-8-sig").startswith("file,")
        assert f"POST the picture to {address}/api/classify" in httpx2.get(f"{address}/api/predict").json()["error"]
        assert outside == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_is_said_in_the_visitors_language(url: str, language: str) -> None:
    by_address = httpx2.get(f"{url}/?lang={language}", headers={"accept-language": "pt"}).text
    by_browser = httpx2.get(url, headers={"accept-language": language}).text
    for page in (by_address, by_browser):
        assert re.search(rf'<html\s+lang="{language}"', page)
        assert tags(page)["description"] == tags(by_address)["description"]
    assert len({tags(httpx2.get(f"{url}/?lang={each}").text)["description"] for each in LANGUAGES}) == len(LANGUAGES)


def test_it_is_sent_packed_to_whoever_can_unpack_it(url: str) -> None:
    packed = httpx2.get(url, headers={"accept-encoding": "gzip"})
    whole = httpx2.get(url, headers={"accept-encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in whole.headers
    assert int(packed.headers["content-length"]) < int(whole.headers["content-length"]) / 3
    assert tags(packed.text) == tags(whole.text)
    assert {"Accept-Encoding", "Accept-Language"} <= set(whole.headers["vary"].split(", "))


def test_the_examples_are_sent_small_and_nothing_else_is(url: str, info: ModelInfo) -> None:
    for number, _ in enumerate(info.examples):
        small = httpx2.get(f"{url}/example/{number}.jpg")
        with Image.open(io.BytesIO(small.content)) as opened:
            assert opened.size == (138, 138)
        assert len(small.content) < 15_000
    assert httpx2.get(f"{url}/example/3.jpg").status_code == 404
    assert httpx2.get(f"{url}/example/-1.jpg").status_code in {404, 422}


def test_without_examples_the_picture_is_the_apps_sign(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("no picture")
    bare = ModelInfo("Bears?", LABELS)
    drawn = draw_preview(bare)
    assert draw_preview(replace(bare, examples=((str(tmp_path / "a.jpg"), "a"),))) == drawn
    with Image.open(io.BytesIO(drawn)) as opened:
        assert opened.size == (1200, 630)
        assert opened.getpixel((5, 5))[1] > opened.getpixel((5, 5))[0]


def test_the_stage_of_a_trial_is_told_before_a_picture_is_given() -> None:
    trial = Trial()
    told = ModelInfo("Bears?", LABELS, options=AppOptions(rollout=trial))  # type: ignore[arg-type]
    with serving(create_app(predict_by_color, told, ServeConfig())) as url:
        for stage in STAGES:
            trial.stage = stage
            page = httpx2.get(url).text
            assert f'data-stage="{stage}"' in page.partition("<head>")[0]
            for words in ("say what it is, and then you see", "after a person has checked it", "give them one by one"):
                assert words in page
    with serving(create_app(predict_by_color, replace(told, options=AppOptions()), ServeConfig())) as url:
        page = httpx2.get(url).text
        assert "data-stage=" not in page.partition("<head>")[0]
        assert "trial shadow" not in page
