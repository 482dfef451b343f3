"""What is concluded about deferral: certified coverage, net benefit, who decides, which method."""

from __future__ import annotations

import pandas as pd

from medcal_nb.show.words import label_of
from medcal_nb.study.findings.finding import (
    Finding,
    ci,
    decimal,
    listed,
    number_word,
    percent,
    sentence,
)

#: Methods named in one sentence; more are counted.
_NAMED = 4


def choice_of_method(table: pd.DataFrame) -> Finding:
    """Return which elicitation method costs least, and how firm that choice is.

    Parameters
    ----------
    table : pandas.DataFrame
        :func:`medcal_nb.measure.choose_strategy`, the rows of one group.
    """
    if table.empty:
        return Finding(
            claim="No method was chosen: fewer than 40 images have answers by every method.",
            estimate=None,
            interval=None,
            n=0,
            method="cost on held-out images",
        )
    best = table[table["chosen"]].iloc[0]
    cost = f"{decimal(best['cost'])}, {_interval_of(best, 'cost')}"
    firm = f"in {percent(best['share_chosen'])} of {best['n_splits']} random splits"
    claim = f"{_name(best)} cost least {firm} (expected cost of an answer {cost})"
    if len(table) > 1:
        others = table[table["conclusion"] == "equivalent"]
        claim = f"{claim}; {_equivalent(others, best['margin'])}"
    return Finding(
        claim=sentence(claim),
        estimate=float(best["cost"]),
        interval=(float(best["cost_low"]), float(best["cost_high"])),
        n=int(best["n"]),
        method="mean cost on held-out halves of the images, bootstrap by image",
        multiplicity=f"Holm over {len(table) - 1} comparisons"
        if len(table) > 1
        else "",
    )


def _equivalent(others: pd.DataFrame, margin: float) -> str:
    within = f"equivalent within {decimal(margin)}"
    names = [_name(row) for _, row in others.iterrows()]
    if not names:
        return f"no other method was shown to be {within}"
    verb = "was" if len(names) == 1 else "were"
    if len(names) > _NAMED:
        return f"{number_word(len(names))} other methods {verb} {within}"
    return f"{listed(names)} {verb} {within}"


def _name(row: pd.Series) -> str:
    """Return a method with its map: ``P(IK), recalibrated``."""
    label = label_of(row["strategy"])
    return label if row["map"] == "uncorrected" else f"{label} ({label_of(row['map'])})"


def _interval_of(row: pd.Series, name: str, unit: str = "decimal") -> str:
    return ci(row[f"{name}_low"], row[f"{name}_high"], unit=unit)
