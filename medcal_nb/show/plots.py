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


# behind words that may lie on marks
_PAPER = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 1}


def legend_handle(label, colour, marker="o", **options):
    """Return a legend entry: a marker in a colour, named."""
    from matplotlib.lines import Line2D

    return Line2D([], [], color=colour, marker=marker, ls="", label=label, **options)


def reliability_caption(level: float = 0.95, *, histogram: bool = True) -> str:
    """Return what the marks of :func:`plot_reliability` are, in sentences to stand below it."""
    words = (
        f"Dots: accuracy per bin, {level:.0%} Wilson interval. Grey: where dots of a calibrated "
        f"model fall, {level:.0%}. Thick lines: the gap."
    )
    return words + " On top: share of answers." * histogram


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
        # dots at 0 and 1 would be cut in half
        clip_on=False,
    )
    ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="accuracy")
    ax.set_aspect("equal")
    corner = {"transform": ax.transAxes, "fontsize": 7.5, "zorder": 5, "bbox": _PAPER}
    if note and histogram:  # above the axes: steps and whiskers reach into each corner
        ax.text(0, 1.035, note, va="bottom", **corner)
    elif note:
        ax.text(0.03, 0.97, note, va="top", **corner)
    ax.text(0.97, 0.03, _label_n(rows["n"].sum()), ha="right", **corner)
    top = ax
    if histogram:
        top = ax.inset_axes([0, 1.12 if note else 1.03, 1, 0.16])
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
    hue_order=None,
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
    hue_order : sequence of str, optional
        All its levels, where panels share them.
    colours, markers : dict, optional
        From a value of ``hue`` (or of ``label``, without a hue) to a colour or a marker; by
        default those of :func:`medcal_nb.show.style.looks`.
    reference : float, optional
        Where to draw a vertical line (0 for differences).
    legend : bool
        Name the levels of ``hue``.
    """
    ax = _axis(ax)
    labels = list(dict.fromkeys(table[label])) if order is None else list(order)
    hues = [None]
    if hue:
        hues = list(dict.fromkeys(table[hue] if hue_order is None else hue_order))
        colours, markers = st.looks(hue, hues, colours=colours, markers=markers)
    elif label in st.STRATEGY_COLUMNS:
        colours, markers = st.looks(label, labels, colours=colours, markers=markers)
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
                [],
                [],
                markers.get(level, "o"),
                color=colours.get(level, st.GREY),
                label=st.label_of(level),
            )
    if reference is not None:
        ax.axvline(reference, color=st.GREY, lw=0.9, ls="--", zorder=0)
    ax.set_yticks(range(len(labels)), [st.label_of(name) for name in labels])
    ax.set_ylim(len(labels) - 0.4, -0.6)
    ax.set_xlabel(xlabel)
    ax.grid(axis="x")
    if hue and legend:
        ax.legend(loc="best")
    return ax


def _arms(table, value):
    """Return how far a value's interval reaches below and above it."""
    reach = [table[value] - table[f"{value}_low"], table[f"{value}_high"] - table[value]]
    return np.clip(reach, 0, None)


