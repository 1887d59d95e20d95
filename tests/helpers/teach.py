"""The page that teaches, in a browser."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Locator, Page, Worker, expect

from tests.helpers.browser import DESKTOP
from tests.helpers.drawing import draw, encode

# A network is loaded, or pictures are looked at, while other tests use the machine.
LONG_MS = 240_000
# In the worker that reads files: those of these names come when it is told to read on, as from a drive that stalls.
STALL = """names => {
    const read = Blob.prototype.arrayBuffer;
    const going = new Promise(done => { globalThis.readOn = done; });
    Blob.prototype.arrayBuffer = async function () {
        if (names.includes(this.name)) await going;
        return read.call(this);
    };
}"""


def picture(kind: str, seed: int) -> dict[str, Any]:
    """A drawn picture as a file that can be chosen."""
    return {"name": f"{kind}-{seed}.jpg", "mimeType": "image/jpeg", "buffer": encode(draw(kind, seed), quality=92)}


# In the worker: views of pictures are made, and nobody hears of them before `hearOn()`.
HOLD_VIEWS = """() => {
    const held = [], asked = new Set(), post = self.postMessage.bind(self);
    let isHeld = true;
    self.addEventListener("message", ({ data }) => {
        if (data.method === "measure" && data.parameters[1]) asked.add(data.id);
    });
    self.postMessage = reply => {
        if (isHeld && asked.has(reply.id) && ["keep", "done"].includes(reply.kind)) held.push(reply);
        else post(reply);
    };
    self.hearOn = () => {
        isHeld = false;
        held.forEach(reply => post(reply));
    };
}"""


class Lesson:
    """The page, and what is done on it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.said = page.locator("#said")
        self.learnt = page.locator("#learnt")
        self.classes = page.locator(".class")

    def open(self, address: str) -> "Lesson":
        """Go there, and wait until it is ready."""
        answer = self.page.goto(address)
        assert answer is not None
        assert answer.ok, address
        return self.ready()

    def ready(self) -> "Lesson":
        """Wait until it is."""
        expect(self.page.locator("#loading.done")).to_be_attached(timeout=LONG_MS)
        return self

    def card(self, place: int) -> Locator:
        return self.classes.nth(place)

    def names(self) -> list[str]:
        return [each.input_value() for each in self.page.locator(".class .name").all()]

    def counts(self) -> list[int]:
        """How many pictures each class has."""
        told = self.page.locator(".class .count").all_inner_texts()
        return [int(re.sub(r"\D", "", each)) for each in told]

    def name(self, place: int, name: str) -> None:
        self.card(place).locator(".name").fill(name)
        self.card(place).locator(".name").press("Tab")

    def add(self, place: int, files: list[dict[str, Any]]) -> str:
        """Add files to a class; what is said of them."""
        self.page.evaluate("document.querySelector('#said').textContent = ''")
        self.card(place).locator("input[type=file]").set_input_files(files)
        expect(self.said).to_contain_text(re.compile("Added: |not added|Could not"), timeout=LONG_MS)
        expect(self.said).not_to_contain_text("Adding", timeout=LONG_MS)
        return self.said.inner_text()

    def stall(self, files: Sequence[Mapping[str, Any]]) -> Callable[[], object]:
        """Let the reading of files not end, so that what adds them is at it still, however fast it is; until the call
        that is returned."""
        worker = self.worker()
        worker.evaluate(STALL, [file["name"] for file in files])
        return lambda: worker.evaluate("readOn()")

    def hold_views(self) -> Callable[[], object]:
        """Let it not come to the end of learning from views, until the call that is returned."""
        worker = self.worker()
        worker.evaluate(HOLD_VIEWS)
        return lambda: worker.evaluate("hearOn()")

    def worker(self) -> Worker:
        """The one that reads files and learns."""
        if not self.page.workers:
            self.page.wait_for_event("worker", timeout=LONG_MS)
        return self.page.workers[-1]

    def add_kinds(self, kinds: Mapping[str, int]) -> None:
        """Name a class after each kind of drawn pictures, and add so many to it."""
        for place, (kind, count) in enumerate(kinds.items()):
            self.name(place, kind)
            self.add(place, [picture(kind, seed) for seed in range(count)])

    def learn(self) -> str:
        """Let it learn; what is said then."""
        self.page.locator("#learn").click()
        expect(self.page.locator("#learn")).to_be_enabled(timeout=LONG_MS)
        return self.learnt.inner_text()

    def empty(self) -> None:
        """Make it the page of a first visit again: to open another would cost a second of processor time."""
        while self.page.locator("dialog[open]").count():
            self.page.keyboard.press("Escape")
        wipe = self.page.locator("#wipe")
        if wipe.is_visible():
            self.page.evaluate("document.querySelector('#said').textContent = ''")
            self.page.once("dialog", lambda dialog: dialog.accept())
            wipe.click()
            expect(self.said).to_contain_text("Everything has been removed", timeout=LONG_MS)
        for place, name in enumerate(("Class 1", "Class 2")):
            if self.names()[place] != name:
                self.name(place, name)


@contextmanager
def lesson_in(browser: Browser, address: str, **options: Any) -> Iterator[Lesson]:
    """The page in a browser of its own, with nothing kept."""
    with browser.new_context(viewport=options.pop("viewport", DESKTOP), permissions=["camera"], **options) as context:
        yield Lesson(context.new_page()).open(address)


def other_tab(context: BrowserContext, address: str) -> Lesson:
    """One more tab of the same browser."""
    page = context.new_page()
    page.goto(address)
    return Lesson(page)
