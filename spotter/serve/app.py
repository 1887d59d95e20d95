"""The app: the Gradio page, the HTTP API and the staff pages put together."""

import contextlib
import logging
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import gradio as gr
import gradio.queueing
import gradio.routes
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from gradio.route_utils import FnIndexInferError
from gradio.routes import App
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Mount
from starlette.types import Scope

from spotter.config import ServeConfig
from spotter.serve.failures import is_ours, quieten
from spotter.serve.front import Front, favicon
from spotter.serve.middleware import Below, Closed, NoSniffing
from spotter.serve.page.classifier import classifier_page, problem_page
from spotter.serve.page.document import Document, Dress
from spotter.serve.page.preview import render_head
from spotter.serve.page.quiet_queue import rest_while_empty
from spotter.serve.page.script import early_script, page_script
from spotter.serve.page.theme import make_theme
from spotter.serve.service import ModelInfo, Predict, Service
from spotter.serve.uploads import tidying
from spotter.utils.files import package_file

_log = logging.getLogger(__name__)
# Gradio keeps a copy of the page's settings for each; ours holds nothing of anybody.
SESSIONS = 200
_SEND_A_FILE = (
    'Send the picture as a file that was uploaded, as the clients do: in Python handle_file("picture.jpg"), in '
    "JavaScript a Blob."
)


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
) -> Front:
    """Put the page, `POST /api/classify` and `GET /healthz` into one app.

    Args:
        problem: a sentence that says why there is no model; the page then shows it, the API and the health check
            answer 503, and `predict` is never called.
        password: of the pages below `/staff`; None: there are none.
    """
    front = Front(config)
    service = Service(predict, info, front.metrics)
    front.answer(service, problem=problem, password=password)
    add_page(front, service, problem)
    return front


def add_page(front: Front, service: Service, problem: str | None = None) -> None:
    """Build the page of a model, or, with a `problem`, one that says why there is none, and let `front` show it."""
    config = front.config
    page = problem_page(service.info, problem) if problem else classifier_page(service, config)
    shell = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=_lifespan)
    shell.state.page, shell.state.config = page, config
    if not config.is_shared:
        # Gradio leaves CORS to its parent; its own rule trusts any origin when the Host is not spelt as it expects.
        shell.add_middleware(CORSMiddleware, allow_origins=[])
    # Next to Gradio: all else reads the host as it is.
    shell.add_middleware(Below)
    style = package_file("serve", "static/page.css").read_text(encoding="utf-8")
    shell.add_middleware(Document, dress=_dress(service, style))
    _mount(shell, page, config, js=page_script(config.max_upload_bytes))
    front.show(shell)
    front.traffic.waiting = lambda: _waiting(page)
    front.state.page = page


def mount_page(
    app: FastAPI, page: gr.Blocks, config: ServeConfig, *, css: str = "", js: str | None = None, head: str = ""
) -> FastAPI:
    """Put a Gradio page at the root of `app`, after its other routes, with the guards that only `launch` has."""
    app.add_api_route("/favicon.ico", favicon, methods=["GET"], include_in_schema=False)
    app.add_middleware(Closed)
    app.add_middleware(NoSniffing)
    return _mount(app, page, config, css=css, js=js, head=head)


def _mount(
    app: FastAPI, page: gr.Blocks, config: ServeConfig, *, css: str = "", js: str | None = None, head: str = ""
) -> FastAPI:
    quieten(gradio.queueing, gradio.routes)
    _fetch_nothing(page)
    _say_how_to_send_a_file(page)
    _close_with_the_answer(page)
    # Only launch() sets this, and without it Gradio takes any file of this machine for an upload.
    page.has_launched = True
    page.queue(max_size=config.max_queue, default_concurrency_limit=1, api_open=False)
    rest_while_empty(page._queue)
    page.state_session_capacity = SESSIONS
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
        head=f'<link rel="icon" type="image/svg+xml" href="./favicon.ico">{head}',
    )
    # It would stand in the place of the folder that a proxy tells.
    page.custom_mount_path = ""
    inners = [route.app for route in mounted.routes if isinstance(route, Mount) and isinstance(route.app, App)]
    for inner in inners:
        # Else one is a failure with a traceback for each question, and the other repeats the question.
        inner.add_exception_handler(FnIndexInferError, _no_such_endpoint)
        inner.add_exception_handler(RequestValidationError, _no_question)

    def end_streams() -> None:
        for inner in inners:
            inner.stop_event.set()

    mounted.state.end_streams = end_streams
    return mounted


def _dress(service: Service, style: str) -> Dress:
    script = early_script()

    def dress(scope: Scope, asked: Headers, language: str) -> tuple[str, dict[str, str]]:
        stage = service.stage_for(scope["state"]["client"])
        return render_head(service.info, scope, asked, language, style, script), {"stage": stage} if stage else {}

    return dress


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


def _say_how_to_send_a_file(page: gr.Blocks) -> None:
    """Answer in words where something else is sent than a file that was uploaded: a path as text, or nothing at all.

    Gradio would say that this app has not enabled error reporting.
    """
    preprocess = page.preprocess_data

    async def preprocess_or_tell(*given: Any, **more: Any) -> Any:
        try:
            return await preprocess(*given, **more)
        except gr.Error:
            raise
        except Exception as error:
            # A full disk, for one, is no fault of the question.
            if is_ours(error) or (isinstance(error, OSError) and not isinstance(error, FileNotFoundError)):
                raise
            raise gr.Error(_SEND_A_FILE, print_exception=False) from error

    page.preprocess_data = preprocess_or_tell  # type: ignore[method-assign]


def _close_with_the_answer(page: gr.Blocks) -> None:
    """Let nobody hold a connection open for as long as they have the page or a client.

    Gradio asks for one when a page has a state, to learn when it may be forgotten. Its client for JavaScript does not
    close it, so that no program of it would end. `SESSIONS` says how many states are kept.
    """
    make_config = page.get_config_file

    def config_file() -> Any:
        return make_config() | {"connect_heartbeat": False}

    page.get_config_file = config_file  # type: ignore[method-assign]


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
