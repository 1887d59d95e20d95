"""Runs code in a page of Firefox, through the WebSocket that it offers for that (WebDriver BiDi)."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import ClientConnection, connect

from spotter.errors import BrowserFailed
from spotter.web.browser import START_S, Browser, Running, running

LISTENING = re.compile(r"WebDriver BiDi listening on (ws://\S+)")
PAUSE_S, CLOSE_S = 0.05, 1.0


class FirefoxTab:
    """A page that is open in Firefox. `process` is the browser's own."""

    def __init__(self, process: Running, socket: ClientConnection) -> None:
        self.process, self._socket = process, socket
        self._number = 0
        self._ask("session.new", {"capabilities": {}}, START_S)
        # There is one tab from the beginning.
        self._context = self._ask("browsingContext.getTree", {}, START_S)["contexts"][0]["context"]

    def open(self, address: str) -> None:
        """Open a page, and wait until it is loaded.

        Raises:
            BrowserFailed: it is not.
        """
        asked = {"context": self._context, "url": address, "wait": "complete"}
        told = self._exchange("browsingContext.navigate", asked, START_S)
        if told["type"] == "error":
            raise BrowserFailed(f"{address} cannot be opened in the browser ({told['message']}).")

    def run(self, code: str, patience_s: float) -> Any:
        """What an expression gives, after waiting for what it promises; it has to be fit for JSON.

        Raises:
            BrowserFailed: it raises an error, takes longer than `patience_s`, or the browser ends.
        """
        # As text: the protocol has a type for every value.
        expression = f"(async () => JSON.stringify((await (\n{code}\n)) ?? null))()"
        asked = {"expression": expression, "target": {"context": self._context}, "awaitPromise": True}
        told = self._ask("script.evaluate", asked, patience_s)
        if told["type"] == "exception":
            said = told["exceptionDetails"]["text"]
            raise BrowserFailed(f"The page fails in the browser ({said.splitlines()[0] if said else 'an error'}).")
        return json.loads(told["result"]["value"])

    def _ask(self, method: str, parameters: dict[str, Any], patience_s: float) -> dict[str, Any]:
        told = self._exchange(method, parameters, patience_s)
        if told["type"] == "error":
            raise BrowserFailed(f"The browser refuses {method} ({told['message']}).")
        return told["result"]

    def _exchange(self, method: str, parameters: dict[str, Any], patience_s: float) -> dict[str, Any]:
        self._number += 1
        deadline = time.monotonic() + patience_s
        try:
            self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
            while True:
                told = json.loads(self._socket.recv(max(0.0, deadline - time.monotonic())))
                # What belongs to an earlier one came too late.
                if told.get("id") == self._number:
                    return told
        except TimeoutError as error:
            raise BrowserFailed("The browser does not answer.") from error
        except ConnectionClosed as error:
            raise self.process.failure() from error


@contextmanager
def firefox_tab(browser: Browser) -> Iterator[FirefoxTab]:
    """Start Firefox with an empty page. At the end both are gone.

    Raises:
        BrowserMissing: it cannot be started. BrowserFailed: it cannot be talked to.
    """
    with running(browser, "--remote-debugging-port=0") as process:
        address = _address(process)
        with ExitStack() as until_the_end:
            try:
                # On this machine, whatever proxy there is; a browser that is busy may be late, and has a clock of ours.
                socket = until_the_end.enter_context(
                    connect(
                        f"{address}/session",
                        proxy=None,
                        compression=None,
                        max_size=None,
                        ping_interval=None,
                        open_timeout=START_S,
                        close_timeout=CLOSE_S,
                    )
                )
            except (OSError, WebSocketException) as error:
                raise BrowserFailed(f"The browser cannot be talked to ({error}).") from error
            yield FirefoxTab(process, socket)


def _address(process: Running) -> str:
    """Where it listens, of which it tells when it does."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if found := LISTENING.search(process.log()):
            return found[1]
        if process.has_ended():
            raise process.failure()
        time.sleep(PAUSE_S)
    raise BrowserFailed("The browser does not answer.")
