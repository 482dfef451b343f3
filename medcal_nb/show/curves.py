"""Charts of lines: calibration, labels used, slopes, levels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from medcal_nb.show.ink import (
    End,
    arms_of,
    chart,
    draw_line,
    ends_of,
    groups_of,
    inches_of,
    name_ends,
    number_axis,
    percent_axis,
    ticks_apart,
)
from medcal_nb.show.look import BLACK, GREY, PALE, SMALL
from medcal_nb.show.words import is_share, label_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FEW = 0.02
"""Share of answers below which a bin says nothing by itself."""

FEW_NEAR = 20
"""Answers close by below which a smooth curve is not drawn."""


def _square(ax: Axes, event: str = "") -> None:
    """Make axes a square of confidence and accuracy with its diagonal."""
    narrow = inches_of(ax)[0] < 1.7
    ticks = np.linspace(0, 1, 3 if narrow else 6)
    ax.plot([0, 1], [0, 1], color=GREY, lw=0.9, ls=(0, (4, 2)), zorder=1)
    ax.set(xlim=(0, 1), ylim=(0, 1), xticks=ticks, yticks=ticks)
    percent_axis(ax.xaxis, "confidence")
    percent_axis(ax.yaxis, event or "accuracy")


def _strip_below(ax: Axes) -> Axes:
    """Take the lower fifth of axes for a strip with the same x, and return it."""
    grid = ax.get_subplotspec().subgridspec(2, 1, height_ratios=[4, 1])
    ax.set_subplotspec(grid[0])
    ax.tick_params(labelbottom=False)
    ax.set_xlabel("")
    strip = ax.figure.add_subplot(grid[1])
    strip.set(xlim=(0, 1), xticks=ax.get_xticks(), yticks=[])
    strip.spines["left"].set_visible(False)
    percent_axis(strip.xaxis, "confidence")
    return strip


def _below_diagonal(ax: Axes) -> None:
    """Shade and name where a model is overconfident."""
    ax.fill_between([0, 1], [0, 1], color=PALE, alpha=0.35, lw=0, zorder=0)
    ax.text(0.97, 0.03, "overconfident", ha="right", color=GREY, fontsize=SMALL)


@chart
def plot_calibration(
    table: pd.DataFrame,
    *,
    ax: Axes,
    bins: pd.DataFrame | None = None,
    event: str = "",
) -> None:
    """Draw a smooth calibration curve with its band, and where right and wrong answers lie.

    Parameters
    ----------
    table : pandas.DataFrame
        ``confidence, accuracy`` along the curve, its band ``accuracy_low, accuracy_high`` or
        ``low, high``. Where ``n_near`` (answers close by) is below 20, or half of its maximum if
        that is less, nothing is drawn.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a figure of half width is made without. They are returned.
    bins : pandas.DataFrame, optional
        The strip below: ``low, high, n, accuracy`` of each bin. Right answers upwards, wrong ones
        downwards.
    event : str
        What confidence is a probability of, where it is not the answer's being correct: ``cancer``.

    Examples
    --------
    >>> from medcal_nb.measure import calibration_curve_table
    >>> from medcal_nb.show import charts
    >>> rng = np.random.default_rng(0)
    >>> confidence = rng.random(400)
    >>> correct = rng.random(400) < confidence
    >>> curve = calibration_curve_table(confidence, correct, n_resamples=100, rng=rng)
    >>> ax = charts.plot_calibration(curve)
    >>> ax.get_xlabel()
    'confidence, %'
    """
    _square(ax, event)
    _below_diagonal(ax)
    if "n_near" in table:
        # where hardly any answer lies the curve says nothing
        table = table.assign(
            accuracy=table["accuracy"].where(table["n_near"] >= _least_near(table))
        )
        ends = ends_of(table, "accuracy")
        for end in ends or ():
            table[end] = table[end].where(table["accuracy"].notna())
    ((_, rows, look),) = groups_of(table, None)
    draw_line(ax, rows, "confidence", "accuracy", look, "", lw=2, zorder=3)
    if bins is not None:
        strip = _strip_below(ax)
        _draw_outcomes(strip, bins, look.colour)
        if event:
            strip.set_yticks(strip.get_yticks(), [event, f"no {event}"])


def _least_near(table: pd.DataFrame) -> float:
    """Return how many answers must lie near: 20, or half of the most where these are few."""
    return min(FEW_NEAR, table["n_near"].max() / 2)


def _draw_outcomes(strip: Axes, bins: pd.DataFrame, colour: str) -> None:
    """Draw how many answers of a bin are right, upwards, and wrong, downwards."""
    correct = (bins["n"] * bins["accuracy"]).fillna(0).round()
    wrong = bins["n"] - correct
    width = bins["high"] - bins["low"]
    ink = {"align": "edge", "width": 0.86 * width, "linewidth": 0.6}
    strip.bar(bins["low"] + 0.07 * width, correct, color=colour, **ink)
    strip.bar(
        bins["low"] + 0.07 * width, -wrong, color="white", edgecolor=colour, **ink
    )
    strip.axhline(0, color=BLACK, lw=0.5)
    top = max(correct.max(), wrong.max(), 1)
    strip.set(ylim=(-1.05 * top, 1.05 * top))
    strip.set_yticks([0.55 * top, -0.55 * top], ["right", "wrong"])
    strip.tick_params(axis="y", length=0)


@chart
def plot_reliability(table: pd.DataFrame, *, ax: Axes, shares: bool = True) -> None:
    """Draw accuracy against confidence in bins, and the shares of answers below.

    Light bands are where a calibrated model's dots would fall by chance. Bins of less than 2 % of
    the answers are left out of the curve.

    Parameters
    ----------
    table : pandas.DataFrame
        From :func:`medcal_nb.measure.reliability_table`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a figure of half width is made without. They are returned.
    shares : bool
        Whether bars below show which share of the answers each bin holds.

    Examples
    --------
    >>> from medcal_nb.measure import reliability_table
    >>> from medcal_nb.show import charts
    >>> ax = charts.plot_reliability(reliability_table([0.9, 0.9, 0.4, 0.4], [1, 1, 1, 0]))
    >>> ax.get_ylabel()
    'accuracy, %'
    """
    _square(ax)
    ((_, rows, look),) = groups_of(table[table["n"] > 0], None)
    share = rows["n"] / rows["n"].sum()
    many = rows[share >= FEW]
    for row in many.itertuples():
        edges = [row.low, row.high]
        ax.fill_between(
            edges, row.band_low, row.band_high, color=look.colour, alpha=0.14, lw=0
        )
    ax.errorbar(
        many["mean_confidence"],
        many["accuracy"],
        arms_of(many, "accuracy", "acc"),
        color=look.colour,
        marker=look.marker,
        ls=look.line,
        elinewidth=0.8,
        clip_on=False,
        zorder=3,
    )
    if shares:
        strip = _strip_below(ax)
        strip.set_ylabel("answers", rotation=0, ha="right", va="center", fontsize=SMALL)
        width = 0.92 * (rows["high"] - rows["low"])
        strip.bar(rows["low"], share, width=width, align="edge", color=GREY, lw=0)
        strip.set_ylim(0, None)
        strip.margins(y=0.15)


@chart
def plot_label_curve(
    table: pd.DataFrame,
    *,
    ax: Axes,
    mark: int | None = None,
    xlabel: str = "medical labels used",
) -> None:
    """Draw a loss against the number of labels: median and band; without labels, a dashed line.

    Parameters
    ----------
    table : pandas.DataFrame
        ``stage`` (what the confidences went through), ``n`` (labels used), ``median, low, high``.
        A stage with one value needs no labels.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a figure of half width is made without. They are returned.
    mark : int, optional
        The number of labels from which on the refit wins in 95 % of the resamples.
    xlabel : str
        What the axis counts.

    Examples
    --------
    >>> from medcal_nb.show import charts
    >>> table = pd.DataFrame({"stage": "refitted", "n": [10, 100], "median": [0.3, 0.2]})
    >>> ax = charts.plot_label_curve(table.assign(low=[0.2, 0.1], high=[0.4, 0.3]))
    >>> ax.get_ylabel()
    'Brier score'
    """
    ends = []
    for level, rows, look in groups_of(table, "stage"):
        if rows["median"].nunique() > 1:
            drawn = rows
            line = look._replace(line="-")
            ink = {"lw": 2, "marker": look.marker, "ms": 4, "mfc": look.face}
        else:
            drawn = rows[["n", "median"]]
            line = look._replace(line=(0, (5, 2)))
            ink = {"lw": 1.2}
        ends.append(draw_line(ax, drawn, "n", "median", line, level, zorder=3, **ink))
    sizes = table["n"].unique()
    ax.set(xlim=(min(sizes) / 1.1, 1.15 * max(sizes)), xlabel=xlabel)
    ax.set_ylabel("Brier score")
    ax.set_xscale("log")
    number_axis(ax.xaxis, ticks_apart(sizes, 0.7 * inches_of(ax)[0]))
    ax.margins(y=0.12)
    if mark is not None:
        _mark_size(ax, mark, min(sizes), max(sizes))
    name_ends(ax, ends, letters=16)


def _mark_size(ax: Axes, mark: int, least: float, most: float) -> None:
    """Mark a number of labels by a line that is named at its top."""
    ax.axvline(mark, color=BLACK, lw=0.8, ls=":")
    right_half = mark > np.sqrt(least * most)
    ax.text(
        mark,
        0.97,
        f" refit wins from {mark:,} labels ",
        ha="right" if right_half else "left",
        va="top",
        fontsize=SMALL,
        transform=ax.get_xaxis_transform(),
    )


@chart
def plot_lines(
    table: pd.DataFrame,
    *,
    ax: Axes,
    x: str,
    y: str,
    hue: str | None = None,
    xlabel: str = "",
    ylabel: str = "",
    log: bool = False,
    percent: bool | None = None,
) -> None:
    """Draw a line per level with its band, named at its end.

    Parameters
    ----------
    table : pandas.DataFrame
        A line a point, and the band ``<y>_low, <y>_high`` where known.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a figure of half width is made without. They are returned.
    x, y : str
        Columns of the two axes.
    hue : str, optional
        Column of the lines' names.
    xlabel, ylabel : str
        What the axes count; by default the labels of their columns.
    log : bool
        A logarithmic x.
    percent : bool, optional
        Whether y is a share, counted in percent; by default where the column is known as one.

    Examples
    --------
    >>> from medcal_nb.show import charts
    >>> table = pd.DataFrame({"n_fit": [100, 200], "certified": [0.1, 0.4]})
    >>> ax = charts.plot_lines(table, x="n_fit", y="certified", percent=True)
    >>> ax.get_xlabel()
    'calibration answers'
    """
    ends = []
    rest = 0
    for level, rows, look in groups_of(table, hue):
        end = draw_line(ax, rows, x, y, look, level)
        if level is not None:
            ends.append(end)
        elif hue is not None:
            rest += 1
    if rest:
        ends.append(End(y=ends[-1].y, name=f"grey: {rest} others", colour=GREY))
    ax.set_xlim(table[x].min(), table[x].max())
    if log:
        ax.set_xscale("log")
        number_axis(ax.xaxis, ticks_apart(table[x].unique(), 0.7 * inches_of(ax)[0]))
    ax.set(xlabel=xlabel or label_of(x), ylabel=ylabel or label_of(y))
    if is_share(y) if percent is None else percent:
        percent_axis(ax.yaxis, ylabel or label_of(y))
    ax.grid(axis="y")
    name_ends(ax, ends)


@chart
def plot_levels(table: pd.DataFrame, *, ax: Axes, xlabel: str = "") -> None:
    """Draw mean confidence and accuracy along a level; what is absent stands apart.

    Parameters
    ----------
    ax : matplotlib.axes.Axes, optional
        Where to draw; a figure of half width is made without. They are returned.
    xlabel : str
        What the level is of.
    table : pandas.DataFrame
        Column ``level`` in order, ``mean_confidence, accuracy`` and, where known, their
        ``_low, _high``. The level called ``absent`` has a place of its own, at the left.

    Examples
    --------
    >>> from medcal_nb.show import charts
    >>> table = pd.DataFrame({"level": ["absent", "faint", "plain"], "accuracy": [0.8, 0.5, 0.7]})
    >>> ax = charts.plot_levels(table.assign(mean_confidence=0.9), xlabel="visibility")
    >>> [text.get_text() for text in ax.get_xticklabels()]
    ['absent', 'faint', 'plain']
    """
    names = list(dict.fromkeys(table["level"]))
    present = [name for name in names if name != "absent"]
    place = {name: k + 1.6 for k, name in enumerate(present)}
    place["absent"] = 0.4
    series = {"mean_confidence": ("o", "white", -0.06), "accuracy": ("s", BLACK, 0.06)}
    for column, (marker, face, shift) in series.items():
        for absent, rows in table.groupby(table["level"] == "absent"):
            ax.errorbar(
                rows["level"].map(place) + shift,
                rows[column],
                arms_of(rows, column),
                color=BLACK,
                marker=marker,
                mfc=face,
                ls="--" if column == "mean_confidence" else "-",
                elinewidth=0.8,
                label=None if absent else label_of(column),
                clip_on=False,
            )
    if "absent" in names:
        ax.axvline(1.0, color=PALE, lw=1)
    longest = 0.06 * max(len(str(name)) for name in names)
    rotation = 40 if inches_of(ax)[0] < longest * (len(names) + 0.6) else 0
    ax.set_xticks([place[name] for name in names], names, rotation=rotation)
    ends = table.filter(regex="^(mean_confidence|accuracy)")
    low = float(np.floor(10 * max(ends.min(axis=None) - 0.03, 0)) / 10)
    high = float(np.ceil(10 * min(ends.max(axis=None) + 0.03, 1)) / 10)
    ax.set(ylim=(low, high), xlabel=xlabel)
    percent_axis(ax.yaxis, "share of answers")
