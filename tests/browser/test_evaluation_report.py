"""The evaluation report in a browser."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.helpers.evaluation_report import HOSTILE, make_report


@pytest.mark.parametrize(
    ("width", "scheme", "ground"), [(390, "light", "rgb(247, 245, 240)"), (1280, "dark", "rgb(23, 25, 21)")]
)
def test_it_fits_the_screen_without_complaints(
    width: int, scheme: str, ground: str, browser: Browser, tmp_path: Path
) -> None:
    make_report(tmp_path, title=HOSTILE)
    page = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
    complaints: list[str] = []
    page.on("console", lambda line: complaints.append(line.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto((tmp_path / "out" / "report.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("[...document.images].every(picture => picture.naturalWidth > 0)")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == ground
    assert not complaints
    page.close()


def test_a_number_opens_its_pictures(browser: Browser, tmp_path: Path) -> None:
    make_report(tmp_path)
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto((tmp_path / "out" / "report.html").as_uri())
    shown = page.locator("#cell-3-3 img").first
    assert not shown.is_visible()
    page.get_by_role("link", name="teddy called teddy: 20").click()
    assert shown.is_visible()
    page.locator("#cell-3-3").get_by_role("link", name="hide").click()
    assert not shown.is_visible()
    assert page.locator("#cell-1-2 img").first.is_visible()
    page.close()
