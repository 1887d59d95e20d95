"""Modules that are put off are loaded when they are needed, and not before."""

import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from spotter.utils.imports import STATISTICS, TABLES, Later, put_off
from tests.conftest import ROOT

HEAVY = {"heavy_one": {}, "heavy_one.part": {"helper": "a stand-in's"}}
HELPER = "from heavy_one.part import helper\nimport heavy_one\nthing = lambda: heavy_one.thing\n"


@pytest.fixture(autouse=True)
def heavy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "heavy_one").mkdir()
    (tmp_path / "heavy_one" / "__init__.py").write_text("thing = 'the real thing'\n")
    (tmp_path / "heavy_one" / "part.py").write_text("helper = 'the real helper'\n")
    (tmp_path / "light_one.py").write_text(HELPER)
    (tmp_path / "part_by_name.py").write_text("import heavy_one.part as part\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in ("light_one", "part_by_name", *HEAVY):
        sys.modules.pop(name, None)


def import_light() -> ModuleType:
    return import_module("light_one")


def test_what_is_put_off_is_not_loaded_for_what_stands_in_for_it_and_can_be_loaded_later() -> None:
    with put_off(HEAVY):
        assert import_light().helper == "a stand-in's"
    assert not set(HEAVY) & set(sys.modules)
    assert import_module("heavy_one.part").helper == "the real helper"


@pytest.mark.parametrize("within", [True, False])
def test_it_is_loaded_when_more_is_asked_of_it(within: bool) -> None:
    with put_off(HEAVY):
        light = import_light()
        if within:
            assert light.thing() == "the real thing"
    assert light.thing() == "the real thing"
    assert import_module("heavy_one").thing == "the real thing"


def test_a_part_is_got_of_its_package_without_loading_either() -> None:
    with put_off(HEAVY):
        part = import_module("part_by_name").part
        assert part.helper == "a stand-in's"
        assert sys.modules["heavy_one.part"] is part


def test_nobody_loads_it_who_looks_through_all_modules() -> None:
    with put_off(HEAVY):
        assert not [name for name in HEAVY if hasattr(sys.modules[name], "__file__")]
        assert all(isinstance(sys.modules[name], ModuleType) for name in HEAVY)
    assert not set(HEAVY) & set(sys.modules)


def test_what_is_loaded_already_stays_as_it_is() -> None:
    real = import_module("heavy_one.part")
    with put_off(HEAVY):
        assert import_light().helper == "the real helper"
    assert sys.modules["heavy_one.part"] is real


def test_what_stands_for_a_part_of_a_module_loads_it_when_it_is_used() -> None:
    helper = Later("heavy_one.part", "helper")
    assert not hasattr(helper, "__wrapped__")
    assert not set(HEAVY) & set(sys.modules)
    assert helper.upper() == "THE REAL HELPER"
    assert Later("json", "dumps")([1]) == "[1]"


def test_training_loads_neither_statistics_nor_tables() -> None:
    code = (
        "import sys; from spotter import pipeline; pipeline.start_server = lambda: None; pipeline.load_libraries(); "
        f"print(set({[*STATISTICS, *TABLES]}) & set(sys.modules)); "
        "import scipy.stats, sklearn.covariance; print(scipy.stats.chi2.isf(0.05, 1).round(2))"
    )
    finished = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert finished.stdout.splitlines()[-2:] == ["set()", "3.84"]
