"""Makes the site of a revision: the built files of `web/`, the files of the model, and what the page says about it."""

import gzip
import json
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

import spotter
from spotter.bundle.format import METRICS, MODEL_JSON, REFERENCE, THUMBNAILS, hash_of
from spotter.errors import BrokenModel, SiteNotBuilt, SiteUnwritable
from spotter.images import encode_jpeg, load_picture
from spotter.inference.predictor import Predictor
from spotter.serve.about import about_html, error_sentence, read_about
from spotter.serve.page.translations import LANGUAGES, join_labels, texts
from spotter.stores import open_store
from spotter.stores.base import promised_hashes
from spotter.utils.files import claimed_folder, package_file
from spotter.utils.templates import render_template
from spotter.utils.text import in_one_line
from spotter.web.packing import PACKED, describe_unpacked, pack
from spotter.web.self_test import SELF_TEST, choose_picture
from spotter.web.teach import HubPlace, teach_files, why_not

SITE_JSON, INDEX, MANIFEST = "site.json", "index.html", "manifest.webmanifest"
MODEL, SMALL, CARD = "model", "examples", "README.md"
# Twice the 92 pixels of the page, whose pixels are often two of a screen.
EXAMPLE_SIDE, EXAMPLE_QUALITY = 184, 80
FORMAT = 2
# The service worker names the files that it keeps, so it is none of them.
UNLISTED = frozenset({SITE_JSON, "sw.js"})
GROUND, BAR = "#f7f5f0", "#2f5d4a"
# A place without which nothing runs, so that half a build is none.
NEEDED = ("spotter.js", "worker.js", "page.js", "page.css", "teach.js", "teach_worker.js", "teach.css")


def built_files(folder: Path | None = None) -> dict[str, bytes]:
    """The files that `npm run build` writes, by their paths in a site.

    Args:
        folder: where they are (None: in this package).

    Raises:
        SiteNotBuilt: they are not there.
    """
    folder = folder or package_file("web", "static")
    found = {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }
    if any(name not in found for name in NEEDED):
        raise SiteNotBuilt(
            "The browser edition is not built in this checkout; install Node.js 20 or newer, which brings npm, and "
            "run scripts/build_web."
        )
    return found


def model_folder(store: str, predictor: Predictor) -> Path:
    """The folder with the files of a loaded model, its card too.

    Raises:
        As `Store.pull`.
    """
    return open_store(store).pull(predictor.revision, {CARD})[0]


def site_files(
    revision: Path, predictor: Predictor, built: Mapping[str, bytes], hub: HubPlace | None = None
) -> dict[str, bytes]:
    """All files of the site of a model, by their paths in it. The same revision gives the same bytes.

    Args:
        revision: the folder with its files. predictor: the same model, with the network that the site is to use.
        built: what `built_files` gave. hub: where visitors may put what they teach.

    Raises:
        BrokenModel: a file is not the one that `model.json` promises.
    """
    title = in_one_line(predictor.card.title)
    picture, probabilities = choose_picture(predictor)
    reason = why_not(predictor.network, predictor.card.made, (revision / predictor.network).read_bytes())
    of_model, how = _model_files(revision, predictor)
    files = {
        **built,
        **of_model,
        **_small_examples(of_model, predictor),
        **_languages(predictor),
        SELF_TEST: picture,
        MANIFEST: _to_json(_manifest(title, built)),
        INDEX: _index(title, predictor, not reason),
    }
    if not reason:
        files |= teach_files(title, hub)
    files[SITE_JSON] = _to_json(
        {
            "format": FORMAT,
            "spotter": spotter.__version__,
            "revision": predictor.revision,
            "contents": predictor.contents,
            "network": predictor.network,
            "title": title,
            "languages": LANGUAGES,
            "files": {name: _described(name, files[name], how.get(name)) for name in sorted(files.keys() - UNLISTED)},
            "self_test": {"file": SELF_TEST, "probabilities": probabilities},
            "teach": not reason,
            **({"teach_reason": reason} if reason else {}),
            **({"hub": hub.told()} if hub and not reason else {}),
        }
    )
    return files


def with_parity(files: Mapping[str, bytes], parity: Mapping[str, Any]) -> dict[str, bytes]:
    """The same files, and in `site.json` how the site answered when it was tried."""
    return {**files, SITE_JSON: _to_json(json.loads(files[SITE_JSON]) | {"parity": parity})}


def read_site(content: bytes) -> dict[str, Any] | None:
    """What a `site.json` says; None when it is not one of ours."""
    try:
        told = json.loads(content)
    except (ValueError, RecursionError):
        return None
    is_ours = isinstance(told, dict) and isinstance(told.get("files"), dict) and "spotter.js" in told["files"]
    return told if is_ours and "spotter" in told else None


