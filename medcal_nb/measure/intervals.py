"""How sure we are of a metric: seeded bootstrap by groups, paired differences, bars and bands."""

import functools
from typing import NamedTuple

import numpy as np

from ._check import (
    check_choice,
    check_confidence,
    check_correct,
    check_groups,
    check_length,
    check_level,
    check_pair,
    check_resamples,
    check_rng,
    warn,
)
from ._sums import RECIPES, Prepared, collapse, draw_counts, jackknife_values, resampled_values

METHODS = ("percentile", "bca")


class Interval(NamedTuple):
    """A number with its interval, `(low, estimate, high)`; reads "0.083 [0.071, 0.096]"."""

    low: float
    estimate: float
    high: float

    def __repr__(self) -> str:
        return f"{self.estimate:.3f} [{self.low:.3f}, {self.high:.3f}]"

    __str__ = __repr__


def bootstrap_interval(
    stat,
    confidence,
    correct,
    *,
    n_resamples=1000,
    level=0.95,
    groups=None,
    method="percentile",
    rng,
) -> Interval:
    """Bootstrap interval of a metric, resampling items or whole groups (images).

    Parameters
    ----------
    stat : callable
        `stat(confidence, correct) -> float`. Metrics of this package, bare or in a
        `functools.partial` with keywords, are resampled through their sums: exact, fast, and
        without copies of rows. Any other callable is called on the rows of each resample.
    confidence, correct : (n,) arrays
    n_resamples : int
    level : float
        Nominal coverage, strictly between 0 and 1.
    groups : (n,) array, optional
        Items of one group (questions on one image) are drawn together. Without it items count
        as independent, which makes intervals too short where they are not.
    method : {"percentile", "bca"}
        Quantiles of the resampled values, or the same corrected for bias and skewness; the
        acceleration comes from a jackknife over groups (in at most 400 blocks). BCa falls back
        to percentile, with a warning, where it is not defined (all resamples on one side of
        the estimate, as with debiased ECE at 0, or a jackknife without spread).
    rng : numpy.random.Generator

    Returns
    -------
    Interval
        `(low, estimate, high)`; the estimate is the metric on the data as they are. A binned
        ECE is biased upwards on the data and again on each resample: its percentile interval
        can lie wholly above the truth and even above the estimate (see `coverage_table`).

    Raises
    ------
    ValueError
        On bad input, by name and position; on a level outside (0, 1); on an rng that is not a
        Generator.

    References
    ----------
    Efron & Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13–14. Groups: Field &
    Welsh, J. R. Stat. Soc. B 2007, doi:10.1111/j.1467-9868.2007.00593.x.
    """
    c, y = check_pair(confidence, correct)
    level = check_level(level)
    n_resamples = check_resamples(n_resamples)
    check_choice(method, "method", METHODS)
    check_rng(rng)
    codes, n_groups = _units(groups, c.size)
    estimate = float(stat(c, y))
    if np.isnan(estimate):
        return Interval(np.nan, estimate, np.nan)
    values = bootstrap_values(
        [stat], c, y, n_resamples=n_resamples, codes=codes, n_groups=n_groups, rng=rng
    )[0]
    if method == "percentile":
        return percentile_interval(values, estimate, level)
    return _bca_interval(values, estimate, level, _jackknife(stat, c, y, codes, n_groups))


def bootstrap_values(stats, c, y, *, n_resamples, codes=None, n_groups=None, rng) -> np.ndarray:
    """(len(stats), n_resamples) values of several metrics on common resamples.

    Input is taken as checked; `codes` are group codes 0 … n_groups − 1, or None for rows.
    """
    if all(as_recipe(stat, c[:1], y[:1]) is not None for stat in stats):
        times = None
        if codes is None:
            cheap = len(stats) == 1 and as_recipe(stats[0], c[:1], y[:1]).additive
            few = collapse(c, y, worth=50 if cheap else 20)
            if few is not None:
                c, y, times = few
        if times is None and len(stats) > 1 and (c[1:] < c[:-1]).any():
            order = np.argsort(c, kind="stable")
            c, y = c[order], y[order]
            codes = None if codes is None else codes[order]
        recipes = [as_recipe(stat, c, y) for stat in stats]
        return resampled_values(
            recipes, n_resamples, rng, codes=codes, n_groups=n_groups, times=times
        )
    found = np.empty((len(stats), n_resamples))
    for r, rows in enumerate(_resampled_rows(c.size, n_resamples, rng, codes, n_groups)):
        for s, stat in enumerate(stats):
            found[s, r] = stat(c[rows], y[rows])
    return found


