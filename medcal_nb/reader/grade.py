"""The grading page: the open rows of a sheet of `medcal certify`, one at a time, in one file."""

from __future__ import annotations

import hashlib
from pathlib import Path

from medcal_nb.answers import without_formulas
from medcal_nb.answers.grades import GRADE, read_sheet
from medcal_nb.errors import MedcalError
from medcal_nb.files import PathLike, new_file
from medcal_nb.reader.cases import in_folder
from medcal_nb.reader.page import page_text, picture


def write_grading_page(source: PathLike, to: PathLike, *, force: bool = False) -> int:
    """Write the answers of a sheet that are not graded as one page; return how many they are.

    A grader presses 1, 0 or ?, and downloads the sheet with the grades in it. The confidence is not
    shown, so that it sways nobody.

    Parameters
    ----------
    source : path
        A sheet of `medcal certify`.
    to : path
        The page, ``.html``.
    force : bool
        Replace a file that is there.

    Raises
    ------
    MedcalError
        If it is no such sheet, all of it is graded, or the page cannot be written.
    """
    path = Path(source)
    rows = read_sheet(path)
    is_open = rows[GRADE].fillna("").str.strip() == ""
    if not is_open.any():
        raise MedcalError(f"{path}: every row is graded: run `medcal certify` again")
    folder = path.resolve().parent
    columns = ["item_id", "question", "answer", "raw", "gold", "image"]
    cases = []
    for number, row in rows.reindex(columns=columns).fillna("").iterrows():
        if is_open[number]:
            case = {"row": number, "item": row["item_id"]}
            case |= {name: row[name] for name in ("question", "gold")}
            case["answer"] = row["raw"] or row["answer"]
            case["image"] = picture(in_folder(folder, row["image"] or None))
            cases.append(case)
    table = without_formulas(rows)
    data = {
        "name": path.name,
        "set": hashlib.sha256(path.read_bytes()).hexdigest()[:16],
        "columns": [*table],
        "rows": table.fillna("").to_numpy().tolist(),
        "cases": cases,
    }
    with new_file(to, sources=[source], force=force) as part:
        part.write_text(page_text(data, "grade"), encoding="utf-8")
    return len(cases)
