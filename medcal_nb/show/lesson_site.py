"""The lesson as a page that needs no kernel and no network: text, labs, figures, exercises."""

from __future__ import annotations

import base64
import html
import json
import os
import re
from pathlib import Path

from medcal_nb.errors import MedcalError
from medcal_nb.show.exercises import NAMES, Exercise, exercise
from medcal_nb.show.lab import lab_code

_LABS = {
    "draw_forecaster": {},
    "bins_and_size": {"right": [0.1, 0.3, 0.5, 0.7, 0.9], "n": 100},
    "accuracy_calibration": {"right": [0.3, 0.4, 0.5, 0.6, 0.7], "n": 2000},
    "temperature_by_hand": {"right": [0.25, 0.4, 0.5, 0.6, 0.75], "n": 2000, "bins": 10},
    "choose_threshold": {"right": [0.1, 0.3, 0.5, 0.7, 0.9], "n": 2000, "threshold": 0.6},
}
"""How the lab starts where the notebook has a widget of its own."""


def write_lesson_site(notebook: str | os.PathLike, figures: str | os.PathLike, folder) -> Path:
    """Write the lesson's notebook as ``index.html``, one file that asks no host for anything.

    Parameters
    ----------
    notebook : path
        Notebook 07: its words stay, its widgets become labs, its exercises forms.
    figures : path
        Folder of the published figures, ``fig07_*.png``.
    folder : path
        Where ``index.html`` goes, made if absent.

    Returns
    -------
    pathlib.Path
        The page.

    Raises
    ------
    MedcalError
        If the notebook can't be read or a figure has not been made.
    """
    import mistune
    from jinja2 import Environment, PackageLoader

    try:
        cells = json.loads(Path(notebook).read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError, KeyError) as error:
        raise MedcalError(f"{notebook}: no notebook: {error}") from None
    parts = []
    for cell in cells:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            # the head tells how to run the notebook, and "Answer" is filled by its run
            head = source.startswith("# ") or source.strip() == "## Answer"
            parts += [] if head else [mistune.html(source)]
        else:
            parts += _drawn(source, Path(figures))
    environment = Environment(loader=PackageLoader("medcal_nb", "show"), autoescape=False)
    template = environment.get_template("lesson_site.html.jinja")
    page = Path(folder) / "index.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    words = template.render(parts=parts, code=lab_code(), n_exercises=len(NAMES))
    page.write_text(words, encoding="utf-8")
    return page


def _drawn(source: str, figures: Path) -> list[str]:
    """Return what stands for a code cell: a lab, a figure, an exercise, or nothing."""
    for name, start in _LABS.items():
        if f"widgets.{name}(" in source:
            return [f"<div class='lab' data-start='{html.escape(json.dumps(start))}'></div>"]
    asked = re.search(r'exercises\.ask\("(\w+)"\)', source)
    if asked:
        return [_form(exercise(asked[1]))]
    saved = re.search(r'ctx\.save\(.*"(fig07_\w+)"', source)
    return [_figure(figures / f"{saved[1]}.png")] if saved else []


def _figure(path: Path) -> str:
    if not path.is_file():
        raise MedcalError(f"{path}: no such figure: run `medcal study 07` first")
    data = base64.b64encode(path.read_bytes()).decode()
    words = html.escape(path.stem.removeprefix("fig07_").replace("_", " "))
    return f"<img alt='figure: {words}' src='data:image/png;base64,{data}'>"


def _form(asked: Exercise) -> str:
    """Return an exercise as a form; the page checks it as the notebook does."""
    told = {"answer": asked.answer, "tolerance": asked.tolerance, "unit": asked.unit}
    told |= {"hints": list(asked.hints), "choice": bool(asked.options)}
    if asked.options:
        field = "".join(
            f"<label><input type='radio' name='given' value='{html.escape(option)}'>"
            f" {html.escape(option)}</label>"
            for option in asked.options
        )
    else:
        unit = f" in {asked.unit}" if asked.unit else ""
        field = f"<label>Answer{unit} <input name='given' autocomplete='off'></label>"
    data = html.escape(json.dumps(told), quote=True)
    solution = f"<details><summary>Solution</summary>{html.escape(asked.solution)}</details>"
    return (
        f'<form class="exercise" data-told="{data}"><p><b>Exercise.</b> '
        f"{html.escape(asked.question)}</p>{field}<p><button>Check</button> "
        "<button type='button' class='hint'>Hint</button></p>"
        f"<p role='status'></p><ul></ul>{solution}</form>"
    )


if __name__ == "__main__":
    import sys

    print(write_lesson_site(*sys.argv[1:4]))
