"""The monitoring report in a browser."""

import pytest
from playwright.sync_api import Browser

from tests.helpers.monitor_report import make_report


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("report") / "report.html"
    file.write_text(make_report(file.parent / "log"))
    return file.as_uri()


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1280, "dark")])
def test_it_fits_the_screen_in_daylight_and_at_night(browser: Browser, address: str, width: int, scheme: str) -> None:
    view = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
    errors: list[str] = []
    view.on("console", lambda line: errors.append(line.text))
    view.goto(address)
    assert view.evaluate("document.documentElement.scrollWidth") <= width
    ground = "rgb(247, 245, 240)" if scheme == "light" else "rgb(23, 25, 21)"
    assert view.evaluate("getComputedStyle(document.body).backgroundColor") == ground
    # No text of a chart is cut off.
    outside = view.evaluate(
        """[...document.querySelectorAll('.charts svg')].flatMap(svg => {
             const box = svg.getBoundingClientRect();
             return [...svg.querySelectorAll('text')].filter(text => {
               const at = text.getBoundingClientRect();
               return at.left < box.left - 1 || at.right > box.right + 1 || at.bottom > box.bottom + 1;
             }).map(text => text.textContent);
           })"""
    )
    assert outside == []
    assert not errors
    view.close()
    view.close()
