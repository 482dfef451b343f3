"""How many items are enough? Estimators and intervals against a known truth, and a planner.

A known world is a pool of confidences with the accuracy that each really has: a smooth
curve of two parameters, so that the truth of every metric is known without a single outcome.
"""

import warnings
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from . import binned, ranking, smooth
from ._check import MeasureWarning, check_confidence, check_level
from .intervals import wilson_interval
from .inversion import ece_interval
from .registry import metric_of
from .resampling import FloatArray, Resamples, choose_clip, distinct, logit

MANY = 1e9  # times that each item of a pool counts: what chance adds to outcomes is not in a limit
RESAMPLES = 300
COMMON = 0.5  # how often answers about one image share their fate


def limit(c: FloatArray, p: FloatArray, stat: Callable[..., float]) -> float:
    """A metric on endlessly many answers: every one counts as right and as wrong, by its chance."""
    metric, options = metric_of(stat)
    doubled = np.concatenate([c, c])
    outcome = np.repeat([1.0, 0.0], c.size)
    weights = MANY * np.concatenate([p, 1 - p])
    return metric.sums(doubled, outcome, **options).value(weights)


def _true_error(c: FloatArray, p: FloatArray) -> float:
    """Mean distance of the true accuracy from the confidence, E|E[p | c] − c|."""
    values, cell = distinct(c)
    expected = np.bincount(cell) * values
    return float(np.abs(np.bincount(cell, p) - expected).sum() / c.size)


def world_sample(
    c: FloatArray, p: FloatArray, size: int, per_image: int, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray, np.ndarray]:
    """Confidence, outcome and image of answers from a pool; those of an image share their fate."""
    chosen = rng.integers(0, c.size, size)
    fate = rng.random(size)
    images = np.arange(size) // per_image
    if per_image > 1:
        common = rng.random(size)[images]
        fate = np.where(rng.random(size) < COMMON, common, fate)
    return c[chosen], (fate < p[chosen]).astype(float), images


ESTIMATORS: dict[str, Callable[..., float]] = {
    "ece_width": binned.ece,
    "ece_mass": binned.ece_mass,
    "debiased_width": binned.debiased_ece,
    "debiased_mass": partial(binned.debiased_ece, binning="mass"),
    "smooth_ece": smooth.smooth_ece,
    "ici": smooth.ici,
}


