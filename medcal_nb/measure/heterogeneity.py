"""How much groups differ beyond sampling noise, and what a new one may show."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ._check import check_choice, check_level
from .resampling import FloatArray

METHODS = ("reml", "dl")
LEAST_GROUPS = 3


def standard_error(
    low: ArrayLike, high: ArrayLike, *, level: float = 0.95
) -> FloatArray:
    """The standard error that a normal interval of this width has.

    Parameters
    ----------
    low, high : (n,) array
        Ends of the intervals.
    level : float
        Their level.

    Raises
    ------
    ValueError
        On a level outside (0, 1).

    Examples
    --------
    >>> standard_error([0.2], [0.4]).round(3).tolist()
    [0.051]
    """
    from scipy.special import ndtri

    z = float(ndtri((1 + check_level(level)) / 2))
    width = np.asarray(high, dtype=float) - np.asarray(low, dtype=float)
    return width / (2 * z)


def heterogeneity_table(
    estimates: ArrayLike,
    standard_errors: ArrayLike,
    *,
    method: str = "reml",
    knapp_hartung: bool = True,
    level: float = 0.95,
) -> pd.DataFrame:
    r"""Random-effects summary of a number over groups, and what to expect in a new group.

    Group i shows :math:`\theta_i + \epsilon_i` with :math:`\theta_i \sim N(\mu, \tau^2)` and a
    known standard error. The prediction interval is of θ in another group of the same kind.

    Parameters
    ----------
    estimates, standard_errors : (k,) arrays
        One number a group, of different answers; at least three.
    method : str
        How τ² is estimated: "reml" (restricted maximum likelihood) or "dl" (DerSimonian–Laird).
    knapp_hartung : bool
        Student's t with k − 1 degrees and the standard error of Knapp and Hartung, for the mean
        and for the prediction; with few groups the normal interval is too narrow.
    level : float
        Nominal coverage of both intervals, in (0, 1).

    Returns
    -------
    pandas.DataFrame
        One row:

        - n_groups
        - mean, mean_low, mean_high: μ with its interval
        - tau2: variance between groups
        - tau: its root
        - i2: share of the variance seen that is between groups
        - prediction_low, prediction_high: for a new group
        - q, q_p: Cochran's test of no difference at all

    Raises
    ------
    ValueError
        On fewer than three groups, or a standard error that is not above 0.

    References
    ----------
    DerSimonian & Laird 1986, doi:10.1016/0197-2456(86)90046-2; Viechtbauer, J. Stat. Softw. 2010,
    doi:10.18637/jss.v036.i03 (metafor, whose numbers these are); Higgins, Thompson &
    Spiegelhalter 2009, doi:10.1111/j.1467-985X.2008.00552.x; Knapp & Hartung 2003,
    doi:10.1002/sim.1482.

    Examples
    --------
    >>> row = heterogeneity_table([0.31, 0.27, 0.49], [0.02, 0.02, 0.02]).iloc[0]
    >>> row[["mean", "tau2"]].round(4).tolist()
    [0.3567, 0.0133]
    """
    from scipy.special import chdtrc, ndtri, stdtrit

    check_choice(method, "method", METHODS)
    tail = (1 + check_level(level)) / 2
    y = np.asarray(estimates, dtype=float)
    error = np.asarray(standard_errors, dtype=float)
    if y.size < LEAST_GROUPS:
        raise ValueError(f"{y.size} groups: heterogeneity needs {LEAST_GROUPS} or more")
    if not (error > 0).all():
        raise ValueError("standard_errors must be above 0 and known in every group")
    variance = error**2
    weight = 1 / variance
    fixed = float(weight @ y / weight.sum())
    q = float(weight @ (y - fixed) ** 2)
    degrees = y.size - 1
    scale = weight.sum() - (weight**2).sum() / weight.sum()
    tau2 = max(0.0, (q - degrees) / scale)
    if method == "reml":
        tau2 = _reml(y, variance, tau2)
    # variance that a group's own error typically has
    typical = degrees / scale
    weight = 1 / (variance + tau2)
    mean = float(weight @ y / weight.sum())
    mean_variance = 1 / weight.sum()
    quantile = float(ndtri(tail))
    if knapp_hartung:
        mean_variance *= weight @ (y - mean) ** 2 / degrees
        quantile = float(stdtrit(degrees, tail))
    half = quantile * np.sqrt(mean_variance)
    far = quantile * np.sqrt(mean_variance + tau2)
    return pd.DataFrame(
        {
            "n_groups": [y.size],
            "mean": [mean],
            "mean_low": [mean - half],
            "mean_high": [mean + half],
            "tau2": [tau2],
            "tau": [np.sqrt(tau2)],
            "i2": [tau2 / (tau2 + typical)],
            "prediction_low": [mean - far],
            "prediction_high": [mean + far],
            "q": [q],
            "q_p": [float(chdtrc(degrees, q))],
        }
    )


def _reml(y: FloatArray, variance: FloatArray, start: float) -> float:
    """τ² of restricted maximum likelihood, by Fisher scoring."""
    tau2 = max(start, float(y.var(ddof=1)) / 100)
    for _ in range(200):
        w = 1 / (variance + tau2)
        total = w.sum()
        residual = y - w @ y / total
        # score and information of the restricted likelihood
        trace = total - (w**2).sum() / total
        trace2 = (w**2).sum() - 2 * (w**3).sum() / total + ((w**2).sum() / total) ** 2
        score = (w**2) @ residual**2 - trace
        step = score / trace2
        new = max(0.0, tau2 + step)
        if abs(new - tau2) < 1e-12 * max(1.0, tau2):
            return new
        tau2 = new
    return tau2
