"""The lesson's notebook, run once by plain papermill for all tests, whatever their process."""

import fcntl
import os
import tempfile
from functools import cache
from pathlib import Path
from uuid import uuid4

import papermill
import pytest

ROOT = Path(__file__).resolve().parents[2]


@cache
def executed_lesson() -> Path:
    """Return the executed notebook; its figures and results lie beside it.

    It runs as JupyterLab runs it: on as many threads as there are.
    """
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID") or uuid4().hex
    folder = Path(tempfile.gettempdir()) / f"lesson-{run}"
    folder.mkdir(mode=0o700, exist_ok=True)
    notebook = ROOT / "notebooks" / "07_teaching.ipynb"
    copy = folder / notebook.name
    part = copy.with_suffix(".part.ipynb")
    how = {"cwd": ROOT / "notebooks", "kernel_name": "python3", "progress_bar": False}
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another process may be at it
        if not copy.exists():
            with pytest.MonkeyPatch.context() as patch:
                for library in ("OMP", "OPENBLAS", "MKL"):
                    patch.delenv(f"{library}_NUM_THREADS", raising=False)
                papermill.execute_notebook(notebook, part, {"OUT": str(folder)}, **how)
            part.rename(copy)
    return copy
