"""What commands print: the stages, lines about them, and the one place that catches expected failures."""

import logging
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from spotter.errors import SpotterError
from spotter.names import is_writing

# `extra` of a log record whose line stands without the program's name before it.
WHOLE = {"is_whole": True}


def run_command(program: str, command: Callable[[], str], argv: Sequence[str] | None) -> int:
    """Run a command and print what it returns as the last line, unless that is empty; return the exit status.

    0 after success, 1 after an expected failure (printed as one sentence), 130 when stopped with Ctrl-C.
    """
    try:
        last = command()
    except SpotterError as error:
        print(f"{program}: {printable(str(error))}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, RuntimeError, ImportError) as error:
        # When a Ctrl-C comes meanwhile, Python's locks may fail with a RuntimeError of their own, and modules in C++,
        # as ONNX Runtime's, with an ImportError.
        if not _is_stopped(error):
            raise
        words = shlex.join(sys.argv[1:] if argv is None else argv)
        print(f"\n{program}: Stopped. What arrived is kept; to go on from there: {program} {words}", file=sys.stderr)
        return 130
    if last:
        print(last)
    return 0


def _is_stopped(error: BaseException | None) -> bool:
    """Whether it is a Ctrl-C, or what came of one."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


@contextmanager
def stage(title: str) -> Iterator[None]:
    """Print a stage's title, and the seconds it took once it has ended well. Decorates functions too."""
    started = time.perf_counter()
    print(f"{title} ...", flush=True)
    yield
    print(f"  done in {time.perf_counter() - started:.1f} s", flush=True)


def say(text: str) -> None:
    """Print one line about the stage."""
    print(f"  {printable(text)}", flush=True)


def printable(text: str) -> str:
    """The same text, but what came from outside cannot move the cursor or start a line."""
    return "".join(character if is_writing(character) else "?" for character in text)


def log_to_stderr(program: str) -> None:
    """Let what this package logs appear on stderr, in lines that begin with the program's name."""
    log = logging.getLogger("spotter")
    for handler in [each for each in log.handlers if isinstance(each, _ToStderr)]:
        log.removeHandler(handler)
    log.addHandler(_ToStderr(program))
    log.setLevel(logging.INFO)


class _ToStderr(logging.Handler):
    def __init__(self, program: str) -> None:
        super().__init__()
        self.program = program

    def emit(self, record: logging.LogRecord) -> None:
        line = record.getMessage() if getattr(record, "is_whole", False) else f"{self.program}: {record.getMessage()}"
        try:
            print(line, file=sys.stderr, flush=True)
        except (OSError, ValueError):
            # stderr is closed, or nobody reads it any more. A log line must not stop the command.
            self.handleError(record)
