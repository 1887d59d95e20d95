"""README and docs: short enough to be read, every command known, every link alive, every quoted message really said."""

import ast
import contextlib
import io
import os
import re
import runpy
import subprocess
import sys
import warnings
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest

from spotter.cli import COMMANDS, load_command, main, make_parser
from spotter.evaluate.shifts import SHIFTS
from spotter.search import BACKENDS
from tests.conftest import ROOT, Revision
from tests.helpers import pages
from tests.helpers.drawing import write_folder

DOCS = ROOT / "docs"
README = (ROOT / "README.md").read_text()
TROUBLESHOOTING = (DOCS / "troubleshooting.md").read_text()
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md")), DOCS / "tutorial.ipynb"]
# Pages that people read from the beginning; the others are written by programs.
WRITTEN = [page for page in PAGES if page.suffix == ".md" and page.name not in {"api.md", "cli.md"}]
SAID = sorted(
    {said for text in (README, TROUBLESHOOTING) for said in re.findall(r"^\| \*(.+?)\* \|", text, re.MULTILINE)}
)
SCRIPTS = sorted(path.name for path in (ROOT / "scripts").iterdir() if path.is_file() and not path.suffix)
TREE = re.search(r"```\n(train\.py .*?)```", README, re.DOTALL)


def test_the_readme_is_short() -> None:
    lines = README.splitlines()
    assert len(lines) <= 250
    assert [line for line in lines if len(line) > 120] == []


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: str(page.relative_to(ROOT)))
def test_sentences_are_short(page: Path) -> None:
    lengths = [len(sentence.split()) for sentence in pages.sentences(page.read_text())]
    assert not lengths or sum(lengths) / len(lengths) <= 20


