"""The routes of the HTTP API."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, fields, replace
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from spotter.config import ServeConfig
from spotter.decide.prior import read_prior
from spotter.errors import BadPicture, BadPrior, LogUnwritable, QueueUnwritable
from spotter.images import FAILED
from spotter.inference.prediction import Advice
from spotter.monitor.log import add_reviews
from spotter.names import NONE_OF_THESE
from spotter.rollout.review_queue import Outcome, Waiting
from spotter.rollout.stages import SHADOW, SUPERVISED
from spotter.serve.api.openapi import (
    ApiRoute,
    Batch,
    Classified,
    Failing,
    Health,
    Problem,
    Ticket,
    describe_batch,
    describe_prior,
    describe_problems,
    describe_single,
    describe_waiting,
)
from spotter.serve.api.prometheus import CONTENT_TYPE, Metrics
from spotter.serve.api.request_body import Sent, read_pictures
from spotter.serve.batch import shown_name
from spotter.serve.forwarded import public_address
from spotter.serve.limits import Refusal, Traffic
from spotter.serve.middleware import MOVED
from spotter.serve.service import Answer, ModelInfo, Service, full_payload

_log = logging.getLogger(__name__)

Answering = Callable[[Request], Awaitable[Response]]
Weigh = Callable[[Answer], Answer]

STATUS = {"not-a-picture": 415, "wrong-type": 415, "too-large": 413, "too-many": 413, "failed": 500}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
STARTING, STOPPING = "starting", "stopping"
START_AGAIN_S = 2


def api_routes(
    service: Service,
    traffic: Traffic,
    metrics: Metrics,
    config: ServeConfig,
    problem: str | None,
    is_whole: Callable[[], bool] = lambda: True,
) -> list[ApiRoute]:
    """The plain routes, with what each tells of itself at /openapi.json.

    Args:
        is_whole: whether all that this app will have is there.
    """
    one, many = describe_single(config), describe_batch(config)
    routes = [
        ApiRoute(
            "/api/classify",
            _classify_route(service, config, problem),
            ("POST",),
            {
                "summary": "Classify a picture",
                "description": "The picture is the body itself, the first file of a form, or base64 in JSON; at most "
                f"{config.max_upload_bytes / 1e6:g} MB.",
                "openapi_extra": {
                    "requestBody": {"required": True, "content": one},
                    "parameters": [describe_prior()],
                },
                "response_model": Classified,
                "responses": describe_problems() | (describe_waiting() if service.info.options.rollout else {}),
            },
        )
    ]
    if service.info.options.rollout:
        for method, route, summary in (
            ("GET", _ticket_route(service), "The outcome of an answer that waits for a person"),
            ("DELETE", _withdraw_route(service), "Do not wait: delete the picture"),
        ):
            missing: dict[int | str, dict[str, Any]] = {404: {"model": Problem, "description": "No such ticket"}}
            ticket = {"name": "ticket", "in": "path", "required": True, "schema": {"type": "string"}}
            told = {"summary": summary, "response_model": Ticket, "responses": missing}
            told["openapi_extra"] = {"parameters": [ticket]}
            routes.append(ApiRoute("/api/answers/{ticket}", route, (method,), told))
    routes.append(
        ApiRoute(
            "/api/classify/batch",
            _batch_route(service, traffic, config, problem),
            ("POST",),
            {
                "summary": "Classify several pictures",
                "description": f"The files of a form, or a JSON list of base64; at most {config.max_batch} pictures "
                f"and {config.max_batch_bytes / 1e6:g} MB. A picture that cannot be read does not spoil the others.",
                "openapi_extra": {
                    "requestBody": {"required": True, "content": many},
                    "parameters": [describe_prior()],
                },
                "response_model": Batch,
                "responses": describe_problems(),
            },
        )
    )
    for path, route, summary in (
        ("/healthz", _health_route(service.info, problem), "Does the app work?"),
        ("/readyz", _ready_route(service.info, problem, traffic, is_whole), "Are model and page there?"),
    ):
        failing: dict[int | str, dict[str, Any]] = {503: {"model": Failing, "description": "Not now"}}
        told = {"summary": summary, "response_model": Health, "responses": failing}
        routes.append(ApiRoute(path, route, ("GET", "HEAD"), told))
    if config.metrics:
        told = {"summary": "Counts for Prometheus", "response_class": PlainTextResponse}
        routes.append(ApiRoute("/metrics", _metrics_route(metrics, traffic), ("GET",), told))
    routes.append(ApiRoute("/api", _help_route(service.info), ("GET", "HEAD")))
    allowed = dict.fromkeys(("/api/classify", "/api/classify/batch"), "POST")
    allowed |= dict.fromkeys(("/api", "/healthz", "/readyz"), "GET, HEAD")
    # Otherwise Gradio, which takes every path that is left, says that there is no such thing.
    routes += [ApiRoute(path, _other_method_route(methods), METHODS) for path, methods in allowed.items()]
    routes += [ApiRoute(f"{path}/{{rest:path}}", moved, METHODS) for path in ("/api", *MOVED)]
    routes += [ApiRoute(path, moved, METHODS) for path in MOVED]
    return routes


def as_routes(routes: Sequence[ApiRoute]) -> list[Route]:
    """The same routes for an app of Starlette's."""
    return [Route(route.path, route.answer, methods=list(route.methods)) for route in routes]


