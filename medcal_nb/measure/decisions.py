"""What deferring is worth: expected costs of deferring, checking all and checking none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ._check import check_groups
from .closed import p_of_zero
from .intervals import clustered_interval
from .mover import shares_interval
from .resampling import Bootstrap, Interval
from .rows import image_labels, measured, parts_by

TOLERANCE = 1e-6  # confidences so close to a threshold are at it


def expected_cost_table(
    graded: pd.DataFrame,
    *,
    ratios: Sequence[float] = (2, 5, 10, 20),
    by: Sequence[str] = (),
    tested: bool = False,
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
    tested : bool
        Whether each saving is tested against 0.
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
        - p_saving: where it is `tested`, of it being 0, two-sided and alone: 1 less the level at
          which its interval ends there; `holm_conclusion` says what several show together
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
            is_kept = _is_kept(part, 1 - 1 / ratio)
            row |= _costs(part, is_kept, ratio, codes, ci.level)
            if tested:
                row["p_saving"] = _p_of_saving(part, is_kept, ratio, codes)
            rows.append(key | row)
    return pd.DataFrame(rows)


def deferral_table(
    graded: pd.DataFrame,
    *,
    threshold: float,
    ratio: float = 5,
    by: Sequence[str] = (),
    level: float = 0.95,
) -> pd.DataFrame:
    """What passes at any threshold, what of it is wrong, and what that costs at any price.

    An answer passes unchecked where its confidence is at least the threshold, or within 1e-6 of
    it; a check costs 1 and a wrong answer that passes R checks (`expected_cost_table`). The
    threshold is looked at, not certified (`selective_threshold`, `medcal_nb.certify`).

    Parameters
    ----------
    graded : pandas.DataFrame
        Graded answers; those without a confidence are deferred.
    threshold : float
        The least confidence that passes, in [0, 1].
    ratio : float
        R, checks that a wrong answer acted on is worth; above 1.
    by : sequence of str
        Columns that make the groups.
    level : float
        Of the intervals, by image.

    Returns
    -------
    pandas.DataFrame
        One row a group, whose sentence is `medcal_nb.wording.deferral_sentence`:

        - the `by` columns
        - threshold, ratio: those asked for
        - n: graded answers
        - n_retained, coverage: those that pass, and their share
        - n_wrong: wrong ones of these
        - risk: their share, with _low, _high
        - deferred: share of answers
        - deferring: cost of an answer, with _low, _high
        - checking_all: 1
        - checking_none: with _low, _high
        - saving: of deferring, as of `expected_cost_table`, with _low, _high
        - net_benefit, net_benefit_low, net_benefit_high, net_benefit_all: as of
          `expected_cost_table`

    Raises
    ------
    ValueError
        On a ratio that is not above 1, or a column the table lacks.

    References
    ----------
    Chow, IEEE Transactions on Information Theory 1970, doi:10.1109/TIT.1970.1054406.

    Examples
    --------
    >>> from medcal_nb.measure import example_answers
    >>> table = deferral_table(example_answers(), threshold=0.9)
    >>> table[["n", "n_retained", "n_wrong", "risk", "deferring"]].round(2).to_numpy().tolist()
    [[400.0, 102.0, 17.0, 0.17, 0.96]]
    """
    if not ratio > 1:
        raise ValueError(f"ratio: checks for a wrong answer, above 1; got {ratio!r}")
    rows = []
    for key, part in parts_by(graded[graded["correct"].notna()], by):
        images = image_labels(part)
        codes, _ = check_groups(images, images.size)
        is_kept = _is_kept(part, threshold)
        wrong = 1 - part["correct"].to_numpy(float)[is_kept]
        low, high = clustered_interval(wrong, codes[is_kept], level=level)
        row = {"threshold": threshold, "ratio": ratio, "n": len(part)}
        row |= {"n_retained": wrong.size, "coverage": is_kept.mean()}
        row |= {"n_wrong": int(wrong.sum())}
        row |= {"risk": wrong.mean() if wrong.size else np.nan}
        row |= {"risk_low": low, "risk_high": high}
        rows.append(key | row | _costs(part, is_kept, ratio, codes, level))
    return pd.DataFrame(rows)


def surest_errors(
    graded: pd.DataFrame, *, n: int = 10, by: Sequence[str] = ()
) -> pd.DataFrame:
    """The wrong answers of the highest confidence, which no threshold below theirs holds back.

    Parameters
    ----------
    graded : pandas.DataFrame
        Graded answers; those without a confidence or a grade are left out.
    n : int
        How many at most, of each group.
    by : sequence of str
        Columns that make the groups.

    Returns
    -------
    pandas.DataFrame
        Rows from the highest confidence on; equal ones in the order of the table:

        - the columns of `graded`

    Raises
    ------
    ValueError
        On a column the table lacks.

    Examples
    --------
    >>> answers = pd.DataFrame({"confidence": [0.7, 0.9, 0.8, 0.9], "correct": [0, 1, 0, 0]})
    >>> surest_errors(answers, n=2)["confidence"].tolist()
    [0.9, 0.8]
    """
    parts = []
    for _, part in parts_by(measured(graded), by):
        wrong = part[part["correct"].astype(float) == 0]
        ordered = wrong.sort_values("confidence", ascending=False, kind="stable")
        parts.append(ordered.head(n))
    return pd.concat(parts) if parts else graded[:0]


def _is_kept(graded: pd.DataFrame, threshold: float) -> NDArray[np.bool_]:
    """Whether each answer has at least a confidence; one without any has not."""
    confidence = graded["confidence"].fillna(-1.0).to_numpy(float)
    return np.asarray(confidence >= threshold - TOLERANCE)


def _costs(
    graded: pd.DataFrame,
    is_kept: NDArray[np.bool_],
    ratio: float,
    images: NDArray[np.intp],
    level: float,
) -> dict[str, float]:
    """Expected costs of an answer at one ratio, with intervals: shares times what each costs."""
    wrong = 1 - graded["correct"].to_numpy(float)
    deferred = 1.0 - is_kept
    wrong_kept = wrong * is_kept
    wrong_deferred = wrong * deferred
    of_deferring = [(deferred, 1.0), (wrong_kept, ratio)]
    of_none = [(wrong, ratio)]
    odds = 1 / (ratio - 1)
    benefit = [(wrong_deferred, 1.0), (deferred - wrong_deferred, -odds)]
    row = {"deferred": deferred.mean(), "checking_all": 1.0}
    row |= {"net_benefit_all": wrong.mean() - odds * (1 - wrong.mean())}
    intervals = {
        "deferring": shares_interval(of_deferring, images, level),
        "checking_none": shares_interval(of_none, images, level),
        "saving": _saving(graded, is_kept, ratio, images, level),
        "net_benefit": shares_interval(benefit, images, level),
    }
    for name, (low, value, high) in intervals.items():
        row |= {name: value, f"{name}_low": low, f"{name}_high": high}
    return row


def _saving(
    graded: pd.DataFrame,
    is_kept: NDArray[np.bool_],
    ratio: float,
    images: NDArray[np.intp],
    level: float,
) -> Interval:
    """What deferring saves against the cheaper of checking all and none.

    A sample may take the dearer of the two for the cheaper: the least of each end.
    """
    wrong = 1 - graded["correct"].to_numpy(float)
    deferred = 1.0 - is_kept
    against_all = [(deferred, -1.0), (wrong * is_kept, -ratio)]
    against_none = [(deferred, -1.0), (wrong * deferred, ratio)]
    ends = []
    for terms, start in ((against_all, 1.0), (against_none, 0.0)):
        ends.append(start + np.array(shares_interval(terms, images, level)))
    return Interval(*np.min(ends, axis=0))


def _p_of_saving(
    graded: pd.DataFrame,
    is_kept: NDArray[np.bool_],
    ratio: float,
    images: NDArray[np.intp],
) -> float:
    """Two-sided P value of "deferring saves nothing"; 1 where that is what is seen."""

    def at(level: float) -> Interval:
        return _saving(graded, is_kept, ratio, images, level)

    return p_of_zero(at) if at(0.5).estimate else 1.0
