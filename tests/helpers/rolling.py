"""An app that rolls out a stand-in for a model, in this process, on a free port."""

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from spotter.config import LogConfig, ServeConfig
from spotter.errors import LogUnreadable
from spotter.monitor.log import AnswerLog, Answers, read_answers
from spotter.rollout.review_queue import WaitingFolder
from spotter.rollout.stages import Rollout
from spotter.serve.app import create_app
from spotter.serve.service import AppOptions, ModelInfo
from tests.helpers.answers import make_answers
from tests.helpers.pictures import LABELS, predict_by_color, serving

PASSWORD = "correct horse"  # noqa: S105
QUICK = LogConfig(batch_s=0.01, retry_s=0.05)


@dataclass(frozen=True)
class Rolling:
    """A running app: its address, its folder, and what it runs with."""

    url: str
    folder: Path
    rollout: Rollout
    waiting: WaitingFolder

    def go_to(self, stage: str) -> None:
        assert self.rollout.move(self.rollout.last, "promoted", stage, "for a test", {})


@contextmanager
def rolling(
    folder: Path, stage: str, info: ModelInfo | None = None, config: ServeConfig | None = None, port: int | None = None
) -> Iterator[Rolling]:
    """Serve an app with a rollout at a stage."""
    rollout, waiting = Rollout(folder, "r-1"), WaitingFolder(folder, "r-1")
    rollout.start(stage)
    with AnswerLog(folder, "r-1", config=QUICK) as log:
        info = info or ModelInfo("Which bear?", LABELS, "r-1", 0.5)
        options = replace(info.options or AppOptions(), log=log, rollout=rollout, waiting=waiting)
        info = replace(info, options=options)
        app = create_app(predict_by_color, info, config or ServeConfig(), password=PASSWORD)
        with serving(app, port) as url:
            yield Rolling(url, folder, rollout, waiting)


def logged(app: Rolling, count: int) -> Answers:
    """The answers in the log, once there are so many."""
    deadline = time.monotonic() + 240
    while True:
        try:
            answers = read_answers(app.folder)
        except LogUnreadable:
            answers = make_answers(0)
        if len(answers) >= count:
            return answers
        assert time.monotonic() < deadline
        time.sleep(0.02)


def without_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the disk know no hard links, as exFAT, buckets and some network shares."""

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
