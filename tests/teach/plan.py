"""What the teacher's sheet and the notebook say of sections and minutes."""

import json
import re

from tests.teach.executed import ROOT


def plan(heading):
    """Return the sections of a table of the teacher's sheet, and from which minute to which."""
    text = (ROOT / "docs" / "lesson" / "teacher.md").read_text(encoding="utf-8")
    table = text.partition(f"\n{heading}\n")[2].partition("\n#")[0]
    rows = re.findall(r"(?m)^\| (\d+)–(\d+) \| ([^|]*) \|", table)
    return {name: (int(start), int(end)) for start, end, name in rows}


def sections():
    """Return the sections of the notebook that have a number, and how many minutes each takes."""
    notebook = (ROOT / "notebooks" / "07_teaching.ipynb").read_text(encoding="utf-8")
    texts = ["".join(cell["source"]) for cell in json.loads(notebook)["cells"]]
    heads = re.findall(r"(?m)^## (\d+ · .*) \((\d+) minutes\)$", "\n".join(texts))
    return {name: int(minutes) for name, minutes in heads}
