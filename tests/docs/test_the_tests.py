"""The tests themselves: what files share is in tests/helpers, and one place starts a browser."""

import ast
from pathlib import Path

import pytest

from tests.conftest import LONGEST, ROOT

FILES = sorted((ROOT / "tests").rglob("*.py"))


def imported(path: Path) -> set[str]:
    """The modules that a file imports, with the names it takes from them."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{name.name}" for name in node.names}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_imports_a_test_file(path: Path) -> None:
    parts = [name.split(".") for name in imported(path)]
    assert [name for name in parts if name[0] == "tests" and any(part.startswith("test_") for part in name)] == []


def test_one_place_starts_a_browser() -> None:
    starting = [path for path in FILES if "playwright.sync_api.sync_playwright" in imported(path)]
    assert starting == [ROOT / "tests" / "helpers" / "browser.py"]


def test_the_longest_files_are_there() -> None:
    assert [name for name in LONGEST if ROOT / "tests" / f"{name}.py" not in FILES] == []
    assert len(set(LONGEST)) == len(LONGEST)
