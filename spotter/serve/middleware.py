"""ASGI middleware before every route: rate limits, backpressure, size and time limits, CORS, closed routes."""

import asyncio
import re
import time
from collections.abc import MutableMapping
from contextlib import ExitStack
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from spotter.config import ServeConfig
from spotter.serve.api.prometheus import Metrics
from spotter.serve.api.request_body import JSON_FACTOR
from spotter.serve.forwarded import path_prefix, public_host
from spotter.serve.limits import Refusal, Traffic, client_name

# Where Gradio had its endpoints in earlier versions, and where people expect them.
MOVED = ("/run", "/call", "/queue", "/predict", "/classify", "/classify_batch", "/upload", "/info")
# Whoever looks whether the app works gets an answer whatever others do.
HEALTH = ("/healthz", "/readyz")
# The plain routes, which hold nothing of anybody's. Longer ones first, here and below.
SHARED = ("/api/classify/batch", "/api/classify", "/api/answers", "/api", *HEALTH, "/openapi.json", *MOVED)
# What is none of these is a page, a style sheet and the like.
ROUTES = (
    *SHARED,
    "/metrics",
    "/staff",
    "/gradio_api/upload",
    "/gradio_api/upload_progress",
    "/gradio_api/queue",
    "/gradio_api/call",
    "/gradio_api/heartbeat",
    "/gradio_api",
)
STREAMS = ("/gradio_api/queue", "/gradio_api/call", "/gradio_api/heartbeat", "/gradio_api/upload_progress")
FREE = (*HEALTH, "/metrics", "page")
# Gradio's questions name files that were uploaded before.
QUESTION_BYTES = 1_000_000
FRAME_BYTES = 100_000
GONE = 499
PAGE_POLICY = "object-src 'none'; base-uri 'self'; form-action 'self'"

# What Gradio would do for whoever asks: fetch addresses, run ffmpeg, write states to disk, print what it is told, look
# without end whether its own files have changed.
CLOSED = (
    "/gradio_api/file=http",
    "/gradio_api/file/",
    "/gradio_api/proxy=",
    "/gradio_api/process_recording",
    "/gradio_api/deep_link",
    "/gradio_api/dev",
    "/gradio_api/stream",
    "/gradio_api/custom_component",
    "/gradio_api/component_server",
    "/gradio_api/vibe-",
    "/gradio_api/undo-vibe-",
    "/monitoring",
    "/login",
)


class Tidy:
    """Takes a path as it was meant where programs write it otherwise: `//api/classify` of an address that ends with a
    slash, `/api/classify/`, and the whole address, as through a proxy. A picture for the page is told where to go."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path = "/" + re.sub(r"^https?://[^/]*", "", scope["path"]).strip("/")
            if path in SHARED:
                scope["path"] = path
            elif path == "/" and scope["method"] not in {"GET", "HEAD", "OPTIONS"}:
                scope["path"] = MOVED[0]
        await self._app(scope, receive, send)


class Closed:
    """Blocks the routes of Gradio that no page of ours needs. By the path itself: a pattern may miss a line break."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(CLOSED):
            refused = _as_json(Refusal(403, "This is not served from here."), scope["path"])
            await refused(scope, receive, send)
        else:
            await self._app(scope, receive, send)


class Below:
    """Tells Gradio of the folder below which visitors find the app: in addresses of the page and of files, it puts the
    host that a proxy names before its own paths."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (prefix := path_prefix(headers := Headers(scope=scope))):
            scope = {**scope, "headers": list(scope["headers"])}
            MutableHeaders(scope=scope)["x-forwarded-host"] = f"{public_host(headers)}{prefix}"
        await self._app(scope, receive, send)


class NoSniffing:
    """Tells browsers on every answer to take it for what it says it is, and nothing in a page for a plug-in."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Content-Type-Options"] = "nosniff"
                # Gradio's page needs scripts of its own, inline too; ours that need none say so themselves.
                if headers.get("content-type", "").startswith("text/html"):
                    headers.setdefault("Content-Security-Policy", PAGE_POLICY)
            await send(message)

        await self._app(scope, receive, send_guarded)


