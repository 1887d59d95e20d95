"""The one place that starts a browser, and what is measured on a page in it."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Locator, Page, sync_playwright

from spotter.web.browser import UNWANTED_FEATURES

CHROMIUM = Path("/usr/bin/chromium")
PROGRAM = Path(__file__).with_name("chromium.sh")
# Many windows each compile the same network. The quick compiler of V8 is enough for the few pictures of a test; with
# its own measure of what runs often, the thorough one takes a third of all that a window costs.
QUICK = "--wasm-tiering-budget=200000000"
COMPILER = f"--js-flags={QUICK}"
ARGUMENTS = [
    COMPILER,
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]
ENVIRONMENT = {**os.environ, "UNWANTED_FEATURES": UNWANTED_FEATURES}
# What a page may take to come, and to say what it is asked for: playwright's half a minute is too little on a machine
# that runs six tests at once.
PATIENCE_MS = 240_000
# A screen of 1280 pixels, enlarged four times.
ENLARGED = {"width": 320, "height": 256}
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}


@contextmanager
def running_browser(*more: str) -> Iterator[Browser]:
    """Start it, with more arguments than all tests need."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(PROGRAM), args=[*ARGUMENTS, *more], env=ENVIRONMENT)
        browser.on("context", lambda context: context.set_default_timeout(PATIENCE_MS))
        yield browser
        browser.close()


@contextmanager
def running_profile(folder: Path) -> Iterator[BrowserContext]:
    """Start it on a profile that stays in a folder."""
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            folder, executable_path=str(PROGRAM), args=ARGUMENTS, env=ENVIRONMENT, viewport=DESKTOP
        )
        context.set_default_timeout(PATIENCE_MS)
        yield context
        context.close()


def settle(page: Page) -> None:
    """Wait until nothing moves or fades any more."""
    page.wait_for_function(
        """() => document.getAnimations().every(({ playState, effect }) =>
            playState !== "running" || effect.getComputedTiming().endTime === Infinity)"""
    )


def read_axe(node_folder: Path) -> str:
    """The code of axe-core, for `complaints`."""
    return (node_folder / "node_modules" / "axe-core" / "axe.min.js").read_text()


def colours_in(part: Locator) -> set[tuple[int, ...]]:
    """The colours along the middle line of a part of a page, from left to right."""
    shot = Image.open(io.BytesIO(part.screenshot())).convert("RGB")
    line = shot.crop((0, shot.height // 2, shot.width, shot.height // 2 + 1))
    return {colour for _, colour in line.getcolors() or []}


def overflow(page: Page) -> int:
    """By how many pixels a page is wider than its window."""
    return page.evaluate("document.documentElement.scrollWidth - window.innerWidth")


# What a rule has nothing against is told with one element instead of all, and none with a way to find it: most of axe's
# time goes there.
_COMPLAINTS = """async ([within, tags]) => {
  const report = await axe.run(within, { runOnly: tags, resultTypes: ["violations"], selectors: false });
  return report.violations.flatMap((rule) => rule.nodes.map((node) => [rule.id, node.html.slice(0, 200)]));
}"""


def complaints(page: Page, axe: str, within: str = "html") -> list[tuple[str, str]]:
    """What axe-core has against a page, or what is within an element of it: the rule, and the element."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(axe)
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    return [(rule, element) for rule, element in page.evaluate(_COMPLAINTS, [within, tags])]