def starting_routes(traffic: Traffic) -> list[Route]:
    """What an app answers before it has a model: that it is alive, and not ready."""

    async def alive(request: Request) -> Response:
        return JSONResponse({"status": STARTING, "revision": None})

    async def not_ready(request: Request) -> Response:
        return _not_ready(traffic)

    return [Route("/healthz", alive), Route("/readyz", not_ready)]


def not_yet(traffic: Traffic) -> Response:
    """What is told of what is still to come."""
    return _refused(Refusal(503, _NOT_YET[traffic.stopping], START_AGAIN_S))


def _classify_route(service: Service, config: ServeConfig, problem: str | None) -> Answering:
    async def classify(request: Request) -> Response:
        if problem:
            return _error(503, problem)
        try:
            prior = _prior_of(request, service.info)
        except BadPrior as error:
            return _error(400, str(error))
        stage, said = service.stage_for(request.state.client), request.query_params.get("said", "")
        if stage == SHADOW and said not in (*service.info.labels, NONE_OF_THESE):
            return _error(400, _SAY_FIRST.format(labels=", ".join(service.info.labels)))
        if stage == SUPERVISED and request.query_params.get("consent") != "yes":
            return _error(403, _CONSENT)
        try:
            picture = (await read_pictures(request, config, is_batch=False))[0].content
            if isinstance(picture, BadPicture):
                raise picture
            answer = prior(await service.classify(picture, "api", stage, request.state.client))
        except BadPicture as error:
            return _error(STATUS.get(error.reason, 400), str(error))
        if stage == SUPERVISED:
            return await _let_wait(service, answer)
        if stage == SHADOW and (problem_now := await _note_down(service, answer, said)):
            return problem_now
        return JSONResponse(full_payload(answer, service.info))

    return classify


def _prior_of(request: Request, info: ModelInfo) -> Weigh:
    """What a request's `?prior=` makes of an answer.

    Raises:
        BadPrior: it is none, or the model cannot use one.
    """
    texts = request.query_params.getlist("prior")
    if not texts:
        return lambda answer: answer
    reweigh = info.reweigh
    if reweigh is None:
        raise BadPrior("This model takes no prior: its revision does not say in which shares it learnt its labels.")
    if len(texts) > 1:
        raise BadPrior("Give one prior, not several.")
    prior = read_prior(texts[0], info.labels)
    return lambda answer: replace(answer, prediction=reweigh(answer.prediction, prior))


