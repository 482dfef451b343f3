"""Sheets for people to fill in: in the form of the table of answers that they belong to.

A spreadsheet opens a sheet as it opened the table: in the columns, and with the accents. It saves
it in a form of its own, which is read, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from medcal_nb.errors import MedcalError
from medcal_nb.files import PathLike, beside
from medcal_nb.tables.columns import TEXT
from medcal_nb.tables.sources import encoding_of, read_source, without_guards
from medcal_nb.tables.write import MOST_LETTERS, sheet_form, write_table

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_GRADE = re.compile(r"\s*([01])[.,]0+\s*")


def as_in_sheet(cells: pd.Series) -> pd.Series:
    r"""Texts as a spreadsheet gives them back: \n at line ends, no control characters, cut off.

    Examples
    --------
    >>> as_in_sheet(pd.Series(["a\r\nb\x07"], dtype=TEXT)).tolist()
    ['a\nb']
    """
    lines = cells.str.replace("\r\n?", "\n", regex=True)
    return lines.str.replace(_CONTROL, "", regex=True).str.slice(0, MOST_LETTERS)


def sheet_beside(path: PathLike, name: str, of: PathLike | None = None) -> Path:
    """``NAME.name.csv`` or ``NAME.name.xlsx`` in the folder of ``NAME.csv``.

    Parameters
    ----------
    path : path
        What it lies beside.
    name : str
        What the sheet is called, such as ``grades``.
    of : path, optional
        The table of answers that it belongs to, where it is another file.

    Returns
    -------
    path
        The sheet that is there; else the one in the form of its table.

    Raises
    ------
    MedcalError
        If two sheets are there.
    """
    wanted = beside(path, f"{name}{sheet_form(of or path).suffix}")
    there = [beside(path, f"{name}{suffix}") for suffix in (".csv", ".xlsx")]
    there = [one for one in there if one.exists()]
    if len(there) > 1:
        first, second = there
        raise MedcalError(
            f"{first}: {second.name} is there, too, and one sheet is read: move the one away that "
            "you do not fill in"
        )
    return there[0] if there else wanted


def read_sheet(path: PathLike, names: Iterable[str], problem: str) -> pd.DataFrame:
    """A sheet that has columns of these names, its cells as texts, however it was saved.

    Read are commas, semicolons and tabs, UTF-8, UTF-16 and the Western European letters of Windows,
    and Excel; a grade of ``1,0`` is 1.

    Raises
    ------
    MedcalError
        If it cannot be read; the problem where it lacks a column.
    """
    file = Path(path)
    is_text = file.suffix.lower() in (".csv", ".tsv") and file.is_file()
    table = read_source(path, encoding=encoding_of(file) if is_text else None)
    if not isinstance(table, pd.DataFrame):
        raise MedcalError(f"{path}: not a sheet: name the .csv or .xlsx file of it")
    for name in names:
        if name not in table:
            raise MedcalError(f"{path}: no column '{name}': {problem}")
    if not is_text:
        columns = {
            name: table[name].map(_as_text, na_action="ignore") for name in table
        }
        table = without_guards(pd.DataFrame(columns, table.index).astype(TEXT))
    if "correct" in table:
        grades = table["correct"].str.replace(_GRADE, r"\1", regex=True)
        table["correct"] = grades.astype(TEXT)
    return table


def _as_text(cell: Any) -> str:
    """A cell of Excel as a text, whole numbers without a point."""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell)


def write_sheet(
    table: pd.DataFrame, to: PathLike, of: PathLike, *, force: bool = False
) -> None:
    """Write a sheet for a person to fill in, whole or not at all.

    Parameters
    ----------
    table : DataFrame
        Texts and counts.
    to : path
        Its name ends in .csv or .xlsx; a sheet that is there keeps its form.
    of : path
        The table of answers that it belongs to.
    force : bool
        Replace a sheet that is there.
    """
    to = Path(to)
    if to.suffix.lower() not in (".csv", ".xlsx"):
        raise MedcalError(f"{to}: cannot write such a sheet; name it .csv or .xlsx")
    form = sheet_form(to if to.is_file() else of)
    write_table(table, to, form=form, sources=[of], force=force)
