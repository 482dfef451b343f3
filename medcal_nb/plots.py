"""Charts of tidy tables: each draws on axes and returns them; matplotlib does the rest.

A column's interval stands in the columns ``<name>_low`` and ``<name>_high``; why a row has no mark
in ``left_out``. One model, method or condition has one colour and one mark in every figure
(`look`), and stands in one order; an axis says what `labels.toml` calls its column. Each chart
leaves on its axes what it drew (`drawn`): the saved figure is held against its table by it. A
table without a column that is named is a `MedcalError`, which says the nearest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import cycle
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation
from matplotlib.transforms import ScaledTranslation

from medcal_nb.errors import check_known
from medcal_nb.labels import AXES, BETTER, CONCLUDED, LOOKS, MODELS, UNITS, label_of
from medcal_nb.wording import percent

__all__ = [
    "axis_label",
    "calibration",
    "forest",
    "lines",
    "look",
    "number_of",
    "outcomes",
    "points",
    "risk_coverage",
    "stacked",
    "title_and_key",
    "use_style",
]

#: What has no colour of its own; black is a model's.
INK = "#3A3A3A"
GREY = "#6B6B6B"
PALE = "#D9D9D9"
# of any further model, and of any other level, none of them a colour of the five models
_FURTHER_MODELS = ("#B71C1C", "#00A0B0", "#7C4DFF", "#D81B60", "#5D4037", "#37718E")
_FURTHER = ("#52606D", "#E69F00", "#56B4E9", "#A6611A", "#A0A0A0", "#1F3A5F", "#6B8E23")
_MARKS = "osD^vPX<>"
_MARKS_OF_MODELS = "PX*<>h"
_FILLS = ("full", "none")
_FAR = 1e3  # beyond any axis
_SMALL = 6.5  # points, of numbers beside marks
_ASIDE = 2.2  # points, between marks of two lines at one place
_ROOM = 0.12  # of an axis on either side, for marks that stand beside their place
#: What a bar is, in a key.
INTERVAL = "95 % CI"

#: Share of the answers below which a confidence has no dot of its own.
SHARE_OF_A_DOT = 0.01
#: Up to so many points of a risk–coverage curve have marks.
FEW_POINTS = 20
#: Widths of a figure in a journal's column, and over two, in inches: 89 and 183 mm.
ONE_COLUMN = 89 / 25.4
TWO_COLUMNS = 183 / 25.4
#: The look of the study's figures.
STYLE = Path(__file__).with_name("house.mplstyle")


def use_style() -> None:
    """Set the look of the study's figures in this notebook: `house.mplstyle`."""
    mpl.style.use(STYLE)


def look(levels: Iterable, column: str | None = None) -> dict[object, tuple[str, str]]:
    """Colour and mark of each level, in the order in which levels are drawn.

    Parameters
    ----------
    levels : iterable
        Names of models, methods or conditions; repeated ones count once.
    column : str, optional
        What they are: ``model`` gives further models colours and marks of their own, in the order
        of their names.

    Returns
    -------
    dict
        Level → (colour, mark). Names of `LOOKS` come first, in its order; others follow as they
        appear. What is no model has no colour of one of the five models.

    Examples
    --------
    >>> list(look(["refitted", "mine", "uncorrected"]))
    ['uncorrected', 'refitted', 'mine']
    >>> look(["mine", "gemma-3-27b-it"], "model")
    {'gemma-3-27b-it': ('#000000', '^'), 'mine': ('#B71C1C', 'P')}
    """
    # a column of a million answers says its few names at once
    different = levels.unique() if isinstance(levels, pd.Series) else levels
    names = list(dict.fromkeys(different))
    looks: dict[object, tuple[str, str]] = {}
    for name, (colour, mark) in LOOKS.items():
        # a report calls a model by its label
        for called in (name, MODELS.get(name, name)):
            if called in names:
                looks[called] = (colour, mark)
    others = [name for name in names if name not in looks]
    colours: tuple[str, ...] = _FURTHER
    marks = _MARKS
    for name in others:
        looks[name] = (INK, "o")  # their place in the order
    if column == "model":
        colours = _FURTHER_MODELS
        marks = _MARKS_OF_MODELS
        others = sorted(others, key=str)
    for i, name in enumerate(others):
        looks[name] = (colours[i % len(colours)], marks[i % len(marks)])
    return looks


