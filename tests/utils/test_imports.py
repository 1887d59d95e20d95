"""Modules that are put off are loaded when they are needed, and not before."""

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from spotter.utils.imports import put_off

HEAVY = {"heavy_one": {}, "heavy_one.part": {"helper": "a stand-in's"}}
HELPER = "from heavy_one.part import helper\nimport heavy_one\nthing = lambda: heavy_one.thing\n"


@pytest.fixture(autouse=True)
def heavy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "heavy_one").mkdir()
    (tmp_path / "heavy_one" / "__init__.py").write_text("thing = 'the real thing'\n")
    (tmp_path / "heavy_one" / "part.py").write_text("helper = 'the real helper'\n")
    (tmp_path / "light_one.py").write_text(HELPER)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in ("light_one", *HEAVY):
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
