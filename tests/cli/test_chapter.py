"""train.py and app.py show their stages; `spotter train`, `spotter serve` and the cleaning page do the same ones."""

import ast
import inspect
from pathlib import Path

import pytest

from spotter import pipeline
from spotter.cli import serve, train
from tests.conftest import ROOT


def calls(source: str, function: str) -> list[str]:
    """What a function calls of ours, in order, by the last part of the name."""
    (found,) = [
        node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef) and node.name == function
    ]
    names = [node for node in ast.walk(found) if isinstance(node, ast.Call)]
    names.sort(key=lambda node: (node.lineno, -node.col_offset))
    return [ast.unparse(node.func).rpartition(".")[2] for node in names]


def statements(path: Path, function: str) -> str:
    """The statements of a function after its docstring and its imports, as text."""
    (found,) = [
        node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef) and node.name == function
    ]
    rest = found.body[1:] if ast.get_docstring(found) else found.body
    kept = [one for one in rest if not isinstance(one, ast.ImportFrom)]
    return "\n".join(map(ast.unparse, kept))


def test_spotter_train_does_what_train_py_shows() -> None:
    assert statements(ROOT / "train.py", "train") == statements(Path(str(train.__file__)), "_train")


def test_spotter_serve_does_what_app_py_shows() -> None:
    assert statements(ROOT / "app.py", "serve") == statements(Path(str(serve.__file__)), "run")


def test_publishing_again_takes_the_same_stages_once_the_pictures_are_there() -> None:
    shown = calls((ROOT / "train.py").read_text(), "train")
    again = calls(inspect.getsource(pipeline), "publish_again")
    # The network for int8 is an option of train.py alone.
    later = [name for name in shown[shown.index("load_libraries") :] if name != "add_int8"]
    assert again == ["read_again", *later]
    assert len(later) > 7


@pytest.mark.parametrize("name", ["train.py", "app.py"])
def test_each_reads_in_one_screen(name: str) -> None:
    assert len((ROOT / name).read_text().splitlines()) <= 60


def test_each_stage_is_a_function_that_tells_its_title() -> None:
    stages = [name for name in calls((ROOT / "train.py").read_text(), "train") if name != "temporary_folder"]
    decorated = {
        node.name
        for node in ast.parse(inspect.getsource(pipeline)).body
        if isinstance(node, ast.FunctionDef) and any("stage(" in ast.unparse(one) for one in node.decorator_list)
    }
    assert [name for name in stages if name not in decorated] == []
