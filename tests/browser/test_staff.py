"""The pages for staff, for everybody: axe-core, contrast, targets, and what fits a phone."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser

from spotter.config import ServeConfig
from spotter.monitor.log import add_answers
from spotter.serve.app import create_app
from spotter.serve.service import AppOptions, ModelInfo
from spotter.serve.staff.report import ReportPage
from tests.helpers.access import poor_contrasts, small_targets
from tests.helpers.answers import make_answers, reviewed
from tests.helpers.browser import DESKTOP, PHONE, complaints, overflow, read_axe
from tests.helpers.pictures import GREY, LABELS, RED, encode, plain, predict_by_color, serving
from tests.helpers.rolling import PASSWORD, rolling

TITLE = "Which bear is this, seen from behind in the northern mountain forests? <b>&"


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


@pytest.mark.parametrize(("viewport", "theme"), [(DESKTOP, "dark"), (PHONE, "light")], ids=["desktop", "phone"])
def test_axe_finds_nothing_on_the_pages_of_staff(
    browser: Browser, busy: str, bare: str, node_folder: Path, viewport: dict, theme: str
) -> None:
    axe, found = read_axe(node_folder), []
    context = browser.new_context(
        viewport=viewport, color_scheme=theme, http_credentials={"username": "anna", "password": PASSWORD}
    )
    page = context.new_page()
    for address in (f"{busy}/staff", f"{busy}/staff/review", f"{busy}/staff/report", f"{bare}/staff"):
        response = page.goto(address, wait_until="load")
        assert response is not None
        assert response.status == 200, address
        name = address.rpartition("/")[2]
        found += [(name, *complaint) for complaint in complaints(page, axe)]
        found += [(name, "contrast", *each) for each in poor_contrasts(page)]
        found += [(name, "target", *each) for each in small_targets(page)]
        if overflow(page) > 0:
            found.append((name, "overflow", overflow(page)))
    context.close()
    assert found == [], "\n".join(str(each)[:250] for each in found)
