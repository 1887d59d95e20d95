"""The coverage report in a browser."""

import pytest
from playwright.sync_api import Browser

from tests.helpers.coverage_report import make_report


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_report(tmp_path_factory.mktemp("coverage")).as_uri()


@pytest.mark.parametrize(
    ("width", "scheme", "ground"),
    [
        (390, "light", "rgb(247, 245, 240)"),
        (390, "dark", "rgb(23, 25, 21)"),
        (1280, "dark", "rgb(23, 25, 21)"),
    ],
)
def test_it_fits_the_screen_in_daylight_and_at_night(
    browser: Browser, address: str, width: int, scheme: str, ground: str
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
    page.goto(address)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("[...document.images].every(picture => picture.naturalWidth > 0)")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == ground
    page.close()
