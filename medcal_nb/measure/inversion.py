"""An interval of the expected calibration error that holds its level; see docs/ece_interval.md."""

from typing import NamedTuple

import numpy as np

from ._check import check_groups, check_level, check_pair, warn
from ._sums import FEW, steps
from .metrics import N_BINS, bins_of, ici, local_linear

DRAWS = 1000
HALVINGS = 20
LUCKY = 0.16
CURVE = 64  # steps of confidence that a curve is drawn through


class Interval(NamedTuple):
    """A number with its interval, `(low, estimate, high)`; reads "0.083 [0.071, 0.096]"."""

    low: float
    estimate: float
    high: float

    def __repr__(self) -> str:
        return f"{self.estimate:.3f} [{self.low:.3f}, {self.high:.3f}]"


def ece_interval(
    confidence, correct, *, n_bins=N_BINS, binning="width", level=0.95, groups=None, rng
) -> Interval:
    r"""Interval of the expected calibration error by inverting a test, not by resampling rows.

    A true error θ is kept where the ECE seen is not in a tail of

    .. math:: T_\theta = \sum_b \frac{n_b}{n} |\gamma_b + \epsilon_b|, \qquad
       \sum_b \frac{n_b}{n} |\gamma_b| = \theta, \quad \epsilon \sim N(0, C(\gamma))

    the ECE that true gaps γ would show: the upward bias of the ECE is part of the draw. For the
    lower end γ are the likeliest gaps of that size, and the size of the mean gap, which no ECE is
    below, is tested with it; for the upper end they are even over the bins, where the bias is
    least, and an ECE that only luck can show counts as the least that calibrated answers show in
    84 % of samples. C is the binomial variance at the hypothesis, with the
    correlation between and within bins that the groups show.

    Parameters
    ----------
    confidence : (n,) array of float
        In [0, 1].
    correct : (n,) array of 0 and 1
    n_bins, binning
        As in `ece`.
    level : float
        Nominal coverage, in (0, 1).
    groups : (n,) array, optional
        Labels of images; items of one are not independent.
    rng : numpy.random.Generator

    Returns
    -------
    Interval
        `(low, estimate, high)` in [0, 1] of the ECE with these bins on endlessly many items. `low`
        is 0 where the answers are compatible with perfect calibration. The interval may lie below
        the estimate, which is biased upwards. NaN with a warning where all items are one group.

    Raises
    ------
    ValueError
        On bad input, by name and position; on a level outside (0, 1).

    References
    ----------
    Hybrid resampling: Chuang & Lai, Statistica Sinica 2000, vol. 10, pp. 1–50. Bias of the ECE:
    Kumar, Liang & Ma, NeurIPS 2019, arXiv:1909.10155. Luck: power-constrained limits, Cowan,
    Cranmer, Gross & Vitells, arXiv:1105.3166. An interval of the ℓ2 error: Sun,
    Chaudhari, Barnett & Dobriban, arXiv:2408.08998.
    """
    c, y = check_pair(confidence, correct)
    bins = np.unique(bins_of(c, n_bins, binning), return_inverse=True)[1]
    return _inverted(c, y, bins, groups, level, rng)


def ici_interval(confidence, correct, *, level=0.95, groups=None, rng) -> Interval:
    """Interval of the integrated calibration index, in the way of `ece_interval`.

    The distances of a smooth curve from the diagonal take the place of the gaps of bins: smoothing
    turns the noise of at most 64 steps of confidence into that of the curve. Arguments and result
    as there; the estimate is `ici`, and the interval is that of its value on endlessly many items.
    """
    c, y = check_pair(confidence, correct)
    cell = np.unique(steps(c, CURVE), return_inverse=True)[1]
    count = np.bincount(cell).astype(float)
    smooth = local_linear(np.bincount(cell, c) / count, count)
    return _inverted(c, y, cell, groups, level, rng, smooth)._replace(
        estimate=ici(c, y)
    )


def _inverted(c, y, bins, groups, level, rng, smooth=None) -> Interval:
    """The sizes of gap that are not in a tail of what was seen."""
    tail = (1 - check_level(level)) / 2
    test = _Gaps(c, y, bins, groups, rng, smooth)
    if test.n_groups == 1 and groups is not None and c.size > 1:
        warn(
            "all answers are of one image: there is nothing to tell chance by, no interval"
        )
        return Interval(np.nan, test.size, np.nan)
    if groups is not None and test.n_groups < FEW:
        warn(f"{test.n_groups} images are too few to trust the interval's level")
    low = 0.0
    if test.exceeded(0.0) < tail:
        low = _boundary(0.0, test.size, lambda t: test.exceeded(t) < tail)
    # errors come whole: half of one is what a normal draw may be off by
    seen = max(test.size, test.luck) + 0.5 * test.inflation / c.size
    most = _boundary(
        0.0, 1.0, lambda t: np.mean(test.drawn(test.even(t))[0] <= seen) >= tail
    )
    high = test.weight @ np.abs(test.even(most))
    return Interval(float(low), float(test.size), float(max(high, low)))


def _boundary(low: float, high: float, inside) -> float:
    """Where a condition that holds at `low` ends."""
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if inside(middle) else (low, middle)
    return (low + high) / 2


