"""The HTTP API behind Ray Serve: several replicas of the predictor, the same routes, limits and answers as the app."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import FastAPI
from ray import serve
from ray.exceptions import RayError
from starlette.concurrency import run_in_threadpool

from spotter.config import EndpointConfig, ServeConfig
from spotter.errors import BadPicture, ClusterUnavailable
from spotter.images import PictureSource
from spotter.inference.predictor import Predictor
from spotter.scale.classify import Model
from spotter.serve.api.openapi import add_routes
from spotter.serve.api.prometheus import Metrics
from spotter.serve.api.routes import api_routes, unexpected_route
from spotter.serve.limits import Traffic
from spotter.serve.middleware import Gate
from spotter.serve.server import listen
from spotter.serve.service import Answer, ModelInfo, Service
from spotter.utils.memory import give_back_large_blocks
from spotter.utils.text import one_line

NAME = "spotter"


class BatchedService(Service):
    """Answers what is asked at about the same time together, in one go of one thread.

    On a processor a batch takes as long as its pictures one by one; it saves the way to the thread and back.
    """

    async def _answer(self, source: PictureSource, asked: float, route: str, stage: str | None, client: str) -> Answer:
        # There is no rollout here, and no log.
        answer: Answer | BadPicture = await self._together((source, asked))
        if isinstance(answer, BadPicture):
            raise answer
        return answer

    @serve.batch(max_batch_size=EndpointConfig.batch, batch_wait_timeout_s=EndpointConfig.wait_s)
    async def _together(self, asked: list[tuple[PictureSource, float]]) -> list[Answer | BadPicture]:
        return await run_in_threadpool(self._work_all, asked)

    def _work_all(self, asked: list[tuple[PictureSource, float]]) -> list[Answer | BadPicture]:
        return [self._try(source, since) for source, since in asked]

    def _try(self, source: PictureSource, since: float) -> Answer | BadPicture:
        try:
            return self._work(source, since, "", None, "")
        except BadPicture as error:
            return error


def build_api(model: Model, config: ServeConfig) -> FastAPI:
    """Load the model on one core, and put the plain routes before it: what runs in each replica.

    Raises:
        As `Predictor.load`.
    """
    give_back_large_blocks()
    predictor: Predictor = model.load(cores=1)
    card = predictor.card
    info = ModelInfo(card.title, card.labels, predictor.revision, card.threshold, summary=card.summary)
    metrics, traffic = Metrics(), Traffic(config)
    app = FastAPI(title=info.title, version="1", docs_url=None, redoc_url=None)
    app.add_middleware(Gate, traffic=traffic, metrics=metrics, config=config)
    service = BatchedService(predictor.predict, info, metrics)
    add_routes(app, api_routes(service, traffic, metrics, config, None))
    app.add_exception_handler(Exception, unexpected_route(config))
    return app


@contextmanager
def endpoint(model: Model, config: EndpointConfig) -> Iterator[str]:
    """Run the replicas on the cluster that was joined, until the end; yields their address on this machine.

    Raises:
        PortUnavailable: the address is taken or not ours. ClusterUnavailable: the replicas do not start.
    """
    # Ray would only say that the replicas do not start.
    listen(config.host, config.port).close()
    limits = ServeConfig(host=config.host, port=config.port)

    def build() -> FastAPI:
        return build_api(model, limits)

    ingress: Any = serve.ingress(build)
    deployment: Any = serve.deployment(
        name=NAME,
        num_replicas=config.replicas,
        ray_actor_options={"num_cpus": 1},
        max_ongoing_requests=config.max_ongoing,
        max_queued_requests=config.max_queued,
    )
    replicas = deployment(ingress()).bind()
    try:
        serve.start(http_options={"host": config.host, "port": config.port})
    except RayError as error:
        raise ClusterUnavailable(f"Ray cannot take requests on this cluster: {one_line(error)}") from error
    try:
        try:
            serve.run(replicas, name=NAME)
        except RuntimeError as error:
            raise ClusterUnavailable(f"The replicas do not start: {one_line(error)}") from error
        yield f"http://{config.host}:{config.port}"
    finally:
        # What is asked is still answered. Not serve.shutdown(): others may serve on the same cluster.
        serve.delete(NAME)


def wait_for_end() -> None:
    """Wait until Ctrl-C or SIGTERM."""
    import signal

    async def wait() -> None:
        over = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, over.set)
        await over.wait()

    asyncio.run(wait())
