"""`pip install .` gives the commands, with the pins of the requirements files."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from spotter import __version__
from tests.conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
COMMANDS = {"spotter-train": "--to STORE", "spotter-app": "--model STORE", "spotter-clean": "--as NAME"}


def pins(name: str) -> list[str]:
    return re.findall(r"^\S+==\S+$", (ROOT / name).read_text(), re.MULTILINE)


def test_the_package_pins_what_the_requirements_pin() -> None:
    assert PROJECT["dependencies"] == pins("requirements.txt")
    extras = {name: pins(f"requirements-{name}.txt") for name in ("train", "ray")}
    assert PROJECT["optional-dependencies"] == extras


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the package alone, which sees what is installed here."""
    folder = tmp_path_factory.mktemp("installed")
    # pip builds in place, and would leave its folders in the checkout.
    copy = folder / "checkout"
    shutil.copytree(ROOT / "spotter", copy / "spotter", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "app.py", "train.py"):
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


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_runs_away_from_the_checkout(name: str, installed: Path, tmp_path: Path) -> None:
    shown = subprocess.run([installed / name, "--help"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert COMMANDS[name] in shown.stdout
    # More would scroll away on a usual screen.
    assert len(shown.stdout.splitlines()) <= 40


def test_the_installed_command_tells_failures_as_ours_does(installed: Path, tmp_path: Path) -> None:
    command = [installed / "spotter-train", "bears.toml"]
    failed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (failed.returncode, failed.stderr) == (1, "train.py: There is no recipe 'bears.toml'.\n")
