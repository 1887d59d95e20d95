"""The index of the staff pages: what staff can do here, what is off, and how to turn it on."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from spotter.serve.forwarded import path_prefix
from spotter.serve.service import ModelInfo
from spotter.utils.templates import render_template
from spotter.utils.text import plural

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'; form-action 'none'"


@dataclass(frozen=True)
class Task:
    """Something that staff can do: at an address, or, where that is "", by what the words say."""

    name: str
    words: str
    address: str = ""


def index_routes(info: ModelInfo, base: str) -> list[Route]:
    """The page at "/" of what is behind the password; `base` is the address of all of them."""
    # The first is what is left of the address where it ends without a slash.
    return [Route(path, _page(info, base)) for path in (base, "/")]


def _page(info: ModelInfo, base: str) -> Callable[[Request], Awaitable[Response]]:
    options = info.options

    async def show(request: Request) -> Response:
        waiting = len(await run_in_threadpool(options.waiting.read)) if options.waiting else 0
        page = render_template(
            "serve",
            "staff.html",
            title=info.title,
            revision=(info.revision or "")[:12],
            stage=options.rollout.stage if options.rollout else "",
            problem=options.problem,
            tasks=tasks(info, path_prefix(request.headers), base, waiting),
        )
        return HTMLResponse(page, headers={"Content-Security-Policy": POLICY})

    return show


def tasks(info: ModelInfo, prefix: str, base: str, waiting: int) -> list[Task]:
    """What staff can do with this app, at addresses below `prefix`; `waiting` is the number of answers to review."""
    options, base = info.options, f"{prefix}{base}"
    return [
        Task("Review answers", f"{plural(waiting, 'answer')} to review. Confirm or correct each.", f"{base}/review")
        if options.waiting
        else Task("Review answers", "Off. Start the app with --rollout STAGE and --log FOLDER."),
        Task("Read the report", "What has changed since training, and the alerts.", f"{base}/report")
        if options.report
        else Task("Read the report", "Off. Start the app with --log FOLDER."),
        Task("Read what visitors sent", "On the machine of the app: spotter feedback FOLDER lists it.")
        if options.keep
        else Task("Read what visitors sent", "Off. Start the app with --feedback FOLDER."),
        Task("Move the model one stage on", "On the machine of the app: spotter promote FOLDER (its --log).")
        if options.rollout
        else Task("Move the model one stage on", "There is no rollout: everybody is answered at once."),
        Task("See whether the app works", "The same for programs.", f"{prefix}/healthz"),
    ]
