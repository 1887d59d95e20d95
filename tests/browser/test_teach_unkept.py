"""The page that teaches where a browser keeps nothing for it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, expect

from spotter.inference.predictor import Predictor
from tests.conftest import Revision
from tests.helpers.browser import running_profile
from tests.helpers.hub import running_hub
from tests.helpers.hub_site import host_site
from tests.helpers.site import make_site, serving_site
from tests.helpers.teach import LONG_MS, Lesson, picture

# No cookies, and with them neither databases nor notes nor locks.
FORBIDDEN = {"profile": {"default_content_setting_values": {"cookies": 2}}}


@pytest.fixture
def context(tmp_path: Path) -> Iterator[BrowserContext]:
    """A browser that lets no site keep anything."""
    settings = tmp_path / "profile" / "Default" / "Preferences"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps(FORBIDDEN))
    with running_profile(settings.parents[1]) as context:
        yield context


def test_it_teaches_in_memory_says_so_and_asks_before_it_is_closed(
    context: BrowserContext, prebuilt: Revision, tmp_path: Path
) -> None:
    make_site(prebuilt.folder, Predictor.load(str(prebuilt.store)), tmp_path / "site")
    with serving_site(tmp_path / "site") as server:
        page, address = context.new_page(), server.url("teach/")
        lesson = Lesson(page).open(address)
        kept = "new Promise(done => { indexedDB.open('any').onerror = ({ target }) => done(target.error.name); })"
        assert page.evaluate(kept) == "UnknownError"
        told = page.locator("#elsewhere")
        expect(told).to_contain_text("This browser keeps nothing for this page")
        expect(told).to_contain_text("before you close the tab")
        lesson.add_kinds({"disc": 8, "cross": 8})
        assert "Wrong: " in lesson.learn()
        expect(page.locator("#take")).to_be_visible(timeout=LONG_MS)
        # It learns from what was decided, moved and removed, as where all is kept.
        page.locator("#matrix button").first.click()
        gallery = page.locator("#gallery li")
        gallery.first.locator("select").select_option(label="cross")
        expect(lesson.card(1).locator(".count")).to_have_text("Pictures: 9")
        gallery.last.get_by_role("button", name="Remove").click()
        page.keyboard.press("Escape")
        assert sum(lesson.counts()) == 15
        assert "Wrong: " in lesson.learn()
        with page.expect_download(timeout=LONG_MS) as waiting:
            page.get_by_role("button", name="Download for Spotter").click()
        assert waiting.value.suggested_filename == "disc-cross.spotter-lesson.zip"
        asked: list[str] = []
        page.once("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
        page.goto(address)
        assert asked == ["beforeunload"]
        lesson.ready()
        assert lesson.counts() == [0, 0]
        # Nothing is said of what was never kept.
        expect(lesson.said).to_be_empty()
        lesson.add(0, [picture("disc", 1)])
        lesson.empty()
        assert lesson.counts() == [0, 0]
        # With nothing to lose, nothing is asked.
        page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
        page.goto(address)
        assert asked == ["beforeunload"]


def test_on_a_space_it_offers_no_sign_in_that_would_leave_the_page(context: BrowserContext, prebuilt: Revision) -> None:
    with running_hub() as hub:
        page = context.new_page()
        lesson = Lesson(page).open(host_site(hub, prebuilt))
        expect(page.locator("#elsewhere")).to_contain_text("This browser keeps nothing for this page")
        lesson.add_kinds({"disc": 6, "cross": 6})
        assert "Wrong: " in lesson.learn()
        expect(page.locator("#take")).to_be_visible(timeout=LONG_MS)
        expect(page.locator("#hub-text")).to_contain_text("Signing in to the Hub would leave this page")
        expect(page.locator("#hub-sign-in")).to_be_hidden()
        with page.expect_download(timeout=LONG_MS):
            page.get_by_role("button", name="Download the site").click()
