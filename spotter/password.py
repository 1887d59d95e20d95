"""The password before pages that not everybody may see, by HTTP Basic: every browser and tool knows it."""

import binascii
import hashlib
import hmac
import math
from base64 import b64decode
from urllib.parse import urlsplit

from fastapi.responses import JSONResponse, Response
from starlette.datastructures import Headers
from starlette.types import Scope

from spotter.errors import PasswordWeak
from spotter.traffic import Buckets

SHORTEST = 8
# Wrong guesses of one client: some at once, then one a minute.
GUESSES, GUESS_S = 5, 60.0


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


def is_same(given: bytes, password: str) -> bool:
    """Compare in a time that tells nothing of the password, its length included."""
    return hmac.compare_digest(hashlib.sha256(given).digest(), hashlib.sha256(password.encode()).digest())


def is_foreign(headers: Headers) -> bool:
    """Whether a browser asks on behalf of another site: it sends a known password along, whoever asks."""
    origin = headers.get("origin")
    if origin:
        return urlsplit(origin).netloc != headers.get("host", "")
    return headers.get("sec-fetch-site") not in {None, "same-origin", "none"}
