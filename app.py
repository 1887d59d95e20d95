"""The app: pull a published model, build the page, serve.

    python app.py --model models/bears
    python app.py --model hf://owner/bears --revision v2

On a Space the same comes from the environment: MODEL_STORE, MODEL_REVISION, MODEL_INT8. The password of the staff pages
always does: STAFF_PASSWORD.
"""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

# Off before Gradio is imported: it would ask the internet for a newer version of itself.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
# So many questions: it would make a table of the last 10,000 after each, with pandas, for a page that is not served.
os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", str(10**9))

from PIL import Image

from spotter.about import read_about
from spotter.challenger import SecondOpinion
from spotter.config import ServeConfig
from spotter.errors import (
    AccessRefused,
    CacheUnwritable,
    NoInt8,
    RevisionMissing,
    SpotterError,
    StoreUnreachable,
    TemporaryUnwritable,
    UnknownStore,
)
from spotter.extras import Extras
from spotter.feedback import FeedbackFolder
from spotter.feedback_sync import STORAGE, Sender, folder_of
from spotter.imports import lasting_imports
from spotter.monitor import AnswerLog
from spotter.parser import Parser
from spotter.predictor import Prediction, Predictor
from spotter.rollout import STAGES, Rollout
from spotter.staff import read_password
from spotter.staff_report import ReportPage
from spotter.stores import DATASETS, open_dataset
from spotter.waiting import WaitingFolder
from spotter.watch import Watcher

with lasting_imports():
    from spotter.web import ModelInfo, create_app, serve

RETRY_S = 60.0
UNSENT = (
    "app.py: a Space without persistent storage forgets {folder} when it restarts, and with it what visitors sent in "
    "the last five minutes."
)
UNASKED = "app.py: nobody has said what could go wrong with this model: scripts/premortem asks."
NOBODY = "app.py: nobody can review answers that wait: there is no page for it without a password in STAFF_PASSWORD."
# What visitors are told where the sentence itself names a place.
PUBLIC = {
    RevisionMissing: "There is no such model in its store.",
    AccessRefused: "The store of the model refuses access.",
    StoreUnreachable: "The store of the model cannot be reached; this is tried again every minute.",
    CacheUnwritable: "The model cannot be kept on the disk.",
}


def main(argv: Sequence[str] | None = None, retry_s: float = RETRY_S) -> int:
    """Serve until stopped; return 0, or 1 after an expected failure told in one sentence."""
    options = parse(argv)
    on_space = "SPACE_ID" in os.environ
    config = ServeConfig(host=options.host, port=options.port, behind_proxy=on_space, metrics=options.metrics)
    try:
        with own_folder() as folder:
            while serve_once(options, config, folder, retry_s):
                pass
    except SpotterError as error:
        print(f"app.py: {error}", file=sys.stderr)
        return 1
    return 0


def serve_once(options: argparse.Namespace, config: ServeConfig, folder: Path, retry_s: float) -> bool:
    """Serve the model, or a page that says why there is none; return whether to try again after `retry_s`.

    Raises:
        UnknownStore, NoInt8: what was asked for cannot be. PortUnavailable: it cannot be served here.
        PasswordWeak: that of the staff pages is too easy to guess.
    """
    password = read_password()
    try:
        predictor = Predictor.load(options.model, options.revision, options.int8, os.environ.get("MODEL_CONTENTS"))
    except (UnknownStore, NoInt8):
        raise
    except SpotterError as error:
        print(f"app.py: {error}", file=sys.stderr, flush=True)
        told = public_sentence(error)
        app = create_app(no_answer, ModelInfo("Spotter", ()), config, problem=told, password=password)
        return serve(app, config, retry_s if isinstance(error, StoreUnreachable) else None)
    with ExitStack() as stack:
        stack.enter_context(sending(options.feedback))
        extras = Extras()
        if options.log:
            log = stack.enter_context(AnswerLog(Path(options.log), predictor.revision or "", predictor.reference))
            extras = stack.enter_context(careful(options, predictor, log))
        if extras.rollout and not password:
            print(NOBODY, file=sys.stderr, flush=True)
        info = describe(predictor, folder, options.feedback, extras, options.model)
        app = create_app(predictor.predict, info, config, password=password)
        return serve(app, config, notice="" if predictor.card.made.get("premortem") else UNASKED)


@contextmanager
def careful(options: argparse.Namespace, predictor: Predictor, log: AnswerLog) -> Iterator[Extras]:
    """Run what the rollout and the challenger need besides the log, as far as they are asked for.

    Raises:
        RolloutDamaged, LogUnreadable: the rollout cannot begin, or go on.
    """
    revision, folder = predictor.revision or "", Path(options.log)
    with ExitStack() as stack:
        extras = Extras(log=log)
        if options.challenger and (second := load_challenger(options)):
            opinion = SecondOpinion(second.predict, second.revision or "", log)
            extras = replace(extras, challenger=stack.enter_context(opinion))
        if options.rollout:
            rollout = Rollout(folder, revision)
            rollout.start(options.rollout)
            watcher = stack.enter_context(Watcher(rollout, predictor.metrics))
            extras = replace(extras, rollout=rollout, watcher=watcher, waiting=WaitingFolder(folder, revision))
            print(f"app.py: stage {rollout.stage}", file=sys.stderr, flush=True)
        yield extras


def load_challenger(options: argparse.Namespace) -> Predictor | None:
    """The other revision; None if it cannot be had: visitors get their answers all the same."""
    try:
        return Predictor.load(options.model, options.challenger)
    except SpotterError as error:
        print(f"app.py: no challenger: {error}", file=sys.stderr, flush=True)
        return None


