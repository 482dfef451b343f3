"""What charts share: axes that count in percent, rows, intervals, names at the ends of lines."""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd

from medcal_nb.show.look import (
    BLACK,
    GREY,
    LIME,
    PALE,
    PINK,
    SMALL,
    TEAL,
    Look,
    figure,
    has_look,
    looks,
    style,
)
from medcal_nb.show.words import label_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

MOST_LEVELS = 8
"""Levels with a name of their own in one panel; of more, the rest is drawn in grey."""

_WIDE_LETTER = 0.063
"""Inches of a letter of the smallest words, on average."""
_LINE = 1.3 * SMALL / 72
"""Inches of a line of the smallest words."""


_ROWS: WeakKeyDictionary[Axes, list] = WeakKeyDictionary()
"""What stands in the rows of axes, from top to bottom."""


class End(NamedTuple):
    """The end of a line: its height in data, its name and its colour."""

    y: float
    name: str
    colour: str


def chart(plot: Callable, *, height: Callable | None = None) -> Callable:
    """Make a chart of a function that draws a table on axes.

    The chart is called ``plot_x(table, *, ax=None, …)``, draws in the house style, makes a figure
    of half width where it is given no axes, and returns the axes.

    Parameters
    ----------
    plot : callable
        ``plot(table, *, ax, …)``.
    height : callable, optional
        From the table, the options and the letters that a line of a row's name may have to the
        inches that the panel needs. Charts with rows have one.
    """

    @functools.wraps(plot)
    def drawn(table: pd.DataFrame, *, ax: Axes | None = None, **options: Any) -> Axes:
        alone = ax is None
        if alone:
            inches = height(table, options, 20) if height else 3.0
            ax = figure("half", inches)[1]
        with style():
            plot(table, ax=ax, **options)
            if alone:
                set_key(ax, ax.figure.get_figwidth())
        return ax

    drawn.height = height
    drawn.has_rows = height is not None
    return drawn


def groups_of(table: pd.DataFrame, hue: str | None) -> list[tuple]:
    """Return ``(level, rows, look)`` of each level, one nameless group without a hue.

    A table of one side (general or medical images) has the colour of that side, others are black.

    Levels beyond the first `MOST_LEVELS` have the name None and are grey.
    """
    if hue is None:
        return [(None, table, _only_look(table))]
    looked = looks(table[hue])
    groups = []
    for place, (level, look) in enumerate(looked.items()):
        rows = table[table[hue] == level]
        if place < MOST_LEVELS:
            groups.append((level, rows, look))
        else:
            groups.append((None, rows, Look(PALE, look.marker, "-")))
    return groups


def _only_look(table: pd.DataFrame) -> Look:
    """Return the look of a table's only side; black where it has none or several."""
    if "side" in table and table["side"].nunique() == 1:
        side = table["side"].iloc[0]
        if has_look(side):
            return looks([side])[side]._replace(line="-")
    return Look(BLACK, "o", "-")


def ends_of(table: pd.DataFrame, name: str) -> tuple[str, str] | None:
    """Return the columns of a value's interval, None where there is none."""
    for low, high in ((f"{name}_low", f"{name}_high"), ("low", "high")):
        if low in table and high in table:
            return low, high
    return None


def arms_of(
    table: pd.DataFrame, name: str, ends: str | None = None
) -> np.ndarray | None:
    """Return how far the interval of a column reaches below and above it, shape (2, n)."""
    low = f"{ends or name}_low"
    high = f"{ends or name}_high"
    if low not in table:
        return None
    below = table[name] - table[low]
    above = table[high] - table[name]
    return np.clip(np.asarray([below, above], dtype=float), 0, None)


def draw_line(
    ax: Axes,
    table: pd.DataFrame,
    x: str,
    y: str,
    look: Look,
    name: str,
    **ink: Any,
) -> End:
    """Draw a line, and its band where the table has one; return its end.

    Where the value is missing the line has a gap.
    """
    table = table.sort_values(x, kind="stable")
    ax.plot(table[x], table[y], color=look.colour, ls=look.line, **ink)
    ends = ends_of(table, y)
    if ends is not None:
        low, high = ends
        ax.fill_between(
            table[x], table[low], table[high], color=look.colour, alpha=0.14, lw=0
        )
    last = table[y].dropna()
    return End(y=last.iloc[-1] if len(last) else np.nan, name=name, colour=look.colour)