def write_site(to: Path, files: Mapping[str, bytes]) -> None:
    """Write a site in one step: there is all of it or none. A site of ours that is there already is replaced.

    Raises:
        SiteUnwritable: there is something else, or it cannot be written.
    """
    check_place(to)
    to = to.resolve()
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        with claimed_folder(to.parent, f".{to.name}.") as folder:
            made, before = folder / "site", folder / "before"
            _write_files(made, files)
            if to.exists():
                to.rename(before)
            try:
                made.rename(to)
            except OSError:
                if before.exists():
                    before.rename(to)
                raise
    except OSError as error:
        raise SiteUnwritable(f"The site cannot be written to {str(to)!r}: {error.strerror or error}.") from error


def check_place(to: Path) -> None:
    """Find out whether a site may be written to a folder: nothing of somebody else's is there.

    Raises:
        SiteUnwritable: something is.
    """
    try:
        if not to.exists() or (to.is_dir() and not any(to.iterdir())):
            return
        is_ours = to.is_dir() and read_site((to / SITE_JSON).read_bytes()) is not None
    except OSError:
        is_ours = False
    if not is_ours:
        raise SiteUnwritable(f"{str(to)!r} holds something else than a site that Spotter made; choose another folder.")


def _write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def _model_files(revision: Path, predictor: Predictor) -> tuple[dict[str, bytes], dict[str, dict[str, Any]]]:
    """The files of the model, and what `pack` told of those that are packed."""
    model_json = (revision / MODEL_JSON).read_bytes()
    promised = promised_hashes(model_json) or {}
    packed = {predictor.network, REFERENCE}
    examples = {path.name for path in predictor.examples.values()}
    plain = [name for name in (THUMBNAILS, METRICS, CARD, *sorted(examples)) if name in promised]
    files, how = {f"{MODEL}/{MODEL_JSON}": model_json}, {}
    for name in (*sorted(packed), *plain):
        path = revision / name
        if name not in packed and not path.exists():
            # What an older version pulled from the Hub is without these.
            continue
        content = path.read_bytes()
        if hash_of(content) != promised[name]:
            raise BrokenModel(f"The model's {name} is damaged or was changed: its hash is not the one in model.json.")
        place = f"{MODEL}/{name}"
        if name in packed:
            place += PACKED
            content, how[place] = pack(content, name)
        files[place] = content
    return files, how


def _small_examples(files: Mapping[str, bytes], predictor: Predictor) -> dict[str, bytes]:
    """The examples as the page shows them, before anybody asks for one: a tenth of their bytes."""
    found = {}
    for path in predictor.examples.values():
        if content := files.get(f"{MODEL}/{path.name}"):
            small = ImageOps.fit(load_picture(content), (EXAMPLE_SIDE, EXAMPLE_SIDE))
            found[f"{SMALL}/{path.name}"] = encode_jpeg(small, EXAMPLE_QUALITY)
    return found


def _languages(predictor: Predictor) -> dict[str, bytes]:
    about = read_about(predictor.card, predictor.metrics, predictor.revision)
    return {
        f"languages/{language}.json": _to_json(
            {
                "name": name,
                "texts": texts(language),
                "about_html": about_html(about, language),
                "error": error_sentence(about, language),
            }
        )
        for language, name in LANGUAGES.items()
    }


def _manifest(title: str, built: Mapping[str, bytes]) -> dict[str, Any]:
    return {
        "name": title,
        "short_name": title[:30],
        "start_url": "./",
        "scope": "./",
        "display": "standalone",
        "background_color": GROUND,
        "theme_color": BAR,
        "icons": [
            _icon(name, content) for name, content in sorted(built.items()) if Path(name).stem.startswith("icon")
        ],
    }


def _icon(name: str, content: bytes) -> dict[str, str]:
    if name.endswith(".svg"):
        return {"src": name, "sizes": "any", "type": "image/svg+xml"}
    with Image.open(BytesIO(content)) as picture:
        size = "x".join(map(str, picture.size))
    purpose = {"purpose": "maskable"} if "maskable" in name else {}
    return {"src": name, "sizes": size, "type": "image/png", **purpose}


def _index(title: str, predictor: Predictor, teach: bool) -> bytes:
    described = f"Tells apart {join_labels(predictor.labels, 'en')}, in your browser."
    # A title may hold half of a surrogate pair, which is no text.
    page = render_template(
        "web", INDEX, title=title, description=described, languages=LANGUAGES, teach=teach, hosts=(), root="./"
    )
    return page.encode("utf-8", "replace")


def _described(name: str, content: bytes, packed: Mapping[str, Any] | None) -> dict[str, Any]:
    told: dict[str, Any] = {"bytes": len(content), "sha256": hash_of(content)}
    if name.endswith(PACKED):
        # What the build packed is told by nobody.
        told |= packed or describe_unpacked(gzip.decompress(content))
    return told


def _to_json(content: object) -> bytes:
    return json.dumps(content, indent=1, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
