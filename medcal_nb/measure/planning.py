"""How many items are enough? Estimators and intervals against a known truth, and a planner."""

import warnings
from typing import NamedTuple

import numpy as np

from . import calibration, discrimination
from ._check import (
    check_confidence,
    check_groups,
    check_length,
    check_level,
    check_pair,
    check_resamples,
    check_rng,
)
from .calibration import by_value
from .intervals import METHODS, bootstrap_interval, bootstrap_values, wilson_interval

MANY = 1e9  # times that each item of a pool counts


def _population(confidence, p_true):
    """A pool of confidences, the accuracy each really has, as weighted certain outcomes.

    Each item counts many times: a pool of 4,000 would have a debiased ECE take off what chance adds
    to 4,000 answers, where there is no chance in the weights.
    """
    c = check_confidence(confidence)
    p = check_confidence(p_true, "p_true")
    check_length(p, c.size, "p_true")
    doubled = np.concatenate([c, c]), np.repeat([1.0, 0.0], c.size)
    return c, p, doubled, MANY * np.concatenate([p, 1 - p])


def true_calibration_error(confidence, p_true) -> float:
    r"""Mean distance of the true accuracy at each confidence from that confidence.

    .. math:: \mathrm{E}\, \bigl| \mathrm{E}[p \mid c] - c \bigr|

    Parameters
    ----------
    confidence : (n,) array
    p_true : (n,) array
        True probability that each answer is correct, known by construction.

    Returns
    -------
    float
        In [0, 1]: what every estimator of calibration error aims at, without bins and noise.
    """
    c, p, _, _ = _population(confidence, p_true)
    values, cell = by_value(c)
    n = np.bincount(cell)
    return float(np.abs(np.bincount(cell, p) - n * values).sum() / c.size)


def default_estimators(*, n_bins=15) -> dict:
    """The estimators of calibration error that `estimator_bias_table` compares, by name."""
    from functools import partial

    return {
        "ece_width": partial(calibration.ece, n_bins=n_bins),
        "ece_mass": partial(calibration.ece, n_bins=n_bins, binning="mass"),
        "debiased_width": partial(calibration.debiased_ece, n_bins=n_bins),
        "debiased_mass": partial(calibration.debiased_ece, n_bins=n_bins, binning="mass"),
        "smooth_ece": calibration.smooth_ece,
        "ici": calibration.ici,
    }


def estimator_bias_table(
    confidence,
    p_true,
    sizes=(100, 200, 451, 1000, 2000, 5000, 10000),
    *,
    estimators=None,
    n_bins=15,
    n_repeats=500,
    rng,
):
    """Bias and spread of estimators of calibration error, against the truth.

    Samples of each size are drawn from the pool, with outcomes drawn from `p_true`.

    Parameters
    ----------
    confidence : (n,) array
        Pool of stated confidences.
    p_true : (n,) array
        True accuracy at each of them (the true calibration curve, evaluated there).
    sizes : sequence of int
    estimators : dict, optional
        Name -> `f(confidence, correct) -> float`; default `default_estimators(n_bins=n_bins)`.
    n_repeats : int
    rng : numpy.random.Generator

    Returns
    -------
    pandas.DataFrame
        estimator, n, truth (`true_calibration_error`), limit (the estimator on the whole pool
        without noise: what binning or smoothing does to the truth), mean, bias (mean − truth),
        bias_se (Monte Carlo), sd, rmse, q05, q95.

    Raises
    ------
    ValueError
        On a confidence or p_true outside [0, 1], by position, or sizes below 1.
    """
    import pandas as pd

    check_rng(rng)
    check_resamples(n_repeats)
    c, p, doubled, weights = _population(confidence, p_true)
    if estimators is None:
        estimators = default_estimators(n_bins=n_bins)
    truth = true_calibration_error(c, p)
    limits = {k: f(*doubled, weights=weights) for k, f in estimators.items()}
    rows = []
    for size in sizes:
        if size < 1:
            raise ValueError(f"sizes must be at least 1, got {size!r}")
        drawn = np.empty((len(estimators), n_repeats))
        for r in range(n_repeats):
            at = rng.integers(0, c.size, size)
            y = (rng.random(size) < p[at]).astype(float)
            sample = c[at]
            for e, estimator in enumerate(estimators.values()):
                drawn[e, r] = estimator(sample, y)
        for name, values in zip(estimators, drawn, strict=True):
            sd = values.std(ddof=1)
            rows.append(
                {
                    "estimator": name,
                    "n": size,
                    "truth": truth,
                    "limit": limits[name],
                    "mean": values.mean(),
                    "bias": values.mean() - truth,
                    "bias_se": sd / np.sqrt(n_repeats),
                    "sd": sd,
                    "rmse": np.sqrt(((values - truth) ** 2).mean()),
                    "q05": np.quantile(values, 0.05),
                    "q95": np.quantile(values, 0.95),
                }
            )
    return pd.DataFrame(rows)


