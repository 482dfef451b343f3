"""One notebook in a kernel of its own, and what it left as a page."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from medcal_nb.errors import MedcalError

# figures are drawn inline whatever this shell prefers, and libraries keep quiet
_ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
}
# sums depend on the number of threads; a large model asked live can't do with one
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_ONE_THREAD = {name: "1" for name in ("HF_HUB_OFFLINE", *_THREADS)}
# a warning is a line for a reader, without the place in the code that gave it
_STARTUP = """\
import warnings
warnings.showwarning = lambda m, *_, **__: print("Note:", " ".join(str(m).split()))
"""


def execute_notebook(
    notebook: Path,
    copy: Path,
    parameters: dict[str, Any],
    *,
    kernels: type,
    on_cell: Callable[..., None],
    seconds: int | None = None,
) -> None:
    """Execute a notebook into a copy, which is written after each cell.

    A message between a kernel and its manager may get lost, and the cell then never ends: a
    notebook whose cell takes too long is run once more.

    Parameters
    ----------
    notebook, copy : Path
    parameters : dict
        Values of names of its parameters cell.
    kernels : type
        Of `kernel_manager`.
    on_cell : callable
        Called before each cell.
    seconds : int, optional
        That a cell may take; without a limit if not given.

    Raises
    ------
    MedcalError
        If a cell fails, with its number, its line and the path of the copy, or takes too long
        twice, or the kernel dies.
    """
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError

    logging.getLogger("papermill").setLevel(logging.CRITICAL + 1)  # we say it
    # papermill takes a path as a format string
    paths = [re.sub("([{}])", r"\1\1", str(path)) for path in (notebook, copy)]
    run = partial(
        papermill.execute_notebook,
        *paths,
        parameters,
        kernel_name="python3",
        language="python",
        kernel_manager_class=kernels,
        start_timeout=180,
        execution_timeout=seconds,
        shutdown_kernel="immediate",
        progress_bar=False,
        on_cell_start=on_cell,
    )
    try:
        try:
            run()
        except CellTimeoutError:
            run()
    except papermill.PapermillExecutionError as error:
        trace = re.sub(r"\x1b\[[\d;]*m", "", "\n".join(error.traceback))
        line = re.search(r"(?m)^-+> *\d+ *(.*)$", trace)  # the first is the cell's
        raise MedcalError(
            f"cell In [{error.exec_count}], {line[1] if line else ''!r}: {error.ename}: "
            f"{error.evalue}; all of it in {copy}"
        ) from None
    except CellTimeoutError:
        raise MedcalError(f"a cell took more than {seconds} s, twice") from None
    except DeadKernelError:
        raise MedcalError("the kernel died: out of memory, or ended") from None


def kernel_manager(work: Path, folder: Path, *, one_thread: bool) -> Any:
    """Return a manager of kernels that no other user can listen to, and that can be ended.

    Parameters
    ----------
    work : Path
        Where their start-up file goes.
    folder : Path
        Where they run.
    one_thread : bool
        Compute with one thread and without the network.
    """
    from jupyter_client.manager import AsyncKernelManager

    startup = work / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True, exist_ok=True)
    (startup / "notes.py").write_text(_STARTUP, encoding="utf-8")
    settings = os.environ | _ENVIRONMENT | {"IPYTHONDIR": str(work / "ipython")}
    if one_thread:
        settings |= _ONE_THREAD
    running = []

    class Kernels(AsyncKernelManager):
        async def start_kernel(self, **options: Any) -> None:
            self.transport_encryption = "auto"
            options |= {"env": settings, "cwd": str(folder)}
            await self._async_start_kernel(**options)
            running.append(self.provisioner.pid)

        @staticmethod
        def end_all() -> None:
            while running:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(running.pop(), signal.SIGKILL)

    return Kernels


def finish_notebook(executed: Path) -> tuple[list[str], str]:
    """Leave an executed notebook without local paths; return what it noted, and it as a page.

    Parameters
    ----------
    executed : Path

    Returns
    -------
    notes : list of str
        Lines that begin with "Note: ", such as warnings.
    page : str
        Markdown without code, figures by relative path.
    """
    import nbformat
    from nbconvert import MarkdownExporter

    content = nbformat.read(executed, as_version=4)
    content.metadata.pop("papermill", None)
    for cell in content.cells:
        cell.metadata.pop("papermill", None)
        if "injected-parameters" in cell.metadata.get("tags", ()):
            cell.source = re.sub("(?m)^OUT = .*$", 'OUT = ""', cell.source)
    nbformat.write(content, executed)
    notes = []
    for cell in content.cells:
        if cell.cell_type != "code":
            continue
        for output in cell.outputs:
            notes += re.findall("(?m)^Note: .*$", output.get("text", ""))
        cell.outputs = [one for one in map(_on_page, cell.outputs) if one]
    page, _ = MarkdownExporter(exclude_input=True).from_notebook_node(content)
    page = re.sub(r"\]\((\d\d_\w+)\.ipynb", r"](\1.md", page)  # chapters beside it
    return notes, re.sub(r"\n\s*\n\s*\n", "\n\n", page.strip())


def _on_page(output: Any) -> Any:
    """An output of a cell as it stands on a page; None where it has no place there."""
    data = output.get("data")
    if data is None:
        return output if output.get("name") == "stdout" else None
    mark = output.metadata.get("medcal")
    if mark:
        caption = re.sub(r"([^\w\s])", r"\\\1", mark["caption"])  # a name is no markup
        output.data = {"text/markdown": f"![{caption}]({mark['figure']})"}
    elif "text/html" in data:
        text = re.sub(r"(?s)<(style|script)\b.*?</\1>", "", data["text/html"])
        # a row of a table on one line; an empty line would end the block, and $ begin a formula
        text = re.sub(r"\s+(?=<(td|th|/tr)\b)", "", text)
        text = re.sub(r"\n\s*\n", "\n", text)
        output.data = {"text/html": text.strip().replace("$", "&#36;")}
    elif "image/png" in data or data.get("text/plain", "").startswith("<matplotlib"):
        return None  # drawn, and shown again by what saves it
    elif any("widget" in kind for kind in data):
        return None
    return output
