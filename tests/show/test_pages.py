"""HTML copies of executed notebooks: one file, no network."""

import re
from html.parser import HTMLParser

import nbformat
import pandas as pd
import pytest
from matplotlib.figure import Figure
from nbconvert import HTMLExporter
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from medcal_nb.show.figures import save_figure
from medcal_nb.show.pages import save_copies, save_index
from medcal_nb.study.run import find_notebooks
from tests.study.toy import write_notebook

WIDGET = "application/vnd.jupyter.widget-view+json"


class Fetches(HTMLParser):
    """What a browser would fetch to show a page."""

    def __init__(self, page):
        super().__init__()
        self.found, self._tag = [], ""
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self._tag = tag
        fetched = dict(attributes).get("href" if tag == "link" else "src")
        if fetched and not fetched.startswith("data:"):
            self.found.append(fetched)

    def handle_endtag(self, tag):
        self._tag = ""

    def handle_data(self, data):
        if self._tag == "script":
            self.found += re.findall(r"https?://[^\s\"']+|import\(", data)
        self.found += re.findall(r"@import[^;]+|url\(\s*[\"']?https?:[^)]+", data)


def shown(data):
    return new_output("display_data", data=data)


@pytest.fixture
def page(tmp_path):
    slider = {WIDGET: {"model_id": "abc", "version_major": 2, "version_minor": 0}}
    code = new_code_cell("draw()")
    code.outputs = [
        shown(
            {
                "application/javascript": "window.ran = 1",
                "text/plain": "<Javascript object>",
            }
        ),
        shown(
            {
                **slider,
                "text/html": "<p>a case that stands still</p>",
                "text/plain": "Panel",
            }
        ),
        shown({**slider, "text/plain": "100% 3/3"}),
        shown({"image/png": "iVBORw0KGgo=", "text/plain": "<Figure>"}),
        shown(
            {
                "text/markdown": "**worst**: <img src=x onerror=alert(1)> [m](javascript:alert(2))"
            }
        ),
        new_output("stream", text="said aloud"),
    ]
    heading = "# Heading\n\nWhere $x = 1$.\n\n**Runtime** under a minute on two cores."
    injected = new_code_cell(
        'ANSWERS = "/home/me/a.sqlite"\nOUT_DIR = "/home/me/x"\nSEED = 7'
    )
    injected.metadata["tags"] = ["injected-parameters"]
    notebook = new_notebook(cells=[new_markdown_cell(heading), injected, code])
    state = {
        "abc": {
            "model_name": "SliderModel",
            "model_module": "@jupyter-widgets/controls",
        }
    }
    notebook.metadata["widgets"] = {
        "application/vnd.jupyter.widget-state+json": {
            "state": state,
            "version_major": 2,
        }
    }
    notebook.metadata["papermill"] = {"input_path": "/home/me/01_one.ipynb"}
    nbformat.write(notebook, tmp_path / "01_one.ipynb")
    save_copies(tmp_path / "01_one.ipynb", tmp_path, seconds=12.4)
    assert "/home/me" not in (tmp_path / "01_one.ipynb").read_text()
    return (tmp_path / "01_one.html").read_text(encoding="utf-8")


def test_nothing_is_fetched_and_the_check_would_see_what_nbconvert_fetches_by_itself(
    page,
):
    assert Fetches(page).found == []
    plain, _ = HTMLExporter(template_name="lab").from_notebook_node(new_notebook())
    found = " ".join(Fetches(plain).found)
    for library in ("require", "mathjax", "mermaid"):
        assert library in found


def test_a_copy_stands_still_says_how_long_it_took_and_not_where_and_leads_back(page):
    kept = (
        "a case that stands still", "100% 3/3", "said aloud", "SEED", '<a href="index.html">',
        "data:image/png;base64,iVBORw0KGgo=", "12 s in the run that made this copy",
        "<strong>worst</strong>", "&lt;img src=x onerror",
    )  # fmt: skip
    gone = (
        WIDGET, "window.ran", "Javascript object", "SliderModel", "under a minute", "/home/me",
        "<img src=x", "javascript:alert",
    )  # fmt: skip
    assert [text for text in kept if text not in page] == []
    assert [text for text in gone if text in page] == []
    assert page.count("<details") == page.count("<summary>Code</summary>") == 2


@pytest.fixture
def index(tmp_path):
    """The page of a study of which 00 shows one of two figures."""
    work, figures, folder = (
        tmp_path / name for name in ("work", "figures", "notebooks")
    )
    (work / "html").mkdir(parents=True)
    (work / "html" / "02_metrics.html").write_text("")
    writes, told = ["fig02_gap", "fig02_says_right"], {"notebook": "02_metrics"}
    for name in writes:
        how = {
            "provenance": told,
            "caption": f"Caption of {name}.",
            "alt": "It says & is right",
        }
        save_figure(Figure(), name, pd.DataFrame({"x": [1]}), out_dir=figures, **how)
    folder.mkdir()
    write_notebook(folder, "00_overview", [], reads=writes[1:])
    write_notebook(folder, "02_metrics", [], writes=writes)
    (figures / "results").mkdir()
    answer = "No <script>, as it stands.\n\n**Where?** Says 84 %.\n"
    (figures / "results" / "00_overview.md").write_text(answer, encoding="utf-8")
    save_index(
        work / "html", figures, find_notebooks(folder).values(), "Whose answers."
    )
    return (work / "html" / "index.html").read_text(encoding="utf-8")


def test_the_index_says_the_answer_then_shows_the_findings_and_leads_on(index):
    order = [
        "<h1>",
        "as it stands.",
        "<h2>Findings",
        'id="fig02_says_right"',
        "<h2>Notebooks",
    ]
    places = [index.index(part) for part in [*order, 'id="fig02_gap"']]
    assert places == sorted(places)
    assert index.count("<figure ") == 2
    assert index.count('alt="It says &amp; is right"') == 2
    assert index.count('<a href="02_metrics.html">notebook 02</a>') == 2
    told = (
        "<strong>Where?</strong>", "Caption of fig02_gap.", "MIT", "not a medical device",
        "Whose answers.", '<a href="02_metrics.html">02_metrics</a>',
    )  # fmt: skip
    assert [words for words in told if words not in index] == []
    assert "<script" not in index
