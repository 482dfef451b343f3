"""From a file of answers to a report: read it, run notebook 08 on it, publish the folder whole."""

from __future__ import annotations

import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from medcal_nb.errors import MedcalError
from medcal_nb.files import file_hash
from medcal_nb.study.execute import execute_notebook
from medcal_nb.study.notebooks import find_notebooks
from medcal_nb.study.profile import checkout

NOTEBOOK = "08_report"


def write_report(
    table: Path,
    to: Path,
    *,
    named: Mapping[str, str],
    parameters: Mapping[str, Any],
    transfer_from: str = "",
    percent: bool | None = None,
    decimal: str | None = None,
    force: bool = False,
    tell: Callable[[str], None] = lambda text: None,
) -> Path:
    """Write a report of a file of answers into a folder, whole or not at all.

    Parameters
    ----------
    table : path
        A table of answers, an answers log, or a log of another tool.
    to : path
        Folder of the report.
    named : mapping
        Our column names to those of the table; the others are recognised.
    parameters : mapping
        Parameters of notebook 08.
    transfer_from : str
        A data set or a domain that a map is learned on; the others are the target.
    percent, decimal : optional
        How numbers are written, where that is not plain.
    force : bool
        Replace a report that is there.
    tell : callable
        Takes a line on how it goes.

    Returns
    -------
    pathlib.Path
        The page.

    Raises
    ------
    MedcalError
        If the file cannot be read without guessing, or the folder holds something else.
    """
    from medcal_nb.logs import read_answers, recognise_columns

    check_folder(to, force=force)
    columns = None
    description = ""
    if table.suffix.lower() not in (".sqlite", ".sqlite3", ".db"):
        recognised = recognise_columns(
            table, named=named, percent=percent, decimal=decimal
        )
        columns = recognised.columns
        description = recognised.description
        tell(f"medcal: {table.name}: {description}")
    answers, notes = read_answers(table, columns)
    for note in notes:
        tell(f"medcal: {note}")
    where = sides(answers, transfer_from)
    facts = {
        "file": table.name,
        "sha256": file_hash(table),
        "columns": description,
        "command": shlex.join(["medcal", *sys.argv[1:]]),
    }
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        answers.to_parquet(work / "answers.parquet")
        places = {
            "PROFILE": "imported",
            "ANSWERS": str(work / "answers.parquet"),
            "OUT_DIR": str(work / "out"),
            "TO": str(work / "report"),
            "INPUT": facts,
        }
        notebook = find_notebooks(checkout() / "notebooks")[NOTEBOOK]
        execute_notebook(
            notebook,
            work / f"{NOTEBOOK}.ipynb",
            {**parameters, **where, **places},
            label="report",
            on_cell=lambda number: None,
        )
        if to.exists():
            shutil.rmtree(to)
        shutil.copytree(work / "report", to)
    return to / "report.html"


def check_folder(to: Path, *, force: bool) -> None:
    """Raise MedcalError where a folder may not be written: it is there, or holds other things."""
    if not to.exists():
        return
    if not (to / "report.json").is_file() and any(to.iterdir()):
        raise MedcalError(
            f"{to}: holds something that is no report: name another folder"
        )
    if not force:
        raise MedcalError(
            f"{to}: there is a report already: add --force, or --to another folder"
        )


def sides(answers: pd.DataFrame, source: str) -> dict[str, dict[str, str]]:
    """Return the parameters that name the source of a transfer and its target.

    Raises
    ------
    MedcalError
        If no data set and no domain has the name, or there is nothing besides.
    """
    if not source:
        return {}
    for column in ("dataset", "domain"):
        values = list(answers[column].dropna().unique()) if column in answers else []
        others = [value for value in values if value != source]
        if source in values and len(others) == 1:
            return {"TRANSFER_FROM": {column: source}, "WHERE": {column: others[0]}}
    known = ", ".join(map(str, answers["dataset"].dropna().unique()))
    raise MedcalError(
        f"--transfer-from {source}: name one of two data sets or domains; there are {known}"
    )
