"""Looks for alerts while the app runs, and takes the rollout a stage back when there is one.

The tests over a full log take seconds of processor time, so they run in a process of their own, with low priority:

    python -m spotter.rollout.watcher LOGFOLDER REVISION < metrics.json
"""

import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from spotter.errors import SpotterError
from spotter.monitor.baseline import published_figures
from spotter.monitor.log import last_numbers
from spotter.rollout.gates import demote_on_alert
from spotter.rollout.stages import Rollout
from spotter.utils.files import import_root

_log = logging.getLogger(__name__)

# At most this part of a core, and not more often than this.
PART = 0.2
SHORTEST_S = 1.0
NICE = 10


class Watcher:
    """Looks for alerts every `check_s` seconds where something was answered or reviewed, for as long as a block lasts.

    `problem` says why it cannot, "" as long as it can.
    """

    def __init__(self, rollout: Rollout, metrics: Mapping[str, Any]) -> None:
        """`metrics` is what the revision was published with."""
        self.problem = ""
        self._rollout, self._metrics = rollout, json.dumps(metrics)
        self._closing = threading.Event()
        self._child: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._work, name="rollout", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._closing.set()
        if child := self._child:
            child.terminate()
        self._thread.join(5)

    def _work(self) -> None:
        seen, took = (0, 0), 0.0
        while not self._closing.wait(max(SHORTEST_S, self._rollout.config.check_s, took / PART)):
            begun = time.monotonic()
            try:
                now = last_numbers(self._rollout.folder)
                if now != seen:
                    problem = self._look()
                    self._say(problem)
                    # What went wrong may have kept it from going back: it is tried again.
                    seen = seen if problem else now
            except (SpotterError, OSError) as error:
                self._say(f"Alerts cannot be looked for: {error}")
            took = time.monotonic() - begun

    def _look(self) -> str:
        """Look once, in another process; return what went wrong."""
        command = [sys.executable, "-m", "spotter.rollout.watcher", str(self._rollout.folder), self._rollout.revision]
        environment = os.environ | {"PYTHONPATH": str(import_root())}
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self._child = subprocess.Popen(command, env=environment, text=True, **pipes)  # noqa: S603
        output, errors = self._child.communicate(self._metrics)
        status, self._child = self._child.returncode, None
        if output:
            _log.warning("%s", output.strip())
        if self._closing.is_set():
            return ""
        last = errors.strip().splitlines()[-1:] or [f"exit status {status}"]
        return f"Alerts cannot be looked for: {last[0]}" if status else ""

    def _say(self, problem: str) -> None:
        if problem and problem != self.problem:
            _log.warning("%s", problem)
        self.problem = problem


def main(argv: Sequence[str] | None = None) -> int:
    """Look once, and print the move if there is one."""
    folder, revision = argv or sys.argv[1:]
    os.nice(NICE)
    metrics = json.load(sys.stdin)
    try:
        # A model that was converted may have no figures; then it is compared with its own past alone.
        published = [published_figures(revision, metrics)] if metrics else []
    except (KeyError, TypeError, ValueError, IndexError):
        published = []
    try:
        move = demote_on_alert(Path(folder), revision, published)
    except SpotterError as error:
        print(error, file=sys.stderr)
        return 1
    if move:
        # At once: the app may be about to stop.
        print(f"The rollout went back to {move.to}: {move.why}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