def estimator_bias_table(
    confidence: ArrayLike,
    p_true: ArrayLike,
    sizes: Sequence[int],
    *,
    only: Sequence[str] | None = None,
    n_repeats: int = 500,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Bias and spread of estimators of calibration error, against the truth.

    Parameters
    ----------
    confidence, p_true : (n,) arrays
        A known world: confidences, and the true accuracy at each.
    sizes : sequence of int
        Answers of a sample drawn from it.
    only : sequence of str, optional
        Some of the `ESTIMATORS`, by name.
    n_repeats : int
    rng : numpy.random.Generator

    Returns
    -------
    pandas.DataFrame
        One row an estimator and size:

        - estimator: its name
        - n: answers of a sample
        - truth: mean distance of the true accuracy from the confidence
        - limit: the estimator on the whole pool without noise, what binning or smoothing does
        - mean: of the estimates
        - bias, bias_se: mean − truth, and its Monte Carlo error
        - sd: of the estimates
        - rmse: their distance from the truth
        - q05, q95: quantiles of the estimates

    Raises
    ------
    ValueError
        On values outside [0, 1], or an unknown estimator.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> confidence = rng.uniform(0.5, 1, 2000)
    >>> table = estimator_bias_table(
    ...     confidence, confidence, [100], only=["ece_width"], n_repeats=100, rng=rng
    ... )
    >>> table[["truth", "mean"]].round(2).to_numpy().tolist()
    [[0.0, 0.09]]
    """
    c = check_confidence(confidence)
    p = check_confidence(p_true, "p_true")
    names = list(ESTIMATORS) if only is None else list(only)
    truth = _true_error(c, p)
    limits = {name: limit(c, p, ESTIMATORS[name]) for name in names}
    rows = []
    for size in sizes:
        samples = [world_sample(c, p, size, 1, rng)[:2] for _ in range(n_repeats)]
        for name in names:
            values = np.array([ESTIMATORS[name](*pair) for pair in samples])
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


def coverage_table(
    confidence: ArrayLike,
    p_true: ArrayLike,
    sizes: Sequence[int],
    *,
    binning: str = "width",
    per_image: int = 1,
    made: Sequence[str] = ("bootstrap", "inversion"),
    n_repeats: int = 1000,
    level: float = 0.95,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """How often intervals of the ECE cover the true one, by simulation in a known world.

    Parameters
    ----------
    confidence, p_true : (n,) arrays
        As `estimator_bias_table`. The truth is the ECE of the pool without chance.
    sizes : sequence of int
        Answers per sample.
    binning : str
        Of the ECE.
    per_image : int
        Answers about one image, which share their fate half of the time; intervals are by image.
    made : sequence of str
        How intervals are made: "bootstrap" (percentiles of 300 resamples), "inversion"
        (`ece_interval`).
    n_repeats : int
    level : float
    rng : numpy.random.Generator

    Returns
    -------
    pandas.DataFrame
        One row a kind of interval and size:

        - interval: how it is made
        - n: answers of a sample
        - truth: the true error
        - coverage, coverage_low, coverage_high: share of samples; Wilson's 95 % interval
        - missed_below, missed_above: share of intervals wholly below, above the truth
        - mean_width: of the intervals
        - n_repeats: samples

    Raises
    ------
    ValueError
        On values outside [0, 1].

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> confidence = rng.uniform(0.5, 1, 2000)
    >>> table = coverage_table(confidence, confidence, [100], n_repeats=20, rng=rng)
    >>> table[["interval", "coverage"]].to_numpy().tolist()
    [['bootstrap', 0.0], ['inversion', 0.95]]
    """
    c = check_confidence(confidence)
    p = check_confidence(p_true, "p_true")
    truth = limit(c, p, partial(binned.ece, binning=binning))
    rows = []
    for size in sizes:
        samples = [world_sample(c, p, size, per_image, rng) for _ in range(n_repeats)]
        for kind in made:
            ends = []
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", MeasureWarning)
                for sample in samples:
                    ends.append(_ece_ends(kind, *sample, binning, level, rng))
            row = {"interval": kind, "n": size, "truth": truth}
            rows.append(row | _covered(np.array(ends), truth))
    return pd.DataFrame(rows)


def _ece_ends(
    kind: str,
    c: FloatArray,
    y: FloatArray,
    images: np.ndarray,
    binning: str,
    level: float,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Ends of an interval of the ECE: inverted, or the plain percentiles that others use."""
    if kind == "inversion":
        low, _, high = ece_interval(
            c, y, binning=binning, level=level, groups=images, rng=rng
        )
        return low, high
    metric, options = metric_of(partial(binned.ece, binning=binning))
    drawn = Resamples(images, RESAMPLES, rng)
    draws = metric.resampled(c, y, drawn, **options)
    low, high = np.quantile(draws[1:], [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _covered(ends: FloatArray, truth: float) -> dict[str, float]:
    low, high = ends.T
    n = low.size
    inside = int(((low <= truth) & (truth <= high)).sum())
    least, most = wilson_interval(inside, n)
    return {
        "coverage": inside / n,
        "coverage_low": float(least),
        "coverage_high": float(most),
        "missed_below": float((high < truth).mean()),
        "missed_above": float((low > truth).mean()),
        "mean_width": float((high - low).mean()),
        "n_repeats": n,
    }


# --- precision of an external validation --------------------------------------------------


def precision_sample_size(
    confidence: ArrayLike,
    *,
    accuracy: float | None = None,
    auroc: float | None = None,
    oe_width: float = 0.2,
    slope_width: float = 0.2,
    auroc_width: float = 0.1,
    level: float = 0.95,
) -> pd.DataFrame:
    r"""Answers needed for intervals of O:E, slope and AUROC that are as narrow as wanted.

    For independent answers of a well-calibrated model; where images carry several answers,
    multiply by the design effect 1 + (m − 1) icc.

    .. math:: n_{OE} = \frac{1 - \phi}{\phi\, s^2}, \qquad
       n_{slope} = \frac{I_a}{s^2 (I_a I_b - I_{ab}^2)}

    with φ the accuracy, s the standard error that gives the width (of ln O:E; of the slope), and
    the information I per answer, means of p (1 − p), p (1 − p) η² and p (1 − p) η over the
    log-odds η. For the AUROC, n is the least whose standard error by Newcombe's formula gives the
    width.

    Parameters
    ----------
    confidence : (n,) array
        Confidences as they are expected (a pilot's, recalibrated), each taken as true.
    accuracy : float, optional
        Expected accuracy; default the mean of the confidences.
    auroc : float, optional
        Expected AUROC; default what these confidences have if each is true.
    oe_width, slope_width, auroc_width : float
        Widths wanted of the intervals.
    level : float
        Of the intervals.

    Returns
    -------
    pandas.DataFrame
        One row per quantity:

        - ``quantity``: "O:E ratio", "calibration slope" or "AUROC"
        - ``width``: as wanted
        - ``n``: answers needed

    Raises
    ------
    ValueError
        On confidences outside [0, 1] or all equal, or an accuracy that is not between 0 and 1.

    References
    ----------
    Riley et al., BMJ 2024;384:e074821, doi:10.1136/bmj-2023-074821; AUROC: Newcombe, Statistics
    in Medicine 2006, doi:10.1002/sim.2324.

    Examples
    --------
    >>> precision_sample_size([0.3, 0.5, 0.7, 0.9])["n"].tolist()
    [257, 2245, 367]
    """
    from scipy.special import ndtri

    c = check_confidence(confidence)
    z = float(ndtri((1 + check_level(level)) / 2))
    rate = float(c.mean()) if accuracy is None else accuracy
    if not 0 < rate < 1:
        raise ValueError(f"accuracy must lie strictly between 0 and 1, got {rate!r}")
    area = limit(c, c, ranking.auroc) if auroc is None else auroc
    # O:E of 1: exp(z s) − exp(−z s) is the width
    error = float(np.arcsinh(oe_width / 2)) / z
    n_oe = (1 - rate) / (rate * error**2)
    n_slope = _slope_size(c, slope_width / (2 * z))
    n_auroc = _auroc_size(area, rate, auroc_width / (2 * z))
    return pd.DataFrame(
        {
            "quantity": ["O:E ratio", "calibration slope", "AUROC"],
            "width": [oe_width, slope_width, auroc_width],
            "n": [int(np.ceil(n)) for n in (n_oe, n_slope, n_auroc)],
        }
    )


def _slope_size(c: FloatArray, error: float) -> float:
    eta = logit(c, choose_clip(c))
    weight = c * (1 - c)
    i_a = weight.mean()
    i_b = (weight * eta**2).mean()
    i_ab = (weight * eta).mean()
    determinant = i_a * i_b - i_ab**2
    if determinant <= 0:
        raise ValueError("one confidence for all answers has no slope to plan for")
    return float(i_a / (error**2 * determinant))


def _auroc_size(area: float, rate: float, error: float) -> float:
    """The least n, by halving: the standard error falls with n."""

    def standard_error(n: float) -> float:
        half = n / 2 - 1
        more = half * (1 - area) / (2 - area) + half * area / (1 + area)
        return float(
            np.sqrt(area * (1 - area) * (1 + more) / (n**2 * rate * (1 - rate)))
        )

    low = 2.0
    high = 1e9
    while high - low > 0.5:
        middle = (low + high) / 2
        if standard_error(middle) > error:
            low = middle
        else:
            high = middle
    return high
