"""The app: pull a published model, build the page, serve.

    python app.py --model models/bears
    python app.py --model hf://owner/bears --revision v2

On a Space the same comes from the environment: MODEL_STORE, MODEL_REVISION, MODEL_INT8.
"""

import argparse
import os
import sys
from collections.abc import Sequence

# Off before Gradio is imported: it would ask the internet for a newer version of itself.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

from spotter.about import read_about
from spotter.config import ServeConfig
from spotter.errors import SpotterError
from spotter.extras import Extras
from spotter.parser import Parser
from spotter.predictor import Predictor
from spotter.web import ModelInfo, create_app, serve


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until stopped; return 0, or 1 after an expected failure told in one sentence."""
    options = parse(argv)
    config = ServeConfig(host=options.host, port=options.port)
    try:
        predictor = Predictor.load(options.model, options.revision, options.int8)
        serve(create_app(predictor.predict, describe(predictor), config), config)
    except SpotterError as error:
        print(f"app.py: {error}", file=sys.stderr)
        return 1
    return 0


def describe(predictor: Predictor) -> ModelInfo:
    """Gather what the page says about the model."""
    card = predictor.card
    return ModelInfo(
        title=card.title,
        labels=card.labels,
        revision=predictor.revision,
        threshold=card.threshold,
        examples=tuple((str(path), label) for label, path in predictor.examples.items()),
        summary=card.summary,
        extras=Extras(
            predictor.explain if predictor.explains else None, predictor.nearest if predictor.thumbnails else None
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
    parser.add_argument("--host", default="0.0.0.0" if on_space else ServeConfig.host, help="default: %(default)s")  # noqa: S104
    parser.add_argument("--port", type=int, default=ServeConfig.port, help="default: %(default)s")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
