"""Ink on one pair of axes: each ``plot_*`` takes a tidy table and the axes to draw on.

Nothing here computes a statistic, saves a file, shows a window or invents a title: tables come
from ``medcal_nb.measure`` and ``medcal_nb.correct``, and figures, their look and what they find
from :mod:`medcal_nb.show.facets`.
"""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd

from medcal_nb.show.look import (
    BLACK,
    GREY,
    LIME,
    MOSS,
    PALE,
    PINK,
    SMALL,
    VIOLET,
    Look,
    figure,
    looks,
    strategy_family,
    style,
)
from medcal_nb.show.words import estimate, label_of, percent

MOST_NAMES = 5
"""Names written beside points of a scatter: more cannot be read at a glance."""

FEW = 0.02
"""Share of answers below which a bin says nothing by itself."""

ABOVE = "words above the axes"
"""Marks lines of words that a title must stay above."""

_PAPER = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.8}


def height_of_rows(n: int) -> float:
    """Return the inches in which n rows with labels can be read: one row fits, too."""
    return 1.0 + 0.24 * max(n, 1)


def _groups(table, hue):
    """Return ``(level, rows, look)`` of each level; one nameless group without a hue."""
    if hue is None:
        return [(None, table, looks(["one"])["one"])]
    looked = looks(table[hue])
    return [(level, table[table[hue] == level], look) for level, look in looked.items()]


def _arms(table, name, ends=None):
    """Return how far the interval of a column reaches below and above it, None without one."""
    low, high = (f"{ends or name}_{end}" for end in ("low", "high"))
    if low not in table:
        return None
    reach = [table[name] - table[low], table[high] - table[name]]
    return np.clip(np.asarray(reach, dtype=float), 0, None)


def _line(ax, table, x, y, name, look, ends=None, **ink):
    """Draw a line and its band; return ``(y, name, colour)`` of its end."""
    table = table.sort_values(x)
    ax.plot(table[x], table[y], color=look.colour, ls=look.line, **ink)
    low, high = ends or (f"{y}_low", f"{y}_high")
    if low in table:
        ax.fill_between(
            table[x], table[low], table[high], color=look.colour, alpha=0.14, lw=0
        )
    return table[y].iloc[-1], name, look.colour


def _dots(ax, table, x, y, hue, **ink) -> None:
    """Draw dots with their intervals both ways."""
    ink = {"mec": "white", "mew": 0.5, "elinewidth": 0.6} | ink
    for level, part, look in _groups(table, hue):
        ink |= {"fmt": look.marker, "color": look.colour, "label": label_of(level)}
        ax.errorbar(part[x], part[y], _arms(part, y), _arms(part, x), **ink)


def _percent_axis(axis, label: str) -> None:
    """Count an axis of shares in percent and say so in its label."""
    axis.set_major_formatter(lambda value, _: f"{100 * value:.0f}")
    axis.set_label_text(f"{label}, %")


def _for_words(colour):
    """Return a colour that can be read as thin letters on white: light inks are darkened."""
    from matplotlib.colors import to_rgb

    return tuple(0.62 * v for v in to_rgb(colour)) if colour in (LIME, PINK) else colour


def _number_axis(axis) -> None:
    """Write the numbers of a logarithmic axis out, and only those of the main ticks."""
    from matplotlib.ticker import NullFormatter

    axis.set_major_formatter(lambda value, _: f"{value:,g}")
    axis.set_minor_formatter(NullFormatter())


def _apart(values, sizes):
    """Return places moved as little as keeps things of these sizes apart, within 0 and 1."""
    from scipy.optimize import isotonic_regression

    order = np.argsort(values, kind="stable")
    sizes = np.asarray(sizes, dtype=float)
    # in a pile, from 0 upwards; what the places are above it may only rise
    pile = np.cumsum(sizes[order]) - sizes[order] / 2
    above = isotonic_regression(np.asarray(values, dtype=float)[order] - pile).x
    places = np.empty(len(order))
    places[order] = np.clip(above, -0.05, max(-0.05, 1.05 - sizes.sum())) + pile
    return places


