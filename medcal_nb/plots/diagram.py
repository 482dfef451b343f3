"""Reliability diagrams, and how many answers have each confidence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from medcal_nb.labels import label_of
from medcal_nb.measure.decimals import half_up
from medcal_nb.wording import percent

from .marks import (
    ENDS,
    GREY,
    INK,
    INTERVAL,
    TICKS,
    arms,
    check_columns,
    diagonal,
    interval_swatch,
    look,
    name_axis,
    record,
)

#: Share of the answers below which a confidence has no dot of its own.
SHARE_OF_A_DOT = 0.01
_BELOW = 32  # points, from the square to what stands below its axis
_JOINT = "#A8A8A8"  # paler than bars
_SCORES = ("mean_confidence", "accuracy", "brier")


def calibration(
    table: pd.DataFrame,
    *,
    model: str | None = None,
    hue: str | None = None,
    joined: str | None = None,
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
        Column of what is shown in one square, before and after recalibration, as in
        :func:`medcal_nb.measure.recalibration_table`.
    joined : str, optional
        Column that is equal where marks of two levels are of the same answers: a line joins them,
        and their bar, which is the same, stands at the first.
    scores : DataFrame, optional
        Of :func:`medcal_nb.measure.metrics_table` by `hue`: mean_confidence, accuracy and brier
        stand below the square, where they hide no mark.
    curve : callable, optional
        A recalibration map, such as :func:`medcal_nb.correct.fit` returns, drawn from the lowest
        confidence of the table to the highest, of several levels of the first: it has seen no
        answer beyond.
    ax : Axes, optional
        Where to draw; the current axes if not given.
    """
    check_columns(table, "n", "confidence", "accuracy", hue, joined)
    if scores is not None:
        check_columns(scores, *_SCORES, hue)
    ax = ax or plt.gca()
    diagonal(ax, "calibrated")
    looks = {None: (INK, "o") if model is None else look([model], "model")[model]}
    shown = _dots(ax, table, looks if hue is None else look(table[hue]), hue, joined)
    if curve is not None:
        grid = np.linspace(*_range_before(table, hue), 201)
        # its colour is that of neither bars nor joints
        fitted, _ = look(["refitted"])["refitted"]
        how: dict[str, Any] = {"color": fitted, "lw": 1.1, "alpha": 0.75}
        ax.plot(grid, curve(grid), zorder=1.5, label="the map", **how)
    if scores is not None and hue:
        below: dict[str, Any] = {"xytext": (0, -_BELOW), "va": "top", "fontsize": 7}
        below |= {"xycoords": "axes fraction", "textcoords": "offset points"}
        ax.annotate(_scores(scores, hue, shown), (0, 0), **below)
    if hue is None:
        values = table[["confidence", "accuracy"]].fillna(0)
        mean, accuracy = np.average(values, 0, table["n"])
        grey: dict[str, Any] = {"color": GREY, "lw": 3, "alpha": 0.5}
        ax.vlines(mean, accuracy, mean, label="overconfidence (points)", **grey)
        points = half_up(100 * (mean - accuracy))
        text = f"{points:+z.0f} points".replace("-", "−")
        ax.text(0.02, 0.98, text, va="top", transform=ax.transAxes, fontsize=7)
    name_axis(ax.xaxis, "confidence")
    name_axis(ax.yaxis, "accuracy")
    ax.grid(False)
    too_few = len(table) - len(shown)
    record(ax, shown, too_few=too_few, x="confidence", y="accuracy", n="n", hue=hue)
    return ax


def _range_before(table: pd.DataFrame, hue: str | None) -> tuple[float, float]:
    """The lowest and the highest confidence, of several levels that of the first."""
    if hue is not None:
        before, *_ = look(table[hue])
        table = table[table[hue] == before]
    return table["confidence"].min(), table["confidence"].max()


def _dots(
    ax: Axes,
    table: pd.DataFrame,
    looks: Mapping,
    hue: str | None,
    joined: str | None,
) -> pd.DataFrame:
    """Draw the confidences of enough answers of each level with their accuracy; return them."""
    parts: list[pd.DataFrame] = []
    for level, (colour, mark) in looks.items():
        part = table if hue is None else table[table[hue] == level]
        shown = part[part["n"] >= SHARE_OF_A_DOT * part["n"].sum()]
        how: dict[str, Any] = {"ms": 3, "elinewidth": 0.9, "capsize": 1.8, "zorder": 2}
        if not (joined and parts):  # the same answers have their bar
            how["yerr"] = arms(shown, "accuracy")
        how |= {"fmt": mark, "color": colour, "clip_on": False}
        how["label"] = label_of(level, hue) if hue else None
        ax.errorbar(shown["confidence"], shown["accuracy"], **how)
        parts.append(shown)
    key = f"value of ≥ {100 * SHARE_OF_A_DOT:g} % of answers, {INTERVAL}"
    if joined:
        first, second = parts
        pairs = first.merge(second, on=joined, suffixes=("", "_after"))
        ends = pairs["confidence_after"], pairs["confidence"]
        thin: dict[str, Any] = {"color": _JOINT, "lw": 0.9, "ls": ":", "zorder": 1.2}
        of = f"same answers, of one value (≥ {100 * SHARE_OF_A_DOT:g} %)"
        ax.hlines(pairs["accuracy"], *ends, label=of, **thin)
        key = INTERVAL
    if hue is None:
        thin = {"color": INK, "ms": 3, "elinewidth": 0.9, "capsize": 1.8}
        nowhere = [np.nan]  # a bar of no length in the key has no caps
        ax.errorbar(nowhere, nowhere, yerr=nowhere, fmt="o", label=key, **thin)
    else:  # before and after have marks of their own: the bar alone
        ax.add_container(interval_swatch(key))
    return pd.concat(parts)


def _scores(scores: pd.DataFrame, hue: str, shown: pd.DataFrame) -> str:
    """Means and Brier scores before and after, the range shown, the accuracy, which stays."""
    lines = []
    for when, level in zip(("before", "after"), look(scores[hue]), strict=True):
        row = scores[scores[hue] == level].iloc[0]
        mean = f"mean confidence {percent(row['mean_confidence'])} %"
        lines.append(f"{when}: {mean}, Brier score {row['brier']:.3f}")
        low, high = shown.loc[shown[hue] == level, "confidence"].agg(["min", "max"])
        lines.append(f"    marks from {percent(low)} to {percent(high)} %")
    lines.append(f"accuracy {percent(scores['accuracy'].iloc[0])} %")
    return "\n".join(lines)


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
    check_columns(table, "n", "confidence", "accuracy")
    ax = ax or plt.gca()
    colour, _ = (INK, "o") if model is None else look([model], "model")[model]
    share = table["n"] / table["n"].sum()
    correct = (share * table["accuracy"]).fillna(0)
    ax.bar(table["confidence"], share, 0.04, color="white", edgecolor=INK, lw=0.7)
    ax.bar(table["confidence"], correct, 0.04, color=colour, edgecolor=INK, lw=0.7)
    for name, face in (("correct", INK), ("wrong", "white")):
        ax.fill([], [], facecolor=face, edgecolor=INK, lw=0.7, label=name)
    ax.set(xlim=ENDS, xticks=TICKS)  # as of the diagram above it
    name_axis(ax.xaxis, "confidence")
    name_axis(ax.yaxis, "share")
    return ax
