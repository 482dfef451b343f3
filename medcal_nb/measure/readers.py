"""Averages over readers and cases: intervals that count both as samples.

Several readers read the same cases. Their answers to one case are alike, and so are the answers
of one reader: neither counts as many times as there are rows. The variance of an average over
both is estimated without bias by a U-statistic over pairs of terms, whatever the design (every
reader every case, or each some of them).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, product
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ._check import check_choice, check_correct, warn
from .resampling import UNBOUNDED, FloatArray, student, within
from .rows import arrays, image_labels, measured, parts_by

MANY = 1e9  # degrees of freedom of a normal
READER_METRICS = ("auroc", "brier", "accuracy", "mean_confidence", "gap")


class ReaderInterval(NamedTuple):
    """An average over readers and cases, or a difference of two, with its interval.

    `se` is the standard error, `df` the degrees of freedom of Student's t, `p` the two-sided p
    value against 0 (of an AUROC alone: against 0.5).
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
    """Terms of one average: (readers, cases) or (readers, cases without, cases with).

    Those of pairs are 0, ½ or 1, which 32 bits hold as they are; all sums have 64.
    """

    weights: NDArray  # 1 or True where the term was observed
    terms: NDArray  # its value there, 0 elsewhere


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
    table = _long(score, reader, case, condition)
    table["truth"] = check_correct(truth)
    truths = table.groupby("case")["truth"].agg(["first", "nunique"])
    if (truths["nunique"] > 1).any():
        name = truths.index[truths["nunique"] > 1][0]
        raise ValueError(f"truth: case {name} is both 0 and 1")
    without = truths.index[truths["first"] == 0]
    positive = truths.index[truths["first"] == 1]
    if without.empty or positive.empty:
        raise ValueError("truth: AUROC needs cases of both classes")
    kernels = []
    for read in _readings(table):
        low = read[without].to_numpy()[:, :, None]
        high = read[positive].to_numpy()[:, None, :]
        # (readers, cases without, cases with); what was not read is neither above nor level
        terms = (high > low).astype(np.float32)
        terms[high == low] = 0.5
        kernels.append(_Kernel(~np.isnan(high) & ~np.isnan(low), terms))
    one = len(kernels) == 1
    found = _interval(
        kernels,
        level,
        n_cases=int(min(len(without), len(positive))),
        null=0.5 if one else 0.0,
        bounds=(0.0, 1.0) if one else UNBOUNDED,
    )
    return found._replace(n_cases=len(truths))


def mrmc_mean(
    value: ArrayLike,
    reader: ArrayLike,
    case: ArrayLike,
    *,
    condition: ArrayLike | None = None,
    level: float = 0.95,
) -> ReaderInterval:
    """Mean over readers and cases, or its difference between two conditions, with its interval.

    The U-statistic of `mrmc_auroc` with two indices. With `correct` as the value it is accuracy,
    with (confidence − correct)² the Brier score, with confidence − correct overconfidence
    (calibration-in-the-large).

    Parameters
    ----------
    value : (n,) array
        One number a reader and case (a condition).
    reader, case, condition, level
        As in `mrmc_auroc`.

    Returns
    -------
    ReaderInterval
        As of `mrmc_auroc`; p against 0.

    Raises
    ------
    ValueError
        As `mrmc_auroc`.

    References
    ----------
    As of `mrmc_auroc`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> reader = np.repeat(["a", "b", "c", "d"], 60)
    >>> case = np.tile(np.arange(60), 4)
    >>> correct = rng.random(240) < rng.uniform(0.5, 1, 60)[case]
    >>> found = mrmc_mean(correct, reader, case)
    >>> f"{found.estimate:.2f} [{found.low:.2f}, {found.high:.2f}]"
    '0.76 [0.69, 0.83]'
    """
    table = _long(value, reader, case, condition)
    kernels = []
    for read in _readings(table):
        values = read.to_numpy()
        seen = ~np.isnan(values)
        kernels.append(_Kernel(seen.astype(float), np.where(seen, values, 0.0)))
    return _interval(kernels, level, n_cases=table["case"].nunique())


