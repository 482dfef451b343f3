"""Groups of answers beside each other: differences, the worst group, models as a sample."""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from ._check import check_choice, check_groups
from .intervals import clustered_interval, holm
from .paired import with_ends
from .ranking import auroc_difference
from .registry import METRICS
from .resampling import (
    UNBOUNDED,
    Bounds,
    Resamples,
    percentile_ends,
    two_sided_p,
)
from .rows import arrays, image_labels, measured, parts_by

STATISTICS = ("mean", "median", "count")
FIXED_STREAM = 0  # the resamples of models where no generator is handed over


def difference_table(
    graded: pd.DataFrame,
    column: str,
    *,
    metrics: Sequence[str] = ("gap",),
    reference: object = None,
    by: Sequence[str] = (),
    level: float = 0.95,
    n_resamples: int = 2000,
    rng: np.random.Generator,
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
        Of `METRICS`: means, functions of means, and "auroc" (by `auroc_difference`).
    reference : optional
        A value of the column: every other group minus this one. None: every two groups.
    by : sequence of str
        Columns within whose combinations groups are compared (model).
    level, n_resamples, rng
        Of the intervals of the bootstrap by image.

    Returns
    -------
    pandas.DataFrame
        One row a pair and metric:

        - the `by` columns
        - metric: its name
        - a, b, n_a, n_b: the groups and their answers
        - value_a, value_b: of the metric
        - difference: a − b, with unadjusted _low, _high
        - p: two-sided, by Student's t
        - p_holm: Holm over all rows
        - differs: p_holm ≤ 1 − level

    Raises
    ------
    ValueError
        On a column the table lacks, an unknown metric, or a reference that does not occur.

    Examples
    --------
    >>> from medcal_nb.measure import example_answers
    >>> rng = np.random.default_rng(0)
    >>> answers = example_answers()
    >>> table = difference_table(answers, "domain", reference="general", n_resamples=200, rng=rng)
    >>> table[["a", "b", "differs"]].to_numpy().tolist()
    [['medical', 'general', True]]
    """
    comparable = [one.name for one in METRICS.values() if one.interval != "inversion"]
    for name in metrics:
        check_choice(name, "metrics", comparable)
    (stream,) = rng.spawn(1)
    rows = []
    for key, part in parts_by(measured(graded), by):
        for a, one, b, other in _pairs(part, column, reference):
            images = np.concatenate([image_labels(one), image_labels(other)])
            drawn = Resamples(images, n_resamples, stream)
            pair = {"a": a, "b": b, "n_a": len(one), "n_b": len(other)}
            for name in metrics:
                row = key | {"metric": name} | pair
                if name == "auroc":
                    rows.append(row | _auroc_difference(one, other, images, level))
                else:
                    rows.append(row | _difference(name, one, other, drawn, level))
    names = ["metric", "a", "b", "n_a", "n_b", "value_a", "value_b", "difference"]
    names += ["difference_low", "difference_high", "p"]
    table = pd.DataFrame(rows, columns=[*by, *names])
    table["p_holm"] = holm(table["p"].to_numpy(float))
    table["differs"] = table["p_holm"] <= 1 - level
    return table


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
    name: str,
    one: pd.DataFrame,
    other: pd.DataFrame,
    drawn: Resamples,
    level: float,
) -> dict[str, float]:
    """A metric of both groups and its difference; `drawn` has their rows one after the other."""
    codes_a, codes_b = np.split(drawn.codes(), [len(one)])
    sums = METRICS[name].sums
    draws_a = sums(*arrays(one)).resampled(drawn, codes_a)
    draws_b = sums(*arrays(other)).resampled(drawn, codes_b)
    draws = draws_a - draws_b
    n_groups = min(drawn.effective(codes_a), drawn.effective(codes_b))
    row = {"value_a": draws_a[0], "value_b": draws_b[0]}
    row |= with_ends({"difference": draws}, level=level, n_groups=n_groups)
    return row | {"p": two_sided_p(draws, n_groups=n_groups)}


def _auroc_difference(
    one: pd.DataFrame, other: pd.DataFrame, images: np.ndarray, level: float
) -> dict[str, float]:
    """As `_difference`, of the AUROC."""
    images_a, images_b = np.split(images, [len(one)])
    test = auroc_difference(
        *arrays(one), *arrays(other), groups_a=images_a, groups_b=images_b, level=level
    )
    names = {
        "auroc_a": "value_a",
        "auroc_b": "value_b",
        "low": "difference_low",
        "high": "difference_high",
    }
    return test.rename(names).to_dict()


def worst_group(
    graded: pd.DataFrame,
    column: str,
    *,
    metric: str = "gap",
    level: float = 0.95,
    n_resamples: int = 2000,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """A metric of every group with intervals that hold for all groups together, largest first.

    Whichever group is picked because it is the largest, its interval holds: each is at the level
    1 − (1 − level) / k (Bonferroni). By image; an image may be in several groups.

    Parameters
    ----------
    graded : pandas.DataFrame
        With confidence, correct, item_id and the column of the groups.
    column : str
        Its values are the groups; rows without one are left out.
    metric : str
        One of `METRICS` that is a mean, or a function of means.
    level : float
        That all intervals hold together, in (0, 1).
    n_resamples, rng
        Of the bootstrap by image.

    Returns
    -------
    pandas.DataFrame
        One row a group, the one with the largest absolute value first:

        - the `column`
        - n, n_images: answers and images
        - n_groups: among which the first row was picked
        - the `metric` column, with simultaneous _low, _high

    Raises
    ------
    ValueError
        On a column the table lacks, or an unknown metric.

    Examples
    --------
    >>> from medcal_nb.measure import example_answers
    >>> rng = np.random.default_rng(0)
    >>> table = worst_group(example_answers(), "domain", n_resamples=200, rng=rng)
    >>> table[["domain", "gap"]].round(2).iloc[0].tolist()
    ['medical', np.float64(0.2)]
    """
    known = [
        one.name for one in METRICS.values() if one.interval in ("bootstrap", "share")
    ]
    check_choice(metric, "metric", known)
    answers = measured(graded)
    parts = parts_by(answers[answers[column].notna()], column)
    drawn = Resamples(image_labels(answers), n_resamples, rng)
    each = 1 - (1 - level) / max(len(parts), 1)
    rows = []
    for key, part in parts:
        images = image_labels(part)
        codes = drawn.codes(images)
        draws = METRICS[metric].sums(*arrays(part)).resampled(drawn, codes)
        n_groups = drawn.effective(codes)
        about = {"n": len(part), "n_images": len(set(images)), "n_groups": len(parts)}
        ends = with_ends({metric: draws}, level=each, n_groups=n_groups)
        rows.append(key | about | ends)
    return pd.DataFrame(rows).sort_values(
        metric, key=np.abs, ascending=False, ignore_index=True, kind="stable"
    )


def over_models(
    table: pd.DataFrame,
    value: str,
    *,
    by: Sequence[str] = (),
    statistic: str = "median",
    level: float = 0.95,
    bounds: Bounds = UNBOUNDED,
    n_resamples: int = 2000,
    rng: np.random.Generator | None = None,
) -> pd.DataFrame:
    """A number over models, with the interval of models as a random sample of models.

    What another set of models like these might show: the sampling noise of answers is a part of
    how far models differ. Mean and median by the bootstrap that draws models with all their rows
    (a jackknife of a median does not hold its level), a count by Wilson's interval clustered by
    model.

    Parameters
    ----------
    table : pandas.DataFrame
        One row or more a model.
    value : str
        Column of numbers; for "count" of true and false.
    by : sequence of str
        Columns that make the groups.
    statistic : {"median", "mean", "count"}
        Over the rows of a group.
    level : float
        Nominal coverage, in (0, 1).
    bounds : tuple
        Least and largest value that the number can have: (0, 1) for a share. Those of a metric are
        known. An end past a bound is put at it, which costs no coverage.
    n_resamples, rng
        Of the bootstrap; None: a fixed stream.

    Returns
    -------
    pandas.DataFrame
        One row a group:

        - the `by` columns
        - n_models, n: models and rows; those without a value are left out
        - the `value` column, with _low, _high; NaN for a single model

    Raises
    ------
    ValueError
        On a column the table lacks, or an unknown statistic.

    Examples
    --------
    >>> table = pd.DataFrame({"model": list("aabbcc"), "cost": [0.1, 0.2, 0.3, 0.2, 0.5, 0.4]})
    >>> over_models(table, "cost").round(2).to_numpy().tolist()
    [[3.0, 6.0, 0.25, -0.02, 0.79]]
    >>> over_models(table, "cost", bounds=(0, 1)).round(2).to_numpy().tolist()
    [[3.0, 6.0, 0.25, 0.0, 0.79]]
    >>> table["raised"] = table["cost"] > 0.25
    >>> over_models(table, "raised", statistic="count").round(1).to_numpy().tolist()
    [[3.0, 6.0, 3.0, 0.4, 5.6]]
    """
    check_choice(statistic, "statistic", STATISTICS)
    parts_by(table[:0], ["model", value])
    rng = np.random.default_rng(FIXED_STREAM) if rng is None else rng
    least, most = METRICS[value].bounds if value in METRICS else bounds
    rows = []
    for key, part in parts_by(table[table[value].notna()], by):
        values = part[value].to_numpy(float)
        models, n_models = check_groups(part["model"], len(part))
        row = {"n_models": n_models, "n": len(part), value: np.nan}
        if statistic == "count":
            share = clustered_interval(values, models, level=level)
            ends = len(values) * np.array(share)
            row[value] = values.sum()
        else:
            own = [values[models == k] for k in range(n_models)]
            draws = _drawn_models(own, getattr(np, statistic), n_resamples, rng)
            wide = percentile_ends(draws, level=level, n_groups=n_models)
            ends = np.clip(wide, least, most)
            row[value] = draws[0]
        low, high = ends if n_models > 1 else (np.nan, np.nan)
        rows.append(key | row | {f"{value}_low": low, f"{value}_high": high})
    return pd.DataFrame(rows)


def _drawn_models(
    own: list[np.ndarray], statistic: Any, n_resamples: int, rng: np.random.Generator
) -> np.ndarray:
    """(1 + n_resamples,) a statistic of the values of all models, then of models drawn again."""
    draws = [statistic(np.concatenate(own))]
    for chosen in rng.integers(0, len(own), (n_resamples, len(own))):
        draws.append(statistic(np.concatenate([own[i] for i in chosen])))
    return np.array(draws)
