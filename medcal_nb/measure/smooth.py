"""Calibration without bins: a smooth curve."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ._check import check_images, check_pair
from .binned import bins_of
from .resampling import Bootstrap, FloatArray, percentile_ends

SPAN = 0.75  # share of the answers that the curve looks at in each place
LEAST_REACH = 0.1  # and at least so far
CELLS = 256  # steps of confidence, where more differ
POINTS = 101


def kernel(points: FloatArray, x: FloatArray, count: FloatArray) -> FloatArray:
    """(points, cells) tricube weights of ascending x, counted `count` times, at each point.

    They reach as far as three quarters of the answers lie, and at least 0.1: between ties, of
    which a point has all it may look at, the curve would jump.
    """
    distance = np.abs(points[:, None] - x)
    order = np.argsort(distance, axis=1, kind="stable")
    enough = max(np.floor(SPAN * count.sum() + 1e-9), 1)
    last = (count[order].cumsum(axis=1) < enough).sum(axis=1)
    farthest = np.take_along_axis(order, last[:, None], axis=1)
    reach = np.maximum(np.take_along_axis(distance, farthest, axis=1), LEAST_REACH)
    return np.where(distance < reach, (1 - (distance / reach) ** 3) ** 3, 0)


def calibration_curve_table(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    ci: Bootstrap = Bootstrap(),
) -> pd.DataFrame:
    """Smooth calibration curve with a pointwise band: accuracy as a function of confidence.

    Parameters
    ----------
    confidence : (n,) array
        Probability in [0, 1] that the answer is correct.
    correct : (n,) array of 0 and 1
        1 where the answer is correct.
    groups : (n,) array, optional
        Image of each answer; without, answers count as independent.
    ci : Bootstrap
        Level of the band, at each point by itself; number and seed of its resamples.

    Returns
    -------
    pandas.DataFrame
        One row a point, 101 evenly from the lowest to the highest confidence:

        - confidence: of the point
        - accuracy: of a local linear regression of the outcome on the confidence (tricube weights
          over the nearest three quarters of the answers and at least 0.1 to either side), cut to
          [0, 1]
        - accuracy_low, accuracy_high: the band
        - n_near: answers within 0.05 of the point

    Raises
    ------
    ValueError
        On input that is no confidence and outcome, by name and position; on an option out of
        range.

    References
    ----------
    Austin & Steyerberg, Statistics in Medicine 2019, doi:10.1002/sim.8281; local regression:
    Cleveland 1979, doi:10.1080/01621459.1979.10481038.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> c = rng.random(500)
    >>> table = calibration_curve_table(c, rng.random(500) < c)
    >>> table["accuracy"].iloc[[0, 50, 100]].round(1).tolist()
    [0.0, 0.5, 1.0]
    """
    c, y = check_pair(confidence, correct)
    drawn = ci.of(check_images(groups, c.size))
    values, cell = np.unique(c, return_inverse=True)
    if values.size > CELLS:
        values, cell = np.unique(bins_of(c, CELLS), return_inverse=True)
    n_cells = values.size
    count = np.bincount(cell).astype(float)
    x = np.bincount(cell, c) / count
    points = np.linspace(x[0], x[-1], POINTS if n_cells > 1 else 1)
    weight = kernel(points, x, count)
    counts = drawn.sums(cell, n_cells)
    right = drawn.sums(cell, n_cells, y)
    curves = np.clip(_curves(points, x, weight, counts, right), 0, 1)
    low, high = percentile_ends(curves, level=ci.level, n_groups=drawn.effective())
    near = np.abs(points[:, None] - x) <= 0.05 + 1e-9
    return pd.DataFrame(
        {
            "confidence": points,
            "accuracy": curves[0],
            "accuracy_low": np.clip(low, 0, 1),
            "accuracy_high": np.clip(high, 0, 1),
            "n_near": (near @ count).astype(int),
        }
    )


def _curves(
    points: FloatArray,
    x: FloatArray,
    weight: FloatArray,
    counts: FloatArray,
    right: FloatArray,
) -> FloatArray:
    """(1 + r, points) local lines through (1 + r, cells) counts and right answers."""
    # weighted moments at each point, (1 + r, points) each
    s0 = counts @ weight.T
    s1 = counts @ (weight * x).T
    s2 = counts @ (weight * x**2).T
    t0 = right @ weight.T
    t1 = right @ (weight * x).T
    known = s0 > 0
    total = np.where(known, s0, 1)
    mean = s1 / total
    spread = s2 / total - mean**2
    level = t0 / total
    covariance = t1 / total - mean * level
    # where all answers that count are of one confidence, the line is flat
    sloped = spread > 1e-12
    slope = np.where(sloped, covariance / np.where(sloped, spread, 1), 0)
    return np.where(known, level + slope * (points - mean), np.nan)
