"""Metrics as functions of sums, and the resampling of those sums.

Every metric of this room depends on the rows only through counts, and sums of a few features,
over cells: the bins of a diagram, the distinct confidences, the nodes of a grid. A bootstrap
then never copies rows: how often each image is drawn, times the sums of that image, is one
matrix product, and it serves all metrics of a table.
"""

import functools
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ._check import check_groups, check_pair, check_whole, warn

METRICS: dict[str, Callable] = {}
"""Every metric by its column name, in the order of their definitions."""

UNITS = 1024
PARCELS = 512
CELLS = 512
ROWS = 32  # resamples counted at once: they fit in a processor's cache
FEW = 10  # images below which an interval is hardly known
SHARED = """

    Parameters
    ----------
    confidence : (n,) array of float
        Probability in [0, 1] that the answer is correct.
    correct : (n,) array of 0 and 1
    n_bins, binning
        Where taken: number of bins, "width" for (lo, hi] of equal width with 0 in the first, or
        "mass" for equal numbers of items, ties kept together.

    Raises
    ------
    ValueError
        On input that is no confidence and outcome, by name and position; on an option out of
        range."""


@dataclass(frozen=True)
class Recipe:
    """A metric on given rows, ready to be computed from sums.

    `cell` is the (n,) cell of each row (None: one cell for all), `features` the (n,) arrays that
    are summed within a cell beside the count, and `finish` turns (r, n_cells, 1 + k) sums, the
    count first, into (r,) values, NaN where undefined.
    """

    cell: np.ndarray | None
    n_cells: int
    features: tuple[np.ndarray, ...]
    finish: Callable[[np.ndarray], np.ndarray]

    def sums(self, weights=None, codes=None, n_units: int = 1) -> np.ndarray:
        """(n_units, n_cells, 1 + k) counts and sums, each row counted `weights` times."""
        n = self.features[0].size
        place = np.zeros(n, np.intp) if codes is None else codes * self.n_cells
        if self.cell is not None:
            place = place + self.cell
        size = n_units * self.n_cells
        first = np.bincount(place, weights, size)
        rest = [f if weights is None else f * weights for f in self.features]
        columns = [first, *(np.bincount(place, column, size) for column in rest)]
        return np.stack(columns, -1).reshape(n_units, self.n_cells, -1)

    def value(self, weights=None) -> float:
        """The metric itself."""
        return float(self.finish(self.sums(weights))[0])


def mean_of(values: np.ndarray) -> Recipe:
    """The plain mean of one number a row."""
    return Recipe(None, 1, (values,), lambda sums: sums[:, 0, 1] / sums[:, 0, 0])


def metric(name: str, *, interval: str = "bootstrap", undefined: str = ""):
    """Make the sums form of a metric its public function, and what the bootstrap resamples.

    The builder takes checked arrays and returns a Recipe; the function takes anything, returns
    a float, and warns with the reason `undefined` where that is NaN. It is put into `METRICS`
    under the name of its column, with the interval that holds for it: "bootstrap", "share" (of
    items, by image), "inversion" (`ece_interval` and its kin) or "none".
    """

    def define(builder):
        @functools.wraps(builder)
        def function(confidence, correct, **options):
            value = builder(*check_pair(confidence, correct), **options).value()
            if math.isnan(value):
                warn(f"{builder.__name__} is undefined: {undefined}")
            return value

        signature = inspect.signature(builder)
        first, second, *options = signature.parameters.values()
        parameters = [
            first.replace(name="confidence"),
            second.replace(name="correct"),
            *options,
        ]
        function.__signature__ = signature.replace(
            parameters=parameters, return_annotation=float
        )
        head, _, rest = builder.__doc__.partition("\n\n    Returns\n")
        function.__doc__ = f"{head.rstrip()}{SHARED}\n\n    Returns\n{rest}"
        function.recipe = builder
        function.interval = interval
        METRICS[name] = function
        return function

    return define


def recipe_of(stat, c, y) -> Recipe:
    """The sums form of a metric of ours, bare or in a `functools.partial` with keywords."""
    whole = functools.partial(stat)  # of a partial it is that one, flat
    if not hasattr(whole.func, "recipe"):
        raise ValueError(f"stat must be a metric of medcal_nb.measure, got {stat!r}")
    return whole.func.recipe(c, y, **whole.keywords)


def steps(c: np.ndarray, n_steps: int) -> np.ndarray:
    """Confidences gathered into steps of equal numbers, each at its mean, where they are more."""
    if np.unique(c).size <= n_steps:
        return c
    step = np.empty(c.size, np.intp)
    step[np.argsort(c, kind="stable")] = np.arange(c.size) * n_steps // c.size
    return (np.bincount(step, c) / np.bincount(step))[step]


class Draws:
    """How often each image (without groups: each row) occurs in resamples of all of them.

    More than `UNITS` of them are dealt at random into `PARCELS` parcels, which are then drawn
    whole: that leaves the width of an interval open by 3 %, less than a thousand resamples do.
    Without anything to vary (`n_units` is 1) intervals are NaN; that, and less than `FEW`, is
    warned of.
    """

    def __init__(self, groups, n: int, n_resamples: int, rng: np.random.Generator):
        codes, n_units = check_groups(groups, n)
        what = "items" if groups is None else "images"
        if n_units == 1:
            warn(
                f"one of the {what} alone: resampling has nothing to vary, intervals are NaN"
            )
        elif n_units < FEW:
            warn(f"{n_units} {what} are too few to trust an interval by resampling")
        if n_units > UNITS:
            codes = (rng.permutation(n_units) % PARCELS)[codes]
            n_units = PARCELS
        self.codes = codes
        self.n_units = n_units
        size = check_whole(n_resamples, "n_resamples", 2), n_units
        drawn = rng.integers(0, n_units, size, dtype=np.int32)
        self.counts = np.empty(size)
        start = np.arange(ROWS)[:, None] * n_units
        for low in range(0, n_resamples, ROWS):
            at = drawn[low : low + ROWS] + start[: n_resamples - low]
            self.counts[low : low + ROWS] = np.bincount(
                at.ravel(), None, at.size
            ).reshape(at.shape)

    def means(self, values: np.ndarray) -> np.ndarray:
        """(r, k) means of the columns of (n, k) values on the resamples."""
        return self.of(
            Recipe(None, 1, values.T, lambda sums: sums[:, 0, 1:] / sums[:, 0, :1])
        )

    def values(self, stat, c, y) -> np.ndarray:
        """(r,) values of a metric on the resamples.

        Metrics of more than `CELLS` different confidences vary as with so many steps of them.
        """
        recipe = recipe_of(stat, c, y)
        apart = 0.0
        if recipe.n_cells > CELLS:
            exact = recipe.value()
            recipe = recipe_of(stat, steps(c, CELLS), y)
            apart = exact - recipe.value()
        return self.of(recipe) + apart

    def of(self, recipe: Recipe, rows=slice(None)) -> np.ndarray:
        """What a recipe makes of the resamples; it may be of some of the rows."""
        table = recipe.sums(codes=self.codes[rows], n_units=self.n_units)
        sums = self.counts @ table.reshape(self.n_units, -1)
        return recipe.finish(sums.reshape(len(sums), recipe.n_cells, -1))
