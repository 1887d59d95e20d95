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
    parser.add_argument(
        "--to", metavar="STORE", help="store to publish to: a folder or hf://owner/name (default: models/<name>)"
    )
    parser.add_argument("--private", action="store_true", help="make the new model on the Hub private")
    add_learning_options(parser)
    parser.add_argument(
        "--coverage",
        type=float,
        default=TrainConfig.coverage,
        metavar="SHARE",
        help="of how many pictures a set of labels is to hold the truth (default: %(default)s)",
    )
    parser.add_argument(
        "--prior",
        default="",
        metavar="LABEL:SHARE,...",
        help="how frequent each class is where the model is used (grizzly:0.8,black:0.2); others do not occur",
    )
    parser.add_argument(
        "--cost",
        action="append",
        default=[],
        metavar="TRUTH as SAID=N",
        help='what a mistake costs ("black as teddy=50"), asking a person ("ask=1") and other mistakes ("other=1"); '
        "repeatable",
    )
    parser.add_argument(
        "--int8", action="store_true", help="also publish an int8 network, if it is as good and faster on this machine"
    )
    parser.add_argument(
        "--unfamiliar",
        type=Path,
        metavar="FOLDER",
        help="a folder of pictures of other things; measure how many of them the model refuses",
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
    from spotter import pipeline

    return pipeline.in_first_process(_train)(options)


def _train(options: Options) -> str:
    from spotter import pipeline

    task = pipeline.read_recipe(options)
    dataset = pipeline.collect_pictures(options, task)
    return f"revision {pipeline.train_and_publish(task, dataset, options.int8)}"
