"""What people read: the name of each thing, numbers with few digits, tables that fit a page."""

from __future__ import annotations

import html
import math
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from math import nan
from numbers import Integral
from pathlib import Path
from typing import Any

import pandas as pd

from medcal_nb.correct import MAPS
from medcal_nb.measure import METRICS

LABELS = tomllib.loads(
    Path(__file__).with_name("labels.toml").read_text(encoding="utf-8")
)
"""What people call the things that tables name in code; metrics and maps tell it themselves."""

ROWS_SHOWN = 12
_NAMES_IN = {
    *(
        "model",
        "dataset",
        "strategy",
        "ensemble",
        "recalibration",
        "rival",
        "rival_is",
        "method",
        "map",
        "stage",
    ),
    *("metric", "loss", "estimator", "question_type", "decision_type"),
    *("group", "a", "b"),
}
"""Columns whose words are names of ours; others are left as they are (an answer may be "both")."""
_SHARES = {
    *("accuracy", "accuracy_source", "mean_confidence", "confidence", "certified"),
    *("coverage", "observed_coverage", "mean_coverage", "violated", "risk"),
    *("fit_coverage", "test_coverage", "test_risk", "test_missed"),
    *("conformal_coverage", "conformal_risk", "confidence_rate", "parse_rate"),
    "confidently_wrong",
}
"""Columns that hold shares of answers, written in percent."""
_DIFFERENCES = {"gap"}
"""Columns that hold differences of such shares, written in percentage points."""
_UNSAID = ("n_missing", "n_images")
"""Columns that are left out where all rows hold 0: nothing is missing, no image is known."""


def label_of(name: object) -> str:
    """Return what a figure, a table or a sentence calls a thing: ``Platt`` for ``platt``, say.

    Of several, set apart by a comma and a space, each is called so.

    Examples
    --------
    >>> label_of("platt"), label_of("raw")
    ('Platt scaling', 'uncorrected')
    """
    text = str(name)
    return LABELS.get(text) or ", ".join(map(_label, text.split(", ")))


def _label(name: str) -> str:
    registered = METRICS.get(name) or MAPS.own.get(name)
    return registered.label if registered else LABELS.get(name, name)


def is_share(column: str) -> bool:
    """Return whether a column holds shares of answers or their differences, shown in percent."""
    return column in _SHARES | _DIFFERENCES


def heading_of(column: str) -> str:
    """Return the heading of a column: its label, or its name without underscores."""
    return label_of(column).replace("_", " ")


def short_name(name: object, letters: int = 24) -> str:
    """Return the label of a thing, cut with an ellipsis where it is longer than that.

    Examples
    --------
    >>> short_name("Qwen3-VL-8B-Instruct", 12)
    'Qwen3-VL-8B'
    """
    text = label_of(name)
    return text if len(text) <= letters else f"{text[: letters - 1].rstrip()}…"


def capital(text: str) -> str:
    """Return a text with a capital first letter.

    A first word with a digit or a capital, or of a pocket model, is a name and stays as it is.

    Examples
    --------
    >>> capital("top k"), capital("pocket-medical"), capital("llava-v1.6")
    ('Top k', 'pocket-medical', 'llava-v1.6')
    """
    first = text.partition(" ")[0]
    if re.fullmatch("[a-z-]+[,:]?", first) and not first.startswith("pocket-"):
        return f"{text[:1].upper()}{text[1:]}"
    return text


def number(value: float | None) -> str:
    """Return a number as text: two or three digits that matter, thousands set apart.

    ``0.0312`` is ``0.031``, ``0.3049`` is ``0.30``, ``12.34`` is ``12.3``, ``12345.6`` is
    ``12,346``, what is less than half of the last digit ``<0.0001``; a missing one is ``–``.

    Examples
    --------
    >>> number(0.0312), number(12345.6), number(3e-6)
    ('0.031', '12,346', '<0.0001')
    """
    if pd.isna(value) or math.isinf(value):
        return "–"
    if isinstance(value, Integral) or (float(value).is_integer() and abs(value) >= 1):
        return f"{int(value):,}".replace("-", "−")
    if 0 < abs(value) < 0.00005:
        return "<0.0001" if value > 0 else ">−0.0001"
    return _rounded(value, _decimals(value))


