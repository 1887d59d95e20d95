"""The report over the app's own answer log as a page for staff: what `spotter report` writes, made when asked for.

A process of its own makes it, at a lower priority and on one core, so that no answer waits for it and the app is
neither heavier nor slower to start.
"""

import asyncio
import contextlib
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from spotter.errors import LogUnreadable, SpotterError
from spotter.serve.auth import STAFF_PASSWORD
from spotter.utils.console import WHOLE
from spotter.utils.files import import_root

_log = logging.getLogger(__name__)

# A page so old is shown again.
FRESH_S = 60.0
LONGEST_S = 300.0
# The report has charts and styles of its own, no script, and nothing from elsewhere.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
# Of a failure that is told in a sentence; a traceback ends in 1.
EXPECTED = 3
# It steps back before it loads anything; not all the way, or a busy machine would never let it finish.
CHILD = "import os, sys; os.nice(5); from spotter.serve.staff.report import main; sys.exit(main(sys.argv[1:]))"


class ReportPage:
    """Shows the report over the log in a folder; one is made at a time, however many ask.

    Args:
        store: where the log's revisions were published.
    """

    def __init__(self, log: Path, store: str, now: Callable[[], float] = time.monotonic) -> None:
        self._log, self._store, self._now = log, store, now
        self._turn = asyncio.Lock()
        self._page, self._made_at = b"", -FRESH_S

    async def show(self, request: Request) -> Response:
        async with self._turn:
            if self._now() - self._made_at >= FRESH_S:
                status, told = await self._make()
                if status:
                    return PlainTextResponse(told, status)
                self._page, self._made_at = told, self._now()
            return HTMLResponse(self._page, headers={"Content-Security-Policy": POLICY})

    async def _make(self) -> tuple[int, bytes]:
        """The page and 0, or a sentence that says why there is none and an HTTP status."""
        root = str(import_root())
        environment = {name: value for name, value in os.environ.items() if name != STAFF_PASSWORD}
        environment |= {"PYTHONPATH": root, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        words = ["-P", "-c", CHILD, str(self._log), self._store]
        pipe = asyncio.subprocess.PIPE
        child = await asyncio.create_subprocess_exec(sys.executable, *words, stdout=pipe, stderr=pipe, env=environment)
        try:
            async with asyncio.timeout(LONGEST_S):
                page, trouble = await child.communicate()
        except TimeoutError:
            return (
                503,
                b"The report takes too long here; spotter report makes it elsewhere, from a copy of the log.",
            )
        finally:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
        if child.returncode == 0:
            return 0, page
        if child.returncode == EXPECTED:
            return 503, trouble
        _log.error("%s", trouble.decode("utf-8", "replace").rstrip("\n"), extra=WHOLE)
        return 500, b"The report could not be made; the app's log says more."


async def no_report(request: Request) -> Response:
    return PlainTextResponse("No answers are logged, so there is no report: start the app with --log FOLDER.", 404)


def main(argv: Sequence[str]) -> int:
    """Print the report over a log and a store as HTML; return the exit status, `EXPECTED` with a sentence on stderr."""
    # Here, because the app itself makes no report.
    from spotter.monitor.report import render

    log, store = Path(argv[0]), argv[1]
    try:
        try:
            page = render(log, store)
        except LogUnreadable:
            raise
        except SpotterError:
            # What was published is only half of what there is to tell.
            page = render(log)
    except SpotterError as error:
        sys.stderr.write(str(error))
        return EXPECTED
    sys.stdout.buffer.write(page.encode("utf-8", "replace"))
    return 0