def _inches(ax):
    """Return how wide and tall axes will be, about: they are laid out when they are drawn."""
    return ax.get_window_extent().size / ax.figure.dpi


def _letter(ax) -> float:
    """Return how tall small letters are, as a share of the axes."""
    return SMALL / max(0.8 * 72 * _inches(ax)[1], 1)


def _write(ax, text, at, place, colour, leader, **more) -> None:
    """Write a name at a place, in shares of the axes, and a thin line to what it names."""
    line = leader and {"arrowstyle": "-", "shrinkA": 0, **leader}
    more |= {
        "color": _for_words(colour),
        "fontsize": SMALL,
        "va": "center",
        "arrowprops": line,
    }
    ax.annotate(text, at, place, textcoords="axes fraction", **more)


def _name_ends(ax, ends) -> None:
    """Write names at the right of lines, apart from each other: ``(y, name, colour)`` each."""
    values, names, colours = zip(*ends, strict=True)
    low, high = ax.get_ylim()
    at = (np.array(values) - low) / (high - low)
    texts = [
        "\n".join(textwrap.fill(line, 30) for line in label_of(name).split("\n"))
        for name in names
    ]
    sizes = [(text.count("\n") + 1.1) * 1.3 * _letter(ax) for text in texts]
    for text, y, there, colour in zip(
        texts, at, _apart(at, sizes), colours, strict=True
    ):
        # where many lines meet, leaders would cross the names
        leader = (
            None if abs(there - y) > 0.1 else {"color": PALE, "lw": 0.7, "shrinkB": 0}
        )
        _write(
            ax, text, (1, y), (1.03, there), colour, leader, xycoords="axes fraction"
        )


def _name_points(ax, points) -> None:
    """Write names beside points, ``(x, y, name, colour)`` each, apart in height."""
    places = ax.transAxes.inverted().transform(
        ax.transData.transform([p[:2] for p in points])
    )
    heights = _apart(places[:, 1], [1.5 * _letter(ax)] * len(points))
    leader = {"color": GREY, "lw": 0.5, "shrinkB": 2}
    for (*at, name, colour), (x, _), y in zip(points, places, heights, strict=True):
        aside, side = (-0.05, "right") if x > 0.6 else (0.05, "left")
        _write(
            ax, label_of(name), at, (x + aside, y), colour, leader, ha=side, bbox=_PAPER
        )


