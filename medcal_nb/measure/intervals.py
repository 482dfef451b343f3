"""How sure we are of a metric: seeded bootstrap by groups, paired differences, bars."""

import functools
from typing import NamedTuple

import numpy as np

from ._check import check_groups, check_level, check_pair, check_rng, warn
from ._sums import resampled_values
from .calibration import RECIPES


class Interval(NamedTuple):
    """A number with its interval; reads "0.083 [0.071, 0.096]"."""

    low: float
    estimate: float
    high: float

    def __repr__(self) -> str:
        return f"{self.estimate:.3f} [{self.low:.3f}, {self.high:.3f}]"

    __str__ = __repr__


def bootstrap_interval(
    stat, confidence, correct, *, n_resamples=1000, level=0.95, groups=None, rng
) -> Interval:
    """Bootstrap interval of a metric, resampling items or whole groups (images).

    Parameters
    ----------
    stat : callable
        `stat(confidence, correct) -> float`. Metrics of this package, also wrapped in
        `functools.partial` with keywords, are resampled through their sums: exact and fast.
        Any other callable is called on each resample's rows.
    confidence, correct : (n,) arrays
    n_resamples : int
    level : float
        Nominal coverage, strictly between 0 and 1.
    groups : (n,) array, optional
        Items of one group (questions on one image) are drawn together.
    rng : numpy.random.Generator

    Returns
    -------
    Interval
        `(low, estimate, high)`; the estimate is the metric on the data as they are.

    Raises
    ------
    ValueError
        On bad input, by name and position; on a level outside (0, 1).

    References
    ----------
    Efron & Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13.
    """
    c, y = check_pair(confidence, correct)
    check_level(level)
    check_rng(rng)
    codes, n_groups = (None, None) if groups is None else check_groups(groups, c.size)
    estimate = float(stat(c, y))
    recipe = as_recipe(stat, c, y)
    if recipe is not None:
        values = resampled_values(recipe, n_resamples, rng, codes, n_groups)
    else:
        values = np.array(
            [stat(c[i], y[i]) for i in resampled_rows(c.size, n_resamples, rng, codes)]
        )
    return percentile_interval(values, estimate, level)


def as_recipe(stat, c, y):
    """The sums form of a metric of ours (bare or in a `functools.partial`), else None."""
    keywords = {}
    while isinstance(stat, functools.partial) and not stat.args:
        keywords = {**stat.keywords, **keywords}
        stat = stat.func
    builder = RECIPES.get(stat) if callable(stat) else None
    return None if builder is None or "weights" in keywords else builder(c, y, **keywords)


def resampled_rows(n, n_resamples, rng, codes=None):
    """Row indices of each resample, one resample at a time."""
    if codes is None:
        for _ in range(n_resamples):
            yield rng.integers(0, n, n)
        return
    order = np.argsort(codes, kind="stable")
    sizes = np.bincount(codes)
    starts = sizes.cumsum() - sizes
    for _ in range(n_resamples):
        drawn = rng.integers(0, sizes.size, sizes.size)
        length = sizes[drawn]
        offset = np.repeat(starts[drawn] - (length.cumsum() - length), length)
        yield order[offset + np.arange(length.sum())]


def percentile_interval(values: np.ndarray, estimate: float, level: float) -> Interval:
    """The central `level` share of the resampled values."""
    if np.isnan(estimate):
        return Interval(np.nan, estimate, np.nan)
    kept = values[~np.isnan(values)]
    if kept.size < values.size:
        warn(
            f"undefined on {values.size - kept.size} of {values.size} resamples; "
            "the interval is taken over the others"
        )
    if kept.size == 0:
        return Interval(np.nan, estimate, np.nan)
    low, high = np.quantile(kept, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), estimate, float(high))


def wilson_interval(successes, trials, *, level=0.95) -> tuple[np.ndarray, np.ndarray]:
    """Wilson score interval of a proportion; (0, 1) where there are no trials.

    References
    ----------
    Wilson, J. Am. Stat. Assoc. 1927, doi:10.1080/01621459.1927.10502953.
    """
    from scipy.special import ndtri

    check_level(level)
    k, n = np.asarray(successes, float), np.asarray(trials, float)
    z2 = ndtri((1 + level) / 2) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        p = k / n
        centre = (p + z2 / (2 * n)) / (1 + z2 / n)
        half = np.sqrt(z2 * (p * (1 - p) / n + z2 / (4 * n**2))) / (1 + z2 / n)
    low = np.where(n > 0, np.maximum(centre - half, 0), 0)
    high = np.where(n > 0, np.minimum(centre + half, 1), 1)
    return np.where(k == 0, 0, low), np.where((k == n) & (n > 0), 1, high)
