"""How numbers and names are written: in tables, in sentences, and everywhere alike."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd

from medcal_nb.labels import UNITS, label_of

_ENDS = ("_low", "_high")
_TINY = 0.0001


class _Shown(pd.DataFrame):
    """A table of texts that is shown without its index; names in it are escaped."""

    def _repr_html_(self) -> str:
        return self.to_html(
            index=False, border=0, justify="left", classes="mathjax_ignore"
        )


def show(table: pd.DataFrame, columns: list[str] | None = None) -> pd.DataFrame:
    """Return a table to look at: few digits, intervals beside estimates, names that people know.

    Parameters
    ----------
    table : DataFrame
        The ends of an interval stand in ``<column>_low`` and ``<column>_high``.
    columns : list of str, optional
        Those shown, in order; all but ends of intervals if not given.

    Examples
    --------
    >>> row = {"model": "deepseek-vl2", "accuracy": 0.512}
    >>> row |= {"accuracy_low": 0.4, "accuracy_high": 0.6}
    >>> show(pd.DataFrame([row])).to_numpy().tolist()
    [['DeepSeek-VL2', '51 % [40, 60]']]
    """
    names = columns or [name for name in table if not str(name).endswith(_ENDS)]
    shown = {}
    for name in names:
        ends = [f"{name}{end}" for end in _ENDS]
        ends = [end for end in ends if end in table]
        rows = table[[name, *ends]].itertuples(index=False)
        heading = label_of(name).replace("_", " ")
        shown[heading] = [_cell(name, *row) for row in rows]
    return _Shown(shown)


def estimate(
    row: pd.Series, name: str, form: str = ".2f", *, level: float = 0.95
) -> str:
    """Return an estimate with its interval for a sentence.

    Parameters
    ----------
    row : Series
        Holds `name`, ``<name>_low`` and ``<name>_high``.
    name : str
        The column.
    form : str
        As in a format: ``.3f`` for a score, ``.0%`` for a share of answers; ``points`` for a
        difference of shares.
    level : float
        Of the interval.

    Examples
    --------
    >>> row = pd.Series({"gap": 0.31, "gap_low": 0.295, "gap_high": 0.33})
    >>> estimate(row, "gap", "points")
    '31 percentage points (95 % CI 30 to 33)'
    """
    scale = 1
    unit = ""
    if form == "points":
        form = ".0f"
        scale = 100
        unit = " percentage points"
    texts = []
    for column in (name, f"{name}_low", f"{name}_high"):
        number = scale * row[column]
        texts.append(format(number, form))
    value, low, high = texts
    return typeset(f"{value}{unit} ({level:.0%} CI {low} to {high})")


def typeset(text: str) -> str:
    """A text on one line, with minus signs, a space before percent, and a dash for no number."""
    line = re.sub(r"(?<![\w-])nan(?![\w-])", "–", " ".join(text.split()))
    line = re.sub(r"(?<![\w.)\]])-(?=\d)", "−", line)
    line = re.sub(r"−(0(?:\.0+)?)(?![.\d])", r"\1", line)
    return re.sub(r"(?<=\d)%", " %", line)


def _cell(column: str, value: Any, *ends: float) -> str:
    """A value of a column as a person reads it, a number with its interval."""
    unit = UNITS.get(column, "")
    if isinstance(value, str):
        return label_of(value, column)
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if value is None or pd.isna(value):
        return "–"
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    if not isinstance(value, float) or np.isinf(value):
        return str(value).replace("inf", "∞")
    if 0 < value < _TINY and not ends:
        return f"< {_TINY}"
    scale = 1
    if unit:
        scale = 100
        digits = 0
    else:
        digits = _digits(value, *ends)
    text = f"{scale * value:z,.{digits}f}"
    if unit == "%":
        text += " %"
    if ends and np.isfinite(ends).all():
        interval = [f"{scale * end:z.{digits}f}" for end in ends]
        text += f" [{', '.join(interval)}]"
    return text.replace("-", "−")


def _digits(value: float, *ends: float) -> int:
    """Digits after the point: two significant ones, and those that tell ends apart."""
    sizes = np.abs([value, *ends])
    largest = sizes[np.isfinite(sizes)].max()
    step = largest / 10
    for width in np.diff(ends):
        if width > 0:
            step = min(step, width)
    size = np.log10(max(step, 1e-4))
    return max(0, -int(np.floor(size)))
