"""What the answers that a threshold retains are worth to a clinician: shares with intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from medcal_nb.measure._check import check_correct, check_groups, check_length
from medcal_nb.measure.intervals import clustered_interval
from medcal_nb.measure.resampling import FloatArray


def retained_table(
    correct: ArrayLike,
    *,
    answer: ArrayLike | None = None,
    positive: str = "yes",
    negative: str = "no",
    groups: ArrayLike | None = None,
) -> pd.DataFrame:
    r"""Of graded answers that a threshold retains: which were right, missed and over-called.

    .. math:: R^* = 1 / \hat r

    A wrong answer that costs R checks and comes in a share r of the retained is cheaper than
    checking all of them as long as R is below :math:`1 / r`.

    Parameters
    ----------
    correct : (n,) array of 0 and 1
        Grades of a random sample of the retained answers: those that certified the threshold
        (`Certificate.sample`). Grades from further up, where a group was graded whole, would make
        it look better.
    answer : (n,) array of str, optional
        What was answered. Answers that are neither positive nor negative, in whatever case, are of
        other questions and no part of the last four rows.
    positive, negative : str
        The two answers of a yes/no question; positive is the one that reports a finding. A wrong
        answer to it is the other one.
    groups : (n,) array, optional
        The image of each answer.

    Returns
    -------
    pandas.DataFrame
        One row a measure, the last four where yes/no questions are among the answers:

        - measure: right; checks (R*, the cost of a wrong answer in checks below which retaining is
          cheaper than checking); sensitivity (1 − it: missed), specificity (1 − it: over-called),
          ppv and npv (of positive and of negative answers, the share that is right)
        - value, value_low, value_high: estimate and 95 % interval (Wilson's, by image; of checks
          one over that of the share wrong, infinite where none is)
        - n: answers that it is of

    Raises
    ------
    ValueError
        On grades other than 0 and 1, and on arrays of different lengths.

    References
    ----------
    Korn & Graubard, Survey Methodology 1998, 24(2), 193–201 (Wilson's interval by group).

    Examples
    --------
    >>> said = ["yes"] * 40 + ["no"] * 60
    >>> table = retained_table([1] * 38 + [0] * 2 + [1] * 57 + [0] * 3, answer=said)
    >>> table[["measure", "value", "n"]].round(3).to_numpy().tolist()[:3]
    [['right', 0.95, 100], ['checks', 20.0, 100], ['sensitivity', 0.927, 41]]
    """
    right = check_correct(correct)
    images, _ = check_groups(groups, right.size)
    everything = np.ones(right.size, dtype=bool)
    rows = [_share("right", right, everything, images)]
    low, high = 1 - rows[0]["value_high"], 1 - rows[0]["value_low"]
    checks = {"measure": "checks", "value": _over(1 - rows[0]["value"])}
    rows.append(checks | {"value_low": _over(high), "value_high": _over(low)})
    rows[-1]["n"] = right.size
    if answer is None:
        return pd.DataFrame(rows)
    words = pd.Series(answer, dtype=object).astype(str).str.strip().str.casefold()
    check_length(words, right.size, "answer")
    is_positive = (words == positive.casefold()).to_numpy()
    is_negative = (words == negative.casefold()).to_numpy()
    is_right = right == 1
    has_finding = (is_positive & is_right) | (is_negative & ~is_right)
    has_none = (is_negative & is_right) | (is_positive & ~is_right)
    of = {
        "sensitivity": has_finding,
        "specificity": has_none,
        "ppv": is_positive,
        "npv": is_negative,
    }
    if has_finding.any() or has_none.any():
        rows += [_share(name, right, mask, images) for name, mask in of.items()]
    return pd.DataFrame(rows)


def _share(
    measure: str, right: FloatArray, mask: NDArray, images: NDArray
) -> dict[str, Any]:
    """Share right of some answers, with its interval; NaN of none."""
    part = right[mask]
    row = {"measure": measure, "value": np.nan, "value_low": np.nan}
    row |= {"value_high": np.nan, "n": part.size}
    if part.size:
        low, high = clustered_interval(part, images[mask])
        row |= {"value": part.mean(), "value_low": low, "value_high": high}
    return row


def _over(share: float) -> float:
    """One over a share; infinite for none."""
    return 1 / share if share > 0 else np.inf
