"""The site: whole, without dead links or other hosts, readable for everybody, inert to names."""

from __future__ import annotations

import base64
import importlib.util
import re
import shutil
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import numpy as np
import pandas as pd
import pytest

from medcal_nb.show.figures import read_figure
from medcal_nb.show.words import show_table
from medcal_nb.study.profile import load_profile
from tests.browser.conftest import Complaints
from tests.study.test_report import answers, report_of

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = (
    "<img src=x onerror=document.title='pwned'><script>document.title='pwned'</script>"
)
FIGURE = ROOT / "figures" / "recorded" / "fig02_calibration.png"
#: a page of each kind
KINDS = {
    "landing": "index.html",
    "notebook": "notebooks/pocket/02_metrics.html",
    "functions": "api/measure.html",
    "function": "api/generated/medcal_nb.measure.ece_interval.html",
    "lesson": "lesson/index.html",
    "report": "reports/pocket/index.html",
    "how-to": "own_data.html",
}


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
    """The whole site: a report, and the notebooks, one with what cells show, hostile names too."""
    build = tmp_path_factory.mktemp("build")
    for profile in builder.PROFILES:
        folder = build / profile / "notebooks"
        folder.mkdir(parents=True)
        for notebook in (ROOT / "notebooks").glob("[0-9]*.ipynb"):
            shutil.copy(notebook, folder)
    show(build / "pocket" / "notebooks" / "02_metrics.ipynb")
    report_of(answers(model="A & <b>", strategy="verbalized"), build / "pocket")
    assert builder.main(["--build", str(build), "--out", str(build / "site")]) == 0
    return build / "site"


def show(path: Path) -> None:
    """Add to a notebook a figure, a table wider than a page, and names that would run."""
    wide = pd.DataFrame(
        np.eye(3, 12), columns=[f"a column with a name {k}" for k in range(12)]
    )
    shown = [
        {"text/markdown": f"Accuracy of {HOSTILE} is 50 %"},
        {"text/html": f"<table><tr><td>{HOSTILE}</td></tr></table>"},
        {"text/html": show_table(wide, title="Twelve columns")._repr_html_()},
        {"text/html": '<form><input aria-label="answer"><a href="x">told</a></form>'},
        {"image/png": base64.b64encode(FIGURE.read_bytes()).decode()},
    ]
    notebook = nbformat.read(path, as_version=4)
    for data in shown:
        output = nbformat.v4.new_output("display_data", data=data)
        if "image/png" in data:
            output.metadata["image/png"] = {"alt": read_figure(FIGURE)["alt"]}
        notebook.cells.append(nbformat.v4.new_code_cell("show()", outputs=[output]))
    nbformat.write(notebook, path)


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


def test_the_readme_leads_to_pages_of_the_site(site, builder):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    pages = re.findall(r"\]\(build/site/([^)#]+)", text)
    assert len(pages) == len(list((ROOT / "notebooks").glob("[0-9]*.ipynb")))
    for page in pages:
        assert (site / page).is_file(), page
        if page.startswith("notebooks/"):
            # the fixture shows every notebook in each profile; the study only these
            _, profile, name = page.split("/")
            assert name[:2] in load_profile(profile).notebooks


def test_the_site_is_small(site):
    assert sum(file.stat().st_size for file in site.rglob("*") if file.is_file()) < 60e6


def test_every_public_function_has_one_page(site, builder):
    pages = [page.stem for page in (site / "api" / "generated").glob("*.html")]
    shown = []
    for room in builder.ROOMS:
        for door, names in builder.public_names(room).values():
            assert names
            shown += [f"{door}.{name}" for name in names]
    assert sorted(pages) == sorted(shown)
    for room in ("measure", "correct", "answers", "logs"):
        package = importlib.import_module(f"medcal_nb.{room}")
        for name in getattr(package, "__all__", vars(package)):
            if callable(vars(package)[name]) and not name.startswith("_"):
                assert f"{package.__name__}.{name}" in shown


def test_every_figure_says_what_it_finds_and_headings_are_in_order(site):
    for page in site.rglob("*.html"):
        if "_static" in page.parts:
            continue
        text = page.read_text(encoding="utf-8").partition("<article")[2]
        for picture in re.findall(r"<img [^>]*>", text):
            (alt,) = re.findall(r'alt="([^"]*)"', picture)
            assert len(alt) > 20, (page, picture[:200])
            assert "_images/" not in alt
        levels = [int(level) for level in re.findall(r"<h([1-6])[ >]", text)]
        assert not text or levels[0] == 1, page
        assert levels.count(1) <= 1, page
        steps = pairwise(levels)
        assert all(after <= before + 1 for before, after in steps), page


@pytest.mark.browser
@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_page_is_for_everybody_and_asks_no_other_host(chromium, site, kind, mode):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    context = chromium.new_context(
        viewport={"width": 1280, "height": 900}, color_scheme=mode, offline=True
    )
    page, complaints = context.new_page(), Complaints()
    complaints.watch(page)
    page.goto((site / KINDS[kind]).as_uri())
    page.wait_for_load_state()
    # colours of the other mode fade out: half-way they have no contrast
    page.evaluate("Promise.all(document.getAnimations().map(one => one.finished))")
    # "preload" would fetch style sheets, which a page in a folder may not
    found = axe.run(page, options={"preload": False}).response["violations"]
    grave = [v for v in found if v["impact"] in ("serious", "critical")]
    assert [(v["id"], v["nodes"][0]["html"][:200]) for v in grave] == []
    assert page.title() != "pwned"
    context.close()
    assert complaints.errors == []
    assert complaints.abroad == []


@pytest.mark.browser
@pytest.mark.parametrize("kind", ["landing", "notebook", "lesson", "report", "how-to"])
def test_on_a_telephone_nothing_goes_sideways(chromium, site, kind):
    page = chromium.new_page(viewport={"width": 390, "height": 844})
    page.goto((site / KINDS[kind]).as_uri())
    page.wait_for_load_state()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.close()


@pytest.mark.browser
def test_by_keyboard_alone(chromium, site):
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    page.goto((site / KINDS["notebook"]).as_uri())
    page.wait_for_load_state()
    page.keyboard.press("Tab")
    assert "Skip to main content" in page.evaluate("document.activeElement.innerText")
    code = page.locator("details.hide").first
    assert not code.evaluate("e => e.open")
    code.locator("summary").focus()
    page.keyboard.press("Enter")
    assert code.evaluate("e => e.open")
    # the wide table is scrolled by arrow keys in a box of its own
    box = page.locator(".cell_output > .output", has_text="Twelve columns")
    box.focus()
    page.keyboard.press("End")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("e => e.scrollLeft > 0", arg=box.element_handle())
    page.close()


def test_exercises_are_done_on_the_page_of_the_lesson(site):
    text = (site / KINDS["notebook"]).read_text(encoding="utf-8")
    assert "<input aria-label" not in text
    assert '<a href="../../lesson/index.html">Do this on the lesson' in text


def test_a_report_is_called_by_its_title(site):
    text = (site / "index.html").read_text(encoding="utf-8")
    assert re.search(r">Calibration report: A &amp; &lt;b&gt;[^<&]*</a>", text)
    page = (site / KINDS["report"]).read_text(encoding="utf-8")
    assert '<a href="../../index.html">' in page


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
