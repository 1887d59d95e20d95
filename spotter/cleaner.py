"""The cleaning page: what a model doubts, looked at by people, every decision in the log of the picture set.

    scripts/clean models/bears                       (the page, on http://127.0.0.1:7861)
    scripts/clean apply models/bears                 (move and remove files, as decided)
    scripts/clean export models/bears edits.jsonl    (the decisions, for another machine)
    scripts/clean replay models/bears edits.jsonl    (decisions of another machine, added to those here)

A store that train.py published to, or the folder of a picture set, says what is cleaned.
"""

import argparse
import atexit
import functools
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import gradio as gr
import numpy as np
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from PIL import Image
from pydantic import BaseModel, Field
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from spotter.command import run_command, say
from spotter.config import CleanConfig, ServeConfig
from spotter.dataset import IN_TWO_CLASSES, Record, read_dataset, with_disputed
from spotter.edits import (
    DELETE,
    EDITS,
    KEEP,
    LONGEST_NAME,
    RELABEL,
    Edit,
    EditLog,
    Verdict,
    judge_edits,
    parse_edits,
    standing,
    write_to_disk,
)
from spotter.errors import BadPicture, FolderMissing, PasswordMissing, SpotterError, did_you_mean
from spotter.images import encode_jpeg, load_picture
from spotter.pages import plural, short_title
from spotter.parser import Parser
from spotter.run import RUN, Run, find_pictures, read_run
from spotter.staff import is_foreign, is_same, password_in
from spotter.suspects import QUEUES, View, cell, confusion, rank, reason, suggest
from spotter.web import mount_page, serve

PASSWORD = "SPOTTER_PASSWORD"  # noqa: S105  (the name of the variable)
LOOPBACK = {"127.0.0.1", "localhost", "::1"}
DISPUTES, DECIDED, CELL = "disputes", "decided", "cell"
ID_DIGITS = 16
MOST_AT_ONCE = 2000


class Choice(BaseModel):
    """What a window decided about one picture."""

    id: str
    action: str
    to: str | None = None


class Decisions(BaseModel):
    """A batch of choices. `queue` is where they were made."""

    who: str = ""
    queue: str = ""
    items: Annotated[list[Choice], Field(min_length=1, max_length=MOST_AT_ONCE)]


class Person(BaseModel):
    """Who asks."""

    who: str = ""


@dataclass(frozen=True)
class Shelf:
    """The set as it was collected: every picture that can be shown, those that stand in two classes once.

    `position` finds one by the beginning of its SHA-256.
    """

    run: Run
    records: tuple[Record, ...]
    claims: tuple[tuple[str, ...], ...]
    everything: tuple[Record, ...]
    position: dict[str, int]


@dataclass(frozen=True)
class Now:
    """The shelf as the log leaves it."""

    shelf: Shelf
    view: View
    verdicts: dict[str, Verdict]
    edits: tuple[Edit, ...]


@dataclass
class Job:
    """Retraining or publishing, under way or ended. `line` is the last thing it said."""

    kind: str
    state: str = "running"
    line: str = ""
    lines: list[str] = field(default_factory=list)


