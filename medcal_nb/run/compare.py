"""Whether two runs of a notebook gave the same."""

from __future__ import annotations

import re
from typing import Any

_PART_OF_INTERVAL = 20


def compare_results(
    published: dict, again: dict, *, tolerance: float = 1e-6, asks: bool = False
) -> list[str]:
    """Return where two runs differ in tables or, if not there, in findings: a line each.

    Parameters
    ----------
    published, again : dict
        Results of a notebook.
    tolerance : float
        How far a number may be off, relative to its size above 1.
    asks : bool
        Whether models were asked: a number may then be off by a twentieth of its interval's width.
    """
    before = _values_of(published["tables"])
    now = _values_of(again["tables"])
    lines = []
    for place in before | now:
        a = before.get(place)
        b = now.get(place)
        width = _width(before, *place) if asks else 0
        if a != b and not _is_near(a, b, tolerance, width / _PART_OF_INTERVAL):
            table, row, column = place
            lines.append(f"{table}, row {row}: {column} {a}, now {b}")
    if not lines and not asks and published["findings"] != again["findings"]:
        lines.append("findings, in words")
    return lines


def _values_of(tables: dict[str, list[dict]]) -> dict[tuple[str, int, str], Any]:
    """Values of tables by table, row and column."""
    values = {}
    for table, rows in tables.items():
        for i, row in enumerate(rows, 1):
            for column, value in row.items():
                values[table, i, column] = value
    return values


def _width(values: dict, table: str, row: int, column: str) -> float:
    """Width of the interval that stands beside a value; 0 without one."""
    name = re.sub("_(low|high)$", "", column)
    low = values.get((table, row, f"{name}_low"))
    high = values.get((table, row, f"{name}_high"))
    if low is None or high is None:
        return 0
    return high - low


def _is_near(a: Any, b: Any, relative: float, absolute: float) -> bool:
    """Whether two numbers are the same but for a tolerance; a size below 1 counts as 1."""
    if not isinstance(a, int | float) or not isinstance(b, int | float):
        return False
    allowed = max(relative * max(1, abs(a)), absolute)
    return abs(a - b) < allowed
