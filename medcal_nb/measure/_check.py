"""Guards shared by every metric: what comes in is what the definition speaks of."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sized
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from medcal_nb.errors import did_you_mean
from medcal_nb.measure.decimals import shortest_decimals


class MeasureWarning(UserWarning):
    """A number is not defined on this input, or means less than it seems; the text says why."""


def warn(message: str) -> None:
    """Warn of a number that is not defined, or means less than it seems."""
    warnings.warn(message, MeasureWarning, stacklevel=2)


def check_confidence(values: ArrayLike) -> np.ndarray:
    """A vector of probabilities in [0, 1], as floats, or ValueError by name and position."""
    array = _vector(values, "confidence")
    remedy = "percent? divide by 100" if array.max() > 1 else "probabilities start at 0"
    refuse((array < 0) | (array > 1), array, "confidence", "outside [0, 1]", remedy)
    return array


def check_correct(values: ArrayLike) -> np.ndarray:
    """A vector of outcomes 0 or 1 (booleans are fine), as floats."""
    array = _vector(values, "correct")
    refuse(
        (array != 0) & (array != 1),
        array,
        "correct",
        "neither 0 nor 1",
        "grade answers first",
    )
    return array


def check_pair(
    confidence: ArrayLike, correct: ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    """Confidence in [0, 1] and binary outcome of the same length, as float arrays."""
    c = check_confidence(confidence)
    y = check_correct(correct)
    check_length(y, c.size, "correct")
    return c, y


def check_length(array: Sized, n: int, name: str) -> None:
    """The same number of entries as the confidence."""
    if len(array) != n:
        raise ValueError(
            f"{name} has {len(array)} values, confidence has {n}: lengths must agree"
        )


def check_images(groups: ArrayLike | None, n: int) -> np.ndarray:
    """The image, or group, of each of n rows; without groups each row is its own."""
    if groups is None:
        return np.arange(n)
    images = np.asarray(groups)
    check_length(images, n, "groups")
    if n_missing := pd.isna(images).sum():
        raise ValueError(f"groups: {n_missing} of {n} values missing: name them all")
    return images


def check_groups(groups: ArrayLike | None, n: int) -> tuple[np.ndarray, int]:
    """Group labels as codes 0 … G−1, and G; without groups each row is its own."""
    if groups is None:
        return np.arange(n), n
    images = check_images(groups, n)
    if images.dtype.kind in "iu" and _are_codes(images):
        return images.astype(np.intp), int(images.max()) + 1
    codes, labels = pd.factorize(images, sort=True)
    return codes, len(labels)


def _are_codes(numbers: np.ndarray) -> bool:
    """Whether whole numbers count from 0 without a gap."""
    if not numbers.size or numbers.min() < 0 or numbers.max() >= numbers.size:
        return False
    return bool(np.bincount(numbers.astype(np.intp)).all())


def check_whole(value: Any, name: str, least: int) -> int:
    """A whole number, not below the least."""
    if int(value) != value or value < least:
        raise ValueError(
            f"{name} must be a whole number of at least {least}, got {value!r}"
        )
    return int(value)


def check_level(level: float, name: str = "level") -> float:
    """A share strictly between 0 and 1, such as 0.95."""
    if not 0 < level < 1:
        remedy = f": {level / 100:g}?" if 1 <= level < 100 else ""
        raise ValueError(
            f"{name} must be a share strictly between 0 and 1, and {level!r} is none{remedy}"
        )
    return float(level)


def check_choice(value: Any, name: str, allowed: Iterable) -> None:
    """One of the named options."""
    if value not in allowed:
        raise ValueError(
            f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}"
            f"{did_you_mean(str(value), allowed)}"
        )


def _vector(values: ArrayLike, name: str) -> np.ndarray:
    """A one-dimensional float array of at least one number; <NA> of nullable columns is NaN."""
    try:
        if pd.api.types.is_extension_array_dtype(values):
            column = pd.Series(values)  # of numpy's floats in pandas' dress, as wide
            is_masked = pd.api.types.is_extension_array_dtype(column)
            values = column.to_numpy(float, na_value=np.nan) if is_masked else column
        array = np.asarray(values)
        if array.dtype.kind != "f":  # floats as wide as they are stored
            array = array.astype(float)
        array = shortest_decimals(array)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is not numeric: {error}") from None
    if array.ndim != 1:
        raise ValueError(f"{name} must have one dimension, has shape {array.shape}")
    if array.size == 0:
        raise ValueError(f"{name} is empty: no metric is defined on no items")
    refuse(np.isnan(array), array, name, "NaN", "drop or count missing values first")
    return array


def refuse(
    bad: np.ndarray, array: np.ndarray, name: str, what: str, remedy: str
) -> None:
    """Raise ValueError where a value is bad, with the first one and what to do."""
    if bad.any():
        first = int(bad.argmax())
        raise ValueError(
            f"{name}: {int(bad.sum())} of {array.size} values {what}, "
            f"first at position {first} ({array[first]:g}): {remedy}"
        )
