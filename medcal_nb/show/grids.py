"""Whole figures: rows and columns of the plots of ``plots.py``, in the house style."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping

import numpy as np

from medcal_nb.show import plots
from medcal_nb.show import style as st
from medcal_nb.show.tables import interval_note


def _levels(table, column) -> list:
    return list(dict.fromkeys(table[column]))


def _head(fig, title):
    """Write the title, in lines of like length, over as few as fit."""
    room = int(fig.get_figwidth() * 13.5)
    # a title is not broken inside a remark or a name
    for words in ("synthetic images", "% interval", "% band"):
        title = title.replace(words, words.replace(" ", "\N{NO-BREAK SPACE}"))
    n_lines = len(textwrap.wrap(title, room, break_on_hyphens=False))
    for width in range(room // 2, room + 1):
        lines = textwrap.wrap(title, width, break_on_hyphens=False)
        if len(lines) <= n_lines:
            break
    fig.suptitle("\n".join(lines))


def _unbroken(words: str) -> str:
    return words.replace("n = ", "n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}")


def _n_note(table, *, but=()) -> str:
    """Return ``, n = 375 to 451`` where a table knows its number of answers."""
    for column in ("n", "n_target", "n_a", "items"):
        if column in table and column not in but and table[column].notna().any():
            low, high = int(table[column].min()), int(table[column].max())
            words = f"n = {low:,}" + (f" to {high:,}" if high > low else "")
            return _unbroken(f", {words}")
    return ""


def _name_panels(axes, names, columns=1):
    """Name panels in one size, over as many lines as one of so many columns takes."""
    names = [_unbroken(st.label_of(name)) for name in names]
    # bold letters are about 0.65 of their size wide; axis labels take the rest of a column
    room = 72 * (axes[0].figure.get_figwidth() / columns - 0.3) / 0.65
    size = max(7, min(9, room / max(len(name) for name in names)))
    for ax, name in zip(axes, names, strict=True):
        ax.set_title(textwrap.fill(name, int(room / size)), fontsize=size)


def _key(fig, handles, names, title=None, note=""):
    """Name what the panels share below them, in as many columns as fit, under a note."""
    names = [st.label_of(name) for name in names]
    if names:
        room = int(fig.get_figwidth() * 13.5)
        columns = max(1, room // (max(len(name) for name in names) + 8))
        key = fig.legend(
            handles, names, loc="outside lower center", ncols=min(columns, len(names)), title=title
        )
        if note:  # one artist: a caption and a key below the panels would cover each other
            told = "\n".join(filter(None, (st.wrapped(fig, note), title)))
            key.set_title(told, prop={"size": st.SMALL_PRINT})
            key.get_title().set_color(st.GREY)
    elif note:
        st.caption(fig, note)


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
    for k, ax in enumerate(axes.flat[n:], n):
        ax.set_axis_off()
        # nothing below the panel above: it carries the numbers of the shared axis itself
        axes.flat[k - per_row].tick_params(labelbottom=True)
    return fig, list(axes.flat[:n])


def reliability_grid(
    panels, scores, *, row, column, colours=None, title="", metric="ece", level=0.95
):
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
    level : float
        Of the intervals, for the caption.

    Returns
    -------
    matplotlib.figure.Figure
    """
    rows, columns = _levels(panels, row), _levels(panels, column)
    with st.style():
        fig, axes = st.figure(
            "full" if len(columns) > 1 else "half",
            0.7 + 3.15 * len(rows),
            nrows=len(rows),
            ncols=len(columns),
            squeeze=False,
        )
        named = {}
        for y, line in enumerate(rows):
            for x, other in enumerate(columns):
                part = panels[(panels[row] == line) & (panels[column] == other)]
                if part.empty:
                    axes[y, x].set_axis_off()
                    continue
                plots.plot_reliability(
                    part,
                    ax=axes[y, x],
                    colour=(colours or {}).get(other, st.BLUE),
                    note=interval_note(scores, metric, **{row: line, column: other}),
                )
                named[axes[y, x].child_axes[0]] = f"{line}, {other}"
                if y < len(rows) - 1:  # the names of the next line's panels stand there
                    axes[y, x].set_xlabel("")
        _name_panels(list(named), named.values(), len(columns))
        _reliability_caption(fig, metric, level)
        _head(fig, title)
    return fig


