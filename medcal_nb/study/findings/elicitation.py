"""Findings of notebook 01: what each elicitation method yields and costs."""

from __future__ import annotations

import pandas as pd

from medcal_nb.show.words import label_of
from medcal_nb.study.findings.finding import (
    Finding,
    ci,
    counted,
    ends_of,
    extent,
    percent,
)


def confidence_rate(yields: pd.DataFrame, *, enough: float = 0.95) -> Finding:
    """Return how many methods gave a confidence for nearly every question, and the worst.

    Parameters
    ----------
    yields : pandas.DataFrame
        One row per method: `strategy, items, confidence_rate` with `_low, _high`.
    enough : float
        The share of questions that counts as nearly every one.
    """
    n = len(yields)
    k = int((yields["confidence_rate"] >= enough).sum())
    worst = yields.loc[yields["confidence_rate"].idxmin()]
    name = label_of(worst["strategy"])
    rate = worst["confidence_rate"]
    interval = ends_of(worst, "confidence_rate")
    share = f"for {percent(rate)}"
    methods = counted(k, n, "elicitation method")
    if rate == 1:
        claim = f"{counted(n, n, 'elicitation method')} returned a confidence for every question"
    elif n == 1:
        claim = (
            f"{name} returned a confidence {share} of the questions ({ci(*interval)})"
        )
    elif extent(k, n) == "none":
        claim = (
            f"{methods} returned a confidence for {percent(enough)} of the questions; "
            f"{name} did so least often, {share} ({ci(*interval)})"
        )
    else:
        claim = (
            f"{methods} returned a confidence for at least {percent(enough)} of the questions; "
            f"the fewest came from {name}, {share} ({ci(*interval)})"
        )
    return Finding(
        claim=claim,
        estimate=rate,
        interval=interval,
        n=worst["items"],
        of="questions",
        method="Wilson score interval",
    )


def tokens_written(yields: pd.DataFrame) -> Finding:
    """Return the tokens that the cheapest and the most expensive method write a question.

    Parameters
    ----------
    yields : pandas.DataFrame
        One row per method: `strategy, items, new_tokens` (a question).
    """
    known = yields.dropna(subset=["new_tokens"])
    if known.empty:
        return Finding(
            claim="The models did not report how many tokens they wrote.",
            of="methods",
            method="counted by the models",
        )
    cheapest = known.loc[known["new_tokens"].idxmin()]
    dearest = known.loc[known["new_tokens"].idxmax()]
    ratio = dearest["new_tokens"] / max(cheapest["new_tokens"], 1)
    first = f"{label_of(cheapest['strategy'])} wrote {_tokens(cheapest)} a question"
    if len(known) == 1:
        claim = first
    else:
        claim = (
            f"elicitation methods wrote from {_tokens(cheapest)} "
            f"({label_of(cheapest['strategy'])}) to {_tokens(dearest)} "
            f"({label_of(dearest['strategy'])}) a question"
        )
    return Finding(
        claim=claim,
        estimate=ratio,
        n=len(known),
        of="methods",
        method="tokens counted by the models, mean over questions; no sampling error is given",
    )


def _tokens(method: pd.Series) -> str:
    """Return the tokens that a method writes a question."""
    n = round(method["new_tokens"])
    if n == 0:
        return "no token"
    return "1 token" if n == 1 else f"{n:,} tokens"


def distinct_confidences(yields: pd.DataFrame) -> Finding:
    """Return between how many different confidences the methods tell answers apart.

    Parameters
    ----------
    yields : pandas.DataFrame
        One row per method: `strategy, items, levels`.
    """
    fewest = yields.loc[yields["levels"].idxmin()]
    most = yields.loc[yields["levels"].idxmax()]
    low = int(fewest["levels"])
    high = int(most["levels"])
    values = "value" if low == 1 else "different values"
    if low == high:
        claim = f"every method returned {low:,} {values}"
    else:
        claim = (
            f"the number of different confidences ranged from {low:,} "
            f"({label_of(fewest['strategy'])}) to {high:,} ({label_of(most['strategy'])})"
        )
    return Finding(
        claim=claim,
        estimate=low,
        n=len(yields),
        of="methods",
        method="counted to four decimals; no sampling error is given",
    )
