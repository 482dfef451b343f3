"""Tables whose rows are compared pair by pair: the same resamples of images for all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .registry import METRICS
from .resampling import (
    UNBOUNDED,
    Bootstrap,
    FloatArray,
    Resamples,
    percentile_ends,
    two_sided_p,
)
from .rows import image_labels

Mean = Callable[[FloatArray], FloatArray]
IMAGE = "_image"
UNIT = "_unit"


def means(**columns: str | tuple[str, str]) -> Callable:
    """A statistic for :func:`paired`: means of columns.

    Parameters
    ----------
    **columns : str or tuple of two str
        By name of the result: a column, or two, whose difference (first - second) is meant.
    """

    def statistic(part: pd.DataFrame, mean: Mean) -> dict:
        row = {}
        for name, column in columns.items():
            if isinstance(column, str):
                values = part[column].astype(float)
            else:
                first, second = column
                values = part[first].astype(float) - part[second].astype(float)
            row[name] = mean(values.to_numpy())
        return row

    return statistic


def with_ends(
    values: Mapping, *, level: float, n_groups: float, bounds: Mapping | None = None
) -> dict:
    """By name: draws as their estimate with ``_low`` and ``_high``, plain numbers as they are.

    Parameters
    ----------
    values : mapping
        Name → (1 + B,) draws, the estimate first; or a number.
    level, n_groups
        As in `percentile_ends`.
    bounds : mapping, optional
        Name → least and largest value; those of a metric are known.
    """
    row = {}
    for name, draws in values.items():
        row[name] = draws
        if np.ndim(draws):
            own = (bounds or {}).get(name, UNBOUNDED)
            if name in METRICS:
                own = METRICS[name].bounds
            low, high = percentile_ends(
                draws, level=level, n_groups=n_groups, bounds=own
            )
            row[name] = draws[0]
            row[f"{name}_low"] = low
            row[f"{name}_high"] = high
    return row


def _mean(drawn: Resamples, codes: NDArray[np.intp], values: FloatArray) -> FloatArray:
    """(1 + r,) mean of (n,) values in each resample; NaN where none of the rows is drawn."""
    with np.errstate(invalid="ignore"):
        return drawn.total(values, codes) / drawn.total(np.ones(len(values)), codes)


def paired(
    graded: pd.DataFrame,
    by: Sequence[str],
    statistic: Callable,
    *,
    tested: str = "",
    ci: Bootstrap = Bootstrap(),
) -> pd.DataFrame:
    """One row per group: statistics with intervals of the bootstrap by image.

    All groups see the same resamples of images, so that rows can be compared pair by pair.

    Parameters
    ----------
    graded : DataFrame
        One row per item and whatever makes the groups.
    by : sequence of str
        Columns that make the groups.
    statistic : callable
        ``statistic(part, mean) -> {name: draws}``, where ``mean(values)`` is the mean of one
        number a row in the sample and in each resample, (1 + ci.n,); a plain number among the
        values gets no interval.
    tested : str, optional
        Name of a value whose two-sided P value of being 0 is the column p.
    ci : Bootstrap
        Level, number of resamples and seed of the intervals, by image.

    Returns
    -------
    DataFrame
        The ``by`` columns, n, n_images and, per name, its value with ``_low`` and ``_high``; p.
    """
    images = image_labels(graded)
    resamples = ci.of(images)
    table = graded.assign(**{IMAGE: images, UNIT: resamples.codes})
    rows = []
    for key, part in table.groupby(list(by), sort=False, observed=True):
        codes = part[UNIT].to_numpy()
        values = statistic(part, partial(_mean, resamples, codes))
        row = dict(zip(by, key, strict=True))
        row |= {"n": len(part), "n_images": part[IMAGE].nunique()}
        n_groups = resamples.effective(codes)
        row |= with_ends(values, level=ci.level, n_groups=n_groups)
        if tested:
            row["p"] = two_sided_p(values[tested], n_groups=n_groups)
        rows.append(row)
    return pd.DataFrame(rows)
