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


def test_spotter_train_and_the_cleaning_page_take_the_stages_that_train_py_shows() -> None:
    shown = statements(ROOT / "train.py", "train").splitlines()
    command = statements(Path(str(train.__file__)), "_train").splitlines()
    stages = statements(Path(str(pipeline.__file__)), "train_and_publish").splitlines()
    pictures, rest = shown[:2], [line.replace("pipeline.", "").replace("options.int8", "int8") for line in shown[2:]]
    assert command == [*pictures, "return f'revision {pipeline.train_and_publish(task, dataset, options.int8)}'"]
    # What they return alone differs: the last line of the output, the revision in it.
    assert rest[-1].strip() == "return f'revision {publish(files, candidate)}'"
    assert [*rest[:-1], "    return publish(files, candidate)"] == stages
    assert len(stages) > 9
    assert statements(Path(str(pipeline.__file__)), "publish_again") == "return train_and_publish(*read_again(folder))"


def test_spotter_serve_does_what_app_py_shows() -> None:
    assert statements(ROOT / "app.py", "serve") == statements(Path(str(serve.__file__)), "run")


@pytest.mark.parametrize("name", ["train.py", "app.py"])
def test_each_reads_in_one_screen(name: str) -> None:
    assert len((ROOT / name).read_text().splitlines()) <= 60


def test_each_stage_is_a_function_that_tells_its_title() -> None:
    # The export begins in the background, and says nothing.
    silent = ("temporary_folder", "start_export")
    stages = [name for name in calls((ROOT / "train.py").read_text(), "train") if name not in silent]
    decorated = {
        node.name
        for node in ast.parse(inspect.getsource(pipeline)).body
        if isinstance(node, ast.FunctionDef) and any("stage(" in ast.unparse(one) for one in node.decorator_list)
    }
    assert [name for name in stages if name not in decorated] == []
