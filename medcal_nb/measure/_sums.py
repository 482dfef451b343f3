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

from ._check import check_groups, check_pair, check_weights, warn

RECIPES: dict = {}
UNITS = 4096  # more rows or images than this are dealt at random into so many parcels
WIDE = 1 << 22  # numbers a table of sums by unit may hold; beyond it rows are weighted
BLOCK = 1 << 18  # row weights formed at once
SHARED = """

    Parameters
    ----------
    confidence : (n,) array of float
        Probability in [0, 1] that the answer is correct.
    correct : (n,) array of 0 and 1
    n_bins, binning
        Where taken: number of bins, "width" for (lo, hi] of equal width with 0 in the first, or
        "mass" for equal numbers of items, ties kept together.
    weights : (n,) array of float, optional
        How often each item counts.

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


def metric(builder=None, *, undefined: str = ""):
    """Make the sums form of a metric its public function, and what the bootstrap resamples.

    The builder takes checked arrays and returns a Recipe; the function takes anything, returns
    a float, and warns with the reason `undefined` where that is NaN.
    """
    if builder is None:
        return functools.partial(metric, undefined=undefined)

    @functools.wraps(builder)
    def function(confidence, correct, *, weights=None, **options):
        c, y = check_pair(confidence, correct)
        w = check_weights(weights, c.size)
        if w is not None and not w.all():
            c, y, w = c[w > 0], y[w > 0], w[w > 0]
        value = builder(c, y, **options).value(w)
        if math.isnan(value):
            warn(f"{builder.__name__} is undefined: {undefined}")
        return value

    signature = inspect.signature(builder)
    first, second, *options = signature.parameters.values()
    weights = inspect.Parameter("weights", inspect.Parameter.KEYWORD_ONLY, default=None)
    parameters = [first.replace(name="confidence"), second.replace(name="correct")]
    parameters += [*options, weights]
    function.__signature__ = signature.replace(parameters=parameters, return_annotation=float)
    head, _, rest = builder.__doc__.partition("\n\n    Returns\n")
    function.__doc__ = f"{head.rstrip()}{SHARED}\n\n    Returns\n{rest}"
    RECIPES[function] = builder
    return function


def recipe_of(stat, c, y) -> Recipe:
    """The sums form of a metric of ours, bare or in a `functools.partial` with keywords."""
    keywords = {}
    while isinstance(stat, functools.partial):
        keywords, stat = {**stat.keywords, **keywords}, stat.func
    if stat not in RECIPES:
        raise ValueError(f"stat must be a metric of medcal_nb.measure, got {stat!r}")
    return RECIPES[stat](c, y, **keywords)


def parcels(groups, n: int, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """Codes of what is drawn together: images, or rows without groups.

    More than `UNITS` of them are dealt at random into that many parcels, which are then drawn
    whole: the variance of a resampled mean stays what it was on average, to within 2 %.
    """
    codes, n_units = check_groups(groups, n)
    if n_units > UNITS:
        codes, n_units = (rng.permutation(n_units) % UNITS)[codes], UNITS
    return codes, n_units


def draw_counts(n_units: int, n_resamples: int, rng: np.random.Generator) -> np.ndarray:
    """(n_resamples, n_units) how often each unit is drawn, n_units draws a resample."""
    draws = rng.integers(0, n_units, size=(n_resamples, n_units))
    draws += np.arange(n_resamples)[:, None] * n_units
    counts = np.bincount(draws.ravel(), minlength=n_resamples * n_units)
    return counts.reshape(n_resamples, n_units).astype(float)


def resampled(recipe: Recipe, counts: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """(r,) values of a metric on resamples, given how often each unit is drawn."""
    r, n_units = counts.shape
    if n_units * recipe.n_cells * (1 + len(recipe.features)) <= WIDE:
        table = recipe.sums(codes=codes, n_units=n_units)
        sums = (counts @ table.reshape(n_units, -1)).reshape(r, recipe.n_cells, -1)
        return recipe.finish(sums)
    cell = np.zeros(codes.size, int) if recipe.cell is None else recipe.cell
    order = np.argsort(cell, kind="stable")
    codes, features = codes[order], [f[order] for f in recipe.features]
    present, starts = np.unique(cell[order], return_index=True)
    step = max(1, BLOCK // codes.size)
    found = []
    for start in range(0, r, step):
        w = counts[start : start + step].take(codes, axis=1)
        sums = np.zeros((w.shape[0], recipe.n_cells, 1 + len(features)))
        for j, part in enumerate([w, *(w * feature for feature in features)]):
            sums[:, present, j] = np.add.reduceat(part, starts, axis=1)
        found.append(recipe.finish(sums))
    return np.concatenate(found)
