"""The README tells every command, flag and source, and its tree is the real one."""

import os
import re
import subprocess
import sys

import pytest

from spotter.search import BACKENDS
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text()
SCRIPTS = sorted(path.name for path in (ROOT / "scripts").iterdir() if path.suffix == "")


def help_of(*command: str) -> str:
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": "."}, capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.parametrize(
    "program",
    [
        "train.py",
        "app.py",
        "scripts/collect.py",
        "scripts/classify.py",
        "scripts/features.py",
        "scripts/serve.py",
        "scripts/rollback.py",
        "scripts/bench.py",
        "scripts/convert.py",
        "scripts/blog.py",
        "scripts/deploy_space.py",
        "scripts/feedback.py",
        "scripts/premortem.py",
        "-m spotter.cleaner",
        "-m spotter.monitor_report",
        "scripts/simulate.py",
    ],
)
def test_every_flag_is_in_the_readme(program: str) -> None:
    text = help_of(sys.executable, *program.split(), "--help")
    flags = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) - {"--help"}
    assert flags
    assert [flag for flag in flags if f"`{flag}" not in README] == []


@pytest.mark.parametrize("name", BACKENDS)
def test_every_source_is_in_the_readme(name: str) -> None:
    assert re.search(rf"`{name}[:`]", README)


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_is_in_the_readme_and_has_help(name: str) -> None:
    assert f"scripts/{name}" in README
    assert help_of("bash", f"scripts/{name}", "--help").strip()


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


def test_pictures_and_links_exist() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