class Session:
    """One served set. Everything that people decide is in its log; this holds only what can be read again."""

    def __init__(self, folder: Path, who: str, config: CleanConfig | None = None) -> None:
        self.folder, self.who, self.config = folder, who, config or CleanConfig()
        self.log = EditLog(folder)
        self.job: Job | None = None
        self.result: dict[str, Any] | None = None
        self.thumbnail = functools.lru_cache(self.config.thumbs)(self._draw)
        self._lock = threading.RLock()
        self._stamp: tuple[int, ...] = ()
        self._shelf: Shelf | None = None
        self._now: Now | None = None
        self.now()

    def now(self) -> Now:
        """The set as it is this moment, whoever changed it.

        Raises:
            NoTrainingRun, DatasetUnwritable, EditsDamaged: one of its files cannot be read.
        """
        with self._lock:
            stamp = tuple((self.folder / name).stat().st_mtime_ns for name in (RUN, "manifest.jsonl"))
            if self._shelf is None or stamp != self._stamp:
                self._shelf, self._stamp = _fill_shelf(read_run(self.folder)), stamp
            edits = self.log.read()
            if self._now is None or self._now.shelf is not self._shelf or self._now.edits != edits:
                self._now = _look(self._shelf, edits)
            return self._now

    def decide(self, decisions: Decisions) -> Now:
        """Write a batch of decisions into the log.

        Raises:
            HTTPException: a choice makes no sense here. DatasetUnwritable: the log cannot be written.
        """
        now = self.now()
        who = _name(decisions.who) or self.who
        why = {**QUEUES, DISPUTES: "settled", CELL: "confusion matrix"}.get(decisions.queue.partition(":")[0], "")
        settles = decisions.queue == DISPUTES
        edits = []
        for choice in decisions.items:
            index = self._find(now, choice.id)
            record, label = now.shelf.records[index], int(now.view.labels[index])
            origin = now.view.names[label] if label >= 0 else None
            if choice.action == KEEP and not now.shelf.claims[index]:
                to: str | None = origin or record.label
            elif choice.action == RELABEL and choice.to in now.view.names:
                to = choice.to
            elif choice.action == DELETE:
                to = None
            else:
                raise HTTPException(400, "Say which class the picture belongs to.")
            edits.append(
                Edit(
                    who, choice.action, record.sha256, record.original_sha256, origin, to, why.lower(), settles=settles
                )
            )
        self.log.append(edits)
        return self.now()

    def undo(self, who: str) -> tuple[list[str], Now]:
        """Take back the last batch of a person; returns the pictures concerned, and the set after it."""
        undone = self.log.undo(_name(who) or self.who)
        return [str(edit.sha256)[:ID_DIGITS] for edit in undone], self.now()

    def queue(self, name: str, label: str, fold: str, source: str, is_open: bool) -> list[list[str]]:
        """The pictures of a queue that pass the filters ("" lets all pass), by their ids, look-alikes together."""
        now = self.now()
        view, shelf = now.view, now.shelf

        def passes(index: int) -> bool:
            record = shelf.records[index]
            return (
                (not label or label in {record.label, _current(view, index), *shelf.claims[index]})
                and (not fold or str(view.folds[index] + 1) == fold)
                and (not source or record.backend == source)
            )

        found = [group for group in self._members(now, name) if any(passes(index) for index in group)]
        if is_open:
            found = [group for group in found if any(_key(shelf, index) not in now.verdicts for index in group)]
        return [[_id(shelf, index) for index in group] for group in found]

    def cards(self, name: str, groups: Sequence[Sequence[str]]) -> list[list[dict[str, Any]]]:
        """What is told of each picture."""
        now = self.now()
        found = [[self._find(now, key) for key in group] for group in groups]
        return [[_card(now, name, group, index) for index in group] for group in found]

    def state(self) -> dict[str, Any]:
        """What the frame of the page shows."""
        now = self.now()
        shelf, view = now.shelf, now.view
        names = [*QUEUES, DISPUTES, DECIDED]
        titles = {**QUEUES, DISPUTES: "Disagreements", DECIDED: "Decided"}
        counts = []
        for name in names:
            groups = self._members(now, name)
            todo = sum(any(_key(shelf, index) not in now.verdicts for index in group) for group in groups)
            todo = len(groups) if name == DISPUTES else todo
            counts.append({"name": name, "title": titles[name], "total": len(groups), "todo": todo})
        return {
            "title": shelf.run.recipe.title,
            "who": self.who,
            "labels": list(view.names),
            "queues": counts,
            "confusion": confusion(view).tolist(),
            "folds": sorted({int(fold) + 1 for fold in view.folds if fold >= 0}),
            "sources": sorted({record.backend for record in shelf.records}),
            "pictures": len(shelf.records),
            "edits": len(now.edits),
            "decided": len(now.verdicts),
            "standing": len(standing(now.edits)),
            "revision": shelf.run.revision,
            "page_size": self.config.page_size,
            "job": asdict(self.job) if self.job else None,
            "result": self.result,
        }

    def start(self, kind: str) -> None:
        """Begin to retrain or to publish; the page stays alive meanwhile.

        Raises:
            HTTPException: something is under way already.
        """
        with self._lock:
            if self.job and self.job.state == "running":
                raise HTTPException(409, "Wait for the end of what is under way.")
            self.job = Job(kind, line="Starting …")
        work = {"retrain": self._retrain, "publish": self._publish}[kind]
        threading.Thread(target=self._work, args=(work, self.job), daemon=True).start()

    def _work(self, work: Callable[[Job], None], job: Job) -> None:
        try:
            work(job)
            job.state = "done"
        except SpotterError as error:
            job.line, job.state = str(error), "failed"
        finally:
            if job.state == "running":
                job.line, job.state = "Something went wrong; the terminal tells more.", "failed"

    def _retrain(self, job: Job) -> None:
        # Here rather than at the top: the page opens without them.
        from spotter.retrain import retrain

        job.line = "Learning from the cached features …"
        published = read_run(self.folder)
        done = retrain(published, self.log.read())
        with self._lock:
            self._shelf = _fill_shelf(replace(done.run, revision=published.revision))
            shelf = self._shelf
            self.result = {
                "figures": [
                    {**asdict(figures), "error": figures.error, "name": name}
                    for name, figures in (
                        ("before", done.before),
                        ("relabelled", done.relabelled),
                        ("after", done.after),
                    )
                ],
                "changes": [
                    {**asdict(change), "id": change.key[:ID_DIGITS], "right": change.is_right}
                    for change in done.changes
                    if change.key[:ID_DIGITS] in shelf.position
                ],
                "missing": done.missing,
                "edits": len(self.log.read()),
                "fine_tuned": published.config.fine_tune > 0,
            }
        job.line = "Retrained."

    def _publish(self, job: Job) -> None:
        # In a process of its own: torch and fastai leave with it.
        command = [sys.executable, "-m", "spotter.pipeline", str(self.folder.absolute())]
        root = Path(__file__).resolve().parent.parent
        with subprocess.Popen(  # noqa: S603
            command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace"
        ) as process:
            atexit.register(process.terminate)
            complaints: list[str] = []
            errors: Iterable[str] = process.stderr or []
            reader = threading.Thread(target=lambda: complaints.extend(errors), daemon=True)
            reader.start()
            for line in process.stdout or []:
                job.line = line.strip()
                job.lines.append(line.rstrip("\n"))
            reader.join()
        atexit.unregister(process.terminate)
        if process.returncode:
            told = [line for line in complaints if line.startswith("publish: ")]
            if not told:
                print("".join(complaints), file=sys.stderr)
            raise SpotterError(told[-1].removeprefix("publish: ").strip() if told else "Publishing failed.")
        revision = job.lines[-1].removeprefix("revision ")
        job.line = f"Published {revision[:12]}."

    def _members(self, now: Now, name: str) -> list[tuple[int, ...]]:
        if name in QUEUES:
            return rank(name, now.view)
        if name == DISPUTES:
            return [(index,) for index, verdict in _judged(now) if verdict.is_disputed]
        if name == DECIDED:
            latest = {edit.sha256: number for number, edit in enumerate(now.edits)}
            recent = sorted(_judged(now), key=lambda pair: -max(latest[edit.sha256] for edit in pair[1].decisions))
            return [(index,) for index, _ in recent]
        try:
            _, actual, predicted = name.split(":")
            return cell(now.view, now.view.names.index(actual), now.view.names.index(predicted))
        except ValueError as error:
            raise HTTPException(404, "There is no such queue.") from error

    def _find(self, now: Now, key: str) -> int:
        index = now.shelf.position.get(key)
        if index is None:
            raise HTTPException(404, "This picture is not in the set any more; load the page again.")
        return index

    def _draw(self, key: str) -> bytes:
        now = self.now()
        path = self.folder / str(now.shelf.records[self._find(now, key)].file)
        # The manifest may come from elsewhere, and name anything.
        if not path.resolve().is_relative_to(self.folder.resolve()):
            raise HTTPException(404, "This picture is not in the set.")
        try:
            picture = load_picture(path)
        except (BadPicture, OSError) as error:
            raise HTTPException(404, "This picture cannot be read.") from error
        picture.thumbnail((self.config.thumb_side, self.config.thumb_side), Image.Resampling.LANCZOS)
        return encode_jpeg(picture, 82)


