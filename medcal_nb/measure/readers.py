"""AUROC of readers over cases: intervals that count both as samples.

Several readers read the same cases. Their answers to one case are alike, and so are the answers
of one reader: neither counts as many times as there are rows. The variance of an average over
both is estimated without bias by a U-statistic over pairs of terms, whatever the design (every
reader every case, or each some of them).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ._check import check_correct, warn
from .resampling import UNBOUNDED, FloatArray, student, within
from .rows import arrays, image_labels, measured, parts_by

MANY = 1e9  # degrees of freedom of a normal


class ReaderInterval(NamedTuple):
    """An AUROC over readers and cases, or a difference of two, with its interval.

    `se` is the standard error, `df` the degrees of freedom of Student's t, `p` the two-sided p
    value against 0.5, of a difference against 0.
    """

    low: float
    estimate: float
    high: float
    se: float
    df: float
    p: float
    n_readers: int
    n_cases: int


class _Kernel(NamedTuple):
    """Terms of one average, (readers, cases without, cases with) each.

    They are 0, ½ or 1, which 32 bits hold as they are; all sums have 64.
    """

    weights: NDArray  # True where the reader read both cases
    terms: NDArray  # 0 elsewhere


def mrmc_auroc(
    score: ArrayLike,
    truth: ArrayLike,
    reader: ArrayLike,
    case: ArrayLike,
    *,
    condition: ArrayLike | None = None,
    level: float = 0.95,
) -> ReaderInterval:
    r"""Reader-averaged AUROC, or its difference between two conditions, with its interval.

    The average of s(score without, score with), 1, ½ or 0, over readers and pairs of a case
    without and a case with the condition of `truth`, each read by the reader. Its variance is

    .. math:: \hat V = \sum_e \frac{N_e}{N^2} \bar p_e - \bar p_\varnothing

    where e runs over what two terms may share (reader, case without, case with), N\ :sub:`e` of
    the N² pairs of terms share exactly e, and p̄\ :sub:`e` is the mean product over these.

    Parameters
    ----------
    score : (n,) array
        The larger, the more the reader believes in the positive class.
    truth : (n,) array of 0 and 1
        Of the case.
    reader, case : (n,) arrays
        Who read what; each pair at most once (a condition).
    condition : (n,) array, optional
        Two values: the estimate is the AUROC under the first of them, in sorted order, minus that
        under the second.
    level : float
        Nominal coverage, in (0, 1).

    Returns
    -------
    ReaderInterval
        Student's t with Satterthwaite's degrees of freedom: those of the readers, their number
        less one, count for the share of the variance that comes from readers. That of one AUROC
        is taken for its log-odds, that of a difference as it is. With one reader
        the interval holds for this reader alone, and a warning says so.

    Raises
    ------
    ValueError
        On arrays of different lengths, a case read twice, a truth that differs within a case, a
        class without a case, or a condition that has not two values.

    References
    ----------
    Gallas, Academic Radiology 2006, doi:10.1016/j.acra.2005.11.030. Any design: Gallas & Brown,
    Neural Networks 2008, doi:10.1016/j.neunet.2007.12.013. Degrees of freedom: Hillis, Statistics
    in Medicine 2007, doi:10.1002/sim.2532.

    Examples
    --------
    Four readers, sixty cases, every second one positive:

    >>> rng = np.random.default_rng(0)
    >>> reader = np.repeat(["a", "b", "c", "d"], 60)
    >>> case = np.tile(np.arange(60), 4)
    >>> truth = case % 2
    >>> score = truth + rng.normal(size=60)[case] + rng.normal(size=240)
    >>> found = mrmc_auroc(score, truth, reader, case)
    >>> f"{found.estimate:.2f} [{found.low:.2f}, {found.high:.2f}]"
    '0.80 [0.71, 0.87]'
    """
    columns = {
        "score": np.asarray(score, dtype=float),
        "truth": check_correct(truth),
        "reader": np.asarray(reader),
        "case": np.asarray(case),
    }
    table = pd.DataFrame(columns)
    table["condition"] = 0 if condition is None else np.asarray(condition)
    _check_readings(table)
    truths = table.groupby("case")["truth"].first()
    without = truths.index[truths == 0]
    positive = truths.index[truths == 1]
    if without.empty or positive.empty:
        raise ValueError("truth: AUROC needs cases of both classes")
    kernels = []
    for read in _readings(table):
        kernels.append(_kernel(read[without].to_numpy(), read[positive].to_numpy()))
    n_rarer = min(len(without), len(positive))
    found = _interval(kernels, n_rarer, level)
    return found._replace(n_cases=len(truths))


def mrmc_table(
    answers: pd.DataFrame,
    *,
    by: Sequence[str] = (),
    condition: str | None = None,
    case: str = "item_id",
    level: float = 0.95,
) -> pd.DataFrame:
    """AUROC over readers and cases of each group of graded answers.

    Parameters
    ----------
    answers : pandas.DataFrame
        Graded answers with columns reader, `case`, confidence, correct, and dataset where
        known; one row a reader and case (a condition). Of a case all readers judge the same
        claim, so that `correct` is one for a case. Rows without confidence or grade are left out.
    by : sequence of str
        Columns whose combinations make the groups.
    condition : str, optional
        A column of two values: differences, the first in sorted order minus the second.
    case : str
        The column that names the case; "image_id" where a condition shows a case in two ways.
    level : float
        Nominal coverage, in (0, 1).

    Returns
    -------
    pandas.DataFrame
        One row a group:

        - the `by` columns
        - estimate: mean over readers and cases, or the difference of the conditions
        - low, high: its interval
        - se: standard error
        - df: degrees of freedom of Student's t
        - p: two-sided, against 0.5, of a difference against 0
        - n_readers, n_cases: different ones

    Raises
    ------
    ValueError
        On a column the table lacks, or as `mrmc_auroc`.

    Examples
    --------
    >>> from medcal_nb.measure import example_answers
    >>> answers = example_answers(models=["r1", "r2", "r3"], strategies=["alone"])
    >>> answers = answers.rename(columns={"model": "reader"})
    >>> first = answers.groupby("item_id")["correct"].transform("first")
    >>> table = mrmc_table(answers.assign(correct=first), by=["domain"])
    >>> table[["domain", "estimate", "n_readers"]].round(2).to_numpy().tolist()
    [['general', 0.58, 3], ['medical', 0.56, 3]]
    """
    rows = []
    for key, part in parts_by(measured(answers), by):
        confidence, correct = arrays(part)
        found = mrmc_auroc(
            confidence,
            correct,
            part["reader"],
            image_labels(part, case),
            condition=None if condition is None else part[condition],
            level=level,
        )
        rows.append(key | found._asdict())
    return pd.DataFrame(rows)


def _check_readings(table: pd.DataFrame) -> None:
    """One row a reading, one truth a case, at most two conditions."""
    if table["score"].isna().any():
        raise ValueError("a reading has no score: leave such rows out first")
    n = table["condition"].nunique()
    if n > 2:
        raise ValueError(f"condition must have two values, has {n}")
    twice = table.duplicated(["reader", "case", "condition"])
    if twice.any():
        row = table[twice].iloc[0]
        raise ValueError(f"reader {row['reader']} reads case {row['case']} twice")
    n_truths = table.groupby("case")["truth"].nunique()
    if n_truths.max() > 1:
        raise ValueError(f"truth: case {n_truths.idxmax()} is both 0 and 1")


def _readings(table: pd.DataFrame) -> list[pd.DataFrame]:
    """Of each condition: scores, readers in rows and cases in columns, NaN where not read."""
    scores = table.set_index(["condition", "reader", "case"])["score"]
    scores = scores.unstack("case")
    readers = np.unique(table["reader"])
    parts = []
    for _, part in scores.groupby(level="condition"):
        of_readers = part.droplevel("condition")
        parts.append(of_readers.reindex(readers))
    return parts


def _kernel(without: NDArray, positive: NDArray) -> _Kernel:
    """Whether the case with the condition is above the other, of (readers, cases) scores."""
    low = without[:, :, None]
    high = positive[:, None, :]
    # (readers, cases without, cases with); what was not read is neither above nor level
    terms = (high > low).astype(np.float32)
    terms[high == low] = 0.5
    were_read = ~np.isnan(high) & ~np.isnan(low)
    return _Kernel(weights=were_read, terms=terms)


def _interval(kernels: list[_Kernel], n_cases: int, level: float) -> ReaderInterval:
    """Student's t around the average of one kernel, or the difference of two."""
    from scipy.special import stdtr

    signed = list(zip((1.0, -1.0), kernels, strict=False))
    n_readers = len(kernels[0].weights)
    estimate = 0.0
    variance = 0.0
    # of each reader: weighted distance from the average, summed over conditions
    distances = np.zeros(n_readers)
    for sign, kernel in signed:
        estimate += sign * _total(kernel.terms) / _total(kernel.weights)
        distances += sign * _distances(kernel)
        for other_sign, other in signed:
            variance += sign * other_sign * _covariance(kernel, other)
    by_readers = 0.0
    if n_readers > 1:
        by_readers = (distances**2).sum() * n_readers / (n_readers - 1)
    else:
        warn("one reader alone: the interval holds for this reader, not for others")
    # cases cannot take variance away: without them it is that between the readers
    variance = max(variance, by_readers)
    uncertain = (variance - by_readers) ** 2 / max(n_cases - 1, 1)
    uncertain += by_readers**2 / max(n_readers - 1, 1)
    se = np.sqrt(variance)
    df = variance**2 / uncertain if uncertain > 0 else MANY
    half = se * student(level, df)
    is_one = len(kernels) == 1
    low, high = within(estimate, half, half, (0.0, 1.0) if is_one else UNBOUNDED)
    away = abs(estimate - 0.5) if is_one else abs(estimate)
    return ReaderInterval(
        low=low,
        estimate=estimate,
        high=high,
        se=se,
        df=df,
        p=2 * stdtr(df, -away / se) if se > 0 else np.nan,
        n_readers=n_readers,
        n_cases=n_cases,
    )


