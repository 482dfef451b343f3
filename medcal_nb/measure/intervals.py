"""How sure we are of a metric: bootstrap by image, shares, bars and bands."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ._check import check_correct, check_groups, check_level, check_pair, warn
from .registry import Metric, metric_of
from .resampling import (
    FEW_IMAGES,
    FloatArray,
    Interval,
    Resamples,
    percentile_interval,
)


def bootstrap_interval(
    stat: Callable[..., float],
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    n_resamples: int = 1000,
    level: float = 0.95,
    groups: ArrayLike | None = None,
    rng: np.random.Generator,
) -> Interval:
    """Bootstrap interval of a metric, resampling answers or whole groups (images).

    Parameters
    ----------
    stat : callable
        A metric of this package, bare or in a `functools.partial` with keywords. Not for `ece`
        and its kin, whose bootstrap interval does not hold its level: see `ece_interval`. AUROC
        is refused: its interval is that of `auroc_test`.
    confidence : (n,) array
        Probability in [0, 1] that the answer is correct.
    correct : (n,) array of 0 and 1
        1 where the answer is correct.
    n_resamples : int
        Samples drawn; 2,000 where two digits of an end are reported.
    level : float
        Nominal coverage, in (0, 1).
    groups : (n,) array, optional
        Labels of images, drawn with all their answers. Without, answers count as independent.
    rng : numpy.random.Generator
        Draws the samples: the same generator gives the same interval.

    Returns
    -------
    Interval
        `(low, estimate, high)` by `percentile_ends`; the ends are NaN, with a warning, where
        resampling has nothing to vary (one answer or image).

    Raises
    ------
    ValueError
        On bad input, by name and position; on a stat that is no metric of this package, or AUROC.

    References
    ----------
    Efron & Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13. Groups: Field & Welsh,
    J. R. Stat. Soc. B 2007, doi:10.1111/j.1467-9868.2007.00593.x.

    Examples
    --------
    >>> from medcal_nb.measure import brier_score
    >>> rng = np.random.default_rng(0)
    >>> c = rng.random(400)
    >>> bootstrap_interval(brier_score, c, rng.random(400) < c, rng=rng)
    0.157 [0.139, 0.177]
    """
    c, y = check_pair(confidence, correct)
    check_level(level)
    metric, options = metric_of(stat)
    if metric.interval == "delong":
        raise ValueError(f"{metric.name}: its interval is that of auroc_test")
    drawn = Resamples(groups, n_resamples, rng, n=c.size)
    note_few(drawn.effective(), groups is not None)
    return metric_interval(metric, c, y, drawn, level=level, **options)


def metric_interval(
    metric: Metric,
    c: FloatArray,
    y: FloatArray,
    drawn: Resamples,
    *,
    level: float,
    **options: Any,
) -> Interval:
    """Interval of a metric from resamples that may serve others, too."""
    draws = metric.resampled(c, y, drawn, **options)
    n_groups = metric.n_groups(y, drawn)
    return percentile_interval(
        draws, level=level, n_groups=n_groups, bounds=metric.bounds
    )


def note_few(n_groups: float, by_image: bool) -> None:
    """Warn where an interval rests on less than 30 images, or answers."""
    if n_groups < FEW_IMAGES:
        what = "equally large images" if by_image else "answers"
        warn(
            f"worth {n_groups:.0f} {what}, fewer than {FEW_IMAGES}: intervals are wide, and "
            "their level is known from simulation alone (docs/intervals.md)"
        )


def holm(p_values: ArrayLike) -> FloatArray:
    r"""Holm's step-down adjustment: p values to be held against the level for the family.

    .. math:: \tilde p_{(i)} = \max_{j \le i} \min(1, (m - j + 1)\, p_{(j)})

    NaN entries stay NaN and do not count. Rejecting where it is at most α keeps the chance of any
    false rejection at α or below, whatever the dependence.

    References
    ----------
    Holm, Scandinavian Journal of Statistics 1979, vol. 6, pp. 65–70.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).round(2).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=float)
    known = np.flatnonzero(~np.isnan(p))
    ascending = known[np.argsort(p[known], kind="stable")]
    times = known.size - np.arange(known.size)
    adjusted = np.full(p.shape, np.nan)
    adjusted[ascending] = np.maximum.accumulate(np.minimum(p[ascending] * times, 1))
    return adjusted


def wilson_interval(
    successes: ArrayLike, trials: ArrayLike, *, level: float = 0.95
) -> tuple[FloatArray, FloatArray]:
    r"""Wilson score interval of a proportion.

    .. math:: \frac{\hat p + z^2 / 2n \pm z \sqrt{\hat p (1 - \hat p) / n + z^2 / 4 n^2}}
       {1 + z^2 / n}

    Parameters
    ----------
    successes, trials : (n,) array or float
        With 0 ≤ successes ≤ trials.
    level : float
        Of the interval.

    Returns
    -------
    low, high : (n,) array
        0 and 1 where there are no trials.

    Raises
    ------
    ValueError
        Where there are more successes than trials, or fewer than none.

    References
    ----------
    Wilson, J. Am. Stat. Assoc. 1927, doi:10.1080/01621459.1927.10502953.

    Examples
    --------
    >>> low, high = wilson_interval([9, 0], [10, 0])
    >>> low.round(2).tolist(), high.round(2).tolist()
    ([0.6, 0.0], [0.98, 1.0])
    """
    from scipy.special import ndtri

    z = ndtri((1 + check_level(level)) / 2)
    k, n = np.broadcast_arrays(np.asarray(successes, float), np.asarray(trials, float))
    if not ((k >= 0) & (k <= n)).all():
        raise ValueError("successes must lie between 0 and trials")
    trials = np.where(n > 0, n, 1)
    share = k / trials
    centre = share + z**2 / (2 * trials)
    half = z * np.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    shrink = 1 + z**2 / trials
    low = np.where(k == 0, 0, (centre - half) / shrink)
    high = np.where(k == n, 1, (centre + half) / shrink)
    return low, high


