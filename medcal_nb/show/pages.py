"""Pages that need no network: executed notebooks, and what a study found, with every figure."""

import re
import shutil
from collections.abc import Iterable
from pathlib import Path

import bleach
import jinja2
import nbformat
from markupsafe import Markup
from nbconvert import HTMLExporter
from nbconvert.filters import markdown2html

from medcal_nb.show.figures import read_figures

_COPY = Path(__file__).with_name("copy.html.jinja")
_MARKDOWN = (
    "p h1 h2 h3 h4 h5 h6 hr br pre div span del table thead tbody tr th td sup sub"
)


def save_copies(executed: Path, folder: Path, *, seconds: float) -> None:
    """Finish an executed notebook, and write it as one HTML file that needs no network.

    The header tells how long the run took; where files lay is left out. In the HTML widgets
    stand still as the HTML they offer, scripts that outputs brought along are left out, and
    Markdown that was computed holds no HTML but that of Markdown: it may name models and data
    sets. Formulas in LaTeX stay as they are written: typesetting them would take MathJax.
    """
    notebook = nbformat.read(executed, as_version=4)
    notebook.metadata.pop("papermill")
    for cell in notebook.cells:
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.source = re.sub(
                r"(?m)^(ANSWERS|OUT_DIR) = .*$", r'\1 = ""', cell.source
            )
            cell.metadata["jupyter"] = {
                "source_hidden": True
            }  # the answer stands below it
    took = f"**Runtime** {seconds:.0f} s in the run that made this copy."
    head = notebook.cells[0]
    head.source = re.sub(r"\*\*Runtime\*\*[^.]*\.", took, head.source)
    nbformat.write(notebook, executed)
    notebook.metadata.pop("widgets", None)
    how = {
        "template_name": "lab",
        "raw_template": _COPY.read_text(),
        "embed_images": True,
    }
    exporter = HTMLExporter(**how, filters={"safe_markdown": _safe_markdown})
    body, _ = exporter.from_notebook_node(
        notebook, {"metadata": {"name": executed.stem}}
    )
    folder.mkdir(exist_ok=True)
    (folder / f"{executed.stem}.html").write_text(body, encoding="utf-8")


def _safe_markdown(text: str) -> Markup:
    """Return Markdown as HTML, without any HTML of its own that could do something."""
    tags = bleach.ALLOWED_TAGS | {*_MARKDOWN.split()}
    return Markup(bleach.clean(markdown2html(text), tags=tags))


def save_index(folder: Path, figures: Path, notebooks: Iterable, about: str) -> None:
    """Write ``index.html`` beside the HTML copies: what was found, every figure and notebook.

    On top stand the answer of notebook 00 and the figures that it shows. Figures are copied next
    to the page, so that the folder can be published as it is.

    Parameters
    ----------
    folder, figures : pathlib.Path
        Where the copies lie, and the published figures.
    notebooks : iterable of medcal_nb.study.run.Notebook
        Those of the study.
    about : str
        Whose answers were studied.
    """
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    for file in figures.glob("fig*.*"):
        shutil.copy(file, folder / "figures")
    found = read_figures(figures)
    answer = figures / "results" / "00_overview.md"
    loader = jinja2.PackageLoader("medcal_nb", "show")
    environment = jinja2.Environment(loader=loader, autoescape=True)
    text = environment.get_template("index.html.jinja").render(
        about=about,
        answer=_safe_markdown(answer.read_text(encoding="utf-8"))
        if answer.is_file()
        else "",
        shown=[name for one in notebooks for name in one.reads if name in found],
        figures=found,
        titles={
            one.name: one.cells[0].splitlines()[0].strip("# ") for one in notebooks
        },
        pages=[page.stem for page in folder.glob("*.html")],
    )
    (folder / "index.html").write_text(text, encoding="utf-8")
