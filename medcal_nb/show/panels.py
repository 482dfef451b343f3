"""Figures of panels: a title of one line, a letter and a name for each panel, a note below."""

from __future__ import annotations

import inspect
import math
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from medcal_nb.show import look
from medcal_nb.show.ink import row_letters, rows_of, set_key
from medcal_nb.show.look import SMALL, WIDTHS, headline, style, synthetic_note
from medcal_nb.show.words import capital, label_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_LETTERS = 60
"""Letters that a title may have."""

PER_LINE = 3
"""Panels side by side, by default."""

_TITLE_LETTER = 0.083
"""Inches of a letter of a panel's title, on average."""

_CURVE = 2.9
"""Inches of a panel that has no rows."""


@dataclass(frozen=True)
class Panel:
    """A chart with its table and its title, to be drawn by :func:`figure`."""

    title: str
    plot: Callable
    table: pd.DataFrame
    options: dict[str, Any]

    @property
    def has_rows(self) -> bool:
        """Whether names stand at its left."""
        return getattr(self.plot, "has_rows", False)

    def height(self, inches: float) -> float:
        """Return the inches that it needs if it is so many inches wide."""
        if not self.has_rows:
            return _CURVE
        return self.plot.height(self.table, self.options, row_letters(inches))


def panel(title: str, plot: Callable, table: pd.DataFrame, **options: Any) -> Panel:
    """Return a panel of a figure: a chart of a table, under a short title.

    Parameters
    ----------
    title : str
        What the panel shows, in a few words.
    plot : callable
        A ``plot_*`` of :mod:`medcal_nb.show.charts`.
    table : pandas.DataFrame
        What the chart draws.
    **options
        Passed to the chart.

    Examples
    --------
    >>> from medcal_nb.show import charts
    >>> table = pd.DataFrame({"label": ["ct", "mri"], "value": [0.1, 0.2]})
    >>> charts.panel("by modality", charts.plot_forest, table, xlabel="error").title
    'By modality'
    """
    return Panel(title=capital(title), plot=plot, table=table, options=options)


def panel_each(
    plot: Callable, table: pd.DataFrame, by: str, **options: Any
) -> list[Panel]:
    """Return a panel for each value of a column, in order of appearance, titled by its name.

    Parameters
    ----------
    plot : callable
        A ``plot_*`` of :mod:`medcal_nb.show.charts`.
    table : pandas.DataFrame
        What the charts draw.
    by : str
        The column.
    **options
        Passed to each chart.

    Examples
    --------
    >>> from medcal_nb.show import charts
    >>> table = pd.DataFrame({"label": ["a", "b"], "value": [0.1, 0.2], "side": ["ct", "mri"]})
    >>> [one.title for one in charts.panel_each(charts.plot_forest, table, "side")]
    ['CT', 'MRI']
    """
    panels = []
    for level in dict.fromkeys(table[by]):
        rows = table[table[by] == level]
        panels.append(panel(label_of(level), plot, rows, **options))
    return panels


