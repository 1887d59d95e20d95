"""What is said to Firefox, and what is made of its answers: by a program that takes its place."""

import json
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.server import ServerConnection, serve

from spotter.errors import BrowserFailed
from spotter.web.browser import Browser
from spotter.web.tabs import opened

Answer = Callable[[ServerConnection, dict[str, Any]], dict[str, Any] | None]
TREE = {"contexts": [{"context": "a tab"}]}


def usual(_: ServerConnection, asked: dict[str, Any]) -> dict[str, Any]:
    results = {
        "session.new": {"sessionId": "1", "capabilities": {}},
        "browsingContext.getTree": TREE,
        "browsingContext.navigate": {"navigation": "1", "url": "http://x/"},
        "script.evaluate": {"type": "success", "result": {"type": "string", "value": "[1]"}},
    }
    return {"type": "success", "result": results[asked["method"]]}


@pytest.fixture(autouse=True)
def profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where browsers have their profiles. At the end none is left."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


@contextmanager
def firefox(folder: Path, answer: Answer) -> Iterator[tuple[Browser, list[dict[str, Any]]]]:
    """A program of the name that says where it listens, and what it was asked there."""
    asked: list[dict[str, Any]] = []

    def talk(connection: ServerConnection) -> None:
        assert connection.request
        assert connection.request.path == "/session"
        for text in connection:
            message = json.loads(text)
            asked.append(message)
            told = answer(connection, message)
            if told is not None:
                connection.send(json.dumps({"id": message["id"]} | told))

    with serve(talk, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        port = server.socket.getsockname()[1]
        yield program(folder, f"echo 'WebDriver BiDi listening on ws://127.0.0.1:{port}' >&2; exec sleep 600"), asked
        server.shutdown()


def program(folder: Path, text: str) -> Browser:
    path = folder / "firefox"
    path.write_text(f"#!/bin/sh\necho $$ > {folder}/pid\n{text}\n")
    path.chmod(0o755)
    return Browser(str(path))


def is_gone(folder: Path) -> bool:
    try:
        os.kill(int((folder / "pid").read_text()), 0)
    except ProcessLookupError:
        return True
    return False


def test_a_page_is_opened_and_code_runs_in_it(tmp_path: Path) -> None:
    with firefox(tmp_path, usual) as (browser, asked), opened(browser, "http://x/") as tab:
        assert tab.run("[1]", 240) == [1]
        assert [each["method"] for each in asked] == [
            "session.new",
            "browsingContext.getTree",
            "browsingContext.navigate",
            "script.evaluate",
        ]
        assert asked[2]["params"] == {"context": "a tab", "url": "http://x/", "wait": "complete"}
        assert asked[3]["params"]["awaitPromise"] is True
    assert is_gone(tmp_path)


def test_it_is_gone_when_somebody_stops_us(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), firefox(tmp_path, usual) as (browser, _), opened(browser, "http://x/"):
        raise KeyboardInterrupt
    assert is_gone(tmp_path)


def test_events_and_late_answers_are_passed_over(tmp_path: Path) -> None:
    def answer(connection: ServerConnection, asked: dict[str, Any]) -> dict[str, Any]:
        connection.send(json.dumps({"type": "event", "method": "log.entryAdded", "params": {}}))
        connection.send(json.dumps({"type": "success", "id": asked["id"] - 1, "result": {}}))
        return usual(connection, asked)

    with firefox(tmp_path, answer) as (browser, _), opened(browser, "http://x/") as tab:
        assert tab.run("[1]", 240) == [1]


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("session.new", r"refuses session\.new \(no room\)"),
        ("browsingContext.getTree", r"refuses browsingContext\.getTree \(no room\)"),
        ("browsingContext.navigate", r"http://x/ cannot be opened in the browser \(no room\)"),
        ("script.evaluate", r"refuses script\.evaluate \(no room\)"),
    ],
)
def test_what_it_refuses_is_told(method: str, words: str, tmp_path: Path) -> None:
    def answer(connection: ServerConnection, asked: dict[str, Any]) -> dict[str, Any]:
        if asked["method"] == method:
            return {"type": "error", "error": "unknown error", "message": "no room", "stacktrace": ""}
        return usual(connection, asked)

    with (
        firefox(tmp_path, answer) as (browser, _),
        pytest.raises(BrowserFailed, match=words),
        opened(browser, "http://x/") as tab,
    ):
        tab.run("[1]", 240)
    assert is_gone(tmp_path)


def test_silence_and_an_end_are_told(tmp_path: Path) -> None:
    def answer(connection: ServerConnection, asked: dict[str, Any]) -> dict[str, Any] | None:
        if asked["method"] != "script.evaluate":
            return usual(connection, asked)
        if "end" in asked["params"]["expression"]:
            connection.close()
        return None

    with firefox(tmp_path, answer) as (browser, _), opened(browser, "http://x/") as tab:
        with pytest.raises(BrowserFailed, match="does not answer"):
            tab.run("silence", 0.2)
        with pytest.raises(BrowserFailed, match="The browser has ended"):
            tab.run("end", 240)
        with pytest.raises(BrowserFailed, match="The browser has ended"):
            tab.run("and again", 240)


def test_one_that_crashes_or_does_not_listen_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crashing = program(tmp_path, "echo 'no such display' >&2; exit 3")
    with pytest.raises(BrowserFailed, match=r"has ended \(it says: no such display\)"), opened(crashing, "http://x/"):
        pass
    monkeypatch.setattr("spotter.web.bidi.START_S", 0.5)
    silent = program(tmp_path, "exec sleep 600")
    with pytest.raises(BrowserFailed, match="does not answer"), opened(silent, "http://x/"):
        pass
    assert is_gone(tmp_path)
    # The end of the line is not there yet, and then nobody listens at the port.
    closed = program(tmp_path, "printf 'WebDriver BiDi listening on ws://127.0.0.1:1\\n' >&2; exec sleep 600")
    with pytest.raises(BrowserFailed, match="cannot be talked to"), opened(closed, "http://x/"):
        pass
    assert is_gone(tmp_path)
