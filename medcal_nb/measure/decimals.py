"""Numbers as they were written, and shares as they are: 0.9 in 32 bits is 0.9, 0.9996 no 100 %."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Decimal

import numpy as np
from numpy.typing import ArrayLike, NDArray

_DECIMALS = 4


def shortest_decimals(values: ArrayLike) -> NDArray[np.float64]:
    """Return numbers as doubles that stand for the decimals they were written as.

    A number stored in 16 or 32 bits becomes the shortest decimal that is stored as that number:
    otherwise equal confidences would fall into different bins, and on different sides of a
    threshold, after nothing but a change of type. A double stays as it is, unless it is a
    widened 32-bit number next to a decimal of at most four places (0.8999999761581421 is 0.9).

    Parameters
    ----------
    values : array_like of float, any shape
        Numbers; NaN and infinities stay.

    Returns
    -------
    numpy.ndarray of float64
        The same shape.

    Examples
    --------
    >>> shortest_decimals(np.array([0.9, 0.1], "float32")).tolist()
    [0.9, 0.1]
    """
    array = np.asarray(values)
    if array.dtype in (np.float16, np.float32):
        different, place = np.unique(array, return_inverse=True)
        printed = different.astype(str)
        decimals = printed.astype(float)
        return decimals[place].reshape(array.shape)
    doubles = array.astype(float, copy=False)
    with np.errstate(over="ignore", invalid="ignore"):
        decimals = np.round(doubles, _DECIMALS)
        was_single = doubles == decimals.astype(np.float32)
    was_single &= doubles != decimals
    return np.where(was_single, decimals, doubles) if was_single.any() else doubles


def half_up(number: float, places: int = 0) -> float:
    """Return a number rounded to so many places, a tie away from zero, as browsers write it.

    Examples
    --------
    >>> half_up(12.5), half_up(-12.5), round(12.5)
    (13.0, -13.0, 12)
    """
    if not math.isfinite(number):
        return number
    step = Decimal(1).scaleb(-places)
    return float(Decimal(number).quantize(step, rounding=ROUND_HALF_UP))


def percent(share: float, places: int = 0) -> str:
    """Return a share in percent, with the places that tell it from none and from all.

    Parameters
    ----------
    share : float
        In [0, 1]; NaN gives ``nan``.
    places : int
        After the point, at least; more, up to two, where the share would look like none or all.

    Examples
    --------
    >>> [percent(share) for share in (1.0, 0.996, 0.5, 0.0034, 1e-6, 0.0)]
    ['100', '99.6', '50', '0.3', '< 0.01', '0']
    >>> percent(0.5, 1), percent(0.9996, 1), percent(3 / 24)
    ('50.0', '99.96', '13')
    """
    number = 100 * share
    for more in range(places, 3):
        text = f"{half_up(number, more):z.{more}f}"
        is_exact = abs(number - float(text)) < 1e-7  # but for rounding
        if is_exact or float(text) not in (0, 100):
            return text
    return "< 0.01" if number < 1 else "> 99.99"