def percent(share: float) -> str:
    """Return a share in whole percent: ``84 %``; a dash where there is none.

    A share that is not 0 or 1 is never written so: it is ``<1 %`` or ``>99 %``.

    Examples
    --------
    >>> percent(0.843), percent(0.001)
    ('84 %', '<1 %')
    """
    if pd.isna(share):
        return "–"
    # 71.5, however it was summed
    rounded = int(f"{round(100 * share, 9):.0f}")
    if rounded == 0 and share > 0:
        return "<1 %"
    if rounded == 100 and share < 1:
        return ">99 %"
    return f"{rounded} %"


def shares(share: float, low: float = nan, high: float = nan) -> str:
    """Return a share with its interval in whole percent: ``52 % [51, 54]``.

    Examples
    --------
    >>> shares(0.52, 0.51, 0.54)
    '52 % [51, 54]'
    """
    if pd.isna(low) or pd.isna(high):
        return percent(share)
    ends = [percent(end).removesuffix(" %") for end in (low, high)]
    return f"{percent(share)} [{ends[0]}, {ends[1]}]"


def points(difference: float, low: float = nan, high: float = nan) -> str:
    """Return a difference of shares in percentage points, signed: ``+32 [30, 34]``.

    Examples
    --------
    >>> points(0.32, 0.30, 0.34)
    '+32 [30, 34]'
    """
    if pd.isna(difference):
        return "–"
    parts = [_signed(part) for part in (difference, low, high) if not pd.isna(part)]
    if len(parts) < 3:
        return f"{'+' if difference > 0 and parts[0] != '0' else ''}{parts[0]}"
    sign = "+" if difference > 0 and parts[0] != "0" else ""
    return f"{sign}{parts[0]} [{parts[1]}, {parts[2]}]"


def _signed(share: float) -> str:
    """Return a share in whole points, with a true minus sign."""
    return f"{round(100 * share, 9) + 0:.0f}".replace("-0", "0").replace("-", "−")


def estimate(
    value: float | None, low: float | None = None, high: float | None = None
) -> str:
    """Return an estimate with its interval in one breath: ``0.12 [0.08, 0.17]``.

    Examples
    --------
    >>> estimate(0.123, 0.081, 0.168)
    '0.12 [0.08, 0.17]'
    """
    parts = [part for part in (value, low, high) if not pd.isna(part)]
    if len(parts) < 3 or any(map(math.isinf, parts)):
        return number(value)
    places = _decimals(max(map(abs, parts)))
    first, low, high = (_rounded(part, places) for part in parts)
    return f"{first} [{low}, {high}]"


def _rounded(value: float, places: int) -> str:
    """Return a number with so many decimals; of more than two zeros the first says it all."""
    if value == 0 and places > 2:
        return "0"
    # adding 0 turns -0.00 into 0.00
    return f"{round(value, places) + 0:,.{places}f}".replace("-", "−")


def _decimals(size: float) -> int:
    """Decimals of which two or three matter for a number of this size; never more than four."""
    size = abs(size)
    if size >= 100 or not math.isfinite(size):
        return 0
    if size >= 10:
        return 1
    if size >= 0.0995 or size == 0:
        return 2
    return 3 if size >= 0.00995 else 4


class ShownTable:
    """A table to look at: HTML in a notebook, plain text elsewhere; text left, numbers right."""

    def __init__(
        self, cells: pd.DataFrame, numeric: Sequence[bool], rest: str, title: str
    ):
        self.cells = cells
        self._numeric = numeric
        self._rest = rest
        self._title = title

    def _repr_html_(self) -> str:
        style = "white-space:normal;vertical-align:top;text-align"
        sides = []
        for numeric in self._numeric:
            sides.append(f"{style}:{'right' if numeric else 'left'}")
        head = self._row("th", self.cells.columns, sides)
        body = [self._row("td", row, sides) for row in self.cells.to_numpy().tolist()]
        title = html.escape(self._title)
        return (
            f"<table><caption>{title}</caption><thead>{head}</thead>"
            f"<tbody>{''.join(body)}</tbody></table>{self._rest}"
        )

    @staticmethod
    def _row(tag: str, values: Iterable[str], sides: Sequence[str]) -> str:
        """Return a row of HTML."""
        cells = []
        for value, side in zip(values, sides, strict=True):
            cells.append(f'<{tag} style="{side}">{html.escape(value)}</{tag}>')
        return f"<tr>{''.join(cells)}</tr>"

    def __repr__(self) -> str:
        return "\n".join(
            filter(None, (self._title, self.cells.to_string(index=False), self._rest))
        )


