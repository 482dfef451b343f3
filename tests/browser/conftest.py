"""Headless Chromium for the tests of this folder, and what it complained about."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest

from tests.browser import servers

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
    api = pytest.importorskip("playwright.sync_api", reason="playwright: pip install -e .[test]")
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
        page.on("request", lambda request: self._request(request.url))

    def _request(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.hostname != "127.0.0.1":
            self.abroad.append(url)


@pytest.fixture
def complaints():
    """Checked when the test is over: a page is quiet and stays on this machine."""
    told = Complaints()
    yield told
    assert told.errors == []
    assert told.abroad == []


@pytest.fixture
def page(chromium, complaints):
    """A fresh page in a context of its own, watched."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(60_000)
    page = context.new_page()
    complaints.watch(page)
    yield page
    context.close()


@pytest.fixture(scope="module")
def lab(chromium, root, tmp_path_factory):
    """JupyterLab on a copy of the notebooks, so that a test never saves into the checkout."""
    home = tmp_path_factory.mktemp("lab")
    folder = home / "notebooks"
    shutil.copytree(root / "notebooks", folder)
    (folder / "hello.ipynb").write_text(HELLO)
    with servers.jupyterlab(folder, home) as server:
        yield server


HELLO = """{"cells": [
 {"cell_type": "markdown", "metadata": {}, "source": ["# Hello"], "id": "a"},
 {"cell_type": "code", "execution_count": null, "metadata": {}, "outputs": [], "id": "b",
  "source": ["import ipywidgets\\n", "print('sum', 40 + 2)\\n",
             "ipywidgets.IntSlider(description='turn me')"]}],
 "metadata": {"kernelspec": {"display_name": "Python 3", "language": "python",
                             "name": "python3"},
              "language_info": {"name": "python"}},
 "nbformat": 4, "nbformat_minor": 5}
"""
