"""Build the site: docs, executed notebooks, the lesson and reports, as static pages.

`python docs/build_site.py [--out build/site]` gathers the pages in `build/site-source`, from which
Sphinx makes a folder that asks no other host. What the study has not made yet is named.
"""

from __future__ import annotations

import argparse
import html
import importlib
import inspect
import os
import re
import shutil
import sys
from itertools import groupby
from pathlib import Path
from types import ModuleType

import bleach
import nbformat
from bleach.css_sanitizer import CSSSanitizer
from sphinx.cmd.build import main as sphinx_build

from medcal_nb.errors import MedcalError
from medcal_nb.show.figures import read_figure
from medcal_nb.teach.lesson_site import write_lesson_site

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
#: profiles whose executed notebooks are pages, with the heading of their list
PROFILES = {
    "recorded": "Five real models",
    "pocket": "The synthetic benchmark",
}
#: rooms of the package: the title of a page, and its modules in the order in which they are read
ROOMS = {
    "measure": (
        "Measuring confidence",
        "metrics binned inversion smooth ranking intervals selective decisions tables readers "
        "heterogeneity choice planning registry resampling example _check",
    ),
    "correct": (
        "Recalibrating and transferring",
        "maps families crossfit transfer shift labels ensemble agreement ablation",
    ),
    "answers": ("Tables of answers", "__init__ log recorded"),
    "ask": (
        "Asking models",
        "run models strategies strategy confidence parsing grading graded backends.batch",
    ),
    "logs": (
        "Reading other tools' logs",
        "importing recognition placing registry",
    ),
    "show": ("Drawing", "curves row_charts tradeoffs panels words figures explorer"),
}
HOW_TO = ["own_data", "report", "own_model", "clusters", "fleet", "contributing"]
ABOUT = ["data", "intervals", "families", "figures", "speed", "security", "changelog"]
# what stands in the repository outside docs/, and the page that it becomes
PAGES = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "data/README.md": "data.md",
}
#: what notebooks may show of their own HTML: tables, texts and pictures
TAGS = """a b blockquote br caption code details div em figure h1 h2 h3 h4 hr i img li ol p pre
span strong sub summary sup table tbody td th thead tr ul"""
#: in the place of exercises, which a page of the site cannot count
LESSON = '<p><a href="../../lesson/index.html">Do this on the lesson\'s page.</a></p>'
#: the page of a function
FUNCTION = """\
:orphan:

{name}
{line}

:doc:`{title} </api/{room}>`

.. currentmodule:: {door}

.. auto{kind}:: {name}
   {options}
"""
CELL_STYLE = CSSSanitizer(allowed_css_properties=["text-align"])


