"""The reports in a browser: of an evaluation, of what a set covers, and of what an app was asked."""

import pytest
from playwright.sync_api import ConsoleMessage, expect

from tests.helpers import coverage_report, evaluation_report, monitor_report
from tests.helpers.window import Window


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("evaluation")
    evaluation_report.make_report(folder, title=evaluation_report.HOSTILE)
    coverage = coverage_report.make_report(tmp_path_factory.mktemp("coverage"))
    monitor = tmp_path_factory.mktemp("monitor") / "report.html"
    monitor.write_text(monitor_report.make_report(monitor.parent / "log"))
    files = {"evaluation": folder / "out" / "report.html", "coverage": coverage, "monitor": monitor}
    return {name: file.as_uri() for name, file in files.items()}


@pytest.mark.parametrize(
    ("width", "scheme", "ground"), [(390, "light", "rgb(247, 245, 240)"), (1280, "dark", "rgb(23, 25, 21)")]
)
@pytest.mark.parametrize("name", ["evaluation", "coverage", "monitor"])
def test_it_fits_the_screen_in_daylight_and_at_night(
    window: Window, addresses: dict[str, str], name: str, width: int, scheme: str, ground: str
) -> None:
    told: list[str] = []

    def tell(line: ConsoleMessage) -> None:
        told.append(line.text)

    with window.visiting(viewport={"width": width, "height": 844}, color_scheme=scheme) as visit:
        page = visit.page
        page.on("console", tell)
        page.goto(addresses[name])
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        pictures = page.evaluate("[...document.images].map(picture => picture.naturalWidth)")
        assert all(pictures)
        assert bool(pictures) == (name != "monitor")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == ground
        # No text of a chart is cut off.
        charts = page.evaluate(
            """[...document.querySelectorAll('.charts svg')].map(svg => {
                 const box = svg.getBoundingClientRect();
                 return [...svg.querySelectorAll('text')].filter(text => {
                   const at = text.getBoundingClientRect();
                   return at.left < box.left - 1 || at.right > box.right + 1 || at.bottom > box.bottom + 1;
                 }).map(text => text.textContent);
               })"""
        )
        assert bool(charts) == (name == "monitor")
        assert not any(charts)
        page.remove_listener("console", tell)
        assert told == visit.errors == []


def test_a_number_opens_its_pictures(window: Window, addresses: dict[str, str]) -> None:
    with window.visiting(addresses["evaluation"]) as visit:
        page = visit.page
        shown = page.locator("#cell-3-3 img").first
        expect(shown).to_be_hidden()
        page.get_by_role("link", name="teddy called teddy: 20").click()
        expect(shown).to_be_visible()
        page.locator("#cell-3-3").get_by_role("link", name="hide").click()
        expect(shown).to_be_hidden()
        expect(page.locator("#cell-1-2 img").first).to_be_visible()