def _key(ax) -> None:
    """Set the key above the axes, in one line where the names are short enough."""
    found = dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    fit = int(13 * _inches(ax)[0] // (max(map(len, found), default=0) + 4))
    place = {"loc": "lower left", "bbox_to_anchor": (-0.02, 1.0), "handletextpad": 0.3}
    near = {
        "ncols": max(1, min(len(found), fit)),
        "handlelength": 1.3,
        "columnspacing": 0.8,
    }
    ax.legend(found.values(), found.keys(), **place, **near)


def plot_reliability(table, *, ax=None, hue=None):
    """Draw accuracy against confidence for one group or several, in one square; return the axes.

    Light bands are where a calibrated model's dots would fall by chance, bars below the shares
    of answers. Each group is told in words: what it says and how often it is right. Bins of less
    than 2 % of the answers are small dots without a band or an interval.

    Parameters
    ----------
    table : pandas.DataFrame
        From :func:`medcal_nb.measure.reliability_table`, and ``hue``.
    ax : matplotlib axes, optional
        A figure of its own is made without.
    hue : str, optional
        Column of the groups, such as ``domain``.
    """
    if ax is None:
        with style():
            return plot_reliability(table, ax=figure("half", 3.6)[1], hue=hue)
    rows = table[table["n"] > 0]
    ax.plot([0, 1], [0, 1], color=GREY, lw=0.9, zorder=1)
    strip = ax.inset_axes([0, -0.17, 1, 0.14])
    groups = _groups(rows, hue)
    said = []
    for k, (level, part, look) in enumerate(groups):
        share = part["n"] / part["n"].sum()
        wide = (part["high"] - part["low"]) / len(groups)
        many = part[share >= FEW]
        for row in many.itertuples():
            band = (row.band_low, row.band_high)
            ax.fill_between(
                [row.low, row.high], *band, color=look.colour, alpha=0.14, lw=0
            )
        ink = {
            "color": look.colour,
            "marker": look.marker,
            "ls": look.line,
            "elinewidth": 0.8,
        }
        dots = many["mean_confidence"], many["accuracy"], _arms(many, "accuracy", "acc")
        ax.errorbar(*dots, **ink, clip_on=False, zorder=3)
        few = part[share < FEW]
        if len(few):
            places = few["mean_confidence"], few["accuracy"]
            ax.scatter(*places, 6, look.colour, look.marker, alpha=0.5, clip_on=False)
        place = {"align": "edge", "color": look.colour, "lw": 0}
        strip.bar(part["low"] + k * wide, share, width=0.92 * wide, **place)
        columns = ("mean_confidence", "accuracy")
        says, right = (np.average(part[name], weights=part["n"]) for name in columns)
        name = "" if level is None else f"{label_of(level)}: "
        said.append(
            (f"{name}says {percent(says)}, right {percent(right)}", look.colour)
        )
    narrow = _inches(ax)[0] < 1.9
    ticks = np.linspace(0, 1, 3 if narrow else 6)
    ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xticks=ticks, yticks=ticks)
    ax.tick_params(labelbottom=False)
    strip.set(xlim=(0, 1), xticks=ticks, yticks=[])
    strip.spines["left"].set_visible(False)
    _percent_axis(ax.yaxis, "accuracy")
    strip.set_ylabel("answers", rotation=0, ha="right", va="center", fontsize=SMALL)
    _percent_axis(strip.xaxis, "confidence")
    left, size = (-36, {"fontsize": SMALL}) if narrow else (-24, {"weight": "bold"})
    for k, (words, colour) in enumerate(reversed(said)):
        place = {"xycoords": "axes fraction", "textcoords": "offset points"}
        ax.annotate(
            words, (0, 1), (left, 5 + 11 * k), color=colour, gid=ABOVE, **place, **size
        )
    return ax


def plot_icons(table, *, ax):
    """Draw 100 answers as icons: right, wrong, and wrong though the model was sure.

    Parameters
    ----------
    table : pandas.DataFrame
        ``outcome`` in the order right, wrong, confidently wrong, as it is to be called; and
        ``count``, in any unit: drawn are the nearest whole numbers that add to 100.
    """
    exact = 100 * table["count"].to_numpy(dtype=float) / table["count"].sum()
    whole = np.floor(exact).astype(int)
    whole[np.argsort(whole - exact, kind="stable")[: 100 - whole.sum()]] += 1
    kinds = [
        {"facecolor": PALE, "edgecolor": PALE, "marker": "o"},
        {"facecolor": "white", "edgecolor": PINK, "marker": "o", "linewidth": 1.6},
        {"facecolor": VIOLET, "edgecolor": VIOLET, "marker": "X"},
    ]
    place = np.arange(100)
    start = 0
    size = 0.062 * 72 * min(_inches(ax) * (1, 0.8))
    for k, (name, n) in enumerate(zip(table["outcome"], whole, strict=True)):
        here = place[start : start + n]
        ax.scatter(
            here % 10, here // 10, s=size**2, label=f"{n} {name}", **kinds[k % 3]
        )
        start += n
    ax.set(xlim=(-0.6, 9.6), ylim=(9.6, -0.6), aspect="equal")
    ax.set_axis_off()
    below = {"loc": "upper left", "bbox_to_anchor": (-0.03, 0.0), "markerscale": 0.8}
    ax.legend(**below, handletextpad=0.2, labelspacing=0.3, borderaxespad=0)


