"""The one door to a page in a browser, whichever it is."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from spotter.web.browser import Browser, Running
from spotter.web.devtools import chromium_tab


class Tab(Protocol):
    """A page that is open in a browser. `process` is the browser's own."""

    process: Running

    def open(self, address: str) -> None:
        """Open a page, and wait until it is loaded.

        Raises:
            BrowserFailed: it is not.
        """

    def run(self, code: str, patience_s: float) -> Any:
        """What an expression gives, after waiting for what it promises; it has to be fit for JSON.

        Raises:
            BrowserFailed: it raises an error, takes longer than `patience_s`, or the browser ends.
        """


@contextmanager
def opened(browser: Browser, address: str) -> Iterator[Tab]:
    """Open a page in a browser of its own, and wait until it is loaded. At the end both are gone.

    Raises:
        BrowserMissing: the browser cannot be started. BrowserFailed: it does not open the page.
    """
    with _started(browser) as tab:
        tab.open(address)
        yield tab


def _started(browser: Browser) -> AbstractContextManager[Tab]:
    if browser.is_firefox:
        # A WebSocket takes a tenth of a second to import, and Chromium needs none.
        from spotter.web.bidi import firefox_tab

        return firefox_tab(browser)
    return chromium_tab(browser)
