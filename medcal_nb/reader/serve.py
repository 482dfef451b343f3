"""Serve the reader view with Voilà: on this machine only, behind a token, nothing fetched."""

from __future__ import annotations

import contextlib
import html
import json
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
import webbrowser
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from medcal_nb.errors import MedcalError

HOST = "127.0.0.1"
KERNEL = "medcal-reader"
_IDLE_SECONDS = 3600
# Voilà's own template would fetch icon fonts from elsewhere; everything else of it is kept
_TEMPLATE = """{% extends "voila/templates/lab/index.html.j2" %}
{% import "spinner.macro.html.j2" as spinner %}
{%- block notebook_css -%}
  {{ resources.include_js("static/voila-style.js") }}
  {{ spinner.css() }}
  <style>.jp-mod-noOutputs.jp-mod-noInput { display: none; }</style>
  {{ super.super() }}
{%- endblock notebook_css -%}
"""


def serve(
    answers: Path,
    options: dict[str, Any],
    *,
    port: int | None = None,
    token: str | None = None,
    open_browser: bool = True,
    say: Callable[[str], None] = print,
) -> None:
    """Serve the reader view until interrupted.

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
    port = _usable_port(port or 0)
    token = token or secrets.token_urlsafe(24)
    address = f"http://{HOST}:{port}/?token={token}"
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that the folder is removed
    with _own_folder() as folder:
        notebook = write_site(folder, answers, options)
        _use_only(folder)
        say(f"Reader view of {answers}: {address}")
        say("It opens in about ten seconds. Press Ctrl+C to stop; decisions are kept as made.")
        page = write_redirect(folder, address)
        _run(notebook, port=port, token=token, page=page if open_browser else None)


@contextlib.contextmanager
def _own_folder() -> Iterator[Path]:
    """Yield a folder that is removed at the end, locked till then; remove those of killed runs."""
    for left in Path(tempfile.gettempdir()).glob("medcal-reader-*"):
        with contextlib.suppress(OSError), _locked(left):
            shutil.rmtree(left)
    made = tempfile.TemporaryDirectory(prefix="medcal-reader-", ignore_cleanup_errors=True)
    with made as name, _locked(Path(name)):
        yield Path(name)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a folder of ours; OSError where it is another's, or another process holds it."""
    try:
        import fcntl
    except ImportError:  # Windows: what is open there can't be removed anyway
        yield
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if os.fstat(handle).st_uid != os.getuid():
            raise PermissionError(f"{folder}: another user's")
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def write_redirect(folder: Path, address: str) -> Path:
    """Write a page that leads to an address and that no other user can read.

    A browser is given this page: its command line, which all users see, then holds no token.
    """
    path = folder / "open.html"
    url = html.escape(address, quote=True)
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        file.write(
            f'<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; {url}">'
            f'<title>Reader view</title><a href="{url}">Reader view</a>'
        )
    return path


def write_site(folder: Path, answers: Path, options: dict[str, Any]) -> Path:
    """Write what Voilà serves into a folder: a notebook, its kernel and its template.

    Returns
    -------
    pathlib.Path
        The notebook.
    """
    import nbformat

    given = "".join(f", {name}={value!r}" for name, value in options.items() if value is not None)
    code = (
        "from medcal_nb.reader.view import Reader\n\n"
        f"Reader({os.fspath(answers.resolve())!r}{given})"
    )
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(code, id="reader")],
        metadata={
            "title": "Reader view",
            "kernelspec": {"name": KERNEL, "display_name": KERNEL, "language": "python"},
        },
    )
    kernel = {
        "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": KERNEL,
        "language": "python",
        "metadata": {"supported_encryption": ["curve"]},
        # items that are not on this machine are shown without their image
        "env": {"HF_HUB_OFFLINE": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"},
    }
    files = {
        f"kernels/{KERNEL}/kernel.json": json.dumps(kernel),
        "voila/templates/medcal/index.html.j2": _TEMPLATE,
        "voila/templates/medcal/conf.json": '{"base_template": "lab"}',
        "reader.ipynb": nbformat.writes(notebook),
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder / "reader.ipynb"


def _use_only(folder: Path) -> None:
    """Let Jupyter find our kernel and template, and leave the user's own settings alone."""
    paths = os.environ.get("JUPYTER_PATH")
    os.environ["JUPYTER_PATH"] = os.pathsep.join([str(folder), *([paths] if paths else [])])
    os.environ["JUPYTER_CONFIG_DIR"] = str(folder / "config")
    os.environ["JUPYTER_RUNTIME_DIR"] = str(folder / "runtime")
    os.environ["IPYTHONDIR"] = str(folder / "ipython")


def _run(notebook: Path, *, port: int, token: str, page: Path | None) -> None:
    import logging

    from traitlets.config import Config
    from voila.app import Voila

    class Server(Voila):
        def launch_browser(self):
            opening = (page.as_uri(),)
            threading.Thread(target=webbrowser.open, args=opening, daemon=True).start()

    here = f"{HOST}:{port}"
    policy = (
        "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
        f"style-src 'self' 'unsafe-inline'; connect-src 'self' ws://{here}; frame-ancestors 'none'"
    )
    settings = Config()
    settings.Voila.ip = HOST
    settings.Voila.port = port
    settings.Voila.port_retries = 0
    settings.Voila.token = token
    settings.Voila.open_browser = page is not None
    settings.Voila.connection_dir_root = str(notebook.parent)
    settings.Voila.log_level = logging.WARNING
    settings.Voila.tornado_settings = {
        "headers": {"Content-Security-Policy": policy},
        # Voila never hands out the cookie that this check wants, so that a closed page could not
        # end its kernel; the one thing to post is that, by an id nobody can guess
        "disable_check_xsrf": True,
    }
    settings.VoilaConfiguration.template = "medcal"
    settings.MappingKernelManager.cull_idle_timeout = _IDLE_SECONDS
    settings.MappingKernelManager.cull_interval = 60
    Server.launch_instance([str(notebook)], config=settings)


def _usable_port(port: int) -> int:
    """Return the port itself if it is free; for 0, one that is."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError) as error:
            raise MedcalError(
                f"--port {port}: cannot be used ({error}); choose another or leave it out"
            ) from None
        return probe.getsockname()[1]
