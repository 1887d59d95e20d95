"""Pages for whoever runs the app, below `/staff`, behind a password that only the environment knows.

staff = staff_routes(app, read_password())
staff.add_api_route("/report", show, methods=["GET"])
"""

import binascii
import hashlib
import hmac
import math
import os
from base64 import b64decode
from collections.abc import Mapping
from urllib.parse import urlsplit

from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from spotter.errors import PasswordWeak
from spotter.traffic import Buckets

PASSWORD = "STAFF_PASSWORD"  # noqa: S105  (the name of the variable)
PREFIX = "/staff"
SHORTEST = 8
# Wrong guesses of one client: some at once, then one a minute.
GUESSES, GUESS_S = 5, 60.0
PRIVATE = {
    "Cache-Control": "no-store",
    # Not "no-referrer": with that, browsers send our own forms with the origin "null".
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    # A page of another site may not show ours under its own buttons.
    "X-Frame-Options": "DENY",
}


def read_password(environment: Mapping[str, str] = os.environ) -> str | None:
    """The password in `STAFF_PASSWORD`, or None when it is not set or empty.

    Raises:
        PasswordWeak: it is shorter than `SHORTEST`, or of very few different characters.
    """
    password = environment.get(PASSWORD) or None
    if password and is_weak(password):
        raise PasswordWeak(
            f"The password in {PASSWORD} is too easy to guess; take one of at least {SHORTEST} characters that are not "
            "mostly the same, or unset it to have no staff pages."
        )
    return password


def is_weak(password: str) -> bool:
    """Whether it is shorter than `SHORTEST`, or of very few different characters."""
    return len(password) < SHORTEST or len(set(password)) < SHORTEST // 2


def staff_routes(app: FastAPI, password: str | None) -> FastAPI:
    """Reserve `/staff` in `app`; return what its routes are added to, such as "/report" for `/staff/report`.

    Whatever is added is behind the password, and a `POST` must not come from another site. Without a password nothing
    is there (404). Call it before Gradio is mounted, which takes every path that is left.
    """
    pages = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.mount(PREFIX, Guard(pages, password))
    return pages


class Guard:
    """Lets requests pass to `app` that know the password, before anything of them is read.

    A client that guessed wrong too often is not listened to for a while, not even when it is right.
    """

    def __init__(self, app: ASGIApp, password: str | None, buckets: Buckets | None = None) -> None:
        self._app, self._password = app, password
        self._guesses = buckets or Buckets(1 / GUESS_S, GUESSES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        refusal = self._refuse(scope)
        await (refusal or self._app)(scope, receive, _privately(send))

    def _refuse(self, scope: Scope) -> Response | None:
        if self._password is None:
            return JSONResponse({"error": "There is no such page."}, 404)
        headers = Headers(scope=scope)
        given = password_in(headers.get("authorization", ""))
        asks = {"WWW-Authenticate": 'Basic realm="Spotter staff", charset="UTF-8"'}
        if given is None:
            return JSONResponse({"error": "This page is for staff: give the password, with any name."}, 401, asks)
        client = scope.get("state", {}).get("client", "")
        # Paid before it is looked at and given back when right.
        wait_s = self._guesses.take(client)
        if wait_s > 0:
            after = {"Retry-After": str(math.ceil(wait_s))}
            return JSONResponse({"error": "The password was wrong too often; wait a little."}, 429, after)
        if not is_same(given, self._password):
            return JSONResponse({"error": "The password is wrong."}, 401, asks)
        self._guesses.give_back(client)
        if scope["method"] not in {"GET", "HEAD"} and is_foreign(headers):
            return JSONResponse({"error": "Another site may not decide here."}, 403)
        return None


def password_in(authorization: str) -> bytes | None:
    """The password in an `Authorization` header of HTTP Basic; None when there is none. The name does not matter."""
    kind, _, encoded = authorization.partition(" ")
    try:
        _, colon, given = b64decode(encoded.strip(), validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return None
    return given if kind.lower() == "basic" and colon else None


def is_same(given: bytes, password: str) -> bool:
    """Compare in a time that tells nothing of the password, its length included."""
    return hmac.compare_digest(hashlib.sha256(given).digest(), hashlib.sha256(password.encode()).digest())


def is_foreign(headers: Headers) -> bool:
    """Whether a browser asks on behalf of another site: it sends a known password along, whoever asks."""
    origin = headers.get("origin")
    if origin:
        return urlsplit(origin).netloc != headers.get("host", "")
    return headers.get("sec-fetch-site") not in {None, "same-origin", "none"}


def _privately(send: Send) -> Send:
    async def send_private(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in PRIVATE.items():
                headers[name] = value
        await send(message)

    return send_private
