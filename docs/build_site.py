"""Build the site: start page, chapters, functions, how-to pages, the lesson and a report.

`python docs/build_site.py [--out build/site]` copies the repository's pages to `build/site-source`,
in the folders where they stand, so that their links hold, adds what is computed, and has Sphinx
make a folder of it that asks no other host.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import re
import shutil
import sys
import warnings
from pathlib import Path

from sphinx.cmd.build import main as sphinx_build

from medcal_nb.answers import load_answers, select, write_table
from medcal_nb.errors import MedcalError
from medcal_nb.report import write_report

ROOT = Path(__file__).resolve().parents[1]
#: modules of medcal_nb by the page that holds their functions, in the order in which they are read
API = {
    "metrics": "measure.metrics measure.binned measure.smooth measure.peers measure.corp "
    "measure._check",
    "tables": "measure.tables measure.registry measure.checked measure.ungraded "
    "measure.example",
    "intervals": "measure.inversion measure.intervals measure.resampling measure.planning",
    "auroc": "measure.ranking measure.readers",
    "selective": "measure.selective measure.risk_coverage",
    "certify": "certify.plan certify.rule certify.design certify.methods certify.trials "
    "certify.retained certify.watch certify.ends",
    "decisions": "measure.decisions measure.rows",
    "groups": "measure.groups measure.trend measure.halves measure.beside measure.heterogeneity",
    "maps": "correct.maps correct.options correct.crossfit correct.families",
    "transfer": "correct.transfer correct.transfer_tables correct.needed",
    "ensembles": "correct.ensemble correct.opinion",
    "answers": "answers.load answers.log answers.select answers.undecided tables.sources",
    "asking": "ask.run ask.about ask.models ask.strategy",
    "methods": "ask.strategies",
    "plots": "plots.estimates plots.curves plots.diagram plots.marks plots.heading",
    "notebook": "notebook",
    "report": "report.page report.parts",
    "explore": "explore.panel",
}
MODULE = """
.. automodule:: {module}
   :no-index:

.. currentmodule:: {door}

.. autosummary::
   :nosignatures:

   {names}
"""
ENTRY = """
.. currentmodule:: {door}

.. auto{kind}:: {name}
   {options}
"""
#: answers of the example
EXAMPLE = (
    "dataset == 'GMAI-MMBench' and strategy == 'self_probing' and "
    "model in ['InternVL3_5-14B-HF', 'Qwen3-VL-8B-Instruct']"
)
#: what pages link to in a checkout, and the page that the site has for it
ON_SITE = {
    "README.md": "index.md",
    "notebooks/07_teaching.ipynb": "lesson/index.md",
    "figures/07_teaching.md": "lesson/index.md",
    "docs/lesson/index.html": "lesson/index.md",
    "medcal_nb/measure/metrics.py": "api/metrics.rst",
}
#: What pages call the site's address; `make site SITE=…` says what it is.
ADDRESS = "https://host/medcal"
FINDINGS = re.compile(r"<blockquote[^>]*><p>(.*?)</p></blockquote>\n*")


def main(argv: list[str] | None = None) -> int:
    """Gather the pages and build them; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--figures", type=Path, default=ROOT / "figures")
    parser.add_argument("--address", default="", help="Where the site will be.")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "site")
    options = parser.parse_args(argv)
    source = options.out.with_name(f"{options.out.name}-source")
    whole = source / "whole"
    shutil.rmtree(source, ignore_errors=True)
    shutil.rmtree(options.out, ignore_errors=True)
    try:
        print("site: chapters, functions, pages", flush=True)
        gather(source, options.figures)
        if options.address:
            for page in source.rglob("*.md"):
                text = page.read_text("utf-8")
                write(page, text.replace(ADDRESS, options.address.rstrip("/")))
        print("site: the lesson and an example report", flush=True)
        write_whole(whole)
        print("site: setting them with Sphinx", flush=True)
        settings = ["-b", "html", "-q", "-W", "--keep-going"]
        done = sphinx_build([*settings, str(source), str(options.out)])
        for name in ("lesson", "report"):
            shutil.copytree(whole / name, options.out / name, dirs_exist_ok=True)
    except MedcalError as error:
        print(f"site: error: {error}", file=sys.stderr)
        return 2
    print(f"site: {options.out / 'index.html'}")
    return done


