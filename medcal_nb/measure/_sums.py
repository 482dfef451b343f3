"""Resamples as `choice` reads them; goes with its move to `resampling`."""

import numpy as np

from .intervals import mean_of_columns
from .resampling import Resamples


class Draws:
    """Resamples without the sample itself."""

    def __init__(self, groups, n, n_resamples, rng):
        self.drawn = Resamples(groups, n_resamples, rng, n=n)

    def means(self, values) -> np.ndarray:
        """(r, k) means of the columns of (n, k) values on the resamples."""
        return mean_of_columns(values).resampled(self.drawn)[1:]
