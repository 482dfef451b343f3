"""How many items are enough? Estimators and intervals against a known truth, and a planner.

A known world is a pool of stated confidences with the accuracy that each really has: a smooth
curve of two parameters, so that the truth of every metric is known without a single outcome.
"""

import warnings
from functools import partial

import numpy as np
import pandas as pd

from . import metrics
from ._check import check_confidence, warn
from ._sums import Draws, recipe_of
from .intervals import wilson_interval
from .inversion import ece_interval
from .metrics import LOGIT_CLIP, N_BINS

MANY = 1e9  # times that each item of a pool counts: what chance adds to outcomes is not in a limit
POOL = 20_000  # confidences of a pool; more say nothing more, and cost time
RESAMPLES = 300
LUCK = 0.5  # how often answers about one image share their luck
# that the planner promises
POWER = 0.8
LEVEL = 0.95


def fitted_world(confidence, correct, *, rng) -> tuple[np.ndarray, np.ndarray]:
    """Confidences as stated and a smooth curve through their outcomes, as `(confidence, p_true)`.

    The curve has the slope and intercept of the logistic recalibration of these answers: an
    assumed truth of this shape, not the truth about the model; where no slope can be told (one
    confidence for all, or right and wrong answers apart) the same share is right everywhere. At
    most 20,000 are kept, at random.
    """
    from scipy.special import expit, logit

    stated = np.asarray(confidence, float)
    correct = np.asarray(correct, float)
    slope = metrics.calibration_slope(stated, correct)
    if np.isfinite(slope):
        steeper = slope * logit(np.clip(stated, LOGIT_CLIP, 1 - LOGIT_CLIP))
        p = expit(steeper + metrics.calibration_intercept(expit(steeper), correct))
    else:
        p = np.full(stated.size, (correct.sum() + 0.5) / (stated.size + 1))
    kept = rng.permutation(stated.size)[:POOL]
    return stated[kept], p[kept]


def _limit(c, p, stat) -> float:
    """A metric on the pool with every answer counted as right and as wrong, by its chance."""
    doubled = np.concatenate([c, c]), np.repeat([1.0, 0.0], c.size)
    return recipe_of(stat, *doubled).value(MANY * np.concatenate([p, 1 - p]))


def _true_error(c, p) -> float:
    """Mean distance of the true accuracy from the confidence, E|E[p | c] − c|."""
    values, cell = np.unique(c, return_inverse=True)
    return float(
        np.abs(np.bincount(cell, p) - np.bincount(cell) * values).sum() / c.size
    )


def _sample(c, p, size, per_image, rng):
    """Items of a pool with outcomes; answers about one image share their luck half of the time."""
    at = rng.integers(0, c.size, size)
    luck = rng.random(size)
    images = np.arange(size) // per_image
    if per_image > 1:
        luck = np.where(rng.random(size) < LUCK, rng.random(size)[images], luck)
    return c[at], (luck < p[at]).astype(float), images


def estimator_bias_table(confidence, p_true, sizes, *, only=None, n_repeats=500, rng):
    """Bias and spread of estimators of calibration error, against the truth.

    Parameters
    ----------
    confidence, p_true : (n,) arrays
        A known world: stated confidences, and the true accuracy at each.
    sizes : sequence of int
        Items of a sample drawn from it.
    only : sequence of str, optional
        Some of the estimators, by name.
    n_repeats, rng

    Returns
    -------
    pandas.DataFrame
        estimator, n, truth (mean distance of the true accuracy from the confidence), limit (the
        estimator on the whole pool without noise: what binning or smoothing does to the truth),
        mean, bias (mean − truth), bias_se (Monte Carlo), sd, rmse, q05, q95.
    """
    c = check_confidence(confidence)
    p = check_confidence(p_true, "p_true")
    estimators = {
        "ece_width": metrics.ece,
        "ece_mass": metrics.ece_mass,
        "debiased_width": metrics.debiased_ece,
        "debiased_mass": partial(metrics.debiased_ece, binning="mass"),
        "smooth_ece": metrics.smooth_ece,
        "ici": metrics.ici,
    }
    estimators = {
        name: f for name, f in estimators.items() if only is None or name in only
    }
    truth = _true_error(c, p)
    limits = {k: _limit(c, p, f) for k, f in estimators.items()}
    rows = []
    for size in sizes:
        samples = [_sample(c, p, size, 1, rng)[:2] for _ in range(n_repeats)]
        for name, estimator in estimators.items():
            values = np.array([estimator(*pair) for pair in samples])
            row = {"estimator": name, "n": size, "truth": truth, "limit": limits[name]}
            sd = values.std(ddof=1)
            row |= {"mean": values.mean(), "bias": values.mean() - truth}
            row |= {"bias_se": sd / np.sqrt(n_repeats), "sd": sd}
            row |= {"rmse": np.sqrt(((values - truth) ** 2).mean())}
            rows.append(
                row | {f"q{q:02}": np.quantile(values, q / 100) for q in (5, 95)}
            )
    return pd.DataFrame(rows)


