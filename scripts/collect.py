"""Collect a recipe's pictures, without training: a picture set with its manifest and a report of what it shows.

    scripts/collect recipes/bears.toml --search openverse,wikimedia --license open
    scripts/collect recipes/bears.toml --search openverse,wikimedia --more "grizzly=grizzly bear at night"
    scripts/collect recipes/bears.toml --search urls:list.csv --ray local

The last line on stdout is the folder of the set. Exit status as of train.py: 1 when a class has too few pictures.
"""

import argparse
import sys
import warnings
from collections.abc import Sequence

from spotter.collect import read_more
from spotter.command import (
    add_picture_options,
    collect_pictures,
    parse,
    recipe_of,
    run_command,
    say,
    sources_of,
    stage,
)
from spotter.config import TrainConfig
from spotter.download import download_all
from spotter.edits import EditLog
from spotter.parser import Parser
from spotter.scale.options import add_cluster_option, with_cluster


def main(argv: Sequence[str] | None = None) -> int:
    """Collect, look, and return the exit status."""
    parser = Parser(prog="scripts/collect", description=__doc__.splitlines()[0])
    add_picture_options(parser)
    add_cluster_option(parser)
    options = parse(parser, argv)
    return run_command("scripts/collect", lambda: run(options), argv)


def run(options: argparse.Namespace) -> str:
    """Collect the pictures and look at them; return the folder of the set."""
    with stage("Collect the pictures"):
        recipe = recipe_of(options)
        more = read_more(options.more, recipe)
        sources = sources_of(options)
        with with_cluster(options.ray) as on:
            dataset = collect_pictures(options, recipe, sources, more, on.fetch if on else download_all)

    with stage("Look at what was collected"):
        # Here rather than at the top: a mistake in the recipe is told at once, not after seconds of imports.
        warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", FutureWarning)
        from spotter.backbone import compute_features, compute_spreads, imagenet_logits, load_backbone
        from spotter.review import review

        backbone = load_backbone(TrainConfig())
        features = compute_features(backbone, dataset)
        edits = EditLog(dataset.folder).read()
        logits, spreads = imagenet_logits(backbone, features), compute_spreads(backbone, dataset)
        _, sayings = review(dataset, features, logits, spreads, edits)
        for saying in sayings:
            say(saying)
    return str(dataset.folder)


if __name__ == "__main__":
    sys.exit(main())