class Shared:
    """CORS: pages of other origins may ask the plain routes, which hold nothing of anybody's and know no cookies."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._shared = CORSMiddleware(
            app,
            allow_origins=["*"],
            allow_methods=["GET", "HEAD", "POST", "DELETE"],
            allow_headers=["*"],
            expose_headers=["Location", "Retry-After"],
            max_age=86_400,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_shared = scope["type"] == "http" and route_of(scope["path"]) in SHARED
        await (self._shared if is_shared else self._app)(scope, receive, send)


class Gate:
    """Rate limit, backpressure and size limit for each request: what exceeds them is answered here. Counts them all."""

    def __init__(self, app: ASGIApp, traffic: Traffic, metrics: Metrics, config: ServeConfig) -> None:
        self._app, self._traffic, self._metrics, self._config = app, traffic, metrics, config

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers, route = Headers(scope=scope), route_of(scope["path"])
        peer = scope["client"][0] if scope.get("client") else ""
        client = client_name(peer, headers, self._config.behind_proxy)
        scope.setdefault("state", {})["client"] = client
        body = _Body(receive, client, _limit(route, self._config), self._traffic, self._config)
        body.in_memory = route.startswith("/api")
        answer = _Answer(send, body)
        posts = scope["method"] not in {"GET", "HEAD", "OPTIONS"}
        try:
            body.refusal = self._refuse(route, client, posts, body.declared(headers))
            if body.refusal is None:
                with self._counted(route, client):
                    if posts:
                        body.begin()
                    await self._app(scope, body.receive, answer.send)
        except Stopped:
            pass
        except ClientDisconnect:
            # Gradio does not expect it, and nobody is left to be answered.
            answer.status = answer.status or GONE
        finally:
            body.close()
            if body.refusal and not answer.status:
                await _as_json(body.refusal, scope["path"])(scope, receive, answer.send_own)
            self._metrics.requests[route, answer.status or 500] += 1

    def _refuse(self, route: str, client: str, posts: bool, too_large: Refusal | None) -> Refusal | None:
        traffic = self._traffic
        refusal = traffic.charge(client) if posts or route not in FREE else None
        if refusal is None and route not in HEALTH:
            refusal = traffic.no_answer(client)
        if refusal is None and posts:
            refusal = too_large or traffic.no_entry(client)
        elif refusal is None and route in STREAMS:
            refusal = traffic.no_stream(client)
        return refusal

    def _counted(self, route: str, client: str) -> ExitStack:
        places = ExitStack()
        if route not in HEALTH:
            places.enter_context(self._traffic.answers.place(client))
        if route in STREAMS:
            places.enter_context(self._traffic.streams.place(client))
        return places


class Stopped(Exception):
    """The body broke a limit; the gate answers."""


class _Body:
    """A request's body on its way in, with a size limit and a timeout: an exception ends what exceeds them.

    It takes a seat once it is there whole, so that nobody keeps others out by sending slowly; and it is counted until
    the answer begins, so that nobody does by reading slowly.
    """

    def __init__(self, receive: Receive, client: str, limit: int, traffic: Traffic, config: ServeConfig) -> None:
        self.refusal: Refusal | None = None
        self.in_memory = False
        self._receive, self._client, self._limit, self._traffic, self._config = receive, client, limit, traffic, config
        self._begun = time.monotonic()
        self._size = 0
        self._is_whole = self._needs_seat = False
        self._places, self._arriving = ExitStack(), ExitStack()

    def declared(self, headers: Headers) -> Refusal | None:
        length = headers.get("content-length", "")
        return self._too_large() if length.isascii() and length.isdigit() and int(length) > self._limit else None

    def begin(self) -> None:
        """Expect a picture, or what goes with one."""
        self._needs_seat = True
        self._arriving.enter_context(self._traffic.bodies.place(self._client))

    async def receive(self) -> Message:
        if self._is_whole:
            return await self._receive()
        allowed = self._config.patience_s + self._size / self._config.slowest_bytes_per_s
        try:
            async with asyncio.timeout(self._begun + allowed - time.monotonic()):
                message = await self._receive()
        except TimeoutError:
            raise self._stop(Refusal(408, "The request took too long to arrive.")) from None
        if message["type"] == "http.request":
            size = len(message.get("body", b""))
            self._size += size
            if self._size > self._limit:
                raise self._stop(self._too_large())
            if self.in_memory:
                refusal = self._traffic.hold(self._client, size)
                self._places.callback(self._traffic.held.give_back, self._client, size)
                if refusal:
                    raise self._stop(refusal)
            self._is_whole = not message.get("more_body")
            if self._is_whole and self._needs_seat:
                self._sit_down()
        return message

    def _sit_down(self) -> None:
        self._arriving.close()
        if refusal := self._traffic.no_seat(self._client):
            raise self._stop(refusal)
        self._places.enter_context(self._traffic.seats.place(self._client))

    def close(self) -> None:
        """Give back all that is counted; once is enough."""
        self._arriving.close()
        self._places.close()

    def _stop(self, refusal: Refusal) -> Stopped:
        self.refusal = refusal
        return Stopped(refusal.message)

    def _too_large(self) -> Refusal:
        return Refusal(413, f"The request is larger than {self._limit / 1e6:.3g} MB.")


class _Answer:
    """What goes out; nothing of the app's once the gate has to answer."""

    def __init__(self, send: Send, body: _Body) -> None:
        self.status = 0
        self._send, self._body = send, body

    async def send(self, message: Message) -> None:
        if self._body.refusal is None or self.status:
            await self.send_own(message)

    async def send_own(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self._body.close()
        await self._send(message)


def route_of(path: str) -> str:
    """The route of a path, out of a short list, so that nobody can make the counts grow."""
    return next((route for route in ROUTES if path == route or path.startswith(f"{route}/")), "page")


def _as_json(refusal: Refusal, path: str) -> JSONResponse:
    # Gradio's clients look for a field of another name.
    field = "detail" if path.startswith("/gradio_api") else "error"
    after = {} if refusal.retry_after_s is None else {"Retry-After": str(refusal.retry_after_s)}
    return JSONResponse({field: refusal.message}, refusal.status, after)


def _limit(route: str, config: ServeConfig) -> int:
    largest = {
        "/api/classify": int(config.max_upload_bytes * JSON_FACTOR),
        "/api/classify/batch": int(config.max_batch_bytes * JSON_FACTOR),
        # What is told there has to arrive, whatever was sent.
        **dict.fromkeys(("/api", *MOVED), int(config.max_upload_bytes * JSON_FACTOR)),
        "/gradio_api/upload": config.max_batch_bytes,
    }
    return largest.get(route, QUESTION_BYTES) + FRAME_BYTES
