"""Run one notebook through papermill, in a kernel of the running interpreter."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_ENGINE = "medcal"
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_LAST_LINES = 8


@dataclass(frozen=True)
class Failure:
    """Why a notebook stopped.

    Attributes
    ----------
    cell : str
        The cell as the executed copy shows it, such as ``In [5]``.
    error : str
        Type and message of the exception.
    last_lines : str
        The end of what the cell said.
    kind : str
        The type of the exception.
    """

    cell: str
    error: str
    last_lines: str = ""
    kind: str = ""


def kernel_environment(*, threads: int, scratch: Path, offline: bool) -> dict[str, str]:
    """Return the environment of a kernel: this package, few threads, nothing of the user's.

    Parameters
    ----------
    threads : int
        Threads that numerical libraries may use.
    scratch : pathlib.Path
        Folder for IPython's own files, so that start-up scripts and history stay out.
    offline : bool
        Whether the hub's client must not try the network.
    """
    environment = dict(os.environ)
    package = str(Path(__file__).resolve().parents[2])
    path = environment.get("PYTHONPATH")
    environment.update(
        PYTHONPATH=os.pathsep.join([package, path] if path else [package]),
        PYTHONHASHSEED="0",
        PYDEVD_DISABLE_FILE_VALIDATION="1",
        TOKENIZERS_PARALLELISM="false",
        IPYTHONDIR=str(scratch / "ipython"),
    )
    # the backend is the kernel's: figures are drawn inline, whatever this shell prefers
    environment.pop("MPLBACKEND", None)
    for name in ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "VECLIB_MAXIMUM"):
        environment[f"{name}_NUM_THREADS"] = str(threads)
    if offline:
        environment["HF_HUB_OFFLINE"] = "1"
    return environment


class Kernels:
    """The kernels that are running, so that all can be stopped at once."""

    def __init__(self) -> None:
        self._managers: list[Any] = []
        self.stopped = False

    def add(self, manager: Any) -> None:
        """Register a kernel that is about to start."""
        if self.stopped:
            raise RuntimeError("the study is being stopped")
        self._managers.append(manager)

    def kill(self) -> None:
        """Kill every kernel with its children; may be called from any thread."""
        self.stopped = True
        for manager in self._managers:
            process = getattr(manager.provisioner, "process", None)
            if process is None or process.poll() is not None:
                continue
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if os.name == "posix" and os.getpgid(process.pid) == process.pid:
                    os.killpg(process.pid, signal.SIGKILL)
                else:
                    process.kill()


def execute(
    source: Path,
    executed: Path,
    parameters: dict[str, Any],
    *,
    environment: dict[str, str],
    kernels: Kernels,
    on_cell: Callable[[int, int], None],
) -> Failure | None:
    """Execute a notebook and keep the executed copy.

    Parameters
    ----------
    source, executed : pathlib.Path
        The notebook, and where its executed copy goes (its folder must exist).
    parameters : dict
        Values injected after the cell tagged ``parameters``.
    environment : dict
        The kernel's environment variables.
    kernels : Kernels
        Where the kernel is registered while it runs.
    on_cell : callable
        Told (index, number of cells) when a cell starts.

    Returns
    -------
    Failure or None
        None if every cell ran.
    """
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    _register_engine()
    try:
        papermill.execute_notebook(
            _escaped(source),
            _escaped(executed),
            parameters=parameters,
            engine_name=_ENGINE,
            kernel_name="python3",
            language="python",
            progress_bar=False,
            environment=environment,
            folder=str(source.parent),
            kernels=kernels,
            on_cell=on_cell,
        )
    except PapermillExecutionError as error:
        said = _COLOURS.sub("", "\n".join(error.traceback))
        lines = [line for line in said.splitlines() if line.strip()]
        return Failure(
            cell=f"In [{error.exec_count}]",
            error=f"{error.ename}: {error.evalue}".strip(": "),
            last_lines="\n".join(lines[-_LAST_LINES:]),
            kind=error.ename,
        )
    except DeadKernelError:
        return Failure(
            cell=_unfinished_cell(executed),
            error="the kernel died: out of memory, or killed from outside",
        )
    return None


def _escaped(path: Path) -> str:
    # papermill takes a path as a format string
    return str(path).replace("{", "{{").replace("}", "}}")


def _unfinished_cell(executed: Path) -> str:
    import json

    try:
        cells = json.loads(executed.read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError, KeyError):
        return "its start"
    counts = [c.get("execution_count") for c in cells if c["cell_type"] == "code"]
    done = [count for count in counts if count]
    return f"In [{max(done)}] or later" if done else "its first cell"


def _register_engine() -> None:
    import zmq
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager
    from papermill.clientwrap import PapermillNotebookClient
    from papermill.engines import Engine, papermill_engines

    if _ENGINE in papermill_engines._engines:
        return

    class OwnKernel(AsyncKernelManager):
        """A kernel of this very interpreter, whatever kernels the user has installed."""

        @property
        def kernel_spec(self):
            return KernelSpec(
                argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
                display_name="Python 3 (medcal)",
                language="python",
                metadata={"supported_encryption": ["curve"]},
            )

    class OwnEngine(Engine):
        @classmethod
        def execute_managed_notebook(
            cls, nb_man, kernel_name, *, environment, folder, kernels, on_cell, **_
        ):
            start = nb_man.cell_start

            def cell_start(cell, cell_index=None, **kwargs):
                on_cell(cell_index, len(nb_man.nb.cells))
                return start(cell, cell_index, **kwargs)

            nb_man.cell_start = cell_start

            class Kernel(OwnKernel):
                async def start_kernel(self, **kwargs):
                    # newer jupyter_client encrypts loopback traffic, but only when asked to
                    if self.has_trait("transport_encryption") and zmq.has("curve"):
                        self.transport_encryption = "auto"
                    kernels.add(self)
                    await super().start_kernel(**kwargs | {"env": environment})

            return PapermillNotebookClient(
                nb_man,
                kernel_name=kernel_name,
                kernel_manager_class=Kernel,
                resources={"metadata": {"path": folder}},
                timeout=None,
                startup_timeout=180,
                shutdown_kernel="immediate",
            ).execute()

    papermill_engines.register(_ENGINE, OwnEngine)
