"""Headless Chromium for the tests of this folder, and what it complained about."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest

from tests.browser import servers

PATIENCE = 180_000  # milliseconds that a slow machine has for anything waited for
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="session")
def chromium():
    """One browser for all tests; skips, saying so, where there is none."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("no chromium on this machine: `make browser` installs Debian's")
    api = pytest.importorskip(
        "playwright.sync_api", reason="playwright: pip install -e .[test]"
    )
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
        page.on("response", lambda reply: reply.ok or self._failed(reply))
        page.on("request", lambda request: self._request(request.url))

    def _failed(self, reply) -> None:
        if reply.status >= 400:
            self.errors.append(f"{reply.status} {reply.request.method} {reply.url}")

    def _request(self, url: str) -> None:
        parts = urlsplit(url)
        if (
            parts.scheme in ("http", "https", "ws", "wss")
            and parts.hostname != "127.0.0.1"
        ):
            self.abroad.append(url)


@pytest.fixture(scope="module")
def page(chromium):
    """A page that a module's tests share, watched; when they are over it must have been quiet.

    No errors in its console, and no call to any other machine.
    """
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE)
    page, told = context.new_page(), Complaints()
    told.watch(page)
    yield page
    context.close()
    assert told.errors == []
    assert told.abroad == []


@pytest.fixture(scope="module")
def lab(page, root, tmp_path_factory):
    """JupyterLab on a copy of the notebooks, so that a test never saves into the checkout."""
    home = tmp_path_factory.mktemp("lab")
    folder = home / "notebooks"
    shutil.copytree(root / "notebooks", folder)
    for name, code in (("hello", HELLO), ("exercise", EXERCISE), ("reliability", LAB)):
        write_notebook(folder / f"{name}.ipynb", code)
    with servers.jupyterlab(folder, home) as server:
        yield server
        page.close()  # before its server stops


HELLO = """import ipywidgets
print('sum', 40 + 2)
ipywidgets.IntSlider(description='turn me')"""
EXERCISE = """from IPython.display import display
from medcal_nb.teach import exercises, lesson
display(exercises.ask('accuracy'), exercises.ask('boaster'), lesson.quiz(), exercises.hand_in())"""
LAB = "from medcal_nb.teach.lab import lab\nlab(n=100)"


def write_notebook(path, code):
    """Write a notebook of one cell."""
    import nbformat

    cell = nbformat.v4.new_code_cell(code, id="only")
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(cells=[cell], metadata={"kernelspec": kernel})
    nbformat.write(notebook, path)