@contextmanager
def sending(feedback: str | None) -> Iterator[None]:
    """Send what visitors say to the Hub, where it is to go there.

    Raises:
        UnknownStore: that is no data set's address.
    """
    if not feedback or not feedback.startswith(DATASETS):
        yield
        return
    folder = folder_of(feedback)
    if "SPACE_ID" in os.environ and not folder.is_relative_to(STORAGE):
        print(UNSENT.format(folder=folder), file=sys.stderr, flush=True)
    with Sender(FeedbackFolder(folder), open_dataset(feedback)):
        yield


def no_answer(picture: Image.Image) -> Prediction:
    """Stand in for a model that is not there; never called."""
    raise NotImplementedError


def public_sentence(error: SpotterError) -> str:
    """What went wrong, without paths and addresses."""
    sentence = str(error)
    if "/" in sentence or "\\" in sentence:
        found = (told for kind, told in PUBLIC.items() if isinstance(error, kind))
        sentence = next(found, "The model cannot be loaded.")
    return f"{sentence} Whoever runs this app finds more in its log."


@contextmanager
def own_folder() -> Iterator[Path]:
    """Make a folder of this process's own, gone at the end, and let Gradio keep uploads in it."""
    place = os.environ.get("GRADIO_TEMP_DIR")
    try:
        if place:
            os.makedirs(place, exist_ok=True)
        made = tempfile.TemporaryDirectory(prefix="spotter-app-", dir=place)
    except OSError as error:
        raise TemporaryUnwritable(
            f"The app's temporary folder cannot be made: {error.strerror}; free some space, or name another in TMPDIR."
        ) from error
    with made as folder:
        os.environ["GRADIO_TEMP_DIR"] = os.path.join(folder, "uploads")
        try:
            yield Path(folder)
        finally:
            os.environ.pop("GRADIO_TEMP_DIR")
            os.environ |= {"GRADIO_TEMP_DIR": place} if place else {}


def describe(
    predictor: Predictor,
    folder: Path,
    feedback: str | None = None,
    extras: Extras | None = None,
    store: str | None = None,
) -> ModelInfo:
    """Gather what the page says about the model, and what it can do; `feedback` is where visitors' words are kept,
    and `store` where the model came from.

    The examples are copied into `folder`, as the page tells where they are.
    """
    card, entries = predictor.card, FeedbackFolder(folder_of(feedback)) if feedback else None
    return ModelInfo(
        title=card.title,
        labels=card.labels,
        revision=predictor.revision,
        threshold=card.threshold,
        examples=tuple((shutil.copy(path, folder), label) for label, path in predictor.examples.items()),
        summary=card.summary,
        extras=replace(
            extras or Extras(),
            explain=predictor.explain if predictor.explains else None,
            nearest=predictor.nearest if predictor.thumbnails else None,
            keep=partial(entries.add, revision=predictor.revision) if entries else None,
            forget=entries.delete if entries else None,
            report=ReportPage(extras.log.folder, store) if extras and extras.log and store else None,
        ),
        about=read_about(card, predictor.metrics, predictor.revision),
    )


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; the environment gives the defaults."""
    on_space = "SPACE_ID" in os.environ
    store = os.environ.get("MODEL_STORE")
    parser = Parser(prog="app.py", description="Serve a published classifier.")
    parser.add_argument(
        "--model", metavar="STORE", default=store, required=not store, help="the store to pull from ($MODEL_STORE)"
    )
    parser.add_argument(
        "--revision", default=os.environ.get("MODEL_REVISION") or None, help="default: the newest ($MODEL_REVISION)"
    )
    parser.add_argument(
        "--int8",
        action="store_true",
        default=os.environ.get("MODEL_INT8", "") not in ("", "0"),
        help="answer by the int8 network, where one was published ($MODEL_INT8=1)",
    )
    parser.add_argument(
        "--metrics",
        action="store_true",
        default=os.environ.get("METRICS", "") not in ("", "0"),
        help="count requests and pictures at /metrics, for Prometheus ($METRICS=1)",
    )
    parser.add_argument(
        "--feedback",
        metavar="STORE",
        default=os.environ.get("FEEDBACK") or None,
        help="ask visitors whether answers are right, and keep what they consent to there: a folder or "
        "hf://datasets/owner/name ($FEEDBACK)",
    )
    parser.add_argument(
        "--log",
        metavar="FOLDER",
        default=os.environ.get("ANSWER_LOG") or None,
        help="log answers there, without pictures or addresses, for scripts/report ($ANSWER_LOG)",
    )
    parser.add_argument(
        "--rollout",
        choices=STAGES,
        default=os.environ.get("ROLLOUT") or None,
        help="roll the model out with care, beginning at this stage; needs --log ($ROLLOUT)",
    )
    parser.add_argument(
        "--challenger",
        metavar="REVISION",
        default=os.environ.get("CHALLENGER") or None,
        help="ask another revision too, and only record what it says; needs --log ($CHALLENGER)",
    )
    parser.add_argument("--host", default="0.0.0.0" if on_space else ServeConfig.host, help="default: %(default)s")  # noqa: S104
    parser.add_argument("--port", type=int, default=ServeConfig.port, help="default: %(default)s")
    options = parser.parse_args(argv)
    if (options.rollout or options.challenger) and not options.log:
        parser.error("--rollout and --challenger need --log FOLDER")
    if options.rollout and options.rollout not in STAGES:
        parser.error(f"ROLLOUT must be one of {', '.join(STAGES)}")
    return options


if __name__ == "__main__":
    sys.exit(main())
