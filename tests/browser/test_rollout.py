"""A rollout as visitors and staff meet it, in a browser."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from tests.helpers.browser import DESKTOP, PHONE, complaints, overflow, read_axe
from tests.helpers.page import make_info
from tests.helpers.pictures import BLUE, GREY, RED, encode, plain
from tests.helpers.rolling import PASSWORD, Rolling, logged, rolling


@contextmanager
def visiting(browser: Browser, url: str, **options: object) -> Iterator[Page]:
    context = browser.new_context(**options)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
    page.goto(url)
    yield page
    assert errors == []
    context.close()


def show(page: Page, content: bytes) -> None:
    page.set_input_files("#picture input[type=file]", [{"name": "a.png", "mimeType": "image/png", "buffer": content}])


def test_visitor_and_staff_in_one_browser(browser: Browser, tmp_path: Path, node_folder: Path) -> None:
    axe = read_axe(node_folder)
    evil = '<img src=x onerror="document.title=1">'
    info = replace(make_info(tmp_path), title=evil)
    with rolling(tmp_path / "log", "shadow", info) as app, visiting(browser, app.url, viewport=DESKTOP) as page:
        shadow(page, app, axe)
        app.go_to("supervised")
        with visiting(
            browser,
            f"{app.url}/staff/review",
            viewport=PHONE,
            http_credentials={"username": "anna", "password": PASSWORD},
            color_scheme="dark",
        ) as desk:
            supervised(page, desk, app, axe)
        app.go_to("full")
        page.get_by_label("Remove the picture").click()
        show(page, encode(plain(RED)))
        expect(page.locator("#answer")).to_contain_text("Grizzly, 97 % sure", timeout=30_000)
        expect(page.locator("#own-word")).to_be_hidden()
        expect(page.locator("#wait")).to_be_hidden()


def shadow(page: Page, app: Rolling, axe: str) -> None:
    answer = page.locator("#answer")
    expect(answer).to_contain_text("Choose a picture", timeout=30_000)
    expect(page.locator("#own-word")).to_be_hidden()
    show(page, encode(plain(RED)))
    expect(answer).to_contain_text("What do you think it is?", timeout=30_000)
    assert "grizzly" not in (answer.inner_text() + page.locator("#bars").inner_text()).lower()
    expect(page.get_by_role("button", name="Why?")).to_be_hidden()
    page.locator("#say-it").click()
    expect(page.locator("#stage-state")).to_contain_text("First choose what it is")
    assert overflow(page) <= 0
    assert complaints(page, axe) == []
    page.locator("#own-label").get_by_text("black", exact=True).click()
    page.locator("#say-it").click()
    expect(answer).to_contain_text("Grizzly, 97 % sure", timeout=30_000)
    expect(page.locator("#stage-state")).to_contain_text("You said: black.")
    expect(page.locator("#own-word")).to_be_hidden()
    page.get_by_role("button", name="Why?").click()
    expect(page.locator("#why img").first).to_be_visible(timeout=30_000)
    answers = logged(app, 1)
    assert (answers.label.tolist(), answers.right.tolist(), len(answers)) == (["grizzly"], ["black"], 1)


def supervised(page: Page, desk: Page, app: Rolling, axe: str) -> None:
    answer, state = page.locator("#answer"), page.locator("#stage-state")
    expect(desk.locator("body")).to_contain_text("There is nothing to review")
    for color, key, words in ((RED, "Enter", "Grizzly"), (BLUE, "3", "Teddy"), (GREY, "0", "none of the things")):
        page.get_by_label("Remove the picture").click()
        show(page, encode(plain(color, (900, 600))))
        expect(answer).to_contain_text("A person checks it first", timeout=30_000)
        expect(page.locator("#bars meter")).to_have_count(0)
        page.locator("#ask-person").click()
        expect(state).to_contain_text("without your consent")
        assert list((app.folder / "waiting").glob("*")) == []
        page.locator("#consent-wait input").check()
        page.locator("#ask-person").click()
        expect(answer).to_contain_text("Waiting for a person", timeout=30_000)
        assert re.search(r"Its number: [0-9a-f]{32}", state.inner_text())
        desk.reload()
        expect(desk.locator("h1")).to_have_text("1 answer to review")
        assert desk.locator("img").evaluate("image => image.naturalWidth") == 900
        assert overflow(desk) <= 0
        assert complaints(desk, axe) == []
        expect(desk.locator("h2")).to_contain_text("Not sure" if color == GREY else "97 %")
        desk.keyboard.press(key)
        expect(desk.locator(".told")).to_have_text("Saved. The picture is deleted.")
        expect(answer).to_contain_text(words, timeout=30_000)
        assert list(app.folder.rglob("*.jpg")) == []
    assert desk.title() != "1"
    assert logged(app, 4).right.tolist()[1:] == ["grizzly", "teddy", "none of these"]
    page.get_by_label("Remove the picture").click()
    show(page, encode(plain(RED)))
    page.locator("#consent-wait input").check()
    page.locator("#ask-person").click()
    expect(answer).to_contain_text("Waiting for a person", timeout=30_000)
    page.locator("#withdraw").click()
    expect(answer).to_contain_text("It is deleted")
    assert app.waiting.read() == []
