"""The app without Gradio: the HTTP API, the staff pages, and a place for the page.

It answers from the first moment on, before it has a model, and by its model before Gradio is imported.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from spotter.config import ServeConfig
from spotter.serve.api.openapi import describe
from spotter.serve.api.prometheus import Metrics
from spotter.serve.api.routes import api_routes, as_routes, not_yet, starting_routes, unexpected_route
from spotter.serve.limits import Traffic
from spotter.serve.middleware import Closed, Gate, NoSniffing, Shared, Tidy
from spotter.serve.page.preview import preview_route, thumbnail_route
from spotter.serve.page.script import embed_script
from spotter.serve.service import Service
from spotter.serve.staff.guard import PREFIX, staff_routes, told_as_json
from spotter.serve.staff.index import index_routes
from spotter.serve.staff.report import no_report
from spotter.serve.staff.review import desk_routes
from spotter.utils.files import package_file

NO_PAGE = "This app has no page. POST a picture to /api/classify; /api tells more."


class Front(Starlette):
    """Answers what it can, and lets all else wait: `answer` gives it a model, and then `show` a page.

    Both may be called again. Once it is served, they may be called from any thread but the one that serves it.
    """

    def __init__(self, config: ServeConfig) -> None:
        self.config, self.traffic, self.metrics = config, Traffic(config), Metrics()
        gate = Middleware(Gate, traffic=self.traffic, metrics=self.metrics, config=config)
        # Where pages elsewhere may ask, they can also read why they are refused: that stands before the gate.
        around = [Middleware(Shared), gate] if config.is_shared else [gate, Middleware(CORSMiddleware)]
        super().__init__(
            routes=starting_routes(self.traffic),
            middleware=[Middleware(NoSniffing), Middleware(Tidy), Middleware(Closed), *around],
            exception_handlers={Exception: unexpected_route(config), HTTPException: told_as_json},
            lifespan=self._live,
        )
        self.router.redirect_slashes = False
        self.router.default = self._answer_rest
        self.state.traffic, self.state.config, self.state.end_streams = self.traffic, config, self._end_streams
        # Answers what no route does; None: it is still to come.
        self._rest: ASGIApp | None = None
        self._page: Starlette | None = None
        self._shown: asyncio.Event | None = None
        self._lives: list[asyncio.Task[None]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed = asyncio.Event()
        self._description: Mapping[str, Any] = {}

    def answer(
        self, service: Service, *, problem: str | None = None, password: str | None = None, has_page: bool = True
    ) -> None:
        """Answer by a model from now on; or, with a `problem`, say why there is none.

        Args:
            password: of the pages below `/staff`; None: there are none.
            has_page: whether a page will come. What belongs to it waits for it.
        """
        info, report = service.info, service.info.options.report
        api = api_routes(service, self.traffic, self.metrics, self.config, problem, lambda: self._rest is not None)
        staff = [*index_routes(info, PREFIX), *desk_routes(info, f"{PREFIX}/review")]
        staff.append(Route("/report", report.show if report else no_report))
        routes: list[BaseRoute] = [*as_routes(api), *staff_routes(staff, password), Route("/favicon.ico", favicon)]
        if has_page:
            routes += [Route("/embed.js", _embed), preview_route(info), thumbnail_route(info)]
        self._description = {"title": info.title, "routes": api}
        self._change(routes, None if has_page else _no_page)

    def show(self, page: Starlette) -> None:
        """Let a page answer what no route does.

        Raises:
            Whatever its start raises.
        """
        if self._loop:
            asyncio.run_coroutine_threadsafe(self._start(page), self._loop).result()
        self._page = page
        self._change(self.router.routes, page)

    def openapi(self) -> dict[str, Any]:
        """What programs are told of the plain routes."""
        return describe(**self._description)

    def _change(self, routes: list[BaseRoute], rest: ASGIApp | None) -> None:
        if rest:
            # Not before Gradio is imported. It imports FastAPI, which this needs, and of two threads that import the
            # same things, one may see half of them.
            described = Route("/openapi.json", lambda request: JSONResponse(self.openapi()))
            routes = [*(route for route in routes if getattr(route, "path", "") != described.path), described]
        self.router.routes, self._rest = routes, rest
        if self._loop:
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _answer_rest(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._rest or scope["type"] != "http":
            await (self._rest or self.router.not_found)(scope, receive, send)
            return
        try:
            async with asyncio.timeout(0 if self.traffic.stopping else self.config.start_s):
                await self._changed.wait()
        except TimeoutError:
            await not_yet(self.traffic)(scope, receive, send)
        else:
            # There may be a route for it now.
            await self.router(scope, receive, send)

    async def _start(self, page: Starlette) -> None:
        """Begin the life of a page, and end that of the one before it."""
        self._end_page()
        begun, self._shown = asyncio.Event(), asyncio.Event()

        async def live(over: asyncio.Event) -> None:
            async with page.router.lifespan_context(page):
                begun.set()
                await over.wait()

        # A task of its own: what a page begins, it has to end in the same one.
        life, beginning = asyncio.create_task(live(self._shown)), asyncio.create_task(begun.wait())
        self._lives.append(life)
        await asyncio.wait([life, beginning], return_when=asyncio.FIRST_COMPLETED)
        if not begun.is_set():
            beginning.cancel()
            await life

    def _end_page(self) -> None:
        if self._shown:
            self._shown.set()

    @contextlib.asynccontextmanager
    async def _live(self, app: Starlette) -> AsyncIterator[None]:
        self._loop = asyncio.get_running_loop()
        if self._page:
            await self._start(self._page)
        try:
            yield
        finally:
            self._end_page()
            await asyncio.gather(*self._lives)

    def _end_streams(self) -> None:
        self._wake()
        if self._page:
            self._page.state.end_streams()


async def _no_page(scope: Scope, receive: Receive, send: Send) -> None:
    await JSONResponse({"error": NO_PAGE}, 404)(scope, receive, send)


async def favicon(request: Request) -> Response:
    """The app's sign."""
    icon = package_file("serve", "static/icon.svg")
    return FileResponse(icon, media_type="image/svg+xml", headers={"Cache-Control": "max-age=86400"})


async def _embed(request: Request) -> Response:
    # Any page may load it, also one that takes nothing from elsewhere that does not say so.
    headers = {
        "Access-Control-Allow-Origin": "*",
        "Cross-Origin-Resource-Policy": "cross-origin",
        "Cache-Control": "max-age=3600",
    }
    return Response(embed_script(), media_type="text/javascript", headers=headers)
