"""Copies of executed notebooks without a machine's paths, as HTML too, and a page of links."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import bleach
import jinja2
import nbformat
from markupsafe import Markup
from nbconvert import HTMLExporter
from nbconvert.filters import markdown2html
from traitlets.config import Config

from medcal_nb.show.figures import FORMATS, read_manifest, replace_files
from medcal_nb.study.context import library_versions, load_results
from medcal_nb.study.notebooks import Notebook
from medcal_nb.study.profiles import Profile

_FOLDER = Path(__file__).parent
_TITLE = "Can I trust the confidence of a multimodal LLM on medical images?"
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


def save_index(
    folder: Path,
    notebooks: Iterable[Notebook],
    profile: Profile,
    *,
    figures: Path,
    results: Path,
    fast: bool,
) -> None:
    """Write ``index.html`` beside the HTML copies: what was found, every figure and notebook.

    On top stand the answer and the figures that notebook 00 shows. Figures and results are copied
    next to the page, so that the folder can be published as it is.
    """
    entries = read_manifest(figures)
    files = {f"figures/{n}.{k}": figures / f"{n}.{k}" for n in entries for k in FORMATS}
    files |= {f"results/{path.name}": path for path in sorted(results.glob("*.json"))}
    for place in ("figures", "results"):
        (folder / place).mkdir(exist_ok=True)
        for old in (folder / place).iterdir():
            old.unlink()
    replace_files({folder / name: file.read_bytes() for name, file in files.items()})
    drawn = {name: _figure(name, entry, folder) for name, entry in sorted(entries.items())}
    shown = [name for n in notebooks for name in n.reads if name not in n.writes]
    overview = results / "00_overview.json"
    answer = load_results(overview).get("answer", []) if overview.is_file() else []
    loader = jinja2.FileSystemLoader(_FOLDER)
    page = jinja2.Environment(loader=loader, autoescape=True).get_template("index.html.jinja")
    text = page.render(
        title=_TITLE,
        profile=profile,
        fast=fast,
        answer=Markup(safe_markdown("\n\n".join(answer))),
        findings=[drawn.pop(name) for name in dict.fromkeys(shown) if name in drawn],
        notebooks=[_row(notebook, folder) for notebook in notebooks],
        figures=list(drawn.values()),
        kinds=FORMATS,
        versions=library_versions(),
    )
    replace_files({folder / "index.html": text.encode()})


def _row(notebook: Notebook, folder: Path) -> dict:
    """Return what the page tells of a notebook."""
    found = re.search(r"\*\*Question[.:]?\*\*:?\s*(.+(?:\n.+)*)", notebook.text("markdown"))
    numbers = f"results/{notebook.name}.json"
    return {
        "name": notebook.name,
        "page": (folder / f"{notebook.name}.html").is_file(),
        "question": re.sub(r"[*`]", "", found.group(1)) if found else "",
        "numbers": numbers if (folder / numbers).is_file() else "",
    }


def _figure(name: str, entry: dict, folder: Path) -> dict:
    """Return what the page tells of a figure."""
    notebook = entry["provenance"].get("notebook", "")
    page = (folder / f"{notebook}.html").is_file()
    return {**entry, "name": name, "notebook": notebook, "page": page}
