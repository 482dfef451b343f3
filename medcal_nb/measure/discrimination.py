"""Does higher confidence mark the correct answers? Ranking and selective prediction.

A strictly increasing map of the confidence leaves every number here as it is: recalibration
with one cannot mend them. Ties never make a result depend on the order of rows.
"""

import numpy as np

from ._check import check_choice
from ._sums import Recipe, recipe_for
from .calibration import _measure, _warned, by_value


def _ranked(c, y, finish) -> Recipe:
    """A metric of counts and errors over distinct confidences, most confident first."""

    def downwards(sums):
        columns = (sums[:, ::-1, j] for j in range(2))
        return finish(*(columns if sums.shape[0] == 1 else map(np.ascontiguousarray, columns)))

    if (c[1:] > c[:-1]).all():
        return Recipe(None, c.size, (1 - y,), downwards)
    values, cell = by_value(c)
    return Recipe(cell, values.size, (1 - y,), downwards)


def auroc(confidence, correct, *, weights=None) -> float:
    r"""Probability that a correct answer carries more confidence than a wrong one.

    .. math:: P(c_i > c_j) + \tfrac12 P(c_i = c_j), \quad y_i = 1,\ y_j = 0

    Returns
    -------
    float
        In [0, 1]; ½ is chance, and any constant confidence. NaN with a `MeasureWarning` where
        all answers are correct or all are wrong.

    Raises
    ------
    ValueError
        On input that is not a confidence and an outcome; the message names the position.

    References
    ----------
    Hanley & McNeil, Radiology 1982, doi:10.1148/radiology.143.1.7063747.
    """
    value = _measure(_auroc, confidence, correct, weights)
    return _warned(value, "auroc", "all answers are correct or all are wrong")


@recipe_for(auroc)
def _auroc(c, y) -> Recipe:
    def finish(count, wrong):
        right = count - wrong
        above = right.cumsum(1) - right / 2
        pairs = right.sum(1) * wrong.sum(1)
        return np.where(pairs > 0, (wrong * above).sum(1) / np.where(pairs > 0, pairs, 1), np.nan)

    return _ranked(c, y, finish)


def auprc(confidence, correct, *, positive="error", weights=None) -> float:
    r"""Area under the precision–recall curve (average precision), for either outcome.

    .. math:: \sum_k (R_k - R_{k-1})\, P_k

    over the distinct confidences as thresholds, without interpolation.

    Parameters
    ----------
    positive : {"error", "correct"}
        What is looked for: wrong answers, least confident first, or correct ones, most
        confident first. The two are different numbers; say which.

    Returns
    -------
    float
        In (0, 1]; chance is the share of positives. NaN with a `MeasureWarning` where there
        is none.

    Raises
    ------
    ValueError
        On input that is not a confidence and an outcome; the message names the position.

    References
    ----------
    Davis & Goadrich, ICML 2006, doi:10.1145/1143844.1143874. For errors of language models:
    Hendrycks & Gimpel, ICLR 2017, arXiv:1610.02136.
    """
    value = _measure(_auprc, confidence, correct, weights, positive=positive)
    return _warned(value, "auprc", f"there is no {positive} answer to find")


@recipe_for(auprc)
def _auprc(c, y, *, positive="error") -> Recipe:
    check_choice(positive, "positive", ("error", "correct"))

    def finish(count, wrong):
        hits = wrong[:, ::-1] if positive == "error" else count - wrong
        seen = (count[:, ::-1] if positive == "error" else count).cumsum(1)
        precision = hits.cumsum(1) / np.where(seen > 0, seen, 1)
        total = hits.sum(1)
        return np.where(
            total > 0, (hits * precision).sum(1) / np.where(total > 0, total, 1), np.nan
        )

    return _ranked(c, y, finish)


def aurc(confidence, correct, *, weights=None) -> float:
    r"""Area under the risk–coverage curve: mean error rate among the k most confident items.

    .. math:: \frac1n \sum_{k=1}^n \frac{\mathrm{E}[\text{errors among the top } k]}{k}

    Convention for ties: the expectation over a random order within items of one confidence,
    that is, their errors are spread evenly. The value depends on the data only, never on the
    order of rows. It is computed in closed form from harmonic numbers.

    Returns
    -------
    float
        In [0, 1]; 0 where all are correct, 1 where all are wrong, the error rate where
        confidence is constant. It mixes accuracy and ranking: see `excess_aurc`.

    Raises
    ------
    ValueError
        On input that is not a confidence and an outcome; the message names the position.

    References
    ----------
    Geifman & El-Yaniv, NeurIPS 2017, arXiv:1705.08500. Geifman, Uziel & El-Yaniv, ICLR 2019,
    arXiv:1805.08206.
    """
    return _measure(_aurc, confidence, correct, weights)


def _harmonic(x: np.ndarray) -> np.ndarray:
    """1 + 1/2 + … + 1/x, extended to real x ≥ 0 by the digamma function."""
    if x.size and x.size * 4 > x.max() and (x == np.floor(x)).all():
        table = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, int(x.max()) + 1))])
        return table[x.astype(np.intp)]
    from scipy.special import digamma

    return digamma(x + 1) + np.euler_gamma


