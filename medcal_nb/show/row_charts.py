"""Charts of rows: a name at the left, marks with intervals, numbers or words at the right."""

from __future__ import annotations

import textwrap
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from medcal_nb.show.ink import (
    MOST_LEVELS,
    chart,
    ends_of,
    groups_of,
    height_of_rows,
    inches_of,
    label_rows,
    percent_axis,
    row_name,
    write_beside_rows,
)
from medcal_nb.show.look import BLACK, GREY, PALE, SMALL, Look, has_look, looks
from medcal_nb.show.words import is_share, label_of, points

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def _rows_height(
    table: pd.DataFrame, options: dict, letters: int, even: bool = False
) -> float:
    """Return the inches of a panel of rows."""
    label = options.get("label", "label")
    hue = options.get("hue")
    if "value" in options and ends_of(table, options["value"]) is None:
        hue = None  # marks without intervals stand on one line
    return height_of_rows(table[label], letters, _marks(table, label, hue, even))


def _marks(table: pd.DataFrame, label: str, hue: str | None, even: bool) -> dict:
    """Return how many marks stand below each other in each row; in all as many, if even."""
    if hue in (None, label):
        return {}
    counts = table.groupby(label, sort=False)[hue].nunique().clip(upper=MOST_LEVELS)
    if even:
        counts[:] = counts.max()
    return counts.to_dict()


_NAMED = ("model", "strategy", "ensemble", "stage", "side")
"""Columns whose rows have a colour and a mark of their own."""

_row_chart = partial(chart, height=_rows_height)


def _order(
    labels: pd.Series, value: pd.Series, last: str | None, sort: bool | list
) -> list:
    """Return labels from the lowest mean value to the highest, one of them last."""
    names = list(dict.fromkeys(labels))
    if isinstance(sort, list):
        names.sort(key=sort.index)
    elif sort:
        means = value.groupby(labels).mean()
        names.sort(key=lambda name: means[name])
    if last in names:
        names.remove(last)
        names.append(last)
    return names


def _heights(
    ax: Axes,
    table: pd.DataFrame,
    label: str,
    hue: str | None,
    names: list,
    even: bool = False,
) -> pd.Series:
    """Set the rows of a chart; return the height of each line's mark, those of a row apart."""
    marks = _marks(table, label, hue, even)
    middles, edges = label_rows(ax, names, marks=marks)
    row = table[label].map(names.index).to_numpy()
    heights = pd.Series(middles[row], index=table.index)
    if not marks:
        return heights
    levels = list(dict.fromkeys(table[hue]))
    in_row = table[hue].map(levels.index).groupby(table[label])
    n = in_row.transform("size")
    return (
        heights + (in_row.rank("first") - (n + 1) / 2) * 0.85 * np.diff(edges)[row] / n
    )


