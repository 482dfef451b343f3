"""Certify a threshold of the confidence by grading few answers, and say which to grade next."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import product
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtrc
from scipy.stats import binom

from medcal_nb.measure._check import (
    check_confidence,
    check_groups,
    check_length,
    check_level,
    check_whole,
    refuse,
)
from medcal_nb.measure.resampling import Bootstrap, FloatArray, student
from medcal_nb.measure.rows import arrays, image_labels, parts_by
from medcal_nb.measure.selective import (
    DELTA,
    errors_allowed,
    selective_threshold,
    sizes_to_test,
)

State = Literal["grading", "certified", "futile", "budget used"]

REGION_GROWTH = 1.03  # answers of a region, times those of the one before
FIRST_COVERAGE = 0.06  # share of the pool in the first region, at least
FIRST_MARGIN = 7  # and so many times the answers that certify without an error
MOST_FIRST = 0.2  # but, of a small pool, at most this share of it
LEAST_MARGIN = 2  # or so many times the answers that certify without an error
MOST_OF_A_REGION = 2000  # grades of a region, at most
LEFT_AFTER_WHOLE = 0.75  # share of the budget that would then still sample the pool
HOPELESS = 0.002  # p value of "it could still be certified" at which it is given up
GRADED_WHOLE = 4  # power of the share of grades by which delta is spent: late
GRADED_IN_PART = 2  # sooner, for a grade that is saved is one more for the next region

FROM_THE_TOP = "from the top"  # ways to choose the answers that are graded
AT_RANDOM = "at random"


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


def certify(
    confidence: ArrayLike,
    grades: ArrayLike,
    *,
    risk: float,
    delta: float = DELTA,
    budget: int | None = None,
    groups: ArrayLike | None = None,
    seed: int = 0,
    batch: int = 1,
) -> Certificate:
    r"""Lowest certified threshold, and which answers to grade next to certify a lower one.

    .. math:: P\bigl(\, P(y = 0 \mid c \ge \hat\tau) \le \alpha \,\bigr) \ge 1 - \delta

    over the draw of the pool, whenever grading stops. Nested regions of the most confident answers
    are fixed by the confidences, the budget and the seed. One after the other is graded in one
    random order of the pool, in which a grade serves every region that holds it, until an exact
    sequential binomial test certifies the region; the first that it does not certify ends the
    sequence. A pure function: call it again with the grades that came in.

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
        Most answers that are graded; as many as it takes if None. Like pool, seed, risk and delta
        it is fixed before the first grade is seen: who tries several has no certificate.
    groups : (n,) array, optional
        The image of each answer. One answer an image, drawn at random, is the pool then.
    seed : int
        Of the order of grading.
    batch : int
        Answers that `next` names at least, as far as there are so many: those that would be next
        if all before were right.

    Returns
    -------
    Certificate
        - next: positions to grade now, in an order that may be cut anywhere; empty at the end
        - threshold: lowest certified so far; infinite where none is
        - coverage: share of the pool at or above it
        - n_graded: grades looked at so far
        - n, errors: grades, and wrong answers among them, that certified the threshold
        - state: grading; at the end certified (no lower threshold can be), futile (none can be)
          or budget used
        - sentence: what a Methods section says of it

    Raises
    ------
    ValueError
        On confidences outside [0, 1] or missing; on a grade that is neither 0, 1 nor NaN; on a
        risk or delta outside (0, 1).

    References
    ----------
    Fixed sequence: Angelopoulos et al., Learn then Test, 2025, arXiv:2110.01052. Selective risk:
    Geifman & El-Yaniv 2017, arXiv:1705.08500. Spending δ over looks: Lan & DeMets, Biometrika
    1983, doi:10.1093/biomet/70.3.659. One order for all regions (permanent random numbers):
    Ohlsson 1995, doi:10.1002/9781118150504.ch9. Argument and simulations: docs/certify.md.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> confidence = rng.uniform(0.5, 1, 5000)
    >>> right = rng.random(5000) < confidence
    >>> grades = np.full(5000, np.nan)
    >>> stand = certify(confidence, grades, risk=0.2, budget=200, batch=20)
    >>> while stand.next.size:
    ...     grades[stand.next] = right[stand.next]  # a person grades these
    ...     stand = certify(confidence, grades, risk=0.2, budget=200, batch=20)
    >>> stand.state, round(stand.threshold, 2), round(stand.coverage, 2), stand.n_graded
    ('budget used', 0.78, 0.45, 189)
    """
    c = check_confidence(confidence)
    order = _order_of_grading(groups, c.size, seed)
    rule = _Rule(risk, delta, budget, seed, batch)
    return _certified(c, _check_grades(grades, c.size), order, rule)


class _Rule(NamedTuple):
    """What `certify` is called with, besides the answers."""

    risk: float
    delta: float
    budget: int | None
    seed: int
    batch: int


def _check_grades(grades: ArrayLike, n: int) -> FloatArray:
    """Grades as floats of their own: 1, 0 and NaN."""
    y = np.array(grades, dtype=float)
    check_length(y, n, "grades")
    bad = ~(np.isnan(y) | (y == 0) | (y == 1))
    refuse(bad, y, "grades", "neither 0, 1 nor missing", "grade these again")
    return y


def _order_of_grading(groups: ArrayLike | None, n: int, seed: int) -> NDArray[np.intp]:
    """Positions of one answer of each image, in a random order."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(n)
    codes, n_groups = check_groups(groups, n)
    if n_groups == n:
        return order
    _, first = np.unique(codes[order], return_index=True)
    return rng.permutation(order[first])


