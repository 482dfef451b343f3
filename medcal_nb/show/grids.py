"""Whole figures: rows and columns of the plots of ``plots.py``, in the house style."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from medcal_nb.show import plots
from medcal_nb.show import style as st
from medcal_nb.show.tables import interval_note


def _levels(table, column) -> list:
    return list(dict.fromkeys(table[column]))


def _head(fig, title):
    import textwrap

    fig.suptitle(textwrap.fill(title, int(fig.get_figwidth() * 15.5)))


def _panels(n, *, per_row, row_height, head=0.4, width="full", **sharing):
    """Return a figure of ``n`` panels in rows, and the axes that are used."""
    n_rows = -(-n // per_row)
    per_row = -(-n // n_rows)
    fig, axes = st.figure(
        width,
        head + row_height * n_rows,
        nrows=n_rows,
        ncols=per_row,
        squeeze=False,
        **sharing,
    )
    for ax in axes.flat[n:]:
        ax.set_axis_off()
    return fig, list(axes.flat[:n])


def reliability_grid(panels, scores, *, row, column, colours=None, title="", metric="ece"):
    """Draw a reliability diagram per row and column level.

    Parameters
    ----------
    panels : pandas.DataFrame
        From :func:`medcal_nb.show.tables.reliability_panels`, made by ``row`` and ``column``.
    scores : pandas.DataFrame
        A metrics table with one line per panel, for the note in the corner.
    row, column : str
        Columns of both tables.
    colours : mapping, optional
        From a level of ``column`` to a colour.

    Returns
    -------
    matplotlib.figure.Figure
    """
    rows, columns = _levels(panels, row), _levels(panels, column)
    with st.style():
        fig, axes = st.figure(
            "full" if len(columns) > 1 else "half",
            0.4 + 3.95 * len(rows),
            nrows=len(rows),
            ncols=len(columns),
            squeeze=False,
        )
        for y, level in enumerate(rows):
            for x, other in enumerate(columns):
                part = panels[(panels[row] == level) & (panels[column] == other)]
                if part.empty:
                    axes[y, x].set_axis_off()
                    continue
                plots.plot_reliability(
                    part,
                    ax=axes[y, x],
                    colour=(colours or {}).get(other, st.BLUE),
                    title=f"{level}, {other}",
                    note=interval_note(scores, metric, **{row: level, column: other}),
                )
        _head(fig, title)
    return fig


def reliability_row(panels, scores, *, column, colours=None, title="", metric="ece", per_line=2):
    """Draw a reliability diagram per level of ``column``, ``per_line`` beside each other.

    Returns
    -------
    matplotlib.figure.Figure
    """
    names = _levels(panels, column)
    with st.style():
        fig, axes = _panels(len(names), per_row=per_line, row_height=3.95)
        for k, (ax, name) in enumerate(zip(axes, names, strict=True)):
            plots.plot_reliability(
                panels[panels[column] == name],
                ax=ax,
                colour=(colours or {}).get(name, st.BLUE if k == 0 else st.VERMILLION),
                title=name,
                note=interval_note(scores, metric, **{column: name}),
            )
            ax.child_axes[0].set_title(name, fontsize=7.5)
        _head(fig, title)
    return fig


def trap_figure(table, *, title=""):
    """Draw the table of :func:`medcal_nb.show.tables.temperature_traps`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    with st.style():
        fig, (left, right) = st.figure("full", 3.3, ncols=2)
        maps = table[table["trap"] == "map"]
        plots.plot_lines(
            maps,
            ax=left,
            x="x",
            y="y",
            hue="series",
            xlabel="stated confidence",
            ylabel="corrected confidence",
        )
        left.axvline(0.5, color=st.GREY, lw=0.8, ls=":")
        left.axhline(0.5, color=st.GREY, lw=0.8, ls=":")
        left.set(xlim=(0, 1), ylim=(0, 1), title="no temperature crosses one half")
        plots.plot_lines(
            table[table["trap"] == "clip"],
            ax=right,
            x="x",
            y="y",
            xlabel="clip (how far from 1 a stated 100 % is taken to be)",
            ylabel="fitted temperature",
            logx=True,
        )
        right.set(ylim=(0, None), title="the clip decides the fit")
        _head(fig, title)
    return fig


