"""How much groups differ beyond sampling noise, and what a new one may show."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from .resampling import FloatArray, student

LEVEL = 0.95
LEAST_GROUPS = 3
LEAST_PREDICTED = 5


def heterogeneity_table(
    estimates: ArrayLike, low: ArrayLike, high: ArrayLike
) -> pd.DataFrame:
    r"""Random-effects summary of a number over groups, and what to expect in a new group.

    Group i shows :math:`\theta_i + \epsilon_i` with :math:`\theta_i \sim N(\mu, \tau^2)` and a
    known standard error; τ² by restricted maximum likelihood. The prediction interval is of θ in
    another group of the same kind. The interval of the mean is that of Knapp and Hartung
    (Student's t with k − 1 degrees): with few groups the normal one is too narrow. The prediction
    interval has k − 2 degrees (Higgins et al.), as τ² is estimated, too.

    Parameters
    ----------
    estimates, low, high : (k,) arrays
        One number a group, of different answers, with its 95 % interval; at least three. The
        standard error is that of a normal interval of this width.

    Returns
    -------
    pandas.DataFrame
        One row:

        - n_groups
        - mean: μ, with _low, _high
        - tau: standard deviation between groups
        - prediction_low, prediction_high: for a new group; NaN below five groups, too few to
          show how groups vary

    Raises
    ------
    ValueError
        On fewer than three groups, or an interval without a width.

    References
    ----------
    Viechtbauer, J. Stat. Softw. 2010, doi:10.18637/jss.v036.i03 (metafor, whose numbers these
    are, but for the degrees of the prediction); Higgins, Thompson & Spiegelhalter 2009,
    doi:10.1111/j.1467-985X.2008.00552.x; Knapp & Hartung 2003, doi:10.1002/sim.1482.

    Examples
    --------
    >>> row = heterogeneity_table([0.3, 0.2, 0.5], [0.2, 0.1, 0.4], [0.4, 0.3, 0.6]).iloc[0]
    >>> row[["mean", "tau"]].round(2).tolist()
    [0.33, 0.14]
    """
    from scipy.special import ndtri

    y = np.asarray(estimates, dtype=float)
    width = np.asarray(high, dtype=float) - np.asarray(low, dtype=float)
    z = ndtri((1 + LEVEL) / 2)
    variance = (width / (2 * z)) ** 2
    if y.size < LEAST_GROUPS:
        raise ValueError(f"{y.size} groups: heterogeneity needs {LEAST_GROUPS} or more")
    if not (variance > 0).all():
        raise ValueError("every group needs an interval that is known and has a width")
    degrees = y.size - 1
    tau2 = _reml(y, variance)
    weight = 1 / (variance + tau2)
    total = weight.sum()
    mean = weight @ y / total
    spread = weight @ (y - mean) ** 2
    mean_variance = spread / degrees / total
    half = student(LEVEL, degrees) * np.sqrt(mean_variance)
    far = student(LEVEL, degrees - 1) * np.sqrt(mean_variance + tau2)
    if y.size < LEAST_PREDICTED:
        far = np.nan
    return pd.DataFrame(
        {
            "n_groups": [y.size],
            "mean": [mean],
            "mean_low": [mean - half],
            "mean_high": [mean + half],
            "tau": [np.sqrt(tau2)],
            "prediction_low": [mean - far],
            "prediction_high": [mean + far],
        }
    )


def _reml(y: FloatArray, variance: FloatArray) -> float:
    """τ² of restricted maximum likelihood: where its score is 0, or 0."""
    from scipy.optimize import brentq

    def score(tau2: float) -> float:
        w = 1 / (variance + tau2)
        total = w.sum()
        residual = y - w @ y / total
        square = w**2
        return square @ residual**2 - total + square.sum() / total

    if score(0.0) <= 0:
        return 0.0
    most = y.var() * 2
    while score(most) > 0:
        most *= 2
    return brentq(score, 0.0, most, xtol=1e-14)
