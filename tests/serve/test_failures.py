"""What the app's log says of failures: a line of what strangers send, a traceback of what we did wrong."""

import inspect
import json
import logging
import random
import sys
import traceback
from collections.abc import Callable
from typing import Any

import gradio.queueing
import gradio.routes
import httpx
import pytest

from spotter.serve.failures import FEW, LINES, is_ours
from spotter.serve.limits import Pool
from tests.conftest import Revision
from tests.helpers.processes import address_of, start

CANARY = "canary-7e2"
PATHS = [
    "call/predict",
    "call/classify",
    "call/x",
    "run/predict",
    "run/classify",
    "run/",
    "queue/join",
    "queue/data",
    "api/predict",
    "reset",
    "cancel",
    "upload",
    "upload_progress",
    "call/predict/xx",
    "call/v2/predict",
    "call/v2/x",
    "info",
    "startup-events",
    "file=/etc/hostname",
    "file=",
    "static/x",
    "assets/x",
    "theme.css",
    "stream/x",
    "heartbeat/x",
]
KINDS = ("application/json", "application/json", "text/plain", "multipart/form-data; boundary=x", "multipart/form-data")


def value(rng: random.Random, depth: int = 0) -> Any:
    """Something that JSON can say; of no use to anybody."""
    plain = [None, 0, -1, 2**70, 1e308, True, "", CANARY, "\0", "/etc/hostname", "data:image/png;base64,AAAA", "\ud83d"]
    kind = rng.randrange(4 if depth < 3 else 1)
    if kind == 1:
        return [value(rng, depth + 1) for _ in range(rng.randrange(4))]
    if kind == 2:
        names = ["path", "url", "meta", "data", "__type__", CANARY]
        return {rng.choice(names): value(rng, depth + 1) for _ in range(rng.randrange(4))}
    if kind == 3:
        return {"path": value(rng, depth + 1), "meta": {"_type": "gradio.FileData"}}
    return rng.choice(plain)


def question(rng: random.Random) -> bytes:
    """The body of a question as Gradio's clients ask it, more or less."""
    likely: dict[str, Callable[[], Any]] = {
        "data": lambda: [value(rng) for _ in range(rng.randrange(3))],
        "fn_index": lambda: rng.randrange(-2, 60),
        "session_hash": lambda: f"s{rng.randrange(9)}",
        "trigger_id": lambda: rng.randrange(60),
    }
    names = [name for name in (*likely, "event_id", "event_data", "batched") if rng.random() < 0.7]
    asked = {name: likely[name]() if name in likely and rng.random() < 0.7 else value(rng) for name in names}
    text = json.dumps(asked).encode()
    return text[: rng.randrange(len(text) + 1)] if rng.random() < 0.2 else text


@pytest.mark.slow
def test_malformed_requests_write_no_traceback_and_few_lines(prebuilt: Revision) -> None:
    rng = random.Random(16)
    process = start("--model", prebuilt.store, "--port", 0)
    try:
        url = address_of(process)
        statuses = []
        with httpx.Client(base_url=f"{url}/gradio_api/") as client:
            for _ in range(300):
                method, path = rng.choice(["POST", "POST", "POST", "GET", "PUT"]), rng.choice(PATHS)
                rest = rng.choice(["", "?session_hash=s1", "?upload_id=1", "?session_hash=%ff"])
                asked = {"headers": {"Content-Type": rng.choice(KINDS)}} | (
                    {"content": question(rng)} if method != "GET" else {}
                )
                # Some answers go on for as long as one listens.
                with client.stream(method, path + rest, **asked) as response:
                    statuses.append(response.status_code)
        assert httpx.get(f"{url}/healthz").status_code == 200
    finally:
        process.terminate()
        log = process.communicate(timeout=600)[1]
    assert "Traceback" not in log
    assert CANARY not in log
    lines = [line for line in log.splitlines() if "a request that makes no sense" in line]
    assert 0 < len(lines) <= 3 * LINES
    assert len(log) < 200 * (len(lines) + 20)
    assert 422 in statuses


def raised(work: Callable[[], object]) -> BaseException:
    try:
        work()
    except Exception as error:  # noqa: BLE001  (whatever it is)
        return error
    raise AssertionError("nothing was raised")


def test_what_we_did_wrong_keeps_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    ours = raised(lambda: Pool(1).take("a", "many"))  # type: ignore[arg-type]
    theirs = raised(lambda: gradio.routes.App.build_proxy_request(None, None))  # type: ignore[arg-type]
    assert is_ours(ours)
    assert not is_ours(theirs)
    assert is_ours(ExceptionGroup("both", [theirs, ours]))
    log = logging.getLogger("tests.failures")
    log.addFilter(FEW)
    try:
        for error in (ours, theirs, *[theirs] * 3 * LINES):
            log.error("failed %s", CANARY, exc_info=error)
    finally:
        log.removeFilter(FEW)
    first, second, *others = [record for record in caplog.records if record.name == log.name]
    assert first.exc_info
    assert second.exc_info is None
    assert "\n" not in second.getMessage()
    assert type(theirs).__name__ in second.getMessage()
    assert CANARY not in second.getMessage()
    assert len(others) < LINES


def test_gradio_prints_where_we_can_tell_it_not_to() -> None:
    for module in (gradio.queueing, gradio.routes):
        assert module.traceback.print_exc  # type: ignore[attr-defined]
        assert "traceback.print_exc()" in inspect.getsource(module)
    assert sys.modules["traceback"] is traceback
