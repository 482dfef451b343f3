"""The metrics: how far stated confidence is from accuracy, and whether it marks the errors.

Every metric is called as `(confidence, correct, *, …) -> float` and defined once: what follows
the decorator `metric` is the formula as sums over cells, and the bootstrap uses it as it is. Where
a metric is undefined it is NaN, with a `MeasureWarning` that says why.

Equal-width bins are (lo, hi] with 0 in the first. Equal-mass bins never split items of one
confidence (equal to 12 digits): an item's bin is floor(B · m / n) where m items have a lower
confidence, so heavy ties leave fewer bins than the B asked for.
"""

from typing import NamedTuple

import numpy as np

from ._check import check_choice, check_whole
from ._sums import Recipe, mean_of, metric

BINNINGS = ("width", "mass")
N_BINS = 15
DIGITS = (
    12  # confidences that agree to so many are one: a softmax written in another way
)
CLIP = 1e-12  # of the log loss, which a stated 100 % that is wrong would make infinite
LOGIT_CLIP = 1e-6  # a stated 100 % has no logit
SURE = 0.9


def width_bins(c: np.ndarray, n_bins: int) -> np.ndarray:
    """Index of the equal-width bin (lo, hi] of each confidence; 0 goes to the first."""
    index = np.maximum(np.ceil(c * n_bins).astype(np.intp) - 1, 0)
    # next to an edge, compare with the edges themselves: a stated 0.6 is the edge 9/15
    near = np.flatnonzero(np.abs(c * n_bins - np.rint(c * n_bins)) < 1e-9)
    at = np.rint(c[near] * n_bins).astype(np.intp)
    index[near] = np.maximum(at - (c[near] <= at / n_bins), 0)
    return index


def value_bins(count: np.ndarray, n_bins: int) -> np.ndarray:
    """Equal-mass bin of each distinct confidence, from (r, v) counts in ascending order."""
    reached = count.cumsum(1)
    index = np.floor((reached - count) * n_bins / reached[:, -1:]).astype(np.intp)
    return np.minimum(index, n_bins - 1)


def _cells(c, n_bins, binning) -> tuple[np.ndarray, int]:
    """What bins are made of: the bins themselves, or of equal mass the distinct confidences."""
    check_whole(n_bins, "n_bins", 1)
    check_choice(binning, "binning", BINNINGS)
    if binning == "width":
        return width_bins(c, n_bins), n_bins
    values, cell = np.unique(np.round(c, DIGITS), return_inverse=True)
    return cell, values.size


def bins_of(c, n_bins, binning) -> np.ndarray:
    """The bin of each confidence, of either kind."""
    cell, _ = _cells(c, n_bins, binning)
    if binning == "width":
        return cell
    return value_bins(np.bincount(cell)[None].astype(float), n_bins)[0][cell]


class Bins(NamedTuple):
    """Of each bin, as (r, bins): share of the items, accuracy minus confidence, accuracy, count."""

    share: np.ndarray
    gap: np.ndarray
    right: np.ndarray
    count: np.ndarray


def _binned(c, y, n_bins, binning, value) -> Recipe:
    """A metric that is a value of `Bins`; gap and accuracy are 0 where a bin is empty."""
    cell, n_cells = _cells(c, n_bins, binning)

    def finish(sums):
        if binning == "mass":
            r, _, k = sums.shape
            flat = (
                value_bins(sums[..., 0], n_bins) + np.arange(r)[:, None] * n_bins
            ).ravel()
            parts = [
                np.bincount(flat, sums[..., j].ravel(), r * n_bins) for j in range(k)
            ]
            sums = np.stack(parts, -1).reshape(r, n_bins, k)
        count = sums[..., 0]
        confidence, right = np.moveaxis(
            sums[..., 1:] / np.maximum(count, 1)[..., None], -1, 0
        )
        share = count / count.sum(1, keepdims=True)
        return value(Bins(share, right - confidence, right, count))

    return Recipe(cell, n_cells, (c, y), finish)


@metric("accuracy", interval="share")
def accuracy(c, y) -> Recipe:
    r"""Share of correct answers, :math:`\frac1n \sum_i y_i`.

    Returns
    -------
    float
        In [0, 1].
    """
    return mean_of(y)


@metric("mean_confidence")
def mean_confidence(c, y) -> Recipe:
    r"""Mean stated confidence, :math:`\frac1n \sum_i c_i`.

    Returns
    -------
    float
        In [0, 1].
    """
    return mean_of(c)


