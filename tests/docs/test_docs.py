"""The README tells every command, flag and source, its tree is the real one, and what it quotes is really said."""

import ast
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest

from spotter.search import BACKENDS
from spotter.translations import texts
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text()
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")), ROOT / "docs" / "tutorial.ipynb"]
TROUBLES = re.search(r"\n## When something goes wrong\n(.*?)\n## ", README, re.DOTALL)
SAID = re.findall(r"^\| \*(.+?)\* \|", TROUBLES[1], re.MULTILINE) if TROUBLES else []
SCRIPTS = sorted(path.name for path in (ROOT / "scripts").iterdir() if path.suffix == "")


@cache
def help_of(*command: str) -> str:
    environment = {**os.environ, "PYTHONPATH": ".", "COLUMNS": "80"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    "program",
    [
        "train.py",
        "app.py",
        "scripts/collect",
        "scripts/classify",
        "scripts/features",
        "scripts/serve",
        "scripts/rollback",
        "scripts/promote",
        "scripts/bench",
        "scripts/convert",
        "scripts/blog",
        "scripts/deploy_space",
        "scripts/feedback",
        "scripts/premortem",
        "scripts/clean",
        "scripts/report",
        "scripts/simulate",
    ],
)
def test_every_flag_is_in_the_readme(program: str) -> None:
    text = help_of("bash" if program.startswith("scripts/") else sys.executable, program, "--help")
    flags = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) - {"--help"}
    assert flags
    assert [flag for flag in flags if f"`{flag}" not in README] == []
    # More would scroll away on a usual screen.
    assert len(text.splitlines()) <= 40


@pytest.mark.parametrize("name", BACKENDS)
def test_every_source_is_in_the_readme(name: str) -> None:
    assert re.search(rf"`{name}[:`]", README)


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_is_in_the_readme_and_has_help(name: str) -> None:
    assert f"scripts/{name}" in README
    assert 0 < len(help_of("bash", f"scripts/{name}", "--help").strip().splitlines()) <= 40


def test_the_tree_names_files_that_exist() -> None:
    tree = re.search(r"```\n(app\.py .*?)```", README, re.DOTALL)
    assert tree
    indent: list[str] = []
    for line in tree[1].splitlines():
        depth, names = (len(line) - len(line.lstrip())) // 2, re.split(r" {2,}", line.strip())[0].split(", ")
        indent[depth:] = [names[-1]]
        for name in names:
            path = ROOT.joinpath(*indent[:depth], name)
            assert path.exists(), path


def test_the_space_front_matter_fits_the_requirements() -> None:
    front = README.split("---")[1]
    pinned = re.search(r"gradio==([\d.]+)", (ROOT / "requirements.txt").read_text())
    assert pinned
    assert f"sdk_version: {pinned[1]}" in front
    assert "app_file: app.py" in front
    short = re.search(r"short_description: (.*)", front)
    assert short
    assert len(short[1]) <= 60


def anchors(page: Path) -> set[str]:
    """The names that GitHub gives to a page's headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text()):
        name, _, heading = unquote(target).partition("#")
        there = (page.parent / name).resolve() if name else page
        assert there.exists(), target
        assert not heading or heading in anchors(there), target


def test_pictures_are_small() -> None:
    pictures = [*(ROOT / "docs").rglob("*.png"), *(ROOT / "docs").rglob("*.jpg")]
    assert pictures
    assert [(picture.name, picture.stat().st_size) for picture in pictures if picture.stat().st_size > 150_000] == []


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    pages = {page.name for page in (ROOT / "docs").iterdir() if page.suffix in {".md", ".ipynb"}} - {"README.md"}
    assert [name for name in sorted(pages) if f"({name})" not in index] == []


@cache
def sentences() -> tuple[str, ...]:
    """Every text in the code and of the page; what is put into it at run time is left out."""
    found = list(texts("en").values())
    for path in (ROOT / "app.py", *(ROOT / "spotter").rglob("*.py"), *(ROOT / "scripts").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                found.append("".join(str(v.value) if isinstance(v, ast.Constant) else "..." for v in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return (*found, *(path.read_text() for path in (ROOT / "scripts").iterdir() if path.suffix == ""))


@pytest.mark.parametrize("said", SAID)
def test_what_the_readme_quotes_is_really_said(said: str) -> None:
    pattern = ".*".join(re.escape(part) for part in said.split("..."))
    assert len(said.replace("...", "")) > 15, "too short to be found by"
    assert any(re.search(pattern, sentence, re.DOTALL) for sentence in sentences()), said


def test_the_readme_quotes_many_troubles() -> None:
    assert len(SAID) > 15
