"""What commands print."""

import logging
import sys

# `extra` of a log record whose line stands without the program's name before it.
WHOLE = {"is_whole": True}


class _ToStderr(logging.Handler):
    def __init__(self, program: str) -> None:
        super().__init__()
        self.program = program

    def emit(self, record: logging.LogRecord) -> None:
        line = record.getMessage() if getattr(record, "is_whole", False) else f"{self.program}: {record.getMessage()}"
        try:
            print(line, file=sys.stderr, flush=True)
        except (OSError, ValueError):
            # It is closed, or nobody reads it any more. What is logged stops nothing.
            self.handleError(record)


def log_to_stderr(program: str) -> None:
    """Let what this package logs appear on stderr, in lines that begin with the program's name."""
    log = logging.getLogger("spotter")
    for handler in [each for each in log.handlers if isinstance(each, _ToStderr)]:
        log.removeHandler(handler)
    log.addHandler(_ToStderr(program))
    log.setLevel(logging.INFO)
