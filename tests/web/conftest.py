"""A site of the small revision, and its API in a browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from spotter.inference.predictor import Predictor
from tests.conftest import Revision
from tests.helpers.site import SitePage, make_site, serving_site


@pytest.fixture(scope="session")
def small_site(prebuilt: Revision, predictor: Predictor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the site of the small revision. Nothing may write to it."""
    return make_site(prebuilt.folder, predictor, tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    """One for many sites: a new one costs as much as what is looked at in it."""
    page = browser.new_page()
    yield page
    page.close()


@pytest.fixture(scope="module")
def api(browser: Browser, small_site: Path) -> Iterator[SitePage]:
    """The API with the small model loaded."""
    page = browser.new_page()
    with serving_site(small_site) as server:
        opened = SitePage(page, server.url("spotter.js")).open(server.url("blank.html"))
        opened.load()
        yield opened
        page.close()
