"""The app: the Gradio page and the HTTP routes together, served. They take any function from a picture to a
`Prediction`."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import gradio as gr
import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from gradio.route_utils import FnIndexInferError
from gradio.routes import App
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Mount

from spotter.api import add_routes
from spotter.config import ServeConfig
from spotter.connection import Connection, listen
from spotter.desk import add_desk
from spotter.files import package_file
from spotter.gate import Closed, Gate, Shared
from spotter.look import make_theme
from spotter.metrics import Metrics
from spotter.page import classifier_page, embed_script, problem_page
from spotter.script import embed_head, page_script
from spotter.service import ModelInfo, Predict, Service
from spotter.staff import PREFIX, staff_routes
from spotter.staff_report import no_report
from spotter.traffic import Traffic
from spotter.upkeep import tidying

_log = logging.getLogger(__name__)

# Below the 1,024 files that a process may usually have open.
MOST_CONNECTIONS = 800
# Gradio keeps a copy of the page's settings for each; ours holds nothing of anybody.
SESSIONS = 200
# A client asks first and fetches the answer with another request.
QUIET_S = 0.3


def build_page(predict: Predict, info: ModelInfo) -> gr.Blocks:
    """Build the page and the Gradio endpoints `/predict`, `/classify` and `/classify_batch` for any `predict`."""
    return classifier_page(Service(predict, info), ServeConfig())


def create_app(
    predict: Predict,
    info: ModelInfo,
    config: ServeConfig,
    *,
    problem: str | None = None,
    password: str | None = None,
) -> FastAPI:
    """Put the page, `POST /api/classify` and `GET /healthz` into one app.

    Args:
        problem: a sentence that says why there is no model; the page then shows it, the API and the health check
            answer 503, and `predict` is never called.
        password: of the pages below `/staff`; None: there are none.
    """
    app = FastAPI(title=info.title, version="1", docs_url=None, redoc_url=None, lifespan=_lifespan)
    metrics, traffic = Metrics(), Traffic(config)
    service = Service(predict, info, metrics)
    page = problem_page(info, problem) if problem else classifier_page(service, config)
    traffic.waiting = lambda: _waiting(page)
    app.state.traffic, app.state.page, app.state.config = traffic, page, config
    if not config.is_shared:
        # Gradio leaves CORS to its parent; its own rule trusts any origin when the Host is not spelt as it expects.
        app.add_middleware(CORSMiddleware, allow_origins=[])
    app.add_middleware(Gate, traffic=traffic, metrics=metrics, config=config)
    if config.is_shared:
        # Before the gate, so that a page elsewhere can also read why it is refused.
        app.add_middleware(Shared)
    add_routes(app, service, traffic, metrics, config, problem)
    staff = staff_routes(app, password)
    if info.extras.waiting:
        add_desk(staff, info, f"{PREFIX}/review")
    report = info.extras.report
    staff.add_api_route("/report", report.show if report else no_report, methods=["GET"])
    app.add_api_route("/gradio.js", embed_script, methods=["GET"], include_in_schema=False)
    style = package_file("serve", "static/page.css").read_text(encoding="utf-8")
    return mount_page(app, page, config, css=style, js=page_script(config.max_upload_bytes), head=embed_head())


def mount_page(
    app: FastAPI, page: gr.Blocks, config: ServeConfig, *, css: str, js: str | None = None, head: str = ""
) -> FastAPI:
    """Put a Gradio page at the root of `app`, after its other routes, with the guards that only `launch` has."""
    _fetch_nothing(page)
    # Only launch() sets this, and without it Gradio takes any file of this machine for an upload.
    page.has_launched = True
    page.queue(max_size=config.max_queue, default_concurrency_limit=1, api_open=False)
    page.state_session_capacity = SESSIONS
    app.add_api_route("/favicon.ico", _favicon, methods=["GET"], include_in_schema=False)
    app.add_middleware(Closed)
    # Last, because Gradio takes every path that is left.
    mounted = gr.mount_gradio_app(
        app,
        page,
        path="/",
        server_name=config.host,
        server_port=config.port,
        footer_links=[],
        run_history=False,
        show_error=False,
        max_file_size=config.max_upload_bytes,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=make_theme(),
        css=css,
        js=js,
        head=f'<link rel="icon" type="image/svg+xml" href="/favicon.ico">{head}',
    )
    for inner in _gradio_in(mounted):
        # Else one is a failure with a traceback for each question, and the other repeats the question.
        inner.add_exception_handler(FnIndexInferError, _no_such_endpoint)
        inner.add_exception_handler(RequestValidationError, _no_question)
    return mounted


def serve(app: FastAPI, config: ServeConfig, for_s: float | None = None, notice: str = "") -> bool:
    """Serve until SIGTERM or Ctrl-C; print the address once, when the first request can be answered.

    Args:
        for_s: stop after so many seconds.
        notice: a line for whoever runs the app, logged once it runs.

    Returns:
        Whether it stopped because they were over.

    Raises:
        PortUnavailable: the address is taken or not ours.
    """
    listener = listen(config.host, config.port)
    settings = uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        log_level="warning",
        timeout_graceful_shutdown=3,
        limit_concurrency=MOST_CONNECTIONS,
        lifespan="on",
    )
    if threading.current_thread() is threading.main_thread():
        # uvicorn raises the signal again once it is done: without this the process would end as if killed.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server = _Server(settings, listener.getsockname(), config.stop_s, for_s, notice)
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
    return server.is_over


class _Server(uvicorn.Server):
    def __init__(
        self, settings: uvicorn.Config, address: tuple[Any, ...], stop_s: float, for_s: float | None, notice: str
    ) -> None:
        super().__init__(settings)
        self.is_over = False
        self._address, self._stop_s, self._for_s, self._notice = address, stop_s, for_s, notice

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            host, port = self._address[:2]
            shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
            print(f"http://{shown}:{port}", flush=True)
            if self._notice:
                _log.warning("%s", self._notice)
            if self._for_s is not None:
                asyncio.get_running_loop().call_later(self._for_s, self._end)

    def _end(self) -> None:
        if not self.should_exit:
            self.is_over = self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Every open page holds a connection that Gradio ends only when told.
        for inner in _gradio_in(self.config.app):
            inner.stop_event.set()
        traffic = getattr(getattr(self.config.app, "state", None), "traffic", None)
        if traffic:
            await self._finish(traffic)
        await super().shutdown(sockets)

    async def _finish(self, traffic: Traffic) -> None:
        # The answer to a question through Gradio is fetched by a second request, so connections are still accepted.
        traffic.stopping = True
        last_busy, end = time.monotonic(), time.monotonic() + self._stop_s
        while last_busy + QUIET_S > (now := time.monotonic()) and now < end and not self.force_exit:
            if traffic.is_busy:
                last_busy = now
            await asyncio.sleep(0.02)


def _fetch_nothing(page: gr.Blocks) -> None:
    """Make every component refuse addresses of files: Gradio would download them, of any size."""

    def guard(block: Any) -> None:
        move = block.async_move_resource_to_block_cache

        async def move_file_only(source: Any) -> str | None:
            if str(source).startswith(("http:", "https:")):
                raise gr.Error("Send the picture itself: this app fetches no addresses.", print_exception=False)
            return await move(source)

        # A subclass would be the plain way, but Gradio writes a stub file next to every module that has one.
        block.async_move_resource_to_block_cache = move_file_only

    for block in page.blocks.values():
        guard(block)


def _gradio_in(app: Any) -> list[App]:
    routes = [route for route in getattr(app, "routes", []) if isinstance(route, Mount)]
    return [route.app for route in routes if isinstance(route.app, App)]


async def _no_such_endpoint(request: Request, error: Exception) -> Response:
    return JSONResponse({"detail": "There is no such endpoint; /gradio_api/info tells which there are."}, 404)


async def _no_question(request: Request, error: Exception) -> Response:
    return JSONResponse({"detail": "This is not a question as Gradio's clients ask it."}, 422)


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    uploads = os.environ.get("GRADIO_TEMP_DIR")
    if not uploads:
        # Gradio's usual folder may hold files of other apps, so it is left alone.
        yield
        return
    page = app.state.page
    async with tidying(page, Path(uploads), app.state.config.max_stored_bytes, page.delete_cache[1]):
        yield


def _waiting(page: gr.Blocks) -> list[str]:
    """The clients whose pictures wait in Gradio's queue or are answered from it."""
    queue = page._queue
    waiting = [event for line in queue.event_queue_per_concurrency_id.values() for event in line.queue]
    working = [event for job in queue.active_jobs if job for event in job]
    return [event.request.scope["state"]["client"] for event in [*waiting, *working]]


async def _favicon() -> Response:
    icon = package_file("serve", "static/icon.svg")
    return FileResponse(icon, media_type="image/svg+xml", headers={"Cache-Control": "max-age=86400"})
