"""The search of the page that teaches: recorded answers of Openverse and Wikimedia Commons, at their real addresses."""

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from spotter.inference.predictor import Predictor
from spotter.search.base import ImageHit
from spotter.search.openverse import Openverse
from spotter.search.wikimedia import Wikimedia
from tests.conftest import SHARED, Revision
from tests.helpers.browser import CHROMIUM, running_browser
from tests.helpers.loopback import JsonServer
from tests.helpers.open_sources import OpenSources, read_recorded, serving_open_sources
from tests.helpers.site import make_site, serving_site
from tests.helpers.teach import LONG_MS, Lesson, lesson_in, picture

RECORDED = SHARED / "fixtures"
# What a lesson tells of a picture that was found; `image_url` of Commons may be a scaled one in Python.
TOLD = ("id", "page_url", "title", "creator", "creator_url", "license_id", "license_url", "attribution")


@pytest.fixture(scope="module")
def sources() -> Iterator[OpenSources]:
    if not RECORDED.is_dir():
        pytest.skip("the recorded answers (../shared/fixtures) are not on this machine")
    with serving_open_sources() as sources:
        yield sources


@pytest.fixture(scope="module")
def searching_browser(sources: OpenSources) -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip(f"there is no browser at {CHROMIUM}")
    with running_browser(sources.rule) as running:
        yield running


