"""Ink: each ``plot_*`` draws the table of the same name on an axis and returns the axis.

Nothing here computes a statistic, saves a file or changes a setting. Tables come from
``medcal_nb.measure`` and ``medcal_nb.correct``; their columns are named in each docstring.
"""

from __future__ import annotations

import numpy as np

from medcal_nb.show import style as st


def _axis(ax):
    import matplotlib.pyplot as plt

    return plt.gca() if ax is None else ax


def _label_n(n: float) -> str:
    return f"n = {int(n):,}"


def legend_handle(label, colour, marker="o"):
    """Return a legend entry: a marker in a colour, named."""
    from matplotlib.lines import Line2D

    return Line2D([], [], color=colour, marker=marker, ls="", label=label)


def plot_reliability(table, *, ax=None, colour=st.BLUE, title=None, note=None, histogram=True):
    """Draw a reliability diagram: accuracy against confidence, with what chance alone would do.

    Parameters
    ----------
    table : pandas.DataFrame
        From :func:`medcal_nb.measure.reliability_table`: ``low, high, n, mean_confidence,
        accuracy, acc_low, acc_high`` and, where computed, ``band_low, band_high``.
    ax : matplotlib.axes.Axes, optional
    colour : str
    title, note : str, optional
        Heading, and a short text in the corner (ECE with its interval, say).
    histogram : bool
        Draw the share of items per bin above the diagram.
    """
    ax = _axis(ax)
    rows = table[table["n"] > 0]
    ax.plot([0, 1], [0, 1], color=st.GREY, lw=0.9, ls="--", zorder=2.5)
    if {"band_low", "band_high"} <= set(rows.columns):
        for row in rows.itertuples():
            ax.fill_between(
                [row.low, row.high], row.band_low, row.band_high, color=st.LIGHT_GREY, lw=0
            )
    ax.bar(
        rows["low"],
        rows["accuracy"],
        width=rows["high"] - rows["low"],
        align="edge",
        facecolor=colour,
        alpha=0.15,
        edgecolor="none",
        zorder=2,
    )
    ax.vlines(
        rows["mean_confidence"],
        rows["mean_confidence"],
        rows["accuracy"],
        color=colour,
        lw=3,
        alpha=0.35,
        zorder=3,
    )
    errors = np.clip(
        [rows["accuracy"] - rows["acc_low"], rows["acc_high"] - rows["accuracy"]], 0, None
    )
    ax.errorbar(
        rows["mean_confidence"],
        rows["accuracy"],
        yerr=errors,
        fmt="o",
        color=colour,
        ms=4,
        elinewidth=1,
        zorder=4,
    )
    ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="accuracy")
    ax.set_aspect("equal")
    if note:
        ax.text(0.03, 0.97, note, transform=ax.transAxes, va="top", fontsize=7.5)
    ax.text(0.97, 0.03, _label_n(rows["n"].sum()), transform=ax.transAxes, ha="right", fontsize=7.5)
    top = ax
    if histogram:
        top = ax.inset_axes([0, 1.03, 1, 0.16])
        top.bar(
            rows["low"],
            rows["n"],
            width=rows["high"] - rows["low"],
            align="edge",
            color=st.GREY,
            edgecolor="white",
            lw=0.4,
        )
        top.set(xlim=(0, 1), xticks=[], yticks=[])
        top.spines[["left", "bottom"]].set_visible(False)
    if title:
        top.set_title(title)
    return ax


def plot_intervals(
    table,
    *,
    ax=None,
    value="estimate",
    low="low",
    high="high",
    label="label",
    order=None,
    hue=None,
    colours=None,
    markers=None,
    xlabel="",
    reference=None,
    legend=True,
):
    """Draw one dot with its interval per row, labels on the y-axis, first row on top.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns named by ``value, low, high, label`` and ``hue``.
    order : sequence of str, optional
        All labels, first on top, where panels share them.
    hue : str, optional
        Column that splits a label into several dots, side by side.
    colours, markers : dict, optional
        From a value of ``hue`` (or of ``label``, without a hue) to a colour or a marker.
    reference : float, optional
        Where to draw a vertical line (0 for differences).
    legend : bool
        Name the levels of ``hue``.
    """
    ax = _axis(ax)
    labels = list(dict.fromkeys(table[label])) if order is None else list(order)
    hues = list(dict.fromkeys(table[hue])) if hue else [None]
    colours, markers = colours or {}, markers or {}
    step = min(0.8 / len(hues), 0.22)
    for k, level in enumerate(hues):
        part = table if level is None else table[table[hue] == level]
        offset = (k - (len(hues) - 1) / 2) * step
        for row in part.to_dict("records"):
            key = row[label] if level is None else level
            y = labels.index(row[label]) + offset
            colour = colours.get(key, st.GREY)
            ax.plot([row[low], row[high]], [y, y], color=colour, lw=1.3, solid_capstyle="butt")
            ax.plot(row[value], y, markers.get(key, "o"), color=colour, ms=4.2)
        if level is not None:
            ax.plot(
                [], [], markers.get(level, "o"), color=colours.get(level, st.GREY), label=str(level)
            )
    if reference is not None:
        ax.axvline(reference, color=st.GREY, lw=0.9, ls="--", zorder=0)
    ax.set_yticks(range(len(labels)), labels)
    ax.set_ylim(len(labels) - 0.4, -0.6)
    ax.set_xlabel(xlabel)
    ax.grid(axis="x")
    if hue and legend:
        ax.legend(loc="best")
    return ax


