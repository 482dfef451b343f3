"""Calibration error without bins: smooth ECE, and the distance of the isotonic curve (ICI)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .registry import Sums, evaluate, register
from .resampling import FloatArray, gathered

STEPS = 4096  # of the grid of smooth ECE


def _smooth_ece(c: FloatArray, y: FloatArray) -> Sums:
    cell = np.minimum((c * STEPS).astype(np.intp), STEPS - 1)
    residual = y - c
    beyond = residual * (c * STEPS - cell)  # the part that the next node gets

    def finish(sums: FloatArray) -> FloatArray:
        return np.array([_width(one) for one in sums])

    return Sums(cell=cell, n_cells=STEPS, features=(residual, beyond), finish=finish)


def _width(sums: FloatArray) -> float:
    """The kernel's width at which the smoothed gap is as large as it."""
    from scipy.fft import dct
    from scipy.optimize import brentq

    # a residual between two nodes is shared by both, in proportion to nearness
    node = np.zeros(STEPS + 1)
    node[:-1] += sums[:, 1] - sums[:, 2]
    node[1:] += sums[:, 2]
    node /= sums[:, 0].sum()
    # reflected at both ends, smoothing by a Gaussian damps each cosine by itself
    node[1:-1] /= 2
    cosines = dct(node, type=1)
    frequency = (np.pi * np.arange(STEPS + 1)) ** 2 / 2

    def excess(width: float) -> float:
        height = np.abs(dct(cosines * np.exp(-frequency * width**2), type=1))
        ends = (height[0] + height[-1]) / 2
        return float((height.sum() - ends) / STEPS - width)

    return 0.0 if excess(0.0) < 1e-9 else float(brentq(excess, 0, 1, xtol=1e-7))


@register("smooth_ece", sums=_smooth_ece, interval="none")
def smooth_ece(confidence: ArrayLike, correct: ArrayLike) -> float:
    r"""Smooth ECE: the gap after smoothing by a kernel as wide as the gap itself.

    .. math:: \mathrm{smECE}_\sigma = \int_0^1 \Bigl| \frac1n \sum_i K_\sigma(t, c_i) (y_i - c_i)
       \Bigr| \, dt, \qquad \mathrm{smECE} = \sigma^* \text{ where } \mathrm{smECE}_{\sigma^*} =
       \sigma^*

    with K the Gaussian kernel reflected at 0 and 1. No bins are chosen. It has no interval here:
    none is known to hold its level, as of any size of a gap.

    Parameters
    ----------
    confidence : (n,) array
        Probability in [0, 1] that the answer is correct.
    correct : (n,) array of 0 and 1
        1 where the answer is correct.

    Returns
    -------
    float
        In [0, 1]; 0 is perfect. To 1e-6, on a grid of 4,096 steps.

    Raises
    ------
    ValueError
        On input that is no confidence and outcome, by name and position.

    References
    ----------
    Błasiok & Nakkiran, ICLR 2024, arXiv:2309.12236; their package, relplot, agrees but
    where many confidences are near 1.

    Examples
    --------
    >>> round(smooth_ece([0.9] * 10, [1] * 5 + [0] * 5), 2)
    0.4
    """
    return evaluate(_smooth_ece, confidence, correct)


def isotonic_share(n: NDArray, right: NDArray) -> NDArray:
    """(cells,) the best non-decreasing accuracy of cells by ascending confidence (CORP)."""
    from scipy.optimize import isotonic_regression

    return isotonic_regression(right / n, weights=n).x


def _ici(c: FloatArray, y: FloatArray) -> Sums:
    cell = gathered(c)

    def finish(sums: FloatArray) -> FloatArray:
        values = []
        for one in sums:
            n, total, right = one[one[:, 0] > 0].T
            away = np.abs(isotonic_share(n, right) - total / n)
            values.append(n @ away / n.sum())
        return np.array(values)

    n_cells = int(cell.max()) + 1
    return Sums(cell=cell, n_cells=n_cells, features=(c, y), finish=finish)


@register("ici", sums=_ici, interval="none")
def ici(confidence: ArrayLike, correct: ArrayLike) -> float:
    r"""Integrated calibration index: mean distance of the calibration curve from the confidence.

    .. math:: \frac1n \sum_i |\hat m(c_i) - c_i|

    with m̂ the isotonic regression of the outcome on the confidence, the curve of `corp_table`;
    Austin and Steyerberg draw theirs by loess, so that theirs differs a little. Biased upwards, as
    the curve is fitted to the answers themselves; it has no interval here.

    Parameters
    ----------
    confidence : (n,) array
        Probability in [0, 1] that the answer is correct.
    correct : (n,) array of 0 and 1
        1 where the answer is correct.

    Returns
    -------
    float
        In [0, 1]; 0 is perfect.

    Raises
    ------
    ValueError
        On input that is no confidence and outcome, by name and position.

    References
    ----------
    Austin & Steyerberg, Statistics in Medicine 2019, doi:10.1002/sim.8281; the curve:
    Dimitriadis, Gneiting & Jordan, PNAS 2021, doi:10.1073/pnas.2016191118.

    Examples
    --------
    >>> round(ici([0.9] * 10, [1] * 6 + [0] * 4), 6)
    0.3
    """
    return evaluate(_ici, confidence, correct)
