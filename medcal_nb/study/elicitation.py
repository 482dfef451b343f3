"""What elicitation methods yield and cost, from the answers of a study: tables of notebook 01."""

from __future__ import annotations

import pandas as pd

from medcal_nb.measure.intervals import wilson_interval


def elicitation_table(answers: pd.DataFrame, graded: pd.DataFrame) -> pd.DataFrame:
    """Return what each elicitation method yields and what it costs.

    Parameters
    ----------
    answers : pandas.DataFrame
        The answers table: replies, several a question where a method samples.
    graded : pandas.DataFrame
        What they became: one row per model, item and method.

    Returns
    -------
    pandas.DataFrame
        One row per method:

        - ``strategy``: its name;
        - ``items``: questions it was asked, over all models;
        - ``replies``, ``prompt_tokens``, ``new_tokens``: mean a question, of replies and of tokens
          read and written;
        - ``parse_rate``: share of replies that could be read, with ``_low``, ``_high``;
        - ``confidence_rate``: share of questions that got a confidence, with ``_low``, ``_high``
          (both 95 % Wilson score intervals);
        - ``levels``: number of distinct confidences, to four decimals.
    """
    by_question = graded.groupby("strategy", sort=False)
    table = pd.DataFrame({"items": by_question.size()})
    table["levels"] = by_question["confidence"].agg(lambda c: c.round(4).nunique())
    by_reply = answers.groupby("strategy", sort=False)
    table["replies"] = by_reply.size() / table["items"]
    for tokens in ("prompt_tokens", "new_tokens"):
        # no number at all is unknown, not none
        total = by_reply[tokens].sum(min_count=1).astype("Float64").astype(float)
        table[tokens] = total / table["items"]
    parsed = by_reply["parse_ok"].agg(["sum", "count"]).astype(float)
    confident = by_question["confidence"].count().astype(float)
    _add_share(table, "parse_rate", parsed["sum"], parsed["count"])
    _add_share(table, "confidence_rate", confident, table["items"].astype(float))
    return table.reset_index()


def _add_share(table: pd.DataFrame, name: str, count: pd.Series, of: pd.Series) -> None:
    """Add a share with its interval."""
    count = count.reindex(table.index)
    of = of.reindex(table.index)
    low, high = wilson_interval(count.to_numpy(), of.to_numpy())
    table[name] = count / of
    table[f"{name}_low"] = low
    table[f"{name}_high"] = high


def skipped_table(asked: pd.DataFrame) -> pd.DataFrame:
    """Return which methods were not asked, why, and of which models.

    Parameters
    ----------
    asked : pandas.DataFrame
        As :func:`medcal_nb.study.asking.ask_profile` returns it: `model`, and `skipped`, pairs of
        method and reason.

    Returns
    -------
    pandas.DataFrame
        ``strategy, reason, model`` (names joined by commas); empty where all was asked.
    """
    rows = [
        {"strategy": strategy, "reason": reason, "model": model}
        for model, skipped in zip(asked["model"], asked["skipped"], strict=True)
        for strategy, reason in skipped
    ]
    table = pd.DataFrame(rows, columns=["strategy", "reason", "model"])
    models = table.groupby(["strategy", "reason"], sort=False)["model"]
    return models.agg(lambda names: ", ".join(dict.fromkeys(names))).reset_index()