def _certified(
    c: FloatArray, y: FloatArray, order: NDArray[np.intp], rule: _Rule
) -> Certificate:
    """What `certify` returns, of the answers graded in this order."""
    pool = _Pool(c[order], rule)
    batch = check_whole(rule.batch, "batch", 1)
    right = y[order]
    now = pool.test(right)
    ahead = now.next
    step = now
    while step.next.size and ahead.size < batch:
        right[step.next] = 1
        step = pool.test(right)
        ahead = np.append(ahead, step.next)
    coverage = float((c >= now.threshold).mean())
    sentence = _sentence(now, pool, coverage, c.size, rule.seed)
    return now._replace(next=order[ahead], coverage=coverage, sentence=sentence)


class _Region(NamedTuple):
    """The answers of at least a confidence, tied ones together."""

    lowest: float
    sample: NDArray[np.intp]  # those that are graded, in their order
    allowed: NDArray[np.intp]  # errors with which it passes after each grade


class _Pool:
    """What is fixed before a grade is seen: confidences in the order of grading, and regions."""

    def __init__(self, c: FloatArray, rule: _Rule) -> None:
        self.c = c
        self.risk = check_level(rule.risk, "risk")
        self.delta = check_level(rule.delta, "delta")
        self.budget = c.size
        if rule.budget is not None:
            self.budget = min(check_whole(rule.budget, "budget", 1), c.size)

    def regions(self) -> Iterator[_Region]:
        """The regions, each a little larger than the one before."""
        ascending = np.sort(self.c)
        n = ascending.size
        # a larger one, graded whole, would leave too little of the budget for what is below it
        left = LEFT_AFTER_WHOLE * self.budget
        spent = self.budget - left
        largest_whole = spent * n / (n - left)
        largest_whole = min(largest_whole, MOST_OF_A_REGION)
        whole = sizes_to_test(n, self.risk, self.delta, largest_whole)
        sizes = self._sizes(n)
        beyond = sizes >= REGION_GROWTH * whole.max(initial=0)
        lowest = ascending[n - np.append(whole, sizes[beyond])]
        for value in np.unique(lowest)[::-1]:
            size = n - int(np.searchsorted(ascending, value))
            horizon = min(size, self.budget, MOST_OF_A_REGION)
            if whole.size and size <= largest_whole:
                allowed = self._allowed_at_its_end(size)
            else:
                power = GRADED_WHOLE if size == horizon else GRADED_IN_PART
                allowed = _errors_allowed(horizon, self.risk, self.delta, power)
            yield _Region(
                lowest=float(value),
                sample=np.flatnonzero(self.c >= value)[:horizon],
                allowed=allowed,
            )

    def _sizes(self, n: int) -> NDArray[np.intp]:
        """Answers of the regions of which a part is graded, of n."""
        without_error = np.log(self.delta) / np.log1p(-self.risk)
        small = max(MOST_FIRST * n, LEAST_MARGIN * without_error)
        first = min(FIRST_MARGIN * without_error, self.budget, small)
        first = max(first, FIRST_COVERAGE * n)
        first = np.ceil(min(first, n))
        n_steps = np.ceil(np.log(n / first) / np.log(REGION_GROWTH))
        growth = REGION_GROWTH ** np.arange(n_steps + 1)
        sizes = np.round(first * growth)
        return np.minimum(sizes, n).astype(np.intp)

    def _allowed_at_its_end(self, n: int) -> NDArray[np.intp]:
        """Errors with which a region of n answers is sure to pass one test of all of them."""
        most = errors_allowed(np.array([n]), self.risk, self.delta)
        ungraded = np.arange(n)[::-1]
        return np.maximum(most - ungraded, -1)

    def test(self, right: FloatArray) -> Certificate:
        """Test one region after the other; positions are those in the order of grading."""
        none = np.array([], dtype=np.intp)
        stand = Certificate(none, np.inf, 0.0, 0, 0, 0, "certified", "")
        looked_at = np.zeros(right.size, dtype=bool)
        for region in self.regions():
            # how far the grades that are left reach in this region
            new = np.cumsum(~looked_at[region.sample])
            reach = int(new.searchsorted(self.budget - stand.n_graded, side="right"))
            sample = region.sample[:reach]
            allowed = region.allowed[:reach]
            if not reach or allowed[-1] < 0:
                return stand._replace(state="budget used")
            graded = right[sample]
            graded = graded[np.cumsum(np.isnan(graded)) == 0]  # before one is missing
            errors = np.cumsum(1 - graded).astype(int)
            look = _look(errors, allowed, self.risk)
            looked_at[sample[: look.n]] = True
            n_new = int(new[: look.n].max(initial=0))
            stand = stand._replace(n_graded=stand.n_graded + n_new)
            if look.ends == "open":
                todo = sample[look.n : look.until]
                todo = todo[np.isnan(right[todo])]
                return stand._replace(next=todo, state="grading")
            if look.ends == "out of reach" and reach < region.sample.size:
                return stand._replace(state="budget used")
            if look.ends != "passed":
                return stand._replace(state="certified" if stand.n else "futile")
            n_errors = int(errors[look.n - 1])
            stand = stand._replace(threshold=region.lowest, n=look.n, errors=n_errors)
        return stand


