"""What every chart has: colours and marks of its levels, bars, names of axes, what was drawn."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.container import ErrorbarContainer
from matplotlib.lines import Line2D

from medcal_nb.errors import check_known
from medcal_nb.labels import AXES, BETTER, CONCLUDED, LOOKS, MODELS, UNITS, label_of

#: What has no colour of its own; black is a model's.
INK = "#3A3A3A"
GREY = "#6B6B6B"
PALE = "#D9D9D9"
# of any further model, and of any other level, none of them a colour of the five models
_FURTHER_MODELS = ("#B71C1C", "#00A0B0", "#7C4DFF", "#D81B60", "#5D4037", "#37718E")
_FURTHER = ("#52606D", "#E69F00", "#56B4E9", "#A6611A", "#A0A0A0", "#1F3A5F", "#6B8E23")
_MARKS = "osD^vPX<>"
_MARKS_OF_MODELS = "PX*<>h"
_FILLS = ("full", "none")
#: What a bar is, in a key.
INTERVAL = "95 % CI"
#: Ends and ticks of an axis of shares; a mark at 0 or 1 is whole.
ENDS = (-0.04, 1.04)
TICKS = np.linspace(0, 1, 6)
#: Widths of a figure in a journal's column, and over two, in inches: 89 and 183 mm.
ONE_COLUMN = 89 / 25.4
TWO_COLUMNS = 183 / 25.4
#: The look of the study's figures.
STYLE = Path(__file__).with_name("house.mplstyle")


def use_style() -> None:
    """Set the look of the study's figures in this notebook: `house.mplstyle`."""
    mpl.style.use(STYLE)


def look(levels: Iterable, column: str | None = None) -> dict[object, tuple[str, str]]:
    """Colour and mark of each level, in the order in which levels are drawn.

    Parameters
    ----------
    levels : iterable
        Names of models, methods or conditions; repeated ones count once.
    column : str, optional
        What they are: ``model`` gives further models colours and marks of their own, in the order
        of their names.

    Returns
    -------
    dict
        Level → (colour, mark). Names of `LOOKS` come first, in its order; others follow as they
        appear. What is no model has no colour of one of the five models.

    Examples
    --------
    >>> list(look(["refitted", "mine", "uncorrected"]))
    ['uncorrected', 'refitted', 'mine']
    >>> look(["mine", "gemma-3-27b-it"], "model")
    {'gemma-3-27b-it': ('#000000', '^'), 'mine': ('#B71C1C', 'P')}
    """
    # a column of a million answers says its few names at once
    different = levels.unique() if isinstance(levels, pd.Series) else levels
    names = list(dict.fromkeys(different))
    looks: dict[object, tuple[str, str]] = {}
    for name, (colour, mark) in LOOKS.items():
        # a report calls a model by its label
        for called in (name, MODELS.get(name, name)):
            if called in names:
                looks[called] = (colour, mark)
    others = [name for name in names if name not in looks]
    colours: tuple[str, ...] = _FURTHER
    marks = _MARKS
    for name in others:
        looks[name] = (INK, "o")  # their place in the order
    if column == "model":
        colours = _FURTHER_MODELS
        marks = _MARKS_OF_MODELS
        others = sorted(others, key=str)
    for i, name in enumerate(others):
        looks[name] = (colours[i % len(colours)], marks[i % len(marks)])
    return looks


def check_columns(table: pd.DataFrame, *columns: str | None) -> None:
    """Refuse a table that lacks a column which is named, and say which is nearest."""
    for column in columns:
        if column is not None:
            check_known(column, table.columns, "column")


def rows_by_look(table: pd.DataFrame, hue: str | None) -> list[tuple]:
    """Each level of hue with its rows, colour and mark; all rows in ink where there is none."""
    if hue is None:
        return [(None, table, INK, "o")]
    looks = look(table[hue], hue)
    return [
        (level, table[table[hue] == level], colour, mark)
        for level, (colour, mark) in looks.items()
    ]


