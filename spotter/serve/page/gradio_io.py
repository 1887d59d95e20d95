"""Inputs from Gradio: a file, a choice, and who asks in which language."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from spotter.errors import BadPicture
from spotter.serve.choices import NO, NONE, YES
from spotter.serve.page.translations import name_key, pick_language
from spotter.serve.service import ModelInfo

Inputs = dict[str, Any]


def page_text(key: str) -> Any:
    """A text of the page's own table, in the visitor's language."""
    return str(gr.I18n()(name_key(key)))


def browser_state(empty: Any, name: str) -> gr.BrowserState:
    """What the visitor's browser keeps for this app, also when the page is closed or the app starts again."""
    # The secret is none: it only has to be the same after a restart, and what is kept is the visitor's own.
    return gr.BrowserState(empty, storage_key=f"spotter-{name}", secret="spotter")  # noqa: S106


def label_choices(labels: Sequence[str]) -> list[tuple[str, str]]:
    """The labels to choose from, and `NONE`; see `is_choice`."""
    return [*((label, str(number)) for number, label in enumerate(labels)), (page_text("none_of_these"), NONE)]


def yes_or_no() -> list[tuple[str, str]]:
    """What can be said of an answer."""
    return [(page_text("yes"), YES), (page_text("no"), NO)]


def path_in(payload: Any, info: ModelInfo | None) -> Path:
    """The picture that a payload names: an upload, or one of the examples of `info`.

    Raises:
        BadPicture: it names none.
    """
    # Gradio checks paths only in payloads that call themselves files, so whoever leaves that out could name any file.
    given = payload.get("path") if isinstance(payload, dict) else None
    path = Path(given if isinstance(given, str) else "").resolve()
    uploads = Path(get_upload_folder()).resolve()
    allowed = {Path(example).resolve() for example, _ in info.examples} if info else set()
    if not path.is_file() or not (path.is_relative_to(uploads) or path in allowed):
        raise BadPicture("empty", "There is no picture: upload one first.")
    return path


def language_of(request: gr.Request | None) -> str:
    """The language of whoever asks."""
    # Gradio sends the page's own query along with each question.
    return pick_language(request.headers.get("accept-language"), request.query_params.get("lang")) if request else "en"


def client_of(request: gr.Request | None) -> str:
    """Who asks, as the middleware names them; "" when nobody knows."""
    scope = request.request.scope if request and request.request else {}
    return str(scope.get("state", {}).get("client", ""))
