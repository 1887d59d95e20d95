"""The app on pages of other sites: from another origin, next to their own rules."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Frame, FrameLocator, expect

from spotter.config import ServeConfig
from spotter.serve.app import create_app
from spotter.serve.page.snippets import Snippet, element_snippet, frame_snippet
from tests.helpers.browser import DESKTOP, PHONE, overflow
from tests.helpers.host_pages import LOOK, STYLES, host_page
from tests.helpers.loopback import JsonServer
from tests.helpers.page import make_info
from tests.helpers.patience import wait_until
from tests.helpers.pictures import BLUE, encode, plain, predict_by_color, serving
from tests.helpers.visit import Visit, visiting
from tests.helpers.window import Window

TITLE = "Which bear is this?"
LIGHT, DARK = "rgb(247, 245, 240)", "rgb(22, 23, 20)"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    info = make_info(tmp_path_factory.mktemp("examples"))
    with serving(create_app(predict_by_color, info, ServeConfig())) as address:
        yield address


@pytest.fixture(scope="module")
def blog(url: str) -> Iterator[str]:
    """A site of another origin, host and port: `/KIND/EMBED`, where EMBED is empty for the page without the app."""
    element = element_snippet(TITLE).at(url)
    embeds = {
        "": "",
        "element": element,
        "dark": element.replace('theme="light"', 'theme="dark" lang="de"'),
        "frame": frame_snippet(TITLE).at(url),
        "stranger": element + '<iframe id="stranger" srcdoc="x" width="50" height="50"></iframe>',
    }

    def answer(path: str, query: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        kind, _, embed = path[1:].partition("/")
        if kind not in STYLES:
            return 204, {}, b""
        return 200, {"Content-Type": "text/html; charset=utf-8"}, host_page(kind, embeds[embed])

    with JsonServer(answer) as server:
        yield server.url.replace("127.0.0.1", "localhost")


@pytest.fixture(scope="module")
def window(browser: Browser, url: str) -> Iterator[Window]:
    """One in Spanish, as for frames it cannot be chosen later."""
    window = Window(browser, locale="es-ES")
    window.hold(f"{url}/embed.js")
    yield window
    window.leave()


def app_in(visit: Visit) -> FrameLocator:
    """The app in the page's frame, once it is ready."""
    visit.page.locator("spotter-app, iframe").first.scroll_into_view_if_needed()
    frame = visit.page.frame_locator("spotter-app iframe, .entry-content > iframe:not(#stranger)")
    expect(frame.locator("#answer h2")).to_be_visible()
    return frame


def give(frame: FrameLocator) -> None:
    frame.locator("#picture input[type=file]").set_input_files(
        [{"name": "a.png", "mimeType": "image/png", "buffer": encode(plain(BLUE))}]
    )
    expect(frame.locator("#answer")).to_contain_text("Black, con un 97 % de seguridad")
    expect(frame.locator("#bars meter")).to_have_count(3)


def app_frame(visit: Visit) -> Frame:
    return next(frame for frame in visit.page.frames if "embed=1" in frame.url)


def is_whole(visit: Visit) -> bool:
    """That of the page in the frame nothing is cut off, and little of the frame is empty."""
    page, window, content = app_frame(visit).evaluate(
        "[document.documentElement.scrollHeight, innerHeight, document.querySelector('.main').offsetHeight]"
    )
    return page <= window < content + 40


@pytest.mark.parametrize(
    ("kind", "viewport"), [("wordpress", DESKTOP), ("ghost", PHONE), ("plain", DESKTOP)], ids=list(STYLES)
)
def test_the_page_around_the_app_stays_as_it_is_and_the_app_is_whole(
    window: Window, url: str, blog: str, kind: str, viewport: dict
) -> None:
    with window.visiting(f"{blog}/{kind}/", viewport=viewport) as visit:
        before = visit.page.evaluate(LOOK)
        assert len(json.loads(before)) > 10
        visit.page.goto(f"{blog}/{kind}/element")
        frame = app_in(visit)
        assert visit.page.evaluate(LOOK) == before
        wait_until(lambda: is_whole(visit))
        heights = [visit.page.locator("spotter-app").bounding_box()["height"]]
        give(frame)
        assert visit.page.evaluate(LOOK) == before
        # Nothing to scroll, nothing empty, and it grew with the answer.
        wait_until(lambda: is_whole(visit))
        heights.append(visit.page.locator("spotter-app").bounding_box()["height"])
        assert heights[1] > heights[0] or viewport is DESKTOP
        box = visit.page.locator("spotter-app iframe").evaluate(
            "(f) => [getComputedStyle(f).borderTopWidth, getComputedStyle(f).opacity, f.clientWidth]"
        )
        assert box[:2] == ["0px", "1"]
        assert abs(box[2] - visit.page.locator("spotter-app").bounding_box()["width"]) < 1
        for hidden in ("#headline", "#examples", "#rooms .tab-wrapper", "#foot nav"):
            expect(frame.locator(hidden).first).to_be_hidden()
        full = frame.get_by_role("link", name="Abrir la página completa")
        assert full.evaluate("(link) => [link.href, link.target]") == [f"{url}/?lang=es", "_blank"]
        assert overflow(visit.page) <= 0
        assert not visit.errors


