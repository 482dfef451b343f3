"""Charts of tidy tables: each draws on axes and returns them; matplotlib does the rest.

A column's interval stands in the columns ``<name>_low`` and ``<name>_high``. One model, method or
condition has one colour and one mark in every figure (`look`), and stands in one order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import cycle
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from medcal_nb.labels import BETTER, LOOKS, UNITS, label_of

__all__ = [
    "calibration",
    "dumbbell",
    "forest",
    "lines",
    "look",
    "outcomes",
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
_DASHES = ("-", "--", "-.", ":")
_MARKS_OF_MODELS = "PX*<>h"
_FILLS = ("full", "none", "left", "right", "top", "bottom")

#: Share of the answers below which a confidence has no dot of its own.
SHARE_OF_A_DOT = 0.01
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
    names = list(dict.fromkeys(levels))
    others = [name for name in names if name not in LOOKS]
    looks: dict[object, tuple[str, str]] = {}
    for name, (colour, mark) in LOOKS.items():
        if name in names:
            looks[name] = (colour, mark)
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
    reference: Mapping[str, float] | None = None,
    margin: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Estimates with their intervals: a row for each label, the levels of hue below each other.

    Parameters
    ----------
    table : DataFrame
        Columns `value`, `label`, `hue` and `fill`; ``<value>_low`` and ``<value>_high`` where
        there is an interval.
    value, label, hue : str
        Columns: the estimate, the row it stands in, its colour and mark.
    fill : str, optional
        Column whose levels are how a mark is filled: whole, not, by halves; from the seventh on
        they are told apart by their place alone.
    reference : dict of str to float, optional
        Where a line is drawn, by what is written above it: ``{"allowed": 0.2}``.
    margin : float, optional
        The range up to it is shaded.
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
    ax = ax or plt.gca()
    _name_rows(ax, look(table[label], label), label)
    levels = _levels(table, hue)
    kinds: dict[object, str] = {None: "full"}
    if fill:
        kinds = dict(zip(look(table[fill]), cycle(_FILLS)))
    is_shared = table[label].duplicated().any()
    # marks of a row stay nearer to one another than to the next row
    half = min(0.33, 0.12 * (len(levels) - 1)) if is_shared else 0
    lanes = iter(np.linspace(-half, half, len(levels) * len(kinds)))
    for level, rows, colour, mark in levels:
        for kind, style in kinds.items():
            part = rows[rows[fill] == kind] if fill else rows
            ax.errorbar(
                part[value],
                _places(ax, part[label], label) + next(lanes),
                xerr=_arms(part, value),
                fmt=mark,
                fillstyle=style,
                color=colour,
                label=label_of(level, hue) if style == "full" else None,
                elinewidth=1,
            )
    if fill:
        for kind, style in kinds.items():
            ax.plot([], [], "o", color=INK, fillstyle=style, label=label_of(kind))
    _mark(ax, reference or {})
    if margin is not None:
        ax.set_xlim(ax.get_xlim())  # which the shade must not widen
        ax.axvspan(ax.get_xlim()[0], margin, color=PALE, lw=0, zorder=-1)
    if is_shared:
        for between in np.arange(0.5, len(ax.get_yticks()) - 1):
            ax.axhline(between, color=PALE, lw=0.6, zorder=0)
    _name_axis(ax.xaxis, value)
    return ax


def dumbbell(
    table: pd.DataFrame,
    first: str,
    second: str,
    *,
    label: str,
    ax: Axes | None = None,
) -> Axes:
    """Two estimates of each label, joined by a line, each with its interval.

    Parameters
    ----------
    table : DataFrame
        Columns `first`, `second`, `label` and the ends of their intervals.
    first, second, label : str
        Columns; the first is drawn filled, the second open.
    ax : Axes, optional
        Where to draw; the current axes if not given.
    """
    ax = ax or plt.gca()
    _name_rows(ax, look(table[label], label), label)
    y = _places(ax, table[label], label)
    between = "difference"
    ax.hlines(y, table[first], table[second], color=PALE, lw=3, zorder=0, label=between)
    for name, face, offset in ((first, INK, -0.14), (second, "white", 0.14)):
        ax.errorbar(
            table[name],
            y + offset,
            xerr=_arms(table, name),
            fmt="o",
            color=INK,
            mfc=face,
            elinewidth=0.8,
            label=label_of(name),
        )
    _name_axis(ax.xaxis, first)
    ax.set_xlabel(f"{label_of(first)} and {label_of(second)}{_unit(first)}")
    return ax


def lines(
    table: pd.DataFrame,
    x: str,
    y: str,
    *,
    hue: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Lines of `y` over `x`, with the bands that ``<y>_low`` and ``<y>_high`` hold.

    Parameters
    ----------
    table : DataFrame
        Columns `x`, `y`, `hue`; rows of a line in any order.
    x, y, hue : str
        Columns: position, value, and what has a colour of its own.
    ax : Axes, optional
        Where to draw; the current axes if not given.
    """
    ax = ax or plt.gca()
    for i, (level, rows, colour, _) in enumerate(_levels(table, hue)):
        part = rows.sort_values(x)
        name = label_of(level, hue) if hue else None
        form = _DASHES[i % len(_DASHES)]
        ax.plot(part[x], part[y], form, color=colour, label=name)
        if f"{y}_low" in part:
            ends = part[f"{y}_low"], part[f"{y}_high"]
            ax.fill_between(part[x], *ends, color=colour, alpha=0.12, lw=0)
    _name_axis(ax.xaxis, x)
    _name_axis(ax.yaxis, y)
    ax.grid(axis="y")
    return ax


