"""The numbers of figures that several rooms feed: tidy tables, one row per mark."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from medcal_nb.errors import MedcalError
from medcal_nb.measure import Interval, ece, reliability_table


def measured(verdicts: pd.DataFrame) -> pd.DataFrame:
    """Return the verdicts that can be measured: those with a confidence and a grade."""
    return verdicts[verdicts["confidence"].notna() & verdicts["correct"].notna()]


def pick(preferred: Sequence[str], available: pd.Series, *, n: int) -> list[str]:
    """Return up to ``n`` values: the preferred ones that occur, then others in order of rows."""
    there = list(dict.fromkeys(available.dropna()))
    wanted = [value for value in preferred if value in there]
    return (wanted + [value for value in there if value not in wanted])[:n]


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


def with_gap(scores: pd.DataFrame) -> pd.DataFrame:
    """Return a metrics table with ``gap`` = mean confidence - accuracy, and its interval.

    The interval treats the mean confidence as known: it is the interval of the accuracy, turned
    round. The accuracy of yes/no outcomes varies far more than the mean of confidences does.
    """
    mean = scores["mean_confidence"]
    return scores.assign(
        gap=mean - scores["accuracy"],
        gap_low=mean - scores["accuracy_high"],
        gap_high=mean - scores["accuracy_low"],
    )


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
    name = {"ece": "ECE", "auroc": "AUROC", "aurc": "AURC", "brier": "Brier"}.get(metric, metric)
    bounds = Interval(row[f"{metric}_low"], row[metric], row[f"{metric}_high"])
    return f"{name} {bounds}"


def arrays(verdicts: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return ``(confidence, correct)`` of the verdicts that can be measured, as float arrays."""
    kept = measured(verdicts)
    return kept["confidence"].to_numpy(float), kept["correct"].to_numpy(float)


def by_group(verdicts: pd.DataFrame, by: Sequence[str], table: Callable, **options) -> pd.DataFrame:
    """Apply a table of ``(confidence, correct)`` to each group and stack the results.

    Parameters
    ----------
    verdicts : pandas.DataFrame
    by : sequence of str
        Columns that make the groups; they come first in the result.
    table : callable
        ``table(confidence, correct, **options) -> DataFrame``.
    """
    parts = []
    for key, part in measured(verdicts).groupby(list(by), sort=False):
        one = table(*arrays(part), **options)
        for position, (column, value) in enumerate(zip(by, key, strict=True)):
            one.insert(position, column, value)
        parts.append(one)
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


def ece_bins_table(confidence, correct, *, bins: Sequence[int]) -> pd.DataFrame:
    """Return ECE for several bin counts and both binnings: ``n_bins, binning, ece``."""
    return pd.DataFrame(
        [
            {"n_bins": n, "binning": kind, "ece": ece(confidence, correct, n_bins=n, binning=kind)}
            for kind in ("width", "mass")
            for n in bins
        ]
    )


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
        ``confidence_rate`` (share of items that got a confidence), ``levels`` (distinct
        confidences), ``mean_confidence``, ``accuracy`` (of graded verdicts).
    """
    keys = ["model", "dataset", "strategy"]
    replies = answers.groupby(keys, sort=False).agg(
        replies=("item_id", "size"),
        items=("item_id", "nunique"),
        prompt_tokens=("prompt_tokens", "sum"),
        new_tokens=("new_tokens", "sum"),
        seconds=("seconds", "sum"),
        parse_rate=("parse_ok", "mean"),
    )
    made = verdicts.groupby(keys, sort=False).agg(
        confidence_rate=("confidence", lambda c: c.notna().mean()),
        levels=("confidence", lambda c: c.round(4).nunique()),
        mean_confidence=("confidence", "mean"),
        accuracy=("correct", lambda y: y.dropna().astype(float).mean()),
    )
    replies.insert(0, "replies_per_item", replies.pop("replies") / replies["items"])
    for column in ("prompt_tokens", "new_tokens", "seconds"):
        replies[column] = replies[column].astype(float) / replies["items"]
    return replies.join(made, how="outer").reset_index()
