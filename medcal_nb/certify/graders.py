"""How far two people agree on whether answers are right."""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import numpy as np

from medcal_nb.certify.ledger import Ledger
from medcal_nb.certify.sheets import RIGHT_GRADE, latest
from medcal_nb.measure import wilson_interval
from medcal_nb.wording import percent


class Agreement(NamedTuple):
    """Two graders of the same answers.

    Attributes
    ----------
    graders : tuple of str
    n : int
        Answers that both graded.
    n_agreed : int
        Answers that both called right, or neither.
    low, high : float
        95 % Wilson interval of the share agreed on.
    kappa : float
        Cohen's; NaN where both graded all alike.
    differing : list of str
        The items that they differ on.
    """

    graders: tuple[str, str]
    n: int
    n_agreed: int
    low: float
    high: float
    kappa: float
    differing: list[str]

    def __str__(self) -> str:
        one, other = (name or "the sheet" for name in self.graders)
        kappa = "" if np.isnan(self.kappa) else f", Cohen's kappa {self.kappa:.2f}"
        text = (
            f"{one} and {other} agreed on {self.n_agreed} of {self.n} answers "
            f"({percent(self.n_agreed / self.n)}%, 95 % CI {percent(self.low)}% to "
            f"{percent(self.high)}%{kappa})"
        )
        if not self.differing:
            return text
        names = ", ".join(self.differing[:10])
        more = " and others" if len(self.differing) > 10 else ""
        return f"{text}; they differ on {names}{more}, which count as wrong"


def cohens_kappa(one: np.ndarray, other: np.ndarray) -> float:
    r"""Agreement of two graders beyond that of chance (Cohen 1960).

    .. math:: \kappa = \frac{p_o - p_e}{1 - p_e}

    Parameters
    ----------
    one, other : (n,) array of bool
        Whether each grader calls the answer right.

    Returns
    -------
    float
        At most 1; NaN where chance alone would agree always.

    References
    ----------
    Cohen, Educational and Psychological Measurement 1960, doi:10.1177/001316446002000104.

    Examples
    --------
    >>> float(cohens_kappa(np.array([1, 1, 0, 0]), np.array([1, 0, 0, 0])))
    0.5
    """
    p = np.mean(one)
    q = np.mean(other)
    by_chance = p * q + (1 - p) * (1 - q)
    if by_chance == 1:
        return np.nan
    return (np.mean(one == other) - by_chance) / (1 - by_chance)


def agreements(ledger: Ledger) -> list[Agreement]:
    """Agreement of each two graders that graded an answer in common.

    Parameters
    ----------
    ledger : Ledger

    Returns
    -------
    list of Agreement
    """
    by_grader: dict[str, dict[str, bool]] = {}
    items = {}
    for (case, who), entry in latest(ledger).items():
        by_grader.setdefault(who, {})[case] = entry["grade"] == RIGHT_GRADE
        items[case] = entry["item_id"]
    found = []
    for pair in combinations(by_grader, 2):
        first, second = (by_grader[name] for name in pair)
        both = [case for case in first if case in second]
        if not both:
            continue
        one = np.array([first[case] for case in both])
        other = np.array([second[case] for case in both])
        n_agreed = int((one == other).sum())
        low, high = wilson_interval(n_agreed, len(both))
        differing = [
            items[case]
            for case, differs in zip(both, one != other, strict=True)
            if differs
        ]
        kappa = float(cohens_kappa(one, other))
        found.append(
            Agreement(
                pair, len(both), n_agreed, float(low), float(high), kappa, differing
            )
        )
    return found
