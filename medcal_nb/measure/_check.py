"""Guards shared by every metric: what comes in is what the definition speaks of."""

import sys
import warnings

import numpy as np


class MeasureWarning(UserWarning):
    """A number is not defined on this input, or means less than it seems; the text says why."""


def warn(message: str, category: type[Warning] = MeasureWarning) -> None:
    """Warn with `MeasureWarning`, pointing at the first caller outside this room."""
    frame, depth = sys._getframe(1), 2
    while frame is not None and frame.f_globals.get("__package__") == __package__:
        frame, depth = frame.f_back, depth + 1
    warnings.warn(message, category, stacklevel=depth)


def check_vector(values, name: str) -> np.ndarray:
    """A one-dimensional float array of at least one finite number, or ValueError by name."""
    array = _as_float(values, name)
    if array.ndim != 1:
        raise ValueError(f"{name} must have one dimension, has shape {array.shape}")
    if array.size == 0:
        raise ValueError(f"{name} is empty: no metric is defined on no items")
    _refuse(np.isnan(array), array, name, "NaN", "drop or count missing values first")
    _refuse(np.isinf(array), array, name, "infinite", "values must be finite")
    return array


def check_confidence(values, name: str = "confidence") -> np.ndarray:
    """A vector of probabilities in [0, 1]."""
    array = check_vector(values, name)
    remedy = "percent? divide by 100" if array.max() > 1 else "probabilities start at 0"
    _refuse((array < 0) | (array > 1), array, name, "outside [0, 1]", remedy)
    return array


def check_correct(values, name: str = "correct") -> np.ndarray:
    """A vector of outcomes 0 or 1 (booleans are fine), as floats."""
    array = check_vector(values, name)
    _refuse((array != 0) & (array != 1), array, name, "neither 0 nor 1", "grade answers first")
    return array


def check_pair(confidence, correct) -> tuple[np.ndarray, np.ndarray]:
    """Confidence in [0, 1] and binary outcome of the same length, as float arrays."""
    c, y = check_confidence(confidence), check_correct(correct)
    check_length(y, c.size, "correct")
    return c, y


def check_length(array, n: int, name: str, other: str = "confidence") -> None:
    """The same number of entries as another argument."""
    if len(array) != n:
        raise ValueError(f"{name} has {len(array)} values, {other} has {n}: lengths must agree")


def check_weights(weights, n: int) -> np.ndarray | None:
    """Non-negative finite weights with a positive sum, or None."""
    if weights is None:
        return None
    w = check_vector(weights, "weights")
    check_length(w, n, "weights")
    _refuse(w < 0, w, "weights", "negative", "weights count repetitions")
    if w.sum() == 0:
        raise ValueError("weights are all 0: nothing is left to measure")
    return w


def check_groups(groups, n: int) -> tuple[np.ndarray, int]:
    """Group labels as codes 0 … G−1, and G; without groups each row is its own."""
    if groups is None:
        return np.arange(n), n
    import pandas as pd

    check_length(groups, n, "groups")
    codes, labels = pd.factorize(np.asarray(groups), sort=True)
    if (codes < 0).any():
        raise ValueError(
            f"groups: {int((codes < 0).sum())} missing, first at position "
            f"{int((codes < 0).argmax())}: every row needs a group"
        )
    return codes, len(labels)


def check_whole(value, name: str, least: int) -> int:
    """A whole number, not below the least."""
    if isinstance(value, bool) or int(value) != value or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")
    return int(value)


def check_level(level: float, name: str = "level") -> float:
    """A share strictly between 0 and 1, such as 0.95."""
    if not 0 < level < 1:
        hint = " (a percentage? write 0.95, not 95)" if level >= 1 else ""
        raise ValueError(f"{name} must lie strictly between 0 and 1, got {level!r}{hint}")
    return float(level)


def check_choice(value, name: str, allowed) -> None:
    """One of the named options."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}")


def check_rng(rng) -> np.random.Generator:
    """A numpy Generator: results that use chance are repeatable only with one."""
    if not isinstance(rng, np.random.Generator):
        raise ValueError(
            f"rng must be a numpy.random.Generator, got {type(rng).__name__}: "
            "pass np.random.default_rng(seed)"
        )
    return rng


def _as_float(values, name: str) -> np.ndarray:
    try:
        if hasattr(values, "to_numpy"):  # nullable columns: <NA> becomes NaN
            return values.to_numpy(dtype=np.float64, na_value=np.nan)
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is not numeric: {error}") from None


def _refuse(bad: np.ndarray, array: np.ndarray, name: str, what: str, remedy: str) -> None:
    if bad.any():
        first = int(bad.argmax())
        raise ValueError(
            f"{name}: {int(bad.sum())} of {array.size} values {what}, "
            f"first at position {first} ({array[first]:g}): {remedy}"
        )
