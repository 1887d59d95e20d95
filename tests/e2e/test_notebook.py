"""docs/tutorial.ipynb: stored without outputs, and every cell of it runs."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import ROOT

PAGE = ROOT / "docs" / "tutorial.ipynb"


@pytest.fixture
def notebook() -> nbformat.NotebookNode:
    return nbformat.read(PAGE, as_version=4)


def test_it_is_stored_without_outputs(notebook: nbformat.NotebookNode) -> None:
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert cells
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells)


@pytest.mark.slow
def test_every_cell_runs(notebook: nbformat.NotebookNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPOTTER_WORK", str(tmp_path))
    NotebookClient(notebook, timeout=1200, resources={"metadata": {"path": str(PAGE.parent)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    said = "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")
    assert "revision " in said
    assert "of 60 wrong, between" in said
    assert "teddy" in said
    assert "needed: not sure" in said
    assert said.rstrip().endswith("teddy")
    assert sum("image/png" in output.data for output in outputs if output.output_type == "display_data") == 3
