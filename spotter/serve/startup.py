"""How the app starts: pull the model, build the page, serve, with what the operator asked for besides answers.

That is the log of answers, the rollout and the challenger, what visitors say, and the way of that to the Hub.
"""

import argparse
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import ModuleType

from PIL import Image

from spotter.config import DATASETS, ServeConfig
from spotter.errors import (
    AccessRefused,
    CacheUnwritable,
    NoInt8,
    PageUnavailable,
    RevisionMissing,
    SpotterError,
    StoreUnreachable,
    UnknownStore,
)
from spotter.feedback.store import FeedbackFolder
from spotter.feedback.sync import STORAGE, Sender, dataset_of, folder_of, open_dataset
from spotter.inference.prediction import Prediction
from spotter.inference.predictor import Predictor
from spotter.monitor.log import AnswerLog
from spotter.rollout.challenger import SecondOpinion
from spotter.rollout.review_queue import WaitingFolder
from spotter.rollout.stages import Rollout
from spotter.rollout.watcher import Watcher
from spotter.serve.about import read_about
from spotter.serve.auth import read_password
from spotter.serve.front import Front
from spotter.serve.server import Running, running
from spotter.serve.service import AppOptions, ModelInfo, Service
from spotter.serve.staff.report import ReportPage
from spotter.utils.argument_parser import from_environment
from spotter.utils.console import log_to_stderr
from spotter.utils.imports import changed_import, lasting_imports
from spotter.utils.memory import give_back_free_blocks, give_back_large_blocks

_log = logging.getLogger(__name__)

RETRY_S = 60.0
# What may be different in a minute.
LATER = (StoreUnreachable, RevisionMissing)
UNASKED = "the questions about what could go wrong with this model are unanswered: run spotter premortem STORE."
NOBODY = "nobody can review waiting answers: the review page needs a password in STAFF_PASSWORD."
UNSENT = (
    "a Space without a storage bucket at /data forgets %s when it restarts, and with it what visitors sent in the last "
    "five minutes."
)
# What visitors see if the error's own sentence would name a path or an address.
PUBLIC = {
    RevisionMissing: "There is no such model in its store; this is tried again every minute.",
    AccessRefused: "The store of the model refuses access.",
    StoreUnreachable: "The store of the model cannot be reached; this is tried again every minute.",
    CacheUnwritable: "The model cannot be kept on the disk.",
}


@dataclass(frozen=True)
class Pulled:
    """The model; or, without one, why there is none."""

    predictor: Predictor | None
    why: SpotterError | None
    password: str | None


@dataclass(frozen=True)
class Answering:
    """What answers: by a model, or with a `problem`; then to be tried again after so many seconds, if not None."""

    service: Service
    problem: str | None = None
    again_s: float | None = None
    # For whoever runs the app.
    notice: str = ""


@dataclass(frozen=True)
class Site:
    """What is served, and what serves it."""

    front: Front
    server: Running


@contextmanager
def listening(options: argparse.Namespace) -> Iterator[Site]:
    """Listen while the block lasts. Until there is a model, requests wait for it.

    Raises:
        PortUnavailable: it cannot be served here.
    """
    log_to_stderr(options.program)
    give_back_large_blocks()
    # On a Space, its own server stands before the app.
    proxy = "SPACE_ID" in os.environ
    config = ServeConfig(host=options.host, port=options.port, behind_proxy=proxy, metrics=options.metrics)
    front = Front(config)
    with running(front, config) as server:
        yield Site(front, server)


def pull_model(options: argparse.Namespace) -> Pulled:
    """Load the model from its store.

    Raises:
        UnknownStore, NoInt8: what was asked for cannot be.
        RevisionMissing: there is no such store or revision. On a Space that is told by the page instead, and tried
            again: nobody looks at its terminal, and the model may be published later.
        PasswordWeak: that of the staff pages is too easy to guess.
    """
    password = read_password()
    try:
        predictor = Predictor.load(options.model, options.revision, options.int8, from_environment("MODEL_CONTENTS"))
    except (UnknownStore, NoInt8):
        raise
    except SpotterError as error:
        if isinstance(error, RevisionMissing) and "SPACE_ID" not in os.environ:
            raise
        _log.error("%s", error)
        return Pulled(None, error, password)
    return Pulled(predictor, None, password)


@contextmanager
def answering(site: Site, pulled: Pulled, options: argparse.Namespace, folder: Path) -> Iterator[Answering]:
    """Answer by the model, or say why there is none; run what goes with it meanwhile.

    Args:
        folder: what the page shows is copied into it.

    Raises:
        As `operated`.
    """
    predictor, why, password, metrics = pulled.predictor, pulled.why, pulled.password, site.front.metrics
    if predictor is None:
        told = public_sentence(str(why), type(why))
        service = Service(no_answer, ModelInfo("Spotter", ()), metrics)
        site.front.answer(service, problem=told, password=password, has_page=not options.no_page)
        yield Answering(service, told, RETRY_S if isinstance(why, LATER) else None)
        return
    with operated(predictor, options, folder) as info:
        if info.options.rollout and not password:
            _log.warning(NOBODY)
        service = Service(predictor.predict, info, metrics)
        # The network's file was read, checked and taken apart.
        give_back_free_blocks()
        site.front.answer(service, password=password, has_page=not options.no_page)
        yield Answering(service, notice="" if predictor.card.made.get("premortem") else UNASKED)