def as_recipe(stat, c, y):
    """The sums form of a metric of ours (bare or in a `functools.partial`), else None."""
    keywords = {}
    while isinstance(stat, functools.partial) and not stat.args:
        keywords = {**stat.keywords, **keywords}
        stat = stat.func
    try:
        builder = RECIPES.get(stat)
    except TypeError:  # not hashable
        return None
    return None if builder is None or "weights" in keywords else builder(c, y, **keywords)


def _units(groups, n: int):
    if groups is None:
        return None, None
    codes, n_groups = check_groups(groups, n)
    return (None, None) if n_groups == n else (codes, n_groups)


def _resampled_rows(n, n_resamples, rng, codes, n_groups):
    """Row indices of one resample at a time."""
    if codes is None:
        for _ in range(n_resamples):
            yield rng.integers(0, n, n)
        return
    order = np.argsort(codes, kind="stable")
    sizes = np.bincount(codes, minlength=n_groups)
    starts = sizes.cumsum() - sizes
    for _ in range(n_resamples):
        drawn = rng.integers(0, n_groups, n_groups)
        length = sizes[drawn]
        offset = np.repeat(starts[drawn] - (length.cumsum() - length), length)
        yield order[offset + np.arange(length.sum())]


def percentile_interval(values: np.ndarray, estimate: float, level: float) -> Interval:
    """The central `level` share of the resampled values."""
    kept = _defined(values)
    if kept.size == 0:
        return Interval(np.nan, estimate, np.nan)
    low, high = np.quantile(kept, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), estimate, float(high))


def _defined(values: np.ndarray) -> np.ndarray:
    kept = values[~np.isnan(values)]
    if kept.size < values.size:
        warn(
            f"undefined on {values.size - kept.size} of {values.size} resamples; "
            "the interval is taken over the others"
        )
    return kept


def _jackknife(stat, c, y, codes, n_groups, most=400):
    recipe = as_recipe(stat, c, y)
    if recipe is not None:
        return jackknife_values(recipe, codes, n_groups, most)
    if codes is None:
        codes, n_groups = np.arange(c.size), c.size
    codes = codes % most
    return np.array([stat(c[codes != g], y[codes != g]) for g in range(min(most, n_groups))])


def _bca_interval(values, estimate, level, left_out) -> Interval:
    from scipy.special import ndtr, ndtri

    kept = _defined(values)
    left_out = left_out[~np.isnan(left_out)]
    below = ((kept < estimate).sum() + (kept == estimate).sum() / 2) / max(kept.size, 1)
    pull = left_out.mean() - left_out if left_out.size else np.zeros(1)
    spread = (pull**2).sum()
    if not 0 < below < 1 or spread == 0:
        warn("BCa is not defined here (no resample beyond the estimate); percentile used")
        return percentile_interval(kept, estimate, level)
    bias = ndtri(below)
    acceleration = (pull**3).sum() / (6 * spread**1.5)
    z = bias + ndtri(np.array([(1 - level) / 2, (1 + level) / 2]))
    low, high = np.quantile(kept, ndtr(bias + z / (1 - acceleration * z)))
    return Interval(float(low), estimate, float(high))


class Difference(NamedTuple):
    """A paired difference with its interval and two-sided p value."""

    low: float
    estimate: float
    high: float
    p: float

    def __repr__(self) -> str:
        return f"{self.estimate:+.3f} [{self.low:+.3f}, {self.high:+.3f}], p = {self.p:.3g}"

    __str__ = __repr__


def paired_difference(
    stat,
    confidence_a,
    correct_a,
    confidence_b,
    correct_b,
    *,
    n_resamples=1000,
    level=0.95,
    groups=None,
    rng,
) -> Difference:
    """Difference stat(a) − stat(b) of two forecasters on the same items, with an interval.

    Both are evaluated on the same resampled items (or groups), so that what is hard about the
    items cancels.

    Parameters
    ----------
    stat : callable
        As in `bootstrap_interval`.
    confidence_a, correct_a, confidence_b, correct_b : (n,) arrays
        Row i of both is the same item.
    n_resamples, level, groups, rng
        As in `bootstrap_interval`.

    Returns
    -------
    Difference
        `(low, estimate, high, p)`: percentile interval of the differences, and the p value
        that inverts it: twice the smaller share of resampled differences on either side of 0,
        counted as (1 + count) / (1 + n_resamples) and so never 0.

    Raises
    ------
    ValueError
        As `bootstrap_interval`, and where lengths of a and b differ.

    References
    ----------
    Efron & Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13 and 15.
    """
    a = check_confidence(confidence_a, "confidence_a"), check_correct(correct_a, "correct_a")
    b = check_confidence(confidence_b, "confidence_b"), check_correct(correct_b, "correct_b")
    n = a[0].size
    for array, name in ((a[1], "correct_a"), (b[0], "confidence_b"), (b[1], "correct_b")):
        check_length(array, n, name, "confidence_a")
    level = check_level(level)
    n_resamples = check_resamples(n_resamples)
    check_rng(rng)
    codes, n_groups = _units(groups, n)
    estimate = float(stat(*a)) - float(stat(*b))
    values = common_values(
        stat, [(a, None), (b, None)], n_resamples, rng, codes=codes, n_groups=n_groups, n=n
    )
    return difference_interval(values[0] - values[1], estimate, level)


