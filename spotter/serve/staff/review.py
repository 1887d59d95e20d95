"""The review page: an answer from the review queue, with its picture, to confirm or correct."""

import asyncio
import logging
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from spotter.errors import LogUnwritable, QueueUnwritable
from spotter.rollout.review_queue import Waiting, WaitingFolder
from spotter.serve.auth import name_in
from spotter.serve.choices import chosen_label, is_choice
from spotter.serve.forwarded import path_prefix
from spotter.serve.service import ModelInfo
from spotter.serve.staff.guard import PREFIX
from spotter.utils.templates import render_template
from spotter.utils.text import short_percent

_log = logging.getLogger(__name__)

# What became of a decision; a number in the address, so that nobody can write into the page.
TOLD = {
    "1": "Saved. The picture is deleted.",
    "2": "Somebody else has decided already, or the visitor has withdrawn it.",
    "3": "That is not one of the answers. Nothing was saved.",
    "4": "It could not be saved. See the app's log.",
    "5": "Taken back: decide again.",
    "6": "It is too late to take that back.",
}
# The key of a class is that of its place among the classes, on every picture; "0" is none of them, "u" takes back.
KEYS = "123456789abcdefghijklmnopqrstvwxyz"
# For so long a picture is with one reviewer alone.
LEASE_S = 120.0
# For so long a decision can be taken back; the picture is in memory until then, and on no disk.
UNDO_S = 60.0
# No name that is typed begins so.
NAMELESS, COOKIE = " ", "reviewer"
# Reviewers whose last decision is remembered.
MOST_REVIEWERS = 50


@dataclass(frozen=True)
class Decided:
    """The last decision of a reviewer, for as long as it can be taken back."""

    entry: Waiting
    picture: bytes


class Desk:
    """Hands out the answers of a queue: one to each reviewer."""

    def __init__(self, queue: WaitingFolder, labels: Sequence[str], now: Callable[[], float] = time.monotonic) -> None:
        self._queue, self._labels, self._now = queue, labels, now
        self._lock = threading.Lock()
        self._leases: dict[str, tuple[str, float]] = {}
        self._last: OrderedDict[str, Decided] = OrderedDict()

    def hand_out(self, name: str) -> tuple[Waiting | None, int]:
        """The answer that is this reviewer's now, the oldest that is nobody else's; and how many wait in all.

        Raises:
            QueueUnwritable: the queue cannot be tidied.
        """
        # What another revision said may have other labels; it waits for its own app.
        waiting = [entry for entry, _ in self._queue.read() if entry.closest in self._labels]
        now, tickets = self._now(), {entry.ticket for entry in waiting}
        with self._lock:
            leases = {ticket: lease for ticket, lease in self._leases.items() if ticket in tickets and lease[1] > now}
            free = [entry for entry in waiting if leases.get(entry.ticket, (name,))[0] == name]
            mine = next((entry for entry in free if entry.ticket in leases), free[0]) if free else None
            if mine:
                leases[mine.ticket] = (name, now + LEASE_S)
            self._leases = leases
        return mine, len(waiting)

    def decide(self, name: str, ticket: str, said: str | None) -> bool:
        """Save what a reviewer says of an answer; False if it does not wait any more.

        Raises:
            As `WaitingFolder.decide`.
        """
        entry, picture = self._queue.find(ticket), self._queue.picture(ticket)
        if not self._queue.decide(ticket, said):
            return False
        with self._lock:
            self._leases.pop(ticket, None)
            self._last.pop(name, None)
            if isinstance(entry, Waiting) and picture:
                self._last[name] = Decided(entry, picture)
            while len(self._last) > MOST_REVIEWERS:
                self._last.popitem(last=False)
        return True

    def priced(self) -> list[float]:
        """What decided answers have cost, where the model has costs."""
        return self._queue.priced()

    def can_take_back(self, name: str) -> bool:
        return name in self._last

    def take_back(self, name: str) -> bool:
        """Let the answer wait again that a reviewer decided last, for the same reviewer; False if it is too late.

        Raises:
            As `WaitingFolder.take_back`.
        """
        last = self._last.get(name)
        # Kept until it waits again: on a full disk, nobody else has the picture.
        is_back = last is not None and self._queue.take_back(last.entry, last.picture)
        with self._lock:
            if self._last.get(name) is last:
                self._last.pop(name, None)
            if last is None or not is_back:
                return False
            self._leases[last.entry.ticket] = (name, self._now() + LEASE_S)
        return True

    def forget(self, ticket: str) -> None:
        """Forget the picture of a decision: from now on it stands."""
        with self._lock:
            for name in [name for name, last in self._last.items() if last.entry.ticket == ticket]:
                del self._last[name]


