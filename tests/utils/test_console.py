"""What is logged is told on stderr, a line each."""

import ast
import logging
import subprocess
import sys
import threading

import pytest

from spotter.utils.console import WHOLE, log_to_stderr, run_command
from tests.conftest import ROOT

# The one place that prints failures, and what talks to the process that started it.
PRINT_TO_STDERR = {"utils/console.py", "rollout/watcher.py"}


def test_lines_begin_with_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    log_to_stderr("app.py")
    log_to_stderr("app.py")
    logging.getLogger("spotter.serve.page.classifier").warning("%s", "The disk is full, 100 % of it.")
    logging.getLogger("spotter.rollout.watcher").info("stage full")
    logging.getLogger("spotter.monitor").warning("%s: it is over", "log", extra=WHOLE)
    logging.getLogger("another").warning("not ours")
    assert capsys.readouterr().err == "app.py: The disk is full, 100 % of it.\napp.py: stage full\nlog: it is over\n"


@pytest.mark.slow
def test_without_a_program_a_warning_is_told_too() -> None:
    code = "import logging, spotter; logging.getLogger('spotter.x').warning('%s', 'The disk is full.')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr == "The disk is full.\n"


def test_what_is_logged_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone:
        def write(self, text: str) -> int:
            raise BrokenPipeError

        def flush(self) -> None:
            raise BrokenPipeError

    log_to_stderr("app.py")
    monkeypatch.setattr(sys, "stderr", Gone())
    logging.getLogger("spotter.serve.page.classifier").warning("The disk is full.")


def test_ctrl_c_while_a_lock_is_taken_is_told_as_any_other(capsys: pytest.CaptureFixture[str]) -> None:
    def fail(stop: type[BaseException]) -> str:
        lock = threading.Lock()
        try:
            raise stop
        finally:
            # As where another thread has given it back.
            lock.release()

    assert run_command("spotter collect", lambda: fail(KeyboardInterrupt), ["a b"]) == 130
    assert "to go on from there: spotter collect 'a b'" in capsys.readouterr().err
    with pytest.raises(RuntimeError, match="release unlocked lock"):
        run_command("spotter collect", lambda: fail(ValueError), [])


def test_ctrl_c_while_a_library_is_loaded_is_told_as_any_other(capsys: pytest.CaptureFixture[str]) -> None:
    def fail(stop: type[BaseException]) -> str:
        try:
            try:
                raise stop
            except BaseException as error:
                # As pybind11, which ONNX Runtime is made with.
                raise ImportError("initialization failed") from error
        except ImportError as error:
            # As numpy.
            raise ImportError("Importing the C-extensions failed.") from error

    assert run_command("spotter serve", lambda: fail(KeyboardInterrupt), ["a b"]) == 130
    assert "to go on from there: spotter serve 'a b'" in capsys.readouterr().err
    with pytest.raises(ImportError, match="C-extensions"):
        run_command("spotter serve", lambda: fail(ValueError), [])


def test_library_modules_log_and_do_not_print_failures() -> None:
    for path in (ROOT / "spotter").rglob("*.py"):
        if path.relative_to(ROOT / "spotter").as_posix() in PRINT_TO_STDERR:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "print":
                assert not [word for word in node.keywords if word.arg == "file"], (path, node.lineno)
