"""How accessible a page is, as far as axe-core leaves it out: contrast of icons, targets, focus rings."""

from pathlib import Path
from typing import Any

from playwright.sync_api import Page

_MEASURES = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")

SHIFTS = """
window.shift = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shift += entry.value;
}).observe({ type: "layout-shift", buffered: true });
"""


def poor_contrasts(page: Page) -> list[list[object]]:
    """Text below 4.5 to 1 (large: 3), icons and the edges of controls below 3 to 1: what, where, and how much."""
    return _measure(page, "poor")


def small_targets(page: Page) -> list[list[object]]:
    """What can be clicked and is narrower or lower than 24 pixels, or has no name."""
    return _measure(page, "small")


def spilled_words(page: Page) -> list[str]:
    """Buttons with words that are not within them, and those beside the strip or the dialog that they are in."""
    return _measure(page, "spilled")


def focus_rings(page: Page, most: int = 60) -> list[tuple[str, list[str]]]:
    """Everything that Tab reaches, in order, and what is wrong with its focus ring."""
    page.evaluate("document.activeElement.blur(); window.scrollTo(0, 0)")
    found: list[tuple[str, list[str]]] = []
    for _ in range(most):
        page.keyboard.press("Tab")
        here = _measure(page, "ring")
        if here is None or (found and here[0] == found[0][0] and len(found) > 3):
            break
        found.append((here[0], here[1]))
    return found


def _measure(page: Page, what: str) -> Any:
    if not page.evaluate("'access' in window"):
        page.evaluate(_MEASURES)
    return page.evaluate(f"window.access.{what}()")
