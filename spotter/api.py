"""The plain HTTP routes: pictures to JSON, how the app is, and a description of both for programs."""

import base64
import binascii
import codecs
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from spotter.config import ServeConfig
from spotter.errors import BadPicture, LogUnwritable, QueueUnwritable
from spotter.metrics import CONTENT_TYPE, Metrics
from spotter.monitor import add_reviews
from spotter.rollout import NONE_OF_THESE, SHADOW, SUPERVISED
from spotter.service import Answer, ModelInfo, Service, full_payload
from spotter.traffic import Refusal, Traffic
from spotter.waiting import Outcome, Waiting

_log = logging.getLogger(__name__)

Route = Callable[[Request], Awaitable[Response]]

STATUS = {"not-a-picture": 415, "wrong-type": 415, "too-large": 413, "too-many": 413}
MULTIPART, JSON = "multipart/form-data", "application/json"
# What may stand beside the pictures.
FIELD_BYTES = 10_000
LONGEST_ID = 200
# Python builds all that is in a body before it can be looked at: 130 MB of [] take 3 GB, and everybody else waits.
MOST_COMMAS = 10_000
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


@dataclass(frozen=True)
class Classified:
    """What a picture is. `label` is the most probable one whatever `familiar` says; times are in milliseconds."""

    label: str
    probabilities: dict[str, float]
    familiar: bool
    familiarity: float
    threshold: float
    revision: str | None
    timings_ms: dict[str, float]


@dataclass(frozen=True)
class Ticket:
    """An answer that waits for a person, while the model is rolled out.

    `status` is "waiting", "answered" or "deleted"; once answered, `label` is what the person says (null: none of the
    labels), and `confirmed` whether the model had said the same.
    """

    ticket: str
    status: str
    label: str | None
    confirmed: bool | None
    revision: str


@dataclass(frozen=True)
class Problem:
    """Why there is no answer, in a sentence."""

    error: str


@dataclass(frozen=True)
class Batch:
    """One result for each picture, in the order in which they came."""

    results: list[Classified | Problem]


@dataclass(frozen=True)
class Health:
    """`status` is "ok", "fail" or "stopping"; `warning` is there only where something other than answering fails, and
    `stage` only while the model is rolled out."""

    status: str
    revision: str | None
    warning: str = ""
    stage: str = ""


@dataclass(frozen=True)
class Failing:
    status: str
    problem: str


def add_routes(
    app: FastAPI, service: Service, traffic: Traffic, metrics: Metrics, config: ServeConfig, problem: str | None
) -> None:
    """Add the plain routes to `app`, and to what it tells about itself at /openapi.json."""
    one, many = _single(config), _batch(config)
    app.add_api_route(
        "/api/classify",
        _classify_route(service, config, problem),
        methods=["POST"],
        summary="Classify a picture",
        description=f"The picture is the body itself, the first file of a form, or a data URL in JSON; at most "
        f"{config.max_upload_bytes / 1e6:g} MB.",
        openapi_extra={"requestBody": {"required": True, "content": one}},
        response_model=Classified,
        responses=_problems() | (_waits() if service.info.extras.rollout else {}),
    )
    if service.info.extras.rollout:
        for method, route, summary in (
            ("GET", _ticket_route(service), "The outcome of an answer that waits for a person"),
            ("DELETE", _withdraw_route(service), "Do not wait: delete the picture"),
        ):
            missing: dict[int | str, dict[str, Any]] = {404: {"model": Problem, "description": "No such ticket"}}
            app.add_api_route(
                "/api/answers/{ticket}",
                route,
                methods=[method],
                summary=summary,
                response_model=Ticket,
                responses=missing,
            )
    app.add_api_route(
        "/api/classify/batch",
        _batch_route(service, traffic, config, problem),
        methods=["POST"],
        summary="Classify several pictures",
        description=f"The files of a form, or a JSON list of data URLs; at most {config.max_batch} pictures and "
        f"{config.max_batch_bytes / 1e6:g} MB. A picture that cannot be read does not spoil the others.",
        openapi_extra={"requestBody": {"required": True, "content": many}},
        response_model=Batch,
        responses=_problems(),
    )
    failing: dict[int | str, dict[str, Any]] = {503: {"model": Failing, "description": "Not now"}}
    for path, route, summary in (
        ("/healthz", _health_route(service.info, problem), "Does the app work?"),
        ("/readyz", _ready_route(service.info, problem, traffic), "Does it take pictures now?"),
    ):
        app.add_api_route(path, route, methods=["GET"], summary=summary, response_model=Health, responses=failing)
        app.add_api_route(path, route, methods=["HEAD"], include_in_schema=False)
    if config.metrics:
        app.add_api_route(
            "/metrics",
            _metrics_route(metrics, traffic),
            methods=["GET"],
            summary="Counts for Prometheus",
            response_class=PlainTextResponse,
        )
    app.add_api_route("/api", api_help, methods=["GET", "HEAD"], include_in_schema=False)
    allowed = dict.fromkeys(("/api/classify", "/api/classify/batch"), "POST")
    allowed |= dict.fromkeys(("/api", "/healthz", "/readyz"), "GET, HEAD")
    for path, methods in allowed.items():
        # Otherwise Gradio, which takes every path that is left, says that there is no such thing.
        app.add_api_route(path, _other_method_route(methods), methods=METHODS, include_in_schema=False)
    app.add_api_route("/api/{rest:path}", nothing_here, methods=METHODS, include_in_schema=False)
    app.add_exception_handler(Exception, _unexpected_route(config))