@pytest.mark.parametrize("embed", ["stranger", "dark", "frame"])
def test_the_author_chooses_the_colours_not_the_visitors_system(window: Window, blog: str, embed: str) -> None:
    system, expected = ("light", DARK) if embed == "dark" else ("dark", LIGHT)
    with window.visiting(f"{blog}/wordpress/{embed}", viewport=PHONE, color_scheme=system) as visit:
        answer = app_in(visit).locator("#answer")
        expect(answer).to_contain_text("Wähle ein Bild" if embed == "dark" else "Elige una foto")
        frame = app_frame(visit)
        assert frame.evaluate("getComputedStyle(document.body).backgroundColor") == expected
        assert frame.evaluate("document.body.classList.contains('dark')") == (embed == "dark")
        shades = frame.evaluate(
            "[...document.querySelectorAll('gradio-app, .gradio-container, main')].map((e) =>"
            " getComputedStyle(e).backgroundColor)"
        )
        assert set(shades) <= {expected, "rgba(0, 0, 0, 0)"}
        for feature in ("camera", "clipboard-read", "clipboard-write"):
            assert frame.evaluate(f"document.featurePolicy.allowsFeature('{feature}')"), feature
        assert overflow(visit.page) <= 0
        if embed == "stranger":
            only_the_app_says_how_high_it_is(visit)


# Where the frame would be as narrow as a frame is by itself, or not be shown: a style, the layout around the embed, and
# headers.
ODD_HOSTS = {
    "row": (".w { display: flex; } aside { width: 200px; }", '<div class="w"><aside>x</aside>{}</div>', {}),
    "centred": (".w { display: flex; flex-direction: column; align-items: center; }", '<div class="w">{}</div>', {}),
    "isolated": (
        "",
        "<div>{}</div>",
        {"Cross-Origin-Embedder-Policy": "require-corp", "Cross-Origin-Opener-Policy": "same-origin"},
    ),
    "heights": ("iframe { max-width: 100%; height: auto; }", "<div>{}</div>", {}),
}


def test_layouts_and_headers_of_the_page_around(window: Window, url: str) -> None:
    def answer(path: str, query: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        style, around, headers = ODD_HOSTS.get(path[1:], ("", "", {}))
        snippet = (frame_snippet if path == "/heights" else element_snippet)(TITLE).at(url)
        page = f"<!doctype html><style>body {{ margin: 0 }} {style}</style>{around.format(snippet)}"
        return 200, {"Content-Type": "text/html; charset=utf-8", **headers}, page.encode()

    with JsonServer(answer) as server:
        base = server.url.replace("127.0.0.1", "localhost")
        with window.visiting() as visit:
            for kind in ODD_HOSTS:
                visit.page.goto(f"{base}/{kind}")
                frame = visit.page.locator("spotter-app iframe, div > iframe")
                expect(frame.content_frame.locator("#answer h2")).to_be_visible()
                wide = DESKTOP["width"] - (200 if kind == "row" else 0)
                wait_until(lambda frame=frame, wide=wide: abs(frame.bounding_box()["width"] - wide) < 20)
                wait_until(lambda frame=frame: frame.bounding_box()["height"] > 300)
                assert overflow(visit.page) <= 0, kind


def only_the_app_says_how_high_it_is(visit: Visit) -> None:
    element, app = visit.page.locator("spotter-app"), app_frame(visit)
    wait_until(lambda: is_whole(visit))
    visit.page.wait_for_timeout(300)
    height = element.bounding_box()["height"]
    stranger = visit.page.query_selector("#stranger").content_frame()
    for frame in (visit.page.main_frame, stranger):
        frame.evaluate("parent.postMessage({ spotterHeight: 3000 }, '*')")
    for odd in ("'x'", "-5", "NaN", "{}", "null", "[]", "true"):
        app.evaluate(f"parent.postMessage({{ spotterHeight: {odd} }}, '*')")
    visit.page.wait_for_timeout(200)
    assert element.bounding_box()["height"] == height
    # The same from where it may come from, so this can fail; and a page is never made endless.
    app.evaluate("parent.postMessage({ spotterHeight: 1e12 }, '*')")
    wait_until(lambda: element.bounding_box()["height"] == 6000)


def test_where_no_script_runs_a_link_is_left(browser: Browser, url: str, blog: str) -> None:
    with visiting(browser, f"{blog}/ghost/element", java_script_enabled=False) as visit:
        link = visit.page.get_by_role("link", name=TITLE)
        expect(link).to_be_visible()
        assert link.get_attribute("href") == url


@pytest.mark.parametrize("snippet", [element_snippet, frame_snippet])
def test_a_title_cannot_leave_its_attribute(snippet: object) -> None:
    made: Snippet = snippet('"><script>alert(1)</script>')  # type: ignore[operator]
    assert re.findall("<script>", made.code) == []


def test_the_script_may_be_loaded_by_any_page(browser: Browser, url: str, tmp_path: Path) -> None:
    answer = browser.new_context().request.get(f"{url}/embed.js")
    assert answer.headers["content-type"].startswith("text/javascript")
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
