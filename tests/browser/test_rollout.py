"""A rollout as visitors and staff meet it, the pages of staff for everybody, and that what visitors delete is gone.

Gone also when the app was started again in between; and what is not, is not said to be.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser, Page, expect

from spotter.config import ServeConfig
from spotter.feedback.store import FeedbackFolder
from spotter.monitor.log import add_answers
from spotter.serve.app import create_app
from spotter.serve.service import AppOptions, ModelInfo
from spotter.serve.staff.report import ReportPage
from tests.helpers.access import poor_contrasts, small_targets
from tests.helpers.answers import make_answers, reviewed
from tests.helpers.browser import DESKTOP, PHONE, complaints, overflow, read_axe
from tests.helpers.page import make_info
from tests.helpers.pictures import BLUE, GREY, LABELS, RED, encode, plain, predict_by_color, serving
from tests.helpers.ports import free_port
from tests.helpers.rolling import PASSWORD, Rolling, logged, rolling
from tests.helpers.visit import visiting
from tests.helpers.window import Window

PICTURE = encode(plain(BLUE))
TITLE = "Which bear is this, seen from behind in the northern mountain forests? <b>&"


def show(page: Page, content: bytes) -> None:
    page.set_input_files("#picture input[type=file]", [{"name": "a.png", "mimeType": "image/png", "buffer": content}])


def test_visitor_and_staff_in_one_browser(browser: Browser, window: Window, tmp_path: Path, node_folder: Path) -> None:
    axe = read_axe(node_folder)
    evil = '<img src=x onerror="document.title=1">'
    info = replace(make_info(tmp_path), title=evil)
    with rolling(tmp_path / "log", "shadow", info) as app, window.visiting(app.url) as visit:
        page = visit.page
        shadow(page, app, axe)
        app.go_to("supervised")
        with visiting(
            browser,
            f"{app.url}/staff/review",
            viewport=PHONE,
            http_credentials={"username": "anna", "password": PASSWORD},
            color_scheme="dark",
        ) as desk:
            supervised(page, desk.page, app, axe)
            assert desk.errors == []
        app.go_to("full")
        page.get_by_label("Remove the picture").click()
        show(page, encode(plain(RED)))
        expect(page.locator("#answer")).to_contain_text("Grizzly, 97 % sure")
        expect(page.locator("#own-word")).to_be_hidden()
        expect(page.locator("#wait")).to_be_hidden()
        assert visit.errors == []


def shadow(page: Page, app: Rolling, axe: str) -> None:
    answer = page.locator("#answer")
    expect(answer).to_contain_text("Choose a picture")
    expect(page.locator("#own-word")).to_be_hidden()
    show(page, encode(plain(RED)))
    expect(answer).to_contain_text("What do you think it is?")
    assert "grizzly" not in (answer.inner_text() + page.locator("#bars").inner_text()).lower()
    expect(page.get_by_role("button", name="Why?")).to_be_hidden()
    page.locator("#say-it").click()
    expect(page.locator("#stage-state")).to_contain_text("First choose what it is")
    assert overflow(page) <= 0
    assert complaints(page, axe) == []
    page.locator("#own-label").get_by_text("black", exact=True).click()
    page.locator("#say-it").click()
    expect(answer).to_contain_text("Grizzly, 97 % sure")
    expect(page.locator("#stage-state")).to_contain_text("You said: black.")
    expect(page.locator("#own-word")).to_be_hidden()
    page.get_by_role("button", name="Why?").click()
    expect(page.locator("#why img").first).to_be_visible()
    answers = logged(app, 1)
    assert (answers.label.tolist(), answers.right.tolist(), len(answers)) == (["grizzly"], ["black"], 1)


def supervised(page: Page, desk: Page, app: Rolling, axe: str) -> None:
    answer, state = page.locator("#answer"), page.locator("#stage-state")
    expect(desk.locator("body")).to_contain_text("There is nothing to review")
    for color, key, words in ((RED, "Enter", "Grizzly"), (BLUE, "3", "Teddy"), (GREY, "0", "none of the things")):
        page.get_by_label("Remove the picture").click()
        show(page, encode(plain(color, (900, 600))))
        expect(answer).to_contain_text("A person checks it first")
        expect(page.locator("#bars meter")).to_have_count(0)
        page.locator("#ask-person").click()
        expect(state).to_contain_text("without your consent")
        assert list((app.folder / "waiting").glob("*")) == []
        page.locator("#consent-wait input").check()
        page.locator("#ask-person").click()
        expect(answer).to_contain_text("Waiting for a person")
        expect(state).to_contain_text(re.compile(r"Its number: [0-9a-f]{32}"))
        desk.reload()
        expect(desk.locator("h1")).to_have_text("1 answer to review")
        assert desk.locator("img").evaluate("image => image.naturalWidth") == 900
        assert overflow(desk) <= 0
        assert complaints(desk, axe) == []
        expect(desk.locator("h2")).to_contain_text("Not sure" if color == GREY else "97 %")
        desk.keyboard.press(key)
        expect(desk.locator(".told")).to_have_text("Saved. The picture is deleted.")
        expect(answer).to_contain_text(words)
        assert list(app.folder.rglob("*.jpg")) == []
    assert desk.title() != "1"
    assert logged(app, 4).right.tolist()[1:] == ["grizzly", "teddy", "none of these"]
    page.get_by_label("Remove the picture").click()
    show(page, encode(plain(RED)))
    page.locator("#consent-wait input").check()
    page.locator("#ask-person").click()
    expect(answer).to_contain_text("Waiting for a person")
    page.locator("#withdraw").click()
    expect(answer).to_contain_text("It is deleted")
    assert app.waiting.read() == []


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
    expect(page.locator("#right:visible, #said:visible").first).to_be_visible()
    if page.locator("#right").is_visible():
        page.locator("#right label").last.click()
    page.locator("#said").get_by_text("grizzly", exact=True).click()
    page.locator("#consent input").check()
    page.locator("#send").click()
    expect(page.locator("#feedback-state")).to_contain_text("give this number")


def test_feedback_is_deleted_after_a_restart_and_not_said_to_be_when_it_is_not(window: Window, tmp_path: Path) -> None:
    entries, port = FeedbackFolder(tmp_path / "feedback"), free_port()
    with window.visiting() as visit:
        page = visit.page
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


def test_who_waits_can_stop_after_a_restart(window: Window, tmp_path: Path) -> None:
    port, folder, info = free_port(), tmp_path / "log", make_info(tmp_path)
    with window.visiting() as visit:
        page = visit.page
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


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An app with all that staff can have: answers that wait, and a report over a log."""
    folder = tmp_path_factory.mktemp("staff")
    add_answers(folder, reviewed(make_answers(700), (make_answers(700).number % 50) == 0))
    options = AppOptions(report=ReportPage(folder, "models/none"))
    info = ModelInfo(TITLE, LABELS, "r-1", 0.5, options=options)
    with rolling(folder, "supervised", info) as app:
        for colour in (RED, GREY):
            sent = httpx.post(f"{app.url}/api/classify?consent=yes", content=encode(plain(colour)))
            assert sent.status_code == 202
        yield app.url


