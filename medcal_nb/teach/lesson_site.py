"""The lesson as a page that needs no kernel and no network: text, labs, figures, exercises."""

from __future__ import annotations

import ast
import base64
import json
import os
from pathlib import Path

from medcal_nb.errors import MedcalError
from medcal_nb.show.figures import read_figure
from medcal_nb.teach import exercises, lesson
from medcal_nb.teach.exercises import NAMES
from medcal_nb.teach.lab import lab_code, lab_markup

_PARTS = {
    "lesson.opening": lesson.opening,
    "lesson.quiz": lesson.quiz,
    "lesson.reopening": lesson.reopening,
    "exercises.ask": exercises.ask,
    "exercises.hand_in": exercises.hand_in,
}


def write_lesson_site(
    notebook: str | os.PathLike, figures: str | os.PathLike, folder: str | os.PathLike
) -> Path:
    """Write the lesson's notebook as ``index.html``, one file that asks no host for anything.

    Parameters
    ----------
    notebook : path
        Notebook 07: its words, labs and figures stay, its exercises become forms.
    figures : path
        Folder of the published figures, ``fig07_*.png``, with their captions.
    folder : path
        Where ``index.html`` goes, made if absent.

    Returns
    -------
    pathlib.Path
        The page.

    Raises
    ------
    MedcalError
        If a figure has not been made.
    """
    import mistune

    cells = json.loads(Path(notebook).read_text(encoding="utf-8"))["cells"]
    parts = []
    for cell in cells[1:]:  # the head tells how to run the notebook
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(mistune.html(source))
        else:
            parts += _drawn(source, Path(figures))
    whole = lesson.template("lesson_site.jinja")
    page = Path(folder) / "index.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(
        whole.render(parts=parts, code=lab_code(), n=len(NAMES)), encoding="utf-8"
    )
    return page


def _drawn(source: str, figures: Path) -> list[str]:
    """Return what stands for a code cell: a part of the lesson, a lab, a figure, or nothing."""
    parts = []
    calls = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Call)]
    for call in sorted(calls, key=lambda call: (call.lineno, call.col_offset)):
        name = ast.unparse(call.func)
        if name in _PARTS:
            parts.append(_PARTS[name](*map(ast.literal_eval, call.args)).markup)
        elif name == "lab":
            start = {key.arg: ast.literal_eval(key.value) for key in call.keywords}
            parts.append(lab_markup(start))
        elif name == "ctx.save":
            parts.append(_figure(figures, call.args[1].value))
    return parts


def _figure(folder: Path, name: str) -> str:
    path = folder / f"{name}.png"
    words = read_figure(path)
    if not words:
        raise MedcalError(
            f"{path}: no such figure: run `medcal study 07 --profile pocket` first"
        )
    data = base64.b64encode(path.read_bytes()).decode()
    return lesson.Part("figure", data, words["alt"], words["caption"]).markup


if __name__ == "__main__":
    import sys

    try:
        print(write_lesson_site(*sys.argv[1:4]))
    except (MedcalError, OSError) as error:
        sys.exit(f"lesson-site: error: {error}")
