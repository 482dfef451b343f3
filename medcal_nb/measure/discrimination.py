"""Does higher confidence mark the correct answers? Ranking and selective prediction."""

import numpy as np

from ._check import check_pair, check_weights, warn
from ._sums import Recipe
from .calibration import recipe_for


def _by_value(c: np.ndarray, y: np.ndarray, finish) -> Recipe:
    """Cells are the distinct confidences in descending order; features: count, errors."""
    values, cell = np.unique(c, return_inverse=True)
    return Recipe(
        values.size - 1 - cell, values.size, np.stack([np.ones_like(c), 1 - y], 1), finish
    )


def auroc(confidence, correct, *, weights=None) -> float:
    r"""Probability that a correct answer carries more confidence than a wrong one.

    .. math:: P(c_i > c_j) + \tfrac12 P(c_i = c_j), \quad y_i = 1,\ y_j = 0

    Returns
    -------
    float
        In [0, 1]; ½ is chance (and any constant confidence). NaN with a `MeasureWarning` where
        all answers are correct or all are wrong.

    Raises
    ------
    ValueError
        On input that is not a confidence and an outcome; the message names the position.

    References
    ----------
    Hanley & McNeil, Radiology 1982, doi:10.1148/radiology.143.1.7063747.
    """
    c, y = check_pair(confidence, correct)
    value = _auroc_recipe(c, y).value(check_weights(weights, c.size))
    if np.isnan(value):
        warn(f"auroc is undefined: all {c.size} answers are {'correct' if y[0] else 'wrong'}")
    return value


@recipe_for(auroc)
def _auroc_recipe(c, y) -> Recipe:
    def finish(sums):
        wrong = sums[..., 1]
        right = sums[..., 0] - wrong
        below = wrong[:, ::-1].cumsum(1)[:, ::-1] - wrong / 2
        pairs = right.sum(1) * wrong.sum(1)
        with np.errstate(invalid="ignore"):
            return np.where(pairs > 0, (right * below).sum(1) / pairs, np.nan)

    return _by_value(c, y, finish)


def aurc(confidence, correct, *, weights=None) -> float:
    r"""Area under the risk–coverage curve: mean error rate among the most confident k items.

    .. math:: \frac1n \sum_{k=1}^n \frac{\mathrm{E}[\mathrm{errors\ among\ the\ top\ } k]}{k}

    Ties are broken at random in expectation: within items of one confidence, errors are spread
    evenly. The value depends on the data only, never on the order of rows.

    Returns
    -------
    float
        In [0, 1]; 0 where all are correct, 1 where all are wrong, the error rate where
        confidence is constant. A monotone map of the confidence leaves it as it is.

    Raises
    ------
    ValueError
        On input that is not a confidence and an outcome; the message names the position.

    References
    ----------
    Geifman & El-Yaniv, NeurIPS 2017, arXiv:1705.08500; Geifman et al., ICLR 2019,
    arXiv:1805.08206.
    """
    c, y = check_pair(confidence, correct)
    return _aurc_recipe(c, y).value(check_weights(weights, c.size))


def harmonic(x: np.ndarray) -> np.ndarray:
    """H(x) = 1 + 1/2 + … + 1/x, extended to real x ≥ 0 by the digamma function."""
    from scipy.special import digamma

    return digamma(x + 1) + np.euler_gamma


def _area(count: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """(r,) AURC from (r, v) counts and errors in descending order of confidence."""
    end = count.cumsum(1)
    start = end - count
    before = wrong.cumsum(1) - wrong
    rate = wrong / np.where(count > 0, count, 1)
    # sum over j = 1..count of (before + j rate) / (start + j)
    part = (before - start * rate) * (harmonic(end) - harmonic(start)) + wrong
    return part.sum(1) / end[:, -1]


@recipe_for(aurc)
def _aurc_recipe(c, y) -> Recipe:
    return _by_value(c, y, lambda sums: _area(sums[..., 0], sums[..., 1]))
