"""Every proof-checking notebook, found by glob: it reads as a notebook, asserts, runs as a script and draws."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "theory" / "proofs"
NOTEBOOKS = sorted(FOLDER.glob("*.py"))

# A front end draws the figure that a cell ends with; so does this, and a glyph that does not exist would warn.
AS_A_FRONT_END = """
import io, runpy, sys
from matplotlib.figure import Figure
for value in list(runpy.run_path(sys.argv[1], run_name="__main__").values()):
    if isinstance(value, Figure):
        value.savefig(io.BytesIO())
        print("a figure was drawn")
"""

every_notebook = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)


def parsed(notebook):
    return ast.parse(notebook.read_text(encoding="utf-8"))


def test_there_are_notebooks_and_nothing_else():
    assert NOTEBOOKS
    assert {path for path in FOLDER.iterdir() if path.name != "__pycache__"} == set(NOTEBOOKS)


@every_notebook
def test_a_notebook_alternates_text_with_code_that_asserts(notebook):
    text = notebook.read_text(encoding="utf-8")
    assert text.startswith("# %% [markdown]\n# # ")
    assert text.count("# %% [markdown]\n") >= 4
    assert text.count("# %%\n") >= 4
    assert sum(isinstance(node, ast.Assert) for node in ast.walk(parsed(notebook))) >= 4
    assert "plt.show" not in text


@every_notebook
def test_a_notebook_first_imports_the_flows_and_turns_on_float64(notebook):
    first, *_ = [node for node in parsed(notebook).body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert ast.unparse(first) == "import grokjax.flows"
    assert "jax.config.update('jax_enable_x64', True)" in ast.unparse(parsed(notebook))


@every_notebook
def test_a_figure_is_what_a_cell_ends_with(notebook):
    last_lines = [cell.strip().splitlines()[-1] for cell in notebook.read_text(encoding="utf-8").split("# %%")[1:]]
    assert "figure" in last_lines


@every_notebook
def test_jupytext_reads_the_cells(notebook):
    jupytext = pytest.importorskip("jupytext")
    read = jupytext.read(notebook)
    kinds = [cell.cell_type for cell in read.cells]
    assert kinds[0] == "markdown"
    assert {"markdown", "code"} == set(kinds)
    assert all(cell.source.strip() for cell in read.cells)
    # The magic that lets figures show is a comment in the script only.
    assert any(cell.source.startswith("%matplotlib inline\n") for cell in read.cells)


@every_notebook
def test_a_notebook_runs_from_top_to_bottom(notebook, tmp_path):
    command = [sys.executable, "-W", "error", "-c", AS_A_FRONT_END, str(notebook)]
    environment = os.environ | {"MPLBACKEND": "Agg"}
    ended = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "a figure was drawn" in ended.stdout
    assert list(tmp_path.iterdir()) == []
