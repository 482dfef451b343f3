"""Serve the reader view with Voilà: on this machine only, behind a token, nothing fetched."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import sys
import tempfile
import threading
import uuid
import webbrowser
from collections.abc import Callable
from pathlib import Path

from medcal_nb.errors import MedcalError
from medcal_nb.reader.page import part

HOST = "127.0.0.1"
KERNEL = "medcal-reader"
_LONGEST_SOCKET = 103
_SOCKET = len(f"/voila_12345678/kernel-{uuid.UUID(int=0)}-ipc-5")


def serve(
    answers: Path,
    options: dict,
    *,
    port: int | None = None,
    token: str | None = None,
    open_browser: bool = True,
    say: Callable[[str], None] = print,
) -> None:
    """Serve the reader view until interrupted; kernels end with it.

    Parameters
    ----------
    answers : path
        A file of answers.
    options : dict
        Keyword arguments of :class:`medcal_nb.reader.view.Reader`, JSON values only.
    port : int, optional
        A free one by default, and for 0.
    token : str, optional
        What the address has to hold; a random one by default.
    open_browser : bool
    say : callable
        Told the address.

    Raises
    ------
    MedcalError
        If the port is taken.
    """
    try:
        with socket.create_server((HOST, port or 0)) as probe:
            port = probe.getsockname()[1]
    except (OSError, OverflowError) as error:
        raise MedcalError(
            f"--port {port}: cannot be used ({error}); choose another"
        ) from None
    token = token or secrets.token_urlsafe(24)
    address = f"http://{HOST}:{port}/?token={token}"
    signal.signal(signal.SIGTERM, _leave)
    try:
        # a folder that no other user can look into
        with tempfile.TemporaryDirectory(
            prefix="medcal-reader-", ignore_cleanup_errors=True
        ) as name:
            folder = Path(name)
            notebook = write_site(folder, answers, options)
            # Jupyter finds our kernel and template, and leaves the user's own settings alone
            for variable in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
                os.environ[variable] = str(folder / variable)
            os.environ["JUPYTER_PATH"] = name
            say(f"Reader view of {answers}: {address}")
            say(
                "It opens in about ten seconds. Press Ctrl+C to stop; decisions are kept as made."
            )
            # a browser's command line, which all users see, then holds no token
            page = folder / "open.html"
            page.write_text(part("redirect", address), encoding="utf-8")
            _run(notebook, port=port, token=token, page=page if open_browser else None)
    except _Terminated:
        sys.stdout.flush()
        os._exit(0)  # the interpreter takes seconds to take itself apart


class _Terminated(SystemExit):
    """SIGTERM has come."""


def _leave(*_: object) -> None:
    """End at once, by way of what is to be tidied up."""
    raise _Terminated


def write_site(folder: Path, answers: Path, options: dict) -> Path:
    """Write what Voilà serves into a folder: a notebook, its kernel and its template.

    Returns
    -------
    pathlib.Path
        The notebook.
    """
    import nbformat
    from ipykernel.kernelspec import write_kernel_spec

    call = f"Reader({os.fspath(answers.resolve())!r}, **{options!r})"
    code = f"from medcal_nb.reader.view import Reader\n\n{call}"
    cell = nbformat.v4.new_code_cell(code, id="reader")
    notebook = nbformat.v4.new_notebook(cells=[cell])
    notebook.metadata.title = "Reader view"
    notebook.metadata.kernelspec = {"name": KERNEL, "display_name": KERNEL}
    # items that are not on this machine are shown without their image
    quiet = {"HF_HUB_OFFLINE": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    write_kernel_spec(folder / "kernels" / KERNEL, overrides={"env": quiet})
    files = {
        "voila/templates/medcal/index.html.j2": Path(__file__)
        .with_name("voila.jinja")
        .read_text(),
        "voila/templates/medcal/conf.json": '{"base_template": "lab"}',
        "reader.ipynb": nbformat.writes(notebook),
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder / "reader.ipynb"


def transport_in(folder: Path) -> str:
    """How Jupyter speaks to a kernel: by sockets in our folder, which no other user can open.

    "tcp", signed but not encrypted, only where a folder's name is too long for a socket's.
    """
    fits = len(os.fspath(folder)) + _SOCKET <= _LONGEST_SOCKET
    return "ipc" if fits and hasattr(socket, "AF_UNIX") else "tcp"


def _run(notebook: Path, *, port: int, token: str, page: Path | None) -> None:
    from traitlets.config import Config
    from voila.app import Voila

    class Server(Voila):
        def launch_browser(self) -> None:
            opening = threading.Thread(target=webbrowser.open, args=[page.as_uri()])
            opening.daemon = True
            opening.start()

        def _handle_signal_stop(self, *_: object) -> None:
            _leave()  # Voila's own waits until its kernels have said goodbye

        def stop(self) -> None:
            # what was decided is on the disk already: nothing is lost with a kernel
            for kernel_id in self.kernel_manager.list_kernel_ids():
                provisioner = self.kernel_manager.get_kernel(kernel_id).provisioner
                if provisioner is not None and provisioner.process is not None:
                    provisioner.process.kill()
                    provisioner.process.wait()

    policy = (
        "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
        "style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; "
        f"connect-src 'self' ws://{HOST}:{port}"
    )
    headers = {"Content-Security-Policy": policy}
    settings = {
        "ip": HOST,
        "port": port,
        "port_retries": 0,
        "token": token,
        "open_browser": page is not None,
        "connection_dir_root": str(notebook.parent),
        "log_level": "WARN",
        # Voila never hands out the cookie that the check against forged requests wants, so that a
        # closed page could not end its kernel; the one thing to post is that, by an id nobody
        # can guess
        "tornado_settings": {"headers": headers, "disable_check_xsrf": True},
    }
    config = Config(Voila=settings, VoilaConfiguration={"template": "medcal"})
    # the kernel of a page that is gone without having said so
    config.MappingKernelManager = Config(cull_interval=10, cull_idle_timeout=30)
    config.KernelManager = Config(transport=transport_in(notebook.parent))
    Server.launch_instance([str(notebook)], config=config)
