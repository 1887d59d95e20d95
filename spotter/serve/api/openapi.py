"""The OpenAPI description of the HTTP API, for /openapi.json."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from spotter.config import ServeConfig
from spotter.inference.prediction import Advice, AnswerRecord
from spotter.serve.api.request_body import JSON, MULTIPART

if TYPE_CHECKING:
    from fastapi import FastAPI


@dataclass(frozen=True)
class ApiRoute:
    """A plain route: what answers at a path, for some methods, and what is `told` of it; None: nothing is."""

    path: str
    answer: Callable[[Request], Awaitable[Response]]
    methods: tuple[str, ...]
    told: Mapping[str, Any] | None = None


def describe(title: str, routes: Sequence[ApiRoute]) -> dict[str, Any]:
    """What programs are told of routes, as OpenAPI."""
    # Here, because it takes half as long to load as all that answers need.
    from fastapi import FastAPI

    app = FastAPI(title=title or "Spotter", version="1")
    add_routes(app, routes)
    return app.openapi()


def add_routes(app: "FastAPI", routes: Sequence[ApiRoute]) -> None:
    """Add plain routes to an app of FastAPI's, which then tells of them itself."""
    for route in routes:
        told = {"include_in_schema": False} if route.told is None else route.told
        app.add_api_route(route.path, route.answer, methods=list(route.methods[:1]), **told)
        if further := list(route.methods[1:]):
            app.add_api_route(route.path, route.answer, methods=further, include_in_schema=False)


@dataclass(frozen=True)
class Classified(Advice, AnswerRecord):
    """What a picture is. `label` is the answer, "not sure" when the picture is unlike the training pictures; `closest`
    is the most probable class, always. `decision` and `expected_cost` are there where the model knows what mistakes
    cost, `set` where it has sets of labels, `prior` and `unweighted` where a prior was used. `looked_at` is there where
    the answer is about a part of the picture: left, top, right and bottom, as shares of its width and height. Times are
    in milliseconds."""

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
class ClassifiedFile(Classified):
    """What a picture of a batch is. `file` is the name of its file, there if it came in a form."""

    file: str = ""


@dataclass(frozen=True)
class ProblemFile(Problem):
    """Why there is no answer for a picture of a batch. `file` is the name of its file, there if it came in a form."""

    file: str = ""


@dataclass(frozen=True)
class Batch:
    """One result for each picture, in the order in which they came."""

    results: list[ClassifiedFile | ProblemFile]


@dataclass(frozen=True)
class Health:
    """`status` is "ok", "starting", "fail" or "stopping"; `warning` is there only where something other than answering
    fails, and `stage` only while the model is rolled out."""

    status: str
    revision: str | None
    warning: str = ""
    stage: str = ""


@dataclass(frozen=True)
class Failing:
    status: str
    problem: str


def describe_single(config: ServeConfig) -> dict[str, Any]:
    binary = {"type": "string", "format": "binary"}
    url = _data_url(config)
    return {
        "image/*": {"schema": binary},
        "application/octet-stream": {"schema": binary},
        "application/x-www-form-urlencoded": {"schema": {**binary, "description": "as curl --data-binary names it"}},
        MULTIPART: {"schema": {"type": "object", "required": ["file"], "properties": {"file": binary}}},
        JSON: {"schema": {"type": "object", "required": ["image"], "properties": {"image": url}}},
    }


def describe_batch(config: ServeConfig) -> dict[str, Any]:
    several = {"type": "array", "minItems": 1, "maxItems": config.max_batch}
    files = {**several, "items": {"type": "string", "format": "binary"}}
    return {
        MULTIPART: {"schema": {"type": "object", "required": ["files"], "properties": {"files": files}}},
        JSON: {"schema": {**several, "items": _data_url(config)}},
    }


def describe_prior() -> dict[str, Any]:
    return {
        "name": "prior",
        "in": "query",
        "required": False,
        "description": "In which shares the labels come where the picture is from; what is not named does not occur",
        "schema": {"type": "string"},
        "example": "grizzly:0.8,black:0.2",
    }


def _data_url(config: ServeConfig) -> dict[str, Any]:
    return {
        "type": "string",
        "description": "a data URL, or base64 alone",
        "example": "data:image/jpeg;base64,/9j/4AAQ...",
    }


def describe_problems() -> dict[int | str, dict[str, Any]]:
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


def describe_waiting() -> dict[int | str, dict[str, Any]]:
    """What else may be answered while a model is rolled out."""
    return {
        202: {"model": Ticket, "description": "The answer waits for a person, and the picture is kept until then"},
        403: {"model": Problem, "description": "The answer would wait for a person, which needs ?consent=yes"},
    }
