"""Estimates in rows, with their intervals, and what stands beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from medcal_nb.labels import UNITS, label_of
from medcal_nb.wording import percent

from .marks import (
    GREY,
    INK,
    PALE,
    arms,
    check_columns,
    face_colour,
    fills,
    is_conclusion,
    look,
    name_axis,
    record,
    rows_by_look,
)

Lines = Mapping[str, float]  # what stands at a value, by its name in the legend
Heads = Mapping[str, str]  # what stands above a column, by the column
Name = str | None  # of a column, if any

_FAR = 1e3  # beyond any axis
_SMALL = 6.5  # points, of numbers beside marks
_BESIDE = 4.0  # points, from the axes to these
_WIDE = 3.9  # points, of a letter of them
_APART = 7.0  # points, between columns
_SMALL_GREY: dict[str, Any] = {"fontsize": _SMALL, "color": GREY}
_NEAR_IT: dict[str, Any] = {
    "textcoords": "offset points",
    "va": "center",
    "fontsize": _SMALL,
    "color": INK,
}


def forest(
    table: pd.DataFrame,
    value: str,
    *,
    label: str,
    hue: Name = None,
    fill: Name = None,
    lane: Name = None,
    base: Name = None,
    n: Name = None,
    beside: Heads | None = None,
    note: Name = None,
    reference: Lines | None = None,
    margin: Lines | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Estimates with their intervals: a row for each label, the levels of hue below each other.

    Parameters
    ----------
    table : DataFrame
        Columns `value`, `label` and those named below; ``<value>_low`` and ``<value>_high`` where
        there is an interval; ``left_out``, which is written at the left end of a row that has no
        value.
    value, label, hue : str
        Columns: the estimate, the row it stands in, its colour and mark.
    fill : str, optional
        Column whose levels are how a mark is filled: the first whole, the second open. A
        ``conclusion`` stands at the right in words, and its mark is whole.
    lane : str, optional
        Column whose levels stand below each other in a row; those of hue and fill if not given.
    base : str, optional
        Column that an estimate is to be compared with: a stroke across its row.
    n : str, optional
        Column of the answers or images behind a mark, written at the right.
    beside : dict of str to str, optional
        Further columns that are written at the right, each below its head:
        ``{"n_graded": "graded"}``.
    note : str, optional
        Column of what is written beside a mark's bar, at the end that is nearer to the middle of
        the axes; nothing where it is empty.
    reference : dict of str to float, optional
        Where a line is drawn, by what is written above it: ``{"allowed": 0.2}``.
    margin : dict of str to float, optional
        Up to where the range is shaded, by what the key calls it.
    ax : Axes, optional
        Where to draw; the current axes if not given.

    Returns
    -------
    Axes

    Examples
    --------
    >>> table = pd.DataFrame({"model": ["a", "b"], "gap": [0.1, 0.3]})
    >>> forest(table, "gap", label="model").get_xlabel()
    'overconfidence (percentage points)'
    """
    beside = beside or {}
    check_columns(table, value, label, hue, fill, lane, base, n, note, *beside)
    ax = ax or plt.gca()
    table = table.reset_index(drop=True)
    _name_rows(ax, look(table[label], label), label)
    below, height = _lanes(table, label, [lane] if lane else [hue, fill])
    place = _places(ax, table[label], label) + below
    kinds = fills(table, fill)
    for level, rows, colour, mark in rows_by_look(table, hue):
        for kind, style in kinds.items():
            # rows bear the names of their levels
            is_named = kind == next(iter(kinds)) and hue not in (None, label)
            part = rows[rows[fill] == kind] if fill else rows
            ax.errorbar(
                part[value],
                place[part.index],
                xerr=arms(part, value),
                fmt=mark,
                markerfacecolor=face_colour(style, colour),
                color=colour,
                label=label_of(level, hue) if is_named else None,
                elinewidth=1,
            )
    is_written = is_conclusion(kinds)
    in_key = fill and not is_written  # a conclusion is written beside its mark
    names = {label_of(kind): style for kind, style in kinds.items() if in_key}
    for name, style in names.items():
        ax.plot([], [], "o", color=INK, mfc=face_colour(style, INK), label=name)
    if base:
        floor = table[base].where(table[value].notna())
        _strokes(ax, floor, place, height, name=label_of(base))
    heads = ({n: label_of(n)} if n else {}) | dict(beside)
    if fill and is_written:
        heads[fill] = label_of(fill)
    _write_beside(ax, table, label=label, heads=heads, once=n, place=place)
    _write_reasons(ax, table, value, label=label, place=place)
    if note:
        _write_notes(ax, table, value, note=note, place=place)
    _mark(ax, reference or {})
    for key, end in (margin or {}).items():
        ax.set_xlim(ax.get_xlim())  # which the shade must not widen
        ax.axvspan(-_FAR, end, color=PALE, alpha=0.6, lw=0, zorder=-1, label=key)
    if table[label].duplicated().any():
        for between in np.arange(0.5, len(ax.get_yticks()) - 1):
            ax.axhline(between, color=PALE, lw=0.6, zorder=0)
    name_axis(ax.xaxis, value)
    columns: dict[str, Any] = {f"beside_{i}": name for i, name in enumerate(beside)}
    columns |= {"x": value, "label": label, "hue": hue, "fill": fill, "base": base}
    record(ax, table, **columns, n=n)
    return ax


