"""How far stated confidence is from observed accuracy.

Every metric takes `(confidence, correct)`: a probability in [0, 1] and an outcome 0 or 1 per
item, and keyword-only options; `weights` says how often each item counts. Input that is not
that is refused with a ValueError naming argument, count and first offending position. Where a
metric is undefined it is NaN, with a `MeasureWarning` saying why.

Equal-width bins are (lo, hi] with 0 in the first bin, so that 0 and 1 both fall in one.
Equal-mass bins never split items of one confidence: an item's bin is floor(B · m / n) where m
items have a lower confidence, so heavy ties leave fewer bins than the B asked for.
"""

from typing import NamedTuple

import numpy as np

from ._check import PART, check_bins, check_choice, check_pair, check_weights, warn
from ._sums import Recipe, recipe_for

BINNINGS = ("width", "mass")
FEW = 1024  # rows that are not worth a look at how best to measure them


def bin_edges(n_bins: int) -> np.ndarray:
    """Edges k / n_bins, each correctly rounded: a stated 0.6 is the edge 9/15 itself."""
    return np.arange(n_bins + 1) / n_bins


def width_bins(c: np.ndarray, n_bins: int) -> np.ndarray:
    """Index of the equal-width bin (lo, hi] of each confidence; 0 goes to the first."""
    place = c * n_bins
    whole = np.floor(place)
    index = whole.astype(np.intp)
    place -= whole
    close = 1e-9 + 1e-15 * n_bins  # far more than c * n_bins can be rounded by
    if place.size and (place.min() < close or place.max() > 1 - close):
        # next to an edge, and at both ends, compare with the edges themselves
        near = np.flatnonzero((place < close) | (place > 1 - close))
        edges = bin_edges(n_bins)
        at = np.rint(place[near] + whole[near]).astype(np.intp)
        index[near] = np.maximum(at - (c[near] <= edges[at]), 0)
    return index


def value_bins(count: np.ndarray, n_bins: int) -> np.ndarray:
    """Equal-mass bin of each distinct confidence, from (r, v) counts in ascending order."""
    before = count.cumsum(1)
    total = before[:, -1:].copy()
    before -= count
    index = np.floor(before * n_bins / total).astype(np.intp)
    return np.minimum(index, n_bins - 1, out=index)


