"""Whether two runs of a notebook gave the same."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
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
        if a == b or _is_near(a, b, tolerance):
            continue
        if asks and _is_near(a, b, 0, _width(before, *place) / _PART_OF_INTERVAL):
            continue
        table, row, column = place
        lines.append(f"{table}, row {row}: {column} {a}, now {b}")
    if not lines and not asks and published["findings"] != again["findings"]:
        lines.append("findings, in words")
    return lines


def same_text(before: Path, now: Path) -> bool:
    """Whether a CSV is the same but for the last of its six digits, a page but for its numbers.

    Both are written from tables that `compare_results` holds to the last digit; other files are
    drawn from these.

    Parameters
    ----------
    before, now : Path
    """
    if now.suffix not in (".csv", ".md"):
        return True
    texts = [path.read_text(encoding="utf-8") for path in (before, now)]
    words = [_NUMBER.sub("#", text) for text in texts]
    if words[0] != words[1]:
        return False
    if now.suffix == ".md":
        return True
    numbers = [map(float, _NUMBER.findall(text)) for text in texts]
    return all(math.isclose(a, b, rel_tol=1e-5) for a, b in zip(*numbers, strict=True))


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


def _is_near(a: Any, b: Any, relative: float, absolute: float = 0) -> bool:
    """Whether two numbers are the same but for a tolerance; a size below 1 counts as 1."""
    if not isinstance(a, int | float) or not isinstance(b, int | float):
        return False
    allowed = max(relative * max(1, abs(a)), absolute)
    return abs(a - b) < allowed