def interval_panels(
    table,
    *,
    panel,
    values: Mapping[str, str] | str,
    label,
    hue=None,
    colours=None,
    markers=None,
    xlabels: Mapping[str, str] | None = None,
    reference=None,
    sharex=True,
    title="",
    columns=4,
):
    """Draw dots with intervals, one panel per level of ``panel`` or per value.

    Parameters
    ----------
    table : pandas.DataFrame
        Has ``<value>``, ``<value>_low`` and ``<value>_high``.
    panel : str or None
        Column that splits the table; None for one panel per value.
    values : str or mapping
        The value drawn, or with ``panel=None`` a mapping from value to axis label.
    label, hue, colours, markers, reference
        As in :func:`medcal_nb.show.plots.plot_intervals`.
    sharex : bool
        Whether the panels of levels share their x-axis.
    columns : int
        Panels in a row at most.

    Returns
    -------
    matplotlib.figure.Figure
    """
    if panel is None:
        parts = [(name, table, name) for name in values]
        headings, axis_labels = dict(values), {name: "" for name in values}
    else:
        parts = [(name, table[table[panel] == name], values) for name in _levels(table, panel)]
        headings = {name: str(name) for name, _, _ in parts}
        axis_labels = {name: (xlabels or {}).get(values, values) for name, _, _ in parts}
    n_labels, n_hues = table[label].nunique(), table[hue].nunique() if hue else 1
    with st.style():
        fig, axes = _panels(
            len(parts),
            per_row=columns,
            row_height=0.5 + n_labels * (0.1 + 0.1 * n_hues),
            head=0.6,
            sharey=True,
            sharex=sharex and panel is not None,
        )
        for ax, (name, part, value) in zip(axes, parts, strict=True):
            line = reference.get(value) if isinstance(reference, Mapping) else reference
            plots.plot_intervals(
                part,
                ax=ax,
                value=value,
                low=f"{value}_low",
                high=f"{value}_high",
                label=label,
                order=_levels(table, label),
                hue=hue,
                colours=colours,
                markers=markers,
                xlabel=axis_labels[name],
                reference=line,
                legend=False,
            )
            ax.set_title(headings[name], fontsize=8 if len(parts) < 4 else 7)
        if hue:
            levels = _levels(table, hue)
            handles = [
                plots.legend_handle(
                    str(level), (colours or {}).get(level, st.GREY), (markers or {}).get(level, "o")
                )
                for level in levels
            ]
            per_line = max(1, 95 // (max(len(str(level)) for level in levels) + 8))
            fig.legend(
                handles=handles, loc="outside lower center", ncols=min(per_line, len(levels))
            )
        _head(fig, title)
    return fig


def estimator_figure(table, *, title=""):
    """Draw mean and spread of estimators against n, and the truth they aim at.

    Parameters
    ----------
    table : pandas.DataFrame
        From :func:`medcal_nb.measure.estimator_bias_table`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    names = _levels(table, "estimator")
    per_row = 3
    with st.style():
        fig, axes = _panels(len(names), per_row=per_row, row_height=2.0, sharex=True, sharey=True)
        for k, (ax, name) in enumerate(zip(axes, names, strict=True)):
            part = table[table["estimator"] == name]
            plots.plot_lines(
                part,
                ax=ax,
                x="n",
                y="mean",
                low="q05",
                high="q95",
                xlabel="items" if k >= len(names) - per_row else "",
                ylabel="estimate" if k % per_row == 0 else "",
                logx=True,
            )
            ax.axhline(part["truth"].iloc[0], color=st.VERMILLION, lw=1, ls="--")
            ax.set_title(name)
        axes[0].text(
            0.98,
            0.92,
            "dashed: truth; band: 90 % of samples",
            transform=axes[0].transAxes,
            ha="right",
            fontsize=6.5,
        )
        _head(fig, title)
    return fig


def risk_figure(table, *, title="", columns=2):
    """Draw risk-coverage curves with bands, a panel per strategy.

    Parameters
    ----------
    table : pandas.DataFrame
        From :func:`medcal_nb.measure.risk_coverage_table`, made by ``strategy``.

    Returns
    -------
    matplotlib.figure.Figure
    """
    names = _levels(table, "strategy")
    width = "full" if len(names) > 1 else "half"
    with st.style():
        fig, axes = _panels(
            len(names), per_row=columns, row_height=2.5, width=width, sharex=True, sharey=True
        )
        for ax, name in zip(axes, names, strict=True):
            part = table[table["strategy"] == name]
            plots.plot_risk_coverage(part, ax=ax)
            ax.axhline(part["risk"].iloc[-1], color=st.GREY, lw=0.8, ls=":")
            ax.set_title(f"{name}, n = {int(part['n_kept'].max()):,}")
        _head(fig, title)
    return fig


def cost_figure(costs, decisions, *, title=""):
    """Draw the cost curve beside the decision curve, a line per confidence used.

    Parameters
    ----------
    costs, decisions : pandas.DataFrame
        From :func:`medcal_nb.measure.cost_table` and
        :func:`medcal_nb.measure.net_benefit_table`, made by ``confidence used``.

    Returns
    -------
    matplotlib.figure.Figure
    """
    names = _levels(costs, "confidence used")
    colours = dict(zip(names, (st.GREY, st.BLUE, st.VERMILLION), strict=False))
    with st.style():
        fig, (left, right) = st.figure("full", 3.4, ncols=2)
        plots.plot_lines(
            costs,
            ax=left,
            x="cost_ratio",
            y="cost",
            low="cost_low",
            high="cost_high",
            hue="confidence used",
            colours=colours,
            xlabel="cost of a check (wrong answer = 1)",
            ylabel="mean cost per answer",
        )
        first = costs[costs["confidence used"] == names[0]]
        plain = {"keep_all": "keep all", "check_all": "check all", "hindsight": "best in hindsight"}
        for column, line in zip(plain, ("-.", "--", ":"), strict=True):
            left.plot(
                first["cost_ratio"],
                first[column],
                color=st.BLACK,
                lw=0.9,
                ls=line,
                label=plain[column],
            )
        left.legend(fontsize=6.5)
        left.set(ylim=(0, None), title="cost curve")
        plots.plot_lines(
            decisions,
            ax=right,
            x="threshold",
            y="net_benefit",
            low="net_benefit_low",
            high="net_benefit_high",
            hue="confidence used",
            colours=colours,
            xlabel="error probability from which a check is wanted",
            ylabel="net benefit (errors found per answer)",
        )
        first = decisions[decisions["confidence used"] == names[0]]
        right.plot(
            first["threshold"],
            first["check_all"],
            color=st.BLACK,
            lw=0.9,
            ls="--",
            label="check all",
        )
        right.axhline(0, color=st.BLACK, lw=0.9, ls="-.", label="check none")
        right.legend(fontsize=6.5)
        right.set(ylim=(-0.1, None), title="decision curve")
        _head(fig, title)
    return fig


def _lowest(level: str) -> float:
    """Return the number a level such as ``0.2–0.4`` begins with."""
    found = re.match(r"\d+(\.\d+)?", level)
    return float(found[0]) if found else 0.0


def level_figure(table, *, xlabel="", title="", columns=3):
    """Draw accuracy and mean confidence by level, a panel per model.

    Parameters
    ----------
    table : pandas.DataFrame
        A metrics table by ``model`` and ``level`` with ``accuracy`` and ``mean_confidence`` and
        their intervals.

    Returns
    -------
    matplotlib.figure.Figure
    """
    names = _levels(table, "model")
    order = sorted(table["level"].unique(), key=_lowest)
    shown = {"accuracy": (st.BLUE, "o", "-"), "mean_confidence": (st.VERMILLION, "s", "--")}
    with st.style():
        fig, axes = _panels(len(names), per_row=columns, row_height=2.2, head=0.5, sharey=True)
        for ax, name in zip(axes, names, strict=True):
            part = table[table["model"] == name].set_index("level").reindex(order)
            for k, (value, (colour, marker, line)) in enumerate(shown.items()):
                spread = [part[value] - part[f"{value}_low"], part[f"{value}_high"] - part[value]]
                ax.errorbar(
                    np.arange(len(order)) + 0.08 * k,
                    part[value],
                    yerr=np.clip(spread, 0, None),
                    color=colour,
                    marker=marker,
                    ls=line,
                    label=value.replace("_", " "),
                )
            ax.set_xticks(range(len(order)), order)
            ax.set(ylim=(0, 1), xlabel=xlabel, title=f"{name}, n = {int(part['n'].sum()):,}")
            ax.grid(axis="y")
        axes[0].legend(loc="lower right")
        _head(fig, title)
    return fig


def line_panels(
    table, *, panel, x, y, hue, xlabel, ylabel, logx=False, title="", sharey=True, **options
):
    """Draw lines, one panel per level of ``panel``; see :func:`medcal_nb.show.plots.plot_lines`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    names = _levels(table, panel)
    with st.style():
        fig, axes = st.figure("full", 2.9, ncols=len(names), sharey=sharey, squeeze=False)
        for ax, name in zip(axes.flat, names, strict=True):
            plots.plot_lines(
                table[table[panel] == name],
                ax=ax,
                x=x,
                y=y,
                hue=hue,
                xlabel=xlabel,
                ylabel=ylabel if ax is axes.flat[0] else "",
                logx=logx,
                **options,
            )
            ax.set_title(str(name))
        _head(fig, title)
    return fig


def image_grid(items, *, row="modality", per_row=8, title=""):
    """Draw images of items, a line per level of ``row``, questions left out.

    Parameters
    ----------
    items : pandas.DataFrame
        The item table with a column ``picture``: decoded images.

    Returns
    -------
    matplotlib.figure.Figure
    """
    names = _levels(items, row)
    with st.style():
        fig, axes = st.figure(
            "full", 0.4 + 0.92 * len(names), nrows=len(names), ncols=per_row, squeeze=False
        )
        for ax in axes.flat:
            ax.set_axis_off()
        for line, name in zip(axes, names, strict=True):
            part = items[items[row] == name].drop_duplicates("image_id").head(per_row)
            for ax, picture in zip(line, part["picture"], strict=False):
                ax.imshow(picture, interpolation="bicubic")
            line[0].set_title(str(name), fontsize=8)
        _head(fig, title)
    return fig


def elicitation_figure(table, *, title=""):
    """Draw what each strategy costs and yields, a dot per model and data set.

    Parameters
    ----------
    table : pandas.DataFrame
        From :func:`medcal_nb.show.tables.elicitation_table`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    values = {
        "new_tokens": "new tokens per item",
        "parse_rate": "parse rate",
        "confidence_rate": "items with a confidence",
        "levels": "different confidences",
    }
    order = _levels(table, "strategy")
    models = _levels(table, "model")
    colours, markers = st.cycle_colours(models), st.cycle_markers(models)
    with st.style():
        fig, axes = st.figure("full", 0.9 + 0.2 * len(order), ncols=len(values), sharey=True)
        for ax, (value, label) in zip(axes, values.items(), strict=True):
            for model in models:
                part = table[table["model"] == model]
                at = [order.index(name) for name in part["strategy"]]
                ax.plot(
                    part[value],
                    at,
                    markers[model],
                    color=colours[model],
                    alpha=0.8,
                    ms=3.8,
                    fillstyle="none",
                )
            ax.set_yticks(range(len(order)), order)
            ax.set_ylim(len(order) - 0.4, -0.6)
            ax.set_xlabel(label)
            ax.grid(axis="both")
        axes[0].set_xscale("symlog", linthresh=1)
        axes[3].set_xscale("log")
        for ax in axes[1:3]:
            ax.set_xlim(-0.03, 1.03)
        handles = [plots.legend_handle(m, colours[m], markers[m]) for m in models]
        fig.legend(handles=handles, loc="outside lower center", ncols=min(5, len(models)))
        _head(fig, title)
    return fig


def histogram_grid(table, *, row, column, colours=None, title=""):
    """Draw confidence histograms per row and column level, right above wrong.

    Parameters
    ----------
    table : pandas.DataFrame
        From :func:`medcal_nb.show.tables.histogram_table`, made by ``row`` and ``column``.

    Returns
    -------
    matplotlib.figure.Figure
    """
    rows, columns = _levels(table, row), _levels(table, column)
    with st.style():
        fig, axes = st.figure(
            "full",
            0.5 + 1.3 * len(rows),
            nrows=len(rows),
            ncols=len(columns),
            sharex=True,
            squeeze=False,
        )
        for y, level in enumerate(rows):
            for x, other in enumerate(columns):
                part = table[(table[row] == level) & (table[column] == other)]
                if part.empty:
                    axes[y, x].set_axis_off()
                    continue
                plots.plot_confidence_histogram(
                    part, ax=axes[y, x], colour=(colours or {}).get(other, st.BLUE)
                )
                n = int((part["n_correct"] + part["n_wrong"]).sum())
                axes[y, x].set_title(f"{level}, {other}, n = {n:,}")
                if y < len(rows) - 1:
                    axes[y, x].set_xlabel("")
        axes[0, 0].legend(loc="upper left")
        _head(fig, title)
    return fig


def heatmaps(
    table, *, row, column, values: Mapping[str, tuple], min_n=0, stacked=False, decimals=2, title=""
):
    """Draw the same cells for several values, side by side or one above the other.

    Parameters
    ----------
    table : pandas.DataFrame
        One line per cell, with ``<value>``, ``<value>_low``, ``<value>_high`` and ``n``.
    values : mapping
        From value to ``(label, (lowest, highest), colour map)``.
    stacked : bool
        One above the other: for many columns.
    decimals : int
        Of the numbers in the cells.

    Returns
    -------
    matplotlib.figure.Figure
    """
    n_rows, n_columns = table[row].nunique(), table[column].nunique()
    with st.style():
        compact = n_columns > 8
        height = 0.5 + (0.2 if compact else 0.46 if n_columns > 1 else 0.4) * n_rows
        shape = {"nrows": len(values)} if stacked else {"ncols": len(values)}
        fig, axes = st.figure(
            "full",
            0.3 + height * (len(values) if stacked else 1),
            sharex=True,
            sharey=True,
            squeeze=False,
            **shape,
        )
        for ax, (value, (label, limits, cmap)) in zip(axes.flat, values.items(), strict=True):
            bounds = f"{value}_low" in table
            plots.plot_heatmap(
                table,
                ax=ax,
                row=row,
                column=column,
                value=value,
                low=f"{value}_low" if bounds else None,
                high=f"{value}_high" if bounds else None,
                min_n=min_n,
                limits=limits,
                cmap=cmap,
                decimals=decimals,
                compact=compact,
            )
            ax.set_title(label)
        _head(fig, title)
    return fig


def one_panel(plot, table, *, width="half", height=3.6, title="", **options):
    """Draw one plot as a figure of its own: ``plot(table, ax=ax, **options)``.

    Returns
    -------
    matplotlib.figure.Figure
    """
    with st.style():
        fig, ax = st.figure(width, height)
        plot(table, ax=ax, **options)
        _head(fig, title)
    return fig
