"""A page in Chromium, through the pipe of its developer tools."""

import os

import pytest

from spotter.errors import BrowserFailed
from spotter.web.browser import Browser
from spotter.web.tabs import opened


def test_a_page_is_reached_whatever_numbers_the_pipes_get(chromium: Browser) -> None:
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(20)]
    try:
        with opened(chromium, "about:blank") as tab:
            assert tab.run("1 + 1", 240) == 2
            with pytest.raises(BrowserFailed, match=r"fails in the browser \(TypeError: no\)"):
                tab.run("Promise.reject(new TypeError('no'))", 240)
            with pytest.raises(BrowserFailed, match="does not answer"):
                tab.run("new Promise(() => {})", 0.3)
    finally:
        for number in held:
            os.close(number)


def test_an_address_where_nothing_answers_is_told(chromium: Browser) -> None:
    with pytest.raises(BrowserFailed, match="cannot be opened in the browser"), opened(chromium, "http://127.0.0.1:9/"):
        pass
