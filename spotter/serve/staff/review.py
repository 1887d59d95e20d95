"""The review page: an answer from the review queue, with its picture, to confirm or correct."""

import logging
import secrets
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from spotter.errors import LogUnwritable, QueueUnwritable
from spotter.serve.page.gradio_io import chosen_label, is_choice
from spotter.serve.service import ModelInfo
from spotter.utils.templates import render_template
from spotter.utils.text import short_percent

_log = logging.getLogger(__name__)

# What became of a decision; a number in the address, so that nobody can write into the page.
TOLD = {
    "1": "Saved. The picture is deleted.",
    "2": "Somebody else has decided already, or the visitor has withdrawn it.",
    "3": "That is not one of the answers. Nothing was saved.",
    "4": "It could not be saved. See the app's log.",
}


def add_desk(pages: FastAPI, info: ModelInfo, base: str) -> None:
    """Add the page at "/review" to what is behind the password; `base` is its whole address."""
    pages.add_api_route("/review", _page(info, base), methods=["GET"])
    pages.add_api_route("/review", _decide(info, base), methods=["POST"])
    pages.add_api_route("/review/{ticket}.jpg", _picture(info), methods=["GET"])


def _page(info: ModelInfo, base: str) -> Callable[..., Any]:
    queue, rollout = info.options.waiting, info.options.rollout

    async def show(told: str = "") -> Response:
        entries = [entry for entry, _ in await run_in_threadpool(queue.read)] if queue else []
        # What another revision said may have other labels; it waits for its own app.
        mine = [entry for entry in entries if entry.label in info.labels]
        nonce = secrets.token_urlsafe(16)
        text = render_template(
            "serve",
            "review.html",
            percent=short_percent,
            title=info.title,
            stage=rollout.stage if rollout else "",
            labels=info.labels,
            entries=len(mine),
            entry=mine[0] if mine else None,
            told=TOLD.get(told, ""),
            base=base,
            nonce=nonce,
        )
        policy = (
            f"default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; script-src 'nonce-{nonce}'; "
            "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        )
        return Response(text, media_type="text/html", headers={"Content-Security-Policy": policy})

    return show


def _decide(info: ModelInfo, base: str) -> Callable[..., Any]:
    queue, labels = info.options.waiting, info.labels

    async def decide(request: Request) -> Response:
        fields = parse_qs((await request.body()).decode("utf-8", "replace"))
        ticket, said = fields.get("ticket", [""])[0], fields.get("said", [""])[0]
        if not is_choice(said, labels) or not queue:
            told = "3"
        else:
            try:
                told = "1" if await run_in_threadpool(queue.decide, ticket, chosen_label(said, labels)) else "2"
            except (LogUnwritable, QueueUnwritable) as error:
                _log.warning("%s", error)
                told = "4"
        # After a redirect, loading the page again decides nothing again.
        return RedirectResponse(f"{base}?told={told}", 303)

    return decide


def _picture(info: ModelInfo) -> Callable[..., Any]:
    queue = info.options.waiting

    async def picture(ticket: str) -> Response:
        content = await run_in_threadpool(queue.picture, ticket) if queue else None
        if content is None:
            return Response("This picture is no longer waiting.", 404, media_type="text/plain")
        return Response(content, media_type="image/jpeg")

    return picture