def _classify_route(service: Service, config: ServeConfig, problem: str | None) -> Route:
    async def classify(request: Request) -> Response:
        if problem:
            return _error(503, problem)
        stage, said = service.stage_for(_client(request)), request.query_params.get("said", "")
        if stage == SHADOW and said not in (*service.info.labels, NONE_OF_THESE):
            return _error(400, _SAY_FIRST.format(labels=", ".join(service.info.labels)))
        if stage == SUPERVISED and request.query_params.get("consent") != "yes":
            return _error(403, _CONSENT)
        try:
            picture = (await _read_pictures(request, config, is_batch=False))[0]
            if isinstance(picture, BadPicture):
                raise picture
            answer = await service.classify(picture, "api", stage)
        except BadPicture as error:
            return _error(STATUS.get(error.reason, 400), str(error))
        if stage == SUPERVISED:
            return await _let_wait(service, answer)
        if stage == SHADOW and (problem_now := await _note_down(service, answer, said)):
            return problem_now
        return JSONResponse(full_payload(answer, service.info))

    return classify


async def _let_wait(service: Service, answer: Answer) -> Response:
    try:
        ticket = await run_in_threadpool(service.let_wait, answer, answer.id)
    except QueueUnwritable as error:
        return _error(503, str(error))
    told = Ticket(ticket, "waiting", None, None, str(service.info.revision))
    return JSONResponse(asdict(told), 202, {"Location": f"/api/answers/{ticket}"})


async def _note_down(service: Service, answer: Answer, said: str) -> Response | None:
    """Note what a person said before the answer; a response if it cannot be."""
    log = service.info.extras.log
    try:
        if log:
            await run_in_threadpool(add_reviews, log.folder, {answer.id: said})
    except LogUnwritable as error:
        _log.warning("%s", error)
        return _error(503, "What you say cannot be noted down now, so there is no answer; try again later.")
    return None


def _ticket_route(service: Service) -> Callable[..., Any]:
    queue = service.info.extras.waiting

    async def look(ticket: str) -> Response:
        found = await run_in_threadpool(queue.find, ticket) if queue else None
        if isinstance(found, Waiting):
            return JSONResponse(asdict(Ticket(ticket, "waiting", None, None, found.revision)), headers=_NOT_KEPT)
        if isinstance(found, Outcome):
            told = Ticket(ticket, "answered", found.said, found.is_confirmed, found.revision)
            return JSONResponse(asdict(told), headers=_NOT_KEPT)
        return _error(404, _NO_TICKET)

    return look