def written(value: str | float, column: str) -> str:
    """Write a value of a column beside its mark; nothing where there is none.

    Examples
    --------
    >>> written(1234, "n"), written(0.88, "certified"), written("p_true", "strategy")
    ('1,234', '88 %', 'P(True)')
    """
    if isinstance(value, str):
        return label_of(value)
    if pd.isna(value) or (column.startswith("n") and not value):
        return ""
    return f"{percent(value)} %" if UNITS.get(column) == "%" else f"{value:,.0f}"


def _lanes(
    table: pd.DataFrame, label: str, columns: list[str | None]
) -> tuple[pd.Series, float]:
    """How far below its row's middle each mark stands, and half of what it may take up."""
    lane = pd.Series(0, table.index)
    n_lanes = 1
    row = [label]
    for column in columns:
        # a level has a lane of its own only where there are several marks without one
        if column and column != label and table.duplicated(row).any():
            levels = [*look(table[column])]
            lane = lane * len(levels) + table[column].astype(object).map(levels.index)
            n_lanes *= len(levels)
            row.append(column)
    if n_lanes == 1:
        return lane * 0.0, 0.3
    # marks of a row stay nearer to one another than to the next row
    half = min(0.34, 0.12 * (n_lanes - 1))
    step = 2 * half / (n_lanes - 1)
    return lane.astype(float) * step - half, 0.42 * step


def stacked(
    table: pd.DataFrame, columns: list[str], *, name: str, value: str
) -> pd.DataFrame:
    """Estimates that stand in columns side by side below each other, with their intervals.

    Parameters
    ----------
    table : DataFrame
    columns : list of str
        The estimates.
    name, value : str
        Columns of the result: which estimate it is, and the estimate.

    Examples
    --------
    >>> table = pd.DataFrame({"kind": ["x"], "accuracy": [0.5], "mean_confidence": [0.9]})
    >>> both = stacked(table, ["accuracy", "mean_confidence"], name="metric", value="share")
    >>> both.to_numpy().tolist()
    [['x', 'accuracy', 0.5], ['x', 'mean_confidence', 0.9]]
    """
    check_columns(table, *columns)
    ends = ("", "_low", "_high")
    of_all = [column + end for column in columns for end in ends]
    parts = []
    for column in columns:
        part = table.drop(columns=of_all, errors="ignore").assign(**{name: column})
        for end in ends:
            if column + end in table:
                part[value + end] = table[column + end]
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def _strokes(
    ax: Axes, at: pd.Series, place: pd.Series, height: float, *, name: str
) -> None:
    """Strokes across their rows."""
    ax.vlines(at, place - height, place + height, color=INK, lw=1.1, zorder=1.5)
    ax.plot([], [], "|", color=INK, ms=9, mew=1.1, label=name)


