"""Runs code in a page of Chromium, through the pipe that its developer tools offer (the DevTools protocol)."""

import json
import os
import select
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from spotter.errors import BrowserFailed
from spotter.web.browser import START_S, Browser, Running, running


class ChromiumTab:
    """A page that is open in Chromium. `process` is the browser's own."""

    def __init__(self, process: Running, reading: int, writing: int) -> None:
        self.process, self._reading, self._writing = process, reading, writing
        self._rest = b""
        self._number = 0
        self._session = ""

    def open(self, address: str) -> None:
        """Open a page, and wait until it is loaded.

        Raises:
            BrowserFailed: it is not.
        """
        self._session = ""
        target = self._ask("Target.createTarget", {"url": "about:blank"}, START_S)["targetId"]
        attached = self._ask("Target.attachToTarget", {"targetId": target, "flatten": True}, START_S)
        self._session = attached["sessionId"]
        self._ask("Page.enable", {}, START_S)
        deadline = time.monotonic() + START_S
        opened = self._ask("Page.navigate", {"url": address}, START_S)
        if problem := opened.get("errorText"):
            raise BrowserFailed(f"{address} cannot be opened in the browser ({problem}).")
        while self._next(deadline).get("method") != "Page.loadEventFired":
            pass

    def run(self, code: str, patience_s: float) -> Any:
        """What an expression gives, after waiting for what it promises; it has to be fit for JSON.

        Raises:
            BrowserFailed: it raises an error, takes longer than `patience_s`, or the browser ends.
        """
        asked = {"expression": code, "awaitPromise": True, "returnByValue": True}
        told = self._ask("Runtime.evaluate", asked, patience_s)
        if problem := told.get("exceptionDetails"):
            said = problem.get("exception", {}).get("description") or problem.get("text", "")
            raise BrowserFailed(f"The page fails in the browser ({said.splitlines()[0] if said else 'an error'}).")
        return told["result"].get("value")

    def _ask(self, method: str, parameters: dict[str, Any], patience_s: float) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        deadline = time.monotonic() + patience_s
        try:
            rest = json.dumps(message).encode() + b"\0"
            while rest:
                rest = rest[os.write(self._writing, rest) :]
        except OSError as error:
            raise self.process.failure() from error
        while True:
            told = self._next(deadline)
            if told.get("id") == self._number:
                if "error" in told:
                    raise BrowserFailed(f"The browser refuses {method} ({told['error'].get('message')}).")
                return told["result"]

    def _next(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._rest:
            if time.monotonic() > deadline:
                raise BrowserFailed("The browser does not answer.")
            if not select.select([self._reading], [], [], 0.1)[0]:
                continue
            part = os.read(self._reading, 1 << 16)
            if not part:
                raise self.process.failure()
            self._rest += part
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)


@contextmanager
def chromium_tab(browser: Browser) -> Iterator[ChromiumTab]:
    """Start Chromium with an empty page. At the end both are gone.

    Raises:
        BrowserMissing: it cannot be started.
    """
    (its_reading, writing), (reading, its_writing) = os.pipe(), os.pipe()
    ends = [reading, writing, its_reading, its_writing]
    try:
        with running(browser, "--remote-debugging-pipe", "about:blank", pipe=(its_reading, its_writing)) as process:
            # Only when it has ours no more does the pipe end with the browser.
            while len(ends) > 2:
                os.close(ends.pop())
            yield ChromiumTab(process, reading, writing)
    finally:
        for end in ends:
            os.close(end)