def _reliability_caption(fig, metric, level):
    note = f" In brackets: {level:.0%} interval of the {st.label_of(metric)} by image."
    st.caption(fig, plots.reliability_caption(level) + note)


def reliability_row(
    panels, scores, *, column, colours=None, title="", metric="ece", per_line=2, level=0.95
):
    """Draw a reliability diagram per level of ``column``, ``per_line`` beside each other.

    Parameters as in :func:`reliability_grid`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    names = _levels(panels, column)
    with st.style():
        fig, axes = _panels(len(names), per_row=per_line, row_height=3.15, head=1.0)
        for k, (ax, name) in enumerate(zip(axes, names, strict=True)):
            plots.plot_reliability(
                panels[panels[column] == name],
                ax=ax,
                colour=(colours or {}).get(name, st.BLUE if k == 0 else st.VERMILLION),
                note=interval_note(scores, metric, **{column: name}),
            )
        for ax in axes[:-per_line]:  # the names of the next line's panels stand there
            ax.set_xlabel("")
        _name_panels([ax.child_axes[0] for ax in axes], names, min(per_line, len(names)))
        _reliability_caption(fig, metric, level)
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
            low="y_low",
            high="y_high",
            xlabel="clip (how far from 1\na stated 100 % is taken to be)",
            ylabel="fitted temperature",
            logx=True,
        )
        shown = table.loc[table["trap"] == "clip", "series"].iloc[0]
        right.set(
            ylim=(0, None), ylabel=f"fitted temperature ({shown})", title="the clip decides the fit"
        )
        _head(fig, title + _n_note(table))
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
    logx=(),
    title="",
    note="",
    columns=3,
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
    logx : sequence of str
        Values that are drawn on a logarithmic axis, which has room for 0.
    note : str
        Said in small print below the panels.
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
        headings = {name: f"n = {name:,}" if panel == "n" else str(name) for name, _, _ in parts}
        axis_labels = {name: (xlabels or {}).get(values, values) for name, _, _ in parts}
    levels = _levels(table, hue) if hue else []
    colours, markers = st.looks(hue, levels, colours=colours, markers=markers) if hue else ({}, {})
    n_labels, n_hues = table[label].nunique(), max(len(levels), 1)
    with st.style():
        fig, axes = _panels(
            len(parts),
            per_row=columns,
            row_height=0.5 + n_labels * (0.1 + 0.1 * n_hues),
            head=0.9 if note else 0.6,
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
                hue_order=levels,
                colours=colours,
                markers=markers,
                xlabel=axis_labels[name],
                reference=line,
                legend=False,
            )
            if value in logx:
                st.log_axis(ax, part[value])
        n_rows = -(-len(parts) // columns)
        # names of labels take about as much as a panel
        _name_panels(axes, headings.values(), -(-len(parts) // n_rows) + 0.8)
        names = [str(level) for level in levels]
        handles = [plots.legend_handle("", colours[level], markers[level]) for level in levels]
        _key(fig, handles, names, title=st.KEY_TITLES.get(hue), note=note)
        _head(fig, title + _n_note(table, but=[panel]))
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
        _name_panels(axes, names, per_row + 0.3)
        _head(fig, f"{title}; dashed: truth, band: 90 % of samples")
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
            plots.plot_risk_coverage(part, ax=ax, hue="strategy", legend=False)
            ax.axhline(part["risk"].iloc[-1], color=st.GREY, lw=0.8, ls=":")
        counts = table.groupby("strategy")["n_kept"].max()
        named = [f"{name}, n = {int(counts[name]):,}" for name in names]
        _name_panels(axes, named, min(columns, len(names)))
        highest = table["risk_high" if "risk_high" in table else "risk"].max()
        axes[0].set_ylim(0, 1.03 * highest if highest > 0 else 1)
        _head(fig, title)
    return fig


# what takes no confidence: thin lines with signs, unlike the curves in a grey print
_POLICIES = {
    label: {"color": st.BLACK, "lw": 0.7, "ms": 3.5, "markevery": every, "ls": line, "marker": sign}
    for label, line, sign, every in (
        ("keep all", "-", "x", 0.11),
        ("check none", "-", "x", 0.11),
        ("check all", "-", "+", 0.13),
        ("best in hindsight", ":", "", 1),
    )
}


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
        fig, (left, right) = st.figure("full", 3.9, ncols=2)
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
        for column, label in plain.items():
            left.plot(first["cost_ratio"], first[column], label=label, **_POLICIES[label])
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
            xlabel="error probability from which\na check is wanted",
            ylabel="net benefit\n(errors found per answer)",
        )
        first = decisions[decisions["confidence used"] == names[0]]
        for label, values in (
            ("check all", first["check_all"]),
            ("check none", 0 * first["check_all"]),
        ):
            right.plot(first["threshold"], values, label=label, **_POLICIES[label])
        right.set(ylim=(-0.1, None), title="decision curve")
        named = {}
        for ax in (left, right):
            handles, labels = ax.get_legend_handles_labels()
            named |= dict(zip(labels, handles, strict=True))
            ax.get_legend().remove()
        _key(fig, list(named.values()), list(named))
        _head(fig, title + _n_note(costs))
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
            held = part["n"].fillna(0).astype(int)
            ticks = [f"{level}\n{n:,}" for level, n in zip(order, held, strict=True)]
            ax.set_xticks(range(len(order)), ticks)
            ax.set(ylim=(0, 1), xlabel=f"{xlabel}, below it n" if xlabel else "n below")
            ax.grid(axis="y")
        counts = table.groupby("model")["n"].sum()
        named = [f"{name}, n = {int(counts[name]):,}" for name in names]
        _name_panels(axes, named, -(-len(names) // -(-len(names) // columns)))
        _key(fig, *axes[0].get_legend_handles_labels())
        _head(fig, title)
    return fig


def line_panels(
    table,
    *,
    panel,
    x,
    y,
    hue,
    xlabel,
    ylabel,
    logx=False,
    title="",
    sharey=True,
    columns=3,
    **options,
):
    """Draw lines, one panel per level of ``panel``; see :func:`medcal_nb.show.plots.plot_lines`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    names = _levels(table, panel)
    with st.style():
        fig, axes = _panels(len(names), per_row=columns, row_height=2.6, head=0.5, sharey=sharey)
        per_row = axes[0].get_subplotspec().get_gridspec().ncols
        for k, (ax, name) in enumerate(zip(axes, names, strict=True)):
            plots.plot_lines(
                table[table[panel] == name],
                ax=ax,
                x=x,
                y=y,
                hue=hue,
                xlabel=xlabel if k >= len(names) - per_row else "",
                ylabel=ylabel if k % per_row == 0 else "",
                logx=logx,
                legend=False,
                **options,
            )
        _name_panels(axes, names, per_row)
        _key(fig, *axes[0].get_legend_handles_labels())
        _head(fig, title + _n_note(table, but=[x]))
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
            "full", 0.4 + 0.72 * len(names), nrows=len(names), ncols=per_row, squeeze=False
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


