"""Where the package is, for processes that it starts."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from spotter.utils.files import import_root, package_file
from tests.conftest import ROOT


@pytest.mark.slow
def test_a_process_elsewhere_imports_the_package_from_its_root(tmp_path: Path) -> None:
    code = "import spotter.errors; print(spotter.errors.__file__)"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(import_root())}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()) == ROOT / "spotter" / "errors.py"
    assert package_file("", "errors.py") == ROOT / "spotter" / "errors.py"


def test_no_module_counts_the_folders_above_itself() -> None:
    """It would look elsewhere once it moves, and only where it is started from another folder would that be seen."""
    places = [
        (path.name, line.strip())
        for path in (ROOT / "spotter").rglob("*.py")
        for line in path.read_text().splitlines()
        if re.search(r"(?<!gr\.)__file__", line)
    ]
    assert places == []
