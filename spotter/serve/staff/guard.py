"""Pages for whoever runs the app, below `/staff`, behind a password that only the environment knows."""

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
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


def staff_routes(pages: Sequence[Route], password: str | None) -> list[BaseRoute]:
    """Put routes such as "/report" below `/staff`, behind the password.

    A `POST` must not come from another site. Without a password nothing is there (404).
    """
    guard = Guard(Starlette(routes=pages, exception_handlers={HTTPException: told_as_json}), password)
    # A mount has no path that ends where it begins.
    return [Route(PREFIX, guard), Mount(PREFIX, guard)]


async def told_as_json(request: Request, error: Exception) -> Response:
    """What Starlette refuses, such as a path that is not there, in JSON as all else."""
    if not isinstance(error, HTTPException):
        raise error
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


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