@_row_chart
def plot_forest(
    table: pd.DataFrame,
    *,
    ax: Axes,
    value: str = "value",
    label: str = "label",
    hue: str | None = None,
    xlabel: str = "",
    reference: float | None = None,
    margin: float | None = None,
    words: str | None = None,
    summary: str | None = None,
    sort: bool | list = True,
    percent: bool | None = None,
) -> None:
    """Draw a mark with its interval per row, and the numbers or a word at the right.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns named by ``value`` and ``label``; their interval ``<value>_low, <value>_high`` or
        ``low, high`` where known; ``hue``.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a figure of half width is made without. They are returned.
    value, label : str
        Columns of the number that the axis shows, and of the name of its row.
    hue : str, optional
        Column that sets several marks into a row. Without intervals they stand on one line.
    xlabel : str
        What the axis counts, with its unit.
    reference : float, optional
        A vertical line: 0 for differences, and where there is a margin.
    margin : float, optional
        Up to how far beyond the reference a difference is none that matters: shaded and named.
    words : str, optional
        Column of the words at the right, such as a conclusion, in place of the numbers.
    summary : str, optional
        The label of a row that sums the others up: set apart, last, a diamond. Its
        ``prediction_low, prediction_high`` (or ``<value>_prediction_low`` …) are a capped line.
    sort : bool or list
        Lowest mean value on top; the given order if False; or the labels in an order.
    percent : bool, optional
        Whether the values are shares, counted in percent; by default where the column is known as
        one.

    Examples
    --------
    >>> from medcal_nb.show import charts
    >>> accuracy = {"label": ["ct", "mri"], "value": [0.6, 0.5], "low": [0.5, 0.4]}
    >>> table = pd.DataFrame(accuracy).assign(high=[0.7, 0.6])
    >>> ax = charts.plot_forest(table, xlabel="accuracy, %", percent=True)
    >>> [text.get_text() for text in ax.get_yticklabels()]
    ['MRI', 'CT']
    """
    if percent is None:
        percent = is_share(value)
    names = _order(table[label], table[value], summary, sort)
    ends = ends_of(table, value)
    groups = groups_of(table, hue)
    if hue is None:
        groups = _by_row(table, label)
    heights = _heights(ax, table, label, hue if ends is not None else None, names)
    if hue is not None and ends is None:
        reach = table.groupby(label, sort=False)[value].agg(["min", "max"]).loc[names]
        ax.hlines(range(len(names)), reach["min"], reach["max"], color=PALE, lw=1)
    for level, rows, look in groups:
        place = heights[rows.index]
        if ends is not None:
            ax.hlines(place, rows[ends[0]], rows[ends[1]], color=look.colour, lw=1.3)
        is_summary = summary is not None and hue is None and level == summary
        ax.plot(
            rows[value],
            place,
            "D" if is_summary else look.marker,
            color=BLACK if is_summary else look.colour,
            mfc=look.face,
            ms=6 if is_summary else 5,
            ls="",
            label=None if hue is None or level is None else label_of(level),
            zorder=3,
        )
    if summary in names:
        ax.axhline(len(names) - 1.5, color=GREY, lw=0.7)
        _draw_prediction(ax, table[table[label] == summary], value, len(names) - 1)
    if percent:
        percent_axis(ax.xaxis, xlabel or label_of(value))
    else:
        ax.set_xlabel(xlabel or label_of(value))
    _draw_reference(ax, reference, margin)
    if words is not None:
        first = table.drop_duplicates(label)
        middles = first[label].map(dict(zip(names, ax.get_yticks(), strict=True)))
        write_beside_rows(ax, middles, first[words].map(label_of))
    elif hue is None:
        texts = _estimates(table[[value, *(ends or ())]], percent)
        write_beside_rows(ax, heights, texts)


def _by_row(table: pd.DataFrame, label: str) -> list[tuple]:
    """Return a group per row; colours only of models, methods and conditions, by their names."""
    levels = list(dict.fromkeys(table[label]))
    named = label in _NAMED or any(map(has_look, levels))
    looked = looks(levels) if named else dict.fromkeys(levels, Look(BLACK, "o", "-"))
    return [(name, table[table[label] == name], look) for name, look in looked.items()]


def _draw_prediction(ax: Axes, row: pd.DataFrame, value: str, place: float) -> None:
    """Draw the prediction interval of a summary, where it has one."""
    name = f"{value}_prediction"
    if f"{name}_low" not in row:
        name = "prediction"
    if f"{name}_low" not in row or row[f"{name}_low"].isna().all():
        return
    low = row[f"{name}_low"].iloc[0]
    high = row[f"{name}_high"].iloc[0]
    below = place + 0.27
    ax.plot([low, high], [below, below], "|-", color=BLACK, lw=0.8, ms=5)


def _draw_reference(ax: Axes, reference: float | None, margin: float | None) -> None:
    """Draw the line of no difference, and the margin beyond it."""
    if reference is None and margin is not None:
        reference = 0.0
    if reference is None:
        return
    ax.axvline(reference, color=GREY, lw=0.9, zorder=0)
    if margin is None:
        return
    left, right = ax.get_xlim()
    end = reference + margin
    ax.axvspan(reference, end, color=PALE, alpha=0.8, lw=0, zorder=0)
    ax.set_xlim(left, max(right, end + 0.3 * abs(margin)))
    written = f"{margin:g}".replace("-", "−")
    ax.set_xlabel(f"{ax.get_xlabel()}\nshaded: margin of {written}")


def _estimates(columns: pd.DataFrame, percent: bool) -> list[str]:
    """Return estimates with their intervals, all with as many decimals as the median needs."""
    middle = float(columns.iloc[:, 0].abs().median())
    places = 3 if middle < 0.0995 else 2
    if percent:
        columns = 100 * columns
        places = 0
    texts = []
    for row in columns.itertuples(index=False):
        known = [] if pd.isna(row[0]) else [v for v in row if not pd.isna(v)]
        written = [f"{round(v, places) + 0:.{places}f}" for v in known]
        first, *ends = written or ["–"]
        texts.append(f"{first} [{', '.join(ends)}]" if ends else first)
    return [text.replace("-", "−") for text in texts]


