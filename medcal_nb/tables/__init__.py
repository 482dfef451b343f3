"""Tables of other people, of answers or of questions: files, names of columns, checked cells."""

from medcal_nb.tables.sources import (
    read_columns,
    read_source,
    table_of,
    without_formulas,
    write_table,
)

__all__ = [
    "read_columns",
    "read_source",
    "table_of",
    "without_formulas",
    "write_table",
]