def clustered_interval(
    correct: ArrayLike, groups: ArrayLike | None, *, level: float = 0.95
) -> tuple[float, float]:
    r"""Wilson interval of a share whose items come in groups, such as questions about one image.

    Items of a group tend to be right or wrong together, so that n of them are worth fewer
    independent ones. Wilson's interval is taken at that effective number,

    .. math:: n^* = \frac{n}{\mathrm{deff}}
       \left(\frac{t_{n-1}}{t_{G-1}}\right)^2, \qquad
       \mathrm{deff} = \max\Bigl(1, \frac{G}{G-1} \sum_g \bigl(k_g - m_g \hat p\bigr)^2
       \Bigm/ \frac{n^2 \hat p (1 - \hat p)}{n - 1}\Bigr)

    with :math:`k_g` of :math:`m_g` items right in group g of G, and t the quantiles of Student's
    distribution. It is Wilson's own interval where every group is one item. Where all items are
    alike (or all are of one group) the data say nothing of their likeness within groups, and
    :math:`\mathrm{deff} = \sum_g m_g^2 / n`, that of groups alike through and through.

    Parameters
    ----------
    correct : (n,) array
        0 or 1 of each item.
    groups : (n,) array or None
        The group of each item; None where each is one by itself.
    level : float
        Of the interval.

    Returns
    -------
    low, high : float
        In [0, 1]; (0, 1) where there are no items.

    Raises
    ------
    ValueError
        On arrays of different lengths, or a level outside (0, 1).

    References
    ----------
    Korn & Graubard, Survey Methodology 1998, 24(2), 193–201; Franco et al., J. Survey Statistics
    and Methodology 2019, PMCID PMC6690503 (Wilson's form among those recommended).

    Examples
    --------
    >>> correct = [1, 1, 1, 0, 0, 0, 1, 1, 1, 1]
    >>> images = ["a", "a", "a", "b", "b", "b", "c", "c", "d", "d"]
    >>> [round(end, 2) for end in clustered_interval(correct, images)]
    [0.14, 0.97]
    """
    from scipy.special import stdtrit

    level = check_level(level)
    if np.size(correct) == 0:
        return 0.0, 1.0
    y = check_correct(correct)
    codes, n_groups = check_groups(groups, len(y))
    n = len(y)
    share = y.mean()
    sizes = np.bincount(codes, minlength=n_groups)
    worth = n**2 / (sizes**2).sum()
    if n_groups > 1:
        if 0 < share < 1:
            spread = np.bincount(codes, y - share, minlength=n_groups)
            seen = n_groups / (n_groups - 1) * (spread**2).sum()
            worth = n / max(1, seen * (n - 1) / (n**2 * share * (1 - share)))
        tail = (1 + level) / 2
        worth *= (stdtrit(n - 1, tail) / stdtrit(n_groups - 1, tail)) ** 2
    low, high = wilson_interval(share * worth, worth, level=level)
    return float(low), float(high)


EXACT = 1000


def consistency_band(
    confidence: FloatArray, cell: np.ndarray, n_cells: int, *, level: float = 0.95
) -> tuple[FloatArray, FloatArray]:
    """(low, high) accuracy of each bin if these confidences were calibrated, all bins together.

    Given its confidences, the number of correct answers in a bin is a sum of independent
    Bernoulli(c_i); its central quantiles at level^(1 / bins that hold items) make the band.
    Computed by convolution up to 1,000 items a bin, beyond that by a Cornish–Fisher expansion;
    NaN for empty bins. Source: Bröcker & Smith, Weather and Forecasting 2007,
    doi:10.1175/WAF993.1 (who simulate it).
    """
    order = np.argsort(cell, kind="stable")
    count = np.bincount(cell, minlength=n_cells)
    parts = np.split(confidence[order], count.cumsum()[:-1])
    each = check_level(level) ** (1 / int((count > 0).sum()))
    low = np.full(n_cells, np.nan)
    high = np.full(n_cells, np.nan)
    for b, part in enumerate(parts):
        if part.size:
            ends = _poisson_binomial_quantiles(part, np.array([1 - each, 1 + each]) / 2)
            low[b], high[b] = ends / part.size
    return low, high


def _poisson_binomial_quantiles(p: FloatArray, shares: FloatArray) -> FloatArray:
    """The smallest counts of successes, chances p, whose distribution reaches the shares."""
    if p.size <= EXACT:
        mass = np.ones(1)
        for q in p:
            mass = np.convolve(mass, [1 - q, q])
        return np.minimum(np.searchsorted(mass.cumsum(), shares * (1 - 1e-12)), p.size)
    from scipy.special import ndtri

    variance = p * (1 - p)
    mean = p.sum()
    total = variance.sum()
    if total == 0:
        return np.full(len(shares), mean)
    z = ndtri(shares)
    skewness = (variance * (1 - 2 * p)).sum() / total
    x = mean + np.sqrt(total) * z + skewness * (z**2 - 1) / 6
    # the smallest whole count whose distribution function reaches the share
    return np.clip(np.ceil(x - 0.5), 0, p.size)
