"""Charts of what is traded for what: risk for coverage, checks for errors, tokens for a score."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from medcal_nb.show.ink import (
    MOST_LEVELS,
    arms_of,
    chart,
    draw_line,
    for_words,
    groups_of,
    inches_of,
    number_axis,
    percent_axis,
    row_name,
    ticks_apart,
)
from medcal_nb.show.look import BLACK, GREY, PALE, SMALL, looks
from medcal_nb.show.words import label_of, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_NAMES = 6
"""Points of a scatter that have their names beside them; of more, numbers stand for names."""


@chart
def plot_risk_coverage(
    table: pd.DataFrame,
    *,
    ax: Axes,
    target: float,
    points: pd.DataFrame,
    hue: str = "strategy",
) -> None:
    """Draw the share wrong among the answers kept against the share kept.

    Parameters
    ----------
    table : pandas.DataFrame
        ``coverage, risk`` and ``hue``.
    target : float
        The risk allowed: a dashed line.
    points : pandas.DataFrame
        A row per level: ``hue``, ``coverage, risk`` at the certified threshold and ``n_fit``
        (or ``n``), the answers that it was chosen on. Where coverage is 0 or missing none could be
        certified.
    """
    certified = points.set_index(hue)
    order = certified["coverage"].fillna(0).sort_values(ascending=False, kind="stable")
    table = table.assign(
        _place=table[hue].map({name: k for k, name in enumerate(order.index)})
    )
    table = table.sort_values("_place", kind="stable")
    for level, rows, look in groups_of(table, hue):
        ax.plot(rows["coverage"], rows["risk"], color=look.colour, ls=look.line, lw=1.2)
        if level is None:
            continue
        point = certified.loc[level]
        kept = point["coverage"] > 0
        size = f"(n = {point.get('n_fit', point['n']):,.0f})"
        words = f"none certified {size}"
        if kept:
            words = f"{percent(point['coverage'])} certified {size}"
        ax.plot(
            [point["coverage"] if kept else np.nan],
            [point["risk"] if kept else np.nan],
            look.marker,
            color=look.colour,
            mec="white",
            mew=0.6,
            ms=8,
            ls=look.line,
            zorder=5,
            label=f"{row_name(level, 26)}\n{words}",
        )
    if len(order) > MOST_LEVELS:
        ax.plot([], [], color=PALE, label=f"{len(order) - MOST_LEVELS} others")
    allowed = f"risk allowed: {percent(target)}"
    ax.axhline(target, color=BLACK, lw=0.8, ls=(0, (4, 2)), label=allowed)
    top = np.nanmax([table["risk"].max(), points["risk"].max(), target])
    ax.set(xlim=(0, 1), ylim=(0, 1.08 * top))
    percent_axis(ax.xaxis, "answers kept (coverage)")
    percent_axis(ax.yaxis, "wrong among those kept (risk)")
    ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), labelspacing=0.6)


RATES = (1, 2, 5, 10, 20, 50, 100)
"""Exchange rates that are written at the axis of a decision curve."""


@chart
def plot_decision_curve(
    table: pd.DataFrame, *, ax: Axes, hue: str | None = None, ylabel: str = ""
) -> None:
    """Draw what deferring adds to the better of checking all and checking none.

    Parameters
    ----------
    table : pandas.DataFrame
        ``threshold`` (the probability of an error from which on an answer is checked),
        ``advantage`` over the better of the two, ``advantage_low, advantage_high`` and ``hue``, as
        of :func:`medcal_nb.measure.net_benefit_table`. At a threshold of p a missed error costs
        (1 − p) / p checks.
    """
    rates = (1 - table["threshold"]) / table["threshold"]
    table = table.assign(rate=rates)
    value = "advantage" if "advantage" in table else "net_benefit"
    for level, rows, look in groups_of(table, hue):
        draw_line(ax, rows, "rate", value, look, level, zorder=3)
        if level is not None:
            # a key, because all curves end at 0
            ax.plot([], [], color=look.colour, ls=look.line, label=label_of(level))
    ax.axhline(0, color=BLACK, lw=0.8)
    ax.set_xscale("log")
    ax.set_xlim(rates.min(), rates.max())
    ticks = [rate for rate in RATES if rates.min() <= rate <= rates.max()]
    number_axis(ax.xaxis, ticks_apart(ticks or [rates.min()], inches_of(ax)[0]))
    low, high = ax.get_ylim()
    high = max(high, 0.25 * -low)
    ax.set_ylim(low, high)
    ax.axhspan(0, high, color=PALE, alpha=0.35, lw=0, zorder=0)
    ax.text(
        0.98,
        0.98,
        "deferral pays",
        ha="right",
        va="top",
        color=GREY,
        fontsize=SMALL,
        transform=ax.transAxes,
    )
    ax.set_xlabel("checks worth one missed error")
    ax.set_ylabel(ylabel or "net benefit beyond the better\nof checking all and none")


@chart
def plot_scatter(
    table: pd.DataFrame,
    *,
    ax: Axes,
    x: str,
    y: str,
    label: str = "label",
    xlabel: str = "",
    ylabel: str = "",
    diagonal: tuple[str, str] | None = None,
    front: bool = False,
    log: bool = False,
    percent: bool = False,
) -> None:
    """Draw points with their intervals, every one of them named, if by a number and a key.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns named by ``label``, ``x``, ``y`` and their ``_low, _high`` where known.
    diagonal : pair of str, optional
        Draw the diagonal; what it means to lie above it, and below.
    front : bool
        Join what no other beats: lower y at no more x.
    log : bool
        A logarithmic x that has room for 0.
    percent : bool
        Whether both are shares, counted in percent.
    """
    table = table.sort_values([x, y], kind="stable").reset_index(drop=True)
    looked = looks(table[label])
    if diagonal is not None:
        _draw_diagonal(ax, table, x, y, diagonal)
    if front:
        best = table[table[y] < table[y].cummin().shift(fill_value=np.inf)]
        steps = [*best[x], table[x].max()]
        ax.step(steps, [*best[y], best[y].iloc[-1]], where="post", color=GREY, lw=1)
    for k, row in table.iterrows():
        look = looked[row[label]]
        part = table.loc[[k]]
        name = row_name(row[label], 32)
        ax.errorbar(
            part[x],
            part[y],
            arms_of(part, y),
            arms_of(part, x),
            fmt=look.marker,
            color=look.colour,
            mfc=look.face,
            elinewidth=0.6,
            label=name if len(table) <= MOST_NAMES else f"{k + 1}  {name}",
        )
    if log:
        ax.set_xscale("symlog", linthresh=1, linscale=0.3)
        ticks = [0, 1, 3, 10, 30, 100, 300, 1000]
        shown = [tick for tick in ticks if table[x].min() <= tick <= table[x].max()]
        number_axis(ax.xaxis, shown)
    if percent:
        percent_axis(ax.xaxis, xlabel or label_of(x))
        percent_axis(ax.yaxis, ylabel or label_of(y))
    else:
        ax.set(xlabel=xlabel or label_of(x), ylabel=ylabel or label_of(y))
    if len(table) > MOST_NAMES:
        _number_points(ax, table, x, y, label)
    ax.legend(
        loc="center left",
        bbox_to_anchor=(1.01, 0.5),
        ncols=-(-len(table) // 20),
        labelspacing=0.25,
        handletextpad=0.2,
        borderaxespad=0,
    )


def _draw_diagonal(
    ax: Axes, table: pd.DataFrame, x: str, y: str, words: tuple[str, str]
) -> None:
    """Draw the diagonal of a square, and what lies above and below it."""
    ends = table.filter(regex=f"^({x}|{y})(_low|_high)?$")
    low = min(0.0, float(ends.min(axis=None)))
    high = float(ends.max(axis=None))
    space = 0.06 * (high - low)
    limits = (low - space, high + space)
    ax.plot(limits, limits, color=GREY, lw=0.9, ls=(0, (4, 2)), zorder=1)
    ax.set(xlim=limits, ylim=limits)
    ink = {"color": GREY, "fontsize": SMALL, "transform": ax.transAxes}
    ax.text(0.02, 0.98, words[0], va="top", **ink)
    ax.text(0.98, 0.02, words[1], ha="right", **ink)


_BESIDE = (
    (5, 4),
    (-5, 4),
    (5, -4),
    (-5, -4),
    (0, 8),
    (0, -8),
    (9, 9),
    (-9, 9),
    (9, -9),
)
"""Places of a number beside its point, in points, the best first."""


def _number_points(ax: Axes, table: pd.DataFrame, x: str, y: str, label: str) -> None:
    """Write the number of each point beside it, where fewest points and numbers are near."""
    looked = looks(table[label])
    spots = ax.transData.transform(table[[x, y]].to_numpy(dtype=float))
    spots = spots * 72 / ax.figure.dpi
    full = list(spots)
    for k, name in enumerate(table[label]):
        crowds = []
        for place in _BESIDE:
            away = np.abs(np.array(full) - spots[k] - np.multiply(place, 1.6))
            crowds.append(np.sum((away[:, 0] < 10) & (away[:, 1] < 8)))
        place = _BESIDE[int(np.argmin(crowds))]
        full.append(spots[k] + np.multiply(place, 1.6))
        ax.annotate(
            str(k + 1),
            table.loc[k, [x, y]],
            xytext=place,
            textcoords="offset points",
            ha={-1: "right", 0: "center", 1: "left"}[int(np.sign(place[0]))],
            va="center",
            fontsize=SMALL,
            color=for_words(looked[name].colour),
        )
