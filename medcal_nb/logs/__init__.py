"""Bringing in answers that were recorded elsewhere: any table, and other tools' own logs."""

from .readers import READERS, import_file
from .table import ColumnMap, Imported, import_table

__all__ = ["READERS", "ColumnMap", "Imported", "import_file", "import_table"]