def calibration(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Accuracy against confidence in a square: each value, or twentieths of the scale.

    Parameters
    ----------
    table : DataFrame
        Of :func:`medcal_nb.measure.value_table`: a dot for each confidence that at least 1 % of
        the answers have; its area grows with them, bars are Wilson intervals.
    ax : Axes, optional
        Where to draw; the current axes if not given.
    """
    import seaborn as sns

    ax = ax or plt.gca()
    ax.plot([0, 1], [0, 1], "--", color=GREY, lw=0.9, zorder=1, label="calibrated")
    shown = table[table["n"] >= SHARE_OF_A_DOT * table["n"].sum()]
    ax.errorbar(
        shown["confidence"],
        shown["accuracy"],
        yerr=_arms(shown, "accuracy"),
        fmt="none",
        color=INK,
        elinewidth=0.9,
        zorder=2,
        label="95 % CI",
    )
    # an area grows with its answers, from none
    sns.scatterplot(
        shown,
        x="confidence",
        y="accuracy",
        size="n",
        size_norm=(0, shown["n"].max()),
        sizes=(5, 85),
        color=GREY,
        zorder=1.5,  # behind the bars
        clip_on=False,
        label=f"≥ {100 * SHARE_OF_A_DOT:g} % of answers (area: how many)",
        legend=False,
        ax=ax,
    )
    ticks = np.linspace(0, 1, 6)
    ax.set(
        xlim=(-0.04, 1.04),
        ylim=(-0.04, 1.04),
        xticks=ticks,
        yticks=ticks,
        aspect="equal",
    )
    _name_axis(ax.xaxis, "confidence")
    _name_axis(ax.yaxis, "accuracy")
    ax.grid(False)
    return ax


def outcomes(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """How many answers are correct (up) and wrong (down) at each confidence.

    Parameters
    ----------
    table : DataFrame
        Of :func:`medcal_nb.measure.value_table`.
    ax : Axes, optional
        Where to draw; the current axes if not given.
    """
    ax = ax or plt.gca()
    correct = (table["n"] * table["accuracy"]).fillna(0).round()
    wrong = table["n"] - correct
    place = table["confidence"]
    ax.bar(place, correct, 0.04, color=INK, label="correct")
    ax.bar(place, -wrong, 0.04, color="white", edgecolor=INK, lw=0.7, label="wrong")
    ax.axhline(0, color=INK, lw=0.6)
    ax.yaxis.set_major_formatter(lambda value, _: f"{abs(value):,.0f}")
    ticks = np.linspace(0, 1, 6)  # as of the diagram above it
    ax.set(xlim=(-0.04, 1.04), xticks=ticks, ylabel="answers: correct, wrong")
    _name_axis(ax.xaxis, "confidence")
    return ax


def _mark(ax: Axes, reference: Mapping[str, float]) -> None:
    """Lines across the rows, with their names above them."""
    places = list(reference.values())
    for place in places:
        ax.axvline(place, color=GREY, lw=0.9, zorder=0)
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
    axis.set_label_text(f"{label_of(column).replace('_', ' ')}{_unit(column)}")
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