Answering = Callable[[Request], Awaitable[Response]]


def desk_routes(info: ModelInfo, base: str) -> list[Route]:
    """The page at "/review" of what is behind the password; `base` is its whole address."""
    queue = info.options.waiting
    if queue is None:
        return []
    desk = Desk(queue, info.labels)
    return [
        Route("/review", _page(desk, info, base)),
        Route("/review", _decide(desk, info, base), methods=["POST"]),
        Route("/review/{ticket}.jpg", _picture(queue)),
    ]


def _page(desk: Desk, info: ModelInfo, base: str) -> Answering:
    rollout = info.options.rollout

    async def show(request: Request) -> Response:
        name, told = _reviewer(request), request.query_params.get("told", "")
        prefix = path_prefix(request.headers)
        here = f"{prefix}{base}"
        entry, waiting = await run_in_threadpool(desk.hand_out, name)
        nonce = secrets.token_urlsafe(16)
        text = render_template(
            "serve",
            "review.html",
            percent=short_percent,
            title=info.title,
            stage=rollout.stage if rollout else "",
            choices=[(label, KEYS[number : number + 1]) for number, label in enumerate(info.labels)],
            entries=waiting,
            entry=entry,
            told=TOLD.get(told, ""),
            priced=await run_in_threadpool(desk.priced),
            can_take_back=desk.can_take_back(name),
            base=here,
            staff=f"{prefix}{PREFIX}",
            nonce=nonce,
        )
        policy = (
            f"default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; script-src 'nonce-{nonce}'; "
            "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        )
        page = Response(text, media_type="text/html", headers={"Content-Security-Policy": policy})
        if name.startswith(NAMELESS):
            page.set_cookie(COOKIE, name.removeprefix(NAMELESS), path=here, httponly=True, samesite="strict")
        return page

    return show


def _decide(desk: Desk, info: ModelInfo, base: str) -> Answering:
    labels = info.labels

    async def decide(request: Request) -> Response:
        fields = parse_qs((await request.body()).decode("utf-8", "replace"))
        ticket, said = fields.get("ticket", [""])[0], fields.get("said", [""])[0]
        name = _reviewer(request)
        try:
            if "undo" in fields:
                told = "5" if await run_in_threadpool(desk.take_back, name) else "6"
            elif not is_choice(said, labels):
                told = "3"
            else:
                is_saved = await run_in_threadpool(desk.decide, name, ticket, chosen_label(said, labels))
                told = "1" if is_saved else "2"
                asyncio.get_running_loop().call_later(UNDO_S, desk.forget, ticket)
        except (LogUnwritable, QueueUnwritable) as error:
            _log.warning("%s", error)
            told = "4"
        # After a redirect, loading the page again decides nothing again.
        return RedirectResponse(f"{path_prefix(request.headers)}{base}?told={told}", 303)

    return decide


def _reviewer(request: Request) -> str:
    """Who asks: by the name given with the password, or, where none is given, by a cookie of this page alone."""
    name = name_in(request.headers.get("authorization", "")).casefold()
    return name or NAMELESS + (request.cookies.get(COOKIE) or secrets.token_urlsafe(16))


def _picture(queue: WaitingFolder) -> Answering:
    async def picture(request: Request) -> Response:
        content = await run_in_threadpool(queue.picture, request.path_params["ticket"])
        if content is None:
            return Response("This picture is no longer waiting.", 404, media_type="text/plain")
        return Response(content, media_type="image/jpeg")

    return picture
