"""Compute the features of a picture set before training, here or on a Ray cluster.

    spotter features data/bears/openverse --ray local

The set is the folder that `spotter collect` prints as its last line. This command prints the same folder at its end. If
you run it again, it continues where it stopped.
"""

import warnings
from pathlib import Path

from spotter.cli.common import add_cluster_option, with_cluster
from spotter.config import RESIZES, TrainConfig
from spotter.errors import FolderMissing
from spotter.utils.argument_parser import Options, Parser
from spotter.utils.console import say, stage


def add_arguments(parser: Parser) -> None:
    """Add the options of the command."""
    default = TrainConfig()
    parser.add_argument("set", type=Path, help="the folder of a picture set")
    parser.add_argument("--arch", default=default.arch, help="as for spotter train (default: %(default)s)")
    parser.add_argument("--size", type=int, default=default.size, metavar="PIXELS", help="as for spotter train")
    parser.add_argument("--resize", choices=RESIZES, default=default.resize, help="as for spotter train")
    add_cluster_option(parser)


def run(options: Options) -> str:
    """Read the set, compute the missing features; return the folder of the set.

    Raises:
        FolderMissing: there is no set in the folder.
    """
    from spotter.data.manifest import read_dataset, read_manifest, with_disputed

    labels = sorted({record.label for record in read_manifest(options.set)})
    if not labels:
        raise FolderMissing(f"There is no picture set in {str(options.set)!r}; spotter collect makes one.")
    dataset = with_disputed(read_dataset(options.set, labels))

    with stage("Load fastai and torch"):
        warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", FutureWarning)
        from spotter.data.cache import PART
        from spotter.train.backbone import compute_features, compute_views, load_backbone
        from spotter.train.features import run_here
        from spotter.train.views import plan_views

        config = TrainConfig(arch=options.arch, size=options.size, resize=options.resize)
        backbone = load_backbone(config)

    with stage("Compute the features"):
        with with_cluster(options.ray) as on:
            features = compute_features(backbone, dataset, PART, on.run_body if on else run_here)
        for kind, plan in plan_views(dataset, config):
            if plan:
                compute_views(backbone, dataset, kind, plan)
        say(f"{len(features)} pictures, {features.shape[1]} features each")
    return str(options.set)
