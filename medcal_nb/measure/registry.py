"""Metrics by name, each defined once: its value, its bootstrap and its column are of one formula.

Every metric of this room depends on the answers only through counts, and sums of a few features,
over cells: the bins of a diagram, the distinct confidences, the nodes of a grid. `Sums` says
which; what is computed from the sums of the sample itself is the metric, and from those of
resamples its bootstrap. A new metric is a function that makes `Sums`, a public function that calls
`evaluate`, and the line `@register(...)` above it.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._check import check_choice, check_pair, warn
from .resampling import NUMBERS_AT_ONCE, FloatArray, Resamples

#: More different confidences than this are put together into so many cells in resamples.
MOST_CELLS = 512

INTERVALS = (
    "bootstrap",
    "share",
    "difference",
    "ratio",
    "strata",
    "skill",
    "delong",
    "inversion",
    "none",
)


@dataclass(frozen=True)
class Sums:
    """A metric on given answers, ready to be computed from sums over cells.

    Attributes
    ----------
    cell : (n,) array or 0
        Cell of each answer; 0: one cell for all.
    n_cells : int
    features : tuple of (n,) array
        What is added up within a cell beside the count.
    finish : callable
        Turns (r, n_cells, 1 + k) sums, the count first, into (r,) values; NaN where undefined.
    """

    cell: NDArray[np.intp] | int
    n_cells: int
    features: tuple[FloatArray, ...]
    finish: Callable[[FloatArray], FloatArray]

    def value(self) -> float:
        """The metric."""
        ones = np.ones_like(self.features[0])
        place = np.broadcast_to(self.cell, ones.shape)
        columns: list[NDArray] = []
        for feature in (ones, *self.features):
            columns.append(np.bincount(place, feature, self.n_cells))
        sums = np.stack(columns, axis=-1)  # (n_cells, 1 + k)
        return float(self.finish(sums[None])[0])

    def resampled(
        self, drawn: Resamples, codes: NDArray[np.intp] | None = None
    ) -> FloatArray:
        """(1 + r,) the metric on the sample itself and on its resamples."""
        columns = []
        for feature in (None, *self.features):
            columns.append(drawn.sums(self.cell, self.n_cells, feature, codes))
        sums = np.stack(columns, axis=-1)  # (1 + r, n_cells, 1 + k)
        # some resamples at a time: what is computed of them stays in the cache
        size = max(1, NUMBERS_AT_ONCE // self.n_cells)
        firsts = range(0, len(sums), size)
        return np.concatenate([self.finish(sums[i : i + size]) for i in firsts])


@dataclass(frozen=True)
class Metric:
    """What is known of a metric by its name.

    Attributes
    ----------
    name : str
        Its column in tables.
    value : callable
        The public function, `(confidence, correct, …) -> float`.
    sums : callable
        `(confidence, correct) -> Sums`, of checked arrays. With an option `most_cells` where
        resamples may see confidences in so many steps.
    interval : str
        The kind of its interval, which its sums say the rest of: "bootstrap"; "share" (a mean of
        0 and 1, `mean_of`, or of those counted, `ratio_of`: Wilson's, by image); those that hold
        where errors are rare (`mover`): "difference" (of a mean and the share right,
        `difference_of`), "ratio" (of the share right and a mean, `ratio_of`) and "strata" (a mean
        loss, `mean_of`: of right and of wrong answers) and "skill" (of that loss against the
        variance of the outcomes); "inversion" (`ece_interval`, over the
        cells), which has no difference; "delong" (`auroc_test`); "none", where none is known to
        hold its level.
    outcomes : bool
        Whether it compares right with wrong answers, so that the rarer outcome decides how much
        is known.
    bounds : tuple of float
        Least and largest value that it can have.
    is_endless : bool
        Whether one answer of confidence 0 or 1 may cost endlessly much: no interval holds then.
    """

    name: str
    value: Callable[..., float]
    sums: Callable[..., Sums]
    interval: str = "bootstrap"
    outcomes: bool = False
    bounds: tuple[float, float] = (0.0, 1.0)
    is_endless: bool = False

    def resampled(
        self, confidence: FloatArray, correct: FloatArray, drawn: Resamples
    ) -> FloatArray:
        """(1 + r,) its value on the sample itself and on resamples.

        Where more than 512 confidences differ, resamples see them in so many steps.
        """
        sums = self.sums(confidence, correct)
        value = sums.value()
        if "most_cells" in inspect.signature(self.sums).parameters:
            sums = self.sums(confidence, correct, most_cells=MOST_CELLS)
        draws = sums.resampled(drawn)
        return draws - draws[0] + value

    def n_groups(self, correct: FloatArray, drawn: Resamples) -> float:
        """The effective number of images that its interval rests on."""
        if not self.outcomes:
            return drawn.effective()
        right = drawn.effective(weights=correct)
        wrong = drawn.effective(weights=1 - correct)
        return min(right, wrong)


#: Every metric by the name of its column, in the order of their definitions.
METRICS: dict[str, Metric] = {}


def register(
    name: str, **known: Any
) -> Callable[[Callable[..., float]], Callable[..., float]]:
    """Enter the function below into `METRICS`; the function itself is left as it is.

    Parameters
    ----------
    name : str
    **known
        The other attributes of `Metric`: sums, and those that differ from what most are.

    Raises
    ------
    ValueError
        On an unknown kind of interval.

    Examples
    --------
    >>> METRICS["accuracy"].interval
    'share'
    """

    def enter(value: Callable[..., float]) -> Callable[..., float]:
        metric = Metric(name=name, value=value, **known)
        check_choice(metric.interval, "interval", INTERVALS)
        METRICS[name] = metric
        return value

    return enter


def evaluate(
    sums: Callable[..., Sums],
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    undefined: str = "",
    **options: Any,
) -> float:
    """The value of a metric on anything that is a confidence and an outcome.

    Where it is NaN, that is warned of with the reason `undefined`.
    """
    c, y = check_pair(confidence, correct)
    value = sums(c, y, **options).value()
    if math.isnan(value):
        warn(f"undefined: {undefined}")
    return value


def mean_of(values: FloatArray) -> Sums:
    """The plain mean of one number an answer."""
    return Sums(
        cell=0,
        n_cells=1,
        features=(values,),
        finish=lambda sums: sums[:, 0, 1] / sums[:, 0, 0],
    )


def difference_of(above: FloatArray, below: FloatArray) -> Sums:
    """The mean of one number minus that of another."""
    return Sums(
        cell=0,
        n_cells=1,
        features=(above, below),
        finish=lambda sums: (sums[:, 0, 1] - sums[:, 0, 2]) / sums[:, 0, 0],
    )


def ratio_of(above: FloatArray, below: FloatArray) -> Sums:
    """The sum of one number over the sum of another; NaN where the latter is not above 0."""

    def finish(sums: FloatArray) -> FloatArray:
        _, numerator, divisor = sums[:, 0].T
        divisor = np.where(divisor > 0, divisor, np.nan)
        return np.asarray(numerator / divisor)

    return Sums(cell=0, n_cells=1, features=(above, below), finish=finish)
