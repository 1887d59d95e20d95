"""A model as its operator wants it: what it can do besides answering, as far as that was asked for, made ready and run.

The log of answers, the rollout and the challenger, what visitors say, and the way of that to the Hub.
"""

import argparse
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from spotter.about import read_about
from spotter.challenger import SecondOpinion
from spotter.config import DATASETS
from spotter.errors import SpotterError
from spotter.extras import Extras
from spotter.feedback import FeedbackFolder
from spotter.feedback_sync import STORAGE, Sender, folder_of, open_dataset
from spotter.monitor import AnswerLog
from spotter.predictor import Predictor
from spotter.rollout import Rollout
from spotter.service import ModelInfo
from spotter.staff_report import ReportPage
from spotter.waiting import WaitingFolder
from spotter.watch import Watcher

_log = logging.getLogger(__name__)

UNSENT = (
    "a Space without persistent storage forgets %s when it restarts, and with it what visitors sent in the last five "
    "minutes."
)


@contextmanager
def operated(predictor: Predictor, options: argparse.Namespace, folder: Path) -> Iterator[ModelInfo]:
    """Run what the options ask for while the block lasts, and give what page and API need to know of the model.

    Args:
        options: those of app.py.
        folder: what the page shows is copied into it, as it tells where that is.

    Raises:
        UnknownStore: visitors' words are to go where no data set is.
        RolloutDamaged, LogUnreadable: the rollout cannot begin, or go on.
    """
    with ExitStack() as stack:
        stack.enter_context(_sending(options.feedback))
        extras = Extras()
        if options.log:
            log = stack.enter_context(AnswerLog(Path(options.log), predictor.revision or "", predictor.reference))
            extras = stack.enter_context(_careful(predictor, options, log))
        yield _described(predictor, options, folder, extras)


@contextmanager
def _careful(predictor: Predictor, options: argparse.Namespace, log: AnswerLog) -> Iterator[Extras]:
    """Run what the rollout and the challenger need besides the log, as far as they are asked for.

    Raises:
        RolloutDamaged, LogUnreadable: the rollout cannot begin, or go on.
    """
    revision, folder = predictor.revision or "", Path(options.log)
    with ExitStack() as stack:
        extras = Extras(log=log, report=ReportPage(log.folder, options.model))
        if options.challenger and (second := _load_challenger(options)):
            opinion = SecondOpinion(second.predict, second.revision or "", log)
            extras = replace(extras, challenger=stack.enter_context(opinion))
        if options.rollout:
            rollout = Rollout(folder, revision)
            rollout.start(options.rollout)
            watcher = stack.enter_context(Watcher(rollout, predictor.metrics))
            extras = replace(extras, rollout=rollout, watcher=watcher, waiting=WaitingFolder(folder, revision))
            _log.info("stage %s", rollout.stage)
        yield extras


def _load_challenger(options: argparse.Namespace) -> Predictor | None:
    """The other revision; None if it cannot be had: visitors get their answers all the same."""
    try:
        return Predictor.load(options.model, options.challenger)
    except SpotterError as error:
        _log.warning("no challenger: %s", error)
        return None


@contextmanager
def _sending(feedback: str | None) -> Iterator[None]:
    """Send what visitors say to the Hub, where it is to go there.

    Raises:
        UnknownStore: that is no data set's address.
    """
    if not feedback or not feedback.startswith(DATASETS):
        yield
        return
    folder = folder_of(feedback)
    if "SPACE_ID" in os.environ and not folder.is_relative_to(STORAGE):
        _log.warning(UNSENT, folder)
    with Sender(FeedbackFolder(folder), open_dataset(feedback)):
        yield


def _described(predictor: Predictor, options: argparse.Namespace, folder: Path, extras: Extras) -> ModelInfo:
    card = predictor.card
    entries = FeedbackFolder(folder_of(options.feedback)) if options.feedback else None
    return ModelInfo(
        title=card.title,
        labels=card.labels,
        revision=predictor.revision,
        threshold=card.threshold,
        examples=tuple((shutil.copy(path, str(folder)), label) for label, path in predictor.examples.items()),
        summary=card.summary,
        extras=replace(
            extras,
            explain=predictor.explain if predictor.explains else None,
            nearest=predictor.nearest if predictor.thumbnails else None,
            keep=partial(entries.add, revision=predictor.revision) if entries else None,
            forget=entries.delete if entries else None,
        ),
        about=read_about(card, predictor.metrics, predictor.revision),
    )