def main(argv: list[str] | None = None) -> int:
    """Gather the pages and build them; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "site")
    parser.add_argument("--build", type=Path, default=ROOT / "build")
    options = parser.parse_args(argv)
    source = options.build / "site-source"
    extra = options.build / "site-extra"
    for folder in (source, extra, options.out):
        shutil.rmtree(folder, ignore_errors=True)
    try:
        gather(source=source, extra=extra, build=options.build)
    except MedcalError as error:
        print(f"site: error: {error}", file=sys.stderr)
        return 2
    return sphinx_build(
        [
            *("-b", "html", "-q", "-W", "--keep-going", "-j", "2"),
            *("-D", f"html_extra_path={extra}"),
            *("-d", str(options.build / "site-doctrees")),
            str(source),
            str(options.out),
        ]
    )


def gather(*, source: Path, extra: Path, build: Path) -> None:
    """Write every page's source, and what is copied as it is.

    Parameters
    ----------
    source, extra : pathlib.Path
        Folders that are made: pages for Sphinx, and finished pages (lesson, reports).
    build : pathlib.Path
        Where the study has put its executed notebooks.

    Raises
    ------
    MedcalError
        If the study has not been run.
    """
    shutil.copytree(DOCS, source, ignore=shutil.ignore_patterns("*.py", "Snakefile"))
    shutil.copy(DOCS / "conf.py", source)
    for old, new in PAGES.items():
        shutil.copy(ROOT / old, source / new)
    for profile in PROFILES:
        executed = sorted((build / profile / "notebooks").glob("[0-9]*.ipynb"))
        if not executed:
            raise MedcalError(
                f"{build / profile / 'notebooks'}: no executed notebook; "
                "run `make study` first"
            )
        folder = source / "notebooks" / profile
        folder.mkdir(parents=True)
        for file in executed:
            there = {other.name for other in executed}
            nbformat.write(page_of(file, there), folder / file.name)
    lesson = write_lesson_site(
        ROOT / "notebooks" / "07_teaching.ipynb",
        ROOT / "figures" / "pocket",
        extra / "lesson",
    )
    lead_home(lesson, "../index.html")
    reports = copy_reports(build, extra)
    write_api(source / "api")
    write_index(source, reports)
    for page in source.rglob("*.md"):
        relink(page, source)


def page_of(file: Path, there: set[str]) -> nbformat.NotebookNode:
    """Return an executed notebook as a page: code folded, widgets as they stand.

    Links to notebooks that this profile does not run lead to those of the synthetic benchmark.

    Markdown and HTML that cells computed may name models and data sets of others, so only
    harmless tags of it are let through.
    """
    notebook = nbformat.read(file, as_version=4)
    notebook.metadata.pop("widgets", None)
    cells = []
    for cell in notebook.cells:
        if cell.cell_type != "code":
            cell.source = re.sub(
                r"\]\((\d\d_\w+\.ipynb)\)",
                lambda m: m[0] if m[1] in there else f"](../pocket/{m[1]})",
                cell.source,
            )
            cells.append(cell)
            continue
        if {"injected-parameters", "parameters"} & set(cell.metadata.get("tags", [])):
            continue
        cell.metadata["tags"] = ["hide-input"]
        shown = [output for output in map(harmless, cell.outputs) if output]
        cell.outputs = [output for output, _ in groupby(shown)]
        for output in cell.outputs:
            # the finding, which IPython keeps beside the picture, and MyST reads of the cell
            picture = output.get("metadata", {}).get("image/png", {})
            if "alt" in picture:
                cell.metadata["mystnb"] = {"image": {"alt": picture["alt"]}}
        if cells and cells[-1].cell_type == "code" and not cells[-1].outputs:
            # cells that show nothing fold with the next that does
            cell.source = f"{cells.pop().source}\n\n{cell.source}"
        cells.append(cell)
    notebook.cells = cells
    return notebook


def harmless(output: nbformat.NotebookNode) -> nbformat.NotebookNode | None:
    """Return what an output shows without scripts; None where nothing is left to show."""
    if output.output_type not in ("display_data", "execute_result"):
        return output
    data = output.data
    for kind in list(data):
        if "javascript" in kind or "widget" in kind:
            del data[kind]
    if "text/markdown" in data:
        # numbers and names stay, markup other than Markdown's own is shown as text
        data["text/markdown"] = re.sub(r"<(?!br>)", "&lt;", data["text/markdown"])
        data.pop("text/html", None)
    if re.search(r'<(form|button)|class="lab"', data.get("text/html", "")):
        data["text/html"] = LESSON
    if "text/html" in data:
        data["text/html"] = bleach.clean(
            re.sub(r"(?s)<(style|script).*?</\1>", "", data["text/html"]),
            tags=TAGS.split(),
            attributes={
                "*": ["class", "colspan", "rowspan", "scope", "style"],
                "a": ["href"],
                "img": _of_pictures,
            },
            protocols={"http", "https", "data", "mailto"},
            css_sanitizer=CELL_STYLE,
            strip=True,
        )
        # a picture of which nothing is left; the look of tables
        safe = data["text/html"].replace("<img>", "")
        data["text/html"] = safe.replace("<table>", '<table class="dataframe">')
    is_bare = set(data) <= {"text/plain"} and "children=" in data.get("text/plain", "")
    return output if data and not is_bare else None


def _of_pictures(tag: str, name: str, value: str) -> bool:
    """Let through what belongs to a picture that the page itself holds."""
    return name in ("alt", "width") or (name == "src" and value.startswith("data:"))


def copy_reports(build: Path, extra: Path) -> dict[str, str]:
    """Copy the reports that were made; return their titles by address."""
    titles = {}
    for page in sorted(build.glob("*/report/report.html")):
        address = f"reports/{page.parents[1].name}/index.html"
        copy = extra / address
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(page, copy)
        lead_home(copy, "../../index.html")
        title = re.search(r"<title>(.*?)</title>", page.read_text(encoding="utf-8"))
        titles[address] = html.unescape(title.group(1))
    return titles


def lead_home(page: Path, address: str) -> None:
    """Put a link to the site's front page above the title of a finished page."""
    link = f'<nav><a href="{address}">MedCal workbook</a></nav>\n<h1'
    text = page.read_text(encoding="utf-8")
    page.write_text(text.replace("<h1", link, 1), encoding="utf-8")


