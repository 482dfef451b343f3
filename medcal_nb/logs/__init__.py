"""Bringing in answers that were recorded elsewhere: any table, and other tools' own logs."""

from .importing import ColumnMap, Imported, import_blocks, import_file
from .registry import Reader, readers

__all__ = ["ColumnMap", "Imported", "Reader", "import_blocks", "import_file", "readers"]