def plot_dumbbells(table, *, ax, margin, xlabel=""):
    """Draw each model's loss as stated, with general labels and with medical labels.

    Parameters
    ----------
    table : pandas.DataFrame
        ``label`` (a row each, first on top), ``stage`` (``as stated``, ``general labels``,
        ``medical labels``: the last is what the margin is held against), ``value, low, high`` and
        ``conclusion``, a few words per label.
    margin : float
        How much worse than medical labels still counts as carried over: shaded.
    """
    rows = table.groupby("label", sort=False)
    up = 0.16 * (rows.cumcount() - (rows["value"].transform("size") - 1) / 2)
    table = table.assign(row=rows.ngroup(), y=rows.ngroup() + up)
    most = rows["value"].max()
    least = rows["value"].min()
    ax.hlines(range(len(rows)), least, most, color=GREY, lw=0.8, zorder=2)
    for stage, part, look in _groups(table, "stage"):
        name = label_of(stage)
        ink = {"color": look.colour}
        ax.hlines(part["y"], part["low"], part["high"], lw=1, zorder=3, **ink)
        if name == "as stated":
            ink["mfc"] = "white"
        ax.plot(part["value"], part["y"], look.marker, label=name, zorder=4, **ink)
    # from the last stage on
    ax.barh(part["row"], margin, left=part["value"], height=0.7, color=PALE, zorder=1)
    ax.set_xlabel(f"{xlabel}\nshaded: at most {margin:g} worse than with {name}")
    _label_rows(ax, most.index)
    _tell_rows(ax, range(len(rows)), rows["conclusion"].first())
    _key(ax)


def _label_rows(ax, labels) -> None:
    """Name the rows, first on top."""
    ax.set_yticks(
        range(len(labels)), [textwrap.fill(label_of(name), 34) for name in labels]
    )
    ax.set_ylim(len(labels) - 0.45, -0.55)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.grid(axis="x")


def _tell_rows(ax, rows, words) -> None:
    """Write words at the right of rows."""
    place = {"xycoords": ("axes fraction", "data"), "va": "center", "fontsize": SMALL}
    for row, told in zip(rows, words, strict=True):
        ax.annotate(str(told), (1.02, row), **place)


def plot_label_curve(table, *, ax, mark, xlabel, ylabel):
    """Draw a loss against the number of medical labels: median and band, named at the right.

    Parameters
    ----------
    table : pandas.DataFrame
        ``map`` (whose labels), ``n`` (labels used), ``median, low, high``.
    mark : int or None
        The number of labels from which on the medical ones do better.
    """
    ends = []
    for level, part, look in _groups(table, "map"):
        ink = {"lw": 2, "marker": look.marker, "ms": 3.5}
        band = ("low", "high")
        if part["median"].nunique() == 1:  # it needs no labels
            ink = {"lw": 1.2}
            part = part[["n", "median"]]
        ends.append(_line(ax, part, "n", "median", level, look, band, zorder=3, **ink))
    ax.set(ylim=(0, None), xlim=(table["n"].min(), table["n"].max()), ylabel=ylabel)
    ax.set_xlabel(xlabel)
    ax.set_xscale("log")
    _number_axis(ax.xaxis)
    ax.set_xticks(table["n"].unique())
    if mark is not None:
        ax.axvline(mark, color=BLACK, lw=0.8, ls=":")
        middle = np.sqrt(table["n"].min() * table["n"].max())
        side = "right" if mark > middle else "left"
        place = ax.get_xaxis_transform()
        ax.text(
            mark, 0.02, f" {mark:,} labels ", ha=side, transform=place, weight="bold"
        )
    _name_ends(ax, ends)


