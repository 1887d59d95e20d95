"""Every snippet that people copy does what it says: from the page, README and docs, and the help of a running app."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from spotter.feedback.store import FeedbackFolder
from spotter.serve.page.snippets import ADDRESS, Snippet, program_snippets
from spotter.serve.service import AppOptions, ModelInfo
from tests.conftest import ROOT
from tests.helpers.pictures import BLUE, LABELS, encode, plain
from tests.helpers.rolling import rolling

README_ADDRESS = "http://127.0.0.1:7860"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An app with all that it may do besides answering: a program that asks it has to end all the same."""
    folder = tmp_path_factory.mktemp("app")
    entries = FeedbackFolder(folder / "feedback")
    info = ModelInfo("Bears?", LABELS, "r-1", 0.5)
    info = replace(info, options=AppOptions(keep=entries.add, forget=entries.delete))
    with rolling(folder / "log", "full", info) as app:
        yield app.url


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "picture.jpg").write_bytes(encode(plain(BLUE), "JPEG"))
    with zipfile.ZipFile(tmp_path / "pictures.zip", "w") as archive:
        archive.writestr("a.png", encode(plain(BLUE)))
    return tmp_path


def run(language: str, code: str, place: Path, node: Path | None = None) -> str:
    file = place / {"python": "snippet.py", "javascript": "snippet.mjs", "sh": "snippet.sh"}[language]
    file.write_text(code)
    if language == "javascript":
        assert node
        (place / "node_modules").symlink_to(node / "node_modules")
    program = {"python": sys.executable, "javascript": "node", "sh": "sh"}[language]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(place)}
    done = subprocess.run(
        [program, file.name], cwd=place, env=environment, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("snippet", program_snippets(), ids=lambda snippet: snippet.key)
def test_every_snippet_of_the_page_classifies(
    snippet: Snippet, url: str, place: Path, request: pytest.FixtureRequest
) -> None:
    node = request.getfixturevalue("node_folder") if snippet.language == "javascript" else None
    assert ADDRESS not in snippet.at(url)
    assert "black" in run(snippet.language, snippet.at(url), place, node)


def blocks(text: str, language: str) -> list[str]:
    return [block for block in re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL) if README_ADDRESS in block]


@pytest.mark.slow
@pytest.mark.parametrize("language", ["python", "javascript", "sh"])
def test_every_call_in_the_docs_works(language: str, url: str, place: Path, request: pytest.FixtureRequest) -> None:
    pages = (ROOT / "README.md", ROOT / "docs" / "serving.md")
    found = list(dict.fromkeys(block for page in pages for block in blocks(page.read_text(), language)))
    calls = [block for block in found if re.search(r"^(curl|from gradio_client|import)", block, re.MULTILINE)]
    assert calls
    node = request.getfixturevalue("node_folder") if language == "javascript" else None
    for number, block in enumerate(calls):
        here = place / str(number)
        shutil.copytree(place, here, ignore=lambda _, names: [name for name in names if name.isdigit()])
        code = block.replace(README_ADDRESS, url)
        if language == "sh":
            code = "set -e\n" + "\n".join(
                line.replace("curl ", "curl -fsS ") for line in code.splitlines() if "curl" in line
            )
        run(language, code, here, node)


@pytest.mark.slow
def test_the_calls_in_the_help_work(url: str, place: Path) -> None:
    help_text = run("sh", f"curl -fsS {url}/api", place)
    curl = re.search(r"^ +(curl .*)$", help_text, re.MULTILINE)
    assert curl
    assert '"label":"black"' in run("sh", curl[1], place)