_HOLLOW = {"fillstyle": "none", "ms": 3.6, "alpha": 0.9}


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
        "new_tokens": "new tokens\nper item",
        "parse_rate": "parse rate",
        "confidence_rate": "items with\na confidence",
        "levels": "different\nconfidences",
    }
    order = _levels(table, "strategy")
    models = _levels(table, "model")
    colours, markers = st.cycle_colours(models), st.cycle_markers(models)
    with st.style():
        fig, axes = st.figure("full", 0.9 + 0.24 * len(order), ncols=len(values), sharey=True)
        for ax, (value, label) in zip(axes, values.items(), strict=True):
            for k, model in enumerate(models):
                part = table[table["model"] == model]
                # models side by side, so that equal values don't cover each other
                aside = 0.6 * (k / max(len(models) - 1, 1) - 0.5) if len(models) > 1 else 0
                at = [order.index(name) + aside for name in part["strategy"]]
                if f"{value}_low" in part:
                    bounds = part[f"{value}_low"], part[f"{value}_high"]
                    ax.hlines(at, *bounds, color=colours[model], lw=0.8, alpha=0.6)
                ax.plot(part[value], at, markers[model], color=colours[model], **_HOLLOW)
            ax.set_yticks(range(len(order)), order)
            ax.set_ylim(len(order) - 0.4, -0.6)
            ax.set_xlabel(label)
            ax.grid(axis="both")
        highest = table["new_tokens"].max()
        axes[0].set_xscale("symlog", linthresh=1)
        axes[0].set_xlim(-0.4, 2 * highest if highest > 0 else 1)
        axes[3].set_xscale("log")
        for ax in (axes[0], axes[3]):
            ax.xaxis.set_major_formatter(lambda number, _: f"{number:,g}")
        for ax in axes[1:3]:
            ax.set_xlim(-0.03, 1.06)
        handles = [plots.legend_handle("", colours[m], markers[m], **_HOLLOW) for m in models]
        shared = table.groupby(["model", "strategy"])["dataset"].nunique().max()
        note = (
            "Several marks of a model under one strategy are its data sets." if shared > 1 else ""
        )
        _key(fig, handles, [str(m) for m in models], note=note)
        _head(fig, f"{title}, 95% interval of shares{_n_note(table)}")
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
        named = {}
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
                named[axes[y, x]] = f"{level}, {other}, n = {n:,}"
                if y < len(rows) - 1:
                    axes[y, x].set_xlabel("")
        _name_panels(list(named), named.values(), len(columns))
        axes[0, 0].legend(loc="upper left")
        _head(fig, title)
    return fig


