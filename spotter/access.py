"""Who is let in to a page that changes what is on this machine."""

from typing import Any
from urllib.parse import urlsplit

from fastapi.responses import JSONResponse, Response
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from spotter.config import LOOPBACK
from spotter.password import PasswordCheck, refuse_other_sites

HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
]


class AccessControl:
    """Lets in only whoever may: by the password where there is one, and never a page of another site.

    Without a password the page is for this machine alone, and then the name it is called by must be this machine's:
    a name that someone else's DNS points here is refused.
    """

    def __init__(self, app: ASGIApp, password: str | None) -> None:
        self.app = app
        self._check = PasswordCheck(password, "Spotter", "Give the password, with any name.") if password else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (refusal := self._refuse(scope)):
            await refusal(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self.app(scope, receive, _with_headers(send) if scope["type"] == "http" else send)

    def _refuse(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if self._check is None:
            if _host(headers.get("host", "")) not in LOOPBACK:
                return JSONResponse({"error": "This page is for this machine alone."}, 403)
        elif refusal := self._check.refuse(headers, str((scope.get("client") or [""])[0])):
            return refusal
        return refuse_other_sites(scope, headers)


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
