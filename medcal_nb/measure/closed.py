"""Intervals of metrics in closed form, of one group of answers and of the difference of two.

Which a metric has is `Metric.interval`. Nothing is drawn: the same answers have the same digits in
every table.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ._check import check_groups, warn
from .intervals import clustered_interval
from .mover import (
    Part,
    correlations,
    difference_interval,
    joined,
    ratio_interval,
    skill_interval,
    strata_interval,
)
from .ranking import auroc_test
from .registry import Metric, Sums
from .resampling import UNKNOWN, FloatArray, Interval, tail_of

#: Confidence and outcome of answers.
Pair = tuple[FloatArray, FloatArray]


def closed_interval(
    metric: Metric,
    c: FloatArray,
    y: FloatArray,
    images: NDArray[np.intp],
    level: float,
) -> Interval:
    """The interval of a metric's kind; what it is of, its own sums say.

    `images` are the numbers of the answers' images. NaN ends, with a warning, where nothing shows
    how sure the number is.
    """
    kind = metric.interval
    sums = metric.sums(c, y)
    if kind == "share":
        ends = _share(sums, images, level)
    elif kind == "delong":
        ends = _delong(c, y, images, level)
    elif images.min() == images.max():
        warn("all answers are of one image: nothing shows their sampling noise")
        return UNKNOWN
    elif metric.is_endless and np.isin(c, (0, 1)).any():
        warn(
            f"{metric.name}: what a wrong answer of confidence 0 or 1 costs has no bound, and few "
            "samples hold one: no interval"
        )
        return UNKNOWN
    elif kind in ("strata", "skill"):
        if_right, *_ = metric.sums(c, np.ones_like(y)).features
        if_wrong, *_ = metric.sums(c, np.zeros_like(y)).features
        join = strata_interval if kind == "strata" else skill_interval
        ends = join([if_right, if_wrong], y, images, level)
    else:
        first, second = sums.features
        of_two = difference_interval if kind == "difference" else ratio_interval
        ends = of_two(first, second, images, level)
    return Interval(*np.clip(ends, *metric.bounds))


def _delong(
    c: FloatArray, y: FloatArray, images: NDArray[np.intp], level: float
) -> Interval:
    """The interval of an AUROC."""
    test = auroc_test(c, y, groups=images, level=level)
    if np.isnan(test["p"]):
        warn("AUROC: one image holds an outcome, or nothing varies: no interval")
    return Interval(low=test["low"], estimate=test["auroc"], high=test["high"])


def _share(sums: Sums, images: NDArray[np.intp], level: float) -> Interval:
    """Wilson's interval, by image, of a mean of 0 and 1, or of those that are counted."""
    hits = sums.features[0]
    if len(sums.features) > 1:
        counted = sums.features[1] > 0
        hits = hits[counted]
        images = images[counted]
    low, high = clustered_interval(hits, images, level=level)
    return Interval(low=low, estimate=hits.mean(), high=high)


def closed_difference(
    metric: Metric, one: Pair, other: Pair, images: NDArray[np.intp], level: float
) -> dict[str, float]:
    """Difference of a metric of two groups, first minus second, by MOVER (`mover`).

    `images` are those of the first, then those of the second: where the two share images their
    errors are correlated (a paired comparison), else they are two samples. The P value is the
    level at which the interval ends at 0.
    """
    n_images = int(images.max()) + 1
    groups = []
    for pair, own in zip((one, other), np.split(images, [one[0].size]), strict=True):
        sums = metric.sums(*pair)
        pull = _pull(sums, own, n_images)
        codes = np.unique(own, return_inverse=True)[1]
        groups.append((pair, codes, sums.value(), pull))
    outcomes = np.concatenate([one[1], other[1]])

    def at(level: float) -> Interval:
        parts = []
        for pair, codes, value, pull in groups:
            ends = closed_interval(metric, *pair, codes, level)
            parts.append(Part(low=ends.low, value=value, high=ends.high, pull=pull))
        a, b = parts
        known = correlations(parts, outcomes, images)
        return joined(a.value - b.value, parts, [1.0, -1.0], known)

    found = at(level)
    return {
        "value_a": groups[0][2],
        "value_b": groups[1][2],
        "difference": found.estimate,
        "difference_low": found.low,
        "difference_high": found.high,
        "p": p_of_zero(at) if found.low <= found.high else np.nan,
    }


def closed_p(metric: Metric, c: FloatArray, y: FloatArray, images: NDArray) -> float:
    """P value of "the metric is 0", NaN where it has no interval; `images` name the answers'."""
    codes, _ = check_groups(images, c.size)

    def at(level: float) -> Interval:
        return closed_interval(metric, c, y, codes, level)

    found = at(0.5)
    return p_of_zero(at) if found.low <= found.high else np.nan


def p_of_zero(at: Callable[[float], Interval]) -> float:
    """Two-sided P value of "the number is 0": 1 less the level at which its interval ends there.

    `at` gives the interval at a level.
    """
    sign = np.sign(at(0.5).estimate)

    def left(tail: float) -> float:
        ends = at(1 - 2 * tail)
        return sign * (ends.low if sign > 0 else ends.high)

    return 2 * tail_of(left)


def _pull(sums: Sums, images: NDArray[np.intp], n_images: int) -> FloatArray:
    """(n_images,) what each image adds to the error of a number, by the jackknife."""
    columns = [np.bincount(images, minlength=n_images).astype(float)]
    for feature in sums.features:
        columns.append(np.bincount(images, feature, n_images))
    own = np.stack(columns, axis=-1)  # (n_images, 1 + k)
    total = own.sum(axis=0)
    without = sums.finish((total - own)[:, None])
    whole = sums.finish(total[None, None])
    return np.asarray(whole - without)
