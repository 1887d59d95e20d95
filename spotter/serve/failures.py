"""Failures in the app's log. What Gradio raises on a malformed request is a line, and few of them; what fails in our
own code keeps its traceback.

Gradio prints a traceback of some 8 kB for each, through `traceback.print_exc`; uvicorn logs those that nobody caught.
This replaces a name in two modules of Gradio, which it does not document; a test fails when Gradio changes.
"""

import logging
import sys
import time
import traceback
from pathlib import Path
from types import ModuleType

from spotter.utils.files import import_root

_log = logging.getLogger(__name__)

# So many lines a minute; the rest is counted.
LINES = 20
PER_S = 60.0
OURS = import_root() / "spotter"
# Not imported for this: the app answers before they all are.
THEIRS = {"fastapi", "gradio", "starlette", "uvicorn"}


class _Few(logging.Filter):
    """Makes of a failure that is not ours one line without what was sent, and lets a few a minute pass."""

    def __init__(self) -> None:
        super().__init__()
        self._begun, self._told, self._kept_back = time.monotonic(), 0, 0

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if error is None or is_ours(error):
            return True
        if time.monotonic() - self._begun >= PER_S:
            self._begun, self._told = time.monotonic(), 0
        self._told += 1
        if self._told > LINES:
            self._kept_back += 1
            return False
        before = f" ({self._kept_back} more before this)" if self._kept_back else ""
        self._kept_back = 0
        at = traceback.extract_tb(error.__traceback__)[-1]
        # Not what the exception says: that may be what a stranger sent.
        place = "/".join(Path(at.filename).parts[-2:])
        record.msg = f"a request that makes no sense: {type(error).__name__} in {place}, line {at.lineno}{before}"
        record.args, record.exc_info, record.exc_text = (), None, None
        return True


FEW = _Few()


class _Printing:
    """Stands where Gradio has the module `traceback`."""

    def print_exc(self) -> None:
        """Log the exception that is being handled."""
        error = sys.exc_info()[1]
        if error is None or is_ours(error):
            traceback.print_exc()
        else:
            _log.error("", exc_info=error)

    def __getattr__(self, name: str) -> object:
        return getattr(traceback, name)


def is_ours(error: BaseException) -> bool:
    """Whether our own code failed, or what it called: it comes after that of Gradio and of the server."""
    if isinstance(error, BaseExceptionGroup):
        return any(is_ours(each) for each in error.exceptions)
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if path.is_relative_to(OURS):
            return True
        if THEIRS.intersection(path.parts):
            return False
    return True


def quieten(*modules: ModuleType) -> None:
    """Let modules of Gradio log what they would print."""
    _log.addFilter(FEW)
    for module in modules:
        module.traceback = _Printing()  # type: ignore[attr-defined]