def coverage_stats(*, n_bins=15) -> dict:
    """The metrics whose intervals `coverage_table` checks, by name."""
    from functools import partial

    return {
        "accuracy": calibration.accuracy,
        "brier": calibration.brier_score,
        "auroc": discrimination.auroc,
        "aurc": discrimination.aurc,
        "ece": partial(calibration.ece, n_bins=n_bins),
        "debiased_ece": partial(calibration.debiased_ece, n_bins=n_bins),
        "smooth_ece": calibration.smooth_ece,
    }


def coverage_table(
    confidence,
    p_true,
    sizes=(100, 451, 2000),
    *,
    stats=None,
    n_bins=15,
    groups=None,
    n_repeats=1000,
    n_resamples=1000,
    level=0.95,
    method="percentile",
    rng,
):
    """How often bootstrap intervals hold the true value, by simulation.

    Parameters
    ----------
    confidence, p_true : (n,) arrays
        As `estimator_bias_table`. The truth of a metric is its value on the pool with outcomes
        weighted by their probability: its limit for many items.
    sizes : sequence of int
        Items per sample; with groups, whole groups are drawn until at least so many items.
    stats : dict, optional
        Name -> metric of this package; default `coverage_stats(n_bins=n_bins)`.
    groups : (n,) array, optional
        Groups of the pool: drawn whole, and resampled whole by the interval.
    n_repeats, n_resamples : int
    level, method
        As in `bootstrap_interval`.
    rng : numpy.random.Generator

    Returns
    -------
    pandas.DataFrame
        stat, n, truth, coverage, coverage_se (Monte-Carlo standard error), coverage_low,
        coverage_high (Wilson, 95 %), missed_below and missed_above (share of intervals wholly
        below, above the truth), mean_width, bias (of the estimate), n_repeats.

    Raises
    ------
    ValueError
        As `estimator_bias_table`.
    """
    import pandas as pd

    from ._check import check_choice

    check_rng(rng)
    check_level(level)
    check_choice(method, "method", METHODS)
    c, p, doubled, weights = _population(confidence, p_true)
    if stats is None:
        stats = coverage_stats(n_bins=n_bins)
    truths = {k: f(*doubled, weights=weights) for k, f in stats.items()}
    draw = _drawer(c, groups, rng)
    rows = []
    for size in sizes:
        bounds = np.full((len(stats), n_repeats, 3), np.nan)
        for r in range(n_repeats):
            at, codes, n_groups = draw(size)
            sample, y = c[at], (rng.random(at.size) < p[at]).astype(float)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                bounds[:, r] = _intervals(
                    stats, sample, y, n_resamples, level, method, codes, n_groups, rng
                )
        for name, found in zip(stats, bounds, strict=True):
            low, estimate, high = found[~np.isnan(found).any(1)].T
            truth = truths[name]
            inside = int(((low <= truth) & (truth <= high)).sum())
            cover_low, cover_high = wilson_interval(inside, low.size)
            rows.append(
                {
                    "stat": name,
                    "n": size,
                    "truth": truth,
                    "coverage": inside / low.size,
                    "coverage_se": np.sqrt(inside * (low.size - inside) / low.size**3),
                    "coverage_low": float(cover_low),
                    "coverage_high": float(cover_high),
                    "missed_below": (high < truth).mean(),
                    "missed_above": (low > truth).mean(),
                    "mean_width": (high - low).mean(),
                    "bias": estimate.mean() - truth,
                    "n_repeats": low.size,
                }
            )
    return pd.DataFrame(rows)


def _intervals(stats, c, y, n_resamples, level, method, codes, n_groups, rng):
    if method != "percentile":
        return [
            bootstrap_interval(
                f, c, y, n_resamples=n_resamples, level=level, groups=codes, method=method, rng=rng
            )
            for f in stats.values()
        ]
    drawn = bootstrap_values(
        list(stats.values()),
        c,
        y,
        n_resamples=n_resamples,
        codes=codes,
        n_groups=n_groups,
        rng=rng,
    )
    low, high = np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=1)
    return np.stack([low, [f(c, y) for f in stats.values()], high], 1)


def _drawer(c, groups, rng):
    if groups is None:
        return lambda size: (rng.integers(0, c.size, size), None, None)
    codes, n_groups = check_groups(groups, c.size)
    order = np.argsort(codes, kind="stable")
    sizes = np.bincount(codes, minlength=n_groups)
    starts = sizes.cumsum() - sizes

    def draw(size):
        many = rng.integers(0, n_groups, size)
        k = int(np.searchsorted(sizes[many].cumsum(), size)) + 1
        drawn = many[:k]
        length = sizes[drawn]
        offset = np.repeat(starts[drawn] - (length.cumsum() - length), length)
        return order[offset + np.arange(length.sum())], np.repeat(np.arange(k), length), k

    return draw