async def _let_wait(service: Service, answer: Answer) -> Response:
    try:
        ticket = await run_in_threadpool(service.let_wait, answer, answer.id)
    except QueueUnwritable as error:
        return _error(503, str(error))
    told = Ticket(ticket, "waiting", None, None, str(service.info.revision))
    return JSONResponse(asdict(told), 202, {"Location": f"/api/answers/{ticket}"})


async def _note_down(service: Service, answer: Answer, said: str) -> Response | None:
    """Note what a person said before the answer; a response if it cannot be."""
    log = service.info.options.log
    try:
        if log:
            await run_in_threadpool(add_reviews, log.folder, {answer.id: said})
    except LogUnwritable as error:
        _log.warning("%s", error)
        return _error(503, "What you say cannot be noted down now, so there is no answer; try again later.")
    return None


def _ticket_route(service: Service) -> Answering:
    queue = service.info.options.waiting

    async def look(request: Request) -> Response:
        ticket = request.path_params["ticket"]
        found = await run_in_threadpool(queue.find, ticket) if queue else None
        if isinstance(found, Waiting):
            return JSONResponse(asdict(Ticket(ticket, "waiting", None, None, found.revision)), headers=_NOT_KEPT)
        if isinstance(found, Outcome):
            told = Ticket(ticket, "answered", found.said, found.is_confirmed, found.revision)
            return JSONResponse(asdict(told), headers=_NOT_KEPT)
        return _error(404, _NO_TICKET)

    return look


def _withdraw_route(service: Service) -> Answering:
    queue = service.info.options.waiting

    async def withdraw(request: Request) -> Response:
        ticket = request.path_params["ticket"]
        try:
            is_gone = await run_in_threadpool(queue.forget, ticket) if queue else False
        except QueueUnwritable as error:
            return _error(503, str(error))
        told = Ticket(ticket, "deleted", None, None, str(service.info.revision))
        return JSONResponse(asdict(told)) if is_gone else _error(404, _NO_TICKET)

    return withdraw


def _batch_route(service: Service, traffic: Traffic, config: ServeConfig, problem: str | None) -> Answering:
    async def one(sent: Sent, stage: str | None, client: str, prior: Weigh) -> dict[str, Any]:
        try:
            if isinstance(sent.content, BadPicture):
                raise sent.content
            answer = prior(await service.classify(sent.content, "api batch", stage, client))
            return full_payload(answer, service.info) if answer.may_go_out else asdict(Problem(_ONE_BY_ONE))
        except BadPicture as error:
            return asdict(Problem(str(error)))

    async def batch(request: Request) -> Response:
        if problem:
            return _error(503, problem)
        try:
            prior = _prior_of(request, service.info)
            pictures = await read_pictures(request, config, is_batch=True)
        except BadPrior as error:
            return _error(400, str(error))
        except BadPicture as error:
            return _error(STATUS.get(error.reason, 400), str(error))
        # The request itself has been counted already.
        refusal = traffic.charge(request.state.client, len(pictures) - 1)
        if refusal:
            return _refused(refusal)
        # One after the other, so that a large batch leaves room for others between two of its pictures.
        stage, results = service.stage_for(request.state.client), []
        for picture in pictures:
            if await request.is_disconnected():
                raise ClientDisconnect
            name = {"file": shown_name(picture.name)} if picture.name else {}
            results.append(name | await one(picture, stage, request.state.client, prior))
        return JSONResponse({"results": results})

    return batch


def _health_route(info: ModelInfo, problem: str | None) -> Answering:
    async def health(request: Request) -> Response:
        if problem:
            return JSONResponse(asdict(Failing("fail", problem)), 503)
        rollout = info.options.rollout
        told = asdict(Health("ok", info.revision, info.options.problem, rollout.stage if rollout else ""))
        return JSONResponse({name: value for name, value in told.items() if value or name in {"status", "revision"}})

    return health


def _ready_route(info: ModelInfo, problem: str | None, traffic: Traffic, is_whole: Callable[[], bool]) -> Answering:
    async def ready(request: Request) -> Response:
        if not problem and (traffic.stopping or not is_whole()):
            return _not_ready(traffic)
        return await health(request)

    health = _health_route(info, problem)
    return ready


