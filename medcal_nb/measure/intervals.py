"""How sure we are of a metric: bootstrap by image, shares, bars and bands."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ._check import check_correct, check_groups, check_level, warn
from .registry import Metric
from .resampling import (
    FEW_IMAGES,
    FloatArray,
    Interval,
    Resamples,
    cautious_effect,
    effective_number,
    percentile_ends,
    student,
)

#: An intraclass correlation of one half counts as so many groups that hold the rarer outcome.
PRIOR_IMAGES = 5


def metric_interval(
    metric: Metric, c: FloatArray, y: FloatArray, drawn: Resamples, *, level: float
) -> Interval:
    """Interval of a metric from resamples that may serve others, too.

    Warns where the interval says little; NaN ends where there is nothing to vary.
    """
    draws = metric.resampled(c, y, drawn)
    n_groups = metric.n_groups(y, drawn)
    low, high = percentile_ends(
        draws, level=level, n_groups=n_groups, bounds=metric.bounds
    )
    missing = int(np.isnan(draws[1:]).sum())
    if np.isnan(low):
        warn("resampling has nothing to vary: the interval is NaN")
    elif missing:
        warn(
            f"{metric.name}: undefined on {missing} of {len(draws) - 1} resamples; "
            "the interval is taken over the others"
        )
    return Interval(low=low, estimate=draws[0], high=high)


def note_few(n_groups: float, by_image: bool) -> None:
    """Warn where an interval rests on less than 30 images, or answers."""
    if n_groups < FEW_IMAGES:
        few = f"{n_groups:.0f} answers"
        if by_image:
            few = f"no more is known than from {n_groups:.0f} images with equally many answers"
        warn(
            f"{few}, fewer than {FEW_IMAGES}: intervals are wide, and their level is known from "
            "simulation alone (docs/intervals.md)"
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
    p = pd.Series(np.asarray(p_values, dtype=float))
    ascending = p.dropna().sort_values()
    times = np.arange(ascending.size, 0, -1)
    adjusted = (ascending * times).clip(upper=1).cummax()
    return adjusted.reindex(p.index).to_numpy()


def holm_conclusion(
    number: ArrayLike,
    p_values: ArrayLike,
    *,
    below: str = "below 0",
    above: str = "above 0",
    size: float = 0.05,
) -> NDArray[np.str_]:
    """What tests of several numbers against 0 show together, after `holm`, in words.

    So that of a table the rows are counted of which something is shown: among many tests at 5 %
    each some are below it by chance.

    Parameters
    ----------
    number : (n,) array
        The estimates.
    p_values : (n,) array
        Of each being 0, two-sided and alone, in [0, 1]; NaN where there is no test.
    below, above : str
        What an estimate is called that is shown to lie there.
    size : float
        Chance of one false conclusion or more, in (0, 1).

    Returns
    -------
    (n,) array of str
        `below`, `above` or "no difference shown".

    References
    ----------
    Holm, Scandinavian Journal of Statistics 1979, vol. 6, pp. 65–70.

    Examples
    --------
    >>> holm_conclusion([-0.2, 0.1, 0.1], [0.001, 0.02, 0.04]).tolist()
    ['below 0', 'above 0', 'above 0']
    >>> holm_conclusion([-0.2, 0.1, 0.1], [0.001, 0.03, 0.04]).tolist()
    ['below 0', 'no difference shown', 'no difference shown']
    """
    direction = np.where(np.asarray(number, float) < 0, below, above)
    return np.where(holm(p_values) <= size, direction, "no difference shown")


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
    k = np.asarray(successes, float)
    n = np.asarray(trials, float)
    if not ((k >= 0) & (k <= n)).all():
        raise ValueError("successes must lie between 0 and trials")
    worth = np.where(n > 0, n, 1)
    share = k / worth
    centre = share + z**2 / (2 * worth)
    variance = share * (1 - share) / worth
    half = z * np.sqrt(variance + z**2 / (4 * worth**2))
    shrink = 1 + z**2 / worth
    low = (centre - half) / shrink
    high = (centre + half) / shrink
    low = np.where(k == 0, 0, low)
    high = np.where(k == n, 1, high)
    return low, high


def clustered_interval(
    correct: ArrayLike, groups: ArrayLike | None, *, level: float = 0.95
) -> tuple[float, float]:
    r"""Wilson interval of a share whose items come in groups, such as questions about one image.

    Items of a group tend to be right or wrong together, so that n of them are worth fewer
    independent ones. Wilson's interval is taken at that effective number,

    .. math:: n^* = \frac{n}{\mathrm{deff}}
       \left(\frac{t_{n-1}}{t_{G-1}}\right)^2, \qquad
       \mathrm{deff} = \max\left(1, \frac{G}{G-1} \cdot
       \frac{(n - 1) \sum_g (k_g - m_g \hat p)^2}{n^2 \hat p (1 - \hat p)}\right)

    with :math:`k_g` of :math:`m_g` items right in group g of G, and t the quantiles of Student's
    distribution. Few groups with the rarer outcome may show no likeness by chance: unless more is
    seen, deff is averaged with that of an intraclass correlation of one half, which counts as
    five such groups. It is Wilson's own interval where every group is one item. Where all items are
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
    level = check_level(level)
    if np.size(correct) == 0:
        return 0.0, 1.0
    y = check_correct(correct)
    codes, _ = check_groups(groups, len(y))
    return share_interval(y, codes, level)


def share_interval(
    y: FloatArray, codes: NDArray[np.intp], level: float
) -> tuple[float, float]:
    """`clustered_interval` of checked arrays, groups numbered from 0 without a gap."""
    worth = _worth(y, codes, level)
    low, high = wilson_interval(y.mean() * worth, worth, level=level)
    return float(low), float(high)


def _worth(y: FloatArray, codes: NDArray[np.intp], level: float) -> float:
    """How many independent items these are worth for a share."""
    share = y.mean()
    n = y.size
    sizes = np.bincount(codes)
    n_groups = sizes.size
    worth = effective_number(sizes)
    if n_groups == 1:
        return worth
    if 0 < share < 1:
        spread = np.bincount(codes, y - share)
        seen = n_groups / (n_groups - 1) * (spread**2).sum()
        alone = n**2 * share * (1 - share) / (n - 1)
        rarer = y if share < 0.5 else 1 - y
        n_known = int(np.count_nonzero(np.bincount(codes, rarer)))
        worth = n / cautious_effect(seen / alone, sizes, n_known, PRIOR_IMAGES)
    # a spread is estimated from groups, not from answers
    ratio: float = student(level, n - 1) / student(level, n_groups - 1)
    return worth * ratio**2
