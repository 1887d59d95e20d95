"""Authentication by HTTP Basic for the pages of staff, with protection against requests of other sites (CSRF).

Every browser and tool knows HTTP Basic. The staff pages and the cleaning page use the same check.
"""

import binascii
import hashlib
import hmac
import math
import os
from base64 import b64decode
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from spotter.config import LOOPBACK
from spotter.errors import PasswordMissing, PasswordWeak
from spotter.serve.forwarded import public_host
from spotter.serve.limits import Buckets, client_name

SHORTEST = 8
# Wrong guesses of one client: some at once, then one a minute.
GUESSES, GUESS_S = 5, 60.0
# The variables that hold the passwords of the staff pages and of the cleaning page.
STAFF_PASSWORD, CLEANING_PASSWORD = "STAFF_PASSWORD", "SPOTTER_PASSWORD"
HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
]


class PasswordCheck:
    """Refuses whoever does not know the password, before anything of the request is read.

    A client that guessed wrong too often is not listened to for a while, not even when it is right.
    """

    def __init__(self, password: str, realm: str, question: str) -> None:
        """`realm` is what browsers call the place that the password is for; `question` is said where there was none."""
        self._password, self._realm, self._question = password, realm, question
        self.guesses = Buckets(1 / GUESS_S, GUESSES)

    def refuse(self, headers: Headers, client: str) -> Response | None:
        """What is answered to a client that may not enter; None to one that may."""
        asks = {"WWW-Authenticate": f'Basic realm="{self._realm}", charset="UTF-8"'}
        given = password_in(headers.get("authorization", ""))
        if given is None:
            return JSONResponse({"error": self._question}, 401, asks)
        # Paid before it is looked at and given back when right.
        wait_s = self.guesses.take(client)
        if wait_s > 0:
            after = {"Retry-After": str(math.ceil(wait_s))}
            return JSONResponse({"error": "The password was wrong too often; wait a little."}, 429, after)
        if not is_same(given, self._password):
            return JSONResponse({"error": "The password is wrong."}, 401, asks)
        self.guesses.give_back(client)
        return None


def refuse_other_sites(scope: Scope, headers: Headers) -> Response | None:
    """What is answered to a decision that a page of another site sends; None to any other request."""
    if scope["method"] in {"GET", "HEAD"} or not is_foreign(headers):
        return None
    return JSONResponse({"error": "Another site may not decide here."}, 403)


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
        elif refusal := self._check.refuse(headers, client_name(str((scope.get("client") or [""])[0]), headers, False)):
            return refusal
        return refuse_other_sites(scope, headers)


def read_password(environment: Mapping[str, str] = os.environ, variable: str = STAFF_PASSWORD) -> str | None:
    """The password in a variable of the environment, or None when it is not set or empty.

    Raises:
        PasswordWeak: it is easy to guess.
    """
    password = environment.get(variable) or None
    if password:
        refuse_weak(password, f" in {variable}", ", or unset it to have no staff pages" * (variable == STAFF_PASSWORD))
    return password


def read_password_file(file: Path) -> str:
    """The password that is the one line of a file.

    Raises:
        PasswordMissing: it cannot be read, or is empty. PasswordWeak: it is easy to guess.
    """
    try:
        password = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise PasswordMissing(f"The password in {str(file)!r} cannot be read; write it there in one line.") from error
    if not password:
        raise PasswordMissing(f"{str(file)!r} is empty; write the password there in one line.")
    refuse_weak(password)
    return password


def refuse_weak(password: str, where: str = "", otherwise: str = "") -> None:
    """Refuse a password that is easy to guess; `where` it stands and what to do `otherwise` end up in the sentence.

    Raises:
        PasswordWeak: it is shorter than `SHORTEST`, or of very few different characters.
    """
    if len(password) < SHORTEST or len(set(password)) < SHORTEST // 2:
        raise PasswordWeak(
            f"The password{where} is too easy to guess; take one of at least {SHORTEST} characters that are not "
            f"mostly the same{otherwise}."
        )


def password_in(authorization: str) -> bytes | None:
    """The password in an `Authorization` header of HTTP Basic; None when there is none. The name does not matter."""
    kind, _, encoded = authorization.partition(" ")
    try:
        _, colon, given = b64decode(encoded.strip(), validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return None
    return given if kind.lower() == "basic" and colon else None


def name_in(authorization: str) -> str:
    """The name in an `Authorization` header of HTTP Basic, "" when there is none. Nobody has checked it."""
    try:
        name, _, _ = b64decode(authorization.partition(" ")[2].strip(), validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return ""
    return name.decode("utf-8", "replace").strip()


def is_same(given: bytes, password: str) -> bool:
    """Compare in a time that tells nothing of the password, its length included."""
    return hmac.compare_digest(hashlib.sha256(given).digest(), hashlib.sha256(password.encode()).digest())


def is_foreign(headers: Headers) -> bool:
    """Whether a browser asks on behalf of another site: it sends a known password along, whoever asks.

    Browsers say so themselves wherever an address is HTTPS or this machine's. Elsewhere they name the site that asks,
    which is to be the one that is asked; a proxy that asks by a name of its own tells what the visitor used.
    """
    said = headers.get("sec-fetch-site")
    if said is not None:
        return said not in {"same-origin", "none"}
    origin = headers.get("origin")
    if not origin:
        return False
    return origin.partition("://")[2] not in {headers.get("host", ""), public_host(headers)} - {""}


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
