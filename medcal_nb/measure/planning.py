"""How many answers an external validation takes."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ._check import check_confidence, check_level, warn
from .resampling import FloatArray, choose_clip, logit, won_pairs

Z = 1.959963984540054  # of a 95 % interval
OE_WIDTH = 0.2
SLOPE_WIDTH = 0.2
AUROC_WIDTH = 0.1


def precision_sample_size(confidence: ArrayLike) -> pd.DataFrame:
    r"""Answers needed for narrow 95 % intervals of O:E, slope (width 0.2) and AUROC (0.1).

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

    Returns
    -------
    pandas.DataFrame
        One row per quantity, without the slope where all confidences are equal:

        - ``quantity``: "O:E ratio", "calibration slope" or "AUROC"
        - ``width``: of its interval
        - ``n``: answers needed

    Raises
    ------
    ValueError
        On confidences outside [0, 1], or all 0 or all 1.

    References
    ----------
    Riley et al., BMJ 2024;384:e074821, doi:10.1136/bmj-2023-074821; AUROC: Newcombe, Statistics
    in Medicine 2006, doi:10.1002/sim.2324.

    Examples
    --------
    >>> precision_sample_size([0.3, 0.5, 0.7, 0.9])["n"].tolist()
    [257, 2245, 366]
    """
    c = check_confidence(confidence)
    # each answer is right by the chance that its confidence is
    values, n = np.unique(c, return_counts=True)
    right = n * values
    wrong = n - right
    rate = check_level(c.mean(), "the mean confidence")
    pairs = right.sum() * wrong.sum()
    area = won_pairs(right[None], wrong[None])[0] / pairs
    table = pd.DataFrame(
        {
            "quantity": ["O:E ratio", "calibration slope", "AUROC"],
            "width": [OE_WIDTH, SLOPE_WIDTH, AUROC_WIDTH],
            "n": np.ceil(_sizes(c, rate, area)),
        }
    )
    return table.dropna(ignore_index=True).astype({"n": int})


def _sizes(c: FloatArray, rate: float, area: float) -> list[float]:
    """Answers for O:E, slope and AUROC at this accuracy and this AUROC."""
    # O:E of 1: exp(z s) − exp(−z s) is the width
    error = np.arcsinh(OE_WIDTH / 2) / Z
    of_ratio = (1 - rate) / (rate * error**2)
    of_slope = _slope_size(c, SLOPE_WIDTH / (2 * Z))
    of_auroc = _auroc_size(area, rate, AUROC_WIDTH / (2 * Z))
    return [of_ratio, of_slope, of_auroc]


def _slope_size(c: FloatArray, error: float) -> float:
    eta = logit(c, choose_clip(c))
    weight = c * (1 - c)
    i_a = weight.mean()
    i_b = (weight * eta**2).mean()
    i_ab = (weight * eta).mean()
    determinant = i_a * i_b - i_ab**2
    if determinant <= 0:
        warn("one confidence for all answers has no slope to plan for")
        return np.nan
    return i_a / (error**2 * determinant)


def _auroc_size(area: float, rate: float, error: float) -> float:
    """Where the variance is that of the wanted error: the root of a quadratic equation in n."""
    wanted = error**2 * rate * (1 - rate)
    spread = area * (1 - area)
    of_right = (1 - area) / (2 - area)
    of_wrong = area / (1 + area)
    pairs = of_right + of_wrong
    half = spread * pairs / 4
    rest = wanted * spread * (1 - pairs)
    root = np.sqrt(half**2 + rest)
    return (half + root) / wanted
