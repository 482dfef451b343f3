"""An interval of the expected calibration error that holds its level; see docs/ece_interval.md."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._check import check_groups, check_images, check_level, check_pair, warn
from .binned import N_BINS
from .intervals import note_few
from .registry import METRICS
from .resampling import (
    UNKNOWN,
    Bootstrap,
    FloatArray,
    Interval,
    cautious_effect,
    effective_number,
)

DRAWS = 1000
MOST_DRAWS = 50_000
IN_TAIL = 20  # draws that a tail holds at the least
HALVINGS = 20
CHANCE = 0.16
FEW_FOR_SIDES = 100
PRIOR_IMAGES = 2
AT_BOUND = 0.5  # of the variance that a bin shows, the least it has at the upper end
Path = Callable[[float], FloatArray]


def ece_interval(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    n_bins: int = N_BINS,
    groups: ArrayLike | None = None,
    ci: Bootstrap = Bootstrap(),
) -> Interval:
    r"""Interval of the expected calibration error by inverting a test, not by resampling rows.

    The ECE is biased upwards: the answers of a calibrated model show an ECE above 0 by chance,
    and the bootstrap adds that bias once more. This interval holds the true errors under which
    an ECE as low or as high as the observed one would not be rare. How it was made, and how
    often it covers: docs/ece_interval.md.

    Parameters
    ----------
    confidence : (n,) array
        Probability in [0, 1] that the answer is correct.
    correct : (n,) array of 0 and 1
        1 where the answer is correct.
    n_bins : int
        Bins of the error, as in `ece`: 15 by default.
    groups : (n,) array, optional
        Image of each answer; answers about one are not independent. Without it
        every answer counts as an image of its own.
    ci : Bootstrap
        Level of the interval, and seed of the draws of what chance would show.

    Returns
    -------
    Interval
        `(low, estimate, high)` in [0, 1] of the ECE with these bins on endlessly many answers.
        `low` is 0 where the answers are compatible with perfect calibration. The interval may lie
        below the estimate, which is biased upwards. NaN with a warning where all answers are of
        one group.

    Raises
    ------
    ValueError
        On bad input, by name and position; on a level outside (0, 1).

    Notes
    -----
    A true error θ is inside where the observed ECE is not in a tail of

    .. math:: T_\theta = \sum_b \frac{n_b}{n} |\gamma_b + \epsilon_b|, \qquad
       \sum_b \frac{n_b}{n} |\gamma_b| = \theta, \quad \epsilon \sim t_{G - 1}(0, C(\gamma))

    the ECE that true gaps γ would show: the upward bias of the ECE is part of the draw. For the
    lower end γ are the likeliest gaps of that size, and the size of the mean gap, which no ECE is
    below, is tested with it; for the upper end they are even over the bins, where the bias is
    least, and an ECE that only chance can show counts as the least that calibrated answers show
    in 84 % of samples. C is the binomial variance at the hypothesis, with the correlation between
    and within bins that the groups show; G is their effective number.

    References
    ----------
    Hybrid resampling: Chuang & Lai, Statistica Sinica 2000, vol. 10, pp. 1–50. Bias of the ECE:
    Kumar, Liang & Ma, NeurIPS 2019, arXiv:1909.10155. Chance: power-constrained limits, Cowan,
    Cranmer, Gross & Vitells, arXiv:1105.3166. An interval of the ℓ2 error: Sun, Chaudhari,
    Barnett & Dobriban, arXiv:2408.08998.

    Examples
    --------
    A calibrated model, and one that is overconfident by 10 percentage points:

    >>> rng = np.random.default_rng(0)
    >>> c = rng.uniform(0.5, 1, 1000)
    >>> ece_interval(c, rng.random(1000) < c)
    0.026 [0.000, 0.040]
    >>> ece_interval(c, rng.random(1000) < c - 0.1)
    0.080 [0.050, 0.110]
    """
    c, y = check_pair(confidence, correct)
    sums = METRICS["ece"].sums(c, y, n_bins=n_bins)
    cell = np.asarray(sums.cell)
    ids, _ = check_groups(groups, c.size)
    rng = ci.stream(check_images(groups, c.size))
    found = inverted_interval(c, y, cell, ids, level=ci.level, rng=rng)
    return found._replace(estimate=sums.value())


def inverted_interval(
    c: FloatArray,
    y: FloatArray,
    cell: NDArray[np.intp],
    images: NDArray[np.intp],
    *,
    level: float,
    rng: np.random.Generator,
) -> Interval:
    """The mean gaps over any cells that are not in a tail of what was observed.

    `images` are the numbers of the answers' images, from 0.
    """
    # cells that hold answers, numbered from 0 without a gap
    is_held = np.bincount(cell) > 0
    bins = (is_held.cumsum() - 1)[cell]
    tail = (1 - check_level(level)) / 2
    n_draws = int(np.clip(np.ceil(IN_TAIL / tail), DRAWS, MOST_DRAWS))
    n_images = int(images.max()) + 1
    if n_images == 1 and c.size > 1:
        warn(
            "all answers are of one image: nothing shows their sampling noise, no interval"
        )
        return UNKNOWN
    test = _Gaps(c, y, bins, images, n_draws, rng)
    note_few(test.worth, n_images < c.size)

    def low_refuted(size: float) -> bool:
        return bool(test.exceeded(size) < tail)

    # errors come whole: half of one is what a normal draw may be off by
    seen = max(test.size, test.chance) + 0.5 * test.inflation / c.size

    low = _boundary(0.0, test.size, low_refuted) if low_refuted(0.0) else 0.0
    high = low
    for even in test.paths():

        def high_possible(size: float, even: Path = even) -> bool:
            drawn, _ = test.drawn(even(size), test.least)
            return bool(np.mean(drawn <= seen) >= tail)

        most = 1.0 if high_possible(1.0) else _boundary(0.0, 1.0, high_possible)
        mean_size = test.weight @ np.abs(even(most))
        high = max(high, float(mean_size))
    return Interval(low=low, estimate=test.size, high=high)


def _boundary(low: float, high: float, inside: Callable[[float], bool]) -> float:
    """Where a condition that holds at `low` ends."""
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if inside(middle):
            low = middle
        else:
            high = middle
    return (low + high) / 2


class _Gaps:
    """The gaps of the bins that hold answers, and the noise that true gaps would be seen with.

    Below, b is the number of bins and d that of draws.
    """

    def __init__(
        self,
        c: FloatArray,
        y: FloatArray,
        bins: NDArray[np.intp],
        codes: NDArray[np.intp],
        n_draws: int,
        rng: np.random.Generator,
    ) -> None:
        residual = y - c
        n: NDArray = np.bincount(bins)
        self.n = n
        self.weight: NDArray = n / c.size
        self.gap = np.bincount(bins, residual) / n
        self.first = np.bincount(bins, c) / n
        self.second = np.bincount(bins, c * c) / n
        self.size = self.weight @ np.abs(self.gap)
        self.mean = abs(self.weight @ self.gap)
        self.inflation = 1.0
        n_of_image = np.bincount(codes)
        self.worth = effective_number(n_of_image)
        self.noise = rng.standard_normal((n.size, n_draws))  # (b, d)
        self.shift = rng.standard_normal(n_draws)
        self.by_image = n_of_image.size < c.size
        if self.by_image:
            residual -= self._centres()[bins]
            self._correlate(residual, bins, codes)
            self._widen(rng)
        # the share of answers in each bin is drawn, too
        square = np.maximum(self.gap**2 - self.variance(self.gap), 0)
        mean_root = self.weight @ np.sqrt(square)
        between = max(self.weight @ square - mean_root**2, 0.0)
        self.shift *= np.sqrt(between / c.size * self.inflation)
        # even gaps end at an accuracy of 0 or 1, which right and wrong answers in a bin refute
        right = np.bincount(bins, y)
        observed = right / n
        binomial = observed * (1 - observed) / n
        self.least = AT_BOUND * binomial * self.inflation
        # less than what calibrated answers show in all but CHANCE of samples is no evidence
        sizes, _ = self.drawn(np.zeros(n.size))
        self.chance = np.quantile(sizes, CHANCE)
        # sizes of the softly thresholded gaps where one of them becomes 0; linear in between
        likely = (right + 1) / (n + 2)
        self.cost = self.weight * likely * (1 - likely) / n
        away = np.abs(self.gap)
        cuts = np.append(away / self.cost, 0)
        self.cuts = np.sort(cuts)[::-1]
        left = away - self.cuts[:, None] * self.cost  # (b + 1, b)
        self.sizes = np.maximum(left, 0) @ self.weight

    def _centres(self) -> FloatArray:
        """(b,) gaps to measure the spread of images from: each bin's as far as it stands out.

        Taken from its own gap, a bin of few answers would hide most of what its images add.
        """
        common = self.weight @ self.gap
        apart = self.gap - common
        square = apart**2
        signal = np.maximum(square - self.variance(self.gap), 0)
        return common + apart * signal / np.maximum(square, 1e-12)

    def _correlate(
        self, residual: FloatArray, bins: NDArray[np.intp], codes: NDArray[np.intp]
    ) -> None:
        """Give the noise the correlation of bins, and the inflation, that images show."""
        from scipy.sparse import csr_array

        n_of_image = np.bincount(codes)
        # an image pulls the centre towards itself, by its share: the jackknife undoes it
        others = np.maximum(1 - n_of_image / codes.size, 0.5)
        added = residual / self.n[bins] / others[codes]
        # (images, b): what each image adds to the gap of each bin
        size = (n_of_image.size, self.n.size)
        table = csr_array((added, (codes, bins)), shape=size)
        sandwich = (table.T @ table).toarray()
        seen = np.diag(sandwich)
        alone = np.bincount(bins, residual**2) / self.n**2
        share = self.weight**2
        if_alone = max(share @ alone, 1e-12)
        self.inflation = max(1.0, share @ seen / if_alone)
        sd = np.sqrt(seen)
        varies = sd > 1e-6
        scale = varies / np.where(varies, sd, 1)
        correlation = sandwich * np.outer(scale, scale)
        np.fill_diagonal(correlation, 1)
        values, vectors = np.linalg.eigh(correlation)
        # the symmetric root: it does not turn where rounding swaps two vectors
        roots = np.sqrt(np.maximum(values, 0))
        self.noise = (vectors * roots) @ vectors.T @ self.noise
        total = self.weight @ sandwich @ self.weight
        # how much more variance is assumed than few images show
        effect = max(total / if_alone, 1.0)
        assumed = cautious_effect(effect, n_of_image, self.worth, PRIOR_IMAGES)
        self.noise *= np.sqrt(assumed / effect)

    def _widen(self, rng: np.random.Generator) -> None:
        """Student's t in place of the normal: the spread itself is known from few images."""
        degrees = max(self.worth - 1, 1.0)
        factor = np.sqrt(degrees / rng.chisquare(degrees, self.shift.size))
        self.noise *= factor
        self.shift *= factor

    def variance(self, gap: FloatArray) -> FloatArray:
        """(b,) of the mean outcome of bins with this gap: the mean of p (1 − p), p = c + gap."""
        of_confidence = self.first - self.second
        spread = of_confidence + gap * (1 - 2 * self.first) - gap**2
        return np.maximum(spread, 0) / self.n * self.inflation

    def drawn(
        self, gap: FloatArray, least: FloatArray | float = 0.0
    ) -> tuple[FloatArray, FloatArray]:
        """(d,) mean size of gaps, and size of their mean, that these true gaps would show."""
        sd = np.sqrt(np.maximum(self.variance(gap), least))
        seen = self.noise * sd[:, None] + gap[:, None]  # (b, d)
        sizes = self.weight @ np.abs(seen)
        means = np.abs(self.weight @ seen)
        return sizes + self.shift, means + self.shift

    def exceeded(self, size: float) -> float:
        """How often the likeliest gaps of this size show as much as was observed.

        These are the observed gaps, softly thresholded. What counts is their mean size or the
        size of their mean, which is never larger: whichever stands out more from its draws.
        """
        cut = np.interp(size, self.sizes, self.cuts)
        left = np.maximum(np.abs(self.gap) - cut * self.cost, 0)
        sizes, means = self.drawn(np.sign(self.gap) * left)
        size_draws, size_seen = _standardized(sizes, self.size)
        mean_draws, mean_seen = _standardized(means, self.mean)
        most = np.maximum(size_draws, mean_draws)
        is_more = most >= max(size_seen, mean_seen)
        return float(is_more.mean())

    def paths(self) -> list[Path]:
        """Ways in which the gaps of the upper end may grow, each a function of their size.

        On the sides observed. Of fewer than 100 images all on that of their mean as well, and
        none on the other: it is hardly known which gaps are not 0.
        """
        paths: list[Path] = [partial(self.even, np.where(self.gap > 0, 1.0, -1.0))]
        if self.by_image and self.worth < FEW_FOR_SIDES:
            sign = 1.0 if self.weight @ self.gap > 0 else -1.0
            common = np.full_like(self.gap, sign)
            paths.append(partial(self.even, common, turned=False))
        return paths

    def even(self, side: FloatArray, size: float, turned: bool = True) -> FloatArray:
        """(b,) the same gap in every bin, on these sides (±1) as far as accuracy allows.

        Beyond that, if `turned`, it is on the other side where what was observed does not speak
        against it.
        """
        room = np.where(side > 0, 1 - self.first, self.first)
        there = side * np.minimum(size, room)
        if not turned:
            return there
        is_doubtful = self.gap**2 < self.variance(np.zeros(side.size))
        other = -side * np.minimum(size, 1 - room)
        return np.where((size > room) & is_doubtful, other, there)


def _standardized(draws: FloatArray, value: float) -> tuple[FloatArray, float]:
    """Draws and a value as distances from the mean of the draws, in their spread."""
    centre = draws.mean()
    spread = max(draws.std(), 1e-12)
    return (draws - centre) / spread, (value - centre) / spread
