"""Calibration error over bins: of equal width, (lo, hi] with 0 in the first, or of equal mass."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._check import check_confidence, check_whole
from .registry import Sums, evaluate, register
from .resampling import FloatArray, gathered

N_BINS = 15


def bins_of(c: FloatArray, n_bins: int) -> NDArray[np.intp]:
    """(n,) bin (lo, hi] of each confidence; 0 goes to the first."""
    check_whole(n_bins, "n_bins", 1)
    edges = np.arange(n_bins + 1) / n_bins
    near = np.minimum((c * n_bins).astype(np.intp), n_bins - 1)
    # a confidence of 0.6 is the edge 9/15: it is compared with the edges themselves
    bins = near - (c <= edges[near]) + (c > edges[near + 1])
    return np.maximum(bins, 0)


def _mean_gap(sums: FloatArray) -> FloatArray:
    """(r,) of sums over bins: a bin's count times its gap is the difference of its sums."""
    gaps = np.abs(sums[..., 2] - sums[..., 1])
    return np.asarray(gaps.sum(axis=1) / sums[..., 0].sum(axis=1))


def _ece(c: FloatArray, y: FloatArray, *, n_bins: int = N_BINS) -> Sums:
    return Sums(
        cell=bins_of(c, n_bins),
        n_cells=n_bins,
        features=(c, y),
        finish=_mean_gap,
    )


@register("ece", sums=_ece, interval="inversion")
def ece(confidence: ArrayLike, correct: ArrayLike, *, n_bins: int = N_BINS) -> float:
    r"""Expected calibration error: mean gap between confidence and accuracy over bins.

    .. math:: \sum_b \frac{n_b}{n}\, |\mathrm{acc}_b - \mathrm{conf}_b|

    It is biased upwards, the more so the fewer the answers and the more the bins; resampling adds
    that bias once more: for an interval use `ece_interval`. A forecaster without any skill can
    score 0: report Brier score and AUROC beside it.

    Parameters
    ----------
    confidence : (n,) array
        Probability in [0, 1] that the answer is correct.
    correct : (n,) array of 0 and 1
        1 where the answer is correct.
    n_bins : int
        Number of bins (lo, hi] of equal width, 0 in the first; 15 by default. Report it, for the
        error depends on it.

    Returns
    -------
    float
        In [0, 1]; 0 is perfect.

    Raises
    ------
    ValueError
        On input that is no confidence and outcome, by name and position; on an option out of
        range.

    References
    ----------
    Naeini et al., AAAI 2015, doi:10.1609/aaai.v29i1.9602; Guo et al., ICML 2017,
    arXiv:1706.04599.

    Examples
    --------
    >>> ece([0.9, 0.9, 0.6, 0.6], [1, 0, 1, 0], n_bins=10)
    0.25
    """
    return evaluate(_ece, confidence, correct, n_bins=n_bins)


def _adaptive_ece(c: FloatArray, y: FloatArray, *, n_bins: int = N_BINS) -> Sums:
    check_whole(n_bins, "n_bins", 1)
    cell = gathered(c, n_bins)
    n_cells = int(cell.max()) + 1
    return Sums(cell=cell, n_cells=n_cells, features=(c, y), finish=_mean_gap)


@register("adaptive_ece", sums=_adaptive_ece, interval="inversion")
def adaptive_ece(
    confidence: ArrayLike, correct: ArrayLike, *, n_bins: int = N_BINS
) -> float:
    """Equal-mass (adaptive) expected calibration error: `ece` over bins of about as many answers.

    Answers of one confidence stay in one bin: of confidences with no more than `n_bins` values
    each value is a bin. Biased upwards as `ece` is.

    Parameters
    ----------
    confidence : (n,) array
        Probability in [0, 1] that the answer is correct.
    correct : (n,) array of 0 and 1
        1 where the answer is correct.
    n_bins : int
        Number of bins, 15 by default.

    Returns
    -------
    float
        In [0, 1]; 0 is perfect.

    Raises
    ------
    ValueError
        On input that is no confidence and outcome, by name and position; on an option out of
        range.

    References
    ----------
    Nguyen & O'Connor, EMNLP 2015, arXiv:1508.05154; Mukhoti et al., NeurIPS 2020,
    arXiv:2002.09437.

    Examples
    --------
    >>> round(adaptive_ece([0.9, 0.8, 0.6, 0.5], [1, 0, 1, 0], n_bins=2), 3)
    0.2
    """
    return evaluate(_adaptive_ece, confidence, correct, n_bins=n_bins)


def ece_floor(confidence: ArrayLike, *, n_bins: int = N_BINS) -> float:
    r"""Expected calibration error of a perfect forecaster with these confidences.

    .. math:: \frac1n \sum_b E\,|X_b - n_b p_b|, \quad X_b \sim \mathrm{Bin}(n_b, p_b)

    with p the mean confidence of a bin: what sampling noise alone shows where every confidence
    is true, about as 1 / √n. Answers count as independent; about shared images it is higher.

    Parameters
    ----------
    confidence : (n,) array
        Probability in [0, 1].
    n_bins : int
        As of `ece`.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ValueError
        On input that is no confidence, by name and position; on an option out of range.

    References
    ----------
    Mean absolute deviation of the binomial: Diaconis & Zabell, Statistical Science 1991,
    doi:10.1214/ss/1177011699.

    Examples
    --------
    >>> ece_floor([0.5])
    0.5
    >>> round(ece_floor([0.8] * 100), 3)
    0.032
    """
    from scipy.stats import binom

    c = check_confidence(confidence)
    bins = bins_of(c, n_bins)
    n = np.bincount(bins, minlength=n_bins)
    total = np.bincount(bins, c, n_bins)
    p = total[n > 0] / n[n > 0]
    n = n[n > 0]
    # De Moivre: E |X − np| = 2 m (1 − p) P(X = m), m the whole number above np
    m = np.floor(n * p) + 1
    away = 2 * m * (1 - p) * binom.pmf(m, n, p)
    return float(away.sum() / c.size)
