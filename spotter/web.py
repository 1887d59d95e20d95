"""The Gradio page and the HTTP routes. They take any function from a picture to a `Prediction`."""

import asyncio
import contextlib
import html
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from gradio.routes import App
from gradio.utils import get_upload_folder
from PIL import Image
from starlette.concurrency import run_in_threadpool
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.routing import Mount

from spotter.config import ServeConfig
from spotter.errors import BadPicture, PortUnavailable
from spotter.images import PictureSource, load_picture
from spotter.predictor import Prediction

Predict = Callable[[Image.Image], Prediction]

NOT_SURE = "not sure"
MAX_BARS = 5
UPLOAD_DEADLINE_S = 60.0
CACHE_LIFE_S = 600


@dataclass(frozen=True)
class ModelInfo:
    """What the page says about the model. `examples` are (path of a picture, its label); `summary` is Markdown."""

    title: str
    labels: tuple[str, ...]
    revision: str | None = None
    threshold: float = 0.0
    examples: tuple[tuple[str, str], ...] = ()
    summary: str = ""


@dataclass(frozen=True)
class _Answer:
    prediction: Prediction
    timings_ms: dict[str, float]


class _Service:
    """Decodes and classifies one picture at a time, off the event loop, so that memory does not grow with load."""

    def __init__(self, predict: Predict, info: ModelInfo) -> None:
        self.info = info
        self._predict = predict
        self._turn = asyncio.Semaphore(1)

    async def classify(self, source: PictureSource) -> _Answer:
        asked = time.perf_counter()
        async with self._turn:
            return await run_in_threadpool(self._work, source, asked)

    def _work(self, source: PictureSource, asked: float) -> _Answer:
        begun = time.perf_counter()
        picture = load_picture(source)
        decoded = time.perf_counter()
        prediction = self._predict(picture)
        done = time.perf_counter()
        spans = {"decode": decoded - begun, "predict": done - decoded, "total": done - asked}
        return _Answer(prediction, {name: round(1000 * span, 2) for name, span in spans.items()})


def build_page(predict: Predict, info: ModelInfo) -> gr.Blocks:
    """Build the page and the Gradio endpoints `/predict` and `/classify`; `predict` may be any function."""
    return _classifier_page(_Service(predict, info))


