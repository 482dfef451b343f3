"""The numbers of figures that several rooms feed: tidy tables, one row per mark."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from medcal_nb.correct.closeup import correction_stages
from medcal_nb.measure import Interval, reliability_table, wilson_interval
from medcal_nb.measure.rows import (  # noqa: F401
    arrays,
    by_group,
    halves,
    image_labels,
    measured,
    pick,
    rows_where,
    side_name,
    sides,
    strategies_on,
    with_group,
)
from medcal_nb.measure.tables import histogram_table  # noqa: F401
from medcal_nb.show.style import label_of


def reliability_panels(graded: pd.DataFrame, *, by: Sequence[str], **options) -> pd.DataFrame:
    """Return the reliability tables of several groups, stacked."""
    return by_group(graded, by, reliability_table, **options)


def below_note(scores: pd.DataFrame, metric: str = "ece", *, see: str) -> str:
    """Return how many values lie outside their own interval, and why; "" where none does."""
    value = scores[metric]
    out = (value < scores[f"{metric}_low"]) | (value > scores[f"{metric}_high"])
    if not out.any():
        return ""
    return (
        f"{out.sum()} of {value.notna().sum()} {label_of(metric)} values lie outside their own "
        f"interval: chance adds to a plain ECE, and the interval allows for it (see {see})."
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
    bounds = Interval(row[f"{metric}_low"], row[metric], row[f"{metric}_high"])
    return f"{label_of(metric)} {bounds}"


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