def _check_columns(table: pd.DataFrame, *columns: str | None) -> None:
    """Refuse a table that lacks a column which is named, and say which is nearest."""
    for column in columns:
        if column is not None:
            check_known(column, table.columns, "column")


def _levels(table: pd.DataFrame, hue: str | None) -> list[tuple]:
    """Each level of hue with its rows, colour and mark; all rows in ink where there is none."""
    if hue is None:
        return [(None, table, INK, "o")]
    looks = look(table[hue], hue)
    return [
        (level, table[table[hue] == level], colour, mark)
        for level, (colour, mark) in looks.items()
    ]


def forest(
    table: pd.DataFrame,
    value: str,
    *,
    label: str,
    hue: str | None = None,
    fill: str | None = None,
    lane: str | None = None,
    base: str | None = None,
    n: str | None = None,
    reference: Mapping[str, float] | None = None,
    margin: Mapping[str, float] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Estimates with their intervals: a row for each label, the levels of hue below each other.

    Parameters
    ----------
    table : DataFrame
        Columns `value`, `label` and those named below; ``<value>_low`` and ``<value>_high`` where
        there is an interval; ``left_out``, which is written where there is no value.
    value, label, hue : str
        Columns: the estimate, the row it stands in, its colour and mark.
    fill : str, optional
        Column whose levels are how a mark is filled: the first whole, the second open. A
        ``conclusion`` stands at the right in words, and its mark is whole.
    lane : str, optional
        Column whose levels stand below each other in a row; those of hue and fill if not given.
    base : str, optional
        Column that an estimate is to be compared with: a stroke across its row.
    n : str, optional
        Column of the answers or images behind a mark, written at the right.
    reference : dict of str to float, optional
        Where a line is drawn, by what is written above it: ``{"allowed": 0.2}``.
    margin : dict of str to float, optional
        Up to where the range is shaded, by what the key calls it.
    ax : Axes, optional
        Where to draw; the current axes if not given.

    Returns
    -------
    Axes

    Examples
    --------
    >>> table = pd.DataFrame({"model": ["a", "b"], "gap": [0.1, 0.3]})
    >>> forest(table, "gap", label="model").get_xlabel()
    'overconfidence (percentage points)'
    """
    _check_columns(table, value, label, hue, fill, lane, base, n)
    ax = ax or plt.gca()
    table = table.reset_index(drop=True)
    _name_rows(ax, look(table[label], label), label)
    below, height = _lanes(table, label, [lane] if lane else [hue, fill])
    place = _places(ax, table[label], label) + below
    kinds = _kinds(table, fill)
    for level, rows, colour, mark in _levels(table, hue):
        for kind, style in kinds.items():
            # rows bear the names of their levels
            is_named = kind == next(iter(kinds)) and hue not in (None, label)
            part = rows[rows[fill] == kind] if fill else rows
            ax.errorbar(
                part[value],
                place[part.index],
                xerr=_arms(part, value),
                fmt=mark,
                markerfacecolor=_face(style, colour),
                color=colour,
                label=label_of(level, hue) if is_named else None,
                elinewidth=1,
            )
    is_written = _is_conclusion(kinds)
    in_key = fill and not is_written  # a conclusion is written beside its mark
    names = {label_of(kind): style for kind, style in kinds.items() if in_key}
    for name, style in names.items():
        ax.plot([], [], "o", color=INK, mfc=_face(style, INK), label=name)
    if base:
        floor = table[base].where(table[value].notna())
        ends = place - height, place + height
        ax.vlines(floor, *ends, color=INK, lw=1.1, zorder=1.5)
        ax.plot([], [], "|", color=INK, ms=9, mew=1.1, label=label_of(base))
    words = table[fill] if is_written else None
    _write_beside(ax, table, value, label=label, n=n, words=words, place=place)
    _mark(ax, reference or {})
    for key, end in (margin or {}).items():
        ax.set_xlim(ax.get_xlim())  # which the shade must not widen
        ax.axvspan(-_FAR, end, color=PALE, alpha=0.6, lw=0, zorder=-1, label=key)
    if table[label].duplicated().any():
        for between in np.arange(0.5, len(ax.get_yticks()) - 1):
            ax.axhline(between, color=PALE, lw=0.6, zorder=0)
    _name_axis(ax.xaxis, value)
    _record(ax, table, x=value, label=label, hue=hue, fill=fill, base=base, n=n)
    return ax


def _lanes(
    table: pd.DataFrame, label: str, columns: list[str | None]
) -> tuple[pd.Series, float]:
    """How far below its row's middle each mark stands, and half of what it may take up."""
    lane = pd.Series(0, table.index)
    n_lanes = 1
    row = [label]
    for column in columns:
        # a level has a lane of its own only where there are several marks without one
        if column and column != label and table.duplicated(row).any():
            levels = [*look(table[column])]
            lane = lane * len(levels) + table[column].astype(object).map(levels.index)
            n_lanes *= len(levels)
            row.append(column)
    if n_lanes == 1:
        return lane * 0.0, 0.3
    # marks of a row stay nearer to one another than to the next row
    half = min(0.38, 0.12 * (n_lanes - 1))
    step = 2 * half / (n_lanes - 1)
    return lane.astype(float) * step - half, 0.42 * step


def lines(
    table: pd.DataFrame,
    x: str,
    y: str,
    *,
    hue: str | None = None,
    fill: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Lines of `y` over `x`, with the intervals that ``<y>_low`` and ``<y>_high`` hold.

    Parameters
    ----------
    table : DataFrame
        Columns `x`, `y`, `hue` and `fill`; rows of a line in any order.
    x, y, hue : str
        Columns: position, value, and what has a colour and a mark of its own.
    fill : str, optional
        Column whose first level is drawn whole, the second dashed with open marks.
    ax : Axes, optional
        Where to draw; the current axes if not given.
    """
    _check_columns(table, x, y, hue, fill)
    ax = ax or plt.gca()
    kinds = _kinds(table, fill)
    levels = _levels(table, hue)
    places = [frozenset(rows[x]) for _, rows, _, _ in levels]
    # marks at the same places stand side by side, so that none hides another's interval
    step = _ASIDE if len(set(places)) == 1 else 0
    for i, (level, rows, colour, mark) in enumerate(levels):
        aside = step * (i - (len(levels) - 1) / 2) / 72
        moved = ScaledTranslation(aside, 0, ax.get_figure().dpi_scale_trans)
        for k, (kind, style) in enumerate(kinds.items()):
            part = rows[rows[fill] == kind] if fill else rows
            part = part.sort_values(x, kind="stable")
            ax.errorbar(
                part[x],
                part[y],
                yerr=_arms(part, y),
                fmt=f"{'-' if style == 'full' else '--'}{mark}",
                markerfacecolor=_face(style, colour),
                color=colour,
                elinewidth=0.8,
                transform=ax.transData + moved,
                label=label_of(level, hue) if hue and k == 0 else None,
            )
    for end in (y, f"{y}_low", f"{y}_high"):
        # matplotlib takes no limits from what was moved
        if end in table:
            ax.update_datalim(table[[x, end]].to_numpy(float))
    if step:
        ax.set_xmargin(_ROOM)
    ax.autoscale_view()
    if fill:
        for kind, style in kinds.items():
            dash = "-o" if style == "full" else "--o"
            face = _face(style, INK)
            ax.plot([], [], dash, color=INK, mfc=face, label=label_of(kind))
    _name_axis(ax.xaxis, x)
    _name_axis(ax.yaxis, y)
    ax.grid(axis="y")
    _record(ax, table, x=x, y=y, hue=hue, fill=fill)
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

    _check_columns(table, x, y, hue)
    ax = ax or plt.gca()
    for level, rows, colour, mark in _levels(table, hue):
        name = label_of(level, hue) if hue else None
        how: dict[str, Any] = {"color": colour, "marker": mark, "label": name}
        how |= {"s": 15, "linewidth": 0, "clip_on": False, "zorder": 2}
        if level in hollow:
            how |= {"facecolor": "white", "edgecolor": colour, "linewidth": 1.1}
            how |= {"zorder": 2.1}
        sns.scatterplot(rows, x=x, y=y, legend=False, ax=ax, **how)
        thin: dict[str, Any] = {"elinewidth": 0.7, "capsize": 0, "zorder": 1.9}
        thin |= {"xerr": _arms(rows, x), "yerr": _arms(rows, y)}
        ax.errorbar(rows[x], rows[y], fmt="none", ecolor=colour, **thin)
    if diagonal:
        ax.plot([0, 1], [0, 1], "--", color=GREY, lw=0.9, zorder=1, label=diagonal)
        ticks = np.linspace(0, 1, 6)
        ends = (-0.04, 1.04)
        ax.set(xlim=ends, ylim=ends, xticks=ticks, yticks=ticks, aspect="equal")
    _name_axis(ax.xaxis, x)
    _name_axis(ax.yaxis, y)
    _record(ax, table, x=x, y=y, hue=hue)
    return ax


def calibration(
    table: pd.DataFrame,
    *,
    model: str | None = None,
    hue: str | None = None,
    scores: pd.DataFrame | None = None,
    curve: Callable | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Reliability diagram: accuracy against confidence, each value, or twentieths of the scale.

    Parameters
    ----------
    table : DataFrame
        Of :func:`medcal_nb.measure.value_table`: a dot for each confidence that at least 1 % of
        the answers have; bars are Wilson intervals. Without `hue`, from the mean confidence down
        to the accuracy goes the overconfidence, with its number.
    model : str, optional
        Whose colour and mark the dots have.
    hue : str, optional
        Column of what is shown in one square, before and after recalibration; in the table for
        each level that of :func:`medcal_nb.measure.value_table`.
    scores : DataFrame, optional
        Of :func:`medcal_nb.measure.metrics_table` by `hue`: ece and slope stand in the square.
    curve : callable, optional
        A map, such as :func:`medcal_nb.correct.fit` returns, drawn over all confidences.
    ax : Axes, optional
        Where to draw; the current axes if not given.
    """
    _check_columns(table, "n", "confidence", "accuracy", hue)
    if scores is not None:
        _check_columns(scores, "ece", "slope", hue)
    ax = ax or plt.gca()
    ax.plot([0, 1], [0, 1], "--", color=GREY, lw=0.9, zorder=1, label="calibrated")
    looks = {None: (INK, "o") if model is None else look([model], "model")[model]}
    shown = _dots(ax, table, looks if hue is None else look(table[hue]), hue)
    if curve is not None:
        grid = np.linspace(0, 1, 201)
        ax.plot(grid, curve(grid), color=GREY, lw=1.2, zorder=1.5, label="the map")
    text = _scores(scores, hue) if scores is not None and hue else ""
    if hue is None:
        values = table[["confidence", "accuracy"]].fillna(0)
        mean, accuracy = np.average(values, 0, table["n"])
        grey: dict[str, Any] = {"color": GREY, "lw": 3, "alpha": 0.5}
        ax.vlines(mean, accuracy, mean, label="overconfidence (points)", **grey)
        text = f"{100 * (mean - accuracy):+.0f} points".replace("-", "−")
    ax.text(0.02, 0.98, text, va="top", transform=ax.transAxes, fontsize=7)
    ticks = np.linspace(0, 1, 6)
    ends = (-0.04, 1.04)
    ax.set(xlim=ends, ylim=ends, xticks=ticks, yticks=ticks, aspect="equal")
    _name_axis(ax.xaxis, "confidence")
    _name_axis(ax.yaxis, "accuracy")
    ax.grid(False)
    too_few = len(table) - len(shown)
    _record(ax, shown, too_few=too_few, x="confidence", y="accuracy", n="n", hue=hue)
    return ax


def _dots(
    ax: Axes, table: pd.DataFrame, looks: Mapping, hue: str | None
) -> pd.DataFrame:
    """Draw the confidences of enough answers of each level with their accuracy; return them."""
    parts = []
    for level, (colour, mark) in looks.items():
        part = table if hue is None else table[table[hue] == level]
        shown = part[part["n"] >= SHARE_OF_A_DOT * part["n"].sum()]
        how: dict[str, Any] = {"ms": 3, "elinewidth": 0.9, "capsize": 1.8, "zorder": 2}
        how |= {"yerr": _arms(shown, "accuracy"), "fmt": mark, "color": colour}
        how |= {"clip_on": False, "label": label_of(level, hue) if hue else None}
        ax.errorbar(shown["confidence"], shown["accuracy"], **how)
        parts.append(shown)
    key = f"value of ≥ {100 * SHARE_OF_A_DOT:g} % of answers, {INTERVAL}"
    # before and after have marks of their own: the bar alone
    fmt = "o" if hue is None else "none"
    thin: dict[str, Any] = {"color": INK, "ecolor": INK, "ms": 3, "elinewidth": 0.9}
    ax.errorbar([], [], yerr=[], fmt=fmt, label=key, **thin)
    return pd.concat(parts)


def _scores(scores: pd.DataFrame, hue: str) -> str:
    """ECE and slope before and after."""
    lines = []
    for when, level in zip(("before", "after"), look(scores[hue]), strict=True):
        row = scores[scores[hue] == level].iloc[0]
        numbers = f"ECE {row['ece']:.3f}, calibration slope {row['slope']:.2f}"
        lines.append(f"{when}: {numbers}".replace("-", "−"))
    return "\n".join(lines)


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
        is the share wrong of all answers; a curve of at most 20 confidences has a mark at each.
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

    _check_columns(table, "coverage", "risk", "base_risk", hue, certified)
    ax = ax or plt.gca()
    for level, rows, colour, mark in _levels(table, hue):
        if rows.empty:
            continue
        ends = ["risk", "risk_low", "risk_high"]
        long = rows.melt("coverage", ends, value_name="value")
        how: dict[str, Any] = {
            "color": colour,
            "label": label_of(level, hue) if hue else None,
            "clip_on": False,  # the last mark lies on the frame
        }
        if len(rows) <= FEW_POINTS:
            how |= {"marker": mark, "markersize": 4, "markeredgewidth": 0}
        # of an estimate and its ends the estimate is the median, the band reaches to the ends
        how |= {"estimator": "median", "errorbar": ("pi", 100), "err_kws": {"lw": 0}}
        sns.lineplot(long, x="coverage", y="value", legend=False, ax=ax, lw=1.2, **how)
    bases = table.drop_duplicates("base_risk")  # one, if curves are of the same answers
    for _, rows, colour, _ in _levels(bases, hue if len(bases) > 1 else None):
        for base in rows["base_risk"]:
            ax.axhline(base, ls=":", color=colour, lw=1, zorder=1)
    ax.plot([], [], ":", color=INK, lw=1, label=label_of("base_risk"))
    ax.fill([], [], color=INK, alpha=0.2, lw=0, label=INTERVAL)
    if allowed is not None:
        name = f"allowed: {percent(allowed)} %"
        ax.axhline(allowed, ls="--", color=GREY, lw=0.9, zorder=1, label=name)
    end = table[certified].max() if certified else 0
    if end > 0:
        corner = ([0, end, end, 0], [0, 0, allowed, allowed])
        # hatched: a plain one would be a band
        hatched: dict[str, Any] = {"facecolor": "none", "hatch": "////", "lw": 0.8}
        ax.fill(*corner, edgecolor=GREY, zorder=0, label="certified", **hatched)
    ax.set(xlim=(0, 1), ylim=(0, None))
    _name_axis(ax.xaxis, "coverage")
    _name_axis(ax.yaxis, "risk")
    ax.set_ylabel(ax.get_ylabel().replace(" (", "\n("))
    _record(ax, table, x="coverage", y="risk", hue=hue, certified=certified)
    return ax


def outcomes(
    table: pd.DataFrame, *, model: str | None = None, ax: Axes | None = None
) -> Axes:
    """How many of the answers have each confidence, and how many of these are correct.

    Parameters
    ----------
    table : DataFrame
        Of :func:`medcal_nb.measure.value_table`.
    model : str, optional
        Whose colour the correct ones have.
    ax : Axes, optional
        Where to draw; the current axes if not given.
    """
    _check_columns(table, "n", "confidence", "accuracy")
    ax = ax or plt.gca()
    colour, _ = (INK, "o") if model is None else look([model], "model")[model]
    share = table["n"] / table["n"].sum()
    correct = (share * table["accuracy"]).fillna(0)
    ax.bar(table["confidence"], share, 0.04, color="white", edgecolor=INK, lw=0.7)
    ax.bar(table["confidence"], correct, 0.04, color=colour, edgecolor=INK, lw=0.7)
    for name, face in (("correct", INK), ("wrong", "white")):
        ax.fill([], [], facecolor=face, edgecolor=INK, lw=0.7, label=name)
    ticks = np.linspace(0, 1, 6)  # as of the diagram above it
    ax.set(xlim=(-0.04, 1.04), xticks=ticks)
    _name_axis(ax.xaxis, "confidence")
    _name_axis(ax.yaxis, "share")
    return ax


def title_and_key(
    fig: Figure,
    title: str,
    *,
    n: pd.Series | None = None,
    of: str = "answers",
    names: Mapping[str, str] | None = None,
    ncols: int = 4,
) -> None:
    """Title, letters of panels and key of a figure, where they stand in every figure.

    Parameters
    ----------
    fig : Figure
        Whose axes are drawn.
    title : str
        What is shown: the name of the data, and of what is measured on them.
    n : Series, optional
        Answers or images of each mark, where they are not written beside the marks.
    of : str
        What `n` counts, and which of them: written below the title.
    names : dict of str to str, optional
        What the key calls a level that the data of this figure have another name for:
        ``{"refitted": "recalibrated on these"}``.
    ncols : int
        Columns of the key, in which what several axes have in common stands once.

    Examples
    --------
    >>> fig = plt.figure()
    >>> title_and_key(fig, "Accuracy on two tests", n=pd.Series([284, 1441]))
    >>> [text.get_text() for text in fig.findobj(Annotation)]
    ['n = 284 to 1,441 answers']
    """
    heading = fig.suptitle(title, x=0.01, ha="left")
    if n is not None:
        heading.set_text(f"{title}\n")  # an empty line, for what stands below it
        below: dict[str, Any] = {"va": "bottom", "fontsize": 8, "color": GREY}
        number = f"{number_of(n)} {of}"
        fig.add_artist(Annotation(number, (0, 0), xycoords=heading, **below))
    keys: dict[str, Any] = {}
    names = names or {}
    vars(fig)["names"] = dict(names)
    for ax in fig.axes:
        for mark, name in zip(*ax.get_legend_handles_labels(), strict=True):
            # what bars are stands in the key once
            alone = mark if INTERVAL in name else getattr(mark, "lines", [mark])[0]
            keys.setdefault(names.get(name, name), alone)
    has_bars = any(part.has_xerr or part.has_yerr for part in _bars(fig))
    if has_bars and not any(INTERVAL in name for name in keys):
        bar = Line2D([], [], color=INK, lw=1, marker="|", ms=5)
        keys[names.get(INTERVAL, INTERVAL)] = bar
    if keys:
        fig.legend(keys.values(), keys.keys(), loc="outside lower center", ncols=ncols)
    _letter_titles(fig)
    fig.draw_without_rendering()
    _level_titles(fig)
    _shift_names_of_lines(fig)


def number_of(n: pd.Series) -> str:
    """Write how many answers or images there are: of one mark, or from the fewest to the most.

    Examples
    --------
    >>> number_of(pd.Series([4549, 4549])), number_of(pd.Series([463, 4549]))
    ('n = 4,549', 'n = 463 to 4,549')
    """
    fewest, most = int(n.min()), int(n.max())
    return f"n = {fewest:,}" if fewest == most else f"n = {fewest:,} to {most:,}"


def axis_label(column: str) -> str:
    """What an axis of a column says: its words, its unit and which way is better.

    Examples
    --------
    >>> axis_label("test_risk")
    'wrong, of the answers retained (%, lower: better)'
    """
    words = AXES.get(column) or label_of(column).replace("_", " ")
    return words + _unit(column)


def stacked(
    table: pd.DataFrame, columns: list[str], *, name: str, value: str
) -> pd.DataFrame:
    """Estimates that stand in columns side by side below each other, with their intervals.

    Parameters
    ----------
    table : DataFrame
    columns : list of str
        The estimates.
    name, value : str
        Columns of the result: which estimate it is, and the estimate.

    Examples
    --------
    >>> table = pd.DataFrame({"kind": ["x"], "accuracy": [0.5], "mean_confidence": [0.9]})
    >>> both = stacked(table, ["accuracy", "mean_confidence"], name="metric", value="share")
    >>> both.to_numpy().tolist()
    [['x', 'accuracy', 0.5], ['x', 'mean_confidence', 0.9]]
    """
    _check_columns(table, *columns)
    ends = ("", "_low", "_high")
    of_all = [column + end for column in columns for end in ends]
    parts = []
    for column in columns:
        part = table.drop(columns=of_all, errors="ignore").assign(**{name: column})
        for end in ends:
            if column + end in table:
                part[value + end] = table[column + end]
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def _letter_titles(fig: Figure) -> None:
    """A letter before each title, where there are several."""
    titled = [ax for ax in fig.axes if ax.get_title("left")]
    if len(titled) == 1:
        return
    for letter, ax in zip(ascii_lowercase, titled, strict=False):
        ax.set_title(f"{letter}  {ax.get_title('left')}", loc="left")


def _shift_names_of_lines(fig: Figure) -> None:
    """Let the name of a line begin, or end, at it where it would leave its axes."""
    for ax in fig.axes:
        frame = ax.get_window_extent()
        for above in ax.child_axes:
            for name in above.get_xticklabels():
                box = name.get_window_extent()
                if box.x0 < frame.x0:
                    name.set_ha("left")
                elif box.x1 > frame.x1:
                    name.set_ha("right")


def _level_titles(fig: Figure) -> None:
    """Bring titles of a row of panels to one height, whatever stands below them."""
    panels = [ax for ax in fig.axes if ax.get_subplotspec()]
    heights = pd.Series({ax: ax.title.get_position()[1] for ax in panels}, dtype=float)
    rows = [ax.get_subplotspec().rowspan.start for ax in panels]
    highest = heights.groupby(rows).transform("max")
    for ax, height in highest[heights < highest].items():
        ax.set_title(ax.get_title("left"), y=height)


def _bars(fig: Figure) -> list:
    """Every estimate with its bars."""
    parts = [part for ax in fig.axes for part in ax.containers]
    return [part for part in parts if hasattr(part, "has_xerr")]


def _kinds(table: pd.DataFrame, fill: str | None) -> dict[object, str]:
    """How a mark of each level of fill is filled: by its place, a conclusion's whole."""
    if fill is None:
        return {None: "full"}
    levels = [*look(table[fill].dropna())]
    if _is_conclusion(levels):
        return dict.fromkeys(levels, "full")
    return dict(zip(levels, cycle(_FILLS)))


def _face(style: str, colour: str) -> str:
    """Colour inside a mark: an open one is white, so that its bar ends at its outline."""
    return colour if style == "full" else "white"


def _is_conclusion(kinds: Iterable) -> bool:
    """Whether these are conclusions, which a mark has beside it in words."""
    return any(kind in CONCLUDED for kind in kinds)


def _write_beside(
    ax: Axes,
    table: pd.DataFrame,
    value: str,
    *,
    label: str,
    n: str | None,
    words: pd.Series | None,
    place: pd.Series,
) -> None:
    """The number behind each mark and what was concluded of it, right of the axes.

    Where there is no mark, it says why.
    """
    small: dict[str, Any] = {"fontsize": _SMALL, "color": GREY}
    at_row: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "va": "center"}
    beside: dict[str, Any] = {"textcoords": "offset points"}
    at_head: dict[str, Any] = {"xycoords": "axes fraction", "va": "bottom"}
    if n:
        ax.annotate(label_of(n), (1, 1.01), (4, 0), **beside, **small, **at_head)
        for row, number in _once(table[n], table[label], place):
            if number > 0:
                text = f"{number:,.0f}"
                ax.annotate(text, (1, row), (4, 0), **beside, **small, **at_row)
    if words is not None:
        right = 36 if n else 4  # of the numbers
        ax.annotate(
            label_of(words.name), (1, 1.01), (right, 0), **beside, **small, **at_head
        )
        for row, word in zip(place, words.fillna(""), strict=True):
            ax.annotate(word, (1, row), (right, 0), **beside, **small, **at_row)
    if "left_out" in table:
        reasons = table["left_out"].where(table[value].isna(), "")
        for row, reason in _once(reasons, table[label], place):
            if reason:
                ax.annotate(reason, (0.5, row), ha="center", **small, **at_row)


def _once(texts: pd.Series, labels: pd.Series, place: pd.Series) -> list:
    """Where each text stands: once in the middle of a row whose marks all have the same."""
    is_one = texts.groupby(labels, observed=True).transform("nunique") == 1
    rows = place.mask(is_one, place.round())
    placed = pd.DataFrame({"row": rows, "text": texts})
    return placed.drop_duplicates().to_numpy().tolist()


def _record(
    ax: Axes,
    table: pd.DataFrame,
    *,
    too_few: int = 0,
    **columns: str | None,
) -> None:
    """Leave on the axes what was drawn: columns by their part, marks, and rows without one."""
    named = {part: column for part, column in columns.items() if column}
    value = named.get("y", named["x"])
    is_drawn = table[value].notna()
    drawn: dict[str, Any] = {"columns": named, "marks": int(is_drawn.sum())}
    low = f"{value}_low"
    drawn["bars"] = low in table and bool(table[low].notna().any())
    drawn["too_few"] = too_few
    drawn["left_out"] = {}
    if "left_out" in table:
        drawn["left_out"] = table.loc[~is_drawn, "left_out"].value_counts().to_dict()
    for part in ("hue", "fill"):
        drawn[part] = {}
        if part in named:
            counts = table.loc[is_drawn, named[part]].astype(str).value_counts()
            drawn[part] = {name: int(n) for name, n in counts.items() if n}
    vars(ax).setdefault("drawn", []).append(drawn)


def _mark(ax: Axes, reference: Mapping[str, float]) -> None:
    """Lines across the rows, with their names above them."""
    places = list(reference.values())
    for place in places:
        ax.axvline(place, color=GREY, lw=0.9, zorder=0.6)  # on the grid
    if places:
        above = ax.secondary_xaxis("top")  # which a title makes room for
        above.set_xticks(places, list(reference))
        above.tick_params(length=0, pad=1, labelcolor=GREY)
        above.spines["top"].set_visible(False)


def _arms(table: pd.DataFrame, name: str) -> np.ndarray | None:
    """(2, n) how far a column's interval reaches below and above it; None without one."""
    if f"{name}_low" not in table:
        return None
    below = table[name] - table[f"{name}_low"]
    above = table[f"{name}_high"] - table[name]
    return np.clip([below, above], 0, None)


def _name_rows(ax: Axes, names: Iterable, column: str) -> None:
    """A row for each name, from the top; axes that share the y axis share their rows."""
    ax.yaxis.update_units([label_of(name, column) for name in names])
    ax.set_ylim(len(ax.get_yticks()) - 0.5, -0.5)
    ax.grid(axis="x")


def _places(ax: Axes, names: pd.Series, column: str) -> np.ndarray:
    """(n,) the row of each name."""
    return np.asarray(ax.convert_yunits([label_of(name, column) for name in names]))


def _name_axis(axis: mpl.axis.Axis, column: str) -> None:
    """Label an axis by its column, its unit and which way is better."""
    axis.set_label_text(axis_label(column))
    if column in UNITS:
        axis.set_major_formatter(
            lambda value, _: f"{100 * value:.4g}".replace("-", "−")
        )


def _unit(column: str) -> str:
    """The unit of a column and which way is better, in brackets."""
    words = []
    if column in UNITS:
        words.append(UNITS[column].replace("points", "percentage points"))
    if column in BETTER:
        words.append(f"{BETTER[column]}: better")
    return f" ({', '.join(words)})" if words else ""


def __dir__() -> list[str]:
    return __all__
