"""How sure we are of a metric: bootstrap by image, paired differences, bars and bands."""

import numpy as np

from ._check import check_correct, check_groups, check_level, check_pair, warn
from ._sums import Draws, recipe_of
from .inversion import Interval

NOTHING = Interval(np.nan, np.nan, np.nan)


def bootstrap_interval(
    stat, confidence, correct, *, n_resamples=1000, level=0.95, groups=None, rng
) -> Interval:
    """Percentile bootstrap interval of a metric, resampling items or whole groups (images).

    Parameters
    ----------
    stat : callable
        A metric of this package, bare or in a `functools.partial` with keywords. Not for `ece`
        and its kin, whose percentile interval does not hold its level: see `ece_interval`.
    confidence, correct : (n,) arrays
    n_resamples : int
    level : float
        Nominal coverage, in (0, 1).
    groups : (n,) array, optional
        Labels of images, drawn with all their items. Without, items count as independent.
    rng : numpy.random.Generator

    Returns
    -------
    Interval
        `(low, estimate, high)`; the ends are NaN, with a warning, where resampling has nothing
        to vary (one item or image).

    Raises
    ------
    ValueError
        On bad input, by name and position; on a stat that is no metric of this package.

    References
    ----------
    Efron & Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13. Groups: Field & Welsh,
    J. R. Stat. Soc. B 2007, doi:10.1111/j.1467-9868.2007.00593.x.
    """
    c, y = check_pair(confidence, correct)
    estimate = recipe_of(stat, c, y).value()
    values = Draws(groups, c.size, n_resamples, rng).values(stat, c, y)
    return percentile_interval(values, estimate, level)


def percentile_interval(values: np.ndarray, estimate: float, level: float) -> Interval:
    """The central `level` share of the resampled values, where they vary at all."""
    check_level(level)
    kept = values[~np.isnan(values)]
    if np.isnan(estimate) or kept.size == 0:
        return NOTHING._replace(estimate=estimate)
    if np.ptp(kept) == 0:
        warn("all resamples agree: resampling has nothing to vary, the interval is NaN")
        return NOTHING._replace(estimate=estimate)
    if kept.size < values.size:
        warn(
            f"undefined on {values.size - kept.size} of {values.size} resamples; "
            "the interval is taken over the others"
        )
    low, high = np.quantile(kept, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), estimate, float(high))


def mean_intervals(
    values: np.ndarray, *, level, n_resamples, groups, rng
) -> np.ndarray:
    """(3, k) low, mean and high of the k columns of (n, k) values, on common resamples."""
    draws = Draws(groups, len(values), n_resamples, rng)
    low, high = np.quantile(
        draws.means(values), [(1 - level) / 2, (1 + level) / 2], axis=0
    )
    if draws.n_units == 1:
        low = high = np.full(values.shape[1], np.nan)
    return np.stack([low, values.mean(0), high])


def normal_p(values: np.ndarray, estimate: float) -> float:
    """Two-sided p value of a difference by the standard error that its resamples have."""
    from scipy.special import ndtr

    se = np.nanstd(values)
    return float(2 * ndtr(-abs(estimate) / se)) if se > 1e-12 else np.nan


def holm(p_values) -> np.ndarray:
    r"""Holm's step-down adjustment: p values to be held against the level for the family.

    .. math:: \tilde p_{(i)} = \max_{j \le i} \min(1, (m - j + 1)\, p_{(j)})

    NaN entries stay NaN and do not count. Rejecting where it is at most α keeps the chance of any
    false rejection at α or below, whatever the dependence. Source: Holm, Scandinavian Journal of
    Statistics 1979, vol. 6, pp. 65–70.
    """
    from statsmodels.stats.multitest import multipletests

    p = np.asarray(p_values, dtype=float)
    known = ~np.isnan(p)
    adjusted = np.full(p.shape, np.nan)
    if known.any():
        adjusted[known] = multipletests(p[known], method="holm")[1]
    return adjusted


def wilson_interval(successes, trials, *, level=0.95) -> tuple[np.ndarray, np.ndarray]:
    r"""Wilson score interval `(low, high)` of a proportion; (0, 1) where there are no trials.

    .. math:: \frac{\hat p + z^2 / 2n \pm z \sqrt{\hat p (1 - \hat p) / n + z^2 / 4 n^2}}
       {1 + z^2 / n}

    Arrays or numbers with 0 ≤ successes ≤ trials, else ValueError. Source: Wilson, J. Am. Stat.
    Assoc. 1927, doi:10.1080/01621459.1927.10502953.
    """
    from statsmodels.stats.proportion import proportion_confint

    alpha = 1 - check_level(level)
    k, n = np.broadcast_arrays(np.asarray(successes, float), np.asarray(trials, float))
    if not ((k >= 0) & (k <= n)).all():
        raise ValueError("successes must lie between 0 and trials")
    low, high = proportion_confint(k, np.where(n > 0, n, 1), alpha, method="wilson")
    return np.where(k == 0, 0, low), np.where(k == n, 1, high)


def clustered_interval(correct, groups, *, level=0.95) -> tuple[float, float]:
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

    Returns `(low, high)` in [0, 1]; (0, 1) where there are no items. Sources: Korn & Graubard,
    Survey Methodology 1998, 24(2), 193–201; Franco et al., J. Survey Statistics and Methodology
    2019, PMCID PMC6690503 (Wilson's form among those recommended).
    """
    from scipy.special import stdtrit

    level = check_level(level)
    if len(correct) == 0:
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


def consistency_band(confidence, cell, n_cells, *, level=0.95):
    """(low, high) accuracy of each bin if these confidences were calibrated, all bins together.

    Given its confidences, the number of correct answers in a bin is a sum of independent
    Bernoulli(c_i); its central quantiles at level^(1 / bins that hold items) make the band.
    Computed by convolution up to 1,000 items a bin, beyond that by a Cornish–Fisher expansion;
    NaN for empty bins. Source: Bröcker & Smith, Weather and Forecasting 2007,
    doi:10.1175/WAF993.1 (who simulate it).
    """
    order = np.argsort(cell, kind="stable")
    parts = np.split(
        confidence[order], np.bincount(cell, minlength=n_cells).cumsum()[:-1]
    )
    each = check_level(level) ** (1 / sum(part.size > 0 for part in parts))
    low, high = np.full((2, n_cells), np.nan)
    for b, part in enumerate(parts):
        if part.size:
            ends = _poisson_binomial_quantiles(part, np.array([1 - each, 1 + each]) / 2)
            low[b], high[b] = ends / part.size
    return low, high


def _poisson_binomial_quantiles(p, shares):
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
    x = (
        mean
        + np.sqrt(total) * z
        + (variance * (1 - 2 * p)).sum() / total * (z**2 - 1) / 6
    )
    # the smallest whole count whose distribution function reaches the share
    return np.clip(np.ceil(x - 0.5), 0, p.size)