@pytest.fixture(scope="module")
def bare() -> Iterator[str]:
    """An app where everything of staff's is off."""
    info = ModelInfo(TITLE, LABELS, "r-1", options=AppOptions())
    with serving(create_app(predict_by_color, info, ServeConfig(), password=PASSWORD)) as url:
        yield url


def test_axe_finds_nothing_on_the_pages_of_staff(browser: Browser, busy: str, bare: str, node_folder: Path) -> None:
    axe, found = read_axe(node_folder), []
    with browser.new_context(http_credentials={"username": "anna", "password": PASSWORD}) as context:
        page = context.new_page()
        for address in (f"{busy}/staff", f"{busy}/staff/review", f"{busy}/staff/report", f"{bare}/staff"):
            response = page.goto(address, wait_until="load")
            assert response is not None
            assert response.status == 200, address
            for viewport, theme in ((DESKTOP, "dark"), (PHONE, "light")):
                page.set_viewport_size(viewport)
                page.emulate_media(color_scheme=theme)
                name = f"{address.rpartition('/')[2]}, {theme}"
                found += [(name, *complaint) for complaint in complaints(page, axe)]
                found += [(name, "contrast", *each) for each in poor_contrasts(page)]
                found += [(name, "target", *each) for each in small_targets(page)]
                if overflow(page) > 0:
                    found.append((name, "overflow", overflow(page)))
    assert found == [], "\n".join(str(each)[:250] for each in found)
