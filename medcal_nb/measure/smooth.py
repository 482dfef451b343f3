"""Calibration without bins: a smooth curve and its distance from the diagonal."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ._check import check_pair, check_whole
from .binned import width_bins
from .registry import Sums, evaluate, register
from .resampling import Bootstrap, FloatArray, percentile_ends

SPAN = 0.75  # share of the answers that the curve looks at in each place
LEAST_REACH = 0.1  # and at least so far
CELLS = 256
POINTS = 64


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


def local_linear(x: FloatArray, count: FloatArray) -> FloatArray:
    """(k, k) matrix that turns outcomes at ascending x, counted `count` times, into the curve.

    Beyond 64 values of x the curve is computed at 64 of them and interpolated.
    """
    chosen = np.unique(np.linspace(0, x.size - 1, min(x.size, POINTS)).astype(int))
    points = x[chosen]
    weight = kernel(points, x, count)
    # in row i, the answers at x_i alone are right: column i of the matrix
    columns = _curves(points, x, weight, np.tile(count, (x.size, 1)), np.diag(count))
    return np.stack([np.interp(x, points, column) for column in columns], axis=1)


def _curve_cells(c: FloatArray) -> tuple[NDArray[np.intp], int]:
    """Cell of each answer: its confidence, or beyond 256 of them a step of 1/256."""
    values, cell = np.unique(c, return_inverse=True)
    if values.size > CELLS:
        return width_bins(c, CELLS), CELLS
    return cell, values.size


def _mean_distance(sums: FloatArray) -> float:
    """Mean distance of the curve from the confidence, of one sample's sums over cells."""
    cells = sums[sums[:, 0] > 0]
    count = cells[:, 0]
    x = cells[:, 1] / count
    rate = cells[:, 2] / count
    curve = np.clip(local_linear(x, count) @ rate, 0, 1)
    return float(np.abs(curve - x) @ count / count.sum())


def _ici(c: FloatArray, y: FloatArray) -> Sums:
    cell, n_cells = _curve_cells(c)

    def finish(sums: FloatArray) -> FloatArray:
        return np.array([_mean_distance(one) for one in sums])

    return Sums(cell=cell, n_cells=n_cells, features=(c, y), finish=finish)


@register("ici", sums=_ici, interval="smooth inversion")
def ici(confidence: ArrayLike, correct: ArrayLike) -> float:
    r"""Integrated calibration index: mean distance of a smooth calibration curve from c.

    .. math:: \frac1n \sum_i |\hat m(c_i) - c_i|

    with m̂ a local linear regression of the outcome on the confidence (tricube weights over the
    nearest three quarters of the answers and at least 0.1 to either side, no robustness step),
    cut to [0, 1]. Beyond 256 distinct confidences they are grouped into 256 steps, beyond 64 the
    curve is interpolated.

    Parameters
    ----------
    confidence : (n,) array
        Probability in [0, 1] that the answer is correct.
    correct : (n,) array of 0 and 1
        1 where the answer is correct.

    Returns
    -------
    float
        In [0, 1]; 0 is perfect. Biased upwards by sampling noise, less than `ece`.

    Raises
    ------
    ValueError
        On input that is no confidence and outcome, by name and position.

    References
    ----------
    Austin & Steyerberg, Statistics in Medicine 2019, doi:10.1002/sim.8281 (with R's loess);
    local regression: Cleveland 1979, doi:10.1080/01621459.1979.10481038.

    Examples
    --------
    >>> round(ici([0.9] * 10, [1] * 6 + [0] * 4), 6)
    0.3
    """
    return evaluate(_ici, confidence, correct)


def calibration_curve_table(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    n_points: int = 101,
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
    n_points : int
        Points of the curve, evenly from the lowest to the highest confidence.
    groups : (n,) array, optional
        Image of each answer; without, answers count as independent.
    ci : Bootstrap
        Level of the band, at each point by itself; number and seed of its resamples.

    Returns
    -------
    pandas.DataFrame
        One row a point, ascending:

        - confidence: of the point
        - accuracy: of the local linear regression of `ici`, cut to [0, 1]
        - accuracy_low, accuracy_high: the band
        - n_near: answers within 0.05 of the point

    Raises
    ------
    ValueError
        On input that is no confidence and outcome, by name and position; on an option out of
        range.

    References
    ----------
    Austin & Steyerberg, Statistics in Medicine 2019, doi:10.1002/sim.8281.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> c = rng.random(500)
    >>> table = calibration_curve_table(c, rng.random(500) < c, n_points=3)
    >>> table["accuracy"].round(1).tolist()
    [0.0, 0.5, 1.0]
    """
    c, y = check_pair(confidence, correct)
    check_whole(n_points, "n_points", 2)
    cell, n_cells = _curve_cells(c)
    drawn = ci.of(groups, n=c.size)
    held, cell = np.unique(cell, return_inverse=True)
    n_cells = held.size
    count = np.bincount(cell, minlength=n_cells).astype(float)
    x = np.bincount(cell, c) / count
    points = np.linspace(x[0], x[-1], n_points if n_cells > 1 else 1)
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