def _write_beside(
    ax: Axes,
    table: pd.DataFrame,
    *,
    label: str,
    heads: Heads,
    once: Name,
    place: pd.Series,
) -> None:
    """Columns right of the axes, each below its head."""
    at_head: dict[str, Any] = {"xycoords": "axes fraction", "va": "bottom"}
    at_row: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "va": "center"}
    small = _SMALL_GREY | {"textcoords": "offset points"}
    left = _BESIDE
    for column, head in heads.items():
        ax.annotate(head, (1, 1.01), (left, 0), **at_head, **small)
        texts = pd.Series([written(one, column) for one in table[column]])
        # what all marks of a row have in common behind them stands there once
        rows = [*zip(place, texts, strict=True)]
        for row, text in _once(texts, table[label], place) if column == once else rows:
            if text:
                ax.annotate(text, (1, row), (left, 0), **at_row, **small)
        left += _WIDE * max(map(len, [head, *texts])) + _APART


def _write_reasons(
    ax: Axes, table: pd.DataFrame, value: str, *, label: str, place: pd.Series
) -> None:
    """Why there is no mark, in italics from the left end of the row: it is at no value."""
    if "left_out" not in table:
        return
    at: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "va": "center"}
    at |= {"textcoords": "offset points", "xytext": (_BESIDE, 0), "ha": "left"}
    at |= {"fontsize": _SMALL, "color": INK, "style": "italic"}
    reasons = table["left_out"].where(table[value].isna(), "")
    for row, reason in _once(reasons, table[label], place):
        if reason:
            ax.annotate(reason, (0, row), **at)


def _write_notes(
    ax: Axes, table: pd.DataFrame, value: str, *, note: str, place: pd.Series
) -> None:
    """What is said of each mark, beside its bar where the axes have more room."""
    middle = sum(ax.get_xlim()) / 2
    low, high = (table.get(value + end, table[value]) for end in ("_low", "_high"))
    low, high = low.fillna(table[value]), high.fillna(table[value])
    is_left = table[value] > middle
    ends = low.where(is_left, high)
    rows = pd.DataFrame(
        {"at": ends, "row": place, "text": table[note], "left": is_left}
    )
    for at, row, text, left in rows[rows["text"] != ""].itertuples(index=False):
        side = {"xytext": (-4 if left else 4, 0), "ha": "right" if left else "left"}
        ax.annotate(text, (at, row), **_NEAR_IT, **side)


def _once(texts: pd.Series, labels: pd.Series, place: pd.Series) -> list:
    """Where each text stands: once in the middle of a row whose marks all have the same."""
    is_one = texts.groupby(labels, observed=True).transform("nunique") == 1
    rows = place.mask(is_one, place.round())
    placed = pd.DataFrame({"row": rows, "text": texts})
    return placed.drop_duplicates().to_numpy().tolist()


def _mark(ax: Axes, reference: Lines) -> None:
    """Lines across the rows, with their names above them."""
    places = list(reference.values())
    for place in places:
        ax.axvline(place, color=GREY, lw=0.9, zorder=0.6)  # on the grid
    if places:
        above = ax.secondary_xaxis("top")  # which a title makes room for
        above.set_xticks(places, list(reference))
        above.tick_params(length=0, pad=1, labelcolor=GREY)
        above.spines["top"].set_visible(False)


def _name_rows(ax: Axes, names: Iterable, column: str) -> None:
    """A row for each name, from the top; axes that share the y axis share their rows."""
    ax.yaxis.update_units([label_of(name, column) for name in names])
    ax.set_ylim(len(ax.get_yticks()) - 0.5, -0.5)
    ax.grid(axis="x")


def _places(ax: Axes, names: pd.Series, column: str) -> np.ndarray:
    """(n,) the row of each name."""
    return np.asarray(ax.convert_yunits([label_of(name, column) for name in names]))
