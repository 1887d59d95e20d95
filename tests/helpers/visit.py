"""An open page in a real browser."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from playwright.sync_api import Browser, BrowserContext, Page, expect


@dataclass
class Visit:
    """An open page, and what it asked for and complained about."""

    page: Page
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def show(self, name: str, content: bytes, kind: str = "image/png") -> None:
        self.page.set_input_files("#picture input[type=file]", [{"name": name, "mimeType": kind, "buffer": content}])

    def says(self, words: str) -> None:
        expect(self.page.locator("#answer")).to_contain_text(words)

    def ready(self, words: str = "Choose a picture") -> None:
        self.says(words)
        expect(self.page.locator("#answer[role=status]")).to_be_attached()
        expect(self.page.get_by_text("Loading...")).to_have_count(0)

    def open(self, tab: str) -> None:
        button = self.page.get_by_role("tab", name=tab)
        if not button.is_visible():
            self.page.locator("#rooms .overflow-menu > button").click()
            button = self.page.locator("#rooms .overflow-dropdown button", has_text=tab)
        button.click()

    def hear(self) -> dict[str, Callable[..., object]]:
        """Take down from now on what the page asks for and complains about; by these listeners."""
        listeners = {
            "request": lambda asked: self.requests.append(asked.url),
            "pageerror": lambda error: self.errors.append(str(error)),
            "console": lambda line: self.errors.append(line.text) if line.type == "error" else None,
        }
        for event, listener in listeners.items():
            self.page.on(event, listener)
        return listeners


@contextlib.contextmanager
def visiting(browser: Browser, address: str, **options: object) -> Iterator[Visit]:
    with browser.new_context(**options) as context:
        yield open_page(context, address)


def open_page(context: BrowserContext, address: str) -> Visit:
    visit = Visit(context.new_page())
    visit.hear()
    visit.page.goto(address)
    return visit