def gather(source: Path, figures: Path) -> None:
    """Write the source of every page.

    Parameters
    ----------
    source : Path
        A new folder.
    figures : Path
        What the study published: figures, results, and its chapters.

    Raises
    ------
    MedcalError
        If a chapter has not been published.
    """
    shutil.copytree(ROOT / "docs" / "_static", source / "_static")
    shutil.copy(ROOT / "docs" / "conf.py", source)
    (source / "figures").mkdir()
    for picture in figures.glob("*.png"):
        shutil.copy(picture, source / "figures")
    start = (ROOT / "docs" / "index.md").read_text("utf-8")
    for title, page in re.findall(r"(?m)^(.+) <([\w/]+)>$", start):
        folder, _, name = page.rpartition("/")
        file = ROOT / f"{page}.md"
        if folder == "figures":
            write(source / f"{page}.md", chapter(name, figures))
        elif folder == "api":
            write(source / f"{page}.rst", functions(title, API[name].split()))
        elif file.is_file():
            write(source / f"{page}.md", on_site(file.read_text("utf-8")))
        else:  # the place of a page that is whole by itself
            write(source / f"{page}.md", f"# {title}\n")
    write(source / "index.md", start_page(start))
    for page in source.rglob("*.md"):
        copy_linked(page, source)


def write(path: Path, text: str) -> None:
    """Write a page, its folder made if absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def chapter(name: str, figures: Path) -> str:
    """Return a published chapter for the site: each finding once, its links those of the site."""
    published = figures / f"{name}.md"
    if not published.is_file():
        raise MedcalError(f"{published}: not there: run `medcal study {name[:2]}`")
    # after what the page is
    _, _, text = published.read_text("utf-8").partition("\n\n")
    seen: list[str] = []

    def first_time(match: re.Match) -> str:
        new = [one for one in match[1].split("</p><p>") if one not in seen]
        seen.extend(new)
        return match[0] if new else ""

    text = FINDINGS.sub(first_time, text)
    text = re.sub(r"\]\(07_teaching\.\w+", "](../lesson/index.md", text)
    text = re.sub(r"\]\((\d\d_\w+)\.ipynb", r"](\1.md", text)
    return f"{text}\n[This chapter as a notebook](../notebooks/{name}.ipynb)\n"


def functions(title: str, modules: list[str]) -> str:
    """Return a page on the public functions and classes of some modules."""
    page = [f"{title}\n{'=' * len(title)}\n"]
    entries = []
    for module in map(importlib.import_module, (f"medcal_nb.{one}" for one in modules)):
        door, names = public_names(module)
        listed = "\n   ".join(names)
        page.append(MODULE.format(module=module.__name__, door=door, names=listed))
        for name in names:
            is_class = inspect.isclass(vars(module)[name])
            kind, options = ("class", ":members:") if is_class else ("function", "")
            entry = ENTRY.format(door=door, kind=kind, name=name, options=options)
            entries.append(entry)
    return "".join(page + entries)


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


def start_page(text: str) -> str:
    """Return the start page with README's findings, its links those of the site."""
    readme = (ROOT / "README.md").read_text("utf-8")
    _, _, rest = readme.partition("<!-- findings -->\n")
    findings, end, _ = rest.partition("<!-- /findings -->")
    if not end:
        raise MedcalError("README.md: its findings do not stand between their marks")
    text, findings = on_site(text), on_site(findings, folder="")
    text = re.sub(r"\]\((?!\.\./)", "](docs/", text)  # the page moves up from docs/
    text = text.replace("](../", "](")
    return re.sub("(?s)<!-- findings.*/findings -->", lambda _: findings, text)


def on_site(text: str, *, folder: str = "../") -> str:
    """Return a page with its links to what the site has another page for."""
    for file, page in ON_SITE.items():
        text = text.replace(f"]({folder}{file})", f"]({folder}{page})")
    return text


def copy_linked(page: Path, source: Path) -> None:
    """Copy the files of the repository that a page shows or links to and that are no pages."""
    for target in re.findall(r"\]\(([^)\s#:]+)", page.read_text("utf-8")):
        place = (page.parent / target).resolve()
        if place.is_relative_to(source.resolve()) and not place.exists():
            file = ROOT / place.relative_to(source.resolve())
            if file.is_file():  # else a dead link, which Sphinx names
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, place)


def write_whole(folder: Path) -> None:
    """Write the pages that are whole by themselves, each with a link to the start page."""
    (folder / "lesson").mkdir(parents=True)
    shutil.copy(ROOT / "docs" / "lesson" / "index.html", folder / "lesson")
    answers = select(load_answers("vlcb"), EXAMPLE).dropna(axis="columns", how="all")
    write_table(answers, folder / "answers.csv")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they stand on the page
        page = write_report(folder / "answers.csv", folder / "example")
    (folder / "report").mkdir()
    shutil.copy(page, folder / "report" / "index.html")
    for page in folder.glob("*/index.html"):
        home = '<nav><a href="../index.html">MedCal workbook</a></nav>\n<h1'
        write(page, page.read_text("utf-8").replace("<h1", home, 1))


if __name__ == "__main__":
    sys.exit(main())
