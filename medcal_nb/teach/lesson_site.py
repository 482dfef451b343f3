"""The lesson as a page that needs no kernel and no network, from its executed notebook."""

from __future__ import annotations

import html
import json
import os
from itertools import dropwhile
from pathlib import Path

from medcal_nb.errors import MedcalError
from medcal_nb.teach.exercises import NAMES
from medcal_nb.teach.lesson import SCRIPT, script, template


def write_lesson_site(notebook: str | os.PathLike, folder: str | os.PathLike) -> Path:
    """Write the lesson's notebook as ``index.html``, one file that asks no host for anything.

    Parameters
    ----------
    notebook : path
        Notebook 07, executed: its texts, labs, exercises and figures are taken as they stand,
        from its first section on.
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
    from nbconvert.filters.markdown import markdown2html

    cells = json.loads(Path(notebook).read_text(encoding="utf-8"))["cells"]
    parts: list[str] = []
    for cell in dropwhile(_is_before_sections, cells):
        if cell["cell_type"] == "code":
            parts += map(_shown, cell["outputs"])
        else:
            parts.append(markdown2html("".join(cell["source"])))
    if not any('class="medcal-hand-in"' in part for part in parts):
        raise MedcalError(f"{notebook}: not executed: run `medcal study 07` first")
    page = Path(folder) / "index.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    style = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    values = {"parts": parts, "n": len(NAMES), "script": script(), "style": style}
    text = template("page.jinja").render(values)
    page.write_text(text, encoding="utf-8")
    return page


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
    from medcal_nb.teach.key import answer_key

    page = write_lesson_site(*sys.argv[1:3])
    key = page.with_name("key.md")
    key.write_text(answer_key(load_recorded("vlcb")), encoding="utf-8")
    print(page, key, sep="\n")
