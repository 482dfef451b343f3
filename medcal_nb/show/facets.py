"""Small multiples and panels side by side: one way to set many axes, each with ticks and units."""

from __future__ import annotations

import math
import textwrap

from medcal_nb.show.charts import ABOVE
from medcal_nb.show.look import GREY, SMALL, WIDTHS, figure, headline, style
from medcal_nb.show.words import label_of

MOST_PANELS = 9
"""Panels drawn at most; what is left out is named below the figure."""


def facets(table, draw, *, row=None, col=None, wrap=3, height=2.4, share="", title="", note=""):
    """Draw a panel per level of one or two columns and return the figure.

    Parameters
    ----------
    table : pandas.DataFrame
        Tidy, with the columns ``row`` and ``col``; levels in order of appearance.
    draw : callable
        ``draw(rows, ax=axes)``: a ``plot_*`` of :mod:`medcal_nb.show.charts`, its options bound
        by a lambda. Keys of panels are drawn once for all.
    row, col : str, optional
        Columns of the panels; ``row`` may be left out.
    wrap : int
        Panels in a line where there is no ``row``.
    height : float or callable
        Inches of a panel; a function gets the rows of the fullest panel.
    share : str
        ``"x"``, ``"y"`` or ``"xy"``: limits that all panels have in common.
    title, note : str
        What the figure finds, and what its marks are; see
        :func:`medcal_nb.show.look.headline`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no column to make panels of, or no row.
    """
    import seaborn as sns

    if col is None or not len(table):
        raise ValueError("facets: needs rows and a column of panels (col)")
    most = MOST_PANELS // (1 if row is None else max(1, min(table[row].nunique(), 3)))
    table, left_out = _fewer(table, [(col, most), (row, 3)])
    n_cols = table[col].nunique()
    if row is None:  # as even as may be: four panels are two and two
        n_cols = math.ceil(n_cols / math.ceil(n_cols / wrap))
    if callable(height):
        height = height(max((part for _, part in table.groupby(col)), key=len))
    wide = WIDTHS["full" if n_cols > 1 else "half"] / n_cols
    with style(figure__constrained_layout__use=False):  # seaborn lays out once, tightly
        grid = sns.FacetGrid(
            table, row=row, col=col, col_wrap=None if row else n_cols, height=height,
            aspect=wide / height, sharex=False, sharey=False, despine=False,
        )  # fmt: skip
        grid.figure.set_layout_engine("constrained")
        names = [name for name in (row, col) if name]
        for key, part in table.groupby(names, sort=False):
            ax = grid.axes_dict[key if row else key[0]]
            draw(part, ax=ax)
            name = textwrap.fill(", ".join(map(label_of, key)), int(12 * (wide - 0.6)))
            above = sum(text.get_gid() == ABOVE for text in ax.texts)
            ax.set_title(name, loc="left", pad=6 + 11 * above)
        _finish(grid.axes_dict.values(), share)
        _one_key(grid.figure, list(grid.axes_dict.values()))
        if left_out:
            note = f"{note} Not drawn: {', '.join(left_out)}.".strip()
        headline(grid.figure, title, note)
    return grid.figure


def _fewer(table, limits):
    """Return the rows of the first levels of columns, and the names of the other levels."""
    left_out = []
    for column, most in limits:
        if column is not None:
            levels = list(dict.fromkeys(table[column]))
            left_out += [label_of(level) for level in levels[most:]]
            table = table[table[column].isin(levels[:most])]
    return table, left_out


def _finish(axes, share) -> None:
    """Say where nothing is drawn, and give the others limits in common."""
    drawn = [ax for ax in axes if ax.has_data()]
    for ax in set(axes) - set(drawn):
        ax.set_axis_off()
        ax.text(0.5, 0.5, "no answers", ha="center", color=GREY, transform=ax.transAxes)
    for name in share:
        ends = [end for ax in drawn for end in getattr(ax, f"get_{name}lim")()]
        for ax in drawn:
            ax.set(**{f"{name}lim": (min(ends), max(ends))})


def _one_key(fig, axes) -> None:
    """Move the keys of panels, which say the same, into one beside them."""
    found = {}
    for ax in axes:
        if key := ax.get_legend():
            found |= dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
            key.remove()
    if found:
        fig.legend(found.values(), found.keys(), loc="outside right center")


def beside(*draws, widths=None, heights=None, width="full", height=3.2, title="", note=""):
    """Draw unlike panels side by side, each by ``draw(ax)``, and return the figure.

    Parameters
    ----------
    *draws : callable
        ``lambda ax: plot_reliability(table, ax=ax)``, say.
    widths : sequence of float, optional
        Relative widths.
    heights : sequence of float, optional
        Relative heights: the panels stand below each other.
    width, height : str and float
        See :func:`medcal_nb.show.look.figure`.
    """
    place = {"ncols": len(draws), "width_ratios": widths}
    if heights is not None:
        place = {"nrows": len(draws), "height_ratios": heights}
    fig, axes = figure(width, height, squeeze=False, **place)
    with style():
        for draw, ax in zip(draws, axes.flat, strict=True):
            draw(ax)
        headline(fig, title, note)
    return fig


def alone(draw, *, width="half", height=3.2, title="", note=""):
    """Draw one panel by ``draw(ax)`` and return the figure."""
    return beside(draw, width=width, height=height, title=title, note=note)


def image_sheet(items, *, row="modality", per_row=6, title="", note=""):
    """Draw images, a line per level of ``row``, the first of each line with its question.

    Parameters
    ----------
    items : pandas.DataFrame
        The item table with a column ``picture``: decoded images.
    """
    levels = list(dict.fromkeys(items[row]))
    fig, axes = figure("full", 0.3 + 0.95 * len(levels), nrows=len(levels), ncols=per_row)
    with style():
        for line, level in zip(axes.reshape(len(levels), per_row), levels, strict=True):
            part = items[items[row] == level].drop_duplicates("image_id").head(per_row)
            for ax in line:
                ax.set_axis_off()
            for ax, picture in zip(line, part["picture"], strict=False):
                ax.imshow(picture, interpolation="bicubic")
            first = part.iloc[0]
            words = f"{label_of(level)}: {first['question']} {first['gold']}"
            above = {"xycoords": "axes fraction", "weight": "bold", "fontsize": SMALL}
            line[0].annotate(words, (0, 1.04), **above).set_in_layout(False)
        fig.get_layout_engine().set(h_pad=0.1)
        headline(fig, title, note)
    return fig
