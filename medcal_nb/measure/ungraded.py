"""What a metric could be if the answers without a grade had one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from ._check import check_choice
from .registry import METRICS
from .resampling import FloatArray

#: How many numbers of right ones are tried, at most, beside none.
_MOST_TRIED = 100


def metric_bounds(
    confidence: ArrayLike, correct: ArrayLike, name: str
) -> tuple[float, float]:
    """Least and largest value of a metric, whatever the grades that are missing.

    Of each number of right ones among the ungraded, the most and the least confident are taken to
    be the right ones: at a given number a measure of loss or of order has its ends there, as every
    exchange of a right answer with a less sure wrong one changes it in one direction. An error
    over bins is largest where the ungraded of each bin are all right or all wrong, and least where
    as many are right as its confidence says. Of a smoothed error these are values, no bounds.

    Parameters
    ----------
    confidence : (n,) array
        Probability in [0, 1] that the answer is correct.
    correct : (n,) array of 0, 1 and NaN
        NaN where there is no grade.
    name : str
        One of ``METRICS``.

    Returns
    -------
    least, most : float
        Over 100 numbers of right ones where more are ungraded; NaN where it is undefined in all.

    Raises
    ------
    ValueError
        On an unknown name.

    Examples
    --------
    >>> metric_bounds([0.9, 0.9, 0.6], [1, np.nan, 0], "accuracy")
    (0.3333333333333333, 0.6666666666666666)
    >>> metric_bounds([0.9, 0.8, 0.6], [1, np.nan, 0], "auroc")
    (1.0, 1.0)
    """
    check_choice(name, "metric", list(METRICS))
    c = np.asarray(confidence, dtype=float)
    y = np.asarray(correct, dtype=float)
    sums = METRICS[name].sums
    values = [sums(c, grades).value() for grades in _graded(c, y)]
    if METRICS[name].interval == "inversion":
        cell = np.asarray(sums(c, np.nan_to_num(y)).cell)
        for grades in _ends_over_bins(c, y, cell):
            values.append(sums(c, grades).value())
    defined = [value for value in values if not np.isnan(value)]
    if not defined:
        return np.nan, np.nan
    return float(min(defined)), float(max(defined))


def _graded(c: FloatArray, y: FloatArray) -> Iterator[FloatArray]:
    """Grades for all: of each number of right ones, the surest of the ungraded or the least so."""
    is_open = np.flatnonzero(np.isnan(y))
    surest_last = is_open[np.argsort(c[is_open], kind="stable")]
    numbers = np.linspace(0, is_open.size, min(is_open.size, _MOST_TRIED) + 1)
    for n_right in numbers.round().astype(int):
        for in_order in (surest_last, surest_last[::-1]):
            grades = y.copy()
            grades[is_open] = 0
            grades[in_order[is_open.size - n_right :]] = 1
            yield grades


def _ends_over_bins(
    c: FloatArray, y: FloatArray, cell: np.ndarray
) -> tuple[FloatArray, FloatArray]:
    """Grades for all that bring the accuracy of each bin nearest to its confidence, or furthest."""
    nearest, furthest = y.copy(), y.copy()
    for one in np.unique(cell):
        is_here = cell == one
        is_open = np.flatnonzero(is_here & np.isnan(y))
        n = is_open.size
        excess = c[is_here].sum() - np.nansum(y[is_here])  # with all of them wrong
        n_right = int(np.clip(np.rint(excess), 0, n))
        nearest[is_open] = np.arange(n) < n_right
        furthest[is_open] = float(abs(excess - n) > abs(excess))
    return nearest, furthest
