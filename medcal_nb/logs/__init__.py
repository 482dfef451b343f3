"""Logs of evaluation tools, by name: who knows a file, and the rows that it holds."""

from medcal_nb.logs.registry import Log, Reader, at, detect, has, readers

__all__ = ["Log", "Reader", "at", "detect", "has", "readers"]