@pytest.fixture(scope="module")
def url(prebuilt: Revision, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("site")
    make_site(prebuilt.folder, Predictor.load(str(prebuilt.store)), folder)
    with serving_site(folder) as server:
        yield server.url("teach/")


@pytest.fixture(scope="module")
def opened(searching_browser: Browser, url: str) -> Iterator[Lesson]:
    # The certificates of the sources are made by the test.
    with lesson_in(searching_browser, url, ignore_https_errors=True) as lesson:
        yield lesson


@pytest.fixture
def lesson(opened: Lesson, sources: OpenSources) -> Iterator[Lesson]:
    """The page as a first visit finds it, in one window for all tests."""
    sources.openverse, sources.commons = (200, {"results": []}), (200, {"batchcomplete": True})
    sources.open_to_others = True
    sources.asked.clear()
    yield opened
    opened.page.context.set_offline(False)
    opened.empty()


def search(lesson: Lesson, words: str, source: str = "openverse", card: int = 0) -> None:
    page = lesson.page
    if not page.locator("#search[open]").count():
        lesson.card(card).get_by_role("button", name="Search").click()
    page.locator("#search input[type=text]").fill(words)
    page.locator("#search select").select_option(source)
    page.locator("#search form button").click()


def python_hits(backend: type[Openverse | Wikimedia], answer: object, query: str) -> list[ImageHit]:
    """What `spotter train --search` makes of the same answer."""
    body = json.dumps(answer).encode()
    with JsonServer(lambda path, query: (200, {"Content-Type": "application/json"}, body)) as server:
        return list(backend(base_url=f"{server.url}/", sleep=lambda seconds: None).search(query, 20))


def lesson_of(lesson: Lesson) -> dict[str, Any]:
    with lesson.page.expect_download(timeout=LONG_MS) as waiting:
        lesson.page.get_by_role("button", name="Download for Spotter").click()
    with zipfile.ZipFile(waiting.value.path()) as file:
        return json.loads(file.read("spotter-lesson.json"))


def site_of(lesson: Lesson) -> zipfile.ZipFile:
    with lesson.page.expect_download(timeout=LONG_MS) as waiting:
        lesson.page.get_by_role("button", name="Download the site").click()
    return zipfile.ZipFile(io.BytesIO(Path(waiting.value.path()).read_bytes()))


@pytest.mark.parametrize(
    ("source", "backend", "names"),
    [("openverse", Openverse, ["openverse-1"]), ("wikimedia", Wikimedia, ["wikimedia-1", "wikimedia-5"])],
)
def test_what_is_found_keeps_its_creator_and_licence_as_in_python(
    lesson: Lesson, sources: OpenSources, source: str, backend: type[Openverse | Wikimedia], names: list[str]
) -> None:
    page = lesson.page
    lesson.add(1, [picture("disc", seed) for seed in range(40, 46)])
    wanted = {}
    for name in names:
        answer = read_recorded(RECORDED, name)
        answer.pop("continue", None) if isinstance(answer, dict) else None
        setattr(sources, source if source == "openverse" else "commons", (200, answer))
        hits = python_hits(backend, answer, "bird")
        assert hits
        wanted |= {hit.backend_id: hit for hit in hits}
        search(lesson, "bird", source)
        tiles = page.locator("#search .gallery-list li")
        expect(tiles).to_have_count(len(hits), timeout=LONG_MS)
        expect(page.locator("#search")).to_contain_text(
            hits[0].license_id if hits[0].license_id != "unknown" else "licence unknown"
        )
        page.evaluate("document.querySelector('#said').textContent = ''")
        page.get_by_role("button", name=f"Add the chosen ({len(hits)})").click()
        expect(lesson.said).to_contain_text("Added: ", timeout=LONG_MS)
    host, asked = sources.asked[0]
    assert "bird" in asked
    # Neither key nor cookie, and no page of ours is named to them.
    assert host in {"api.openverse.org", "commons.wikimedia.org"}
    if lesson.counts()[0] < 5:
        lesson.add(0, [picture("cross", seed) for seed in range(40, 45)])
    lesson.learn()
    told = {each["id"]: each for each in lesson_of(lesson)["pictures"] if each["source"] == source}
    assert told.keys() == wanted.keys()
    for identity, hit in wanted.items():
        for name in TOLD[1:]:
            assert told[identity].get(name) == getattr(hit, name), (identity, name)
        assert told[identity]["query"] == "bird"


def test_pictures_that_are_not_free_stay_out_of_the_site(lesson: Lesson, sources: OpenSources) -> None:
    free = {"license": "by", "license_version": "4.0", "license_url": "https://creativecommons.org/licenses/by/4.0/"}
    results = [
        {
            "id": f"a{place}",
            "url": f"https://example.org/{place}.jpg",
            "title": f"Bird {place}",
            "creator": f"Ann {place}",
        }
        | (free if place < 6 else {})
        for place in range(12)
    ]
    sources.openverse = (200, {"results": results})
    search(lesson, "bird")
    expect(lesson.page.locator("#search .gallery-list li")).to_have_count(12, timeout=LONG_MS)
    assert lesson.page.locator("#search").inner_text().count("licence unknown") == 6
    lesson.page.get_by_role("button", name="Add the chosen (12)").click()
    expect(lesson.card(0).locator(".count")).to_have_text("Pictures: 12", timeout=LONG_MS)
    lesson.add(1, [picture("disc", seed) for seed in range(40, 48)])
    lesson.learn()
    expect(lesson.page.locator("#left-out")).to_contain_text("not free to share are not shown on it: 6.")
    with site_of(lesson) as site:
        shown = site.read("model/thumbnails.safetensors")
    for place in range(12):
        assert (f"Ann {place}".encode() in shown) == (place < 6), place


def test_what_is_not_wanted_is_left_out_and_more_can_be_asked_for(lesson: Lesson, sources: OpenSources) -> None:
    page = lesson.page
    sources.openverse = (
        200,
        {"results": [{"id": f"b{place}", "url": f"https://example.org/{place}"} for place in range(4)]},
    )
    search(lesson, "cat")
    tiles = page.locator("#search .gallery-list li")
    expect(tiles).to_have_count(4, timeout=LONG_MS)
    page.locator("#search input[type=checkbox]").first.uncheck()
    sources.openverse = (
        200,
        {"results": [{"id": f"c{place}", "url": f"https://example.org/{place}"} for place in range(2)]},
    )
    page.get_by_role("button", name="More").click()
    expect(tiles).to_have_count(6, timeout=LONG_MS)
    assert [path for host, path in sources.asked if "q=cat" in path][-1].split("page=")[1].startswith("2")
    page.get_by_role("button", name="Add the chosen (5)").click()
    expect(lesson.card(0).locator(".count")).to_have_text("Pictures: 5", timeout=LONG_MS)


@pytest.mark.parametrize(
    ("source", "answer", "words"),
    [
        ("openverse", "openverse-5", "Nothing was found for “zebra”."),
        ("openverse", (429, {"detail": "Request was throttled."}), "Openverse was asked too often."),
        ("openverse", (503, {}), "Openverse does not answer."),
        ("openverse", (200, {"detail": "what?"}), "Openverse answers in a way that this page does not understand."),
        ("wikimedia", (200, {"batchcomplete": True}), "Nothing was found for “zebra”."),
        ("wikimedia", (200, {"error": {"code": "maxlag"}}), "Wikimedia Commons was asked too often."),
        ("wikimedia", (200, []), "Wikimedia Commons answers in a way"),
    ],
)
def test_a_source_that_finds_nothing_or_fails_says_so(
    lesson: Lesson, sources: OpenSources, source: str, answer: Any, words: str
) -> None:
    told = (200, read_recorded(RECORDED, answer)) if isinstance(answer, str) else answer
    setattr(sources, "openverse" if source == "openverse" else "commons", told)
    search(lesson, "zebra", source)
    expect(lesson.page.locator("#search")).to_contain_text(words, timeout=LONG_MS)


def test_a_source_that_is_closed_to_other_sites_says_so_and_the_other_one_works(
    lesson: Lesson, sources: OpenSources
) -> None:
    sources.open_to_others = False
    search(lesson, "bird")
    expect(lesson.page.locator("#search")).to_contain_text("closed to other sites. Nothing is lost", timeout=LONG_MS)
    sources.open_to_others = True
    sources.openverse = (200, {"results": [{"id": "d1", "url": "https://example.org/1"}]})
    search(lesson, "bird")
    expect(lesson.page.locator("#search .gallery-list li")).to_have_count(1, timeout=LONG_MS)


def test_a_source_that_cannot_be_reached_says_so(lesson: Lesson) -> None:
    lesson.page.context.set_offline(True)
    search(lesson, "bird")
    expect(lesson.page.locator("#search")).to_contain_text("Openverse does not answer.", timeout=LONG_MS)
