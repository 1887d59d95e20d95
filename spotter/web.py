"""The app: the Gradio page and the HTTP routes together, served. They take any function from a picture to a
`Prediction`."""

import contextlib
import signal
import socket
import sys
import threading
from typing import Any

import gradio as gr
import uvicorn
from fastapi import FastAPI, HTTPException
from fastapi.responses import Response
from gradio.routes import App
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Mount

from spotter.api import api_help, classify_route, health_route, unexpected
from spotter.config import ServeConfig
from spotter.errors import PortUnavailable
from spotter.look import CSS, ICON, make_theme
from spotter.page import classifier_page, embed_script, problem_page
from spotter.script import EMBED_HEAD, page_script
from spotter.service import ModelInfo, Predict, Service


def build_page(predict: Predict, info: ModelInfo) -> gr.Blocks:
    """Build the page and the Gradio endpoints `/predict`, `/classify` and `/classify_batch` for any `predict`."""
    return classifier_page(Service(predict, info), ServeConfig())


def create_app(predict: Predict, info: ModelInfo, config: ServeConfig, *, problem: str | None = None) -> FastAPI:
    """Put the page, `POST /api/classify` and `GET /healthz` into one app.

    Args:
        problem: a sentence that says why there is no model; the page then shows it, the API and the health check
            answer 503, and `predict` is never called.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    service = Service(predict, info)
    page = problem_page(info, problem) if problem else classifier_page(service, config)
    if config.host in {"127.0.0.1", "::1", "localhost"}:
        # Gradio leaves CORS to its parent; its own rule trusts any origin when the Host is not spelt as it expects.
        app.add_middleware(CORSMiddleware, allow_origins=[])
    app.add_exception_handler(Exception, unexpected)
    app.add_api_route("/healthz", health_route(info, problem), methods=["GET", "HEAD"])
    app.add_api_route("/api/classify", classify_route(service, config, problem), methods=["POST"])
    app.add_api_route("/api", api_help, methods=["GET"])
    app.add_api_route("/gradio.js", embed_script, methods=["GET"])
    return mount_page(app, page, config, css=CSS, js=page_script(), head=EMBED_HEAD)


def mount_page(
    app: FastAPI, page: gr.Blocks, config: ServeConfig, *, css: str, js: str | None = None, head: str = ""
) -> FastAPI:
    """Put a Gradio page at the root of `app`, after its other routes, with the guards that only `launch` has."""
    _fetch_nothing(page)
    # Only launch() sets this, and without it Gradio takes any file of this machine for an upload.
    page.has_launched = True
    page.queue(max_size=config.max_queue, default_concurrency_limit=1, api_open=False)
    app.add_api_route("/favicon.ico", _favicon, methods=["GET"])
    # Gradio would fetch these addresses for whoever asks.
    for proxied in ("file=http{rest:path}", "proxy={rest:path}"):
        app.add_api_route(f"/gradio_api/{proxied}", _refuse, methods=["GET", "HEAD"])
    # Last, because Gradio takes every path that is left.
    return gr.mount_gradio_app(
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


def serve(app: FastAPI, config: ServeConfig) -> None:
    """Serve until SIGTERM or Ctrl-C; print the address once, when the first request can be answered.

    Raises:
        PortUnavailable: the address is taken or not ours.
    """
    listener = _listen(config)
    settings = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=3, lifespan="on")
    if threading.current_thread() is threading.main_thread():
        # uvicorn raises the signal again once it is done: without this the process would end as if killed.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with contextlib.suppress(KeyboardInterrupt):
        _Server(settings, listener.getsockname()).run(sockets=[listener])


class _Server(uvicorn.Server):
    def __init__(self, settings: uvicorn.Config, address: tuple[Any, ...]) -> None:
        super().__init__(settings)
        self._address = address

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            host, port = self._address[:2]
            shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
            print(f"http://{shown}:{port}", flush=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Every open page holds a connection that Gradio ends only when told.
        for route in getattr(self.config.app, "routes", []):
            if isinstance(route, Mount) and isinstance(route.app, App):
                route.app.stop_event.set()
        await super().shutdown(sockets)


def _listen(config: ServeConfig) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((config.host, config.port))
        listener.listen(128)
    except (OSError, OverflowError) as error:
        listener.close()
        raise PortUnavailable(
            f"Cannot listen on {config.host} port {config.port}; choose another port, or stop what is using it."
        ) from error
    return listener


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


async def _favicon() -> Response:
    return Response(ICON, media_type="image/svg+xml", headers={"Cache-Control": "max-age=86400"})


async def _refuse(rest: str) -> None:
    raise HTTPException(403, "Other addresses are not served from here.")
