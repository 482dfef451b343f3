"""The floor that all intervals stand on: one cluster bootstrap, one rule, one logistic solver.

What is drawn again are images with all their answers. A resample is a row of counts: how often
each image is drawn. Row 0 is the sample itself, so that a statistic computed for all rows at once
carries its estimate in front. Answers that are alike are added up first, and one matrix product
then serves all resamples: no row of a table is ever copied.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from ._check import check_level, check_whole

FloatArray = NDArray[np.float64]
Bounds = tuple[float, float]

#: Below so many images an interval is marked: its level is known from simulation alone.
FEW_IMAGES = 30
MOST_UNITS = 1024
PARCELS = 512
DENSE = 4  # places for each row, up to which a table is multiplied as a full one
NUMBERS_AT_ONCE = (
    100_000  # numbers a step works on, as of Newton's method: they stay in the cache
)
UNBOUNDED = (-np.inf, np.inf)
TAIL = 0.025  # of the resamples, beyond which quantiles are not read off them
GROWTH = 1.5  # of the distance beyond it, for a loss near its minimum
PRIOR_CORRELATION = 0.5
LEAST_P = 1e-12
LEAST_CLIP = 1e-6
MOST_CLIP = 0.005


class Interval(NamedTuple):
    """A number with its interval; reads `0.083 [0.071, 0.096]`."""

    low: float
    estimate: float
    high: float

    def __repr__(self) -> str:
        return f"{self.estimate:.3f} [{self.low:.3f}, {self.high:.3f}]"


#: Where nothing can be said of a number.
UNKNOWN = Interval(low=np.nan, estimate=np.nan, high=np.nan)

# --- the cluster bootstrap ----------------------------------------------------------------


class Resamples:
    """How often each image occurs in the sample itself and in its bootstrap resamples.

    More images than 1024 are dealt at random into 512 parcels, which are drawn whole. That leaves
    the width of an interval open by 3 %, less than a thousand resamples do.

    Parameters
    ----------
    labels : (n,) array
        The image of each row.
    n_resamples : int
    rng : numpy.random.Generator

    Attributes
    ----------
    counts : (1 + n_resamples, n_units) array
        Row 0 is the sample itself, ones; the others sum to n_units.
    names : pandas.Index
        The distinct labels, sorted.
    n_units : int
        Number of columns of `counts`: of images, fewer where these are in parcels.
    codes : (n,) array of int
        Column of `counts` of each row.

    References
    ----------
    Field & Welsh, J. R. Stat. Soc. B 2007, doi:10.1111/j.1467-9868.2007.00593.x.

    Examples
    --------
    >>> drawn = Resamples(["a", "a", "b"], 1000, np.random.default_rng(0))
    >>> drawn.counts.shape, drawn.codes
    ((1001, 2), array([0, 0, 1]))
    """

    def __init__(
        self, labels: ArrayLike, n_resamples: int, rng: np.random.Generator
    ) -> None:
        image, names = pd.factorize(np.asarray(labels), sort=True)
        self.names = pd.Index(names)
        self.n_units = len(names)
        self.codes: NDArray[np.intp] = image
        if self.n_units > MOST_UNITS:
            self.codes = rng.permutation(self.n_units)[image] % PARCELS
            self.n_units = PARCELS
        size = (n_resamples, self.n_units)
        chosen = rng.integers(0, self.n_units, size, dtype=np.int32)
        # (n_units, 1 + n_resamples), the order in which scipy multiplies
        self._across = np.ones((self.n_units, 1 + n_resamples))
        self.counts = self._across.T
        for row, units in zip(self.counts[1:], chosen, strict=True):
            row[:] = np.bincount(units, minlength=self.n_units)

    def beside(self, other: Resamples) -> Resamples:
        """Two samples, each drawn by itself: the rows of this one, then those of the other."""
        both = copy(self)
        both.names = self.names.append(other.names)
        both.n_units = self.n_units + other.n_units
        both.codes = np.concatenate([self.codes, self.n_units + other.codes])
        both._across = np.concatenate([self._across, other._across])
        both.counts = both._across.T
        return both

    def sums(
        self,
        cell: NDArray[np.intp] | int,
        n_cells: int,
        values: FloatArray | None = None,
        codes: NDArray[np.intp] | None = None,
    ) -> FloatArray:
        """(1 + n_resamples, n_cells): rows of a cell counted, or their values added up.

        Parameters
        ----------
        cell : (n,) array of int, or 0
            Cell of each row, in 0 … n_cells − 1: rows of a cell are alike. 0: one cell for all.
        values : (n,) array, optional
            What is added up; default 1.
        codes : (n,) array, optional
            As the attribute, where the rows are not those it was made with.
        """
        unit = self.codes if codes is None else codes
        cell = np.broadcast_to(cell, unit.shape)
        weights = np.ones(len(unit)) if values is None else values
        size = (n_cells, self.n_units)
        if n_cells * self.n_units < DENSE * len(unit):
            place = cell * self.n_units + unit
            full = np.bincount(place, weights, n_cells * self.n_units)
            return np.asarray((full.reshape(size) @ self._across).T)
        # of many cells and images most are of no row: such a table is mostly zeros
        table = csr_array((weights, (cell, unit)), shape=size)
        table.eliminate_zeros()  # of right answers, where wrong ones are counted
        return (table @ self._across).T

    def total(
        self, values: FloatArray, codes: NDArray[np.intp] | None = None
    ) -> FloatArray:
        """(1 + n_resamples,) sum of (n,) values, in the sample and in each resample."""
        return self.sums(0, 1, values, codes)[:, 0]

    def effective(
        self,
        codes: NDArray[np.intp] | None = None,
        weights: FloatArray | None = None,
    ) -> float:
        r"""Number of equally large images that tell as much: :math:`(\sum m_g)^2 / \sum m_g^2`.

        With `weights` of the rows, such as their being wrong, only those count. Source: Kish,
        Survey Sampling, 1965.
        """
        return effective_number(
            np.bincount(self.codes if codes is None else codes, weights)
        )


def effective_number(sizes: NDArray) -> float:
    """Number of equally large images that tell as much as images of these sizes."""
    square = (sizes**2).sum()
    return sizes.sum() ** 2 / square if square > 0 else 0.0


def cautious_effect(
    seen: float, sizes: NDArray, n_known: float, n_prior: float
) -> float:
    r"""Design effect that is assumed where so many images show this one, never less than it.

    By chance few images show none. What they show is averaged with the effect of an intraclass
    correlation of one half, which counts as `n_prior` images,

    .. math:: \max\left(d, \frac{k d + K (1 + (\bar m - 1) / 2)}{k + K}\right), \qquad
       \bar m = \sum m_g^2 / \sum m_g

    with images of m answers; k are those that show d.

    Examples
    --------
    >>> cautious_effect(1.0, np.full(60, 5), 3, 5), cautious_effect(4.0, np.full(60, 5), 3, 5)
    (2.25, 4.0)
    """
    seen = max(seen, 1.0)
    typical = (sizes**2).sum() / sizes.sum()  # as an answer sees it
    expected = 1 + (typical - 1) * PRIOR_CORRELATION
    averaged = (n_known * seen + n_prior * expected) / (n_known + n_prior)
    return float(max(seen, averaged))


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are made: their level, the number of resamples, the seed of all of them.

    One value in place of a generator that is used up: the resamples follow from the seed and the
    images alone, so that the same call gives the same interval whatever was computed before, and
    two tables about the same images are paired.

    Parameters
    ----------
    seed : int
        At least 0; another seed moves ends by the noise of resampling.
    n : int
        Number of resamples, at least 2.
    level : float
        Nominal coverage of the intervals, in (0, 1).

    Raises
    ------
    ValueError
        On a seed below 0, fewer than two resamples, or a level that is no share.

    References
    ----------
    Field & Welsh, J. R. Stat. Soc. B 2007, doi:10.1111/j.1467-9868.2007.00593.x.

    Examples
    --------
    >>> ci = Bootstrap(seed=7, n=500)
    >>> once = ci.of(["a", "b", "b", "c"]).counts
    >>> bool((ci.of(["a", "b", "b", "c"]).counts == once).all())
    True
    """

    seed: int = 0
    n: int = 2000
    level: float = 0.95

    def __post_init__(self) -> None:
        check_whole(self.seed, "seed", 0)
        check_whole(self.n, "n", 2)
        check_level(self.level)

    def of(self, images: ArrayLike) -> Resamples:
        """The resamples of the images of rows, (m,)."""
        return Resamples(images, self.n, self.stream(images))

    def stream(self, images: ArrayLike) -> np.random.Generator:
        """The random numbers that belong to these images: to their set, not to their order."""
        names = pd.unique(np.asarray(images))
        if names.dtype.kind in "OUS":
            names = names.astype(object)
        # uint64 sums wrap around: a set has the same key in any order
        key = int(pd.util.hash_array(names, categorize=False).sum(dtype=np.uint64))
        return np.random.default_rng([self.seed, len(names), key])


