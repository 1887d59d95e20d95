"""Packages of npm that tests need, kept between runs."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.helpers.patience import INSTALL_S

# Exact, like the requirements files.
PACKAGES = ("axe-core@4.14.1", "@gradio/client@2.7.0", "sharp@0.35.5")


def make_node_folder(folder: Path) -> Path:
    """A folder with a `node_modules`, filled by npm when there is none for these versions yet."""
    marker = folder / "installed"
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are not on this machine")
    if not marker.exists() or marker.read_text() != " ".join(PACKAGES):
        command = [
            "npm",
            "install",
            "--prefix",
            str(folder),
            "--no-save",
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
        ]
        try:
            made = subprocess.run([*command, *PACKAGES], capture_output=True, text=True, timeout=INSTALL_S, check=False)
        except subprocess.TimeoutExpired:
            pytest.skip(f"npm takes more than {INSTALL_S} s to install what the tests need here")
        if made.returncode:
            last = (made.stderr.strip().splitlines() or ["?"])[-1]
            pytest.skip(f"npm cannot install what the tests need here: {last[:200]}")
        marker.write_text(" ".join(PACKAGES))
    return folder