def plot_accuracy_confidence(table, *, ax=None, hue="domain", colours=None, markers=None):
    """Draw mean confidence against accuracy, one point per row, the diagonal being honest.

    Parameters
    ----------
    table : pandas.DataFrame
        ``accuracy, accuracy_low, accuracy_high, mean_confidence`` and the column ``hue``.
    """
    ax = _axis(ax)
    colours = colours or st.DOMAIN_COLOURS
    markers = markers or st.DOMAIN_MARKERS
    ax.plot([0, 1], [0, 1], color=st.GREY, lw=0.9, ls="--", zorder=1)
    ax.text(0.03, 0.95, "overconfident", fontsize=7, color=st.GREY, va="top")
    ax.text(0.97, 0.03, "underconfident", fontsize=7, color=st.GREY, ha="right")
    for level, part in table.groupby(hue, sort=False):
        errors = np.clip(
            [part["accuracy"] - part["accuracy_low"], part["accuracy_high"] - part["accuracy"]],
            0,
            None,
        )
        ax.errorbar(
            part["accuracy"],
            part["mean_confidence"],
            xerr=errors,
            fmt=markers.get(level, "o"),
            color=colours.get(level, st.GREY),
            ms=4,
            elinewidth=0.8,
            alpha=0.85,
            label=str(level),
        )
    ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="accuracy", ylabel="mean confidence")
    ax.set_aspect("equal")
    ax.legend(loc="center left", bbox_to_anchor=(0.0, 0.8))
    return ax


def plot_confidence_histogram(table, *, ax=None, colour=st.BLUE, title=None):
    """Draw how often each confidence was given, right and wrong answers apart.

    Parameters
    ----------
    table : pandas.DataFrame
        ``low, high, n_correct, n_wrong`` per bin.
    """
    ax = _axis(ax)
    width = table["high"] - table["low"]
    ax.bar(
        table["low"],
        table["n_correct"],
        width=width,
        align="edge",
        color=colour,
        edgecolor="white",
        lw=0.4,
        label="right",
    )
    ax.bar(
        table["low"],
        -table["n_wrong"],
        width=width,
        align="edge",
        facecolor="white",
        edgecolor=colour,
        hatch="////",
        lw=0.6,
        label="wrong",
    )
    ax.axhline(0, color=st.BLACK, lw=0.6)
    ax.set(xlim=(0, 1), xlabel="confidence", ylabel="answers")
    ax.yaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")
    if title:
        ax.set_title(title)
    return ax


def plot_heatmap(
    table,
    *,
    ax=None,
    row,
    column,
    value,
    low=None,
    high=None,
    n="n",
    min_n=0,
    cmap="cividis_r",
    limits=(None, None),
    label="",
    decimals=2,
    compact=False,
):
    """Draw a value per cell with its interval and n; cells of fewer than ``min_n`` are greyed.

    Parameters
    ----------
    table : pandas.DataFrame
        One line per cell: columns named by ``row, column, value``, and ``low, high, n``.
    min_n : int
        Cells with fewer items are greyed and keep their number.
    compact : bool
        Write the value alone, for many columns.
    """
    import seaborn as sns

    ax = _axis(ax)
    rows, columns = (list(dict.fromkeys(table[key])) for key in (row, column))
    cells = table.assign(_small=table[n] < min_n if n in table else False)
    parts = (None, None, None) if compact else (low, high, n)
    texts = [_cell_text(cell, value, *parts, decimals) for cell in cells.to_dict("records")]
    grid, small, annotations = (
        frame.pivot(index=row, columns=column, values="_v").reindex(index=rows, columns=columns)
        for frame in (
            cells.assign(_v=cells[value].astype(float)),
            cells.assign(_v=cells["_small"]),
            cells.assign(_v=texts),
        )
    )
    greyed = small.fillna(True).astype(bool) | grid.isna()
    options = {"fmt": "", "ax": ax, "annot_kws": {"fontsize": 6}, "linewidths": 0.6}
    sns.heatmap(
        grid,
        mask=greyed,
        annot=annotations,
        cmap=cmap,
        vmin=limits[0],
        vmax=limits[1],
        cbar=bool(label),
        cbar_kws={"label": label},
        **options,
    )
    sns.heatmap(
        grid.fillna(0),
        mask=~greyed | annotations.isna(),
        annot=annotations.fillna(""),
        cmap=["#F2F2F2"],
        cbar=False,
        **(options | {"annot_kws": {"fontsize": 6, "color": st.GREY}}),
    )
    ax.set(xlabel="", ylabel="")
    ax.tick_params(length=0, rotation=0)
    if compact:
        ax.set_xticks(ax.get_xticks(), columns, rotation=60, ha="right")
    return ax