# --- the one rule for intervals -----------------------------------------------------------


def student(level: float, degrees: float) -> float:
    """How many standard errors Student's interval of a level goes to either side."""
    from scipy.special import stdtrit

    return stdtrit(degrees, (1 + check_level(level)) / 2)


def stretch(n_groups: float, level: float) -> float:
    r"""How much wider than its percentiles an interval from few images must be.

    .. math:: \frac{t_{G-1}}{z} \sqrt{\frac{G}{G-1}}

    1 for endlessly many images G; NaN for one.
    """
    from scipy.special import ndtri

    if n_groups <= 1:
        return np.nan
    wider = student(level, n_groups - 1) / ndtri((1 + level) / 2)
    return wider * np.sqrt(n_groups / (n_groups - 1))


def percentile_ends(
    draws: FloatArray,
    *,
    level: float = 0.95,
    n_groups: float,
    bounds: Bounds = UNBOUNDED,
) -> tuple[float, float]:
    """Ends of the bootstrap interval of a number.

    The percentiles of the resamples are moved so that their median is the estimate, which takes
    the bias of resampling out, and stretched from it for the number of images: the bootstrap
    leaves out that a spread is estimated too (t with G − 1 degrees for the normal) and that
    resamples vary by (G − 1) / G too little. Where the number has bounds, these distances are
    gone on its log-odds between them (`within`): few images do not show the long tail of a
    score near its bound.

    Parameters
    ----------
    draws : (1 + r,) array
        The estimate first, then the resamples; NaN where a resample has no value.
    level : float
        Nominal coverage, in (0, 1).
    n_groups : float
        Number of images, or their effective number (`Resamples.effective`); for a statistic that
        compares right with wrong answers, of the images that hold the rarer of the two.
    bounds : tuple
        Least and largest value that the number can have; ±inf: none.

    Returns
    -------
    low, high : float
        NaN where nothing varies or one image is alone.

    References
    ----------
    Percentiles: Efron & Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13. The two
    factors: Hesterberg, The American Statistician 2015, doi:10.1080/00031305.2015.1089789.
    """
    tail = (1 - check_level(level)) / 2
    known = _known(draws)
    if not known.size or n_groups <= 1:
        return np.nan, np.nan
    below, above = _distances(known, tail, n_groups)
    if below + above == 0:
        return np.nan, np.nan
    return within(draws[0], below, above, bounds)


