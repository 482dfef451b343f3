"""Tables whose intervals draw images again: the same draws for everything that is compared."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from medcal_nb.measure.rows import image_labels


def images_note(graded: pd.DataFrame) -> str:
    """One sentence where answers name no image, so that items stand for images; else ""."""
    n = (
        len(graded)
        if "image_id" not in graded
        else int(graded["image_id"].isna().sum())
    )
    if not n:
        return ""
    return (
        f"{n:,} of {len(graded):,} answers name no image: each item counts as an image of its own, "
        "and intervals are too narrow where items share images."
    )


class Resamples:
    """How often each image occurs in the sample itself (row 0) and in its bootstrap resamples.

    ``rng`` is a generator, or the seed of one.
    """

    def __init__(self, labels, n_resamples: int, rng):
        rng = np.random.default_rng(rng)
        self.names = pd.Index(np.unique(np.asarray(labels, dtype=object)))
        size = len(self.names)
        self.counts = np.ones((n_resamples + 1, size))
        for b in range(1, n_resamples + 1):
            self.counts[b] = np.bincount(rng.integers(0, size, size), minlength=size)

    def codes(self, labels) -> np.ndarray:
        """Position of each row's image."""
        return self.names.get_indexer(labels)


def interval(draws: np.ndarray, level: float) -> tuple[float, float, float]:
    """(estimate, low, high) from the estimate (first) and its resamples (the rest).

    Percentiles of the resamples, moved so that their mean is the estimate.
    """
    estimate = float(draws[0])
    rest = draws[1:]
    if not len(rest) or not np.isfinite(rest).any():
        return estimate, np.nan, np.nan
    low, high = np.nanquantile(rest, [(1 - level) / 2, (1 + level) / 2])
    moved = estimate - np.nanmean(rest)
    return estimate, float(low + moved), float(high + moved)


def with_ends(values: Mapping, level: float) -> dict:
    """By name: draws as their estimate with ``_low`` and ``_high``, plain numbers as they are."""
    row = {}
    for name, draws in values.items():
        row[name] = draws
        if np.ndim(draws):
            row[name], row[f"{name}_low"], row[f"{name}_high"] = interval(draws, level)
    return row


def mean(weights: np.ndarray, values) -> np.ndarray:
    """Weighted mean of the rows' values, one for each row of weights; NaN where none is drawn."""
    with np.errstate(invalid="ignore"):
        return weights @ np.asarray(values, float) / weights.sum(axis=1)


def means(**columns: str | tuple[str, str]) -> Callable:
    """A statistic for :func:`paired`: by name the mean of a column, or of the first minus that of
    the second of two."""

    def one(part, w, of):
        return (
            mean(w, part[of])
            if isinstance(of, str)
            else mean(w, part[of[0]] - part[of[1]])
        )

    return lambda part, w: {name: one(part, w, of) for name, of in columns.items()}


def paired(graded, by, statistic, *, level=0.95, n_resamples=1000, rng) -> pd.DataFrame:
    """One row per group: statistics with intervals of the bootstrap by image.

    All groups see the same draws of images, so rows can be compared pair by pair.

    Parameters
    ----------
    graded : DataFrame
        One row per item and whatever makes the groups.
    by : sequence of str
        Columns that make the groups.
    statistic : callable
        ``statistic(part, weights) -> {name: draws}``: ``weights`` of shape (1 + n_resamples,
        rows), the first row ones; a plain number among the values gets no interval.

    Returns
    -------
    DataFrame
        The ``by`` columns, n, n_images and, per name, its value with ``_low`` and ``_high``.
    """
    drawn = Resamples(image_labels(graded), n_resamples, rng)
    rows = []
    for key, part in graded.groupby(list(by), sort=False, observed=True):
        codes = drawn.codes(image_labels(part))
        row = dict(zip(by, key, strict=True)) | {
            "n": len(part),
            "n_images": len(set(codes)),
        }
        rows.append(row | with_ends(statistic(part, drawn.counts[:, codes]), level))
    return pd.DataFrame(rows)


def weighted_auroc(confidence, correct, weights, fold=None) -> np.ndarray:
    r"""AUROC for every row of weights, ties one half; NaN where a class is absent.

    Maps of different folds put their confidences on different scales. With ``fold`` given,
    pairs are counted within folds alone: :math:`\sum_k A_k n_k^+ n_k^- / \sum_k n_k^+ n_k^-`.
    """
    from scipy.sparse import csr_array

    wins = np.zeros(len(weights))
    pairs = np.zeros(len(weights))
    y = np.asarray(correct, float)
    fold = np.zeros(len(y)) if fold is None else np.asarray(fold)
    for k in pd.unique(fold):
        own = np.flatnonzero(fold == k)
        at = (
            np.arange(len(own)),
            np.unique(np.asarray(confidence)[own], return_inverse=True)[1],
        )
        right, wrong = (
            weights[:, own] @ csr_array((side[own], at)) for side in (y, 1 - y)
        )
        wins += (right * (np.cumsum(wrong, axis=1) - wrong / 2)).sum(axis=1)
        pairs += right.sum(axis=1) * wrong.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(pairs > 0, wins / pairs, np.nan)
