"""The cleaning page: what a model doubts, looked at by people, every decision in the log of the picture set.

    scripts/clean models/bears                       (the page, on http://127.0.0.1:7861)
    scripts/clean apply models/bears                 (move and remove files, as decided)
    scripts/clean export models/bears edits.jsonl    (the decisions, for another machine)
    scripts/clean replay models/bears edits.jsonl    (decisions of another machine, added to those here)

A store that train.py published to, or the folder of a picture set, says what is cleaned.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import gradio as gr
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from pydantic import BaseModel

from spotter.cleaning import Decisions, Filters, Session, clean_name
from spotter.cleaning_set import read_cleaning_set
from spotter.command import run_command, say
from spotter.config import CleanConfig, ServeConfig
from spotter.edits import EDITS, EditLog, judge_edits, parse_edits, write_to_disk
from spotter.errors import FolderMissing, PasswordMissing, SpotterError, did_you_mean
from spotter.files import package_file
from spotter.parser import Parser
from spotter.run import find_pictures, read_run
from spotter.serve.auth import CLEANING_PASSWORD, AccessControl, read_password, read_password_file
from spotter.utils.templates import render_template
from spotter.utils.text import plural
from spotter.web import mount_page, serve


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


def main(argv: Sequence[str] | None = None) -> int:
    """Open the page, or do what the sub-command says, and return the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    commands = {"apply": _apply, "export": _export, "replay": _replay}
    options = _read_options(words, commands)
    return run_command("scripts/clean", lambda: options.command(options), words)


def _read_options(words: Sequence[str], commands: dict[str, Callable[..., str]]) -> argparse.Namespace:
    parser = Parser(prog="scripts/clean", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", type=Path, help="a store, such as models/bears, or the folder of a picture set")
    name = words[0] if words and words[0] in commands else None
    if not name and len(words) > 1 and not words[1].startswith("-") and (meant := did_you_mean(words[0], commands)):
        parser.error(f"there is no {words[0]!r}{meant}")
    if name:
        parser.prog = f"scripts/clean {name}"
        parser.description = str(commands[name].__doc__)
        if name != "apply":
            parser.add_argument("file", type=Path, help="a file with decisions, a JSON object a line")
        parser.set_defaults(command=commands[name])
        return parser.parse_args(words[1:])
    user = clean_name(os.environ.get("USER", "")) or "me"
    parser.add_argument("--as", dest="who", default=user, metavar="NAME", help="who decides (default: your user name)")
    parser.add_argument("--host", default=ServeConfig.host, help="where to listen; others need a password")
    parser.add_argument("--port", type=int, default=CleanConfig.port, help="default: %(default)s")
    parser.add_argument(
        "--password-file",
        type=Path,
        metavar="FILE",
        help=f"holds the password (or the variable {CLEANING_PASSWORD} does)",
    )
    parser.set_defaults(command=_open)
    options = parser.parse_args(words)
    if not clean_name(options.who):
        parser.error("--as needs a name")
    return options


def _open(options: argparse.Namespace) -> str:
    session = Session(find_pictures(options.target), clean_name(options.who))
    config = ServeConfig(host=options.host, port=options.port)
    file = options.password_file
    password = read_password_file(file) if file else read_password(variable=CLEANING_PASSWORD)
    serve(create_app(session, config, password), config)
    return "The page is closed; every decision is kept."


def _apply(options: argparse.Namespace) -> str:
    """Move relabelled pictures into the folder of their class and remove deleted ones, for good."""
    moved, removed = write_to_disk(find_pictures(options.target))
    return f"{plural(moved, 'picture')} moved, {removed} removed"


def _export(options: argparse.Namespace) -> str:
    """Write the decisions to a file, to be reviewed or replayed elsewhere."""
    edits = EditLog(find_pictures(options.target)).read()
    try:
        options.file.write_bytes(b"".join(edit.as_line() for edit in edits))
    except OSError as error:
        raise FolderMissing(f"{str(options.file)!r} cannot be written: {error.strerror}.") from error
    return f"{plural(len(edits), 'line')} in {options.file}"


def _replay(options: argparse.Namespace) -> str:
    """Add the decisions in a file to those here; what is here already is left out."""
    folder = find_pictures(options.target)
    try:
        edits = parse_edits(options.file.read_bytes(), str(options.file))
    except OSError as error:
        raise FolderMissing(f"{str(options.file)!r} cannot be read: {error.strerror}.") from error
    added = EditLog(folder).replay(edits)
    pictures = read_cleaning_set(read_run(folder))
    verdicts, elsewhere = judge_edits(EditLog(folder).read(), pictures.everything)
    disputed = sum(verdict.is_disputed for verdict in verdicts.values())
    say(f"decisions about {plural(len(verdicts), 'picture')} of this set, {elsewhere} of others; disputed: {disputed}")
    return f"{plural(added, 'line')} added"


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
            raise HTTPException(404, "There is no such thing to do.")
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


if __name__ == "__main__":
    sys.exit(main())
