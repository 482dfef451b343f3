"""Build the site: docs, executed notebooks, the lesson and reports, as static pages.

`python docs/build_site.py [--out build/site]` gathers the pages in `build/site-source`, from which
Sphinx makes a folder that asks no other host. What the study has not made yet is named.
"""

from __future__ import annotations

import argparse
import html
import importlib
import os
import re
import shutil
import sys
from pathlib import Path

import bleach
import nbformat
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
#: rooms of the package with a page of functions each
ROOMS = {
    "measure": "Measuring confidence",
    "correct": "Recalibrating and transferring",
    "answers": "Tables of answers",
    "ask": "Asking models",
    "logs": "Reading other tools' logs",
    "show": "Drawing",
}
HOW_TO = ["own_data", "report", "own_model", "clusters", "fleet", "contributing"]
ABOUT = ["data", "intervals", "families", "figures", "speed", "security", "changelog"]
# what stands in the repository outside docs/, and the page that it becomes
PAGES = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "data/README.md": "data.md",
}
MARKDOWN_TAGS = [
    "a",
    "b",
    "blockquote",
    "br",
    "code",
    "details",
    "em",
    "h1",
    "h2",
    "h3",
    "h4",
    "hr",
    "i",
    "li",
    "ol",
    "p",
    "pre",
    "strong",
    "sub",
    "summary",
    "sup",
    "table",
    "tbody",
    "td",
    "th",
    "thead",
    "tr",
    "ul",
]


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
            *("-b", "html", "-q", "-W", "--keep-going"),
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
    write_lesson_site(
        ROOT / "notebooks" / "07_teaching.ipynb",
        ROOT / "figures" / "pocket",
        extra / "lesson",
    )
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
    for cell in notebook.cells:
        if cell.cell_type != "code":
            cell.source = re.sub(
                r"\]\((\d\d_\w+\.ipynb)\)",
                lambda m: m[0] if m[1] in there else f"](../pocket/{m[1]})",
                cell.source,
            )
            continue
        tags = set(cell.metadata.get("tags", []))
        is_form = tags & {"injected-parameters", "parameters"}
        cell.metadata["tags"] = ["remove-cell" if is_form else "hide-input"]
        cell.outputs = [shown for shown in map(harmless, cell.outputs) if shown]
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
    if "text/html" in data:
        data["text/html"] = bleach.clean(
            re.sub(r"(?s)<(style|script).*?</\1>", "", data["text/html"]),
            tags={*MARKDOWN_TAGS, "div", "span", "caption", "img", "figure"},
            attributes={
                "*": ["class", "colspan", "rowspan", "scope"],
                "a": ["href"],
                "img": _of_pictures,
            },
            protocols={"http", "https", "data", "mailto"},
        )
    is_bare = set(data) <= {"text/plain"} and "children=" in data.get("text/plain", "")
    return output if data and not is_bare else None


def _of_pictures(tag: str, name: str, value: str) -> bool:
    """Let through what belongs to a picture that the page itself holds."""
    return name in ("alt", "width") or (name == "src" and value.startswith("data:"))


def copy_reports(build: Path, extra: Path) -> dict[str, str]:
    """Copy the reports that were made; return their titles by address."""
    titles = {}
    for page in sorted(build.glob("*/report/report.html")):
        name = page.parents[1].name
        (extra / "reports" / name).mkdir(parents=True, exist_ok=True)
        shutil.copy(page, extra / "reports" / name / "index.html")
        found = re.search(r"<title>(.*?)</title>", page.read_text(encoding="utf-8"))
        titles[f"reports/{name}/index.html"] = found.group(1) if found else name
    return titles


def write_api(folder: Path) -> None:
    """Write a page of public functions for each room, and the list of rooms."""
    folder.mkdir()
    lines = ["# Functions", "", "What notebooks and commands call.", ""]
    lines += ["```{toctree}", ":maxdepth: 1", ""]
    for room, title in ROOMS.items():
        module = importlib.import_module(f"medcal_nb.{room}")
        lines.append(room)
        page = [f"# {title}", "", module.__doc__.strip(), "", "```{eval-rst}"]
        page += [f".. currentmodule:: {module.__name__}", "", ".. autosummary::"]
        page += ["   :toctree: generated", ""]
        page += [f"   {name}" for name in public_names(module)]
        (folder / f"{room}.md").write_text("\n".join([*page, "```", ""]))
    (folder / "index.md").write_text("\n".join([*lines, "```", ""]))


def public_names(module) -> list[str]:
    """Return the functions and classes that a room exports, each once."""
    names = getattr(module, "__all__", None) or vars(module)
    exported = {name: getattr(module, name) for name in names}
    return sorted(
        name
        for name, value in exported.items()
        if callable(value)
        and not name.startswith("_")
        and getattr(value, "__module__", "").startswith("medcal_nb")
    )


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
    lists |= {"How to": HOW_TO, "Functions": ["api/index"]}
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
