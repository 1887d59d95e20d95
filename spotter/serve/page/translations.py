"""Translations of the page, and which language a visitor gets. The texts are in `serve/locales`."""

import functools
import json
from typing import Any

from markupsafe import Markup

from spotter.utils.files import package_file

# Each with its own name. The first is for whoever reads none of them.
LANGUAGES = {"en": "English", "de": "Deutsch", "es": "Español", "fr": "Français", "zh": "中文"}


# Where a comma stands before the tenths.
_COMMA = frozenset({"de", "es", "fr"})


def as_written(number: str, language: str) -> str:
    """A number, or a share in per cent, as it is written in a language: "12,3 %" in German."""
    return number.replace(".", ",") if language in _COMMA else number


def translate(key: str, language: str, **values: Any) -> str:
    """A sentence in a language, with values put in as they are.

    Raises:
        KeyError: there is no such key, language or value.
    """
    return texts(language)[key].format(**values)


def translate_html(key: str, language: str, **values: Any) -> Markup:
    """The same as HTML: text and values escaped, but values that are `Markup`.

    Raises:
        KeyError: there is no such key, language or value.
    """
    return Markup.escape(texts(language)[key]).format(**values)


@functools.cache
def texts(language: str) -> dict[str, str]:
    """All texts of a language, values as `{name}`. Model titles and labels are the model's own words, so not there.

    Raises:
        KeyError: there is no such language.
    """
    if language not in LANGUAGES:
        raise KeyError(language)
    content: dict[str, str] = json.loads(package_file("serve", f"locales/{language}.json").read_bytes())
    return content


def has_text(key: str) -> bool:
    """Whether there is such a text."""
    return key in texts("en")


def join_labels(labels: tuple[str, ...], language: str, most: int = 12, last: str = "and") -> str:
    """Labels as people list them: of more than `most`, some, and the last, behind "and" or "or"."""
    comma, before = translate("comma", language), translate(last, language)
    if len(labels) < 2:
        return comma.join(labels)
    skipped = f"{comma}…" if len(labels) > most else ""
    return comma.join(labels[:-1][: most - 1]) + skipped + before + labels[-1]


def pick_language(accepted: str | None, asked: str | None = None) -> str:
    """The language that was `asked` for; else that of the first choice of an Accept-Language header; else English.

    The page itself goes by the same rule: see `serve/static/early.js`.
    """
    if asked in LANGUAGES:
        return str(asked)
    choices = []
    for position, part in enumerate((accepted or "").split(",")):
        tag, _, weight = part.strip().partition(";")
        text = weight.strip().removeprefix("q=")
        choices.append((-float(text) if text.replace(".", "", 1).isdecimal() else -1.0, position, tag.strip().lower()))
    base = min(choices)[2].partition("-")[0]
    return base if base in LANGUAGES else "en"


def messages(language: str) -> dict[str, str]:
    """The texts without values, under the keys that `name_key` gives, as Gradio's page takes them."""
    return {name_key(key): text for key, text in texts(language).items() if "{" not in text}


def name_key(key: str) -> str:
    """The key of a text in Gradio's own table, which has short words of its own."""
    return f"spotter_{key.replace('-', '_')}"


def as_message(markup: str) -> str:
    """HTML that Gradio's table takes for a text without values: braces and quotes mean something there."""
    return markup.replace("'", "&#39;").replace("{", "&#123;").replace("}", "&#125;")
