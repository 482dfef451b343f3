"""Certify a threshold of the confidence by grading few answers, and say which to grade next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtrc

from medcal_nb.measure._check import (
    check_confidence,
    check_groups,
    check_length,
    check_whole,
    refuse,
)
from medcal_nb.measure.resampling import FloatArray
from medcal_nb.measure.rows import warn_of_cross_fitted
from medcal_nb.measure.selective import DELTA

from .design import Design, Group, Rule
from .ends import (
    REFUTED,
    Certificate,
    State,
    Tested,
    fewest_answers,
    sentence,
)

HOPELESS = 0.002  # p value of "it could still be certified" at which it is given up
BATCH = 20  # answers that are named at once: a visit


def certify(
    confidence: ArrayLike,
    grades: ArrayLike,
    *,
    risk: float,
    delta: float = DELTA,
    budget: int | None = None,
    starts: Sequence[int] | None = None,
    groups: ArrayLike | None = None,
    seed: int = 0,
    batch: int = BATCH,
) -> Certificate:
    r"""Lowest certified threshold, and which answers to grade next to certify a lower one.

    .. math:: P\bigl(\, P(y = 0 \mid c \ge \hat\tau) \le \alpha \,\bigr) \ge 1 - \delta

    over the draw of the pool, whenever grading stops. Nested groups of the most confident answers
    are fixed by the confidences, the budget, the starts and the seed. One after the other is graded
    in one random order of the pool, in which a grade serves every group that holds it, until an
    exact sequential binomial test certifies the group. The sequence begins at each start with its
    share of delta, takes it along from group to group, and ends at a group that is not certified. A
    pure function: call it again with the grades that came in.

    Parameters
    ----------
    confidence : (n,) array
        Probability in [0, 1] that the answer is correct, of every answer of the pool: a random
        sample of those that the threshold will be used on.
    grades : (n,) array of 1, 0 and NaN
        1 right, 0 wrong, NaN not graded. An answer that cannot be graded is 0: left out, it would
        make the risk look smaller.
    risk : float
        α, the share wrong that is allowed among the answers retained, in (0, 1).
    delta : float
        δ, the probability that the risk is exceeded all the same, in (0, 1). For k methods of
        which the best is taken it is δ / k for each.
    budget : int, optional
        Most answers that are graded; as many as it takes if None. Like pool, starts, seed, risk and
        delta it is fixed before the first grade is seen: who tries several has no certificate.
    starts : sequence of int, optional
        Numbers of the most confident answers at which tests begin, each at δ / their number.
        `plan_certificate` chooses them; `usual_starts` if None.
    groups : (n,) array, optional
        The image of each answer. One answer an image, drawn at random, is the pool then.
    seed : int
        Of the order of grading.
    batch : int
        Answers that `next` names at most. Fewer are named at the end; the later ones suppose that
        those before them are right.

    Returns
    -------
    Certificate
        - next: positions to grade now, in an order that may be cut anywhere; empty at the end
        - threshold: lowest certified so far; infinite where none is
        - coverage: share of the pool, whose answers all have a confidence, at or above it
        - n_graded: grades used so far
        - n, errors: grades, and wrong answers among them, that certified the threshold
        - state: grading; at the end certified (no lower threshold can be), or, with none certified,
          refuted, not shown or too few cases; or budget used
        - sentence: what a Methods section says of it
        - starts: as they were used
        - group, group_graded, group_errors: answers of the group on which the sequence stands or
          ended, those of its sample that are graded in their order, whether or not its test went on
          so far, and wrong answers among them
        - group_allowed, group_horizon: errors with which that group passes, among so many grades
          of it
        - p_value: exact P of at least so many errors if the risk were α; NaN without grades. At
          most 0.02 where the state is refuted
        - cases_needed, cases_rate: where it is not shown, size of a pool like this in which the
          group would be certified with a chance of 0.8 if that share of it is wrong: the share
          seen, or half of α where no number of cases would do; else NaN
        - sample: positions of the n answers that certified the threshold, in their order: a random
          sample of those that it retains

    Raises
    ------
    ValueError
        On confidences outside [0, 1] or missing; on a grade that is neither 0, 1 nor NaN; on a
        risk or delta outside (0, 1); on a start at which no number of errors is allowed.

    References
    ----------
    Fixed sequence: Angelopoulos et al., Learn then Test, 2025, arXiv:2110.01052. Shares of delta
    that are handed on: Bretz et al., Statistics in Medicine 2009, doi:10.1002/sim.3495. Selective
    risk: Geifman & El-Yaniv 2017, arXiv:1705.08500. Spending δ over looks: Lan & DeMets, Biometrika
    1983, doi:10.1093/biomet/70.3.659. One order for all groups (permanent random numbers):
    Ohlsson 1995, doi:10.1002/9781118150504.ch9. Argument and simulations: docs/certify.md.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> confidence = rng.uniform(0.5, 1, 5000)
    >>> right = rng.random(5000) < confidence
    >>> grades = np.full(5000, np.nan)
    >>> stand = certify(confidence, grades, risk=0.2, budget=200)
    >>> while stand.next.size:
    ...     grades[stand.next] = right[stand.next]  # a person grades these
    ...     stand = certify(confidence, grades, risk=0.2, budget=200)
    >>> stand.state, round(stand.threshold, 2), round(stand.coverage, 2), stand.n_graded
    ('budget used', 0.78, 0.45, 184)
    """
    warn_of_cross_fitted(confidence)
    c = check_confidence(confidence)
    order = order_of_grading(groups, c.size, seed)
    rule = Rule(risk, delta, budget, starts)
    y = check_grades(grades, c.size)
    n_filled = int(np.isfinite(y[order]).sum())
    return certified(c, y, order, rule, seed=seed, batch=batch, n_filled=n_filled)


def check_grades(grades: ArrayLike, n: int) -> FloatArray:
    """Grades as floats of their own: 1, 0 and NaN."""
    y = np.array(grades, dtype=float)
    check_length(y, n, "grades")
    bad = ~(np.isnan(y) | (y == 0) | (y == 1))
    refuse(bad, y, "grades", "neither 0, 1 nor missing", "grade these again")
    return y


def order_of_grading(groups: ArrayLike | None, n: int, seed: int) -> NDArray[np.intp]:
    """Positions of one answer of each image, in a random order."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(n)
    codes, n_groups = check_groups(groups, n)
    if n_groups == n:
        return order
    _, first = np.unique(codes[order], return_index=True)
    return rng.permutation(order[first])


