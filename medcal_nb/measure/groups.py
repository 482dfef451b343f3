"""Groups of answers beside each other: differences, the worst group, models as a sample."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ._check import check_choice, check_groups
from .closed import Pair, closed_difference
from .intervals import holm
from .mover import student_half
from .ranking import auroc_difference
from .registry import METRICS, Metric
from .resampling import (
    Bootstrap,
    Interval,
    Resamples,
    percentile_ends,
    two_sided_p,
)
from .rows import arrays, image_labels, measured, parts_by
from .tables import metrics_table

LEVEL = 0.95  # of the intervals over models
UNPAIRED = ("inversion", "none")  # kinds of intervals of which there is no difference


def difference_table(
    graded: pd.DataFrame,
    column: str,
    *,
    metrics: Sequence[str] = ("gap",),
    reference: object = None,
    by: Sequence[str] = (),
    ci: Bootstrap = Bootstrap(),
) -> pd.DataFrame:
    """Groups of answers compared pair by pair, corrected for the number of comparisons.

    Images are drawn once for both groups of a pair: where these are answers about the same images
    (two elicitation methods; two data sets of one image set) the comparison is paired by image,
    else it is of two samples.

    Parameters
    ----------
    graded : pandas.DataFrame
        With confidence, correct, item_id, the column of the groups and those of `by`.
    column : str
        Its values are the groups.
    metrics : sequence of str
        Of `METRICS`, without ECEs and ICI. Accuracy, overconfidence, O:E, Brier score and
        its skill by MOVER, which holds where errors are rare; "auroc" as `auroc_test`; others by
        the bootstrap.
    reference : optional
        A value of the column: every other group minus this one. None: every two groups.
    by : sequence of str
        Columns within whose combinations groups are compared (model).
    ci : Bootstrap
        Level, number of resamples and seed of the intervals, by image.

    Returns
    -------
    pandas.DataFrame
        One row a pair and metric:

        - the `by` columns
        - metric: its name
        - a, b, n_a, n_b: the groups and their answers
        - value_a, value_b: of the metric
        - difference: a − b, with unadjusted _low, _high
        - p: two-sided; 0.05 or less exactly where the 95 % interval leaves 0 out
        - p_holm: Holm over all rows
        - differs: p_holm ≤ 1 − ci.level

    Raises
    ------
    ValueError
        On a column the table lacks, an unknown metric, or a reference that does not occur.

    Examples
    --------
    >>> from medcal_nb.measure import example_answers
    >>> table = difference_table(example_answers(), "domain", reference="general")
    >>> table[["a", "b", "differs"]].to_numpy().tolist()
    [['medical', 'general', True]]
    """
    comparable = [m.name for m in METRICS.values() if m.interval not in UNPAIRED]
    for name in metrics:
        check_choice(name, "metrics", comparable)
    rows = []
    for key, part in parts_by(measured(graded), by):
        for a, one, b, other in _pairs(part, column, reference):
            images = np.concatenate([image_labels(one), image_labels(other)])
            both = (arrays(one), arrays(other))
            pair = {"a": a, "b": b, "n_a": len(one), "n_b": len(other)}
            for name in metrics:
                row = _difference(METRICS[name], *both, images, ci)
                rows.append(key | {"metric": name} | pair | row)
    names = ["metric", "a", "b", "n_a", "n_b", "value_a", "value_b", "difference"]
    names += ["difference_low", "difference_high", "p"]
    return with_holm(pd.DataFrame(rows, columns=[*by, *names]), ci.level)


def with_holm(table: pd.DataFrame, level: float) -> pd.DataFrame:
    """The table with p values adjusted over all its rows, and which of them differ."""
    adjusted = holm(table["p"].to_numpy(float))
    return table.assign(p_holm=adjusted, differs=adjusted <= 1 - level)


def _pairs(
    graded: pd.DataFrame, column: str, reference: object
) -> Iterator[tuple[Any, pd.DataFrame, Any, pd.DataFrame]]:
    """(a, its rows, b, its rows) of the groups to compare."""
    groups = {key[column]: part for key, part in parts_by(graded, column)}
    pairs = [*combinations(groups, 2)]
    if reference is not None:
        check_choice(reference, "reference", groups)
        pairs = [(a, reference) for a in groups if a != reference]
    for a, b in pairs:
        yield a, groups[a], b, groups[b]


def _difference(
    metric: Metric, one: Pair, other: Pair, images: NDArray, ci: Bootstrap
) -> dict[str, float]:
    """A metric of both groups and its difference; `images` of the rows of one, then the other."""
    if metric.interval == "delong":
        return auroc_difference(one, other, images, ci.level)
    if metric.interval == "bootstrap":
        return _resampled_difference(metric, one, other, ci.of(images), ci.level)
    codes, _ = check_groups(images, images.size)
    return closed_difference(metric, one, other, codes, ci.level)


def _resampled_difference(
    metric: Metric, one: Pair, other: Pair, drawn: Resamples, level: float
) -> dict[str, float]:
    """By the bootstrap; `drawn` has the rows of both one after the other."""
    codes_a, codes_b = np.split(drawn.codes, [one[0].size])
    draws_a = metric.sums(*one).resampled(drawn, codes_a)
    draws_b = metric.sums(*other).resampled(drawn, codes_b)
    draws = draws_a - draws_b
    n_groups = min(drawn.effective(codes_a), drawn.effective(codes_b))
    least, most = metric.bounds
    low, high = percentile_ends(draws, level=level, n_groups=n_groups)
    return {
        "value_a": draws_a[0],
        "value_b": draws_b[0],
        "difference": draws[0],
        "difference_low": max(low, least - most),
        "difference_high": min(high, most - least),
        "p": two_sided_p(draws, n_groups=n_groups),
    }


def worst_group(
    graded: pd.DataFrame,
    column: str,
    *,
    ci: Bootstrap = Bootstrap(),
) -> pd.DataFrame:
    """Overconfidence of every group, intervals holding for all together, largest first.

    Whichever group is picked because it is the largest, its interval holds: each is at the level
    1 − (1 − level) / k (Bonferroni). By image; an image may be in several groups.

    Parameters
    ----------
    graded : pandas.DataFrame
        With confidence, correct, item_id and the column of the groups.
    column : str
        Its values are the groups; rows without one are left out.
    ci : Bootstrap
        The level that all intervals hold together; number and seed of the resamples.

    Returns
    -------
    pandas.DataFrame
        One row a group, the one with the largest absolute value first:

        - the `column`
        - n, n_images: answers and images; 0 images if they are unknown
        - gap: mean confidence minus accuracy, with simultaneous _low, _high

    Raises
    ------
    ValueError
        On a column the table lacks.

    Examples
    --------
    >>> from medcal_nb.measure import example_answers
    >>> table = worst_group(example_answers(), "domain")
    >>> table[["domain", "gap"]].round(2).iloc[0].tolist()
    ['medical', np.float64(0.2)]
    """
    answers = measured(graded)
    answers = answers[answers[column].notna()]
    n_groups = len(parts_by(answers, column))
    each = replace(ci, level=1 - (1 - ci.level) / max(n_groups, 1))
    table = metrics_table(answers, by=[column], metrics=["gap"], ci=each)
    table = table.drop(columns="n_missing")
    return table.sort_values(
        "gap", key=np.abs, ascending=False, ignore_index=True, kind="stable"
    )


def over_models(
    table: pd.DataFrame,
    value: str,
    *,
    by: Sequence[str] = (),
    statistic: str = "median",
) -> pd.DataFrame:
    r"""A number over models, with the interval of models as a random sample of models.

    What another set of models like these might show: the sampling noise of answers is a part of
    how far models differ. The interval of a median is of order statistics, exact whatever the
    distribution: from the r-th lowest to the r-th highest of k models it holds the median with

    .. math:: 1 - 2 P(B < r), \quad B \sim \mathrm{Binomial}(k, \tfrac12)

    and r is the largest that holds 95 %, or 1: of five models lowest to highest, 93.75 %. A
    model of several rows counts by its own median. A mean has Student's t with k − 1 degrees,
    clustered by model, which is too narrow where models are skewed (docs/intervals.md).

    Parameters
    ----------
    table : pandas.DataFrame
        One row or more a model.
    value : str
        Column of numbers.
    by : sequence of str
        Columns that make the groups.
    statistic : {"median", "mean"}
        Over the rows of a group.

    Returns
    -------
    pandas.DataFrame
        One row a group:

        - the `by` columns
        - n_models, n: models and rows; those without a value are left out
        - the `value` column, with _low, _high; NaN for a single model
        - level: that the interval holds

    Raises
    ------
    ValueError
        On a column the table lacks, or an unknown statistic.

    References
    ----------
    Order statistics: David & Nagaraja, Order Statistics, 2003, ch. 7.

    Examples
    --------
    >>> table = pd.DataFrame({"model": list("abcde"), "cost": [0.1, 0.2, 0.3, 0.2, 0.5]})
    >>> over_models(table, "cost").to_numpy().tolist()
    [[5.0, 5.0, 0.2, 0.1, 0.5, 0.9375]]
    """
    check_choice(statistic, "statistic", ("median", "mean"))
    of_models = _median_of_models if statistic == "median" else _mean_of_models
    parts_by(table[:0], ["model", value])
    rows = []
    for key, part in parts_by(table[table[value].notna()], by):
        found, level = of_models(part, value)
        row = {"n_models": part["model"].nunique(), "n": len(part)}
        row |= {value: found.estimate}
        row |= {f"{value}_low": found.low, f"{value}_high": found.high}
        rows.append(key | row | {"level": level})
    return pd.DataFrame(rows)


def _median_of_models(part: pd.DataFrame, value: str) -> tuple[Interval, float]:
    """The median, order statistics of the models' medians, and the level that they hold."""
    from scipy.stats import binom

    median = part[value].median()
    by_model = part.groupby("model", observed=True)
    own = np.sort(by_model[value].median())
    k = own.size
    if k < 2:
        return Interval(low=np.nan, estimate=median, high=np.nan), np.nan
    # the number of models below the median is binomial
    rank = max(int(binom.ppf((1 - LEVEL) / 2, k, 0.5)), 1)
    level = 1 - 2 * binom.cdf(rank - 1, k, 0.5)
    low = own[rank - 1]
    high = own[k - rank]
    return Interval(low=low, estimate=median, high=high), level


def _mean_of_models(part: pd.DataFrame, value: str) -> tuple[Interval, float]:
    """The mean of all rows, Student's interval clustered by model, and its level."""
    mean = part[value].mean()
    away = (part[value] - mean) / len(part)
    pull = away.groupby(part["model"], observed=True).sum().to_numpy(float)
    if pull.size < 2:
        return Interval(low=np.nan, estimate=mean, high=np.nan), np.nan
    half = student_half(pull, pull.size, LEVEL)
    return Interval(low=mean - half, estimate=mean, high=mean + half), LEVEL
