"""The page for everybody, in each of its states: axe-core, contrast, targets, focus, that it fits the window, and that
nothing moves while it loads."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from spotter.config import ServeConfig
from spotter.feedback.store import FeedbackFolder
from spotter.serve.app import create_app
from tests.helpers.access import SHIFTS, focus_rings, poor_contrasts, small_targets
from tests.helpers.browser import DESKTOP, PHONE, complaints, overflow, read_axe
from tests.helpers.page import TABS, make_info
from tests.helpers.pictures import GREY, RED, encode, plain, predict_by_color, serving
from tests.helpers.visit import Visit


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("app")
    entries, info = FeedbackFolder(folder / "feedback"), make_info(folder)
    options = replace(info.options, keep=partial(entries.add, revision="r-1"), forget=entries.delete)
    with serving(create_app(predict_by_color, replace(info, options=options), ServeConfig())) as address:
        yield address


@pytest.mark.parametrize(
    ("window", "theme", "language"),
    [(DESKTOP, "light", "de"), (PHONE, "dark", "fr")],
    ids=["desktop-light", "phone-dark"],
)
def test_everybody_can_see_reach_and_follow_all_of_it(
    browser: Browser, url: str, node_folder: Path, window: dict, theme: str, language: str
) -> None:
    axe = read_axe(node_folder)
    context = browser.new_context(viewport=window)
    page = context.new_page()
    visit = Visit(page)
    page.add_init_script(SHIFTS)
    page.goto(f"{url}/?__theme={theme}&lang={language}")
    expect(page.locator("html.ready")).to_be_attached(timeout=30_000)
    page.wait_for_load_state("networkidle")
    # Nothing moves while it loads.
    assert page.evaluate("window.shift") <= 0.01
    rings = focus_rings(page)
    assert len(rings) > 10
    bear = {"name": "a.png", "mimeType": "image/png", "buffer": encode(plain(RED))}
    troubles: list[object] = [("start", *ring) for ring in rings if ring[1]]

    def look(where: str) -> None:
        troubles.extend((where, *each) for each in [*poor_contrasts(page), *small_targets(page)])
        fits(where)

    def fits(where: str) -> None:
        # What moves or fades is at its end.
        page.wait_for_timeout(400)
        troubles.extend((where, *each) for each in complaints(page, axe))
        if overflow(page) > 0:
            troubles.append((where, "wider than the window", overflow(page)))

    look("start")
    visit.show("bear.png", encode(plain(RED)))
    expect(page.locator("#bars li")).to_have_count(3, timeout=30_000)
    page.locator("#right label").last.click()
    look("answer")
    troubles += [("answer", *ring) for ring in focus_rings(page) if ring[1]]
    page.locator("#ask-why").click()
    expect(page.locator("#why img").first).to_be_visible()
    fits("why")
    visit.show("wall.png", encode(plain(GREY)))
    expect(page.locator("#answer .unsure")).to_be_visible(timeout=30_000)
    look("unsure")
    tabs = page.locator("#rooms [role=tab]")
    for place in range(1, len(TABS)):
        tabs.nth(place).click()
        fits(TABS[place])
        if place == 1:
            page.set_input_files("#files input[type=file]", [bear])
            expect(page.locator("#files")).to_contain_text("a", timeout=30_000)
            page.locator("#classify-all").click()
            expect(page.locator("#many-table tbody tr")).to_have_count(1, timeout=30_000)
        page.wait_for_timeout(300)
        assert overflow(page) <= 0
        # Beside axe-core: Gradio's list of files has a button in a button.
        troubles.extend((TABS[place], *each) for each in [*poor_contrasts(page), *small_targets(page)])
        if place == 3 or (place == 1 and window is PHONE):
            troubles += [(TABS[place], *ring) for ring in focus_rings(page) if ring[1]]
    context.close()
    assert troubles == [], troubles


def test_the_measures_see_what_is_wrong(browser: Browser) -> None:
    page = browser.new_page()
    page.set_content(
        """<body style="background: #fff"><p style="color: #999">pale</p>
        <style>#a { width: 60px; height: 18px; } button:focus { outline: 3px solid #000; outline-offset: 4px }
        #c { appearance: none; border: 1px solid #eee }</style>
        <div style="overflow: hidden; width: 60px"><button id="a">a</button></div>
        <a href="#" style="outline: none; display: inline-block; padding: 20px">b</a>
        <button style="color: #bbb; width: 40px; height: 40px"><svg width="9" height="9"></svg></button>
        <label>c<input type="checkbox" id="c" style="width: 30px; height: 30px"></label>"""
    )
    assert [each[0] for each in poor_contrasts(page)] == ["text", "icon", "control"]
    small = small_targets(page)
    assert small[0][1:] == [60, 18]
    assert small[1][1] == "has no name"
    rings = focus_rings(page)
    assert [trouble.split(" by ")[0] for _, ring in rings[:2] for trouble in ring[:1]] == ["cut off", "no ring"]
    page.close()
