"""Selective prediction as the field draws it: risk over coverage, and the area under that curve.

Answers are kept from the highest confidence downwards. Coverage is the share kept, risk the share
of these that are wrong. Answers of one confidence cannot be told apart: a curve has one point for
all of them, and in between they count as if kept in random order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ._check import check_groups, check_level
from .intervals import share_interval
from .registry import Sums, evaluate, register
from .resampling import FloatArray, gathered
from .rows import image_labels, parts_by

#: Points of a curve; of more different confidences neighbours are put together.
POINTS = 100


def _by_descending(
    c: FloatArray,
    y: FloatArray,
    most_cells: int | None,
    finish: Callable[[FloatArray, FloatArray], FloatArray],
) -> Sums:
    """A number of answers and errors in cells of (r, cells), by descending confidence."""
    cell = gathered(c, most_cells)
    last = int(cell.max())

    def of_sums(sums: FloatArray) -> FloatArray:
        return finish(sums[..., 0], sums[..., 1])

    return Sums(cell=last - cell, n_cells=last + 1, features=(1 - y,), finish=of_sums)


def _area(n: FloatArray, wrong: FloatArray) -> FloatArray:
    """(r,) mean risk over all numbers of answers kept, ties in random order."""
    from scipy.special import digamma

    retained = n.cumsum(axis=1)
    above = retained - n
    errors = wrong.cumsum(axis=1) - wrong
    share = wrong / np.maximum(n, 1e-300)
    # the j-th of a tie adds share + (errors − above · share) / (above + j): a harmonic sum
    harmonic = np.diff(digamma(retained + 1), prepend=digamma(1))
    risks = wrong + (errors - above * share) * harmonic
    return np.asarray(risks.sum(axis=1) / n.sum(axis=1))


def _least_area(n: FloatArray, wrong: FloatArray) -> FloatArray:
    """(r,) that area where every right answer comes before every wrong one."""
    n_wrong = wrong.sum(axis=1, keepdims=True)
    n_right = n.sum(axis=1, keepdims=True) - n_wrong
    zero = np.zeros_like(n_wrong)
    return _area(np.hstack([n_right, n_wrong]), np.hstack([zero, n_wrong]))


def _aurc(c: FloatArray, y: FloatArray, *, most_cells: int | None = None) -> Sums:
    return _by_descending(c, y, most_cells, _area)


@register("aurc", sums=_aurc, outcomes=True)
def aurc(confidence: ArrayLike, correct: ArrayLike) -> float:
    r"""Area under the risk–coverage curve: mean risk over all numbers of answers kept.

    .. math:: \frac1n \sum_{k=1}^n \frac1k \sum_{i=1}^k (1 - y_{(i)})

    with answers in descending order of confidence. Answers of one confidence count as if in
    random order, their mean over all orders, so that the value hangs on no order of rows.

    Parameters
    ----------
    confidence : (n,) array
        Probability in [0, 1] that the answer is correct; its order alone counts.
    correct : (n,) array of 0 and 1
        1 where the answer is correct.

    Returns
    -------
    float
        In [0, 1]; lower is better, and a constant confidence has the share wrong.

    Raises
    ------
    ValueError
        On input that is no confidence and outcome, by name and position.

    References
    ----------
    Geifman, Uziel & El-Yaniv, ICLR 2019, arXiv:1805.08206.

    Examples
    --------
    >>> round(aurc([0.9, 0.7, 0.5, 0.3], [1, 1, 0, 0]), 3)
    0.208
    >>> aurc([0.5, 0.5, 0.5, 0.5], [1, 1, 0, 0])
    0.5
    """
    return evaluate(_aurc, confidence, correct)


def _e_aurc(c: FloatArray, y: FloatArray, *, most_cells: int | None = None) -> Sums:
    def finish(n: FloatArray, wrong: FloatArray) -> FloatArray:
        return _area(n, wrong) - _least_area(n, wrong)

    return _by_descending(c, y, most_cells, finish)


@register("e_aurc", sums=_e_aurc, outcomes=True)
def e_aurc(confidence: ArrayLike, correct: ArrayLike) -> float:
    """Excess AURC: `aurc` minus that of the best order, all right answers first.

    The accuracy, which sets what an order can reach, is taken out. The least area is that of
    these answers; its usual approximation, r + (1 − r) log(1 − r) for a share r wrong, differs by
    less than 1 / n.

    Parameters
    ----------
    confidence : (n,) array
        Probability in [0, 1] that the answer is correct; its order alone counts.
    correct : (n,) array of 0 and 1
        1 where the answer is correct.

    Returns
    -------
    float
        In [0, 1]; 0 where every right answer has a higher confidence than every wrong one.

    Raises
    ------
    ValueError
        On input that is no confidence and outcome, by name and position.

    References
    ----------
    Geifman, Uziel & El-Yaniv, ICLR 2019, arXiv:1805.08206.

    Examples
    --------
    >>> e_aurc([0.9, 0.7, 0.5, 0.3], [1, 1, 0, 0])
    0.0
    """
    return evaluate(_e_aurc, confidence, correct)


def _accuracy_at(coverage: float) -> Callable[..., Sums]:
    def finish(n: FloatArray, wrong: FloatArray) -> FloatArray:
        wanted = coverage * n.sum(axis=1, keepdims=True)
        above = n.cumsum(axis=1) - n
        retained = np.clip(wanted - above, 0, n)
        right = retained * (1 - wrong / np.maximum(n, 1e-300))
        return np.asarray(right.sum(axis=1) / wanted[:, 0])

    def sums(c: FloatArray, y: FloatArray, *, most_cells: int | None = None) -> Sums:
        return _by_descending(c, y, most_cells, finish)

    return sums


_AT_50 = _accuracy_at(0.5)
_AT_80 = _accuracy_at(0.8)
_AT_90 = _accuracy_at(0.9)


def accuracy_at_coverage(
    confidence: ArrayLike, correct: ArrayLike, *, coverage: float
) -> float:
    """Accuracy of the share of answers with the highest confidence (selective accuracy).

    Of the answers of the last confidence that are needed, as many count as are missing, at their
    mean accuracy.

    Parameters
    ----------
    confidence : (n,) array
        Probability in [0, 1] that the answer is correct; its order alone counts.
    correct : (n,) array of 0 and 1
        1 where the answer is correct.
    coverage : float
        Share of answers kept, in (0, 1).

    Returns
    -------
    float
        In [0, 1]; of a constant confidence the accuracy.

    Raises
    ------
    ValueError
        On input that is no confidence and outcome, by name and position; on a coverage outside
        (0, 1).

    References
    ----------
    Geifman & El-Yaniv, NeurIPS 2017, arXiv:1705.08500.

    Examples
    --------
    >>> accuracy_at_coverage([0.9, 0.7, 0.5, 0.3], [1, 1, 0, 0], coverage=0.5)
    1.0
    """
    sums = _accuracy_at(check_level(coverage, "coverage"))
    return evaluate(sums, confidence, correct)


@register("accuracy_at_50", sums=_AT_50, outcomes=True)
def accuracy_at_50(confidence: ArrayLike, correct: ArrayLike) -> float:
    """`accuracy_at_coverage` of 50 %.

    Parameters
    ----------
    confidence, correct : (n,) arrays

    Examples
    --------
    >>> accuracy_at_50([0.9, 0.7, 0.5, 0.3], [1, 1, 0, 0])
    1.0
    """
    return evaluate(_AT_50, confidence, correct)


@register("accuracy_at_80", sums=_AT_80, outcomes=True)
def accuracy_at_80(confidence: ArrayLike, correct: ArrayLike) -> float:
    """`accuracy_at_coverage` of 80 %.

    Parameters
    ----------
    confidence, correct : (n,) arrays

    Examples
    --------
    >>> accuracy_at_80([0.9, 0.7, 0.5, 0.3, 0.1], [1, 1, 0, 0, 0])
    0.5
    """
    return evaluate(_AT_80, confidence, correct)


@register("accuracy_at_90", sums=_AT_90, outcomes=True)
def accuracy_at_90(confidence: ArrayLike, correct: ArrayLike) -> float:
    """`accuracy_at_coverage` of 90 %.

    Parameters
    ----------
    confidence, correct : (n,) arrays

    Examples
    --------
    >>> round(accuracy_at_90([0.9, 0.7, 0.5, 0.3, 0.1], [1, 1, 0, 0, 0]), 3)
    0.444
    """
    return evaluate(_AT_90, confidence, correct)


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
        One row a group and confidence that occurs, or where more than 100 differ, a cell of
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