def certified(
    c: FloatArray,
    y: FloatArray,
    order: NDArray[np.intp],
    rule: Rule,
    *,
    seed: int = 0,
    batch: int = BATCH,
    n_filled: int = 0,
) -> Certificate:
    """What `certify` returns, of the answers graded in this order.

    `n_filled` grades are of the budget, whether or not they have been used yet.
    """
    check_whole(batch, "batch", 1)
    design = Design(c[order], rule)
    right = y[order]
    walk = Walk(design, right)
    left = design.budget - max(n_filled, walk.n_graded)
    if walk.next.size and left <= 0:
        walk.stop()
    now = walk.certificate()
    n_named = min(batch, left)
    ahead = walk.next
    while walk.next.size and ahead.size < n_named:
        right[walk.next] = 1
        walk = Walk(design, right)
        ahead = np.append(ahead, walk.next)
    now = now._replace(
        next=order[ahead[: max(n_named, 0)]],
        sample=order[now.sample],
        coverage=float((c >= now.threshold).mean()),
    )
    said = sentence(
        now,
        risk=design.risk,
        delta=design.delta,
        budget=design.budget,
        n_pool=order.size,
        seed=seed,
    )
    return now._replace(sentence=said)


class Walk:
    """The groups of a design, tested one after the other.

    Parameters
    ----------
    design : Design
        Of the confidences in the order of grading.
    right : (n,) array of 1, 0 and NaN
        Grades in that order.
    """

    def __init__(self, design: Design, right: FloatArray) -> None:
        self.threshold = np.inf
        self.n = 0
        self.errors = 0
        self.n_graded = 0
        self.state: State = "certified"
        self.next: NDArray[np.intp] = np.array([], dtype=np.intp)
        self.sample = self.next  # answers that certified the threshold
        self.last = Tested(0, 0, 0, 0, 0)  # the group on which it stands or ended
        self._design = design
        self._right = right
        self._looked_at = np.zeros(right.size, dtype=bool)
        self._is_cut = False
        self._failed: list[Tested] = []
        self._go()

    @property
    def graded(self) -> NDArray[np.intp]:
        """Positions, in the order of grading, of the answers whose grades were used."""
        return np.flatnonzero(self._looked_at)

    def _go(self) -> None:
        n_open = 0  # starts whose share of delta has come as far as the group
        n_begun = 0
        for group in self._design.groups():
            n_begun += group.opens
            n_open += group.opens
            if not n_open:
                continue
            allowed = self._design.allowed(group, n_open, n_begun)
            ends = self._test(group, allowed)
            if ends == "open":
                self.state = "grading"
                return
            if ends != "passed":
                n_open = 0
        self._end()

    def _test(self, group: Group, allowed: NDArray) -> str:
        """Test a group as far as its grades go; return how that ends."""
        # how far the grades that are left reach in this group
        of_group = self._design.sample(group)
        new = np.cumsum(~self._looked_at[of_group])
        left = self._design.budget - self.n_graded
        reach = int(new.searchsorted(left, side="right"))
        is_short = reach < group.horizon
        if not reach or allowed[reach - 1] < 0:
            self._is_cut |= is_short
            return "cut"
        sample = of_group[:reach]
        graded = self._right[sample]
        graded = graded[np.cumsum(np.isnan(graded)) == 0]  # before one is missing
        errors = np.cumsum(1 - graded).astype(int)
        look = _look(errors, allowed[:reach], self._design.risk)
        self._looked_at[sample[: look.n]] = True
        self.n_graded += int(new[: look.n].max(initial=0))
        n_wrong = int(errors[look.n - 1]) if look.n else 0
        # what else is graded in its order tells of it, too, if not for the test
        all_wrong = int(errors[-1]) if errors.size else 0
        tested = Tested(
            group.size, graded.size, all_wrong, int(allowed[-1]), allowed.size
        )
        if look.ends == "passed":
            self.threshold, self.n, self.errors = group.lowest, look.n, n_wrong
            self.sample = sample[: look.n]
        elif look.ends == "open":
            todo = sample[look.n : look.until]
            self.next = todo[np.isnan(self._right[todo])]
            self.last = tested
        elif look.ends == "out of reach" and is_short:
            self._is_cut = True
            self.last = tested
        else:
            self._failed.append(tested)
        return look.ends

    def _end(self) -> None:
        """Find the state in which the sequence ended, and the group that decided it."""
        if self._failed:
            # of several the one that is the nearest to what was to be shown
            by_p = max(self._failed, key=lambda one: one.p_value(self._design.risk))
            self.last = self._failed[-1] if self.n else by_p
        if self._is_cut:
            self.state = "budget used"
        elif not self.n and self._failed:
            is_refuted = self.last.p_value(self._design.risk) <= REFUTED
            self.state = "refuted" if is_refuted else "not shown"
        elif not self.n:
            self.state = "too few cases"

    def stop(self) -> None:
        """End here, for nothing more may be graded."""
        self.next = self.next[:0]
        self.state = "budget used"

    def certificate(self) -> Certificate:
        """What stands; coverage and sentence follow from the pool."""
        design = self._design
        rate, cases = np.nan, np.nan
        if self.state == "not shown":
            rate = self.last.rate()
            answers = fewest_answers(rate, design.risk, design.delta)
            if np.isinf(answers):
                rate = design.risk / 2
                answers = fewest_answers(rate, design.risk, design.delta)
            cases = np.ceil(answers * design.c.size / self.last.group)
        return Certificate(
            next=self.next,
            threshold=self.threshold,
            coverage=0.0,
            n_graded=self.n_graded,
            n=self.n,
            errors=self.errors,
            state=self.state,
            sentence="",
            starts=design.starts,
            p_value=self.last.p_value(design.risk),
            cases_needed=cases,
            cases_rate=rate,
            sample=self.sample,
            **self.last._asdict(),
        )