@partial(chart, height=partial(_rows_height, even=True))
def plot_dumbbell(
    table: pd.DataFrame,
    *,
    ax: Axes,
    first: str,
    second: str,
    label: str = "label",
    hue: str | None = None,
    difference: str | None = None,
    xlabel: str = "",
    percent: bool = True,
    sort: bool | list = True,
) -> None:
    """Draw two values of a row with their intervals, joined, and how far they are apart.

    The first value is a filled mark, the second a hollow one.

    Parameters
    ----------
    table : pandas.DataFrame
        A line a row, and ``_low, _high`` of both values where known.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a figure of half width is made without. They are returned.
    first, second, label : str
        Columns of the two values, and of the name of their row.
    xlabel : str
        What the axis counts.
    hue : str, optional
        Column that gives a colour and, where a label has several rows, a line of its own.
    difference : str, optional
        Column (with ``_low, _high`` where known) that is written at the right: ``gap``, say. In
        percentage points where ``percent``.
    percent : bool
        Whether the values are shares, counted in percent.
    sort : bool or list
        Lowest mean difference on top; the given order if False; or the labels in an order.

    Examples
    --------
    >>> from medcal_nb.show import charts
    >>> table = pd.DataFrame({"label": ["ct", "mri"], "accuracy": [0.6, 0.5]})
    >>> table = table.assign(mean_confidence=[0.8, 0.9])
    >>> ax = charts.plot_dumbbell(table, first="accuracy", second="mean_confidence")
    >>> [text.get_text() for text in ax.get_yticklabels()]
    ['CT', 'MRI']
    """
    apart = table[second] - table[first]
    names = _order(table[label], apart, None, sort)
    groups = groups_of(table, hue)
    heights = _heights(ax, table, label, hue, names, even=True)
    for _, rows, look in groups:
        place = heights[rows.index]
        ax.hlines(place, rows[first], rows[second], color=look.colour, lw=1, zorder=2)
        for column, face in ((first, look.colour), (second, "white")):
            _draw_capped(ax, rows, column, place, look.colour)
            ax.plot(
                rows[column],
                place,
                look.marker,
                color=look.colour,
                mfc=face,
                ls="",
                zorder=3,
            )
        if difference is not None:
            texts = _differences(rows, difference, percent)
            write_beside_rows(ax, place, texts)
    _name_halves(ax, (first, second), groups)
    if percent:
        percent_axis(ax.xaxis, xlabel or "share of answers")
    else:
        ax.set_xlabel(xlabel)


def _name_halves(ax: Axes, columns: tuple[str, str], groups: list[tuple]) -> None:
    """Name the filled and the hollow mark, and the colours where there are several."""
    look = groups[0][2]
    several = len(groups) > 1
    marker = "o" if several else look.marker
    colour = BLACK if several else look.colour
    for column, face in zip(columns, (colour, "white"), strict=True):
        name = label_of(column)
        ax.plot([], [], marker, color=colour, mfc=face, label=name)
    if several:
        for name, _, look in groups:
            if name is not None:
                ax.plot(
                    [], [], look.marker + "-", color=look.colour, label=label_of(name)
                )


def _draw_capped(
    ax: Axes, rows: pd.DataFrame, column: str, place: pd.Series, colour: str
) -> None:
    """Draw the interval of a column as a thick pale line, so that the join stays seen."""
    ends = ends_of(rows.filter(regex=f"^{column}_(low|high)$"), column)
    if ends is not None:
        ax.hlines(place, rows[ends[0]], rows[ends[1]], color=colour, lw=4, alpha=0.3)


def _differences(rows: pd.DataFrame, column: str, percent: bool) -> list[str]:
    """Return differences in words, with their intervals where known."""
    ends = ends_of(rows.filter(regex=f"^{column}_(low|high)$"), column) or ()
    if percent:
        shown = rows[[column, *ends]].itertuples(index=False)
        return [points(*row) for row in shown]
    return _estimates(rows[[column, *ends]], percent=False)


def _matrix_height(table: pd.DataFrame, options: dict, letters: int) -> float:
    """Return the inches of a panel of squares."""
    return 0.35 + 1.15 * height_of_rows(table[options["row"]], letters)


