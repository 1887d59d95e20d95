"""`pip install .` gives the commands, with the pins of the requirements files."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from spotter import __version__
from spotter.cli import COMMANDS
from tests.conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# What no app has.
TRAINING = ("torch", "torchvision", "fastai", "timm", "sklearn", "scipy", "matplotlib", "ddgs", "protego", "ray")


def pins(name: str) -> list[str]:
    return re.findall(r"^\S+==\S+$", (ROOT / name).read_text(), re.MULTILINE)


def test_the_package_pins_what_the_requirements_pin() -> None:
    assert PROJECT["dependencies"] == pins("requirements.txt")
    extras = {name: pins(f"requirements-{name}.txt") for name in ("train", "ray", "camera")}
    assert PROJECT["optional-dependencies"] == extras


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the package alone, which sees what is installed here."""
    folder = tmp_path_factory.mktemp("installed")
    # pip builds in place, and would leave its folders in the checkout.
    copy = folder / "checkout"
    shutil.copytree(ROOT / "spotter", copy / "spotter", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    made = subprocess.run([*pip, "wheel", "--no-deps", "-w", folder, copy], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"pip cannot get what builds a package here: {made.stderr.strip().splitlines()[-1][:200]}")
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        others = {path.relative_to(copy).as_posix() for path in (copy / "spotter").rglob("*.*") if path.suffix != ".py"}
        assert any(name.endswith(".dist-info/licenses/LICENSE") for name in archive.namelist())
        assert {"spotter/serve/locales/zh.json", "spotter/py.typed"} <= others <= set(archive.namelist())
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    site = next((folder / "venv" / "lib").glob("python*/site-packages"))
    (site / "here.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
    python = folder / "venv" / "bin" / "python"
    subprocess.run([*pip, "--python", python, "install", "--no-deps", "--no-index", wheel], check=True)
    return folder / "venv" / "bin"


def test_the_installed_version_is_that_of_the_package(installed: Path, tmp_path: Path) -> None:
    code = "import importlib.metadata, spotter; print(importlib.metadata.version('spotter'), spotter.__version__)"
    shown = subprocess.run([installed / "python", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    told, ours = shown.stdout.split()
    assert told == ours == __version__


@pytest.fixture(scope="module")
def serving_set(installed: Path) -> dict[str, str]:
    """The environment variables that hide from the installed package what no app has."""
    hiding = installed.parent / "hiding"
    hiding.mkdir()
    refuse = f"import sys\nfor name in {TRAINING}: sys.modules[name] = None\n"
    (hiding / "sitecustomize.py").write_text(refuse)
    return {**os.environ, "PYTHONPATH": str(hiding), "COLUMNS": "80"}


def test_one_command_is_installed_and_nothing_else(installed: Path) -> None:
    assert sorted(path.name for path in installed.iterdir() if path.name.startswith("spotter")) == ["spotter"]
    site = next((installed.parent / "lib").glob("python*/site-packages"))
    assert sorted(path.name for path in site.iterdir() if path.suffix in {".py", ""}) == ["spotter"]


@pytest.mark.parametrize("name", [*COMMANDS, "clean apply"])
def test_each_command_tells_its_options_in_the_serving_set(
    name: str, installed: Path, serving_set: dict[str, str], tmp_path: Path
) -> None:
    command = [installed / "spotter", *name.split(), "--help"]
    shown = subprocess.run(command, cwd=tmp_path, env=serving_set, capture_output=True, text=True, check=False)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert f"usage: spotter {name} " in shown.stdout


def test_the_installed_command_tells_failures_in_its_own_name(installed: Path, tmp_path: Path) -> None:
    command = [installed / "spotter", "train", "bears.toml"]
    failed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (failed.returncode, failed.stderr) == (1, "spotter train: There is no recipe 'bears.toml'.\n")


def test_what_the_serving_set_cannot_do_is_one_sentence(
    installed: Path, serving_set: dict[str, str], tmp_path: Path
) -> None:
    command = [installed / "spotter", "train", "bears.toml"]
    failed = subprocess.run(command, cwd=tmp_path, env=serving_set, capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert failed.stderr.startswith("spotter train: This needs the package ")
    assert "pip install 'spotter[train]'" in failed.stderr
    assert len(failed.stderr.splitlines()) == 1


def test_a_space_needs_a_checkout(installed: Path, tmp_path: Path) -> None:
    command = [installed / "spotter", "deploy", "hf://owner/space", "--model", "hf://owner/bears"]
    failed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert failed.stderr.startswith("spotter deploy: A Space needs the files of a checkout, ")
