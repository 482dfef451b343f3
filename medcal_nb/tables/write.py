"""Tables into files: CSV in the form of another table, Excel and Parquet, whole or not at all."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from medcal_nb.errors import MedcalError
from medcal_nb.files import PathLike, new_file
from medcal_nb.tables.columns import TEXT, as_json, each, of_file
from medcal_nb.tables.sources import FORMULA, begin_of, encoding_of, mark_of

#: What a cell of Excel holds at most; it cuts off the rest.
MOST_LETTERS = 32_767
_WIDTHS = {"question": 40, "answer": 40, "reply": 40, "gold": 25}
_USUAL_WIDTH = 14
_NUMBER = r"[+-]?[\d.,]+(?:[eE][+-]?\d+)?"
_SEEN = 1 << 16  # bytes of a table whose numbers are looked at
#: Cells between semicolons that are numbers with parts, or percentages.
_COMMAS = re.compile(r'(?m)(?:^|;)"?\s*-?\d*,\d+\s*%?"?\s*(?=;|$)')
_POINTS = re.compile(r'(?m)(?:^|;)"?\s*-?\d*\.\d+\s*%?"?\s*(?=;|$)')


def without_formulas(table: pd.DataFrame) -> pd.DataFrame:
    """A table whose texts and names no spreadsheet runs as formulas: a ' stands before such.

    Numbers that are written as text stay as they are.

    Examples
    --------
    >>> without_formulas(pd.DataFrame({"a": ["=1+1", "-2", "b"]}))["a"].tolist()
    ["'=1+1", '-2', 'b']
    """
    table = table.rename(
        columns=lambda name: re.sub(f"^({FORMULA})", r"'\1", str(name))
    )
    for name in table.select_dtypes([TEXT, object]):
        column = table[name].astype(TEXT)
        is_formula = column.str.match(FORMULA, na=False)
        is_risky = is_formula & ~column.str.fullmatch(_NUMBER, na=False)
        table[name] = column.where(~is_risky.astype(bool), "'" + column)
    return table


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
    decimal : str
        What stands in a CSV file between a number's whole and its parts.
    """

    suffix: str = ".csv"
    mark: str = ","
    has_bom: bool = False
    decimal: str = "."


def sheet_form(path: PathLike) -> SheetForm:
    r"""The form of a sheet that belongs to a table of answers, or that is there already.

    Parameters
    ----------
    path : path
        A table, a sheet, or whatever else answers come from.

    Returns
    -------
    SheetForm
        That of Excel for an Excel file; semicolons and a BOM where a CSV file has semicolons, with
        decimal commas unless its first numbers have points; else CSV with commas, with a BOM where
        the file has one.

    Examples
    --------
    >>> _ = Path("mine.csv").write_text("Fall;Konfidenz\n1;0,9\n")
    >>> sheet_form("mine.csv")
    SheetForm(suffix='.csv', mark=';', has_bom=True, decimal=',')
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
        with path.open("rb") as file:
            first = file.read(_SEEN).decode(encoding, errors="ignore")
        decimal = "." if _POINTS.search(first) and not _COMMAS.search(first) else ","
        return SheetForm(mark=mark, has_bom=True, decimal=decimal)
    return SheetForm(has_bom=not is_plain)


def write_table(
    table: pd.DataFrame,
    to: PathLike,
    *,
    form: SheetForm | None = None,
    sources: Iterable[PathLike] = (),
    force: bool = False,
) -> None:
    """Write a table to a .csv, .xlsx or .parquet file, whole or not at all; without formulas.

    Parameters
    ----------
    table : DataFrame
    to : path
    form : SheetForm, optional
        What a CSV file has between cells, at its beginning and in its numbers.
    sources : iterable of path
        Files it is made from: none of them is replaced.
    force : bool
        Replace a file that is there.

    Raises
    ------
    MedcalError
        If the name ends otherwise, or the file is there.
    """
    kind = Path(to).suffix.lower()
    write = {".csv": _write_csv, ".xlsx": _write_book, ".parquet": _write_parquet}
    if kind not in write:
        raise MedcalError(
            f"{to}: cannot write such a file; name it .csv, .xlsx or .parquet"
        )
    table = table.copy(deep=False)
    for name in table.select_dtypes(object):
        with of_file(to):
            texts = each(table[name], _as_text, str(name), "drop this column", TEXT)
        table[name] = texts
    with new_file(to, sources=sources, force=force) as part:
        write[kind](table, part, form or SheetForm())


def _as_text(cell: Any) -> str:
    return cell if isinstance(cell, str) else as_json(cell)


def _write_parquet(table: pd.DataFrame, path: Path, form: SheetForm) -> None:
    pq.write_table(pa.Table.from_pandas(table, preserve_index=False), path)


def _write_csv(table: pd.DataFrame, path: Path, form: SheetForm) -> None:
    table = without_formulas(table)
    if form.decimal != ".":
        for name in table.select_dtypes("floating"):
            texts = table[name].map(str, na_action="ignore").astype(TEXT)
            table[name] = texts.str.replace(".", form.decimal, regex=False)
    options = pa.csv.WriteOptions(delimiter=form.mark)
    with path.open("wb") as file:
        file.write(codecs.BOM_UTF8 if form.has_bom else b"")
        rows = pa.Table.from_pandas(table, preserve_index=False)
        pa.csv.write_csv(rows, file, options)


def _write_book(table: pd.DataFrame, path: Path, form: SheetForm) -> None:
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
        cell = WriteOnlyCell(sheet, value=value if is_text else _number(value))
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


def _number(value: Any) -> bool | int | float:
    """A truth value or a number as Excel holds it, whole ones whole."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    return int(value) if value == int(value) else float(value)