def _known(draws: FloatArray) -> FloatArray:
    """The resamples that have a value, ascending."""
    resampled = draws[1:]
    return np.sort(resampled[~np.isnan(resampled)])


def _distances(
    known: FloatArray, tail: float, n_groups: float, growth: float = 1.0
) -> tuple[float, float]:
    """How far the ends at a tail probability lie below and above the estimate.

    Read off the resamples as far as their TAIL; beyond it distances grow as Student's quantile
    does, to the power `growth`.
    """
    seen = max(tail, TAIL)
    low, middle, high = np.quantile(known, [seen, 0.5, 1 - seen])
    level = 1 - 2 * seen
    wider = stretch(n_groups, level)
    if tail < seen:
        degrees = n_groups - 1
        ratio = student(1 - 2 * tail, degrees) / student(level, degrees)
        wider *= ratio**growth
    return wider * (middle - low), wider * (high - middle)


def within(
    estimate: float, below: float, above: float, bounds: Bounds
) -> tuple[float, float]:
    r"""Ends of an interval so far below and above an estimate, on the log-odds between bounds.

    The distances are those of the plain scale, turned by the delta method into distances of
    :math:`\log (x - a) - \log (b - x)` for bounds a, b; of the plain scale where one of them is
    infinite or the estimate has reached it. An end never lies past a bound.

    Examples
    --------
    >>> low, high = within(0.1, 0.08, 0.08, (0.0, 1.0))
    >>> round(low, 3), round(high, 3)
    (0.044, 0.213)
    """
    least, most = bounds
    down = max(estimate - least, 0.0)
    up = max(most - estimate, 0.0)
    low = estimate - _gone(below, down, up)
    high = estimate + _gone(above, up, down)
    return float(low), float(high)


def _gone(distance: float, ahead: float, behind: float) -> float:
    """How far a distance leads towards a bound; `ahead` and `behind` are those to the bounds."""
    if min(ahead, behind) == 0 or np.isinf(ahead + behind):
        return min(distance, ahead)
    rate = 1 / ahead + 1 / behind
    less = -np.expm1(-rate * distance)
    return less / (1 / ahead + (1 - less) / behind)