def common_values(stat, parts, n_resamples, rng, *, codes, n_groups, n) -> np.ndarray:
    """(len(parts), n_resamples) values of one metric on parts that share their items.

    Each part is `((confidence, correct), rows)`: which of the n items it has (None: all, in
    order). All parts see the same resamples of the n items or of their groups.
    """
    recipes = [as_recipe(stat, *pair) for pair, _ in parts]
    units = n if codes is None else n_groups
    found = []
    if all(recipe is not None for recipe in recipes):
        prepared = [Prepared(recipe) for recipe in recipes]
        for counts in draw_counts(units, n_resamples, rng, rows=n):
            weights = counts.astype(np.float64)
            if codes is not None:
                weights = weights[:, codes]
            found.append(
                [
                    p.recipe.finish(p.sums(weights if rows is None else weights[:, rows]))
                    for p, (_, rows) in zip(prepared, parts, strict=True)
                ]
            )
        return np.concatenate(found, axis=1)
    for rows in _resampled_rows(n, n_resamples, rng, codes, n_groups):
        times = np.bincount(rows, minlength=n)
        values = []
        for (c, y), own in parts:
            repeated = np.repeat(np.arange(c.size), times if own is None else times[own])
            values.append(stat(c[repeated], y[repeated]) if repeated.size else np.nan)
        found.append(values)
    return np.array(found).T


def difference_interval(values: np.ndarray, estimate: float, level: float) -> Difference:
    """Percentile interval and two-sided p value of resampled differences."""
    if np.isnan(estimate):
        return Difference(np.nan, estimate, np.nan, np.nan)
    low, _, high = percentile_interval(values, estimate, level)
    kept = values[~np.isnan(values)]
    if kept.size == 0:
        return Difference(np.nan, estimate, np.nan, np.nan)
    smaller = min((kept <= 0).sum(), (kept >= 0).sum())
    return Difference(low, estimate, high, float(min(1, 2 * (1 + smaller) / (1 + kept.size))))


def holm(p_values) -> np.ndarray:
    """Holm's step-down adjustment: p values to be held against the level for the family.

    .. math:: \\tilde p_{(i)} = \\max_{j \\le i} \\min(1, (m - j + 1)\\, p_{(j)})

    Parameters
    ----------
    p_values : (m,) array
        NaN entries stay NaN and do not count.

    Returns
    -------
    (m,) array
        In the order given. Rejecting where it is at most α keeps the chance of any false
        rejection at α or below, whatever the dependence.

    Raises
    ------
    ValueError
        On a p value outside [0, 1].

    References
    ----------
    Holm, Scandinavian Journal of Statistics 1979, vol. 6, pp. 65–70.
    """
    p = np.asarray(p_values, dtype=float)
    known = np.flatnonzero(~np.isnan(p))
    bad = (p[known] < 0) | (p[known] > 1)
    if bad.any():
        first = known[bad.argmax()]
        raise ValueError(
            f"p_values: {int(bad.sum())} outside [0, 1], first at position {first} ({p[first]:g})"
        )
    order = known[np.argsort(p[known], kind="stable")]
    adjusted = np.full(p.shape, np.nan)
    steps = np.arange(order.size, 0, -1) * p[order]
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1) if order.size else steps
    return adjusted


