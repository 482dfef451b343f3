"""The Brier score taken apart: what recalibration would save, and what confidence tells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from .rows import arrays, measured, parts_by
from .smooth import isotonic_share


def corp_table(
    graded: pd.DataFrame, *, by: Sequence[str] = ("model", "strategy")
) -> pd.DataFrame:
    r"""Brier score as miscalibration − discrimination + uncertainty (CORP).

    .. math:: \mathrm{MCB} = \bar S(c) - \bar S(\hat m), \quad
       \mathrm{DSC} = \bar S(\bar y) - \bar S(\hat m), \quad \mathrm{UNC} = \bar y (1 - \bar y)

    with S̄ the Brier score of a confidence, m̂ the isotonic regression of the outcome on the
    confidence, and ȳ the accuracy. No bins are chosen. Both parts are biased upwards, as the
    isotonic fit is to the answers themselves; they have no interval.

    Parameters
    ----------
    graded : pandas.DataFrame
        With confidence, correct and the columns of `by`; rows without are left out.
    by : sequence of str
        Columns that make the groups.

    Returns
    -------
    pandas.DataFrame
        One row a group:

        - the `by` columns
        - n: answers
        - brier: miscalibration − discrimination + uncertainty
        - miscalibration: at least 0; what the best non-decreasing map would save
        - discrimination: at least 0; what its confidences are worth beyond the accuracy
        - uncertainty: Brier score of the accuracy given as every confidence

    Raises
    ------
    ValueError
        On a column the table lacks.

    References
    ----------
    Dimitriadis, Gneiting & Jordan, PNAS 2021, doi:10.1073/pnas.2016191118.

    Examples
    --------
    >>> from medcal_nb.measure import example_answers
    >>> table = corp_table(example_answers(), by=["domain"])
    >>> table.drop(columns=["domain", "n"]).round(2).to_numpy().tolist()
    [[0.16, 0.01, 0.03, 0.18], [0.27, 0.05, 0.03, 0.25]]
    """
    rows = []
    for key, part in parts_by(measured(graded), by):
        c, y = arrays(part)
        _, cell = np.unique(c, return_inverse=True)
        n = np.bincount(cell)
        # answers of one confidence stay together
        fitted = isotonic_share(n, np.bincount(cell, y))[cell]
        brier = ((c - y) ** 2).mean()
        refitted = ((fitted - y) ** 2).mean()
        uncertainty = y.mean() * (1 - y.mean())
        row = {
            "n": c.size,
            "brier": brier,
            "miscalibration": brier - refitted,
            "discrimination": uncertainty - refitted,
            "uncertainty": uncertainty,
        }
        rows.append(key | row)
    return pd.DataFrame(rows)
