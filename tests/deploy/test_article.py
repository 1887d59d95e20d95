"""The article about a model: its figures, its plots, and that nothing in a model breaks out of it."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from spotter.bundle.format import MODEL_JSON
from spotter.deploy.article import write_article
from spotter.errors import ArticleUnwritable
from spotter.stores import FolderStore
from tests.conftest import ROOT, Revision

APP = "https://owner-shapes.hf.space"
EVIL = '<img src=x onerror=alert(1)> [a](javascript:b) "q" | `c`'


def test_the_article_has_figures_plots_sources_and_the_widget(prebuilt: Revision, tmp_path: Path) -> None:
    files = write_article(str(prebuilt.store), None, APP, tmp_path)
    assert {path.name for path in files} == {"article.md", "article.html", "confusion.png", "top_losses.png"}
    metrics = json.loads((prebuilt.folder / "metrics.json").read_text())
    low, high = metrics["error_interval"]
    figures = (f"{100 * metrics['error']:.1f} %", f"{100 * low:.1f} %", f"{100 * high:.1f} %")
    for name in ("article.md", "article.html"):
        text = (tmp_path / name).read_text()
        for words in (
            *figures,
            "disc, cross and stripes",
            f'<script src="{APP}/embed.js" async></script>',
            f'<spotter-app src="{APP}" theme="light">',
            # Where scripts and unknown elements are taken out, a link is left.
            f'<a href="{APP}">',
            prebuilt.revision,
            "decide about people",
        ):
            assert words in text, words
        for plot in ("confusion.png", "top_losses.png"):
            assert plot in text
            assert (tmp_path / plot).read_bytes() == (prebuilt.folder / plot).read_bytes()
        assert not re.search(r"\{[{%]", text)


def test_without_an_app_there_is_no_widget(prebuilt: Revision, tmp_path: Path) -> None:
    write_article(str(prebuilt.store), prebuilt.revision, "", tmp_path)
    assert "<spotter-app" not in (tmp_path / "article.md").read_text() + (tmp_path / "article.html").read_text()


def test_what_a_model_says_stays_words(prebuilt: Revision, tmp_path: Path) -> None:
    files = tmp_path / "files"
    shutil.copytree(prebuilt.folder, files)
    card = json.loads((files / MODEL_JSON).read_text())
    card |= {"title": EVIL, "labels": [EVIL, "cross", "stripes"], "arch": EVIL}
    card["made"]["origins"] = [{"label": "a", "source": EVIL, "license": EVIL, "pictures": 3}]
    (files / MODEL_JSON).write_text(json.dumps(card))
    FolderStore(tmp_path / "store").push(files)
    write_article(str(tmp_path / "store"), None, APP, tmp_path / "out")
    page = (tmp_path / "out" / "article.html").read_text()
    assert "<img src=x" not in page + (tmp_path / "out" / "article.md").read_text()
    write_article(str(tmp_path / "store"), None, "", tmp_path / "out")
    text = (tmp_path / "out" / "article.md").read_text()
    assert re.search(r"(?<!\\)\]\(javascript", text) is None


def test_a_folder_that_cannot_be_written_is_told(prebuilt: Revision, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ArticleUnwritable, match="cannot be written"):
        write_article(str(prebuilt.store), None, "", tmp_path / "file" / "x")


@pytest.mark.slow
def test_the_command_tells_what_it_wrote_and_refuses_odd_addresses(prebuilt: Revision, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "spotter", "article", str(prebuilt.store), "--to", str(tmp_path / "a")]
    done = subprocess.run(command, cwd=ROOT, env={"PYTHONPATH": "."}, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == str(tmp_path / "a")
    for odd in ("javascript:alert(1)", 'https://x/"><script>', "owner/name"):
        refused = subprocess.run([*command, "--app", odd], cwd=ROOT, env={"PYTHONPATH": "."}, capture_output=True)
        assert refused.returncode == 2
