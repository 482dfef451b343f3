"""One notebook in a kernel of its own, and what it left as a page."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import signal
from pathlib import Path
from typing import Any

from medcal_nb.errors import MedcalError

# figures are drawn inline whatever this shell prefers, and libraries keep quiet
_ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
}
# sums depend on the number of threads; a large model asked live can't do with one
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_ONE_THREAD = dict.fromkeys((*_THREADS, "HF_HUB_OFFLINE"), "1")
# a warning is a line for a reader, without the place in the code that gave it
_STARTUP = (
    "--IPKernelApp.exec_lines=import warnings; warnings.showwarning = "
    "lambda m, *_, **__: print('Note:', ' '.join(str(m).split()))"
)


def execute_notebook(
    notebook: Path, copy: Path, parameters: dict, *, kernels: type, seconds: int | None
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
    seconds : int or None
        That a cell may take; None for no limit.

    Raises
    ------
    MedcalError
        If a cell fails, with its number, its line and the path of the copy, or takes too long
        twice, or the kernel dies.
    """
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError

    logging.getLogger("papermill").setLevel(logging.CRITICAL)  # we say it
    # papermill takes a path as a format string
    paths = [re.sub("([{}])", r"\1\1", str(path)) for path in (notebook, copy)]
    for is_last in (False, True):
        try:
            papermill.execute_notebook(
                *paths,
                parameters,
                kernel_name="python3",
                language="python",
                kernel_manager_class=kernels,
                extra_arguments=[_STARTUP],
                start_timeout=180,
                execution_timeout=seconds,
                shutdown_kernel="immediate",
                progress_bar={"desc": copy.stem, "leave": False, "disable": None},
            )
            return
        except papermill.PapermillExecutionError as error:
            trace = re.sub(r"\x1b\[[\d;]*m", "", "\n".join(error.traceback))
            line = re.search(r"(?m)^-+> *\d+ *(.*)$", trace)  # the first is the cell's
            source = line[1] if line else ""
            raise MedcalError(
                f"cell In [{error.exec_count}], {source!r}: "
                f"{error.ename}: {error.evalue}; all of it in {copy}"
            ) from None
        except DeadKernelError:
            raise MedcalError("the kernel died: out of memory, or ended") from None
        except CellTimeoutError:
            if is_last:
                raise MedcalError(f"a cell took more than {seconds} s, twice") from None


def kernel_manager(folder: Path, work: Path, *, one_thread: bool) -> Any:
    """Return a manager of kernels that no other user can listen to, and that can be ended.

    Parameters
    ----------
    folder : Path
        Where they run.
    work : Path
        Where IPython's own files go: settings of its user change nothing.
    one_thread : bool
        Compute with one thread and without the network.
    """
    from jupyter_client.manager import AsyncKernelManager

    settings = os.environ | _ENVIRONMENT | {"IPYTHONDIR": str(work / "ipython")}
    if one_thread:
        settings |= _ONE_THREAD
    running = []

    class Kernels(AsyncKernelManager):
        async def start_kernel(self, **options: Any) -> None:
            self.transport_encryption = "auto"
            await super().start_kernel(**options, env=settings, cwd=str(folder))
            running.append(self.provisioner.pid)

        @staticmethod
        def end_all() -> None:
            while running:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(running.pop(), signal.SIGKILL)

    return Kernels


def finish_notebook(executed: Path) -> str:
    """Leave an executed notebook without local paths; return it as a page, without its code.

    Parameters
    ----------
    executed : Path

    Returns
    -------
    str
        Markdown, figures by relative path.
    """
    import nbformat
    from nbconvert import MarkdownExporter

    content = nbformat.read(executed, as_version=4)
    for part in (content, *content.cells):
        part.metadata.pop("papermill", None)
        if "injected-parameters" in part.metadata.get("tags", ()):
            part.source = re.sub("(?m)^OUT = .*$", 'OUT = ""', part.source)
    nbformat.write(content, executed)
    for cell in content.cells:
        outputs = map(_on_page, cell.get("outputs", ()))
        cell.outputs = list(filter(None, outputs))
    page, _ = MarkdownExporter(exclude_input=True).from_notebook_node(content)
    page = re.sub(r"\]\((\d\d_\w+)\.ipynb", r"](\1.md", page)  # chapters beside it
    return re.sub(r"\n\s*\n\s*\n", "\n\n", page.strip())


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