@metric("gap")
def calibration_gap(c, y) -> Recipe:
    r"""Mean confidence minus accuracy, :math:`\frac1n \sum_i c_i - y_i`.

    Returns
    -------
    float
        In [−1, 1], above 0: overconfident on the whole. Zero does not mean calibrated: over- and
        underconfidence cancel. Its size is a lower bound of `ece` with any bins. Source: Van
        Calster et al., BMC Medicine 2019, doi:10.1186/s12916-019-1466-7.
    """
    return mean_of(c - y)


@metric("brier")
def brier_score(c, y) -> Recipe:
    r"""Mean squared difference of confidence and outcome, :math:`\frac1n \sum_i (c_i - y_i)^2`.

    Returns
    -------
    float
        In [0, 1]; 0 is perfect, 0.25 is what a constant ½ scores. Proper: it rewards calibration
        and discrimination together. Source: Brier, Monthly Weather Review 1950,
        doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2.
    """
    return mean_of((c - y) ** 2)


@metric("log_loss")
def log_loss(c, y) -> Recipe:
    r"""Mean negative log-likelihood in nats, :math:`-\frac1n \sum_i \ln P_{c_i}(y_i)`.

    Returns
    -------
    float
        In [0, 27.6]: confidence is moved into [1e-12, 1 − 1e-12] first, as a stated 100 % that
        is wrong would cost infinitely much. ln 2 is what a constant ½ scores. Proper. Source:
        Good, J. R. Stat. Soc. B 1952, doi:10.1111/j.2517-6161.1952.tb00104.x.
    """
    return mean_of(-np.log(np.clip(np.where(y == 1, c, 1 - c), CLIP, 1 - CLIP)))


@metric("confidently_wrong", interval="share", undefined="there is no wrong answer")
def confidently_wrong(c, y) -> Recipe:
    r"""Share of the wrong answers that are stated at 0.9 or more, :math:`P(c \ge 0.9 \mid y = 0)`.

    Returns
    -------
    float
        In [0, 1]: these are the errors that nobody would check. NaN where nothing is wrong.
    """
    wrong = 1 - y

    def finish(sums):
        errors = sums[:, 0, 1]
        return np.where(
            errors > 0, sums[:, 0, 2] / np.where(errors > 0, errors, 1), np.nan
        )

    return Recipe(None, 1, (wrong, wrong * (c >= SURE - 1e-9)), finish)


@metric("ece", interval="inversion")
def ece(c, y, *, n_bins=N_BINS, binning="width") -> Recipe:
    r"""Expected calibration error: mean gap between confidence and accuracy over bins.

    .. math:: \sum_b \frac{n_b}{n}\, |\mathrm{acc}_b - \mathrm{conf}_b|

    Returns
    -------
    float
        In [0, 1]; 0 is perfect. It is biased upwards, the more so the fewer the items and the
        more the bins; resampling adds that bias once more: for an interval use `ece_interval`.
        A forecaster without any skill can score 0: report Brier score and AUROC beside it.
        Sources: Naeini et al., AAAI 2015, doi:10.1609/aaai.v29i1.9602; Guo et al., ICML 2017,
        arXiv:1706.04599; equal mass: Nguyen & O'Connor, EMNLP 2015, arXiv:1508.05154.

    Examples
    --------
    >>> ece([0.9, 0.9, 0.6, 0.6], [1, 0, 1, 0], n_bins=10)
    0.25
    """
    return _binned(
        c, y, n_bins, binning, lambda bins: (bins.share * np.abs(bins.gap)).sum(1)
    )


@metric("ece_mass", interval="inversion")
def ece_mass(c, y, *, n_bins=N_BINS) -> Recipe:
    """`ece` with bins of equal mass.

    Returns
    -------
    float
        In [0, 1]; see `ece`.
    """
    return ece.recipe(c, y, n_bins=n_bins, binning="mass")


@metric("mce", interval="none")
def mce(c, y, *, n_bins=N_BINS) -> Recipe:
    r"""Maximum calibration error, :math:`\max_b |\mathrm{acc}_b - \mathrm{conf}_b|`, equal width.

    Returns
    -------
    float
        In [0, 1]. A single item in a bin can set it. Source: as `ece`.
    """
    return _binned(c, y, n_bins, "width", lambda bins: np.abs(bins.gap).max(1))