def plot_intervals(
    table, *, ax, value="value", label="label", hue=None, sort=True, xlabel="", reference=None,
    margin=None, told=None, apart=None,
):  # fmt: skip
    """Draw a dot with its interval per row, sorted, with the numbers at the right.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns named by ``value`` and ``label``, their interval ``<value>_low, <value>_high`` or
        ``low, high``, and ``hue``.
    hue : str, optional
        Column that sets several dots into a row; they are named above the axes.
    sort : bool
        Lowest mean value on top; the given order otherwise.
    reference : float, optional
        Where to draw a vertical line: 0 for differences.
    margin : float, optional
        Up to where a difference is none that matters: shaded, and told below the axis.
    told : str, optional
        Column of words that stand at the right in place of the numbers.
    apart : str, optional
        The label below which a line sets the rows that follow apart.
    """
    low, high = (
        (f"{value}_low", f"{value}_high")
        if f"{value}_low" in table
        else ("low", "high")
    )
    labels = list(dict.fromkeys(table[label]))
    if sort:
        labels = list(
            table.groupby(label, sort=False)[value].mean().sort_values().index
        )
    groups = _groups(table, hue or label)
    if hue is None and {strategy_family(name) for name in labels} == {"other"}:
        groups = _groups(table, None)  # a colour each would mean nothing
    for k, (level, part, look) in enumerate(groups):
        up = 0 if hue is None else (k - (len(groups) - 1) / 2) * 0.62 / len(groups)
        place = part[label].map(labels.index) + up
        if low in part:
            ax.hlines(place, part[low], part[high], color=look.colour, lw=1.3)
        name = None if hue is None else label_of(level)
        ax.plot(part[value], place, look.marker, color=look.colour, label=name)
    if reference is not None:
        ax.axvline(reference, color=GREY, lw=0.9, zorder=0)
    if apart in labels:
        ax.axhline(labels.index(apart) + 0.5, color=GREY, lw=0.7)
    _label_rows(ax, labels)
    ax.set_xlabel(xlabel or label_of(value))
    if hue is not None:
        _key(ax)
    else:
        shown = [value, low, high] if low in table else [value]
        words = (
            map(estimate, *(table[name] for name in shown))
            if told is None
            else table[told]
        )
        _tell_rows(ax, table[label].map(labels.index), words)
    if margin is not None:
        left, right = ax.get_xlim()
        ax.axvspan(left, margin, color=PALE, alpha=0.6, lw=0, zorder=0)
        ax.set_xlim(left, max(right, 2 * margin))


