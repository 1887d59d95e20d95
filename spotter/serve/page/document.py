"""The HTML that the page begins with: Gradio's, with a head of our own, packed."""

import gzip
import re
from collections.abc import Callable

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, QueryParams
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from spotter.serve.page.translations import pick_language

# What Gradio says of itself to sites where a link is shared; and a manifest that is not there.
_OTHERS = re.compile(r'<meta\s+(?:property="og:|name="twitter:)[^>]*>|<link rel="manifest"[^>]*>')
_LANGUAGE = re.compile(r'(<html\s[^>]*?)lang="[^"]*"')
_HEAD = re.compile(r"<base [^>]*>")
PAGES = ("/", "")

# Of the scope of a request, its headers and a language: what belongs into the head, and attributes of the root element.
Dress = Callable[[Scope, Headers, str], tuple[str, dict[str, str]]]


class Document:
    """Gives the page its own head, in the visitor's language, before it leaves.

    Gradio's `head` would be added by its script, long after the first paint, and no site reads it where a link is
    shared.
    """

    def __init__(self, app: ASGIApp, dress: Dress) -> None:
        self._app, self._dress = app, dress

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] not in PAGES or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        begun: Message = {}
        parts: list[bytes] = []

        async def collect(message: Message) -> None:
            if message["type"] == "http.response.start":
                begun.update(message)
            elif message["type"] == "http.response.body":
                parts.append(message.get("body", b""))
                if not message.get("more_body"):
                    await self._finish(begun, b"".join(parts), scope, receive, send)

        await self._app(scope, receive, collect)

    async def _finish(self, begun: Message, body: bytes, scope: Scope, receive: Receive, send: Send) -> None:
        asked, headers = Headers(scope=scope), Headers(raw=begun["headers"])
        if begun["status"] == 200 and headers.get("content-type", "").startswith("text/html") and body:
            language = pick_language(asked.get("accept-language"), QueryParams(scope["query_string"]).get("lang"))
            text = self._dressed(body.decode("utf-8"), scope, asked, language)
            # Half a surrogate pair, from a title, is no text.
            body = text.encode("utf-8", "replace")
        answer = Response(body, begun["status"])
        kept = [(name, value) for name, value in begun["headers"] if name.lower() != b"content-length"]
        answer.raw_headers = kept
        answer.headers.add_vary_header("Accept-Encoding")
        answer.headers.add_vary_header("Accept-Language")
        if "gzip" in asked.get("accept-encoding", "") and "content-encoding" not in headers:
            answer.body = await run_in_threadpool(gzip.compress, body, 6)
            answer.headers["content-encoding"] = "gzip"
        answer.headers["content-length"] = str(len(answer.body))
        await answer(scope, receive, send)

    def _dressed(self, page: str, scope: Scope, asked: Headers, language: str) -> str:
        head, attributes = self._dress(scope, asked, language)
        page = _OTHERS.sub("", page)
        page = _HEAD.sub(lambda base: f"{base[0]}\n{head}", page, count=1)
        extra = "".join(f' data-{name}="{value}"' for name, value in attributes.items())
        return _LANGUAGE.sub(lambda root: f'{root[1]}lang="{language}"{extra}', page, count=1)
