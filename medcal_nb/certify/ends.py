"""How a certificate may end, with its numbers, and what is said of it: in this place alone."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, bdtrc, betaincinv

from medcal_nb.measure.decimals import percent
from medcal_nb.measure.selective import answers_needed

from .design import without_error

State = Literal[
    "grading", "certified", "refuted", "not shown", "too few cases", "budget used"
]

#: Exact P of a risk as small as the allowed one at which it is refuted. Grading stops at errors: of
#: pools at the border 8 to 12 % end with a P of .05 or less, 4 to 6 % with one of .02.
REFUTED = 0.02
#: Chance with which so many cases would show the risk.
CHANCE = 0.8
MOST_ANSWERS = 50_000  # of a group, at which it is asked how many would do

#: What an end means to somebody who knows no statistics: the command and the grading page say it.
PLAIN = {
    "certified": (
        "A cut-off was found. Of answers like these that reach it at most {risk} in 100 are wrong; "
        "this statement itself is right with a certainty of {certainty} %."
    ),
    "refuted": (
        "No cut-off. Of the surest answers {graded} were graded, {errors} of them wrong: more than "
        "bad luck explains if at most {risk} in 100 are. Being sure is no sign of being right here."
    ),
    "not shown": (
        "No cut-off. Of the surest answers {graded} were graded, {errors} of them wrong. These are "
        "too few {what} to tell whether at most {risk} in 100 are: it may be so, or not."
    ),
    "too few cases": (
        "No cut-off. These cases are too few to show that at most {risk} in 100 answers are wrong, "
        "even if none were."
    ),
    "budget used": (
        "No cut-off. As many answers were graded as was planned, too few to tell whether at most "
        "{risk} in 100 of the surest are wrong: it may be so, or not."
    ),
}


class Certificate(NamedTuple):
    """Where a certificate stands; `certify` says what each field is."""

    next: NDArray[np.intp]
    threshold: float
    coverage: float
    n_graded: int
    n: int
    errors: int
    state: State
    sentence: str
    starts: tuple[int, ...]
    group: int
    group_graded: int
    group_errors: int
    group_allowed: int
    group_horizon: int
    p_value: float
    cases_needed: float
    cases_rate: float
    sample: NDArray[np.intp]


class Tested(NamedTuple):
    """A group of answers and what its grades have shown."""

    group: int  # answers of the pool
    group_graded: int
    group_errors: int
    group_allowed: (
        int  # errors with which it would pass, of those that are graded at most
    )
    group_horizon: int  # grades of it at most

    def p_value(self, risk: float) -> float:
        """Exact P of at least so many errors if the risk were the allowed one."""
        if not self.group_graded:
            return np.nan
        return float(bdtrc(self.group_errors - 1, self.group_graded, risk))

    def rate(self) -> float:
        """Median-unbiased share wrong: grading stops at an error, so that the plain one is high."""
        n_right = self.group_graded - self.group_errors
        if not self.group_errors:
            return 0.0
        return float(betaincinv(self.group_errors, n_right + 1, 0.5))


def fewest_answers(rate: float, risk: float, delta: float) -> float:
    """Fewest answers of a group that show the risk with a chance of 0.8 if this share is wrong.

    One exact binomial test; infinite where 50,000 do not do.
    """
    errors, needed = answers_needed(MOST_ANSWERS, risk, delta)
    is_enough = bdtr(errors, needed, rate) >= CHANCE
    return float(needed[is_enough.argmax()]) if is_enough.any() else np.inf


def plain_of(risk: float, delta: float, n_cases: int, budget: int) -> dict[str, str]:
    """What the ends of one plan mean; ``{graded}`` and ``{errors}`` are left to be filled in.

    Grades are too few, not cases, where fewer may be graded than there are, and so few that even
    half of the allowed risk would not be shown with a chance of 0.8.
    """
    is_budget_short = budget < min(n_cases, fewest_answers(risk / 2, risk, delta))
    fixed = {
        "risk": f"{100 * risk:.3g}",
        "certainty": f"{100 * (1 - delta):.3g}",
        "what": "grades" if is_budget_short else "cases",
    }
    left = {"graded": "{graded}", "errors": "{errors}"}
    return {state: text.format(**fixed, **left) for state, text in PLAIN.items()}


def sentence(
    stand: Certificate,
    *,
    risk: float,
    delta: float,
    budget: int,
    n_pool: int,
    seed: int,
) -> str:
    """What a Methods section says of a certificate, and of grading that goes on."""
    held = f"at most {risk:.3g} with probability {1 - delta:.3g}"
    starts = "one start" if len(stand.starts) == 1 else f"{len(stand.starts)} starts"
    how = (
        f"exact binomial tests of nested groups in a fixed sequence, {starts}; they looked at "
        f"{stand.n_graded} grades, of {n_pool:,} cases at most {budget:,} may be graded; "
        f"seed {seed}"
    )
    if stand.n:
        return (
            f"Among answers like these with a confidence of at least {stand.threshold:.10g} "
            f"({percent(stand.coverage, 1)}% of those with one) the share that is wrong is {held}; "
            f"{stand.errors} of {stand.n} drawn from them at random were wrong ({how})."
        )
    to_have = f"to have a risk of {held} ({how})"
    if stand.state == "grading":
        return (
            f"Not finished: so far no threshold of the confidence is certified {to_have}. "
            "`medcal certify` names the answers to grade next."
        )
    none = f"No threshold of the confidence was certified {to_have}"
    return f"{none}. {_why(stand, risk, delta, budget, n_pool)}"


def _why(
    stand: Certificate, risk: float, delta: float, budget: int, n_pool: int
) -> str:
    """Why nothing is certified."""
    if stand.state == "too few cases":
        return (
            f"Too few cases: this takes {without_error(risk, delta):,} graded answers without an "
            f"error, and here are {n_pool:,} cases, of which {budget:,} may be graded."
        )
    if stand.state == "budget used":
        return f"Budget used: {stand.n_graded} of {budget:,} grades."
    # a batch, or a table that has its grades already, holds some that no test looked at
    beyond = stand.group_graded > stand.n_graded
    more = " (more than the tests used)" if beyond else ""
    seen = (
        f"of the {stand.group:,} most confident answers {stand.group_graded:,} were graded{more} "
        f"and {stand.group_errors:,} wrong"
    )
    if stand.state == "refuted":
        return (
            f"Refuted: {seen}, more than a risk of {risk:.3g} gives by chance "
            f"(exact P = {stand.p_value:.2g})."
        )
    return (
        f"Not shown: {seen}; to show it, at most {stand.group_allowed:,} of "
        f"{stand.group_horizon:,} could have been. The risk may still be within {risk:.3g} "
        f"(exact P = {stand.p_value:.2g}). {_more(stand, risk)}"
    )


def _more(stand: Certificate, risk: float) -> str:
    """How many cases would do, and if what."""
    if not math.isfinite(stand.cases_needed):
        return "No number of cases like these is known that would show it."
    would = (
        f"about {stand.cases_needed:,.0f} cases like these would show it with a chance of "
        f"{percent(CHANCE)}%"
    )
    if stand.cases_rate != risk / 2:
        return f"If {percent(stand.cases_rate, 1)}% of such answers are wrong, {would}."
    return (
        f"If as many are wrong among more, no number of cases will show it; if only "
        f"{percent(stand.cases_rate, 1)}% are, {would}."
    )
