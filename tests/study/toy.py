"""A checkout of four toy notebooks for the runner: real papermill, real kernels."""

import json
from pathlib import Path

from medcal_nb.study.run import Study

PARAMETERS = """\
PROFILE = "pocket"
ANSWERS = ""
OUT_DIR = ""
FAST = False
"""

ASK = """\
from medcal_nb.answers import AnswerLog

row = {"model": "m", "dataset": "d", "domain": "general", "question_type": "closed",
       "split": "test", "strategy": "verbalized", "sample": 0, "gold": "yes", "parse_ok": True}
told = [("a", "yes", HIGH, True), ("b", "no", 0.4, False)]
rows = [row | {"item_id": i, "image_id": i, "answer": a, "confidence": c, "correct": y}
        for i, a, c, y in told]
with AnswerLog(ANSWERS) as log:
    log.append(rows, if_exists="replace")
with open(ANSWERS + ".made-from.json", "w") as note:
    note.write('{"jobs": [{"model": "m", "dataset": "d", "strategies": ["verbalized"]}]}')
"""

NUMBERS = """\
import pandas as pd
from matplotlib.figure import Figure

from medcal_nb.answers import load_answers
from medcal_nb.study import NotebookContext

ctx = NotebookContext("02_numbers", PROFILE, ANSWERS, OUT_DIR, FAST, parameters={"SCALE": SCALE})
table = load_answers(ctx.answers)[["item_id", "confidence", "correct"]]
table["confidence"] *= SCALE
fig = Figure()
fig.subplots().bar(table["item_id"], table["confidence"])
"""

SAVE = """\
ctx.save(fig, "fig02_bars", table)
ctx.results({"mean": table["confidence"].mean()})
"""

ALONE = """\
from matplotlib.figure import Figure
import pandas as pd

from medcal_nb.study import NotebookContext

ctx = NotebookContext("03_alone", PROFILE, ANSWERS, OUT_DIR, FAST, parameters={"N": N})
table = pd.DataFrame({"n": [N]})
fig = Figure()
fig.subplots().plot([0, N])
ctx.save(fig, "fig03_line", table)
"""

OVERVIEW = """\
from medcal_nb.errors import NotEnough
from medcal_nb.study import NotebookContext

ctx = NotebookContext("00_overview", PROFILE, "", OUT_DIR, FAST)
mean = ctx.read_results("02_numbers")["mean"]
if not (ctx.published / "fig03_line.png").is_file():
    raise NotEnough("no fig03_line")
ctx.answer([f"Twice {mean}."])
ctx.results({"twice": 2 * mean})
"""


BESIDE = """\
from medcal_nb.study import NotebookContext

ctx = NotebookContext("04_beside", PROFILE, "", OUT_DIR, FAST)
ctx.results({"theirs": ctx.read_results("02_numbers", profile="pocket")["mean"]})
"""


def load_results(path: Path) -> dict:
    """Return the numbers that a notebook saved."""
    return json.loads(path.read_text())["results"]


def write_notebook(folder, name, cells, *, parameters="", **declared):
    """Write a notebook of a title, a parameters cell and the given code cells."""
    content = [("markdown", [], f"# {name}\n\n**Question:** what is {name}?")]
    content.append(("code", ["parameters"], PARAMETERS + parameters))
    content += [("code", [], source) for source in cells]
    notebook = {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {
            "kernelspec": {
                "name": "python3",
                "display_name": "Python 3",
                "language": "python",
            },
            "medcal": {"reads": [], "writes": []} | declared,
        },
        "cells": [
            {
                "cell_type": kind,
                "id": f"c{i}",
                "metadata": {"tags": tagged},
                "source": source,
            }
            | ({"outputs": [], "execution_count": None} if kind == "code" else {})
            for i, (kind, tagged, source) in enumerate(content)
        ],
    }
    (folder / f"{name}.ipynb").write_text(json.dumps(notebook))


def write_numbers(folder, *cells, parameters="SCALE = 1.0\n", before=""):
    """Write notebook 02, with more cells at its end."""
    write_notebook(
        folder,
        "02_numbers",
        [before + NUMBERS, SAVE, *cells],
        reads=["answers"],
        writes=["fig02_bars", "results/02_numbers.json"],
        parameters=parameters,
    )


def write_checkout(folder: Path) -> None:
    """Write four toy notebooks: 01 → 02 → 00 ← 03."""
    (notebooks := folder / "notebooks").mkdir()
    write_notebook(
        notebooks, "01_ask", [ASK], writes=["answers"], parameters="HIGH = 0.9\n"
    )
    write_numbers(notebooks)
    write_notebook(
        notebooks, "03_alone", [ALONE], writes=["fig03_line"], parameters="N = 3\n"
    )
    write_notebook(
        notebooks,
        "00_overview",
        [OVERVIEW],
        reads=["results/02_numbers.json", "fig03_line"],
        writes=["results/00_overview.json"],
    )


def study(toy, profile="pocket", **options):
    """Run the study of the toy checkout, with answers in it."""
    how = {
        name: options.pop(name)
        for name in ("plan_only", "keep_going")
        if name in options
    }
    return Study(profile, **{"answers": toy / "answers.sqlite"} | options).run(**how)


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of all files of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def edit(path: Path, old: str, new: str) -> None:
    """Replace a piece of a text file."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
