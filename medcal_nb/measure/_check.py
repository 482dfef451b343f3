"""Guards shared by every metric: what comes in is what the definition speaks of."""

import sys
import warnings

import numpy as np

PART = 1 << 15  # rows looked at together: what is made of them stays in the cache


class MeasureWarning(UserWarning):
    """A metric is not defined on this input, or only in a degenerate way; the text says why."""


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
    if array.min() < 0 or array.max() > 1:
        remedy = "percent? divide by 100" if array.max() > 1 else "probabilities start at 0"
        _refuse((array < 0) | (array > 1), array, name, "outside [0, 1]", remedy)
    return array


def check_correct(values, name: str = "correct") -> np.ndarray:
    """A vector of outcomes 0 or 1 (booleans are fine), as floats."""
    array = check_vector(values, name)
    _refuse((array != 0) & (array != 1), array, name, "neither 0 nor 1", "grade answers first")
    return array


def check_pair(confidence, correct) -> tuple[np.ndarray, np.ndarray]:
    """Confidence in [0, 1] and binary outcome of the same length, as float arrays.

    Raises
    ------
    ValueError
        Naming the argument, how many values are at fault and where the first one is: empty,
        more than one dimension, NaN, confidence outside [0, 1], outcome neither 0 nor 1,
        lengths that differ.
    """
    c, y = _as_float(confidence, "confidence"), _as_float(correct, "correct")
    if c.ndim == y.ndim == 1 and c.size == y.size > 0 and _sound(c, y):
        return c, y
    c = check_confidence(c)
    y = check_correct(y)
    check_length(y, c.size, "correct")
    return c, y


def _sound(c: np.ndarray, y: np.ndarray) -> bool:
    """Whether all is well, at little cost; what is wrong where it is not, others find out."""
    for start in range(0, c.size, PART):
        some, outcome = c[start : start + PART], y[start : start + PART]
        # comparisons with NaN are false
        if not (some.min() >= 0 and some.max() <= 1):
            return False
        if np.count_nonzero(outcome == 0) + np.count_nonzero(outcome == 1) < outcome.size:
            return False
    return True


def check_length(array: np.ndarray, n: int, name: str, other: str = "confidence") -> None:
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
    """Group labels as codes 0 … G−1, and G; `None` is refused by the caller."""
    labels = np.asarray(groups)
    if labels.ndim != 1:
        raise ValueError(f"groups must have one dimension, has shape {labels.shape}")
    check_length(labels, n, "groups")
    if labels.dtype.kind in "OfUTS":
        import pandas as pd

        codes, uniques = pd.factorize(labels)
        bad = codes < 0
        if bad.any():
            raise ValueError(
                f"groups: {int(bad.sum())} missing, first at position {int(bad.argmax())}: "
                "every row needs a group"
            )
        return codes.astype(np.int64), len(uniques)
    uniques, codes = np.unique(labels, return_inverse=True)
    return codes, len(uniques)


def check_bins(n_bins) -> int:
    """A whole number of bins, at least one."""
    if isinstance(n_bins, bool) or int(n_bins) != n_bins or n_bins < 1:
        raise ValueError(f"n_bins must be a whole number of at least 1, got {n_bins!r}")
    return int(n_bins)


def check_level(level: float, name: str = "level") -> float:
    """A share strictly between 0 and 1, such as 0.95."""
    if not 0 < level < 1:
        hint = " (a percentage? write 0.95, not 95)" if level >= 1 else ""
        raise ValueError(f"{name} must lie strictly between 0 and 1, got {level!r}{hint}")
    return float(level)


def check_resamples(n_resamples) -> int:
    """A whole number of resamples, at least two."""
    if isinstance(n_resamples, bool) or int(n_resamples) != n_resamples or n_resamples < 2:
        raise ValueError(f"n_resamples must be a whole number of at least 2, got {n_resamples!r}")
    return int(n_resamples)


def check_choice(value, name: str, allowed: tuple) -> None:
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
    if isinstance(values, np.ndarray) and values.dtype == np.float64:
        return values
    if hasattr(values, "to_numpy"):
        # nullable pandas columns: <NA> becomes NaN, which is then refused with its position
        try:
            return values.to_numpy(dtype=np.float64, na_value=np.nan)
        except TypeError:
            values = values.to_numpy()
        except ValueError as error:
            raise ValueError(f"{name} is not numeric: {error}") from None
    try:
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
