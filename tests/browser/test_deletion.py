"""What visitors delete is gone, also when the app was started again in between; and what is not, is not said to be."""

from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

from fastapi import FastAPI
from playwright.sync_api import Browser, Page, expect

from spotter.config import ServeConfig
from spotter.feedback.store import FeedbackFolder
from spotter.serve.app import create_app
from tests.helpers.page import make_info
from tests.helpers.pictures import BLUE, RED, encode, free_port, plain, predict_by_color, serving
from tests.helpers.rolling import rolling


def app_with(entries: FeedbackFolder, folder: Path) -> FastAPI:
    info = make_info(folder)
    options = replace(info.options, keep=partial(entries.add, revision="r-1"), forget=entries.remove)
    return create_app(predict_by_color, replace(info, options=options), ServeConfig())


def click(page: Page, selector: str) -> None:
    """Click what may be folded away."""
    page.locator(selector).dispatch_event("click")


def ask(page: Page) -> None:
    expect(page.locator("#feedback")).to_have_count(1)
    if page.locator("#feedback .label-wrap").count():
        # What is folded away is not there.
        click(page, "#feedback .label-wrap")
    page.set_input_files("#picture input[type=file]", [{"name": "a.png", "mimeType": "image/png", "buffer": PICTURE}])
    expect(page.locator("#answer")).to_contain_text("97 % sure")


def send(page: Page) -> None:
    ask(page)
    if page.locator("#right").count():
        page.locator("#right label").last.click()
    page.locator("#said").get_by_text("grizzly", exact=True).click()
    page.locator("#consent input").check()
    page.locator("#send").click()
    expect(page.locator("#feedback-state")).to_contain_text("give this number")


PICTURE = encode(plain(BLUE))


def test_feedback_is_deleted_after_a_restart_and_not_said_to_be_when_it_is_not(
    browser: Browser, tmp_path: Path
) -> None:
    entries, port = FeedbackFolder(tmp_path / "feedback"), free_port()
    with closing(browser.new_context()) as context:
        page = context.new_page()
        state = page.locator("#feedback-state")
        with serving(app_with(entries, tmp_path), port) as url:
            page.goto(url)
            send(page)
        assert len(entries.ids()) == 1
        with serving(app_with(entries, tmp_path), port):
            click(page, "#forget")
            expect(state).to_have_text("It is deleted.")
            assert entries.ids() == set()
            # One that somebody else has deleted.
            page.goto(url)
            send(page)
            (id_,) = entries.ids()
            entries.delete(id_)
            click(page, "#forget")
            expect(state).to_contain_text(f"Nothing with this number is here, so nothing was deleted: {id_}")
            # The page is opened again.
            page.goto(url)
            send(page)
            page.goto(url)
            ask(page)
            expect(page.locator("#forget")).to_have_count(1)
            click(page, "#forget")
            expect(state).to_have_text("It is deleted.")
            assert entries.ids() == set()


def test_who_waits_can_stop_after_a_restart(browser: Browser, tmp_path: Path) -> None:
    port, folder, info = free_port(), tmp_path / "log", make_info(tmp_path)
    with closing(browser.new_context()) as context:
        page = context.new_page()
        answer = page.locator("#answer")
        with rolling(folder, "supervised", info, port=port) as app:
            page.goto(app.url)
            files = [{"name": "a.png", "mimeType": "image/png", "buffer": encode(plain(RED))}]
            page.set_input_files("#picture input[type=file]", files)
            page.locator("#consent-wait input").check()
            page.locator("#ask-person").click()
            expect(answer).to_contain_text("Waiting for a person")
        with rolling(folder, "supervised", info, port=port) as app:
            page.goto(app.url)
            expect(answer).to_contain_text("Waiting for a person")
            assert len(app.waiting.read()) == 1
            page.locator("#withdraw").click()
            expect(answer).to_contain_text("It is deleted")
            assert app.waiting.read() == []
            assert list(folder.rglob("*.jpg")) == []
            page.goto(app.url)
            expect(page.locator("#withdraw")).to_have_count(0)