def create_app(predict: Predict, info: ModelInfo, config: ServeConfig, *, problem: str | None = None) -> FastAPI:
    """Put the page, `POST /api/classify` and `GET /healthz` into one app.

    Args:
        problem: a sentence that says why there is no model; the page then shows it, the API and the health check
            answer 503, and `predict` is never called.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    service = _Service(predict, info)
    page = _problem_page(info, problem) if problem else _classifier_page(service)
    if config.host in {"127.0.0.1", "::1", "localhost"}:
        # Gradio leaves CORS to its parent; its own rule trusts any origin when the Host is not spelt as it expects.
        app.add_middleware(CORSMiddleware, allow_origins=[])
    app.add_exception_handler(Exception, _unexpected)
    app.add_api_route("/healthz", _health_route(info, problem), methods=["GET", "HEAD"])
    app.add_api_route("/api/classify", _classify_route(service, config, problem), methods=["POST"])
    app.add_api_route("/api", _api_help, methods=["GET"])
    return mount_page(app, page, config, css=_CSS, js=_ANNOUNCE)


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
        theme=_theme(),
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


def _classifier_page(service: _Service) -> gr.Blocks:
    info = service.info
    with _blank_page(info) as page:
        with gr.Row(elem_id="desk"):
            with gr.Column(min_width=300):
                picture = _picture_input()
                button = gr.Button("What is it?", variant="primary", elem_id="ask")
            with gr.Column(min_width=300):
                words = gr.HTML(_say("Give me a picture", _knows(info.labels)), elem_id="answer")
                bars = gr.Label(
                    {},
                    label="How sure, for each",
                    show_label=False,
                    show_heading=False,
                    container=False,
                    elem_id="bars",
                )
        if info.examples:
            _add_examples(picture, info)
        gr.Markdown(_footer(info), elem_id="about")
        details = gr.JSON(visible=False)

        show = _page_handler(service)
        inference: dict[str, Any] = {"concurrency_id": "inference", "concurrency_limit": 1}
        # preprocess=False: load_picture gets the file as it was sent; Gradio's own decoding would come first.
        raw: dict[str, Any] = {"inputs": [picture], "preprocess": False, "postprocess": False}
        gr.on(
            [picture.change, button.click],
            show,
            outputs=[words, bars],
            show_progress="hidden",
            trigger_mode="always_last",
            api_visibility="private",
            **raw,
            **inference,
        )
        gr.on([], _predict_handler(service), outputs=[bars], api_name="predict", **raw, **inference)
        gr.on([], _classify_handler(service), outputs=[details], api_name="classify", **raw, **inference)
    return page


def _problem_page(info: ModelInfo, problem: str) -> gr.Blocks:
    with _blank_page(info) as page:
        gr.HTML(_say("Not ready", problem), elem_id="answer")
    return page


def _blank_page(info: ModelInfo) -> gr.Blocks:
    page = gr.Blocks(title=info.title, analytics_enabled=False, delete_cache=(CACHE_LIFE_S, CACHE_LIFE_S))
    with page:
        gr.HTML(f"<h1>{html.escape(info.title)}</h1>", elem_id="headline")
    return page


def _picture_input() -> gr.Image:
    return gr.Image(
        type="filepath",
        sources=["upload", "webcam", "clipboard"],
        label="Picture",
        show_label=False,
        buttons=[],
        elem_id="picture",
        height=340,
        placeholder="Drop a picture here\nor choose one",
        webcam_options=gr.WebcamOptions(mirror=False),
    )


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


def _add_examples(picture: gr.Image, info: ModelInfo) -> None:
    paths = [path for path, _ in info.examples]
    # Exactly these files may be shown and classified in place, wherever the model is stored.
    gr.set_static_paths(paths)
    gr.Examples(
        [[path] for path in paths],
        inputs=[picture],
        label="Or try one of these",
        examples_per_page=12,
        cache_examples=False,
        api_visibility="private",
        elem_id="examples",
    )


def _page_handler(service: _Service) -> Callable[..., Any]:
    async def show(payload: dict[str, Any] | None) -> tuple[str, dict[str, Any]]:
        if not payload:
            return _say("Give me a picture", _knows(service.info.labels)), {}
        try:
            answer = await service.classify(_path_in(payload, service.info))
        except BadPicture as error:
            # Said where the answer would be: a passing toast would leave the answer for the picture before.
            return _say("I cannot read that", str(error), kind="unsure"), {}
        return _in_words(answer.prediction), _label_payload(answer.prediction, MAX_BARS)

    return show


def _predict_handler(service: _Service) -> Callable[..., Any]:
    async def predict(picture: dict[str, Any] | None) -> dict[str, Any]:
        """Classify a picture. `label` is "not sure" when it is unlike the pictures the model learned from."""
        return _label_payload((await _classify_or_say_why(service, picture)).prediction)

    return predict


def _classify_handler(service: _Service) -> Callable[..., Any]:
    async def classify(picture: dict[str, Any] | None) -> dict[str, Any]:
        """Classify a picture and tell everything: probabilities, familiarity, revision and timings."""
        return _full_payload(await _classify_or_say_why(service, picture), service.info)

    return classify


async def _classify_or_say_why(service: _Service, payload: dict[str, Any] | None) -> _Answer:
    try:
        return await service.classify(_path_in(payload, service.info))
    except BadPicture as error:
        raise gr.Error(str(error), print_exception=False) from error


def _path_in(payload: dict[str, Any] | None, info: ModelInfo) -> Path:
    # Gradio checks paths only in payloads that call themselves files, so whoever leaves that out could name any file.
    path = Path(payload.get("path") or "" if payload else "").resolve()
    uploads = Path(get_upload_folder()).resolve()
    if not path.is_file() or not (
        path.is_relative_to(uploads) or path in {Path(p).resolve() for p, _ in info.examples}
    ):
        raise BadPicture("empty", "There is no picture: upload one first.")
    return path


def _label_payload(prediction: Prediction, most: int | None = None) -> dict[str, Any]:
    ranked = sorted(prediction.probabilities.items(), key=lambda item: item[1], reverse=True)[:most]
    return {
        "label": prediction.label if prediction.familiar else NOT_SURE,
        "confidences": [{"label": label, "confidence": probability} for label, probability in ranked],
    }


def _full_payload(answer: _Answer, info: ModelInfo) -> dict[str, Any]:
    prediction = answer.prediction
    return {
        "label": prediction.label,
        "probabilities": prediction.probabilities,
        "familiar": prediction.familiar,
        "familiarity": prediction.familiarity,
        "threshold": info.threshold,
        "revision": info.revision,
        "timings_ms": answer.timings_ms,
    }


def _classify_route(service: _Service, config: ServeConfig, problem: str | None) -> Callable[..., Any]:
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
            return JSONResponse(_full_payload(await service.classify(body), service.info))
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


def _health_route(info: ModelInfo, problem: str | None) -> Callable[..., Any]:
    async def health() -> JSONResponse:
        if problem:
            return JSONResponse({"status": "fail", "problem": problem}, 503)
        return JSONResponse({"status": "ok", "revision": info.revision})

    return health


async def _api_help(request: Request) -> Response:
    # Behind a proxy the connection to this process is plain http, whatever the caller used.
    scheme = request.headers.get("x-forwarded-proto", request.url.scheme).split(",")[0]
    return PlainTextResponse(_HELP.format(url=f"{scheme}://{request.url.netloc}"))


async def _favicon() -> Response:
    return Response(_ICON, media_type="image/svg+xml", headers={"Cache-Control": "max-age=86400"})


async def _refuse(rest: str) -> None:
    raise HTTPException(403, "Other addresses are not served from here.")


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    # Starlette logs the traceback after this answer; the caller learns nothing about the machine.
    return _error(500, "Something went wrong on this side; the picture was not classified.")


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": message}, status, headers)


def _in_words(prediction: Prediction) -> str:
    if not prediction.familiar:
        closest = f"If it is one of these after all, the closest is {prediction.label}."
        return _say("Not sure: this looks unlike the pictures I learned from", closest, kind="unsure")
    percent = 100 * prediction.probabilities[prediction.label]
    sure = "over 99" if percent >= 99.5 else f"{percent:.0f}"
    return _say(f"{prediction.label[:1].upper()}{prediction.label[1:]}, {sure} % sure", kind="sure")


def _say(headline: str, more: str = "", kind: str = "hint") -> str:
    second = f"<p>{html.escape(more)}</p>" if more else ""
    return f'<div class="{kind}"><h2>{html.escape(headline)}</h2>{second}</div>'


def _knows(labels: tuple[str, ...]) -> str:
    shown = ", ".join(labels[:-1][:11]) + (" and " if len(labels) <= 12 else ", … and ") + labels[-1]
    return f"I can tell apart {shown}."


def _footer(info: ModelInfo) -> str:
    parts = [info.summary, f"Model {info.revision[:12]}" if info.revision else "", "[Use it from a program](/api)"]
    return " · ".join(part for part in parts if part)


def _theme() -> gr.themes.Base:
    # Names of fonts, not Gradio font objects: nothing is fetched, the reader's own fonts are used.
    sans = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "sans-serif"]
    theme = gr.themes.Base(
        primary_hue="emerald", neutral_hue="stone", radius_size="lg", font=sans, font_mono=["ui-monospace", "monospace"]
    )
    return theme.set(
        body_background_fill="#f7f5f0",
        body_background_fill_dark="#161714",
        body_text_color="#26302b",
        body_text_color_dark="#e8e6df",
        body_text_color_subdued="#5d665f",
        body_text_color_subdued_dark="#a3a79d",
        block_background_fill="#fffefb",
        block_background_fill_dark="#1f211d",
        block_border_color="#e3dfd4",
        block_border_color_dark="#33362f",
        border_color_primary="#cfc9ba",
        border_color_primary_dark="#464a41",
        background_fill_primary="#fffefb",
        background_fill_primary_dark="#1f211d",
        background_fill_secondary="#f0ede4",
        background_fill_secondary_dark="#2a2d27",
        button_primary_background_fill="#2f5d4a",
        button_primary_background_fill_dark="#7fb79c",
        button_primary_background_fill_hover="#24493a",
        button_primary_background_fill_hover_dark="#96c9b0",
        button_primary_text_color="#ffffff",
        button_primary_text_color_dark="#11201a",
        color_accent="#2f5d4a",
        color_accent_soft="#e3ede6",
        color_accent_soft_dark="#26362e",
        link_text_color="#2f5d4a",
        link_text_color_dark="#9bcdb5",
    )


_CSS = """
.gradio-container { padding: 0 !important; }
.gradio-container .main.fillable { max-width: 960px; margin: 0 auto; padding: 40px 24px 16px; }
.gradio-container main, .gradio-container main > .column { width: 100%; }
.dark { --color-accent: #7fb79c; }
#headline, #answer { overflow: visible !important; }
#headline .html-container, #answer .html-container { padding: 0; }
#headline h1, #answer h2 { font-family: Georgia, "Iowan Old Style", "Palatino Linotype", serif; font-weight: 600;
  color: var(--body-text-color); text-wrap: balance; overflow-wrap: anywhere; margin: 0; }