@metric("ace", interval="none")
def ace(c, y, *, n_bins=N_BINS) -> Recipe:
    r"""Adaptive calibration error: the plain mean of the gaps of the equal-mass bins with items.

    Returns
    -------
    float
        In [0, 1]. The published form averages over classes too; this is for the confidence in
        the answer given. Source: Nixon et al., CVPR workshops 2019, arXiv:1904.01685.
    """
    return _binned(
        c, y, n_bins, "mass", lambda b: np.abs(b.gap).sum(1) / (b.count > 0).sum(1)
    )


@metric("debiased_ece", interval="inversion")
def debiased_ece(c, y, *, n_bins=N_BINS, binning="width") -> Recipe:
    r"""ECE less the part that sampling noise alone puts into each bin.

    .. math:: \Bigl(\sum_b \tfrac{n_b}{n} \bigl[2 |g_b| - \mathrm{E}|N(g_b, s_b^2)|\bigr]\Bigr)_+,
       \qquad s_b^2 = \mathrm{acc}_b (1 - \mathrm{acc}_b) / n_b

    with the gap g; the expectation is the mean of the folded normal distribution.

    Returns
    -------
    float
        In [0, 1], cut at 0. It estimates what `ece` does, with less bias: `ece_interval` is the
        interval of both. Source: Kumar, Liang & Ma, NeurIPS 2019, arXiv:1909.10155.
    """

    def debiased(bins):
        gap = np.abs(bins.gap)
        scale = np.sqrt(bins.right * (1 - bins.right) / np.maximum(bins.count, 1))
        return np.maximum(
            (bins.share * (2 * gap - _folded_normal_mean(gap, scale))).sum(1), 0
        )

    return _binned(c, y, n_bins, binning, debiased)


