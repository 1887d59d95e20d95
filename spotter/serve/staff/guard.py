"""Pages for whoever runs the app, below `/staff`, behind a password that only the environment knows.

staff = staff_routes(app, read_password())
staff.add_api_route("/report", show, methods=["GET"])
"""

from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response
from starlette.datastructures import Headers, MutableHeaders
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from spotter.serve.auth import PasswordCheck, refuse_other_sites

PREFIX = "/staff"
PRIVATE = {
    "Cache-Control": "no-store",
    # Not "no-referrer": with that, browsers send our own forms with the origin "null".
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    # A page of another site may not show ours under its own buttons.
    "X-Frame-Options": "DENY",
}


def staff_routes(app: FastAPI, password: str | None) -> FastAPI:
    """Reserve `/staff` in `app`; return what its routes are added to, such as "/report" for `/staff/report`.

    Whatever is added is behind the password, and a `POST` must not come from another site. Without a password nothing
    is there (404). Call it before Gradio is mounted, which takes every path that is left.
    """
    pages = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    guard = Guard(pages, password)
    # A mount has no path that ends where it begins.
    app.router.routes.append(Route(PREFIX, guard, include_in_schema=False))
    app.mount(PREFIX, guard)
    return pages


class Guard:
    """Lets requests pass to `app` that know the password, before anything of them is read."""

    def __init__(self, app: ASGIApp, password: str | None) -> None:
        self._app = app
        question = "This page is for staff: give the password, with your own name."
        self._check = PasswordCheck(password, "Spotter staff", question) if password else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        refusal = self._refuse(scope)
        await (refusal or self._app)(scope, receive, _privately(send))

    def _refuse(self, scope: Scope) -> Response | None:
        if self._check is None:
            return JSONResponse({"error": "There is no such page."}, 404)
        headers = Headers(scope=scope)
        refusal = self._check.refuse(headers, scope.get("state", {}).get("client", ""))
        return refusal or refuse_other_sites(scope, headers)


def _privately(send: Send) -> Send:
    async def send_private(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in PRIVATE.items():
                headers[name] = value
        await send(message)

    return send_private