def two_sided_p(draws: FloatArray, *, n_groups: float) -> float:
    """P value of "the number is 0": below 1 − level where its interval leaves 0 out.

    `draws` and `n_groups` are as in `percentile_ends`, of one number. NaN where nothing varies.
    """
    if not np.nanstd(draws[1:]) > 1e-12:
        return np.nan
    return 2 * p_above(np.sign(draws[0]) * draws, n_groups=n_groups, null=0.0)


def p_above(draws: FloatArray, *, n_groups: float, null: float) -> float:
    """P value against a number being above `null`: the tail at which its interval ends there.

    One half where it is not above it; arguments and results as of `p_below`.
    """
    return _p_beyond(-draws, n_groups, -null, growth=1.0)


def p_below(draws: FloatArray, *, n_groups: float, null: float) -> float:
    """P value against a loss being below `null`: the tail at which its interval ends there.

    The spread of a loss near its minimum grows with the loss, so that a loss that is small by
    chance seems well known, and a t test rejects too often, the more so the smaller the level.
    The end is that of `percentile_ends` as far as the TAIL of the resamples; beyond it the
    distance grows with the power GROWTH of Student's quantile: of a mean it is 1, of a
    quadratic loss 2.

    Parameters
    ----------
    draws, n_groups
        As in `percentile_ends`, of one number.
    null : float

    Returns
    -------
    float
        One half where it is not below `null`; NaN for one image; 0, ½ or 1 where no resample
        differs from the sample.
    """
    return _p_beyond(draws, n_groups, null, growth=GROWTH)


def _p_beyond(draws: FloatArray, n_groups: float, null: float, growth: float) -> float:
    """The tail at which the upper end of an interval lies at the null value."""
    if n_groups <= 1:
        return np.nan
    away = null - draws[0]
    if not np.nanstd(draws[1:]) > 1e-12:
        return (1 - np.sign(away)) / 2
    known = _known(draws)

    def left(tail: float) -> float:
        """How far the upper end stays below the null value."""
        return away - _distances(known, tail, n_groups, growth)[1]

    return tail_of(left)


def tail_of(left: Callable[[float], float]) -> float:
    """The tail probability at which the end of an interval is reached; one half at the estimate.

    `left` says how far the end at a tail probability stays away from the value that is tested.
    """
    from scipy.optimize import brentq

    ends = np.log([LEAST_P, 0.5 - 1e-9])
    if not left(np.exp(ends[1])) > 0:
        return 0.5
    if left(LEAST_P) > 0:
        return LEAST_P
    # bisected on the scale of logarithms: small P values have as many digits as others
    log_tail = brentq(lambda log_tail: left(np.exp(log_tail)), *ends, xtol=1e-7)
    return float(np.exp(log_tail))


# --- log-odds -----------------------------------------------------------------------------


def choose_clip(confidence: ArrayLike) -> float:
    """How far a confidence of 0 or 1 is moved inwards before log-odds are taken.

    Half the step to the next confidence that occurs, at most 0.005 (whole percents give that);
    1e-6, which moves next to nothing, where neither 0 nor 1 occurs.

    Examples
    --------
    >>> choose_clip([0.5, 0.99, 1.0]), choose_clip([0.5, 0.9])
    (0.005, 1e-06)
    """
    c = np.asarray(confidence, dtype=float)
    end = np.minimum(c, 1 - c)
    inside = end[end > 0]
    if inside.size == end.size:
        return LEAST_CLIP
    step = inside.min(initial=1.0) / 2
    # a step of 1 − 0.99 is no exact decimal
    return float(np.clip(round(step, 12), LEAST_CLIP, MOST_CLIP))


def logit(confidence: ArrayLike, clip: float) -> FloatArray:
    """Log-odds of confidences moved into [clip, 1 − clip]."""
    c = np.asarray(confidence, dtype=float)
    c = np.clip(c, clip, 1 - clip)
    return np.asarray(np.log(c) - np.log1p(-c))


def gathered(confidence: ArrayLike, most: int | None = None) -> NDArray[np.intp]:
    """(n,) a number for each confidence: the same for equal ones, at most `most` numbers.

    Where more differ, neighbours are put together into cells of equal mass.
    """
    _, cell = np.unique(confidence, return_inverse=True)
    n = np.bincount(cell)
    if most is None or n.size <= most:
        return cell
    middle = np.cumsum(n) - n / 2
    share = middle / n.sum()
    coarse = (share * most).astype(np.intp)
    _, joined = np.unique(coarse, return_inverse=True)
    return joined[cell]


