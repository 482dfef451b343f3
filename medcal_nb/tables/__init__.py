"""Tables of other people, of answers or of questions: files, names of columns, checked cells."""

from medcal_nb.tables.sheets import (
    as_in_sheet,
    read_sheet,
    sheet_beside,
    write_sheet,
)
from medcal_nb.tables.sources import read_source, table_of
from medcal_nb.tables.write import (
    SheetForm,
    sheet_form,
    without_formulas,
    write_table,
)

__all__ = [
    "SheetForm",
    "as_in_sheet",
    "read_sheet",
    "read_source",
    "sheet_beside",
    "sheet_form",
    "table_of",
    "without_formulas",
    "write_sheet",
    "write_table",
]
