"""Workers of pytest-xdist that are copies of one process in which all tests are imported: `-p tests.helpers.forked`.

Each worker would import them and their libraries itself, which takes 12 seconds of processor time, and 18 where nothing
is compiled yet. Only how a worker starts differs: all else is xdist's and execnet's.
"""

import contextlib
import gc
import importlib
import os
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

import pytest
from _pytest.warnings import catch_warnings_for_item
from execnet import gateway_io
from execnet.gateway_base import Popen2IO

TESTS = Path(__file__).parents[1]


class Fork(Popen2IO):  # type: ignore[misc]
    """One worker, as the process that execnet would have started."""

    def __init__(self, config: pytest.Config, before: list["Fork"]) -> None:
        asked, answers = os.pipe(), os.pipe()
        self._pid = os.fork()
        if not self._pid:
            for other in before:
                other.outfile.close()
                other.infile.close()
            os.close(asked[1])
            os.close(answers[0])
            _work(config, asked[0], answers[1])
        os.close(asked[0])
        os.close(answers[1])
        super().__init__(os.fdopen(asked[1], "wb"), os.fdopen(answers[0], "rb"), None)

    def wait(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, 9)


def _work(config: pytest.Config, asked: int, answers: int) -> NoReturn:
    """Be such a process: what execnet sends comes from stdin, and what it is told goes to stdout."""
    status = 1
    try:
        config.pluginmanager.getplugin("capturemanager").stop_global_capturing()
        os.dup2(asked, 0)
        os.dup2(answers, 1)
        os.close(asked)
        os.close(answers)
        sys.stdin = os.fdopen(0, closefd=False)
        exec(gateway_io.popen_bootstrapline, {"__name__": "__main__"})  # noqa: S102 (as execnet's own workers do)
        status = 0
    except BaseException:  # noqa: BLE001 (it must not go on as the process that it is a copy of)
        traceback.print_exc()
    finally:
        # Not as a Python ends: what libraries left to do then is for the process that imported them.
        os._exit(status)


# Before anything is configured, and after xdist has read how many workers are wanted.
def pytest_cmdline_main(config: pytest.Config) -> None:
    if hasattr(config, "workerinput") or config.option.collectonly or not config.option.numprocesses:
        return
    with catch_warnings_for_item(config, config.hook, "collect", None):
        for path in sorted(TESTS.rglob("test_*.py")):
            # A worker that collects it says what is wrong with it.
            with contextlib.suppress(Exception, pytest.skip.Exception):
                importlib.import_module(".".join(path.relative_to(TESTS.parent).with_suffix("").parts))
    sys.stdout.flush()
    sys.__stdout__.flush()
    # The collector leaves alone what is there now, so that the copies go on sharing it.
    gc.collect()
    gc.freeze()
    # All of them now, as execnet starts threads, and those are not copied.
    forks: list[Fork] = []
    for _ in config.option.tx:
        forks.append(Fork(config, forks))
    start = gateway_io.create_io

    def create_io(spec: Any, execmodel: Any) -> Any:
        """One of them; xdist asks for more in place of those that died."""
        if not forks:
            return start(spec, execmodel)
        fork = forks.pop(0)
        fork.execmodel = execmodel
        return fork

    gateway_io.create_io = create_io
