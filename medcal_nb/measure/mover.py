r"""Intervals of numbers that hang on the share right, which hold where hardly anything is wrong.

The bootstrap draws again what was seen: with one error, or none, outcomes hardly vary, and its
interval is that of the confidence alone. Here the share right has Wilson's interval, by image, and
each mean beside it Student's; the method of variance estimates recovery (MOVER) joins them,

.. math:: \hat g \pm \sqrt{v^\top R\, v}, \qquad v_j = \frac{\partial g}{\partial \theta_j}
   \,(\text{distance from } \hat\theta_j \text{ to its end on that side})

with R the correlations of the parts by image; `images` are the numbers of the answers' images,
from 0 without a gap. Source: Zou, Psychological Methods 2007,
doi:10.1037/1082-989X.12.4.399; Zou & Donner, Statistics in Medicine 2008, doi:10.1002/sim.3095.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .intervals import share_interval
from .resampling import (
    UNKNOWN,
    FloatArray,
    Interval,
    effective_number,
    student,
    within,
)

#: A correlation seen on so many images with the rarer outcome counts half.
PRIOR_IMAGES = 2


class Part(NamedTuple):
    """A share or mean that a number is made of, with its interval."""

    low: float
    value: float
    high: float
    #: (images,) what each image adds to its error.
    pull: FloatArray


def difference_interval(
    c: FloatArray, y: FloatArray, images: NDArray[np.intp], level: float
) -> Interval:
    """Interval of the mean of numbers minus the share right."""
    mean = mean_part(c, images, level)
    share = share_part(y, images, level)
    known = correlations([mean, share], y, images)
    return joined(mean.value - share.value, [mean, share], [1.0, -1.0], known)


def ratio_interval(
    y: FloatArray, c: FloatArray, images: NDArray[np.intp], level: float
) -> Interval:
    r"""Interval of the share right over the mean of numbers above 0.

    An end is the ratio ρ at which the interval of :math:`\bar y - \rho \bar c` ends at 0, a root
    of a quadratic equation; infinite where the mean may be 0.
    """
    mean = mean_part(c, images, level)
    share = share_part(y, images, level)
    correlation = correlations([mean, share], y, images)[0, 1]
    below = share.value - share.low, mean.high - mean.value
    above = share.high - share.value, mean.value - mean.low
    ends = []
    for sign, (near, far) in ((-1.0, below), (1.0, above)):
        square = mean.value**2 - far**2
        middle = mean.value * share.value - correlation * near * far
        rest = share.value**2 - near**2
        root = np.sqrt(max(middle**2 - square * rest, 0.0))
        end = np.inf
        if square > 0:
            end = (middle + sign * root) / square
        ends.append(end)
    low, high = ends
    return Interval(low=low, estimate=share.value / mean.value, high=high)


def strata_interval(
    losses: Sequence[FloatArray],
    y: FloatArray,
    images: NDArray[np.intp],
    level: float,
) -> Interval:
    """Interval of a mean loss from its means among right and among wrong answers.

    `losses` are two (n,) arrays, of each answer if it is right and if it is wrong. Where few are
    of a kind, their mean is known as far as the losses go that answers of that kind could have.
    """
    share, *strata = strata_parts(losses, y, images, level)
    right, wrong = (part.value for part in strata)
    share_wrong = 1 - share.value
    value = share.value * right + share_wrong * wrong
    parts = [share, *strata]
    slopes = [right - wrong, share.value, share_wrong]
    known = correlations(parts, y, images)
    return joined(value, parts, slopes, known)


def skill_interval(
    losses: Sequence[FloatArray],
    y: FloatArray,
    images: NDArray[np.intp],
    level: float,
) -> Interval:
    r"""Interval of one minus a mean loss over the variance of the outcomes.

    .. math:: 1 - \frac{p L_1 + q L_0}{p q} = 1 - \frac{L_1}{q} - \frac{L_0}{p}, \quad q = 1 - p

    with the mean losses among right and among wrong answers, as of `strata_interval`. Where few are
    wrong it is far from linear in their share: that is gone along to its ends. NaN where all
    outcomes are alike.
    """
    if y.min() == y.max():
        return UNKNOWN
    share, *strata = strata_parts(losses, y, images, level)
    right, wrong = (part.value for part in strata)

    def skill(p: FloatArray | float) -> FloatArray:
        return np.asarray(1 - right / (1 - p) - wrong / p)

    # concave in p: its largest value may lie between the ends
    best = np.sqrt(wrong) / max(np.sqrt(wrong) + np.sqrt(right), 1e-300)
    tried = skill(np.clip([share.low, best, share.high], share.low, share.high))
    value = float(skill(share.value))
    rate = wrong / share.value**2 - right / (1 - share.value) ** 2
    by_share = Part(tried.min(), value, tried.max(), rate * share.pull)
    parts = [by_share, *strata]
    slopes = [1.0, -1 / (1 - share.value), -1 / share.value]
    return joined(value, parts, slopes, correlations(parts, y, images))


def strata_parts(
    losses: Sequence[FloatArray],
    y: FloatArray,
    images: NDArray[np.intp],
    level: float,
) -> list[Part]:
    """The share right, and the mean losses among right and among wrong answers."""
    parts = [share_part(y, images, level)]
    for loss, of in zip(losses, (y, 1 - y), strict=True):
        part = mean_part(loss, images, level, of)
        half = part.high - part.value
        bounds = loss.min(), loss.max()
        low, high = within(part.value, half, half, bounds)
        parts.append(part._replace(low=low, high=high))
    return parts


def shares_interval(
    terms: Sequence[tuple[FloatArray, float]], images: NDArray[np.intp], level: float
) -> Interval:
    """Interval of a sum of shares times what each costs.

    `terms` are (n,) arrays of 0 and 1, each with its factor. No end passes 0 and all factors.
    """
    parts = []
    factors = []
    for counted, factor in terms:
        parts.append(share_part(counted, images, level))
        factors.append(factor)
    value = sum(f * part.value for f, part in zip(factors, parts, strict=True))
    rarest, _ = min(terms, key=lambda term: term[0].sum())
    ends = joined(value, parts, factors, correlations(parts, rarest, images))
    least = min(0.0, *factors)
    most = max(0.0, *factors)
    return Interval(*np.clip(ends, least, most))


def share_part(y: FloatArray, images: NDArray[np.intp], level: float) -> Part:
    """The share of 1 among outcomes, with `clustered_interval`."""
    low, high = share_interval(y, images, level)
    share = y.mean()
    pull = np.bincount(images, y - share) / y.size
    return Part(low=low, value=share, high=high, pull=pull)


def mean_part(
    x: FloatArray,
    images: NDArray[np.intp],
    level: float,
    of: FloatArray | None = None,
) -> Part:
    """The mean of the numbers where `of` is 1, with Student's interval by image.

    The mean of all numbers, known to nothing, where there is none; endless for one image.
    """
    counted = np.ones(x.size) if of is None else of
    n = counted.sum()
    mean = (x @ counted / n) if n else x.mean()
    away = (x - mean) * counted
    pull = np.bincount(images, away) / max(n, 1)
    n_of_image = np.bincount(images, counted)
    worth = effective_number(n_of_image)
    half = student_half(pull, worth, level) if worth > 1 else np.inf
    return Part(low=mean - half, value=mean, high=mean + half, pull=pull)


def student_half(pull: FloatArray, n: float, level: float) -> float:
    """Half of Student's interval of what the n parts of `pull` add up to."""
    variance = n / (n - 1) * (pull**2).sum()
    return student(level, n - 1) * np.sqrt(variance)