def mrmc_table(
    answers: pd.DataFrame,
    *,
    by: Sequence[str] = (),
    condition: str | None = None,
    case: str = "item_id",
    metrics: Sequence[str] = READER_METRICS,
    level: float = 0.95,
) -> pd.DataFrame:
    """Averages over readers and cases of each group of graded answers.

    Parameters
    ----------
    answers : pandas.DataFrame
        Graded answers with columns reader, `case`, confidence, correct, and dataset where
        known; one row a reader and case (a condition). Rows without confidence or grade are left
        out.
    by : sequence of str
        Columns whose combinations make the groups.
    condition : str, optional
        A column of two values: differences, the first in sorted order minus the second.
    case : str
        The column that names the case; "image_id" where a condition shows a case in two ways.
    metrics : sequence of str
        Of auroc, brier, accuracy, mean_confidence, gap (confidence − accuracy). The AUROC needs
        cases of which all readers judge the same claim, so that `correct` is one for a case; it
        is left out elsewhere.
    level : float

    Returns
    -------
    pandas.DataFrame
        One row a group and metric:

        - the `by` columns
        - metric: its name
        - estimate: mean over readers and cases, or the difference of the conditions
        - low, high: its interval
        - se: standard error
        - df: degrees of freedom of Student's t
        - p: of the value 0, two-sided
        - n_readers, n_cases: different ones

    Raises
    ------
    ValueError
        On a column the table lacks, an unknown metric, or as `mrmc_mean`.

    Examples
    --------
    >>> from medcal_nb.measure import example_answers
    >>> answers = example_answers(models=["r1", "r2", "r3"], strategies=["alone"])
    >>> answers = answers.rename(columns={"model": "reader"})
    >>> table = mrmc_table(answers, by=["domain"], metrics=["accuracy"])
    >>> table[["domain", "estimate", "n_readers"]].round(2).to_numpy().tolist()
    [['general', 0.79, 3], ['medical', 0.52, 3]]
    """
    for name in metrics:
        check_choice(name, "metrics", READER_METRICS)
    rows = []
    for key, part in parts_by(measured(answers), by):
        confidence, correct = arrays(part)
        who = part["reader"].to_numpy()
        cases = image_labels(part, case)
        values = {
            "brier": (confidence - correct) ** 2,
            "accuracy": correct,
            "mean_confidence": confidence,
            "gap": confidence - correct,
        }
        arms = None if condition is None else part[condition].to_numpy()
        one_claim = (part.groupby(cases)["correct"].nunique() == 1).all()
        for name in metrics:
            if name == "auroc" and not (one_claim and part["correct"].nunique() == 2):
                continue
            if name == "auroc":
                found = mrmc_auroc(
                    confidence, correct, who, cases, condition=arms, level=level
                )
            else:
                found = mrmc_mean(values[name], who, cases, condition=arms, level=level)
            rows.append(key | {"metric": name} | found._asdict())
    return pd.DataFrame(rows)


def _long(
    value: ArrayLike,
    reader: ArrayLike,
    case: ArrayLike,
    condition: ArrayLike | None,
) -> pd.DataFrame:
    """One row a reading, checked."""
    values = np.asarray(value, dtype=float)
    arms = np.zeros(values.size) if condition is None else np.asarray(condition)
    columns = {
        "reader": np.asarray(reader),
        "case": np.asarray(case),
        "condition": arms,
    }
    for name, column in columns.items():
        if column.size != values.size:
            raise ValueError(
                f"{name} has {column.size} values, there are {values.size} readings"
            )
    if np.isnan(values).any():
        raise ValueError("a reading has no value: leave such rows out first")
    table = pd.DataFrame(columns)
    table["value"] = values
    n = table["condition"].nunique()
    if n > 2:
        raise ValueError(f"condition must have two values, has {n}")
    twice = table.duplicated(["reader", "case", "condition"])
    if twice.any():
        row = table[twice].iloc[0]
        raise ValueError(f"reader {row['reader']} reads case {row['case']} twice")
    return table


def _readings(table: pd.DataFrame) -> list[pd.DataFrame]:
    """Of each condition: values, readers in rows and cases in columns, NaN where not read."""
    values = table.set_index(["condition", "reader", "case"])["value"].unstack("case")
    index = values.index.get_level_values("reader").unique().sort_values()
    parts = values.groupby(level="condition")
    return [part.droplevel("condition").reindex(index) for _, part in parts]


