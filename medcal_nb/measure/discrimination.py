"""Does higher confidence mark the correct answers? Ranking and selective prediction.

A strictly increasing map of the confidence leaves every number here as it is: recalibration
with one cannot mend them. Ties never make a result depend on the order of rows.
"""

import numpy as np

from ._check import check_choice
from ._sums import Recipe, metric


def _ranked(c, y, finish) -> Recipe:
    """A metric of counts and errors over distinct confidences, most confident first."""
    values, cell = np.unique(-c, return_inverse=True)
    return Recipe(cell, values.size, (1 - y,), lambda sums: finish(sums[..., 0], sums[..., 1]))


def _ratio(top, bottom):
    return np.where(bottom > 0, top / np.where(bottom > 0, bottom, 1), np.nan)


@metric(undefined="all answers are correct or all are wrong")
def auroc(c, y) -> Recipe:
    r"""Probability that a correct answer carries more confidence than a wrong one.

    .. math:: P(c_i > c_j) + \tfrac12 P(c_i = c_j), \quad y_i = 1,\ y_j = 0

    Returns
    -------
    float
        In [0, 1]; ½ is chance, and any constant confidence. NaN where all answers are correct or
        all are wrong. Source: Hanley & McNeil 1982, doi:10.1148/radiology.143.1.7063747.
    """

    def finish(count, wrong):
        right = count - wrong
        above = right.cumsum(1) - right / 2
        return _ratio((wrong * above).sum(1), right.sum(1) * wrong.sum(1))

    return _ranked(c, y, finish)


@metric(undefined="there is no such answer to find")
def auprc(c, y, *, positive="error") -> Recipe:
    r"""Area under the precision–recall curve (average precision), for either outcome.

    .. math:: \sum_k (R_k - R_{k-1})\, P_k

    over the distinct confidences as thresholds. `positive` is "error" (wrong answers, least
    confident first) or "correct" (most confident first): two different numbers.

    Returns
    -------
    float
        In (0, 1]; chance is the share of positives. NaN where there is none. Sources: Davis &
        Goadrich, ICML 2006, doi:10.1145/1143844.1143874; for errors: Hendrycks & Gimpel, ICLR
        2017, arXiv:1610.02136.
    """
    check_choice(positive, "positive", ("error", "correct"))

    def finish(count, wrong):
        hits, seen = count - wrong, count
        if positive == "error":
            hits, seen = wrong[:, ::-1], count[:, ::-1]
        seen = seen.cumsum(1)
        precision = hits.cumsum(1) / np.where(seen > 0, seen, 1)
        return _ratio((hits * precision).sum(1), hits.sum(1))

    return _ranked(c, y, finish)


@metric
def aurc(c, y) -> Recipe:
    r"""Area under the risk–coverage curve: mean error rate among the k most confident items.

    .. math:: \frac1n \sum_{k=1}^n \frac{\mathrm{E}[\text{errors among the top } k]}{k}

    Ties: the expectation over a random order within items of one confidence, in closed form.

    Returns
    -------
    float
        In [0, 1]; 0 where all are correct, the error rate where confidence is constant. It mixes
        accuracy and ranking: see `excess_aurc`. Sources: Geifman & El-Yaniv, NeurIPS 2017,
        arXiv:1705.08500; Geifman, Uziel & El-Yaniv, ICLR 2019, arXiv:1805.08206.
    """
    return _ranked(c, y, _area)


def _harmonic(x: np.ndarray) -> np.ndarray:
    """1 + 1/2 + … + 1/x, extended to real x ≥ 0 by the digamma function."""
    if (x == np.floor(x)).all():
        return np.append(0, np.cumsum(1 / np.arange(1, int(x.max()) + 1)))[x.astype(np.intp)]
    from scipy.special import digamma

    return digamma(x + 1) + np.euler_gamma


def _area(count: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    end = count.cumsum(1)
    rate = wrong / np.where(count > 0, count, 1)
    # sum over j = 1 … count of (errors before + j rate) / (items before + j), for each value
    before = wrong.cumsum(1) - wrong - (end - count) * rate
    area = before * np.diff(_harmonic(end), axis=1, prepend=0) + wrong
    return area.sum(1) / end[:, -1]


@metric
def excess_aurc(c, y) -> Recipe:
    r"""AURC above that of the ideal ranking of the same answers, all correct ones first.

    .. math:: \mathrm{AURC} - \frac1n \sum_{k = n - e + 1}^{n} \frac{k - (n - e)}{k}

    for e errors: the exact finite form (the source uses its limit r + (1 − r) ln(1 − r)).

    Returns
    -------
    float
        In [0, 1]; 0 is a perfect ranking. Unlike AURC it does not reward accuracy as such.
        Source: Geifman, Uziel & El-Yaniv, ICLR 2019, arXiv:1805.08206.
    """

    def finish(count, wrong):
        n, errors = count.sum(1), wrong.sum(1)
        ideal = _area(np.stack([n - errors, errors], 1), np.stack([0 * n, errors], 1))
        return _area(count, wrong) - ideal

    return _ranked(c, y, finish)


@metric
def accuracy_at_coverage(c, y, *, coverage=0.8) -> Recipe:
    r"""Accuracy among the most confident `coverage` share κ in (0, 1] of the items.

    .. math:: 1 - \mathrm{E}[\text{errors among the top } \kappa n] / (\kappa n)

    Where the cut falls within items of one confidence, their errors are spread evenly.

    Returns
    -------
    float
        In [0, 1]; at coverage 1 it is the accuracy. Source: El-Yaniv & Wiener, J. Machine
        Learning Research 2010, vol. 11, pp. 1605–1641.
    """
    if not 0 < coverage <= 1:
        raise ValueError(f"coverage must lie in (0, 1], got {coverage!r}")

    def finish(count, wrong):
        end = count.cumsum(1)
        kept = coverage * end[:, -1:]
        share = np.clip((kept - (end - count)) / np.where(count > 0, count, 1), 0, 1)
        return 1 - (wrong * share).sum(1) / kept[:, 0]

    return _ranked(c, y, finish)