class Guard:
    """Lets in only whoever may: by the password where there is one, and never a page of another site.

    Without a password the page is for this machine alone, and then the name it is called by must be this machine's:
    a name that someone else's DNS points here is refused.
    """

    def __init__(self, app: ASGIApp, password: str | None) -> None:
        self.app, self.password = app, password

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (refusal := self._refuse(scope["method"], Headers(scope=scope))):
            await refusal(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self.app(scope, receive, _with_headers(send) if scope["type"] == "http" else send)

    def _refuse(self, method: str, headers: Headers) -> Response | None:
        host = headers.get("host", "")
        if self.password is None and _host(f"//{host}") not in LOOPBACK:
            return JSONResponse({"error": "This page is for this machine alone."}, 403)
        given = password_in(headers.get("authorization", ""))
        if self.password is not None and (given is None or not is_same(given, self.password)):
            asks = {"WWW-Authenticate": 'Basic realm="Spotter", charset="UTF-8"'}
            return JSONResponse({"error": "The password is missing or wrong."}, 401, asks)
        if method not in {"GET", "HEAD"} and is_foreign(headers):
            return JSONResponse({"error": "Another site may not decide here."}, 403)
        return None


def create_app(session: Session, config: ServeConfig, password: str | None = None) -> FastAPI:
    """Put the page and its routes into one app.

    Raises:
        PasswordMissing: the page would be served to other machines without a password.
    """
    if config.host not in LOOPBACK and not password:
        raise PasswordMissing(
            f"Serving on {config.host} lets other machines change the pictures' labels; set {PASSWORD} or give "
            "--password-file, or leave out --host."
        )
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(Guard, password=password)
    app.add_exception_handler(SpotterError, _told)
    app.add_exception_handler(HTTPException, _told)
    _add_routes(app, session)
    folder = Path(__file__).with_name("templates")
    with gr.Blocks(title="Cleaning", analytics_enabled=False) as page:
        gr.HTML((folder / "cleaner.html").read_text(encoding="utf-8"), elem_id="clean-frame")
    style = (folder / "cleaner.css").read_text(encoding="utf-8")
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
    user = _name(os.environ.get("USER", "")) or "me"
    parser.add_argument("--as", dest="who", default=user, metavar="NAME", help="who decides (default: your user name)")
    parser.add_argument("--host", default=ServeConfig.host, help="where to listen; others need a password")
    parser.add_argument("--port", type=int, default=CleanConfig.port, help="default: %(default)s")
    parser.add_argument(
        "--password-file", type=Path, metavar="FILE", help=f"holds the password (or the variable {PASSWORD} does)"
    )
    parser.set_defaults(command=_open)
    options = parser.parse_args(words)
    if not _name(options.who):
        parser.error("--as needs a name")
    return options


def _open(options: argparse.Namespace) -> str:
    session = Session(find_pictures(options.target), _name(options.who))
    config = ServeConfig(host=options.host, port=options.port)
    serve(create_app(session, config, _read_password(options.password_file)), config)
    return "The page is closed; every decision is kept."


def _apply(options: argparse.Namespace) -> str:
    """Move relabelled pictures into the folder of their class and remove deleted ones, for good."""
    moved, removed = write_to_disk(find_pictures(options.target))
    return f"{plural(moved, 'picture')} moved, {removed} removed"


def _export(options: argparse.Namespace) -> str:
    """Write the decisions to a file, to be reviewed or replayed elsewhere."""
    log = EditLog(find_pictures(options.target))
    try:
        options.file.write_bytes(b"".join(edit.as_line() for edit in log.read()))
    except OSError as error:
        raise FolderMissing(f"{str(options.file)!r} cannot be written: {error.strerror}.") from error
    return f"{plural(len(log.read()), 'line')} in {options.file}"


def _replay(options: argparse.Namespace) -> str:
    """Add the decisions in a file to those here; what is here already is left out."""
    folder = find_pictures(options.target)
    try:
        edits = parse_edits(options.file.read_bytes(), str(options.file))
    except OSError as error:
        raise FolderMissing(f"{str(options.file)!r} cannot be read: {error.strerror}.") from error
    added = EditLog(folder).replay(edits)
    shelf = _fill_shelf(read_run(folder))
    verdicts, elsewhere = judge_edits(EditLog(folder).read(), shelf.everything)
    disputed = sum(verdict.is_disputed for verdict in verdicts.values())
    say(f"decisions about {plural(len(verdicts), 'picture')} of this set, {elsewhere} of others; disputed: {disputed}")
    return f"{plural(added, 'line')} added"


def _read_password(file: Path | None) -> str | None:
    if not file:
        return os.environ.get(PASSWORD) or None
    try:
        password = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise PasswordMissing(f"The password in {str(file)!r} cannot be read; write it there in one line.") from error
    if not password:
        raise PasswordMissing(f"{str(file)!r} is empty; write the password there in one line.")
    return password


def _add_routes(app: FastAPI, session: Session) -> None:
    script = Path(__file__).with_name("templates") / "cleaner.js"

    def state() -> JSONResponse:
        return JSONResponse(session.state())

    def queue(name: str, label: str = "", fold: str = "", source: str = "", todo: bool = False) -> JSONResponse:
        return JSONResponse({"items": session.queue(name, label, fold, source, todo)})

    def cards(queue: str, ids: str) -> JSONResponse:
        return JSONResponse({"cards": session.cards(queue, [group.split("+") for group in ids.split(",") if group])})

    def decide(decisions: Decisions) -> JSONResponse:
        now = session.decide(decisions)
        return JSONResponse({"edits": len(now.edits), "decided": len(now.verdicts)})

    def undo(person: Person) -> JSONResponse:
        undone, now = session.undo(person.who)
        return JSONResponse({"undone": undone, "edits": len(now.edits), "decided": len(now.verdicts)})

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


def _fill_shelf(run: Run) -> Shelf:
    dataset = with_disputed(read_dataset(run.folder, run.recipe.labels))
    records = [record for record in dataset.records if (run.folder / str(record.file)).is_file()]
    labels_of: dict[str, list[str]] = {}
    for record in dataset.dropped:
        if record.reason == IN_TWO_CLASSES:
            labels_of.setdefault(str(record.sha256), []).append(record.label)
    claims = [
        tuple(dict.fromkeys(labels_of[str(record.sha256)])) if record.reason == IN_TWO_CLASSES else ()
        for record in records
    ]
    position = {str(record.sha256)[:ID_DIGITS]: index for index, record in enumerate(records)}
    return Shelf(run, tuple(records), tuple(claims), (*dataset.records, *dataset.dropped), position)


def _look(shelf: Shelf, edits: tuple[Edit, ...]) -> Now:
    run, names = shelf.run, shelf.run.recipe.labels
    verdicts, _ = judge_edits(edits, shelf.everything)
    row = {key: number for number, key in enumerate(run.keys)}
    count = len(shelf.records)
    labels = np.zeros(count, dtype=np.int64)
    rows = np.array([row.get(str(record.sha256), -1) for record in shelf.records], dtype=np.int64)
    for index, record in enumerate(shelf.records):
        verdict = verdicts.get(str(record.sha256))
        edit = verdict.edit if verdict else None
        if edit is None or edit.to not in {None, *names}:
            labels[index] = names.index(record.label)
        else:
            labels[index] = -1 if edit.to is None else names.index(edit.to)

    def spread(values: np.ndarray, missing: float) -> np.ndarray:
        known = np.concatenate([values, np.full((1, *values.shape[1:]), missing, dtype=values.dtype)])
        return known[rows]

    view = View(
        names,
        shelf.records,
        shelf.claims,
        labels,
        spread(run.probabilities, np.nan),
        spread(run.familiarity, np.nan),
        spread(run.folds, -1),
        run.threshold,
    )
    return Now(shelf, view, verdicts, edits)


def _judged(now: Now) -> list[tuple[int, Verdict]]:
    found = ((index, now.verdicts.get(_key(now.shelf, index))) for index in range(len(now.shelf.records)))
    return [(index, verdict) for index, verdict in found if verdict]


def _card(now: Now, queue: str, group: Sequence[int], index: int) -> dict[str, Any]:
    view, shelf, record = now.view, now.shelf, now.shelf.records[index]
    predicted = int(view.predicted[index])
    verdict = now.verdicts.get(_key(shelf, index))
    suggestion = suggest(queue, view, group, index)
    return {
        "id": _id(shelf, index),
        "label": _current(view, index),
        "collected": " and ".join(shelf.claims[index]) or record.label,
        "in_two": bool(shelf.claims[index]),
        "predicted": view.names[predicted] if predicted >= 0 else None,
        "probability": float(view.probabilities[index, predicted]) if predicted >= 0 else None,
        "familiarity": None if np.isnan(view.familiarity[index]) else float(view.familiarity[index]),
        "fold": int(view.folds[index]) + 1 or None,
        "reason": reason(queue, view, group, index),
        "title": short_title(record) or Path(record.backend_id).name[:120],
        "source": record.backend,
        "creator": record.creator,
        "license": record.license_id,
        "page": record.page_url,
        "size": f"{record.width} × {record.height}",
        "suggestion": {"to": suggestion.to} if suggestion else None,
        "decisions": [
            {"who": edit.who, "action": edit.action, "to": edit.to, "at": edit.at, "why": edit.why}
            for edit in (verdict.decisions if verdict else ())
        ],
        "disputed": bool(verdict and verdict.is_disputed),
    }


def _current(view: View, index: int) -> str | None:
    label = int(view.labels[index])
    return view.names[label] if label >= 0 else None


def _key(shelf: Shelf, index: int) -> str:
    return str(shelf.records[index].sha256)


def _id(shelf: Shelf, index: int) -> str:
    return _key(shelf, index)[:ID_DIGITS]


def _name(text: str) -> str:
    """A person's name in one printable line, cut short."""
    words = " ".join(text.split())
    return "".join(character for character in words if character.isprintable())[:LONGEST_NAME]


def _host(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None


def _with_headers(send: Send) -> Send:
    extra = [
        (b"x-content-type-options", b"nosniff"),
        (b"x-frame-options", b"DENY"),
        (b"cross-origin-resource-policy", b"same-origin"),
        (b"referrer-policy", b"no-referrer"),
    ]

    async def sending(message: Any) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), *extra]}
        await send(message)

    return sending


if __name__ == "__main__":
    sys.exit(main())