def _distances(kernel: _Kernel) -> FloatArray:
    """(readers,) what each reader adds to the average's distance from the average of all."""
    n = kernel.weights.sum(axis=(1, 2), dtype=float)
    terms = kernel.terms.sum(axis=(1, 2), dtype=float)
    mean = terms.sum() / n.sum()
    return (terms - n * mean) / n.sum()


def _total(values: NDArray) -> float:
    return values.sum(dtype=float)


def _covariance(first: _Kernel, second: _Kernel) -> float:
    """Unbiased covariance of two averages over the same readers and cases."""
    products = _by_shared(first.terms, second.terms)
    numbers = _by_shared(first.weights, second.weights)
    total = _total(first.weights) * _total(second.weights)
    covariance = 0.0
    for shared, number in numbers.items():
        mean = products[shared] / number if number > 0.5 else 0.0
        covariance += number / total * mean
        if not shared:
            covariance -= mean
    return covariance


def _by_shared(a: NDArray, b: NDArray) -> dict[tuple, float]:
    """Sum of products over pairs of terms that share exactly these indices, for every choice.

    Pairs that share at least some indices are summed by margins; exact sharing follows by
    inclusion and exclusion.
    """
    # an index with one value is shared by all terms: nothing is drawn along it
    axes = [axis for axis, size in enumerate(a.shape) if size > 1]
    choices: list[tuple] = []
    for size in range(len(axes) + 1):
        choices += combinations(axes, size)
    at_least = {}
    for shared in choices:
        free = tuple(axis for axis in axes if axis not in shared)
        if free:
            products = a.sum(axis=free, dtype=float) * b.sum(axis=free, dtype=float)
            at_least[shared] = _total(products)
        else:
            # reader by reader: all products at once would take gigabytes
            at_least[shared] = sum(_total(x * y) for x, y in zip(a, b, strict=True))
    exact = dict.fromkeys(choices, 0.0)
    for shared in choices:
        for larger in choices:
            if set(shared) <= set(larger):
                sign = (-1) ** (len(larger) - len(shared))
                exact[shared] += sign * at_least[larger]
    return exact