# --- logistic regression ------------------------------------------------------------------


def fit_logistic(
    features: FloatArray,
    sums: FloatArray,
    weights: FloatArray,
    *,
    offset: FloatArray | float = 0.0,
    start: FloatArray | float = 0.0,
    tolerance: float = 1e-6,
) -> tuple[FloatArray, FloatArray]:
    r"""One logistic regression for every row of weights, by Newton's method.

    Maximises :math:`\sum_i w_{bi} [t_i \eta_i - \log(1 + e^{\eta_i})]` with
    :math:`\eta = X \theta + \mathrm{offset}`.

    Parameters
    ----------
    features : (n, d) array
    sums : (B, d) array
        :math:`\sum_i w_{bi} t_i x_i`, the only way in which the targets enter.
    weights : (B, n) array
    offset : scalar, (n,) or (B, n) array
    start : scalar, (d,) or (B, d) array
        Where Newton's method starts: the fit of the whole sample saves steps on resamples.
    tolerance : float
        Of the last step. Newton's method converges by squares: what a step of 1e-3 leaves is
        about 1e-6.

    Returns
    -------
    theta : (B, d) array
    information : (B, d, d) array
    """
    n, d = features.shape
    # (n, d²) products of features, whose weighted sums are the information
    products = features[:, :, None] * features[:, None, :]
    products = products.reshape(n, d * d)
    theta = np.zeros_like(sums) + start
    offset = np.broadcast_to(offset, weights.shape)
    information = np.empty((len(sums), d, d))
    size = max(1, NUMBERS_AT_ONCE // n)
    for first in range(0, len(sums), size):
        rows = slice(first, first + size)
        theta[rows], information[rows] = _newton(
            features,
            products,
            sums[rows],
            weights[rows],
            offset[rows],
            theta[rows],
            tolerance,
        )
    return theta, information


def _newton(
    features: FloatArray,
    products: FloatArray,
    sums: FloatArray,
    weights: FloatArray,
    offset: FloatArray,
    theta: FloatArray,
    tolerance: float,
) -> tuple[FloatArray, FloatArray]:
    d = features.shape[1]
    ridge = 1e-9 * np.eye(d)
    information = np.empty((len(theta), d, d))
    step = np.zeros_like(theta)
    rise = np.full(len(theta), np.inf)
    live = np.arange(len(theta))  # the fits that still move
    for _ in range(100):
        moving = slice(None) if live.size == len(theta) else live
        p = probability(theta[moving] @ features.T + offset[moving])  # (live, n)
        pull = weights[moving] * p
        gradient = sums[moving] - pull @ features
        bend = ((pull - pull * p) @ products).reshape(-1, d, d)
        information[moving] = bend
        move = _solved(bend + ridge, gradient)
        size = np.abs(move).max(axis=1)
        move *= np.minimum(1.0, 4.0 / np.maximum(size, 1e-300))[:, None]
        # far past the maximum on the line of the last step: go back half of it
        over = (gradient * step[live]).sum(axis=1) < -0.5 * rise[live]
        rise[live] = np.where(over, rise[live] / 2, (gradient * move).sum(axis=1))
        step[live] = np.where(over[:, None], step[live] / 2, move)
        theta[live] += np.where(over[:, None], -step[live], move)
        live = live[over | (size >= tolerance)]
        if not live.size:
            break
    return theta, information


def _solved(bend: FloatArray, gradient: FloatArray) -> FloatArray:
    """(B, d) steps of (B, d, d) curvatures; of one number each it is a division."""
    if gradient.shape[1] == 1:
        return gradient / bend[..., 0]
    return np.asarray(np.linalg.solve(bend, gradient[..., None])[..., 0], float)


def probability(log_odds: FloatArray) -> FloatArray:
    """The probability of log-odds; numpy takes several exponentials at once."""
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-log_odds))


# --- discrimination -----------------------------------------------------------------------


def won_pairs(right: FloatArray, wrong: FloatArray) -> FloatArray:
    """(B,) pairs in which the right answer has more confidence, ties one half.

    `right` and `wrong` are (B, cells), by ascending confidence.
    """
    below = np.cumsum(wrong, axis=1) - wrong / 2
    return np.asarray((right * below).sum(axis=1))