def _not_ready(traffic: Traffic) -> Response:
    told = asdict(Failing(STOPPING if traffic.stopping else STARTING, _NOT_YET[traffic.stopping]))
    return JSONResponse(told, 503, {"Retry-After": str(START_AGAIN_S)})


def _metrics_route(metrics: Metrics, traffic: Traffic) -> Answering:
    async def show(request: Request) -> Response:
        return Response(metrics.as_text(traffic.in_flight), media_type=CONTENT_TYPE)

    return show


def _other_method_route(allowed: str) -> Answering:
    async def refuse(request: Request) -> Response:
        headers = {"Allow": f"{allowed}, OPTIONS"}
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=headers)
        how = "Send pictures by POST" if allowed == "POST" else "This is read by GET"
        return _error(405, f"{how}; /api tells more.", headers)

    return refuse


async def moved(request: Request) -> Response:
    """Say where to ask instead, at a route that is not there, or not any more: older tutorials name some."""
    # The body is not waited for: a slow one would make people think that the picture is being looked at. The connection
    # goes on reading it, so that who sends first and reads then is told too.
    return _error(404, _MOVED.format(url=_address(request)))


def _address(request: Request) -> str:
    return public_address(request.scope, request.headers) or f"{request.url.scheme}://{request.url.netloc}"


def _help_route(info: ModelInfo) -> Answering:
    left_out = {"label", "closest", *(column.name for column in fields(Advice))} - set(info.advice)
    rest = ", ".join(column.name for column in fields(Classified) if column.name not in left_out)

    async def api_help(request: Request) -> Response:
        return PlainTextResponse(_HELP.format(url=_address(request), fields=rest))

    return api_help


def unexpected_route(config: ServeConfig) -> Callable[[Request, Exception], Awaitable[Response]]:
    """What is told of a failure of ours, which is no fault of the request."""

    async def unexpected(request: Request, error: Exception) -> Response:
        # Starlette logs the traceback after this answer, which it gives outside of all that stands before the routes;
        # the caller learns nothing about the machine.
        shared = {"X-Content-Type-Options": "nosniff"}
        shared |= {"Access-Control-Allow-Origin": "*"} if config.is_shared else {}
        return _error(500, FAILED, shared)

    return unexpected


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse(asdict(Problem(message)), status, headers)


def _refused(refusal: Refusal) -> JSONResponse:
    after = {} if refusal.retry_after_s is None else {"Retry-After": str(refusal.retry_after_s)}
    return _error(refusal.status, refusal.message, after)


_SAY_FIRST = (
    "This model is on trial: say first what it is, by ?said= and one of its labels ({labels}), or 'none of these'; "
    "only the two answers are kept."
)
_CONSENT = (
    "This model is on trial, so a person looks at each answer first: if the picture may be kept until then, 7 days at "
    "most, send ?consent=yes."
)
_ONE_BY_ONE = "This model is on trial: send pictures one by one, to /api/classify."
_MOVED = (
    "There is no such route: POST the picture to {url}/api/classify, or in Python use gradio_client, 1.10 or newer: "
    'Client("{url}").predict(handle_file("picture.jpg"), api_name="/classify"); {url}/api tells more.'
)
# By whether the app is about to stop.
_NOT_YET = ("The app is starting; try again in a moment.", "The app is about to stop.")
_NO_TICKET = "There is no such ticket, or not any more."
_NOT_KEPT = {"Cache-Control": "no-store"}
_HELP = """Send a picture, get JSON. `label` is the answer: "not sure" when the picture is unlike those the model
learned from. `closest` is the most probable class, always. The rest: {fields}.

    curl --data-binary @picture.jpg {url}/api/classify

The same from Python, with gradio_client:

    from gradio_client import Client, handle_file
    Client("{url}").predict(handle_file("picture.jpg"), api_name="/classify")

The payload of a gr.Label, `label` and `confidences`:

    Client("{url}").predict(handle_file("picture.jpg"), api_name="/predict")
"""
