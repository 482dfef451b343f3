"""Metrics as functions of sums, and the resampling of those sums.

Every metric of this room depends on the rows only through sums of a few features over a few
cells (the bins of a diagram, the distinct confidence values, the nodes of a grid). Written
this way, a bootstrap never copies rows: it draws the sums that a resample would have.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Recipe:
    """A metric, ready to be computed from sums.

    Attributes
    ----------
    cell : (n,) int array
        The cell of each row.
    n_cells : int
    features : (n, k) float array
        What is summed within a cell. By convention the first feature is 1 (the count).
    finish : callable
        (r, n_cells, k) array of sums -> (r,) array of values; NaN where undefined.
    """

    cell: np.ndarray
    n_cells: int
    features: np.ndarray
    finish: Callable[[np.ndarray], np.ndarray]

    def sums(self, weights: np.ndarray | None = None) -> np.ndarray:
        """(n_cells, k) sums of the features, each row counted `weights` times."""
        out = np.empty((self.n_cells, self.features.shape[1]))
        for j in range(self.features.shape[1]):
            column = self.features[:, j]
            out[:, j] = np.bincount(
                self.cell, column if weights is None else column * weights, self.n_cells
            )
        return out

    def value(self, weights: np.ndarray | None = None) -> float:
        """The metric itself."""
        return float(self.finish(self.sums(weights)[None])[0])


CHUNK = 4_000_000  # numbers held at once by a resampling step (32 MB)


def resampled_values(
    recipe: Recipe,
    n_resamples: int,
    rng: np.random.Generator,
    codes: np.ndarray | None = None,
    n_groups: int | None = None,
) -> np.ndarray:
    """(n_resamples,) values of the metric on bootstrap resamples of rows or of groups."""
    return np.concatenate(
        [
            recipe.finish(_apply(recipe, w, codes))
            for w in draw_weights(recipe.cell.size if codes is None else n_groups, n_resamples, rng)
        ]
    )


def draw_weights(n_units: int, n_resamples: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Chunks (r, n_units) of multinomial counts: how often each unit is drawn."""
    step = max(1, CHUNK // n_units)
    for start in range(0, n_resamples, step):
        r = min(step, n_resamples - start)
        draws = rng.integers(0, n_units, size=(r, n_units))
        draws += np.arange(r)[:, None] * n_units
        yield np.bincount(draws.ravel(), minlength=r * n_units).reshape(r, n_units)


def _apply(recipe: Recipe, weights: np.ndarray, codes: np.ndarray | None) -> np.ndarray:
    rows = weights if codes is None else weights[:, codes]
    return np.stack([recipe.sums(w) for w in rows])
