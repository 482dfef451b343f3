"""The numbers of figures that several rooms feed: tidy tables, one row per mark."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from medcal_nb.correct.closeup import correction_stages, halves, side_name, sides  # noqa: F401
from medcal_nb.errors import MedcalError
from medcal_nb.measure import Interval, metrics_table, reliability_table, wilson_interval
from medcal_nb.show.style import label_of


def measured(verdicts: pd.DataFrame) -> pd.DataFrame:
    """Return the verdicts that can be measured: those with a confidence and a grade."""
    return verdicts[verdicts["confidence"].notna() & verdicts["correct"].notna()]


def pick(preferred: Sequence[str], available: pd.Series, *, n: int) -> list[str]:
    """Return up to ``n`` values: the preferred ones that occur, then others in order of rows."""
    there = list(dict.fromkeys(available.dropna()))
    wanted = [value for value in preferred if value in there]
    return (wanted + [value for value in there if value not in wanted])[:n]


def filled_column(verdicts: pd.DataFrame, column: str) -> str:
    """Return ``column``, or ``dataset`` where it holds nothing, as in many recorded answers."""
    empty = column in verdicts.columns and verdicts[column].isna().all()
    return "dataset" if empty else column


def with_group(verdicts: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return the verdicts with a column ``group``: the values of ``column``, none as "all".

    Raises
    ------
    MedcalError
        If there is no such column.
    """
    if column not in verdicts.columns:
        raise MedcalError(
            f"GROUP_BY: no column {column!r} in the answers: choose one of "
            f"{', '.join(map(str, verdicts.columns))}"
        )
    return verdicts.assign(group=verdicts[column].astype(object).fillna("all").astype(str))


def with_intervals(scores: pd.DataFrame, *, by: Sequence[str]) -> pd.DataFrame:
    """Return a metrics table for readers: ``0.083 [0.071, 0.096]`` in one cell, groups as index."""
    shown = scores.set_index(list(by))[["n", "n_missing"]].astype(object)
    for column in scores.columns:
        if f"{column}_low" in scores.columns:
            bounds = zip(
                scores[f"{column}_low"], scores[column], scores[f"{column}_high"], strict=True
            )
            shown[column] = [str(Interval(*b)) for b in bounds]
    return shown


def in_levels(verdicts: pd.DataFrame, column: str, edges: Sequence[float]) -> pd.DataFrame:
    """Return the verdicts with a column ``level``: the bin of a number, written ``0.2–0.4``.

    Where the column is absent or empty, all verdicts get the one level "all".
    """
    values = pd.to_numeric(verdicts[column], errors="coerce") if column in verdicts else None
    if values is None or values.notna().sum() == 0:
        return verdicts.assign(level="all")
    names = [f"{a:g}–{b:g}" for a, b in pairwise(edges)]
    level = pd.cut(values, edges, labels=names, include_lowest=True).astype(object)
    return verdicts.assign(level=level)[level.notna()]


def below_note(scores: pd.DataFrame, metric: str = "ece", *, see: str) -> str:
    """Return how many values lie below their own interval, and why; "" where none does.

    Parameters
    ----------
    scores : pandas.DataFrame
        Has ``<metric>``, ``<metric>_low`` and ``<metric>_high``, percentiles of resamples.
    see : str
        Where more is told about it.
    """
    value = scores[metric]
    out = value < scores[f"{metric}_low"]
    if not out.any():
        return ""
    return (
        f"{out.sum()} of {value.notna().sum()} {label_of(metric)} values lie below their own "
        "interval: resampling adds to a plain ECE what sampling had added before, so that the "
        f"interval lies too high (see {see})."
    )


