"""Discrimination: does confidence mark the errors? An increasing map changes nothing here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ._check import check_groups, check_pair
from .intervals import holm, wilson_interval
from .registry import Sums, evaluate, register
from .resampling import (
    UNBOUNDED,
    FloatArray,
    effective_number,
    gathered,
    logit,
    student,
    within,
    won_pairs,
)
from .rows import arrays, image_labels, measured, parts_by

LEVEL = 0.95  # of the intervals of tables


def _auroc(c: FloatArray, y: FloatArray) -> Sums:
    cell = gathered(c)  # by ascending confidence

    def finish(sums: FloatArray) -> FloatArray:
        right = sums[..., 1]
        wrong = sums[..., 0] - right
        pairs = right.sum(axis=1) * wrong.sum(axis=1)
        share = won_pairs(right, wrong) / np.maximum(pairs, 1)
        return np.where(pairs > 0, share, np.nan)

    n_cells = int(cell.max()) + 1
    return Sums(cell=cell, n_cells=n_cells, features=(y,), finish=finish)


@register("auroc", sums=_auroc, interval="delong", outcomes=True)
def auroc(confidence: ArrayLike, correct: ArrayLike) -> float:
    r"""Probability that a correct answer carries more confidence than a wrong one.

    .. math:: P(c_i > c_j) + \tfrac12 P(c_i = c_j), \quad y_i = 1,\ y_j = 0

    Parameters
    ----------
    confidence : (n,) array
        Probability in [0, 1] that the answer is correct.
    correct : (n,) array of 0 and 1
        1 where the answer is correct.

    Returns
    -------
    float
        In [0, 1]; ½ is chance, and any constant confidence. NaN where all answers are correct or
        all are wrong.

    Raises
    ------
    ValueError
        On input that is no confidence and outcome, by name and position.

    References
    ----------
    Hanley & McNeil 1982, doi:10.1148/radiology.143.1.7063747.

    Examples
    --------
    >>> auroc([0.9, 0.7, 0.7, 0.2], [1, 1, 0, 0])
    0.875
    """
    reason = "all answers are correct or all are wrong"
    return evaluate(_auroc, confidence, correct, undefined=reason)


# --- tests --------------------------------------------------------------------------------


def auroc_test(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    level: float = 0.95,
) -> pd.Series:
    r"""AUROC with its interval: does confidence tell right from wrong, and which way round?

    An interval that holds ½ is absence of evidence; one below ½ is evidence of the reverse, which
    a map of negative slope turns round. This is the interval of every AUROC in tables.

    Parameters
    ----------
    confidence : (n,) array
        Probability in [0, 1] that the answer is correct.
    correct : (n,) array of 0 and 1
        1 where the answer is correct.
    groups : (n,) array, optional
        Labels of images. Without, answers count as independent (DeLong); with, by image
        (Obuchowski).
    level : float
        Of the interval.

    Returns
    -------
    pandas.Series
        auroc; low, high: Student's t on the log-odds of the AUROC, with one degree less than the
        effective number of images that hold the rarer outcome; p, two-sided against ½, of the
        same t; conclusion: "discriminates", "reversed" or "no discrimination shown". NaN where
        one image holds all answers of an outcome, or nothing varies.

    Raises
    ------
    ValueError
        On input that is no confidence and outcome, by name and position; on an option out of
        range.

    References
    ----------
    DeLong et al., Biometrics 1988, doi:10.2307/2531595; clusters: Obuchowski, Biometrics 1997,
    doi:10.2307/2533958.

    Examples
    --------
    >>> auroc_test([0.9, 0.8, 0.7, 0.6] * 20, [1, 1, 0, 0] * 20)["conclusion"]
    'discriminates'
    """
    c, y = check_pair(confidence, correct)
    found = _components(c, y, *check_groups(groups, c.size))
    if found.area in (0.0, 1.0):
        row = _separated(found, level)
    else:
        # the distance to one half on the log-odds, in units of the plain scale
        distance = logit(found.area, 0.0) * found.area * (1 - found.area)
        row = _tested(found, float(distance), level, bounds=(0.0, 1.0))
    conclusion = _conclusion(found.area, row["p"], level)
    return pd.Series({"auroc": found.area} | row | {"conclusion": conclusion})


def _conclusion(area: float, p: float, level: float) -> str:
    if not p <= 1 - level:
        return "no discrimination shown"
    return "discriminates" if area > 0.5 else "reversed"


def auroc_difference(
    one: tuple[FloatArray, FloatArray],
    other: tuple[FloatArray, FloatArray],
    images: ArrayLike,
    level: float,
) -> dict[str, float]:
    """Difference of the AUROCs of two pairs of confidence and outcome, first minus second.

    `images` are those of the first, then those of the second. Where the two share images they are
    compared image by image (paired), else as two samples, whose variances add (R's pROC, unpaired
    DeLong), with degrees of freedom by Satterthwaite.
    """
    n = one[0].size
    codes, n_images = check_groups(images, n + other[0].size)
    codes_a, codes_b = np.split(codes, [n])
    a = _components(*one, codes_a, n_images)
    b = _components(*other, codes_b, n_images)
    n_groups = min(a.n_groups, b.n_groups)
    if n_groups > 1 and not np.isin(codes_a, codes_b).any():
        n_groups = 1 + _joint_degrees(a, b)
    both = _Components(area=a.area - b.area, parts=a.parts - b.parts, n_groups=n_groups)
    test = _tested(both, both.area, level, bounds=UNBOUNDED)
    return {
        "value_a": a.area,
        "value_b": b.area,
        "difference": both.area,
        "difference_low": test["low"],
        "difference_high": test["high"],
        "p": test["p"],
    }


def _joint_degrees(a: _Components, b: _Components) -> float:
    """Degrees of freedom of two samples' variance together (Satterthwaite)."""
    variances = np.array([(of.parts**2).sum() for of in (a, b)])
    degrees = np.array([a.n_groups - 1, b.n_groups - 1])
    each = (variances**2 / degrees).sum()
    return variances.sum() ** 2 / each if each > 0 else degrees.sum()