def _clipped(table, value, limits, min_n) -> str:
    """Say where the colours of a heatmap end, if a coloured value lies beyond."""
    low, high = limits
    values = table.loc[table["n"] >= min_n, value] if "n" in table else table[value]
    told = []
    if low is not None and (values < low).any():
        told.append(f"below {low:g}")
    if high is not None and (values > high).any():
        told.append(f"above {high:g}")
    return f" (one colour {' and '.join(told)})" if told else ""


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
        One above the other: for many columns. More than eight columns become the rows where those
        are fewer: long names are read along a row.
    decimals : int
        Of the numbers in the cells.

    Returns
    -------
    matplotlib.figure.Figure
    """
    n_rows, n_columns = table[row].nunique(), table[column].nunique()
    if n_columns > max(8, n_rows):
        row, column, n_rows, n_columns = column, row, n_columns, n_rows
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
            ax.set_title(label + _clipped(table, value, limits, min_n))
        # where every cell says its own n, the title need not
        _head(fig, title + ("" if "n" in table else _n_note(table)))
    return fig


def one_panel(plot, table, *, width="half", height=3.6, title="", **options):
    """Draw one plot as a figure of its own: ``plot(table, ax=ax, **options)``.

    Returns
    -------
    matplotlib.figure.Figure
    """
    with st.style():
        fig, ax = st.figure(width, height)
        # the n of a bin is no sample's
        _head(fig, title + ("" if "bin" in table else _n_note(table, but=options.values())))
        plot(table, ax=ax, **options)
    return fig
