"""The page's texts: complete in every language, and the language of a visitor."""

import json
import string

import pytest
from markupsafe import Markup

from spotter.serve.page.translations import (
    LANGUAGES,
    as_message,
    join_labels,
    messages,
    name_key,
    pick_language,
    texts,
    translate,
    translate_html,
)
from spotter.utils.files import package_file

SAME = {
    "other": {"de", "es", "fr", "zh"},
    "comma": {"de", "es", "fr"},
    "no": {"es"},
    "about_source": {"fr"},
    "about_license": {"fr"},
    "about_revision": {"de"},
}


def test_the_languages_are_the_files_beside_the_page() -> None:
    files = package_file("serve", "locales").iterdir()
    assert {file.name for file in files} == {f"{language}.json" for language in LANGUAGES}
    with pytest.raises(KeyError):
        translate("start", "../en")


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_the_same_texts_in_the_same_order(language: str) -> None:
    def refuse_doubles(pairs: list[tuple[str, str]]) -> dict[str, str]:
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    content = package_file("serve", f"locales/{language}.json").read_text(encoding="utf-8")
    # A translator who goes through two files side by side finds the same on both sides.
    assert list(json.loads(content, object_pairs_hook=refuse_doubles)) == list(texts("en"))


@pytest.mark.parametrize("key", texts("en"))
def test_every_text_is_in_every_language_with_the_same_values(key: str) -> None:
    found = [texts(language)[key] for language in LANGUAGES]
    assert all(text.strip() for text in found)
    values = [{name for _, name, _, _ in string.Formatter().parse(text) if name is not None} for text in found]
    assert values.count(values[0]) == len(LANGUAGES)
    assert all(name.isidentifier() for name in values[0])
    # A copy of the English text is a forgotten translation, but for words that are the same.
    copies = {language for language in LANGUAGES if texts(language)[key] == texts("en")[key]} - {"en"}
    assert copies <= SAME.get(key, set())


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
        ("zh", "zh"),
        ("de-AT,es;q=0.9", "de"),
        ("fr", "fr"),
        ("pt-BR,es;q=0.9", "en"),
        ("en;q=0.5,es;q=0.9", "es"),
        ("*", "en"),
        (";;,,q=x", "en"),
        ("es;q=1.2.3", "es"),
    ],
)
def test_the_language_is_that_of_the_first_choice(header: str | None, language: str) -> None:
    assert pick_language(header) == language


@pytest.mark.parametrize("asked", [*LANGUAGES, "", None, "xx", "de-AT", "../en"])
def test_what_the_address_asks_for_comes_first_if_it_is_there(asked: str | None) -> None:
    assert pick_language("fr", asked) == (asked if asked in LANGUAGES else "fr")


def test_values_are_escaped_for_html() -> None:
    assert translate_html("evidence", "en", label="<b>") == translate("evidence", "en", label="&lt;b&gt;")
    assert translate_html("use_embed_text", "es").count("&#34;dark&#34;") == 1


def test_html_as_a_value_stays_html() -> None:
    assert "<a>x</a>" in translate_html("use_more", "zh", link=Markup("<a>x</a>"))


def test_labels_are_listed_as_people_do() -> None:
    assert join_labels(("a", "b", "c"), "en") == "a, b and c"
    assert join_labels(("a", "b", "c"), "zh") == "a、b和c"
    assert join_labels(tuple("abcdefghijklmnop"), "es") == "a, b, c, d, e, f, g, h, i, j, k, … y p"


def test_html_for_gradios_table_has_no_braces_or_quotes() -> None:
    assert as_message("<i>{'x'}</i>") == "<i>&#123;&#39;x&#39;&#125;</i>"