def auroc_table(
    graded: pd.DataFrame,
    *,
    by: Sequence[str] = ("model", "strategy"),
) -> pd.DataFrame:
    """`auroc_test` of each group of graded answers, by image where known, Holm over all groups.

    Parameters
    ----------
    graded : pandas.DataFrame
        With confidence, correct, item_id and the columns of `by`.
    by : sequence of str
        Columns that make the groups.

    Returns
    -------
    pandas.DataFrame
        One row a group:

        - the `by` columns
        - n: answers
        - auroc, auroc_low, auroc_high: with its 95 % interval
        - p: against one half
        - p_holm: Holm over all rows
        - conclusion: of p_holm at 5 %; "discriminates", "reversed" or "no discrimination shown"

    Raises
    ------
    ValueError
        On a column the table lacks.

    Examples
    --------
    >>> from medcal_nb.measure import example_answers
    >>> table = auroc_table(example_answers(), by=["domain", "strategy"])
    >>> table[["strategy", "conclusion"]].iloc[0].tolist()
    ['p_true', 'discriminates']
    """
    rows = []
    for key, part in parts_by(measured(graded), by):
        test = auroc_test(*arrays(part), groups=image_labels(part))
        test = test.rename({"low": "auroc_low", "high": "auroc_high"})
        rows.append(key | {"n": len(part)} | test.to_dict())
    table = pd.DataFrame(rows)
    table["p_holm"] = holm(table["p"])
    conclusions = []
    for area, p in zip(table["auroc"], table["p_holm"], strict=True):
        conclusions.append(_conclusion(area, p, LEVEL))
    table["conclusion"] = conclusions
    return table


class _Components(NamedTuple):
    """An AUROC, or a difference of two, and what its error is made of."""

    area: float
    #: (images,) what each adds to the error; the sum of their squares is the variance.
    parts: FloatArray
    #: Effective number of images that hold the rarer outcome.
    n_groups: float


def _components(
    c: FloatArray, y: FloatArray, codes: NDArray[np.intp], n_groups: int
) -> _Components:
    """Obuchowski's structural components."""
    cell = np.unique(c, return_inverse=True)[1]
    right = np.bincount(cell, y)
    wrong = np.bincount(cell, 1 - y)
    # pairs that a right, or a wrong, answer at each confidence wins for the AUROC
    below = wrong.cumsum() - wrong / 2
    above = right.sum() - right.cumsum() + right / 2
    won = np.where(y == 1, below[cell], above[cell])
    rivals = np.where(y == 1, wrong.sum(), right.sum())
    n_pairs = float(rivals @ y)
    if n_pairs == 0:
        return _Components(area=np.nan, parts=np.full(n_groups, np.nan), n_groups=0)
    area = float(won @ y) / n_pairs
    won -= area * rivals
    pull = won / n_pairs
    parts = np.zeros(n_groups)
    numbers = []
    for chosen in (y, 1 - y):
        held = np.bincount(codes, chosen, n_groups)
        n_held = np.count_nonzero(held)
        unbiased = np.nan
        if n_held > 1:
            unbiased = np.sqrt(n_held / (n_held - 1))
        of_image = np.bincount(codes, pull * chosen, n_groups)
        parts += of_image * unbiased
        numbers.append(effective_number(held))
    return _Components(area=area, parts=parts, n_groups=min(numbers))


def _separated(found: _Components, level: float) -> dict[str, float]:
    """Where right and wrong answers are apart no spread is seen: n disjoint pairs, all one way."""
    n = found.n_groups
    low, high = wilson_interval(found.area * n, n, level=level)
    return {"low": float(low), "high": float(high), "p": min(1.0, 2 * 0.5**n)}


def _tested(
    found: _Components,
    distance: float,
    level: float,
    *,
    bounds: tuple[float, float],
) -> dict[str, float]:
    """Interval, and p of a distance from the null value, by Student's t."""
    from scipy.special import stdtr

    error = np.sqrt((found.parts**2).sum())
    degrees = found.n_groups - 1
    if not error > 0 or not degrees > 0:
        return {"low": np.nan, "high": np.nan, "p": np.nan}
    half = student(level, degrees) * error
    low, high = within(found.area, half, half, bounds)
    return {
        "low": low,
        "high": high,
        "p": 2 * stdtr(degrees, -abs(distance) / error),
    }
