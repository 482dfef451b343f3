"""What of a certificate is fixed before a grade is seen: groups of answers, starts, allowances."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from medcal_nb.errors import NotEnough
from medcal_nb.measure._check import check_level, check_whole
from medcal_nb.measure.resampling import FloatArray
from medcal_nb.measure.selective import (
    DELTA,
    answers_needed,
    errors_allowed,
    sizes_to_test,
)

GROUP_GROWTH = 1.03  # answers of a group, times those of the one before
FIRST_COVERAGE = 0.06  # share of the pool in the first group, at least
FIRST_MARGIN = 7  # and so many times the answers that certify without an error
MOST_FIRST = 0.2  # but, of a small pool, at most this share of it
LEAST_MARGIN = 2  # or so many times the answers that certify without an error
MOST_OF_A_GROUP = 2000  # grades of a group, at most
LEFT_AFTER_WHOLE = 0.75  # share of the budget that would then still sample the pool
GRADED_WHOLE = 4  # power of the share of grades by which delta is spent: late
GRADED_IN_PART = 2  # sooner, for a grade that is saved is one more for the next group
FEW_ERRORS = 3  # of a single start; it is then one of several
ERRORS_AT_STARTS = (0, 6, 16)  # that the groups of these may hold
MOST_OF_SECOND = 1 / 3  # share of the pool in the second of them, at most


class Rule(NamedTuple):
    """What `certify` is called with, besides the answers."""

    risk: float
    delta: float
    budget: int | None = None
    starts: Sequence[int] | None = None


def without_error(risk: float, delta: float) -> int:
    """Fewest answers that show the risk, none of them wrong."""
    return int(np.ceil(np.log(delta) / np.log1p(-risk)))


def usual_starts(
    n: int, *, risk: float, delta: float = DELTA, budget: int | None = None
) -> tuple[int, ...]:
    """Numbers of the most confident answers at which tests begin where nobody chose them.

    One start where its group may hold four errors or more. Where it may hold fewer, one unlucky
    error would end the sequence: others begin where 6 and 16 errors are allowed at a third of
    delta, if the former lies within the first third of the pool and within the budget.

    Parameters
    ----------
    n : int
        Answers of the pool, one an image.
    risk, delta, budget
        As in `certify`.

    Returns
    -------
    tuple of int
        Ascending; empty where not even answers without an error would do.

    Examples
    --------
    >>> usual_starts(1000, risk=0.05, budget=400), usual_starts(1000, risk=0.2, budget=400)
    ((77, 248, 502), (92,))
    >>> usual_starts(100, risk=0.02)
    ()
    """
    budget = _budget(n, budget)
    if min(n, budget) < without_error(risk, delta):
        return ()
    one = _one_start(n, risk, delta, budget)
    graded = np.array([min(one, budget)])
    (allowed,) = errors_allowed(graded, risk, delta)
    if allowed > FEW_ERRORS:
        return (one,)
    several = starts_at(n, ERRORS_AT_STARTS, risk=risk, delta=delta, budget=budget)
    is_near = bool(several) and several[1] <= min(MOST_OF_SECOND * n, budget)
    return several if is_near else (one,)


def starts_at(
    n: int,
    errors: Sequence[int],
    *,
    risk: float,
    delta: float = DELTA,
    budget: int | None = None,
    is_first_usual: bool = True,
) -> tuple[int, ...]:
    """Starts whose groups may hold so many errors at their share of delta.

    The first is no smaller than a single start would be, where that is usual. Empty where the pool
    is too small.
    """
    each = delta / len(errors)
    _, needed = answers_needed(n, risk, each)
    if needed.size <= errors[-1]:
        return ()
    sizes = needed[list(errors)]
    if is_first_usual:
        sizes[0] = max(sizes[0], _one_start(n, risk, delta, _budget(n, budget)))
    is_apart = (sizes[1:] > sizes[:-1]).all()
    return tuple(int(size) for size in sizes) if is_apart else ()


def _budget(n: int, budget: int | None) -> int:
    """Grades that may be used, of so many answers."""
    return n if budget is None else min(check_whole(budget, "budget", 1), n)


def _largest_whole(n: int, budget: int) -> float:
    """Answers up to which a group is graded whole.

    A larger one would leave too little of the budget for what is below it.
    """
    left = LEFT_AFTER_WHOLE * budget
    largest = (budget - left) * n / (n - left)
    return min(largest, MOST_OF_A_GROUP)


def _one_start(n: int, risk: float, delta: float, budget: int) -> int:
    """Answers of the first group of a single start."""
    whole = sizes_to_test(n, risk, delta, _largest_whole(n, budget))
    return int(whole[0]) if whole.size else _first_in_part(n, risk, delta, budget)


def _first_in_part(n: int, risk: float, delta: float, budget: int) -> int:
    """Answers of the first group of which a part is graded."""
    least = np.log(delta) / np.log1p(-risk)
    small = max(MOST_FIRST * n, LEAST_MARGIN * least)
    first = min(FIRST_MARGIN * least, budget, small)
    first = max(first, FIRST_COVERAGE * n)
    return int(np.ceil(min(first, n)))


class Group(NamedTuple):
    """The answers of at least a confidence, tied ones together."""

    lowest: float  # confidence
    size: int  # answers of the pool
    horizon: int  # how many of them are graded, at most
    opens: int  # starts that begin here
    is_whole: bool  # one test at its end, when all are graded


class Design:
    """Groups of a pool, from the most confident, with starts that share delta.

    Parameters
    ----------
    c : (n,) array
        Confidences in the order of grading.
    rule : Rule
        Risk, delta, budget and starts.
    """

    def __init__(self, c: FloatArray, rule: Rule) -> None:
        self.c = c
        self.risk = check_level(rule.risk, "risk")
        self.delta = check_level(rule.delta, "delta")
        self.budget = _budget(c.size, rule.budget)
        self.largest_whole = _largest_whole(c.size, self.budget)
        if rule.starts is None:
            self.starts = usual_starts(
                c.size, risk=self.risk, delta=self.delta, budget=self.budget
            )
        else:
            self.starts = self._checked(rule.starts)
        self.each = self.delta / max(len(self.starts), 1)

    def _checked(self, starts: Sequence[int]) -> tuple[int, ...]:
        """Starts that somebody chose; each must allow for no error at least."""
        sizes = {check_whole(start, "starts", 1) for start in starts}
        least = without_error(self.risk, self.delta / max(len(sizes), 1))
        for size in sizes:
            if size < least:
                raise NotEnough(
                    f"starts: {size} answers cannot show the risk at delta / {len(sizes)}, even "
                    f"without an error; {least} can"
                )
        return tuple(sorted({min(size, self.c.size) for size in sizes}))

    def sizes(self) -> NDArray[np.intp]:
        """Answers of each group, ascending."""
        n = self.c.size
        if not self.starts:
            return np.array([], dtype=np.intp)
        # between two starts a group is tested at what the starts above it have together
        ends = [*self.starts[1:], n + 1]
        parts = [np.array(self.starts), np.array([n])]
        for i, (start, end) in enumerate(zip(self.starts, ends, strict=True)):
            _, sizes = answers_needed(n, self.risk, self.each * (i + 1))
            parts.append(sizes[(sizes > start) & (sizes < end)])
        sizes = np.unique(np.concatenate(parts))
        whole = sizes[sizes <= self.largest_whole]
        first = _first_in_part(n, self.risk, self.delta, self.budget)
        n_steps = np.ceil(np.log(n / first) / np.log(GROUP_GROWTH))
        in_part = np.round(first * GROUP_GROWTH ** np.arange(n_steps + 1))
        least = max(GROUP_GROWTH * whole.max(initial=0), self.starts[0])
        in_part = np.append(in_part[in_part >= least], self.starts)
        sizes = np.append(whole, in_part)
        return np.unique(np.minimum(sizes, n)).astype(np.intp)

    def groups(self) -> Iterator[Group]:
        """The groups, each a little larger than the one before."""
        ascending = np.sort(self.c)
        n = ascending.size
        lowest = np.unique(ascending[n - self.sizes()])[::-1]
        sizes = n - np.searchsorted(ascending, lowest)
        begun = np.searchsorted(self.starts, sizes, side="right")
        opens = np.diff(begun, prepend=0)
        for value, size, n_opened in zip(
            lowest.tolist(), sizes.tolist(), opens.tolist(), strict=True
        ):
            yield Group(
                lowest=value,
                size=size,
                horizon=min(size, self.budget, MOST_OF_A_GROUP),
                opens=n_opened,
                is_whole=size <= self.largest_whole,
            )

    def sample(self, group: Group) -> NDArray[np.intp]:
        """The answers of a group that are graded, in their order."""
        return np.flatnonzero(self.c >= group.lowest)[: group.horizon]

    def allowed(self, group: Group, n_open: int, n_begun: int) -> NDArray[np.intp]:
        """Errors with which a group passes after each grade; -1 where none may be.

        Parameters
        ----------
        group : Group
            One of `groups`.
        n_open : int
            Starts whose shares of delta have come as far as this group.
        n_begun : int
            Starts at this group or before it.
        """
        level = n_open * self.each
        if group.is_whole:
            most = errors_allowed(np.array([group.size]), self.risk, level)
            ungraded = np.arange(group.size)[::-1]
            return np.maximum(most - ungraded, -1)
        horizon = group.horizon
        power = GRADED_WHOLE if group.size == horizon else GRADED_IN_PART
        # what passes with fewer shares of delta must pass with more
        passing = [
            _allowed_in_sequence(horizon, self.risk, n * self.each, power)
            for n in range(n_open, n_begun + 1)
        ]
        least: NDArray[np.intp] = np.minimum.reduce(passing)
        return least


@lru_cache(maxsize=4096)
def _allowed_in_sequence(
    horizon: int, risk: float, delta: float, power: int
) -> NDArray:
    r"""Errors with which a group is certified after 1, 2, … grades; -1 where none may be.

    At a risk of α the probability of ever being within the allowance up to grade n is at most
    :math:`\delta (n / H)^k`, H the horizon and k the power. A larger risk makes it smaller.
    """
    most = int(binom.ppf(delta, horizon, risk)) + 2  # more are not allowed in one look
    # p[e]: probability of e errors so far, and of not having been certified
    p = np.zeros(most + 1)
    p[0] = 1.0
    allowed = np.full(horizon, -1)
    spent = 0.0
    for i in range(horizon):
        p[1:] = p[1:] * (1 - risk) + p[:-1] * risk
        p[0] *= 1 - risk
        at_most = np.cumsum(p)
        left = delta * ((i + 1) / horizon) ** power - spent
        e = int(at_most.searchsorted(left, side="right")) - 1
        if e >= 0:
            spent += at_most[e]
            p[: e + 1] = 0.0
            allowed[i] = e
    return allowed
