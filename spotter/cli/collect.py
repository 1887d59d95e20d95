"""Collect a recipe's pictures, without training.

    spotter collect recipes/bears.toml --search openverse,wikimedia --license open
    spotter collect recipes/bears.toml --search openverse,wikimedia --more "grizzly=grizzly bear at night"
    spotter collect recipes/bears.toml --search urls:list.csv --ray local

This makes a picture set with its manifest and a report of what it shows. The last line on stdout is the folder of the
set. The exit status is 1 when a class has too few pictures.
"""

import warnings
from pathlib import Path

from spotter.cli.common import add_cluster_option, add_picture_options, with_cluster
from spotter.config import TrainConfig
from spotter.utils.argument_parser import Options, Parser
from spotter.utils.console import say, stage


def add_arguments(parser: Parser) -> None:
    """Add the options of the command."""
    add_picture_options(parser)
    add_cluster_option(parser)


def run(options: Options) -> str:
    """Collect the pictures and look at them; return the folder of the set."""
    from spotter.collect.collector import read_more
    from spotter.collect.download import download_all
    from spotter.collect.picture_set import fill_set, picture_folder, read_options
    from spotter.collect.takedown import LIST, Takedown
    from spotter.data.edit_log import EditLog

    with stage("Collect the pictures"):
        recipe, sources = read_options(options)
        more = read_more(options.more, recipe)
        folder, takedown = picture_folder(options.data, recipe, options.search), Takedown(options.data / LIST)
        with with_cluster(options.ray) as on:
            fetch = on.fetch if on else download_all
            dataset = fill_set(recipe, sources, folder, options.license, more, takedown, fetch)

    with stage("Look at what was collected"):
        # Imported late, so that a mistake in the recipe is reported at once and not after seconds of imports.
        warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", FutureWarning)
        from spotter.data.audit import review
        from spotter.data.quality import Measured, measure_into
        from spotter.train.backbone import compute_features, compute_spreads, imagenet_logits, load_backbone, readable

        backbone, measured = load_backbone(TrainConfig()), dict[Path, Measured]()
        features = compute_features(backbone, dataset, look=measure_into(measured))
        dataset, features = readable(dataset, features)
        edits = EditLog(dataset.folder).read()
        logits, spreads = imagenet_logits(backbone, features), compute_spreads(backbone, dataset)
        _, sayings = review(dataset, features, logits, spreads, edits, measured)
        for saying in sayings:
            say(saying)
    return str(dataset.folder)
