"""Headless Chromium for the tests of this folder, and what it complained about."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import matplotlib
import nbformat
import pytest

PATIENCE = 180_000  # milliseconds that a slow machine has for anything waited for
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
ARGUMENTS += ["--disable-component-update", "--disable-sync", "--no-first-run"]


@pytest.fixture(scope="session")
def chromium():
    """One browser for all tests; skips, saying so, where there is none."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("no chromium on this machine: `make browser` installs Debian's")
    api = pytest.importorskip("playwright.sync_api")
    api.expect.set_options(timeout=PATIENCE)
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@dataclass
class Complaints:
    """What a page did that it should not: errors in its console, and calls to other machines."""

    errors: list[str] = field(default_factory=list)
    abroad: list[str] = field(default_factory=list)

    def watch(self, page) -> None:
        page.on("console", lambda m: m.type == "error" and self.errors.append(m.text))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("response", self._response)
        page.on("request", self._request)

    def _response(self, reply) -> None:
        if reply.status >= 400:
            self.errors.append(f"{reply.status} {reply.request.method} {reply.url}")

    def _request(self, request) -> None:
        host = urlsplit(request.url).hostname  # none of a file, or of data
        if host not in (None, "", "127.0.0.1", "localhost"):
            self.abroad.append(request.url)


@pytest.fixture(scope="module")
def page(chromium):
    """A page that a module's tests share, watched; when they are over it must have been quiet.

    No errors in its console, and no call to any other machine.
    """
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE)
    page, complaints = context.new_page(), Complaints()
    complaints.watch(page)
    page.on("dialog", lambda dialog: dialog.accept())  # a notebook left unsaved
    yield page
    context.close()
    assert (complaints.errors, complaints.abroad) == ([], [])


@dataclass
class Lab:
    """A JupyterLab on loopback: the page that shows it, its address and its folder."""

    page: object
    url: str
    token: str
    folder: Path

    def write(self, name: str, *cells: str) -> None:
        """Write a notebook of some cells of code."""
        notebook = nbformat.v4.new_notebook()
        notebook.cells = [nbformat.v4.new_code_cell(code) for code in cells]
        kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)"}
        notebook.metadata["kernelspec"] = kernel
        nbformat.write(notebook, self.folder / f"{name}.ipynb")

    def run(self, name: str) -> None:
        """Open a notebook and choose Run → Run All Cells, as soon as its kernel is idle."""
        # a workspace of its own, in which the tabs of another test are not opened again
        path = f"lab/workspaces/{name}/tree/{name}.ipynb?token={self.token}"
        self.page.goto(self.url + path)
        self.page.locator(".jp-Notebook").wait_for()
        # the indicator in the toolbar says "idle" before the kernel is there
        self.page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
        for item in ("Run", "Run All Cells"):
            self.page.get_by_role("menuitem", name=item, exact=True).click()


@pytest.fixture(scope="module")
def lab(page, root, tmp_path_factory):
    """JupyterLab on a copy of the notebooks, with nothing of the user's own settings."""
    with started_lab(page, root, tmp_path_factory.mktemp("lab")) as running:
        yield running


@contextmanager
def started_lab(page, root, home):
    """What `lab` gives, its files in a folder of its own."""
    folder = shutil.copytree(root / "notebooks", home / "notebooks")
    no_news = {"fetchNews": "false", "checkForUpdates": False}
    settings = {
        "apputils-extension/notification": no_news,
        "notebook-extension/tracker": {"windowingMode": "none"},  # all cells are there
    }
    for name, values in settings.items():
        file = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(values))
    places = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
    own = {name: str(home / name) for name in (*places, "IPYTHONDIR")}
    # the list of fonts that is there: a new one takes long, which matplotlib says on stderr
    own["MPLCONFIGDIR"] = matplotlib.get_cachedir()
    environment = os.environ | own | {"HOME": str(home), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += ["--ServerApp.ip=127.0.0.1", "--ServerApp.port=0"]
    command += [f"--ServerApp.root_dir={folder}", "--LabApp.extension_manager=readonly"]
    command += [f"--LabApp.user_settings_dir={home / 'settings'}"]
    where = {"env": environment, "cwd": home, "stderr": subprocess.STDOUT}
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, **where)
    try:
        # where it listens, by whatever token; written in two steps
        while not (files := [*home.glob("JUPYTER_RUNTIME_DIR/jpserver-*.json")]):
            assert process.poll() is None, (home / "log").read_text()
            time.sleep(0.1)
        time.sleep(0.5)
        address = json.loads(files[0].read_text())
        yield Lab(page, address["url"], address["token"], folder)
        page.close()  # before its server stops
    finally:
        process.terminate()
        process.wait(timeout=60)
