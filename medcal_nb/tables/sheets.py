"""Sheets for people to fill in: in the form of the table of answers that they belong to.

A spreadsheet opens a sheet as it opened the table: in the columns, and with the accents. It saves
it in a form of its own, which is read, too.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from medcal_nb.errors import MedcalError
from medcal_nb.files import PathLike, beside, new_file
from medcal_nb.tables.columns import TEXT, of_file
from medcal_nb.tables.sources import (
    begin_of,
    encoding_of,
    mark_of,
    read_source,
    without_formulas,
    without_guards,
    write_table,
)

#: What a cell of Excel holds at most; it cuts off the rest.
MOST_LETTERS = 32_767
_WIDTHS = {"question": 40, "answer": 40, "reply": 40, "gold": 25}
_USUAL_WIDTH = 14
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


class SheetForm(NamedTuple):
    """How a sheet is written.

    Attributes
    ----------
    suffix : str
        ``.csv`` or ``.xlsx``.
    mark : str
        What stands between the cells of a CSV file.
    has_bom : bool
        The mark of UTF-8 stands at its beginning, without which Excel breaks accents.
    """

    suffix: str = ".csv"
    mark: str = ","
    has_bom: bool = False


def sheet_form(path: PathLike) -> SheetForm:
    r"""The form of a sheet that belongs to a table of answers, or that is there already.

    Parameters
    ----------
    path : path
        A table, a sheet, or whatever else answers come from.

    Returns
    -------
    SheetForm
        That of Excel for an Excel file; semicolons and a BOM where a CSV file has semicolons;
        else CSV with commas, with a BOM where the file has one.

    Examples
    --------
    >>> _ = Path("mine.csv").write_text("Fall;Konfidenz\n1;0,9\n")
    >>> sheet_form("mine.csv")
    SheetForm(suffix='.csv', mark=';', has_bom=True)
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == ".xlsx":
        return SheetForm(suffix)
    if suffix != ".csv" or not path.is_file():
        return SheetForm()
    encoding = encoding_of(path)
    is_plain = encoding == "utf-8" and not begin_of(path).startswith(codecs.BOM_UTF8)
    with of_file(path):
        mark = mark_of(path, encoding)
    if mark == ";":
        return SheetForm(mark=mark, has_bom=True)
    return SheetForm(has_bom=not is_plain)


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
    form = sheet_form(to if to.is_file() else of)
    suffix = to.suffix.lower()
    if suffix == ".xlsx":
        with new_file(to, sources=[of], force=force) as part:
            _write_book(table, part)
    elif suffix == ".csv" and (form.mark != "," or form.has_bom):
        encoding = "utf-8-sig" if form.has_bom else "utf-8"
        with (
            new_file(to, sources=[of], force=force) as part,
            part.open("w", encoding=encoding, newline="") as file,
        ):
            without_formulas(table).to_csv(
                file,
                sep=form.mark,
                index=False,
                quoting=csv.QUOTE_NONNUMERIC,
                lineterminator="\n",
            )
    elif suffix == ".csv":
        write_table(table, to, sources=[of], force=force)
    else:
        raise MedcalError(f"{to}: cannot write such a sheet; name it .csv or .xlsx")


def _write_book(table: pd.DataFrame, path: Path) -> None:
    """Write an Excel file of one sheet: texts as texts, lines of them below each other."""
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
    from openpyxl.styles import Alignment, Font
    from openpyxl.utils import get_column_letter

    book = Workbook(write_only=True)
    sheet = book.create_sheet("sheet")
    sheet.freeze_panes = "A2"
    for place, name in enumerate(table, start=1):
        width = _WIDTHS.get(str(name), _USUAL_WIDTH)
        sheet.column_dimensions[get_column_letter(place)].width = width
    wrapped = Alignment(wrap_text=True, vertical="top")

    def cell_of(value: Any, font: Font | None = None) -> Any:
        if pd.isna(value):
            return None
        is_text = isinstance(value, str)
        if is_text:
            value = ILLEGAL_CHARACTERS_RE.sub("", value)[:MOST_LETTERS]
        cell = WriteOnlyCell(sheet, value=value if is_text else int(value))
        if is_text:
            cell.data_type = "s"  # never a formula
            cell.alignment = wrapped
        if font:
            cell.font = font
        return cell

    sheet.append([cell_of(str(name), Font(bold=True)) for name in table])
    for row in table.itertuples(index=False, name=None):
        sheet.append([cell_of(value) for value in row])
    with path.open("wb") as file:
        book.save(file)
