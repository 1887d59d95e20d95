"""The JavaScript of the page: the files in `serve/static`, and the settings that they get from the server."""

import json

from spotter.serve.page.translations import LANGUAGES, translate
from spotter.utils.files import package_file

# The keys of what Gradio says in English only, to screen readers, and where.
_NAMES = {
    '[aria-label="Upload file"]': "name_upload",
    '[aria-label="Capture from camera"]': "name_camera",
    '[aria-label="Paste from clipboard"]': "name_paste",
    '[aria-label="Remove Image"]': "name_remove",
    '[aria-label="capture photo"]': "name_capture",
    # A slip of Gradio's: the key of its text, not the text.
    '[aria-label="common.upload"]': "name_more",
    '[aria-label="Clear"]': "name_clear",
}


def early_script() -> str:
    """What runs before anything of the page is drawn."""
    return f"{_read('early.js')}startEarly({json.dumps(list(LANGUAGES))});\n"


def embed_script() -> str:
    """What other pages load for `<spotter-app>`."""
    return _read("embed.js")


def gallery_script() -> str:
    """What runs when the examples appear."""
    return _read("gallery.js")


def snippet_script() -> str:
    """What runs when the snippets appear."""
    return _read("snippets.js")


def page_script(most_bytes: int) -> str:
    """What runs when the page is there, as a function.

    `most_bytes` is the size of the largest file that is taken.
    """
    keys = [*_NAMES.values(), "picture", "looking", "unreadable", "not-a-picture", "file_too_large"]
    keys += ["no_answer", "try_again"]
    limit = f"{most_bytes / 1e6:g}"
    texts = {language: {key: translate(key, language, limit=limit) for key in keys} for language in LANGUAGES}
    data = json.dumps({"texts": texts, "names": _NAMES, "most": most_bytes}, ensure_ascii=False)
    return f"() => {{\n{_read('page.js')}startPage({data});\n}}"


def _read(name: str) -> str:
    return package_file("serve", f"static/{name}").read_text(encoding="utf-8")