@cache
def help_of(name: str) -> str:
    """What a script says of itself. A file of Python that needs half of Spotter tells it in this process."""
    script = (ROOT / "scripts" / name).read_text()
    file = re.search(
        r'^PYTHONPATH=\. exec \.venv/bin/python (benchmarks/\w+\.py|scripts/api_docs\.py) "\$@"$', script, re.M
    )
    if file:
        told = io.StringIO()
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(told), warnings.catch_warnings():
            patch.setattr(sys, "argv", [file[1], "--help"])
            patch.setattr(sys, "path", [str((ROOT / file[1]).parent), *sys.path])
            patch.setenv("COLUMNS", "80")
            with pytest.raises(SystemExit) as ended:
                runpy.run_path(str(ROOT / file[1]), run_name="__main__")
        assert not ended.value.code
        return told.getvalue()
    command, environment = ["bash", f"scripts/{name}", "--help"], {**os.environ, "PYTHONPATH": ".", "COLUMNS": "80"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(("script", "page"), [("bench", "figures.md"), ("simulate", "monitoring.md")])
def test_every_flag_of_what_measures_is_in_its_page(script: str, page: str) -> None:
    flags = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", help_of(script))) - {"--help"}
    text = (DOCS / page).read_text()
    assert flags
    assert [flag for flag in flags if f"`{flag}" not in text] == []


@pytest.mark.parametrize("name", BACKENDS)
def test_every_source_is_in_the_docs(name: str) -> None:
    assert re.search(rf"^\| `{name}[:`]", (DOCS / "collecting.md").read_text(), re.MULTILINE)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_docs(name: str) -> None:
    assert f"spotter {name}" in "".join(page.read_text() for page in WRITTEN)


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_is_known_and_has_help(name: str) -> None:
    text = (ROOT / "scripts" / name).read_text()
    if "-m spotter " not in text:
        assert any(f"scripts/{name}" in page.read_text() for page in WRITTEN)
        assert 0 < len(help_of(name).strip().splitlines()) <= 40


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_of_a_page_is_understood(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its flags and their values are such as the command takes; it is not run."""
    for words in pages.commands(page):
        if words[0] == "spotter" and words[1] in COMMANDS:
            parser = make_parser(load_command(words[1]), f"spotter {words[1]}")
            try:
                parser.parse_args(words[2:])
            except SystemExit:
                told = capsys.readouterr().err
                # What belongs to the reader is not there.
                assert re.search("there is no (folder|file) '", told), (words, told)
        else:
            assert words[0] != "spotter", words
            assert not words[0].startswith("scripts/") or words[0].removeprefix("scripts/") in SCRIPTS, words


def test_the_commands_of_the_stress_test_run(
    prebuilt: Revision, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "bears").symlink_to(prebuilt.store)
    for name in ("new", "night"):
        write_folder(tmp_path / "pictures" / name, count=2, shrink=3)
    monkeypatch.chdir(tmp_path)
    found = [words for words in pages.commands(DOCS / "publishing.md") if words[:2] == ["spotter", "stress"]]
    here = [words for words in found if "models/bears" in words]
    assert len(here) == 4
    for words in here:
        assert main(words[1:]) == 0
        assert re.search("^as they are  +6 ", capsys.readouterr().out, re.MULTILINE)
    assert (tmp_path / "stress.html").is_file()


def test_the_table_of_shifts_names_them_all() -> None:
    text = (DOCS / "publishing.md").read_text()
    rows = re.findall(r"^\| (`[a-z-]+`(?:, `[a-z-]+`)*) \| [^|]+ \| [^|]+ \|$", text, re.MULTILINE)
    assert [name.strip("`") for row in rows for name in row.split(", ")] == list(SHIFTS)


def test_the_tree_names_what_is_there() -> None:
    assert TREE
    indent: list[str] = []
    named: set[str] = set()
    for line in TREE[1].splitlines():
        depth, name = (len(line) - len(line.lstrip())) // 2, line.split()[0]
        indent[depth:] = [name]
        path = ROOT.joinpath(*indent)
        assert path.is_dir() if name.endswith("/") else path.is_file(), path
        named.add("/".join(part.rstrip("/") for part in indent))
    packages = {f"spotter/{path.parent.name}" for path in (ROOT / "spotter").glob("*/__init__.py")}
    assert packages - named == set()


def test_every_package_says_what_is_in_it() -> None:
    for path in (ROOT / "spotter").glob("*/__init__.py"):
        assert ast.get_docstring(ast.parse(path.read_text())), path


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
    text = page.read_text()
    targets = re.findall(r"\]\((?!https?:)([^)]+)\)|^\[\w+\]: (?!https?:)(\S+)$", text, re.MULTILINE)
    for target in ("".join(found) for found in targets):
        name, _, heading = unquote(target).partition("#")
        there = (page.parent / name).resolve() if name else page
        assert there.exists(), target
        assert not heading or heading in anchors(there), target


def test_pictures_are_small() -> None:
    pictures = [*DOCS.rglob("*.png"), *DOCS.rglob("*.jpg")]
    assert pictures
    assert [(picture.name, picture.stat().st_size) for picture in pictures if picture.stat().st_size > 150_000] == []


def test_every_page_is_in_the_index() -> None:
    index = (DOCS / "README.md").read_text()
    there = {page.name for page in DOCS.iterdir() if page.suffix in {".md", ".ipynb"}} - {"README.md"}
    assert [name for name in sorted(there) if f"({name})" not in index] == []


@cache
def texts() -> tuple[str, ...]:
    """Every text in the code; what is put into it at run time is left out."""
    found: list[str] = []
    for path in (ROOT / "app.py", *(ROOT / "spotter").rglob("*.py"), *(ROOT / "scripts").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                found.append("".join(str(v.value) if isinstance(v, ast.Constant) else "..." for v in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    files = (*(ROOT / "scripts").iterdir(), *(ROOT / "spotter").rglob("locales/*.json"))
    kept = (path for path in files if path.is_file() and path.suffix in {"", ".json"})
    return (*found, *(path.read_text() for path in kept))


@pytest.mark.parametrize("said", SAID)
def test_what_the_docs_quote_is_really_said(said: str) -> None:
    pattern = ".*".join(re.escape(part) for part in said.split("..."))
    assert len(said.replace("...", "")) > 15, "too short to be found by"
    assert any(re.search(pattern, text, re.DOTALL) for text in texts()), said


def test_many_troubles_are_quoted() -> None:
    assert len(SAID) > 20
    assert README.count("\n| *") == 8


def test_what_is_said_names_no_script_that_an_installed_package_lacks() -> None:
    # Where both are told apart, the command of a revision that keeps its name, and what only works in a checkout.
    apart = {"pipeline.py", "publish/candidate.py", "cli/convert.py", "web/site.py", "deploy/serving_files.py"}
    package = ROOT / "spotter"
    found = []
    for path in sorted(package.rglob("*.py")):
        tree = ast.parse(path.read_text())
        kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        docstrings = {
            id(node.body[0].value) for node in ast.walk(tree) if isinstance(node, kinds) and is_text(node.body)
        }
        if path.relative_to(package).as_posix() in apart:
            continue
        found += [
            (path.name, node.value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
            if re.search(r"\bscripts/\w|\b(?:train|app)\.py -", node.value)
        ]
    assert found == []


def is_text(body: list[ast.stmt]) -> bool:
    return bool(body) and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)