def show_page(site: Site, answers: Answering, options: argparse.Namespace) -> None:
    """Import Gradio, build the page, and show it, if one is asked for; then print the address.

    Raises:
        PageUnavailable: Gradio, or what it needs, is not there.
    """
    if not options.no_page:
        _load_gradio()
        from spotter.serve.app import add_page

        add_page(site.front, answers.service, answers.problem)
    # Not before: Gradio's clients wait 5 seconds for the page, and on a slow machine it may take longer.
    site.server.announce(answers.notice)


def wait_for_end(site: Site, answers: Answering) -> bool:
    """Wait until it is to stop; return whether to pull the model again, because its store could not be reached."""
    return site.server.wait(answers.again_s)


def _load_gradio() -> None:
    """Import Gradio and the page, for good."""
    # Off before Gradio is imported: it would ask the internet for a newer version of itself.
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    # So many questions: after each it would make a table of the last 10,000, with pandas, for a page that is not there.
    os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", str(10**9))
    try:
        with lasting_imports(), changed_import("gradio.component_meta", write_no_stubs):
            import spotter.serve.app  # noqa: F401
    except ImportError as error:
        raise PageUnavailable(
            f"The page cannot be loaded ({error}); install Spotter again, or serve programs alone with --no-page."
        ) from error


def write_no_stubs(module: ModuleType) -> None:
    """Let Gradio write no stub files for editors as it is imported.

    For each of its components it would read the source, parse it and compare it with the file beside it, which takes
    as long as all else of the import; and an app has no business writing into its packages.
    """
    module.create_or_modify_pyi = lambda *about: None  # type: ignore[attr-defined]


def no_answer(picture: Image.Image) -> Prediction:
    """Stand in for a model that is not there; never called."""
    raise NotImplementedError


def public_sentence(sentence: str, kind: type) -> str:
    """What went wrong, without paths and addresses."""
    if "/" in sentence or "\\" in sentence:
        found = (told for error, told in PUBLIC.items() if issubclass(kind, error))
        sentence = next(found, "The model cannot be loaded.")
    return f"{sentence} The log of the app has more details."


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
        sender = stack.enter_context(_sending(options.feedback))
        app_options = AppOptions()
        if options.log:
            log = stack.enter_context(AnswerLog(Path(options.log), predictor.revision or "", predictor.reference))
            app_options = stack.enter_context(_careful(predictor, options, log))
        if options.feedback:
            entries = FeedbackFolder(folder_of(options.feedback))
            entries.tidy()
            app_options = replace(
                app_options,
                keep=partial(entries.add, revision=predictor.revision),
                forget=sender.remove if sender else entries.remove,
            )
        yield _described(predictor, options, folder, app_options)


@contextmanager
def _careful(predictor: Predictor, options: argparse.Namespace, log: AnswerLog) -> Iterator[AppOptions]:
    """Run what the rollout and the challenger need besides the log, as far as they are asked for.

    Raises:
        RolloutDamaged, LogUnreadable: the rollout cannot begin, or go on.
    """
    revision, folder = predictor.revision or "", Path(options.log)
    with ExitStack() as stack:
        app_options = AppOptions(log=log, report=ReportPage(log.folder, options.model))
        if options.challenger and (second := _load_challenger(options)):
            opinion = SecondOpinion(second.predict, second.revision or "", log)
            app_options = replace(app_options, challenger=stack.enter_context(opinion))
        if options.rollout:
            rollout = Rollout(folder, revision)
            rollout.start(options.rollout)
            watcher = stack.enter_context(Watcher(rollout, predictor.metrics))
            app_options = replace(
                app_options,
                rollout=rollout,
                watcher=watcher,
                waiting=WaitingFolder(folder, revision, costs=predictor.card.costs),
            )
            _log.info("stage %s", rollout.stage)
        yield app_options


def _load_challenger(options: argparse.Namespace) -> Predictor | None:
    """The other revision; None if it cannot be had: visitors get their answers all the same."""
    try:
        return Predictor.load(options.model, options.challenger)
    except SpotterError as error:
        _log.warning("no challenger: %s", error)
        return None


@contextmanager
def _sending(feedback: str | None) -> Iterator[Sender | None]:
    """Send what visitors say to the Hub, where it is to go there.

    Raises:
        UnknownStore: that is no data set's address.
    """
    if not feedback or not feedback.startswith(DATASETS):
        yield None
        return
    folder = folder_of(feedback)
    if "SPACE_ID" in os.environ and not folder.is_relative_to(STORAGE):
        _log.warning(UNSENT, folder)
    with Sender(FeedbackFolder(folder), open_dataset(feedback)) as sender:
        yield sender


def _described(predictor: Predictor, options: argparse.Namespace, folder: Path, app_options: AppOptions) -> ModelInfo:
    card = predictor.card
    return ModelInfo(
        title=card.title,
        labels=card.labels,
        revision=predictor.revision,
        threshold=card.threshold,
        examples=tuple((shutil.copy(path, str(folder)), label) for label, path in predictor.examples.items()),
        summary=card.summary,
        options=replace(
            app_options,
            explain=predictor.explain if predictor.explains else None,
            nearest=predictor.nearest if predictor.thumbnails else None,
            feedback_dataset=dataset_of(options.feedback),
        ),
        advice=card.advice,
        reweigh=predictor.reweigh if card.shares else None,
        about=read_about(card, predictor.metrics, predictor.revision),
    )
