"""Bringing in answers that were recorded elsewhere: any table, and other tools' own logs."""

from .importing import Imported, import_file, read_answers
from .placing import ColumnMap
from .recognition import Recognised, recognise_columns
from .registry import Reader, readers

__all__ = [
    "ColumnMap",
    "Imported",
    "Reader",
    "Recognised",
    "import_file",
    "read_answers",
    "readers",
    "recognise_columns",
]