def _cell_text(cell, value, low, high, n, decimals):
    if np.isnan(cell[value]):
        lines = ["–"]
    else:
        lines = [f"{cell[value]:.{decimals}f}"]
        if low and not np.isnan(cell[low]):
            lines.append(f"[{cell[low]:.{decimals}f}, {cell[high]:.{decimals}f}]")
    if n in cell:
        lines.append(_label_n(cell[n]))
    return "\n".join(lines)


def plot_lines(
    table,
    *,
    ax=None,
    x,
    y,
    low=None,
    high=None,
    hue=None,
    colours=None,
    styles=None,
    xlabel="",
    ylabel="",
    logx=False,
):
    """Draw one line per level of ``hue``, with a band where ``low`` and ``high`` are given.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns named by ``x, y`` and, where given, ``low, high, hue``.
    styles : dict, optional
        From a level of ``hue`` to a line style, so that a grey print can be read.
    """
    ax = _axis(ax)
    colours, styles = colours or {}, styles or {}
    dashes = ("-", "--", "-.", ":")
    groups = [(None, table)] if hue is None else list(table.groupby(hue, sort=False))
    for k, (level, part) in enumerate(groups):
        part = part.sort_values(x)
        colour = colours.get(level, st.CYCLE[k % len(st.CYCLE)])
        line = styles.get(level, dashes[k % len(dashes)])
        label = None if level is None else str(level)
        ax.plot(part[x], part[y], color=colour, ls=line, label=label)
        if low:
            ax.fill_between(part[x], part[low], part[high], color=colour, alpha=0.15, lw=0)
    if logx:
        ax.set_xscale("log")
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.grid(axis="y")
    if hue:
        ax.legend(loc="best")
    return ax


def plot_risk_coverage(table, *, ax=None, hue=None, colours=None):
    """Draw the error among the answers kept against the share kept.

    Parameters
    ----------
    table : pandas.DataFrame
        From :func:`medcal_nb.measure.risk_coverage_table`: ``coverage, risk`` and, where
        computed, ``risk_low, risk_high``; ``hue`` names a further column.
    """
    bands = {"low": "risk_low", "high": "risk_high"} if "risk_low" in table else {}
    ax = plot_lines(
        table,
        ax=ax,
        x="coverage",
        y="risk",
        hue=hue,
        colours=colours,
        xlabel="coverage (share of answers kept)",
        ylabel="selective risk (error among kept)",
        **bands,
    )
    ax.set(xlim=(0, 1), ylim=(0, None))
    return ax


def plot_scatter(
    table, *, ax=None, x, y, label=None, hue=None, colours=None, markers=None, xlabel="", ylabel=""
):
    """Draw one marker per row, named beside it where ``label`` is given.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns named by ``x, y`` and, where given, ``label, hue``.
    """
    ax = _axis(ax)
    colours, markers = colours or {}, markers or {}
    seen = set()
    for row in table.to_dict("records"):
        level = row.get(hue) if hue else row.get(label)
        named = hue and level not in seen
        seen.add(level)
        ax.plot(
            row[x],
            row[y],
            markers.get(level, "o"),
            color=colours.get(level, st.GREY),
            label=str(level) if named else None,
        )
        if label:
            ax.annotate(
                row[label],
                (row[x], row[y]),
                xytext=(4, 3),
                textcoords="offset points",
                fontsize=6.5,
            )
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.grid()
    if hue:
        ax.legend(loc="best")
    return ax
