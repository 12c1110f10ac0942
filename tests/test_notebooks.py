import asyncio
import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
def test_every_notebook_runs_in_brief(path, monkeypatch):
    monkeypatch.setenv("RUNOFF_LSTM_BRIEF", "1")
    notebook = nbformat.read(path, as_version=4)
    if "RUNOFF_LSTM_DATA" not in os.environ and any("RUNOFF_LSTM_DATA" in cell.source for cell in notebook.cells):
        pytest.skip("needs RUNOFF_LSTM_DATA")
    client = NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}})
    asyncio.run(client.async_execute())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_stored_outputs_are_whole_and_of_a_clean_run(path):
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    for output in outputs:
        assert output.output_type != "error"
        assert output.get("name") != "stderr"
        assert str(Path.home()) not in str(output.get("text", output.get("data", {}).get("text/plain", "")))


def test_there_are_notebooks():
    assert NOTEBOOKS