def hoped_for(allowed: NDArray, risk: float) -> float:
    """Share of errors with which a group would pass: the risk is hardly as small as that."""
    share: float = max(allowed[-1], 1) / allowed.size
    return min(risk, share)


class _Look(NamedTuple):
    """How far a group's grades are looked at, and how that ends."""

    n: int
    ends: Literal["passed", "hopeless", "out of reach", "open"]
    until: int = 0  # grades with which it would pass if all that are missing were right


def _look(errors: NDArray, allowed: NDArray, risk: float) -> _Look:
    """Look at the grades of a group one by one; `errors` are those so far, after each."""
    n_seen = errors.size
    passes = errors <= allowed[:n_seen]
    ends = passes | (errors > allowed[-1])
    hoped = hoped_for(allowed, risk)
    wrong = np.flatnonzero(np.diff(errors, prepend=0))
    is_hopeless = np.zeros(n_seen, dtype=bool)
    is_hopeless[wrong] = bdtrc(errors[wrong] - 1, wrong + 1, hoped) < HOPELESS
    ends |= is_hopeless
    if not ends.any():
        n_wrong = errors[-1] if n_seen else 0
        would_pass = allowed[n_seen:] >= n_wrong
        until = n_seen + 1 + int(would_pass.argmax())
        return _Look(n_seen, "open", until=until)
    last = int(ends.argmax())
    if passes[last]:
        return _Look(last + 1, "passed")
    return _Look(last + 1, "hopeless" if is_hopeless[last] else "out of reach")