class _Look(NamedTuple):
    """How far a region's grades are looked at, and how that ends."""

    n: int
    ends: Literal["passed", "hopeless", "out of reach", "open"]
    until: int = 0  # grades with which it would pass if all that are missing were right


def _look(errors: NDArray, allowed: NDArray, risk: float) -> _Look:
    """Look at the grades of a region one by one; `errors` are those so far, after each."""
    n_seen = errors.size
    most = allowed[-1]
    passes = errors <= allowed[:n_seen]
    # the risk is hardly as small as the share of errors with which the region would pass
    hoped = min(risk, max(most, 1) / allowed.size)
    n = np.arange(1, n_seen + 1)
    is_hopeless = bdtrc(errors - 1, n, hoped) < HOPELESS
    ends = passes | is_hopeless | (errors > most)
    if not ends.any():
        n_wrong = errors[-1] if n_seen else 0
        would_pass = allowed[n_seen:] >= n_wrong
        until = n_seen + 1 + int(would_pass.argmax())
        return _Look(n_seen, "open", until=until)
    last = int(ends.argmax())
    if passes[last]:
        return _Look(last + 1, "passed")
    return _Look(last + 1, "hopeless" if is_hopeless[last] else "out of reach")


@lru_cache(maxsize=4096)
def _errors_allowed(horizon: int, risk: float, delta: float, power: int) -> NDArray:
    r"""Errors with which a region is certified after 1, 2, … grades; -1 where none may be.

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


def _sentence(
    stand: Certificate, pool: _Pool, coverage: float, n_answers: int, seed: int
) -> str:
    """What a Methods section says of a certificate."""
    how = (
        f"exact binomial tests of nested regions in a fixed sequence, "
        f"{stand.n_graded} graded answers of {n_answers:,}, at most {pool.budget:,}, seed {seed}"
    )
    held = f"at most {pool.risk:.3g} with probability {1 - pool.delta:.3g}"
    if not stand.n:
        return f"No threshold of the confidence was certified to have a risk of {held} ({how})."
    return (
        f"Among answers like these with a confidence of at least {stand.threshold:.10g} "
        f"({coverage:.1%} of all) the share that is wrong is {held}; {stand.errors} of {stand.n} "
        f"drawn from them at random were wrong ({how})."
    )


# --- several methods of the same answers ------------------------------------------------------


class MethodCertificates(NamedTuple):
    """Where the certificates of several methods stand; `certify_methods` says what is what."""

    next: NDArray[np.intp]
    table: pd.DataFrame


def certify_methods(
    answers: pd.DataFrame,
    *,
    risk: float,
    delta: float = DELTA,
    budget: int | None = None,
    by: Sequence[str] = ("strategy",),
    seed: int = 0,
    batch: int = 1,
) -> MethodCertificates:
    r"""`certify` for each confidence of the same answers: delta divided, grades shared.

    .. math:: P\bigl(\, \exists m: P(y = 0 \mid c_m \ge \hat\tau_m) > \alpha \,\bigr) \le
        \sum_{m=1}^{k} \delta / k = \delta

    so that whichever threshold is taken afterwards holds. The methods have one random order of the
    items, and a grade is of an answer, not of a method: rows of one item with the same answer
    share it.

    Parameters
    ----------
    answers : pandas.DataFrame
        The pool: item_id, confidence, correct (1, 0, and NaN where nobody has graded yet), the
        columns of `by`, and where known dataset, image_id and answer. Without the text of the
        answer no grade is shared. Rows without a confidence belong to no pool.
    risk, seed, batch
        As in `certify`.
    delta : float
        δ, the probability that any of the thresholds fails, in (0, 1).
    budget : int, optional
        As in `certify`, of each method. What they share is graded once. Who stops earlier, after
        so many grades in all, has thresholds that hold.
    by : sequence of str
        Columns whose combinations are the methods.

    Returns
    -------
    MethodCertificates
        - next: positions of rows to grade now, one row an answer, the methods in turn
        - table: one row a method, described below

        - the `by` columns
        - n_pool: its answers
        - delta: δ / k
        - threshold, coverage, n_graded, n, errors, state, sentence: as in `certify`

    Raises
    ------
    ValueError
        On a column the table lacks, on two answers of one method to one item, and as `certify`.

    References
    ----------
    Bonferroni's inequality, as in Angelopoulos et al., Learn then Test, 2025, arXiv:2110.01052.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> items = pd.DataFrame({"item_id": range(2000), "answer": "yes"})
    >>> sure = items.assign(strategy="p_true", confidence=rng.uniform(0.5, 1, 2000))
    >>> sure["correct"] = (rng.random(2000) < sure["confidence"]).astype(float)
    >>> blind = sure.assign(strategy="verbalized", confidence=rng.random(2000).round(1))
    >>> both = pd.concat([sure, blind], ignore_index=True)
    >>> stand = certify_methods(both, risk=0.2, budget=400)
    >>> stand.table[["strategy", "coverage", "state"]].round(2).to_numpy().tolist()
    [['p_true', 0.62, 'certified'], ['verbalized', 0.0, 'futile']]
    """
    table = _with_shared_grades(answers, by)
    items = table.drop_duplicates("item").sort_values("item")
    order = _order_of_grading(items["image"], len(items), seed)
    parts = parts_by(table, by)
    each = check_level(delta, "delta") / max(len(parts), 1)
    rule = _Rule(risk, each, budget, seed, batch)
    rows = []
    asked = []
    for key, part in parts:
        stand = _of_method(part, order, rule)
        row = key | {"n_pool": len(part), "delta": each} | stand._asdict()
        following = part.iloc[row.pop("next")]
        rows.append(row)
        asked.append(following.assign(turn=np.arange(len(following))))
    in_turn = pd.concat(asked).sort_values("turn", kind="stable")
    once = in_turn.drop_duplicates("graded")["row"].to_numpy(np.intp)
    return MethodCertificates(next=once, table=pd.DataFrame(rows))


def _of_method(part: pd.DataFrame, order: NDArray[np.intp], rule: _Rule) -> Certificate:
    """A method's certificate; positions are those in its rows."""
    c = check_confidence(part["confidence"])
    y = _check_grades(part["correct"], c.size)
    # where each item is among the method's answers, in the order of grading
    place = pd.Series(np.arange(c.size), part["item"])
    in_order = place.reindex(order)
    in_order = in_order.dropna()
    return _certified(c, y, in_order.to_numpy(np.intp), rule)


