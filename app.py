"""The app: pull a published model, build the page, serve.

    python app.py --model models/bears
    python app.py --model hf://owner/bears --revision v2

On a Space the same comes from the environment: MODEL_STORE, MODEL_REVISION, MODEL_INT8. The password of the staff pages
always does: STAFF_PASSWORD.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

# Off before Gradio is imported: it would ask the internet for a newer version of itself.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
# So many questions: it would make a table of the last 10,000 after each, with pandas, for a page that is not served.
os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", str(10**9))

from PIL import Image

from spotter.config import ServeConfig
from spotter.errors import (
    AccessRefused,
    CacheUnwritable,
    NoInt8,
    RevisionMissing,
    SpotterError,
    StoreUnreachable,
    UnknownStore,
)
from spotter.imports import lasting_imports
from spotter.parser import Parser
from spotter.predictor import Prediction, Predictor
from spotter.rollout import STAGES
from spotter.serve.auth import read_password
from spotter.utils.console import log_to_stderr

with lasting_imports():
    from spotter.operate import operated
    from spotter.upkeep import own_folder
    from spotter.web import ModelInfo, create_app, serve

RETRY_S = 60.0
UNASKED = "nobody has said what could go wrong with this model: scripts/premortem asks."
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
    log_to_stderr("app.py")
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
    with operated(predictor, options, folder) as info:
        if info.extras.rollout and not password:
            print(NOBODY, file=sys.stderr, flush=True)
        app = create_app(predictor.predict, info, config, password=password)
        return serve(app, config, notice="" if predictor.card.made.get("premortem") else UNASKED)


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
