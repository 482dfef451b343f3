"""One notebook through papermill: its kernel, and why it stopped."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import papermill
import psutil
import zmq
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

from medcal_nb.errors import MedcalError, NotEnough

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_LAST_LINES = 8
# what runs between kernel and study on loopback can't be read by others on the machine
_ENCRYPTION = "auto" if zmq.has("curve") else "disabled"
_HOW = {
    "kernel_name": "python3",
    "language": "python",
    "progress_bar": False,
    "start_timeout": 180,
    "shutdown_kernel": "immediate",
    "config": Config(KernelManager={"transport_encryption": _ENCRYPTION}),
}


@contextlib.contextmanager
def kernel_environment(scratch: Path, *, embedded: bool) -> Iterator[None]:
    """Give kernels this package, nothing of the user's and, for embedded models, one thread."""
    package = str(Path(__file__).resolve().parents[2])
    told = {
        "PYTHONPATH": os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")])),
        "PYTHONHASHSEED": "0",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "IPYTHONDIR": str(scratch / "ipython"),
        "JUPYTER_PREFER_ENV_PATH": "1",
    }
    if embedded:  # sums depend on the number of threads; a large model can't do with one
        told["HF_HUB_OFFLINE"] = "1"
        for name in ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "VECLIB_MAXIMUM"):
            told[f"{name}_NUM_THREADS"] = "1"
    before = dict(os.environ)
    os.environ.update(told)
    os.environ.pop("MPLBACKEND", None)  # figures are drawn inline, whatever this shell prefers
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def execute(source: Path, executed: Path, parameters: dict[str, Any], *, on_cell: Callable) -> None:
    """Execute a notebook with parameters, telling which cell starts, and keep the executed copy.

    Raises
    ------
    NotEnough
        If a cell says that the answers can't feed it.
    MedcalError
        If a cell raises anything else, with its place and last lines, or the kernel dies.
    """
    # papermill takes a path as a format string
    paths = [str(path).replace("{", "{{").replace("}", "}}") for path in (source, executed)]
    try:
        papermill.execute_notebook(
            *paths, parameters, cwd=source.parent, on_cell_start=on_cell, **_HOW
        )
    except PapermillExecutionError as error:
        if error.ename == NotEnough.__name__:
            raise NotEnough(error.evalue) from None
        said = _COLOURS.sub("", "\n".join(error.traceback)).splitlines()
        lines = "".join(f"\n    {line}" for line in said[-_LAST_LINES:] if line.strip())
        raise MedcalError(
            f"in cell In [{error.exec_count}]: {error.ename}: {error.evalue}{lines}\n"
            f"  executed copy: {executed}"
        ) from None
    except DeadKernelError:
        raise MedcalError("the kernel died: out of memory, or killed from outside") from None


def kill_kernels() -> None:
    """Kill every kernel that this process has started, with all that those have started."""
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if "ipykernel_launcher" in child.cmdline():
                for process in [*child.children(recursive=True), child]:
                    process.kill()
