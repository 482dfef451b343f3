"""One notebook through papermill, its copies without a machine's paths, and a page of links."""

import re
import shutil
from pathlib import Path

import bleach
import jinja2
import nbformat
import papermill
from markupsafe import Markup
from nbclient.exceptions import DeadKernelError
from nbconvert import HTMLExporter
from nbconvert.filters import markdown2html
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

from medcal_nb.errors import MedcalError, NotEnough
from medcal_nb.show.figures import read_manifest

_FOLDER = Path(__file__).parent
_MARKDOWN = "p h1 h2 h3 h4 h5 h6 hr br pre div span del table thead tbody tr th td sup sub"


def execute(source: Path, executed: Path, parameters: dict, *, on_cell) -> None:
    """Execute a notebook with parameters, telling which cell starts, and keep the executed copy.

    Raises
    ------
    NotEnough
        If a cell says that the answers can't feed it.
    MedcalError
        If a cell raises anything else, with its place, or the kernel dies.
    """
    # papermill takes a path as a format string
    paths = [str(path).replace("{", "{{").replace("}", "}}") for path in (source, executed)]
    try:
        papermill.execute_notebook(
            *paths,
            parameters,
            kernel_name="python3",
            progress_bar={"desc": source.stem, "leave": False, "disable": None},
            start_timeout=180,
            shutdown_kernel="immediate",
            cwd=source.parent,
            on_cell_start=on_cell,
            # what runs over loopback can't be read by others on the machine
            config=Config(KernelManager={"transport_encryption": "auto"}),
        )
    except PapermillExecutionError as error:
        if error.ename == NotEnough.__name__:
            raise NotEnough(error.evalue) from None
        told = f"in cell In [{error.exec_count}]: {error.ename}: {error.evalue}"
        raise MedcalError(f"{told}; all of it in {executed}") from None
    except DeadKernelError:
        raise MedcalError("the kernel died: out of memory, or killed from outside") from None


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
            cell.source = re.sub(r"(?m)^(ANSWERS|OUT_DIR) = .*$", r'\1 = ""', cell.source)
            cell.metadata["jupyter"] = {"source_hidden": True}  # the answer stands below it
    took = f"**Runtime** {seconds:.0f} s in the run that made this copy."
    head = notebook.cells[0]
    head.source = re.sub(r"\*\*Runtime\*\*[^.]*\.", took, head.source)
    nbformat.write(notebook, executed)
    notebook.metadata.pop("widgets", None)
    template = (_FOLDER / "copy.html.jinja").read_text(encoding="utf-8")
    how = {"template_name": "lab", "raw_template": template, "embed_images": True}
    exporter = HTMLExporter(**how, filters={"safe_markdown": safe_markdown})
    body, _ = exporter.from_notebook_node(notebook, {"metadata": {"name": executed.stem}})
    folder.mkdir(exist_ok=True)
    (folder / f"{executed.stem}.html").write_text(body, encoding="utf-8")


def safe_markdown(text: str) -> str:
    """Return Markdown as HTML, without any HTML of its own that could do something."""
    return bleach.clean(markdown2html(text), tags=bleach.ALLOWED_TAGS | {*_MARKDOWN.split()})


def save_index(study) -> None:
    """Write ``index.html`` beside the HTML copies: what was found, every figure and notebook.

    On top stand the answer and the figures that notebook 00 shows. Figures are copied next to the
    page, so that the folder can be published as it is.

    Parameters
    ----------
    study : medcal_nb.study.run.Study
        A study that has been run.
    """
    folder, figures = study.work / "html", read_manifest(study.figures)
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    for file in study.figures.glob("fig*.*"):
        shutil.copy(file, folder / "figures")
    shown = [name for notebook in study.notebooks.values() for name in notebook.reads]
    loader = jinja2.FileSystemLoader(_FOLDER)
    template = jinja2.Environment(loader=loader, autoescape=True).get_template("index.html.jinja")
    text = template.render(
        study=study,
        answer=Markup(safe_markdown("\n\n".join(study.findings.get("00_overview", [])))),
        shown=[name for name in shown if name in figures],
        figures=figures,
        pages=[page.stem for page in folder.glob("*.html")],
    )
    (folder / "index.html").write_text(text, encoding="utf-8")
