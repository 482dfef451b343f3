"""Charts of lines: calibration, labels used, risk and coverage, decisions, slopes, scatters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from medcal_nb.show.ink import (
    MOST_LEVELS,
    End,
    arms_of,
    chart,
    draw_line,
    for_words,
    groups_of,
    inches_of,
    name_ends,
    number_axis,
    percent_axis,
    row_name,
    ticks_apart,
)
from medcal_nb.show.look import BLACK, GREY, PALE, SMALL, Look, looks
from medcal_nb.show.words import label_of, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FEW = 0.02
"""Share of answers below which a bin says nothing by itself."""

FEW_NEAR = 20
"""Answers close by below which a smooth curve is not drawn."""

MOST_NAMES = 6
"""Points of a scatter that have their names beside them; of more, numbers stand for names."""


def _square(ax: Axes) -> None:
    """Make axes a square of confidence and accuracy with its diagonal."""
    narrow = inches_of(ax)[0] < 1.7
    ticks = np.linspace(0, 1, 3 if narrow else 6)
    ax.plot([0, 1], [0, 1], color=GREY, lw=0.9, ls=(0, (4, 2)), zorder=1)
    ax.set(xlim=(0, 1), ylim=(0, 1), xticks=ticks, yticks=ticks)
    percent_axis(ax.xaxis, "confidence")
    percent_axis(ax.yaxis, "accuracy")


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
    hue: str | None = None,
) -> None:
    """Draw smooth calibration curves with their bands, and where right and wrong answers lie.

    Parameters
    ----------
    table : pandas.DataFrame
        ``confidence, accuracy`` along the curve, its band ``accuracy_low, accuracy_high`` or
        ``low, high``, and ``hue``. Where ``n_near`` (answers close by) is below 20, nothing is
        drawn.
    bins : pandas.DataFrame, optional
        The strip below: ``low, high`` of each bin, with ``n_correct, n_wrong`` or
        ``n, accuracy``. Right answers upwards, wrong ones downwards.
    hue : str, optional
        Column of the curves.
    """
    _square(ax)
    _below_diagonal(ax)
    colour = BLACK
    if "n_near" in table:
        # where hardly any answer lies the curve says nothing
        table = table[table["n_near"] >= FEW_NEAR]
    for level, rows, look in groups_of(table, hue):
        if hue is None:
            look = Look(BLACK, "o", "-")
        colour = look.colour
        draw_line(ax, rows, "confidence", "accuracy", look, str(level), lw=2, zorder=3)
        if level is not None:
            ax.plot([], [], color=colour, ls=look.line, label=label_of(level))
    if bins is not None:
        _draw_outcomes(_strip_below(ax), bins, colour if hue is None else BLACK)


def _draw_outcomes(strip: Axes, bins: pd.DataFrame, colour: str) -> None:
    """Draw how many answers of a bin are right, upwards, and wrong, downwards."""
    if "n_correct" in bins:
        correct = bins["n_correct"]
        wrong = bins["n_wrong"]
    else:
        correct = (bins["n"] * bins["accuracy"]).fillna(0)
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
def plot_reliability(table: pd.DataFrame, *, ax: Axes, hue: str | None = None) -> None:
    """Draw accuracy against confidence in bins, and the shares of answers below.

    Light bands are where a calibrated model's dots would fall by chance. Bins of less than 2 % of
    the answers are left out of the curve.

    Parameters
    ----------
    table : pandas.DataFrame
        From :func:`medcal_nb.measure.reliability_table`, and ``hue``.
    hue : str, optional
        Column of the groups, such as ``side``.
    """
    _square(ax)
    strip = _strip_below(ax)
    strip.set_ylabel("answers", rotation=0, ha="right", va="center", fontsize=SMALL)
    rows = table[table["n"] > 0]
    groups = groups_of(rows, hue)
    for k, (level, part, look) in enumerate(groups):
        if hue is None:
            look = Look(BLACK, "o", "-")
        share = part["n"] / part["n"].sum()
        many = part[share >= FEW]
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
            label=None if level is None else label_of(level),
            clip_on=False,
            zorder=3,
        )
        width = (part["high"] - part["low"]) / len(groups)
        strip.bar(
            part["low"] + k * width,
            share,
            width=0.92 * width,
            align="edge",
            color=look.colour,
            lw=0,
        )


@chart
def plot_label_curve(
    table: pd.DataFrame,
    *,
    ax: Axes,
    hue: str = "stage",
    mark: int | None = None,
    xlabel: str = "medical labels used",
    ylabel: str = "Brier score",
) -> None:
    """Draw a loss against the number of labels: median and band; without labels, a dashed line.

    Parameters
    ----------
    table : pandas.DataFrame
        ``hue`` (what the confidences went through), ``n`` (labels used), ``median, low, high``.
        A stage with one value needs no labels.
    mark : int, optional
        The number of labels from which on the refit wins in 95 % of the resamples.
    """
    ends = []
    for level, rows, look in groups_of(table, hue):
        if rows["median"].nunique() > 1:
            ink = {"lw": 2, "marker": look.marker, "ms": 4, "mfc": look.face}
            line = look._replace(line="-")
        else:
            rows = rows[["n", "median"]]
            ink = {"lw": 1.2}
            line = look._replace(line=(0, (5, 2)))
        ends.append(draw_line(ax, rows, "n", "median", line, level, zorder=3, **ink))
    sizes = table["n"].unique()
    ax.set(xlim=(min(sizes) / 1.1, 1.15 * max(sizes)), xlabel=xlabel, ylabel=ylabel)
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
        f" from {mark:,} labels ",
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
    references: dict[str, str | float] | None = None,
) -> None:
    """Draw a line per level with its band, named at its end.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns named by ``x, y``, the band ``<y>_low, <y>_high`` where known, and ``hue``.
    log : bool
        A logarithmic x.
    references : dict, optional
        Grey lines to compare with: from a name to a column, or to a number.
    """
    ends = []
    rest = 0
    for level, rows, look in groups_of(table, hue):
        end = draw_line(ax, rows, x, y, look, level)
        if level is not None:
            ends.append(end)
        elif hue is not None:
            rest += 1
    first = table if hue is None else table[table[hue] == table[hue].iloc[0]]
    dotted = Look(GREY, "", ":")
    for name, where in (references or {}).items():
        height = first[where] if isinstance(where, str) else where
        line = first[[x]].assign(reference=height)
        ends.append(draw_line(ax, line, x, "reference", dotted, name, lw=1, zorder=1))
    if rest:
        ends.append(End(y=ends[-1].y, name=f"grey: {rest} others", colour=GREY))
    ax.set_xlim(table[x].min(), table[x].max())
    if log:
        ax.set_xscale("log")
        number_axis(ax.xaxis, ticks_apart(table[x].unique(), 0.7 * inches_of(ax)[0]))
    ax.set(xlabel=xlabel or label_of(x), ylabel=ylabel or label_of(y))
    ax.grid(axis="y")
    name_ends(ax, ends)


@chart
def plot_slopes(
    table: pd.DataFrame,
    *,
    ax: Axes,
    x: str,
    value: str,
    line: str,
    hue: str | None = None,
    ylabel: str = "",
    percent: bool = False,
) -> None:
    """Draw a line for each reader or model from one condition to the next.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns named by ``x`` (conditions, in order), ``value``, ``line``, the interval
        ``<value>_low, <value>_high`` where known, and ``hue``.
    hue : str, optional
        Column of colours; by default each line has its own. Then lines are not named.
    percent : bool
        Whether the values are shares, counted in percent.
    """
    steps = list(dict.fromkeys(table[x]))
    lines = list(dict.fromkeys(table[line]))
    named = hue is None and len(lines) <= 12
    looked = looks(table[hue or line])
    if hue is None and not named:
        looked = dict.fromkeys(lines, Look(GREY, "o", "-"))
    ends = []
    for k, name in enumerate(lines):
        rows = table[table[line] == name]
        look = looked[rows[hue or line].iloc[0]]
        places = rows[x].map(steps.index)
        shift = 0.05 * ((k + 0.5) / len(lines) - 0.5)
        ax.errorbar(
            places + shift,
            rows[value],
            arms_of(rows, value) if len(lines) <= 12 else None,
            color=look.colour,
            marker=look.marker,
            mfc=look.face,
            lw=1 if named else 0.7,
            elinewidth=0.7,
            ms=4,
        )
        ends.append(End(y=rows[value].iloc[-1], name=name, colour=look.colour))
    ax.set_xlim(-0.25, len(steps) - 0.75)
    ax.set_xticks(range(len(steps)), [row_name(step, 16) for step in steps])
    if percent:
        percent_axis(ax.yaxis, ylabel or label_of(value))
    else:
        ax.set_ylabel(ylabel or label_of(value))
    ax.grid(axis="y")
    if named:
        name_ends(ax, ends)
        return
    if hue is not None:
        for level, look in looked.items():
            ink = {"color": look.colour, "marker": look.marker, "mfc": look.face}
            ax.plot([], [], label=label_of(level), **ink)


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
        A row per level: ``hue``, ``coverage, risk`` at the certified threshold and ``n``, the
        answers that it was chosen on. Where coverage is 0 or missing none could be certified.
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
        words = f"none certified (n = {point['n']:,.0f})"
        if kept:
            words = f"{percent(point['coverage'])} certified (n = {point['n']:,.0f})"
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
    ax.axhline(target, color=BLACK, lw=0.8, ls=(0, (4, 2)))
    top = max(float(table["risk"].max()), target)
    ax.set(xlim=(0, 1), ylim=(0, 1.08 * top))
    ax.text(
        0.99,
        target - 0.015 * top,
        f"risk allowed: {percent(target)}",
        ha="right",
        va="top",
        fontsize=SMALL,
    )
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
        ``net_benefit`` over the better of the two, ``net_benefit_low, net_benefit_high`` and
        ``hue``. A threshold of p means that a missed error costs (1 − p) / p checks.
    """
    rates = (1 - table["threshold"]) / table["threshold"]
    table = table.assign(rate=rates)
    ends = []
    for level, rows, look in groups_of(table, hue):
        end = draw_line(ax, rows, "rate", "net_benefit", look, level, zorder=3)
        if level is not None:
            # the curves are apart in the middle, not where all end at 0
            ends.append(end)
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
        _number_points(ax, table, x, y, looked, label)
    ax.legend(
        loc="center left",
        bbox_to_anchor=(1.01, 0.5),
        ncols=-(-len(table) // 20),
        labelspacing=0.25,
        handletextpad=0.2,
        borderaxespad=0,
    )


def _draw_diagonal(ax, table, x, y, words) -> None:
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


def _number_points(ax, table, x, y, looked, label) -> None:
    """Write the number of each point beside it, where fewest points and numbers are near."""
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


@chart
def plot_levels(table: pd.DataFrame, *, ax: Axes, xlabel: str = "") -> None:
    """Draw mean confidence and accuracy along a level; what is absent stands apart.

    Parameters
    ----------
    table : pandas.DataFrame
        Column ``level`` in order, ``mean_confidence, accuracy`` and, where known, their
        ``_low, _high``. The level called ``absent`` has a place of its own, at the left.
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
    letters = sum(len(str(name)) + 1.5 for name in names)
    narrow = 0.8 * inches_of(ax)[0] < 0.063 * letters
    rotation = 40 if narrow else 0
    ax.set_xticks([place[name] for name in names], names, rotation=rotation)
    ends = table.filter(regex="^(mean_confidence|accuracy)")
    low = float(np.floor(10 * max(ends.min(axis=None) - 0.03, 0)) / 10)
    high = float(np.ceil(10 * min(ends.max(axis=None) + 0.03, 1)) / 10)
    ax.set(ylim=(low, high), xlabel=xlabel)
    percent_axis(ax.yaxis, "share of answers")
