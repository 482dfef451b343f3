"""Calibration errors over bins.

Equal-width bins are (lo, hi] with 0 in the first. Equal-mass bins never split answers of one
confidence (equal to 12 digits): an answer's bin is floor(B · m / n) where m answers have a lower
confidence, so heavy ties leave fewer bins than the B asked for.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._check import check_choice, check_whole
from .registry import Sums, evaluate, register
from .resampling import FloatArray, distinct

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


def value_bins(count: FloatArray, n_bins: int) -> NDArray[np.intp]:
    """(r, v) equal-mass bin of each distinct confidence, from counts in ascending order."""
    reached = count.cumsum(axis=1)
    lower = reached - count
    index = np.floor(lower * n_bins / reached[:, -1:]).astype(np.intp)
    return np.minimum(index, n_bins - 1)


def _cells(c: FloatArray, n_bins: int, binning: str) -> tuple[NDArray[np.intp], int]:
    """What bins are made of: the bins themselves, or of equal mass the distinct confidences."""
    check_whole(n_bins, "n_bins", 1)
    check_choice(binning, "binning", BINNINGS)
    if binning == "width":
        return width_bins(c, n_bins), n_bins
    values, cell = distinct(np.round(c, DIGITS))
    return cell, values.size


def bins_of(c: FloatArray, n_bins: int, binning: str) -> NDArray[np.intp]:
    """(n,) bin of each confidence, of either kind."""
    cell, _ = _cells(c, n_bins, binning)
    if binning == "width":
        return cell
    count = np.bincount(cell)[None].astype(float)
    return value_bins(count, n_bins)[0][cell]


@dataclass(frozen=True)
class Bins:
    """(r, bins) share of the answers, accuracy minus confidence, accuracy, count of each bin."""

    share: FloatArray
    gap: FloatArray
    accuracy: FloatArray
    count: FloatArray


def _binned(
    c: FloatArray,
    y: FloatArray,
    n_bins: int,
    binning: str,
    value: Callable[[Bins], FloatArray],
) -> Sums:
    """A metric that is a value of `Bins`; gap and accuracy are 0 where a bin is empty."""
    cell, n_cells = _cells(c, n_bins, binning)

    def finish(sums: FloatArray) -> FloatArray:
        if binning == "mass":
            sums = _of_equal_mass(sums, n_bins)
        count = sums[..., 0]
        divisor = np.maximum(count, 1)
        confidence = sums[..., 1] / divisor
        right = sums[..., 2] / divisor
        bins = Bins(
            share=count / count.sum(axis=1, keepdims=True),
            gap=right - confidence,
            accuracy=right,
            count=count,
        )
        return value(bins)

    return Sums(cell=cell, n_cells=n_cells, features=(c, y), finish=finish)


def _of_equal_mass(sums: FloatArray, n_bins: int) -> FloatArray:
    """(r, n_bins, k) sums of equal-mass bins, from those (r, v, k) of distinct confidences."""
    r, _, k = sums.shape
    # bins of each resample are numbered on from those of the one before
    place = value_bins(sums[..., 0], n_bins) + np.arange(r)[:, None] * n_bins
    flat = place.ravel()
    columns = []
    for j in range(k):
        columns.append(np.bincount(flat, sums[..., j].ravel(), r * n_bins))
    return np.stack(columns, axis=-1).reshape(r, n_bins, k).astype(float)


# --- errors -------------------------------------------------------------------------------


def _ece(
    c: FloatArray, y: FloatArray, *, n_bins: int = N_BINS, binning: str = "width"
) -> Sums:
    def mean_gap(bins: Bins) -> FloatArray:
        return (bins.share * np.abs(bins.gap)).sum(axis=1)

    return _binned(c, y, n_bins, binning, mean_gap)


@register("ece", label="ECE", sums=_ece, interval="inversion")
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


@register("ece_mass", label="ECE, equal mass", sums=_ece_mass, interval="inversion")
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


def _mce(c: FloatArray, y: FloatArray, *, n_bins: int = N_BINS) -> Sums:
    return _binned(c, y, n_bins, "width", lambda bins: np.abs(bins.gap).max(axis=1))


@register("mce", label="MCE", sums=_mce, interval="none")
def mce(confidence: ArrayLike, correct: ArrayLike, *, n_bins: int = N_BINS) -> float:
    r"""Maximum calibration error, :math:`\max_b |\mathrm{acc}_b - \mathrm{conf}_b|`, equal width.

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
        In [0, 1]. A single answer in a bin can set it. Source: as `ece`.

    Raises
    ------
    ValueError
        On input that is no confidence and outcome, by name and position; on an option out of
        range.

    Examples
    --------
    >>> round(mce([0.9, 0.9, 0.6, 0.6], [1, 0, 1, 0], n_bins=10), 2)
    0.4
    """
    return evaluate(_mce, confidence, correct, n_bins=n_bins)


def _ace(c: FloatArray, y: FloatArray, *, n_bins: int = N_BINS) -> Sums:
    def plain_mean(bins: Bins) -> FloatArray:
        return np.abs(bins.gap).sum(axis=1) / (bins.count > 0).sum(axis=1)

    return _binned(c, y, n_bins, "mass", plain_mean)


@register("ace", label="ACE", sums=_ace, interval="none")
def ace(confidence: ArrayLike, correct: ArrayLike, *, n_bins: int = N_BINS) -> float:
    """Adaptive calibration error: the plain mean of the gaps of equal-mass bins with answers.

    The published form averages over classes too; this is for the confidence in the answer.

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
        In [0, 1].

    Raises
    ------
    ValueError
        On input that is no confidence and outcome, by name and position; on an option out of
        range.

    References
    ----------
    Nixon et al., CVPR workshops 2019, arXiv:1904.01685.

    Examples
    --------
    >>> ace([0.9, 0.9, 0.6, 0.6], [1, 0, 1, 0], n_bins=2)
    0.25
    """
    return evaluate(_ace, confidence, correct, n_bins=n_bins)


def _debiased_ece(
    c: FloatArray, y: FloatArray, *, n_bins: int = N_BINS, binning: str = "width"
) -> Sums:
    def debiased(bins: Bins) -> FloatArray:
        gap = np.abs(bins.gap)
        variance = bins.accuracy * (1 - bins.accuracy) / np.maximum(bins.count, 1)
        unbiased = 2 * gap - _folded_normal_mean(gap, np.sqrt(variance))
        return np.maximum((bins.share * unbiased).sum(axis=1), 0)

    return _binned(c, y, n_bins, binning, debiased)


@register(
    "debiased_ece", label="debiased ECE", sums=_debiased_ece, interval="inversion"
)
def debiased_ece(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    n_bins: int = N_BINS,
    binning: str = "width",
) -> float:
    r"""ECE less the part that sampling noise alone puts into each bin.

    .. math:: \Bigl(\sum_b \tfrac{n_b}{n} \bigl[2 |g_b| - \mathrm{E}|N(g_b, s_b^2)|\bigr]\Bigr)_+,
       \qquad s_b^2 = \mathrm{acc}_b (1 - \mathrm{acc}_b) / n_b

    with the gap g; the expectation is the mean of the folded normal distribution.

    Parameters
    ----------
    confidence : (n,) array
        Probability in [0, 1] that the answer is correct.
    correct : (n,) array of 0 and 1
        1 where the answer is correct.
    n_bins, binning
        As in `ece`.

    Returns
    -------
    float
        In [0, 1], cut at 0. It estimates what `ece` does, with less bias: `ece_interval` is the
        interval of both.

    Raises
    ------
    ValueError
        On input that is no confidence and outcome, by name and position; on an option out of
        range.

    References
    ----------
    Kumar, Liang & Ma, NeurIPS 2019, arXiv:1909.10155.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> c = rng.uniform(0.5, 1, 400)
    >>> y = rng.random(400) < c
    >>> round(ece(c, y), 3), round(debiased_ece(c, y), 3)
    (0.025, 0.0)
    """
    return evaluate(_debiased_ece, confidence, correct, n_bins=n_bins, binning=binning)


def _folded_normal_mean(mean: FloatArray, scale: FloatArray) -> FloatArray:
    """E|N(mean, scale²)| for mean ≥ 0."""
    from scipy.special import ndtr

    z = mean / np.where(scale > 0, scale, 1)
    noise = scale * np.sqrt(2 / np.pi) * np.exp(-(z**2) / 2)
    folded = noise + mean * (2 * ndtr(z) - 1)
    return np.where(scale > 0, folded, mean)