@partial(chart, height=_matrix_height)
def plot_matrix(
    table: pd.DataFrame,
    *,
    ax: Axes,
    row: str,
    col: str,
    value: str,
    percent: bool | None = None,
) -> None:
    """Draw a signed number per pair in a square, shaded by its size; bold where it is clear.

    The row with the highest mean is on top.

    Clear is a number whose interval leaves 0 out. Numbers are shaded from green (below 0) to
    red-violet (above).

    Parameters
    ----------
    table : pandas.DataFrame
        A line per pair, and ``<value>_low, <value>_high`` where known.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a figure of half width is made without. They are returned.
    row, col, value : str
        Columns of the row, of the column and of the number.
    percent : bool, optional
        Whether the values are differences of shares, written in percentage points; by default
        where the column is known as one.

    Examples
    --------
    >>> from medcal_nb.show import charts
    >>> table = pd.DataFrame({"group": ["ct", "mri"], "model": "m", "gap": [0.2, 0.3]})
    >>> ax = charts.plot_matrix(table, row="group", col="model", value="gap", percent=True)
    >>> [text.get_text() for text in ax.texts]
    ['+30', '+20']
    """
    import seaborn as sns

    if percent is None:
        percent = is_share(value)
    rows = _order(table[row], -table[value], None, sort=True)
    columns = list(dict.fromkeys(table[col]))
    wide = table.set_index([row, col])[value].unstack().loc[rows, columns]
    largest = max(float(wide.abs().max(axis=None)), 1e-9)
    sns.heatmap(
        wide,
        ax=ax,
        cmap="PiYG_r",
        vmin=-1.8 * largest,
        vmax=1.8 * largest,
        cbar=False,
        annot=wide.map(lambda number: _cell_text(number, percent)),
        fmt="",
        annot_kws={"fontsize": SMALL, "color": BLACK},
        linewidths=2,
    )
    if f"{value}_low" in table:
        clear = (table[f"{value}_low"] > 0) | (table[f"{value}_high"] < 0)
        bold = set(zip(table[col][clear], table[row][clear], strict=True))
        for text in ax.texts:
            x, y = text.get_position()
            pair = columns[int(x)], rows[int(y)]
            text.set_weight("bold" if pair in bold else "normal")
    label_rows(ax, rows, middle=0.5)
    ax.grid(visible=False)
    letters = max(6, int(0.8 * inches_of(ax)[0] / len(columns) / 0.063))
    texts = [_column_name(name, letters) for name in columns]
    upright = max(len(part) for text in texts for part in text.split("\n")) > letters
    if upright:
        texts = [row_name(name, 24) for name in columns]
    ax.set_xticks(np.arange(len(columns)) + 0.5, texts, rotation=90 if upright else 0)
    ax.tick_params(length=0)
    ax.spines["bottom"].set_visible(False)
    ax.set(xlabel="", ylabel="")


def _column_name(name: object, letters: int) -> str:
    return textwrap.fill(row_name(name), letters, break_long_words=False)


def _cell_text(number: float, percent: bool) -> str:
    """Return what stands in a square: whole percent or two to three decimals."""
    if pd.isna(number):
        return ""
    shown = 100 * number if percent else number
    places = 0 if percent else 3
    return f"{shown:+.{places}f}".replace("-", "−")


@chart
def plot_icons(table: pd.DataFrame, *, ax: Axes) -> None:
    """Draw 100 answers as icons: right, wrong, and wrong though the model was sure.

    Parameters
    ----------
    ax : matplotlib.axes.Axes, optional
        Where to draw; a figure of half width is made without. They are returned.
    table : pandas.DataFrame
        ``outcome`` in the order right, wrong, confidently wrong, as it is to be called; and
        ``count``, in any unit: drawn are the nearest whole numbers that add to 100.

    Examples
    --------
    >>> from medcal_nb.show import charts
    >>> table = pd.DataFrame({"outcome": ["right", "wrong"], "count": [3, 1]})
    >>> ax = charts.plot_icons(table)
    >>> ax.get_legend_handles_labels()[1]
    ['75 right', '25 wrong']
    """
    exact = 100 * table["count"].to_numpy(dtype=float) / table["count"].sum()
    whole = np.floor(exact).astype(int)
    missing = 100 - whole.sum()
    whole[np.argsort(whole - exact, kind="stable")[:missing]] += 1
    kinds = [
        {"facecolor": PALE, "edgecolor": GREY, "marker": "o", "linewidth": 0.6},
        {"facecolor": "white", "edgecolor": BLACK, "marker": "o", "linewidth": 1.4},
        {"facecolor": BLACK, "edgecolor": BLACK, "marker": "X", "linewidth": 0.6},
    ]
    wide, tall = inches_of(ax)
    size = 0.064 * 72 * min(wide, 0.8 * tall)
    start = 0
    for k, (name, n) in enumerate(zip(table["outcome"], whole, strict=True)):
        here = np.arange(start, start + n)
        ax.scatter(
            here % 10, here // 10, s=size**2, label=f"{n} {name}", **kinds[k % 3]
        )
        start += n
    ax.set(xlim=(-0.6, 9.6), ylim=(9.6, -0.6), aspect="equal")
    ax.set_axis_off()
