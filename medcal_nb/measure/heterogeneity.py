"""How much groups differ beyond sampling noise, and what a new one may show."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ._check import check_level
from .resampling import FloatArray, student

LEAST_GROUPS = 3
LEAST_PREDICTED = 5


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
    estimates: ArrayLike, standard_errors: ArrayLike, *, level: float = 0.95
) -> pd.DataFrame:
    r"""Random-effects summary of a number over groups, and what to expect in a new group.

    Group i shows :math:`\theta_i + \epsilon_i` with :math:`\theta_i \sim N(\mu, \tau^2)` and a
    known standard error; τ² by restricted maximum likelihood. The prediction interval is of θ in
    another group of the same kind. The interval of the mean is that of Knapp and Hartung
    (Student's t with k − 1 degrees): with few groups the normal one is too narrow. The prediction
    interval has k − 2 degrees (Higgins et al.), as τ² is estimated, too.

    Parameters
    ----------
    estimates, standard_errors : (k,) arrays
        One number a group, of different answers; at least three.
    level : float
        Nominal coverage of both intervals, in (0, 1).

    Returns
    -------
    pandas.DataFrame
        One row:

        - n_groups
        - mean: μ, with _low, _high
        - tau2: variance between groups
        - tau: its root
        - i2: share of the variance seen that is between groups
        - prediction_low, prediction_high: for a new group; NaN below five groups, too few to
          show how groups vary
        - q, q_p: Cochran's test of no difference at all

    Raises
    ------
    ValueError
        On fewer than three groups, or a standard error that is not above 0.

    References
    ----------
    Viechtbauer, J. Stat. Softw. 2010, doi:10.18637/jss.v036.i03 (metafor, whose numbers these
    are, but for the degrees of the prediction); Higgins, Thompson & Spiegelhalter 2009,
    doi:10.1111/j.1467-985X.2008.00552.x; Knapp & Hartung 2003, doi:10.1002/sim.1482.

    Examples
    --------
    >>> row = heterogeneity_table([0.31, 0.27, 0.49], [0.02, 0.02, 0.02]).iloc[0]
    >>> row[["mean", "tau2"]].round(4).tolist()
    [0.3567, 0.0133]
    """
    from scipy.special import chdtrc

    y = np.asarray(estimates, dtype=float)
    variance = np.asarray(standard_errors, dtype=float) ** 2
    if y.size < LEAST_GROUPS:
        raise ValueError(f"{y.size} groups: heterogeneity needs {LEAST_GROUPS} or more")
    if not (variance > 0).all():
        raise ValueError("standard_errors must be above 0 and known in every group")
    weight = 1 / variance
    q = float(weight @ (y - weight @ y / weight.sum()) ** 2)
    degrees = y.size - 1
    # variance that a group's own error typically has
    typical = degrees / (weight.sum() - (weight**2).sum() / weight.sum())
    tau2 = _reml(y, variance)
    weight = 1 / (variance + tau2)
    mean = float(weight @ y / weight.sum())
    mean_variance = weight @ (y - mean) ** 2 / degrees / weight.sum()
    half = student(level, degrees) * np.sqrt(mean_variance)
    far = student(level, degrees - 1) * np.sqrt(mean_variance + tau2)
    if y.size < LEAST_PREDICTED:
        far = np.nan
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


def _reml(y: FloatArray, variance: FloatArray) -> float:
    """τ² of restricted maximum likelihood: where its score is 0, or 0."""
    from scipy.optimize import brentq

    def score(tau2: float) -> float:
        w = 1 / (variance + tau2)
        residual = y - w @ y / w.sum()
        return float((w**2) @ residual**2 - w.sum() + (w**2).sum() / w.sum())

    if score(0.0) <= 0:
        return 0.0
    most = float(y.var()) * 2
    while score(most) > 0:
        most *= 2
    return float(brentq(score, 0.0, most, xtol=1e-14))