def percent_axis(axis: Axis, label: str) -> None:
    """Count an axis of shares in percent and say so in its label."""
    axis.set_major_formatter(lambda value, _: _plain(100 * value))
    axis.set_label_text(label if "points" in label else f"{label}, %")


def _plain(value: float) -> str:
    """Return a number of an axis with the decimals that it has, and a true minus sign."""
    return f"{round(value, 6) + 0:g}".replace("-", "−")


def number_axis(axis: Axis, ticks: Iterable[float]) -> None:
    """Set the ticks of a logarithmic axis and write their numbers out."""
    from matplotlib.ticker import NullFormatter

    axis.set_ticks(list(ticks))
    axis.set_major_formatter(lambda value, _: f"{value:,g}")
    axis.set_minor_formatter(NullFormatter())


def ticks_apart(values: Sequence[float], inches: float) -> list[float]:
    """Return those of some positive values whose numbers have room on a logarithmic axis."""
    values = sorted(set(values))
    span = np.log(values[-1] / values[0]) or 1.0
    chosen = values[:1]
    for value in values[1:]:
        letters = len(f"{value:,g}") + 2
        if np.log(value / chosen[-1]) / span * inches > letters * _WIDE_LETTER:
            chosen.append(value)
    if chosen[-1] != values[-1]:
        # the last is named rather than the one before it
        chosen[max(1, len(chosen) - 1) :] = values[-1:]
    return chosen


def for_words(colour: str) -> str | tuple[float, ...]:
    """Return a colour that can be read as thin letters on white: light inks are darkened."""
    from matplotlib.colors import to_rgb

    if colour == PALE:
        return GREY
    if colour not in (LIME, PINK, TEAL):
        return colour
    return tuple(0.62 * part for part in to_rgb(colour))


def inches_of(ax: Axes) -> np.ndarray:
    """Return about how wide and tall axes will be: they are laid out when they are drawn."""
    return ax.get_window_extent().size / ax.figure.dpi


def places_apart(values: Sequence[float], sizes: Sequence[float]) -> np.ndarray:
    """Return places moved as little as keeps things of these sizes apart, about 0 to 1."""
    from scipy.optimize import isotonic_regression

    order = np.argsort(values, kind="stable")
    sizes = np.asarray(sizes, dtype=float)[order]
    # stacked from 0 upwards; how far each is above its place in the stack may only rise
    stack = np.cumsum(sizes) - sizes / 2
    above = isotonic_regression(np.asarray(values, dtype=float)[order] - stack).x
    most = max(-0.05, 1.05 - sizes.sum())
    places = np.empty(len(order))
    places[order] = np.clip(above, -0.05, most) + stack
    return places


def name_ends(ax: Axes, ends: Sequence[End], letters: int = 24) -> None:
    """Write names at the right of lines, apart from each other."""
    ends = [end for end in ends if np.isfinite(end.y)]
    if not ends:
        return
    low, high = ax.get_ylim()
    heights = [(end.y - low) / (high - low) for end in ends]
    texts = [textwrap.fill(label_of(end.name), letters) for end in ends]
    # the axes end up lower than they are now: by titles, labels and a note
    tall = 0.72 * inches_of(ax)[1]
    sizes = [(text.count("\n") + 1) * _LINE / tall for text in texts]
    places = places_apart(heights, sizes)
    for end, text, height, place in zip(ends, texts, heights, places, strict=True):
        leader = None
        if 0.02 < abs(place - height) < 0.3:
            leader = {"arrowstyle": "-", "color": PALE, "lw": 0.7, "shrinkA": 0}
        ax.annotate(
            text,
            xy=(1.005, height),
            xytext=(1.04, place),
            xycoords="axes fraction",
            textcoords="axes fraction",
            color=for_words(end.colour),
            fontsize=SMALL,
            va="center",
            arrowprops=leader,
        )