def plot_accuracy_confidence(table, *, ax=None, hue="domain", colours=None, markers=None):
    """Draw mean confidence against accuracy, one point per row, the diagonal being honest.

    Parameters
    ----------
    table : pandas.DataFrame
        ``accuracy, accuracy_low, accuracy_high, mean_confidence``, the column ``hue`` and, where
        computed, ``mean_confidence_low, mean_confidence_high``.
    """
    ax = _axis(ax)
    colours, markers = st.looks(hue, table[hue], colours=colours, markers=markers)
    ax.plot([0, 1], [0, 1], color=st.GREY, lw=0.9, ls="--", zorder=1)
    ax.text(0.03, 0.95, "overconfident", fontsize=7, color=st.GREY, va="top")
    ax.text(0.97, 0.03, "underconfident", fontsize=7, color=st.GREY, ha="right")
    for level, part in table.groupby(hue, sort=False):
        ax.errorbar(
            part["accuracy"],
            part["mean_confidence"],
            xerr=_arms(part, "accuracy"),
            yerr=_arms(part, "mean_confidence") if "mean_confidence_low" in part else None,
            fmt=markers[level],
            color=colours[level],
            # hollow, so that dots under dots are seen
            mfc="white",
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
    """Draw a value per cell with its interval and n; cells of fewer than ``min_n`` are hatched.

    Parameters
    ----------
    table : pandas.DataFrame
        One line per cell: columns named by ``row, column, value``, and ``low, high, n``.
    min_n : int
        Cells with fewer items are hatched, without a colour, and keep their number.
    compact : bool
        Write the value alone, for many columns.
    """
    import matplotlib.pyplot as plt
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
    # a cell holds a line like "[-0.05, 0.23]"; the names of rows take about an inch
    wide = 72 * (ax.figure.get_figwidth() - 1) / ax.get_gridspec().ncols / len(columns)
    size = np.clip(wide / 8, 5.5, 7.5) if not compact else 5.5
    options = {"fmt": "", "ax": ax, "annot_kws": {"fontsize": size}, "linewidths": 0.6}
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
        cmap=["white"],
        cbar=False,
        **(options | {"annot_kws": {"fontsize": size, "color": st.GREY, "bbox": _PAPER}}),
    )
    # no grey: the middle of a colour map may be one
    for y, x in np.argwhere((greyed & annotations.notna()).to_numpy()):
        ax.add_patch(
            plt.Rectangle((x, y), 1, 1, fill=False, hatch="////", edgecolor="#C8C8C8", lw=0)
        )
    ax.set(xlabel="", ylabel="")
    ax.tick_params(length=0, rotation=0)
    slant = {"rotation": 60, "ha": "right"} if compact else {}
    ax.set_xticks(ax.get_xticks(), [st.label_of(name) for name in columns], **slant)
    ax.set_yticks(ax.get_yticks(), [st.label_of(name) for name in rows])
    _ink_that_reads(ax, len(columns), cells=~greyed.to_numpy())
    return ax


def _ink_that_reads(ax, n_columns, *, cells):
    """Write black on light cells and white on dark ones."""
    mesh = ax.collections[0]
    mesh.update_scalarmappable()
    faces = mesh.get_facecolors()
    for text in ax.texts:
        x, y = (int(v) for v in text.get_position())
        if cells[y, x]:
            light = st.luminance(faces[y * n_columns + x]) > 0.55
            text.set_color(st.BLACK if light else "white")


def _cell_text(cell, value, low, high, n, decimals):
    # adding 0 turns -0.00 into 0.00
    value, low, high = (
        f"{round(cell[name], decimals) + 0:.{decimals}f}" if name else "nan"
        for name in (value, low, high)
    )
    lines = ["–" if value == "nan" else value]
    if "nan" not in (value, low):
        lines.append(f"[{low}, {high}]")
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
    legend=True,
):
    """Draw one line per level of ``hue``, with a band where ``low`` and ``high`` are given.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns named by ``x, y`` and, where given, ``low, high, hue``.
    styles : dict, optional
        From a level of ``hue`` to a line style, so that a grey print can be read.
    legend : bool
        Name the levels of ``hue``.
    """
    ax = _axis(ax)
    if hue:
        colours, _ = st.looks(hue, table[hue], colours=colours)
    colours, styles = colours or {}, styles or {}
    groups = [(None, table)] if hue is None else list(table.groupby(hue, sort=False))
    for k, (level, part) in enumerate(groups):
        part = part.sort_values(x)
        colour = colours.get(level, st.CYCLE[k % len(st.CYCLE)])
        line = styles.get(level, st.LINES[k % len(st.LINES)])
        label = None if level is None else st.label_of(level)
        ax.plot(part[x], part[y], color=colour, ls=line, label=label)
        if low:
            ax.fill_between(part[x], part[low], part[high], color=colour, alpha=0.15, lw=0)
    if logx:
        ax.set_xscale("log")
        if table[x].min() >= 1:
            ax.xaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.grid(axis="y")
    if hue and legend:
        ax.legend(loc="best")
    return ax


def plot_risk_coverage(table, *, ax=None, hue=None, colours=None, legend=True):
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
        legend=legend,
        **bands,
    )
    ax.set(xlim=(0, 1), ylim=(0, None))
    return ax
