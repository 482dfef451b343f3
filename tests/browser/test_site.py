"""The site: whole, its tables in sight, readable for everybody, asking no host, inert to names."""

import importlib
import re
import runpy
import shutil
from collections import Counter
from pathlib import Path
from urllib.parse import unquote

import nbclient
import nbformat
import pytest

from medcal_nb.notebook import page_of
from tests.browser.conftest import Complaints

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = """
from IPython.display import display
from matplotlib import pyplot as plt
import pandas as pd
from medcal_nb.notebook import Output
from medcal_nb.wording import show
name = "<img src=x onerror=document.title='pwned'><script>document.title='pwned'</script>"
out = Output("09_people", FOLDER)
out.finding(name)
out.save(plt.figure(), "fig09_readers", pd.DataFrame(), name)
display(show(pd.DataFrame([[name, 0.5]], columns=["model", name])))
print(name)"""
#: a page of each kind
KINDS = ["figures/09_people", "api/decisions", "docs/own_data", "lesson/index"]
#: colours of the dark mode are of a chapter's tables, of code and of the lesson
SEEN = [
    ("index", "light"),
    *((kind, mode) for kind in KINDS for mode in ("light", "dark")),
]
SEEN.remove(("docs/own_data", "dark"))
# boxes that hide a part of their table, and whether the page is wider than the screen
HIDDEN = """() => [
  ...[...document.querySelectorAll('.pst-scrollable-table-container')]
    .filter((box) => box.scrollWidth > box.clientWidth).map((box) => box.innerText.slice(0, 60)),
  ...(document.documentElement.scrollWidth > innerWidth ? ['the page'] : []),
]"""
# a page of another width is laid out anew in the next frame
LAID_OUT = """() => new Promise((done) =>
  requestAnimationFrame(() => requestAnimationFrame(done)))"""
# Sphinx tells its themes and extensions what its next version will not have
warned = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
pytestmark = [pytest.mark.slow, warned]


@pytest.fixture(scope="module")
def builder():
    return runpy.run_path(str(ROOT / "docs" / "build_site.py"))["main"]


@pytest.fixture(scope="module")
def site(builder, tmp_path_factory):
    """The whole site, with a name that would run at the end of a chapter."""
    folder = tmp_path_factory.mktemp("site")
    figures = shutil.copytree(ROOT / "figures", folder / "figures")
    code = HOSTILE.replace("FOLDER", repr(str(folder / "out")))
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    nbclient.NotebookClient(notebook, kernel_name="python3").execute()
    nbformat.write(notebook, folder / "hostile.ipynb")
    page = page_of(folder / "hostile.ipynb", "../notebooks/09_people.ipynb")
    with (figures / "09_people.md").open("a", encoding="utf-8") as chapter:
        chapter.write(f"\n{page}\n")
    options = ["--figures", str(figures), "--address", "https://example.org/m"]
    assert builder([*options, "--out", str(folder / "site")]) == 0
    return folder / "site"


@pytest.fixture(scope="module")
def pages(site):
    paths = [path for path in site.rglob("*.html") if "_static" not in path.parts]
    return {path: path.read_text("utf-8") for path in paths}


def test_no_link_inside_is_dead_and_no_other_host_is_asked(pages):
    wrong = []
    pattern = r'<(\w+)\b[^>]*?\b(?:src|href)="([^"#?]+)'
    for path, text in pages.items():
        markup = re.sub(r"(?s)<script\b[^>]*>.*?</script>", "", text)
        for tag, address in re.findall(pattern, markup):
            is_elsewhere = re.match(r"\w+:|//", address)
            if is_elsewhere and tag != "a" and not address.startswith("data:"):
                wrong.append((path, address))
            if not is_elsewhere and not (path.parent / unquote(address)).exists():
                wrong.append((path, address))
    assert wrong == []


def test_every_public_function_stands_once(pages):
    names = re.findall(r'<dt[^>]* id="(medcal_nb[\w.]+)"', "".join(pages.values()))
    shown = Counter(names)
    for room in (
        "measure",
        "certify",
        "correct",
        "answers",
        "plots",
        "notebook",
        "report",
        "explore",
    ):
        module = importlib.import_module(f"medcal_nb.{room}")
        for name, value in vars(module).items():
            home = getattr(value, "__module__", None) or ""
            if callable(value) and home.startswith(module.__name__) and name[0] != "_":
                assert shown[f"{module.__name__}.{name}"] == 1, name


def test_what_the_study_has_not_published_is_named(builder, tmp_path, capsys):
    assert builder(["--figures", str(tmp_path), "--out", str(tmp_path / "site")]) == 2
    assert "run `medcal study 00`" in capsys.readouterr().err


@pytest.mark.browser
@pytest.mark.parametrize(("kind", "mode"), SEEN)
def test_a_page_is_for_everybody_and_asks_no_other_host(chromium, site, kind, mode):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    context = chromium.new_context(color_scheme=mode, offline=True)
    page, complaints = context.new_page(), Complaints()
    complaints.watch(page)
    page.goto((site / f"{kind}.html").as_uri())
    # colours of the other mode fade out, or are cut off: half-way they have no contrast
    page.evaluate(
        "Promise.allSettled(document.getAnimations().map(one => one.finished))"
    )
    found = axe.run(page, options={"preload": False}).response["violations"]
    assert [(v["id"], v["nodes"][0]["html"][:200]) for v in found] == []
    assert page.title() != "pwned"
    context.close()
    assert (complaints.errors, complaints.abroad) == ([], [])


@pytest.mark.browser
def test_every_column_of_every_page_is_seen(chromium, site, pages):
    page = chromium.new_page()
    hidden = {}
    for path in pages:
        page.goto(path.as_uri())
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 900})
            page.evaluate(LAID_OUT)
            hidden[path.name, width] = page.evaluate(HIDDEN)
    page.close()
    assert [place for place, boxes in hidden.items() if boxes] == []
