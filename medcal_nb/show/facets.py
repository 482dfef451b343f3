"""Small multiples and panels side by side: one way to set many axes, each with ticks and units."""

from __future__ import annotations

import math
import textwrap

from medcal_nb.show.former import ABOVE
from medcal_nb.show.look import WIDTHS, figure, headline, style
from medcal_nb.show.words import label_of

PER_LINE = 3
"""Panels side by side at most."""


def facets(table, draw, *, col, height=2.4, title="", note=""):
    """Draw a panel per level of a column and return the figure.

    Parameters
    ----------
    table : pandas.DataFrame
        Tidy; levels in order of appearance.
    draw : callable
        ``draw(rows, ax=axes)``: a ``plot_*`` of :mod:`medcal_nb.show.charts`, its options bound
        by a lambda. Keys of panels are drawn once for all.
    col : str
        Column of the panels.
    height : float
        Inches of a panel.
    title, note : str
        What the figure finds, and what its marks are; see
        :func:`medcal_nb.show.look.headline`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    import seaborn as sns

    n = table[col].nunique()
    n_cols = math.ceil(
        n / math.ceil(n / PER_LINE)
    )  # as even as may be: four are two and two
    wide = WIDTHS["full" if n_cols > 1 else "half"] / n_cols
    with style(figure__constrained_layout__use=False):  # seaborn lays out once, tightly
        grid = sns.FacetGrid(
            table, col=col, col_wrap=n_cols, height=height, aspect=wide / height,
            sharex=False, sharey=False, despine=False,
        )  # fmt: skip
        grid.figure.set_layout_engine("constrained")
        for level, part in table.groupby(col, sort=False):
            ax = grid.axes_dict[level]
            draw(part, ax=ax)
            above = sum(text.get_gid() == ABOVE for text in ax.texts)
            name = textwrap.fill(label_of(level), int(12 * (wide - 0.6)))
            ax.set_title(name, loc="left", pad=6 + 11 * above)
        _one_key(grid.figure, list(grid.axes_dict.values()))
        headline(grid.figure, title, note)
    return grid.figure


def _one_key(fig, axes) -> None:
    """Move the keys of panels, which say the same, into one beside them."""
    found = {}
    for ax in axes:
        if key := ax.get_legend():
            found |= dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
            key.remove()
    if found:
        fig.legend(found.values(), found.keys(), loc="outside right center")


def beside(
    *draws, widths=None, heights=None, width="full", height=3.2, title="", note=""
):
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
