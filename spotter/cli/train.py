"""Collect pictures, train, and publish a classifier.

    spotter train recipes/bears.toml
    spotter train recipes/bears.toml --search folder:pictures/bears --to models/bears
    spotter train --class "tabby=tabby cat" --class "beagle=beagle dog" --to hf://owner/cats

The last line on stdout is `revision REV`.
"""

from dataclasses import replace
from pathlib import Path

from spotter.cli.common import add_learning_options, add_picture_options
from spotter.config import HUB, TrainConfig
from spotter.utils.argument_parser import Options, Parser


def add_arguments(parser: Parser) -> None:
    """Add the options of the command."""
    # The full list of options in the usage line would fill the screen.
    parser.usage = f"{parser.prog} [RECIPE] [options]"
    add_picture_options(parser)
    parser.add_argument("--to", metavar="STORE", help="a folder or hf://owner/name (default: models/<name>)")
    parser.add_argument("--private", action="store_true", help="make the new model on the Hub private")
    add_learning_options(parser)
    parser.add_argument(
        "--coverage",
        type=float,
        default=TrainConfig.coverage,
        metavar="SHARE",
        help="share of sets of labels that hold the truth (0.95)",
    )
    parser.add_argument("--prior", default="", help="how often each class occurs: grizzly:0.8,black:0.2")
    parser.add_argument("--cost", action="append", default=[], help="cost: black as teddy=50, or ask=2; repeatable")
    parser.add_argument("--int8", action="store_true", help="an int8 network too, if it is as good and faster here")
    parser.add_argument(
        "--unfamiliar",
        type=Path,
        metavar="FOLDER",
        help="pictures of other things; measure how many are refused",
    )

    def check(options: Options) -> None:
        if options.unfamiliar and not options.unfamiliar.is_dir():
            parser.error(f"--unfamiliar: there is no folder {str(options.unfamiliar)!r}")
        if options.private and not (options.to or "").startswith(HUB):
            parser.error("--private only works with --to hf://owner/name")
        options.config = replace(options.config, coverage=options.coverage)

    parser.add_check(check)


def run(options: Options) -> str:
    """Do the same as train.py: its stages, one after the other. A test compares the two."""
    from spotter.train.processes import in_first_process

    return in_first_process(_train)(options)


def _train(options: Options) -> str:
    from spotter import pipeline

    task = pipeline.read_recipe(options)
    dataset = pipeline.collect_pictures(options, task)
    return f"revision {pipeline.train_and_publish(task, dataset, options.int8)}"
