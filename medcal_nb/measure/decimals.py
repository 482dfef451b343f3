"""Numbers as they were written: a confidence of 0.9 stored in 32 bits is 0.9, not 0.89999998."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

# decimal digits that always come back from a binary number, and that always tell it apart
_DIGITS = {np.dtype("float16"): (1, 5), np.dtype("float32"): (6, 9)}
# A double that is exactly a 32-bit number, and next to so short a decimal, was that decimal.
_SHORT = 4
_FEW_PARTS = 1 << 10  # whole numbers of these parts of 1 are decimals as they stand


def shortest_decimals(values: ArrayLike) -> NDArray[np.float64]:
    """Return numbers as doubles that stand for the decimals they were written as.

    A number stored in 16 or 32 bits becomes the shortest decimal that is stored as that number:
    otherwise equal confidences would fall into different bins, and on different sides of a
    threshold, after nothing but a change of type. A double stays as it is, unless it is a
    widened 32-bit number next to a decimal of at most four digits (0.8999999761581421 is 0.9).

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
    >>> import numpy as np
    >>> shortest_decimals(np.array([0.9, 0.1], "float32")).tolist()
    [0.9, 0.1]
    """
    array = np.asarray(values)
    if array.dtype in _DIGITS:
        return _shortest(array, *_DIGITS[array.dtype])
    doubles = array.astype(np.float64, copy=False)
    with np.errstate(over="ignore", invalid="ignore"):
        singles = doubles.astype(np.float32)
        is_plain = doubles == np.rint(doubles * _FEW_PARTS) / _FEW_PARTS  # 1, 0.5 …
    was_single = (singles == doubles) & np.isfinite(doubles) & ~is_plain
    if not was_single.any():
        return doubles
    short = _rounded(doubles[was_single], _SHORT)
    is_same = short.astype(np.float32) == singles[was_single]
    doubles = doubles.copy()  # the caller's own array stays as it is
    doubles[was_single] = np.where(is_same, short, doubles[was_single])
    return doubles


def _shortest(array: NDArray, fewest: int, most: int) -> NDArray[np.float64]:
    """The shortest decimals of an array of 16- or 32-bit numbers."""
    doubles = array.astype(np.float64)
    open_ones = np.isfinite(doubles)
    for digits in range(fewest, most + 1):
        if not open_ones.any():
            break
        decimals = _rounded(doubles[open_ones], digits)
        is_same = decimals.astype(array.dtype) == array[open_ones]
        places = np.flatnonzero(open_ones)[is_same]
        doubles.flat[places] = decimals[is_same]
        open_ones.flat[places] = False
    return doubles


def _rounded(doubles: NDArray[np.float64], digits: int) -> NDArray[np.float64]:
    """Doubles rounded to so many significant decimal digits."""
    with np.errstate(divide="ignore"):
        exponents = np.floor(np.log10(np.abs(doubles)))
    places = digits - 1 - np.where(np.isfinite(exponents), exponents, 0)
    # Powers of ten up to 22 are exact doubles, so that one division rounds once.
    up = 10.0 ** np.clip(places, 0, 22)
    down = 10.0 ** np.clip(-places, 0, 22)
    rest = 10.0 ** np.clip(places - 22, 0, None)
    return np.rint(doubles * rest * up / down) / up / rest * down