def show_table(
    frame: pd.DataFrame,
    columns: Sequence[str] | Mapping[str, str] | None = None,
    *,
    sort: str | None = None,
    ascending: bool = True,
    rows: int = ROWS_SHOWN,
    title: str = "",
    turned: bool = False,
) -> ShownTable:
    """Return a table to look at: few digits, intervals beside their estimates, nothing cut.

    Parameters
    ----------
    frame : pandas.DataFrame
        A column ``x`` with ``x_low`` and ``x_high`` becomes one, ``0.12 [0.08, 0.17]``. The index
        is not shown.
    columns : sequence or mapping, optional
        Columns to show, in order; a mapping says what to call them. By default all, called by
        `LABELS`, but for counts of images and of missing confidences that are 0 throughout.
    sort : str, optional
        The column that matters, which need not be shown; the given order without.
    ascending : bool
        Whether its smallest value stands first.
    rows : int
        How many rows are shown at most; below them stands how many more there are.
    title : str
        What stands above the table.
    turned : bool
        A column is a line: what is called so, and its value in each row.

    Returns
    -------
    ShownTable
        HTML in a notebook, text elsewhere.

    Raises
    ------
    KeyError
        If there is no such column.

    Examples
    --------
    >>> frame = pd.DataFrame({"model": ["m"], "ece": [0.12], "ece_low": [0.08], "ece_high": [0.17]})
    >>> show_table(frame, title="Calibration")
    Calibration
    model               ECE
        m 0.12 [0.08, 0.17]
    """
    if sort is not None:
        frame = frame.sort_values(sort, ascending=ascending, kind="stable")
    ends = {}
    for name in frame:
        if f"{name}_low" in frame and f"{name}_high" in frame:
            ends[name] = [f"{name}_low", f"{name}_high"]
    if columns is None:
        hidden = {end for pair in ends.values() for end in pair}
        hidden |= {name for name in _UNSAID if name in frame and not frame[name].any()}
        columns = [name for name in frame if name not in hidden]
    headings = columns
    if not isinstance(columns, Mapping):
        headings = {name: heading_of(name) for name in columns}
    shown = frame.iloc[:rows]
    cells = {}
    numeric = []
    for name, wanted in headings.items():
        heading = wanted
        values = shown[[name, *ends.get(name, [])]].itertuples(index=False)
        if heading in cells:
            heading = f"{heading} ({name.replace('_', ' ')})"
        cells[heading] = [_cell(name, *row) for row in values]
        dtype = frame[name].dtype
        is_number = pd.api.types.is_numeric_dtype(dtype)
        numeric.append(is_number and not pd.api.types.is_bool_dtype(dtype))
    rest = ""
    if len(frame) > len(shown):
        rest = f"and {len(frame) - len(shown):,} more"
    shown_cells = pd.DataFrame(cells, dtype=object)
    if turned:
        shown_cells = shown_cells.T.reset_index()
        shown_cells.columns = ["", *[""] * len(shown)]
        numeric = [False] * len(shown_cells.columns)
    return ShownTable(shown_cells, numeric, rest, title)


def _cell(column: str, value: Any, *ends: float) -> str:
    """Return what stands in a cell."""
    if pd.api.types.is_bool(value):
        return "yes" if value else "no"
    if isinstance(value, str):
        return label_of(value) if column in _NAMES_IN else value
    if column in _SHARES:
        return shares(value, *ends)
    if column in _DIFFERENCES:
        return f"{points(value, *ends)} points"
    return estimate(value, *ends)
