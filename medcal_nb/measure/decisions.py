"""What deferring is worth: expected costs of deferring, checking all and checking none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ._check import check_groups
from .mover import shares_interval
from .resampling import Bootstrap
from .rows import image_labels, parts_by

TOLERANCE = 1e-6  # confidences so close to a threshold are at it


def expected_cost_table(
    graded: pd.DataFrame,
    *,
    ratios: Sequence[float] = (2, 5, 10, 20),
    by: Sequence[str] = (),
    ci: Bootstrap = Bootstrap(),
) -> pd.DataFrame:
    r"""What an answer costs, in checks: deferring by confidence, checking all, checking none.

    A check costs 1 and a wrong answer that is acted on costs R checks. An answer that is kept
    costs R (1 - c) on average if its confidence c is calibrated, so that it is deferred where

    .. math:: R (1 - c) > 1, \quad c < 1 - 1 / R,

    that of Chow. At the threshold, where a check costs what it saves, the answer is kept;
    confidences within 1e-6 of it are at it. Checking all costs 1; checking none
    costs R times the error rate. A decision curve shows the same at the threshold probability of
    an error :math:`p_t = 1 / R`. Its net benefit, errors caught minus needless checks at their
    odds, is what deferring saves against checking none, divided by R − 1:

    .. math:: \frac{n_\mathrm{deferred, wrong}}{n}
       - \frac{n_\mathrm{deferred, right}}{n} \frac{p_t}{1 - p_t}

    Parameters
    ----------
    graded : pandas.DataFrame
        Graded answers; those without a confidence are deferred.
    ratios : sequence of float
        R, checks that a wrong answer acted on is worth; above 1.
    by : sequence of str
        Columns that make the groups.
    ci : Bootstrap
        Its level is that of the intervals, by image; nothing is drawn (`mover`).

    Returns
    -------
    pandas.DataFrame
        One row a group and ratio:

        - the `by` columns
        - ratio: R
        - n: graded answers
        - deferred: share of answers
        - deferring: cost of an answer if confidence decides, with _low, _high
        - checking_all: 1
        - checking_none: with _low, _high
        - saving: of deferring, against the cheaper of checking all and none, with _low, _high
        - net_benefit: of deferring, with _low, _high; that of checking none is 0
        - net_benefit_all: of checking all

    Raises
    ------
    ValueError
        On a ratio that is not above 1, or a column the table lacks.

    References
    ----------
    Chow, IEEE Transactions on Information Theory 1970, doi:10.1109/TIT.1970.1054406; net benefit:
    Vickers & Elkin, Medical Decision Making 2006, doi:10.1177/0272989X06295361.

    Examples
    --------
    >>> from medcal_nb.measure import example_answers
    >>> table = expected_cost_table(example_answers(), ratios=[2, 5])
    >>> table[["ratio", "deferring", "checking_none"]].round(2).to_numpy().tolist()
    [[2.0, 0.68, 0.68], [5.0, 1.0, 1.71]]
    """
    if not np.greater(ratios, 1).all():
        raise ValueError(f"ratios: checks for a wrong answer, above 1; got {ratios!r}")
    rows = []
    for key, part in parts_by(graded[graded["correct"].notna()], by):
        images = image_labels(part)
        codes, _ = check_groups(images, images.size)
        for ratio in ratios:
            row = {"ratio": ratio, "n": len(part)}
            rows.append(key | row | _costs(part, ratio, codes, ci.level))
    return pd.DataFrame(rows)


def _costs(
    graded: pd.DataFrame, ratio: float, images: NDArray[np.intp], level: float
) -> dict[str, float]:
    """Expected costs of an answer at one ratio, with intervals: shares times what each costs."""
    least = 1 - 1 / ratio - TOLERANCE
    is_kept = graded["confidence"].fillna(-1.0).to_numpy(float) >= least
    wrong = 1 - graded["correct"].to_numpy(float)
    deferred = 1.0 - is_kept
    wrong_kept = wrong * is_kept
    wrong_deferred = wrong * deferred
    of_deferring = [(deferred, 1.0), (wrong_kept, ratio)]
    of_none = [(wrong, ratio)]
    odds = 1 / (ratio - 1)
    benefit = [(wrong_deferred, 1.0), (deferred - wrong_deferred, -odds)]
    # checking none costs less than checking all, or not
    saved = [(deferred, -1.0), (wrong_deferred, ratio)]
    base = 0.0
    if ratio * wrong.mean() >= 1:
        saved = [(deferred, -1.0), (wrong_kept, -ratio)]
        base = 1.0
    row = {"deferred": deferred.mean(), "checking_all": 1.0}
    row |= {"net_benefit_all": wrong.mean() - odds * (1 - wrong.mean())}
    for name, terms, start in (
        ("deferring", of_deferring, 0.0),
        ("checking_none", of_none, 0.0),
        ("saving", saved, base),
        ("net_benefit", benefit, 0.0),
    ):
        found = shares_interval(terms, images, level)
        row[name] = start + found.estimate
        row[f"{name}_low"] = start + found.low
        row[f"{name}_high"] = start + found.high
    return row
