"""Answers in, one page out: how well a confidence is calibrated, with every number beside it."""

from medcal_nb.report.page import ReportWarning, write_report
from medcal_nb.report.parts import (
    calibration_figure,
    comparison,
    entries,
    performance,
    sides,
)

__all__ = [
    "ReportWarning",
    "calibration_figure",
    "comparison",
    "entries",
    "performance",
    "sides",
    "write_report",
]