def _interval(
    kernels: list[_Kernel],
    level: float,
    *,
    n_cases: int,
    null: float = 0.0,
    bounds: tuple[float, float] = UNBOUNDED,
) -> ReaderInterval:
    """Student's t around the average of one kernel, or the difference of two."""
    from scipy.special import stdtr

    signs = [1.0, -1.0][: len(kernels)]
    pairs = list(zip(signs, kernels, strict=True))
    estimate = sum(sign * _total(k.terms) / _total(k.weights) for sign, k in pairs)
    n_readers = len(kernels[0].weights)
    by_readers = 0.0
    if n_readers > 1:
        # of each reader: weighted distance from the average, summed over conditions
        parts = np.sum([sign * _distances(kernel) for sign, kernel in pairs], axis=0)
        by_readers = float((parts**2).sum()) * n_readers / (n_readers - 1)
    else:
        warn("one reader alone: the interval holds for this reader, not for others")
    both = product(pairs, repeat=2)
    variance = sum(a * b * _covariance(one, other) for (a, one), (b, other) in both)
    # cases cannot take variance away: without them it is that between the readers
    variance = max(variance, by_readers)
    uncertain = (variance - by_readers) ** 2 / max(n_cases - 1, 1)
    uncertain += by_readers**2 / max(n_readers - 1, 1)
    se = np.sqrt(variance)
    df = variance**2 / uncertain if uncertain > 0 else MANY
    half = se * student(level, df)
    low, high = within(estimate, half, half, bounds)
    return ReaderInterval(
        low=float(low),
        estimate=float(estimate),
        high=float(high),
        se=float(se),
        df=float(df),
        p=float(2 * stdtr(df, -abs(estimate - null) / se)) if se > 0 else np.nan,
        n_readers=n_readers,
        n_cases=n_cases,
    )


def _distances(kernel: _Kernel) -> FloatArray:
    """(readers,) what each reader adds to the average's distance from the average of all."""
    cases = tuple(range(1, kernel.weights.ndim))
    n = kernel.weights.sum(axis=cases, dtype=float)
    terms = kernel.terms.sum(axis=cases, dtype=float)
    return (terms - n * (terms.sum() / n.sum())) / n.sum()


def _total(values: NDArray) -> float:
    return float(values.sum(dtype=float))


def _covariance(first: _Kernel, second: _Kernel) -> float:
    """Unbiased covariance of two averages over the same readers and cases."""
    # an index with one value is shared by all terms: nothing is drawn along it
    axes = [axis for axis, size in enumerate(first.weights.shape) if size > 1]
    products = _by_shared(first.terms, second.terms, axes)
    numbers = _by_shared(first.weights, second.weights, axes)
    total = _total(first.weights) * _total(second.weights)
    covariance = 0.0
    apart = 0.0
    for shared, number in numbers.items():
        mean = products[shared] / number if number > 0.5 else 0.0
        covariance += number / total * mean
        if not shared:
            apart = mean
    return float(covariance - apart)


def _by_shared(a: NDArray, b: NDArray, axes: list[int]) -> dict[tuple, float]:
    """Sum of products over pairs of terms that share exactly these indices, for every choice.

    Pairs that share at least some indices are summed by margins; exact sharing follows by
    inclusion and exclusion.
    """
    choices = [c for size in range(len(axes) + 1) for c in combinations(axes, size)]
    at_least = {}
    for shared in choices:
        free = tuple(axis for axis in axes if axis not in shared)
        if free:
            margins = (x.sum(axis=free, dtype=float) for x in (a, b))
            at_least[shared] = float(np.prod(list(margins), axis=0).sum())
        else:
            # reader by reader: all products at once would take gigabytes
            at_least[shared] = sum(_total(x * y) for x, y in zip(a, b, strict=True))
    exact = {}
    for shared in choices:
        larger = [c for c in choices if set(shared) <= set(c)]
        signed = [(-1) ** (len(c) - len(shared)) * at_least[c] for c in larger]
        exact[shared] = sum(signed)
    return exact
