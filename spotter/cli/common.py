"""The options that several commands share. This module loads nothing heavy."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from spotter.config import RESIZES, TrainConfig
from spotter.errors import ExtraMissing
from spotter.utils.argument_parser import Options, Parser
from spotter.utils.console import say, stage
from spotter.utils.licenses import POLICIES

if TYPE_CHECKING:
    from spotter.inference.predictor import Predictor
    from spotter.scale.cluster import Cluster

# The names of `spotter.search.BACKENDS`, which needs packages that an app does not have.
SOURCES = (
    "brave", "duckduckgo", "feedback", "folder", "hf", "inaturalist", "manifest", "openverse", "sample", "table",
    "urls", "wikimedia",
)  # fmt: skip


def add_picture_options(parser: Parser) -> None:
    """Add the options that say which pictures to collect; giving both a recipe and classes is a usage error."""

    def check(options: Options) -> None:
        if options.recipe and options.classes:
            parser.error("give a recipe or --class, not both")

    parser.add_check(check)
    parser.add_argument("recipe", nargs="?", type=Path, help="a file of classes, such as recipes/bears.toml")
    parser.add_argument(
        "--class",
        dest="classes",
        action="append",
        default=[],
        metavar="LABEL=QUERY",
        help="a class, instead of a recipe; repeatable",
    )
    parser.add_argument(
        "--search",
        default="duckduckgo",
        metavar="SOURCE",
        help=f"sources of pictures, separated by commas: {', '.join(SOURCES)}",
    )
    parser.add_argument(
        "--region", default="", metavar="REGION", help="language and country of the search, such as de-CH"
    )
    parser.add_argument("--title", default="", help="what the page asks (default: made of the labels)")
    parser.add_argument("--license", choices=POLICIES, default="any", help="which licences to accept (default: any)")
    parser.add_argument(
        "--more",
        action="append",
        default=[],
        metavar="LABEL=QUERY",
        help="more pictures of a class, with other words; repeatable",
    )
    parser.add_argument(
        "--feedback",
        metavar="STORE",
        help="also learn from reviewed pictures of visitors: a folder or hf://datasets/owner/name",
    )
    parser.add_argument("--data", type=Path, default=Path("data"), help="the folder for pictures (default: data)")


def add_learning_options(parser: Parser) -> None:
    """Add the options of training; `config` among the parsed options holds all of them."""

    def check(options: Options) -> None:
        options.config = learning_config(parser, options)

    parser.add_check(check)
    default = TrainConfig()
    parser.add_argument("--arch", default=default.arch, help="a timm architecture (default: %(default)s)")
    parser.add_argument(
        "--size",
        type=int,
        default=default.size,
        metavar="PIXELS",
        help="side of the network's input in pixels (default: %(default)s)",
    )
    parser.add_argument(
        "--resize",
        choices=RESIZES,
        default=default.resize,
        metavar="WAY",
        help="make it square: crop (the default), squish or pad",
    )
    parser.add_argument(
        "--fine-tune", type=int, default=0, metavar="EPOCHS", help="also train the whole network, for this many epochs"
    )
    parser.add_argument(
        "--no-shifts",
        action="store_true",
        help="learn from no shifted views (dark, blurred ...)",
    )
    group = parser.add_argument_group("with --fine-tune")
    group.add_argument("--find-rate", action="store_true", help="find the learning rate first")
    group.add_argument(
        "--min-scale",
        type=float,
        default=1.0,
        metavar="SHARE",
        help="learn from random crops of at least this share",
    )
    group.add_argument(
        "--presize",
        type=int,
        default=0,
        metavar="PIXELS",
        help="scale to this first, augment and crop in one step",
    )
    group.add_argument("--mult", type=float, default=1.0, help="strength of rotation, warp and light (default: 1)")
    group.add_argument("--show-batch", action="store_true", help="save contact sheets of the training pictures")


def learning_config(parser: Parser, options: Options) -> TrainConfig:
    """Read the options of training; end with a usage error when they are not valid."""
    names = ("arch", "size", "resize", "fine_tune", "find_rate", "min_scale", "presize", "mult")
    config = TrainConfig(**{name: getattr(options, name) for name in names})
    if options.no_shifts:
        config = replace(config, shifts=0)
    if not 32 <= config.size <= 1024:
        parser.error("--size must be from 32 to 1024 pixels")
    if config.fine_tune < 0:
        parser.error("--fine-tune cannot be negative")
    if not 0 < config.min_scale <= 1:
        parser.error("--min-scale must be above 0 and at most 1")
    if config.presize and not config.size <= config.presize <= 2048:
        parser.error("--presize must be from --size to 2048 pixels")
    if not 0 <= config.mult <= 10:
        parser.error("--mult must be from 0 to 10")
    plain = TrainConfig(config.arch, config.size, config.resize, shifts=config.shifts)
    augments = replace(config, fine_tune=0, find_rate=False) != plain
    if not config.fine_tune and (config.find_rate or (augments and not options.show_batch)):
        parser.error("--find-rate, --min-scale, --presize and --mult only work together with --fine-tune EPOCHS")
    return config


def load_predictor(store: str, revision: str | None, int8: bool = False) -> "Predictor":
    """Load a model, as a stage, and say which it is.

    Raises:
        As `Predictor.load`.
    """
    from spotter.inference.predictor import Predictor

    with stage("Load the model"):
        predictor = Predictor.load(store, revision, int8)
        say(f"{predictor.revision}: {', '.join(predictor.labels)}")
    return predictor


def split_revision(address: str) -> tuple[str, str | None]:
    """The store and the revision that `STORE@REV` names. A folder may have an "@" in its name."""
    store, _, revision = address.rpartition("@")
    return (store, revision) if store and revision and not Path(address).is_dir() else (address, None)


def add_cluster_option(parser: Parser) -> None:
    """Add `--ray`."""
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="use this Ray cluster; local starts one on this machine, with one process per core",
    )


@contextmanager
def with_cluster(address: str | None) -> Iterator["Cluster | None"]:
    """Join or start the cluster that `--ray` names. Without `--ray` this gives None and does not import Ray.

    Raises:
        ExtraMissing: Ray is not installed. ClusterUnavailable: there is no such cluster.
    """
    if not address:
        yield None
        return
    try:
        from spotter.scale.cluster import cluster
    except ModuleNotFoundError as error:
        raise ExtraMissing(
            "--ray needs Ray, which is optional: pip install -r requirements-ray.txt; without --ray, everything "
            "runs here."
        ) from error
    with cluster(address) as joined:
        yield joined