def coverage_table(
    confidence,
    p_true,
    sizes,
    *,
    binning="width",
    per_image=1,
    made=("bootstrap", "inversion"),
    n_repeats=1000,
    level=0.95,
    rng,
):
    """How often intervals of the ECE hold the true one, by simulation in a known world.

    Parameters
    ----------
    confidence, p_true : (n,) arrays
        As `estimator_bias_table`. The truth is the ECE of the pool without chance.
    sizes : sequence of int
        Items per sample.
    binning
        Of the ECE.
    per_image : int
        Answers about one image, which share their luck half of the time; intervals are by image.
    made : sequence of str
        How intervals are made: "bootstrap" (percentiles of 300 resamples), "inversion"
        (`ece_interval`).
    n_repeats, level, rng

    Returns
    -------
    pandas.DataFrame
        interval (how it is made), n, truth, coverage,
        coverage_low, coverage_high (Wilson, 95 %), missed_below and missed_above (share of
        intervals wholly below, above the truth), mean_width, n_repeats.
    """
    c = check_confidence(confidence)
    p = check_confidence(p_true, "p_true")
    ece = partial(metrics.ece, binning=binning)
    truth = _limit(c, p, ece)
    shares = [(1 - level) / 2, (1 + level) / 2]

    def ends(kind, c, y, images):
        if kind == "inversion":
            return ece_interval(
                c, y, binning=binning, level=level, groups=images, rng=rng
            )[::2]
        return np.quantile(
            Draws(images, c.size, RESAMPLES, rng).values(ece, c, y), shares
        )

    rows = []
    for size in sizes:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            samples = [_sample(c, p, size, per_image, rng) for _ in range(n_repeats)]
            found = {
                kind: np.array([ends(kind, *one) for one in samples]) for kind in made
            }
        rows += [
            {"interval": kind, "n": size, "truth": truth} | _held(pairs, truth)
            for kind, pairs in found.items()
        ]
    return pd.DataFrame(rows)


def _held(ends, truth) -> dict:
    low, high = ends.T
    n = low.size
    inside = ((low <= truth) & (truth <= high)).sum()
    least, most = map(float, wilson_interval(inside, n))
    row = {"coverage": inside / n, "coverage_low": least, "coverage_high": most}
    row |= {"missed_below": (high < truth).mean(), "missed_above": (low > truth).mean()}
    return row | {"mean_width": (high - low).mean(), "n_repeats": n}


def items_needed(ece_a, ece_b, *, brier=0.25, group_size=1.0, icc=0.0) -> int:
    r"""Items each of two forecasters needs so that an ECE of a is told from one of b.

    .. math:: n = (z_{1 - \alpha/2} + z_{\text{power}})^2\,
       \frac{\sigma_a^2 + \sigma_b^2}{(a - b)^2} \cdot \bigl(1 + (m - 1)\, \mathrm{icc}\bigr),
       \qquad \sigma^2 = \mathrm{Brier} - \mathrm{ECE}^2

    for a power of 80 % and a two-sided level of 95 %. σ² is the variance of y − c where the gaps
    point one way, which then is that of ECE per item.
    The upward bias of ECE is taken as equal on both sides; where the smaller of the two is below
    what chance alone shows in 15 bins of a calibrated forecaster, √(15 · 2 σ² / (π n)), it is
    not, and the power promised is void: that is warned of.

    Parameters
    ----------
    ece_a, ece_b : float
        The two values to be told apart.
    brier : float
        Expected Brier score; 0.25 is the careful choice.
    group_size : float
        m, mean number of items per image.
    icc : float
        Intraclass correlation of y − c within an image, in [0, 1].

    Returns
    -------
    int
        Items of each forecaster.

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

    if ece_a == ece_b or not 0 <= min(ece_a, ece_b) <= max(ece_a, ece_b) <= 1:
        raise ValueError(
            f"ece_a and ece_b must be two shares that differ, got {ece_a}, {ece_b}"
        )
    if not (group_size >= 1 and 0 <= icc <= 1):
        raise ValueError(
            f"group_size must be at least 1, icc a share; got {group_size}, {icc}"
        )
    variances = brier - ece_a**2, brier - ece_b**2
    if min(variances) <= 0:
        raise ValueError(f"brier must exceed the squared ECE, got {brier!r}")
    z = ndtri((1 + LEVEL) / 2) + ndtri(POWER)
    effect = 1 + (group_size - 1) * icc
    items = int(np.ceil(z**2 * sum(variances) / (ece_a - ece_b) ** 2 * effect))
    floor = np.sqrt(N_BINS * 2 * max(variances) / np.pi / (items / effect))
    if min(ece_a, ece_b) < floor:
        warn(
            f"items_needed: at {items} items chance alone shows an ECE of about {floor:.3f}, so "
            f"that {min(ece_a, ece_b):g} cannot be told from 0 and the power promised is void"
        )
    return items