def design_effect(stat, confidence, correct, groups, *, n_resamples=2000, rng) -> float:
    r"""How many times larger the variance of a metric is because items share groups.

    .. math:: \mathrm{deff} = \frac{\mathrm{Var}_{\text{groups resampled}}}
       {\mathrm{Var}_{\text{items resampled}}}

    Parameters
    ----------
    stat, confidence, correct, groups, n_resamples, rng
        As in `bootstrap_interval`.

    Returns
    -------
    float
        1 for independent items; n / deff is the number of independent items the data are
        worth.

    References
    ----------
    Kish, Survey Sampling, 1965.
    """
    c, y = check_pair(confidence, correct)
    check_rng(rng)
    codes, n_groups = check_groups(groups, c.size)
    common = {"n_resamples": check_resamples(n_resamples), "rng": rng}
    grouped = bootstrap_values([stat], c, y, codes=codes, n_groups=n_groups, **common)
    return float(np.nanvar(grouped) / np.nanvar(bootstrap_values([stat], c, y, **common)))


class Plan(NamedTuple):
    """A number of items, the groups they come in, and the design effect assumed."""

    items: int
    groups: int
    design_effect: float


def items_needed(
    ece_a,
    ece_b,
    *,
    brier=0.2,
    power=0.8,
    level=0.95,
    correlation=0.0,
    group_size=1.0,
    icc=0.0,
) -> Plan:
    r"""Items each of two forecasters needs so that an ECE of a is told from one of b.

    .. math:: n = (z_{1 - \alpha/2} + z_{\text{power}})^2\,
       \frac{\sigma_a^2 + \sigma_b^2 - 2 \rho \sigma_a \sigma_b}{(a - b)^2}
       \cdot \bigl(1 + (m - 1)\, \mathrm{icc}\bigr), \qquad
       \sigma^2 = \mathrm{Brier} - \mathrm{ECE}^2

    σ² is the variance of y − c where the gaps point one way (overconfidence throughout), which
    then is that of ECE per item. The upward bias of ECE at small n is taken as equal on both
    sides and cancels; where a is near 0 it does not, and more items are needed than this.

    Parameters
    ----------
    ece_a, ece_b : float
        The two values to be told apart.
    brier : float or pair of float
        Expected Brier score (of a and of b); 0.25 is the careful choice.
    power, level : float
        Chance to find the difference, and level of the two-sided interval.
    correlation : float
        ρ of y − c between the two on the same item; 0 for different items, larger for the same
        items (use the correlation seen).
    group_size : float
        m, mean number of items per image.
    icc : float
        Intraclass correlation of y − c within an image, in [0, 1]; from a pilot,
        (`design_effect` − 1) / (m − 1).

    Returns
    -------
    Plan
        `(items, groups, design_effect)`, items of each forecaster.

    Raises
    ------
    ValueError
        Where the two values are equal, or an argument is out of its range.

    References
    ----------
    Two-sample normal formula: Fleiss, Levin & Paik, Statistical Methods for Rates and
    Proportions, 2003, ch. 4. Design effect: Kish, Survey Sampling, 1965.
    """
    from scipy.special import ndtri

    for name, value in (("ece_a", ece_a), ("ece_b", ece_b), ("icc", icc)):
        if not 0 <= value <= 1:
            raise ValueError(f"{name} must lie in [0, 1], got {value!r}")
    if ece_a == ece_b:
        raise ValueError(f"ece_a and ece_b are both {ece_a!r}: there is no difference to find")
    if not -1 <= correlation < 1:
        raise ValueError(f"correlation must lie in [-1, 1), got {correlation!r}")
    if group_size < 1:
        raise ValueError(f"group_size must be at least 1, got {group_size!r}")
    brier_a, brier_b = np.broadcast_to(np.asarray(brier, dtype=float), 2)
    variances = brier_a - ece_a**2, brier_b - ece_b**2
    if min(variances) <= 0:
        raise ValueError(f"brier must exceed the squared ECE, got {brier!r}")
    z = ndtri((1 + check_level(level)) / 2) + ndtri(check_level(power, "power"))
    spread = sum(variances) - 2 * correlation * np.sqrt(variances[0] * variances[1])
    effect = 1 + (group_size - 1) * icc
    items = int(np.ceil(z**2 * spread / (ece_a - ece_b) ** 2 * effect))
    return Plan(items, int(np.ceil(items / group_size)), float(effect))
