"""Charts of tidy tables: each draws on axes and returns them; matplotlib does the rest.

A column's interval stands in the columns ``<name>_low`` and ``<name>_high``; why a row has no mark
in ``left_out``. One model, method or condition has one colour and one mark in every figure
(`look`), and stands in one order; an axis says what `labels.toml` calls its column. Each chart
leaves on its axes what it drew (`drawn`): the saved figure is held against its table by it. A
table without a column that is named is a `MedcalError`, which says the nearest.
"""

from .curves import lines, points, risk_coverage
from .diagram import calibration, outcomes
from .estimates import forest, stacked
from .heading import number_of, title_and_key
from .marks import (
    GREY,
    INK,
    INTERVAL,
    ONE_COLUMN,
    PALE,
    STYLE,
    TWO_COLUMNS,
    axis_label,
    look,
    use_style,
)

__all__ = [
    "GREY",
    "INK",
    "INTERVAL",
    "ONE_COLUMN",
    "PALE",
    "STYLE",
    "TWO_COLUMNS",
    "axis_label",
    "calibration",
    "forest",
    "lines",
    "look",
    "number_of",
    "outcomes",
    "points",
    "risk_coverage",
    "stacked",
    "title_and_key",
    "use_style",
]


def __dir__() -> list[str]:
    return __all__
