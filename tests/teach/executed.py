"""The lesson's notebook, run once by plain papermill for all tests of a process."""

import tempfile
from functools import cache
from pathlib import Path

import papermill

ROOT = Path(__file__).resolve().parents[2]


@cache
def executed_lesson() -> Path:
    """Return the executed notebook; its figures and results lie beside it."""
    folder = Path(tempfile.mkdtemp(prefix="lesson-"))
    notebook = ROOT / "notebooks" / "07_teaching.ipynb"
    copy = folder / notebook.name
    how = {"cwd": ROOT / "notebooks", "kernel_name": "python3", "progress_bar": False}
    papermill.execute_notebook(notebook, copy, {"OUT": str(folder)}, **how)
    return copy
