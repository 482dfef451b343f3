"""The lesson as a page that needs no kernel and no network, from its executed notebook."""

from __future__ import annotations

import html
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import dropwhile
from pathlib import Path

from medcal_nb.errors import MedcalError
from medcal_nb.teach.exercises import NAMES
from medcal_nb.teach.lesson import SCRIPT, script, template

#: Sections that the 45 minutes leave for home, by their number.
AT_HOME = ("2", "3", "5", "6")
_MORE = "### More"  # begins what is folded, to the end of its section
_TEACHERS = "## For teachers"  # begins a section that is not of the page


@dataclass
class Section:
    """A section of the lesson: HTML that is shown, and HTML that is folded below it."""

    at_home: bool = False
    parts: list[str] = field(default_factory=list)
    summary: str = ""
    more: list[str] = field(default_factory=list)


def write_lesson_site(notebook: str | os.PathLike, folder: str | os.PathLike) -> Path:
    """Write the lesson's notebook as ``index.html``, one file that asks no host for anything.

    Parameters
    ----------
    notebook : path
        Notebook 07, executed: its texts, labs, exercises and figures are taken as they stand,
        from its first section on, but for sections for teachers.
    folder : path
        Where ``index.html`` goes, made if absent.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    MedcalError
        If the notebook was not executed to its end.
    """
    cells = json.loads(Path(notebook).read_text(encoding="utf-8"))["cells"]
    sections = _sections(dropwhile(_is_before_sections, cells))
    shown = [part for section in sections for part in section.parts]
    if not any('class="medcal-hand-in"' in part for part in shown):
        raise MedcalError(f"{notebook}: not executed: run `medcal study 07` first")
    page = Path(folder) / "index.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    style = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    short = [part for one in sections if not one.at_home for part in one.parts]
    text = template("page.jinja").render(
        sections=sections,
        n=len(NAMES),
        n_short=sum(part.count('class="medcal-exercise"') for part in short),
        script=script(),
        style=style,
    )
    page.write_text(text, encoding="utf-8")
    return page


def write_sheet(sheet: str | os.PathLike, folder: str | os.PathLike) -> Path:
    """Write the students' sheet as ``sheet.html``, to be printed on two pages.

    Parameters
    ----------
    sheet : path
        The sheet in Markdown; its second page begins with its heading of level 2.
    folder : path
        Where ``sheet.html`` goes.

    Returns
    -------
    Path
        The page.
    """
    from nbconvert.filters.markdown import markdown2html

    words = markdown2html(Path(sheet).read_text(encoding="utf-8"))
    page = Path(folder) / "sheet.html"
    text = template("sheet.jinja").render(sheet=words)
    page.write_text(text, encoding="utf-8")
    return page


def _sections(cells: Iterable[dict]) -> list[Section]:
    """Return the sections of executed cells, the first of which begins one."""
    from nbconvert.filters.markdown import markdown2html

    sections: list[Section] = []
    place: list[str] = []  # where the next part goes
    for cell in cells:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code":
            place += map(_shown, cell["outputs"])
            continue
        if source.startswith("## "):
            number = source.removeprefix("## ").partition(" ")[0]
            section = Section(at_home=number in AT_HOME)
            place = section.parts
            if not source.startswith(_TEACHERS):
                sections.append(section)
        if source.startswith(_MORE):
            heading, _, source = source.partition("\n")
            sections[-1].summary = heading.removeprefix("### ")
            place = sections[-1].more
        place.append(markdown2html(source))
    return sections


def _is_before_sections(cell: dict) -> bool:
    return not "".join(cell["source"]).startswith("## ")


def _shown(output: dict) -> str:
    """Return an output of a cell as HTML: a part without its script, a figure, a sentence."""
    data = output.get("data", {})
    if "image/png" in data:
        words = html.escape("".join(data["text/plain"]))
        image = f'<img alt="{words}" src="data:image/png;base64,{data["image/png"]}">'
        return f'<div class="figure" tabindex="0">{image}</div>'
    return "".join(data.get("text/html", "")).partition(SCRIPT)[0]


if __name__ == "__main__":
    import sys

    from medcal_nb.answers.recorded import load_recorded
    from medcal_nb.reader import write_page
    from medcal_nb.teach.key import answer_key

    page = write_lesson_site(*sys.argv[1:3])
    key = page.with_name("key.md")
    key.write_text(answer_key(load_recorded("vlcb")), encoding="utf-8")
    cases = page.with_name("cases.html")
    write_page("pocket", cases, force=True)
    sheet = write_sheet(page.with_name("student.md"), page.parent)
    print(page, key, cases, sheet, sep="\n")
