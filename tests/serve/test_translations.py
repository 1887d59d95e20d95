"""The page's texts: complete in every language, and the language of a visitor."""

import string

import pytest

from spotter.translations import (
    _TEXTS,
    LANGUAGES,
    as_message,
    join_labels,
    messages,
    name_key,
    pick_language,
    say,
    say_html,
)


@pytest.mark.parametrize("key", _TEXTS)
def test_every_text_is_in_every_language_with_the_same_values(key: str) -> None:
    texts = _TEXTS[key]
    assert len(texts) == len(LANGUAGES)
    assert all(text.strip() for text in texts)
    values = [{name for _, name, _, _ in string.Formatter().parse(text) if name} for text in texts]
    assert values.count(values[0]) == len(LANGUAGES)
    # A copy of the English text is a forgotten translation, but for names.
    assert key in {"other", "use_javascript"} or len(set(texts)) > 1


def test_gradio_gets_texts_without_values_under_keys_of_ours() -> None:
    for language in LANGUAGES:
        table = messages(language)
        assert all(key.startswith("spotter_") and "." not in key and "-" not in key for key in table)
        assert not any("{" in text for text in table.values())
    assert messages("es")[name_key("why")] == "¿Por qué?"


@pytest.mark.parametrize(
    ("header", "language"),
    [
        (None, "en"),
        ("", "en"),
        ("es", "es"),
        ("es-MX,es;q=0.9,en;q=0.8", "es"),
        ("zh-CN,zh;q=0.9", "zh"),
        ("zh-TW", "zh"),
        ("de-DE,es;q=0.9", "en"),
        ("en;q=0.5,es;q=0.9", "es"),
        ("*", "en"),
        (";;,,q=x", "en"),
        ("es;q=1.2.3", "es"),
    ],
)
def test_the_language_is_that_of_the_first_choice(header: str | None, language: str) -> None:
    assert pick_language(header) == language


def test_values_are_escaped_for_html() -> None:
    assert say_html("evidence", "en", label="<b>") == say("evidence", "en", label="&lt;b&gt;")


def test_labels_are_listed_as_people_do() -> None:
    assert join_labels(("a", "b", "c"), "en") == "a, b and c"
    assert join_labels(("a", "b", "c"), "zh") == "a、b和c"
    assert join_labels(tuple("abcdefghijklmnop"), "es") == "a, b, c, d, e, f, g, h, i, j, k, … y p"


def test_html_for_gradios_table_has_no_braces_or_quotes() -> None:
    assert as_message("<i>{'x'}</i>") == "<i>&#123;&#39;x&#39;&#125;</i>"
