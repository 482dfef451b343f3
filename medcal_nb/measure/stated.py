"""What share of the answers carries a confidence, and how often the others are right."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from .rows import parts_by


def stated_table(
    graded: pd.DataFrame, *, by: Sequence[str] = ("model",)
) -> pd.DataFrame:
    """How many answers carry no confidence, and how often these and the others are right.

    A metric of confidence is of the answers that have one. Where the others are right more or
    less often, it is not that of all answers.

    Parameters
    ----------
    graded : pandas.DataFrame
        Graded answers: confidence, NaN where none was stated, and correct.
    by : sequence of str
        Columns that make the groups.

    Returns
    -------
    pandas.DataFrame
        One row a group:

        - the `by` columns
        - n: graded answers
        - n_unstated, unstated: how many of these carry no confidence, and their share
        - accuracy_stated, accuracy_unstated: share correct of the others and of these; NaN where
          there are none

    Raises
    ------
    ValueError
        On a column the table lacks.

    Examples
    --------
    >>> graded = pd.DataFrame({"model": "m", "confidence": [0.9, 0.8, None, None]})
    >>> stated_table(graded.assign(correct=[1, 0, 1, 1])).iloc[0].tolist()
    ['m', 4, 2, 0.5, 0.5, 1.0]
    """
    rows = []
    for key, part in parts_by(graded[graded["correct"].notna()], by):
        correct = part["correct"].astype(float)
        is_missing = part["confidence"].isna()
        row = {"n": len(part), "n_unstated": int(is_missing.sum())}
        row |= {"unstated": is_missing.mean()}
        row |= {"accuracy_stated": correct[~is_missing].mean()}
        rows.append(key | row | {"accuracy_unstated": correct[is_missing].mean()})
    return pd.DataFrame(rows)
