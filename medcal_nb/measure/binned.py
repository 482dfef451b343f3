"""Calibration errors over bins.

Equal-width bins are (lo, hi] with 0 in the first. Equal-mass bins never split answers of one
confidence (equal to 12 digits): an answer's bin is floor(B · m / n) where m answers have a lower
confidence, so heavy ties leave fewer bins than the B asked for.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._check import check_choice, check_whole
from .registry import Sums, evaluate, register
from .resampling import FloatArray

BINNINGS = ("width", "mass")
N_BINS = 15
DIGITS = 12  # confidences that agree to so many are one: a softmax written another way


# --- bins ---------------------------------------------------------------------------------


def width_bins(c: FloatArray, n_bins: int) -> NDArray[np.intp]:
    """Index of the equal-width bin (lo, hi] of each confidence; 0 goes to the first."""
    index = np.maximum(np.ceil(c * n_bins).astype(np.intp) - 1, 0)
    # next to an edge, compare with the edges themselves: a confidence of 0.6 is the edge 9/15
    near = np.flatnonzero(np.abs(c * n_bins - np.rint(c * n_bins)) < 1e-9)
    edge = np.rint(c[near] * n_bins).astype(np.intp)
    index[near] = np.maximum(edge - (c[near] <= edge / n_bins), 0)
    return index


def bins_of(c: FloatArray, n_bins: int, binning: str) -> NDArray[np.intp]:
    """(n,) bin of each confidence, of either kind."""
    check_whole(n_bins, "n_bins", 1)
    check_choice(binning, "binning", BINNINGS)
    if binning == "width":
        return width_bins(c, n_bins)
    values, cell = np.unique(np.round(c, DIGITS), return_inverse=True)
    count = np.bincount(cell, minlength=values.size)
    lower = count.cumsum() - count
    return (lower * n_bins // c.size)[cell]


# --- errors -------------------------------------------------------------------------------


def _ece(
    c: FloatArray, y: FloatArray, *, n_bins: int = N_BINS, binning: str = "width"
) -> Sums:
    cell = bins_of(c, n_bins, binning)

    def finish(sums: FloatArray) -> FloatArray:
        # a bin's count times its gap is the difference of its sums
        gaps = np.abs(sums[..., 2] - sums[..., 1])
        return np.asarray(gaps.sum(axis=1) / sums[..., 0].sum(axis=1))

    return Sums(cell=cell, n_cells=n_bins, features=(c, y), finish=finish)


@register("ece", sums=_ece, interval="inversion")
def ece(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    n_bins: int = N_BINS,
    binning: str = "width",
) -> float:
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
        Number of bins, 15 by default; report it, for the error depends on it.
    binning : str
        "width": bins (lo, hi] of equal width, 0 in the first; "mass": equal numbers of answers,
        ties kept together.

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
    arXiv:1706.04599; equal mass: Nguyen & O'Connor, EMNLP 2015, arXiv:1508.05154.

    Examples
    --------
    >>> ece([0.9, 0.9, 0.6, 0.6], [1, 0, 1, 0], n_bins=10)
    0.25
    """
    return evaluate(_ece, confidence, correct, n_bins=n_bins, binning=binning)


def _ece_mass(c: FloatArray, y: FloatArray, *, n_bins: int = N_BINS) -> Sums:
    return _ece(c, y, n_bins=n_bins, binning="mass")


@register("ece_mass", sums=_ece_mass, interval="inversion")
def ece_mass(
    confidence: ArrayLike, correct: ArrayLike, *, n_bins: int = N_BINS
) -> float:
    """`ece` with bins of equal mass.

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
        In [0, 1]; see `ece`.

    Raises
    ------
    ValueError
        On input that is no confidence and outcome, by name and position; on an option out of
        range.

    Examples
    --------
    >>> ece_mass([0.9, 0.9, 0.6, 0.6], [1, 0, 1, 0], n_bins=2)
    0.25
    """
    return evaluate(_ece_mass, confidence, correct, n_bins=n_bins)