def _folded_normal_mean(mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """E|N(mean, scale²)| for mean ≥ 0."""
    from scipy.special import ndtr

    z = mean / np.where(scale > 0, scale, 1)
    folded = scale * np.sqrt(2 / np.pi) * np.exp(-(z**2) / 2) + mean * (2 * ndtr(z) - 1)
    return np.where(scale > 0, folded, mean)


# --- smooth -------------------------------------------------------------------------------

STEPS = 4096


@metric("smooth_ece", interval="none")
def smooth_ece(c, y) -> Recipe:
    r"""Smooth ECE: the gap after smoothing by a kernel as wide as the gap itself.

    .. math:: \mathrm{smECE}_\sigma = \int_0^1 \Bigl| \frac1n \sum_i K_\sigma(t, c_i) (y_i - c_i)
       \Bigr| \, dt, \qquad \mathrm{smECE} = \sigma^* \text{ where } \mathrm{smECE}_{\sigma^*} =
       \sigma^*

    with K the Gaussian kernel reflected at 0 and 1.

    Returns
    -------
    float
        In [0, 1]; 0 is perfect. Without bins, continuous in the data, and within a constant
        factor of the distance to the nearest calibrated forecaster. Found to 1e-6 on a grid of
        4,096 steps. Source: Błasiok & Nakkiran, ICLR 2024, arXiv:2309.12236.
    """
    cell = np.minimum((c * STEPS).astype(np.intp), STEPS - 1)
    residual = y - c
    return Recipe(
        cell, STEPS, (residual, residual * (c * STEPS - cell)), _smoothed_gaps
    )


def _smoothed_gaps(sums) -> np.ndarray:
    from scipy.fft import dct
    from scipy.optimize import brentq

    frequency = (np.pi * np.arange(STEPS + 1)) ** 2 / 2
    found = []
    for one in sums:
        # a residual between two nodes is shared by both, in proportion to nearness
        node = np.zeros(STEPS + 1)
        node[:-1] += one[:, 1] - one[:, 2]
        node[1:] += one[:, 2]
        node /= one[:, 0].sum()
        # reflection at both ends makes the smoothing diagonal in the cosines
        node[1:-1] /= 2
        coefficient = dct(node, type=1)

        def excess(width, coefficient=coefficient):
            height = np.abs(dct(coefficient * np.exp(-frequency * width**2), type=1))
            return (height.sum() - (height[0] + height[-1]) / 2) / STEPS - width

        found.append(0.0 if excess(0.0) < 1e-9 else brentq(excess, 0, 1, xtol=1e-7))
    return np.array(found)


SPAN = 0.75
LOCAL_CELLS = 256
LOCAL_POINTS = 64


@metric("ici", interval="inversion")
def ici(c, y) -> Recipe:
    r"""Integrated calibration index: mean distance of a smooth calibration curve from c.

    .. math:: \frac1n \sum_i |\hat m(c_i) - c_i|

    with m̂ a local linear regression of the outcome on the confidence (tricube weights over the
    nearest three quarters of the items, no robustness step), cut to [0, 1].

    Returns
    -------
    float
        In [0, 1]. Beyond 256 distinct confidences they are grouped into 256 steps, beyond 64 the
        curve is interpolated. Sources: Austin & Steyerberg, Statistics in Medicine 2019,
        doi:10.1002/sim.8281 (who use R's loess, local quadratic: at 200 items another 0.01 on
        average); local regression: Cleveland 1979, doi:10.1080/01621459.1979.10481038.
    """
    values, cell = np.unique(c, return_inverse=True)
    n_cells = values.size
    if n_cells > LOCAL_CELLS:
        cell = width_bins(c, LOCAL_CELLS)
        n_cells = LOCAL_CELLS

    def finish(sums):
        held = sums[0][sums[0, :, 0] > 0]
        count = held[:, 0]
        x = held[:, 1] / held[:, 0]
        rate = held[:, 2] / held[:, 0]
        fit = np.clip(local_linear(x, count) @ rate, 0, 1)
        return np.array([np.abs(fit - x) @ count / count.sum()])

    return Recipe(cell, n_cells, (c, y), finish)


def local_linear(x, count) -> np.ndarray:
    """(k, k) matrix that turns outcomes at ascending x, counted `count` times, into the fit."""
    at = np.unique(np.linspace(0, x.size - 1, min(x.size, LOCAL_POINTS)).astype(int))
    distance = np.abs(x[at, None] - x)
    order = np.argsort(distance, axis=1, kind="stable")
    enough = np.maximum(np.floor(SPAN * count.sum() + 1e-9), 1)
    last = (count[order].cumsum(1) < enough).sum(1)
    reach = np.take_along_axis(distance, np.take_along_axis(order, last[:, None], 1), 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        kernel = np.where(distance < reach, (1 - (distance / reach) ** 3) ** 3, 0)
    kernel = np.where(reach > 0, kernel, distance == 0) * count
    total = kernel.sum(1, keepdims=True)
    mean = (kernel @ x)[:, None] / total
    offset = x - mean
    spread = (kernel * offset**2).sum(1, keepdims=True)
    slope = kernel * offset / np.where(spread > 1e-12 * total, spread, np.inf)
    rows = kernel / total + slope * (x[at, None] - mean)
    if at.size == x.size:
        return rows
    return np.stack([np.interp(x, x[at], column) for column in rows.T], axis=1)


# --- logistic recalibration ---------------------------------------------------------------


@metric(
    "slope",
    undefined="outcomes or confidences are constant, or confidence separates right from wrong",
)
def calibration_slope(c, y) -> Recipe:
    r"""Slope b of :math:`\mathrm{logit}\, P(y = 1) = a + b\, \mathrm{logit}(c)`.

    Returns
    -------
    float
        1 is ideal, below 1 the confidences are too extreme, 0 they say nothing, below 0 the
        opposite. Confidence is moved into [1e-6, 1 − 1e-6] first. NaN where outcome or
        confidence is constant, or the slope is infinite. Sources: Cox, Biometrika 1958,
        doi:10.1093/biomet/45.3-4.562; Van Calster et al. 2019, doi:10.1186/s12916-019-1466-7.
    """
    return _logistic(c, y, free_slope=True)


@metric("intercept", undefined="all answers are correct or all are wrong")
def calibration_intercept(c, y) -> Recipe:
    r"""Intercept a of :math:`\mathrm{logit}\, P(y = 1) = a + \mathrm{logit}(c)`.

    Returns
    -------
    float
        0 is ideal; below 0: overconfident on the whole. NaN where it is infinite. Sources: as
        `calibration_slope`.
    """
    return _logistic(c, y, free_slope=False)


def _logistic(c, y, free_slope) -> Recipe:
    values, cell = np.unique(c, return_inverse=True)
    inside = np.clip(values, LOGIT_CLIP, 1 - LOGIT_CLIP)
    logit = np.log(inside) - np.log1p(-inside)
    # in units of its own spread, so that Newton's steps are of one size whatever the slope
    unit = max(float(logit[cell].std()), 1e-12) if free_slope else 1.0
    x = (logit - logit[cell].mean()) / unit if free_slope else logit

    def finish(sums):
        count = sums[..., 0]
        right = sums[..., 1]
        a, b = np.zeros((2, count.shape[0], 1))
        b += not free_slope
        mixed = (right.sum(1) > 0) & (right.sum(1) < count.sum(1))
        if free_slope:
            mixed &= (count > 0).sum(1) > 1  # one confidence alone carries no slope
        for _ in range(60):
            p = 1 / (1 + np.exp(-np.clip(a + b * x, -700, 700)))
            w = count * p * (1 - p)
            score = right - count * p
            ga = score.sum(1, keepdims=True)
            haa = w.sum(1, keepdims=True)
            with np.errstate(divide="ignore", invalid="ignore"):
                step_a = ga / haa
                step_b = np.zeros_like(ga)
                if free_slope:
                    gb = score @ x[:, None]
                    hab = w @ x[:, None]
                    hbb = w @ (x**2)[:, None]
                    det = haa * hbb - hab**2
                    step_a = (hbb * ga - hab * gb) / det
                    step_b = (haa * gb - hab * ga) / det
            # steps are limited, so that a far start does not throw Newton's method off
            limit = np.maximum(1, np.maximum(np.abs(step_a), np.abs(step_b)) / 4)
            a = a + step_a / limit
            b = b + step_b / limit
            if not (np.abs(step_a) + np.abs(step_b) > 1e-10).any():
                break
        settled = (np.abs(step_a) + np.abs(step_b) < 1e-6)[:, 0]
        settled &= (np.abs(b if free_slope else a) < 200)[:, 0]
        return np.where(mixed & settled, (b / unit if free_slope else a)[:, 0], np.nan)

    return Recipe(cell, values.size, (y,), finish)


# --- ranking: a strictly increasing map of the confidence leaves these as they are ----------


def _ranked(c, y, finish) -> Recipe:
    """A metric of counts and errors over distinct confidences, most confident first."""
    values, cell = np.unique(-c, return_inverse=True)
    return Recipe(
        cell, values.size, (1 - y,), lambda sums: finish(sums[..., 0], sums[..., 1])
    )


@metric("auroc", undefined="all answers are correct or all are wrong")
def auroc(c, y) -> Recipe:
    r"""Probability that a correct answer carries more confidence than a wrong one.

    .. math:: P(c_i > c_j) + \tfrac12 P(c_i = c_j), \quad y_i = 1,\ y_j = 0

    Returns
    -------
    float
        In [0, 1]; ½ is chance, and any constant confidence. NaN where all answers are correct or
        all are wrong. Source: Hanley & McNeil 1982, doi:10.1148/radiology.143.1.7063747.
    """

    def finish(count, wrong):
        right = count - wrong
        above = right.cumsum(1) - right / 2
        pairs = right.sum(1) * wrong.sum(1)
        return np.where(
            pairs > 0, (wrong * above).sum(1) / np.maximum(pairs, 1), np.nan
        )

    return _ranked(c, y, finish)


@metric("aurc")
def aurc(c, y) -> Recipe:
    r"""Area under the risk–coverage curve: mean error rate among the k most confident items.

    .. math:: \frac1n \sum_{k=1}^n \frac{\mathrm{E}[\text{errors among the top } k]}{k}

    Ties: the expectation over a random order within items of one confidence, in closed form.

    Returns
    -------
    float
        In [0, 1]; 0 where all are correct, the error rate where confidence is constant. It mixes
        accuracy and ranking. Source: Geifman & El-Yaniv, NeurIPS 2017, arXiv:1705.08500.
    """
    return _ranked(c, y, _area)


def _area(count: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    end = count.cumsum(1)
    harmonic = np.append(0, np.cumsum(1 / np.arange(1, int(end.max()) + 1)))
    rate = wrong / np.where(count > 0, count, 1)
    # sum over j = 1 … count of (errors before + j rate) / (items before + j), for each value
    before = wrong.cumsum(1) - wrong - (end - count) * rate
    area = before * np.diff(harmonic[end.astype(np.intp)], axis=1, prepend=0) + wrong
    return area.sum(1) / end[:, -1]