def write_api(folder: Path) -> None:
    """Write a page for each room, module by module, and one for each of its public functions.

    Those of functions are in no table of contents: each page of the site would be set with all.
    """
    (folder / "generated").mkdir(parents=True)
    for room, (title, _) in ROOMS.items():
        package = importlib.import_module(f"medcal_nb.{room}")
        page = [f"# {title}", "", *as_rest(package.__doc__)]
        for module, (door, names) in public_names(room).items():
            heading, text = heading_of(module)
            page += ["", f"## {heading}", "", *as_rest(text), "", "```{eval-rst}"]
            page += [f".. currentmodule:: {door}", "", ".. autosummary::"]
            page += ["   :nosignatures:", "", *(f"   {name}" for name in names), "```"]
            for name in names:
                is_class = inspect.isclass(vars(module)[name])
                text = FUNCTION.format(
                    name=name,
                    line="=" * len(name),
                    title=title,
                    room=room,
                    door=door,
                    kind="class" if is_class else "function",
                    options=":members:" if is_class else "",
                )
                (folder / "generated" / f"{door}.{name}.rst").write_text(text)
        (folder / f"{room}.md").write_text("\n".join([*page, ""]))


def as_rest(docstring: str) -> list[str]:
    """Return a docstring as lines of a page: reStructuredText, a file of docs as a link."""
    text = re.sub(r"docs/(\w+)\.md", r":doc:`/\1`", inspect.cleandoc(docstring))
    return ["```{eval-rst}", text, "```"] if text else []


def public_names(room: str) -> dict[ModuleType, tuple[str, list[str]]]:
    """Return the functions and classes of a room, module by module, and where to import them from.

    That is the room, or `show.charts`, for what these export; the module itself for the names
    without an underscore of modules of which nothing is exported.
    """
    package = f"medcal_nb.{room}"
    doors = [package, f"{package}.charts"] if room == "show" else [package]
    names = {}
    for stem in ROOMS[room][1].split():
        module = importlib.import_module(
            package if stem == "__init__" else f"{package}.{stem}"
        )
        defined = {
            name: value
            for name, value in vars(module).items()
            if callable(value)
            and getattr(value, "__module__", "") == module.__name__
            and not name.startswith("_")
        }
        names[module] = module.__name__, list(defined)
        for door in doors:
            there = vars(importlib.import_module(door))
            named = there.get("__all__", there)
            offered = [n for n in defined if n in named and there[n] is defined[n]]
            if offered:
                names[module] = door, offered
    return names


def heading_of(module: ModuleType) -> tuple[str, str]:
    """Return a heading, the first clause of a module's docstring, and what follows it."""
    heading, mark, rest = re.split(
        r"([:.;?])(?=\s|$)", module.__doc__.strip(), maxsplit=1
    )
    rest = rest.strip()
    return heading + mark.strip(".:;"), rest[:1].upper() + rest[1:]


