"""The site: whole, without dead links or other hosts, readable for everybody, inert to names."""

from __future__ import annotations

import importlib.util
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = (
    "<img src=x onerror=document.title='pwned'><script>document.title='pwned'</script>"
)


@pytest.fixture(scope="module")
def builder():
    spec = importlib.util.spec_from_file_location(
        "build_site", ROOT / "docs/build_site.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(builder, tmp_path_factory):
    """The whole site, of the notebooks as they lie there; one shows what a hostile name does."""
    build = tmp_path_factory.mktemp("build")
    for profile in builder.PROFILES:
        folder = build / profile / "notebooks"
        folder.mkdir(parents=True)
        for notebook in (ROOT / "notebooks").glob("[0-9]*.ipynb"):
            shutil.copy(notebook, folder)
    seized = build / "pocket" / "notebooks" / "02_metrics.ipynb"
    notebook = nbformat.read(seized, as_version=4)
    shown = {
        "text/markdown": f"Accuracy of {HOSTILE} is 50 %",
        "text/html": f"<table><tr><td>{HOSTILE}</td></tr></table>",
    }
    for kind, text in shown.items():
        output = nbformat.v4.new_output("display_data", data={kind: text})
        notebook.cells.append(nbformat.v4.new_code_cell("show()", outputs=[output]))
    nbformat.write(notebook, seized)
    assert builder.main(["--build", str(build), "--out", str(build / "site")]) == 0
    return build / "site"


class Addresses(HTMLParser):
    """Addresses that a page links to, and those that a browser would load to show it."""

    def __init__(self, page: Path):
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        named = dict(attrs)
        self.anchors.add(named.get("id") or named.get("name") or "")
        address = named.get("src") or named.get("href")
        if not address:
            return
        is_link = tag == "a" or named.get("rel") in ("next", "prev", "search", "index")
        (self.links if is_link else self.loaded).append(address)


def test_no_link_inside_is_dead_and_no_other_host_is_asked(site):
    pages = {
        page: Addresses(page)
        for page in site.rglob("*.html")
        if "_static" not in page.parts
    }
    assert len(pages) > 50
    dead, abroad = [], []
    for page, addresses in pages.items():
        for address in addresses.links + addresses.loaded:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                if address in addresses.loaded and parts.scheme != "data":
                    abroad.append((page.name, address))
                continue
            target = (
                (page.parent / unquote(parts.path)).resolve() if parts.path else page
            )
            if not target.exists():
                dead.append((page.relative_to(site).as_posix(), address))
    assert abroad == []
    assert dead == []


def test_the_site_is_small(site):
    assert sum(file.stat().st_size for file in site.rglob("*") if file.is_file()) < 60e6


def test_every_public_function_has_one_page(site, builder):
    pages = [page.stem for page in (site / "api" / "generated").glob("*.html")]
    for room in builder.ROOMS:
        module = importlib.import_module(f"medcal_nb.{room}")
        for name in builder.public_names(module):
            assert pages.count(f"medcal_nb.{room}.{name}") == 1


def test_the_landing_page_leads_with_the_study(site):
    text = (site / "index.html").read_text(encoding="utf-8")
    assert "{{" not in text
    assert re.search(r'<img alt="[^"]{20,}" src="_images/', text)


def test_without_a_study_the_builder_says_what_to_run(builder, tmp_path, capsys):
    assert (
        builder.main(["--build", str(tmp_path), "--out", str(tmp_path / "site")]) == 2
    )
    assert "run `make study`" in capsys.readouterr().err


def test_names_of_others_run_nothing(site):
    text = (site / "notebooks/pocket/02_metrics.html").read_text(encoding="utf-8")
    assert "<script>document.title" not in text
    assert not re.search(r"<[^>]+ onerror=", text)


def test_the_workflow_runs_what_make_offers():
    text = (ROOT / ".github/workflows/site.yml").read_text(encoding="utf-8")
    made = re.findall(r"run: make (\S+)", text)
    rules = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert made
    assert all(re.search(rf"(?m)^{target}:", rules) for target in made)
    assert "path: build/site" in text