def joined(
    value: float,
    parts: Sequence[Part],
    slopes: Sequence[float],
    correlations: FloatArray,
) -> Interval:
    """The interval of a number from those of its parts, and how it changes with each."""
    below = []
    above = []
    for part, slope in zip(parts, slopes, strict=True):
        down = slope * (part.value - part.low)
        up = slope * (part.high - part.value)
        below.append(down if slope > 0 else up)
        above.append(up if slope > 0 else down)
    distances = []
    for ends in (np.array(below), np.array(above)):
        square = ends @ correlations @ ends
        distances.append(np.sqrt(max(square, 0.0)))
    low, high = distances
    return Interval(low=value - low, estimate=value, high=value + high)


def correlations(
    parts: Sequence[Part], y: FloatArray, images: NDArray[np.intp]
) -> FloatArray:
    """(k, k) correlations of the parts' errors by image; 0 with one that does not vary.

    Few images with the rarer outcome hardly show any: those count less.
    """
    pulls = np.array([part.pull for part in parts])  # (k, images)
    products = pulls @ pulls.T
    sizes = np.sqrt(np.diag(products))
    scale = np.outer(sizes, sizes)
    varies = scale > 1e-24
    seen = np.where(varies, products / np.where(varies, scale, 1), 0)
    rarer = min(effective_number(np.bincount(images, one)) for one in (y, 1 - y))
    seen *= rarer / (rarer + PRIOR_IMAGES)
    np.fill_diagonal(seen, 1)
    return seen
