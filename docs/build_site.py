"""Build the site: start page, chapters, functions, how-to pages, the lesson and a report.

`python docs/build_site.py [--out build/site]` copies the repository's pages to `build/site-source`,
in the folders where they stand, so that their links hold, adds what is computed, and has Sphinx
make a folder of it that asks no other host.
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

from sphinx.cmd.build import main as sphinx_build

from medcal_nb.errors import MedcalError
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
    "asking": ("Asking models", "ask.run ask.models ask.strategy"),
    "methods": ("Elicitation methods", "ask.strategies"),
    "plots": ("Plots", "plots"),
    "notebook": ("In a notebook", "notebook"),
    "report": ("Report", "report"),
}
CODE = """<details><summary>Code</summary>

```python
{code}
```

</details>

"""
FINDINGS = re.compile(r"<blockquote[^>]*><p>(.*?)</p></blockquote>\n*")


def main(argv: list[str] | None = None) -> int:
    """Gather the pages and build them; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--figures", type=Path, default=ROOT / "figures")
    parser.add_argument(
        "--lesson", type=Path, default=ROOT / "build/study/07_teaching.ipynb"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "site")
    options = parser.parse_args(argv)
    source = options.out.with_name(f"{options.out.name}-source")
    shutil.rmtree(source, ignore_errors=True)
    shutil.rmtree(options.out, ignore_errors=True)
    try:
        gather(source, options.figures)
        done = sphinx_build(
            [
                *("-b", "html", "-q", "-W", "--keep-going"),
                str(source),
                str(options.out),
            ]
        )
        finish(options.out, options.lesson)
    except MedcalError as error:
        print(f"site: error: {error}", file=sys.stderr)
        return 2
    return done


def gather(source: Path, figures: Path) -> None:
    """Write the source of every page.

    Parameters
    ----------
    source : Path
        A new folder.
    figures : Path
        What the study published: figures, results, and its chapters without their code.

    Raises
    ------
    MedcalError
        If a chapter has not been published.
    """
    shutil.copytree(ROOT / "docs" / "_static", source / "_static")
    shutil.copy(ROOT / "docs" / "conf.py", source)
    shutil.copytree(figures, source / "figures", ignore=shutil.ignore_patterns("*.md"))
    write(source / "lesson" / "index.md", "# The lesson\n")  # its place; see finish
    for page in {*HOW_TO, *ABOUT, *LESSON} - {"lesson/index"}:
        write(source / f"{page}.md", (ROOT / f"{page}.md").read_text("utf-8"))
    chapters = {}
    for notebook in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")):
        number, _, name = notebook.stem.partition("_")
        published = figures / f"{notebook.stem}.md"
        if name == "teaching":  # the lesson is its page
            continue
        if not published.is_file():
            raise MedcalError(f"{published}: not there: run `medcal study {number}`")
        chapters[f"figures/{notebook.stem}"] = f"{number} {name.capitalize()}"
        text = chapter(notebook, published.read_text("utf-8"))
        write(source / f"figures/{notebook.stem}.md", text)
    for page, (title, modules) in API.items():
        write(source / "api" / f"{page}.rst", functions(title, modules.split()))
    write(source / "index.md", start_page(figures, chapters))
    for page in source.rglob("*.md"):
        copy_linked(page, source)


def write(path: Path, text: str) -> None:
    """Write a page, its folder made if absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def chapter(notebook: Path, published: str) -> str:
    """Return a chapter as Markdown: each finding once, a section's code folded at its end."""
    cells = json.loads(notebook.read_text("utf-8"))["cells"]
    code: dict[str, list[str]] = {"": []}  # by the heading that it stands under
    for cell in cells:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code":
            code[list(code)[-1]].append(source)
        else:
            code |= {heading: [] for heading in re.findall(r"(?m)^## .*$", source)}
    _, _, text = published.partition("\n\n")  # what the page is, and a link
    seen: list[str] = []

    def first_time(match: re.Match) -> str:
        new = [one for one in match[1].split("</p><p>") if one not in seen]
        seen.extend(new)
        return match[0] if new else ""

    parts = re.split(r"(?m)^(?=## )", FINDINGS.sub(first_time, text))
    for i, part in enumerate(parts):
        cells = code.get(part.partition("\n")[0] if i else "", [])
        if cells:
            folded = CODE.format(code="\n\n".join(cells))
            parts[i] = f"{part.rstrip()}\n\n{folded}"
    text = re.sub(r"\]\(07_teaching\.\w+", "](../lesson/index.md", "".join(parts))
    text = re.sub(r"\]\((\d\d_\w+)\.ipynb", r"](\1.md", text)
    return f"{text}\n[This chapter as a notebook](../notebooks/{notebook.name})\n"


def functions(title: str, modules: list[str]) -> str:
    """Return a page on the public functions and classes of some modules."""
    lines = [title, "=" * len(title), ""]
    entries = []
    for name in modules:
        module = importlib.import_module(f"medcal_nb.{name}")
        door, names = public_names(module)
        lines += [f".. automodule:: {module.__name__}", "   :no-index:", ""]
        lines += [
            f".. currentmodule:: {door}",
            "",
            ".. autosummary::",
            "   :nosignatures:",
            "",
        ]
        lines += [*(f"   {one}" for one in names), ""]
        for one in names:
            is_class = inspect.isclass(vars(module)[one])
            kind, options = ("class", "   :members:") if is_class else ("function", "")
            entries += [
                f".. currentmodule:: {door}",
                "",
                f".. auto{kind}:: {one}",
                options,
                "",
            ]
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


def start_page(figures: Path, chapters: dict[str, str]) -> str:
    """Return the start page: leading figure, three findings, and the lists of all pages."""
    page = (figures / "00_overview.md").read_text("utf-8")
    results = json.loads((figures / "results" / "00_overview.json").read_text("utf-8"))
    findings = [f"<li>{html.escape(text)}</li>" for text in results["findings"][:3]]
    functions = {f"api/{name}": title for name, (title, _) in API.items()}
    lists = {
        "Chapters": chapters,
        "Teaching": LESSON,
        "How to": HOW_TO,
        "Functions": functions,
        "About": ABOUT,
    }
    contents = []
    for heading, pages in lists.items():
        contents += ["```{toctree}", ":hidden:", f":caption: {heading}", ""]
        contents += [*(f"{title} <{name}>" for name, title in pages.items()), "```", ""]
    parts = {
        "figure": re.search(r"!\[.*\]\(.*\)", page)[0].replace("](", "](figures/"),
        "findings": "<ul>{}</ul>".format("".join(findings)),
        "contents": "\n".join(contents),
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


def finish(out: Path, lesson: Path) -> None:
    """Write the pages that are whole by themselves, each with a link to the start page."""
    page = write_lesson_site(lesson, out / "lesson")
    text = page.read_text("utf-8")
    home = '<nav><a href="../index.html">MedCal workbook</a></nav>\n<h1'
    page.write_text(text.replace("<h1", home, 1), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
