"""Build the site: start page, chapters, functions, how-to pages, the lesson and a report.

`python docs/build_site.py [--study build/study] [--out build/site]` copies the repository's pages to
`build/site-source`, in the folders where they stand, so that their links hold, adds what is
computed, and has Sphinx make a folder of it that asks no other host.
"""

from __future__ import annotations

import argparse
import html
import importlib
import inspect
import json
import re
import shutil
import sys
from pathlib import Path

import nbformat
from sphinx.cmd.build import main as sphinx_build

from medcal_nb.errors import MedcalError
from medcal_nb.run import page_of
from medcal_nb.teach.lesson_site import write_lesson_site

ROOT = Path(__file__).resolve().parents[1]
#: pages of the margin, as they stand in the repository
HOW_TO = {
    "docs/own_data": "Your own answers",
    "docs/report": "A report",
    "docs/own_model": "Ask your own model",
    "docs/clusters": "Many machines",
    "CONTRIBUTING": "Contribute",
}
ABOUT = {
    "data/README": "Data",
    "docs/intervals": "Intervals",
    "docs/ece_interval": "Interval of the ECE",
    "docs/speed": "Speed",
    "docs/families": "Model families",
    "docs/security": "Security",
    "docs/house": "The house",
}
LESSON = {
    "lesson/index": "The lesson",
    "docs/lesson/teacher": "For teachers",
    "docs/lesson/student": "A sheet for students",
}
#: pages on functions: title, and modules of medcal_nb in the order in which they are read
API = {
    "metrics": ("Metrics", "measure.metrics measure.binned measure.smooth"),
    "tables": ("Tables of metrics", "measure.tables measure.registry measure.example"),
    "intervals": (
        "Intervals",
        "measure.inversion measure.intervals measure.resampling measure.planning",
    ),
    "auroc": ("AUROC and readers", "measure.ranking measure.readers"),
    "selective": ("Selective prediction", "measure.selective measure.guard"),
    "decisions": ("Decisions and costs", "measure.decisions"),
    "groups": ("Groups and models", "measure.groups measure.heterogeneity"),
    "maps": ("Recalibration maps", "correct.maps correct.crossfit correct.families"),
    "transfer": ("Transfer", "correct.transfer correct.shift correct.labels"),
    "ensembles": ("Ensembles", "correct.ensemble correct.ablation"),
    "answers": ("Answers", "answers.load answers.log answers.tables"),
    "asking": ("Asking models", "ask.run ask.models ask.graded ask.strategy"),
    "methods": ("Elicitation methods", "ask.strategies"),
    "plots": ("Plots", "plots"),
    "notebook": ("In a notebook", "notebook"),
    "report": ("Report", "report"),
}
CODE = """<details><summary>{summary}</summary>

```python
{code}
```

</details>"""
#: cells without an output between them fold together
BETWEEN = re.compile(r"\n```\n\n</details>\s*<details><summary>Code</summary>\n\n```python\n")
FINDINGS = re.compile(r"<blockquote[^>]*><p>.*?</p></blockquote>")


def main(argv: list[str] | None = None) -> int:
    """Gather the pages and build them; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--study", type=Path, default=ROOT / "build" / "study")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "site")
    options = parser.parse_args(argv)
    source = options.out.with_name(f"{options.out.name}-source")
    shutil.rmtree(source, ignore_errors=True)
    shutil.rmtree(options.out, ignore_errors=True)
    try:
        gather(source, options.study)
        done = sphinx_build(
            [*"-b html -q -W --keep-going -j 2".split(), str(source), str(options.out)]
        )
        finish(options.out, options.study)
    except MedcalError as error:
        print(f"site: error: {error}", file=sys.stderr)
        return 2
    return done


def gather(source: Path, study: Path) -> None:
    """Write the source of every page.

    Parameters
    ----------
    source : Path
        A new folder.
    study : Path
        Where the study puts its executed notebooks.

    Raises
    ------
    MedcalError
        If a chapter has neither been executed nor published.
    """
    shutil.copytree(ROOT / "docs" / "_static", source / "_static")
    shutil.copy(ROOT / "docs" / "conf.py", source)
    for page in [*HOW_TO, *ABOUT, *LESSON]:
        if (ROOT / f"{page}.md").is_file():
            write(source / f"{page}.md", (ROOT / f"{page}.md").read_text("utf-8"))
    write(source / "lesson" / "index.md", "# The lesson\n")  # its links; see finish
    chapters = {}
    for notebook in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")):
        number, _, name = notebook.stem.partition("_")
        if name != "teaching":  # the lesson is its page
            chapters[f"figures/{notebook.stem}"] = f"{number} {name.capitalize()}"
            text = chapter(notebook.stem, study, source)
            write(source / f"figures/{notebook.stem}.md", text)
    for page, (_, modules) in API.items():
        write(source / "api" / f"{page}.rst", functions(page, modules.split()))
    write(source / "index.md", start_page(chapters))
    for page in source.rglob("*.md"):
        copy_linked(page, source)


def write(path: Path, text: str) -> None:
    """Write a page, its folder made if absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def chapter(name: str, study: Path, source: Path) -> str:
    """Return a chapter as Markdown: each finding once, code folded where it was executed here."""
    executed = study / f"{name}.ipynb"
    published = ROOT / "figures" / f"{name}.md"
    if executed.is_file():
        notebook = nbformat.read(executed, as_version=4)
        notebook.cells = [part for cell in notebook.cells for part in with_code(cell)]
        nbformat.write(notebook, source / "folded.ipynb")
        text = BETWEEN.sub("\n\n", page_of(source / "folded.ipynb"))
    elif published.is_file():
        _, _, text = published.read_text("utf-8").partition("\n\n")
    else:
        raise MedcalError(f"{published}: not there: run `medcal study {name[:2]}` first")
    first, *later = FINDINGS.findall(text) or [""]
    for finding in later:
        if finding.partition("<p>")[2].partition("</p>")[0] in first:
            head, _, tail = text.rpartition(finding)
            text = head + tail
    text = re.sub(r"\]\(07_teaching\.\w+", "](../lesson/index.md", text)
    return re.sub(r"\]\((\d\d_\w+)\.ipynb", r"](\1.md", text)