def figure(
    title: str,
    *panels: Panel,
    note: str = "",
    data: pd.DataFrame | None = None,
    width: str = "full",
    height: float | None = None,
    widths: Sequence[float] | None = None,
    columns: int | None = None,
    same_x: bool = False,
) -> Figure:
    """Draw panels as one figure.

    Parameters
    ----------
    title : str
        The finding in plain words: one line of at most 60 letters that the figure has room for.
    *panels : Panel
        From :func:`panel` or :func:`panel_each`. Several have letters.
    note : str
        What bars and bands are, how many answers: small print below the figure.
    data : pandas.DataFrame, optional
        The answers behind the figure. Where they, or the panels' tables, name an embedded data
        set or model, the note begins with "Synthetic images."
    width : str
        ``full`` (7 inches) or ``half`` (3.5 inches).
    height : float, optional
        Inches; by the number of rows without.
    widths : sequence of float, optional
        Relative widths of the columns.
    columns : int, optional
        Panels side by side; up to three without.
    same_x : bool
        Whether all panels show the same range of x, so that their marks can be compared.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no panel, or the title is longer than a line.

    Examples
    --------
    >>> import pandas as pd
    >>> from medcal_nb.show import charts
    >>> table = pd.DataFrame({"label": ["a", "b"], "value": [0.1, 0.2]})
    >>> drawn = charts.figure("b is twice a", charts.panel("", charts.plot_forest, table))
    """
    if not panels:
        raise ValueError("panels: none, nothing to draw")
    _check_letters(title)
    side_by_side = columns or math.ceil(len(panels) / math.ceil(len(panels) / PER_LINE))
    lines = [
        panels[start : start + side_by_side]
        for start in range(0, len(panels), side_by_side)
    ]
    inches = WIDTHS[width] / side_by_side
    heights = [max(one.height(inches) for one in line) for line in lines]
    fig, axes = look.figure(
        width,
        height or 0.55 + 0.13 * (1 + len(note) // 105) + sum(heights),
        nrows=len(lines),
        ncols=side_by_side,
        height_ratios=heights,
        width_ratios=widths,
        squeeze=False,
    )
    for line, row in zip(lines, axes, strict=True):
        _draw_line_of_panels(line, row)
    if same_x:
        drawn = [ax for ax in axes.flat if ax.axison]
        ends = np.array([ax.get_xlim() for ax in drawn])
        for ax in drawn:
            ax.set_xlim(ends[:, 0].min(), ends[:, 1].max())
    with style():
        _title_panels(lines, axes)
    headline(fig, title, _full_note(note, data, panels))
    _check_width(fig, title)
    return fig


def _draw_line_of_panels(line: Sequence[Panel], axes: Sequence[Axes]) -> None:
    """Draw panels side by side; names of rows that stand at the left are not repeated."""
    for ax in axes[len(line) :]:
        ax.set_axis_off()
    names = []
    left = axes[0]
    for one, ax in zip(line, axes, strict=False):
        options = one.options
        sortable = "sort" in inspect.signature(one.plot).parameters
        if names and sortable:
            own = one.table[options.get("label", "label")]
            if set(own) == set(names):
                options = {"sort": names} | options
        one.plot(one.table, ax=ax, **options)
        rows = rows_of(ax)
        if names and rows == names and _same_heights(ax, left):
            ax.set_yticklabels([])
        names = rows
        left = ax


def _same_heights(ax: Axes, other: Axes) -> bool:
    """Tell whether the rows of two axes stand at the same heights."""
    shares = []
    for one in (ax, other):
        bottom, top = one.get_ylim()
        shares.append((np.asarray(one.get_yticks()) - bottom) / (top - bottom))
    return np.allclose(*shares, atol=0.01)


def _title_panels(lines: Sequence[Sequence[Panel]], axes: np.ndarray) -> None:
    """Set keys, letters and titles; those of a line of panels stand at one height."""
    alone = sum(map(len, lines)) == 1
    letters = iter("abcdefghijklmnopqrstuvwxyz" * 2)
    axes[0, 0].figure.draw_without_rendering()
    seen = set()
    for line, whole_row in zip(lines, axes, strict=True):
        row = whole_row[: len(line)]
        lefts, rooms = _places(row)
        key_lines = [0]
        for ax, left, room in zip(row, lefts, rooms, strict=True):
            names = tuple(ax.get_legend_handles_labels()[1])
            if ax.get_legend() is None and names not in seen:
                key_lines.append(set_key(ax, room, left=left))
            seen.add(names)
        pad = 8 + 1.36 * SMALL * max(key_lines)
        texts = []
        for one, room in zip(line, rooms, strict=True):
            text = one.title if alone else f"{next(letters)}  {one.title}"
            texts.append(textwrap.wrap(text, max(8, int(room / _TITLE_LETTER) - 1)))
        most = max(map(len, texts))
        for ax, text, left in zip(row, texts, lefts, strict=True):
            below = [" "] * (most - len(text))
            ax.set_title("\n".join(text + below), loc="left", pad=pad).set_x(left)


def _places(row: Sequence[Axes]) -> tuple[list[float], list[float]]:
    """Return where each panel of a line begins, and the inches from there to the next.

    The beginning is a share of the width of its axes, names of rows included.
    """
    fig = row[0].figure
    begins = [min(ax.get_tightbbox().x0, ax.get_window_extent().x0) for ax in row]
    ends = [*begins[1:], fig.bbox.width]
    lefts = []
    for ax, begin in zip(row, begins, strict=True):
        inner = ax.get_window_extent()
        lefts.append((begin - inner.x0) / inner.width)
    rooms = [(end - begin) / fig.dpi for begin, end in zip(begins, ends, strict=True)]
    return lefts, rooms


def _full_note(note: str, data: pd.DataFrame | None, panels: Sequence[Panel]) -> str:
    """Return the note, begun by what kind of images these are where they are synthetic."""
    tables = [one.table for one in panels]
    if data is not None:
        tables.append(data.filter(["dataset", "model"]))
    marks = {synthetic_note(table) for table in tables} - {""}
    return " ".join([*marks, note]).strip()


def _check_letters(title: str) -> None:
    """Raise where a title is no line of at most 60 letters."""
    if "\n" in title or len(title) > MOST_LETTERS:
        raise ValueError(
            f"title: {title!r} has {len(title)} letters; "
            f"write one line of at most {MOST_LETTERS}, and the rest into the note"
        )


def _check_width(fig: Figure, title: str) -> None:
    """Raise, and close the figure, where a title is wider than it."""
    import matplotlib.pyplot as plt

    if not title:
        return
    box = fig._suptitle.get_window_extent(fig.canvas.get_renderer())
    if box.width > 0.99 * fig.bbox.width:
        inches = fig.get_figwidth()
        plt.close(fig)
        raise ValueError(
            f"title: {title!r} is wider than the figure ({inches:g} inches); shorten it"
        )


def image_sheet(
    items: pd.DataFrame,
    *,
    title: str = "",
    per_row: int = 6,
    note: str = "",
    data: pd.DataFrame | None = None,
) -> Figure:
    """Draw images, a line per modality, the first of each line with its question.

    Parameters
    ----------
    items : pandas.DataFrame
        ``modality, image_id, picture`` (decoded images), ``question, gold``.
    title, note, data
        As in :func:`figure`; a longer title is cut.
    per_row : int
        Images side by side.

    Examples
    --------
    >>> from PIL import Image
    >>> from medcal_nb.show import charts
    >>> items = pd.DataFrame({"modality": ["ct"], "image_id": ["a"], "question": ["Is it?"]})
    >>> items = items.assign(gold="yes", picture=[Image.new("RGB", (8, 8))])
    >>> fig = charts.image_sheet(items, title="One image", per_row=2)
    >>> len(fig.axes)
    2
    """
    levels = list(dict.fromkeys(items["modality"]))
    fig, axes = look.figure(
        "full",
        0.6 + (WIDTHS["full"] / per_row + 0.24) * len(levels),
        nrows=len(levels),
        ncols=per_row,
        squeeze=False,
    )
    with style():
        for line, level in zip(axes, levels, strict=True):
            part = items[items["modality"] == level]
            part = part.drop_duplicates("image_id").head(per_row)
            for ax in line:
                ax.set_axis_off()
            for ax, picture in zip(line, part["picture"], strict=False):
                ax.imshow(picture, interpolation="bicubic", cmap="gray")
            first = part.iloc[0]
            text = f"{label_of(level)}: {first['question']} {first['gold']}"
            line[0].annotate(
                textwrap.shorten(text, 110, placeholder=" …"),
                (0, 1.05),
                xycoords="axes fraction",
                weight="bold",
                fontsize=SMALL,
            ).set_in_layout(False)
        fig.get_layout_engine().set(h_pad=0.11)
        marks = synthetic_note(items if data is None else data)
        line = textwrap.shorten(title, MOST_LETTERS, placeholder=" …")
        headline(fig, line, " ".join([marks, note]).strip())
    return fig