def write_index(source: Path, reports: dict[str, str]) -> None:
    """Fill the landing page: leading figure, findings, and the list of all pages."""
    recorded = ROOT / "figures" / "recorded"
    picture = recorded / "fig00_study.png"
    findings = recorded / "results" / "00_overview.md"
    if not picture.is_file() or not findings.is_file():
        raise MedcalError(
            f"{recorded}: no figure of notebook 00; run `make study` first"
        )
    alt = read_figure(picture)["alt"].replace("\n", " ")
    links = [
        f'<a href="{address}">{html.escape(title)}</a>'
        for address, title in reports.items()
    ]
    parts = {
        "figure": f"![{alt}](../figures/recorded/{picture.name})",
        "findings": findings.read_text(encoding="utf-8").strip(),
        "reports": "Reports: " + ", ".join(links) + "." if links else "",
        "contents": "\n".join(contents(source)),
    }
    text = (source / "index.md").read_text(encoding="utf-8")
    for name, part in parts.items():
        text = text.replace("{{ " + name + " }}", part)
    (source / "index.md").write_text(text, encoding="utf-8")


def contents(source: Path) -> list[str]:
    """Return the lists of pages, hidden in the text and shown in the margin."""
    lists = {
        title: sorted(
            f"notebooks/{profile}/{page.stem}" for page in folder.glob("*.ipynb")
        )
        for profile, title in PROFILES.items()
        for folder in [source / "notebooks" / profile]
    }
    lists |= {"How to": HOW_TO, "Functions": [f"api/{room}" for room in ROOMS]}
    named = {*HOW_TO, *ABOUT, "index"}
    others = sorted({page.stem for page in source.glob("*.md")} - named)
    lists |= {"Teaching": ["lesson/teacher", "lesson/student"]}
    lists |= {"About": [*ABOUT, *others]}
    lines = []
    for title, pages in lists.items():
        there = [page for page in pages if list(source.glob(f"{page}.*"))]
        lines += [
            "```{toctree}",
            ":hidden:",
            f":caption: {title}",
            "",
            *there,
            "```",
            "",
        ]
    return lines


def relink(page: Path, source: Path) -> None:
    """Turn a page's links to files of the repository into links within the site."""
    written = {new: old for old, new in PAGES.items()}
    name = page.relative_to(source).as_posix()
    home = (ROOT / written.get(name, f"docs/{name}")).parent

    def linked(match: re.Match) -> str:
        target, _, anchor = match[1].partition("#")
        file = (home / target).resolve()
        if ":" in target or not target or not file.is_relative_to(ROOT):
            return match[0]
        if not file.exists():
            return match[
                0
            ]  # a page of the site itself, or a dead link that Sphinx names
        place = place_of(file, source)
        there = os.path.relpath(place, page.parent)
        return f"]({there}{'#' + anchor if anchor else ''})"

    text = page.read_text(encoding="utf-8")
    page.write_text(re.sub(r"\]\(([^)\s]+)\)", linked, text), encoding="utf-8")


def place_of(file: Path, source: Path) -> Path:
    """Return where a file of the repository stands in the site, copying it if need be."""
    path = file.relative_to(ROOT).as_posix()
    if path == "README.md":
        return source / "index.md"
    if path in PAGES:
        return source / PAGES[path]
    if path.startswith("docs/") and (source / path[5:]).exists():
        return source / path[5:]
    if path.startswith("notebooks/"):
        pages = [source / "notebooks" / p / file.name for p in PROFILES]
        shown = [page for page in pages if page.is_file()]
        if shown:
            return shown[0]
    if file.is_dir():
        return source / "index.md"
    place = source / "files" / path
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(file, place)
    return place


if __name__ == "__main__":
    sys.exit(main())
