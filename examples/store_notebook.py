"""Run the example notebook and store it with its outputs, as readers find it.

    .venv/bin/python examples/store_notebook.py

Progress bars are stored as text, at their end: a widget would show readers of a page its beginning.
"""

import os
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).with_name("model-selection.ipynb")

#: What a notebook keeps about itself; the rest depends on who ran it.
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def with_bars_at_their_end(outputs: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """Give the outputs of a cell with what stands on a screen after its bar was drawn over."""
    drawn = "".join(output["text"] for output in outputs if output.get("name") == "stderr")
    others = [output for output in outputs if output.get("name") != "stderr"]
    if not drawn:
        return others
    # Not as stderr, which pages show on red, as if something were wrong.
    text = drawn.rstrip().rpartition("\r")[2] + "\n"
    return [nbformat.v4.new_output("stream", name="stdout", text=text), *others]


def main() -> None:
    """Run the notebook in an empty directory, and write it over."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    with tempfile.TemporaryDirectory() as directory:
        without_widgets = Path(directory) / "without-widgets"
        without_widgets.mkdir()
        (without_widgets / "ipywidgets.py").write_text("raise ImportError\n")
        paths = [str(without_widgets), str(NOTEBOOK.parents[1])]
        os.environ["PYTHONPATH"] = os.pathsep.join(paths)
        os.environ.pop("FOLDQ_SPOOL", None)
        NotebookClient(
            notebook,
            timeout=600,
            kernel_name="python3",
            resources={"metadata": {"path": directory}},
        ).execute()
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if "outputs" in cell:
            cell["outputs"] = with_bars_at_their_end(cell["outputs"])
    nbformat.write(notebook, NOTEBOOK)
    print(f"{NOTEBOOK}: {NOTEBOOK.stat().st_size:,} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()
