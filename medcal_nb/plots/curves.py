"""One number over another: lines, points, and risk over coverage."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.transforms import ScaledTranslation

from medcal_nb.labels import label_of
from medcal_nb.wording import percent

from . import marks
from .marks import (
    GREY,
    INK,
    INTERVAL,
    arms,
    check_columns,
    interval_swatch,
    name_axis,
    record,
    rows_by_look,
)

_ASIDE = 2.2  # points, between marks of two lines at one place
_ROOM = 0.12  # of an axis on either side, for marks that stand beside their place
#: Up to so many points of a risk–coverage curve have marks.
FEW_POINTS = 20


def lines(
    table: pd.DataFrame,
    x: str,
    y: str,
    *,
    hue: str | None = None,
    flat: Iterable = (),
    ax: Axes | None = None,
) -> Axes:
    """Lines of `y` over `x`, with the intervals that ``<y>_low`` and ``<y>_high`` hold.

    Parameters
    ----------
    table : DataFrame
        Columns `x`, `y` and `hue`; rows of a line in any order.
    x, y, hue : str
        Columns: position, value, and what has a colour and a mark of its own.
    flat : iterable
        Levels of hue that are the same at every position: a line with a band, without marks.
    ax : Axes, optional
        Where to draw; the current axes if not given.
    """
    check_columns(table, x, y, hue)
    ax = ax or plt.gca()
    levels = rows_by_look(table, hue)
    places = [frozenset(rows[x]) for _, rows, _, _ in levels]
    # marks at the same places stand side by side, so that none hides another's interval
    step = _ASIDE if len(set(places)) == 1 else 0
    for i, (level, rows, colour, mark) in enumerate(levels):
        aside = step * (i - (len(levels) - 1) / 2) / 72
        moved = ScaledTranslation(aside, 0, ax.get_figure().dpi_scale_trans)
        line = rows.sort_values(x, kind="stable")
        name = label_of(level, hue) if hue else None
        if level in flat:
            ax.plot(line[x], line[y], color=colour, label=name)
            ends = line[f"{y}_low"], line[f"{y}_high"]
            band = {"color": colour, "alpha": 0.25, "lw": 0}
            ax.fill_between(line[x], *ends, **band, label=f"{INTERVAL} (band)")
            ax.add_container(interval_swatch())  # of the others
            continue
        ax.errorbar(
            line[x],
            line[y],
            yerr=arms(line, y),
            fmt=f"-{mark}",
            color=colour,
            elinewidth=0.8,
            transform=ax.transData + moved,
            label=name,
        )
    for end in (y, f"{y}_low", f"{y}_high"):
        # matplotlib takes no limits from what was moved
        if end in table:
            ax.update_datalim(table[[x, end]].to_numpy(float))
    if step:
        ax.set_xmargin(_ROOM)
    ax.autoscale_view()
    name_axis(ax.xaxis, x)
    name_axis(ax.yaxis, y)
    ax.grid(axis="y")
    record(ax, table, x=x, y=y, hue=hue)
    return ax


def points(
    table: pd.DataFrame,
    x: str,
    y: str,
    *,
    hue: str | None = None,
    hollow: Iterable = (),
    diagonal: str = "",
    ax: Axes | None = None,
) -> Axes:
    """A mark for each row at its `x` and `y`, with their intervals where there are such.

    Parameters
    ----------
    table : DataFrame
        Columns `x`, `y` and `hue`; ``<x>_low``, ``<x>_high``, ``<y>_low`` and ``<y>_high`` where
        there is an interval.
    x, y, hue : str
        Columns: the two numbers, and what has a colour and a mark of its own.
    hollow : iterable
        Levels of hue whose marks are outlines: to be told from the others without colour.
    diagonal : str
        What is written of the line on which both are equal; both are then shares, in a square.
    ax : Axes, optional
        Where to draw; the current axes if not given.
    """
    import seaborn as sns  # half a second, for these figures alone

    check_columns(table, x, y, hue)
    ax = ax or plt.gca()
    for level, rows, colour, mark in rows_by_look(table, hue):
        name = label_of(level, hue) if hue else None
        how: dict[str, Any] = {"color": colour, "marker": mark, "label": name}
        how |= {"s": 15, "linewidth": 0, "clip_on": False, "zorder": 2}
        if level in hollow:
            how |= {"facecolor": "white", "edgecolor": colour, "linewidth": 1.1}
            how |= {"zorder": 2.1}
        sns.scatterplot(rows, x=x, y=y, legend=False, ax=ax, **how)
        thin: dict[str, Any] = {"elinewidth": 0.7, "capsize": 0, "zorder": 1.9}
        thin |= {"xerr": arms(rows, x), "yerr": arms(rows, y)}
        ax.errorbar(rows[x], rows[y], fmt="none", ecolor=colour, **thin)
    if diagonal:
        marks.diagonal(ax, diagonal)
    name_axis(ax.xaxis, x)
    name_axis(ax.yaxis, y)
    record(ax, table, x=x, y=y, hue=hue)
    return ax


def risk_coverage(
    table: pd.DataFrame,
    *,
    hue: str | None = None,
    allowed: float | None = None,
    certified: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Risk–coverage curves: the share wrong over the share of answers that are retained.

    Parameters
    ----------
    table : DataFrame
        Of :func:`medcal_nb.measure.risk_coverage_table`. Bands are its intervals, the dotted line
        is the share wrong of all answers; a curve of at most 20 confidences has a mark and a bar
        at each.
    hue : str, optional
        Column of what has a curve of its own.
    allowed : float, optional
        The risk that is allowed: a line across.
    certified : str, optional
        Column, with one number: coverage up to which the allowed risk is certified, hatched.
    ax : Axes, optional
        Where to draw; the current axes if not given.
    """
    import seaborn as sns  # half a second, for these figures alone

    check_columns(table, "coverage", "risk", "base_risk", hue, certified)
    ax = ax or plt.gca()
    # of curves of few points, of many
    colours: dict[bool, list] = {True: [], False: []}
    for level, rows, colour, mark in rows_by_look(table, hue):
        if rows.empty:
            ax.add_container(interval_swatch())  # of the others
            continue
        curve = rows.sort_values("coverage")
        is_few = len(curve) <= FEW_POINTS
        colours[is_few].append(colour)
        name = label_of(level, hue) if hue else None
        how: dict[str, Any] = {"color": colour, "label": name, "lw": 1.2}
        how |= {"clip_on": False}  # the last mark lies on the frame
        if is_few:
            how |= {"marker": mark, "markersize": 4, "markeredgewidth": 0}
            bars: dict[str, Any] = {"elinewidth": 0.8, "capsize": 2, "clip_on": False}
            bars |= {"yerr": arms(curve, "risk"), "fmt": "none", "ecolor": colour}
            ax.errorbar(curve["coverage"], curve["risk"], **bars)
        else:
            ends = curve["risk_low"], curve["risk_high"]
            ax.fill_between(curve["coverage"], *ends, color=colour, alpha=0.2, lw=0)
        how |= {"estimator": None, "legend": False}
        sns.lineplot(curve, x="coverage", y="risk", ax=ax, **how)
    bases = table.drop_duplicates("base_risk")  # one, if curves are of the same answers
    for _, rows, colour, _ in rows_by_look(bases, hue if len(bases) > 1 else None):
        for base in rows["base_risk"]:
            ax.axhline(base, ls=":", color=colour, lw=1, zorder=1)
    ax.plot([], [], ":", color=INK, lw=1, label=label_of("base_risk"))
    if colours[True]:
        ax.add_container(interval_swatch())
    if colours[False]:
        (band, *others) = colours[False]
        ink = INK if others else band
        ax.fill([], [], color=ink, alpha=0.2, lw=0, label=f"{INTERVAL} (band)")
    if allowed is not None:
        name = f"allowed: {percent(allowed)} %"
        ax.axhline(allowed, ls="--", color=GREY, lw=0.9, zorder=1, label=name)
    end = table[certified].max() if certified else 0
    if end > 0:
        corner = ([0, end, end, 0], [0, 0, allowed, allowed])
        # hatched: a plain one would be a band
        hatched: dict[str, Any] = {"facecolor": "none", "hatch": "////", "lw": 0.8}
        ax.fill(*corner, edgecolor=GREY, zorder=0, label="certified", **hatched)
    ax.set(xlim=(-0.03, 1.03), ylim=(0, None))  # a bar at the end is beside the frame
    name_axis(ax.xaxis, "coverage")
    name_axis(ax.yaxis, "risk")
    ax.set_ylabel(ax.get_ylabel().replace(" (", "\n("))
    record(ax, table, x="coverage", y="risk", hue=hue, certified=certified)
    return ax
