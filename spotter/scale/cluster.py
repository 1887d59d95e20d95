"""Ray: the same work on the processes of a cluster, one on each core.

Only what says which pictures to do goes through Ray, and what became of them; the pictures themselves are read where
they are worked on. A process that dies is started anew, and what it was at is done again.
"""

import logging
import os
import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import ray
import ray.data
from ray.data import ActorPoolStrategy, DataContext
from ray.exceptions import RayError, RayTaskError

from spotter.collect.download import DownloadOutcome, download_all
from spotter.config import DownloadConfig, ScaleConfig
from spotter.errors import ClusterUnavailable, SpotterError
from spotter.scale.classify import ClassifyJob, Done, Fetch, Worker
from spotter.scale.listing import Part, lane_of
from spotter.train.features import Body, BodyRunner
from spotter.utils.text import one_line

LOCAL = "local"

Result = TypeVar("Result")


@contextmanager
def cluster(address: str, cores: int | None = None, config: ScaleConfig | None = None) -> Iterator["Cluster"]:
    """Join the Ray cluster at `address`, or start one on this machine (`LOCAL`) of `cores` processes (None: one a
    core); yields it. One that was started here ends afterwards.

    Raises:
        ClusterUnavailable: there is none, or none can be started.
    """
    config = config or ScaleConfig()
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    here: dict[str, Any] = {
        "num_cpus": cores or os.cpu_count(),
        "include_dashboard": False,
        "object_store_memory": config.store_bytes,
    }
    try:
        ray.init(address=address, **quiet, **(here if address == LOCAL else {}))
    except (RayError, RuntimeError, ValueError, OSError, ConnectionError) as error:
        where = "on this machine" if address == LOCAL else f"at {address!r}"
        raise ClusterUnavailable(f"There is no Ray cluster {where}: {one_line(error)}") from error
    try:
        yield Cluster(int(ray.cluster_resources().get("CPU", 1)), config)
    finally:
        ray.shutdown()


def on_cluster(
    make: Callable[[], Callable[[Any], Any]], items: Iterable[Any], workers: int, *, in_order: bool = False
) -> Iterator[Any]:
    """Do each item on one of so many processes, which `make` their function once; through Ray Data.

    Yields:
        The results, as they come or `in_order` of the items. An item may be done twice when a process dies.

    Raises:
        SpotterError: what the function raised. ClusterUnavailable: the cluster does not do it.
    """
    rows = [{"item": pickle.dumps(item)} for item in items]
    if not rows:
        return
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.execution_options.preserve_order = in_order
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    # A block for each: what a process that dies loses is one item.
    dataset = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        _Actor,
        fn_constructor_args=(make,),
        batch_size=1,
        num_cpus=1,
        compute=ActorPoolStrategy(size=min(workers, len(rows))),
    )
    try:
        for row in dataset.iter_rows():
            result = pickle.loads(row["result"])  # noqa: S301 (of our own processes)
            if isinstance(result, SpotterError):
                raise result
            yield result
    except (RayTaskError, RayError) as error:
        raise ClusterUnavailable(f"The cluster could not do it: {one_line(error, -1)}") from error


class _Actor:
    def __init__(self, make: Callable[[], Callable[[Any], Any]]) -> None:
        self._do = make()

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[bytes]]:
        return {"result": [pickle.dumps(self._answer(pickle.loads(item))) for item in batch["item"]]}  # noqa: S301

    def _answer(self, item: Any) -> Any:
        try:
            return self._do(item)
        except SpotterError as error:
            # As a value: Ray would try again, and wrap it in its own.
            return error


@dataclass(frozen=True)
class Cluster:
    """A cluster of so many cores, as something that does what is otherwise done here."""

    cores: int
    config: ScaleConfig = field(default_factory=ScaleConfig)

    def run(self, job: ClassifyJob, lanes: list[tuple[Part, ...]]) -> Iterator[Done]:
        """As `classify.run_here`: a `Worker` on each core."""
        for done in on_cluster(partial(_lane_worker, job), lanes, self.cores):
            yield from done

    def run_body(self, body: Body, paths: Sequence[Path], part: int) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """As `train.features.run_here`: parts of the pictures on each core, in order; the paths must lead there too."""
        # Smaller than what is written at a time, or the cores would wait for the last part.
        size = min(part, self.config.part)
        parts = [[path.absolute() for path in paths[start : start + size]] for start in range(0, len(paths), size)]
        computed = on_cluster(partial(_body_worker, body), parts, self.cores, in_order=True)
        for some in iter(lambda: list(islice(computed, part // size)), []):
            rows, spreads = zip(*some, strict=True)
            yield np.concatenate(rows), None if spreads[0] is None else np.concatenate(spreads)

    def fetch(
        self,
        urls: Iterable[tuple[int, str]],
        config: DownloadConfig,
        *,
        then: Callable[[DownloadOutcome[int]], Result],
        fetch: Fetch = download_all,
    ) -> Iterator[Result]:
        """As `download_all`: downloads on each core, the addresses of one host by one process at a time.

        They are handed out some thousands at a time, so that one may stop early.
        """
        waiting = iter(urls)
        while some := list(islice(waiting, self.config.downloads)):
            lanes: dict[int, list[tuple[int, str]]] = {}
            for key, url in some:
                lanes.setdefault(lane_of(url, self.config.lanes), []).append((key, url))
            for outcomes in on_cluster(partial(_downloader, fetch, config), lanes.values(), self.cores):
                yield from map(then, outcomes)


def _lane_worker(job: ClassifyJob) -> Callable[[tuple[Part, ...]], list[Done]]:
    worker = Worker(job, cores=1)
    return lambda parts: [worker.do(part) for part in parts]


def _body_worker(body: Body) -> Callable[[list[Path]], tuple[np.ndarray, np.ndarray | None]]:
    runner = BodyRunner(body, cores=1)
    return runner.run


def _downloader(fetch: Fetch, config: DownloadConfig) -> Callable[[list[tuple[int, str]]], list[DownloadOutcome[int]]]:
    return lambda urls: list(fetch(urls, config))
