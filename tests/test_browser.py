"""The page as people meet it: a real browser, a real server, a stand-in for the model."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Error, Page, Request, expect, sync_playwright

from spotter.config import ServeConfig
from spotter.web import ModelInfo, create_app
from tests.pictures import BLUE, GREEN, GREY, LABELS, RED, encode, plain, predict_by_color, serving

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"there is no browser at {CHROMIUM}")


@dataclass
class Visit:
    """An open page, and what it asked for and complained about."""

    page: Page
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def show(self, name: str, content: bytes, kind: str = "image/png") -> None:
        self.page.set_input_files("#picture input[type=file]", [{"name": name, "mimeType": kind, "buffer": content}])

    def says(self, words: str) -> None:
        expect(self.page.locator("#answer")).to_contain_text(words, timeout=10_000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("examples")
    examples = []
    for label, color in zip(LABELS, (RED, BLUE, GREEN), strict=True):
        path = folder / f"{label}.png"
        path.write_bytes(encode(plain(color, (640, 400))))
        examples.append((str(path), label))
    info = ModelInfo("Which bear is this?", LABELS, "r-1", 0.5, tuple(examples), "Wrong on 2 % of unseen pictures")
    with serving(create_app(predict_by_color, info, ServeConfig())) as address:
        yield address


@pytest.fixture(params=[(DESKTOP, "light"), (PHONE, "dark")], ids=["desktop-light", "phone-dark"])
def visit(request: pytest.FixtureRequest, browser: Browser, url: str) -> Iterator[Visit]:
    viewport, theme = request.param
    context = browser.new_context(viewport=viewport)
    visit = Visit(context.new_page())

    def remember(asked: Request) -> None:
        visit.requests.append(asked.url)

    visit.page.on("request", remember)
    visit.page.on("pageerror", lambda error: visit.errors.append(str(error)))
    visit.page.on("console", lambda line: visit.errors.append(line.text) if line.type == "error" else None)
    visit.page.goto(f"{url}/?__theme={theme}")
    visit.says("Give me a picture")
    yield visit
    context.close()


def overflow(page: Page) -> int:
    return page.evaluate("document.documentElement.scrollWidth - window.innerWidth")


def test_a_picture_is_answered_as_soon_as_it_is_given(visit: Visit) -> None:
    visit.show("bear.png", encode(plain(RED, (2000, 900))))
    visit.says("Grizzly, 97 % sure")
    bars = visit.page.locator("#bars meter")
    expect(bars).to_have_count(3)
    assert bars.first.get_attribute("aria-label") == "grizzly"
    assert visit.page.locator("#answer").get_attribute("aria-live") == "polite"
    assert overflow(visit.page) <= 0
    visit.page.get_by_role("button", name="What is it?").click()
    visit.says("Grizzly, 97 % sure")


def test_an_unfamiliar_picture_is_not_given_a_name(visit: Visit) -> None:
    visit.show("wall.png", encode(plain(GREY)))
    visit.says("Not sure: this looks unlike the pictures I learned from")
    assert "% sure" not in visit.page.locator("#answer").inner_text()
    assert overflow(visit.page) <= 0


def test_an_example_is_one_click(visit: Visit) -> None:
    examples = visit.page.locator("#examples .gallery-item")
    expect(examples).to_have_count(3)
    for number, words in ((1, "Black, 97 % sure"), (2, "Teddy, 97 % sure"), (0, "Grizzly, 97 % sure")):
        examples.nth(number).click()
        visit.says(words)


def test_taking_the_picture_away_takes_the_answer_away(visit: Visit) -> None:
    visit.show("bear.png", encode(plain(RED)))
    visit.says("Grizzly")
    visit.page.locator("#picture button[aria-label*='lear'], #picture button[aria-label*='emove']").first.click()
    visit.says("Give me a picture")
    expect(visit.page.locator("#bars meter")).to_have_count(0)


def test_a_file_that_is_no_picture_is_refused_in_words(visit: Visit) -> None:
    visit.show("bear.png", encode(plain(RED)))
    visit.says("Grizzly")
    visit.page.locator("#picture button[aria-label*='lear'], #picture button[aria-label*='emove']").first.click()
    visit.show("page.jpg", b"<html>no picture</html>", "image/jpeg")
    visit.says("not a picture we can read")
    assert "Grizzly" not in visit.page.locator("#answer").inner_text()


def test_nothing_leaves_this_machine_and_nothing_goes_wrong(visit: Visit, url: str) -> None:
    visit.show("bear.png", encode(plain(BLUE)))
    visit.says("Black, 97 % sure")
    visit.page.wait_for_load_state("networkidle")
    strangers = [asked for asked in visit.requests if urlsplit(asked).hostname not in {"127.0.0.1", None}]
    assert not strangers
    assert not visit.errors
    assert urlsplit(url).hostname == "127.0.0.1"


def test_the_foot_of_the_page_tells_what_is_running(visit: Visit, url: str) -> None:
    foot = visit.page.locator("#about")
    expect(foot).to_contain_text("Wrong on 2 % of unseen pictures")
    expect(foot).to_contain_text("r-1")
    assert foot.get_by_role("link").get_attribute("href") == "/api"
    assert overflow(visit.page) <= 0


def test_a_page_without_a_model_says_why(browser: Browser) -> None:
    app = create_app(predict_by_color, ModelInfo("Bears?", ()), ServeConfig(), problem="The model is broken.")
    with serving(app) as url:
        page = browser.new_page()
        page.goto(url)
        expect(page.locator("#answer")).to_contain_text("The model is broken.")
        expect(page.locator("#picture")).to_have_count(0)
        page.close()


def test_the_browser_would_notice_another_origin(browser: Browser) -> None:
    # The test above proves something only if a request elsewhere would be seen, although it fails.
    page, requests = browser.new_page(), []
    page.on("request", lambda asked: requests.append(asked.url))
    with pytest.raises(Error):
        page.goto("http://elsewhere.invalid/")
    page.close()
    assert requests == ["http://elsewhere.invalid/"]
