"""A ready-to-post article about a published model, as Markdown and as a page."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from spotter.bundle.reading import Bundle, read_bundle
from spotter.config import HUB
from spotter.errors import ArticleUnwritable
from spotter.serve.about import error_sentence, read_about
from spotter.serve.page.snippets import element_snippet
from spotter.serve.page.translations import join_labels, translate
from spotter.stores import open_store
from spotter.utils.licenses import origin_cells
from spotter.utils.templates import render_template

PLOTS = ("confusion.png", "top_losses.png")
MIXUPS = 3


def write_article(store: str, revision: str | None, app: str, to: Path) -> list[Path]:
    """Write `article.md`, `article.html` and, from a folder store, the plots into the folder `to`.

    Args:
        app: the address of the running app, for the widget; "": without one.

    Returns:
        The files written.

    Raises:
        UnknownStore, RevisionMissing, BrokenModel, StoreUnreachable, AccessRefused: there is no such model.
        ArticleUnwritable: `to` cannot be written.
    """
    folder, name = open_store(store).pull(revision)
    bundle = read_bundle(folder)
    on_hub = store.startswith(HUB)
    try:
        to.mkdir(parents=True, exist_ok=True)
        copied = [] if on_hub else [Path(shutil.copyfile(folder / plot, to / plot)) for plot in PLOTS]
        base = f"https://huggingface.co/{quote(store.removeprefix(HUB))}/resolve/{name}/" if on_hub else ""
        values = _values(bundle, name, app, [f"{base}{plot}" for plot in PLOTS], _credits(store, on_hub, name))
        # A title may hold half of a surrogate pair, which is no text.
        for file in ("article.md", "article.html"):
            text = render_template("deploy", file.replace("article", "blog"), **values)
            (to / file).write_bytes(text.encode("utf-8", "replace"))
    except OSError as error:
        raise ArticleUnwritable(f"The article cannot be written to {str(to)!r}: {error.strerror or error}.") from error
    return [to / "article.md", to / "article.html", *copied]


def _values(bundle: Bundle, revision: str, app: str, plots: Sequence[str], credits: str) -> dict[str, Any]:
    about = read_about(bundle.card, bundle.metrics, revision)
    return {
        "title": bundle.card.title,
        "names": join_labels(bundle.card.labels, "en"),
        "about": about,
        "sentence": error_sentence(about, "en") or bundle.card.summary,
        "mixups": _mixups(bundle.card.labels, bundle.metrics.get("confusion", [])),
        "accepted": f"{about.accepted:.1%}" if about.accepted is not None else "",
        "limits": translate("about_limits_text", "en"),
        "origins": [(*origin_cells(source, license_id), count) for source, license_id, count in about.origins],
        "plots": plots,
        "numbered": _numbered(bundle.metrics.get("numbered")),
        "widget": element_snippet(bundle.card.title).at(app) if app else "",
        "credits": credits,
        "revision": revision,
    }


def _numbered(told: object) -> list[tuple[str, str]]:
    """The classes that are numbers in the plots."""
    return [(str(number), str(label)) for number, label in told.items()] if isinstance(told, dict) else []


def _mixups(labels: Sequence[str], confusion: Sequence[Sequence[int]]) -> list[tuple[str, str, int]]:
    pairs = [
        (labels[true], labels[told], count)
        for true, row in enumerate(confusion)
        for told, count in enumerate(row)
        if true != told and count
    ]
    return sorted(pairs, key=lambda pair: -pair[2])[:MIXUPS]


def _credits(store: str, on_hub: bool, revision: str) -> str:
    """The address of the page that names everybody; "" where there is none."""
    if not on_hub:
        return ""
    # A store's address on the Hub holds letters, digits, dots and dashes alone.
    return f"https://huggingface.co/{quote(store.removeprefix(HUB))}/blob/{revision}/ATTRIBUTION.csv"
