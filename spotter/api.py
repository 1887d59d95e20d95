"""The plain HTTP routes: pictures to JSON, and how the app is."""

import asyncio
from collections.abc import Callable
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.requests import ClientDisconnect

from spotter.config import ServeConfig
from spotter.errors import BadPicture
from spotter.service import ModelInfo, Service, full_payload

UPLOAD_DEADLINE_S = 60.0


def classify_route(service: Service, config: ServeConfig, problem: str | None) -> Callable[..., Any]:
    in_flight = 0

    async def classify(request: Request) -> JSONResponse:
        nonlocal in_flight
        if problem:
            return _error(503, problem)
        if in_flight >= config.max_queue:
            return _error(503, "Too many pictures at once; try again in a moment.", {"Retry-After": "2"})
        in_flight += 1
        try:
            async with asyncio.timeout(UPLOAD_DEADLINE_S):
                body = await _read_body(request, config.max_upload_bytes)
            return JSONResponse(full_payload(await service.classify(body), service.info))
        except BadPicture as error:
            return _error({"not-a-picture": 415, "too-large": 413}.get(error.reason, 400), str(error))
        except TimeoutError:
            return _error(408, "The picture took too long to arrive.", {"Connection": "close"})
        except ClientDisconnect:
            return _error(400, "The picture did not arrive whole.")
        finally:
            in_flight -= 1

    return classify


async def _read_body(request: Request, limit: int) -> bytes:
    declared = request.headers.get("content-length", "")
    body = bytearray()
    if not (declared.isascii() and declared.isdigit() and int(declared) > limit):
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                break
        else:
            return bytes(body)
    raise BadPicture("too-large", f"The picture is larger than {limit / 1e6:g} MB.")


def health_route(info: ModelInfo, problem: str | None) -> Callable[..., Any]:
    async def health() -> JSONResponse:
        if problem:
            return JSONResponse({"status": "fail", "problem": problem}, 503)
        return JSONResponse({"status": "ok", "revision": info.revision})

    return health


async def api_help(request: Request) -> Response:
    # Behind a proxy the connection to this process is plain http, whatever the caller used.
    scheme = request.headers.get("x-forwarded-proto", request.url.scheme).split(",")[0]
    return PlainTextResponse(_HELP.format(url=f"{scheme}://{request.url.netloc}"))


async def unexpected(request: Request, error: Exception) -> JSONResponse:
    # Starlette logs the traceback after this answer; the caller learns nothing about the machine.
    return _error(500, "Something went wrong on this side; the picture was not classified.")


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": message}, status, headers)


_HELP = """Send a picture, get JSON: label, probabilities, familiar, familiarity, threshold, revision, timings_ms.

    curl --data-binary @picture.jpg {url}/api/classify

From Python, with gradio_client; the label is "not sure" when the picture is unlike those the model learned from:

    from gradio_client import Client, handle_file
    Client("{url}").predict(handle_file("picture.jpg"), api_name="/predict")

The same as JSON, with the most probable class as the label:

    Client("{url}").predict(handle_file("picture.jpg"), api_name="/classify")
"""
