"""The option of the commands that can run on a Ray cluster."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from spotter.errors import ExtraMissing

if TYPE_CHECKING:
    from spotter.scale.cluster import Cluster


def add_cluster_option(parser: argparse.ArgumentParser) -> None:
    """Add `--ray`."""
    parser.add_argument(
        "--ray", metavar="ADDRESS", help="do it on this Ray cluster; local: on one of this machine, a process a core"
    )


@contextmanager
def with_cluster(address: str | None) -> Iterator["Cluster | None"]:
    """The cluster that `--ray` names, joined or started; None without it, and then Ray is not imported.

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
            "--ray needs Ray, which is optional: pip install -r requirements-ray.txt; without --ray, all runs here."
        ) from error
    with cluster(address) as joined:
        yield joined