def _withdraw_route(service: Service) -> Callable[..., Any]:
    queue = service.info.extras.waiting

    async def withdraw(ticket: str) -> Response:
        try:
            is_gone = await run_in_threadpool(queue.forget, ticket) if queue else False
        except QueueUnwritable as error:
            return _error(503, str(error))
        told = Ticket(ticket, "deleted", None, None, str(service.info.revision))
        return JSONResponse(asdict(told)) if is_gone else _error(404, _NO_TICKET)

    return withdraw


def _client(request: Request) -> str:
    """Who asks: by the id that a program gives its user, or else by where the request comes from."""
    given = request.headers.get("x-client-id", "")[:LONGEST_ID]
    return f"id {given}" if given else str(request.state.client)


def _batch_route(service: Service, traffic: Traffic, config: ServeConfig, problem: str | None) -> Route:
    async def one(picture: bytes | BadPicture, stage: str | None) -> dict[str, Any]:
        try:
            if isinstance(picture, BadPicture):
                raise picture
            answer = await service.classify(picture, "api batch", stage)
            return full_payload(answer, service.info) if answer.may_go_out else asdict(Problem(_ONE_BY_ONE))
        except BadPicture as error:
            return asdict(Problem(str(error)))

    async def batch(request: Request) -> Response:
        if problem:
            return _error(503, problem)
        try:
            pictures = await _read_pictures(request, config, is_batch=True)
        except BadPicture as error:
            return _error(STATUS.get(error.reason, 400), str(error))
        # The request itself has been counted already.
        refusal = traffic.charge(request.state.client, len(pictures) - 1)
        if refusal:
            return _refused(refusal)
        # One after the other, so that a large batch leaves room for others between two of its pictures.
        stage, results = service.stage_for(_client(request)), []
        for picture in pictures:
            if await request.is_disconnected():
                raise ClientDisconnect
            results.append(await one(picture, stage))
        return JSONResponse({"results": results})

    return batch