def held_note(coverage: pd.DataFrame, *, level: float) -> str:
    """Return how often intervals hold the truth, by metric and number of items, worst first.

    Parameters
    ----------
    coverage : pandas.DataFrame
        From :func:`medcal_nb.measure.coverage_table`.
    level : float
        What the intervals promise.
    """
    order = coverage.groupby("stat")["coverage"].mean().sort_values(kind="stable").index
    told = []
    for stat in order:
        rows = coverage[coverage["stat"] == stat]
        pairs = zip(rows["coverage"], rows["n"], strict=True)
        shares = [f"{share:.1%} (n = {n:,})" for share, n in pairs]
        told.append(f"{label_of(stat)} {', '.join(shares)}")
    above = coverage["missed_above"].gt(coverage["missed_below"]).sum()
    return (
        f"A {level:.0%} interval holds the truth in this share of the samples: {'; '.join(told)}. "
        f"In {above} of these {len(coverage)} cases more intervals lie wholly above the truth than "
        "wholly below it."
    )


def shrunken_table(scores: pd.DataFrame, metric: str, *, level: float = 0.95) -> pd.DataFrame:
    """Return each group's raw and shrunken value of a metric, stacked under ``estimate``.

    The standard errors are read from the widths of the intervals. The shrunken values carry no
    interval of their own: their columns ``_low`` and ``_high`` repeat the value.
    """
    from scipy.special import ndtri

    from medcal_nb.measure.groups import shrunken_estimates

    low, high = f"{metric}_low", f"{metric}_high"
    kept = scores[scores[low] < scores[high]]
    errors = (kept[high] - kept[low]) / (2 * ndtri((1 + level) / 2))
    values, _ = shrunken_estimates(kept[metric], errors)
    shrunken = kept.assign(**{metric: values, low: values, high: values}, estimate="shrunken")
    columns = ["group", "n", metric, low, high, "estimate"]
    return pd.concat([kept.assign(estimate="raw"), shrunken])[columns]


def interval_note(table: pd.DataFrame, metric: str, **where) -> str:
    """Return ``ECE 0.083 [0.071, 0.096]`` for the one row of a metrics table that is meant.

    Raises
    ------
    ValueError
        If no row, or more than one, has the values of ``where``.
    """
    mask = np.logical_and.reduce([table[column] == value for column, value in where.items()])
    rows = table[mask]
    if len(rows) != 1:
        raise ValueError(f"where: {len(rows)} rows match {where}, not one")
    row = rows.iloc[0]
    bounds = Interval(row[f"{metric}_low"], row[metric], row[f"{metric}_high"])
    return f"{label_of(metric)} {bounds}"


