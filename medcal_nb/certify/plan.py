"""What a certificate can be expected to give, before the first grade is seen."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import bdtrc
from scipy.stats import rankdata

from medcal_nb.measure._check import check_confidence, check_level, check_whole
from medcal_nb.measure.resampling import FloatArray
from medcal_nb.measure.selective import DELTA

from .design import Design, Rule, starts_at, usual_starts, without_error
from .ends import fewest_answers
from .rule import HOPELESS, Walk, check_grades, hoped_for

RISKS = (0.01, 0.02, 0.05, 0.1, 0.2)
SURE_SHARE = 0.2  # of the answers, the most confident, whose share wrong is guessed
#: Errors that the groups of starts may hold, among which the plan chooses.
ERRORS_TRIED = ((0,), (0, 8), (0, 6, 16), (8,))
DRAWS_TO_CHOOSE = 60  # simulated pools on which starts are compared
GRADES_A_BIN = 20  # of a pilot, at least
MOST_BINS = 50
LEAST_OF_BETA = 0.5  # wrong and right, of a bin whose share wrong is drawn
SHARES = np.linspace(0.02, 1, 50)  # of a pool, of groups that could be certified
ROUNDING = 1e-9  # of a sum of two shares
SECONDS_AN_HOUR = 3600


def plan_certificate(
    pool: ArrayLike,
    *,
    risks: ArrayLike = RISKS,
    delta: float = DELTA,
    budget: int | None = None,
    wrong: float | None = None,
    accuracy: float | None = None,
    pilot: ArrayLike | None = None,
    seconds: float = 30,
    n_draws: int = 200,
    rng: Generator | None = None,
) -> pd.DataFrame:
    """Chance of a certified threshold, coverage, grades and hours, for several risks allowed.

    What comes is simulated: pools are drawn whose answers are wrong as often as is guessed, and
    certified by `certify`. Of the starts that are tried those with the largest mean coverage are
    named; they are declared before the first grade. Where it is one start, the chance is exact:
    a walk over all numbers of errors in its group.

    Parameters
    ----------
    pool : int or (n,) array
        Number of answers, one an image, or their confidences in [0, 1]: of tied ones none can be
        retained without the others.
    risks : (k,) array
        Shares wrong that might be allowed, each in (0, 1).
    delta : float
        As in `certify`; of k methods δ / k.
    budget : int, optional
        Most answers that are graded; all if None.
    wrong, accuracy : float, optional
        The guess: share wrong among the most confident fifth, and share right of all, in [0, 1].
        From there on the share wrong is supposed to grow evenly with the rank.
    pilot : (n,) array of 1, 0 and NaN, optional
        Instead of a guess: grades of a random sample of the pool, NaN for the others. Taken for a
        plan they are seen: what is certified afterwards is certified on other answers.
    seconds : float
        Seconds that a grade takes.
    n_draws : int
        Simulated pools; 200 give a chance to ± 0.07.
    rng : numpy.random.Generator, optional
        Of the simulation; seed 0 if None.

    Returns
    -------
    pandas.DataFrame
        One row a risk:

        - risk: allowed
        - without_error: answers that would certify it, none of them wrong
        - starts: numbers of the most confident answers at which tests begin; empty where it is out
          of reach: pool or budget is smaller than without_error
        - is_usual: whether these are `usual_starts`, which a certificate has if none are said
        - chance: that a threshold is certified
        - coverage, coverage_low, coverage_high: mean share retained (0 without a threshold), and
          the limits within which nine of ten pools lie
        - n_graded: grades used, median
        - hours: for these
        - cases_needed: fewest cases like these of which a group would be certified with a chance
          of 0.8; infinite where 50,000 answers of a group would not do

    Raises
    ------
    ValueError
        Without a guess or pilot grades, or with both; on values out of their range.

    References
    ----------
    docs/certify.md: plans beside what recorded answers gave.

    Examples
    --------
    >>> plan = plan_certificate(1000, risks=[0.02, 0.2], budget=400, wrong=0.05, accuracy=0.8)
    >>> plan[["risk", "without_error", "chance", "coverage"]].round(2).to_numpy().tolist()
    [[0.02, 114.0, 0.0, 0.0], [0.2, 11.0, 1.0, 0.83]]
    """
    rng = np.random.default_rng(0) if rng is None else rng
    check_level(delta, "delta")
    answers = _Pool.of(pool, pilot)
    if wrong is not None and accuracy is not None and pilot is None:
        shares = [_guessed(answers.c.size, wrong, accuracy)] * n_draws
    elif wrong is None and accuracy is None and pilot is not None:
        shares = [answers.drawn(rng) for _ in range(n_draws)]
    else:
        raise ValueError("a plan needs one guess: wrong and accuracy, or pilot grades")
    draws = [_Draw.of(answers.c, p, rng) for p in shares]
    p_wrong = np.mean(shares, axis=0)
    rows = []
    for risk in np.atleast_1d(np.asarray(risks, dtype=float)).tolist():
        least = without_error(check_level(risk, "risk"), delta)
        row = {"risk": risk, "without_error": least}
        row |= _best_of_starts(draws, shares, Rule(risk, delta, budget))
        row["hours"] = row["n_graded"] * seconds / SECONDS_AN_HOUR
        rows.append(row | {"cases_needed": _cases_needed(p_wrong, risk, delta)})
    return pd.DataFrame(rows)


def _guessed(n: int, wrong: float, accuracy: float) -> FloatArray:
    """Probability that an answer is wrong, by rank: even in the top fifth, then growing."""
    for name, share in (("wrong", wrong), ("accuracy", accuracy)):
        if not 0 <= share <= 1:
            raise ValueError(f"{name} must be a share in [0, 1], got {share!r}")
    if wrong + accuracy > 1 + ROUNDING:
        raise ValueError(
            f"wrong={wrong:g} of the surest is more than of all, {1 - accuracy:g}: such a "
            "confidence tells nothing"
        )
    beyond = np.maximum((np.arange(n) + 0.5) / n - SURE_SHARE, 0)

    def excess(slope: float) -> float:
        return np.clip(wrong + slope * beyond, 0, 1).mean() - (1 - accuracy)

    steepest = 1e6  # all beyond the top fifth wrong
    slope = brentq(excess, 0, steepest) if excess(0) < 0 < excess(steepest) else 0.0
    p: FloatArray = np.clip(wrong + slope * beyond, 0, 1)
    return p


class _Pool(NamedTuple):
    """Confidences from the highest with their ranks, and ranks and outcomes of the pilot."""

    c: FloatArray
    rank: FloatArray
    pilot_rank: FloatArray
    pilot_wrong: FloatArray

    @classmethod
    def of(cls, pool: ArrayLike, pilot: ArrayLike | None) -> _Pool:
        """Check and sort; tied answers have one rank, the mean of theirs."""
        if np.ndim(pool) == 0:
            c = np.linspace(1, 0, check_whole(np.asarray(pool).item(), "pool", 1))
        else:
            c = check_confidence(pool)
        rank = rankdata(-c)
        order = np.argsort(rank, kind="stable")
        y = np.full(c.size, np.nan) if pilot is None else check_grades(pilot, c.size)
        is_graded = np.isfinite(y[order])
        if pilot is not None and not is_graded.any():
            raise ValueError("pilot has no grade")
        ranks = rank[order]
        return cls(
            c=c[order],
            rank=ranks,
            pilot_rank=ranks[is_graded],
            pilot_wrong=1 - y[order][is_graded],
        )

    def drawn(self, rng: np.random.Generator) -> FloatArray:
        """Probability that an answer is wrong, by rank, as the pilot leaves it possible.

        The share wrong of each bin is drawn from Beta(wrong, right), which on average is the
        pilot's. None wrong is no proof that none will be: neighbours without an error are then
        one, of half an error (so much has the prior of Jeffreys).
        """
        bins = _bins(self.pilot_rank)
        size = np.bincount(bins)
        ranks = np.bincount(bins, self.pilot_rank) / size
        wrong = np.bincount(bins, self.pilot_wrong)
        is_new = np.ones(size.size, dtype=bool)
        is_new[1:] = (wrong[1:] > 0) | (wrong[:-1] > 0)
        run = is_new.cumsum() - 1
        n_wrong = np.bincount(run, wrong)
        n_right = np.bincount(run, size) - n_wrong
        a, b = np.maximum([n_wrong, n_right], LEAST_OF_BETA)
        p: FloatArray = np.interp(self.rank, ranks, rng.beta(a, b)[run])
        return p


def _bins(ranks: FloatArray) -> NDArray[np.intp]:
    """Number of the bin of each rank, ascending; answers that are tied are in one.

    Single grades say nothing of the top: a bin has at least so many, if there are so many. Ties
    that have as many are a bin of their own.
    """
    _, place, size = np.unique(ranks, return_inverse=True, return_counts=True)
    least = max(GRADES_A_BIN, ranks.size / MOST_BINS)
    before = size.cumsum() - size
    is_new = np.diff(before // least, prepend=-1) > 0
    is_large = size >= least
    is_new |= is_large
    is_new[1:] |= is_large[:-1]
    bins: NDArray[np.intp] = (is_new.cumsum() - 1)[place]
    return bins


class _Draw(NamedTuple):
    """A simulated pool in its order of grading."""

    c: FloatArray
    right: FloatArray

    @classmethod
    def of(cls, c: FloatArray, p: FloatArray, rng: np.random.Generator) -> _Draw:
        """Answers, from the most confident, that are wrong with these probabilities."""
        order = rng.permutation(c.size)
        is_wrong = rng.random(c.size) < p[order]
        return cls(c=c[order], right=np.where(is_wrong, 0.0, 1.0))


def _best_of_starts(
    draws: list[_Draw], shares: list[FloatArray], rule: Rule
) -> dict[str, Any]:
    """What the starts give that retain most."""
    n = shares[0].size
    risk, delta, budget, _ = rule
    usual = usual_starts(n, risk=risk, delta=delta, budget=budget)
    if not usual:
        row = dict.fromkeys(
            ["chance", "coverage", "coverage_low", "coverage_high"], 0.0
        )
        return {"starts": (), "is_usual": True} | row | {"n_graded": 0}
    tried = [usual]
    for errors in ERRORS_TRIED:
        tried.append(starts_at(n, errors, risk=risk, delta=delta, budget=budget))
    few = draws[:DRAWS_TO_CHOOSE]
    mean = {
        starts: _simulated(few, rule._replace(starts=starts))["coverage"].mean()
        for starts in dict.fromkeys(tried)
        if starts
    }
    starts = max(mean, key=lambda one: mean[one])
    rule = rule._replace(starts=starts)
    end = _simulated(draws, rule)
    coverage = end["coverage"]
    chance = (coverage > 0).mean()
    if len(starts) == 1:
        chance = _chance_of_first(draws[0].c, shares, rule)
    return {
        "starts": starts,
        "is_usual": starts == usual,
        "chance": chance,
        "coverage": coverage.mean(),
        "coverage_low": coverage.quantile(0.05),
        "coverage_high": coverage.quantile(0.95),
        "n_graded": int(end["n_graded"].median()),
    }


def _simulated(draws: list[_Draw], rule: Rule) -> pd.DataFrame:
    """Coverage and grades used of each simulated pool."""
    rows = []
    for draw in draws:
        walk = Walk(Design(draw.c, rule), draw.right)
        coverage = (draw.c >= walk.threshold).mean()
        rows.append({"coverage": coverage, "n_graded": walk.n_graded})
    return pd.DataFrame(rows)


def _chance_of_first(c: FloatArray, shares: list[FloatArray], rule: Rule) -> float:
    """Exact chance that the group of a single start passes, each grade wrong as often as it.

    The mean over the shares wrong that are possible.
    """
    design = Design(c, rule)
    group = next(design.groups())
    allowed = design.allowed(group, 1, 1)
    most = int(allowed[-1])
    if most < 0:
        return 0.0
    p, times = np.unique(
        [one[: group.size].mean() for one in shares], return_counts=True
    )
    errors = np.arange(most + 1)
    hoped = hoped_for(allowed, design.risk)
    chance = np.zeros((most + 1, p.size))  # of so many errors so far, undecided
    chance[0] = 1.0
    passed = np.zeros(p.size)
    for n, e in enumerate(allowed, 1):
        chance[1:] = chance[1:] * (1 - p) + chance[:-1] * p
        chance[0] *= 1 - p
        passed += chance[: e + 1].sum(axis=0)
        chance[: e + 1] = 0
        chance[bdtrc(errors - 1, n, hoped) < HOPELESS] = 0
    return float(np.average(passed, weights=times))


def _cases_needed(p_wrong: FloatArray, risk: float, delta: float) -> float:
    """Fewest cases of a pool like this of which some group is certified with a chance of 0.8."""
    needed = []
    for share in SHARES:
        size = int(np.ceil(share * p_wrong.size))
        answers = fewest_answers(p_wrong[:size].mean(), risk, delta)
        needed.append(np.ceil(answers / share))
    return float(min(needed))