def fills(table: pd.DataFrame, fill: str | None) -> dict[object, str]:
    """How a mark of each level of fill is filled: by its place, a conclusion's whole."""
    if fill is None:
        return {None: "full"}
    levels = [*look(table[fill].dropna())]
    if is_conclusion(levels):
        return dict.fromkeys(levels, "full")
    return dict(zip(levels, cycle(_FILLS)))


def face_colour(style: str, colour: str) -> str:
    """Colour inside a mark: an open one is white, so that its bar ends at its outline."""
    return colour if style == "full" else "white"


def is_conclusion(kinds: Iterable) -> bool:
    """Whether these are conclusions, which a mark has beside it in words."""
    return any(kind in CONCLUDED for kind in kinds)


def arms(table: pd.DataFrame, name: str) -> np.ndarray | None:
    """(2, n) how far a column's interval reaches below and above it; None without one."""
    if f"{name}_low" not in table:
        return None
    below = table[name] - table[f"{name}_low"]
    above = table[f"{name}_high"] - table[name]
    return np.clip([below, above], 0, None)


def interval_swatch(name: str = INTERVAL) -> ErrorbarContainer:
    """What a bar looks like in a key: with its caps and without a mark, and no stroke.

    A stroke is what an estimate is compared with (`forest`: ``base``).
    """
    caps = Line2D([], [], color=INK, marker="|", ms=6, ls="none")
    bar = LineCollection([], colors=INK, linewidths=1)
    return ErrorbarContainer((None, (caps,), (bar,)), has_xerr=True, label=name)


def record(
    ax: Axes,
    table: pd.DataFrame,
    *,
    too_few: int = 0,
    **columns: str | None,
) -> None:
    """Leave on the axes what was drawn: columns by their part, marks, and rows without one."""
    named = {part: column for part, column in columns.items() if column}
    value = named.get("y", named["x"])
    is_drawn = table[value].notna()
    drawn: dict[str, Any] = {"columns": named, "marks": int(is_drawn.sum())}
    low = f"{value}_low"
    drawn["bars"] = low in table and bool(table[low].notna().any())
    drawn["too_few"] = too_few
    drawn["left_out"] = {}
    if "left_out" in table:
        drawn["left_out"] = table.loc[~is_drawn, "left_out"].value_counts().to_dict()
    for part in ("hue", "fill"):
        drawn[part] = {}
        if part in named:
            counts = table.loc[is_drawn, named[part]].astype(str).value_counts()
            drawn[part] = {name: int(n) for name, n in counts.items() if n}
    vars(ax).setdefault("drawn", []).append(drawn)


def diagonal(ax: Axes, name: str) -> None:
    """Draw the line on which two shares are equal, in a square from 0 to 1."""
    ax.plot([0, 1], [0, 1], "--", color=GREY, lw=0.9, zorder=1, label=name)
    ax.set(xlim=ENDS, ylim=ENDS, xticks=TICKS, yticks=TICKS, aspect="equal")


def name_axis(axis: mpl.axis.Axis, column: str) -> None:
    """Label an axis by its column, its unit and which way is better."""
    axis.set_label_text(axis_label(column))
    if column in UNITS:
        axis.set_major_formatter(
            lambda value, _: f"{100 * value:.4g}".replace("-", "−")
        )


def axis_label(column: str) -> str:
    """What an axis of a column says: its words, its unit and which way is better.

    Examples
    --------
    >>> axis_label("test_risk")
    'wrong, of the answers retained (%, lower: better)'
    """
    words = AXES.get(column) or label_of(column).replace("_", " ")
    return words + _unit(column)


def _unit(column: str) -> str:
    """The unit of a column and which way is better, in brackets."""
    words = []
    if column in UNITS:
        words.append(UNITS[column].replace("points", "percentage points"))
    if column in BETTER:
        words.append(f"{BETTER[column]}: better")
    return f" ({', '.join(words)})" if words else ""