def by_value(c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct confidences in ascending order, and the place of each item among them."""
    new = c[1:] > c[:-1]
    if not new.all() and (c[1:] < c[:-1]).any():
        return np.unique(c, return_inverse=True)
    cell = np.zeros(c.size, np.intp)
    new.cumsum(out=cell[1:])
    return c[np.flatnonzero(np.append(True, new))], cell


def _sorted_pair(c: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both in ascending order of confidence, then outcome.

    Doubles that are not negative are ordered as their bits are, and leave the sign bit free:
    with the outcome at the other end of the word one plain sort does what an argsort and two
    gathers would.
    """
    word = (c + 0.0).view(np.uint64)  # + 0.0 turns −0 into 0
    word <<= np.uint64(1)
    outcome = y.astype(np.uint64)
    word |= outcome
    word.sort()
    np.bitwise_and(word, np.uint64(1), out=outcome)
    word >>= np.uint64(1)
    return word.view(np.float64), outcome.astype(np.float64)


def _binned(c, y, n_bins, binning, finish) -> Recipe:
    """A metric of the (r, bins, 3) sums of 1, confidence and outcome over bins."""
    n_bins = check_bins(n_bins)
    check_choice(binning, "binning", BINNINGS)
    if binning == "width":
        return Recipe(width_bins(c, n_bins), n_bins, (c, y), finish, additive=True)
    values, cell = by_value(c)

    def regroup(sums):
        r, _, k = sums.shape
        flat = (value_bins(sums[..., 0], n_bins) + np.arange(r)[:, None] * n_bins).ravel()
        parts = [np.bincount(flat, sums[..., j].ravel(), r * n_bins) for j in range(k)]
        return finish(np.stack(parts, -1).reshape(r, n_bins, k))

    return Recipe(cell, values.size, (c, y), regroup)


def _mean(values: np.ndarray) -> Recipe:
    return Recipe(None, 1, (values,), lambda sums: sums[:, 0, 1] / sums[:, 0, 0], additive=True)


def _measure(builder, confidence, correct, weights, **options) -> float:
    c, y = check_pair(confidence, correct)
    w = check_weights(weights, c.size)
    if w is not None and not w.all():
        c, y, w = c[w > 0], y[w > 0], w[w > 0]
    if c.size <= FEW:
        return builder(c, y, **options).value(w)
    first = builder(c[:1], y[:1], **options)
    if not first.additive or c.size <= PART:
        if w is None and not first.additive:
            c, y = _sorted_pair(c, y)
        return builder(c, y, **options).value(w)
    sums = 0
    for start in range(0, c.size, PART):  # parts that stay in the cache, nothing of size n
        rows = slice(start, start + PART)
        part = builder(c[rows], y[rows], **options)
        sums = sums + part.sums(None if w is None else w[rows])
    return float(first.finish(sums[None])[0])


def _warned(value: float, name: str, reason: str) -> float:
    if np.isnan(value):
        warn(f"{name} is undefined: {reason}")
    return value


# --- means over items ---------------------------------------------------------------------


def accuracy(confidence, correct, *, weights=None) -> float:
    r"""Share of correct answers; the confidence is checked and otherwise unused.

    .. math:: \frac1n \sum_i y_i

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ValueError
        On input that is not a confidence and an outcome; the message names the position.
    """
    return _measure(_accuracy, confidence, correct, weights)


@recipe_for(accuracy)
def _accuracy(c, y) -> Recipe:
    return _mean(y)


def mean_confidence(confidence, correct, *, weights=None) -> float:
    r"""Mean stated confidence; the outcome is checked and otherwise unused.

    .. math:: \frac1n \sum_i c_i

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ValueError
        On input that is not a confidence and an outcome; the message names the position.
    """
    return _measure(_mean_confidence, confidence, correct, weights)


@recipe_for(mean_confidence)
def _mean_confidence(c, y) -> Recipe:
    return _mean(c)


def calibration_gap(confidence, correct, *, weights=None) -> float:
    r"""Mean confidence minus accuracy: overconfidence on the whole if positive.

    .. math:: \frac1n \sum_i c_i - y_i

    Returns
    -------
    float
        In [−1, 1]. Zero does not mean calibrated: over- and underconfidence cancel. Its size
        is a lower bound of `ece` with any bins.

    Raises
    ------
    ValueError
        On input that is not a confidence and an outcome; the message names the position.

    References
    ----------
    "Calibration in the large": Van Calster et al., BMC Medicine 2019,
    doi:10.1186/s12916-019-1466-7.
    """
    return _measure(_calibration_gap, confidence, correct, weights)


@recipe_for(calibration_gap)
def _calibration_gap(c, y) -> Recipe:
    return _mean(c - y)


def brier_score(confidence, correct, *, weights=None) -> float:
    r"""Mean squared difference of confidence and outcome.

    .. math:: \frac1n \sum_i (c_i - y_i)^2

    Returns
    -------
    float
        In [0, 1]; 0 is perfect, 0.25 is what a constant ½ scores. A proper score: it rewards
        calibration and discrimination together (`brier_decomposition` tells them apart).

    Raises
    ------
    ValueError
        On input that is not a confidence and an outcome; the message names the position.

    References
    ----------
    Brier, Monthly Weather Review 1950, doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2.
    """
    return _measure(_brier_score, confidence, correct, weights)


@recipe_for(brier_score)
def _brier_score(c, y) -> Recipe:
    return _mean((c - y) ** 2)


def log_loss(confidence, correct, *, clip=1e-12, weights=None) -> float:
    r"""Mean negative log-likelihood of the outcomes, in nats.

    .. math:: -\frac1n \sum_i y_i \ln c_i + (1 - y_i) \ln (1 - c_i)

    Parameters
    ----------
    clip : float
        Confidence is moved into [clip, 1 − clip] first: a stated 100 % that is wrong would cost
        infinitely much. It caps the cost of one item at −ln(clip), 27.6 nats by default;
        report it with the number. `clip=0` gives the unclipped, possibly infinite, value.

    Returns
    -------
    float
        In [0, −ln clip]; 0 is perfect, ln 2 = 0.693 is what a constant ½ scores. Proper.

    Raises
    ------
    ValueError
        On input that is not a confidence and an outcome; the message names the position. On a
        clip outside [0, ½).

    References
    ----------
    Good, J. R. Stat. Soc. B 1952, doi:10.1111/j.2517-6161.1952.tb00104.x.
    """
    return _measure(_log_loss, confidence, correct, weights, clip=clip)


@recipe_for(log_loss)
def _log_loss(c, y, *, clip=1e-12) -> Recipe:
    if not 0 <= clip < 0.5:
        raise ValueError(f"clip must lie in [0, 0.5), got {clip!r}")
    likely = np.clip(np.where(y == 1, c, 1 - c), clip, 1 - clip)
    with np.errstate(divide="ignore"):
        return _mean(-np.log(likely))


# --- binned -------------------------------------------------------------------------------


def ece(confidence, correct, *, n_bins=15, binning="width", norm=1, weights=None) -> float:
    r"""Expected calibration error: mean gap between confidence and accuracy over bins.

    .. math:: \Bigl(\sum_b \frac{n_b}{n}\, |\mathrm{acc}_b - \mathrm{conf}_b|^p\Bigr)^{1/p}

    Parameters
    ----------
    confidence : (n,) array of float
        Probability in [0, 1] that the answer is correct.
    correct : (n,) array of 0 and 1
    n_bins : int
    binning : {"width", "mass"}
        Bins (lo, hi] of equal width (0 in the first), or of equal numbers of items (ties kept
        together, so that heavy ties leave fewer bins).
    norm : float
        p ≥ 1; 1 is the usual ECE, 2 the root mean square, `inf` the largest gap (`mce`).
    weights : (n,) array of float, optional
        How often each item counts.

    Returns
    -------
    float
        In [0, 1]; 0 is perfect. It is biased upwards, the more so the fewer the items and the
        more the bins: a perfect forecaster scores above 0 (see `debiased_ece`). A forecaster
        without any skill can score 0: report accuracy, Brier score and AUROC beside it.

    Raises
    ------
    ValueError
        On input that is not a confidence and an outcome; the message names the position. On
        n_bins below 1, an unknown binning, or norm below 1.

    References
    ----------
    Naeini, Cooper & Hauskrecht, AAAI 2015, doi:10.1609/aaai.v29i1.9602. Guo et al., ICML 2017,
    arXiv:1706.04599. Equal mass: Nguyen & O'Connor, EMNLP 2015, arXiv:1508.05154. Norms:
    Kumar, Liang & Ma, NeurIPS 2019, arXiv:1909.10155.

    Examples
    --------
    >>> ece([0.9, 0.9, 0.6, 0.6], [1, 0, 1, 0], n_bins=10)
    0.25
    """
    return _measure(_ece, confidence, correct, weights, n_bins=n_bins, binning=binning, norm=norm)


def _check_norm(norm) -> None:
    if not norm >= 1:
        raise ValueError(f"norm must be at least 1, got {norm!r}")


@recipe_for(ece)
def _ece(c, y, *, n_bins=15, binning="width", norm=1) -> Recipe:
    _check_norm(norm)

    def finish(sums):
        count = sums[..., 0]
        gap = np.abs(sums[..., -1] - (sums[..., 1] if sums.shape[-1] == 3 else 0))
        total = count.sum(1)
        if norm == 1:
            return gap.sum(1) / total
        gap /= np.where(count > 0, count, 1)
        if np.isinf(norm):
            return gap.max(1)
        return ((count * gap**norm).sum(1) / total) ** (1 / norm)

    if binning == "width":  # the difference alone is needed: one sum a bin fewer to draw
        n_bins = check_bins(n_bins)
        return Recipe(
            width_bins(c, n_bins), n_bins, (y - c,), finish, additive=True, counted=norm != 1
        )
    return _binned(c, y, n_bins, binning, finish)


def mce(confidence, correct, *, n_bins=15, binning="width", weights=None) -> float:
    r"""Maximum calibration error: the largest gap of any bin that holds items.

    .. math:: \max_b |\mathrm{acc}_b - \mathrm{conf}_b|

    Returns
    -------
    float
        In [0, 1]. A single item in a bin can set it: read it with the bin's count.

    Raises
    ------
    ValueError
        As `ece`.

    References
    ----------
    Naeini, Cooper & Hauskrecht, AAAI 2015, doi:10.1609/aaai.v29i1.9602.
    """
    return _measure(_mce, confidence, correct, weights, n_bins=n_bins, binning=binning)


@recipe_for(mce)
def _mce(c, y, *, n_bins=15, binning="width") -> Recipe:
    return _ece(c, y, n_bins=n_bins, binning=binning, norm=np.inf)


def ace(confidence, correct, *, n_bins=15, weights=None) -> float:
    r"""Adaptive calibration error: the plain mean of the gaps of equal-mass bins.

    .. math:: \frac{1}{B} \sum_{b=1}^B |\mathrm{acc}_b - \mathrm{conf}_b|

    The published form averages over classes too; this is its one-class form, for the
    confidence in the answer given. B counts the bins that hold items. With bins of exactly
    equal mass it equals `ece(binning="mass")`; ties make them differ.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ValueError
        As `ece`.

    References
    ----------
    Nixon et al., CVPR workshops 2019, arXiv:1904.01685.
    """
    return _measure(_ace, confidence, correct, weights, n_bins=n_bins)


@recipe_for(ace)
def _ace(c, y, *, n_bins=15) -> Recipe:
    def finish(sums):
        count = sums[..., 0]
        gap = np.abs(sums[..., 1] - sums[..., 2]) / np.where(count > 0, count, 1)
        return gap.sum(1) / (count > 0).sum(1)

    return _binned(c, y, n_bins, "mass", finish)


def debiased_ece(confidence, correct, *, n_bins=15, binning="width", norm=1, weights=None) -> float:
    r"""ECE less the part that sampling noise alone puts into each bin.

    For `norm=2` the unbiased estimate of each squared gap,

    .. math:: \Bigl(\sum_b \tfrac{n_b}{n} \bigl[(\mathrm{acc}_b - \mathrm{conf}_b)^2
       - \tfrac{\mathrm{acc}_b (1 - \mathrm{acc}_b)}{n_b - 1}\bigr]\Bigr)_+^{1/2}

    and for `norm=1` the plug-in gap g less its expected excess under normal noise of variance
    :math:`s^2 = \mathrm{acc}_b (1 - \mathrm{acc}_b) / n_b`,

    .. math:: \Bigl(\sum_b \tfrac{n_b}{n} \bigl[2 |g_b| - \mathrm{E}|N(g_b, s_b^2)|\bigr]\Bigr)_+

    (the source estimates that expectation by simulation; here it is the mean of the folded
    normal distribution). A bin of one item adds nothing for `norm=2`.

    Parameters
    ----------
    n_bins, binning
        As `ece`.
    norm : {1, 2}

    Returns
    -------
    float
        In [0, 1], cut at 0. It still misses the miscalibration that cancels within bins.

    Raises
    ------
    ValueError
        As `ece`; on a norm other than 1 or 2.

    References
    ----------
    Kumar, Liang & Ma, Verified uncertainty calibration, NeurIPS 2019, arXiv:1909.10155.
    """
    return _measure(
        _debiased_ece, confidence, correct, weights, n_bins=n_bins, binning=binning, norm=norm
    )


@recipe_for(debiased_ece)
def _debiased_ece(c, y, *, n_bins=15, binning="width", norm=1) -> Recipe:
    check_choice(norm, "norm", (1, 2))

    def finish(sums):
        count = sums[..., 0]
        safe = np.where(count > 0, count, 1)
        acc = sums[..., 2] / safe
        gap = np.abs(acc - sums[..., 1] / safe)
        share = count / count.sum(1, keepdims=True)
        if norm == 2:
            noise = acc * (1 - acc) / np.where(count > 1, count - 1, 1)
            square = np.where(count > 1, gap**2 - noise, 0)
            return np.sqrt(np.maximum((share * square).sum(1), 0))
        scale = np.sqrt(acc * (1 - acc) / safe)
        return np.maximum((share * (2 * gap - _folded_normal_mean(gap, scale))).sum(1), 0)

    return _binned(c, y, n_bins, binning, finish)


def _folded_normal_mean(mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """E|N(mean, scale²)| for mean ≥ 0."""
    from scipy.special import ndtr

    safe = np.where(scale > 0, scale, 1)
    z = mean / safe
    folded = scale * np.sqrt(2 / np.pi) * np.exp(-(z**2) / 2) + mean * (2 * ndtr(z) - 1)
    return np.where(scale > 0, folded, mean)


def overconfidence(confidence, correct, *, n_bins=15, binning="width", weights=None) -> float:
    r"""The part of ECE from bins whose confidence exceeds their accuracy.

    .. math:: \sum_b \frac{n_b}{n} (\mathrm{conf}_b - \mathrm{acc}_b)_+

    Returns
    -------
    float
        In [0, 1]. With `underconfidence` it adds up to `ece`; their difference is
        `calibration_gap`.

    Raises
    ------
    ValueError
        As `ece`.

    References
    ----------
    One-sided gaps: Thulasidasan et al., NeurIPS 2019, arXiv:1905.11001 (there weighted by the
    confidence too; here not, so that the two sides add up).
    """
    return _measure(_overconfidence, confidence, correct, weights, n_bins=n_bins, binning=binning)


@recipe_for(overconfidence)
def _overconfidence(c, y, *, n_bins=15, binning="width") -> Recipe:
    def finish(sums):
        return np.maximum(sums[..., 1] - sums[..., 2], 0).sum(1) / sums[..., 0].sum(1)

    return _binned(c, y, n_bins, binning, finish)


def underconfidence(confidence, correct, *, n_bins=15, binning="width", weights=None) -> float:
    r"""The part of ECE from bins whose accuracy exceeds their confidence.

    .. math:: \sum_b \frac{n_b}{n} (\mathrm{acc}_b - \mathrm{conf}_b)_+

    Returns
    -------
    float
        In [0, 1]; see `overconfidence`.

    Raises
    ------
    ValueError
        As `ece`.
    """
    return _measure(_underconfidence, confidence, correct, weights, n_bins=n_bins, binning=binning)


@recipe_for(underconfidence)
def _underconfidence(c, y, *, n_bins=15, binning="width") -> Recipe:
    def finish(sums):
        return np.maximum(sums[..., 2] - sums[..., 1], 0).sum(1) / sums[..., 0].sum(1)

    return _binned(c, y, n_bins, binning, finish)


class BrierDecomposition(NamedTuple):
    """Terms with Brier score = reliability − resolution + uncertainty + within_bin."""

    reliability: float
    resolution: float
    uncertainty: float
    within_bin: float


def brier_decomposition(
    confidence, correct, *, n_bins=15, binning="width", weights=None
) -> BrierDecomposition:
    r"""Murphy's split of the Brier score, exact for binned confidences too.

    .. math:: \mathrm{BS} = \underbrace{\sum_b \tfrac{n_b}{n} (\mathrm{conf}_b -
       \mathrm{acc}_b)^2}_{\text{reliability}} - \underbrace{\sum_b \tfrac{n_b}{n}
       (\mathrm{acc}_b - \bar y)^2}_{\text{resolution}} + \underbrace{\bar y (1 -
       \bar y)}_{\text{uncertainty}} + \text{within-bin}

    Parameters
    ----------
    n_bins : int or None
        None takes each distinct confidence as a bin of its own (Murphy's case, where the
        within-bin term is 0).
    binning : {"width", "mass"}

    Returns
    -------
    BrierDecomposition
        Reliability in [0, 1], lower is better; resolution in [0, ¼], higher is better;
        uncertainty in [0, ¼], a property of the items; within_bin, the spread of confidence
        inside bins less twice its covariance with the outcome, of either sign. Reliability is
        `ece(norm=2)` squared.

    Raises
    ------
    ValueError
        As `ece`.

    References
    ----------
    Murphy, J. Applied Meteorology 1973, doi:10.1175/1520-0450(1973)012<0595:ANVPOT>2.0.CO;2.
    Within-bin terms: Stephenson, Coelho & Jolliffe, Weather and Forecasting 2008,
    doi:10.1175/2007WAF2006116.1.
    """
    options = {"n_bins": n_bins, "binning": binning, "weights": weights}
    reliability = brier_reliability(confidence, correct, **options)
    resolution = brier_resolution(confidence, correct, **options)
    base = accuracy(confidence, correct, weights=weights)
    uncertainty = base * (1 - base)
    within = brier_score(confidence, correct, weights=weights) - (
        reliability - resolution + uncertainty
    )
    return BrierDecomposition(reliability, resolution, uncertainty, within)


def _valued(c, y, n_bins, binning, finish) -> Recipe:
    """As `_binned`, where `n_bins=None` makes each distinct confidence a bin."""
    if n_bins is not None:
        return _binned(c, y, n_bins, binning, finish)
    values, cell = by_value(c)
    return Recipe(cell, values.size, (c, y), finish)


def brier_reliability(confidence, correct, *, n_bins=15, binning="width", weights=None) -> float:
    """Reliability term of `brier_decomposition`, in [0, 1]: miscalibration, lower is better.

    Raises
    ------
    ValueError
        As `ece`.
    """
    return _measure(
        _brier_reliability, confidence, correct, weights, n_bins=n_bins, binning=binning
    )


@recipe_for(brier_reliability)
def _brier_reliability(c, y, *, n_bins=15, binning="width") -> Recipe:
    def finish(sums):
        count = sums[..., 0]
        square = (sums[..., 1] - sums[..., 2]) ** 2 / np.where(count > 0, count, 1)
        return square.sum(1) / count.sum(1)

    return _valued(c, y, n_bins, binning, finish)


def brier_resolution(confidence, correct, *, n_bins=15, binning="width", weights=None) -> float:
    """Resolution term of `brier_decomposition`, in [0, ¼]: discrimination, higher is better.

    Raises
    ------
    ValueError
        As `ece`.
    """
    return _measure(_brier_resolution, confidence, correct, weights, n_bins=n_bins, binning=binning)


@recipe_for(brier_resolution)
def _brier_resolution(c, y, *, n_bins=15, binning="width") -> Recipe:
    def finish(sums):
        count, right = sums[..., 0], sums[..., 2]
        total = count.sum(1)
        square = right**2 / np.where(count > 0, count, 1)
        return square.sum(1) / total - (right.sum(1) / total) ** 2

    return _valued(c, y, n_bins, binning, finish)


# --- smooth -------------------------------------------------------------------------------


def smooth_ece(confidence, correct, *, sigma=None, weights=None) -> float:
    r"""Smooth ECE: the gap after smoothing by a kernel as wide as the gap itself.

    .. math:: \mathrm{smECE}_\sigma = \int_0^1 \Bigl| \frac1n \sum_i K_\sigma(t, c_i) (y_i - c_i)
       \Bigr| \, dt, \qquad \mathrm{smECE} = \sigma^* \text{ where } \mathrm{smECE}_{\sigma^*} =
       \sigma^*

    with K the Gaussian kernel reflected at 0 and 1. It has no bins, is continuous in the data,
    and within a constant factor of the distance to the nearest calibrated forecaster.

    Parameters
    ----------
    sigma : float, optional
        A fixed bandwidth instead of the fixed point.

    Returns
    -------
    float
        In [0, 1]; 0 is perfect. Confidences are put on a grid of at least 1,024 steps, finer
        where σ* is small; the fixed point is found to 1e-7.

    Raises
    ------
    ValueError
        On input that is not a confidence and an outcome; the message names the position. On a
        sigma that is not positive.

    References
    ----------
    Błasiok & Nakkiran, ICLR 2024, arXiv:2309.12236.
    """
    return _measure(_smooth_ece, confidence, correct, weights, sigma=sigma)


FINEST = 1 << 16


@recipe_for(smooth_ece)
def _smooth_ece(c, y, *, sigma=None) -> Recipe:
    if sigma is not None and not sigma > 0:
        raise ValueError(f"sigma must be positive, got {sigma!r}")
    steps = 1024
    while True:
        recipe = _smooth_ece_on_grid(c, y, steps, sigma)
        width = recipe.value() if sigma is None else sigma
        if width * steps >= 8 or steps == FINEST:
            return recipe
        steps *= 8


def _smooth_ece_on_grid(c, y, steps, sigma) -> Recipe:
    place = c * steps
    cell = np.minimum(place.astype(np.intp), steps - 1)
    place -= cell
    residual = y - c
    frequency = (np.pi * np.arange(steps + 1)) ** 2 / 2

    def finish(sums):
        from scipy.fft import dct

        # a residual between two nodes is shared by both, in proportion to nearness
        node = np.zeros((sums.shape[0], steps + 1))
        node[:, :-1] += sums[..., 1] - sums[..., 2]
        node[:, 1:] += sums[..., 2]
        node /= sums[..., 0].sum(1)[:, None]
        # reflection at both ends makes the smoothing diagonal in the cosines
        node[:, 1:-1] /= 2
        coefficient = dct(node, type=1, axis=1)

        def smoothed(width, rows=slice(None)):
            damped = coefficient[rows] * np.exp(-frequency * width[:, None] ** 2)
            height = np.abs(dct(damped, type=1, axis=1))
            return (height.sum(1) - (height[:, 0] + height[:, -1]) / 2) / steps

        if sigma is not None:
            return smoothed(np.full(node.shape[0], float(sigma)))
        return _fixed_point(smoothed, node.shape[0])

    return Recipe(cell, steps, (residual, residual * place), finish)


def _fixed_point(decreasing, n: int, tolerance: float = 1e-7) -> np.ndarray:
    """(n,) solutions of f(x) = x in [0, 1], f decreasing: Illinois false position, batched."""
    low, high = np.zeros(n), np.ones(n)
    above, below = decreasing(low), decreasing(high) - 1  # f(x) − x at the two ends
    found = np.where(above <= tolerance, 0.0, np.nan)
    found = np.where(np.isnan(found) & (below >= 0), 1.0, found)
    side = np.zeros(n, np.int8)
    rows = np.flatnonzero(np.isnan(found))
    for _ in range(100):
        if rows.size == 0:
            break
        a, b, fa, fb = low[rows], high[rows], above[rows], below[rows]
        x = (a * fb - b * fa) / (fb - fa)
        fx = decreasing(x, rows) - x
        up = fx > 0
        low[rows], high[rows] = np.where(up, x, a), np.where(up, b, x)
        # the end that stays twice counts half: that is what keeps the steps from stalling
        above[rows] = np.where(up, fx, np.where(side[rows] == -1, fa / 2, fa))
        below[rows] = np.where(up, np.where(side[rows] == 1, fb / 2, fb), fx)
        side[rows] = np.where(up, 1, -1)
        done = (np.abs(fx) <= tolerance) | (high[rows] - low[rows] <= tolerance)
        found[rows[done]] = x[done]
        rows = rows[~done]
    found[rows] = (low[rows] + high[rows]) / 2
    return found


LOCAL_CELLS, LOCAL_POINTS = 256, 64


def ici(confidence, correct, *, span=0.75, weights=None) -> float:
    r"""Integrated calibration index: mean distance of a smooth calibration curve from c.

    .. math:: \frac1n \sum_i |\hat m(c_i) - c_i|

    with m̂ a local linear regression of the outcome on the confidence (tricube weights over the
    nearest `span` share of items, no robustness step), cut to [0, 1].

    Parameters
    ----------
    span : float
        Share of the items each local fit sees, in (0, 1].

    Returns
    -------
    float
        In [0, 1]. Exact for up to 256 distinct confidences and 64 of them as fit points;
        beyond that confidences are grouped into 256 steps and the curve is interpolated.

    Raises
    ------
    ValueError
        On input that is not a confidence and an outcome; the message names the position. On a
        span outside (0, 1].

    References
    ----------
    Austin & Steyerberg, Statistics in Medicine 2019, doi:10.1002/sim.8281. Local regression:
    Cleveland, J. Am. Stat. Assoc. 1979, doi:10.1080/01621459.1979.10481038.
    """
    return _measure(_ici, confidence, correct, weights, span=span)


def e50(confidence, correct, *, span=0.75, weights=None) -> float:
    """Median distance of the smooth calibration curve from the confidence; see `ici`.

    Returns
    -------
    float
        In [0, 1]: half of the items are no further off than this.

    Raises
    ------
    ValueError
        As `ici`.

    References
    ----------
    Austin & Steyerberg, Statistics in Medicine 2019, doi:10.1002/sim.8281.
    """
    return _measure(_e50, confidence, correct, weights, span=span)


def e90(confidence, correct, *, span=0.75, weights=None) -> float:
    """90th percentile of the distance of the smooth calibration curve; see `ici`.

    Returns
    -------
    float
        In [0, 1]: nine items of ten are no further off than this.

    Raises
    ------
    ValueError
        As `ici`.

    References
    ----------
    Austin & Steyerberg, Statistics in Medicine 2019, doi:10.1002/sim.8281.
    """
    return _measure(_e90, confidence, correct, weights, span=span)


def _local(c, y, span, summarise) -> Recipe:
    if not 0 < span <= 1:
        raise ValueError(f"span must lie in (0, 1], got {span!r}")
    values, cell = by_value(c)
    n_cells = values.size
    if n_cells > LOCAL_CELLS:
        cell, n_cells = width_bins(c, LOCAL_CELLS), LOCAL_CELLS

    def one(sums):
        held = sums[sums[:, 0] > 0]
        count, x, rate = held[:, 0], held[:, 1] / held[:, 0], held[:, 2] / held[:, 0]
        distance = np.abs(local_linear(x, rate, count, span) - x)
        return summarise(distance, count)

    return Recipe(cell, n_cells, (c, y), lambda sums: np.array([one(s) for s in sums]))


def local_linear(x, y, count, span) -> np.ndarray:
    """Local linear fit at each x (ascending), each point counted `count` times, in [0, 1]."""
    at = np.arange(x.size)
    if x.size > LOCAL_POINTS:
        at = np.unique(np.linspace(0, x.size - 1, LOCAL_POINTS).astype(int))
    distance = np.abs(x[at, None] - x)
    order = np.argsort(distance, axis=1, kind="stable")
    seen = count[order].cumsum(1)
    enough = np.maximum(np.floor(span * count.sum() + 1e-9), 1)
    last = (seen < enough).sum(1)
    reach = np.take_along_axis(distance, np.take_along_axis(order, last[:, None], 1), 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        kernel = np.where(distance < reach, (1 - (distance / reach) ** 3) ** 3, 0)
    kernel = np.where(reach > 0, kernel, distance == 0) * count
    total = kernel.sum(1)
    mean_x = (kernel @ x) / total
    mean_y = (kernel @ y) / total
    offset = x - mean_x[:, None]
    spread = (kernel * offset**2).sum(1)
    slope = (kernel * offset * y).sum(1) / np.where(spread > 1e-12 * total, spread, np.inf)
    fit = mean_y + slope * (x[at] - mean_x)
    return np.clip(np.interp(x, x[at], fit), 0, 1)


def _weighted_quantile(values, count, share):
    order = np.argsort(values, kind="stable")
    reached = count[order].cumsum()
    return values[order][np.searchsorted(reached, share * reached[-1] * (1 - 1e-12))]


@recipe_for(ici)
def _ici(c, y, *, span=0.75) -> Recipe:
    return _local(c, y, span, lambda d, n: d @ n / n.sum())


@recipe_for(e50)
def _e50(c, y, *, span=0.75) -> Recipe:
    return _local(c, y, span, lambda d, n: _weighted_quantile(d, n, 0.5))


@recipe_for(e90)
def _e90(c, y, *, span=0.75) -> Recipe:
    return _local(c, y, span, lambda d, n: _weighted_quantile(d, n, 0.9))


# --- logistic recalibration and a test ----------------------------------------------------


def calibration_slope(confidence, correct, *, clip=1e-6, weights=None) -> float:
    r"""Slope b of the logistic regression of the outcome on the logit of the confidence.

    .. math:: \mathrm{logit}\, P(y = 1) = a + b\, \mathrm{logit}(c)

    Parameters
    ----------
    clip : float
        Confidence is moved into [clip, 1 − clip] first: a stated 100 % has no logit. The value
        depends on it where confidences of 0 or 1 occur; report it.

    Returns
    -------
    float
        1 is ideal, below 1 the confidences are too extreme, 0 they say nothing, below 0 they
        say the opposite. NaN with a `MeasureWarning` where outcome or confidence is constant,
        or the confidence separates right from wrong (the slope is then infinite).

    Raises
    ------
    ValueError
        On input that is not a confidence and an outcome; the message names the position. On a
        clip outside (0, ½).

    References
    ----------
    Cox, Biometrika 1958, doi:10.1093/biomet/45.3-4.562. Van Calster et al., BMC Medicine 2019,
    doi:10.1186/s12916-019-1466-7.
    """
    value = _measure(_calibration_slope, confidence, correct, weights, clip=clip)
    return _warned(
        value,
        "calibration_slope",
        "outcomes or confidences are constant, or the confidence separates right from wrong",
    )


def calibration_intercept(confidence, correct, *, clip=1e-6, weights=None) -> float:
    r"""Intercept a of the logistic recalibration with the slope held at 1.

    .. math:: \mathrm{logit}\, P(y = 1) = a + \mathrm{logit}(c)

    Returns
    -------
    float
        0 is ideal; negative: overconfident on the whole, positive: underconfident. NaN with a
        `MeasureWarning` where all answers are correct or all are wrong (it is then infinite).

    Raises
    ------
    ValueError
        As `calibration_slope`.

    References
    ----------
    Cox, Biometrika 1958, doi:10.1093/biomet/45.3-4.562. Van Calster et al., BMC Medicine 2019,
    doi:10.1186/s12916-019-1466-7.
    """
    value = _measure(_calibration_intercept, confidence, correct, weights, clip=clip)
    return _warned(value, "calibration_intercept", "all answers are correct or all are wrong")


def logits(c: np.ndarray, clip: float) -> np.ndarray:
    """Logit of the confidence moved into [clip, 1 − clip]."""
    if not 0 < clip < 0.5:
        raise ValueError(f"clip must lie in (0, 0.5), got {clip!r}")
    inside = np.clip(c, clip, 1 - clip)
    return np.log(inside) - np.log1p(-inside)


def _logistic(c, y, clip, free_slope) -> Recipe:
    values, cell = by_value(c)
    x = logits(values, clip)

    def finish(sums):
        count, right = sums[..., 0], sums[..., 1]
        a, b = np.zeros((2, count.shape[0], 1))
        b += not free_slope
        mixed = (right.sum(1) > 0) & (right.sum(1) < count.sum(1))
        if free_slope:
            mixed &= (count > 0).sum(1) > 1  # one confidence alone carries no slope
        for _ in range(60):
            p = 1 / (1 + np.exp(-np.clip(a + b * x, -700, 700)))
            score = right - count * p
            w = count * p * (1 - p)
            ga, haa = score.sum(1, keepdims=True), w.sum(1, keepdims=True)
            with np.errstate(divide="ignore", invalid="ignore"):
                if free_slope:
                    gb, hab = score @ x[:, None], w @ x[:, None]
                    hbb = w @ (x**2)[:, None]
                    det = haa * hbb - hab**2
                    step_a, step_b = (hbb * ga - hab * gb) / det, (haa * gb - hab * ga) / det
                else:
                    step_a, step_b = ga / haa, np.zeros_like(ga)
            # steps are limited, so that a far start does not throw Newton's method off
            limit = np.maximum(1, np.maximum(np.abs(step_a), np.abs(step_b)) / 4)
            a, b = a + step_a / limit, b + step_b / limit
            if not (np.abs(step_a) + np.abs(step_b) > 1e-10).any():
                break
        wanted = (b if free_slope else a)[:, 0]
        settled = (np.abs(step_a) + np.abs(step_b) < 1e-6)[:, 0] & (np.abs(wanted) < 1e3)
        return np.where(mixed & settled, wanted, np.nan)

    return Recipe(cell, values.size, (y,), finish)


@recipe_for(calibration_slope)
def _calibration_slope(c, y, *, clip=1e-6) -> Recipe:
    return _logistic(c, y, clip, free_slope=True)


@recipe_for(calibration_intercept)
def _calibration_intercept(c, y, *, clip=1e-6) -> Recipe:
    return _logistic(c, y, clip, free_slope=False)


def spiegelhalter_z(confidence, correct, *, weights=None) -> float:
    r"""Spiegelhalter's z: is the Brier score what a calibrated forecaster would get?

    .. math:: z = \frac{\sum_i (y_i - c_i)(1 - 2 c_i)}
       {\sqrt{\sum_i (1 - 2 c_i)^2 c_i (1 - c_i)}}

    Returns
    -------
    float
        Standard normal for independent items of a calibrated forecaster; beyond ±1.96
        calibration is rejected at 5 %. Positive: the Brier score is worse than expected. NaN
        with a `MeasureWarning` where all confidences are 0, ½ or 1. Items that share an image
        are not independent: bootstrap it by image instead of reading it as a test.

    Raises
    ------
    ValueError
        On input that is not a confidence and an outcome; the message names the position.

    References
    ----------
    Spiegelhalter, Statistics in Medicine 1986, doi:10.1002/sim.4780050506.
    """
    value = _measure(_spiegelhalter_z, confidence, correct, weights)
    return _warned(value, "spiegelhalter_z", "all confidences are 0, 0.5 or 1")


@recipe_for(spiegelhalter_z)
def _spiegelhalter_z(c, y) -> Recipe:
    lean = 1 - 2 * c

    def finish(sums):
        variance = sums[:, 0, 2]
        root = np.sqrt(np.where(variance > 0, variance, 1))
        return np.where(variance > 0, sums[:, 0, 1] / root, np.nan)

    return Recipe(None, 1, ((y - c) * lean, lean**2 * c * (1 - c)), finish, additive=True)