def _area(count: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    if (count == 1).all():  # no ties: errors so far over k
        area = wrong.cumsum(1)
        area /= np.arange(1, count.shape[1] + 1)
        return area.mean(1)
    end = count.cumsum(1)
    rate = wrong / np.where(count > 0, count, 1)
    # sum over j = 1 … count of (before + j rate) / (start + j), for each value
    area = wrong.cumsum(1)
    area -= wrong
    area -= (end - count) * rate
    area *= np.diff(_harmonic(end), axis=1, prepend=0)
    area += wrong
    return area.sum(1) / end[:, -1]


@recipe_for(aurc)
def _aurc(c, y) -> Recipe:
    return _ranked(c, y, _area)


def excess_aurc(confidence, correct, *, weights=None) -> float:
    r"""AURC above that of the ideal ranking of the same answers, all correct ones first.

    .. math:: \mathrm{AURC} - \frac1n \sum_{k = n - e + 1}^{n} \frac{k - (n - e)}{k}

    for e errors: the exact finite form (the source uses its limit r + (1 − r) ln(1 − r)).

    Returns
    -------
    float
        In [0, 1]; 0 is a perfect ranking. Unlike AURC it does not reward accuracy as such.

    Raises
    ------
    ValueError
        On input that is not a confidence and an outcome; the message names the position.

    References
    ----------
    Geifman, Uziel & El-Yaniv, ICLR 2019, arXiv:1805.08206.
    """
    return _measure(_excess_aurc, confidence, correct, weights)


@recipe_for(excess_aurc)
def _excess_aurc(c, y) -> Recipe:
    def finish(count, wrong):
        n, errors = count.sum(1), wrong.sum(1)
        ideal = _area(np.stack([n - errors, errors], 1), np.stack([0 * n, errors], 1))
        return _area(count, wrong) - ideal

    return _ranked(c, y, finish)


def accuracy_at_coverage(confidence, correct, *, coverage=0.8, weights=None) -> float:
    r"""Accuracy among the most confident `coverage` share of the items.

    .. math:: 1 - \mathrm{E}[\text{errors among the top } \kappa n] / (\kappa n)

    Where the cut falls within items of one confidence, their errors are spread evenly.

    Parameters
    ----------
    coverage : float
        κ in (0, 1].

    Returns
    -------
    float
        In [0, 1]; at coverage 1 it is the accuracy.

    Raises
    ------
    ValueError
        On input that is not a confidence and an outcome; the message names the position. On a
        coverage outside (0, 1].

    References
    ----------
    El-Yaniv & Wiener, J. Machine Learning Research 2010, vol. 11, pp. 1605–1641.
    """
    return _measure(_accuracy_at_coverage, confidence, correct, weights, coverage=coverage)


@recipe_for(accuracy_at_coverage)
def _accuracy_at_coverage(c, y, *, coverage=0.8) -> Recipe:
    if not 0 < coverage <= 1:
        raise ValueError(f"coverage must lie in (0, 1], got {coverage!r}")

    def finish(count, wrong):
        end = count.cumsum(1)
        kept = coverage * end[:, -1:]
        share = np.clip((kept - (end - count)) / np.where(count > 0, count, 1), 0, 1)
        return 1 - (wrong * share).sum(1) / kept[:, 0]

    return _ranked(c, y, finish)


def coverage_at_accuracy(confidence, correct, *, target=0.9, weights=None) -> float:
    r"""Largest share of items that can be kept by a threshold with accuracy `target` or more.

    .. math:: \max_\tau \{ P(c \ge \tau) : P(y = 1 \mid c \ge \tau) \ge \text{target} \}

    Only thresholds count: items of one confidence are kept or deferred together.

    Parameters
    ----------
    target : float
        Wanted accuracy among the items kept, in [0, 1].

    Returns
    -------
    float
        In [0, 1]; 0 where no threshold reaches the target. It is the best in hindsight: for a
        threshold that holds on new items see `medcal_nb.measure.deferral`.

    Raises
    ------
    ValueError
        On input that is not a confidence and an outcome; the message names the position. On a
        target outside [0, 1].

    References
    ----------
    Geifman & El-Yaniv, NeurIPS 2017, arXiv:1705.08500.
    """
    return _measure(_coverage_at_accuracy, confidence, correct, weights, target=target)


@recipe_for(coverage_at_accuracy)
def _coverage_at_accuracy(c, y, *, target=0.9) -> Recipe:
    if not 0 <= target <= 1:
        raise ValueError(f"target must lie in [0, 1], got {target!r}")

    def finish(count, wrong):
        end = count.cumsum(1)
        good = wrong.cumsum(1) <= (1 - target) * end * (1 + 1e-12)
        return np.where(good, end, 0).max(1) / end[:, -1]

    return _ranked(c, y, finish)
