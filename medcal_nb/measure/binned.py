"""Calibration error over bins of equal width: (lo, hi] with 0 in the first."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._check import check_whole
from .registry import Sums, evaluate, register
from .resampling import FloatArray

N_BINS = 15


def bins_of(c: FloatArray, n_bins: int) -> NDArray[np.intp]:
    """(n,) bin (lo, hi] of each confidence; 0 goes to the first."""
    check_whole(n_bins, "n_bins", 1)
    edges = np.arange(1, n_bins) / n_bins
    # a confidence of 0.6 is the edge 9/15: it is compared with the edges themselves
    return np.searchsorted(edges, c)


def _ece(c: FloatArray, y: FloatArray, *, n_bins: int = N_BINS) -> Sums:
    def finish(sums: FloatArray) -> FloatArray:
        # a bin's count times its gap is the difference of its sums
        gaps = np.abs(sums[..., 2] - sums[..., 1])
        return np.asarray(gaps.sum(axis=1) / sums[..., 0].sum(axis=1))

    return Sums(
        cell=bins_of(c, n_bins),
        n_cells=n_bins,
        features=(c, y),
        finish=finish,
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
