"""The cleaning page's server: suspects are shown, and every decision goes into the log of the picture set."""

import gradio as gr
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from pydantic import BaseModel

from spotter.clean.session import Decisions, Filters, Session
from spotter.config import ServeConfig
from spotter.data.edit_log import EDITS
from spotter.errors import PasswordMissing, SpotterError
from spotter.serve.app import mount_page
from spotter.serve.auth import CLEANING_PASSWORD, AccessControl
from spotter.utils.files import package_file
from spotter.utils.templates import render_template


class Person(BaseModel):
    """Who asks."""

    who: str = ""


def create_app(session: Session, config: ServeConfig, password: str | None = None) -> FastAPI:
    """Put the page and its routes into one app.

    Raises:
        PasswordMissing: the page would be served to other machines without a password.
    """
    if config.is_shared and not password:
        raise PasswordMissing(
            f"Serving on {config.host} lets other machines change the pictures' labels; set {CLEANING_PASSWORD} or "
            "give --password-file, or leave out --host."
        )
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(AccessControl, password=password)
    app.add_exception_handler(SpotterError, _told)
    app.add_exception_handler(HTTPException, _told)
    _add_routes(app, session)
    with gr.Blocks(title="Cleaning", analytics_enabled=False) as page:
        gr.HTML(render_template("clean", "page.html"), elem_id="clean-frame")
    style = package_file("clean", "static/page.css").read_text(encoding="utf-8")
    return mount_page(app, page, config, css=style, head='<script src="/clean/page.js" defer></script>')


def _add_routes(app: FastAPI, session: Session) -> None:
    script = package_file("clean", "static/page.js")

    def state(alone: str = "") -> JSONResponse:
        return JSONResponse(session.state(alone))

    def queue(
        name: str, label: str = "", fold: str = "", source: str = "", todo: bool = False, alone: str = ""
    ) -> JSONResponse:
        return JSONResponse({"items": session.queue(name, Filters(label, fold, source, todo, alone))})

    def cards(queue: str, ids: str, alone: str = "") -> JSONResponse:
        groups = [group.split("+") for group in ids.split(",") if group]
        return JSONResponse({"cards": session.cards(queue, groups, alone)})

    def decide(decisions: Decisions) -> JSONResponse:
        now = session.decide(decisions)
        return JSONResponse({"edits": len(now.edits), "decided": len(now.verdicts)})

    def undo(person: Person) -> JSONResponse:
        undone, here, now = session.undo(person.who)
        told = {"count": len(undone), "undone": here, "edits": len(now.edits), "decided": len(now.verdicts)}
        return JSONResponse(told)

    def start(kind: str) -> JSONResponse:
        if kind not in {"retrain", "publish"}:
            raise HTTPException(404, "This action does not exist.")
        session.start(kind)
        return JSONResponse({"started": kind})

    def log() -> Response:
        lines = b"".join(edit.as_line() for edit in session.log.read())
        return Response(
            lines, media_type="application/jsonl", headers={"Content-Disposition": f"attachment; filename={EDITS}"}
        )

    def thumbnail(key: str) -> Response:
        # The name of a picture is made from its contents, so what it shows never changes.
        kept = {"Cache-Control": "private, max-age=31536000, immutable"}
        return Response(session.thumbnail(key), media_type="image/jpeg", headers=kept)

    def page_script() -> FileResponse:
        return FileResponse(script, media_type="text/javascript", headers={"Cache-Control": "no-cache"})

    for path, function in (
        ("state", state),
        ("queue", queue),
        ("cards", cards),
        ("edits.jsonl", log),
        ("thumb/{key}", thumbnail),
        ("page.js", page_script),
    ):
        app.add_api_route(f"/clean/{path}", function, methods=["GET"])
    for path, act in (("decide", decide), ("undo", undo), ("start/{kind}", start)):
        app.add_api_route(f"/clean/{path}", act, methods=["POST"])


async def _told(request: Request, error: Exception) -> JSONResponse:
    if isinstance(error, HTTPException):
        return JSONResponse({"error": error.detail}, error.status_code)
    return JSONResponse({"error": str(error)}, 409)
