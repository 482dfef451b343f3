"""Bringing in answers that were recorded elsewhere: any table, and other tools' own logs."""

from .importing import Imported, import_file, import_frames
from .registry import Reader, readers
from .table import ColumnMap

__all__ = ["ColumnMap", "Imported", "Reader", "import_file", "import_frames", "readers"]