def plot_lines(
    table, *, x, y, ax, hue=None, xlabel="", ylabel="", log=False, references=None
):
    """Draw a line per level, named at its end: costs, net benefits, estimators, what you have.

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
    for level, part, look in _groups(table, hue):
        end = _line(ax, part, x, y, level, look)
        ends += [] if level is None else [end]
    first = table if hue is None else table[table[hue] == table[hue].iloc[0]]
    for name, where in (references or {}).items():
        line = first.assign(at=first[where] if isinstance(where, str) else where)
        ends.append(
            _line(ax, line, x, "at", name, Look(GREY, None, ":"), lw=1, zorder=1)
        )
    if log:
        ax.set_xscale("log")
        _number_axis(ax.xaxis)
    ax.set_xlim(table[x].min(), table[x].max())
    ax.set(xlabel=xlabel or label_of(x), ylabel=ylabel or label_of(y))
    ax.grid(axis="y")
    if ends:
        _name_ends(ax, ends)


def plot_tokens(table, *, ax, label):
    """Draw the Brier score against the tokens that it takes, the front drawn, at most five names.

    Parameters
    ----------
    table : pandas.DataFrame
        A row per strategy: the column named by ``label``, ``new_tokens`` (per item), ``brier`` and,
        where known, ``brier_low, brier_high``.
    """
    x = "new_tokens"
    y = "brier"
    front = table.sort_values(
        [x, y], kind="stable"
    )  # none costs at most as much and loses less
    front = front[front[y] < front[y].cummin().shift(fill_value=np.inf)]
    costly = table.drop(front.index).sort_values([x, y], ascending=[False, True])
    named = pd.concat([front, costly.drop_duplicates(x)])[:MOST_NAMES]
    steps = [*front[x], table[x].max()], [*front[y], front[y].iloc[-1]]
    ax.step(*steps, where="post", color=GREY, lw=1, zorder=1)
    _dots(ax, table, x, y, label, mew=0.4, ms=7, zorder=4)
    ax.set_xscale("symlog", linthresh=1, linscale=0.3)
    ax.set_xlim(-0.3 if table[x].min() < 1 else 0.7 * table[x].min(), None)
    _number_axis(ax.xaxis)
    ax.set(xlabel=f"{label_of(x)} per item", ylabel=f"{label_of(y)} (lower is better)")
    looked = looks(table[label])
    rows = named[[x, y, label]].itertuples(index=False)
    _name_points(ax, [(*row, looked[row[-1]].colour) for row in rows])


def plot_risk_coverage(table, *, ax, allowed, points):
    """Draw the errors among the answers kept against the share kept, all strategies together.

    Parameters
    ----------
    table : pandas.DataFrame
        From :func:`medcal_nb.measure.risk_coverage_table`: ``coverage, risk`` and ``strategy``.
    allowed : float
        Errors allowed among the kept: a line.
    points : pandas.DataFrame
        From :func:`medcal_nb.measure.threshold_table`, by strategy: where each is used. Marked on
        the axes and told at the right, of 100 answers.
    """
    ends = []
    told = points.set_index("strategy").to_dict("index")
    for level, part, look in _groups(table, "strategy"):
        kept = told[level]["test_coverage"]
        wrong = told[level]["test_missed"]
        if kept:
            ink = {"color": look.colour, "ms": 7, "mec": "white", "zorder": 5}
            ax.plot(kept, wrong / kept, look.marker, **ink)
        words = {"kept": kept, "wrong": wrong, "checked": 1 - kept}
        words = ", ".join(f"{100 * share:.0f} {name}" for name, share in words.items())
        name = f"{label_of(level)}\n{words}"
        ends.append(
            _line(ax, part[["coverage", "risk"]], "coverage", "risk", name, look)
        )
    ax.axhline(allowed, color=BLACK, lw=0.8, ls=":")
    ends.append((allowed, f"errors allowed: {percent(allowed)}", BLACK))
    ax.set(xlim=(0, 1), ylim=(0, None))
    _percent_axis(ax.xaxis, "answers kept")
    _percent_axis(ax.yaxis, "errors among the kept")
    _name_ends(ax, sorted(ends, key=lambda end: end[0]))


def plot_levels(table, *, ax, xlabel=""):
    """Draw what a model says and how often it is right along a level; what is absent, apart.

    Parameters
    ----------
    table : pandas.DataFrame
        Column ``level`` in order, ``mean_confidence, accuracy`` and, where known, their
        ``_low, _high``. The level called ``absent`` has a place of its own, at the left.
    """
    names = list(dict.fromkeys(table["level"]))
    rest = [name for name in names if name != "absent"]
    place = {name: k + 1.6 for k, name in enumerate(rest)} | {"absent": 0.4}
    series = [
        ("mean_confidence", "says", VIOLET, "o"),
        ("accuracy", "right", MOSS, "s"),
    ]
    for k, (column, name, colour, marker) in enumerate(series):
        ink = {"color": colour, "marker": marker, "elinewidth": 0.8, "label": name}
        ink["mfc"] = "white" if k == 0 else colour
        for _, part in table.groupby(table["level"] != "absent"):
            at = part["level"].map(place) + 0.12 * k - 0.06
            ax.errorbar(at, part[column], _arms(part, column), clip_on=False, **ink)
    if "absent" in names:
        ax.axvline(1.0, color=PALE, lw=1)
    narrow = 72 * _inches(ax)[0] < 32 * len(names)
    ax.set_xticks([place[name] for name in names], names, rotation=90 if narrow else 0)
    ax.set(ylim=(0, 1), xlabel=xlabel)
    _percent_axis(ax.yaxis, "answers")
    _key(ax)


def _diagonal(ax, table, axes, limits, corners) -> None:
    """Draw points with intervals both ways against the diagonal."""
    x, y = axes
    ax.plot(limits, limits, color=GREY, lw=0.9, zorder=1)
    _dots(ax, table, x, y, "domain" if "domain" in table else "label", ms=5)
    ax.set(xlim=limits, ylim=limits, aspect="equal")
    _percent_axis(ax.xaxis, axes[x])
    _percent_axis(ax.yaxis, axes[y])
    ink = {"color": GREY, "fontsize": SMALL, "transform": ax.transAxes}
    ax.text(0.02, 0.98, corners[0], va="top", **ink)
    ax.text(0.98, 0.02, corners[1], ha="right", **ink)


def plot_scatter_fall(table, *, ax):
    """Draw the fall of confidence against the fall of accuracy when the image is taken away.

    On the diagonal a model knows what it lost; below it, confidence falls too little.

    Parameters
    ----------
    table : pandas.DataFrame
        ``label, accuracy_fall, confidence_fall``, their ``_low, _high`` where known; ``domain``
        colours the points where it is there.
    """
    ends = table.filter(regex="^(accuracy|confidence)_fall")
    limits = np.array([min(0.0, ends.min(axis=None)), ends.max(axis=None)])
    limits += np.ptp(limits) * np.array([-0.06, 0.06])
    corners = ("falls more than it should", "confidence hardly notices")
    axes = {
        "accuracy_fall": "accuracy falls by",
        "confidence_fall": "confidence falls by",
    }
    _diagonal(ax, table, axes, limits, corners)
    named = 3 if len(table) > MOST_NAMES + 1 else MOST_NAMES + 1
    far = (
        (table["confidence_fall"] - table["accuracy_fall"])
        .abs()
        .sort_values(ascending=False)
    )
    points = table.loc[far.index[:named], [*axes, "label"]].itertuples(index=False)
    _name_points(ax, [(*point, BLACK) for point in points])
    ax.axhline(0, color=PALE, lw=1, zorder=0)
    ax.axvline(0, color=PALE, lw=1, zorder=0)


def plot_accuracy_confidence(table, *, ax):
    """Draw mean confidence against accuracy; on the diagonal a model says how often it is right.

    Parameters
    ----------
    table : pandas.DataFrame
        ``label, accuracy, mean_confidence``, their ``_low, _high`` where known; ``domain`` colours
        the points. Those of a label are joined, in order of rows: what changes from one domain to
        the next.
    """
    axes = {"accuracy": "accuracy", "mean_confidence": "mean confidence"}
    for _, part in table.groupby("label", sort=False):
        ax.plot(*(part[name] for name in axes), color=PALE, lw=1, zorder=0)
    limits = (np.floor(8 * table[[*axes]].min(axis=None)) / 10, 1)
    _diagonal(ax, table, axes, limits, ("overconfident", "underconfident"))
    _key(ax)


def plot_matrix(table, *, ax, row, col, value, xlabel, ylabel):
    """Draw a change per pair as a square with its number: dark red-violet worse, green better.

    Numbers whose interval leaves 0 out are bold.

    Parameters
    ----------
    table : pandas.DataFrame
        A line per pair: columns named by ``row, col, value``, and ``<value>_low, <value>_high``.
    """
    import seaborn as sns

    wide = table.pivot(index=row, columns=col)
    wide = wide.reindex(index=table[row].unique(), columns=table[col].unique(), level=1)
    changes, low, high = (
        wide[name] for name in (value, f"{value}_low", f"{value}_high")
    )
    clear = ((low > 0) | (high < 0)).to_numpy()[changes.notna()]
    reach = max(float(changes.abs().max(axis=None)), 1e-9)
    ink = {
        "cmap": "PiYG_r",
        "vmin": -reach,
        "vmax": reach,
        "cbar": False,
        "fmt": "+.3f",
    }
    sns.heatmap(changes + 0, annot=True, annot_kws={"fontsize": SMALL}, ax=ax, **ink)
    for text, bold in zip(ax.texts, clear, strict=True):
        text.set_weight("bold" if bold else "normal")
    ax.set_xticklabels([textwrap.fill(label_of(name), 12) for name in changes.columns])
    ax.set_yticklabels([label_of(name) for name in changes.index], rotation=0)
    ax.tick_params(length=0)
    ax.set(xlabel=xlabel, ylabel=ylabel)