def row_letters(inches: float) -> int:
    """Return how many letters a line of a row's name may have in a panel of some width."""
    return int(np.clip(0.36 * inches / _WIDE_LETTER, 16, 32))


def row_name(name: object, letters: int = 32) -> str:
    """Return the name of a row in at most two lines."""
    lines = textwrap.wrap(label_of(name), letters, break_on_hyphens=True)
    if len(lines) > 2:
        lines[1] = f"{lines[1][: letters - 1]}…"
    return "\n".join(lines[:2])


def rows_inches(
    names: Iterable, letters: int, marks: Mapping[Any, int] | None = None
) -> np.ndarray:
    """Return the inches that each row needs, by its name and the marks below each other in it.

    Parameters
    ----------
    names : iterable
        Repeated ones count once.
    letters : int
        Letters that a line of a name may have.
    marks : mapping, optional
        Marks of a row, by its name; one without.
    """
    order = list(dict.fromkeys(names))
    lines = [row_name(name, letters).count("\n") + 1 for name in order]
    least = 0.05 + _LINE * max(lines, default=1)
    return np.array([max(least, 0.05 + 0.11 * (marks or {}).get(n, 1)) for n in order])


def height_of_rows(
    names: Iterable, letters: int, marks: Mapping[Any, int] | None = None
) -> float:
    """Return the inches of a panel whose rows have these names, and so many marks."""
    return 0.75 + max(float(rows_inches(names, letters, marks).sum()), 0.75)


def label_rows(
    ax: Axes,
    names: Sequence,
    middle: float = 0.0,
    marks: Mapping[Any, int] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Name the rows, first on top; return their middles, and what is between them.

    Parameters
    ----------
    names : sequence
        What stands in the rows.
    middle : float
        Where the middle of the first row is.
    marks : mapping, optional
        Marks below each other in a row, by its name: rows with many are taller, and a thin line
        is drawn between rows.
    """
    spec = ax.get_subplotspec()
    columns = spec.get_gridspec().ncols if spec else 1
    letters = row_letters(ax.figure.get_figwidth() / columns)
    _ROWS[ax] = list(names)
    tall = rows_inches(names, letters, marks)
    edges = np.concatenate([[0.0], np.cumsum(tall / tall.min())]) - 0.5 + middle
    middles = (edges[:-1] + edges[1:]) / 2
    ax.set_yticks(middles, [row_name(name, letters) for name in names], rotation=0)
    ax.set_ylim(edges[-1] + 0.05, edges[0] - 0.05)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.grid(axis="x")
    if marks and max(marks.values()) > 1:
        for edge in edges[1:-1]:
            ax.axhline(edge, color=PALE, lw=0.5, zorder=0)
    return middles, edges


def rows_of(ax: Axes) -> list:
    """Return what stands in the rows of axes, from top to bottom; nothing without rows."""
    return _ROWS.get(ax, [])


def write_beside_rows(ax: Axes, rows: Iterable[float], words: Iterable[str]) -> None:
    """Write words at the right of rows."""
    for row, text in zip(rows, words, strict=True):
        ax.annotate(
            str(text),
            (1.02, row),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=SMALL,
        )


def set_key(ax: Axes, inches: float, left: float = 0.0) -> int:
    """Set the key of marks that have names above the axes; return how many lines it takes.

    Parameters
    ----------
    inches : float
        Width of the panel, names of rows included.
    left : float
        Where the panel begins, as a share of the width of the axes.
    """
    handles, names = ax.get_legend_handles_labels()
    entries = dict(zip(names, handles, strict=True))
    columns = len(entries)
    while columns:
        key = ax.legend(
            entries.values(),
            entries.keys(),
            loc="lower left",
            bbox_to_anchor=(left - 0.01, 1.0),
            ncols=columns,
            handletextpad=0.3,
            handlelength=1.3,
            columnspacing=0.8,
            borderaxespad=0.5,
            labelspacing=0.25,
        )
        lines = -(-len(entries) // columns)
        wide = key.get_window_extent().width / ax.figure.dpi
        if columns == 1 or wide <= inches - 0.1:
            return lines
        # as few columns as the same number of lines takes, then a line more
        columns = min(columns - 1, -(-len(entries) // lines))
    return 0