class _Gaps:
    """The gaps of the bins that hold items, and the noise that true gaps would be seen with.

    With `smooth`, a matrix that turns the gaps of bins into those of a curve, it is of those.
    """

    def __init__(self, c, y, bins, groups, rng, smooth=None):
        residual = y - c
        n = np.bincount(bins).astype(float)
        gap = np.bincount(bins, residual) / n
        self.n = n
        self.weight = n / n.sum()
        self.smooth = smooth
        self.gap = gap if smooth is None else smooth @ gap
        self.first = np.bincount(bins, c) / n
        self.second = np.bincount(bins, c * c) / n
        self.size = float(self.weight @ np.abs(self.gap))
        self.mean = abs(float(self.weight @ self.gap))
        self.n_groups = c.size
        self.inflation = 1.0
        self.noise = rng.standard_normal((n.size, DRAWS))
        self.shift = rng.standard_normal(DRAWS)
        if groups is not None:
            self._correlate(residual - self.gap[bins], bins, groups)
        # the share of items in each bin is drawn, too
        square = np.maximum(self.gap**2 - self.seen_with(self.gap), 0)
        between = max(0.0, self.weight @ square - (self.weight @ np.sqrt(square)) ** 2)
        self.shift *= np.sqrt(between / c.size * self.inflation)
        # less than what calibrated answers show in all but LUCKY of samples is luck, no evidence
        self.luck = np.quantile(self.drawn(0 * gap)[0], LUCKY)
        # sizes of the softly thresholded gaps where one of them becomes 0; linear in between
        right = (np.bincount(bins, y) + 1) / (n + 2)
        self.cost = self.weight * right * (1 - right) / n
        self.cuts = np.sort(np.append(np.abs(self.gap) / self.cost, 0))[::-1]
        left = np.abs(self.gap) - self.cuts[:, None] * self.cost
        self.sizes = np.maximum(left, 0) @ self.weight

    def _correlate(self, residual, bins, groups):
        codes, self.n_groups = check_groups(groups, bins.size)
        if self.n_groups == bins.size:
            return
        k = self.n.size
        size = self.n_groups * k
        table = np.bincount(codes * k + bins, residual, size).reshape(-1, k) / self.n
        sandwich = table.T @ table * self.n_groups / max(self.n_groups - 1, 1)
        seen = np.diag(sandwich)
        alone = np.bincount(bins, residual**2) / self.n**2
        share = self.weight**2
        self.inflation = max(1.0, (share @ seen) / max(share @ alone, 1e-12))
        sd = np.sqrt(seen)
        known = np.outer(sd > 1e-6, sd > 1e-6)
        correlation = np.where(
            known, sandwich / np.where(known, np.outer(sd, sd), 1), 0
        )
        np.fill_diagonal(correlation, 1)
        values, vectors = np.linalg.eigh(correlation)
        # the symmetric root: it does not turn where rounding swaps two vectors
        self.noise = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T @ self.noise

    def variance(self, gap):
        """Of the mean outcome of each bin with this gap: the mean of p (1 − p), p = c + gap."""
        spread = self.first - self.second + gap * (1 - 2 * self.first) - gap**2
        return np.maximum(spread, 0) / self.n * self.inflation

    def seen_with(self, gap):
        """Variance that a true gap is seen with."""
        variance = self.variance(gap)
        return variance if self.smooth is None else self.smooth**2 @ variance

    def drawn(self, gap):
        """Draws of the mean size of gaps, and of the size of their mean, that these would show."""
        seen = self.noise * np.sqrt(self.variance(gap))[:, None]
        seen = (seen if self.smooth is None else self.smooth @ seen) + gap[:, None]
        return self.weight @ np.abs(seen) + self.shift, np.abs(
            self.weight @ seen
        ) + self.shift

    def exceeded(self, size):
        """How often the likeliest gaps of this size show as much as was seen.

        These are the gaps seen, softly thresholded. What counts is their mean size or the size of
        their mean, which is never larger: whichever stands out more from its draws.
        """
        cut = np.interp(size, self.sizes, self.cuts)
        gap = np.sign(self.gap) * np.maximum(np.abs(self.gap) - cut * self.cost, 0)
        most = np.full(DRAWS, -np.inf)
        seen = -np.inf
        for drawn, found in zip(self.drawn(gap), (self.size, self.mean), strict=True):
            centre = drawn.mean()
            spread = max(drawn.std(), 1e-12)
            most = np.maximum(most, (drawn - centre) / spread)
            seen = max(seen, (found - centre) / spread)
        return np.mean(most >= seen)

    def even(self, size):
        """The same gap in every bin, on the side seen as far as accuracy stays in [0, 1].

        Beyond, it is on the other side where what was seen does not speak against it. Of a curve
        all gaps are on the side of their mean: its noise goes up and down together, and in gaps
        of both signs it would cancel.
        """
        side = (
            self.gap
            if self.smooth is None
            else np.full_like(self.gap, self.weight @ self.gap)
        )
        sign = np.where(side > 0, 1.0, -1.0)
        room = np.where(sign > 0, 1 - self.first, self.first)
        other = (size > room) & (self.gap**2 < self.seen_with(0 * self.gap))
        return np.where(
            other, -sign * np.minimum(size, 1 - room), sign * np.minimum(size, room)
        )
