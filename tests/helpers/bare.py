"""A Python with nothing but what the Docker image installs, kept between runs, in which the app has to start."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.helpers.patience import INSTALL_S


def make_bare_python(folder: Path) -> Path:
    """The interpreter of a virtual environment below `folder`, made with pip when there is none for these pins yet."""
    locked = ROOT / "locked.txt"
    place = folder / f"bare-{hashlib.sha256(locked.read_bytes()).hexdigest()[:12]}"
    python = place / "bin" / "python"
    if not (place / "whole").exists():
        shutil.rmtree(place, ignore_errors=True)
        # Without a pip of its own, and compiled where it is imported: that alone is half of the time.
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
        pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--disable-pip-version-check"]
        install = [*pip, "--no-compile", "--require-hashes", "--only-binary", ":all:", "-r", locked]
        try:
            made = subprocess.run(install, capture_output=True, text=True, timeout=INSTALL_S, check=False)
        except subprocess.TimeoutExpired:
            pytest.skip(f"pip takes more than {INSTALL_S} s to install locked.txt here")
        if made.returncode:
            last = (made.stderr.strip().splitlines() or ["?"])[-1]
            pytest.skip(f"pip cannot install locked.txt here: {last[:200]}")
        (place / "whole").touch()
    return python


def bare_environment(home: Path, **more: str) -> dict[str, str]:
    """Nothing of this process but what any process has."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), "HF_HUB_OFFLINE": "1", **more}