def wilson_interval(successes, trials, *, level=0.95) -> tuple[np.ndarray, np.ndarray]:
    r"""Wilson score interval of a proportion.

    .. math:: \frac{\hat p + z^2 / 2n \pm z \sqrt{\hat p (1 - \hat p) / n + z^2 / 4 n^2}}
       {1 + z^2 / n}

    Parameters
    ----------
    successes, trials : array or number
        Counts, 0 ≤ successes ≤ trials.
    level : float

    Returns
    -------
    (low, high) : arrays
        In [0, 1]; (0, 1) where there are no trials.

    Raises
    ------
    ValueError
        Where successes are negative or exceed trials; on a level outside (0, 1).

    References
    ----------
    Wilson, J. Am. Stat. Assoc. 1927, doi:10.1080/01621459.1927.10502953.
    """
    from scipy.special import ndtri

    level = check_level(level)
    k, n = np.broadcast_arrays(np.asarray(successes, float), np.asarray(trials, float))
    if not ((k >= 0) & (k <= n)).all():
        raise ValueError("successes must lie between 0 and trials")
    z2 = ndtri((1 + level) / 2) ** 2
    safe = np.where(n > 0, n, 1)
    p = k / safe
    centre = (p + z2 / (2 * safe)) / (1 + z2 / safe)
    half = np.sqrt(z2 * (p * (1 - p) / safe + z2 / (4 * safe**2))) / (1 + z2 / safe)
    low = np.where((n == 0) | (k == 0), 0, np.maximum(centre - half, 0))
    high = np.where((n == 0) | (k == n), 1, np.minimum(centre + half, 1))
    return low, high


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

    Parameters
    ----------
    correct : (n,) array of 0 and 1
    groups : (n,) array
        Labels of images.
    level : float

    Returns
    -------
    (low, high) : floats
        In [0, 1]; (0, 1) where there are no items.

    References
    ----------
    Korn & Graubard, Survey Methodology 1998, 24(2), 193-201 (the effective number and its
    degrees of freedom); Franco, Little, Louis & Slud, J. Survey Statistics and Methodology 2019,
    PMCID PMC6690503 (Wilson's form among those recommended).
    """
    from scipy.special import stdtrit

    level = check_level(level)
    if len(correct) == 0:
        return 0.0, 1.0
    y = check_correct(correct)
    codes, n_groups = check_groups(groups, len(y))
    n, share, sizes = len(y), y.mean(), np.bincount(codes, minlength=n_groups)
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


def consistency_band(confidence, cell, n_cells, *, level=0.95, simultaneous=True):
    r"""Where the accuracy of each bin would lie if these confidences were calibrated.

    Given its confidences, the number of correct answers in a bin of a calibrated forecaster is
    a sum of independent Bernoulli(c_i), a Poisson-binomial count; its central quantiles make
    the band. The source simulates this; here the distribution is computed (by convolution up
    to 1,000 items a bin, beyond that by a Cornish–Fisher expansion).

    Parameters
    ----------
    confidence : (n,) array
    cell : (n,) int array
        Bin of each item.
    n_cells : int
    level : float
    simultaneous : bool
        All bins together stay inside with probability `level` or more: as bins are
        independent given the confidences, each gets level^(1 / bins that hold items). False:
        each bin by itself.

    Returns
    -------
    (low, high) : (n_cells,) arrays
        In [0, 1]; NaN for bins without items. Counts are whole numbers, so the band errs on
        the wide side.

    References
    ----------
    Bröcker & Smith, Weather and Forecasting 2007, doi:10.1175/WAF993.1.
    """
    check_level(level)
    order = np.argsort(cell, kind="stable")
    parts = np.split(confidence[order], np.bincount(cell, minlength=n_cells).cumsum()[:-1])
    held = sum(part.size > 0 for part in parts)
    each = level ** (1 / held) if simultaneous else level
    low, high = np.full((2, n_cells), np.nan)
    for b, part in enumerate(parts):
        if part.size:
            ends = _poisson_binomial_quantiles(part, (1 - each) / 2, (1 + each) / 2)
            low[b], high[b] = ends / part.size
    return low, high


def _poisson_binomial_quantiles(p, *shares):
    if p.size <= EXACT:
        mass = np.zeros(p.size + 1)
        mass[0] = 1.0
        for i, q in enumerate(p, 1):
            mass[1 : i + 1] = mass[1 : i + 1] * (1 - q) + mass[:i] * q
            mass[0] *= 1 - q
        reached = mass.cumsum()
        found = [np.searchsorted(reached, s * (1 - 1e-12)) for s in shares]
        return np.minimum(np.array(found), p.size)
    from scipy.special import ndtri

    variance = p * (1 - p)
    mean, total = p.sum(), variance.sum()
    if total == 0:
        return np.full(len(shares), mean)
    skew = (variance * (1 - 2 * p)).sum() / total**1.5
    z = ndtri(np.array(shares))
    x = mean + np.sqrt(total) * (z + skew * (z**2 - 1) / 6)
    # the smallest whole count whose distribution function reaches the share
    return np.clip(np.ceil(x - 0.5), 0, p.size)
