"""One notebook executed by papermill in a kernel of its own, and left fit to be read."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from medcal_nb.errors import MedcalError, NotEnough
from medcal_nb.study.notebooks import Notebook

# What a kernel of the study starts with: warnings are lines for a reader, without the place in
# whose code. It is the kernel's own start-up file; no notebook and no library sets it.
STARTUP = """\
import warnings


def _note(message, *_, **__):
    print(f"Note: {' '.join(str(message).split())}")


warnings.showwarning = _note
"""


def write_startup(folder: Path) -> None:
    """Write the start-up file of kernels whose ``IPYTHONDIR`` is `folder`."""
    startup = folder / "profile_default" / "startup"
    startup.mkdir(parents=True, exist_ok=True)
    (startup / "notes.py").write_text(STARTUP, encoding="utf-8")


def execute_notebook(
    notebook: Notebook,
    executed: Path,
    parameters: dict[str, Any],
    *,
    label: str,
    on_cell: Callable[[int], None],
) -> None:
    """Execute a notebook with parameters, and write it with its outputs.

    Parameters
    ----------
    notebook : Notebook
        What is executed.
    executed : pathlib.Path
        Where the executed notebook goes.
    parameters : dict
        Values of names of its parameters cell.
    label : str
        What the progress bar is called.
    on_cell : callable
        Called with the number of each cell, from 1, before it runs.

    Raises
    ------
    MedcalError
        If a cell fails or the kernel dies; NotEnough where the notebook says that these answers
        can't feed it.
    """
    import papermill
    from nbclient.exceptions import DeadKernelError
    from traitlets.config import Config

    # what runs over loopback can't be read by others on the machine
    config = Config(KernelManager={"transport_encryption": "auto"})
    try:
        papermill.execute_notebook(
            _no_format_string(notebook.path),
            _no_format_string(executed),
            parameters,
            kernel_name="python3",
            progress_bar={"desc": label, "leave": False, "disable": None},
            start_timeout=180,
            shutdown_kernel="immediate",
            cwd=notebook.path.parent,
            on_cell_start=lambda cell, cell_index: on_cell(cell_index + 1),
            config=config,
        )
    except papermill.PapermillExecutionError as error:
        if error.ename == NotEnough.__name__:
            raise NotEnough(error.evalue) from None
        raise MedcalError(
            f"in cell In [{error.exec_count}]: {error.ename}: {error.evalue}; "
            f"all of it in {executed}"
        ) from None
    except DeadKernelError:
        raise MedcalError(
            "the kernel died: out of memory, or killed from outside"
        ) from None


def _no_format_string(path: Path) -> str:
    """Return a path that papermill, which takes it as a format string, leaves as it is."""
    return str(path).replace("{", "{{").replace("}", "}}")


def finish_notebook(executed: Path, *, seconds: float) -> None:
    """Make an executed notebook fit to be read: no local path, no trace of the runner.

    Its header tells how long the run took.
    """
    import nbformat

    notebook = nbformat.read(executed, as_version=4)
    notebook.metadata.pop("papermill", None)
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.source = re.sub(
                r"(?m)^(ANSWERS|OUT_DIR) = .*$", r'\1 = ""', cell.source
            )
            # the findings stand below it
            cell.metadata["jupyter"] = {"source_hidden": True}
    head = notebook.cells[0]
    took = f"**Runtime** {seconds:.0f} s in the run that is shown."
    head.source = re.sub(r"\*\*Runtime\*\*[^.]*\.", took, head.source)
    nbformat.write(notebook, executed)
