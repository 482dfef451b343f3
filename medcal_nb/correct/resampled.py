"""Transfer of a map from source to target, and its rivals, with all fits repeated in each resample.

Maps depend on answers only through how many there are, and how many are correct, at each
confidence. Equal confidences are therefore gathered once into cells; a resample is one row of
counts of the cells, and Newton's method starts from the fit of the sample itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from medcal_nb.measure.resampling import (
    Resamples,
    fit_logistic,
    gathered,
    logit,
    probability,
)

from .crossfit import N_FOLDS
from .families import EXACTLY, NEARLY, Family

#: Confidences of equal mass that resampled fits tell apart; estimates use all.
CELLS = 100
_AT_ONCE = 500_000  # numbers in an array of a step, so that it fits in the cache


@dataclass(frozen=True)
class Side:
    """Answers of one model and strategy on one side, source or target.

    Attributes
    ----------
    confidence, correct : (n,) array
        Of the answers that can be measured.
    images : (n,) array of int
        The image of each.
    units : (n,) array of int
        The column of ``resamples.counts`` that each belongs to.
    fold : (n,) array of int
        Fold of each answer; zeros where nothing is cross-fitted.
    resamples : Resamples
        Of the images of all models on that side.
    """

    confidence: np.ndarray
    correct: np.ndarray
    images: np.ndarray
    units: np.ndarray
    fold: np.ndarray
    resamples: Resamples


@dataclass
class Losses:
    """Losses on the target of one pair.

    Attributes
    ----------
    draws : dict of str to (1 + B,) array
        Of the sample first, then of its resamples. Brier scores: uncorrected, base (one number for
        all, the share correct of the other folds), transferred, known (the source's map with its
        intercept set by the accuracy of the other folds), refitted (cross-fitted on the target).
        cost: transferred minus refitted.
        distance: mean squared distance of the refitted confidences from those of the sample.
    theta_source, theta_target : parameter sets
        Of the source's map, and of those of the five folds, in the sample.
    intercepts : (folds, 1) array
        That the accuracy of the other folds adds to the source's map, in the sample.
    """

    draws: dict[str, np.ndarray]
    theta_source: Any
    theta_target: Any
    intercepts: np.ndarray


def pair_losses(source: Side, target: Side, family: Family, clip: float) -> Losses:
    """Losses of a family's maps on the target, of the sample and of every resample."""
    sample = slice(0, 1)
    left = _Cells(source, None)
    right = _Cells(target, None)
    losses = _losses(family, left, right, clip, sample)
    left = _Cells(source, CELLS)
    right = _Cells(target, CELLS)
    n_rows = len(target.resamples.counts)
    size = max(1, _AT_ONCE // (N_FOLDS * right.n))
    parts = [losses.draws]
    for first in range(1, n_rows, size):
        drawn = slice(first, first + size)
        part = _losses(family, left, right, clip, drawn, start=losses)
        parts.append(part.draws)
    draws = {}
    for name in losses.draws:
        draws[name] = np.concatenate([part[name] for part in parts])
    return replace(losses, draws=draws)


class _Cells:
    """Answers of a side gathered into cells of equal confidence, by fold.

    ``confidence`` (n,) is the mean of each cell; ``total`` and ``right`` are numbers of answers,
    and of correct ones, in every resample: (B, folds, n) arrays.
    """

    def __init__(self, side: Side, most: int | None) -> None:
        cell = gathered(side.confidence, most)
        self.n = int(cell.max()) + 1
        self.confidence = np.bincount(cell, side.confidence) / np.bincount(cell)
        n_folds = int(side.fold.max()) + 1
        place = side.fold * self.n + cell
        shape = (-1, n_folds, self.n)
        size = n_folds * self.n
        if most is None:
            total: np.ndarray = np.bincount(place, minlength=size).astype(float)
            right: np.ndarray = np.bincount(place, side.correct, size)
        else:
            sums = side.resamples.sums
            total = sums(place, size, codes=side.units)
            right = sums(place, size, side.correct, side.units)
        self.total = np.ascontiguousarray(total).reshape(shape)
        self.right = np.ascontiguousarray(right).reshape(shape)


def _losses(
    family: Family,
    source: _Cells,
    target: _Cells,
    clip: float,
    drawn: slice,
    start: Losses | None = None,
) -> Losses:
    """Losses of the resamples drawn; ``start`` are those of the sample, to begin fits with."""
    total = target.total[drawn]  # (B, K, n) in each fold
    right = target.right[drawn]
    whole = total.sum(axis=1)  # (B, n) in all folds
    whole_right = right.sum(axis=1)
    others = whole[:, None] - total  # (B, K, n) in all other folds
    others_right = whole_right[:, None] - right
    features = family.features(target.confidence, clip)
    theta_source = family.fit(
        family.features(source.confidence, clip),
        source.right[drawn, 0],
        source.total[drawn, 0],
        None if start is None else _first(start.theta_source),
    )
    theta_target = family.fit(
        features,
        others_right.reshape(-1, target.n),
        others.reshape(-1, target.n),
        None if start is None else _first(start.theta_target),
    )
    transferred = family.apply(theta_source, features)  # (B, n)
    known, intercepts = _with_accuracy(transferred, others_right, others, start)
    refitted = family.apply(theta_target, features).reshape(total.shape)
    share = (others_right.sum(axis=2) + 1) / (others.sum(axis=2) + 2)  # (B, K)
    draws = {
        "uncorrected": brier_of_counts(target.confidence, whole, whole_right),
        "base": brier_of_counts(share, total.sum(axis=2), right.sum(axis=2)),
        "transferred": brier_of_counts(transferred, whole, whole_right),
        "known": brier_of_counts(known, total, right),
        "refitted": brier_of_counts(refitted, total, right),
        "distance": _distance(family, refitted, features, target.total[0], start),
    }
    draws["cost"] = draws["transferred"] - draws["refitted"]
    return Losses(
        draws=draws,
        theta_source=theta_source,
        theta_target=theta_target,
        intercepts=intercepts,
    )


def _with_accuracy(
    confidence: np.ndarray,
    right: np.ndarray,
    total: np.ndarray,
    start: Losses | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Confidences (B, K, n) and the intercepts (B * K, 1) that make their mean the accuracy.

    ``confidence`` is (B, n); ``right``, ``total`` (B, K, n) count answers of the other folds.
    """
    log_odds = logit(confidence, 1e-12)
    n_cells = total.shape[2]
    begin: np.ndarray | float = 0.0
    if start is not None:
        begin = np.tile(start.intercepts, (len(total), 1))
    intercepts = fit_logistic(
        np.ones((n_cells, 1)),
        right.sum(axis=2).reshape(-1, 1),
        total.reshape(-1, n_cells),
        offset=np.repeat(log_odds, N_FOLDS, axis=0),  # (B * K, n)
        start=begin,
        tolerance=EXACTLY if start is None else NEARLY,
    )[0]
    by_fold = intercepts.reshape(-1, N_FOLDS, 1)
    known = probability(log_odds[:, None] + by_fold)
    return known, intercepts


def _distance(
    family: Family,
    refitted: np.ndarray,
    features: np.ndarray,
    total: np.ndarray,
    start: Losses | None,
) -> np.ndarray:
    """(B,) mean squared distance of refits (B, K, n) from those of the sample, 0 of itself.

    Over the answers of the sample, of which ``total`` (K, n) are in a fold and cell.
    """
    if start is None:
        return np.zeros(len(refitted))
    away = refitted - family.apply(start.theta_target, features)
    return np.einsum("bkn,bkn,kn->b", away, away, total) / total.sum()


def _first(theta: Any) -> np.ndarray | None:
    """The first parameter set, where it is one of numbers that a fit can begin with."""
    return theta[0] if isinstance(theta, np.ndarray) else None


def brier_of_counts(p: np.ndarray, total: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Brier score (B,) of confidences p for counts (B, …, cells); p broadcasts to them."""
    n_rows = len(total)
    p = np.broadcast_to(p, total.shape).reshape(n_rows, -1)
    total = total.reshape(n_rows, -1)
    right = right.reshape(n_rows, -1)
    # (B,) sums over cells, without an array of (B, cells) in between
    squares = np.einsum("bn,bn,bn->b", p, p, total)
    products = np.einsum("bn,bn->b", p, right)
    sums = squares - 2 * products + right.sum(axis=1)
    return sums / total.sum(axis=1)
