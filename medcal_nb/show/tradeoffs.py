"""Charts of what is traded for what: risk for coverage, checks for errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from medcal_nb.show.ink import (
    MOST_LEVELS,
    chart,
    draw_line,
    groups_of,
    inches_of,
    number_axis,
    percent_axis,
    row_name,
    ticks_apart,
)
from medcal_nb.show.look import BLACK, GREY, PALE, SMALL
from medcal_nb.show.words import label_of, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@chart
def plot_risk_coverage(
    table: pd.DataFrame,
    *,
    ax: Axes,
    target: float,
    points: pd.DataFrame,
) -> None:
    """Draw the share wrong among the answers kept against the share kept.

    Parameters
    ----------
    table : pandas.DataFrame
        ``strategy, coverage, risk``.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a figure of half width is made without. They are returned.
    target : float
        The risk allowed: a dashed line.
    points : pandas.DataFrame
        A row per method: ``strategy``, ``coverage, risk`` at the certified threshold and ``n_fit``
        (or ``n``), the answers that it was chosen on. Where coverage is 0 or missing none could be
        certified.

    Examples
    --------
    >>> from medcal_nb.measure import risk_coverage_table
    >>> from medcal_nb.show import charts
    >>> curve = risk_coverage_table([0.9, 0.7, 0.5, 0.3], [1, 1, 0, 0])
    >>> curve = curve.assign(strategy="verbalized")
    >>> points = pd.DataFrame({"strategy": ["verbalized"], "coverage": [0.5]})
    >>> points = points.assign(risk=0.0, n=4)
    >>> ax = charts.plot_risk_coverage(curve, target=0.2, points=points)
    >>> ax.get_xlabel()
    'answers kept (coverage), %'
    """
    certified = points.set_index("strategy")
    order = certified["coverage"].fillna(0).sort_values(ascending=False, kind="stable")
    table = table.assign(
        _place=table["strategy"].map({name: k for k, name in enumerate(order.index)})
    )
    table = table.sort_values("_place", kind="stable")
    for level, rows, look in groups_of(table, "strategy"):
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
    table: pd.DataFrame, *, ax: Axes, hue: str | None = None
) -> None:
    """Draw what deferring adds to the better of checking all and checking none.

    Parameters
    ----------
    table : pandas.DataFrame
        ``threshold`` (the probability of an error from which on an answer is checked),
        ``advantage`` over the better of the two, ``advantage_low, advantage_high`` and ``hue``, as
        of :func:`medcal_nb.measure.net_benefit_table`. At a threshold of p a missed error costs
        (1 − p) / p checks.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a figure of half width is made without. They are returned.
    hue : str, optional
        Column of the curves' names.

    Examples
    --------
    >>> from medcal_nb.measure import net_benefit_table
    >>> from medcal_nb.show import charts
    >>> rng = np.random.default_rng(0)
    >>> confidence = rng.random(400)
    >>> correct = rng.random(400) < confidence
    >>> options = {"thresholds": [0.1, 0.2, 0.4], "n_resamples": 100}
    >>> table = net_benefit_table(confidence, correct, **options, rng=rng)
    >>> ax = charts.plot_decision_curve(table)
    >>> ax.get_xlabel()
    'checks worth one missed error'
    """
    rates = (1 - table["threshold"]) / table["threshold"]
    table = table.assign(rate=rates)
    for level, rows, look in groups_of(table, hue):
        draw_line(ax, rows, "rate", "advantage", look, level, zorder=3)
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
    ax.set_ylabel("net benefit beyond the better\nof checking all and none")