def _with_shared_grades(answers: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """The answers with a confidence, the number of each item and of each answer to grade."""
    table = answers.assign(row=np.arange(len(answers)), image=image_labels(answers))
    table = table[table["confidence"].notna()]
    item = [name for name in ("dataset", "item_id") if name in table]
    by_item = table.groupby(item, dropna=False)
    table["item"] = by_item.ngroup()
    if table.duplicated(["item", *by]).any():
        raise ValueError("a method has two answers to one item; leave one")
    # without a text it is an answer of its own
    table["text"] = table["row"]
    if "answer" in table:
        table["text"] = table["answer"].astype(object).fillna(table["row"])
    by_answer = table.groupby(["item", "text"])
    table["graded"] = by_answer.ngroup()
    shared = by_answer["correct"].transform("first")
    table["correct"] = shared.to_numpy(float, na_value=np.nan)
    return table


# --- trials on graded answers ----------------------------------------------------------------


def certify_table(
    graded: pd.DataFrame,
    budgets: Sequence[int],
    *,
    risk: float,
    delta: float = DELTA,
    by: Sequence[str] = ("strategy",),
    gradings: Sequence[str] = (FROM_THE_TOP, AT_RANDOM),
    n_splits: int = 25,
    ci: Bootstrap = Bootstrap(),
) -> pd.DataFrame:
    """What a number of grades certifies, chosen by `certify` and at random, on graded answers.

    A random half of the images is the pool of which so many answers are graded; the threshold is
    judged on the other half. Random grades are tested by `selective_threshold`.

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
    ci : Bootstrap
        Its seed is that of the halves and of the orders of grading.

    Returns
    -------
    pandas.DataFrame
        One row a group, number of grades and way to choose them:

        - the `by` columns
        - budget: answers that may be graded
        - grading: "from the top" or "at random"
        - certified: share of the halves in which a threshold was certified
        - coverage, coverage_low, coverage_high: of the other half, mean of all halves (0 without a
          threshold), and its 95 % interval over halves (Student's t)
        - risk: share wrong of what is retained there, mean of those with a threshold
        - n_graded: answers graded, median

    Raises
    ------
    ValueError
        On a column the table lacks; on a risk or delta outside (0, 1).

    Examples
    --------
    >>> from medcal_nb.measure import example_answers
    >>> answers = example_answers(1000).query("domain == 'general'")
    >>> table = certify_table(answers, [100], risk=0.2)
    >>> table[["strategy", "grading", "coverage"]].round(2).to_numpy().tolist()[:2]
    [['p_true', 'from the top', 0.59], ['p_true', 'at random', 0.43]]
    """
    cells = list(product(budgets, gradings))
    trials = []
    for key, part in parts_by(graded[graded["correct"].notna()], by):
        for half in _halves(part, n_splits, ci):
            for budget, grading in cells:
                row = key | {"budget": budget, "grading": grading}
                trials.append(row | _judged(half, grading, risk, delta, budget))
    names = [*by, "budget", "grading"]
    table = pd.DataFrame(trials).groupby(names, sort=False, dropna=False, observed=True)
    means = table[["certified", "coverage", "risk"]].mean()
    reach = student(0.95, n_splits - 1) * table["coverage"].sem()
    means.insert(2, "coverage_low", (means["coverage"] - reach).clip(lower=0))
    means.insert(3, "coverage_high", (means["coverage"] + reach).clip(upper=1))
    means["n_graded"] = table["n_graded"].median().astype(int)
    return means.reset_index()


class _Half(NamedTuple):
    """Confidence, grade and image of a pool, and the answers that it is judged on."""

    c: FloatArray
    y: FloatArray
    images: NDArray
    others: pd.DataFrame
    seed: int


def _halves(part: pd.DataFrame, n_splits: int, ci: Bootstrap) -> Iterator[_Half]:
    """Random halves of the images; who has no confidence is in no pool."""
    images = image_labels(part)
    codes, n_images = check_groups(images, len(part))
    rng = ci.stream(images)
    pairs = part[["confidence", "correct"]]
    has_confidence = part["confidence"].notna().to_numpy()
    for seed in range(n_splits):
        first = rng.permutation(n_images)[: n_images // 2]
        is_first = np.isin(codes, first)
        is_pool = is_first & has_confidence
        c, y = arrays(pairs[is_pool])
        others = pairs[~is_first]
        yield _Half(c=c, y=y, images=codes[is_pool], others=others, seed=seed)


def _judged(
    half: _Half, grading: str, risk: float, delta: float, budget: int
) -> dict[str, float]:
    """Whether a threshold was certified, its coverage and risk, and the answers graded."""
    threshold = np.inf
    n_graded = 0
    order = _order_of_grading(half.images, half.c.size, half.seed)
    if order.size and grading == FROM_THE_TOP:
        rule = _Rule(risk, delta, budget, half.seed, batch=1)
        stand = _certified(half.c, half.y, order, rule)
        threshold = stand.threshold
        n_graded = stand.n_graded
    elif order.size:
        chosen = order[:budget]
        threshold, _ = selective_threshold(
            half.c[chosen], half.y[chosen], target=risk, delta=delta
        )
        n_graded = chosen.size
    kept = half.others[half.others["confidence"] >= threshold]
    return {
        "certified": np.isfinite(threshold),
        "coverage": len(kept) / max(len(half.others), 1),
        "risk": 1 - kept["correct"].astype(float).mean(),
        "n_graded": n_graded,
    }
