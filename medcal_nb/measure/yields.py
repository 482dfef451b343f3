"""What a way of asking costs, and what it yields."""

import pandas as pd

from .intervals import wilson_interval


def yield_table(answers: pd.DataFrame, graded: pd.DataFrame) -> pd.DataFrame:
    """Return costs and yield of each strategy.

    Parameters
    ----------
    answers : pandas.DataFrame
        The answers table: replies, several per item where a strategy samples.
    graded : pandas.DataFrame
        What they became: one row per model, item and strategy.

    Returns
    -------
    pandas.DataFrame
        ``strategy, items``; per item ``replies, prompt_tokens, new_tokens, seconds``;
        ``parse_rate`` (share of replies that could be read) and ``confidence_rate`` (share of items
        that got a confidence), with 95 % Wilson intervals ``_low, _high``; ``levels`` (number of
        distinct confidences), ``mean_confidence``, ``accuracy``.
    """
    made = graded.groupby("strategy", sort=False).agg(
        items=("item_id", "size"),
        confident=("confidence", "count"),
        levels=("confidence", lambda c: c.round(4).nunique()),
        mean_confidence=("confidence", "mean"),
        accuracy=("correct", lambda y: y.dropna().astype(float).mean()),
    )
    asked = answers.groupby("strategy", sort=False).agg(
        replies=("item_id", "size"),
        prompt_tokens=("prompt_tokens", "sum"),
        new_tokens=("new_tokens", "sum"),
        seconds=("seconds", "sum"),
        parsed=("parse_ok", "sum"),
        told=("parse_ok", "count"),
    )
    table = made.join(asked, how="inner")
    for name, count, of in (
        ("parse_rate", table.pop("parsed"), table.pop("told")),
        ("confidence_rate", table.pop("confident"), table["items"]),
    ):
        table[name] = count.astype(float) / of
        bounds = wilson_interval(count.to_numpy(float), of.to_numpy(float))
        table[f"{name}_low"], table[f"{name}_high"] = bounds
    for name in ("replies", "prompt_tokens", "new_tokens", "seconds"):
        table[name] = table[name].astype(float) / table["items"]
    return table.reset_index()
