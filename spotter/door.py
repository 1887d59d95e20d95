"""Who is let in to a page that changes what is on this machine."""

import math
from typing import Any
from urllib.parse import urlsplit

from fastapi.responses import JSONResponse, Response
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from spotter.staff import GUESS_S, GUESSES, is_foreign, is_same, password_in
from spotter.traffic import Buckets

LOOPBACK = {"127.0.0.1", "localhost", "::1"}
HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
]


class Door:
    """Lets in only whoever may: by the password where there is one, and never a page of another site.

    Without a password the page is for this machine alone, and then the name it is called by must be this machine's:
    a name that someone else's DNS points here is refused. Who guessed wrong too often has to wait.
    """

    def __init__(self, app: ASGIApp, password: str | None, guesses: Buckets | None = None) -> None:
        self.app, self.password = app, password
        self._guesses = guesses or Buckets(1 / GUESS_S, GUESSES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (refusal := self._refuse(scope)):
            await refusal(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self.app(scope, receive, _with_headers(send) if scope["type"] == "http" else send)

    def _refuse(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if self.password is None:
            if _host(headers.get("host", "")) not in LOOPBACK:
                return JSONResponse({"error": "This page is for this machine alone."}, 403)
        elif refusal := self._ask(self.password, headers, str((scope.get("client") or [""])[0])):
            return refusal
        if scope["method"] not in {"GET", "HEAD"} and is_foreign(headers):
            return JSONResponse({"error": "Another site may not decide here."}, 403)
        return None

    def _ask(self, password: str, headers: Headers, client: str) -> Response | None:
        asks = {"WWW-Authenticate": 'Basic realm="Spotter", charset="UTF-8"'}
        given = password_in(headers.get("authorization", ""))
        if given is None:
            return JSONResponse({"error": "Give the password, with any name."}, 401, asks)
        # Paid before it is looked at and given back when right.
        wait_s = self._guesses.take(client)
        if wait_s > 0:
            after = {"Retry-After": str(math.ceil(wait_s))}
            return JSONResponse({"error": "The password was wrong too often; wait a little."}, 429, after)
        if not is_same(given, password):
            return JSONResponse({"error": "The password is wrong."}, 401, asks)
        self._guesses.give_back(client)
        return None


def _host(header: str) -> str | None:
    try:
        return urlsplit(f"//{header}").hostname
    except ValueError:
        return None


def _with_headers(send: Send) -> Send:
    async def sending(message: Any) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), *HEADERS]}
        await send(message)

    return sending
