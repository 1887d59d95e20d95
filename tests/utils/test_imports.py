"""Modules that are imported in the background are there afterwards, and what fails there is told where it is used."""

import gc
import importlib
import sys
from pathlib import Path

import pytest

from spotter.utils.imports import import_meanwhile, wait_for_imports


def test_they_are_loaded_after_the_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "slow_module.py").write_text("import time\ntime.sleep(0.2)\nVALUE = 7\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import_meanwhile("slow_module")
    wait_for_imports()
    assert sys.modules.pop("slow_module").VALUE == 7
    assert gc.isenabled()
    wait_for_imports()


def test_what_goes_wrong_is_raised_by_the_import_that_follows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_module.py").write_text("raise OSError('no such library')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import_meanwhile("broken_module", "json")
    wait_for_imports()
    assert gc.isenabled()
    with pytest.raises(OSError, match="no such library"):
        importlib.import_module("broken_module")