def with_code(cell: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """Return a cell, below its code in a fold; nothing for parameters that the runner adds."""
    tags = cell.metadata.get("tags", [])
    if cell.cell_type != "code":
        return [cell]
    if "injected-parameters" in tags:
        return []
    summary = "Parameters" if "parameters" in tags else "Code"
    code = CODE.format(summary=summary, code=cell.source)
    return [nbformat.v4.new_markdown_cell(code), cell]


def functions(page: str, modules: list[str]) -> str:
    """Return a page on the public functions and classes of some modules."""
    title = API[page][0]
    lines = [title, "=" * len(title), ""]
    entries = []
    for name in modules:
        module = importlib.import_module(f"medcal_nb.{name}")
        door, names = public_names(module)
        lines += [f".. automodule:: {module.__name__}", "   :no-index:", ""]
        lines += [f".. currentmodule:: {door}", "", ".. autosummary::", "   :nosignatures:", ""]
        lines += [*(f"   {one}" for one in names), ""]
        for one in names:
            is_class = inspect.isclass(vars(module)[one])
            kind, options = ("class", "   :members:") if is_class else ("function", "")
            entries += [f".. currentmodule:: {door}", "", f".. auto{kind}:: {one}", options, ""]
    return "\n".join([*lines, *entries])


def public_names(module: object) -> tuple[str, list[str]]:
    """Return where the public functions and classes of a module are imported from, and which.

    That is its room, for what the room exports; else the module itself.
    """
    defined = {
        name: value
        for name, value in vars(module).items()
        if callable(value)
        and getattr(value, "__module__", "") == module.__name__
        and not name.startswith("_")
    }
    room = importlib.import_module(module.__name__.rpartition(".")[0])
    exported = [name for name in defined if vars(room).get(name) is defined[name]]
    return (room.__name__, exported) if exported else (module.__name__, list(defined))


def start_page(chapters: dict[str, str]) -> str:
    """Return the start page: leading figure, three findings, and the lists of all pages."""
    results = ROOT / "figures" / "results" / "00_overview.json"
    page = ROOT / "figures" / "00_overview.md"
    if not (results.is_file() and page.is_file()):
        raise MedcalError(f"{results}: not there: run `medcal study 00` first")
    figure = re.search(r"!\[.*?\]\(", page.read_text("utf-8"))
    text = page.read_text("utf-8")[figure.start() :].partition("\n")[0]
    findings = json.loads(results.read_text("utf-8"))["findings"][:3]
    parts = {
        "figure": text.replace("](", "](figures/"),
        "findings": "\n".join(f"<li>{html.escape(finding)}</li>" for finding in findings),
        "contents": "\n".join(
            f"```{{toctree}}\n:hidden:\n:caption: {heading}\n\n"
            + "\n".join(f"{title} <{name}>" for name, title in pages.items())
            + "\n```"
            for heading, pages in {
                "Chapters": chapters,
                "Teaching": LESSON,
                "How to": HOW_TO,
                "Functions": {f"api/{page}": title for page, (title, _) in API.items()},
                "About": ABOUT,
            }.items()
        ),
    }
    template = (ROOT / "docs" / "index.md").read_text("utf-8")
    return re.sub(r"\{\{ (\w+) \}\}", lambda match: parts[match[1]], template)


def copy_linked(page: Path, source: Path) -> None:
    """Copy the files of the repository that a page shows or links to and that are no pages."""
    for target in re.findall(r"\]\(([^)\s#:]+)", page.read_text("utf-8")):
        place = (page.parent / target).resolve()
        if place.is_relative_to(source.resolve()) and not place.exists():
            file = ROOT / place.relative_to(source.resolve())
            if file.is_file():  # else a dead link, which Sphinx names
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, place)


def finish(out: Path, study: Path) -> None:
    """Write the pages that are whole by themselves, each with a link to the start page."""
    page = write_lesson_site(study / "07_teaching.ipynb", out / "lesson")
    text = page.read_text("utf-8")
    home = '<nav><a href="../index.html">MedCal workbook</a></nav>\n<h1'
    page.write_text(text.replace("<h1", home, 1), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