#headline h1 { font-size: clamp(1.75rem, 5vw, 2.5rem); line-height: 1.15; letter-spacing: -.01em; }
#answer h2 { font-size: clamp(1.4rem, 4vw, 1.75rem); line-height: 1.2; }
#answer p { margin: 8px 0 0; color: var(--body-text-color-subdued); font-size: 1rem; line-height: 1.5; }
#answer .html-container > * > div { border-left: 4px solid var(--border-color-primary); padding: 4px 0 4px 16px; }
#answer .html-container .sure { border-color: var(--color-accent); }
#answer .html-container .unsure { border-color: #c98a2b; }
#desk { gap: 28px; }
#picture { border-radius: 16px; }
#ask { border-radius: 12px; min-height: 46px; font-weight: 600; }
#bars, #bars .container { padding: 0; }
#bars:has(.empty) { display: none; }
#bars .confidence-set { font-family: var(--font); padding: 0; cursor: default; }
#bars .bar { height: 10px; border-radius: 5px; background: var(--color-accent) !important; }
#bars .bar::-webkit-meter-bar, #bars .bar::-webkit-meter-optimum-value { background: none; border: 0; }
#bars .bar::-moz-meter-bar { background: none; }
#bars .confidence-set:not(:first-of-type) .bar { opacity: .45; }
#bars .line { border: 0; }
#bars .text, #bars .confidence { font-size: .95rem; font-variant-numeric: tabular-nums; }
#examples .label svg { display: none; }
#examples .label { color: var(--body-text-color-subdued); font-size: .95rem; }
#examples .container.gallery { width: 96px; height: 96px; max-height: none; border-radius: 12px; }
#examples .gallery img { width: 100%; height: 100%; object-fit: cover; }
#about { border-top: 1px solid var(--block-border-color); border-radius: 0; padding-top: 12px; }
#about p { font-size: .875rem; color: var(--body-text-color-subdued); }
@media (max-width: 640px) {
  .gradio-container .main.fillable { padding: 20px 16px 12px; }
  #desk { gap: 16px; }
  #picture { height: 270px !important; }
  #examples .container.gallery { width: 76px; height: 76px; }
}
"""

_HELP = """Send a picture, get JSON: label, probabilities, familiar, familiarity, threshold, revision, timings_ms.

    curl --data-binary @picture.jpg {url}/api/classify

From Python, with gradio_client; the label is "not sure" when the picture is unlike those the model learned from:

    from gradio_client import Client, handle_file
    Client("{url}").predict(handle_file("picture.jpg"), api_name="/predict")

The same as JSON, with the most probable class as the label:

    Client("{url}").predict(handle_file("picture.jpg"), api_name="/classify")
"""

# The wrapper stays while its content changes, which is what a screen reader needs to read the change out.
_ANNOUNCE = """() => {
  const answer = document.getElementById("answer");
  answer?.setAttribute("role", "status");
  answer?.setAttribute("aria-live", "polite");
}"""

_ICON = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">
<rect width="32" height="32" rx="8" fill="#2f5d4a"/>
<circle cx="14" cy="14" r="6.5" fill="none" stroke="#f7f5f0" stroke-width="3"/>
<path d="M19 19l6 6" stroke="#f7f5f0" stroke-width="3" stroke-linecap="round"/></svg>"""