def arrays(verdicts: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return ``(confidence, correct)`` of the verdicts that can be measured, as float arrays."""
    kept = measured(verdicts)
    return kept["confidence"].to_numpy(float), kept["correct"].to_numpy(float)


def by_group(
    verdicts: pd.DataFrame,
    by: Sequence[str],
    table: Callable,
    *,
    by_image: bool = False,
    **options,
) -> pd.DataFrame:
    """Apply a table of ``(confidence, correct)`` to each group and stack the results.

    Parameters
    ----------
    verdicts : pandas.DataFrame
    by : sequence of str
        Columns that make the groups; they come first in the result.
    table : callable
        ``table(confidence, correct, **options) -> DataFrame``. Where it has no column ``n``, the
        number of the group's verdicts is put there.
    by_image : bool
        Pass each verdict's image as ``groups``; the table then tells ``n_images``, too.
    """
    from medcal_nb.correct.transfer import image_labels

    parts = []
    for key, part in measured(verdicts).groupby(list(by), sort=False):
        images = {"groups": image_labels(part)} if by_image else {}
        one = table(*arrays(part), **images, **options)
        if by_image:
            one["n_images"] = len(np.unique(images["groups"]))
        for position, (column, value) in enumerate(zip(by, key, strict=True)):
            one.insert(position, column, value)
        parts.append(one if "n" in one else one.assign(n=len(part)))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def reliability_panels(verdicts: pd.DataFrame, *, by: Sequence[str], **options) -> pd.DataFrame:
    """Return the reliability tables of several groups, stacked.

    See :func:`medcal_nb.measure.reliability_table` for the columns after those of ``by``.
    """
    return by_group(verdicts, by, reliability_table, **options)


def histogram_table(confidence, correct, *, n_bins: int = 20) -> pd.DataFrame:
    """Count right and wrong answers per confidence bin: ``low, high, n_correct, n_wrong``.

    Bins are ``(low, high]`` with 0 in the first, as in :func:`medcal_nb.measure.ece`.
    """
    table = reliability_table(confidence, correct, n_bins=n_bins)
    n_correct = (table["n"] * table["accuracy"].fillna(0)).round().astype(int)
    return pd.DataFrame(
        {
            "low": table["low"],
            "high": table["high"],
            "n_correct": n_correct,
            "n_wrong": table["n"] - n_correct,
        }
    )


def ece_bins_table(
    verdicts: pd.DataFrame, *, by: Sequence[str], bins: Sequence[int], **options
) -> pd.DataFrame:
    """Return each group's ECE with its interval, for several bin counts and both binnings.

    Parameters
    ----------
    verdicts : pandas.DataFrame
    by : sequence of str
        Columns that make the groups.
    bins : sequence of int
        How many bins.
    **options
        ``level``, ``n_resamples``, ``rng`` of :func:`medcal_nb.measure.metrics_table`.

    Returns
    -------
    pandas.DataFrame
        The columns of ``by``, ``binning`` ("equal width", "equal mass"), ``n_bins, n, ece, ece_low,
        ece_high``.
    """
    parts = [
        metrics_table(verdicts, by=by, metrics=["ece"], n_bins=n, binning=kind, **options).assign(
            binning=f"equal {kind}", n_bins=n
        )
        for kind in ("width", "mass")
        for n in bins
    ]
    columns = [*by, "binning", "n_bins", "n", "ece", "ece_low", "ece_high"]
    return pd.concat(parts, ignore_index=True)[columns]


def image_counts(verdicts: pd.DataFrame, by: str) -> pd.Series:
    """Return how many images each group's measured verdicts are of; items where none is known."""
    from medcal_nb.correct.transfer import image_labels

    kept = measured(verdicts)
    return kept.assign(image=image_labels(kept)).groupby(by, sort=False)["image"].nunique()


def with_counts(table: pd.DataFrame, verdicts: pd.DataFrame, *, by: Sequence[str]) -> pd.DataFrame:
    """Return a table with ``n``: how many verdicts of a row's group could be measured."""
    if table.empty:
        return table
    counts = measured(verdicts).groupby(list(by)).size().rename("n").reset_index()
    return table.merge(counts, on=list(by), how="left")


def elicitation_table(answers: pd.DataFrame, verdicts: pd.DataFrame) -> pd.DataFrame:
    """Return what each way of asking costs and yields, per model, data set and strategy.

    Parameters
    ----------
    answers : pandas.DataFrame
        The answers table: replies, several per item where a strategy samples.
    verdicts : pandas.DataFrame
        What they became.

    Returns
    -------
    pandas.DataFrame
        ``model, dataset, strategy, items, replies_per_item, prompt_tokens, new_tokens, seconds``
        (the last three per item), ``parse_rate`` (share of replies that could be read),
        ``confidence_rate`` (share of items that got a confidence), both with their 95 % Wilson
        intervals, ``levels`` (distinct confidences), ``mean_confidence``, ``accuracy`` (of graded
        verdicts).
    """
    keys = ["model", "dataset", "strategy"]
    replies = answers.groupby(keys, sort=False).agg(
        replies=("item_id", "size"),
        items=("item_id", "nunique"),
        prompt_tokens=("prompt_tokens", "sum"),
        new_tokens=("new_tokens", "sum"),
        seconds=("seconds", "sum"),
        parsed=("parse_ok", "sum"),
        told=("parse_ok", "count"),
    )
    made = verdicts.groupby(keys, sort=False).agg(
        confident=("confidence", "count"),
        verdicts=("confidence", "size"),
        levels=("confidence", lambda c: c.round(4).nunique()),
        mean_confidence=("confidence", "mean"),
        accuracy=("correct", lambda y: y.dropna().astype(float).mean()),
    )
    _add_share(replies, "parse_rate", replies.pop("parsed"), replies.pop("told"))
    _add_share(made, "confidence_rate", made.pop("confident"), made.pop("verdicts"))
    replies.insert(0, "replies_per_item", replies.pop("replies") / replies["items"])
    for column in ("prompt_tokens", "new_tokens", "seconds"):
        replies[column] = replies[column].astype(float) / replies["items"]
    return replies.join(made, how="outer").reset_index()


def _add_share(table: pd.DataFrame, name: str, count: pd.Series, of: pd.Series) -> None:
    table[name] = count.astype(float) / of
    table[f"{name}_low"], table[f"{name}_high"] = wilson_interval(
        count.to_numpy(float), of.to_numpy(float)
    )


def rows_where(verdicts: pd.DataFrame, where: dict) -> pd.DataFrame:
    """Return the rows whose columns hold the values of ``where``; none where a column is absent."""
    mask = np.ones(len(verdicts), dtype=bool)
    for column, value in where.items():
        mask &= (verdicts[column] == value).to_numpy(bool) if column in verdicts else False
    return verdicts[mask]


def strategies_on(
    verdicts: pd.DataFrame, model: str, wanted: Sequence[str], *, where: Sequence[dict] = (), n: int
) -> list[str]:
    """Return up to ``n`` strategies of a model whose answers can be measured on all sides.

    Those of other models are never taken: a model need not have been asked under each.

    Parameters
    ----------
    verdicts : pandas.DataFrame
    model : str
    wanted : sequence of str
        Strategies to take first, where they are among them.
    where : sequence of dict
        Rows that are needed, by column: the source and the target, say; by default any.
    n : int

    Raises
    ------
    MedcalError
        If the model has none; the message names the models that have.
    """
    kept = both = measured(verdicts)
    for side in where:
        asked = rows_where(kept, side)[["model", "strategy"]].drop_duplicates()
        both = both.merge(asked, on=["model", "strategy"])
    own = both.loc[both["model"] == model, "strategy"]
    if own.empty:
        needed = f" on all of {', '.join(map(side_name, where))}" if where else ""
        raise MedcalError(
            f"MODEL: {model} has no strategy with confidences and grades{needed}: choose one of "
            f"{', '.join(dict.fromkeys(both['model'])) or 'no model, for none has'}"
        )
    return pick(wanted, own, n=n)


def about_zero(values: pd.Series) -> tuple[float, float]:
    """Return limits of colours with 0 in their middle that no value goes beyond."""
    farthest = np.abs(values).max()  # NaN where there are none
    reach = float(farthest) if farthest > 0 else 1.0
    return -reach, reach


def stacked(*parts: pd.DataFrame) -> pd.DataFrame:
    """Return tables of several panels as one, the panel's number in a column ``panel``."""
    return pd.concat(
        [part.assign(panel=number) for number, part in enumerate(parts, 1)], ignore_index=True
    )


def corrected_pair(
    graded: pd.DataFrame, *, source: dict, target: dict, fit: Callable, rng: np.random.Generator
) -> pd.DataFrame:
    """Return the target's answers as stated and after both maps of `correction_stages`.

    The column ``confidence used`` names which: ``as stated``, ``corrected with …``.
    """
    method = fit.keywords["method"]
    stages = correction_stages(graded, source=source, target=target, method=method, rng=rng)
    prefix = f"{side_name(target)}, "
    kept = stages[stages["stage"].str.startswith(prefix)]
    return kept.assign(**{"confidence used": kept["stage"].str.removeprefix(prefix)})


def shifted_thresholds(
    graded: pd.DataFrame, *, source: dict, target: dict, fit: Callable, **settings
) -> pd.DataFrame:
    """See :func:`medcal_nb.correct.shifted_thresholds`."""
    from medcal_nb import correct

    method, rng = fit.keywords["method"], np.random.default_rng(0)
    return correct.shifted_thresholds(
        graded, source=source, target=target, method=method, rng=rng, **settings
    )
