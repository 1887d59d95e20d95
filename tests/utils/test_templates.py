"""Templates: HTML escapes, Markdown has its filter, and no page is put together by hand."""

from pathlib import Path

import pytest
from jinja2 import TemplateNotFound, UndefinedError
from markupsafe import Markup

from spotter.errors import DatasetUnwritable
from spotter.utils.templates import render_template, write_page
from tests.conftest import ROOT

EVIL = "<b>'\"&"


def test_html_escapes_all_but_what_is_html_already() -> None:
    assert render_template("serve", "note.html", words=EVIL) == "<p>&lt;b&gt;&#39;&#34;&amp;</p>\n"
    assert render_template("serve", "note.html", words=Markup("<i>x</i>")) == "<p><i>x</i></p>\n"


def test_other_kinds_are_left_as_they_are() -> None:
    assert render_template("serve", "snippets/curl.txt", address=EVIL).endswith(f" {EVIL}/api/classify\n")


def test_what_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(UndefinedError, match="words"):
        render_template("serve", "note.html")
    with pytest.raises(TemplateNotFound):
        render_template("clean", "note.html")
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetUnwritable, match="cannot be written"):
        write_page(tmp_path / "file" / "a.html", "serve", "note.html", words="x")


def test_no_module_makes_html_by_hand() -> None:
    modules = {path: path.read_text(encoding="utf-8") for path in (ROOT / "spotter").rglob("*.py")}
    assert len(modules) > 100
    assert [path.name for path, text in modules.items() if "html.escape" in text] == []