async def _read_pictures(request: Request, config: ServeConfig, *, is_batch: bool) -> list[bytes | BadPicture]:
    """The pictures in a request, at least one; what is wrong with one of several stands in its place."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    most = config.max_batch_bytes if is_batch else config.max_upload_bytes
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise BadPicture("wrong-type", "Send the body as it is: nothing is unpacked here, such as gzip.")
    if kind == MULTIPART:
        pictures = await _files_in_form(request, config)
    elif kind == JSON:
        body = await _read_body(request, most, in_json=True)
        pictures = await run_in_threadpool(_pictures_in_json, body, is_batch, config)
    elif is_batch:
        raise BadPicture("wrong-type", f"Send several pictures as {MULTIPART}, or a list of data URLs as {JSON}.")
    else:
        # Whatever it calls itself: curl --data-binary says that it sends a form.
        pictures = [await _read_body(request, most, in_json=False)]
    if not pictures:
        raise BadPicture("no-picture", "There is no picture in the request.")
    if is_batch and sum(len(picture) for picture in pictures if isinstance(picture, bytes)) > most:
        raise _too_large(most)
    return pictures


async def _read_body(request: Request, limit: int, *, in_json: bool) -> bytes:
    # Base64 makes four bytes of three.
    allowed = limit * 4 // 3 + FIELD_BYTES if in_json else limit
    declared = request.headers.get("content-length", "")
    body = bytearray()
    if not (declared.isascii() and declared.isdigit() and int(declared) > allowed):
        async for chunk in request.stream():
            body += chunk
            if len(body) > allowed:
                break
        else:
            return bytes(body)
    raise _too_large(limit)


async def _files_in_form(request: Request, config: ServeConfig) -> list[bytes | BadPicture]:
    try:
        async with request.form(
            max_files=config.max_batch, max_fields=config.max_batch, max_part_size=FIELD_BYTES
        ) as form:
            files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
            return [_in_limits(await file.read(), config) for file in files]
    except HTTPException as error:
        if "Too many files" in error.detail:
            raise _too_many(config) from error
        raise BadPicture("bad-form", "The form cannot be read.") from error


def _pictures_in_json(body: bytes, is_batch: bool, config: ServeConfig) -> list[bytes | BadPicture]:
    if body.count(b",") > MOST_COMMAS:
        raise BadPicture("bad-json", "The JSON holds far more than pictures.")
    try:
        # Data URLs are ASCII; as anything else, one strange letter makes each letter of a body four bytes long.
        content = json.loads(body.removeprefix(codecs.BOM_UTF8).decode("latin-1"))
    except (ValueError, RecursionError) as error:
        raise BadPicture("bad-json", "The body is no JSON.") from error
    if not is_batch:
        if not isinstance(content, dict) or "image" not in content:
            raise BadPicture("bad-json", 'Send {"image": "data:image/jpeg;base64,..."}.')
        return [_picture_in_url(content["image"], config)]
    if not isinstance(content, list):
        raise BadPicture("bad-json", 'Send a list: ["data:image/jpeg;base64,...", ...].')
    if len(content) > config.max_batch:
        raise _too_many(config)
    return [_picture_in_url(url, config) for url in content]


def _picture_in_url(url: object, config: ServeConfig) -> bytes | BadPicture:
    head, _, data = url.partition(",") if isinstance(url, str) else ("", "", "")
    if head[:5].lower() != "data:" or not head.lower().endswith(";base64"):
        return BadPicture(
            "bad-url", "A picture in JSON is a data URL (data:image/jpeg;base64,...): this app fetches no addresses."
        )
    try:
        return _in_limits(base64.b64decode(data, validate=True), config)
    except (binascii.Error, ValueError):
        return BadPicture("bad-url", "The data URL holds no valid base64.")


def _in_limits(picture: bytes, config: ServeConfig) -> bytes | BadPicture:
    return picture if len(picture) <= config.max_upload_bytes else _too_large(config.max_upload_bytes)


def _too_large(limit: int) -> BadPicture:
    return BadPicture("too-large", f"That is larger than {limit / 1e6:.3g} MB.")


def _too_many(config: ServeConfig) -> BadPicture:
    return BadPicture("too-many", f"At most {config.max_batch} pictures at a time.")


def _health_route(info: ModelInfo, problem: str | None) -> Callable[..., Any]:
    async def health() -> Response:
        if problem:
            return JSONResponse(asdict(Failing("fail", problem)), 503)
        rollout = info.extras.rollout
        told = asdict(Health("ok", info.revision, info.extras.problem, rollout.stage if rollout else ""))
        return JSONResponse({name: value for name, value in told.items() if value or name in {"status", "revision"}})

    return health


def _ready_route(info: ModelInfo, problem: str | None, traffic: Traffic) -> Callable[..., Any]:
    async def ready() -> Response:
        if traffic.stopping and not problem:
            return JSONResponse(asdict(Failing("stopping", "The app is about to stop.")), 503)
        return await health()

    health = _health_route(info, problem)
    return ready


def _metrics_route(metrics: Metrics, traffic: Traffic) -> Callable[..., Any]:
    async def show() -> Response:
        return Response(metrics.as_text(traffic.in_flight), media_type=CONTENT_TYPE)

    return show


def _other_method_route(allowed: str) -> Route:
    async def refuse(request: Request) -> Response:
        headers = {"Allow": f"{allowed}, OPTIONS"}
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=headers)
        how = "Send pictures by POST" if allowed == "POST" else "This is read by GET"
        return _error(405, f"{how}; /api tells more.", headers)

    return refuse


async def nothing_here(request: Request) -> Response:
    """Say that there is no such route."""
    return _error(404, "There is no such route; /api tells which there are.")


async def api_help(request: Request) -> Response:
    # Behind a proxy the connection to this process is plain http, whatever the caller used.
    scheme = request.headers.get("x-forwarded-proto", request.url.scheme).split(",")[0]
    return PlainTextResponse(_HELP.format(url=f"{scheme}://{request.url.netloc}"))


def _unexpected_route(config: ServeConfig) -> Callable[..., Any]:
    async def unexpected(request: Request, error: Exception) -> Response:
        # Starlette logs the traceback after this answer, which it gives outside of all that stands before the routes;
        # the caller learns nothing about the machine.
        shared = {"Access-Control-Allow-Origin": "*"} if config.is_shared else None
        return _error(500, "Something went wrong on this side; the picture was not classified.", shared)

    return unexpected


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse(asdict(Problem(message)), status, headers)


def _refused(refusal: Refusal) -> JSONResponse:
    after = {} if refusal.retry_after_s is None else {"Retry-After": str(refusal.retry_after_s)}
    return _error(refusal.status, refusal.message, after)


def _single(config: ServeConfig) -> dict[str, Any]:
    binary = {"type": "string", "format": "binary"}
    url = _data_url(config)
    return {
        "image/*": {"schema": binary},
        "application/octet-stream": {"schema": binary},
        "application/x-www-form-urlencoded": {"schema": {**binary, "description": "as curl --data-binary names it"}},
        MULTIPART: {"schema": {"type": "object", "required": ["file"], "properties": {"file": binary}}},
        JSON: {"schema": {"type": "object", "required": ["image"], "properties": {"image": url}}},
    }


def _batch(config: ServeConfig) -> dict[str, Any]:
    several = {"type": "array", "minItems": 1, "maxItems": config.max_batch}
    files = {**several, "items": {"type": "string", "format": "binary"}}
    return {
        MULTIPART: {"schema": {"type": "object", "required": ["files"], "properties": {"files": files}}},
        JSON: {"schema": {**several, "items": _data_url(config)}},
    }


def _data_url(config: ServeConfig) -> dict[str, Any]:
    return {"type": "string", "pattern": "^data:.*;base64,", "example": "data:image/jpeg;base64,/9j/4AAQ..."}


def _problems() -> dict[int | str, dict[str, Any]]:
    told = {
        400: "The request or the picture is damaged",
        408: "It took too long to arrive",
        413: "Too large, or too many pictures",
        415: "No picture that can be read",
        429: "Asked too often",
        500: "A failure on this side",
        503: "Too busy, stopping, or without a model",
    }
    again = {"Retry-After": {"description": "seconds to wait", "schema": {"type": "integer"}}}
    return {
        status: {"model": Problem, "description": text, **({"headers": again} if status in {429, 503} else {})}
        for status, text in told.items()
    }


def _waits() -> dict[int | str, dict[str, Any]]:
    """What else may be answered while a model is rolled out."""
    return {
        202: {"model": Ticket, "description": "The answer waits for a person, and the picture is kept until then"},
        403: {"model": Problem, "description": "The answer would wait for a person, which needs ?consent=yes"},
    }


_SAY_FIRST = (
    "This model is on trial: say first what it is, by ?said= and one of its labels ({labels}), or 'none of these'; "
    "only the two answers are kept."
)
_CONSENT = (
    "This model is on trial, so a person looks at each answer first: if the picture may be kept until then, 7 days at "
    "most, send ?consent=yes."
)
_ONE_BY_ONE = "This model is on trial: send pictures one by one, to /api/classify."
_NO_TICKET = "There is no such ticket, or not any more."
_NOT_KEPT = {"Cache-Control": "no-store"}
_HELP = """Send a picture, get JSON: label, probabilities, familiar, familiarity, threshold, revision, timings_ms.

    curl --data-binary @picture.jpg {url}/api/classify

From Python, with gradio_client; the label is "not sure" when the picture is unlike those the model learned from:

    from gradio_client import Client, handle_file
    Client("{url}").predict(handle_file("picture.jpg"), api_name="/predict")

The same as JSON, with the most probable class as the label:

    Client("{url}").predict(handle_file("picture.jpg"), api_name="/classify")
"""
