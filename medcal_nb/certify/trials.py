"""What a number of grades certifies: trials on answers that are graded already."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medcal_nb.errors import NotEnough
from medcal_nb.measure._check import check_confidence, check_correct, check_groups
from medcal_nb.measure.resampling import Bootstrap, FloatArray
from medcal_nb.measure.rows import (
    image_labels,
    judged_by,
    parts_by,
    warn_of_cross_fitted,
)
from medcal_nb.measure.selective import DELTA, thresholds_at

from .design import Design, Rule
from .methods import with_shared_grades
from .rule import Walk, order_of_grading

FROM_THE_TOP = "from the top"  # ways to choose the answers that are graded
AT_RANDOM = "at random"
_IMAGE = "_image"  # a column of answers: the name of their image
_HALVES = 3  # of each resample: fewer make the interval wider, more cost time


def certify_table(
    graded: pd.DataFrame,
    budgets: Sequence[int],
    *,
    risk: float,
    delta: float = DELTA,
    by: Sequence[str] = ("strategy",),
    gradings: Sequence[str] = (FROM_THE_TOP, AT_RANDOM),
    n_splits: int = 25,
    n_resamples: int = 100,
    ci: Bootstrap = Bootstrap(),
) -> pd.DataFrame:
    """What a number of grades certifies, chosen by `certify` and at random, on graded answers.

    A random half of the images is the pool of which so many answers are graded; the threshold is
    judged on the other half. Random grades are tested by `selective_threshold`. Halves of the same
    answers say nothing of other answers: for the interval, images are drawn anew with replacement,
    and of each resample the mean of three random halves is taken; the interval is the middle 95 %
    of these means (percentile bootstrap). A mean of three halves scatters more than one of
    `n_splits`, so that the interval is rather too wide than too narrow.

    Parameters
    ----------
    graded : pandas.DataFrame
        Graded answers. Those without a confidence count as deferred.
    budgets : sequence of int
        Numbers of grades; the whole pool where they are more.
    risk, delta : float
        As in `certify`, for each row.
    by : sequence of str
        Columns whose combinations make the rows.
    gradings : sequence of {"from the top", "at random"}
        How the answers to grade are chosen.
    n_splits : int
        Random halves.
    n_resamples : int
        Resamples of the images for the interval, three halves each; 0: none, its ends are NaN.
    ci : Bootstrap
        Its seed is that of the halves, of the resamples and of the orders of grading.

    Returns
    -------
    pandas.DataFrame
        One row a group, number of grades and way to choose them:

        - the `by` columns
        - budget: answers that may be graded
        - grading: "from the top" or "at random"
        - certified: share of the halves in which a threshold was certified
        - coverage, coverage_low, coverage_high: of the other half, mean of all halves (0 without a
          threshold), and the 95 % interval of that mean over populations; NaN where the resamples
          do not vary
        - risk: share wrong of what is retained there, mean of those with a threshold
        - exceeded: share of the halves in which a certified threshold had a higher risk there
          than is allowed: of these answers, not of a population
        - too_wrong: share of the halves in which grading from the top ended without a threshold
          because too many were wrong; NaN at random, where it does not end early
        - n_graded: grades used, median

    Raises
    ------
    ValueError
        On a column the table lacks; on values that are no confidence or grade; on a risk or delta
        outside (0, 1).

    Examples
    --------
    >>> from medcal_nb.measure import example_answers
    >>> answers = example_answers(1000).query("domain == 'general'")
    >>> table = certify_table(answers, [100], risk=0.2, n_resamples=50)
    >>> table[["strategy", "grading", "coverage"]].round(2).to_numpy().tolist()[:2]
    [['p_true', 'from the top', 0.59], ['p_true', 'at random', 0.43]]
    """
    warn_of_cross_fitted(graded)
    cells = list(product(budgets, gradings))
    rows = []
    graded = judged_by(graded, by)
    graded = graded[graded["correct"].notna()]
    # a name is made once, and not for each group again
    graded = graded.assign(**{_IMAGE: image_labels(graded)})
    for key, part in parts_by(graded, by):
        answers = _Answers.of(part)
        rng = ci.stream(part[_IMAGE])
        halves = [answers.halved(rng, seed) for seed in range(n_splits)]
        samples = answers.halves_of_resamples(rng, n_resamples)
        for budget, grading in cells:
            judged = partial(_judged, grading=grading, rule=Rule(risk, delta, budget))
            trials = pd.DataFrame([judged(half) for half in halves])
            elsewhere = np.array([judged(half)["coverage"] for half in samples])
            low, high = _over_populations(trials["coverage"].mean(), elsewhere)
            row = key | {"budget": budget, "grading": grading}
            shown = ["certified", "coverage", "risk", "exceeded", "too_wrong"]
            row |= trials[shown].mean().to_dict()
            row |= {"coverage_low": low, "coverage_high": high}
            rows.append(row | {"n_graded": int(trials["n_graded"].median())})
    names = ["certified", "coverage", "coverage_low", "coverage_high", "risk"]
    names += ["exceeded", "too_wrong", "n_graded"]
    return pd.DataFrame(rows, columns=[*by, "budget", "grading", *names])


def certify_fitted_table(
    graded: pd.DataFrame,
    fitted: Callable[[FloatArray], FloatArray],
    budgets: Sequence[int],
    *,
    risk: float,
    delta: float = DELTA,
    n_splits: int = 25,
    ci: Bootstrap = Bootstrap(),
) -> pd.DataFrame:
    """What a number of grades certifies of a confidence that is itself fitted on half of them.

    Of the pool, the random half of the images that `certify_table` has, half of the grades are
    drawn at random for the fit; the others are spent by `certify`, on answers that the fit has not
    seen. The threshold is judged on the other half of the images.

    Parameters
    ----------
    graded : pandas.DataFrame
        Graded answers, one row each.
    fitted : callable
        From (n,) grades, NaN where an answer is not graded, to (n,) confidences of all of them:
        such as `medcal_nb.correct.Combination.fitted`.
    budgets : sequence of int
        Numbers of grades, for fit and certificate together.
    risk, delta, n_splits, ci
        As in `certify_table`.

    Returns
    -------
    pandas.DataFrame
        One row a number of grades:

        - budget, certified, coverage, risk: as in `certify_table`
        - n_fit: grades of the budget that are spent on the fit
        - n_graded: grades used by the certificate, median

    Examples
    --------
    >>> from medcal_nb.correct import combination
    >>> from medcal_nb.measure import example_answers
    >>> combined = combination(example_answers(1000).query("domain == 'general'"))
    >>> table = certify_fitted_table(combined.items, combined.fitted, [100], risk=0.2)
    >>> table[["budget", "n_fit"]].to_numpy().tolist()
    [[100, 50]]
    """
    images = image_labels(graded)
    answers = _Answers.of(graded.assign(**{"confidence": 0.5, _IMAGE: images}))
    rng = ci.stream(images)
    halves = [answers.halved(rng, seed) for seed in range(n_splits)]
    rows = []
    for budget in budgets:
        n_fit = budget // 2
        rule = Rule(risk, delta, budget - n_fit)
        trials = pd.DataFrame(
            [
                _judged(half.fitted(fitted, n_fit), grading=FROM_THE_TOP, rule=rule)
                for half in halves
            ]
        )
        row = {"budget": budget, "n_fit": n_fit}
        row |= trials[["certified", "coverage", "risk"]].mean().to_dict()
        rows.append(row | {"n_graded": int(trials["n_graded"].median())})
    return pd.DataFrame(rows)


def grades_together(
    graded: pd.DataFrame,
    budget: int,
    *,
    risk: float,
    delta: float = DELTA,
    by: Sequence[str] = ("strategy",),
    n_splits: int = 25,
    ci: Bootstrap = Bootstrap(),
) -> int:
    """How many different answers all methods of one model take, median over random halves.

    Whoever wants the best of k methods grades for all of them. They have one order of the items, as
    in `certify_methods`, and an answer that several methods ask for is graded once; its methods
    judge one answer to an item.

    Parameters
    ----------
    graded : pandas.DataFrame
        Graded answers of one model, with item_id and the columns of `by`.
    budget : int
        Grades that each method may use.
    risk, delta : float
        As in `certify`, for each method.
    by : sequence of str
        Columns whose combinations are the methods.
    n_splits, ci
        As in `certify_table`.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        On a column the table lacks, and on two answers of one method to one item.

    Examples
    --------
    >>> from medcal_nb.measure import example_answers
    >>> answers = example_answers(1000).query("domain == 'general'")
    >>> grades_together(answers, 100, risk=0.2, n_splits=5) <= 200
    True
    """
    table = with_shared_grades(graded[graded["correct"].notna()], by)
    items = table.drop_duplicates("item").sort_values("item")
    images, n_images = check_groups(items["image"], len(items))
    rng = ci.stream(items["image"])
    rule = Rule(risk, delta, budget)
    methods = [
        part.set_index("item")[["confidence", "correct"]]
        for _, part in parts_by(table, by)
    ]
    sizes = []
    for seed in range(n_splits):
        first = rng.permutation(n_images)[: n_images // 2]
        order = order_of_grading(images, len(items), seed)
        order = order[np.isin(images[order], first)]
        taken: set[int] = set()
        for part in methods:
            own = part.reindex(order).dropna(subset="confidence")
            pair = own[["confidence", "correct"]].to_numpy(float)
            if len(pair):
                walk = Walk(Design(pair[:, 0], rule), pair[:, 1])
                taken.update(own.index[walk.graded])
        sizes.append(len(taken))
    return int(np.median(sizes))


class _Answers(NamedTuple):
    """Confidence (NaN where there is none), grade and number of the image of each answer."""

    c: FloatArray
    y: FloatArray
    images: NDArray[np.intp]

    @classmethod
    def of(cls, part: pd.DataFrame) -> _Answers:
        images, _ = check_groups(part[_IMAGE], len(part))
        c, y = part[["confidence", "correct"]].to_numpy(float, na_value=np.nan).T
        check_correct(y)
        stated = c[~np.isnan(c)]
        if stated.size:
            check_confidence(stated)
        return cls(c=c, y=y, images=images)

    def resampled(self, rng: np.random.Generator) -> _Answers:
        """As many images, drawn with replacement; each is an image of its own."""
        rows = np.argsort(self.images, kind="stable")
        size = np.bincount(self.images)
        first = size.cumsum() - size
        chosen = rng.integers(0, size.size, size.size)
        images = np.repeat(np.arange(size.size), size[chosen])
        # place of each answer within its image
        place = np.arange(images.size) - np.repeat(
            size[chosen].cumsum() - size[chosen], size[chosen]
        )
        taken = rows[np.repeat(first[chosen], size[chosen]) + place]
        return _Answers(c=self.c[taken], y=self.y[taken], images=images)

    def halves_of_resamples(self, rng: np.random.Generator, n: int) -> list[_Half]:
        """Three random halves of each of n resamples, one resample after the other."""
        halves = []
        for k in range(n):
            drawn = self.resampled(rng)
            halves += [drawn.halved(rng, _HALVES * k + j) for j in range(_HALVES)]
        return halves

    def halved(self, rng: np.random.Generator, seed: int) -> _Half:
        """A random half of the images as a pool; who has no confidence is in no pool."""
        n_images = int(self.images.max()) + 1
        first = rng.permutation(n_images)[: n_images // 2]
        is_first = np.isin(self.images, first)
        is_pool = is_first & ~np.isnan(self.c)
        c = self.c[is_pool]
        return _Half(
            is_pool=is_pool,
            is_other=~is_first,
            c=c,
            y=self.y[is_pool],
            order=order_of_grading(self.images[is_pool], c.size, seed),
            other_c=self.c[~is_first],
            other_y=self.y[~is_first],
        )


class _Half(NamedTuple):
    """A pool with its order of grading, and the answers that it is judged on."""

    is_pool: NDArray[np.bool_]  # of all answers, as is_other
    is_other: NDArray[np.bool_]
    c: FloatArray
    y: FloatArray
    order: NDArray[np.intp]
    other_c: FloatArray
    other_y: FloatArray

    def fitted(self, fitted: Callable[[FloatArray], FloatArray], n_fit: int) -> _Half:
        """The pool without the answers of the first grades, by a confidence fitted on these."""
        of_pool = np.full(self.y.size, np.nan)
        of_pool[self.order[:n_fit]] = self.y[self.order[:n_fit]]
        grades = np.full(self.is_pool.size, np.nan)
        grades[self.is_pool] = of_pool
        try:
            c = fitted(grades)
        except NotEnough:  # such as no wrong answer among the grades: no confidence
            return self._replace(order=self.order[:0])
        return self._replace(
            c=c[self.is_pool], order=self.order[n_fit:], other_c=c[self.is_other]
        )


def _judged(half: _Half, *, grading: str, rule: Rule) -> dict[str, float]:
    """Whether a threshold was certified, its coverage and risk, and the grades used."""
    threshold = np.inf
    n_graded = 0
    too_wrong = np.nan
    order = half.order
    if order.size and grading == FROM_THE_TOP:
        design = Design(half.c[order], rule)
        walk = Walk(design, half.y[order])
        threshold = walk.threshold
        n_graded = walk.n_graded
        too_wrong = float(walk.state in ("refuted", "not shown"))
    elif order.size:
        chosen = order[: rule.budget]
        (found,) = thresholds_at(
            [rule.risk], half.c[chosen], half.y[chosen], delta=rule.delta, groups=None
        )
        threshold = found.threshold
        n_graded = chosen.size
    is_retained = half.other_c >= threshold
    n_retained = is_retained.sum()
    risk = 1 - half.other_y[is_retained].mean() if n_retained else np.nan
    return {
        "certified": np.isfinite(threshold),
        "coverage": n_retained / max(half.other_c.size, 1),
        "risk": risk,
        "exceeded": risk > rule.risk,
        "too_wrong": too_wrong,
        "n_graded": n_graded,
    }


def _over_populations(mean: float, coverage: FloatArray) -> tuple[float, float]:
    """95 % percentile interval of a mean coverage, from that of halves of resamples, in order.

    It holds the mean. NaN where the resamples do not vary, such as no threshold in any of them.
    """
    if not coverage.size:
        return np.nan, np.nan
    samples = coverage.reshape(-1, _HALVES).mean(axis=1)  # (resamples,)
    low, high = np.quantile(samples, [0.025, 0.975])
    if low == high:
        return np.nan, np.nan
    return min(float(low), mean), max(float(high), mean)
