"""Copies of executed notebooks without a machine's paths, as HTML too, and a page of links."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import bleach
import jinja2
import nbformat
from markupsafe import Markup
from nbconvert import HTMLExporter
from nbconvert.filters import markdown2html
from traitlets.config import Config

from medcal_nb.show.figures import FORMATS, read_manifest, replace_files
from medcal_nb.study.context import library_versions
from medcal_nb.study.notebooks import Notebook

_FOLDER = Path(__file__).parent
# widgets stand still as the HTML or text that they offer beside
_SHOWN = (
    "application/javascript text/html text/markdown image/svg+xml image/png image/jpeg text/plain"
)
_MARKDOWN = "p h1 h2 h3 h4 h5 h6 hr br pre div span del table thead tbody tr th td sup sub"


def save_copies(executed: Path, page: Path, *, seconds: float) -> None:
    """Finish an executed notebook, and write it as one HTML file that needs no network.

    The header tells how long the run took; where files lay is left out. In the HTML widgets
    stand still as the HTML they offer, scripts that outputs brought along are left out, and
    Markdown that was computed holds no HTML but that of Markdown: it may name models and data
    sets. Formulas in LaTeX stay as they are written: typesetting them would take MathJax.
    """
    notebook = nbformat.read(executed, as_version=4)
    for part in (notebook, *notebook.cells):
        part.metadata.pop("papermill", None)
        if "injected-parameters" in part.metadata.get("tags", []):
            part.source = re.sub(r"(?m)^(ANSWERS|OUT_DIR) = .*$", r'\1 = ""', part.source)
            part.metadata["jupyter"] = {"source_hidden": True}  # the answer stands below it
    took = f"**Runtime** {seconds:.0f} s in the run that made this copy."
    head = notebook.cells[0]
    head.source = re.sub(r"\*\*Runtime\*\*[^.]*\.", took, head.source)
    replace_files({executed: nbformat.writes(notebook).encode()})
    notebook.metadata.pop("widgets", None)
    template = (_FOLDER / "copy.html.jinja").read_text(encoding="utf-8")
    exporter = HTMLExporter(
        template_name="lab",
        raw_template=template,
        filters={"safe_markdown": safe_markdown},
        embed_images=True,
        config=Config(NbConvertBase={"display_data_priority": _SHOWN.split()}),
    )
    body, _ = exporter.from_notebook_node(notebook, {"metadata": {"name": executed.stem}})
    replace_files({page: body.encode()})


def safe_markdown(text: str) -> str:
    """Return Markdown as HTML, without any HTML of its own that could do something."""
    return bleach.clean(markdown2html(text), tags=bleach.ALLOWED_TAGS | {*_MARKDOWN.split()})


def save_index(study: Any, findings: dict[str, list[str]]) -> None:
    """Write ``index.html`` beside the HTML copies: what was found, every figure and notebook.

    On top stand the answer and the figures that notebook 00 shows. Figures are copied next to the
    page, so that the folder can be published as it is.

    Parameters
    ----------
    study : medcal_nb.study.run.Study
        A study that has been run.
    findings : dict
        By notebook its answer, in sentences.
    """
    folder, entries = study.work / "html", read_manifest(study.figures)
    notebooks = [step.notebook for step in study.steps.values()]
    shutil.rmtree(folder / "figures", ignore_errors=True)
    (folder / "figures").mkdir()
    for file in study.figures.glob("fig*.*"):
        if file.stem in entries:
            shutil.copyfile(file, folder / "figures" / file.name)
    shown = [name for n in notebooks for name in n.reads if name in entries]
    loader = jinja2.FileSystemLoader(_FOLDER)
    template = jinja2.Environment(loader=loader, autoescape=True).get_template("index.html.jinja")
    text = template.render(
        study=study,
        answer=Markup(safe_markdown("\n\n".join(findings.get("00_overview", [])))),
        findings={name: entries.pop(name) for name in dict.fromkeys(shown)},
        figures=entries,
        questions={n.name: _question(n) for n in notebooks},
        pages={page.stem for page in folder.glob("*.html")},
        kinds=FORMATS,
        versions=library_versions(),
    )
    replace_files({folder / "index.html": text.encode()})


def _question(notebook: Notebook) -> str:
    """Return the question that a notebook's header asks."""
    found = re.search(r"\*\*Question[.:]?\*\*:?\s*(.+(?:\n.+)*)", notebook.text("markdown"))
    return re.sub(r"[*`]", "", found[1]) if found else ""
