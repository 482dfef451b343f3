"""Selective prediction as the field draws it: risk over coverage.

Answers are kept from the highest confidence downwards. Coverage is the share kept, risk the share
of these that are wrong. Answers of one confidence cannot be told apart: a curve has one point for
all of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ._check import check_groups
from .intervals import share_interval
from .resampling import gathered
from .rows import image_labels, parts_by

#: Points of a curve; of more different confidences neighbours are put together.
POINTS = 200


def risk_coverage_table(
    graded: pd.DataFrame,
    *,
    by: Sequence[str] = ("model",),
    level: float = 0.95,
) -> pd.DataFrame:
    """The risk–coverage curve: a row for each confidence down to which answers may be kept.

    Parameters
    ----------
    graded : pandas.DataFrame
        With confidence, correct and the columns of `by`. Answers without a confidence are
        deferred, those without a grade left out.
    by : sequence of str
        Columns that make the groups.
    level : float
        Of the intervals, each of its own point, by image.

    Returns
    -------
    pandas.DataFrame
        One row a group and confidence that occurs, or where more than 200 differ, a cell of
        neighbours; from the highest on:

        - the `by` columns
        - threshold: the confidence, the least that is kept
        - n: answers kept
        - coverage: share of all graded answers
        - risk: share wrong of those kept, with _low, _high by `clustered_interval`
        - base_risk: share wrong of all graded answers, the same in all rows of a group

    Raises
    ------
    ValueError
        On a column the table lacks.

    References
    ----------
    El-Yaniv & Wiener, JMLR 2010, 11:1605.

    Examples
    --------
    >>> answers = pd.DataFrame({"confidence": [0.9, 0.9, 0.5, 0.5], "correct": [1, 1, 1, 0]})
    >>> table = risk_coverage_table(answers, by=[])
    >>> table[["threshold", "n", "coverage", "risk"]].to_numpy().tolist()
    [[0.9, 2.0, 0.5, 0.0], [0.5, 4.0, 1.0, 0.25]]
    """
    rows = []
    for key, part in parts_by(graded[graded["correct"].notna()], by):
        has = part["confidence"].notna().to_numpy()
        codes, _ = check_groups(image_labels(part), len(part))
        correct = part["correct"].to_numpy(float)
        c = part["confidence"].to_numpy(float)[has]
        order = np.argsort(-c, kind="stable")
        c = c[order]
        wrong = 1 - correct[has][order]
        # images as they come: those of the first n answers are numbered without a gap
        images, _ = pd.factorize(codes[has][order])
        cell = gathered(c, POINTS) if has.any() else np.array([], int)
        for n in np.flatnonzero(np.diff(cell, append=-1)) + 1:
            low, high = share_interval(wrong[:n], images[:n], level)
            row = {"threshold": c[n - 1], "n": int(n), "coverage": n / len(part)}
            row |= {"risk": wrong[:n].mean(), "risk_low": low, "risk_high": high}
            rows.append(key | row | {"base_risk": 1 - correct.mean()})
    return pd.DataFrame(rows)
